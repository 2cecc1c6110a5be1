package raftstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"github.com/zeebo/xxh3"

	"trine/raftstore/history"
	"trine/raftstore/seal"
	"trine/raftstore/wal"
)

// Rows of the state database begin with a letter: the Machine's or the store's.
const (
	rowMachine = 'm'
	rowStore   = 's'
	// The store's own, after that: the window of a proposer, the epochs of a class.
	rowWindow = 'w'
	rowEpochs = 'e'
)

// hurry is the growth of the log, in bytes a second, above which a seal spares the processor rather than space.
const hurry = 2 << 20

// historyPart is the part of a seal's work that copying history is, more or less; the rest is rows, whose number nobody knows before.
const historyPart = 0.75

// So many facts or rows are written before a seal looks whether others should have the core. An entry of the log has hundreds of facts.
const (
	paceFacts = 32
	paceRows  = 16
)

// sealer makes seals. It is raft's snapshot store, too: it lists exactly the SEAL.
type sealer struct {
	cfg      *Config
	log      *wal.Log
	rows     *seal.Rows
	rowsDir  string
	history  *history.Set
	notes    *notes
	stats    *counters
	dir      *os.File // open for as long as the store, so that syncfs reports every failed write since
	node     uint64
	level    func() int // of free space
	closing  func() bool
	aborting func() bool // the seal under way is to be given up
	unsealed *unsealed

	writing   sync.Mutex  // held while history, rows or the SEAL are written
	dirty     bool        // a seal that failed is not undone yet
	replaced  bool        // another node's seal is in place: nothing more is written
	replacing atomic.Bool // it waits for the one under way to give up
	free      func() int64

	froze time.Time // the last freeze, or the start; of the goroutine that applies the log

	mu      sync.Mutex
	last    *seal.Seal // nil before the first
	took    time.Duration
	arrived *incoming // received by raft, not in place yet
}

var _ raft.SnapshotStore = (*sealer)(nil)

// index returns the index of the last seal, 0 before the first.
func (s *sealer) index() uint64 {
	if l, _ := s.sealed(); l != nil {
		return l.Index
	}
	return 0
}

// runs returns the files of rows that the last seal counts.
func (s *sealer) runs() []seal.Run {
	if l, _ := s.sealed(); l != nil {
		return l.Runs
	}
	return nil
}

func (s *sealer) sealed() (*seal.Seal, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, s.took
}

// behindSeal is the log as raft has it. It knows the term of the last seal's entry, also where the log begins behind it: that of a node that was sent a state does, and the node would refuse
// what comes next, as raft asks its log alone of what that comes after, and be sent another.
type behindSeal struct {
	*wal.Log
	sealer *sealer
}

// GetLog implements raft.LogStore. Of the seal's entry, where the log has it no more, there are index and term only.
func (b behindSeal) GetLog(index uint64, entry *raft.Log) error {
	err := b.Log.GetLog(index, entry)
	if wal.NotFound(err) {
		if last, _ := b.sealer.sealed(); last != nil && last.Index == index {
			*entry = raft.Log{Index: index, Term: last.Term, Type: raft.LogNoop}
			return nil
		}
	}
	return err
}

// List implements raft.SnapshotStore.
func (s *sealer) List() ([]*raft.SnapshotMeta, error) {
	l, _ := s.sealed()
	if l == nil {
		return nil, nil
	}
	return []*raft.SnapshotMeta{snapshotMeta(l)}, nil
}

func snapshotMeta(l *seal.Seal) *raft.SnapshotMeta {
	return &raft.SnapshotMeta{
		Version: raft.SnapshotVersionMax, ID: sealID(l.Index, l.Term), Index: l.Index, Term: l.Term,
		Configuration: raft.DecodeConfiguration(l.Members), ConfigurationIndex: l.MembersI,
	}
}

func sealID(index, term uint64) string { return fmt.Sprintf("seal-%d-%d", term, index) }

