package webauthn

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"trine/engine/trace"
)

func config() Config {
	return Config{ID: "example.org", Name: "Example", Origins: []string{"https://sso.example.org", "https://example.org"}}
}

func party(t testing.TB, change func(*Config)) *RelyingParty {
	t.Helper()
	c := config()
	if change != nil {
		change(&c)
	}
	rp, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return rp
}

var alice = User{Handle: []byte("0123456789abcdef0123456789abcdef"), Name: "alice", Full: "Alice Liddell"}

// kept returns what a session becomes on its way through a store.
func kept(t testing.TB, s Session) Session {
	t.Helper()
	s, err := ParseSession(s.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func register(t testing.TB, rp *RelyingParty, a *authenticator, passkey bool, now time.Time) (Credential, Outcome) {
	t.Helper()
	options, s, err := rp.BeginRegistration(alice, nil, passkey, now)
	if err != nil {
		t.Fatal(err)
	}
	if passkey {
		a.handle = alice.Handle
	}
	c, o := rp.FinishRegistration(kept(t, s), a.create(options), now)
	if o.Reason != trace.OK {
		return c, o
	}
	c, err = ParseCredential(c.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	return c, o
}

func registered(t testing.TB, rp *RelyingParty, a *authenticator, passkey bool, now time.Time) Credential {
	t.Helper()
	c, o := register(t, rp, a, passkey, now)
	if o.Reason != trace.OK {
		t.Fatal(o)
	}
	return c
}

func finish(t testing.TB, rp *RelyingParty, s Session, answer []byte, c Credential, handle []byte, now time.Time) (Login, Outcome) {
	t.Helper()
	a, o := ReadAssertion(answer)
	if o.Reason != trace.OK {
		return Login{}, o
	}
	return rp.FinishLogin(kept(t, s), a, c, handle, now)
}

func TestSecondFactorIsRegisteredAndLogsIn(t *testing.T) {
	now := time.Now()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*authenticator){
		"ES256":                     func(*authenticator) {},
		"EdDSA":                     func(a *authenticator) { a.key = ed },
		"RS256":                     func(a *authenticator) { a.key = rs },
		"self-attested":             func(a *authenticator) { a.attest = selfAttest },
		"attested, unasked":         func(a *authenticator) { a.attest = newMaker(t).attest },
		"at the other origin":       func(a *authenticator) { a.origin = "https://example.org" },
		"one that does not count":   func(a *authenticator) { a.counter, a.step = 0, 0 },
		"one that only is touched":  func(a *authenticator) { a.flags = userPresent },
		"one that is synchronised":  func(a *authenticator) { a.flags |= backupEligible | backedUp },
		"one that says whose it is": func(a *authenticator) { a.handle = alice.Handle },
	} {
		t.Run(name, func(t *testing.T) {
			rp, a := party(t, nil), newAuthenticator(t)
			change(a)
			c := registered(t, rp, a, false, now)
			if !bytes.Equal(c.ID, a.id) || c.AAGUID != a.aaguid || c.Counter != a.counter || c.Synchronised() != (a.flags&backedUp != 0) {
				t.Errorf("%+v", c)
			}
			for range 3 {
				options, s, err := rp.BeginLogin(alice.Handle, []Credential{{ID: []byte("another"), Key: c.Key}, c}, now)
				if err != nil {
					t.Fatal(err)
				}
				l, o := finish(t, rp, s, a.get(options), c, alice.Handle, now)
				if o.Reason != trace.OK || l.Verified != (a.flags&userVerified != 0) || l.Credential.Counter != a.counter {
					t.Fatalf("%+v, %+v", l, o)
				}
				c = l.Credential
			}
		})
	}
}

func TestPasskeyLogsInAlone(t *testing.T) {
	now := time.Now()
	rp, a := party(t, nil), newAuthenticator(t)
	c := registered(t, rp, a, true, now)
	options, s, err := rp.BeginPasskey(now)
	if err != nil {
		t.Fatal(err)
	}
	answer := a.get(options)
	read, o := ReadAssertion(answer)
	if o.Reason != trace.OK || !bytes.Equal(read.CredentialID(), c.ID) || !bytes.Equal(read.Handle(), alice.Handle) {
		t.Fatalf("it says it is %x of %x", read.CredentialID(), read.Handle())
	}
	if l, o := finish(t, rp, s, answer, c, alice.Handle, now); o.Reason != trace.OK || !l.Verified {
		t.Errorf("%+v, %+v", l, o)
	}

	a.flags &^= userVerified // a passkey that is only touched, though a second factor need no more
	options, s, err = rp.BeginPasskey(now)
	if err != nil {
		t.Fatal(err)
	}
	if _, o := finish(t, rp, s, a.get(options), c, alice.Handle, now); o.Reason != trace.WebAuthnVerification {
		t.Errorf("only touched: %+v", o)
	}
	a.flags |= userVerified
	a.handle = nil
	options, s, err = rp.BeginPasskey(now)
	if err != nil {
		t.Fatal(err)
	}
	if _, o := finish(t, rp, s, a.get(options), c, alice.Handle, now); o.Reason != trace.WebAuthnCredential {
		t.Errorf("whose it is not said: %+v", o)
	}
}

func TestOptionsAskForWhatIsSetUp(t *testing.T) {
	now := time.Now()
	old := Credential{ID: []byte("old"), Key: []byte{1}, Transports: 3}
	for name, c := range map[string]struct {
		change                       func(*Config)
		passkey                      bool
		resident, verify, attest, at string
	}{
		"second factor":          {nil, false, "discouraged", "preferred", "", "preferred"},
		"verified second factor": {func(c *Config) { c.Verification = Required }, false, "discouraged", "required", "", "required"},
		"touched second factor":  {func(c *Config) { c.Verification = Discouraged }, false, "discouraged", "discouraged", "", "discouraged"},
		"passkey":                {func(c *Config) { c.Verification = Discouraged }, true, "required", "required", "", "discouraged"},
		"attested second factor": {func(c *Config) { c.Attestation.Roots = newMaker(t).pool() }, false, "discouraged", "preferred", "direct", "preferred"},
	} {
		t.Run(name, func(t *testing.T) {
			rp := party(t, c.change)
			encoded, _, err := rp.BeginRegistration(alice, []Credential{old}, c.passkey, now)
			if err != nil {
				t.Fatal(err)
			}
			o := read(t, encoded).PublicKey
			if o.AuthenticatorSelection.ResidentKey != c.resident || o.AuthenticatorSelection.UserVerification != c.verify ||
				strings.TrimPrefix(o.Attestation, "none") != c.attest || o.User.ID != text(alice.Handle) || o.User.DisplayName != alice.Full ||
				len(o.ExcludeCredentials) != 1 || o.ExcludeCredentials[0].ID != text(old.ID) {
				t.Errorf("registration: %s", encoded)
			}
			encoded, _, err = rp.BeginLogin(alice.Handle, []Credential{old}, now)
			if err != nil {
				t.Fatal(err)
			}
			if o := read(t, encoded).PublicKey; o.UserVerification != c.at || len(o.AllowCredentials) != 1 || o.AllowCredentials[0].ID != text(old.ID) ||
				strings.Join(o.AllowCredentials[0].Transports, " ") != "usb nfc" {
				t.Errorf("login: %s", encoded)
			}
			encoded, _, err = rp.BeginPasskey(now)
			if err != nil {
				t.Fatal(err)
			}
			if o := read(t, encoded).PublicKey; o.UserVerification != "required" || len(o.AllowCredentials) != 0 {
				t.Errorf("passkey: %s", encoded)
			}
		})
	}
}

func TestRegistrationThatDoesNotHoldIsRefused(t *testing.T) {
	now := time.Now()
	required := func(c *Config) { c.Verification = Required }
	for name, c := range map[string]struct {
		config  func(*Config)
		change  func(*authenticator)
		session func(*Session)
		answer  func([]byte) []byte
		after   time.Duration
		want    trace.Reason
	}{
		"at another site": {change: func(a *authenticator) { a.origin = "https://sso.example.org.evil.example" }, want: trace.WebAuthnOrigin},
		"at a site of the domain that is not set up": {change: func(a *authenticator) { a.origin = "https://www.example.org" }, want: trace.WebAuthnOrigin},
		"without TLS":                 {change: func(a *authenticator) { a.origin = "http://sso.example.org" }, want: trace.WebAuthnOrigin},
		"in another site's frame":     {change: func(a *authenticator) { a.crossing = true }, want: trace.WebAuthnOrigin},
		"for another relying party":   {change: func(a *authenticator) { a.rpID = "evil.example" }, want: trace.WebAuthnOrigin},
		"not verified":                {config: required, change: func(a *authenticator) { a.flags = userPresent }, want: trace.WebAuthnVerification},
		"not touched":                 {change: func(a *authenticator) { a.flags = 0 }, want: trace.WebAuthnMalformed},
		"backed up, and cannot be":    {change: func(a *authenticator) { a.flags |= backedUp }, want: trace.WebAuthnMalformed},
		"of another challenge":        {session: func(s *Session) { s.challenge[0]++ }, want: trace.WebAuthnChallenge},
		"to a login":                  {session: func(s *Session) { s.ceremony = login; s.allowed = [][]byte{{1}} }, want: trace.WebAuthnChallenge},
		"too late":                    {after: 5 * time.Minute, want: trace.WebAuthnExpired},
		"self-attested by another":    {change: func(a *authenticator) { a.attest = forged }, want: trace.WebAuthnAttestation},
		"in a format that is none":    {change: func(a *authenticator) { a.attest = unknown }, want: trace.WebAuthnAttestation},
		"not JSON":                    {answer: func([]byte) []byte { return []byte("{") }, want: trace.WebAuthnMalformed},
		"nothing":                     {answer: func([]byte) []byte { return nil }, want: trace.WebAuthnMalformed},
		"with more behind it":         {answer: func(b []byte) []byte { return append(b, "{}"...) }, want: trace.WebAuthnMalformed},
		"endless":                     {answer: func(b []byte) []byte { return append(b, bytes.Repeat([]byte(" "), maxResponse)...) }, want: trace.WebAuthnMalformed},
		"with an id that is too long": {change: func(a *authenticator) { a.id = make([]byte, 1024) }, want: trace.WebAuthnMalformed},
		"with a key off the curve":    {change: func(a *authenticator) { a.point = make([]byte, 65) }, want: trace.WebAuthnMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			rp, a := party(t, c.config), newAuthenticator(t)
			if c.change != nil {
				c.change(a)
			}
			options, s, err := rp.BeginRegistration(alice, nil, false, now)
			if err != nil {
				t.Fatal(err)
			}
			if c.session != nil {
				c.session(&s)
			}
			answer := a.create(options)
			if c.answer != nil {
				answer = c.answer(answer)
			}
			if got, o := rp.FinishRegistration(s, answer, now.Add(c.after)); o.Reason != c.want || o.Detail == "" || got.ID != nil {
				t.Errorf("%+v, want %s", o, c.want)
			}
		})
	}
}

// forged is attestation by another key than the credential's.
func forged(a *authenticator, signed []byte) (string, map[string]any) {
	return selfAttest(newAuthenticator(a.t), signed)
}

func unknown(*authenticator, []byte) (string, map[string]any) {
	return "smoke-signals", map[string]any{"x": 1}
}

func TestLoginThatDoesNotHoldIsRefused(t *testing.T) {
	now := time.Now()
	bob := []byte("fedcba9876543210fedcba9876543210")
	stranger := newAuthenticator(t)
	for name, c := range map[string]struct {
		config     func(*Config)
		change     func(*authenticator)
		session    func(*Session)
		credential func(*Credential)
		answer     func([]byte) []byte
		handle     []byte
		after      time.Duration
		want       trace.Reason
	}{
		"at another site":               {change: func(a *authenticator) { a.origin = "https://sso-example.org" }, want: trace.WebAuthnOrigin},
		"in another site's frame":       {change: func(a *authenticator) { a.crossing = true }, want: trace.WebAuthnOrigin},
		"for another relying party":     {change: func(a *authenticator) { a.rpID = "evil.example" }, want: trace.WebAuthnOrigin},
		"not verified":                  {config: func(c *Config) { c.Verification = Required }, change: func(a *authenticator) { a.flags = userPresent }, want: trace.WebAuthnVerification},
		"not touched":                   {change: func(a *authenticator) { a.flags = userVerified }, want: trace.WebAuthnMalformed},
		"synchronised all of a sudden":  {change: func(a *authenticator) { a.flags |= backupEligible }, want: trace.WebAuthnMalformed},
		"of another challenge":          {session: func(s *Session) { s.challenge[31]++ }, want: trace.WebAuthnChallenge},
		"to a registration":             {session: func(s *Session) { s.ceremony, s.allowed = registration, nil }, want: trace.WebAuthnChallenge},
		"too late":                      {after: 5 * time.Minute, want: trace.WebAuthnExpired},
		"signed with another key":       {change: func(a *authenticator) { a.key = stranger.key }, want: trace.WebAuthnSignature},
		"a credential that is unknown":  {change: func(a *authenticator) { a.id = stranger.id }, want: trace.WebAuthnCredential},
		"one that was not asked for":    {session: func(s *Session) { s.allowed[0] = []byte("another") }, want: trace.WebAuthnCredential},
		"somebody else's":               {handle: bob, want: trace.WebAuthnCredential},
		"one that says it is another's": {change: func(a *authenticator) { a.handle = bob }, want: trace.WebAuthnCredential},
		"counted back":                  {change: func(a *authenticator) { a.counter -= 2 }, want: trace.WebAuthnCounter},
		"not counted on":                {change: func(a *authenticator) { a.step = 0 }, want: trace.WebAuthnCounter},
		"counted to nothing":            {change: func(a *authenticator) { a.step, a.counter = 0, 0 }, want: trace.WebAuthnCounter},
		"with a key that is damaged":    {credential: func(c *Credential) { c.Key = c.Key[:20] }, want: trace.WebAuthnSignature},
		"not JSON":                      {answer: func([]byte) []byte { return []byte("[") }, want: trace.WebAuthnMalformed},
		"nothing":                       {answer: func([]byte) []byte { return nil }, want: trace.WebAuthnMalformed},
		"endless":                       {answer: func(b []byte) []byte { return append(b, bytes.Repeat([]byte(" "), maxResponse)...) }, want: trace.WebAuthnMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			rp, a := party(t, c.config), newAuthenticator(t)
			credential := registered(t, rp, a, false, now)
			if c.change != nil {
				c.change(a)
			}
			options, s, err := rp.BeginLogin(alice.Handle, []Credential{credential}, now)
			if err != nil {
				t.Fatal(err)
			}
			if c.session != nil {
				c.session(&s)
			}
			if c.credential != nil {
				c.credential(&credential)
			}
			handle := alice.Handle
			if c.handle != nil {
				handle = c.handle
			}
			answer := a.get(options)
			if c.answer != nil {
				answer = c.answer(answer)
			}
			if l, o := finish(t, rp, s, answer, credential, handle, now.Add(c.after)); o.Reason != c.want || o.Detail == "" || l.Credential.ID != nil {
				t.Errorf("%+v, want %s", o, c.want)
			}
		})
	}
}

