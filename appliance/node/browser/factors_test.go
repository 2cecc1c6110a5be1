package browser

import (
	"encoding/base32"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"trine/appliance/admin/api"
	"trine/engine/credential/otp"
	"trine/engine/login"
)

// device enrols a device for one-time passwords and returns what it shows, each time another code than the last.
func (s *site) device(user string) func() string {
	s.t.Helper()
	e, err := s.admin.AddFactor(s.t.Context(), user, api.FactorRequest{Kind: "otp", Label: "telephone"})
	if err != nil {
		s.t.Fatal(err)
	}
	return codes(s.t, e.Secret)
}

func codes(t *testing.T, secret string) func() string {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	d, err := otp.FromKey(otp.DefaultParams(), key)
	if err != nil {
		t.Fatal(err)
	}
	// One step after the present is accepted, so two codes are at hand without waiting, and each still holds where the step ends before it is sent.
	next := d.Counter(time.Now())
	return func() string {
		next = max(next+1, d.Counter(time.Now())+1)
		return d.Code(next - 1)
	}
}

var digits = regexp.MustCompile(`\b\d{6}\b`)

// TestSecondFactors signs in with each of the factors that are typed.
func TestSecondFactors(t *testing.T) {
	t.Parallel()
	s := shared(t)
	for _, f := range []struct {
		name  string
		label string
		sends bool
		code  func(t *testing.T, s *site, user string) func() string // called before the login; the result when the code is asked for
	}{
		{"otp", labelCode, false, func(t *testing.T, s *site, user string) func() string { return s.device(user) }},
		{"mail", labelCode, true, func(t *testing.T, s *site, user string) func() string {
			return func() string { return digits.FindString(s.post.next(t, user+"@example.com", 1)) }
		}},
		{"sms", labelCode, true, func(t *testing.T, s *site, user string) func() string {
			return func() string { return digits.FindString(s.post.next(t, "+49170555"+user[len(user)-3:], 1)) }
		}},
		{"pin", "PIN", false, func(t *testing.T, s *site, user string) func() string {
			if _, err := s.admin.AddFactor(t.Context(), user, api.FactorRequest{Kind: "pin", PIN: "482915"}); err != nil {
				t.Fatal(err)
			}
			return func() string { return "482915" }
		}},
	} {
		t.Run(f.name, func(t *testing.T) {
			s := *s
			s.t = t
			user := f.name + "-user-123"
			s.apply(person(user, "  mobile: \"+49170555123\"\n"))
			p := s.demo("demo-"+f.name, f.name, "")
			code := f.code(t, &s, user)
			b := open(t)
			b.begin(p)
			b.prove(user, secretOf)
			if f.sends {
				b.looks("send-" + f.name)
				b.press(buttonSend)
			}
			b.looks("factor-" + f.name)
			b.fill(f.label, "000000")
			b.press(buttonGoOn)
			b.sees(refused)
			b.fill(f.label, code())
			b.press(buttonGoOn)
			b.arrives(p, user)
		})
	}
}

// TestApprovesOnADevice signs in with a push challenge: the page shows a number, which the person types on the device.
func TestApprovesOnADevice(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(person("pia", ""))
	p := s.demo("demo-push", "push", "")
	phone := s.telephone("pia")
	b := open(t)
	b.begin(p)
	b.prove("pia", secretOf)
	b.press(buttonSend)
	number := func() uint8 {
		t.Helper()
		n, err := strconv.Atoi(regexp.MustCompile(`\b[1-9][0-9]\b`).FindString(b.text()))
		if err != nil {
			t.Fatalf("no number on the page\n%s", b.describe())
		}
		return uint8(n)
	}
	shown := number()
	b.looks("factor-push")
	phone.says(1, true, shown)
	b.arrives(p, "pia")
}

// TestEnrolsAndUsesAPasskey adds a passkey at the person's own pages, and signs in with it.
func TestEnrolsAndUsesAPasskey(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(person("fidelia", ""))
	p := s.demo("demo-fido", "fido", "")
	b := open(t)
	key := b.authenticator()
	b.visit(s.issuer + "/fido/protected")
	b.prove("fidelia", secretOf)
	b.sees("There is only your password.")
	b.press("Add passkey")
	b.looks("enrol-passkey")
	b.fill("Name it", "laptop")
	b.press("Add")
	b.sees("It was added.", "laptop")
	if n := b.credentials(key); n != 1 {
		t.Errorf("the authenticator holds %d credentials", n)
	}
	b.press("Sign out")
	b.begin(p)
	b.press("Security key or passkey")
	b.looks("factor-fido")
	b.press("Use security key")
	if b.has("Use security key") {
		b.press("Use security key")
	}
	b.arrives(p, "fidelia")
	b.visit(s.issuer + "/fido/protected")
	b.press("Remove laptop")
	b.sees("It was removed.", "There is only your password.")
}

