package engine

import (
	"sync"
	"testing"
	"time"

	"trine/engine/event"
	"trine/engine/trace"
)

// limited returns a rig where Alice may have so many sessions at a time.
func limited(t *testing.T, sessions string) *rig {
	r := newRig(t, nil)
	r.apply("{kind: Group, name: staff, spec: {sessions: {limit: " + sessions + "}}}")
	return r
}

func (r *rig) alice() *Request { return r.request("alice", "wonderland") }

func TestLoginUnderALimitReservesAPlace(t *testing.T) {
	r := limited(t, "2")
	q := r.alice()
	r.accept(q)
	reserved := r.log.facts(t, event.TypeSessionReserved)
	if len(reserved) != 1 || !reserved[0].in(event.StreamUser, "alice") || !reserved[0].in(event.StreamDecision, event.FormatID(q.Decision.ID)) {
		t.Fatalf("%d reservations", len(reserved))
	}
	m, err := reserved[0].Message()
	if err != nil {
		t.Fatal(err)
	}
	if s := m.(*event.SessionReserved); s.Login != q.Decision.ID || s.User != "Alice" || s.Client != "wlan" || s.NotAfterUnix != start.Add(reservationTerm).Unix() {
		t.Errorf("%v", s)
	}
	r.accept(r.alice())
	rec := r.deny(r.alice(), event.Reject, trace.SessionLimit)
	if s := rec.step(trace.SessionsFull); s == nil || string(s.Detail) != "2" {
		t.Errorf("%s", rec.words())
	}
	if s := rec.step(trace.SessionsCounted); s == nil || string(s.Subject) != "2" || string(s.Detail) != "2" {
		t.Errorf("%s", rec.words())
	}
	r.accept(r.request("bob", "builder")) // has no limit
}

func TestSessionTakesThePlaceOfItsReservation(t *testing.T) {
	r := limited(t, "1")
	q := r.alice()
	r.accept(q)
	a := r.start("s1")
	a.Record.Login = q.Decision.ID
	r.lane.Account(a)
	if n := r.people.CountSessions("alice", r.clock.Now()); n != 1 {
		t.Errorf("a login and its session count %d", n)
	}
	r.deny(r.alice(), event.Reject, trace.SessionLimit)
	r.lane.Account(r.record(event.StatusStop, "s1"))
	r.accept(r.alice())
}

func TestAnswerUnderALimitWaitsForItsPlace(t *testing.T) {
	for _, audit := range []bool{false, true} {
		r := limited(t, "1")
		if audit {
			r.recordFirst()
		}
		r.log.set(func(l *memoryLog) { l.hold = true })
		q := r.alice()
		if r.lane.Authenticate(q) || r.inbox.decided(q) != 0 {
			t.Fatalf("answered before the place is reserved: %+v", q.Decision)
		}
		r.log.release()
		r.once(q, false, 0)
		if q.Decision.Verdict != event.Accept || len(q.Decision.Released) == 0 {
			t.Errorf("%+v", q.Decision)
		}
	}
}

// TestOneOfTwoGetsTheLastPlace lets two lanes count a free place before either has reserved it.
func TestOneOfTwoGetsTheLastPlace(t *testing.T) {
	r := limited(t, "1")
	r.log.set(func(l *memoryLog) { l.hold = true })
	first, second := r.alice(), r.alice()
	if r.lane.Authenticate(first) || r.engine.NewLane().Authenticate(second) {
		t.Fatal("decided before the log has decided")
	}
	r.log.release()
	if first.Decision.Verdict != event.Accept || second.Decision.Reason != trace.SessionLimit {
		t.Errorf("%s and %s", first.Decision.Reason, second.Decision.Reason)
	}
	// The same with real concurrency.
	r = limited(t, "3")
	var lanes sync.WaitGroup
	logins := make([]*Request, 16)
	for i := range logins {
		logins[i] = r.alice()
		lane := r.engine.NewLane()
		lanes.Go(func() { lane.Authenticate(logins[i]) })
	}
	lanes.Wait()
	accepted := 0
	for _, q := range logins {
		if q.Decision.Verdict == event.Accept {
			accepted++
		}
	}
	if accepted != 3 {
		t.Errorf("%d have the 3 places", accepted)
	}
}

