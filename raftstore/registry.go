package raftstore

import (
	"encoding/binary"
	"maps"
	"slices"
)

// epochRange is one history epoch: it holds the entries from an index up to the next epoch's.
type epochRange struct {
	number uint32
	from   uint64 // first raft index
	since  int64  // time of the entry that began it, Unix nanoseconds; 0 for the first epoch
}

// registry is the epochs of every class, oldest first. It is replicated state; a value never changes once it is published.
// A class that is absent has only its first epoch.
type registry map[Class][]epochRange

func firstEpoch() []epochRange { return []epochRange{{number: 1}} }

func (r registry) class(c Class) []epochRange {
	if e, ok := r[c]; ok {
		return e
	}
	return firstEpoch()
}

func (r registry) current(c Class) epochRange {
	e := r.class(c)
	return e[len(e)-1]
}

// at returns the epoch that holds an index; false if retention removed it.
func (r registry) at(c Class, index uint64) (uint32, bool) {
	for _, e := range slices.Backward(r.class(c)) {
		if index >= e.from {
			return e.number, true
		}
	}
	return 0, false
}

func (r registry) has(c Class, number uint32) bool {
	return slices.ContainsFunc(r.class(c), func(e epochRange) bool { return e.number == number })
}

// cut returns a registry in which class c begins epoch number after entry index. It returns r itself if that is not the next.
func (r registry) cut(c Class, number uint32, index uint64, now int64) registry {
	if number != r.current(c).number+1 {
		return r
	}
	n := maps.Clone(r)
	n[c] = append(slices.Clone(r.class(c)), epochRange{number, index + 1, now})
	return n
}

// remove returns a registry without an epoch. It returns r itself if the epoch is not the oldest, or the only one.
func (r registry) remove(c Class, number uint32) registry {
	e := r.class(c)
	if len(e) < 2 || e[0].number != number {
		return r
	}
	n := maps.Clone(r)
	n[c] = slices.Clone(e[1:])
	return n
}

const epochBytes = 4 + 8 + 8

func encodeEpochs(e []epochRange) []byte {
	b := make([]byte, 0, len(e)*epochBytes)
	for _, x := range e {
		b = binary.LittleEndian.AppendUint32(b, x.number)
		b = binary.LittleEndian.AppendUint64(b, x.from)
		b = binary.LittleEndian.AppendUint64(b, uint64(x.since))
	}
	return b
}

func decodeEpochs(b []byte) ([]epochRange, bool) {
	if len(b) == 0 || len(b)%epochBytes != 0 {
		return nil, false
	}
	var e []epochRange
	for ; len(b) > 0; b = b[epochBytes:] {
		e = append(e, epochRange{
			binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint64(b[4:]), int64(binary.LittleEndian.Uint64(b[12:])),
		})
	}
	return e, true
}

// An epoch record: class u8, number u32.
func encodeEpochRecord(c Class, number uint32) []byte {
	return binary.LittleEndian.AppendUint32([]byte{byte(c)}, number)
}

func decodeEpochRecord(b []byte) (c Class, number uint32, ok bool) {
	if len(b) != 5 || Class(b[0]) > MaxClass {
		return 0, 0, false
	}
	return Class(b[0]), binary.LittleEndian.Uint32(b[1:]), true
}
