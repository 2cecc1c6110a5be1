package engine

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"trine/engine/credential/kerberos"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/policy"
	"trine/engine/state"
	"trine/engine/trace"
)

// portals are two identity providers that share their sessions, one of which asks for a one-time password and lets trusted devices stand for it, and one that
// shares them with neither.
const portals = `
kind: IdentityProvider
name: local
spec: {type: local, publicID: home, session: {ssoCookieName: sso, timeout: 10m, absoluteTimeout: 1h}, profiles: {radius: {enabled: true}}}
---
kind: IdentityProvider
name: strict
spec:
  type: local
  parent: local
  hostName: strict.example.org
  authentication:
    matrix: [{first: Password, second: OTP, trustedDevice: true}, {first: Password, second: SMS}, {first: Kerberos}, {first: Password, second: Push}]
    trustedDevices: {lifetime: 24h, limit: 2}
---
kind: IdentityProvider
name: apart
spec: {type: local, publicID: apart}
`

// browser is a browser with its cookies.
type browser struct {
	*rig
	session, trusted string
	state            []byte
}

// pageRig returns a rig with the portals, a person with a device, and a browser.
func pageRig(t *testing.T, change func(*Config)) *browser {
	t.Helper()
	r := newRig(t, nil)
	r.engine.config.Keyring = r.ring
	if change != nil {
		change(&r.engine.config)
	}
	r.apply(portals)
	return &browser{rig: r}
}

func (b *browser) portal(issuer string) *policy.Client {
	b.t.Helper()
	i, err := b.compiler.Holder().Load().Issuer(issuer)
	if err != nil {
		b.t.Fatal(err)
	}
	return i.Portal()
}

// ask has a round decided with the browser's cookies, which it keeps as it is told.
func (b *browser) ask(issuer string, round Round) Step {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	round.Protocol, round.Client, round.Session, round.Device = "web", b.portal(issuer), b.session, b.trusted
	s := b.engine.Converse(ctx, &round)
	b.state = s.State
	if s.Session.ID != "" {
		b.session = s.Session.ID
	}
	if s.Device.Secret != "" {
		b.trusted = s.Device.Secret
	}
	if s.Verdict == 0 || s.Reason == "" {
		b.t.Fatalf("no decision: %+v", s)
	}
	return s
}

func typed(name string, f login.Factor, text string) Round {
	return Round{Name: []byte(name), Factor: f, Proof: Proof{Typed: []byte(text)}}
}

// then is a round that goes on from the one before.
func (b *browser) then(f login.Factor, text string) Round {
	return Round{State: b.state, Factor: f, Proof: Proof{Typed: []byte(text)}}
}

func (b *browser) want(s Step, verdict event.Verdict, reason trace.Reason, choices login.Set) {
	b.t.Helper()
	if s.Verdict != verdict || s.Reason != reason || s.Choices != choices {
		b.t.Fatalf("%s %s, choices %s; want %s %s, choices %s", s.Verdict, s.Reason, s.Choices, verdict, reason, choices)
	}
}

func (b *browser) accepted(s Step) Step {
	b.t.Helper()
	b.want(s, event.Accept, trace.OK, 0)
	return s
}

func TestLoginOverPagesEndsInASession(t *testing.T) {
	b := pageRig(t, nil)
	b.want(b.ask("local", Round{}), event.Challenge, trace.FactorNeeded, login.SetOf(login.Password))
	if n := len(b.log.done); n != 0 && len(b.log.decisions(t)) != 0 {
		t.Error("a page that nobody has filled in is recorded")
	}
	s := b.accepted(b.ask("local", Round{State: b.state, Name: []byte("alice"), Factor: login.Password, Proof: Proof{Typed: []byte("wonderland")}}))
	if s.User != "Alice" || !s.Session.Began || s.Session.ID == "" || s.Class != login.ClassPassword || !s.Since.Equal(start) {
		t.Errorf("%+v", s)
	}
	x, ok := b.engine.Session(b.session)
	if !ok || x.User != "Alice" || len(x.Visits) != 1 || x.Visits[0].Client != "local" || x.Login != s.ID {
		t.Fatalf("%+v, %v", x, ok)
	}
	for _, done := range b.log.done { // neither the id nor what it is of
		id, err := base64.RawURLEncoding.DecodeString(b.session)
		if err != nil || bytes.Contains(done.data, id[8:]) {
			t.Error("the session's id is in the log")
		}
	}
}

