package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftwal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"

	"trine/raftstore/damage"
)

// Options say how a log behaves.
type Options struct {
	SegmentBytes int // size at which a segment file is closed; 0: 16 MiB
	Logger       hclog.Logger
	Fatal        func(error) // called when a write or an fsync failed for another reason than a full disk; should not return
	Full         func(error) // called each time that a write finds the disk full, before it waits
}

// Log is raft's log and raft's stable store in one directory.
type Log struct {
	*raftwal.WAL
	meta     meta
	counters counters
	closing  chan struct{}
	closed   atomic.Bool
	keep     atomic.Bool    // the next DeleteRange of the whole log removes nothing
	cutting  sync.Mutex     // held while entries are removed
	held     uint64         // this entry and those behind it stay; 0: none is held
	removing sync.WaitGroup // segments
	// Torn is how many bytes of a write that never completed were removed from the end of the log when it was opened.
	Torn int64
}

var (
	_ raft.LogStore          = (*Log)(nil)
	_ raft.MonotonicLogStore = (*Log)(nil)
	_ raft.StableStore       = (*Log)(nil)
)

type counters struct{ syncs, bytes atomic.Uint64 }

// Counters are what the log has done since it was opened.
type Counters struct {
	Syncs uint64 // fsyncs of segment files
	Bytes uint64 // bytes written to segment files
}

// Open opens the log in dir, which must exist; an empty directory gets an empty log. It reads every segment and returns a
// *damage.Error if something other than a torn last write is wrong.
func Open(dir string, o Options) (l *Log, err error) {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 16 << 20
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.Full == nil {
		o.Full = func(error) {}
	}
	l = &Log{closing: make(chan struct{})}
	g := &guard{fatal: o.Fatal, full: o.Full, closing: l.closing}
	l.meta = meta{&metadb.BoltMetaDB{}, g}
	metaFile := filepath.Join(dir, metadb.FileName)
	defer func() {
		// bbolt panics on some damaged pages.
		if r := recover(); r != nil {
			err = &damage.Error{File: metaFile, Offset: -1, Reason: fmt.Sprint(r), Advice: adviceRestore}
		}
		if err != nil {
			_ = l.meta.Close() // the error that matters is err
			l = nil
		}
	}()

	if err := checkMeta(metaFile); err != nil {
		return l, err
	}
	state, err := l.meta.Load(dir)
	if err != nil {
		return l, damage.Opening(metaFile, err, adviceRestore)
	}
	if err := l.check(dir, state); err != nil {
		return l, err
	}
	v := &vfs{FS: fs.New(), guard: g, counters: &l.counters, meta: l.meta, removing: &l.removing, logger: o.Logger}
	l.WAL, err = raftwal.Open(
		dir,
		raftwal.WithCodec(&codec{table: castagnoli()}),
		raftwal.WithMetaStore(l.meta),
		raftwal.WithSegmentFiler(filer{segment.NewFiler(dir, v)}),
		raftwal.WithSegmentSize(o.SegmentBytes),
		raftwal.WithLogger(o.Logger),
	)
	if err != nil {
		return l, fmt.Errorf("open log in %s: %w", dir, err)
	}
	return l, nil
}

// GetLog implements raft.LogStore. It fills the memory of entry.Data if that suffices; raft gives it none. An entry whose checksum
// does not hold ends the process: it has been acknowledged.
func (l *Log) GetLog(index uint64, entry *raft.Log) error {
	err := l.WAL.GetLog(index, entry)
	if errors.Is(err, errEntry) {
		l.meta.fatal(fmt.Errorf("read entry %d of the log: %w", index, err))
	}
	return err
}

// KeepOnce has the next DeleteRange of the whole log remove nothing; of an empty log there is nothing to keep.
func (l *Log) KeepOnce() error {
	_, last, err := l.Bounds()
	l.keep.Store(err == nil && last > 0)
	return err
}

// Hold has an entry and those behind it stay until Hold is called again, 0 meaning that none is held, unless the whole log is removed: raft needs the entry itself to say what the others come after. It
// returns an error, and changes nothing, if not all behind it are there any more.
func (l *Log) Hold(after uint64) error {
	l.cutting.Lock()
	defer l.cutting.Unlock()
	if first, last, err := l.Bounds(); err != nil || after > 0 && last > 0 && first > after+1 {
		return errors.Join(err, fmt.Errorf("hold the log behind entry %d: it begins at %d", after, first))
	}
	l.held = after
	return nil
}

// DeleteRange implements raft.LogStore. Of entries that are held, what comes before them is removed.
func (l *Log) DeleteRange(from, to uint64) error {
	l.cutting.Lock()
	defer l.cutting.Unlock()
	first, last, err := l.Bounds()
	if err != nil {
		return err
	}
	switch {
	case from > first: // of the end
	case to >= last:
		if l.keep.CompareAndSwap(true, false) {
			return nil
		}
	case l.held > 0:
		if to = min(to, l.held-1); to < from {
			return nil
		}
	}
	return l.WAL.DeleteRange(from, to)
}

// Bounds returns the indexes of the first and the last entry, 0 where there is none.
func (l *Log) Bounds() (first, last uint64, err error) {
	if first, err = l.FirstIndex(); err != nil {
		return 0, 0, fmt.Errorf("read first entry of the log: %w", err)
	}
	if last, err = l.LastIndex(); err != nil {
		return 0, 0, fmt.Errorf("read last entry of the log: %w", err)
	}
	return first, last, nil
}

