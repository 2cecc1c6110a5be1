package engine

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"trine/engine/credential/webauthn"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/state"
	"trine/engine/trace"
)

// securityKey is a security key in software and the browser in front of it: it signs what it is asked to, with what a test makes wrong about it.
type securityKey struct {
	t        testing.TB
	rp       *webauthn.RelyingParty
	id       []byte
	key      *ecdsa.PrivateKey
	handle   []byte
	passkey  bool // it keeps the handle, and says it
	verifies bool // its person, by PIN or biometrics
	counter  uint32
	origin   string
}

const site = "https://sso.example.org"

func relyingParty(t testing.TB, v webauthn.Verification) *webauthn.RelyingParty {
	t.Helper()
	rp, err := webauthn.New(webauthn.Config{ID: "example.org", Name: "Example", Origins: []string{site}, Verification: v})
	if err != nil {
		t.Fatal(err)
	}
	return rp
}

// registered registers a key of a person, as a page will that lets people do it.
func (b *browser) registered(user, id string, rp *webauthn.RelyingParty, passkey bool) *securityKey {
	b.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.t.Fatal(err)
	}
	k := &securityKey{t: b.t, rp: rp, id: []byte("credential " + user + " " + id), key: private, passkey: passkey, verifies: true, counter: 4, origin: site}
	var u state.User
	if !b.people.User(&u, []byte(user)) {
		b.t.Fatal("no such user")
	}
	k.handle = b.handle(&u)
	options, ceremony, err := rp.BeginRegistration(webauthn.User{Handle: k.handle, Name: user}, nil, passkey, b.clock.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	credential, outcome := rp.FinishRegistration(ceremony, k.create(options), b.clock.Now())
	if outcome.Reason != trace.OK {
		b.t.Fatalf("%+v", outcome)
	}
	sealed, err := login.SealFIDO(b.ring, user, id, login.FIDOFactor{Handle: k.handle, Credential: credential})
	if err != nil {
		b.t.Fatal(err)
	}
	b.propose(&event.FactorPut{User: user, Id: id, Kind: uint32(login.FIDO), Label: id, Data: sealed})
	return k
}

// handle returns by what a person's authenticators know him, which is one for all of them.
func (b *browser) handle(u *state.User) []byte {
	b.t.Helper()
	var list state.Factors
	b.people.Factors(&list, u.ID)
	for i := range list.List {
		if f := &list.List[i]; f.Kind == uint32(login.FIDO) {
			stored, err := login.OpenFIDO(b.ring, string(u.Name), string(f.ID), f.Data)
			if err != nil {
				b.t.Fatal(err)
			}
			return stored.Handle
		}
	}
	handle, err := login.SealHandle(b.ring, u.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	return handle
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// client returns what the browser has the key sign of a ceremony.
func (k *securityKey) client(typ string, options []byte) []byte {
	k.t.Helper()
	var o struct {
		PublicKey struct {
			Challenge string `json:"challenge"`
		} `json:"publicKey"`
	}
	if err := json.Unmarshal(options, &o); err != nil || o.PublicKey.Challenge == "" {
		k.t.Fatalf("%v: no challenge in %s", err, options)
	}
	return k.json(map[string]any{"type": typ, "challenge": o.PublicKey.Challenge, "origin": k.origin, "crossOrigin": false})
}

func (k *securityKey) json(v any) []byte {
	k.t.Helper()
	encoded, err := json.Marshal(v)
	if err != nil {
		k.t.Fatal(err)
	}
	return encoded
}

// data is authenticator data (WebAuthn section 6.1).
func (k *securityKey) data(flags byte) []byte {
	if flags |= 1; k.verifies {
		flags |= 1 << 2
	}
	id := sha256.Sum256([]byte("example.org"))
	return binary.BigEndian.AppendUint32(append(id[:], flags), k.counter)
}

// create answers navigator.credentials.create, attesting nothing.
func (k *securityKey) create(options []byte) []byte {
	k.t.Helper()
	point, err := k.key.PublicKey.Bytes()
	if err != nil {
		k.t.Fatal(err)
	}
	mode, err := cbor.CTAP2EncOptions().EncMode()
	if err != nil {
		k.t.Fatal(err)
	}
	public, err := mode.Marshal(map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]})
	if err != nil {
		k.t.Fatal(err)
	}
	data := append(k.data(1<<6), make([]byte, 16)...)
	data = append(append(binary.BigEndian.AppendUint16(data, uint16(len(k.id))), k.id...), public...)
	object, err := mode.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": data})
	if err != nil {
		k.t.Fatal(err)
	}
	return k.answer(map[string]any{"clientDataJSON": encode(k.client("webauthn.create", options)), "attestationObject": encode(object)})
}

