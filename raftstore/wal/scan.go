package wal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/hashicorp/raft-wal/types"

	"trine/raftstore/damage"
)

// What raft-wal writes (its README describes it): a 32-byte header, then 8-byte aligned frames. A batch of entries ends with
// a commit frame that carries the CRC32C of everything since the one before; a full segment ends with an index frame and a
// commit.
const (
	segmentHeader = 32
	frameHeader   = 8
	segmentMagic  = 0x58eb6b0d
	sector        = 512

	frameEntry  = 1
	frameIndex  = 2
	frameCommit = 3
)

const adviceRestore = "restore this node from a backup, or remove its data directory and let it join the cluster as a new node"

// found is what a scan finds in a segment file.
type found struct {
	entries    int      // in batches that are whole
	end        int64    // just past the last whole batch; 0 when there is none
	garbage    int64    // bytes of a torn write after end
	indexStart uint64   // where the index begins, when the segment was closed; else 0
	offsets    []uint32 // of the frames of the entries, those of a torn batch included
}

// scan reads a whole segment file. raft-wal stops reading at the first frame that makes no sense and forgets what follows,
// which is right for the write that a crash tore and silent loss for everything else. So the scan tells them apart: the log
// syncs one batch at a time, into space that was zero, so a torn write is the last batch of its file and either lacks
// sectors (they read as zeros) or simply ends early. Anything else is damage.
func scan(file string, b []byte, info types.SegmentInfo, table *crc32.Table) (found, error) {
	var (
		s          found
		entries    int
		indexStart uint64
		start      = 0 // of the batch being read
		off        = segmentHeader
		reason     = ""
	)
	end := len(bytes.TrimRight(b, "\x00"))
	end = min((end+7)&^7, len(b))
	extent := 0 // of the frame that is broken
walk:
	for off+frameHeader <= end {
		length := int(binary.LittleEndian.Uint32(b[off+4:]))
		if b[off+1]|b[off+2]|b[off+3] != 0 {
			reason = "a frame's header makes no sense"
			break
		}
		switch b[off] {
		case frameEntry:
			if length < entryHeader || length > len(b)-off-frameHeader {
				reason = fmt.Sprintf("an entry of %d bytes does not fit", length)
				break walk
			}
			entry := b[off+frameHeader : off+frameHeader+length]
			if claimed, _ := entryLength(entry); claimed != length {
				reason = fmt.Sprintf("an entry's length is %d in its frame and %d in itself", length, claimed)
				break walk
			}
			if !entryValid(entry, table) {
				reason = errEntry.Error()
				extent = off + frameHeader + length
				break walk
			}
			if want := info.BaseIndex + uint64(entries); entryIndex(entry) != want {
				reason = fmt.Sprintf("expected entry %d, found entry %d", want, entryIndex(entry))
				break walk
			}
			entries++
			s.offsets = append(s.offsets, uint32(off))
			off += frameHeader + (length+7)&^7
		case frameIndex:
			if length > len(b)-off-frameHeader {
				reason = fmt.Sprintf("an index of %d bytes does not fit", length)
				break walk
			}
			indexStart = uint64(off + frameHeader)
			off += frameHeader + (length+7)&^7
		case frameCommit:
			if crc32.Checksum(b[start:off], table) != binary.LittleEndian.Uint32(b[off+4:]) {
				reason = "a batch of entries fails its checksum"
				break walk
			}
			off += frameHeader
			start = off
			s.entries, s.end, s.indexStart = entries, int64(off), indexStart
		default:
			reason = "a frame has no known type"
			break walk
		}
	}
	if s.end > 0 {
		if at, why := checkHeader(b, info); why != "" {
			return s, &damage.Error{File: file, Offset: int64(at), Reason: why, Advice: adviceRestore}
		}
	}
	if end <= int(s.end) {
		return s, nil
	}
	if laterBatch(b, int(s.end), end, table) || reason != "" && !missesSector(b, int(s.end), max(end, extent)) {
		if reason == "" {
			reason = "entries are missing"
		}
		return s, &damage.Error{File: file, Offset: int64(min(off, end)), Reason: reason, Advice: adviceRestore}
	}
	s.garbage = int64(end) - s.end
	return s, nil
}

// laterBatch reports whether a valid entry follows a commit frame in b[from:end]. Such an entry was written after the batch
// at from had been synced, so that batch had been acknowledged.
func laterBatch(b []byte, from, end int, table *crc32.Table) bool {
	covered := from
	for off := from; off+frameHeader+entryHeader <= end; {
		length := int(binary.LittleEndian.Uint32(b[off+4:]))
		if b[off] != frameEntry || b[off+1]|b[off+2]|b[off+3] != 0 || length < entryHeader ||
			length > end-off-frameHeader || !entryValid(b[off+frameHeader:off+frameHeader+length], table) {
			off += 8
			continue
		}
		if before := off - frameHeader; before >= covered && before > from && b[before] == frameCommit &&
			b[before+1]|b[before+2]|b[before+3] == 0 {
			return true
		}
		off += frameHeader + (length+7)&^7
		covered = off
	}
	return false
}

// missesSector reports whether some sector of b[from:end], as far as it lies in that range, holds only zeros.
func missesSector(b []byte, from, end int) bool {
	for from < end {
		next := min((from/sector+1)*sector, end)
		if len(bytes.TrimRight(b[from:next], "\x00")) == 0 {
			return true
		}
		from = next
	}
	return false
}

func checkHeader(b []byte, info types.SegmentInfo) (offset int, reason string) {
	fields := []struct {
		name  string
		at    int
		found uint64
		want  uint64
	}{
		{"magic", 0, binary.LittleEndian.Uint64(b), segmentMagic},
		{"base index", 8, binary.LittleEndian.Uint64(b[8:]), info.BaseIndex},
		{"segment id", 16, binary.LittleEndian.Uint64(b[16:]), info.ID},
		{"codec", 24, binary.LittleEndian.Uint64(b[24:]), info.Codec},
	}
	for _, f := range fields {
		if f.found != f.want {
			return f.at, fmt.Sprintf("%s in the header: expected %d, found %d", f.name, f.want, f.found)
		}
	}
	return 0, ""
}
