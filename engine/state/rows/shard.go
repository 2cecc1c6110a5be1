package rows

import (
	"bytes"
	"encoding/binary"
	"sync"
	"unsafe"

	"github.com/zeebo/xxh3"
)

// shard is one part of a table: an arena of records, slots that say where in it each row's record begins, and an open addressing index from keys to slots. A record is the lengths of key and value as uvarints, then key and value.
//
// A row that is deleted stays as a dead slot, with its key, until its deletion is sealed; only then is the slot used again. So a
// frozen view needs no copy of any key, and a deletion is never forgotten.
type shard struct {
	mu sync.RWMutex

	index []uint32 // 8 bits of the key's hash above the slot's number plus one; 0: free; length is a power of two
	slots []uint32 // place of the slot's record, or freeSlot
	free  []uint32 // slots without a row
	arena arena
	waste int // bytes of the arena that belong to no record

	dead   bitmap // slots whose row is gone
	stored bitmap // slots whose row may be in what was sealed
	dirty  bitmap // slots changed since the last freeze

	// While a frozen view is open:
	frozen      bool
	frozenSlots uint32             // number of slots when frozen
	frozenDirty bitmap             // dirty when frozen
	copied      uint32             // slots up to here were shown: what becomes of them is the view's no more
	kept        map[uint32]keptRow // slots changed before they were shown, as they were when frozen
	keep        []byte             // the values of kept
}

// keptRow is the place of a value in keep; none says that there was no row.
type keptRow struct {
	start, end uint32
	none       bool
}

const freeSlot = ^uint32(0)

// find returns the slot of the row with that key, dead ones included.
func (s *shard) find(hash uint64, key []byte) (uint32, bool) {
	if len(s.index) == 0 {
		return 0, false
	}
	mask := uint32(len(s.index) - 1)
	tag := uint32(hash>>32) << slotBits
	for i := uint32(hash) & mask; ; i = (i + 1) & mask {
		e := s.index[i]
		if e == 0 {
			return 0, false
		}
		if e&^(1<<slotBits-1) != tag {
			continue
		}
		slot := e&(1<<slotBits-1) - 1
		if k, _, _ := s.record(slot); bytes.Equal(k, key) {
			return slot, true
		}
	}
}

// record returns the parts of a slot's record, and the whole of it.
func (s *shard) record(slot uint32) (key, value, record []byte) {
	b := s.arena.at(s.slots[slot])
	keyLen, n := binary.Uvarint(b)
	valueLen, m := binary.Uvarint(b[n:])
	start := n + m
	mid := start + int(keyLen)
	end := mid + int(valueLen)
	return b[start:mid:mid], b[mid:end:end], b[:end:end]
}

func (s *shard) live(slot uint32) bool {
	return int(slot) < len(s.slots) && s.slots[slot] != freeSlot && !s.dead.has(slot)
}

func (s *shard) scan(base Ref, from uint32, visit func(ref Ref, key, value []byte) bool) (stopped bool, at uint32, more bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	end := min(from+sliceSlots, uint32(len(s.slots)))
	for slot := from; slot < end; slot++ {
		if !s.live(slot) {
			continue
		}
		key, value, _ := s.record(slot)
		if !visit(base|Ref(slot), key, value) {
			return true, slot, true
		}
	}
	return false, 0, end < uint32(len(s.slots))
}

// allocate returns a slot without a record.
func (s *shard) allocate() uint32 {
	if n := len(s.free); n > 0 {
		slot := s.free[n-1]
		s.free = s.free[:n-1]
		return slot
	}
	if len(s.slots) >= 1<<slotBits-1 {
		violated("fewer than 16 million rows in a shard", "%d", len(s.slots))
	}
	s.slots = append(grow(s.slots, 1), freeSlot)
	return uint32(len(s.slots) - 1)
}

// touch marks a slot as changed, and keeps its row for a frozen view that will still show it, if this is the first change since.
func (s *shard) touch(slot uint32, alive bool) {
	if s.frozen && slot >= s.copied && slot < s.frozenSlots && !s.dirty.has(slot) {
		row := keptRow{none: !alive}
		if alive {
			_, value, _ := s.record(slot)
			row.start = uint32(len(s.keep))
			s.keep = append(s.keep, value...)
			row.end = uint32(len(s.keep))
		}
		if s.kept == nil {
			s.kept = make(map[uint32]keptRow)
		}
		s.kept[slot] = row
	}
	s.dirty.set(slot)
}

