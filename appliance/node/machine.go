package node

import (
	"runtime"
	"time"

	"trine/engine/state"
	"trine/raftstore"
)

// machine lets the log drive the views: it only translates between the two packages' types.
type machine struct{ views *state.State }

var _ raftstore.Machine = machine{}

// breath is how many records are applied before others may have the core: a few take 10 microseconds, an entry has up to 512.
const breath = 64

// Apply implements raftstore.Machine.
func (m machine) Apply(e *raftstore.Entry, results []raftstore.Result) {
	at := state.Stamp{Index: e.Index, Time: e.Time, Node: e.Node}
	for i, record := range e.Records {
		r := m.views.Apply(at, record)
		results[i] = raftstore.Result{Code: raftstore.Code(r.Code), Value: r.Value, Detail: r.Detail}
		if i%breath == breath-1 {
			runtime.Gosched()
		}
	}
}

// Facts implements raftstore.Machine.
func (machine) Facts(record []byte, yield func(raftstore.Fact)) {
	state.Facts(record, func(class uint8, streams []uint64, data []byte) {
		yield(raftstore.Fact{Class: raftstore.Class(class), Streams: streams, Data: data})
	})
}

// Count implements raftstore.Machine.
func (machine) Count(record []byte) int { return state.CountFacts(record) }

// Streams implements raftstore.Machine.
func (machine) Streams(dst []uint64, _ raftstore.Class, data []byte) []uint64 {
	return state.Streams(dst, data)
}

// ApplyFact implements raftstore.Machine.
func (m machine) ApplyFact(at raftstore.Position, t time.Time, f raftstore.Fact) {
	m.views.ApplyFact(state.Stamp{Index: at.Index, Time: t}, f.Data)
}

// Freeze implements raftstore.Machine.
func (m machine) Freeze() raftstore.Frozen { return frozen{m.views.Freeze()} }

// Load implements raftstore.Machine.
func (m machine) Load(next func() (key, value []byte, ok bool, err error)) error {
	return m.views.Load(next)
}

// Digest implements raftstore.Machine.
func (m machine) Digest() raftstore.Digest { return m.views.Digest() }

type frozen struct{ *state.Frozen }

func (f frozen) Digest() raftstore.Digest { return f.Frozen.Digest() }
