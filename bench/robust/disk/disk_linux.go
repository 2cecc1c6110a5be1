package disk

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Size is how large a disk is, in bytes. Its file takes what is used of it.
const Size = 1 << 30

// commit is how seldom the file system writes its journal of its own accord, in seconds, so that nothing gets there by luck.
const commit = 300

// ballast is the file that fills a disk.
const ballast = "ballast"

// Disk is a mounted file system. It takes root.
type Disk struct {
	image, at string
	cuts      int
}

// Missing returns what this machine lacks for disks of their own, nil if nothing.
func Missing() error {
	if os.Getuid() != 0 {
		return errors.New("mounting a file system takes root")
	}
	for _, tool := range []string{"mkfs.ext4", "losetup", "mount"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is not installed (Debian packages e2fsprogs and mount)", tool)
		}
	}
	return nil
}

// New makes a disk in a folder and mounts it there. Call it in a mount namespace of the process's own: then the mount is gone with the process.
func New(folder string) (*Disk, error) {
	d := &Disk{image: filepath.Join(folder, "disk-0"), at: filepath.Join(folder, "disk")}
	if err := os.MkdirAll(d.at, 0o700); err != nil {
		return nil, fmt.Errorf("make a place for the disk: %w", err)
	}
	if err := run("truncate", fmt.Sprintf("--size=%d", Size), d.image); err != nil {
		return nil, err
	}
	if err := run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1", d.image); err != nil {
		return nil, err
	}
	return d, d.mount()
}

// Path returns the folder that the disk is.
func (d *Disk) Path() string { return d.at }

func (d *Disk) mount() error {
	return run("mount", "-o", fmt.Sprintf("loop,commit=%d", commit), d.image, d.at)
}

// Cut cuts the power: the disk is then what it is after a power failure at the time of the call. Nothing may run on it.
func (d *Disk) Cut() error {
	d.cuts++
	after := filepath.Join(filepath.Dir(d.image), fmt.Sprintf("disk-%d", d.cuts))
	if err := run("cp", "--sparse=always", d.image, after); err != nil {
		return err
	}
	if err := run("umount", d.at); err != nil {
		return err
	}
	if err := os.Remove(d.image); err != nil {
		return fmt.Errorf("remove the disk before the power cut: %w", err)
	}
	d.image = after
	return d.mount()
}

// The last of a disk fills up in steps, in a fifth of a second, which is as fast as disks are written, and not at once: whoever writes through memory maps can
// look whether there is room, and no more than look.
const (
	fillSlowly = 64 << 20
	fillSteps  = 8
	fillStep   = 25 * time.Millisecond
)

// Fill leaves no more than the given number of free bytes.
func (d *Disk) Fill(free int64) error {
	var s unix.Statfs_t
	if err := unix.Statfs(d.at, &s); err != nil {
		return fmt.Errorf("ask for the free space of %s: %w", d.at, err)
	}
	size := int64(s.Bavail)*s.Bsize - free
	if size <= 0 {
		return nil
	}
	f, err := os.Create(filepath.Join(d.at, ballast))
	if err != nil {
		return fmt.Errorf("fill the disk: %w", err)
	}
	defer f.Close()
	at := max(0, size-fillSlowly)
	for i := range int64(fillSteps + 1) {
		if err := unix.Fallocate(int(f.Fd()), 0, 0, max(1, at+(size-at)*i/fillSteps)); err != nil && !errors.Is(err, unix.ENOSPC) {
			return fmt.Errorf("fill the disk: %w", err)
		}
		time.Sleep(fillStep)
	}
	return nil
}

// Free takes away what Fill put there.
func (d *Disk) Free() error {
	if err := os.Remove(filepath.Join(d.at, ballast)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("free the disk: %w", err)
	}
	return nil
}

// Close unmounts the disk and removes its file unless it is to be kept; then what is on it can be read by mounting the file again.
func (d *Disk) Close(keep bool) error {
	err := run("umount", "--lazy", d.at)
	if keep {
		return err
	}
	return errors.Join(err, os.Remove(d.image))
}

func run(command ...string) error {
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, out)
	}
	return nil
}
