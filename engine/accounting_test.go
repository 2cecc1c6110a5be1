package engine

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"trine/engine/event"
)

// start returns the Start of a session of alice's.
func (r *rig) start(session string) *Accounting { return r.record(event.StatusStart, session) }

func (r *rig) record(status uint32, session string) *Accounting {
	q := r.request("ally", "")
	a := &Accounting{Client: q.Client, Cache: q.Cache, Arrived: r.clock.Now(), Done: r.inbox, HasTime: true}
	a.Record = event.AccountedView{
		NAS: []byte("ap1"), SessionID: []byte(session), Status: status, UserName: []byte("ally"), Calling: []byte("AA-BB-CC-DD-EE-FF"),
		EventUnix: r.clock.Now().Unix(), FramedIP: []byte{10, 1, 2, 3},
	}
	return a
}

func TestAccountingRecordIsStoredAndAcknowledgedAfterItsCommit(t *testing.T) {
	r := newRig(t, nil)
	r.log.set(func(l *memoryLog) { l.hold = true })
	a := r.start("s1")
	r.lane.Account(a)
	if n := r.inbox.accounted(a); n != 0 {
		t.Fatalf("acknowledged %d times before the commit", n)
	}
	r.log.release()
	if n := r.inbox.accounted(a); n != 1 || a.Err != nil || a.Duplicate {
		t.Fatalf("%d outcomes, %v", n, a.Err)
	}
	if n := r.people.CountSessions("alice", r.clock.Now()); n != 1 {
		t.Errorf("alice has %d sessions", n)
	}
	facts := r.log.facts(t, event.TypeAccounted)
	if len(facts) != 1 {
		t.Fatalf("%d records", len(facts))
	}
	var v event.AccountedView
	if err := v.Decode(facts[0].Body); err != nil {
		t.Fatal(err)
	}
	if string(v.User) != "Alice" || string(v.UserName) != "ally" || string(v.Client) != "wlan" || v.Key == 0 || v.StaleAfter != 1800 {
		t.Errorf("%+v", v)
	}
	id := fmt.Sprintf("%016x", event.SessionID("wlan", []byte("ap1"), []byte("s1")))
	for namespace, name := range map[string]string{
		event.StreamUser: "alice", event.StreamClient: "wlan", event.StreamNAS: "ap1", event.StreamMAC: "aa-bb-cc-dd-ee-ff", event.StreamSession: id,
	} {
		if !facts[0].in(namespace, name) {
			t.Errorf("not in the stream %s/%s", namespace, name)
		}
	}
}

func TestRepeatedAccountingRecordIsAcknowledgedAndStoredOnce(t *testing.T) {
	r := newRig(t, nil)
	for i := range 3 {
		a := r.start("s1")
		r.lane.Account(a)
		if a.Err != nil || a.Duplicate != (i > 0) {
			t.Errorf("time %d: %v, duplicate %v", i, a.Err, a.Duplicate)
		}
	}
	if n := len(r.log.facts(t, event.TypeAccounted)); n != 1 {
		t.Errorf("%d records", n)
	}
}

func TestAccountingOfAStrangerIsStoredUnderTheNameThatCame(t *testing.T) {
	r := newRig(t, nil)
	a := r.start("s1")
	r.lane.Account(a) // alice's: nothing of it may stay in the next
	a.Record.UserName, a.Record.SessionID = []byte("Nobody"), []byte("s2")
	r.lane.Account(a)
	facts := r.log.facts(t, event.TypeAccounted)
	if len(a.Record.User) != 0 || a.Err != nil || !facts[1].in(event.StreamUser, "nobody") {
		t.Errorf("user %q, %v", a.Record.User, a.Err)
	}
}

