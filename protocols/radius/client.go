package radius

import (
	"fmt"
	"time"

	"trine/engine/document"
	"trine/protocols/internal/shared"
	"trine/protocols/radius/wire"
)

// Client is a service provider as the packet path needs it: its secrets with the work done that depends on them alone, and
// its rules. It is immutable.
type Client struct {
	secrets         []shared.Secret[*wire.Secret]
	requireSigned   bool // Message-Authenticator in every Access-Request
	limitProxyState bool
	rejectDelay     time.Duration
	chargeable      bool
	continues       bool    // its devices can be challenged for a second factor
	devices         bool    // let in by their MAC addresses
	appends         bool    // its devices append one-time passwords to passwords
	userName        setting // User-Name, as templates set it
}

func newClient(sp *document.ServiceProvider) (*Client, error) {
	r := sp.Radius
	if sp.Type != document.TypeRadius || r == nil {
		return nil, fmt.Errorf("type %q is not %q", sp.Type, document.TypeRadius)
	}
	c := &Client{
		requireSigned: r.RequireMessageAuthenticator, limitProxyState: r.LimitProxyState,
		rejectDelay: r.RejectDelay, chargeable: r.ChargeableUserIdentity, devices: r.MACAuthentication,
		continues: r.Challenges(), appends: r.Appends(),
	}
	var err error
	if c.secrets, err = shared.Compile(document.TypeRadius, &r.SharedSecrets, wire.NewSecret); err != nil {
		return nil, err
	}
	return c, nil
}

// present returns the first secret that is good at a time, in Unix nanoseconds, or nil.
func (c *Client) present(at int64) *wire.Secret {
	for i := range c.secrets {
		if s := &c.secrets[i]; s.Good(at) {
			return s.Key
		}
	}
	return nil
}

// demands reports whether the packet must carry a Message-Authenticator, and what is wrong where it does not: RFC 3579 section 3.1,
// RFC 5997 section 3, and the client's own rules.
func (c *Client) demands(v *wire.View) (require bool, missing cause) {
	switch {
	case v.Code() == wire.AccountingRequest:
		return false, 0
	case v.Code() == wire.StatusServer:
		return true, cause(wire.SignatureMissing)
	case v.Has(wire.EAPMessage):
		return true, causeEAP
	case c.requireSigned:
		return true, cause(wire.SignatureMissing)
	case c.limitProxyState && v.Has(wire.ProxyState):
		return true, causeProxyState
	}
	return false, 0
}

// verify finds the secret that authenticates the packet: RFC 2866 section 3 for accounting, RFC 3579 section 3.2 for logins,
// RFC 5997 section 3 for Status-Server. Where none does, it returns what was wrong.
func (c *Client) verify(v *wire.View, now time.Time) (*wire.Secret, cause) {
	require, missing := c.demands(v)
	at := now.UnixNano()
	wrong := causeSecret
	for i := range c.secrets {
		s := &c.secrets[i]
		if !s.Good(at) {
			continue
		}
		switch fault := s.Key.Verify(v, require); fault {
		case wire.OK:
			return s.Key, 0
		case wire.SignatureMissing:
			return nil, missing
		default:
			wrong = cause(fault)
		}
	}
	return nil, wrong
}
