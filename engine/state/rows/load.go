package rows

import (
	"bytes"
	"fmt"

	"github.com/zeebo/xxh3"
)

// Load replaces all rows by those that next returns, until it returns false; key and value need to be valid only until its next
// call. A row that comes again takes the place of the one before, and with a nil value it is gone. The rows count as sealed. Load fails
// with next's error, or for a row of an unknown table; the store is then of no use.
//
// It is fast for rows in the order in which [Frozen.Rows] emits them, shard by shard.
func (s *Store) Load(next func() (key, value []byte, ok bool, err error)) error {
	s.mu.Lock()
	open := s.open
	s.mu.Unlock()
	if open {
		violated("no open frozen view while loading", "one")
	}
	s.sum = digest{}
	for _, t := range s.tables {
		t.reset()
	}
	var l loader
	defer l.leave()
	for {
		key, value, ok, err := next()
		if err != nil {
			return fmt.Errorf("load rows: %w", err)
		}
		if !ok {
			break
		}
		if len(key) == 0 || l.table == nil || key[0] != l.table.id {
			t := s.table(key)
			if t == nil {
				return fmt.Errorf("load rows: key %x is of no known table", key)
			}
			l.turn(t)
		}
		l.row(key[1:], value)
	}
	l.leave()
	for _, t := range s.tables {
		for i := range t.shards {
			t.shards[i].markSealed()
		}
	}
	return nil
}

// loader fills one shard after the other.
type loader struct {
	table *Table
	shard *shard // it is locked
	at    int    // its number
	fresh bool   // it was empty
	last  extent // of the table's last shard: the next one will be much the same
}

// extent says how large a shard is.
type extent struct{ index, slots, bytes int }

// turn goes to another table.
func (l *loader) turn(t *Table) {
	l.leave()
	l.table, l.last = t, extent{}
}

func (l *loader) enter(number int) {
	l.leave()
	l.shard, l.at = &l.table.shards[number], number
	s := l.shard
	s.mu.Lock()
	if l.fresh = len(s.slots) == 0; l.fresh && l.last.slots > 0 {
		s.index = make([]uint32, l.last.index)
		s.slots = make([]uint32, 0, l.last.slots+l.last.slots/16)
		s.arena.chunks = append(s.arena.chunks, make([]byte, 0, min(chunkBytes, max(firstBytes, l.last.bytes))))
	}
}

func (l *loader) leave() {
	s := l.shard
	if s == nil {
		return
	}
	defer s.mu.Unlock()
	l.shard = nil
	if !l.fresh {
		return
	}
	for len(s.index) > 8 && s.fits(len(s.index)/2) {
		s.rehash(len(s.index) / 2)
	}
	l.last = extent{len(s.index), len(s.slots), s.arena.used}
}

// row puts a row, or takes it out if value is nil.
func (l *loader) row(key, value []byte) {
	hash := xxh3.Hash(key)
	if number := l.table.ShardOf(hash); l.shard == nil || number != l.at {
		l.enter(number)
	}
	s, t := l.shard, l.table
	slot, found := s.find(hash, key)
	if found {
		_, old, record := s.record(slot)
		if value != nil && bytes.Equal(old, value) {
			return
		}
		t.sum.remove(t.id, record)
	}
	switch {
	case value != nil:
		if !found {
			slot = s.allocate()
		}
		s.write(slot, found, key, value)
		if !found {
			s.insert(hash, slot)
			t.count.Add(1)
		}
		_, _, record := s.record(slot)
		t.sum.add(t.id, record)
	case found:
		s.purge(slot)
		t.count.Add(-1)
	}
	if found {
		s.compactIfWasteful()
	}
}
