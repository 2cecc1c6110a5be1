package engine

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"trine/engine/credential"
	"trine/engine/credential/chap"
	"trine/engine/event"
	"trine/engine/state"
	"trine/engine/trace"
)

// ageing is a rig whose people may change their passwords, with a rule for them.
func ageing(t *testing.T, rule string) *rig {
	r := newRig(t, nil)
	r.apply("{kind: UserType, name: default, spec: {password: {keep: [argon2id, nt], argon2: {memoryKiB: 64, iterations: 1}, " + rule + "}}}")
	r.password("Alice", "wonderland", credential.Keep{Argon2id: true, NT: true})
	return r
}

// changes returns a login that changes a password as RFC 2759 section 7 says.
func (r *rig) changes(name, old, next string) *Request {
	r.t.Helper()
	q := r.request(name, "")
	oldHash, ok := chap.NTHash([]byte(old))
	newHash, too := chap.NTHash([]byte(next))
	if !ok || !too {
		r.t.Fatal("no NT hash")
	}
	encrypted, err := chap.EncryptNewPassword(&oldHash, []byte(next))
	if err != nil {
		r.t.Fatal(err)
	}
	hash := chap.EncryptOldHash(&oldHash, &newHash)
	prove(r.t, q, credential.MSCHAPCPW, next)
	q.Proof.EncryptedHash, q.Proof.EncryptedPassword = hash[:], encrypted[:]
	return q
}

// change has a change of password decided, and returns the reason.
func (r *rig) change(q *Request) trace.Reason {
	r.t.Helper()
	if !r.lane.Authenticate(q) {
		for r.inbox.decided(q) == 0 {
			r.bench.work()
			<-r.inbox.told
		}
	}
	r.lane.Flush()
	r.engine.Flush()
	return q.Decision.Reason
}

func (r *rig) user(name string) *state.User {
	u := new(state.User)
	if !r.people.User(u, []byte(name)) {
		r.t.Fatalf("no user %s", name)
	}
	return u
}

func TestPersonChangesHisPassword(t *testing.T) {
	r := ageing(t, "allowChange: true, minLength: 6, classes: 2, history: 3")
	before := r.user("alice").CredentialVersion
	q := r.changes("alice", "wonderland", "looking-glass")
	if got := r.change(q); got != trace.OK || q.Decision.Verdict != event.Accept {
		t.Fatalf("%s", got)
	}
	if len(q.Proof.NewPassword) != 0 {
		t.Error("the new password is still in the request")
	}
	if d := r.recorded(q); d.step(trace.NewPasswordSet) == nil || d.Method != uint32(credential.MSCHAPCPW) {
		t.Errorf("the record says %s", d.words())
	}
	u := r.user("alice")
	if u.CredentialVersion != before+1 || len(u.NT) == 0 || len(u.Argon2id) == 0 || len(u.Keyed)+len(u.Clear) != 0 {
		t.Errorf("version %d after %d, forms of %d, %d, %d and %d bytes", u.CredentialVersion, before, len(u.Argon2id), len(u.Keyed), len(u.NT), len(u.Clear))
	}
	// The server proves that it knows the new password, and both sides have keys made of it (RFC 2759 section 8.7, RFC 3079 section 3).
	hash, _ := chap.NTHash([]byte("looking-glass"))
	challenge := chap.ChallengeHash((*[16]byte)(q.Proof.PeerChallenge), (*[16]byte)(q.Proof.Challenge), q.Proof.HashName)
	if want := chap.AuthenticatorResponse(&hash, (*[24]byte)(q.Proof.Response), &challenge); q.Proof.AuthenticatorResponse != want {
		t.Errorf("the server proves %s, want %s", q.Proof.AuthenticatorResponse, want)
	}
	if send, receive := chap.KeysV2(&hash, (*[24]byte)(q.Proof.Response)); !q.Proof.HasKeys || q.Proof.SendKey != send || q.Proof.RecvKey != receive {
		t.Error("the keys are not those of the new password")
	}
	r.deny(r.request("alice", "wonderland"), event.Reject, trace.PasswordWrong)
	r.accept(r.request("alice", "looking-glass"))
	r.accept(prove(t, r.request("alice", ""), credential.MSCHAPv2, "looking-glass"))
	for _, f := range r.log.facts(t, event.TypePasswordSet) {
		if bytes.Contains(f.Body, []byte("looking")) {
			t.Error("the record holds the clear password")
		}
		if !f.in(event.StreamUser, "alice") || !f.in(event.StreamDocument, "User/alice") {
			t.Error("the record is not in the person's streams")
		}
	}
}

