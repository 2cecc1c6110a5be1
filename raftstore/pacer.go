package raftstore

import (
	"runtime"
	"time"
)

// A node may have one core, and Go takes it from a goroutine only after 10 milliseconds: a packet must not wait that long for a seal.
const (
	sliceMin = 100 * time.Microsecond // that a seal works before it lets others have the core
	sliceMax = 2 * time.Millisecond   // the same where others keep the core for long
	// share of the time that a seal was kept from the core that it then may keep it: else a log that grows as fast as the core allows
	// would never be sealed.
	share = 3
	// After so long a seal sleeps, so that what waits for the network's poller gets its turn: it comes only when nobody is ready to run.
	stint = 2 * time.Millisecond
	pause = time.Millisecond
	// A seal may take until the log has grown by one part in so many of what the next seal waits for. While it is ahead of that, it sleeps
	// after each slice: it then takes a tenth of the core instead of a third, and those who wait for an answer hardly notice it.
	leisure = 2
)

// pacer lets others have the core again and again.
type pacer struct {
	closing func() bool    // nobody is left to be disturbed
	grown   func() float64 // how much log has come since the seal began, 1 being what the next seal waits for
	slice   time.Duration
	since   time.Time     // it has the core
	worked  time.Duration // since it slept
}

func newPacer(closing func() bool, grown func() float64) *pacer {
	return &pacer{closing: closing, grown: grown, slice: sliceMin, since: time.Now()}
}

// step is called between two pieces of work, each of which takes much less than a slice; done is the part of the seal that is done, 0 to 1.
func (p *pacer) step(done float64) {
	now := time.Now()
	had := now.Sub(p.since)
	if had < sliceMin {
		return
	}
	ahead := done >= leisure*p.grown()
	if had < p.slice && !ahead {
		return
	}
	p.worked += had
	if (ahead || p.worked >= stint && p.slice < sliceMax) && !p.closing() {
		time.Sleep(pause)
		p.worked = 0
		p.slice = sliceMin
		p.since = time.Now()
		return
	}
	runtime.Gosched()
	p.since = time.Now()
	p.slice = min(max(p.since.Sub(now)/share, sliceMin), sliceMax)
}
