package history

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"github.com/klauspost/compress/zstd"

	"trine/raftstore/damage"
)

// blobBytes is the size at which a blob of facts is closed, before compression.
const blobBytes = 128 << 10

// Count says what an epoch holds.
type Count struct {
	Class uint8
	Epoch uint32
	Blobs uint64
	Facts uint64
	Bytes uint64 // compressed
	// Part and End are how far the value log was written when this was counted.
	Part uint32
	End  int64
}

// Set is all epochs of all classes of one data directory.
type Set struct {
	dir    string
	logger badger.Logger
	dec    *zstd.Decoder

	counted atomic.Pointer[counted]

	mu     sync.Mutex
	epochs map[id]*epoch
	late   map[id]*epoch // may hold blobs that no seal counts
}

// Range is entries of the log, both ends included.
type Range struct{ From, To uint64 }

// counted says of which entries a SEAL counts the facts. It never changes once it is published.
type counted struct {
	seal    uint64
	missing []Range // of those up to it
}

// loose returns the ranges of entries whose blobs no SEAL counts.
func (c *counted) loose() []Range {
	return append(slices.Clone(c.missing), Range{c.seal + 1, math.MaxUint64})
}

func (c *counted) counts(index uint64) bool {
	return index <= c.seal && !slices.ContainsFunc(c.missing, func(r Range) bool { return index >= r.From && index <= r.To })
}

type id struct {
	class uint8
	epoch uint32
}

// Open opens the history in dir as of a seal: counts is what that SEAL says, of the entries up to it but for those that are missing. Directories that the
// SEAL does not know are removed. The newest epoch of each class is verified now, the others when they are first read.
func Open(dir string, seal uint64, missing []Range, counts []Count, logger badger.Logger) (*Set, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make history: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(2*maxBlob))
	if err != nil {
		return nil, fmt.Errorf("open history: %w", err)
	}
	s := &Set{dir: dir, logger: logger, dec: dec, epochs: map[id]*epoch{}, late: map[id]*epoch{}}
	s.counted.Store(&counted{seal, missing})
	for _, c := range counts {
		s.add(c)
	}
	if err := s.sweep(); err != nil {
		return nil, err
	}
	for _, e := range s.epochs {
		if !e.newest {
			continue
		}
		if _, err := e.acquire(); err != nil {
			return nil, errors.Join(err, s.Close())
		}
		if err := e.release(); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

func (s *Set) name(k id) string {
	return filepath.Join(s.dir, fmt.Sprintf("%d-%08d", k.class, k.epoch))
}

func (s *Set) add(c Count) *epoch {
	k := id{c.Class, c.Epoch}
	e := &epoch{dir: s.name(k), class: c.Class, number: c.Epoch, logger: s.logger, count: c, counted: &s.counted, newest: true}
	for other, o := range s.epochs {
		if other.class != k.class {
			continue
		}
		if other.epoch < k.epoch {
			o.mu.Lock()
			o.newest = false
			o.mu.Unlock()
		} else {
			e.newest = false
		}
	}
	s.epochs[k] = e
	return e
}

// sweep removes directories that no SEAL counts: a crashed seal made them, or retention removed them and was interrupted.
func (s *Set) sweep() error {
	names, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("list history: %w", err)
	}
	known := map[string]bool{}
	for k := range s.epochs {
		known[filepath.Base(s.name(k))] = true
	}
	for _, n := range names {
		if !known[n.Name()] {
			if err := os.RemoveAll(filepath.Join(s.dir, n.Name())); err != nil {
				return fmt.Errorf("remove leftover history: %w", err)
			}
		}
	}
	return nil
}

// Counts returns what the sealed history holds, by class and epoch.
func (s *Set) Counts() []Count {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Count, 0, len(s.epochs))
	for _, e := range s.epochs {
		e.mu.Lock()
		out = append(out, e.count)
		e.mu.Unlock()
	}
	sortCounts(out)
	return out
}

func sortCounts(c []Count) {
	slices.SortFunc(c, func(a, b Count) int {
		if a.Class != b.Class {
			return int(a.Class) - int(b.Class)
		}
		return int(a.Epoch) - int(b.Epoch)
	})
}

// Seal returns the index up to which the history counts.
func (s *Set) Seal() uint64 { return s.counted.Load().seal }

// Remove forgets an epoch. Its files go when its last reader has left it. It must not come before the SEAL that no longer
// counts the epoch.
func (s *Set) Remove(class uint8, number uint32) error {
	s.mu.Lock()
	e := s.epochs[id{class, number}]
	delete(s.epochs, id{class, number})
	s.mu.Unlock()
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.doomed = true
	return e.settle()
}

// Close closes all databases. No reader or writer may be active.
func (s *Set) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for _, e := range s.epochs {
		e.mu.Lock()
		e.newest = false
		err = errors.Join(err, e.settle())
		e.mu.Unlock()
	}
	return err
}

// Writer appends the facts of one seal. Nothing that it writes counts before Commit.
type Writer struct {
	set    *Set
	enc    *zstd.Encoder // nil: compress for speed
	blobs  map[id]*builder
	open   map[id]*epoch
	counts map[id]Count
	rooms  map[id]room
	stop   func() error
	Bytes  uint64 // compressed bytes written so far
	begun  uint64 // of which the kernel was told to write so many
}

// writeback is how many bytes of blobs gather before the kernel is told to write them: all at the end would hold up the log.
const writeback = 1 << 20