func TestSessionIsSharedByIdentityProvidersOfOneCookieAndByNoOthers(t *testing.T) {
	b := pageRig(t, nil)
	s := b.rig.device("Alice", "f1")
	b.accepted(b.ask("local", typed("alice", login.Password, "wonderland")))
	first := b.session
	// The other one has the password already, and asks for what it lacks.
	b.want(b.ask("strict", Round{}), event.Challenge, trace.FactorNeeded, login.SetOf(login.OTP, login.Kerberos))
	got := b.accepted(b.ask("strict", b.then(login.OTP, b.code(s))))
	if got.Session.Began || got.Session.ID == "" || b.session == first || got.Class != login.ClassTimeSync {
		t.Errorf("step-up did not go on with the session under another id: %+v", got.Session)
	}
	if _, ok := b.engine.Session(first); ok {
		t.Error("the id of before still counts")
	}
	// With what it has now neither asks any more.
	for _, issuer := range []string{"local", "strict"} {
		if got := b.accepted(b.ask(issuer, Round{})); got.Session.ID != "" || got.User != "Alice" {
			t.Errorf("%s: %+v", issuer, got.Session)
		}
	}
	b.want(b.ask("apart", Round{}), event.Challenge, trace.FactorNeeded, login.SetOf(login.Password))
}

func TestStepUpAsksForWhatADemandLacks(t *testing.T) {
	b := pageRig(t, nil)
	s := b.rig.device("Alice", "f1")
	b.accepted(b.ask("strict", typedThen(b, "strict", "alice", "wonderland", b.code(s))))
	b.clock.move(5 * time.Minute)
	both := login.SetOf(login.Password, login.Kerberos)
	for _, c := range []struct {
		name    string
		demand  login.Demand
		verdict event.Verdict
		reason  trace.Reason
		choices login.Set
	}{
		{"nothing", login.Demand{}, event.Accept, trace.OK, 0},
		{"max_age that is not over", login.Demand{Bounded: true, MaxAge: 5 * time.Minute}, event.Accept, trace.OK, 0},
		{"max_age that is over", login.Demand{Bounded: true, MaxAge: time.Minute}, event.Challenge, trace.FactorNeeded, both},
		{"login anew", login.Demand{Force: true}, event.Challenge, trace.FactorNeeded, both},
		{"login anew without disturbing", login.Demand{Force: true, Passive: true}, event.Reject, trace.LoginRequired, 0},
		{"class that it has", login.Demand{Classes: []string{login.ClassTimeSync}}, event.Accept, trace.OK, 0},
		{"class that nothing has", login.Demand{Classes: []string{"phr"}}, event.Reject, trace.ContextUnmet, 0},
		{"class that nothing has, if possible", login.Demand{Classes: []string{"phr"}, Voluntary: true}, event.Accept, trace.OK, 0},
	} {
		b.want(b.ask("strict", Round{Demand: c.demand}), c.verdict, c.reason, c.choices)
	}
	if got := b.ask("strict", Round{Demand: login.Demand{Bounded: true, MaxAge: time.Minute}}); got.Verdict != event.Challenge || got.State == nil {
		t.Fatalf("%+v", got)
	}
	// The demand travels with the state, so a browser cannot leave it out.
	b.want(b.ask("strict", b.then(login.Password, "wonderland")), event.Challenge, trace.FactorNeeded, login.SetOf(login.OTP, login.Kerberos))
	b.clock.move(30 * time.Second)
	b.accepted(b.ask("strict", b.then(login.OTP, b.code(s))))
	if stranger := (&browser{rig: b.rig}); true {
		stranger.want(stranger.ask("local", Round{Demand: login.Demand{Passive: true}}), event.Reject, trace.LoginRequired, 0)
	}
}

