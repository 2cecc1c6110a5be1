package engine

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"trine/engine/event"
	"trine/engine/trace"
)

func TestDecisionIsFoundByEachOfItsStreams(t *testing.T) {
	r := newRig(t, nil)
	q := r.request("ALLY", "wonderland")
	q.Called = []byte("ssid")
	r.clock.move(3 * time.Millisecond)
	r.accept(q)
	rec := r.recorded(q)
	for namespace, name := range map[string]string{
		event.StreamUser: "alice", event.StreamClient: "wlan", event.StreamNAS: "ap1", event.StreamMAC: "aa-bb-cc-dd-ee-ff",
		event.StreamDecision: event.FormatID(q.Decision.ID),
	} {
		if !rec.in(namespace, name) {
			t.Errorf("not in the stream %s/%s", namespace, name)
		}
	}
	v := rec.DecidedView
	if string(v.Client) != "wlan" || string(v.Protocol) != "radius" || string(v.NAS) != "ap1" || string(v.Called) != "ssid" || v.NASPort != 7 ||
		string(v.Source) != "\x0a\x00\x00\x01" || v.AtUnixNano != start.UnixNano() || v.PolicyIndex != q.Cache.Index || v.TookMicros != 3000 {
		t.Errorf("%+v", v)
	}
	q = r.request("Nobody", "x")
	q.NAS = []byte{192, 0, 2, 1} // a packed address is found as people write it
	r.deny(q, event.Reject, trace.UserUnknown)
	if rec := r.recorded(q); !rec.in(event.StreamUser, "nobody") || !rec.in(event.StreamNAS, "192.0.2.1") {
		t.Error("a stranger's decision is not found by what came")
	}
}

func TestStepsThatHadNoRoomAreCounted(t *testing.T) {
	r := newRig(t, nil)
	q := r.request("alice", "wrong")
	r.deny(q, event.Reject, trace.PasswordWrong)
	for range 2 * trace.MaxSteps {
		q.trace.Add(trace.RealmUnlike, "x", "")
	}
	var d event.DecidedView
	r.engine.describe(q, &d)
	last := d.Steps[len(d.Steps)-1]
	if len(d.Steps) != trace.MaxSteps+1 || last.Code != uint32(trace.StepsLeftOut) || string(last.Subject) == "" || string(last.Subject) == "0" {
		t.Errorf("%d steps, the last is %d %s", len(d.Steps), last.Code, last.Subject)
	}
}

func TestOneAcceptInManyIsTraced(t *testing.T) {
	for n, want := range map[int]int{0: 0, 1: 12, 4: 3} {
		r := newRig(t, func(c *Config) { c.TraceAccepts = n })
		traced := 0
		for i := range 12 {
			name, password := "alice", "wonderland"
			if i%2 == 1 {
				name, password = "bob", "builder" // the first is decided elsewhere
			}
			q := r.request(name, password)
			r.accept(q)
			if rec := r.recorded(q); len(rec.Steps) > 0 {
				traced++
				if rec.step(trace.UserFound) == nil || rec.step(trace.AttributeAllowed) == nil {
					t.Errorf("the trace of an accept is not whole: %s", rec.words())
				}
			}
		}
		if traced != want {
			t.Errorf("one in %d: %d of 12 accepts are traced, want %d", n, traced, want)
		}
	}
}

// recordFirst makes the client one whose logins are answered after their record.
func (r *rig) recordFirst() {
	r.apply("{kind: ServiceProvider, name: wlan, spec: {type: radius, audit: before-answer, radius: {sourceIPs: [10.0.0.0/8], secret: one}}}")
}

func TestAnswerWaitsForItsRecord(t *testing.T) {
	r := newRig(t, nil)
	r.recordFirst()
	for name, password := range map[string]string{"alice": "wonderland", "nobody": "x", "bob": "builder"} {
		r.log.set(func(l *memoryLog) { l.hold = true })
		q := r.request(name, password)
		if r.lane.Authenticate(q) || r.inbox.decided(q) != 0 {
			t.Fatalf("%s: answered before the record is committed: %+v", name, q.Decision)
		}
		if n := r.engine.Stats().WaitingLogins; n != 1 {
			t.Errorf("%d logins wait", n)
		}
		r.log.release()
		r.once(q, false, 0)
		want := event.Accept
		if name == "nobody" {
			want = event.Reject
		}
		if q.Decision.Verdict != want || r.recorded(q).Verdict != want {
			t.Errorf("%s: %+v", name, q.Decision)
		}
	}
	if n := len(r.log.decisions(t)); n != 3 {
		t.Errorf("%d records of 3 decisions", n)
	}
}

