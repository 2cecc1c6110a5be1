package timer

import (
	"sync/atomic"
	"time"
)

// Loop is an event loop as an Alarm sees it.
type Loop interface {
	// Wake makes the loop run soon; any goroutine may call it, any number of times.
	Wake()
	// Due returns when the loop's earliest timer is due, in nanoseconds since the alarm's start, or Never.
	Due() int64
}

// Alarm wakes loops with timers due. It is one goroutine for all loops of an engine; it sleeps until the earliest timer and
// does not run at all when there is none.
type Alarm struct {
	start time.Time
	clock func() time.Time
	until atomic.Int64 // what the goroutine sleeps until, nanoseconds since start
	kick  chan struct{}
	stop  chan struct{}
}

// NewAlarm returns an alarm whose times are counted from start, by the given clock.
func NewAlarm(start time.Time, clock func() time.Time) *Alarm {
	a := &Alarm{start: start, clock: clock, kick: make(chan struct{}, 1), stop: make(chan struct{})}
	a.until.Store(Never)
	return a
}

// Set tells that a timer is due at the given nanoseconds since start.
func (a *Alarm) Set(due int64) {
	if due >= a.until.Load() {
		return
	}
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// Run wakes loops until Stop.
func (a *Alarm) Run(loops []Loop) {
	sleep := time.NewTimer(time.Hour)
	defer sleep.Stop()
	for {
		// Announce that every new timer must kick before reading the timers: one set meanwhile is then seen one way or the other.
		a.until.Store(Never)
		earliest := Never
		now := int64(a.clock().Sub(a.start))
		for _, l := range loops {
			due := l.Due()
			if due <= now {
				// The loop stores its next due time when it has run. Until then a further wake is cheap, but not needed at once.
				l.Wake()
				due = now + int64(Tick)
			}
			earliest = min(earliest, due)
		}
		a.until.Store(earliest)
		wait := time.Hour
		if earliest != Never {
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

// Stop ends Run. It is called once.
func (a *Alarm) Stop() { close(a.stop) }