// write makes the slot's record, in the place of the old one where it fits.
func (s *shard) write(slot uint32, replace bool, key, value []byte) {
	var head [2 * binary.MaxVarintLen64]byte
	n := binary.PutUvarint(head[:], uint64(len(key)))
	n += binary.PutUvarint(head[n:], uint64(len(value)))
	size := n + len(key) + len(value)
	if replace {
		_, _, old := s.record(slot)
		if size <= len(old) {
			fill(old, head[:n], key, value)
			s.waste += len(old) - size
			return
		}
		s.waste += len(old)
	}
	place, room := s.arena.add(size)
	fill(room, head[:n], key, value)
	s.slots[slot] = place
}

// fill writes the parts of a record.
func fill(at, head, key, value []byte) {
	at = at[copy(at, head):]
	at = at[copy(at, key):]
	copy(at, value)
}

// insert puts a slot into the index, which has no entry for its key.
func (s *shard) insert(hash uint64, slot uint32) {
	if !s.fits(len(s.index)) {
		s.rehash(max(8, 2*len(s.index)))
	}
	s.place(hash, slot)
}

// fits reports whether an index of that length has room for all rows: an eighth of it stays free.
func (s *shard) fits(length int) bool { return (len(s.slots)-len(s.free))*8 <= length*7 }

func (s *shard) place(hash uint64, slot uint32) {
	mask := uint32(len(s.index) - 1)
	i := uint32(hash) & mask
	for s.index[i] != 0 {
		i = (i + 1) & mask
	}
	s.index[i] = uint32(hash>>32)<<slotBits | (slot + 1)
}

func (s *shard) rehash(size int) {
	old := s.index
	s.index = make([]uint32, size)
	for _, e := range old {
		if e != 0 {
			slot := e&(1<<slotBits-1) - 1
			key, _, _ := s.record(slot)
			s.place(xxh3.Hash(key), slot)
		}
	}
}

// purge gives a dead slot back.
func (s *shard) purge(slot uint32) {
	key, _, record := s.record(slot)
	s.unindex(xxh3.Hash(key), slot)
	s.waste += len(record)
	s.slots[slot] = freeSlot
	s.free = append(s.free, slot)
	s.dead.clear(slot)
	s.stored.clear(slot)
	s.dirty.clear(slot)
}

// unindex takes a slot out of the index and moves up those behind it that it kept from their place.
func (s *shard) unindex(hash uint64, slot uint32) {
	mask := uint32(len(s.index) - 1)
	i := uint32(hash) & mask
	for s.index[i]&(1<<slotBits-1) != slot+1 {
		i = (i + 1) & mask
	}
	for j := (i + 1) & mask; s.index[j] != 0; j = (j + 1) & mask {
		key, _, _ := s.record(s.index[j]&(1<<slotBits-1) - 1)
		home := uint32(xxh3.Hash(key)) & mask
		if (j-home)&mask >= (j-i)&mask {
			s.index[i] = s.index[j]
			i = j
		}
	}
	s.index[i] = 0
}

// compactIfWasteful rewrites the arena when more than a fifth of it is waste. Dead rows keep their key only. The old arena is left
// as it is, so that what the writer peeked at stays valid.
func (s *shard) compactIfWasteful() {
	if s.waste < 1<<10 || s.waste*5 < s.arena.used {
		return
	}
	var to arena
	var head [2 * binary.MaxVarintLen64]byte
	for slot, at := range s.slots {
		if at == freeSlot {
			continue
		}
		key, _, record := s.record(uint32(slot))
		if !s.dead.has(uint32(slot)) {
			place, room := to.add(len(record))
			copy(room, record)
			s.slots[slot] = place
			continue
		}
		n := binary.PutUvarint(head[:], uint64(len(key)))
		n += binary.PutUvarint(head[n:], 0)
		place, room := to.add(n + len(key))
		fill(room, head[:n], key, nil)
		s.slots[slot] = place
	}
	s.arena, s.waste = to, 0
}

func (s *shard) freeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = true
	s.frozenSlots = uint32(len(s.slots))
	s.frozenDirty, s.dirty = s.dirty, nil
}

// copyFrozen copies what a frozen view shows of the next slots, sliceSlots of them at most, and reports whether there are more behind
// them. The rows that it shows count as stored from now on: nobody can tell any more whether they are not.
func (s *shard) copyFrozen(dst *frozenSlice, table byte, full bool) (more bool) {
	first := s.copied
	end := min(first+sliceSlots, s.frozenSlots)
	s.showFrozen(dst, table, first, end, full)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.copied = end
	for _, row := range dst.ends {
		if !row.gone {
			s.stored.set(row.slot)
		}
	}
	return end < s.frozenSlots
}

