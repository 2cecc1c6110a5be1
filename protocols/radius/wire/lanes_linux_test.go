package wire

import (
	"syscall"
	"testing"
)

// TestLanesReadNothingBehindTheirBuffer digests where a page begins that nobody may read.
func TestLanesReadNothingBehindTheirBuffer(t *testing.T) {
	page := syscall.Getpagesize()
	pages, err := syscall.Mmap(-1, 0, 2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Munmap(pages) }()
	if err := syscall.Mprotect(pages[page:], syscall.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	for _, k := range kernels() {
		l := lanes{kernel: k}
		long := make([]byte, 64<<laneCount)
		var messages []message
		for i := range laneCount {
			messages = append(messages, message{md5Start, uint32(len(long) - 64), 1}, message{md5Start, 0, uint32(1 + i)})
		}
		l.run(long, messages) // the lanes end far behind the buffer that comes next
		for count := range laneCount + 2 {
			short := pages[page-64*(count+1) : page]
			messages = messages[:0]
			for i := range count {
				messages = append(messages, message{md5Start, uint32(64 * i), uint32(count - i + 1)})
			}
			l.run(short, messages)
		}
	}
}