func TestLimitedLoginWithoutTheLogIsDiscarded(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(l *memoryLog)
		reason trace.Reason
	}{
		{"no leader", func(l *memoryLog) { l.leaderless = true }, trace.LogNoLeader},
		{"busy", func(l *memoryLog) { l.refuse = ErrBusy }, trace.LogNotRecorded},
		{"lost", func(l *memoryLog) { l.lose = errLost }, trace.LogNotRecorded},
	} {
		r := limited(t, "1")
		r.log.set(c.change)
		q := r.alice()
		if d := r.decide(q); d.Verdict != event.Discard || d.Reason != c.reason || len(d.Replies) > 0 {
			t.Errorf("%s: %s %s", c.name, d.Verdict, d.Reason)
		}
		r.accept(r.request("bob", "builder")) // needs nothing of the log
		r.log.set(func(l *memoryLog) { l.leaderless, l.refuse, l.lose = false, nil, nil })
		r.accept(r.alice())
		if n := r.engine.Stats().WaitingLogins; n != 0 {
			t.Errorf("%s: %d wait", c.name, n)
		}
	}
}

func TestPlaceThatComesAfterTheDeadlineIsNoAccept(t *testing.T) {
	r := limited(t, "1")
	r.log.set(func(l *memoryLog) { l.hold = true })
	q := r.alice()
	r.lane.Authenticate(q)
	r.clock.move(10 * time.Second)
	r.log.release()
	if q.Decision.Verdict != event.Discard || q.Decision.Reason != trace.OverloadDeadline || r.inbox.decided(q) != 1 {
		t.Errorf("%+v", q.Decision)
	}
}

// TestExpiredMeansRefusedAlsoWithoutALeader shows it from the other side: what is past its term holds no place.
func TestExpiredMeansRefusedAlsoWithoutALeader(t *testing.T) {
	r := limited(t, "1")
	r.accept(r.alice())
	r.log.set(func(l *memoryLog) { l.leaderless = true })
	r.comes(r.alice(), event.Reject, trace.SessionLimit)
	r.clock.move(reservationTerm + 2*time.Second)
	// The place is free, but nobody can hold it now: another node may.
	r.comes(r.alice(), event.Discard, trace.LogNoLeader)
	r.clock.move(-time.Hour) // a clock that is set back brings no reservation back
	r.comes(r.alice(), event.Discard, trace.LogNoLeader)

	r = limited(t, "1")
	r.lane.Account(r.start("s1"))
	r.log.set(func(l *memoryLog) { l.leaderless = true })
	r.comes(r.alice(), event.Reject, trace.SessionLimit)
	r.clock.move(30 * time.Minute)
	r.comes(r.alice(), event.Reject, trace.SessionLimit) // to the second
	r.clock.move(2 * time.Second)
	r.comes(r.alice(), event.Discard, trace.LogNoLeader)
	r.clock.move(-time.Hour)
	r.comes(r.alice(), event.Discard, trace.LogNoLeader)
}

// comes is deny where nothing can be recorded.
func (r *rig) comes(q *Request, verdict event.Verdict, reason trace.Reason) {
	r.t.Helper()
	if d := r.decide(q); d.Verdict != verdict || d.Reason != reason {
		r.t.Fatalf("%s %s, want %s %s", d.Verdict, d.Reason, verdict, reason)
	}
}

func TestClockThatJumpsLosesAndResurrectsNothing(t *testing.T) {
	r := limited(t, "2")
	r.accept(r.alice())
	r.accept(r.alice())
	r.deny(r.alice(), event.Reject, trace.SessionLimit)
	r.clock.move(time.Hour) // forwards: both reservations are over
	third := r.alice()
	r.accept(third)
	r.clock.move(-time.Hour) // back: they stay over, and the third is not lost
	r.accept(r.alice())
	r.deny(r.alice(), event.Reject, trace.SessionLimit)
	r.clock.move(time.Hour + reservationTerm + 2*time.Second)
	r.accept(r.alice())

	r = limited(t, "1")
	r.lane.Account(r.start("s1"))
	r.deny(r.alice(), event.Reject, trace.SessionLimit)
	r.clock.move(time.Hour) // the session is stale
	q := r.alice()
	r.accept(q)
	r.clock.move(-time.Hour)
	r.deny(r.alice(), event.Reject, trace.SessionLimit) // by the reservation alone
	if n := r.people.CountSessions("alice", r.engine.now()); n != 1 {
		t.Errorf("alice has %d places", n)
	}
	// News of the session make it count again, by record time.
	interim := r.record(event.StatusInterim, "s1")
	interim.Record.SessionTime = 60
	r.lane.Account(interim)
	if n := r.people.CountSessions("alice", r.engine.now()); n != 2 {
		t.Errorf("alice has %d places after news of her session", n)
	}
}

func TestNowNeverGoesBack(t *testing.T) {
	r := newRig(t, nil)
	first := r.engine.now()
	r.clock.move(-time.Hour)
	if !r.engine.now().Equal(first) {
		t.Errorf("%s", r.engine.now())
	}
	r.clock.move(time.Hour + time.Second)
	if !r.engine.now().Equal(first.Add(time.Second)) {
		t.Errorf("%s", r.engine.now())
	}
}