// Open implements raft.SnapshotStore. Raft opens the last seal to send it to another node, and one that it has received to have it installed.
func (s *sealer) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	s.mu.Lock()
	in := s.arrived
	s.mu.Unlock()
	if in != nil && sealID(in.seal.Index, in.seal.Term) == id {
		return snapshotMeta(in.seal), io.NopCloser(strings.NewReader("")), nil
	}
	out, err := s.stream()
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("open %s: %w", id, err)
	case out == nil || sealID(out.seal.Index, out.seal.Term) != id:
		if out != nil {
			err = out.Close()
		}
		return nil, nil, errors.Join(fmt.Errorf("open %s: another seal has taken its place", id), err)
	}
	meta := snapshotMeta(out.seal)
	meta.Size = out.size
	return meta, out, nil
}

// Create implements raft.SnapshotStore.
func (s *sealer) Create(_ raft.SnapshotVersion, index, term uint64, members raft.Configuration, membersIndex uint64,
	_ raft.Transport,
) (raft.SnapshotSink, error) {
	if s.replacing.Load() {
		return nil, errReplaced
	}
	return &sealSink{s: s, seal: s.begin(index, term, raft.EncodeConfiguration(members), membersIndex)}, nil
}

// begin returns what a seal of an entry says of itself.
func (s *sealer) begin(index, term uint64, members []byte, membersIndex uint64) seal.Seal {
	return seal.Seal{
		Format: seal.Format, Cluster: s.cfg.Cluster, Node: s.node, Index: index, Term: term, Rows: s.rowsDir, Members: members, MembersI: membersIndex,
	}
}

// freeze is called on the goroutine that applies the log: it marks what is to be sealed and returns at once.
func (s *sealer) freeze(f *fold) (raft.FSMSnapshot, error) {
	if s.level() >= levelNoSeal {
		return nil, fmt.Errorf("seal: %w", errLowSpace)
	}
	if sealed := s.index(); sealed > 0 && f.index <= sealed {
		return nil, raft.ErrNothingNewToSnapshot
	}
	start := time.Now()
	p := &pendingSeal{s: s, start: start, folded: f.folded, frozen: f.machine.Freeze()}
	p.bytes, p.records = s.unsealed.bytes.Load(), s.unsealed.records.Load()
	p.fast = float64(p.bytes) > hurry*start.Sub(s.froze).Seconds()
	s.froze = start
	// The registry never changes once published; windows do. There is one of them for each node that ever proposed.
	p.windows = make(map[uint64]*window, len(f.windows))
	for node, w := range f.windows {
		c := *w
		p.windows[node] = &c
	}
	s.stats.holdNanos.max(uint64(time.Since(start)))
	return p, nil
}

var (
	errLowSpace = errors.New("too little free disk space")
	errGivenUp  = errors.New("the store closes without it")
)

// stop returns why a seal must not go on.
func (s *sealer) stop() error {
	switch {
	case s.level() >= levelRefuse:
		return errLowSpace
	case s.aborting():
		return errGivenUp
	case s.replacing.Load():
		return errReplaced
	}
	return nil
}

// pendingSeal is what a seal is made of.
type pendingSeal struct {
	s      *sealer
	start  time.Time
	frozen Frozen
	folded
	bytes, records int64 // of log that it seals
	fast           bool  // the log grows fast
	ok             bool
}

var _ raft.FSMSnapshot = (*pendingSeal)(nil)

