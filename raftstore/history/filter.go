package history

// filter is a Bloom filter over stream keys, which are hashes already: ten bits a key and seven probes let about one in a
// hundred foreign keys through.
type filter []byte

const (
	filterBits   = 10
	filterProbes = 7
)

func newFilter(keys map[uint64]struct{}) filter {
	if len(keys) == 0 {
		return nil
	}
	f := make(filter, (len(keys)*filterBits+7)/8)
	for k := range keys {
		f.probe(k, func(i, bit uint64) bool { f[i] |= 1 << bit; return true })
	}
	return f
}

// has reports whether key may be in the filter; false is certain.
func (f filter) has(key uint64) bool {
	if len(f) == 0 {
		return false
	}
	found := true
	f.probe(key, func(i, bit uint64) bool {
		found = f[i]&(1<<bit) != 0
		return found
	})
	return found
}

func (f filter) probe(key uint64, visit func(i, bit uint64) bool) {
	n := uint64(len(f)) * 8
	// The upper half steps from the lower; a step of zero would probe one bit seven times.
	h, step := key*0x9e3779b97f4a7c15, key>>32|1
	for range filterProbes {
		at := h % n
		if !visit(at/8, at%8) {
			return
		}
		h += step * 0xff51afd7ed558ccd
	}
}
