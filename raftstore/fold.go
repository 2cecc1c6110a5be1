package raftstore

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// folded is the store's own replicated state: what a SEAL keeps beside the Machine's rows.
type folded struct {
	index   uint64 // last applied entry
	last    int64  // its time
	chain   [sha256.Size]byte
	level   uint16
	windows map[uint64]*window
	epochs  registry
}

// fold is raft's state machine: it checks and opens batches, hands the records to the Machine, and tells waiters. Its methods
// run on raft's one goroutine for that.
type fold struct {
	machine Machine
	node    uint64
	boot    uint64
	batcher *batcher
	notes   *notes
	stats   *counters
	fatal   func(error)
	freeze  func(*fold) (raft.FSMSnapshot, error)
	install func() error // see Restore
	raised  func(level uint16)
	reads   uint16 // the highest feature level that this node reads
	digests *digests
	grown   func(bytes, records int) // the log has grown by this since the last call

	folded
	shared atomic.Pointer[registry] // folded.epochs for readers
	at     applied
	again  uint64 // entries up to it that come again have been applied
	failed bool   // Fatal returned, as it does in tests: nothing is applied any more

	env       envelope
	entry     Entry
	results   []Result
	responses []any
}

var (
	_ raft.BatchingFSM = (*fold)(nil)
	_ raft.FSM         = (*fold)(nil)
)

// applySlice is how long entries are applied before others may have the core: raft hands over a whole group at once.
const applySlice = 200 * time.Microsecond

// ApplyBatch implements raft.BatchingFSM.
func (f *fold) ApplyBatch(logs []*raft.Log) []any {
	start := time.Now()
	for _, l := range logs {
		f.apply(l)
		if took := time.Since(start); took >= applySlice {
			f.stats.applyNanos.Add(uint64(took))
			runtime.Gosched()
			start = time.Now()
		}
	}
	if !f.failed {
		f.at.set(f.index, f.last)
	}
	f.stats.applyNanos.Add(uint64(time.Since(start)))
	for len(f.responses) < len(logs) {
		f.responses = append(f.responses, nil)
	}
	return f.responses[:len(logs)]
}

// Apply implements raft.FSM.
func (f *fold) Apply(l *raft.Log) any {
	f.ApplyBatch([]*raft.Log{l})
	return nil
}

// Snapshot implements raft.FSM.
func (f *fold) Snapshot() (raft.FSMSnapshot, error) { return f.freeze(f) }

// Restore implements raft.FSM. Raft calls it to install a leader's seal, which it has received. The seal takes the place of this node's by one rename, and
// is loaded when the store is opened again; until then nothing is applied. A failure ends the process.
func (f *fold) Restore(r io.ReadCloser) error {
	_ = r.Close() // nothing is read through it
	if err := f.install(); err != nil {
		f.stop(err)
		return err
	}
	return nil
}

func (f *fold) stop(err error) {
	f.failed = true
	f.fatal(err)
}

func (f *fold) apply(l *raft.Log) {
	if f.failed {
		return
	}
	if l.Index <= f.again {
		return
	}
	if l.Index <= f.index {
		f.stop(fmt.Errorf("apply log: expected an entry after %d, found entry %d", f.index, l.Index))
		return
	}
	f.index = l.Index
	if l.Type != raft.LogCommand {
		return
	}
	if err := f.env.decode(l.Data); err != nil {
		f.stop(fmt.Errorf("apply entry %d: %w", l.Index, err))
		return
	}
	if f.env.level > f.reads {
		f.stop(fmt.Errorf("apply entry %d: %w: feature level: expected at most %d, found %d; upgrade this node", l.Index, errEnvelope, f.reads, f.env.level))
		return
	}
	f.link(l)
	// The leader stamps a time that does not go back, but a new leader cannot know the times that it has not applied yet.
	// All nodes see the same entries, so all correct them alike.
	if f.env.time < f.last {
		f.notes.clamp(l.Index, f.last)
	}
	f.last = max(f.last, f.env.time)
	f.grown(len(l.Data), len(f.env.records))

	w := f.windows[f.env.node]
	if w == nil {
		w = new(window)
		f.windows[f.env.node] = w
	}
	if !w.admit(f.env.epoch, f.env.seq) {
		f.notes.skip(l.Index)
		f.stats.duplicates.Add(1)
		return
	}
	f.records(l)
	if slices.Contains(f.env.kinds, kindDigest) && !f.failed {
		f.noteDigest(l.Index)
	}
	f.stats.entries.Add(1)
	f.stats.records.Add(uint64(len(f.env.records)))
}