// Persist implements raft.FSMSnapshot: it writes history and rows, makes them durable, and puts the SEAL in place. The order of
// its steps is what the store's promises rest on; DESIGN.md says why.
func (p *pendingSeal) Persist(sink raft.SnapshotSink) (err error) {
	k, s := sink.(*sealSink), p.s
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.replaced {
		return errReplaced
	}
	if err := s.stop(); err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	if s.dirty {
		if err := s.undo(); err != nil {
			return err
		}
	}
	w, err := s.history.Writer(p.fast, s.stop)
	if err != nil {
		return err
	}
	defer func() {
		if p.ok {
			return
		}
		// What was written does not count; the next seal must not meet it.
		err = errors.Join(err, w.Close(), s.undo())
		if err == nil {
			err = errors.New("seal: aborted")
		}
	}()
	steps := []struct {
		name string
		do   func() error
	}{
		{"history", func() error { return p.writeHistory(w, &k.seal) }},
		{"rows", func() error { return p.writeRows(&k.seal) }},
		{"syncfs", func() error { return s.sync() }},
		{"seal", func() error {
			k.seal.Sealed = s.cfg.Clock().UnixNano()
			return s.put(&k.seal)
		}},
	}
	for _, step := range steps {
		if err := s.cfg.failpoint(step.name); err != nil {
			return fmt.Errorf("seal, before step %s: %w", step.name, err)
		}
		if err := s.stop(); err != nil {
			return fmt.Errorf("seal, before step %s: %w", step.name, err)
		}
		if err := step.do(); err != nil {
			return fmt.Errorf("seal, step %s: %w", step.name, err)
		}
	}
	p.ok = true
	if err := s.cfg.failpoint("commit"); err != nil {
		return fmt.Errorf("seal, after the SEAL: %w", err)
	}
	return p.commit(w, &k.seal)
}

// grown returns how much log has come since the seal began, 1 being what the next one waits for.
func (p *pendingSeal) grown() float64 {
	u, c := p.s.unsealed, p.s.cfg
	return max(float64(u.bytes.Load()-p.bytes)/float64(c.SealBytes), float64(u.records.Load()-p.records)/float64(c.SealRecords))
}

// undo removes what a seal wrote that did not come to its SEAL; on a full disk not yet, as that writes too.
func (s *sealer) undo() error {
	s.dirty = true
	if s.level() >= levelRefuse {
		return errLowSpace
	}
	err := s.cfg.failpoint("undo")
	if err == nil {
		err = s.history.Undo()
	}
	if err == nil {
		err = s.rows.Sweep(s.runs())
	}
	if err != nil {
		return fmt.Errorf("undo a seal: %w", err)
	}
	s.dirty = false
	return nil
}

// writeHistory copies the facts of the entries since the last seal.
func (p *pendingSeal) writeHistory(w *history.Writer, k *seal.Seal) error {
	s := p.s
	pace := newPacer(s.closing, p.grown)
	r := tailReader{log: s.log, notes: s.notes, machine: s.cfg.Machine}
	var fact history.Fact
	sealed, facts := s.index(), 0
	for index := sealed + 1; index <= p.index; index++ {
		err := r.read(index, func(item *Item) error {
			epoch, ok := p.epochs.at(item.Class, index)
			if !ok {
				return nil
			}
			fact = history.Fact{
				Index: index, Offset: item.Offset, Time: item.Time.UnixNano(), Node: item.Node,
				Class: uint8(item.Class), Streams: item.Streams, Data: item.Data,
			}
			if facts++; facts%paceFacts == 0 {
				pace.step(historyPart * float64(index-sealed) / float64(p.index-sealed))
			}
			return w.Add(epoch, &fact)
		})
		if err != nil {
			return fmt.Errorf("copy entry %d to history: %w", index, err)
		}
		if err := s.stop(); err != nil {
			return err
		}
	}
	counts, err := w.Finish()
	if err != nil {
		return err
	}
	k.History = countsOf(counts, p.epochs)
	if last, _ := s.sealed(); last != nil {
		k.Missing = last.Missing
	}
	s.stats.historyBytes.Add(w.Bytes)
	return nil
}

// countsOf returns what a SEAL counts of history: the epochs that retention has left.
func countsOf(counts []history.Count, epochs registry) []seal.Epoch {
	var out []seal.Epoch
	for _, c := range counts {
		if epochs.has(Class(c.Class), c.Epoch) {
			out = append(out, seal.Epoch(c))
		}
	}
	return out
}

