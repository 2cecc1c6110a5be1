package radius

import (
	"errors"
	"fmt"
	"time"

	"trine/engine/document"
	"trine/protocols/radius/wire"
)

// Client is a service provider as the packet path needs it: its secrets with the work done that depends on them alone, and
// its rules. It is immutable.
type Client struct {
	secrets         []clientSecret
	requireSigned   bool // Message-Authenticator in every Access-Request
	limitProxyState bool
	rejectDelay     time.Duration
	chargeable      bool
}

// clientSecret is a shared secret and the time in which it is good, in Unix nanoseconds.
type clientSecret struct {
	key      *wire.Secret
	from, to int64
}

func newClient(sp *document.ServiceProvider) (*Client, error) {
	r := sp.Radius
	if sp.Type != document.TypeRadius || r == nil {
		return nil, fmt.Errorf("type %q is not %q", sp.Type, document.TypeRadius)
	}
	c := &Client{
		requireSigned: r.RequireMessageAuthenticator, limitProxyState: r.LimitProxyState,
		rejectDelay: r.RejectDelay, chargeable: r.ChargeableUserIdentity,
	}
	secrets := r.Secrets
	if len(secrets) == 0 && !r.Secret.IsZero() {
		secrets = []document.RadiusSecret{{Value: r.Secret}}
	}
	if len(secrets) == 0 {
		return nil, errors.New("radius.secrets: there is no shared secret")
	}
	for i, s := range secrets {
		if !s.Value.IsPlain() {
			return nil, fmt.Errorf("radius.secrets[%d]: the secret could not be opened", i)
		}
		clear, err := s.Value.Open(nil, nil, nil)
		if err != nil {
			return nil, fmt.Errorf("radius.secrets[%d]: open secret: %w", i, err)
		}
		key, err := wire.NewSecret(clear)
		if err != nil {
			return nil, fmt.Errorf("radius.secrets[%d]: %w", i, err)
		}
		entry := clientSecret{key: key, to: 1<<63 - 1}
		if !s.NotBefore.IsZero() {
			entry.from = s.NotBefore.UnixNano()
		}
		if !s.NotAfter.IsZero() {
			entry.to = s.NotAfter.UnixNano()
		}
		c.secrets = append(c.secrets, entry)
	}
	return c, nil
}

// verify finds the secret that authenticates the packet: RFC 2866 section 3 for accounting, RFC 3579 section 3.2 for logins,
// RFC 5997 section 3 for Status-Server. Where none does, it returns what was wrong.
func (c *Client) verify(v *wire.View, now time.Time) (*wire.Secret, cause) {
	missing := cause(wire.SignatureMissing)
	require := false
	switch {
	case v.Code() == wire.AccountingRequest:
	case v.Code() == wire.StatusServer:
		require = true
	case v.Has(wire.EAPMessage):
		require, missing = true, causeEAP
	case c.requireSigned:
		require = true
	case c.limitProxyState && v.Has(wire.ProxyState):
		require, missing = true, causeProxyState
	}
	at := now.UnixNano()
	wrong := causeSecret
	for i := range c.secrets {
		s := &c.secrets[i]
		if at < s.from || at >= s.to {
			continue
		}
		switch fault := s.key.Verify(v, require); fault {
		case wire.OK:
			return s.key, 0
		case wire.SignatureMissing:
			return nil, missing
		default:
			wrong = cause(fault)
		}
	}
	return nil, wrong
}
