package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/hashicorp/raft"
)

// codecID names the entry layout in the header of every segment file. A change of layout takes a new number.
const codecID = 1<<16 + 0x7472

// An entry as the codec writes it, little endian:
//
//	length u32 (of the whole), crc32c u32 (of what follows), index u64, term u64, type u8, extensions u32 length, data
const (
	entryHeader = 4 + 4 + 8 + 8 + 1 + 4
	offsetCRC   = 4
	offsetBody  = 8
)

var errEntry = errors.New("entry fails its checksum")

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// codec writes and reads entries for raft-wal. Encode runs under the log's write lock, so its scratch space is shared safely.
type codec struct {
	table   *crc32.Table
	scratch [entryHeader]byte
}

// ID implements raftwal.Codec.
func (c *codec) ID() uint64 { return codecID }

// Encode implements raftwal.Codec.
func (c *codec) Encode(l *raft.Log, w io.Writer) error {
	h := c.scratch[:]
	size := entryHeader + len(l.Extensions) + len(l.Data)
	if b, ok := w.(interface{ Grow(n int) }); ok {
		b.Grow(size) // raft-wal's buffer is empty: it would grow step by step
	}
	binary.LittleEndian.PutUint32(h, uint32(size))
	binary.LittleEndian.PutUint64(h[8:], l.Index)
	binary.LittleEndian.PutUint64(h[16:], l.Term)
	h[24] = byte(l.Type)
	binary.LittleEndian.PutUint32(h[25:], uint32(len(l.Extensions)))
	sum := crc32.Update(0, c.table, h[offsetBody:])
	sum = crc32.Update(sum, c.table, l.Extensions)
	sum = crc32.Update(sum, c.table, l.Data)
	binary.LittleEndian.PutUint32(h[offsetCRC:], sum)
	for _, part := range [][]byte{h, l.Extensions, l.Data} {
		if _, err := w.Write(part); err != nil {
			return fmt.Errorf("encode entry %d: %w", l.Index, err)
		}
	}
	return nil
}

// Decode implements raftwal.Codec: it copies what it keeps, into the memory of l.Data if that suffices, and refuses an entry
// whose checksum does not hold.
func (c *codec) Decode(b []byte, l *raft.Log) error {
	if !entryValid(b, c.table) {
		return errEntry
	}
	ext := int(binary.LittleEndian.Uint32(b[25:]))
	body := append(l.Data[:0], b[entryHeader:]...)
	*l = raft.Log{
		Index: binary.LittleEndian.Uint64(b[8:]),
		Term:  binary.LittleEndian.Uint64(b[16:]),
		Type:  raft.LogType(b[24]),
	}
	if ext > 0 {
		l.Extensions = body[:ext:ext]
	}
	l.Data = body[ext:]
	return nil
}

// entryLength returns the length that an entry claims for itself.
func entryLength(b []byte) (int, bool) {
	if len(b) < entryHeader {
		return 0, false
	}
	return int(binary.LittleEndian.Uint32(b)), true
}

func entryIndex(b []byte) uint64 { return binary.LittleEndian.Uint64(b[8:]) }

// entryValid reports whether b is exactly one entry whose checksum holds.
func entryValid(b []byte, table *crc32.Table) bool {
	n, ok := entryLength(b)
	if !ok || n != len(b) {
		return false
	}
	if ext := binary.LittleEndian.Uint32(b[25:]); uint64(ext) > uint64(len(b)-entryHeader) {
		return false
	}
	return crc32.Checksum(b[offsetBody:], table) == binary.LittleEndian.Uint32(b[offsetCRC:])
}
