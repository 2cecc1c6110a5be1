package engine

import (
	"fmt"
	"testing"
	"time"

	"trine/engine/credential"
	"trine/engine/credential/otp"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/script"
	"trine/engine/state"
	"trine/engine/trace"
)

// again makes q a request of its own, as a protocol does that keeps a pool of them.
func again(q, as *Request) *Request {
	q.Reset()
	q.Protocol, q.Cache, q.Client, q.Source, q.Name, q.Proof = as.Protocol, as.Cache, as.Client, as.Source, as.Name, as.Proof
	q.NAS, q.Calling, q.NASPort, q.Arrived, q.Deadline, q.Done = as.NAS, as.Calling, as.NASPort, as.Arrived, as.Deadline, as.Done
	q.State, q.Continues, q.Appends = as.State, as.Continues, as.Appends
	return q
}

// mac returns the login of a device by its address.
func (r *rig) mac(address string) *Request {
	q := r.request(address, "")
	q.Calling = nil
	return prove(r.t, q, credential.MAC, "")
}

func TestFactorsOfTheLoginBeforeAreNotTheNexts(t *testing.T) {
	r, _ := factorRig(t)
	r.engine.config.Messenger = new(postman)
	r.apply(`{kind: User, name: Alice, spec: {aliases: [ally], mail: alice, mailDomain: example.org, mobile: "+34600000001"}}`)
	r.adaptive(rule("reachable", "hasSms || hasMail", "{first: Password}"))
	q := r.request("alice", "wonderland")
	r.accept(q)
	if d := r.deny(again(q, r.request("nobody", "x")), event.Reject, trace.UserUnknown); d.step(trace.RuleChosen) != nil {
		t.Errorf("nobody has the telephone of whom the request was before: %s", d.words())
	}
}

func TestFailuresOfADeviceAreNotThoseOfTheLoginBefore(t *testing.T) {
	r, _ := factorRig(t)
	r.apply("{kind: ServiceProvider, name: wlan, spec: {type: radius, publicID: wlan, radius: {sourceIPs: [10.0.0.0/8], secret: one, macAuthentication: true}}}")
	r.adaptive(rule("guessed at", "failuresForSameUser > 0", ""))
	q := r.request("alice", "wonderland")
	r.accept(q)
	r.deny(again(q, r.mac("00-10-a4-23-19-c0")), event.Reject, trace.EndpointUnknown)
	r.accept(again(q, r.request("alice", "wonderland")))
}

func TestDeviceDoesNotLogInForThePersonOfItsName(t *testing.T) {
	r, _ := factorRig(t)
	r.apply("{kind: ServiceProvider, name: wlan, spec: {type: radius, publicID: wlan, radius: {sourceIPs: [10.0.0.0/8], secret: one, macAuthentication: true}}}\n---\n" +
		"{kind: Endpoint, name: 00-10-a4-23-19-c0}\n---\n{kind: User, name: 00-10-a4-23-19-c0}")
	r.password("00-10-a4-23-19-c0", "printer", all())
	r.adaptive(rule("stranger", "newDevice", ""))
	r.accept(r.mac("00-10-a4-23-19-c0"))
	q := r.request("00-10-a4-23-19-c0", "printer")
	q.Calling = nil
	r.deny(q, event.Reject, trace.FactorRefused)
}

func TestPlaceOfAnAnswerIsItsOwn(t *testing.T) {
	r := placesRig(t)
	r.password("bob", "builder", all())
	r.adaptive(rule("somebody", `user == "Alice"`, "{first: Password, second: OTP}"))
	device := r.device("Alice", "f2")
	from := func(q *Request, calling string) *Request {
		q.Calling = []byte(calling)
		return q
	}
	state := r.challenged(from(r.request("alice", "wonderland"), "81.2.69.7"))
	q := from(r.request("bob", "builder"), "89.160.20.1")
	r.accept(q)
	r.accept(again(q, from(r.answering("alice", r.code(device), state), "81.2.69.7")))
	if got := r.lastCountry("Alice"); got != "GB" {
		t.Errorf("her login came from %q", got)
	}
}

func (r *rig) lastCountry(name string) string {
	r.t.Helper()
	var u state.User
	if !r.people.UserNamed(&u, name) {
		r.t.Fatalf("nobody is named %s", name)
	}
	var l state.LastLogin
	r.people.LastLogin(&l, u.ID)
	return string(l.Country)
}

// TestAnswersThatComeTogetherAreBounded has somebody who knows the password collect challenges and answer them all before the first
// answer is committed: no more are looked at than if they had come one after another.
func TestAnswersThatComeTogetherAreBounded(t *testing.T) {
	r, s := factorRig(t)
	var states [][]byte
	for range 3 * secondLockout().Attempts {
		states = append(states, r.challenged(r.request("alice", "wonderland")))
	}
	r.log.set(func(l *memoryLog) { l.hold = true })
	looked := 0
	for _, state := range states[1:] {
		if !r.lane.Authenticate(r.answering("alice", "000000", state)) {
			looked++
		}
	}
	if looked != secondLockout().Attempts {
		t.Errorf("%d guesses were looked at, of %d that are allowed", looked, secondLockout().Attempts)
	}
	r.log.set(func(l *memoryLog) { l.hold = false })
	r.log.release()
	r.deny(r.answering("alice", r.code(s), states[0]), event.Reject, trace.UserLockedSource)
}

