// Package aside makes system calls that are known to block, such as fsync, without keeping a processor of Go's meanwhile. It is for the
// few calls of the log that wait for the disk, and for nothing that can return at once.
package aside

import (
	"os"
	"syscall"
	_ "unsafe" // for go:linkname

	"golang.org/x/sys/unix"
)

// A goroutine in a system call keeps its processor until the runtime's monitor takes it away, which looks every 20 microseconds at
// best and every 10 milliseconds after a quiet time. On one core that would be most of an fsync in which nothing else runs.
// These two tell the runtime at once that the call will block. It keeps them for such use: see go.dev/issue/67401.

//go:linkname entersyscallblock runtime.entersyscallblock
func entersyscallblock()

//go:linkname exitsyscall runtime.exitsyscall
func exitsyscall()

// Call makes a system call while other goroutines run. Whoever passes a pointer keeps it alive and in place until Call returns.
// Between the two calls nothing may use the stack beyond this frame.
//
//go:nosplit
//go:norace
func Call(trap, a, b, c, d uintptr) syscall.Errno {
	entersyscallblock()
	_, _, errno := syscall.RawSyscall6(trap, a, b, c, d, 0, 0)
	exitsyscall()
	return errno
}

// Writeback makes the kernel begin to write what is dirty of a file, and does not wait for it. Whoever syncs the file system later then
// holds up the fsyncs of others for a shorter time. It promises nothing, so errors are left to that sync.
func Writeback(f *os.File) {
	_ = Call(unix.SYS_SYNC_FILE_RANGE, f.Fd(), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
}
