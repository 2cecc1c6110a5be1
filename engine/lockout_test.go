package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"trine/engine/credential"
	"trine/engine/event"
	"trine/engine/trace"
)

// guarded is a rig whose people are locked out after three wrong passwords from one device, or eight in all.
func guarded(t *testing.T) *rig {
	r := newRig(t, nil)
	r.lockout("{attempts: 3, total: 8, window: 15m, duration: 10m}")
	return r
}

func (r *rig) lockout(rule string) {
	r.t.Helper()
	r.apply("{kind: UserType, name: default, spec: {password: {keep: [argon2id, keyed, nt, clear], lockout: " + rule + "}}}")
}

// from returns a login from a device.
func (r *rig) from(device, name, password string) *Request {
	q := r.request(name, password)
	q.Calling = []byte(device)
	return q
}

// try has a login decided and its record applied, and returns the reason.
func (r *rig) try(device, name, password string) trace.Reason {
	r.t.Helper()
	q := r.from(device, name, password)
	r.decide(q)
	r.lane.Flush()
	r.engine.Flush()
	return q.Decision.Reason
}

func (r *rig) tries(device, name, password string, want ...trace.Reason) {
	r.t.Helper()
	for i, w := range want {
		if got := r.try(device, name, password); got != w {
			r.t.Fatalf("try %d of %s by %s from %s: %s, want %s", i+1, password, name, device, got, w)
		}
	}
}

// failureWords are short for the tables below.
const (
	wrong  = trace.PasswordWrong
	here   = trace.UserLockedSource
	locked = trace.UserLocked
)

func TestWrongPasswordsLockOutTheirSourceFirst(t *testing.T) {
	r := guarded(t)
	r.tries("phone", "Alice", "rabbit", wrong, wrong, wrong, here)
	q := r.from("phone", "alice", "wonderland")
	d := r.deny(q, event.Reject, here)
	if d.step(trace.PasswordChecked) != nil || d.step(trace.PasswordDiffers) != nil {
		t.Errorf("the password was looked at: %s", d.words())
	}
	if want := "The name alice is locked out from this source until 2026-03-01 12:10:00 UTC"; !strings.Contains(d.words(), want) {
		t.Errorf("the trace says %s", d.words())
	}
	r.tries("laptop", "ALLY", "wonderland", trace.OK)
	r.tries("phone", "ally", "wonderland", here)
	r.clock.move(10*time.Minute + time.Second)
	r.tries("phone", "alice", "wonderland", trace.OK)
}

func TestWrongPasswordsFromManySourcesLockOutEverywhere(t *testing.T) {
	r := guarded(t)
	r.tries("a", "alice", "rabbit", wrong, wrong, wrong)
	r.tries("b", "alice", "rabbit", wrong, wrong, wrong)
	r.tries("c", "alice", "rabbit", wrong, wrong, locked)
	r.tries("d", "alice", "wonderland", locked)
	r.tries("a", "alice", "wonderland", here)
	r.tries("a", "bob", "builder", trace.OK)
	r.clock.move(10*time.Minute + time.Second)
	r.tries("d", "alice", "wonderland", trace.OK)
}

func TestNobodyLocksOutEverywhereFromOneDevice(t *testing.T) {
	r := newRig(t, nil)
	r.lockout("{attempts: 3, total: 4, window: 24h, duration: 1m}")
	for range 100 {
		r.tries("stranger", "alice", "rabbit", wrong, wrong, wrong, here)
		r.tries("phone", "alice", "wonderland", trace.OK)
		r.clock.move(62 * time.Second)
	}
}

// TestUnknownNamesBehaveLikeKnownOnes has the same device try the same things under a name that somebody has and one that nobody has.
func TestUnknownNamesBehaveLikeKnownOnes(t *testing.T) {
	for _, method := range []credential.Method{credential.PAP, credential.CHAP, credential.MSCHAPv1, credential.MSCHAPv2} {
		var told [2][]string
		for i, name := range []string{"alice", "nobody"} {
			r := guarded(t)
			for n := range 40 {
				q := r.from(fmt.Sprint("device", n%5), name, "rabbit")
				if method != credential.PAP {
					prove(t, q, method, "rabbit")
				}
				d := r.decide(q)
				r.lane.Flush()
				r.engine.Flush()
				if d.Verdict != event.Reject || d.Retry || d.MustChangePassword {
					t.Fatalf("%+v", d)
				}
				reason := d.Reason
				if reason == trace.UserUnknown {
					reason = wrong
				}
				told[i] = append(told[i], string(reason))
			}
		}
		if a, b := strings.Join(told[0], " "), strings.Join(told[1], " "); a != b || !strings.Contains(a, "user.locked ") {
			t.Errorf("%s: known\n%s\nunknown\n%s", method, a, b)
		}
	}
}