// TestEnrolsAnAuthenticatorApp adds a device for one-time passwords and recovery codes at the person's own pages, and signs in with each.
func TestEnrolsAnAuthenticatorApp(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(person("enno", ""))
	p := s.demo("demo-enrol", "step", "")
	b := open(t)
	b.visit(s.issuer + "/step/protected")
	b.prove("enno", secretOf)
	b.press("Add authenticator app")
	secret, err := eval[string](b, `document.getElementById('key').innerText.replace(/\s/g, '')`)
	if err != nil {
		t.Fatal(err)
	}
	code := codes(t, secret)
	b.looks("enrol-otp")
	b.fill("Name it", "telephone")
	b.fill("Code that the app shows", "000000")
	b.press("Add")
	b.sees("The code is wrong.")
	b.fill("Code that the app shows", code())
	b.press("Add")
	b.sees("It was added.", "telephone")
	b.press("New recovery codes")
	b.looks("recovery-codes")
	recovery, err := eval[string](b, `document.querySelector('#codes code').innerText`)
	if err != nil {
		t.Fatal(err)
	}
	b.press(buttonGoOn)
	b.looks("account")
	b.press("Sign out")
	b.visit(p.url)
	b.click("Ask for more")
	b.fill("Authentication class", login.ClassTimeSync)
	b.press("Sign in")
	b.prove("enno", secretOf)
	b.fill(labelCode, recovery)
	b.press(buttonGoOn)
	b.arrives(p, "enno")
}

// TestTrustsADevice: a browser that the person trusts stands for the second factor.
func TestTrustsADevice(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(person("trudy", ""), `
kind: IdentityProvider
name: trusting
spec:
  type: local
  parent: local
  name: Example Inc.
  publicID: https://trine.example.com/trusting
  pathPrefix: /trusting
  authentication:
    matrix: [{first: Password, second: OTP, trustedDevice: true}]
    trustedDevices: {lifetime: 24h}
  profiles: {openid: {enabled: true}}
`)
	p := s.demo("demo-trusting", "trusting", "")
	code := s.device("trudy")
	b := open(t)
	b.begin(p)
	b.prove("trudy", secretOf)
	b.click("Trust this device")
	b.looks("trust")
	b.fill(labelCode, code())
	b.press(buttonGoOn)
	b.arrives(p, "trudy")
	b.press("Sign out everywhere")
	b.sees("Not signed in")
	b.press("Sign in")
	b.prove("trudy", secretOf)
	b.arrives(p, "trudy")
	b.visit(s.issuer + "/trusting/protected")
	b.sees("Trusted devices", "Chrome on Linux")
	b.looks("account-devices")
	b.press("Remove Chrome on Linux")
	b.sees("no longer trusted")
}

// TestComesInWithACertificate signs in with a client certificate that the browser has.
func TestComesInWithACertificate(t *testing.T) {
	t.Parallel()
	b := open(t)
	if !chromium.certified() {
		t.Skip("the browser has no certificate, which takes root and Debian's libnss3-tools")
	}
	s := start(t, nil, fmt.Sprintf(`
kind: IdentityProvider
name: local
spec:
  type: local
  name: Example Inc.
  publicID: https://trine.example.com
  network: {hostName: localhost, ports: [{port: PORT, acceptClientCertificate: true}]}
  authentication:
    matrix: [{first: Certificate}]
    certificate:
      revocation: "off"
      authorities: |
%s
  profiles: {openid: {enabled: true}}
---
kind: EntityGroup
name: applications
---
kind: Group
name: staff
`, indent(string(authority.ca), 8)), person(certified, ""))
	p := s.demo("demo-certificate", "", "")
	b.begin(p)
	b.looks("factor-certificate")
	b.press(buttonGoOn)
	b.arrives(p, certified)
}

// indent puts spaces before each line.
func indent(text string, n int) string {
	pad := strings.Repeat(" ", n)
	return pad + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n"+pad)
}
