package rows

import "sync"

// Index finds rows of one table by a hash that is not their key; any number of rows may share one. It knows hashes and Refs only:
// what it finds must be checked against the row, as it compares 32 bits of a hash. It is not part of a store's digest and is
// built anew after a Load.
//
// The rows of one hash are a doubly linked list, newest first, so that adding and removing take the same time however many there
// are. The links lie in arrays beside the slots; the heads, with their hashes, in an open addressing table.
//
// One goroutine at a time calls Add, Remove and Reset; the others may be called from anywhere.
type Index struct {
	mu    sync.RWMutex
	heads []head
	used  int      // heads in use
	free  int      // of the heads that AddAll looked at last; nobody asks, but reading them must not be left out
	links [][]link // by shard and slot
	count int
}

// head is where the list of a hash begins.
type head struct {
	hash uint32
	ref  Ref // noRef: free
}

type link struct{ next, prev Ref }

const (
	noRef Ref = 1<<32 - 1 // end of a list; no row has it, as slots end before
	idle  Ref = 1<<32 - 2 // in prev: the link is in no list
)

// Add enters a row under a hash. A row may be entered once in an Index.
func (x *Index) Add(hash uint64, ref Ref) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.add(short(hash), ref)
}

// Entry is a row and the hash to enter it under.
type Entry struct {
	Hash uint64
	Ref  Ref
}

// AddAll is Add for many rows.
func (x *Index) AddAll(entries []Entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.reserve(len(entries))
	// The places lie anywhere in a large table. Reading them all first lets the processor wait for many at a time.
	free := 0
	for _, e := range entries {
		if x.heads[x.home(short(e.Hash))].ref == noRef {
			free++
		}
	}
	x.free = free
	for _, e := range entries {
		x.add(short(e.Hash), e.Ref)
	}
}

func (x *Index) add(h uint32, ref Ref) {
	x.reserve(1)
	l := x.makeLink(ref)
	if l.prev != idle {
		violated("a row that is not in the index", "ref %d entered twice", ref)
	}
	*l = link{next: noRef, prev: noRef}
	i, found := x.head(h)
	if found {
		l.next = x.heads[i].ref
		x.link(l.next).prev = ref
	} else {
		x.used++
	}
	x.heads[i] = head{h, ref}
	x.count++
}

// reserve makes room for n more hashes.
func (x *Index) reserve(n int) {
	if (x.used+n)*5 > len(x.heads)*4 {
		x.resize(max((x.used+n)*5/4, len(x.heads)*3/2) + 16)
	}
}

// Remove takes a row out that was entered under that hash.
func (x *Index) Remove(hash uint64, ref Ref) {
	x.mu.Lock()
	defer x.mu.Unlock()
	shard, slot := ref>>slotBits, ref&(1<<slotBits-1)
	if int(shard) >= len(x.links) || int(slot) >= len(x.links[shard]) || x.link(ref).prev == idle {
		violated("a row that is in the index", "ref %d is not", ref)
	}
	l := x.link(ref)
	if l.next != noRef {
		x.link(l.next).prev = l.prev
	}
	if l.prev != noRef {
		x.link(l.prev).next = l.next
	} else {
		i, _ := x.head(short(hash))
		if x.heads[i].ref != ref {
			violated("a row that is in the index under its hash", "ref %d is not", ref)
		}
		x.heads[i].ref = l.next
		if l.next == noRef {
			x.dropHead(i)
			x.used--
		}
	}
	l.prev = idle
	x.count--
}

// Append appends up to limit rows entered under that hash, newest first. It does not allocate if dst has room.
func (x *Index) Append(dst []Ref, hash uint64, limit int) []Ref {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if len(x.heads) == 0 {
		return dst
	}
	i, _ := x.head(short(hash))
	for ref := x.heads[i].ref; ref != noRef && limit > 0; limit-- {
		dst = append(dst, ref)
		ref = x.link(ref).next
	}
	return dst
}

// Len returns the number of rows entered.
func (x *Index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.count
}

// Bytes returns how much memory the index holds, in bytes.
func (x *Index) Bytes() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	n := 8 * cap(x.heads)
	for _, l := range x.links {
		n += 8 * cap(l)
	}
	return n
}

// Reset empties the index and makes room for all rows of a table, under so many different hashes.
func (x *Index) Reset(t *Table, hashes int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.heads, x.used, x.count = nil, 0, 0
	if hashes > 0 {
		x.resize(hashes*4/3 + 16)
	}
	x.links = make([][]link, len(t.shards))
	for i := range t.shards {
		n := t.shards[i].slotCount()
		x.links[i] = make([]link, n, n+n/32)
		for j := range x.links[i] {
			x.links[i][j].prev = idle
		}
	}
}

// Fit gives back room that Reset made for hashes that did not come.
func (x *Index) Fit() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.used*2 < len(x.heads) {
		x.resize(x.used*4/3 + 16)
	}
}

func short(hash uint64) uint32 { return uint32(hash>>32) ^ uint32(hash) }

// makeLink returns the link of a row, which it makes if need be.
func (x *Index) makeLink(ref Ref) *link {
	shard, slot := int(ref>>slotBits), int(ref&(1<<slotBits-1))
	for len(x.links) <= shard {
		x.links = append(x.links, nil)
	}
	links := x.links[shard]
	for len(links) <= slot {
		links = append(grow(links, 1), link{prev: idle})
	}
	x.links[shard] = links
	return &links[slot]
}

func (x *Index) link(ref Ref) *link { return &x.links[ref>>slotBits][ref&(1<<slotBits-1)] }

// home returns the place in heads where a hash belongs.
func (x *Index) home(h uint32) int { return int(uint64(h) * uint64(len(x.heads)) >> 32) }

// head returns the place of a hash's list in heads, or the free one where it would stand.
func (x *Index) head(h uint32) (int, bool) {
	for i := x.home(h); ; {
		at := x.heads[i]
		if at.ref == noRef {
			return i, false
		}
		if at.hash == h {
			return i, true
		}
		if i++; i == len(x.heads) {
			i = 0
		}
	}
}

func (x *Index) resize(size int) {
	old := x.heads
	x.heads = make([]head, size)
	for i := range x.heads {
		x.heads[i].ref = noRef
	}
	for _, at := range old {
		if at.ref != noRef {
			i, _ := x.head(at.hash)
			x.heads[i] = at
		}
	}
}

// dropHead frees a place in heads and moves up those behind it that it kept from theirs.
func (x *Index) dropHead(i int) {
	n := len(x.heads)
	x.heads[i].ref = noRef
	for j := (i + 1) % n; x.heads[j].ref != noRef; j = (j + 1) % n {
		home := x.home(x.heads[j].hash)
		if (j-home+n)%n >= (j-i+n)%n {
			x.heads[i] = x.heads[j]
			x.heads[j].ref = noRef
			i = j
		}
	}
}
