package history

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"
)

// Fact is one fact with its place in the log.
type Fact struct {
	Index   uint64 // raft index of its entry
	Offset  uint32 // ordinal among the facts of that entry
	Time    int64  // of the entry, Unix nanoseconds
	Node    uint64 // who proposed it
	Class   uint8
	Streams []uint64
	Data    []byte
}

const (
	blobFormat = 1
	// maxBlob bounds what a damaged length can make the decoder allocate.
	maxBlob = 16 << 20
)

var errBlob = errors.New("blob does not decode")

// builder collects the facts of one blob.
type builder struct {
	raw     []byte
	facts   uint32
	first   Fact // without Streams and Data
	last    Fact
	streams map[uint64]struct{}
}

func (b *builder) add(f *Fact) {
	if b.facts == 0 {
		b.first = Fact{Index: f.Index, Offset: f.Offset, Time: f.Time}
		b.last = b.first
	}
	b.raw = binary.AppendUvarint(b.raw, f.Index-b.last.Index)
	b.raw = binary.AppendUvarint(b.raw, uint64(f.Offset))
	b.raw = binary.AppendVarint(b.raw, f.Time-b.last.Time)
	b.raw = binary.LittleEndian.AppendUint64(b.raw, f.Node)
	b.raw = binary.AppendUvarint(b.raw, uint64(len(f.Streams)))
	for _, s := range f.Streams {
		b.raw = binary.LittleEndian.AppendUint64(b.raw, s)
		b.streams[s] = struct{}{}
	}
	b.raw = binary.AppendUvarint(b.raw, uint64(len(f.Data)))
	b.raw = append(b.raw, f.Data...)
	b.facts++
	b.last.Index, b.last.Offset, b.last.Time = f.Index, f.Offset, f.Time
}

func (b *builder) reset() {
	b.raw, b.facts = b.raw[:0], 0
	clear(b.streams)
}

// A stored blob: format u8, crc32c u32 of the rest, length of the raw bytes u32, zstd frame.
const blobHeader = 1 + 4 + 4

func (b *builder) encode(enc *zstd.Encoder) []byte {
	out := make([]byte, blobHeader, blobHeader+len(b.raw)/2)
	out[0] = blobFormat
	binary.LittleEndian.PutUint32(out[5:], uint32(len(b.raw)))
	out = enc.EncodeAll(b.raw, out)
	binary.LittleEndian.PutUint32(out[1:], sum(out[5:]))
	return out
}

// decodeBlob returns the facts of a stored blob. They share one buffer that belongs to the caller.
func decodeBlob(dec *zstd.Decoder, class uint8, e *entry, stored []byte) ([]Fact, error) {
	if len(stored) < blobHeader || stored[0] != blobFormat {
		return nil, fmt.Errorf("%w: unknown format", errBlob)
	}
	if want, found := binary.LittleEndian.Uint32(stored[1:]), sum(stored[5:]); want != found {
		return nil, fmt.Errorf("%w: checksum: expected %08x, found %08x", errBlob, want, found)
	}
	n := binary.LittleEndian.Uint32(stored[5:])
	if n > maxBlob {
		return nil, fmt.Errorf("%w: %d bytes are more than a blob has", errBlob, n)
	}
	raw, err := dec.DecodeAll(stored[blobHeader:], make([]byte, 0, n))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBlob, err)
	}
	return decodeFacts(raw, class, e)
}

func decodeFacts(raw []byte, class uint8, e *entry) ([]Fact, error) {
	r := reader{b: raw}
	facts := make([]Fact, 0, min(int(e.facts), len(raw)))
	at := Fact{Index: e.firstIndex, Time: e.firstTime}
	for len(r.b) > 0 && !r.bad {
		f := Fact{Class: class}
		at.Index += r.uvarint()
		f.Index = at.Index
		f.Offset = uint32(r.uvarint())
		at.Time += r.varint()
		f.Time = at.Time
		f.Node = r.uint64()
		if n := r.uvarint(); n > 0 {
			if n > uint64(len(r.b)/8) {
				return nil, fmt.Errorf("%w: %d stream keys do not fit", errBlob, n)
			}
			f.Streams = make([]uint64, n)
			for i := range f.Streams {
				f.Streams[i] = r.uint64()
			}
		}
		f.Data = r.bytes()
		facts = append(facts, f)
	}
	if r.bad || len(facts) != int(e.facts) {
		return nil, fmt.Errorf("%w: expected %d facts, found %d", errBlob, e.facts, len(facts))
	}
	return facts, nil
}

// entry is a blob's line in the index.
type entry struct {
	firstIndex, lastIndex   uint64
	firstOffset, lastOffset uint32
	firstTime, lastTime     int64
	facts, stored           uint32
	streams                 filter
}

// Its value: format u8, crc32c u32 of the rest, facts u32, stored u32, last index u64, last offset u32, first and last time
// i64, filter. Its key has the first position.
const entryHeader = 1 + 4 + 4 + 4 + 8 + 4 + 8 + 8

func (e *entry) encode() []byte {
	out := make([]byte, entryHeader, entryHeader+len(e.streams))
	out[0] = blobFormat
	binary.LittleEndian.PutUint32(out[5:], e.facts)
	binary.LittleEndian.PutUint32(out[9:], e.stored)
	binary.LittleEndian.PutUint64(out[13:], e.lastIndex)
	binary.LittleEndian.PutUint32(out[21:], e.lastOffset)
	binary.LittleEndian.PutUint64(out[25:], uint64(e.firstTime))
	binary.LittleEndian.PutUint64(out[33:], uint64(e.lastTime))
	out = append(out, e.streams...)
	binary.LittleEndian.PutUint32(out[1:], sum(out[5:]))
	return out
}

func decodeEntry(key, b []byte) (*entry, error) {
	if len(key) != keyLength || len(b) < entryHeader || b[0] != blobFormat ||
		binary.LittleEndian.Uint32(b[1:]) != sum(b[5:]) {
		return nil, fmt.Errorf("%w: its line in the index fails its checksum", errBlob)
	}
	return &entry{
		firstIndex:  binary.BigEndian.Uint64(key[1:]),
		firstOffset: binary.BigEndian.Uint32(key[9:]),
		facts:       binary.LittleEndian.Uint32(b[5:]),
		stored:      binary.LittleEndian.Uint32(b[9:]),
		lastIndex:   binary.LittleEndian.Uint64(b[13:]),
		lastOffset:  binary.LittleEndian.Uint32(b[21:]),
		firstTime:   int64(binary.LittleEndian.Uint64(b[25:])),
		lastTime:    int64(binary.LittleEndian.Uint64(b[33:])),
		streams:     append(filter(nil), b[entryHeader:]...),
	}, nil
}

// Keys: a letter, then the position of the first fact, big endian, so that keys sort as the log does.
const (
	prefixIndex = 'i'
	prefixBlob  = 'b'
	keyLength   = 1 + 8 + 4
)

func key(prefix byte, index uint64, offset uint32) []byte {
	k := make([]byte, keyLength)
	k[0] = prefix
	binary.BigEndian.PutUint64(k[1:], index)
	binary.BigEndian.PutUint32(k[9:], offset)
	return k
}

func sum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// reader takes values off the front of b; bad remembers that there was too little.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) uint64() uint64 {
	if len(r.b) < 8 {
		r.bad = true
		return 0
	}
	v := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}
