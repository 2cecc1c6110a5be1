package tacacs

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"trine/engine/document"
	"trine/engine/policy"
	"trine/protocols/internal/shared"
	"trine/protocols/tacacs/wire"
)

// Wire compiles the parts of documents that only TACACS+ understands. It is immutable.
type Wire struct{ policy.Arguments }

var _ policy.Wire = Wire{}

// Client compiles a service provider of type tacacs. Its secrets must be clear text: whoever compiles opens them.
func (Wire) Client(sp *document.ServiceProvider) (any, error) { return newClient(sp) }

// Client is a service provider as the packet path needs it. It is immutable.
type Client struct {
	secrets         []shared.Secret[*wire.Secret]
	quirks          wire.Quirks
	passwordInStart bool // data of an ASCII START is the password
	addressText     bool // text follows the remote address behind a blank
	singleConnect   bool
	continues       bool // its devices can be asked for a second factor
	appends         bool // its devices append one-time passwords to passwords
	idle            time.Duration
	names           []string // of which the certificate of a device must have one; none: any will do

	// What people read: the first question of a login has the banner before it.
	askUser, askPassword           string
	askUserFirst, askPasswordFirst string
}

func newClient(sp *document.ServiceProvider) (*Client, error) {
	t := sp.Tacacs
	if sp.Type != document.TypeTacacs || t == nil {
		return nil, fmt.Errorf("type %q is not %q", sp.Type, document.TypeTacacs)
	}
	c := &Client{
		passwordInStart: t.Quirks.PasswordInStart, addressText: t.Quirks.RemoteAddressText, singleConnect: t.SingleConnect,
		continues: t.Challenges(), appends: t.Appends(), idle: t.IdleTimeout, names: t.CertificateNames,
		askUser: t.Prompts.User, askPassword: t.Prompts.Password,
	}
	for _, q := range []struct {
		on    bool
		quirk wire.Quirks
	}{{t.Quirks.ShortBody, wire.LooseLength}, {t.Quirks.PairsWithoutSeparator, wire.BareArguments}, {t.Quirks.MinorVersionOneAnywhere, wire.MinorOne}} {
		if q.on {
			c.quirks |= q.quirk
		}
	}
	banner := t.Prompts.Banner
	if banner != "" && !strings.HasSuffix(banner, "\n") {
		banner += "\n"
	}
	c.askUserFirst, c.askPasswordFirst = banner+c.askUser, banner+c.askPassword
	var err error
	if c.secrets, err = shared.Compile(document.TypeTacacs, &t.SharedSecrets, wire.NewSecret); err != nil {
		return nil, err
	}
	return c, nil
}

// active appends the secrets that are good at a time, in Unix nanoseconds.
func (c *Client) active(dst []*wire.Secret, at int64) []*wire.Secret {
	for i := range c.secrets {
		if s := &c.secrets[i]; s.Good(at) {
			dst = append(dst, s.Key)
		}
	}
	return dst
}

// named reports whether a certificate has one of the names that the client's devices have: a DNS name or an address among its
// alternative names, or where it has none of them, its common name.
func (c *Client) named(cert *x509.Certificate) bool {
	if len(c.names) == 0 {
		return true
	}
	for _, name := range cert.DNSNames {
		if slices.ContainsFunc(c.names, func(n string) bool { return strings.EqualFold(n, name) }) {
			return true
		}
	}
	for _, ip := range cert.IPAddresses {
		if slices.Contains(c.names, ip.String()) {
			return true
		}
	}
	if len(cert.DNSNames)+len(cert.IPAddresses) > 0 {
		return false
	}
	return slices.ContainsFunc(c.names, func(n string) bool { return strings.EqualFold(n, cert.Subject.CommonName) })
}
