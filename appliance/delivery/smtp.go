package delivery

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"trine/engine/document"
	"trine/engine/secret"
)

// mechanisms are how a node logs in to a mail server, the best first. A userName goes with a verified connection only, so that those which send
// the password as it is are as good as the rest; NTLM and CRAM-MD5 rest on broken hashes.
var mechanisms = []mail.SMTPAuthType{
	mail.SMTPAuthSCRAMSHA256PLUS, mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthSCRAMSHA1PLUS, mail.SMTPAuthSCRAMSHA1, mail.SMTPAuthPlain, mail.SMTPAuthLogin,
}

// quitTime bounds the farewell to a server.
const quitTime = time.Second

// smtpGateway hands mail to a mail server (RFC 5321, RFC 6409).
type smtpGateway struct {
	spec    *document.SMTPGateway
	from    *netmail.Address
	replyTo *netmail.Address // nil: none
	tls     *tls.Config
	hello   string
	secret  func(secret.Text) (string, error)
}

func newSMTP(spec *document.SMTPGateway, open func(secret.Text) (string, error), host string) (func() (carrier, error), error) {
	g := &smtpGateway{spec: spec, hello: spec.HelloName, secret: open}
	if g.hello == "" {
		g.hello = host
	}
	var err error
	if g.from, err = netmail.ParseAddress(spec.From); err != nil {
		return nil, fmt.Errorf("read from: %w", err)
	}
	if spec.ReplyTo != "" {
		if g.replyTo, err = netmail.ParseAddress(spec.ReplyTo); err != nil {
			return nil, fmt.Errorf("read replyTo: %w", err)
		}
	}
	if g.tls, err = tlsConfig(spec.Authorities); err != nil {
		return nil, err
	}
	return func() (carrier, error) { return &smtpCarrier{smtpGateway: g}, nil }, nil
}

// smtpCarrier keeps one connection.
type smtpCarrier struct {
	*smtpGateway
	client *mail.Client
	link   *smtp.Client // nil: not connected
	conn   net.Conn     // that link speaks on, below TLS
}

// errStale means that a connection that was kept is there no more.
var errStale = errors.New("the server has closed the connection")

func (c *smtpCarrier) carry(ctx context.Context, p *parcel) error {
	m := c.message(p)
	if c.link != nil {
		if err := c.send(ctx, m, p); !errors.Is(err, errStale) {
			return err
		}
	}
	if err := c.connect(ctx); err != nil {
		return err
	}
	return c.send(ctx, m, p)
}

// message builds the mail. Its identifier is the same for each attempt, so that one that arrived twice can be told.
func (c *smtpCarrier) message(p *parcel) *mail.Msg {
	m := mail.NewMsg(mail.WithNoDefaultUserAgent())
	m.FromMailAddress(c.from)
	if c.replyTo != nil {
		m.ReplyToMailAddress(c.replyTo)
	}
	m.ToMailAddress(&netmail.Address{Address: p.to})
	m.Subject(printable(p.subject))
	_, domain, _ := strings.Cut(c.from.Address, "@")
	m.SetMessageIDWithValue(p.id + "@" + domain)
	m.SetDate()
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: nobody's absence is to answer
	m.SetBodyString(mail.TypeTextPlain, p.body)
	return m
}

// connect tries the servers in turn. Each that is left gets an equal share of the time that is left.
func (c *smtpCarrier) connect(ctx context.Context) error {
	c.close()
	password, err := c.secret(c.spec.Password)
	if err != nil {
		return err
	}
	var failed []error
	for i, server := range c.spec.Servers {
		limit := c.spec.Timeout
		if deadline, ok := ctx.Deadline(); ok {
			limit = time.Until(deadline) / time.Duration(len(c.spec.Servers)-i)
		}
		if err = c.dial(ctx, server, password, limit); err == nil {
			return nil
		}
		failed = append(failed, fmt.Errorf("connect to %s: %w", server, err))
	}
	return errors.Join(failed...)
}

func (c *smtpCarrier) dial(ctx context.Context, server, password string, limit time.Duration) (err error) {
	host, port, err := c.spec.ServerAddress(server)
	if err != nil {
		return err
	}
	whole, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	config := c.tls.Clone()
	config.ServerName = host
	number, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	stop := func() bool { return true }
	options := []mail.Option{
		mail.WithPort(number), mail.WithHELO(c.hello), mail.WithTimeout(c.spec.Timeout), mail.WithTLSConfig(config),
		mail.WithDialContextFunc(func(ctx context.Context, network, _ string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(host, port))
			if err != nil {
				return nil, err
			}
			c.conn, stop = conn, context.AfterFunc(whole, func() { _ = conn.Close() }) // whoever waits on it learns
			if c.spec.Security != "tls" {
				return conn, nil
			}
			secured := tls.Client(conn, config)
			return secured, secured.HandshakeContext(ctx)
		}),
	}
	switch c.spec.Security {
	case "tls":
		options = append(options, mail.WithSSL())
	case "opportunistic":
		options = append(options, mail.WithTLSPolicy(mail.TLSOpportunistic))
	case "none":
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if c.spec.UserName != "" {
		options = append(options, mail.WithUsername(c.spec.UserName), mail.WithPassword(password), mail.WithOpportunisticSMTPAuth(mechanisms...))
	}
	if c.client, err = mail.NewClient(host, options...); err != nil {
		return err
	}
	c.link, err = c.client.DialToSMTPClientWithContext(whole)
	stop()
	if err != nil {
		c.drop() // the library leaves the connection open
	}
	return err
}

// send hands the mail over on the connection. It returns errStale if that was dead before anything was said.
func (c *smtpCarrier) send(ctx context.Context, m *mail.Msg, p *parcel) error {
	conn := c.conn
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // whoever waits on it learns
	defer stop()
	if err := conn.SetDeadline(time.Now().Add(c.spec.Timeout)); err != nil {
		c.drop()
		return errStale
	}
	// A mail that asks for SMTPUTF8 (RFC 6531) without need bounces where one server on its way does not know it.
	c.link.SkipSMTPUTF8(isASCII(p.to) && isASCII(c.from.Address))
	err := c.client.SendWithSMTPClient(c.link, m)
	if err == nil {
		return nil
	}
	var failed *mail.SendError
	if !errors.As(err, &failed) {
		c.drop()
		return errors.New(p.scrub(err.Error()))
	}
	if code := failed.ErrorCode(); code == 0 || code == 421 { // what the server answered otherwise leaves the connection as it was
		c.drop()
	}
	if m.IsDelivered() {
		return nil // only what came after it failed
	}
	if failed.Reason == mail.ErrConnCheck && ctx.Err() == nil {
		return errStale
	}
	said, _, _ := strings.Cut(failed.Error(), ", affected")
	if code := failed.ErrorCode(); code >= 500 && code <= 599 {
		return refused("%s", p.scrub(said))
	}
	return errors.New(p.scrub(said))
}

// close says good-bye to the server.
func (c *smtpCarrier) close() {
	if c.link == nil {
		return
	}
	if c.conn.SetDeadline(time.Now().Add(quitTime)) == nil {
		_ = c.client.CloseWithSMTPClient(c.link) // it is over either way
	}
	c.drop()
}

// drop ends the connection.
func (c *smtpCarrier) drop() {
	if c.conn != nil {
		_ = c.conn.Close() // nothing is lost with it
	}
	c.link, c.conn = nil, nil
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII })
}