func TestAnswerWhoseRecordTheLogRefusesIsDiscarded(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(l *memoryLog)
		reason trace.Reason
	}{
		{"busy", func(l *memoryLog) { l.refuse = ErrBusy }, trace.LogNotRecorded},
		{"unavailable", func(l *memoryLog) { l.refuse = ErrUnavailable }, trace.LogNotRecorded},
		{"no leader", func(l *memoryLog) { l.leaderless = true }, trace.LogNoLeader},
		{"lost", func(l *memoryLog) { l.lose = errLost }, trace.LogNotRecorded},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.recordFirst()
			r.log.set(c.change)
			for _, q := range []*Request{r.request("alice", "wonderland"), r.request("bob", "builder"), r.request("alice", "wrong")} {
				d := r.decide(q)
				if d.Verdict != event.Discard || d.Reason != c.reason || len(d.Replies) > 0 || len(d.Released) > 0 {
					t.Errorf("%s %s", d.Verdict, d.Reason)
				}
			}
			if s := r.engine.Stats(); s.DecisionsMissing != 3 || s.WaitingLogins != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestDiscardWaitsForNoRecord(t *testing.T) {
	r := newRig(t, nil)
	r.recordFirst()
	r.bench.set(func(b *bench) { b.fail = errLost })
	r.log.set(func(l *memoryLog) { l.hold = true })
	q := r.request("bob", "builder")
	r.lane.Authenticate(q)
	if q.Decision.Verdict != event.Discard || r.inbox.decided(q) != 1 {
		t.Errorf("%+v", q.Decision)
	}
}

func TestTooManyThatWaitAreDiscarded(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Waiting = 2 })
	r.recordFirst()
	r.log.set(func(l *memoryLog) { l.hold = true })
	var waiting []*Request
	for range 2 {
		q := r.request("alice", "wonderland")
		waiting = append(waiting, q)
		if r.lane.Authenticate(q) {
			t.Fatal("decided at once")
		}
	}
	q := r.request("alice", "wonderland")
	if !r.lane.Authenticate(q) || q.Decision.Verdict != event.Discard || q.Decision.Reason != trace.LogNotRecorded {
		t.Errorf("%+v", q.Decision)
	}
	r.log.release()
	for _, q := range waiting {
		r.once(q, false, 0)
	}
	if n := r.engine.Stats().WaitingLogins; n != 0 {
		t.Errorf("%d wait", n)
	}
}

// gapsOf returns how many decisions the log says are missing, and in how many records.
func (r *rig) gapsOf() (count uint64, records int, last *event.DecisionsMissing) {
	for _, f := range r.log.facts(r.t, event.TypeDecisionsMissing) {
		m, err := f.Message()
		if err != nil {
			r.t.Fatal(err)
		}
		last = m.(*event.DecisionsMissing)
		count += last.Count
		records++
	}
	return count, records, last
}

func TestMissingDecisionsAreCountedAndSaidOnce(t *testing.T) {
	for _, c := range []struct {
		name string
		down func(l *memoryLog)
	}{
		{"no leader", func(l *memoryLog) { l.leaderless = true }},
		{"busy", func(l *memoryLog) { l.refuse = ErrBusy }},
		{"lost", func(l *memoryLog) { l.lose = errLost }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var text strings.Builder
			r := newRig(t, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&text, nil)) })
			r.accept(r.request("alice", "wonderland"))
			r.lane.Flush()
			r.log.set(c.down)
			r.clock.move(time.Second)
			for range 5 {
				r.accept(r.request("alice", "wonderland"))
			}
			r.lane.Flush()
			r.clock.move(time.Second)
			r.accept(r.request("bob", "builder"))
			for range 10 {
				r.engine.Flush()
			}
			if n := r.engine.Stats().DecisionsMissing; n != 6 {
				t.Errorf("%d are missing, want 6", n)
			}
			if _, n, _ := r.gapsOf(); n != 0 {
				t.Errorf("%d records of a gap while the log is down", n)
			}
			r.log.set(func(l *memoryLog) { l.leaderless, l.refuse, l.lose = false, nil, nil })
			for range 10 {
				r.engine.Flush()
			}
			count, records, last := r.gapsOf()
			if count != 6 || records != 1 || r.people.Counts().Missing != 6 || r.engine.Stats().DecisionsMissing != 6 {
				t.Fatalf("%d in %d records", count, records)
			}
			from, until := time.Unix(0, last.FromUnixNano), time.Unix(0, last.UntilUnixNano)
			if !from.Equal(start.Add(time.Second)) || until.Before(start.Add(2*time.Second)) || last.Cause == "" {
				t.Errorf("from %s until %s because %q", from, until, last.Cause)
			}
			if n := strings.Count(text.String(), "could not be recorded"); n < 1 || n > 2 {
				t.Errorf("told %d times: %s", n, text.String())
			}
			if n := len(r.log.decisions(t)); n != 1 {
				t.Errorf("%d decisions are recorded, want 1", n)
			}
		})
	}
}

func TestOnlyOneRecordOfAGapIsUnderWay(t *testing.T) {
	r := newRig(t, nil)
	r.engine.missing.add(3, start, start, errLost)
	r.log.set(func(l *memoryLog) { l.hold = true })
	r.engine.Flush()
	r.engine.missing.add(4, start, start, errLost)
	r.engine.Flush()
	if n := len(r.log.queue); n != 1 {
		t.Errorf("%d records under way", n)
	}
	r.log.set(func(l *memoryLog) { l.lose = errLost })
	r.log.release()
	r.log.set(func(l *memoryLog) { l.lose, l.hold = nil, false })
	r.engine.Flush()
	r.engine.Flush()
	if count, records, _ := r.gapsOf(); count != 7 || records != 1 {
		t.Errorf("%d in %d records, want 7 in one", count, records)
	}
}

func TestFullJournalIsHandedOverBeforeItsFlush(t *testing.T) {
	r := newRig(t, nil)
	for range 1000 {
		r.accept(r.request("alice", "wonderland"))
	}
	n := len(r.log.decisions(t))
	if n == 0 || n == 1000 {
		t.Errorf("%d of 1000 recorded before a flush", n)
	}
	r.lane.Flush()
	if n := len(r.log.decisions(t)); n != 1000 {
		t.Errorf("%d of 1000 recorded", n)
	}
	for range 1000 {
		r.request("bob", "builder")
		r.accept(r.request("bob", "builder"))
	}
	r.lane.Flush()
	r.engine.Flush()
	if n := len(r.log.decisions(t)); n != 2000 {
		t.Errorf("%d of 2000 recorded", n)
	}
}
