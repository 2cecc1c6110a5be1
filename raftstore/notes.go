package raftstore

import (
	"cmp"
	"maps"
	"slices"
	"sync"
)

// notes remember what the log itself does not say about its entries since the last seal: which records were void, which
// batches came twice, which times were corrected. A restart finds them again by applying those entries again. They are few.
type notes struct {
	mu      sync.RWMutex
	from    uint64 // entries up to it are in history, their notes are gone
	voids   []voidNote
	skipped map[uint64]struct{}
	times   map[uint64]int64
}

type voidNote struct {
	index  uint64
	record uint32 // ordinal among all records of the entry
}

// note is what is remembered of one entry.
type note struct {
	skipped bool
	time    int64 // 0: as the entry says
	voids   []voidNote
}

func newNotes(from uint64) *notes {
	return &notes{from: from, skipped: map[uint64]struct{}{}, times: map[uint64]int64{}}
}

func (n *notes) void(index uint64, record uint32) {
	n.mu.Lock()
	n.voids = append(n.voids, voidNote{index, record})
	n.mu.Unlock()
}

func (n *notes) skip(index uint64) {
	n.mu.Lock()
	n.skipped[index] = struct{}{}
	n.mu.Unlock()
}

func (n *notes) clamp(index uint64, t int64) {
	n.mu.Lock()
	n.times[index] = t
	n.mu.Unlock()
}

// get returns what is remembered of an entry; false if the entry is in history by now.
func (n *notes) get(index uint64) (note, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if index <= n.from {
		return note{}, false
	}
	from, _ := slices.BinarySearchFunc(n.voids, index, byIndex)
	to, _ := slices.BinarySearchFunc(n.voids, index+1, byIndex)
	_, skipped := n.skipped[index]
	return note{skipped, n.times[index], n.voids[from:to:to]}, true
}

func byIndex(v voidNote, index uint64) int { return cmp.Compare(v.index, index) }

// prune forgets the entries up to index.
func (n *notes) prune(index uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.from = index
	at, _ := slices.BinarySearchFunc(n.voids, index+1, byIndex)
	n.voids = slices.Clone(n.voids[at:])
	maps.DeleteFunc(n.skipped, func(i uint64, _ struct{}) bool { return i <= index })
	maps.DeleteFunc(n.times, func(i uint64, _ int64) bool { return i <= index })
}
