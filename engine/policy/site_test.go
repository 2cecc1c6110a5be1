package policy

import (
	"fmt"
	"testing"

	"trine/engine/document"
)

func TestIssuerIsFoundByHostAndLongestPath(t *testing.T) {
	all := map[string]*issuerObject{}
	add := func(name, host, prefix string) {
		i := &Issuer{Name: name, Spec: new(document.IdentityProvider), Site: &Site{Host: host, Prefix: prefix}}
		all[name] = &issuerObject{issuer: i}
	}
	add("root", "sso.example.org", "")
	add("a", "sso.example.org", "/a")
	add("ab", "sso.example.org", "/a/b")
	for n := range 10_000 {
		add(fmt.Sprint("v", n), "virtual.example.org", fmt.Sprint("/v", n))
	}
	c := &Cache{tables: tables{sites: newSites(all)}}
	for _, x := range []struct{ host, path, name, rest string }{
		{"sso.example.org", "/token", "root", "/token"},
		{"sso.example.org", "/a", "a", "/"},
		{"sso.example.org", "/ab", "root", "/ab"},
		{"sso.example.org", "/a/token", "a", "/token"},
		{"sso.example.org", "/a/b/c/d", "ab", "/c/d"},
		{"sso.example.org", "/a/bc", "a", "/bc"},
		{"virtual.example.org", "/v9999/token", "v9999", "/token"},
		// RFC 8414 section 3.1, and what OpenID Connect Discovery 1.0 section 4 has below the path.
		{"sso.example.org", "/.well-known/oauth-authorization-server", "root", "/.well-known/oauth-authorization-server"},
		{"sso.example.org", "/.well-known/oauth-authorization-server/a", "a", "/.well-known/oauth-authorization-server"},
		{"sso.example.org", "/.well-known/oauth-authorization-server/a/b", "ab", "/.well-known/oauth-authorization-server"},
		{"sso.example.org", "/.well-known/openid-configuration/a", "a", "/.well-known/openid-configuration"},
		{"sso.example.org", "/a/b/.well-known/openid-configuration", "ab", "/.well-known/openid-configuration"},
		{"sso.example.org", "/.well-known/oauth-authorization-server/", "root", "/.well-known/oauth-authorization-server/"},
		{"sso.example.org", "/.well-known/oauth-authorization-server/c", "root", "/.well-known/oauth-authorization-server/c"},
		{"sso.example.org", "/.well-known/oauth-authorization-server/a/", "root", "/.well-known/oauth-authorization-server/a/"},
		{"sso.example.org", "/.well-known/", "root", "/.well-known/"},
		{"virtual.example.org", "/.well-known/oauth-authorization-server/v7", "v7", "/.well-known/oauth-authorization-server"},
	} {
		i, rest, ok := c.IssuerAt(x.host, x.path)
		if !ok || i.Name != x.name || rest != x.rest {
			t.Errorf("%v: %v %q %v", x, i, rest, ok)
		}
	}
	for _, x := range [][2]string{{"virtual.example.org", "/"}, {"virtual.example.org", "/v"}, {"other.example.org", "/a"}, {"virtual.example.org", ""}} {
		if i, _, ok := c.IssuerAt(x[0], x[1]); ok {
			t.Error(x, i.Name)
		}
	}
	for _, path := range []string{"/v77/token", "/.well-known/oauth-authorization-server/v77"} {
		if n := testing.AllocsPerRun(100, func() { c.IssuerAt("virtual.example.org", path) }); n != 0 {
			t.Error(path, n, "allocations")
		}
	}
}
