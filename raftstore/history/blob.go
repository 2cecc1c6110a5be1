package history

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// Fact is one fact with its place in the log.
type Fact struct {
	Index   uint64 // raft index of its entry
	Offset  uint32 // ordinal among the facts of that entry
	Time    int64  // of the entry, Unix nanoseconds
	Node    uint64 // who proposed it
	Class   uint8
	Streams []uint64 // under which it is found; not stored, as they follow from Data
	Data    []byte
}

const (
	blobFormat = 2
	// maxBlob bounds what a damaged length can make the decoder allocate.
	maxBlob = 16 << 20
)

// How a blob is compressed.
const (
	codecZstd = 1
	codecS2   = 2 // a third of zstd's time, half as large again
)

var errBlob = errors.New("blob does not decode")

// builder collects the facts of one blob.
type builder struct {
	raw     []byte
	facts   uint32
	first   Fact // without Streams and Data
	last    Fact
	streams keySet
}

// add appends a fact: what differs from the one before, and its data. Its streams, which follow from the data, are only remembered
// for the filter.
func (b *builder) add(f *Fact) {
	if b.facts == 0 {
		b.first = Fact{Index: f.Index, Offset: f.Offset, Time: f.Time}
		b.last = Fact{Index: f.Index, Time: f.Time}
	}
	from := uint32(0)
	if f.Index == b.last.Index {
		from = b.last.Offset
	}
	b.raw = binary.AppendUvarint(b.raw, f.Index-b.last.Index)
	b.raw = binary.AppendUvarint(b.raw, uint64(f.Offset-from))
	b.raw = binary.AppendVarint(b.raw, f.Time-b.last.Time)
	if f.Node == b.last.Node {
		b.raw = append(b.raw, 0)
	} else {
		b.raw = append(b.raw, 1)
		b.raw = binary.LittleEndian.AppendUint64(b.raw, f.Node)
	}
	b.raw = binary.AppendUvarint(b.raw, uint64(len(f.Data)))
	b.raw = append(b.raw, f.Data...)
	for _, k := range f.Streams {
		b.streams.add(k)
	}
	b.facts++
	b.last.Index, b.last.Offset, b.last.Time, b.last.Node = f.Index, f.Offset, f.Time, f.Node
}

func (b *builder) reset() {
	b.raw, b.facts = b.raw[:0], 0
	b.last = Fact{}
	b.streams.reset()
}

// A stored blob: format u8, crc32c u32 of the rest, length of the raw bytes u32, codec u8, compressed facts.
const blobHeader = 1 + 4 + 4 + 1

// encode returns the stored blob in memory of its own. With enc nil it is compressed for speed.
func (b *builder) encode(enc *zstd.Encoder) []byte {
	var out []byte
	if enc != nil {
		out = make([]byte, blobHeader, blobHeader+len(b.raw)/2)
		out[blobHeader-1] = codecZstd
		out = enc.EncodeAll(b.raw, out)
	} else {
		out = make([]byte, blobHeader+s2.MaxEncodedLen(len(b.raw)))
		out[blobHeader-1] = codecS2
		out = out[:blobHeader+len(s2.Encode(out[blobHeader:], b.raw))]
	}
	out[0] = blobFormat
	binary.LittleEndian.PutUint32(out[5:], uint32(len(b.raw)))
	binary.LittleEndian.PutUint32(out[1:], sum(out[5:]))
	return out
}

// decodeBlob returns the facts of a stored blob, without their streams. They share one buffer that belongs to the caller.
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
	body := stored[blobHeader:]
	var raw []byte
	var err error
	switch codec := stored[blobHeader-1]; codec {
	case codecZstd:
		raw, err = dec.DecodeAll(body, make([]byte, 0, n))
	case codecS2:
		if found, e := s2.DecodedLen(body); e != nil || found != int(n) {
			return nil, fmt.Errorf("%w: expected %d bytes, found %d (%v)", errBlob, n, found, e)
		}
		raw, err = s2.Decode(make([]byte, n), body)
	default:
		return nil, fmt.Errorf("%w: unknown codec %d", errBlob, codec)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBlob, err)
	}
	return decodeFacts(raw, class, e)
}

func decodeFacts(raw []byte, class uint8, e *entry) ([]Fact, error) {
	r := reader{b: raw}
	facts := make([]Fact, 0, min(int(e.facts), len(raw)))
	at := Fact{Class: class, Index: e.firstIndex, Time: e.firstTime}
	for len(r.b) > 0 && !r.bad {
		if step := r.uvarint(); step > 0 {
			at.Index += step
			at.Offset = 0
		}
		at.Offset += uint32(r.uvarint())
		at.Time += r.varint()
		switch r.byte() {
		case 0:
		case 1:
			at.Node = r.uint64()
		default:
			r.bad = true
		}
		at.Data = r.bytes()
		facts = append(facts, at)
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

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
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
