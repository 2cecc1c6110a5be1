//go:build !nosync

package wal

import (
	"syscall"
	_ "unsafe" // for go:linkname
)

// A goroutine in a system call keeps its processor until the runtime's monitor takes it away, which looks every 20 microseconds at
// best and every 10 milliseconds after a quiet time. On one core that would be most of an fsync in which nothing else runs.
// These two tell the runtime at once that the call will block. It keeps them for such use: see go.dev/issue/67401.

//go:linkname entersyscallblock runtime.entersyscallblock
func entersyscallblock()

//go:linkname exitsyscall runtime.exitsyscall
func exitsyscall()

// fsyncAside is fsync(2) while other goroutines run. Between the two calls nothing may use the stack beyond this frame.
//
//go:nosplit
//go:norace
func fsyncAside(fd uintptr) syscall.Errno {
	entersyscallblock()
	_, _, errno := syscall.RawSyscall(syscall.SYS_FSYNC, fd, 0, 0)
	exitsyscall()
	return errno
}
