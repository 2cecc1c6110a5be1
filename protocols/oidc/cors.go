package oidc

import (
	"net/http"
	"slices"

	"trine/protocols/web"
)

// Whose pages may read an answer (CORS). An origin is never repeated because it came: of the endpoints that show what they show to everybody, every page may read the
// answer, and of the others those of the origins that the client lists. None gets credentials, so that no cookie counts.

// preflight answers what a browser asks before a request of a page.
func (p *Provider) preflight(x *web.Exchange, methods string) bool {
	if x.R.Method != http.MethodOptions {
		return false
	}
	h := x.W.Header()
	h.Set("Allow", methods+", OPTIONS")
	if origin := x.R.Header.Get("Origin"); origin != "" && p.originListed(x, origin) {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Methods", methods)
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Accept")
		h.Set("Access-Control-Max-Age", "600")
	}
	h.Add("Vary", "Origin")
	x.W.WriteHeader(http.StatusNoContent)
	return true
}

// originListed reports whether a client of the identity provider lists an origin. A preflight does not say which client asks.
func (p *Provider) originListed(x *web.Exchange, origin string) bool {
	return p.origins.listed(x.Cache, x.Issuer, origin)
}

// allowOrigin lets the page of a listed origin read the answer.
func (p *Provider) allowOrigin(x *web.Exchange, wire *Client) {
	origin := x.R.Header.Get("Origin")
	if origin == "" {
		return
	}
	h := x.W.Header()
	h.Add("Vary", "Origin")
	if wire != nil && slices.Contains(wire.spec.CORSOrigins, origin) {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "WWW-Authenticate")
	}
}

// openOrigin lets the page of an origin that some client lists read why it was refused.
func (p *Provider) openOrigin(x *web.Exchange) {
	if origin := x.R.Header.Get("Origin"); origin != "" {
		x.W.Header().Add("Vary", "Origin")
		if p.originListed(x, origin) {
			x.W.Header().Set("Access-Control-Allow-Origin", origin)
			x.W.Header().Set("Access-Control-Expose-Headers", "WWW-Authenticate")
		}
	}
}

// everybody lets every page read what is shown to everybody.
func everybody(h http.Header) { h["Access-Control-Allow-Origin"] = anyOrigin }

var anyOrigin = []string{"*"}
