package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"trine/raftstore/damage"
)

// Of a bbolt file: it begins with two pages that are written in turns, each with a checksum over what it says. The layout is
// a page header, then magic, version, page size, flags (4 bytes each), and 40 bytes more before the checksum.
const (
	metaHeader   = 16
	metaSummed   = 56
	metaMagic    = 0xED0CDAED
	metaPageSize = 8 // from the magic
)

// checkMeta looks at both of those pages. When one is damaged bbolt goes on with the other, which may be the older one; a log
// that goes by an older list of segments would throw the newest away. A crash damages neither: what changes in a page lies in
// one sector.
func checkMeta(file string) error {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return alone(file, "it is missing")
	}
	if err != nil {
		return fmt.Errorf("open list of segments: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return fmt.Errorf("look at list of segments: %w", err)
	} else if info.Size() == 0 {
		return alone(file, "it is empty")
	}
	at := int64(0)
	for range 2 {
		page := make([]byte, metaHeader+metaSummed+8)
		if _, err := f.ReadAt(page, at); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read list of segments: %w", err)
		}
		meta := page[metaHeader:]
		sum := fnv.New64a()
		_, _ = sum.Write(meta[:metaSummed]) // it never fails
		if binary.NativeEndian.Uint32(meta) != metaMagic || binary.NativeEndian.Uint64(meta[metaSummed:]) != sum.Sum64() {
			return &damage.Error{File: file, Offset: at, Reason: "the page that says where its data is fails its checksum", Advice: adviceRestore}
		}
		at = int64(binary.NativeEndian.Uint32(meta[metaPageSize:]))
	}
	return nil
}

// alone returns damage if segments stand beside a list that does not name them: raft-wal would remove them.
func alone(file, reason string) error {
	segments, err := filepath.Glob(filepath.Join(filepath.Dir(file), "*.wal"))
	if err != nil {
		return fmt.Errorf("look for segments: %w", err)
	}
	if len(segments) > 0 {
		return &damage.Error{File: file, Offset: -1, Reason: reason + " beside " + filepath.Base(segments[0]), Advice: adviceRestore}
	}
	return nil
}
