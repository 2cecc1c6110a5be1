package engine

import (
	"fmt"
	"sync"
)

// slots holds what waits for the outcome of a proposal, by token: at most so many at a time. A token is a place and how often the
// place was used before, so that an outcome that came twice would be found out instead of meeting whoever waits there now.
type slots[T any] struct {
	mu     sync.Mutex
	places []place[T]
	free   []uint32
}

type place[T any] struct {
	waiting *T // nil: free
	uses    uint32
}

func newSlots[T any](size int) *slots[T] {
	s := &slots[T]{places: make([]place[T], size), free: make([]uint32, size)}
	for i := range s.free {
		s.free[i] = uint32(size - 1 - i)
	}
	return s
}

// put returns the token under which v waits; ok is false if too many wait.
func (s *slots[T]) put(v *T) (token uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.free) == 0 {
		return 0, false
	}
	i := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	p := &s.places[i]
	p.waiting = v
	return uint64(p.uses)<<32 | uint64(i), true
}

// take returns what waits under the token, and frees its place.
func (s *slots[T]) take(token uint64) *T {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := uint32(token)
	if int(i) >= len(s.places) || s.places[i].waiting == nil || s.places[i].uses != uint32(token>>32) {
		violated("one outcome for each proposal", "another for token %#x", token)
	}
	p := &s.places[i]
	v := p.waiting
	p.waiting = nil
	p.uses++
	s.free = append(s.free, i)
	return v
}

// used returns how many wait.
func (s *slots[T]) used() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.places) - len(s.free)
}

// violated ends the process: an invariant between this package and its log does not hold.
func violated(expected, format string, args ...any) {
	panic("engine: expected " + expected + ", found " + fmt.Sprintf(format, args...))
}