// typedThen proves the password in a round of its own, and returns the round that brings the one-time password.
func typedThen(b *browser, issuer, name, password, code string) Round {
	b.t.Helper()
	s := b.ask(issuer, typed(name, login.Password, password))
	if s.Verdict != event.Challenge || !s.Choices.Has(login.OTP) || s.ID == 0 {
		b.t.Fatalf("%+v", s)
	}
	return b.then(login.OTP, code)
}

func TestPassiveRequestSaysThatASessionLacksAFactor(t *testing.T) {
	b := pageRig(t, nil)
	b.rig.device("Alice", "f1")
	b.accepted(b.ask("local", typed("alice", login.Password, "wonderland")))
	b.want(b.ask("strict", Round{Demand: login.Demand{Passive: true}}), event.Reject, trace.StepUpRequired, 0)
}

func TestStateOfALoginOverPagesIsGoodOnce(t *testing.T) {
	b := pageRig(t, nil)
	b.apply("{kind: IdentityProvider, name: broker, spec: {type: local, authentication: {matrix: [{first: OTP, second: Password}]}}}")
	s := b.rig.device("Alice", "f1")
	again := typedThen(b, "strict", "alice", "wonderland", b.code(s))
	b.accepted(b.ask("strict", again))
	b.clock.move(30 * time.Second)
	again.Proof.Typed = []byte(b.code(s))
	b.want(b.ask("strict", again), event.Reject, trace.ChallengeUsed, 0)
	// Nor with the password, where that came last.
	fresh := &browser{rig: b.rig}
	fresh.want(fresh.ask("broker", typed("alice", login.OTP, b.code(s))), event.Challenge, trace.FactorNeeded, login.SetOf(login.Password))
	once := fresh.then(login.Password, "wonderland")
	fresh.accepted(fresh.ask("broker", once))
	fresh.session = ""
	fresh.want(fresh.ask("broker", once), event.Reject, trace.ChallengeUsed, 0)
}

func TestStateOfALoginOverPagesIsBoundToWhatItWasMadeFor(t *testing.T) {
	b := pageRig(t, nil)
	s := b.rig.device("Alice", "f1")
	begin := func() Round { return typedThen(b, "strict", "alice", "wonderland", b.code(s)) }
	round := begin()
	b.want(b.ask("apart", round), event.Reject, trace.ChallengeInvalid, 0)
	forged := begin()
	forged.State[len(forged.State)-1] ^= 1
	b.want(b.ask("strict", forged), event.Reject, trace.ChallengeInvalid, 0)
	round = begin()
	b.password("Alice", "rabbit", all())
	b.want(b.ask("strict", round), event.Reject, trace.ChallengeExpired, 0)
	b.password("Alice", "wonderland", all())
	round = begin()
	b.clock.move(dialogueLife + time.Second)
	b.want(b.ask("strict", round), event.Reject, trace.ChallengeExpired, 0)
}

func TestWrongProofMayBeTriedAgainUntilTheLock(t *testing.T) {
	b := pageRig(t, nil)
	b.apply("{kind: UserType, name: default, spec: {password: {lockout: {attempts: 3, window: 10m, duration: 10m}}}}")
	s := b.rig.device("Alice", "f1")
	b.ask("strict", Round{Name: []byte("alice")})
	b.want(b.ask("strict", b.then(login.Password, "rabbit")), event.Reject, trace.UserMissing, 0)
	b.ask("strict", typed("alice", login.Password, "rabbit"))
	round := b.then(login.Password, "wonderland")
	round.Name = []byte("alice")
	b.want(b.ask("strict", round), event.Challenge, trace.FactorNeeded, login.SetOf(login.OTP, login.Kerberos))
	b.want(b.ask("strict", b.then(login.OTP, "000000")), event.Reject, trace.OTPWrong, 0)
	b.accepted(b.ask("strict", b.then(login.OTP, b.code(s))))
	for range 3 {
		b.want(b.ask("local", Round{Name: []byte("bob"), Factor: login.Password, Proof: Proof{Typed: []byte("x")}}), event.Reject, trace.PasswordWrong, 0)
	}
	b.want(b.ask("local", typed("bob", login.Password, "builder")), event.Reject, trace.UserLockedSource, 0)
	for range 3 {
		b.want(b.ask("local", typed("nobody", login.Password, "x")), event.Reject, trace.UserUnknown, 0)
	}
	b.want(b.ask("local", typed("nobody", login.Password, "x")), event.Reject, trace.UserLockedSource, 0)
}

