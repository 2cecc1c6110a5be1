package policy

import (
	"strings"
	"sync/atomic"

	"trine/engine/attribute"
)

// sharing is the set of all sharing policies. A set is never changed: a new pointer is a new set.
type sharing struct{ policies []*attribute.Policy }

// views keeps what a client's view of the policies was compiled to, so that 10,000 clients need no work when a policy changes:
// each compiles its view at its next login. It is the only part of a cache that is written after publication; a reader of
// another cache sees that the set differs and compiles its own.
type views struct{ last atomic.Pointer[clientView] }

type clientView struct {
	of   *sharing
	view *attribute.View
}

// Release appends the attributes that the sharing policies release to the client, with their values: see
// [attribute.View.Release]. It fills in who asks and who decides. Attributes that the client's protocol has no name for are left
// out. It does not allocate but for the first login of a client after a policy changed.
func (c *Cache) Release(dst []attribute.Released, cl *Client, facts *attribute.Facts) []attribute.Released {
	if c.tables.sharing == nil { // the zero Cache
		return dst
	}
	facts.Requester = cl.party
	if cl.Issuer != nil {
		facts.Issuer = cl.Issuer.party
	}
	return cl.view(c.tables.sharing).Release(dst, facts)
}

// view returns the client's view of s.
func (cl *Client) view(s *sharing) *attribute.View {
	if v := cl.views.last.Load(); v != nil && v.of == s {
		return v.view
	}
	var issuer *attribute.Party
	if cl.Issuer != nil {
		issuer = cl.Issuer.party
	}
	v := &clientView{of: s, view: attribute.NewView(s.policies, cl.party, issuer, cl.sent())}
	cl.views.last.Store(v)
	return v.view
}

// sent returns what says whether the client's protocol has a name for an attribute.
func (cl *Client) sent() func(*attribute.Definition) bool {
	if strings.HasPrefix(cl.Spec.Type, "oidc") {
		return sentAsClaim
	}
	return sentByPacket
}

// sentAsClaim reports whether OpenID Connect has a name for the attribute.
func sentAsClaim(d *attribute.Definition) bool { return d.OpenIDName != "" }

// sentByPacket reports whether a packet protocol has a name for the attribute.
func sentByPacket(d *attribute.Definition) bool { return d.Wire != nil }
