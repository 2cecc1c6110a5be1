package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestVirtualIdentityProvidersShareTheSessionsOfTheOneAbove(t *testing.T) {
	r := newRig(t)
	r.apply(t, `
kind: IdentityProvider
name: home
spec: {type: local, session: {timeout: 20m, absoluteTimeout: 8h}, authentication: {trustedDevices: {lifetime: 48h}}}
---
kind: IdentityProvider
name: below
spec: {type: local, parent: home, hostName: below.example.org}
---
kind: IdentityProvider
name: other
spec: {type: local, session: {ssoCookieName: sso, ssoCookieDomain: example.org}}
---
kind: IdentityProvider
name: joins
spec: {type: local, parent: home, hostName: joins.example.org, session: {ssoCookieName: sso, ssoCookieDomain: example.org, timeout: 0s}, authentication: {trustedDevices: {limit: 3}}}
---
kind: IdentityProvider
name: bare
spec: {type: local}
`)
	told := func() string {
		var b strings.Builder
		for _, name := range []string{"home", "below", "other", "joins", "bare"} {
			i, err := r.cache().Issuer(name)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%s %s %v %v", name, i.SSO.Scope, i.SSO.Idle, i.SSO.Absolute)
			if d := i.TrustedDevices; d != nil {
				fmt.Fprintf(&b, " trusts %d for %v", d.Limit, d.Lifetime)
			}
			b.WriteByte('\n')
		}
		return b.String()
	}
	want := `home issuer/home 20m0s 8h0m0s trusts 10 for 48h0m0s
below issuer/home 20m0s 8h0m0s trusts 10 for 48h0m0s
other cookie/sso@example.org 30m0s 12h0m0s
joins cookie/sso@example.org 0s 12h0m0s trusts 3 for 720h0m0s
bare issuer/bare 30m0s 12h0m0s
`
	if got := told(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	// A change of the one above reaches the ones below, and what was published before stays as it was.
	before, err := r.cache().Issuer("below")
	if err != nil {
		t.Fatal(err)
	}
	r.apply(t, "{kind: IdentityProvider, name: home, spec: {type: local, session: {timeout: 5m}}}")
	if got := told(); !strings.Contains(got, "below issuer/home 5m0s 12h0m0s\n") || before.SSO.Idle != 20*time.Minute {
		t.Errorf("got\n%s, and before %v", got, before.SSO.Idle)
	}
	if _, err := r.cache().Issuer("nobody"); err == nil {
		t.Error("an identity provider that does not exist")
	}
}

func TestCertificateRulesThatCannotWorkBreakTheirIdentityProvider(t *testing.T) {
	for name, c := range map[string]struct{ fields, words string }{
		"no PEM":          {`authorities: none`, "authentication.certificate: authorities: there is no PEM block"},
		"no certificate":  {`authorities: "-----BEGIN KEY-----\nAAAA\n-----END KEY-----\n"`, `there is a block "KEY"`},
		"bad expression":  {`authorities: none, expression: "certificate.nothing"`, "authorities"},
		"bad certificate": {`authorities: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"`, "read certificate 1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.apply(t, "{kind: IdentityProvider, name: home, spec: {type: local, authentication: {certificate: {"+c.fields+"}}}}")
			if _, err := r.cache().Issuer("home"); err == nil || !strings.Contains(err.Error(), c.words) {
				t.Errorf("%v", err)
			}
		})
	}
}
