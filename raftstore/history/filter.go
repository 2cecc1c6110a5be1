package history

import "math/bits"

// filter is a Bloom filter over stream keys, which are hashes already: ten bits a key and seven probes let about one in a
// hundred foreign keys through.
type filter []byte

const (
	filterBits   = 10
	filterProbes = 7
)

func newFilter(keys *keySet) filter {
	if keys.len() == 0 {
		return nil
	}
	f := make(filter, (keys.len()*filterBits+7)/8)
	n := uint64(len(f)) * 8
	for _, k := range keys.slots {
		if k != 0 {
			f.put(k, n)
		}
	}
	if keys.zero {
		f.put(0, n)
	}
	return f
}

// Probe i of a key is at h + i*step, stretched from 64 bits to the filter's length. The upper half of the key steps from the lower; a
// step of zero would probe one bit seven times.
func probes(key uint64) (h, step uint64) {
	return key * 0x9e3779b97f4a7c15, (key>>32 | 1) * 0xff51afd7ed558ccd
}

func (f filter) put(key, n uint64) {
	h, step := probes(key)
	for range filterProbes {
		at, _ := bits.Mul64(h, n)
		f[at/8] |= 1 << (at % 8)
		h += step
	}
}

// has reports whether key may be in the filter; false is certain.
func (f filter) has(key uint64) bool {
	if len(f) == 0 {
		return false
	}
	n := uint64(len(f)) * 8
	h, step := probes(key)
	for range filterProbes {
		at, _ := bits.Mul64(h, n)
		if f[at/8]&(1<<(at%8)) == 0 {
			return false
		}
		h += step
	}
	return true
}

// keySet is a set of hashes. Its zero value is empty.
type keySet struct {
	slots []uint64 // open addressing; 0: free; the length is a power of two
	used  int
	zero  bool // 0 is in the set
}

func (s *keySet) len() int {
	if s.zero {
		return s.used + 1
	}
	return s.used
}

func (s *keySet) add(key uint64) {
	if key == 0 {
		s.zero = true
		return
	}
	if s.used*2 >= len(s.slots) {
		s.grow()
	}
	if s.place(key) {
		s.used++
	}
}

// place reports whether the key is new.
func (s *keySet) place(key uint64) bool {
	mask := uint64(len(s.slots) - 1)
	for i := key & mask; ; i = (i + 1) & mask {
		switch s.slots[i] {
		case 0:
			s.slots[i] = key
			return true
		case key:
			return false
		}
	}
}

func (s *keySet) grow() {
	old := s.slots
	s.slots = make([]uint64, max(1024, 2*len(old)))
	for _, k := range old {
		if k != 0 {
			s.place(k)
		}
	}
}

func (s *keySet) reset() {
	clear(s.slots)
	s.used, s.zero = 0, false
}