// Writer starts a seal. Only one may be open at a time. Fast spares the processor and takes half as much space again. Stop is asked before each blob is written, as the
// databases write through memory maps, and a full disk then ends the process; what it returns ends the writing.
func (s *Set) Writer(fast bool, stop func() error) (*Writer, error) {
	w := &Writer{set: s, stop: stop, blobs: map[id]*builder{}, open: map[id]*epoch{}, counts: map[id]Count{}, rooms: map[id]room{}}
	if !fast {
		var err error
		w.enc, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithWindowSize(256<<10))
		if err != nil {
			return nil, fmt.Errorf("start history writer: %w", err)
		}
	}
	for _, c := range s.Counts() {
		w.counts[id{c.Class, c.Epoch}] = c
	}
	return w, nil
}

// Add appends a fact to an epoch of its class. Facts of one epoch come in the order of the log. F may be reused afterwards.
func (w *Writer) Add(number uint32, f *Fact) error {
	k := id{f.Class, number}
	b := w.blobs[k]
	if b == nil {
		b = &builder{raw: make([]byte, 0, blobBytes+blobBytes/2)}
		w.blobs[k] = b
	}
	b.add(f)
	if len(b.raw) >= blobBytes {
		return w.flush(k, b)
	}
	return nil
}

func (w *Writer) flush(k id, b *builder) error {
	if b.facts == 0 {
		return nil
	}
	if err := w.stop(); err != nil {
		return err
	}
	e := w.open[k]
	if e == nil {
		w.set.mu.Lock()
		if e = w.set.epochs[k]; e == nil {
			e = w.set.add(Count{Class: k.class, Epoch: k.epoch})
		}
		w.set.late[k] = e
		w.set.mu.Unlock()
		if _, err := e.acquire(); err != nil {
			return err
		}
		w.open[k] = e
	}
	stored := b.encode(w.enc)
	line := entry{
		firstIndex: b.first.Index, firstOffset: b.first.Offset, firstTime: b.first.Time,
		lastIndex: b.last.Index, lastOffset: b.last.Offset, lastTime: b.last.Time,
		facts: b.facts, stored: uint32(len(stored)), streams: newFilter(&b.streams),
	}
	if err := w.reserve(k, e, int64(len(stored))); err != nil {
		return err
	}
	wb := e.db.NewWriteBatch()
	defer wb.Cancel()
	if err := wb.Set(key(prefixBlob, line.firstIndex, line.firstOffset), stored); err != nil {
		return fmt.Errorf("write history blob: %w", err)
	}
	if err := wb.Set(key(prefixIndex, line.firstIndex, line.firstOffset), line.encode()); err != nil {
		return fmt.Errorf("write history blob: %w", err)
	}
	if err := wb.Flush(); err != nil {
		return fmt.Errorf("write history blob: %w", err)
	}
	c := w.counts[k]
	c.Class, c.Epoch = k.class, k.epoch
	c.Blobs++
	c.Facts += uint64(b.facts)
	c.Bytes += uint64(len(stored))
	w.counts[k] = c
	w.Bytes += uint64(len(stored))
	if w.Bytes-w.begun >= writeback {
		e.writeback()
		w.begun = w.Bytes
	}
	b.reset()
	return nil
}

// Finish writes what is left and returns what the history will hold once it is committed.
func (w *Writer) Finish() ([]Count, error) {
	for k, b := range w.blobs {
		if err := w.flush(k, b); err != nil {
			return nil, err
		}
	}
	for k, e := range w.open {
		values, err := damage.EndOfValues(e.dir)
		if err != nil {
			return nil, err
		}
		if values.End > 0 {
			c := w.counts[k]
			c.Part, c.End = values.Part, values.End
			w.counts[k] = c
		}
	}
	out := slices.Collect(maps.Values(w.counts))
	sortCounts(out)
	return out, nil
}

// Commit makes the facts visible, after a SEAL at index counts them, and all others up to it but for those that are missing.
func (w *Writer) Commit(index uint64, missing []Range) error {
	w.set.mu.Lock()
	w.set.counted.Store(&counted{index, missing})
	clear(w.set.late)
	for k, e := range w.set.epochs {
		e.mu.Lock()
		if c, ok := w.counts[k]; ok {
			e.count = c
		}
		e.mu.Unlock()
	}
	w.set.mu.Unlock()
	return w.Close()
}

// Close ends the writer. Without Commit its blobs do not count: whoever aborts a seal calls Undo then.
func (w *Writer) Close() error {
	var err error
	for _, e := range w.open {
		err = errors.Join(err, e.release())
	}
	clear(w.open)
	if w.enc != nil {
		err = errors.Join(err, w.enc.Close())
	}
	return err
}

// Undo removes the blobs of closed writers that did not commit, so that the next seal, which may cut them elsewhere, finds none
// of them. After an error it can be called again; no writer may be started before it succeeds.
func (s *Set) Undo() error {
	s.mu.Lock()
	late := maps.Clone(s.late)
	s.mu.Unlock()
	for k, e := range late {
		db, err := e.acquire()
		if err != nil {
			return err
		}
		e.mu.Lock()
		err = e.verify(db)
		e.mu.Unlock()
		if err = errors.Join(err, e.release()); err != nil {
			return err
		}
		s.mu.Lock()
		delete(s.late, k)
		s.mu.Unlock()
	}
	return nil
}
