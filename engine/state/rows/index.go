package rows

import "sync"

// Index finds rows of one table by a hash that is not their key; any number of rows may share one. It knows hashes and Refs only:
// what it finds must be checked against the row, as it compares 32 bits of a hash. It is not part of a store's digest and is
// built anew after a Load.
//
// The rows of one hash are a doubly linked list, newest first, so that adding and removing take the same time however many there
// are. The links lie in arrays beside the slots; the heads in an open addressing table.
//
// One goroutine at a time calls Add, Remove and Reset; the others may be called from anywhere.
type Index struct {
	mu    sync.RWMutex
	heads []Ref    // noRef: free
	used  int      // heads in use
	links [][]link // by shard and slot
	count int
}

type link struct {
	next, prev Ref
	hash       uint32
}

const (
	noRef Ref = 1<<32 - 1 // end of a list; no row has it, as slots end before
	idle  Ref = 1<<32 - 2 // in prev: the link is in no list
)

// Add enters a row under a hash. A row may be entered once in an Index.
func (x *Index) Add(hash uint64, ref Ref) {
	x.mu.Lock()
	defer x.mu.Unlock()
	h := short(hash)
	l := x.makeLink(ref)
	if l.prev != idle {
		violated("a row that is not in the index", "ref %d entered twice", ref)
	}
	*l = link{next: noRef, prev: noRef, hash: h}
	if x.used*5 >= len(x.heads)*4 {
		x.resize(len(x.heads)*3/2 + 16)
	}
	i, found := x.head(h)
	if found {
		l.next = x.heads[i]
		x.link(l.next).prev = ref
	} else {
		x.used++
	}
	x.heads[i] = ref
	x.count++
}

// Remove takes a row out that was entered under that hash.
func (x *Index) Remove(hash uint64, ref Ref) {
	x.mu.Lock()
	defer x.mu.Unlock()
	h := short(hash)
	shard, slot := ref>>slotBits, ref&(1<<slotBits-1)
	if int(shard) >= len(x.links) || int(slot) >= len(x.links[shard]) || x.link(ref).prev == idle || x.link(ref).hash != h {
		violated("a row that is in the index", "ref %d is not", ref)
	}
	l := x.link(ref)
	if l.next != noRef {
		x.link(l.next).prev = l.prev
	}
	if l.prev != noRef {
		x.link(l.prev).next = l.next
	} else {
		i, _ := x.head(h)
		x.heads[i] = l.next
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
	for ref := x.heads[i]; ref != noRef && limit > 0; limit-- {
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
	n := 4 * cap(x.heads)
	for _, l := range x.links {
		n += 12 * cap(l)
	}
	return n
}

// Reset empties the index.
func (x *Index) Reset() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.heads, x.used, x.links, x.count = nil, 0, nil, 0
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
		ref := x.heads[i]
		if ref == noRef {
			return i, false
		}
		if x.link(ref).hash == h {
			return i, true
		}
		if i++; i == len(x.heads) {
			i = 0
		}
	}
}

func (x *Index) resize(size int) {
	old := x.heads
	x.heads = make([]Ref, size)
	for i := range x.heads {
		x.heads[i] = noRef
	}
	for _, ref := range old {
		if ref != noRef {
			i, _ := x.head(x.link(ref).hash)
			x.heads[i] = ref
		}
	}
}

// dropHead frees a place in heads and moves up those behind it that it kept from theirs.
func (x *Index) dropHead(i int) {
	n := len(x.heads)
	x.heads[i] = noRef
	for j := (i + 1) % n; x.heads[j] != noRef; j = (j + 1) % n {
		home := x.home(x.link(x.heads[j]).hash)
		if (j-home+n)%n >= (j-i+n)%n {
			x.heads[i], x.heads[j] = x.heads[j], noRef
			i = j
		}
	}
}
