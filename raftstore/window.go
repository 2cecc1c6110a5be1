package raftstore

import "encoding/binary"

// windowSize is how far behind the newest sequence of a proposer a batch may come and still be known to be new.
const windowSize = 1024

// window remembers which batches of a proposer have been applied. It is replicated state: all nodes keep it alike.
type window struct {
	epoch uint64 // the proposer's boot
	high  uint64 // its highest sequence
	seen  [windowSize / 64]uint64
}

// admit reports whether a batch is new, and remembers it. What comes from an earlier boot, or from too far behind, is not.
func (w *window) admit(epoch, seq uint64) bool {
	switch {
	case epoch < w.epoch:
		return false
	case epoch > w.epoch:
		*w = window{epoch: epoch, high: seq}
	case seq+windowSize <= w.high:
		return false
	case seq > w.high:
		if seq-w.high >= windowSize {
			w.seen = [windowSize / 64]uint64{}
		} else {
			for s := w.high + 1; s < seq; s++ {
				w.seen[s%windowSize/64] &^= 1 << (s % 64)
			}
		}
		w.high = seq
	case w.seen[seq%windowSize/64]&(1<<(seq%64)) != 0:
		return false
	}
	w.seen[seq%windowSize/64] |= 1 << (seq % 64)
	return true
}

const windowBytes = 8 + 8 + windowSize/8

func (w *window) encode() []byte {
	b := make([]byte, 0, windowBytes)
	b = binary.LittleEndian.AppendUint64(b, w.epoch)
	b = binary.LittleEndian.AppendUint64(b, w.high)
	for _, s := range w.seen {
		b = binary.LittleEndian.AppendUint64(b, s)
	}
	return b
}

func (w *window) decode(b []byte) bool {
	if len(b) != windowBytes {
		return false
	}
	w.epoch = binary.LittleEndian.Uint64(b)
	w.high = binary.LittleEndian.Uint64(b[8:])
	for i := range w.seen {
		w.seen[i] = binary.LittleEndian.Uint64(b[16+8*i:])
	}
	return true
}