func TestAccountingThatIsNotRecordedIsNotAcknowledged(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(l *memoryLog)
		want   error
	}{
		{"busy", func(l *memoryLog) { l.refuse = ErrBusy }, ErrBusy},
		{"no leader", func(l *memoryLog) { l.leaderless = true }, ErrUnavailable},
		{"lost", func(l *memoryLog) { l.lose = errLost }, errLost},
	} {
		r := newRig(t, nil)
		r.log.set(c.change)
		a := r.start("s1")
		r.lane.Account(a)
		if n := r.inbox.accounted(a); n != 1 || !errors.Is(a.Err, c.want) || a.Duplicate {
			t.Errorf("%s: %d outcomes, %v", c.name, n, a.Err)
		}
		if n := r.lane.accounts.records.used(); n != 0 {
			t.Errorf("%s: %d slots leaked", c.name, n)
		}
	}
}

func TestVoidAccountingRecordIsNotAcknowledged(t *testing.T) {
	r := newRig(t, nil)
	a := r.start("s1")
	token, _ := r.lane.accounts.records.put(a)
	r.lane.accounts.Committed(token, Outcome{Code: event.CodeConflict})
	if !errors.Is(a.Err, ErrRefused) {
		t.Errorf("%v", a.Err)
	}
}

func TestTooManyAccountingRecordsAreBusy(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Waiting = 2 })
	r.log.set(func(l *memoryLog) { l.hold = true })
	first, second, third := r.start("s1"), r.start("s2"), r.start("s3")
	for _, a := range []*Accounting{first, second, third} {
		r.lane.Account(a)
	}
	if n := r.inbox.accounted(third); n != 1 || !errors.Is(third.Err, ErrBusy) {
		t.Errorf("%d outcomes, %v", n, third.Err)
	}
	r.log.release()
	for _, a := range []*Accounting{first, second} {
		if n := r.inbox.accounted(a); n != 1 || a.Err != nil {
			t.Errorf("%d outcomes, %v", n, a.Err)
		}
	}
	r.log.set(func(l *memoryLog) { l.hold = false })
	if r.lane.Account(third); third.Err != nil {
		t.Errorf("after the others were stored: %v", third.Err)
	}
}

// TestSlotsNeverLeakAndNothingIsDeliveredTwice drives logins and records through a log that misbehaves at random.
func TestSlotsNeverLeakAndNothingIsDeliveredTwice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t, func(c *Config) { c.Waiting = 4 })
		r.recordFirst()
		logins, records := map[*Request]bool{}, map[*Accounting]bool{} // whether the outcome came at once
		for i := range rapid.IntRange(1, 40).Draw(rt, "steps") {
			switch rapid.IntRange(0, 5).Draw(rt, "step") {
			case 0, 1:
				a := r.start(fmt.Sprint("s", i))
				r.lane.Account(a)
				records[a] = true
			case 2, 3:
				password := rapid.SampledFrom([]string{"wonderland", "rabbit"}).Draw(rt, "password")
				q := r.request("alice", password)
				logins[q] = r.lane.Authenticate(q)
			case 4:
				r.log.release()
			case 5:
				hold, refuse, lose := rapid.Bool().Draw(rt, "hold"), rapid.Bool().Draw(rt, "refuse"), rapid.Bool().Draw(rt, "lose")
				r.log.set(func(l *memoryLog) {
					l.hold, l.refuse, l.lose = hold, nil, nil
					if refuse {
						l.refuse = ErrBusy
					}
					if lose {
						l.lose = errLost
					}
				})
			}
		}
		r.log.release()
		for q, atOnce := range logins {
			n := r.inbox.decided(q)
			if atOnce && n != 0 || !atOnce && n != 1 {
				rt.Errorf("decided at once %v, delivered %d times", atOnce, n)
			}
		}
		for a := range records {
			if n := r.inbox.accounted(a); n != 1 {
				rt.Errorf("a record has %d outcomes", n)
			}
		}
		if n := r.engine.Stats().WaitingLogins + r.lane.accounts.records.used(); n != 0 {
			rt.Errorf("%d slots leaked", n)
		}
	})
}

func TestOutcomeThatComesTwiceIsFoundOut(t *testing.T) {
	s := newSlots[Request](2)
	token, _ := s.put(new(Request))
	s.take(token)
	again, _ := s.put(new(Request))
	if again == token {
		t.Error("a token is used twice")
	}
	for _, bad := range []uint64{token, 7} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("token %#x is taken", bad)
				}
			}()
			s.take(bad)
		}()
	}
}