func TestGoodSecondFactorForgetsTheGuessesOfItsSource(t *testing.T) {
	r, s := factorRig(t)
	wrong := func(times int) {
		t.Helper()
		for range times {
			r.deny(r.answering("alice", "000000", r.challenged(r.request("alice", "wonderland"))), event.Reject, trace.OTPWrong)
		}
	}
	wrong(secondLockout().Attempts - 1)
	r.accept(r.answering("alice", r.code(s), r.challenged(r.request("alice", "wonderland"))))
	wrong(2)
}

func TestSimulationTellsWhatIsOverAsTheEngineDoes(t *testing.T) {
	r, s := factorRig(t)
	state := r.challenged(r.request("alice", "wonderland"))
	r.clock.move(challengeLife + time.Second)
	r.deny(r.answering("alice", r.code(s), state), event.Reject, trace.ChallengeExpired)
	r.clock.move(-challengeLife) // set back
	if d := r.simulate(r.answering("alice", r.code(s), state), Circumstances{}); d.Reason != string(trace.ChallengeExpired) {
		t.Errorf("simulated as %s", d.Reason)
	}
	r.deny(r.answering("alice", r.code(s), state), event.Reject, trace.ChallengeExpired)
}

func TestRulesKnowWhatTheUserHas(t *testing.T) {
	const nothing = "!hasOtp && !hasTotp && !hasHotp && !hasToken && !hasSms && !hasMail && !hasPin && !hasFido && !hasCertificate && !hasPush && !deviceCertificate"
	for _, c := range []struct {
		name, expression string
		arrange          func(r *rig)
	}{
		{"nothing", nothing, func(*rig) {}},
		{"a device by time", "hasTotp && hasOtp && hasToken && !hasHotp", func(r *rig) { r.device("bob", "f1") }},
		{"a device by counter", "hasHotp && hasOtp && hasToken && !hasTotp", func(r *rig) { r.hotp("bob", "f1") }},
		{"recovery codes", "hasOtp && !hasTotp && !hasHotp", func(r *rig) {
			r.propose(&event.FactorPut{User: "bob", Id: "codes", Kind: state.RecoveryCodes, Data: []byte("kept")})
		}},
		{"a PIN", "hasPin && !hasOtp", func(r *rig) {
			r.propose(&event.FactorPut{User: "bob", Id: "pin", Kind: uint32(login.PIN), Data: []byte("kept")})
		}},
		{"a telephone", "hasSms && !hasMail", func(r *rig) { r.apply(`{kind: User, name: bob, spec: {mobile: "+34600000001"}}`) }},
		{"a mail address", "hasMail && !hasSms", func(r *rig) { r.apply(`{kind: User, name: bob, spec: {mail: bob, mailDomain: example.org}}`) }},
		{"nothing that can be sent to", nothing, func(r *rig) {
			r.apply(`{kind: User, name: bob, spec: {mail: bob, mailDomain: example.org, mobile: "+34600000001"}}`)
			r.engine.config.Messenger = nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.engine.config.Keyring, r.engine.config.Messenger = r.ring, new(postman)
			r.adaptive(rule("has", c.expression, ""))
			c.arrange(r)
			r.deny(r.request("bob", "builder"), event.Reject, trace.FactorRefused)
		})
	}
}

// hotp enrols a device that goes by a counter.
func (r *rig) hotp(user, id string) {
	r.t.Helper()
	params := otp.DefaultParams()
	params.Kind, params.Period = otp.HOTP, 0
	s, err := otp.New(params)
	if err != nil {
		r.t.Fatal(err)
	}
	sealed, err := login.SealOTP(r.ring, user, id, &s)
	if err != nil {
		r.t.Fatal(err)
	}
	r.propose(&event.FactorPut{User: user, Id: id, Kind: uint32(login.OTP), Data: sealed})
}

// TestGuessesThatWaitForAScriptAreBounded has passwords guessed while the script of an adaptive rule is waited for, so that none of them has
// failed when the next comes.
func TestGuessesThatWaitForAScriptAreBounded(t *testing.T) {
	const attempts = 3
	scripts := &scriptBench{host: script.NewHost(), hold: true}
	r := newRig(t, func(c *Config) { c.Scripts = scripts })
	r.lockout(fmt.Sprintf("{attempts: %d}", attempts))
	r.apply("kind: IdentityProvider\nname: local\nspec:\n  type: local\n  profiles: {radius: {enabled: true}}\n  authentication: {adaptiveRules: [{description: rule, script: 'return false', matrix: []}]}\n")
	var guesses []*Request
	for range 4 * attempts {
		q := r.request("alice", "rabbit")
		if r.lane.Authenticate(q) {
			t.Fatalf("%s was decided without the script", q.Decision.Reason)
		}
		guesses = append(guesses, q)
	}
	scripts.work()
	for i, q := range guesses {
		want := trace.PasswordWrong
		if i >= attempts {
			want = trace.UserLockedSource
		}
		if q.Decision.Reason != want {
			t.Errorf("guess %d: %s, want %s", i, q.Decision.Reason, want)
		}
	}
}
