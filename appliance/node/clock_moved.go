//go:build trine_clock

package node

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// clockFile is the environment variable that names the file by which the clock is moved.
const clockFile = "TRINE_CLOCK_FILE"

// systemClock returns the machine's clock, moved by as many seconds as the file says that the environment names: eight bytes,
// in the machine's order. Whoever writes them moves the clock at once. It is for tests of whole processes (bench/robust); the node that is delivered
// is built without the tag.
func systemClock() (func() time.Time, error) {
	name := os.Getenv(clockFile)
	if name == "" {
		return time.Now, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open the file that moves the clock: %w", err)
	}
	defer f.Close()
	page, err := unix.Mmap(int(f.Fd()), 0, 8, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the file that moves the clock (%s, eight bytes): %w", name, err)
	}
	seconds := (*int64)(unsafe.Pointer(&page[0]))
	return func() time.Time { return moved(time.Now(), atomic.LoadInt64(seconds)) }, nil
}

// moved moves a reading's time of day and leaves its monotonic part, which is what happens to readings when somebody sets the
// clock. Package time has no other way to make one: the seconds stand above the 30 bits of nanoseconds in a Time's first word.
func moved(reading time.Time, seconds int64) time.Time {
	*(*uint64)(unsafe.Pointer(&reading)) += uint64(seconds) << 30
	return reading
}