func (s *shard) showFrozen(dst *frozenSlice, table byte, first, end uint32, full bool) {
	dst.buf, dst.ends = dst.buf[:0], dst.ends[:0]
	s.mu.RLock()
	defer s.mu.RUnlock()
	for slot := first; slot < end; slot++ {
		if !full && !s.frozenDirty.has(slot) || s.slots[slot] == freeSlot {
			continue
		}
		key, value, _ := s.record(slot)
		gone := s.dead.has(slot)
		if row, changed := s.kept[slot]; changed {
			value, gone = s.keep[row.start:row.end], row.none
		}
		if gone && (full || !s.stored.has(slot) || !s.frozenDirty.has(slot)) {
			continue
		}
		dst.buf = append(dst.buf, table)
		dst.buf = append(dst.buf, key...)
		row := sliceRow{slot: slot, key: len(dst.buf), gone: gone}
		if !gone {
			dst.buf = append(dst.buf, value...)
		}
		row.value = len(dst.buf)
		dst.ends = append(dst.ends, row)
	}
}

// release ends the frozen view of the shard. Unless sealed, the rows that it showed as changed may or may not be in the store
// that they were written to: they count as stored, so that a later deletion is told.
func (s *shard) release(sealed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.frozenDirty
	changed.each(func(slot uint32) {
		// A row that was gone when frozen is stored no more. One that changed since it was shown counts as it was then.
		if row, since := s.kept[slot]; sealed && (since && row.none || !s.dirty.has(slot) && s.dead.has(slot)) {
			s.stored.clear(slot)
		}
		if !sealed {
			s.dirty.set(slot)
		}
	})
	s.frozen, s.frozenSlots, s.frozenDirty, s.copied, s.kept, s.keep = false, 0, nil, 0, nil, nil
	drop := func(slot uint32) {
		if s.slots[slot] != freeSlot && s.dead.has(slot) && !s.stored.has(slot) {
			s.purge(slot)
		}
	}
	changed.each(drop)
	s.dirty.each(drop)
}

// markSealed makes all rows count as sealed and unchanged.
func (s *shard) markSealed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty, s.stored = nil, make(bitmap, (len(s.slots)+63)/64)
	for slot, at := range s.slots {
		if at != freeSlot {
			s.stored.set(uint32(slot))
		}
	}
}

func (s *shard) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index, s.slots, s.free, s.arena, s.waste = nil, nil, nil, arena{}, 0
	s.dead, s.stored, s.dirty = nil, nil, nil
}

// slotCount returns the number of slots.
func (s *shard) slotCount() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.slots)
}

func (s *shard) size() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return int(unsafe.Sizeof(*s)) + 4*(cap(s.index)+cap(s.slots)+cap(s.free)) + s.arena.bytes() + cap(s.keep) +
		8*(cap(s.dead)+cap(s.stored)+cap(s.dirty)+cap(s.frozenDirty))
}

// grow makes room for n more elements, an eighth more than there are now at least: less waste than append leaves.
func grow[T any](s []T, n int) []T {
	if cap(s)-len(s) >= n {
		return s
	}
	bigger := make([]T, len(s), max(len(s)+n, len(s)+len(s)/8+16))
	copy(bigger, s)
	return bigger
}

// bitmap is a set of slots. The zero value is empty.
type bitmap []uint64

func (b bitmap) has(slot uint32) bool {
	return int(slot>>6) < len(b) && b[slot>>6]&(1<<(slot&63)) != 0
}

func (b *bitmap) set(slot uint32) {
	if need := int(slot>>6) + 1; need > len(*b) {
		*b = append(*b, make([]uint64, need-len(*b))...)
	}
	(*b)[slot>>6] |= 1 << (slot & 63)
}

func (b bitmap) clear(slot uint32) {
	if int(slot>>6) < len(b) {
		b[slot>>6] &^= 1 << (slot & 63)
	}
}

func (b bitmap) each(visit func(slot uint32)) {
	for i, word := range b {
		for bit := uint32(0); word != 0; bit++ {
			if word&1 != 0 {
				visit(uint32(i)<<6 + bit)
			}
			word >>= 1
		}
	}
}
