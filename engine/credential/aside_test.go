package credential

import (
	"testing"
	"time"

	"trine/engine/trace"
)

func TestTryingOutLeavesNoMark(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Limits = Limits{UserBurst: 3, UserPerMinute: 6, UserUnderWay: 2} })
	u := f.user(t, 1, "alice", "right", DefaultKeep())
	before := f.Stats()
	aside := &fixture{Verifier: f.Aside(), bench: f.bench, clock: f.clock}
	if o := aside.run(t, pap("right", u)); o.Status != Matched || o.Form != FormArgon2id {
		t.Errorf("%+v", o)
	}
	for i := range 5 { // three failures, as for one who logs in
		want := trace.PasswordWrong
		if i >= 3 {
			want = trace.OverloadThrottled
		}
		if o := aside.run(t, pap("guess", u)); o.Reason != want {
			t.Errorf("guess %d: %+v", i, o)
		}
	}
	if after := f.Stats(); after != before {
		t.Errorf("%+v, before %+v", after, before)
	}
	if o := f.run(t, pap("right", u)); o.Status != Matched || o.Form != FormArgon2id { // neither held back nor remembered
		t.Errorf("%+v", o)
	}
}

func TestTryingOutSeesWhatIsRememberedAndHeldBack(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Limits = Limits{UserBurst: 2, UserPerMinute: 6, UserUnderWay: 2} })
	u := f.user(t, 1, "alice", "right", DefaultKeep())
	aside := &fixture{Verifier: f.Aside(), bench: f.bench, clock: f.clock}
	f.run(t, pap("right", u))
	if o := aside.run(t, pap("right", u)); o.Form != FormCache {
		t.Errorf("%+v", o)
	}
	for range 2 {
		f.run(t, pap("guess", u))
	}
	if o := aside.run(t, pap("another guess", u)); o.Reason != trace.OverloadThrottled {
		t.Errorf("%+v", o)
	}
	f.clock.now = f.clock.now.Add(10 * time.Second)
	if o := aside.run(t, pap("another guess", u)); o.Reason != trace.PasswordWrong {
		t.Errorf("after ten seconds: %+v", o)
	}
}
