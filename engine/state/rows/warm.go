package rows

import "math/bits"

// maxWarm is how many rows Warm looks at together.
const maxWarm = 64

// Warm reads what finding the rows with those hashes (see [Hash]) will read, and keeps nothing of it: each step for all of them before the
// next, so that the processor waits for many places of memory at a time instead of one after another. Hashes of no row do no harm. No more than
// 64 are looked at.
func (t *Table) Warm(hashes []uint64) {
	hashes = hashes[:min(len(hashes), maxWarm)]
	// A lock waits for the reads in front of it, so all are taken first, in the order of the shards, each once.
	var locked [4]uint64
	for _, h := range hashes {
		n := t.ShardOf(h)
		locked[n>>6] |= 1 << (n & 63)
	}
	for w, word := range locked {
		for ; word != 0; word &= word - 1 {
			t.shards[w<<6|bits.TrailingZeros64(word)].mu.RLock()
		}
	}
	var slots, places [maxWarm]uint32
	for i, h := range hashes {
		if sh := t.shard(h); len(sh.index) > 0 {
			slots[i] = sh.index[uint32(h)&uint32(len(sh.index)-1)] & (1<<slotBits - 1)
		}
	}
	for i, h := range hashes {
		if slots[i] != 0 {
			places[i] = t.shard(h).slots[slots[i]-1] + 1
		}
	}
	var sum byte
	for i, h := range hashes {
		if places[i] != 0 {
			b := t.shard(h).arena.at(places[i] - 1)
			for at := 0; at < min(len(b), warmBytes); at += 64 {
				sum += b[at]
			}
		}
	}
	warmed(sum)
	for w, word := range locked {
		for ; word != 0; word &= word - 1 {
			t.shards[w<<6|bits.TrailingZeros64(word)].mu.RUnlock()
		}
	}
}

// warmBytes is how much of a record is read: most are shorter.
const warmBytes = 256

// warmed is where what was read goes, so that the compiler does not leave out the reading.
//
//go:noinline
func warmed(byte) {}
