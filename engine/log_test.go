package engine

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"trine/engine/event"
	"trine/engine/state"
	"trine/engine/trace"
)

// memoryLog is a log of one node: it applies what is proposed at once, or holds it back.
type memoryLog struct {
	people *state.State
	clock  *clock

	mu         sync.Mutex
	at         state.Stamp
	queue      []proposal
	applying   bool
	hold       bool  // proposals stay in the queue until release
	refuse     error // what Propose says
	lose       error // the outcome of what was queued
	leaderless bool
	copies     []byte // if not nil, proposals are copied here and never applied
	done       []applied
	records    []record       // all that was applied, for nodes that join
	others     []*state.State // what the other nodes have applied
}

type record struct {
	at   state.Stamp
	data []byte
}

// took keeps a record that was applied for the other nodes. It is called under the lock.
func (l *memoryLog) took(at state.Stamp, data []byte) {
	l.records = append(l.records, record{at, data})
	for _, s := range l.others {
		s.Apply(at, data)
	}
}

// join returns the state of another node, which follows from now on; that of one that does not has stopped at a record.
func (l *memoryLog) join(last int, follows bool) *state.State {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := state.New()
	for _, r := range l.records[:len(l.records)-last] {
		s.Apply(r.at, r.data)
	}
	if follows {
		l.others = append(l.others, s)
	}
	return s
}

type proposal struct {
	to    Completion
	token uint64
	data  []byte
}

// applied is a proposal that took effect or was void.
type applied struct {
	data []byte
	code uint32
}

type memoryProposer struct {
	log *memoryLog
	to  Completion
}

func (l *memoryLog) Proposer(c Completion) Proposer { return &memoryProposer{l, c} }

func (l *memoryLog) HasLeader() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.leaderless
}

func (p *memoryProposer) Propose(data []byte, token uint64) error {
	l := p.log
	l.mu.Lock()
	switch {
	case l.refuse != nil:
		defer l.mu.Unlock()
		return l.refuse
	case l.leaderless:
		defer l.mu.Unlock()
		return ErrUnavailable
	case l.copies != nil:
		l.copies = append(l.copies[:0], data...)
		l.mu.Unlock()
		p.to.Committed(token, Outcome{Index: 1})
		return nil
	}
	l.queue = append(l.queue, proposal{p.to, token, append([]byte(nil), data...)})
	l.mu.Unlock()
	l.apply(false)
	return nil
}

// set changes how the log behaves.
func (l *memoryLog) set(change func(l *memoryLog)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

// release applies what is held back.
func (l *memoryLog) release() { l.apply(true) }

// apply applies what is queued, unless another goroutine does. Outcomes are told without a lock, as a real log does.
func (l *memoryLog) apply(held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.applying {
		return
	}
	l.applying = true
	for len(l.queue) > 0 && (held || !l.hold) {
		p := l.queue[0]
		l.queue = l.queue[1:]
		o := Outcome{Err: l.lose}
		if o.Err == nil {
			l.at.Index++
			if now := l.clock.Now(); now.After(l.at.Time) { // record time never goes backwards
				l.at.Time = now
			}
			r := l.people.Apply(l.at, p.data)
			l.took(l.at, p.data)
			o = Outcome{Index: l.at.Index, Code: r.Code, Value: r.Value, Detail: r.Detail}
			l.done = append(l.done, applied{p.data, r.Code})
		}
		l.mu.Unlock()
		p.to.Committed(p.token, o)
		l.mu.Lock()
	}
	l.applying = false
}

// fact is an event that took effect.
type fact struct {
	event.Envelope
	streams []uint64
}

func (f *fact) in(namespace, name string) bool {
	for _, s := range f.streams {
		if s == event.StreamKey(namespace, name) {
			return true
		}
	}
	return false
}

// facts returns the events of a type that took effect.
func (l *memoryLog) facts(t testing.TB, of event.Type) []fact {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []fact
	for _, a := range l.done {
		if a.code != 0 {
			continue
		}
		for rest := a.data; len(rest) > 0; {
			part, data, next, err := event.NextPart(rest)
			if err != nil {
				t.Fatal(err)
			}
			if rest = next; part != event.PartEvent {
				continue
			}
			e, err := event.ParseEvent(data)
			if err != nil {
				t.Fatal(err)
			}
			if e.Type == of {
				out = append(out, fact{e, e.AppendStreams(nil)})
			}
		}
	}
	return out
}

// decision is a recorded decision.
type decision struct {
	fact
	event.DecidedView
}

func (d *decision) step(code trace.StepCode) *event.StepView {
	for i := range d.Steps {
		if d.Steps[i].Code == uint32(code) {
			return &d.Steps[i]
		}
	}
	return nil
}

func (d *decision) words() string {
	var b strings.Builder
	for _, s := range d.Steps {
		fmt.Fprintf(&b, "%s ", trace.StepCode(s.Code).Words(string(s.Subject), string(s.Detail)))
	}
	return b.String()
}

func (l *memoryLog) decisions(t testing.TB) []decision {
	t.Helper()
	var out []decision
	for _, f := range l.facts(t, event.TypeDecided) {
		d := decision{fact: f}
		if err := d.Decode(f.Body); err != nil {
			t.Fatal(err)
		}
		out = append(out, d)
	}
	return out
}