func TestChangeOfPasswordIsRefused(t *testing.T) {
	const may = "allowChange: true, minLength: 6, classes: 2, history: 3, minAge: 1h, maxAge: 720h, grace: 240h"
	day := 24 * time.Hour
	for _, c := range []struct {
		name      string
		rule      string
		wait      time.Duration
		old, next string
		reason    trace.Reason
		words     string
	}{
		{"where it is not allowed", "minLength: 6", day, "wonderland", "looking-glass", trace.PasswordChangeDenied, "the user type default does not allow"},
		{"with a wrong old password", may, day, "underland", "looking-glass", trace.PasswordChangeInvalid, "does not fit"},
		{"to one that is too short", may, day, "wonderland", "a-b", trace.PasswordPolicy, "shorter than 6 characters"},
		{"to one of too few classes", may, day, "wonderland", "lookingglass", trace.PasswordPolicy, "fewer than 2"},
		{"too soon", may, 59 * time.Minute, "wonderland", "looking-glass", trace.PasswordTooYoung, "is 59m0s old; it may be changed when it is 1h0m0s old"},
		{"too late", may, 40*day + time.Second, "wonderland", "looking-glass", trace.PasswordExpired, "is 40 days old, too old to be changed: 40 days are allowed"},
		{"to the present one", "allowChange: true, history: 1", day, "wonderland", "wonderland", trace.PasswordReused, "it differs from the passwords before it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := ageing(t, c.rule)
			r.clock.move(c.wait)
			before := r.user("alice").CredentialVersion
			q := r.changes("alice", c.old, c.next)
			if got := r.change(q); got != c.reason || q.Decision.Verdict != event.Reject || q.Decision.MustChangePassword || len(q.Proof.NewPassword) > 0 {
				t.Fatalf("%s %+v", got, q.Decision)
			}
			if d := r.recorded(q); !strings.Contains(d.words(), c.words) {
				t.Errorf("the record says %s", d.words())
			}
			if r.user("alice").CredentialVersion != before {
				t.Error("the password was changed")
			}
		})
	}
}

func TestExpiredPasswordCanBeChangedWithinItsGrace(t *testing.T) {
	r := ageing(t, "allowChange: true, minAge: 1h, maxAge: 720h, grace: 240h")
	r.clock.move(30*24*time.Hour + time.Second)
	for _, c := range []struct {
		method credential.Method
		asks   bool
	}{{credential.PAP, false}, {credential.MSCHAPv1, false}, {credential.MSCHAPv2, true}} {
		q := prove(t, r.request("alice", ""), c.method, "wonderland")
		d := r.deny(q, event.Reject, trace.PasswordExpired)
		if q.Decision.MustChangePassword != c.asks || !strings.Contains(d.words(), "is 30 days old; 30 days is allowed") {
			t.Errorf("%s: asks for a new one %v: %s", c.method, q.Decision.MustChangePassword, d.words())
		}
	}
	r.deny(r.request("alice", "rabbit"), event.Reject, trace.PasswordWrong)
	if got := r.change(r.changes("alice", "wonderland", "looking-glass")); got != trace.OK {
		t.Fatalf("%s", got)
	}
	r.accept(prove(t, r.request("alice", ""), credential.MSCHAPv2, "looking-glass"))
	r.clock.move(30*24*time.Hour - time.Minute)
	r.accept(r.request("alice", "looking-glass"))
}