// get answers navigator.credentials.get, counting on.
func (k *securityKey) get(options []byte) []byte {
	k.t.Helper()
	k.counter++
	client, data := k.client("webauthn.get", options), k.data(0)
	hash := sha256.Sum256(client)
	digest := sha256.Sum256(append(bytes.Clone(data), hash[:]...))
	signature, err := k.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		k.t.Fatal(err)
	}
	response := map[string]any{"clientDataJSON": encode(client), "authenticatorData": encode(data), "signature": encode(signature)}
	if k.passkey {
		response["userHandle"] = encode(k.handle)
	}
	return k.answer(response)
}

func (k *securityKey) answer(response map[string]any) []byte {
	return k.json(map[string]any{"id": encode(k.id), "rawId": encode(k.id), "type": "public-key", "response": response, "clientExtensionResults": map[string]any{}})
}

// fidoRig returns a browser before an identity provider that takes passkeys alone, or a password and a security key.
func fidoRig(t *testing.T) *browser {
	b := pageRig(t, nil)
	b.apply("{kind: IdentityProvider, name: keys, spec: {type: local, authentication: {matrix: [{first: FIDO}]}}}\n---\n" +
		"{kind: IdentityProvider, name: second, spec: {type: local, authentication: {matrix: [{first: Password, second: FIDO}]}}}")
	return b
}

// begun begins a ceremony from the browser's state, and returns the round that answers it as the key does.
func (b *browser) begun(issuer string, k *securityKey) Round {
	b.t.Helper()
	s := b.ask(issuer, Round{State: b.state, Factor: login.FIDO, RelyingParty: k.rp})
	b.want(s, event.Challenge, trace.FactorNeeded, login.SetOf(login.FIDO))
	if s.Asked != login.FIDO || len(s.Options) == 0 || len(s.State) == 0 {
		b.t.Fatalf("%+v", s)
	}
	return Round{State: s.State, Factor: login.FIDO, RelyingParty: k.rp, Proof: Proof{Assertion: k.get(s.Options)}}
}

// passworded proves the password of alice, after which a security key is asked for.
func (b *browser) passworded() {
	b.t.Helper()
	r := typed("alice", login.Password, "wonderland")
	r.RelyingParty = relyingParty(b.t, webauthn.Preferred)
	b.want(b.ask("second", r), event.Challenge, trace.FactorNeeded, login.SetOf(login.FIDO))
}

func TestPasskeyNamesThePersonWhoLogsIn(t *testing.T) {
	b := fidoRig(t)
	rp := relyingParty(t, webauthn.Preferred)
	k := b.registered("Alice", "passkey", rp, true)
	got := b.accepted(b.ask("keys", b.begun("keys", k)))
	if got.User != "Alice" || !got.Session.Began || len(got.Proofs) != 1 || got.Proofs[0].Factor != login.FIDO {
		t.Errorf("%+v", got)
	}
	// A person without a password has none that could be too old.
	b.apply("{kind: UserType, name: default, spec: {password: {maxAge: 24h}}}\n---\n{kind: User, name: carol}")
	carol := &browser{rig: b.rig}
	hers := carol.registered("carol", "passkey", rp, true)
	if got := carol.accepted(carol.ask("keys", carol.begun("keys", hers))); got.User != "carol" {
		t.Errorf("%+v", got)
	}
	b.apply("{kind: User, name: carol, spec: {active: false}}")
	carol = &browser{rig: b.rig}
	carol.want(carol.ask("keys", carol.begun("keys", hers)), event.Reject, trace.UserInactive, 0)
}

func TestSecurityKeyIsASecondFactor(t *testing.T) {
	b := fidoRig(t)
	k := b.registered("Alice", "key", relyingParty(t, webauthn.Preferred), false)
	b.passworded()
	got := b.accepted(b.ask("second", b.begun("second", k)))
	if got.User != "Alice" || len(got.Proofs) != 2 {
		t.Errorf("%+v", got)
	}
	var u state.User
	b.people.User(&u, []byte("alice"))
	var f state.Factors
	if b.people.Factors(&f, u.ID); len(f.List) != 1 || f.List[0].Next != uint64(k.counter)+1 {
		t.Errorf("the counter was not kept: %+v", f.List)
	}
	// It is no passkey, and so logs nobody in alone.
	fresh := &browser{rig: b.rig}
	fresh.want(fresh.ask("keys", fresh.begun("keys", k)), event.Reject, trace.WebAuthnCredential, 0)
}

