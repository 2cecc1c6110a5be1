package raftstore

import (
	"encoding/binary"
	"errors"
	"fmt"

	"trine/raftstore/wal"
)

// A batch is one raft entry. Little endian:
//
//	magic u32, format u16, level u16, node u64, boot epoch u64, sequence u64, time i64, records u32,
//	then each record: kind u8, length uvarint, bytes,
//	then crc32c u32 of everything before it
//
// Level is the feature level that a reader needs; node, epoch and sequence say whose batch it is, so that one sent twice counts
// once; time is the leader's, stamped when it appends.
const (
	envelopeMagic  = 0x31425254 // "TRB1"
	envelopeFormat = 1
	envelopeHeader = 4 + 2 + 2 + 8 + 8 + 8 + 8 + 4
	envelopeSum    = 4
)

// kind tells the Machine's records from the store's own.
type kind byte

const (
	kindMachine kind = iota
	kindCut          // class u8, epoch u32: the class begins this epoch with the next entry
	kindRemove       // class u8, epoch u32: the epoch's facts are gone
	kindLevel        // level u16: the cluster's feature level
	kindDigest       // nothing: each node notes the digest of its rows after this entry
	kindEnd
)

// releaseLevel is the highest feature level that this release reads and writes, a decimal number. A release that writes what those before it cannot
// read has a higher one. The linker may set it, for tests of upgrades: -X trine/raftstore.releaseLevel=2.
var releaseLevel = "1"

var errEnvelope = errors.New("batch does not decode")

type envelope struct {
	level   uint16
	node    uint64
	epoch   uint64
	seq     uint64
	time    int64
	records [][]byte // parts of the decoded bytes
	kinds   []kind
}

func appendHeader(b []byte) []byte { return append(b, make([]byte, envelopeHeader)...) }

func appendRecord(b []byte, k kind, record []byte) []byte {
	b = append(b, byte(k))
	b = binary.AppendUvarint(b, uint64(len(record)))
	return append(b, record...)
}

// stamp fills the header of a batch in b and appends its checksum. It may be called again after cutting the checksum off.
func stamp(b []byte, level uint16, node, epoch, seq uint64, now int64, records int) []byte {
	binary.LittleEndian.PutUint32(b, envelopeMagic)
	binary.LittleEndian.PutUint16(b[4:], envelopeFormat)
	binary.LittleEndian.PutUint16(b[6:], level)
	binary.LittleEndian.PutUint64(b[8:], node)
	binary.LittleEndian.PutUint64(b[16:], epoch)
	binary.LittleEndian.PutUint64(b[24:], seq)
	binary.LittleEndian.PutUint64(b[32:], uint64(now))
	binary.LittleEndian.PutUint32(b[40:], uint32(records))
	return binary.LittleEndian.AppendUint32(b, wal.Checksum(b))
}

// decode reads a batch; its records stay parts of b. It reuses the slices of e.
func (e *envelope) decode(b []byte) error {
	if len(b) < envelopeHeader+envelopeSum {
		return fmt.Errorf("%w: expected at least %d bytes, found %d", errEnvelope, envelopeHeader+envelopeSum, len(b))
	}
	if m := binary.LittleEndian.Uint32(b); m != envelopeMagic {
		return fmt.Errorf("%w: magic: expected %08x, found %08x", errEnvelope, envelopeMagic, m)
	}
	if f := binary.LittleEndian.Uint16(b[4:]); f != envelopeFormat {
		return fmt.Errorf("%w: format: expected %d, found %d", errEnvelope, envelopeFormat, f)
	}
	body, tail := b[:len(b)-envelopeSum], b[len(b)-envelopeSum:]
	if want, found := binary.LittleEndian.Uint32(tail), wal.Checksum(body); want != found {
		return fmt.Errorf("%w: checksum: expected %08x, found %08x", errEnvelope, want, found)
	}
	*e = envelope{
		level:   binary.LittleEndian.Uint16(b[6:]),
		node:    binary.LittleEndian.Uint64(b[8:]),
		epoch:   binary.LittleEndian.Uint64(b[16:]),
		seq:     binary.LittleEndian.Uint64(b[24:]),
		time:    int64(binary.LittleEndian.Uint64(b[32:])),
		records: e.records[:0],
		kinds:   e.kinds[:0],
	}
	count := binary.LittleEndian.Uint32(b[40:])
	body = body[envelopeHeader:]
	for len(body) > 0 {
		k := kind(body[0])
		if k >= kindEnd {
			return fmt.Errorf("%w: kind of record: expected below %d, found %d", errEnvelope, kindEnd, k)
		}
		n, size := binary.Uvarint(body[1:])
		if size <= 0 || n > uint64(len(body)-1-size) {
			return fmt.Errorf("%w: record %d does not fit", errEnvelope, len(e.records))
		}
		start := 1 + size
		end := start + int(n)
		e.records = append(e.records, body[start:end:end])
		e.kinds = append(e.kinds, k)
		body = body[end:]
	}
	if uint64(len(e.records)) != uint64(count) {
		return fmt.Errorf("%w: records: expected %d, found %d", errEnvelope, count, len(e.records))
	}
	return nil
}