// writeRows writes the rows that changed since the last seal, now and then all of them, and all of the store's own.
func (p *pendingSeal) writeRows(k *seal.Seal) (err error) {
	s := p.s
	runs := s.runs()
	full := seal.Due(runs, s.closing())
	w, err := s.rows.Create(k.Index)
	if err != nil {
		return err
	}
	defer func() {
		run, e := w.Finish()
		if err = errors.Join(err, e); full {
			runs = nil
		}
		k.Runs = append(slices.Clone(runs), run)
	}()
	pace := newPacer(s.closing, p.grown)
	err = p.frozen.Rows(full, func(key, value []byte) error {
		if w.Rows%paceRows == 0 {
			pace.step(historyPart)
			if err := s.stop(); err != nil {
				return err
			}
		}
		return w.Put(rowMachine, key, value)
	})
	if err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	digest := p.frozen.Digest()
	k.Machine = digest[:]
	var own rowDigest
	err = p.ownRows(func(key, value []byte) error {
		own.add(key, value)
		return w.Put(rowStore, key, value)
	})
	if err != nil {
		return err
	}
	k.Store = own.bytes()
	k.Chain = p.chain[:]
	k.Last = p.last
	k.Level = p.level
	s.stats.rowBytes.Add(w.Bytes)
	s.stats.rows.Add(w.Rows)
	return nil
}

// ownRows hands over the store's own rows.
func (f *folded) ownRows(put func(key, value []byte) error) error {
	for node, w := range f.windows {
		if err := put(binary.BigEndian.AppendUint64([]byte{rowWindow}, node), w.encode()); err != nil {
			return err
		}
	}
	for class, e := range f.epochs {
		if err := put([]byte{rowEpochs, byte(class)}, encodeEpochs(e)); err != nil {
			return err
		}
	}
	return nil
}

func (s *sealer) sync() error {
	if err := seal.SyncFS(s.dir); err != nil {
		if !wal.IsFull(err) {
			s.cfg.Fatal(err)
		}
		return err
	}
	return nil
}

// put puts a SEAL in place.
func (s *sealer) put(k *seal.Seal) error {
	err := seal.Write(s.cfg.Dir, k)
	if err == nil {
		return nil
	}
	// The SEAL may be in place all the same, and nobody knows whether it lasts.
	if placed, e := seal.Read(s.cfg.Dir); !wal.IsFull(err) || e != nil || placed != nil && reflect.DeepEqual(placed, k) {
		s.cfg.Fatal(err)
	}
	return err
}

// commit makes the seal count in memory, now that it counts on disk, and removes what only the one before needed.
func (p *pendingSeal) commit(w *history.Writer, k *seal.Seal) error {
	s := p.s
	err := w.Commit(k.Index, historyRanges(k.Missing))
	s.mu.Lock()
	s.last, s.took = k, time.Since(p.start)
	s.mu.Unlock()
	s.unsealed.bytes.Add(-p.bytes)
	s.unsealed.records.Add(-p.records)
	s.notes.prune(k.Index)
	for _, c := range s.history.Counts() {
		if !p.epochs.has(Class(c.Class), c.Epoch) {
			err = errors.Join(err, s.history.Remove(c.Class, c.Epoch))
		}
	}
	s.stats.seals.Add(1)
	s.stats.sealNanos.Add(uint64(time.Since(p.start)))
	return errors.Join(err, s.rows.Sweep(k.Runs))
}

// Release implements raft.FSMSnapshot.
func (p *pendingSeal) Release() { p.frozen.Release(p.ok) }

// sealSink is what raft knows about a seal in the making.
type sealSink struct {
	s    *sealer
	seal seal.Seal
	pipe *io.PipeWriter // of a seal that comes from another node
	done chan error     // what became of it
	in   *incoming
}

// ID implements raft.SnapshotSink.
func (k *sealSink) ID() string { return sealID(k.seal.Index, k.seal.Term) }