func TestWrongAssertionsAreRefusedInAConversation(t *testing.T) {
	b := fidoRig(t)
	preferred, required := relyingParty(t, webauthn.Preferred), relyingParty(t, webauthn.Required)
	b.password("bob", "builder", all())
	passkey := b.registered("Alice", "passkey", preferred, true)
	key := b.registered("Alice", "key", preferred, false)
	strict := b.registered("Alice", "strict", required, false)
	bobs := b.registered("bob", "passkey", preferred, true)
	for _, c := range []struct {
		name   string
		issuer string
		key    *securityKey
		spoil  func(b *browser, k *securityKey, r *Round) // before it signs where r is nil
		want   trace.Reason
	}{
		{"passkey: another ceremony's challenge", "keys", passkey, func(b *browser, k *securityKey, r *Round) {
			if r != nil {
				other := (&browser{rig: b.rig}).begun("keys", k)
				r.Proof.Assertion = other.Proof.Assertion
			}
		}, trace.WebAuthnChallenge},
		{"key: another ceremony's challenge", "second", key, func(b *browser, k *securityKey, r *Round) {
			if r != nil {
				other := &browser{rig: b.rig}
				other.passworded()
				r.Proof.Assertion = other.begun("second", k).Proof.Assertion
			}
		}, trace.WebAuthnChallenge},
		{"passkey: another origin", "keys", passkey, func(_ *browser, k *securityKey, _ *Round) { k.origin = "https://sso.example.com" }, trace.WebAuthnOrigin},
		{"key: another origin", "second", key, func(_ *browser, k *securityKey, _ *Round) { k.origin = "https://sso.example.com" }, trace.WebAuthnOrigin},
		{"passkey: counts back", "keys", passkey, func(_ *browser, k *securityKey, _ *Round) { k.counter = 1 }, trace.WebAuthnCounter},
		{"key: counts back", "second", key, func(_ *browser, k *securityKey, _ *Round) { k.counter = 1 }, trace.WebAuthnCounter},
		{"passkey: its person not verified", "keys", passkey, func(_ *browser, k *securityKey, _ *Round) { k.verifies = false }, trace.WebAuthnVerification},
		{"key: its person not verified", "second", strict, func(_ *browser, k *securityKey, _ *Round) { k.verifies = false }, trace.WebAuthnVerification},
		{"another person's", "second", bobs, func(*browser, *securityKey, *Round) {}, trace.WebAuthnCredential},
		{"another key signed it", "second", key, func(_ *browser, k *securityKey, _ *Round) { k.key = bobs.key }, trace.WebAuthnSignature},
		{"too late", "second", key, func(b *browser, _ *securityKey, r *Round) {
			if r != nil {
				b.clock.move(6 * time.Minute)
			}
		}, trace.WebAuthnExpired},
		{"no assertion", "second", key, func(_ *browser, _ *securityKey, r *Round) {
			if r != nil {
				r.Proof.Assertion = []byte("{}")
			}
		}, trace.WebAuthnMalformed},
		{"no ceremony begun", "second", key, func(b *browser, _ *securityKey, r *Round) {
			if r != nil {
				again := &browser{rig: b.rig}
				again.passworded()
				r.State = again.state
			}
		}, trace.WebAuthnChallenge},
	} {
		t.Run(c.name, func(t *testing.T) {
			here := *b.rig
			here.t = t
			b := &browser{rig: &here}
			k := *c.key
			k.counter += 10
			c.spoil(b, &k, nil)
			if c.issuer == "second" {
				b.passworded()
			}
			round := b.begun(c.issuer, &k)
			c.spoil(b, &k, &round)
			s := b.ask(c.issuer, round)
			b.want(s, event.Reject, c.want, 0)
			if s.ID == 0 || s.Session.ID != "" {
				t.Errorf("%+v", s)
			}
			b.explained(s.ID, trace.ClientChosen)
		})
	}
	// What was refused used nothing up but its own state.
	b.accepted(b.ask("keys", b.begun("keys", passkey)))
}

func TestCeremonyGoesOnAtAnotherNodeAndEndsOnce(t *testing.T) {
	for _, issuer := range []string{"keys", "second"} {
		t.Run(issuer, func(t *testing.T) {
			b := fidoRig(t)
			k := b.registered("Alice", "key", relyingParty(t, webauthn.Preferred), issuer == "keys")
			other := b.node(b.log.join(0, true))
			if issuer == "second" {
				b.passworded()
				other.state = b.state
			}
			round := other.begun(issuer, k) // begun at the second node, after the password at the first
			behind := b.node(b.log.join(1, false))
			behind.want(behind.ask(issuer, round), event.Discard, trace.LogBehind, 0)
			b.accepted(b.ask(issuer, round)) // and ended at the first
			elsewhere := b.node(other.people)
			elsewhere.session = ""
			elsewhere.want(elsewhere.ask(issuer, round), event.Reject, trace.ChallengeUsed, 0)
			again := &browser{rig: b.rig}
			again.want(again.ask(issuer, round), event.Reject, trace.ChallengeUsed, 0)
			// The session counts at both.
			elsewhere.session = b.session
			if got := elsewhere.accepted(elsewhere.ask(issuer, Round{})); got.User != "Alice" {
				t.Errorf("%+v", got)
			}
		})
	}
}
