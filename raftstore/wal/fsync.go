//go:build !nosync

package wal

import (
	"fmt"
	"os"
	"syscall"

	"github.com/hashicorp/raft-wal/types"
	"golang.org/x/sys/unix"

	"trine/raftstore/aside"
)

// fsync makes what was written to f durable. The build tag nosync leaves it out, so that a test can prove that its power
// cuts would notice.
func fsync(f types.WritableFile) error {
	file, ok := f.(syscall.Conn)
	if !ok {
		return fmt.Errorf("fsync: %T is no file of the system", f)
	}
	conn, err := file.SyscallConn()
	if err != nil {
		return fmt.Errorf("fsync: %w", err)
	}
	var errno syscall.Errno
	err = conn.Control(func(fd uintptr) {
		for errno = unix.EINTR; errno == unix.EINTR; {
			errno = aside.Call(unix.SYS_FSYNC, fd, 0, 0, 0)
		}
	})
	if err == nil && errno != 0 {
		err = os.NewSyscallError("fsync", errno)
	}
	return err
}