func TestTrustedDeviceStandsForTheSecondFactorWhereTheMatrixSaysSo(t *testing.T) {
	b := pageRig(t, nil)
	s := b.rig.device("Alice", "f1")
	round := typedThen(b, "strict", "alice", "wonderland", b.code(s))
	round.Trust = "laptop"
	got := b.accepted(b.ask("strict", round))
	if got.Device.Secret == "" || !got.Device.NotAfter.Equal(start.Add(24*time.Hour)) {
		t.Fatalf("%+v", got.Device)
	}
	fresh := &browser{rig: b.rig, trusted: b.trusted} // its session is over
	got = fresh.accepted(fresh.ask("strict", typed("alice", login.Password, "wonderland")))
	if len(got.Proofs) != 2 || !got.Proofs[1].Device || got.Device.Secret != "" {
		t.Errorf("%+v", got.Proofs)
	}
	// It stands for nobody else, makes no further one trusted, and not where it is over or revoked.
	b.password("bob", "builder", all())
	b.rig.device("bob", "f1")
	another := &browser{rig: b.rig, trusted: b.trusted}
	another.want(another.ask("strict", typed("bob", login.Password, "builder")), event.Challenge, trace.FactorNeeded, login.SetOf(login.OTP, login.Kerberos))
	stood := &browser{rig: b.rig, trusted: b.trusted}
	more := typed("alice", login.Password, "wonderland")
	more.Trust = "another"
	if got := stood.accepted(stood.ask("strict", more)); got.Device.Secret != "" {
		t.Error("a trusted device made another")
	}
	var u state.User
	b.people.User(&u, []byte("alice"))
	list := b.people.TrustedDevices(u.ID)
	if len(list) != 1 || list[0].Label != "laptop" || list[0].UsedAt == 0 {
		t.Fatalf("%+v", list)
	}
	late := &browser{rig: b.rig, trusted: b.trusted}
	b.clock.move(24 * time.Hour)
	late.want(late.ask("strict", typed("alice", login.Password, "wonderland")), event.Challenge, trace.FactorNeeded, login.SetOf(login.OTP, login.Kerberos))
	b.clock.move(-24 * time.Hour)
	b.propose(&event.DeviceDistrusted{User: "Alice", Id: list[0].ID})
	late.want(late.ask("strict", typed("alice", login.Password, "wonderland")), event.Challenge, trace.FactorNeeded, login.SetOf(login.OTP, login.Kerberos))
}

func TestNoDeviceIsTrustedWhereTheDocumentDoesNotAllowIt(t *testing.T) {
	b := pageRig(t, nil)
	round := typed("alice", login.Password, "wonderland")
	round.Trust = "laptop"
	got := b.accepted(b.ask("local", round))
	if got.Device.Secret != "" {
		t.Error("it became a trusted one")
	}
	b.explained(got.ID, trace.DeviceNotTrusted)
}

// explained fails unless the record of a decision has the step.
func (b *browser) explained(id uint64, code trace.StepCode) {
	b.t.Helper()
	b.engine.Flush()
	for _, d := range b.log.decisions(b.t) {
		if d.ID == id {
			for _, s := range d.Steps {
				if s.Code == uint32(code) {
					return
				}
			}
			if d.Verdict == event.Accept { // not all are traced
				return
			}
			b.t.Fatalf("decision %s has no step %d", event.FormatID(id), code)
		}
	}
	b.t.Fatalf("decision %s was not recorded", event.FormatID(id))
}

