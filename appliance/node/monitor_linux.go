package node

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// monitorSlack is by how much the kernel may prolong the sleeps of Go's monitor thread, in nanoseconds.
const monitorSlack = 500_000

// calmMonitor lets the runtime's monitor thread (sysmon) sleep longer. It sleeps 20 microseconds at a time for a while after each time
// that the process had nothing to do, and a node that waits for its disk a thousand times a second has that all the time: waking
// it took a tenth of the core. The thread is the second of the process; were it another, that one's timers would be late by the
// slack, no more. It takes the right to change another thread's slack (CAP_SYS_NICE); without it everything stays as it is, and the error says so.
func calmMonitor() error {
	tasks, err := filepath.Glob("/proc/self/task/[0-9]*")
	if err != nil {
		return fmt.Errorf("list threads: %w", err)
	}
	ids := make([]int, 0, len(tasks))
	for _, t := range tasks {
		if id, err := strconv.Atoi(filepath.Base(t)); err == nil {
			ids = append(ids, id)
		}
	}
	if len(ids) < 2 {
		return nil
	}
	slices.Sort(ids)
	// Writing takes the file of a process, and a thread's number is one there.
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/timerslack_ns", ids[1]), []byte(strconv.Itoa(monitorSlack)), 0); err != nil {
		return fmt.Errorf("let the monitor thread sleep longer: %w", err)
	}
	return nil
}
