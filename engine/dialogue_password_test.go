package engine

import (
	"strings"
	"testing"
	"time"

	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/trace"
)

// ageingPages returns a browser of a person whose password is older than a day, by the rules of his user type.
func ageingPages(t *testing.T, rules string) *browser {
	t.Helper()
	b := pageRig(t, nil)
	b.apply("{kind: UserType, name: default, spec: {password: {" + rules + "}}}")
	b.clock.move(25 * time.Hour)
	return b
}

// anew is the round that brings a new password, from the state of the one before.
func (b *browser) anew(password string) Round {
	return Round{State: b.state, NewPassword: []byte(password)}
}

// due fails unless a step asks for a new password.
func (b *browser) due(s Step, reason trace.Reason) {
	b.t.Helper()
	if b.want(s, event.Challenge, reason, 0); !s.MustChangePassword || s.State == nil || s.ID == 0 || s.Message == "" || s.Session.ID != "" {
		b.t.Fatalf("%+v", s)
	}
}

// sets counts the new passwords in the log.
func (b *browser) sets() int { return len(b.log.facts(b.t, event.TypePasswordSet)) }

const agesInADay = "allowChange: true, keep: [argon2id, nt], maxAge: 24h, minLength: 8, history: 3"

func TestOldPasswordIsChangedWithinALoginOverPages(t *testing.T) {
	b := ageingPages(t, agesInADay)
	s := b.ask("local", typed("alice", login.Password, "wonderland"))
	b.due(s, trace.PasswordExpired)
	b.explained(s.ID, trace.PasswordOutOfDate)
	for _, c := range []struct {
		password, message string
		want              trace.Reason
	}{
		{"short", "8", trace.PasswordPolicy},
		{"", "8", trace.PasswordPolicy},
		{"wonderland", "used before", trace.PasswordReused},
	} {
		s := b.ask("local", b.anew(c.password))
		b.want(s, event.Reject, c.want, 0)
		if !strings.Contains(s.Message, c.message) || s.State == nil || !s.MustChangePassword {
			t.Fatalf("%q: %+v", c.password, s)
		}
		b.explained(s.ID, trace.NewPasswordRefused)
	}
	if n := b.sets(); n != 0 {
		t.Fatalf("%d passwords were set", n)
	}
	good := b.anew("looking-glass")
	got := b.accepted(b.ask("local", good))
	if got.User != "Alice" || !got.Session.Began || b.sets() != 1 || string(good.NewPassword) != "looking-glass" {
		t.Errorf("%+v", got)
	}
	for _, f := range b.log.facts(t, event.TypePasswordSet) {
		if !f.in(event.StreamUser, "alice") {
			t.Error("the new password is not in the person's stream")
		}
	}
	// Its state is good once, and the old password no more.
	fresh := &browser{rig: b.rig}
	good.NewPassword = []byte("another-glass")
	fresh.want(fresh.ask("local", good), event.Reject, trace.ChallengeUsed, 0)
	fresh.want(fresh.ask("local", typed("alice", login.Password, "wonderland")), event.Reject, trace.PasswordWrong, 0)
	fresh.accepted(fresh.ask("local", typed("alice", login.Password, "looking-glass")))
}

func TestPasswordIsChangedAfterEveryFactorAndAtAnyNode(t *testing.T) {
	b := ageingPages(t, agesInADay)
	s := b.rig.device("Alice", "f1")
	other := b.node(b.log.join(0, true))
	round := typed("alice", login.Password, "wonderland")
	round.NewPassword = []byte("looking-glass") // before the second factor it counts for nothing
	b.want(b.ask("strict", round), event.Challenge, trace.FactorNeeded, login.SetOf(login.OTP, login.Kerberos))
	early := b.anew("looking-glass")
	b.want(b.ask("strict", early), event.Challenge, trace.FactorNeeded, login.SetOf(login.OTP, login.Kerberos))
	b.due(b.ask("strict", b.then(login.OTP, b.code(s))), trace.PasswordExpired)
	if b.sets() != 0 {
		t.Fatal("the password was changed before the second factor")
	}
	other.state = b.state
	got := other.accepted(other.ask("strict", other.anew("looking-glass")))
	if len(got.Proofs) != 2 || got.Class != login.ClassTimeSync || b.sets() != 1 {
		t.Errorf("%+v", got)
	}
	b.session = ""
	b.want(b.ask("strict", b.anew("another-glass")), event.Reject, trace.ChallengeUsed, 0)
}

func TestPasswordAndANewOneComeInOneRound(t *testing.T) {
	b := ageingPages(t, agesInADay)
	round := typed("alice", login.Password, "wonderland")
	round.NewPassword = []byte("short")
	s := b.ask("local", round)
	if b.want(s, event.Reject, trace.PasswordPolicy, 0); s.State == nil || !s.MustChangePassword {
		t.Fatalf("%+v", s)
	}
	b.accepted(b.ask("local", b.anew("looking-glass"))) // the password was proved
	wrong := typed("alice", login.Password, "rabbit")
	wrong.NewPassword = []byte("another-glass")
	fresh := &browser{rig: b.rig}
	fresh.want(fresh.ask("local", wrong), event.Reject, trace.PasswordWrong, 0)
	if b.sets() != 1 {
		t.Error("a wrong password was changed")
	}
}

func TestPasswordThatMayNotBeChangedEndsTheLogin(t *testing.T) {
	for name, c := range map[string]struct {
		rules string
		want  trace.Reason
	}{
		"not allowed":                    {"maxAge: 24h", trace.PasswordExpired},
		"too old even to be changed":     {"allowChange: true, keep: [argon2id, nt], maxAge: 12h, grace: 12h", trace.PasswordExpired},
		"young enough to need no change": {"allowChange: true, keep: [argon2id, nt], maxAge: 48h", trace.OK},
	} {
		t.Run(name, func(t *testing.T) {
			b := ageingPages(t, c.rules)
			s := b.ask("local", typed("alice", login.Password, "wonderland"))
			if s.Reason != c.want || s.MustChangePassword || s.State != nil {
				t.Errorf("%+v", s)
			}
		})
	}
	b := ageingPages(t, "allowChange: true, keep: [argon2id, nt], minAge: 48h")
	round := typed("alice", login.Password, "wonderland")
	round.NewPassword = []byte("looking-glass")
	b.want(b.ask("local", round), event.Reject, trace.PasswordTooYoung, 0)
	// Who has a session and did not prove the password now changes none.
	b.apply("{kind: UserType, name: default, spec: {password: {allowChange: true, keep: [argon2id, nt]}}}")
	b.accepted(b.ask("local", typed("alice", login.Password, "wonderland")))
	b.want(b.ask("local", Round{NewPassword: []byte("looking-glass")}), event.Reject, trace.PasswordChangeDenied, 0)
	if b.sets() != 0 {
		t.Error("the password was changed")
	}
}

func TestPasswordThatMustBeChangedIsChangedWithinALoginOverPages(t *testing.T) {
	b := pageRig(t, nil)
	b.apply("{kind: UserType, name: default, spec: {password: {allowChange: true, keep: [argon2id, nt]}}}")
	set := b.forms("Alice", "wonderland", all())
	set.MustChange = true
	b.propose(set)
	b.due(b.ask("local", typed("alice", login.Password, "wonderland")), trace.PasswordMustChange)
	b.accepted(b.ask("local", b.anew("looking-glass")))
	fresh := &browser{rig: b.rig}
	fresh.accepted(fresh.ask("local", typed("alice", login.Password, "looking-glass")))
}
