package probe

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2759"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/vendors/microsoft"

	"trine/protocols/radius/dictionary"
	"trine/protocols/radius/wire"
)

// The methods by which a login can prove its password.
const (
	MethodPAP     = "pap"
	MethodCHAP    = "chap"
	MethodMSCHAP2 = "mschapv2"
)

// Methods returns the names of the methods.
func Methods() []string { return []string{MethodPAP, MethodCHAP, MethodMSCHAP2} }

// Login is one login to try.
type Login struct {
	Server   string // host:port
	Secret   string // the shared secret
	User     string
	Password string
	Method   string // one of Methods; empty means PAP
	// NewPassword asks to change the password to it, with MethodMSCHAP2 alone.
	NewPassword string
	NAS         string // NAS-Identifier; empty means "trine radius test"
	// Timeout is how long each try waits, and Tries how many there are, all with the same packet as a device's retransmissions
	// are. 0 means 3 s and 3.
	Timeout time.Duration
	Tries   int
}

// Attribute is one attribute of an answer, by its dictionary name. Secrets are redacted.
type Attribute struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Answer is what the server said.
type Answer struct {
	Code       string        `json:"code"` // "Access-Accept", "Access-Reject", ...
	Accepted   bool          `json:"accepted"`
	Took       time.Duration `json:"-"`      // from the last try's sending
	Micros     int64         `json:"micros"` // Took in microseconds
	Tries      int           `json:"tries"`
	Attributes []Attribute   `json:"attributes"`
	// ServerProven is set after MS-CHAPv2 where the server has shown that it knows the password too (RFC 2759 section 8.8).
	ServerProven bool `json:"serverProven,omitempty"`
}

var (
	// ErrNoAnswer means that the server was silent: it is not there, does not know this address, or the secret differs.
	ErrNoAnswer = errors.New("no answer: is the server there, is this machine's address among a service provider's sourceIPs, and is the secret the same")
	// ErrMethod means that a method's name is unknown.
	ErrMethod = errors.New("unknown method: want pap, chap or mschapv2")
	// ErrServerProof means that the server accepted an MS-CHAPv2 login without proving that it knows the password.
	ErrServerProof = errors.New("the server accepted without proving that it knows the password (MS-CHAP2-Success)")
)

// Try sends the login and waits for the answer. A reject is an answer and no error.
func Try(ctx context.Context, l Login, names *dictionary.Dictionary) (*Answer, error) {
	if l.Timeout <= 0 {
		l.Timeout = 3 * time.Second
	}
	if l.Tries <= 0 {
		l.Tries = 3
	}
	if l.NAS == "" {
		l.NAS = "trine radius test"
	}
	request, proof, err := l.request()
	if err != nil {
		return nil, err
	}
	answer := new(Answer)
	reply, err := l.exchange(ctx, request, answer)
	if err != nil {
		return nil, err
	}
	v := new(wire.View)
	if err := wire.Parse(reply, v).Err(); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	answer.Code, answer.Accepted = v.Code().String(), v.Code() == wire.AccessAccept
	answer.Attributes = describe(v, names)
	if answer.Accepted && proof != "" {
		success, _ := v.Vendor(wire.VendorMicrosoft, wire.MSCHAP2Success)
		if len(success) < 1 || string(success[1:]) != proof {
			return answer, ErrServerProof
		}
		answer.ServerProven = true
	}
	return answer, nil
}

// request builds the Access-Request. For MS-CHAPv2, proof is what a server that knows the password answers.
func (l *Login) request() (encoded []byte, proof string, err error) {
	if l.Secret == "" {
		return nil, "", wire.ErrEmptySecret
	}
	p := radius.New(radius.CodeAccessRequest, []byte(l.Secret))
	// The Message-Authenticator (RFC 3579 section 3.2) comes first, and zero for now: the library leaves it to its caller.
	var zero [16]byte
	steps := []error{rfc2869.MessageAuthenticator_Set(p, zero[:])}
	steps = append(steps, rfc2865.UserName_SetString(p, l.User), rfc2865.NASIdentifier_SetString(p, l.NAS))
	switch l.Method {
	case "", MethodPAP:
		steps = append(steps, rfc2865.UserPassword_SetString(p, l.Password))
	case MethodCHAP:
		steps = append(steps, l.chap(p))
	case MethodMSCHAP2:
		if l.NewPassword != "" {
			proof, err = l.change(p)
		} else {
			proof, err = l.mschap2(p)
		}
		steps = append(steps, err)
	default:
		return nil, "", fmt.Errorf("method %q: %w", l.Method, ErrMethod)
	}
	if err := errors.Join(steps...); err != nil {
		return nil, "", fmt.Errorf("build the request: %w", err)
	}
	if encoded, err = p.Encode(); err != nil {
		return nil, "", fmt.Errorf("encode the request: %w", err)
	}
	sign(encoded, []byte(l.Secret))
	return encoded, proof, nil
}

