package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"trine/engine/event"
)

// journal collects the decisions of one lane until they are handed to the log together. It belongs to one goroutine.
type journal struct {
	builder event.Builder
	count   uint64
	first   time.Time
	last    time.Time
}

// journalBytes is the size at which a journal is handed over without waiting for its lane's next Flush.
const journalBytes = 48 << 10

func (j *journal) add(d *event.DecidedView, streams []uint64, at time.Time) {
	if j.count == 0 {
		j.builder.Reset()
		j.first = at
	}
	j.builder.AddDecided(d, streams...)
	j.count++
	j.last = at
}

// flush hands what was collected to the log. A journal that the log refuses is counted as missing.
func (j *journal) flush(to Proposer, missing *gaps) {
	if j.count == 0 {
		return
	}
	if err := to.Propose(j.builder.Bytes(), j.count); err != nil {
		missing.add(j.count, j.first, j.last, err)
	}
	j.count = 0
}

// gaps counts the decisions that could not be recorded, until a record says so.
type gaps struct {
	total atomic.Uint64 // ever
	open  atomic.Uint64 // not yet said

	mu    sync.Mutex
	from  time.Time
	until time.Time
	cause string
}

func (g *gaps) add(n uint64, from, until time.Time, cause error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open.Load() == 0 || from.Before(g.from) {
		g.from = from
	}
	if until.After(g.until) {
		g.until = until
	}
	g.cause = cause.Error()
	g.total.Add(n)
	g.open.Add(n)
}

// take returns the open gap as an event body, or nil, and closes it.
func (g *gaps) take() *event.DecisionsMissing {
	if g.open.Load() == 0 {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	m := &event.DecisionsMissing{
		Count: g.open.Swap(0), FromUnixNano: g.from.UnixNano(), UntilUnixNano: g.until.UnixNano(), Cause: g.cause,
	}
	g.from, g.until, g.cause = time.Time{}, time.Time{}, ""
	return m
}

// giveBack reopens a gap whose record could not be committed.
func (g *gaps) giveBack(m *event.DecisionsMissing, cause error) {
	g.add(m.Count, time.Unix(0, m.FromUnixNano), time.Unix(0, m.UntilUnixNano), cause)
	g.total.Add(^(m.Count - 1))
}