func TestZeroSessionIsAnsweredByNothing(t *testing.T) {
	now := time.Now()
	rp, a := party(t, nil), newAuthenticator(t)
	c := registered(t, rp, a, false, now)
	var zero Session
	zero.notAfter = now.Add(time.Hour)
	options := []byte(`{"publicKey":{"challenge":"` + zero.encoded() + `"}}`)
	read, o := ReadAssertion(a.get(options))
	if o.Reason != trace.OK {
		t.Fatal(o)
	}
	if _, o := rp.FinishLogin(zero, read, c, alice.Handle, now); o.Reason != trace.WebAuthnChallenge {
		t.Errorf("login: %+v", o)
	}
	if _, o := rp.FinishRegistration(zero, a.create(options), now); o.Reason != trace.WebAuthnChallenge {
		t.Errorf("registration: %+v", o)
	}
}

// TestNoBitOfAnAssertionCanBeChanged changes each byte of what is signed and of the signature.
func TestNoBitOfAnAssertionCanBeChanged(t *testing.T) {
	now := time.Now()
	rp, a := party(t, nil), newAuthenticator(t)
	c := registered(t, rp, a, false, now)
	options, s, err := rp.BeginLogin(alice.Handle, []Credential{c}, now)
	if err != nil {
		t.Fatal(err)
	}
	answer := a.get(options)
	parts := 0
	for _, field := range []string{"authenticatorData", "signature", "clientDataJSON"} {
		read, o := ReadAssertion(answer)
		if o.Reason != trace.OK {
			t.Fatal(o)
		}
		raw := &read.parsed.Raw.AssertionResponse
		value := map[string][]byte{"authenticatorData": raw.AuthenticatorData, "signature": raw.Signature, "clientDataJSON": raw.ClientDataJSON}[field]
		for i := range value {
			changed := bytes.Clone(value)
			changed[i] ^= 1
			forged := bytes.Replace(answer, []byte(text(value)), []byte(text(changed)), 1)
			if bytes.Equal(forged, answer) {
				t.Fatalf("%s does not stand in the answer", field)
			}
			if _, o := finish(t, rp, s, forged, c, alice.Handle, now); o.Reason == trace.OK {
				t.Errorf("byte %d of %s was changed and the assertion holds", i, field)
			}
			parts++
		}
	}
	if _, o := finish(t, rp, s, answer, c, alice.Handle, now); o.Reason != trace.OK || parts < 200 {
		t.Errorf("unchanged, after %d changes: %+v", parts, o)
	}
}

