package engine

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"trine/engine/credential"
	"trine/engine/event"
)

// TestLateDecisionsAreDeliveredOnceAndRecordedOnce runs many lanes whose decisions come from the hasher's, the log's and their own
// goroutines, while policies change and the log hands over.
func TestLateDecisionsAreDeliveredOnceAndRecordedOnce(t *testing.T) {
	r := newRig(t, func(c *Config) { c.TraceAccepts = 3 })
	r.apply("{kind: UserType, name: one, spec: {sessions: {limit: 5}}}")
	r.apply("{kind: ServiceProvider, name: audited, spec: {type: radius, audit: before-answer, radius: {sourceIPs: [10.1.0.0/16], secret: one}}}")
	for i := range 8 {
		name := fmt.Sprint("user", i)
		spec := "{}"
		if i%2 == 0 {
			spec = "{userType: one}"
		}
		r.apply("{kind: User, name: " + name + ", spec: " + spec + "}")
		r.password(name, name, credential.Keep{Argon2id: true})
	}
	r.bench.set(func(b *bench) { b.spread = true })
	const lanes, logins = 6, 60
	stop := make(chan struct{})
	var others, loops sync.WaitGroup
	others.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				r.engine.Flush()
				r.engine.Stats()
			}
		}
	})
	atOnce := make([]map[*Request]bool, lanes)
	for n := range lanes {
		atOnce[n] = map[*Request]bool{}
		lane := r.engine.NewLane()
		loops.Go(func() {
			for i := range logins {
				name := fmt.Sprint("user", (i+n)%8)
				password := name
				if i%5 == 4 {
					password = fmt.Sprint("wrong", i%3)
				}
				q := r.request(name, password)
				if i%3 == 0 {
					q.Client = q.Cache.Client("audited")
				}
				q.Deadline = time.Time{}
				atOnce[n][q] = lane.Authenticate(q)
				a := r.start(fmt.Sprint(n, "-", i))
				lane.Account(a)
				if i%7 == 0 {
					lane.Flush()
				}
			}
			lane.Flush()
		})
	}
	loops.Wait()
	for n := range atOnce {
		for q, now := range atOnce[n] {
			for !now && r.inbox.decided(q) == 0 {
				<-r.inbox.told
			}
		}
	}
	close(stop)
	others.Wait()
	r.engine.Flush()
	r.log.release()
	recorded := map[uint64]int{}
	for _, d := range r.log.decisions(t) {
		recorded[d.ID]++
	}
	for n := range atOnce {
		for q, now := range atOnce[n] {
			if got := r.inbox.decided(q); now && got != 0 || !now && got != 1 {
				t.Errorf("decided at once %v, delivered %d times", now, got)
			}
			if recorded[q.Decision.ID] != 1 {
				t.Errorf("%s %s is recorded %d times", q.Decision.Verdict, q.Decision.Reason, recorded[q.Decision.ID])
			}
			if q.Decision.Verdict == event.Discard {
				t.Errorf("discarded: %s", q.Decision.Reason)
			}
		}
	}
	if s := r.engine.Stats(); s.DecisionsMissing != 0 || s.WaitingLogins != 0 {
		t.Errorf("%+v", s)
	}
	if n := len(r.log.facts(t, event.TypeAccounted)); n != lanes*logins {
		t.Errorf("%d accounting records, want %d", n, lanes*logins)
	}
}
