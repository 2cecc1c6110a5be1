package wal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
	"golang.org/x/sys/unix"

	"trine/raftstore/aside"
)

// retryFull is how long a write that found the disk full waits before it is tried again.
const retryFull = 50 * time.Millisecond

// IsFull reports whether err says that the file system or a quota has no room left.
func IsFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// guard decides what becomes of an error from the disk: a full disk is waited out, because raft-wal could not go on after a
// failed write; anything else ends the process, because after a failed fsync nobody knows what is on the disk.
type guard struct {
	fatal   func(error)
	full    func(error)
	closing <-chan struct{}
}

func (g *guard) do(what string, f func() error) error {
	for {
		err := f()
		if err == nil {
			return nil
		}
		if !IsFull(err) {
			err = fmt.Errorf("%s: %w", what, err)
			g.fatal(err)
			return err
		}
		g.full(err)
		select {
		case <-g.closing:
			return fmt.Errorf("%s: %w", what, err)
		case <-time.After(retryFull):
		}
	}
}

// vfs is the file system under raft-wal with the guard in front of what writes.
type vfs struct {
	*fs.FS
	*guard
	counters *counters
	meta     meta
	removing *sync.WaitGroup // segments
	remover  sync.Mutex
	logger   hclog.Logger
}

// newestKey is where the metadata names the newest segment in which an entry was acknowledged. Without it, a segment that is gone
// would look like one that a crash came too early for.
const newestKey = "TrineNewest"

var _ types.VFS = (*vfs)(nil)

// Create implements types.VFS.
func (v *vfs) Create(dir, name string, size uint64) (types.WritableFile, error) {
	var f types.WritableFile
	err := v.do("create log segment", func() error {
		var err error
		if f, err = v.FS.Create(dir, name, size); IsFull(err) {
			_ = os.Remove(filepath.Join(dir, name)) // it was made here and holds nothing
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &file{WritableFile: f, vfs: v, dir: dir, name: name}, nil
}

// OpenWriter implements types.VFS.
func (v *vfs) OpenWriter(dir, name string) (types.WritableFile, error) {
	f, err := v.FS.OpenWriter(dir, name)
	if err != nil {
		return nil, err
	}
	return &file{WritableFile: f, vfs: v, dir: dir, name: name}, nil
}

// Delete implements types.VFS. Raft-wal removes segments while it holds the lock that every append needs, and its own Delete syncs the
// directory after each; so they are removed beside it. What a crash leaves is no segment that the metadata names: opening the log
// removes it.
func (v *vfs) Delete(dir, name string) error {
	v.removing.Go(func() {
		v.remover.Lock() // one after the other: to give back the blocks of a large file holds up the file system's journal
		defer v.remover.Unlock()
		if err := unlink(filepath.Join(dir, name)); err != nil {
			v.logger.Warn("a log segment that is no longer needed was not removed", "segment", name, "error", err)
		}
	})
	return nil
}

// unlink removes a file. To give back the blocks of a large one takes the kernel milliseconds.
func unlink(name string) error {
	p, err := unix.BytePtrFromString(name)
	if err != nil {
		return fmt.Errorf("remove %q: %w", name, err)
	}
	errno := aside.Call(unix.SYS_UNLINK, uintptr(unsafe.Pointer(p)), 0, 0, 0)
	runtime.KeepAlive(p)
	if errno != 0 {
		return &os.PathError{Op: "unlink", Path: name, Err: errno}
	}
	return nil
}

type file struct {
	types.WritableFile
	vfs       *vfs
	dir, name string
	named     bool // the metadata says that it exists
}

// WriteAt implements io.WriterAt.
func (f *file) WriteAt(p []byte, off int64) (int, error) {
	err := f.vfs.do("write log segment", func() error {
		_, err := f.WritableFile.WriteAt(p, off)
		return err
	})
	if err != nil {
		return 0, err
	}
	f.vfs.counters.bytes.Add(uint64(len(p)))
	return len(p), nil
}

// Sync makes the segment durable.
func (f *file) Sync() error {
	f.vfs.counters.syncs.Add(1)
	if err := fsync(f.WritableFile); err != nil {
		err = fmt.Errorf("sync log segment: %w", err)
		f.vfs.fatal(err)
		return err
	}
	if f.named {
		return nil
	}
	// Raft-wal makes the name of a new file durable, but not that of one whose maker did not come to it before a crash.
	if err := syncDir(f.dir); err != nil {
		f.vfs.fatal(err)
		return err
	}
	if err := f.vfs.meta.SetStable([]byte(newestKey), []byte(f.name)); err != nil {
		return err
	}
	f.named = true
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory of the log: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync directory of the log: %w", err)
	}
	return nil
}

// filer writes the codec's number into the header of a new segment, for the reason that meta.CommitState has.
type filer struct{ *segment.Filer }

var _ types.SegmentFiler = filer{}

// Create implements types.SegmentFiler.
func (f filer) Create(info types.SegmentInfo) (types.SegmentWriter, error) {
	info.Codec = codecID
	return f.Filer.Create(info)
}

// meta is raft-wal's small database with the guard in front of what writes. Unlike raft-wal, which never closes it, the Log
// does, so that a directory can be opened again by the same process.
type meta struct {
	*metadb.BoltMetaDB
	*guard
}

var _ types.MetaStore = meta{}

// CommitState implements types.MetaStore.
func (m meta) CommitState(s types.PersistentState) error {
	// raft-wal names its own codec for every new segment, and then refuses to open it with another.
	s.Segments = slices.Clone(s.Segments)
	for i := range s.Segments {
		s.Segments[i].Codec = codecID
	}
	return m.do("write log metadata", func() error { return m.BoltMetaDB.CommitState(s) })
}

// SetStable implements types.MetaStore.
func (m meta) SetStable(key, value []byte) error {
	return m.do("write term or vote", func() error { return m.BoltMetaDB.SetStable(key, value) })
}
