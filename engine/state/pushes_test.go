package state_test

import (
	"testing"
	"time"

	"trine/engine/event"
	"trine/engine/state"
)

func TestPushChallengeIsAnsweredOnceAndForgottenLater(t *testing.T) {
	l := newLog(t)
	const phone = 10 // login.Push
	l.must(user("alice"))
	l.must(&event.FactorPut{User: "alice", Id: "phone", Kind: phone, Data: []byte("x")})
	end := l.at.Time.Unix() + 60
	answer := func(challenge uint64, outcome event.PushOutcome) *event.PushAnswered {
		return &event.PushAnswered{User: "Alice", Factor: "phone", Challenge: challenge, Outcome: uint32(outcome), NotAfterUnix: end}
	}
	found := func(challenge uint64, want event.PushOutcome) {
		t.Helper()
		if a, ok := l.PushAnswer(challenge); ok != (want != 0) || a.Outcome != want || ok && a.Factor != "phone" {
			t.Errorf("challenge %d: %+v, %v, want outcome %d", challenge, a, ok, want)
		}
	}
	found(1, 0)
	l.must(answer(1, event.PushApproved))
	found(1, event.PushApproved)
	l.void(event.CodeConflict, "was answered before", answer(1, event.PushDenied))
	found(1, event.PushApproved)
	l.must(answer(2, event.PushDenied), answer(2, event.PushApproved)) // at once: the first counts
	found(2, event.PushDenied)
	l.must(answer(3, event.PushOtherNumber))
	found(3, event.PushOtherNumber)
	l.void(event.CodeMissing, "no factor tablet", &event.PushAnswered{User: "alice", Factor: "tablet", Challenge: 4, Outcome: 1, NotAfterUnix: end})
	l.void(event.CodeMissing, "", &event.PushAnswered{User: "bob", Factor: "phone", Challenge: 4, Outcome: 1, NotAfterUnix: end})

	l.at.Time = time.Unix(end-1, 999e6)
	l.must(answer(5, event.PushApproved))
	found(5, event.PushApproved)
	l.at.Time = time.Unix(end, 0)
	l.must(answer(6, event.PushApproved), answer(7, event.PushDenied))
	found(6, event.PushLate)
	found(7, event.PushDenied)
	var u state.User
	var f state.Factors
	if !l.User(&u, []byte("alice")) {
		t.Fatal("no user")
	}
	if l.Factors(&f, u.ID); f.List[0].UsedAt != end {
		t.Errorf("the device was last heard of at %d, not %d", f.List[0].UsedAt, end)
	}

	l.at.Time = time.Unix(end+state.PushTerm, 0)
	l.void(event.CodeMissing, "long been over", answer(8, event.PushDenied))
	if n := l.Counts().Pushes; n != 6 {
		t.Errorf("%d answers are remembered", n)
	}
	l.must(&event.TombstonesSwept{BeforeUnix: end})
	found(1, event.PushApproved)
	l.must(&event.TombstonesSwept{BeforeUnix: end + 1})
	if n := l.Counts().Pushes; n != 0 {
		t.Errorf("%d answers are remembered after the sweep", n)
	}
}