func TestPasswordThatMustBeChangedCanBe(t *testing.T) {
	r := ageing(t, "allowChange: true, minAge: 24h")
	set := r.forms("Alice", "temporary", credential.Keep{NT: true, Argon2id: true})
	set.MustChange = true
	r.propose(set)
	q := prove(t, r.request("alice", ""), credential.MSCHAPv2, "temporary")
	r.deny(q, event.Reject, trace.PasswordMustChange)
	if !q.Decision.MustChangePassword {
		t.Error("nobody asks for a new password")
	}
	if got := r.change(r.changes("alice", "temporary", "her own")); got != trace.OK {
		t.Fatalf("%s", got)
	}
	r.accept(r.request("alice", "her own"))
	if got := r.change(r.changes("alice", "her own", "another")); got != trace.PasswordTooYoung {
		t.Errorf("%s", got)
	}
}

func TestNewPasswordDiffersFromTheLastOnes(t *testing.T) {
	for _, keep := range []string{"[argon2id, nt]", "[keyed, nt]", "[nt]", "[clear]"} {
		t.Run(keep, func(t *testing.T) {
			r := newRig(t, nil)
			r.apply("{kind: UserType, name: default, spec: {password: {keep: " + keep + ", argon2: {memoryKiB: 64, iterations: 1}, allowChange: true, history: 3}}}")
			r.propose(r.forms("Alice", "password-0", kept(r)))
			for i := range 6 {
				now, next := fmt.Sprint("password-", i), fmt.Sprint("password-", i+1)
				for back := range min(i+1, 3) {
					if got := r.change(r.changes("alice", now, fmt.Sprint("password-", i-back))); got != trace.PasswordReused {
						t.Fatalf("change %d to the one %d before: %s", i, back, got)
					}
				}
				if got := r.change(r.changes("alice", now, next)); got != trace.OK {
					t.Fatalf("change %d: %s", i, got)
				}
			}
			if got := r.change(r.changes("alice", "password-6", "password-3")); got != trace.OK {
				t.Errorf("the fourth one before: %s", got)
			}
			if n := len(r.user("alice").Former); n != 2 {
				t.Errorf("%d former passwords are remembered", n)
			}
		})
	}
}

// kept returns what the default user type keeps.
func kept(r *rig) credential.Keep {
	keep, _ := KeepOf(r.compiler.Holder().Load().UserType(nil).Spec)
	return keep
}

// TestOneOfTwoChangesAtOnceTakesEffect has two devices change the password at the same time, both knowing the old one.
func TestOneOfTwoChangesAtOnceTakesEffect(t *testing.T) {
	r := ageing(t, "allowChange: true")
	r.bench.set(func(b *bench) { b.spread = true })
	r.log.set(func(l *memoryLog) { l.hold = true })
	a, b := r.changes("alice", "wonderland", "first"), r.changes("alice", "wonderland", "second")
	if r.lane.Authenticate(a) || r.lane.Authenticate(b) {
		t.Fatal("decided at once")
	}
	for r.inbox.decided(a)+r.inbox.decided(b) < 2 {
		r.log.release()
		time.Sleep(time.Millisecond)
	}
	reasons := map[trace.Reason]string{a.Decision.Reason: "first", b.Decision.Reason: "second"}
	if len(reasons) != 2 || reasons[trace.OK] == "" || reasons[trace.PasswordChangeInvalid] == "" {
		t.Fatalf("%v", reasons)
	}
	r.log.set(func(l *memoryLog) { l.hold = false })
	r.accept(r.request("alice", reasons[trace.OK]))
	r.deny(r.request("alice", reasons[trace.PasswordChangeInvalid]), event.Reject, trace.PasswordWrong)
}

