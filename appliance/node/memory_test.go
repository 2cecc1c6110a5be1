package node

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestGarbageIsBounded(t *testing.T) {
	for _, c := range []struct {
		live    uint64
		percent int
	}{
		{0, 100}, {20 << 20, 100}, {garbage, 100}, {2 * garbage, 50}, {1 << 30, 12}, {100 << 30, leastPercent},
	} {
		if got := garbagePercent(c.live); got != c.percent {
			t.Errorf("%d bytes that live: found %d%%, want %d%%", c.live, got, c.percent)
		}
	}
}

// gogc returns the collector's percentage.
func gogc() int {
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(s)
	return int(s[0].Value.Uint64())
}

func TestGarbageIsBoundedByWhatLives(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	run := func(t *testing.T, want func() bool) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			boundGarbage(ctx)
		}()
		for deadline := time.Now().Add(20 * time.Second); !want(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("the percentage is %d", gogc())
				break
			}
		}
		cancel()
		<-ended
		if got := gogc(); got != 100 {
			t.Errorf("afterwards the percentage is %d", got)
		}
	}
	rows := make([]byte, 4*garbage) // nobody writes to it, so it takes no memory
	runtime.GC()
	run(t, func() bool { return gogc() <= 25 })
	runtime.KeepAlive(rows)

	t.Run("unless somebody else decided", func(t *testing.T) {
		t.Setenv("GOGC", "70")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if boundGarbage(ctx); ctx.Err() != nil {
			t.Error("it does not leave the collector alone")
		}
	})
}