// link extends the hash chain by an entry.
func (f *fold) link(l *raft.Log) {
	h := sha256.New()
	var at [8]byte
	binary.LittleEndian.PutUint64(at[:], l.Index)
	h.Write(f.chain[:])
	h.Write(at[:])
	h.Write(l.Data)
	h.Sum(f.chain[:0])
}

// records folds the records of the batch in f.env and tells their waiters.
func (f *fold) records(l *raft.Log) {
	e := &f.entry
	*e = Entry{
		Index: l.Index, Term: l.Term, Time: time.Unix(0, f.last).UTC(), Level: f.env.level, Node: f.env.node,
		Records: e.Records[:0],
	}
	for i, r := range f.env.records {
		if f.env.kinds[i] == kindMachine {
			e.Records = append(e.Records, r)
			continue
		}
		if err := f.own(f.env.kinds[i], r); err != nil {
			f.stop(fmt.Errorf("apply entry %d: %w", l.Index, err))
			return
		}
	}
	f.results = f.results[:0]
	for range e.Records {
		f.results = append(f.results, Result{})
	}
	if len(e.Records) > 0 {
		f.machine.Apply(e, f.results)
	}
	f.noteVoid(l.Index)
	if f.env.node == f.node && f.env.epoch == f.boot {
		if b := f.batcher.committed(f.env.seq); b != nil {
			f.at.set(f.index, f.last) // whoever is told can read it
			f.tell(b, l.Index)
		}
	}
}

// noteVoid remembers which records of the entry were void. Records of the store count in the ordinals, and are never void.
func (f *fold) noteVoid(index uint64) {
	at := 0
	for i, k := range f.env.kinds {
		if k != kindMachine {
			continue
		}
		if f.results[at].Code != Applied {
			f.notes.void(index, uint32(i))
			f.stats.void.Add(1)
		}
		at++
	}
}

func (f *fold) tell(b *batch, index uint64) {
	facts := uint32(0)
	at := 0
	for i, w := range b.waiters {
		position := Position{Index: index, Offset: facts}
		var r Result
		if f.env.kinds[i] == kindMachine {
			r = f.results[at]
			at++
			facts += uint32(f.machine.Count(f.env.records[i]))
		}
		if w.w != nil {
			w.w.Committed(w.token, position, r, nil)
		}
	}
	f.batcher.told(b)
}

// own folds a record of the store.
func (f *fold) own(k kind, r []byte) error {
	switch k {
	case kindCut, kindRemove:
		class, number, ok := decodeEpochRecord(r)
		if !ok {
			return fmt.Errorf("%w: record of an epoch: found % x", errEnvelope, r)
		}
		if k == kindCut {
			f.epochs = f.epochs.cut(class, number, f.index, f.last)
		} else {
			f.epochs = f.epochs.remove(class, number)
		}
		f.publish()
	case kindLevel:
		if len(r) != 2 {
			return fmt.Errorf("%w: record of the feature level: found % x", errEnvelope, r)
		}
		level := binary.LittleEndian.Uint16(r)
		if level > f.reads {
			return fmt.Errorf("%w: feature level: expected at most %d, found %d; upgrade this node", errEnvelope, f.reads, level)
		}
		f.level = max(f.level, level)
		f.raised(f.level)
	case kindDigest:
		if len(r) != 0 {
			return fmt.Errorf("%w: record that asks for a digest: found % x", errEnvelope, r)
		}
	}
	return nil
}

func (f *fold) publish() {
	r := f.epochs
	f.shared.Store(&r)
}

// applied is the last applied entry, for those who wait for one.
type applied struct {
	mu      sync.Mutex
	index   uint64
	time    int64
	waiters int
	moved   chan struct{}
}

func (a *applied) set(index uint64, t int64) {
	a.mu.Lock()
	a.index, a.time = index, t
	if a.waiters > 0 {
		close(a.moved)
		a.moved, a.waiters = nil, 0
	}
	a.mu.Unlock()
}

func (a *applied) get() (uint64, int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.index, a.time
}

// past returns nil if an entry past index has been applied, else a channel that is closed when more has been.
func (a *applied) past(index uint64) <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.index > index {
		return nil
	}
	if a.moved == nil {
		a.moved = make(chan struct{})
	}
	a.waiters++
	return a.moved
}
