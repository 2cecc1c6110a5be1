package rows

import (
	"bytes"
	"sync/atomic"

	"github.com/zeebo/xxh3"
)

// Ref names a row of a table for as long as the row exists: the shard in the high 8 bits, the slot in it below. After the row is
// gone, another may get the same Ref.
type Ref uint32

const slotBits = 24

// Table is one table of rows.
type Table struct {
	id     byte
	bits   uint8
	sum    *digest
	count  atomic.Int64
	shards []shard
}

// Len returns the number of rows.
func (t *Table) Len() int { return int(t.count.Load()) }

// Get appends the value of the row with that key to dst. It does not allocate if dst has room.
func (t *Table) Get(dst, key []byte) ([]byte, bool) {
	h := xxh3.Hash(key)
	sh := t.shard(h)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	slot, ok := sh.find(h, key)
	if !ok || sh.dead.has(slot) {
		return dst, false
	}
	_, value, _ := sh.record(slot)
	return append(dst, value...), true
}

// Look calls visit with the value of the row with that key, under the shard's read lock: visit must be short and must not call the
// table. It reports whether there is such a row.
func (t *Table) Look(key []byte, visit func(value []byte)) bool {
	h := xxh3.Hash(key)
	sh := t.shard(h)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	slot, ok := sh.find(h, key)
	if !ok || sh.dead.has(slot) {
		return false
	}
	_, value, _ := sh.record(slot)
	visit(value)
	return true
}

// Has reports whether there is a row with that key.
func (t *Table) Has(key []byte) bool {
	h := xxh3.Hash(key)
	sh := t.shard(h)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	slot, ok := sh.find(h, key)
	return ok && !sh.dead.has(slot)
}

// Find returns the Ref of the row with that key.
func (t *Table) Find(key []byte) (Ref, bool) {
	h := xxh3.Hash(key)
	sh := t.shard(h)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	slot, ok := sh.find(h, key)
	if !ok || sh.dead.has(slot) {
		return 0, false
	}
	return t.ref(h, slot), true
}

// At appends the value of the row that ref names now; the caller must check that it is the row he means, as another may have
// taken its place. It does not allocate if dst has room.
func (t *Table) At(dst []byte, ref Ref) ([]byte, bool) {
	sh := &t.shards[ref>>slotBits]
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	slot := uint32(ref) & (1<<slotBits - 1)
	if !sh.live(slot) {
		return dst, false
	}
	_, value, _ := sh.record(slot)
	return append(dst, value...), true
}

// View calls visit with the row that ref names now, under the shard's read lock: visit must be short and must not call the
// table. It reports whether there is such a row.
func (t *Table) View(ref Ref, visit func(key, value []byte)) bool {
	sh := &t.shards[ref>>slotBits]
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	slot := uint32(ref) & (1<<slotBits - 1)
	if !sh.live(slot) {
		return false
	}
	key, value, _ := sh.record(slot)
	visit(key, value)
	return true
}

// Scan calls visit for the rows behind the cursor after, in the order of their Refs, until visit returns false. It returns the
// cursor of the last row visited, or 0 when there are no more. It begins with cursor 0; rows that come and go meanwhile may or
// may not be seen, all others are seen once. Visit runs under a shard's read lock, which is given up every few hundred slots: it
// must be short and must not call the table.
func (t *Table) Scan(after uint64, visit func(ref Ref, key, value []byte) bool) uint64 {
	start := int(after >> slotBits)
	first := uint32(after & (1<<slotBits - 1))
	for i := start; i < len(t.shards); i++ {
		sh := &t.shards[i]
		for from := first; ; from += sliceSlots {
			stopped, at, more := sh.scan(Ref(i)<<slotBits, from, visit)
			if stopped {
				return uint64(i)<<slotBits + uint64(at) + 1
			}
			if !more {
				break
			}
		}
		first = 0
	}
	return 0
}

// Hash returns the hash of a row's key, by which rows are spread over shards: those of a shard have lower hashes than those of the
// next one.
func Hash(key []byte) uint64 { return xxh3.Hash(key) }

// Shards returns the number of shards.
func (t *Table) Shards() int { return len(t.shards) }

// ShardOf returns the shard of the rows whose keys have that hash.
func (t *Table) ShardOf(hash uint64) int { return int(hash >> 1 >> (63 - t.bits)) }

// ScanShard is Scan for the rows of one shard.
func (t *Table) ScanShard(shard int, visit func(ref Ref, key, value []byte) bool) {
	for from := uint32(0); ; from += sliceSlots {
		if stopped, _, more := t.shards[shard].scan(Ref(shard)<<slotBits, from, visit); stopped || !more {
			return
		}
	}
}

// Peek returns the value of the row with that key without copying it, for the writer only; it is valid until the next Put or
// Delete of this table.
func (t *Table) Peek(key []byte) (value []byte, ref Ref, ok bool) {
	h := xxh3.Hash(key)
	sh := t.shard(h)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	slot, ok := sh.find(h, key)
	if !ok || sh.dead.has(slot) {
		return nil, 0, false
	}
	_, value, _ = sh.record(slot)
	return value, t.ref(h, slot), true
}

// PeekAt is Peek by Ref, with the row's key.
func (t *Table) PeekAt(ref Ref) (key, value []byte, ok bool) {
	sh := &t.shards[ref>>slotBits]
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	slot := uint32(ref) & (1<<slotBits - 1)
	if !sh.live(slot) {
		return nil, nil, false
	}
	key, value, _ = sh.record(slot)
	return key, value, true
}

// Put stores a row, and reports whether it is new. Key and value must not share memory with the table. Putting what is there
// already changes nothing, nor does it count as a change.
func (t *Table) Put(key, value []byte) (ref Ref, created bool) {
	h := xxh3.Hash(key)
	sh := t.shard(h)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	slot, found := sh.find(h, key)
	alive := found && !sh.dead.has(slot)
	if alive {
		_, old, record := sh.record(slot)
		if bytes.Equal(old, value) {
			return t.ref(h, slot), false
		}
		t.sum.remove(t.id, record)
	}
	if !found {
		slot = sh.allocate()
	}
	sh.touch(slot, alive)
	sh.write(slot, found, key, value)
	if !found {
		sh.insert(h, slot)
	}
	sh.dead.clear(slot)
	_, _, record := sh.record(slot)
	t.sum.add(t.id, record)
	sh.compactIfWasteful()
	if !alive {
		t.count.Add(1)
	}
	return t.ref(h, slot), !alive
}

// Delete removes the row with that key and reports whether there was one.
func (t *Table) Delete(key []byte) bool {
	h := xxh3.Hash(key)
	sh := t.shard(h)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	slot, found := sh.find(h, key)
	if !found || sh.dead.has(slot) {
		return false
	}
	_, _, record := sh.record(slot)
	t.sum.remove(t.id, record)
	t.count.Add(-1)
	sh.touch(slot, true)
	sh.dead.set(slot)
	if !sh.frozen && !sh.stored.has(slot) {
		sh.purge(slot)
	}
	sh.compactIfWasteful()
	return true
}

// Bytes returns how much memory the table holds, in bytes.
func (t *Table) Bytes() int {
	n := 0
	for i := range t.shards {
		n += t.shards[i].size()
	}
	return n
}

func (t *Table) shard(hash uint64) *shard { return &t.shards[t.ShardOf(hash)] }

func (t *Table) ref(hash uint64, slot uint32) Ref { return Ref(t.ShardOf(hash))<<slotBits | Ref(slot) }

func (t *Table) reset() {
	for i := range t.shards {
		t.shards[i].reset()
	}
	t.count.Store(0)
}
