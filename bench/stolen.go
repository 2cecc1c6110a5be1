package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"trine/bench/server"
)

// load is what became of the machine's processor time up to a moment.
type load struct {
	at     time.Time
	busy   time.Duration // in processes, all cores together
	stolen time.Duration // in which a core had work and the host gave it no time
	cores  int
}

// readLoad reads /proc/stat (proc_stat(5)), which counts in hundredths of a second.
func readLoad() (l load, err error) {
	l.at = time.Now()
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return l, fmt.Errorf("read the machine's processor time: %w", err)
	}
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) < 9 || !bytes.HasPrefix(fields[0], []byte("cpu")) {
			break
		}
		if string(fields[0]) != "cpu" {
			l.cores++
			continue
		}
		ticks := func(column int) time.Duration { // user nice system idle iowait irq softirq steal
			n, _ := strconv.ParseInt(string(fields[column]), 10, 64)
			return time.Duration(n) * time.Second / 100
		}
		l.busy, l.stolen = ticks(1)+ticks(2)+ticks(3), ticks(8)
	}
	return l, nil
}

// company says how a time was shared, as shares of what all cores had to give.
type company struct {
	stolen float64 // by the host
	others float64 // by processes that are neither the server nor the generator
}

// watched runs a measurement and says who else had the machine meanwhile.
func watched(p *server.Process, run func() error) (c company, err error) {
	own := func() (load, time.Duration, error) {
		l, err := readLoad()
		if err != nil {
			return l, 0, err
		}
		usage, err := p.Usage()
		if err != nil {
			return l, 0, err
		}
		self, err := ownTime()
		return l, usage.CPU + self, err
	}
	before, spent, err := own()
	if err != nil {
		return c, err
	}
	if err := run(); err != nil {
		return c, err
	}
	after, all, err := own()
	if err != nil {
		return c, err
	}
	capacity := after.at.Sub(before.at).Seconds() * float64(after.cores)
	c.stolen = (after.stolen - before.stolen).Seconds() / capacity
	c.others = max(0, (after.busy-before.busy-(all-spent)).Seconds()/capacity)
	return c, nil
}

// ownTime returns the processor time that the generator has taken.
func ownTime() (time.Duration, error) {
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return 0, fmt.Errorf("read the generator's processor time: %w", err)
	}
	return time.Duration(self.Utime.Nano() + self.Stime.Nano()), nil
}
