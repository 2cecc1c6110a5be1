package raftstore

import (
	"runtime"
	"time"
)

// A node may have one core, and Go takes it from a goroutine only after 10 milliseconds: a packet must not wait that long for a seal.
const (
	// leisure says when a seal has time: it may take until the log has grown by one part in so many of what the next seal waits for.
	leisure = 2
	// A seal that has time works for a moment and then sleeps: it takes a tenth of the core, and those who wait for an answer hardly
	// notice it. To sleep also gives what waits for the network's poller its turn, which comes only when nobody is ready to run.
	moment = 100 * time.Microsecond
	pause  = time.Millisecond
	// One that has none takes a share of the time that others then keep the core, within bounds: else a log that grows as fast as the
	// core allows would never be sealed.
	share    = 2
	sliceMin = time.Millisecond
	sliceMax = 4 * time.Millisecond
)

// pacer lets others have the core again and again.
type pacer struct {
	closing func() bool    // nobody is left to be disturbed
	grown   func() float64 // how much log has come since the seal began, 1 being what the next seal waits for
	slice   time.Duration  // of a seal that has no time
	since   time.Time      // it has the core
}

func newPacer(closing func() bool, grown func() float64) *pacer {
	return &pacer{closing: closing, grown: grown, slice: sliceMin, since: time.Now()}
}

// step is called between two pieces of work, each of which takes less than a moment; done is the part of the seal that is done, 0 to 1.
func (p *pacer) step(done float64) {
	now := time.Now()
	had := now.Sub(p.since)
	if had < moment {
		return
	}
	if done >= leisure*p.grown() && !p.closing() {
		time.Sleep(pause)
		p.since = time.Now()
		return
	}
	if had < p.slice {
		return
	}
	runtime.Gosched()
	p.since = time.Now()
	p.slice = min(max(p.since.Sub(now)/share, sliceMin), sliceMax)
}