func TestPeopleWithoutAPasswordAreLockedOutToo(t *testing.T) {
	r := guarded(t)
	r.apply("{kind: User, name: carol, spec: {}}")
	r.tries("phone", "carol", "x", trace.PasswordMissing, trace.PasswordMissing, trace.PasswordMissing, here)
}

func TestGoodLoginForgetsTheFailuresOfItsSource(t *testing.T) {
	r := guarded(t)
	r.tries("phone", "alice", "wonderland", trace.OK, trace.OK)
	if n := len(r.log.facts(t, event.TypeFailuresCleared)); n != 0 {
		t.Fatalf("%d records of nothing", n)
	}
	for range 5 {
		r.tries("phone", "alice", "rabbit", wrong, wrong)
		r.tries("phone", "alice", "wonderland", trace.OK, trace.OK)
	}
	if n := len(r.log.facts(t, event.TypeFailuresCleared)); n != 5 {
		t.Errorf("%d records, want 5", n)
	}
	r.tries("stranger", "alice", "rabbit", wrong, wrong)
	r.tries("phone", "alice", "wonderland", trace.OK)
	r.tries("stranger", "alice", "rabbit", wrong, here)
	f := r.log.facts(t, event.TypeFailuresCleared)[0]
	if !f.in(event.StreamUser, "alice") {
		t.Error("the record is not in the person's stream")
	}
}

func TestLocksGrowWhereTheyAreProgressive(t *testing.T) {
	r := newRig(t, nil)
	r.lockout("{attempts: 1, total: 1000, window: 1m, duration: 5h, progressive: true}")
	for _, length := range []time.Duration{5, 10, 20, 24, 24} {
		r.tries("phone", "alice", "rabbit", wrong, here)
		r.clock.move(length * time.Hour)
		r.tries("phone", "alice", "wonderland", here)
		r.clock.move(time.Second)
	}
	r.clock.move(24 * time.Hour)
	r.tries("phone", "alice", "rabbit", wrong)
	r.clock.move(5*time.Hour + time.Second)
	r.tries("phone", "alice", "wonderland", trace.OK)
}

func TestWithoutARuleNobodyIsLockedOut(t *testing.T) {
	r := newRig(t, nil)
	for range 100 {
		r.tries("phone", "alice", "rabbit", wrong)
	}
	r.tries("phone", "alice", "wonderland", trace.OK)
	if n := len(r.log.facts(t, event.TypeLoginFailed)); n != 0 {
		t.Errorf("%d failures are recorded", n)
	}
}

func TestWhatIsNotAGuessDoesNotCount(t *testing.T) {
	r := guarded(t)
	r.apply("{kind: UserType, name: papOnly, spec: {password: {lockout: {attempts: 1}}}}")
	r.apply("{kind: User, name: dora, spec: {userType: papOnly}}")
	r.password("dora", "explorer", credential.Keep{Argon2id: true})
	for range 4 {
		q := prove(t, r.request("dora", ""), credential.CHAP, "x")
		r.deny(q, event.Reject, trace.RadiusCHAPSecretNotKept)
		q = r.request("dora", "")
		q.Proof = credential.Proof{}
		r.deny(q, event.Reject, trace.ProofMissing)
		r.bench.set(func(b *bench) { b.fail = credential.ErrHasherFailed })
		r.deny(r.request("dora", "x"), event.Discard, trace.WorkerFailed)
		r.bench.set(func(b *bench) { b.fail = nil })
	}
	r.accept(r.request("dora", "explorer"))
}

func TestUserTypesHaveTheirOwnRules(t *testing.T) {
	r := guarded(t)
	r.apply("{kind: UserType, name: strict, spec: {password: {lockout: {attempts: 1, duration: 1h}}}}")
	r.apply("{kind: User, name: dora, spec: {userType: strict}}")
	r.password("dora", "explorer", all())
	r.tries("phone", "dora", "x", wrong, here)
	r.tries("phone", "alice", "x", wrong, wrong, wrong, here)
}

// TestGuessesThatTheLogDoesNotHaveYetAreLimited has many guesses come before the first of them is recorded.
func TestGuessesThatTheLogDoesNotHaveYetAreLimited(t *testing.T) {
	r := guarded(t)
	looked := func(device string) (n int) {
		for range 50 {
			q := r.from(device, "alice", "rabbit")
			if r.decide(q); q.Decision.Reason == wrong {
				n++
			}
		}
		return n
	}
	r.log.set(func(l *memoryLog) { l.hold = true })
	if n := looked("a"); n != 3 {
		t.Errorf("%d guesses from one device were looked at", n)
	}
	if n := looked("b") + looked("c") + looked("d") + looked("e"); n != 5 {
		t.Errorf("%d guesses from four more devices were looked at", n)
	}
	if n := looked("nobody's"); n != 0 {
		t.Errorf("%d guesses were looked at", n)
	}
	r.lane.Flush()
	r.log.set(func(l *memoryLog) { l.hold = false })
	r.log.release()
	r.clock.move(4 * time.Second)
	r.tries("a", "alice", "wonderland", here)
	r.tries("f", "alice", "wonderland", locked)
}