func TestAttestationPolicySaysWhichAuthenticatorsMayBeRegistered(t *testing.T) {
	now, m := time.Now(), newMaker(t)
	model := newAuthenticator(t).aaguid
	for name, c := range map[string]struct {
		attest func(*authenticator, []byte) (string, map[string]any)
		allow  []uuid.UUID
		after  time.Duration
		want   trace.Reason
	}{
		"of a maker that is trusted":         {m.attest, nil, 0, trace.OK},
		"of a model that is allowed":         {m.attest, []uuid.UUID{uuid.New(), model}, 0, trace.OK},
		"of a model that is not allowed":     {m.attest, []uuid.UUID{uuid.New()}, 0, trace.WebAuthnAttestation},
		"of another maker":                   {newMaker(t).attest, nil, 0, trace.WebAuthnAttestation},
		"of another maker, an allowed model": {newMaker(t).attest, []uuid.UUID{model}, 0, trace.WebAuthnAttestation},
		"self-attested":                      {selfAttest, nil, 0, trace.WebAuthnAttestation},
		"not attested":                       {nil, nil, 0, trace.WebAuthnAttestation},
		"not attested, an allowed model":     {nil, []uuid.UUID{model}, 0, trace.WebAuthnAttestation},
		"signed by another than the certificate": {func(a *authenticator, signed []byte) (string, map[string]any) {
			format, statement := m.attest(a, signed)
			statement["sig"] = a.sign(signed)
			return format, statement
		}, nil, 0, trace.WebAuthnAttestation},
	} {
		t.Run(name, func(t *testing.T) {
			rp, a := party(t, func(x *Config) { x.Attestation = Attestation{Roots: m.pool(), AAGUIDs: c.allow} }), newAuthenticator(t)
			a.attest = c.attest
			if _, o := register(t, rp, a, false, now); o.Reason != c.want {
				t.Errorf("%+v, want %s", o, c.want)
			}
		})
	}
}

