package credential

import (
	"testing"
	"time"

	"trine/engine/trace"
)

func TestGuessingIsHeldBack(t *testing.T) {
	limits := Limits{UserBurst: 3, UserPerMinute: 6, UserUnderWay: 2, SourceBurst: 5, SourcePerMinute: 60, SourceUnderWay: 4}
	guess := func(f *fixture, t *testing.T, n int, user *Stored, name, source string) (reasons []trace.Reason) {
		t.Helper()
		for range n {
			a := pap("guess", user)
			a.Name, a.Source = []byte(name), []byte(source)
			reasons = append(reasons, f.run(t, a).Reason)
		}
		return reasons
	}
	t.Run("one user", func(t *testing.T) {
		f := newFixture(t, func(c *Config) { c.Limits = limits })
		u := f.user(t, 1, "alice", "right", DefaultKeep())
		for i, r := range guess(f, t, 5, u, "alice", "") {
			want := trace.PasswordWrong
			if i >= 3 {
				want = trace.OverloadThrottled
			}
			if r != want {
				t.Errorf("guess %d: %s", i, r)
			}
		}
		f.clock.now = f.clock.now.Add(10 * time.Second)
		if o := f.run(t, pap("right", u)); o.Status != Matched {
			t.Errorf("after ten seconds: %+v", o)
		}
	})
	t.Run("one unknown name", func(t *testing.T) {
		f := newFixture(t, func(c *Config) { c.Limits = limits })
		got := append(guess(f, t, 3, nil, "Nobody", ""), guess(f, t, 1, nil, "NOBODY", "")...)
		if got[2] != trace.UserUnknown || got[3] != trace.OverloadThrottled {
			t.Errorf("%v", got)
		}
		if got := guess(f, t, 1, nil, "another", ""); got[0] != trace.UserUnknown {
			t.Errorf("another name: %v", got)
		}
	})
	t.Run("one source, many names", func(t *testing.T) {
		f := newFixture(t, func(c *Config) { c.Limits = limits })
		for i := range 7 {
			got := guess(f, t, 1, nil, string(rune('a'+i)), "nas")
			if want := map[bool]trace.Reason{true: trace.UserUnknown, false: trace.OverloadThrottled}[i < 5]; got[0] != want {
				t.Errorf("guess %d: %v", i, got)
			}
		}
		if got := guess(f, t, 1, nil, "x", "other nas"); got[0] != trace.UserUnknown {
			t.Errorf("another source: %v", got)
		}
	})
	t.Run("good passwords cost nothing", func(t *testing.T) {
		f := newFixture(t, func(c *Config) { c.Limits, c.CacheSize = limits, -1 })
		u := f.user(t, 1, "alice", "right", DefaultKeep())
		for i := range 20 {
			a := pap("right", u)
			a.Source = []byte("nas")
			if o := f.run(t, a); o.Status != Matched {
				t.Fatalf("login %d: %+v", i, o)
			}
		}
	})
	t.Run("too many at once", func(t *testing.T) {
		f := newFixture(t, func(c *Config) { c.Limits = limits })
		u := f.user(t, 1, "alice", "right", DefaultKeep())
		for i, password := range []string{"a", "b", "c"} {
			o := f.Verify(pap(password, u))
			if i < 2 && o.Status != Pending || i == 2 && o.Reason != trace.OverloadQueueFull {
				t.Errorf("attempt %d: %+v", i, o)
			}
		}
		f.bench.work(nil)
		if o := f.Verify(pap("c", u)); o.Status != Pending {
			t.Errorf("when they are done: %+v", o)
		}
	})
}

func TestBucketTableStaysBoundedAndForgetsTheFullest(t *testing.T) {
	var b buckets
	b.init(2, 0, 2)
	now := time.Unix(1e9, 0)
	if b.enter(limitSets, now) != entered {
		t.Fatal("refused")
	}
	b.leave(limitSets, now, true)
	for i := uint64(2); i < 100; i++ { // all in the same set
		if e := b.enter(i*limitSets, now); e != entered {
			t.Fatalf("source %d: %d", i, e)
		}
		b.leave(i*limitSets, now, false)
	}
	b.enter(limitSets, now)
	b.leave(limitSets, now, true)
	if e := b.enter(limitSets, now); e != exhausted {
		t.Errorf("a flood of new keys made the table forget a guilty one: %d", e)
	}
}
