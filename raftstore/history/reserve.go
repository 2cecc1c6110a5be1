package history

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"trine/raftstore/damage"
)

// Badger writes through memory maps of files that have holes, and a hole that the disk has no room for ends the process (SIGBUS). So the room that blobs will take is
// allocated before they are written; what fails then is told like any other error.
const (
	reserveBytes = 1 << 20 // of the value log at a time
	aroundBlob   = 4 << 10 // bytes that a blob and its line take in the value log beside the blob
	discardBytes = 1 << 20 // the size of Badger's file of what can be discarded
	discardName  = "DISCARD"
)

// room is what was allocated for an epoch: of its value log, up to an offset, of which values take what is before another.
type room struct {
	part     string
	end, to  int64
	memtable string
}

// reserve allocates room for a blob of so many bytes in an epoch.
func (w *Writer) reserve(k id, e *epoch, size int64) error {
	parts, tables, err := e.files()
	if err != nil || len(parts) == 0 || len(tables) == 0 {
		return err
	}
	r := w.rooms[k]
	part, table := slices.Max(parts), slices.Max(tables)
	if table != r.memtable {
		st, err := os.Stat(table)
		if err != nil {
			return fmt.Errorf("reserve room for history: %w", err)
		}
		if err := allocate(table, 0, st.Size()); err != nil {
			return err
		}
		r.memtable = table
	}
	if size += aroundBlob; part != r.part || r.end+size > r.to {
		v, err := damage.EndOfValues(e.dir)
		if err != nil {
			return err
		}
		r.part, r.end = part, v.End
		r.to = r.end + max(size, reserveBytes)
		if err := allocate(part, r.end, r.to-r.end); err != nil {
			return err
		}
	}
	r.end += size
	w.rooms[k] = r
	return nil
}

// files returns the parts of an epoch's value log, and its memtables.
func (e *epoch) files() (parts, tables []string, err error) {
	names, err := os.ReadDir(e.dir)
	if err != nil {
		return nil, nil, fmt.Errorf("reserve room for history: %w", err)
	}
	for _, n := range names {
		switch filepath.Ext(n.Name()) {
		case ".vlog":
			parts = append(parts, filepath.Join(e.dir, n.Name()))
		case ".mem":
			tables = append(tables, filepath.Join(e.dir, n.Name()))
		}
	}
	return parts, tables, nil
}

// allocate gives a file its blocks. Where the file system cannot do so, nothing is done.
func allocate(name string, from, size int64) (err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("reserve room for history: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := unix.Fallocate(int(f.Fd()), 0, from, size); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("reserve %d bytes for history in %s: %w", size, name, err)
	}
	return nil
}

// reserveDiscard makes the file that Badger makes when it opens a database for the first time, with its blocks; full of zeros it says nothing.
func reserveDiscard(dir string) error {
	name := filepath.Join(dir, discardName)
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := allocate(name, 0, discardBytes)
	if err != nil {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}