func TestChangeThatCannotBeRecordedGetsNoAnswer(t *testing.T) {
	r := ageing(t, "allowChange: true")
	for _, c := range []struct {
		name    string
		arrange func(l *memoryLog)
		hasher  func(b *bench)
		reason  trace.Reason
	}{
		{"no leader", func(l *memoryLog) { l.leaderless = true }, nil, trace.LogNoLeader},
		{"refused", func(l *memoryLog) { l.refuse = ErrBusy }, nil, trace.LogNotRecorded},
		{"lost", func(l *memoryLog) { l.lose = ErrUnavailable }, nil, trace.LogNotRecorded},
		{"hasher full", nil, func(b *bench) { b.refuse = credential.ErrQueueFull }, trace.OverloadQueueFull},
		{"hasher fails", nil, func(b *bench) { b.fail = credential.ErrHasherFailed }, trace.WorkerFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.arrange != nil {
				r.log.set(c.arrange)
			}
			if c.hasher != nil {
				r.bench.set(c.hasher)
			}
			q := r.changes("alice", "wonderland", "looking-glass")
			if got := r.change(q); got != c.reason || q.Decision.Verdict != event.Discard || len(q.Proof.NewPassword) > 0 {
				t.Errorf("%s %s", q.Decision.Verdict, got)
			}
			r.log.set(func(l *memoryLog) { l.leaderless, l.refuse, l.lose = false, nil, nil })
			r.bench.set(func(b *bench) { b.refuse, b.fail = nil, nil })
		})
	}
	if got := r.change(r.changes("alice", "wonderland", "looking-glass")); got != trace.OK {
		t.Errorf("afterwards: %s", got)
	}
}

func TestGuessesByChangingThePasswordLockOut(t *testing.T) {
	r := ageing(t, "allowChange: true, lockout: {attempts: 2}")
	for _, name := range []string{"alice", "nobody"} {
		for i, want := range []trace.Reason{trace.PasswordChangeInvalid, trace.PasswordChangeInvalid, trace.UserLockedSource} {
			q := r.changes(name, "rabbit", "looking-glass")
			if got := r.change(q); got != want && !(got == trace.UserUnknown && i < 2 && name == "nobody") {
				t.Errorf("%s, try %d: %s", name, i+1, got)
			}
		}
	}
	r.tries("elsewhere", "alice", "wonderland", trace.OK)
}

func TestSimultaneousUseIsAskedBeforeAPasswordIsChanged(t *testing.T) {
	r := newRig(t, nil)
	r.apply("{kind: UserType, name: default, spec: {sessions: {limit: 1}, password: {keep: [nt], allowChange: true}}}")
	r.accept(prove(t, r.request("alice", ""), credential.MSCHAPv2, "wonderland"))
	if got := r.change(r.changes("alice", "wonderland", "looking-glass")); got != trace.SessionLimit {
		t.Fatalf("%s", got)
	}
	r.clock.move(reservationTerm + time.Second)
	if got := r.change(r.changes("alice", "wonderland", "looking-glass")); got != trace.OK {
		t.Fatalf("%s", got)
	}
}

// TestChangeOfPasswordDoesNotWaitForASecondFactor: the new password would be lost between the challenge and its answer.
func TestChangeOfPasswordDoesNotWaitForASecondFactor(t *testing.T) {
	r, _ := factorRig(t)
	r.apply("{kind: UserType, name: default, spec: {password: {keep: [nt], allowChange: true}}}")
	before := r.user("alice").CredentialVersion
	q := r.changes("alice", "wonderland", "looking-glass")
	q.Continues = true
	if got := r.change(q); got != trace.FactorNeeded || q.Decision.Verdict != event.Reject || len(q.Proof.NewPassword) > 0 {
		t.Errorf("%s %s", q.Decision.Verdict, got)
	}
	if r.user("alice").CredentialVersion != before {
		t.Error("the password was changed without the second factor")
	}
}
