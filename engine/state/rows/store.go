package rows

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync"

	"github.com/zeebo/xxh3"
)

// Store is a set of tables with one digest and one frozen view over all of them. Tables are made before anything else is called.
//
// One goroutine at a time writes: Put, Delete, Freeze, Digest, Load and the tables' Peek are its methods. Everything else may be
// called from any goroutine at any time.
type Store struct {
	tables []*Table
	sum    digest
	mu     sync.Mutex // guards open
	open   bool
}

// NewStore returns a store without tables.
func NewStore() *Store { return &Store{} }

// Table adds a table. Its id stands in front of its rows' keys wherever they leave the store, and never changes. The table has
// 1<<shardBits shards, at most 256, and takes up to 16 million rows in each.
func (s *Store) Table(id byte, shardBits uint8) *Table {
	if shardBits > 8 {
		violated("at most 8 shard bits", "%d", shardBits)
	}
	for _, t := range s.tables {
		if t.id == id {
			violated("a table id of its own", "%d twice", id)
		}
	}
	t := &Table{id: id, bits: shardBits, sum: &s.sum, shards: make([]shard, 1<<shardBits)}
	s.tables = append(s.tables, t)
	return t
}

// Digest returns a multiset hash of all rows: the sum of the XXH3-128 of each, modulo 2^128. It takes no time to speak of.
func (s *Store) Digest() [16]byte { return s.sum.bytes() }

// Freeze marks all rows as they stand now. It takes time for each shard, not for each row. At most one Frozen may be open.
func (s *Store) Freeze() *Frozen {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open {
		violated("at most one open frozen view", "a second Freeze")
	}
	s.open = true
	for _, t := range s.tables {
		for i := range t.shards {
			t.shards[i].freeze()
		}
	}
	return &Frozen{store: s, sum: s.sum.bytes()}
}

// Bytes returns how much memory the tables hold, in bytes.
func (s *Store) Bytes() int {
	n := 0
	for _, t := range s.tables {
		n += t.Bytes()
	}
	return n
}

func (s *Store) table(key []byte) *Table {
	if len(key) == 0 {
		return nil
	}
	for _, t := range s.tables {
		if t.id == key[0] {
			return t
		}
	}
	return nil
}

// Frozen is the rows of a store as they stood when it was made, readable while the writer goes on.
type Frozen struct {
	store *Store
	sum   [16]byte
}

// Digest returns the digest of the frozen rows.
func (f *Frozen) Digest() [16]byte { return f.sum }

// sliceSlots is how many slots of a shard are copied while its lock is held.
const sliceSlots = 256

// Rows calls emit for each row that changed since the last Frozen that was released as sealed, with a nil value for one that is
// gone; with full, for each row that there is. Keys begin with the table's id. What emit gets is valid until it returns. Rows
// stops at emit's first error and returns it. Locks are held for a few hundred rows at a time, and never during emit. It is called
// once.
func (f *Frozen) Rows(full bool, emit func(key, value []byte) error) error {
	var s frozenSlice
	for _, t := range f.store.tables {
		for i := range t.shards {
			sh := &t.shards[i]
			for more := true; more; {
				more = sh.copyFrozen(&s, t.id, full)
				if err := s.emit(emit); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Release ends the view. Sealed says that what Rows emitted is kept for good; otherwise the same rows count as changed at the
// next Freeze. It must be called exactly once.
func (f *Frozen) Release(sealed bool) {
	f.store.mu.Lock()
	defer f.store.mu.Unlock()
	if !f.store.open {
		violated("an open frozen view to release", "none")
	}
	for _, t := range f.store.tables {
		for i := range t.shards {
			t.shards[i].release(sealed)
		}
	}
	f.store.open = false
}

// frozenSlice is a copy of some rows: buf holds keys and values one after the other, ends where each row's end.
type frozenSlice struct {
	buf  []byte
	ends []sliceRow
}

type sliceRow struct {
	slot       uint32
	key, value int // ends in buf
	gone       bool
}

func (s *frozenSlice) emit(emit func(key, value []byte) error) error {
	start := 0
	for _, r := range s.ends {
		value := s.buf[r.key:r.value:r.value]
		if r.gone {
			value = nil
		}
		if err := emit(s.buf[start:r.key:r.key], value); err != nil {
			return err
		}
		start = r.value
	}
	return nil
}

// digest is a sum of row hashes modulo 2^128.
type digest struct{ hi, lo uint64 }

func (d *digest) add(table byte, record []byte) {
	h := xxh3.Hash128Seed(record, uint64(table))
	var carry uint64
	d.lo, carry = bits.Add64(d.lo, h.Lo, 0)
	d.hi, _ = bits.Add64(d.hi, h.Hi, carry)
}

func (d *digest) remove(table byte, record []byte) {
	h := xxh3.Hash128Seed(record, uint64(table))
	var borrow uint64
	d.lo, borrow = bits.Sub64(d.lo, h.Lo, 0)
	d.hi, _ = bits.Sub64(d.hi, h.Hi, borrow)
}

func (d *digest) bytes() (b [16]byte) {
	binary.BigEndian.PutUint64(b[:8], d.hi)
	binary.BigEndian.PutUint64(b[8:], d.lo)
	return b
}

// violated ends the process: an invariant of this package does not hold.
func violated(expected, format string, args ...any) {
	panic("rows: expected " + expected + ", found " + fmt.Sprintf(format, args...))
}
