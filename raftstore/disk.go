package raftstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Levels of free space.
const (
	levelWarn   = 1
	levelNoSeal = 2 // Badger's mapped files turn a full disk into a fatal signal: no seal starts
	levelRefuse = 3 // no record is taken
)

const (
	ballastName  = "BALLAST"
	ballastBytes = 24 << 20
)

// disk watches the free space of the data directory. Its ballast is a file that is given up when a store must be opened or
// closed with no space left.
type disk struct {
	dir   string
	marks [3]int64
	free  atomic.Int64
	level atomic.Int32
}

func newDisk(dir string, marks [3]int64) (*disk, error) {
	d := &disk{dir: dir, marks: marks}
	total, _, err := d.stat()
	if err != nil {
		return nil, err
	}
	if d.marks == [3]int64{} {
		d.marks = [3]int64{min(2<<30, total/10), min(512<<20, total/20), min(128<<20, total/40)}
	}
	if d.marks[0] < d.marks[1] || d.marks[1] < d.marks[2] {
		return nil, fmt.Errorf("open store: watermarks must not rise: %v", d.marks)
	}
	_, err = d.look()
	return d, err
}

func (d *disk) stat() (total, free int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(d.dir, &st); err != nil {
		return 0, 0, fmt.Errorf("look for free space in %s: %w", d.dir, err)
	}
	return int64(st.Blocks) * st.Bsize, int64(st.Bavail) * st.Bsize, nil
}

// look measures the free space and reports whether the level changed.
func (d *disk) look() (changed bool, err error) {
	_, free, err := d.stat()
	if err != nil {
		return false, err
	}
	level := d.levelOf(free)
	d.free.Store(free)
	return d.level.Swap(level) != level, nil
}

// levelOf returns how many watermarks a free space is below.
func (d *disk) levelOf(free int64) int32 {
	level := int32(0)
	for i, mark := range d.marks {
		if free < mark {
			level = int32(i + 1)
		}
	}
	return level
}

// measured returns the level at this moment, for who is about to write through memory maps: half a second, which is how often it is looked at otherwise, is long
// enough for a disk to fill up.
func (d *disk) measured() int {
	_, free, err := d.stat()
	if err != nil {
		return d.levelNow()
	}
	return int(max(d.level.Load(), d.levelOf(free)))
}

// ranOut records that a write found no space, whatever was measured last.
func (d *disk) ranOut() { d.level.Store(levelRefuse) }

func (d *disk) refuses() bool { return d.level.Load() >= levelRefuse }

func (d *disk) levelNow() int { return int(d.level.Load()) }

func (d *disk) ballast() string { return filepath.Join(d.dir, ballastName) }

// drop gives up the ballast.
func (d *disk) drop() error {
	if err := os.Remove(d.ballast()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("give up ballast: %w", err)
	}
	_, err := d.look()
	return err
}

// load sets ballast aside if there is plenty of space.
func (d *disk) load() error {
	size := min(ballastBytes, d.marks[2])
	if size == 0 || d.level.Load() != 0 || d.free.Load()-size < d.marks[0] {
		return nil
	}
	if st, err := os.Stat(d.ballast()); err == nil && st.Size() == size {
		return nil
	}
	f, err := os.OpenFile(d.ballast(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		err = unix.Fallocate(int(f.Fd()), 0, 0, size)
		if errors.Is(err, unix.EOPNOTSUPP) {
			err = nil
		}
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("set ballast aside: %w", err)
	}
	return nil
}