// check scans all segments, removes a torn write from the last one, and finishes a change of segments that a crash
// interrupted: raft-wal closes a segment in its file first and in its metadata a moment later, and refuses every append
// when it finds only the first done.
func (l *Log) check(dir string, state types.PersistentState) error {
	table := castagnoli()
	newest, err := l.meta.GetStable([]byte(newestKey))
	if err != nil {
		return fmt.Errorf("look for newest segment: %w", err)
	}
	for i, info := range state.Segments {
		name := filepath.Join(dir, segment.FileName(info))
		last := i == len(state.Segments)-1
		if info.Codec != codecID {
			return &damage.Error{
				File: name, Offset: 24, Reason: fmt.Sprintf("codec: expected %d, found %d", codecID, info.Codec),
				Advice: "open it with the release that wrote it",
			}
		}
		b, err := os.ReadFile(name)
		used := string(newest) == segment.FileName(info)
		if errors.Is(err, os.ErrNotExist) && last && info.SealTime.IsZero() && !used {
			continue // a crash came between naming the segment and making its file
		}
		if err != nil {
			return damage.Opening(name, err, adviceRestore)
		}
		s, err := scan(name, b, info, table)
		if !info.SealTime.IsZero() {
			if whole := info.BaseIndex + uint64(s.entries); whole <= info.MaxIndex {
				if err != nil {
					return err
				}
				return &damage.Error{
					File: name, Offset: s.end, Advice: adviceRestore,
					Reason: fmt.Sprintf("expected entries up to %d, found them up to %d", info.MaxIndex, whole-1),
				}
			}
			if info.IndexStart == 0 {
				if err := l.addIndex(name, state, i, s); err != nil {
					return err
				}
			}
			continue
		}
		if err != nil {
			return err
		}
		if used && s.entries == 0 {
			return &damage.Error{
				File: name, Offset: segmentHeader, Reason: "it holds no entry, but some were acknowledged", Advice: adviceRestore,
			}
		}
		if s.garbage > 0 {
			if err := clean(name, s.end, s.garbage); err != nil {
				return err
			}
			l.Torn += s.garbage
		}
		if last && s.indexStart > 0 {
			return l.finishRotation(state, s)
		}
	}
	return nil
}

// addIndex gives a segment that was closed without one its index. Raft-wal closes a segment so when the end of the log is cut off within it, which a new leader makes a
// follower do: it goes on reading the segment as long as the process lives, and cannot afterwards.
func (l *Log) addIndex(name string, state types.PersistentState, segment int, s found) error {
	start := s.indexStart
	if start == 0 { // else a crash came between the index and the metadata
		if s.garbage > 0 {
			if err := clean(name, s.end, s.garbage); err != nil {
				return err
			}
		}
		b := binary.LittleEndian.AppendUint32([]byte{frameIndex, 0, 0, 0}, uint32(4*s.entries))
		for _, at := range s.offsets[:s.entries] {
			b = binary.LittleEndian.AppendUint32(b, at)
		}
		b = append(b, make([]byte, (8-len(b)%8)%8)...)
		b = binary.LittleEndian.AppendUint32(append(b, frameCommit, 0, 0, 0), crc32.Checksum(b, castagnoli()))
		if err := writeSync(name, b, s.end); err != nil {
			return fmt.Errorf("write the index of %s: %w", name, err)
		}
		start = uint64(s.end) + frameHeader
	}
	state.Segments[segment].IndexStart = start
	return l.meta.CommitState(state)
}

// writeSync writes into a file and makes that durable.
func writeSync(name string, b []byte, at int64) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, at)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// clean overwrites a torn write with zeros, so that the next scan can tell what it sees.
func clean(name string, from, n int64) error {
	if err := writeSync(name, make([]byte, n), from); err != nil {
		return fmt.Errorf("remove torn write: %w", err)
	}
	return nil
}

func (l *Log) finishRotation(state types.PersistentState, s found) error {
	tail := &state.Segments[len(state.Segments)-1]
	tail.SealTime = time.Now()
	tail.MaxIndex = tail.BaseIndex + uint64(s.entries) - 1
	tail.IndexStart = s.indexStart
	state.Segments = append(state.Segments, types.SegmentInfo{
		ID: state.NextSegmentID, BaseIndex: tail.MaxIndex + 1, MinIndex: tail.MaxIndex + 1,
		Codec: codecID, CreateTime: tail.SealTime, SizeLimit: tail.SizeLimit,
	})
	state.NextSegmentID++
	return l.meta.CommitState(state)
}

// Counters returns what the log has done so far.
func (l *Log) Counters() Counters {
	return Counters{Syncs: l.counters.syncs.Load(), Bytes: l.counters.bytes.Load()}
}

// Abort ends the waits of writes that found the disk full; they fail. It comes before a shutdown.
func (l *Log) Abort() {
	if l.closed.CompareAndSwap(false, true) {
		close(l.closing)
	}
}

// Close closes all files.
func (l *Log) Close() error {
	l.Abort()
	err := l.WAL.Close()
	l.removing.Wait()
	if err := errors.Join(err, l.meta.Close()); err != nil {
		return fmt.Errorf("close log: %w", err)
	}
	return nil
}

var _ raftwal.Codec = (*codec)(nil)

// NotFound reports whether err says that the log has no such entry (it was truncated, or never was).
func NotFound(err error) bool {
	return errors.Is(err, raftwal.ErrNotFound) || errors.Is(err, raft.ErrLogNotFound)
}

// Checksum is CRC32C, the checksum of everything in this store.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli()) }

// ChecksumAll is the checksum of one thing and another after it.
func ChecksumAll(a, b []byte) uint32 { return crc32.Update(Checksum(a), castagnoli(), b) }
