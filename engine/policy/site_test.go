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
	if n := testing.AllocsPerRun(100, func() { c.IssuerAt("virtual.example.org", "/v77/token") }); n != 0 {
		t.Error(n, "allocations")
	}
}
