package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

const (
	machineWindow = 5 * time.Second
	// stillness is the gap between two looks at the clock from which on a core counts as having stood still: far more than an interrupt takes.
	stillness = 500 * time.Microsecond
	// syncedBytes are written before each fsync, within a file that has its blocks already: what the log does.
	syncedBytes = 40 << 10
	syncedFile  = 16 << 20
	writerPause = 500 * time.Microsecond // between two of its fsyncs
)

// measureMachine shows what no server on this machine can be better than: how long the cores stand still, and how long an fsync takes.
// A quota of processor time that the cores of a virtual machine share with its disk shows in the last lines.
func measureMachine(ctx context.Context, s *settings, r *report) error {
	server, err := strconv.Atoi(s.serverCore)
	if err != nil {
		return fmt.Errorf("measure the machine: one server core is expected, found %q", s.serverCore)
	}
	r.section("The machine")
	r.text("A loop that looks at the clock on the server's core, and what the generator's core does meanwhile. Standing still means that %v passed between two looks. "+
		"The fsyncs are of %d kB written over blocks that the file has.", stillness, syncedBytes>>10)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4)) // this process was started for one core
	file := filepath.Join(s.dir, "synced")
	defer os.Remove(file)
	var rows [][]string
	for _, beside := range []struct {
		what         string
		spin, writes bool
	}{
		{"nothing", false, false}, {"a busy loop", true, false}, {"fsyncs", false, true}, {"a busy loop and fsyncs", true, true},
	} {
		r.progress("the machine: beside a busy core, %s", beside.what)
		var wait sync.WaitGroup
		var still, syncs *hdrhistogram.Histogram
		var failed [3]error
		until := time.Now().Add(machineWindow)
		wait.Go(func() { still, failed[0] = spin(ctx, server, until) })
		if beside.spin {
			wait.Go(func() { _, failed[1] = spin(ctx, s.generatorCore, until) })
		}
		if beside.writes {
			wait.Go(func() { syncs, failed[2] = syncAgain(ctx, file, s.generatorCore, until) })
		}
		wait.Wait()
		for _, err := range failed {
			if err != nil {
				return fmt.Errorf("measure the machine: %w", err)
			}
		}
		row := []string{beside.what, "", "", "", ""}
		row[1] = fmt.Sprintf("%.1f%%", 100*still.Mean()*float64(still.TotalCount())/float64(machineWindow))
		row[2] = short(time.Duration(still.Max()))
		if syncs != nil {
			row[3], row[4] = short(time.Duration(syncs.ValueAtQuantile(50))), short(time.Duration(syncs.ValueAtQuantile(99)))
		}
		rows = append(rows, row)
	}
	r.table([]string{"on the other core", "stood still", "longest", "fsync p50", "fsync p99"}, func(row func(...string)) {
		for _, cells := range rows {
			row(cells...)
		}
	})
	return ctx.Err()
}

// occupy gives the calling goroutine a thread of its own on one core, for as long as it runs.
func occupy(core int) error {
	runtime.LockOSThread() // and never unlocked: the thread, which is pinned, ends with its goroutine
	var set unix.CPUSet
	set.Set(core)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("move to core %d: %w", core, err)
	}
	return nil
}

// spin keeps a core busy and returns the times for which it stood still, in nanoseconds.
func spin(ctx context.Context, core int, until time.Time) (*hdrhistogram.Histogram, error) {
	if err := occupy(core); err != nil {
		return nil, err
	}
	gaps := hdrhistogram.New(1, int64(time.Minute), 3)
	for last := time.Now(); last.Before(until) && ctx.Err() == nil; {
		now := time.Now()
		if gap := now.Sub(last); gap >= stillness {
			_ = gaps.RecordValue(min(int64(gap), int64(time.Minute))) // cannot fail: it is in range
		}
		last = now
	}
	return gaps, nil
}

// syncAgain writes and syncs a file again and again, and returns how long the fsyncs took, in nanoseconds.
func syncAgain(ctx context.Context, name string, core int, until time.Time) (*hdrhistogram.Histogram, error) {
	if err := occupy(core); err != nil {
		return nil, err
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("make a file to sync: %w", err)
	}
	defer f.Close()
	if _, err := f.WriteString(strings.Repeat("\x00", syncedFile)); err != nil {
		return nil, fmt.Errorf("fill a file to sync: %w", err)
	}
	if err := f.Sync(); err != nil {
		return nil, fmt.Errorf("sync: %w", err)
	}
	took := hdrhistogram.New(1, int64(time.Minute), 3)
	part := make([]byte, syncedBytes)
	for at := int64(0); time.Now().Before(until) && ctx.Err() == nil; at = (at + syncedBytes) % (syncedFile - syncedBytes) {
		if _, err := f.WriteAt(part, at); err != nil {
			return nil, fmt.Errorf("write a file to sync: %w", err)
		}
		began := time.Now()
		if err := f.Sync(); err != nil {
			return nil, fmt.Errorf("sync: %w", err)
		}
		_ = took.RecordValue(min(int64(time.Since(began)), int64(time.Minute))) // cannot fail: it is in range
		time.Sleep(writerPause)
	}
	return took, nil
}
