package timer

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTimersFireOnceAndNeverEarly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := NewWheel()
		now := time.Duration(0)
		due := make(map[uint64]time.Duration)
		next := uint64(0)
		t.Repeat(map[string]func(*rapid.T){
			"schedule": func(t *rapid.T) {
				at := now + time.Duration(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "in"))
				w.Schedule(at, next)
				due[next] = at
				next++
			},
			"advance": func(t *rapid.T) {
				now += time.Duration(rapid.Int64Range(0, int64(15*time.Second)).Draw(t, "by"))
				w.Expire(now, func(token uint64) {
					at, ok := due[token]
					if !ok {
						t.Fatalf("timer %d fired twice", token)
					}
					if at > now {
						t.Fatalf("timer %d fired at %v, before %v", token, now, at)
					}
					delete(due, token)
				})
				for token, at := range due {
					if at+2*Tick <= now {
						t.Fatalf("timer %d of %v has not fired at %v", token, at, now)
					}
				}
			},
			"": func(t *rapid.T) {
				at, ok := w.Due()
				if ok != (len(due) > 0) {
					t.Fatalf("due says %v with %d timers", ok, len(due))
				}
				for _, d := range due {
					if ok && at > max(d, now)+2*Tick {
						t.Fatalf("the wheel wants to be called at %v for a timer of %v", at, d)
					}
				}
			},
		})
	})
}