func TestConfigurationThatWouldBeUnsafeIsRefused(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no domain":             func(c *Config) { c.ID = "" },
		"an address":            func(c *Config) { c.ID, c.Origins = "192.0.2.1", []string{"https://192.0.2.1"} },
		"no name":               func(c *Config) { c.Name = "" },
		"no origin":             func(c *Config) { c.Origins = nil },
		"an origin without TLS": func(c *Config) { c.Origins = []string{"http://sso.example.org"} },
		"another domain":        func(c *Config) { c.Origins = []string{"https://example.com"} },
		"a domain that ends so": func(c *Config) { c.Origins = []string{"https://notexample.org"} },
		"an origin with a path": func(c *Config) { c.Origins = []string{"https://example.org/"} },
		"no scheme":             func(c *Config) { c.Origins = []string{"example.org"} },
		"short":                 func(c *Config) { c.Timeout = time.Second },
		"long":                  func(c *Config) { c.Timeout = time.Hour },
		"models without roots":  func(c *Config) { c.Attestation.AAGUIDs = []uuid.UUID{uuid.New()} },
		"unknown verification":  func(c *Config) { c.Verification = 3 },
	} {
		c := config()
		change(&c)
		if _, err := New(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(Config{ID: "localhost", Name: "Test", Origins: []string{"http://localhost:8080"}}); err != nil {
		t.Errorf("on this machine, for tests: %v", err)
	}
}

func TestCeremonyBeginsOnlyForAPersonWhoCanFinishIt(t *testing.T) {
	rp, now := party(t, nil), time.Now()
	many := make([]Credential, MaxCredentials+1)
	for i := range many {
		many[i] = Credential{ID: []byte{1, byte(i)}, Key: []byte{1}}
	}
	for name, err := range map[string]error{
		"no handle":           second(rp.BeginRegistration(User{Name: "alice"}, nil, false, now)),
		"a short handle":      second(rp.BeginRegistration(User{Name: "alice", Handle: make([]byte, 15)}, nil, false, now)),
		"a long handle":       second(rp.BeginRegistration(User{Name: "alice", Handle: make([]byte, 65)}, nil, false, now)),
		"no name":             second(rp.BeginRegistration(User{Handle: alice.Handle}, nil, false, now)),
		"as many as can be":   second(rp.BeginRegistration(alice, many[1:], false, now)),
		"none to log in with": second(rp.BeginLogin(alice.Handle, nil, now)),
		"too many":            second(rp.BeginLogin(alice.Handle, many, now)),
		"a login of nobody":   second(rp.BeginLogin(nil, many[1:], now)),
	} {
		if !errors.Is(err, ErrPerson) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := rp.BeginLogin(alice.Handle, many[1:], now); err != nil {
		t.Errorf("with as many as can be: %v", err)
	}
}

func second(_ []byte, _ Session, err error) error { return err }

func TestTraceSaysWhatBecameOfTheKey(t *testing.T) {
	var tr trace.Trace
	tr.Start(time.Now())
	Outcome{Reason: trace.OK}.Record(&tr, "my key")
	Outcome{trace.WebAuthnCounter, "it counts 3 after 4"}.Record(&tr, "my key")
	for i, want := range []string{"The security key or passkey my key holds.", "The security key or passkey my key was refused: it counts 3 after 4."} {
		step := tr.Step(i)
		if got := step.Code.Words(string(step.Subject), string(step.Detail)); got != want {
			t.Errorf("%s", got)
		}
	}
}

// TestFormsAreForEver: sessions outlive an upgrade, and credentials many.
func TestFormsAreForEver(t *testing.T) {
	s := Session{ceremony: login, verify: true, notAfter: time.Unix(1e9, 0), handle: alice.Handle, allowed: [][]byte{[]byte("one"), []byte("two!")}}
	for i := range s.challenge {
		s.challenge[i] = byte(i)
	}
	session := "010201" + "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" + "000000003b9aca00" + "20" + hex.EncodeToString(alice.Handle) +
		"02" + "00036f6e65" + "000474776f21"
	c := Credential{
		ID: []byte("one"), Key: []byte{0xa5, 1}, AAGUID: uuid.MustParse("c1f9a0bc-1dd2-404a-b27f-8e29047a43fd"),
		Counter: 0x01020304, Flags: userPresent | userVerified, Transports: 0x21,
	}
	const credential = "010521" + "c1f9a0bc1dd2404ab27f8e29047a43fd" + "01020304" + "00036f6e65" + "a501"
	if got := hex.EncodeToString(s.Append(nil)); got != session {
		t.Errorf("the session is %s", got)
	}
	if got := hex.EncodeToString(c.Append(nil)); got != credential {
		t.Errorf("the credential is %s", got)
	}
	for what, good := range map[string][]byte{"session": s.Append(nil), "credential": c.Append(nil)} {
		parse := func(b []byte) error {
			if what == "session" {
				_, err := ParseSession(b)
				return err
			}
			_, err := ParseCredential(b)
			return err
		}
		if err := parse(good); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		cutoff := len(good)
		if what == "credential" {
			cutoff -= len(c.Key) - 1 // a shorter key is another key
		}
		for n := range cutoff {
			if err := parse(good[:n]); !errors.Is(err, ErrForm) {
				t.Errorf("%s, %d bytes of %d: %v", what, n, len(good), err)
			}
		}
		if err := parse(append([]byte{2}, good[1:]...)); !errors.Is(err, ErrForm) {
			t.Errorf("%s of another format: %v", what, err)
		}
		if err := parse(append(bytes.Clone(good), make([]byte, 2000)...)); !errors.Is(err, ErrForm) {
			t.Errorf("%s with more behind it: %v", what, err)
		}
	}
}

func FuzzParseSession(f *testing.F) {
	rp, now := party(f, nil), time.Now()
	for _, begin := range []func() ([]byte, Session, error){
		func() ([]byte, Session, error) { return rp.BeginRegistration(alice, nil, true, now) },
		func() ([]byte, Session, error) {
			return rp.BeginLogin(alice.Handle, []Credential{{ID: []byte("id")}}, now)
		},
		func() ([]byte, Session, error) { return rp.BeginPasskey(now) },
	} {
		_, s, err := begin()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(s.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSession(b)
		if err != nil {
			if !errors.Is(err, ErrForm) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(s.Append(nil), b) {
			t.Fatalf("%x is not what Append makes", b)
		}
	})
}

func FuzzParseCredential(f *testing.F) {
	a := newAuthenticator(f)
	c := Credential{ID: a.id, Key: a.cose(), AAGUID: a.aaguid, Counter: 7, Flags: userPresent, Transports: 5}
	f.Add(c.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCredential(b)
		if err != nil {
			if !errors.Is(err, ErrForm) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(c.Append(nil), b) {
			t.Fatalf("%x is not what Append makes", b)
		}
	})
}

// FuzzAnswers feeds what a browser sends: whatever it is, it holds only as it was made.
func FuzzAnswers(f *testing.F) {
	now := time.Now()
	rp, a := party(f, nil), newAuthenticator(f)
	options, s, err := rp.BeginRegistration(alice, nil, false, now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(a.create(options))
	f.Add(a.get(options))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, o := rp.FinishRegistration(s, b, now)
		if (o.Reason == trace.OK) != (len(c.ID) > 0) {
			t.Fatalf("%+v, %+v", c, o)
		}
		if read, o := ReadAssertion(b); o.Reason == trace.OK {
			if _, o := rp.FinishLogin(s, read, c, alice.Handle, now); o.Reason == trace.OK {
				t.Fatalf("a login holds: %q", b)
			}
		}
	})
}
