package oidc

import (
	"strings"
	"testing"
)

func TestParametersThatCameTwiceAreNamed(t *testing.T) {
	for _, c := range []struct{ name, raw, twice string }{
		{"once", "a=1&b=2", ""},
		{"twice", "a=1&b=2&a=3", "a"},
		{"twice with the same value", "a=1&a=1", "a"},
		{"twice in two encodings", "state=1&st%61te=1", "state"},
		{"one of them empty", "a=&a=1", "a"},
		{"resource may repeat", "resource=x&resource=y", ""},
		{"audience may repeat", "audience=x&audience=y", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := parseParams(c.raw)
			if err != nil || p.twice != c.twice {
				t.Errorf("twice %q, error %v; want %q", p.twice, err, c.twice)
			}
		})
	}
}

func TestParametersAreBounded(t *testing.T) {
	for _, c := range []struct {
		name, raw string
		ok        bool
	}{
		{"long", "a=" + strings.Repeat("x", maxParameter+1), false},
		{"as long as it may be", "a=" + strings.Repeat("x", maxParameter), true},
		{"many", strings.TrimSuffix(strings.Repeat("x=1&", maxParams+1), "&"), false},
		{"bad escape", "a=%zz", false},
		{"not UTF-8", "a=%ff", false},
		{"not UTF-8 and not escaped", "a=\xff", false},
		{"large", strings.Repeat("a", maxRequest+1), false},
		{"name that is long", strings.Repeat("a", 257) + "=1", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := parseParams(c.raw); (err == nil) != c.ok {
				t.Errorf("error %v", err)
			}
		})
	}
}

func FuzzParams(f *testing.F) {
	for _, seed := range []string{"", "a=1", "a=1&a=2", "a=%20+b", "&&&", "a", "=b", "a=%", "%61=1&a=2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := parseParams(raw)
		if err != nil {
			return
		}
		again, err := parseParams(p.encode())
		if len(p.encode()) > maxRequest { // what is escaped is longer
			return
		}
		if err != nil || len(again.list) != len(p.list) || again.twice != p.twice {
			t.Fatalf("%q is read as %v, which is written as %q and read as %v: %v", raw, p, p.encode(), again, err)
		}
		for i := range p.list {
			if p.list[i] != again.list[i] {
				t.Fatalf("%q: %v is not %v", raw, again.list[i], p.list[i])
			}
		}
	})
}

func FuzzSealedForms(f *testing.F) {
	c := code{number: 7, notAfter: 9, client: "a", scopes: "openid", person: person{user: "alice"}, detail: detail{nonce: "n"}}
	f.Add(c.append(nil))
	a := access{grant: 1, token: 2, client: "a", notAfter: 3}
	f.Add(a.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c code
		_ = c.decode(b)
		var a access
		_ = a.decode(b)
	})
}

func TestSealedFormsReadBack(t *testing.T) {
	c := code{
		number: 7, notAfter: 9, index: 11, client: "web", issuer: "corp", redirectURI: "https://a/b", challenge: "x", plain: true, scopes: "openid email",
		person: person{user: "alice", session: 5, factors: 3, at: 8, class: "c", login: 12},
		detail: detail{nonce: "n", amr: "pwd otp", claims: "{}", resources: "r", authTime: true, sessionID: "s", locales: "es"},
	}
	var back code
	if err := back.decode(c.append(nil)); err != nil || back != c {
		t.Errorf("%+v\n%+v %v", back, c, err)
	}
	a := access{grant: 1, token: 2, client: "c", issuer: "i", user: "u", scopes: "s", audience: "x y", issued: 3, notAfter: 4, index: 5}
	var backA access
	if err := backA.decode(a.append(nil)); err != nil || backA != a {
		t.Errorf("%+v\n%+v %v", backA, a, err)
	}
}
