package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"trine/engine/event"
)

// journal collects decisions until they are handed to the log together. It belongs to one goroutine.
type journal struct {
	builder event.Builder
	count   uint64
	first   time.Time
	last    time.Time
}

// journalBytes is the size at which a journal is handed over without waiting for its lane's next Flush. One more decision fits
// into a record of the log beside it.
const journalBytes = 48 << 10

// add adds the decision on a request, with what it changes of failures, and reports whether the journal should be handed over now.
func (j *journal) add(d *event.DecidedView, r *Request) (full bool) {
	if j.count == 0 {
		j.builder.Reset()
		j.first = r.Arrived
	}
	j.builder.AddDecided(d)
	r.addFailure(&j.builder)
	j.count++
	j.last = r.Arrived
	return j.builder.Len() >= journalBytes
}

// flush hands what was collected to the log. A journal that the log refuses is counted as missing.
func (j *journal) flush(to Proposer, missing *gaps) {
	if j.count == 0 {
		return
	}
	if err := to.Propose(j.builder.Bytes(), journalToken(j.count, j.first)); err != nil {
		missing.add(j.count, j.first, j.last, err)
	}
	j.count = 0
}

// A journal's token says what is missing if it is not committed: in the low 20 bits how many decisions, above that when the first
// came, in unix milliseconds. A journal never holds 2^20 decisions, as its bytes are bounded.
const journalCountBits = 20

func journalToken(count uint64, first time.Time) uint64 {
	return uint64(first.UnixMilli())<<journalCountBits | count
}

func parseJournalToken(token uint64) (count uint64, first time.Time) {
	return token & (1<<journalCountBits - 1), time.UnixMilli(int64(token >> journalCountBits))
}

// decisionsCommitted learns what became of journals.
type decisionsCommitted struct{ e *Engine }

// Committed implements Completion.
func (d decisionsCommitted) Committed(token uint64, o Outcome) {
	if err := o.failure(); err != nil {
		count, first := parseJournalToken(token)
		d.e.missing.add(count, first, d.e.clock(), err)
	}
}

// sharedJournal is a journal that many goroutines add to. Nothing is proposed under its lock.
type sharedJournal struct {
	mu      sync.Mutex
	journal *journal
	spare   *journal // nil while it is handed over
}

func (s *sharedJournal) add(d *event.DecidedView, r *Request) (full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.journal.add(d, r)
}

func (s *sharedJournal) flush(to Proposer, missing *gaps) {
	s.mu.Lock()
	j := s.journal
	if j.count == 0 {
		s.mu.Unlock()
		return
	}
	if s.journal, s.spare = s.spare, nil; s.journal == nil {
		s.journal = new(journal)
	}
	s.mu.Unlock()
	j.flush(to, missing)
	s.mu.Lock()
	s.spare = j
	s.mu.Unlock()
}

// gap is a time in which decisions could not be recorded.
type gap struct {
	count       uint64
	from, until time.Time
	cause       string // the first one
	reported    bool   // the node's log tells of it
}

func (g *gap) merge(o gap) {
	if o.count == 0 {
		return
	}
	if g.count == 0 {
		*g = o
		return
	}
	g.count += o.count
	if o.from.Before(g.from) {
		g.from, g.cause = o.from, o.cause
	}
	if o.until.After(g.until) {
		g.until = o.until
	}
	g.reported = g.reported || o.reported
}

func (g *gap) event() *event.DecisionsMissing {
	return &event.DecisionsMissing{
		Count: g.count, FromUnixNano: g.from.UnixNano(), UntilUnixNano: g.until.UnixNano(), Cause: g.cause,
	}
}

// gaps counts the decisions that could not be recorded, until a record says so. At most one such record is under way.
type gaps struct {
	total atomic.Uint64 // ever
	some  atomic.Bool   // there may be an open one: spares Flush the lock

	mu   sync.Mutex
	open gap
	said gap // under way
}

func (g *gaps) add(n uint64, from, until time.Time, cause error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open.merge(gap{count: n, from: from, until: until, cause: cause.Error()})
	g.total.Add(n)
	g.some.Store(true)
}

// unreported returns the open gap if nobody was told of it yet.
func (g *gaps) unreported() (gap, bool) {
	if !g.some.Load() {
		return gap{}, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open.count == 0 || g.open.reported {
		return gap{}, false
	}
	g.open.reported = true
	return g.open, true
}

// take returns the open gap for a record to be made of it, unless there is none or one is under way; settle must follow.
func (g *gaps) take() *event.DecisionsMissing {
	if !g.some.Load() {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open.count == 0 || g.said.count > 0 {
		return nil
	}
	g.said, g.open = g.open, gap{}
	g.some.Store(false)
	return g.said.event()
}

// settle ends what take began. With an error the gap is open again.
func (g *gaps) settle(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.open.merge(g.said)
		g.some.Store(true)
	}
	g.said = gap{}
}

// gapCommitted learns what became of the record of a gap.
type gapCommitted struct{ e *Engine }

// Committed implements Completion.
func (c gapCommitted) Committed(_ uint64, o Outcome) { c.e.missing.settle(o.failure()) }
