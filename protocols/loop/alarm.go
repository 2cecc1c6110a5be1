package loop

import (
	"sync/atomic"
	"time"
)

// alarm wakes loops with timers due. It is one goroutine for all loops of an engine; it sleeps until the earliest timer and
// does not run at all when there is none.
type alarm struct {
	start time.Time
	clock func() time.Time
	until atomic.Int64 // what the goroutine sleeps until, nanoseconds since start
	kick  chan struct{}
	stop  chan struct{}
}

func newAlarm(start time.Time, clock func() time.Time) *alarm {
	a := &alarm{start: start, clock: clock, kick: make(chan struct{}, 1), stop: make(chan struct{})}
	a.until.Store(never)
	return a
}

// set tells that a timer is due at the given nanoseconds since start.
func (a *alarm) set(due int64) {
	if due >= a.until.Load() {
		return
	}
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// run wakes loops until stopped.
func (a *alarm) run(loops []*Loop) {
	sleep := time.NewTimer(time.Hour)
	defer sleep.Stop()
	for {
		// Announce that every new timer must kick before reading the timers: one set meanwhile is then seen one way or the other.
		a.until.Store(never)
		earliest := never
		now := int64(a.clock().Sub(a.start))
		for _, l := range loops {
			due := l.due.Load()
			if due <= now {
				// The loop stores its next due time when it has run. Until then a further wake is cheap, but not needed at once.
				l.Wake()
				due = now + int64(wheelTick)
			}
			earliest = min(earliest, due)
		}
		a.until.Store(earliest)
		wait := time.Hour
		if earliest != never {
			wait = time.Duration(earliest - now)
		}
		sleep.Reset(wait)
		select {
		case <-a.stop:
			return
		case <-a.kick:
		case <-sleep.C:
		}
	}
}
