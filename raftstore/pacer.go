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
)

// pacer lets others have the core again and again.
type pacer struct {
	closing func() bool // nobody is left to be disturbed
	slice   time.Duration
	since   time.Time     // it has the core
	worked  time.Duration // since it slept
}

func newPacer(closing func() bool) *pacer {
	return &pacer{closing: closing, slice: sliceMin, since: time.Now()}
}

// step is called between two pieces of work, each of which takes much less than a slice.
func (p *pacer) step() {
	now := time.Now()
	had := now.Sub(p.since)
	if had < p.slice {
		return
	}
	p.worked += had
	if p.worked >= stint && p.slice < sliceMax && !p.closing() {
		time.Sleep(pause)
		p.worked = 0
		p.since = time.Now()
		return
	}
	runtime.Gosched()
	p.since = time.Now()
	p.slice = min(max(p.since.Sub(now)/share, sliceMin), sliceMax)
}