// Write implements io.Writer. A seal of this node is made in place, and nothing is written here; another node's comes through it.
func (k *sealSink) Write(b []byte) (int, error) {
	if k.pipe == nil {
		r, w := io.Pipe()
		k.pipe, k.done = w, make(chan error, 1)
		go func() {
			var err error
			k.in, err = k.s.receive(r)
			r.CloseWithError(err)
			k.done <- err
		}()
	}
	return k.pipe.Write(b)
}

// Close implements io.Closer. The SEAL of this node is in place already; another node's has arrived whole, or is refused.
func (k *sealSink) Close() error {
	if k.pipe == nil {
		return nil
	}
	_ = k.pipe.Close() // it never fails
	if err := <-k.done; err != nil {
		return err
	}
	if in := k.in.seal; in.Index != k.seal.Index || in.Term != k.seal.Term {
		return fmt.Errorf("receive a seal: expected entry %d of term %d, found %d of %d", k.seal.Index, k.seal.Term, in.Index, in.Term)
	}
	k.s.mu.Lock()
	k.s.arrived = k.in
	k.s.mu.Unlock()
	return nil
}

// Cancel implements raft.SnapshotSink.
func (k *sealSink) Cancel() error {
	if k.pipe == nil {
		return nil
	}
	_ = k.pipe.CloseWithError(errors.New("the transfer was interrupted")) // it never fails
	<-k.done
	return nil
}

// rowDigest is the multiset hash of the store's own rows.
type rowDigest struct{ hi, lo uint64 }

func (d *rowDigest) add(key, value []byte) {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(key)))
	h := xxh3.Hash128(append(append(b, key...), value...))
	d.hi += h.Hi
	d.lo += h.Lo
}

func (d *rowDigest) bytes() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, d.hi), d.lo)
}

// restore reads the rows that a seal counts from the database called file into the Machine and the store, and compares digests.
func restore(file string, rows *seal.Rows, l *seal.Seal, m Machine, f *folded) error {
	damaged := func(what string, want, found []byte) error {
		return &DamagedError{
			File: file, Offset: -1, Reason: fmt.Sprintf("digest of %s: the SEAL says %x, the rows give %x", what, want, found),
			Advice: adviceRestore,
		}
	}
	r := rows.Read(l.Runs)
	defer r.Close()
	var own rowDigest
	err := m.Load(func() (key, value []byte, ok bool, err error) {
		for {
			run, key, value, ok, err := r.Next()
			if err != nil || !ok || key[0] == rowMachine {
				if ok {
					key = key[1:] // without its letter
				}
				return key, value, ok, err
			}
			if run < len(l.Runs)-1 {
				continue // each run holds all rows of the store
			}
			own.add(key[1:], value)
			if err := f.restoreRow(key[1:], value); err != nil {
				return nil, nil, false, err
			}
		}
	})
	if d := new(DamagedError); errors.As(err, &d) {
		return d
	}
	if err != nil {
		return &DamagedError{File: file, Offset: -1, Reason: err.Error(), Advice: adviceRestore}
	}
	if d := m.Digest(); string(d[:]) != string(l.Machine) {
		return damaged("the views", l.Machine, d[:])
	}
	if d := own.bytes(); string(d) != string(l.Store) {
		return damaged("the store's rows", l.Store, d)
	}
	f.index, f.last, f.level = l.Index, l.Last, l.Level
	copy(f.chain[:], l.Chain)
	return nil
}

const adviceRestore = "restore this node from a backup, or remove its data directory and let it join the cluster as a new node"

func (f *folded) restoreRow(k, v []byte) error {
	switch {
	case len(k) == 9 && k[0] == rowWindow:
		w := new(window)
		if w.decode(v) {
			f.windows[binary.BigEndian.Uint64(k[1:])] = w
			return nil
		}
	case len(k) == 2 && k[0] == rowEpochs:
		if e, ok := decodeEpochs(v); ok {
			f.epochs = maps.Clone(f.epochs)
			f.epochs[Class(k[1])] = e
			return nil
		}
	}
	return fmt.Errorf("row %x of the store does not decode", k)
}