func TestSessionEndsWithItsPersonWithTheClockAndByLogout(t *testing.T) {
	for name, end := range map[string]func(*browser){
		"deactivation": func(b *browser) { b.apply("{kind: User, name: Alice, spec: {active: false}}") },
		"deletion":     func(b *browser) { b.delete("User", "Alice") },
		"idle":         func(b *browser) { b.clock.move(12 * time.Minute) },
		"absolute": func(b *browser) {
			for range 7 {
				b.clock.move(9 * time.Minute)
				b.ask("local", Round{})
			}
		},
		"logout": func(b *browser) {
			x, _ := b.engine.Session(b.session)
			if err := b.engine.EndSessions(context.Background(), x.User, []uint64{x.Number}, ""); err != nil {
				b.t.Fatal(err)
			}
			if err := b.engine.EndSessions(context.Background(), x.User, []uint64{x.Number}, ""); !errors.Is(err, ErrNoSession) {
				b.t.Errorf("%v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := pageRig(t, nil)
			b.accepted(b.ask("local", typed("alice", login.Password, "wonderland")))
			b.accepted(b.ask("local", Round{}))
			end(b)
			b.want(b.ask("local", Round{Demand: login.Demand{Passive: true}}), event.Reject, trace.LoginRequired, 0)
		})
	}
}

func TestUseOfASessionIsRecordedOnceInAWhile(t *testing.T) {
	b := pageRig(t, nil)
	b.accepted(b.ask("local", typed("alice", login.Password, "wonderland")))
	uses := func() (n int) {
		for _, done := range b.log.done {
			state.Facts(done.data, func(_ uint8, _ []uint64, data []byte) {
				if typ, _, err := event.Decode(data); err == nil && typ == event.TypeSSOUsed {
					n++
				}
			})
		}
		return n
	}
	before := uses()
	for range 60 {
		b.clock.move(time.Second)
		b.accepted(b.ask("local", Round{}))
		x, _ := b.engine.Session(b.session)
		b.engine.TouchSession(&x)
	}
	if n := uses() - before; n != 0 {
		t.Errorf("%d records of use within a minute", n)
	}
	b.clock.move(20 * time.Second)
	b.accepted(b.ask("local", Round{}))
	if n := uses() - before; n != 1 {
		t.Errorf("%d records of use after it was due", n)
	}
	b.clock.move(80 * time.Second)
	x, _ := b.engine.Session(b.session)
	b.engine.TouchSession(&x)
	if n := uses() - before; n != 2 {
		t.Errorf("%d records of use after it was due again", n)
	}
}

func TestLoginOfAnotherPersonEndsTheSessionOfTheOneBefore(t *testing.T) {
	b := pageRig(t, nil)
	b.accepted(b.ask("local", typed("alice", login.Password, "wonderland")))
	alice := b.session
	got := b.accepted(b.ask("local", typed("bob", login.Password, "builder")))
	if _, ok := b.engine.Session(alice); ok || !got.Session.Began || got.User != "bob" {
		t.Errorf("%+v", got)
	}
}

func TestFactorsThatNameTheirPersonNameTheOneWhoLogsIn(t *testing.T) {
	b := pageRig(t, nil)
	ticket := func(user string, once byte) Round {
		return Round{Factor: login.Kerberos, Proof: Proof{Kerberos: &kerberos.Outcome{
			Reason: trace.OK, User: user, Principal: user + "@EXAMPLE.ORG", Service: "HTTP/sso", Once: [32]byte{once}, OnceUntil: b.clock.Now().Add(time.Minute),
		}}}
	}
	got := b.accepted(b.ask("strict", ticket("alice", 1)))
	if got.User != "Alice" || got.Class != login.ClassKerberos {
		t.Errorf("%+v", got)
	}
	stranger := &browser{rig: b.rig}
	stranger.want(stranger.ask("strict", ticket("alice", 1)), event.Reject, trace.KerberosReplayed, 0)
	stranger.want(stranger.ask("strict", ticket("nobody", 2)), event.Reject, trace.UserUnknown, 0)
	refused := ticket("alice", 3)
	refused.Proof.Kerberos.Reason = trace.KerberosExpired
	stranger.want(stranger.ask("strict", refused), event.Reject, trace.KerberosExpired, 0)

	b.apply(`
kind: IdentityProvider
name: broker
spec: {type: local, authentication: {matrix: [{first: ExternalIdP, second: Password}]}}
`)
	external := Round{Factor: login.ExternalIdP, Proof: Proof{External: &External{Provider: "https://idp.example.com", User: "alice"}}}
	stranger.want(stranger.ask("broker", external), event.Challenge, trace.FactorNeeded, login.SetOf(login.Password))
	stranger.accepted(stranger.ask("broker", stranger.then(login.Password, "wonderland")))
	// What proves another person than the one of the round before does not count.
	b.apply(`
kind: IdentityProvider
name: broker
spec: {type: local, authentication: {matrix: [{first: Password, second: ExternalIdP}]}}
`)
	fresh := &browser{rig: b.rig}
	fresh.want(fresh.ask("broker", typed("bob", login.Password, "builder")), event.Challenge, trace.FactorNeeded, login.SetOf(login.ExternalIdP))
	external.State = fresh.state
	fresh.want(fresh.ask("broker", external), event.Reject, trace.FactorMismatch, 0)
}

func TestCodesAndPushChallengesAreBegunAndThenProved(t *testing.T) {
	post := &postman{}
	b := pageRig(t, func(c *Config) { c.Messenger = post })
	b.apply("{kind: User, name: Alice, spec: {mobile: \"+34600000000\"}}")
	device := b.pushDevice("Alice", "phone")
	b.apply("{kind: IdentityProvider, name: sms, spec: {type: local, authentication: {matrix: [{first: SMS}]}}}")

	b.ask("strict", typed("alice", login.Password, "wonderland"))
	got := b.ask("strict", Round{State: b.state, Factor: login.SMS})
	b.want(got, event.Challenge, trace.FactorNeeded, login.SetOf(login.SMS))
	if got.Asked != login.SMS || got.Message == "" || got.ID == 0 {
		t.Errorf("%+v", got)
	}
	code := post.taken[len(post.taken)-1].Values.Code
	b.want(b.ask("strict", b.then(login.SMS, "no")), event.Reject, trace.CodeWrong, 0)
	b.accepted(b.ask("strict", b.then(login.SMS, code)))

	fresh := &browser{rig: b.rig}
	fresh.ask("strict", typed("alice", login.Password, "wonderland"))
	got = fresh.ask("strict", Round{State: fresh.state, Factor: login.Push})
	if got.Asked != login.Push || got.Number < 10 {
		t.Fatalf("%+v", got)
	}
	number := got.Number
	if got = fresh.ask("strict", fresh.then(login.Push, "")); got.Verdict != event.Challenge || got.Number != number || got.State == nil {
		t.Fatalf("a push challenge that waits: %+v", got)
	}
	b.propose(device.answer(b.rig, device.last(post), true, number))
	fresh.accepted(fresh.ask("strict", fresh.then(login.Push, "")))

	// As the first factor, a code looks the same whether anybody gets it.
	taken := len(post.taken)
	for _, name := range []string{"alice", "bob", "nobody"} {
		stranger := &browser{rig: b.rig}
		got := stranger.ask("sms", Round{Name: []byte(name), Factor: login.SMS})
		stranger.want(got, event.Challenge, trace.FactorNeeded, login.SetOf(login.SMS))
		if got.Asked != login.SMS || got.ID != 0 {
			t.Errorf("%s: %+v", name, got)
		}
		stranger.want(stranger.ask("sms", stranger.then(login.SMS, "no")), event.Reject, trace.CodeWrong, 0)
		if name == "alice" {
			stranger.accepted(stranger.ask("sms", stranger.then(login.SMS, post.taken[taken].Values.Code)))
		}
	}
	if len(post.taken) != taken+1 {
		t.Errorf("%d messages were sent", len(post.taken)-taken)
	}
}