// TestNodesLockOutByThemselvesWithoutALeader also moves the clock by more than a moment: there the log tells no locks.
func TestNodesLockOutByThemselvesWithoutALeader(t *testing.T) {
	r := guarded(t)
	r.log.set(func(l *memoryLog) { l.leaderless = true })
	r.tries("a", "alice", "rabbit", wrong, wrong, wrong, here)
	r.clock.move(9 * time.Minute)
	r.tries("a", "alice", "wonderland", here)
	r.tries("b", "alice", "wonderland", trace.OK)
	r.clock.move(61 * time.Second)
	r.tries("a", "alice", "wonderland", trace.OK)
}

func TestClockThatJumpsNeitherEndsLocksNorKeepsThem(t *testing.T) {
	const days = 5 * 24 * time.Hour
	t.Run("ahead and back: the lock goes on", func(t *testing.T) {
		r := guarded(t)
		r.tries("a", "alice", "rabbit", wrong, wrong, wrong, here)
		r.clock.move(days)
		r.clock.move(-days)
		r.tries("a", "alice", "wonderland", here)
		r.clock.move(10*time.Minute + time.Second)
		r.tries("a", "alice", "wonderland", trace.OK)
	})
	t.Run("ahead while it was made: the lock ends when the clock is set right", func(t *testing.T) {
		r := guarded(t)
		r.clock.move(days)
		r.tries("a", "alice", "rabbit", wrong, wrong, wrong, here)
		r.clock.move(-days)
		r.clock.move(3 * time.Second)
		r.tries("b", "alice", "wonderland", trace.OK)
		r.clock.move(10 * time.Minute)
		r.tries("a", "alice", "wonderland", trace.OK)
	})
	t.Run("back while the log's time stands: each node locks by itself, for as long as the rule says", func(t *testing.T) {
		r := guarded(t)
		r.clock.move(days)
		r.tries("b", "alice", "wonderland", trace.OK) // stamps a record
		r.clock.move(-days + time.Hour)
		r.tries("a", "alice", "rabbit", wrong, wrong, wrong, here)
		r.clock.move(9 * time.Minute)
		r.tries("a", "alice", "wonderland", here)
		r.clock.move(2 * time.Minute)
		r.tries("a", "alice", "wonderland", trace.OK)
	})
}

func TestFailureIsRecordedOnceBesideItsDecision(t *testing.T) {
	r := guarded(t)
	r.apply("{kind: ServiceProvider, name: audited, spec: {type: radius, audit: before-answer, radius: {sourceIPs: [10.1.0.0/16], secret: one}}}")
	for _, client := range []string{"wlan", "audited"} {
		q := r.from("phone-"+client, "bob", "rabbit")
		q.Client = q.Cache.Client(client)
		r.deny(q, event.Reject, wrong)
		r.lane.Overrule(q, trace.RadiusReplyBroken)
		r.lane.Flush()
	}
	facts := r.log.facts(t, event.TypeLoginFailed)
	if len(facts) != 2 {
		t.Fatalf("%d failures are recorded, want 2", len(facts))
	}
	m, err := facts[0].Message()
	if err != nil {
		t.Fatal(err)
	}
	f := m.(*event.LoginFailed)
	if string(f.Name) != "bob" || f.Factor != 1 || f.Attempts != 3 || f.Total != 8 || f.Window != 900 || f.Duration != 600 || f.Source == 0 {
		t.Errorf("recorded %v", f)
	}
	if !facts[0].in(event.StreamDecision, event.FormatID(f.Login)) || !facts[0].in(event.StreamUser, "bob") {
		t.Error("the failure is not in the streams of its decision and name")
	}
}

func TestPINLocksByItself(t *testing.T) {
	r := guarded(t)
	pin := Guarded{Factor: 7, Name: "PIN", Apart: true}
	for i := range 4 {
		q := r.from("phone", "alice", "wonderland")
		r.accept(q)
		if got := r.engine.Locked(q, pin); (got != trace.OK) != (i == 3) {
			t.Fatalf("PIN %d: %s", i+1, got)
		} else if i == 3 {
			break
		}
		r.engine.Failed(q, pin)
		q.reject(trace.PasswordWrong)
		r.lane.record(q)
		r.lane.Flush()
		r.tries("phone", "alice", "wonderland", trace.OK)
	}
}