// sign fills the Message-Authenticator, which stands first.
func sign(packet, secret []byte) {
	const value = 20 + 2
	mac := hmac.New(md5.New, secret)
	mac.Write(packet)
	copy(packet[value:value+16], mac.Sum(nil))
}

// chap proves the password as RFC 2865 section 5.3 says, with a challenge of its own.
func (l *Login) chap(p *radius.Packet) error {
	var challenge [16]byte
	// Read never fails: it ends the process instead.
	_, _ = rand.Read(challenge[:])
	id := p.Identifier
	sum := md5.Sum(append(append([]byte{id}, l.Password...), challenge[:]...))
	return errors.Join(rfc2865.CHAPChallenge_Set(p, challenge[:]), rfc2865.CHAPPassword_Set(p, append([]byte{id}, sum[:]...)))
}

// mschap2 proves the password as RFC 2548 section 2.3.2 says. It returns what the server must answer.
func (l *Login) mschap2(p *radius.Packet) (proof string, err error) {
	challenge, peer, response, proof, err := l.respond(l.Password)
	if err != nil {
		return "", err
	}
	value := make([]byte, 50)
	value[0] = p.Identifier
	copy(value[2:], peer)
	copy(value[26:], response)
	return proof, errors.Join(microsoft.MSCHAPChallenge_Add(p, challenge), microsoft.MSCHAP2Response_Add(p, value))
}

// respond makes a challenge up and answers it with a password. Proof is what a server that knows the password answers.
func (l *Login) respond(password string) (challenge, peer, response []byte, proof string, err error) {
	challenge, peer = make([]byte, 16), make([]byte, 16)
	_, _ = rand.Read(challenge)
	_, _ = rand.Read(peer)
	name := []byte(l.User[strings.LastIndexByte(l.User, '\\')+1:])
	if response, err = rfc2759.GenerateNTResponse(challenge, peer, name, []byte(password)); err != nil {
		return nil, nil, nil, "", fmt.Errorf("compute the MS-CHAPv2 response: %w", err)
	}
	if proof, err = rfc2759.GenerateAuthenticatorResponse(challenge, peer, response, name, []byte(password)); err != nil {
		return nil, nil, nil, "", fmt.Errorf("compute the server's proof: %w", err)
	}
	return challenge, peer, response, proof, nil
}

// exchange sends the request until an authentic answer comes.
func (l *Login) exchange(ctx context.Context, request []byte, answer *Answer) ([]byte, error) {
	key, err := wire.NewSecret([]byte(l.Secret))
	if err != nil {
		return nil, err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", l.Server)
	if err != nil {
		return nil, fmt.Errorf("reach %s: %w", l.Server, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	wrong := ErrNoAnswer
	for answer.Tries < l.Tries && ctx.Err() == nil {
		answer.Tries++
		sent := time.Now()
		if err := conn.SetDeadline(sent.Add(l.Timeout)); err != nil {
			return nil, fmt.Errorf("set a deadline: %w", err)
		}
		if _, err := conn.Write(request); err != nil {
			return nil, fmt.Errorf("send to %s: %w", l.Server, err)
		}
		reply, fault, err := await(conn, key, request)
		switch {
		case err == nil:
			answer.Took = time.Since(sent)
			answer.Micros = answer.Took.Microseconds()
			return reply, nil
		case fault != wire.OK:
			wrong = fmt.Errorf("an answer came that is not authentic: %w", fault)
		case errors.Is(err, syscall.ECONNREFUSED):
			return nil, fmt.Errorf("no server listens on %s: %w", l.Server, err)
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return nil, fmt.Errorf("receive from %s: %w", l.Server, err)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	times := "tries"
	if answer.Tries == 1 {
		times = "try"
	}
	return nil, fmt.Errorf("%s after %d %s: %w", l.Server, answer.Tries, times, wrong)
}

// await reads until the deadline for an answer that is authentic. What is not is ignored, and told as fault if nothing else comes.
func await(conn net.Conn, key *wire.Secret, request []byte) (reply []byte, fault wire.Fault, err error) {
	authenticator := (*[wire.AuthenticatorLen]byte)(request[4:20])
	var v wire.View
	buf := make([]byte, 1<<16)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, fault, err
		}
		if f := wire.Parse(buf[:n], &v); f != wire.OK {
			fault = f
			continue
		}
		if f := key.VerifyReply(&v, request[1], authenticator, true); f != wire.OK {
			fault = f
			continue
		}
		return buf[:binary.BigEndian.Uint16(buf[2:])], wire.OK, nil
	}
}
