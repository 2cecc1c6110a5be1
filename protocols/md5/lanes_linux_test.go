package md5

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
	for _, k := range Kernels() {
		l := k.Lanes()
		long := make([]byte, 64<<laneCount)
		var messages []Message
		for i := range laneCount {
			messages = append(messages, Message{Start(), uint32(len(long) - 64), 1}, Message{Start(), 0, uint32(1 + i)})
		}
		l.Run(long, messages) // the lanes end far behind the buffer that comes next
		for count := range laneCount + 2 {
			short := pages[page-64*(count+1) : page]
			messages = messages[:0]
			for i := range count {
				messages = append(messages, Message{Start(), uint32(64 * i), uint32(count - i + 1)})
			}
			l.Run(short, messages)
		}
	}
}
