package oidc

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"

	"trine/engine/trace"
	"trine/protocols/web"
)

// maxSteps is how many redirects lead from a service to this identity provider and back.
const maxSteps = 12

// impersonate logs a person in at another service for a client and returns the cookies that the service set (the handbook's /userinfo/impersonate). It goes the way of a
// browser: the service sends it here for an authorization, which is given by the person's grant, and takes the answer.
func (p *Provider) impersonate(x *web.Exchange) {
	if x.R.Method != http.MethodGet && x.R.Method != http.MethodPost {
		x.W.Header().Set("Allow", "GET, POST")
		x.W.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	a, client, _, ok := p.holder(x)
	if !ok {
		return
	}
	q, err := parseParams(x.R.URL.RawQuery)
	target := q.get("url")
	var wrong *refusal
	switch profile := x.Issuer.Spec.Profiles.Impersonation; {
	case err != nil || q.twice != "":
		wrong = refuse("invalid_request", trace.OIDCRequestInvalid, "the query cannot be read")
	case target == "":
		wrong = refuse("invalid_request", trace.OIDCRequestInvalid, "the parameter url is missing")
	case a.user == "":
		wrong = refuse("access_denied", trace.OIDCImpersonationDenied, "the access token is the client's own, and of no person")
	case profile == nil || !profile.Enabled:
		wrong = refuse("access_denied", trace.OIDCImpersonationDenied, "the profile impersonation of the identity provider is switched off")
	case !mayImpersonate(client.Spec.Impersonations, target):
		wrong = refuse("access_denied", trace.OIDCImpersonationDenied, "%q is none of the impersonations of the service provider", short(target))
	}
	var cookies []foundCookie
	if wrong == nil {
		cookies, wrong = p.visit(x, &a, target)
	}
	if wrong != nil {
		if wrong.code == "access_denied" {
			wrong.status = http.StatusForbidden
		}
		answerError(x.W, wrong, p.refused(x, client, a.user, wrong), false)
		return
	}
	b := []byte{'['}
	for i, c := range cookies {
		if i > 0 {
			b = append(b, ',')
		}
		o := newObject(b)
		o.text("path", c.path)
		o.text("domain", c.domain)
		o.text("name", c.name)
		o.text("value", c.value)
		b = o.end()
	}
	answerJSON(x.W, http.StatusOK, append(b, ']'))
}

// mayImpersonate reports whether a target is one of those that are listed, or lies below one that ends with a slash.
func mayImpersonate(list []string, target string) bool {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || u.User != nil || strings.Contains(target, `\`) {
		return false
	}
	for _, segment := range strings.Split(u.Path, "/") {
		if segment == ".." || segment == "." {
			return false
		}
	}
	return slices.ContainsFunc(list, func(one string) bool {
		return one == target || strings.HasSuffix(one, "/") && strings.HasPrefix(target, one) || one+"/" == target || one == target+"/"
	})
}

type foundCookie struct{ path, domain, name, value string }

// visit goes to a service as the browser of a person would.
func (p *Provider) visit(x *web.Exchange, a *access, target string) ([]foundCookie, *refusal) {
	denied := func(format string, args ...any) ([]foundCookie, *refusal) {
		return nil, refuse("access_denied", trace.OIDCImpersonationDenied, format, args...)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, p.broken(x, "keep cookies", err)
	}
	client := *p.out.client
	client.Jar, client.Timeout = jar, p.out.timeout
	var set []foundCookie
	here, logged := target, false
	for range maxSteps {
		at, err := url.Parse(here)
		if err != nil || at.Scheme != "https" && at.Scheme != "http" {
			return denied("%q leads to an address that is none", short(target))
		}
		if issuer := x.Issuer.URL + x.Issuer.Spec.Profiles.OpenID.Authorization; strings.HasPrefix(here, issuer+"?") {
			next, wrong := p.answerFor(x, a, at.RawQuery)
			if wrong != nil {
				return nil, wrong
			}
			here, logged = next, true
			continue
		}
		request, err := http.NewRequestWithContext(x.R.Context(), http.MethodGet, here, nil)
		if err != nil {
			return denied("%q leads to an address that is none", short(target))
		}
		response, err := client.Do(request)
		if err != nil {
			return denied("%q cannot be reached: %s", short(here), err)
		}
		_ = response.Body.Close()
		for _, c := range response.Cookies() {
			set = keepCookie(set, at, c)
		}
		location := response.Header.Get("Location")
		if response.StatusCode < 300 || response.StatusCode > 399 || location == "" {
			if !logged {
				return denied("%q did not ask this identity provider who the person is", short(target))
			}
			return set, nil
		}
		next, err := at.Parse(location)
		if err != nil {
			return denied("%q leads to an address that is none", short(target))
		}
		here = next.String()
	}
	return denied("%q leads from one address to another without end", short(target))
}

func keepCookie(set []foundCookie, at *url.URL, c *http.Cookie) []foundCookie {
	found := foundCookie{path: c.Path, domain: c.Domain, name: c.Name, value: c.Value}
	if found.path == "" {
		found.path = "/"
	}
	if found.domain == "" {
		found.domain = at.Hostname()
	}
	set = slices.DeleteFunc(set, func(o foundCookie) bool {
		return o.name == found.name && o.path == found.path && o.domain == found.domain
	})
	if c.MaxAge < 0 {
		return set
	}
	return append(set, found)
}

// answerFor answers the authorization request of the service by the grant of the person, and returns where the answer goes.
func (p *Provider) answerFor(x *web.Exchange, a *access, query string) (string, *refusal) {
	q, err := parseParams(query)
	if err != nil {
		return "", refuse("access_denied", trace.OIDCImpersonationDenied, "the service's authorization request cannot be read")
	}
	r, page, wrong := p.parseRequest(x.R.Context(), x.Cache, x.Issuer, q, false)
	if page != nil {
		return "", page
	}
	if wrong != nil {
		return "", wrong
	}
	if r.response != withCode || r.mode == modeForm {
		return "", refuse("access_denied", trace.OIDCImpersonationDenied, "the service asks by another flow than that of the authorization code")
	}
	who, kept, wrong := p.impersonated(x, r.client, a)
	if wrong != nil {
		return "", wrong
	}
	if r.demand.Force || r.demand.Bounded && p.now().Unix()-who.at > int64(r.demand.MaxAge.Seconds()) {
		return "", refuse("access_denied", trace.OIDCImpersonationDenied, "the service wants the person to log in anew")
	}
	i := issuance{
		x: x, client: r.client, wire: r.wire, scopes: r.scopes, person: who,
		detail: detail{nonce: r.nonce, amr: kept.amr, claims: r.given.get("claims"), resources: strings.Join(r.resources, " ")},
	}
	text, err := p.makeCode(&i, r)
	if err != nil {
		return "", p.broken(x, "make a code", err)
	}
	response := params{list: []param{{"code", text}}}
	if r.state != "" {
		response.list = append(response.list, param{"state", r.state})
	}
	response.list = append(response.list, param{"iss", x.Issuer.URL})
	sep := "?"
	if strings.Contains(r.redirectURI, "?") {
		sep = "&"
	}
	return r.redirectURI + sep + response.encode(), nil
}
