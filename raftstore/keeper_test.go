package raftstore

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// wind is a clock that stands until it is moved.
type wind struct {
	mu  sync.Mutex
	now time.Time
}

func newWind() *wind { return &wind{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)} }

func (w *wind) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *wind) move(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func TestRetentionRemovesWholeEpochsOfItsClassAlone(t *testing.T) {
	clock := newWind()
	dir := t.TempDir()
	cfg := testConfig(t, dir)
	cfg.Clock = clock.Now
	cfg.Retention = map[Class]Retention{1: {Age: 3 * 24 * time.Hour}}
	cfg.EpochAge = 24 * time.Hour
	s := mustOpen(t, cfg)
	for day := range 8 {
		for class := range Class(3) {
			mustPropose(t, s, op{class, opSet, fmt.Sprint("k", class), fmt.Sprint("day", day)})
		}
		mustSeal(t, s)
		clock.move(24 * time.Hour)
		s.keepRetention()
	}
	mustSeal(t, s)
	check := func(when string) {
		t.Helper()
		days := func(c Class) (out []string) {
			for _, i := range readAll(t, s, Query{Classes: []Class{c}}) {
				out = append(out, decodeOp(i.Data).value)
			}
			return out
		}
		if got := days(0); len(got) != 8 {
			t.Errorf("%s: a class without a limit has %v", when, got)
		}
		// Each day is an epoch. That of day 4 ended as day 5 began, which is three days ago: not more than the limit.
		if got, want := days(1), []string{"day4", "day5", "day6", "day7"}; !slices.Equal(got, want) {
			t.Errorf("%s: expected %v, found %v", when, want, got)
		}
		left, err := filepath.Glob(filepath.Join(dir, "history", "1-*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(left) != 4 {
			t.Errorf("%s: directories %v", when, left)
		}
	}
	check("running")
	mustClose(t, s)
	cfg.Machine = newKV()
	s = mustOpen(t, cfg)
	defer mustClose(t, s)
	check("after a restart")
}

func TestRetentionKeepsAClassBelowItsBytes(t *testing.T) {
	cfg := testConfig(t, t.TempDir())
	cfg.Retention = map[Class]Retention{2: {Bytes: 60 << 10}}
	cfg.EpochBytes = 16 << 10
	s := mustOpen(t, cfg)
	defer mustClose(t, s)
	n := 0
	for range 12 {
		var ops []op
		for range 400 {
			n++
			ops = append(ops, op{2, opSet, fmt.Sprint("k", n%50), fmt.Sprintf("v%x%x", rowHash("a", fmt.Sprint(n)).Lo, rowHash("b", fmt.Sprint(n)).Hi) + strings.Repeat("-", 40)})
		}
		together(t, s, ops)
		mustSeal(t, s)
		s.keepRetention()
	}
	mustSeal(t, s)
	total := uint64(0)
	for _, e := range s.Status().Epochs {
		if e.Class == 2 {
			total += e.Bytes
		}
	}
	if total == 0 || total > 90<<10 {
		t.Errorf("the class has %d bytes of history", total)
	}
	facts := readAll(t, s, Query{})
	if len(facts) == 0 || len(facts) == n {
		t.Errorf("%d of %d facts are left", len(facts), n)
	}
	// What is left is the newest, without a gap.
	for i, f := range facts {
		want := n - len(facts) + i + 1
		if !strings.HasPrefix(decodeOp(f.Data).value, fmt.Sprintf("v%x", rowHash("a", fmt.Sprint(want)).Lo)) {
			t.Fatalf("fact %d of the rest is not record %d", i, want)
		}
	}
}

// The age of a class's first epoch is that of its facts, not of the process.
func TestFirstEpochEndsThoughTheStoreStartsOften(t *testing.T) {
	clock := newWind()
	cfg := testConfig(t, t.TempDir())
	cfg.Clock = clock.Now
	cfg.Retention = map[Class]Retention{1: {Age: 3 * 24 * time.Hour}}
	cfg.EpochAge = 24 * time.Hour
	for range 3 {
		cfg.Machine = newKV()
		s := mustOpen(t, cfg)
		mustPropose(t, s, op{1, opSet, "k", "v"})
		mustSeal(t, s)
		s.keepRetention()
		if n := s.fold.shared.Load().current(1).number; n != 1 {
			t.Fatalf("epoch %d began too early", n)
		}
		mustClose(t, s)
		clock.move(10 * time.Hour)
	}
	cfg.Machine = newKV()
	s := mustOpen(t, cfg)
	defer mustClose(t, s)
	if err := s.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.keepRetention()
	if n := s.fold.shared.Load().current(1).number; n != 2 {
		t.Errorf("after 30 hours epoch %d is still the current one", n)
	}
}

// What is to be removed still takes space until the next seal, and must not make retention remove more.
func TestRetentionCountsWhatItHasRemovedAlready(t *testing.T) {
	cfg := testConfig(t, t.TempDir())
	cfg.Retention = map[Class]Retention{2: {Bytes: 1 << 40}}
	cfg.EpochBytes = 4 << 10
	cfg.keep = time.Hour
	s := mustOpen(t, cfg)
	defer mustClose(t, s)
	for i := range 8 {
		var ops []op
		for n := range 200 {
			ops = append(ops, op{2, opSet, fmt.Sprint("k", n), fmt.Sprintf("%x", rowHash("a", fmt.Sprint(i, n)).Lo)})
		}
		together(t, s, ops)
		mustSeal(t, s)
		s.keepRetention()
	}
	size := func() (n int64) {
		for _, c := range s.history.Counts() {
			if c.Class == 2 {
				n += int64(c.Bytes)
			}
		}
		return n
	}
	total := size()
	s.cfg.Retention[2] = Retention{Bytes: total * 3 / 4}
	for range 5 {
		s.keepRetention()
	}
	mustSeal(t, s)
	if left := size(); left > total*3/4 || left < total/3 {
		t.Errorf("of %d bytes with a limit of %d, %d are left", total, total*3/4, left)
	}
}

func TestReaderOutlivesTheEpochItReads(t *testing.T) {
	cfg := testConfig(t, t.TempDir())
	clock := newWind()
	cfg.Clock = clock.Now
	cfg.Retention = map[Class]Retention{1: {Age: time.Hour}}
	cfg.EpochAge = time.Hour
	s := mustOpen(t, cfg)
	defer mustClose(t, s)
	for i := range 5 {
		mustPropose(t, s, op{1, opSet, "k", fmt.Sprint("v", i)})
	}
	mustSeal(t, s)
	got := 0
	for _, err := range s.Read(context.Background(), Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		if got++; got != 1 {
			continue
		}
		for range 3 {
			clock.move(2 * time.Hour)
			s.keepRetention()
			mustSeal(t, s)
		}
		if n := len(readAll(t, s, Query{})); n != 0 {
			t.Errorf("a new reader finds %d facts of a removed epoch", n)
		}
	}
	if got != 5 {
		t.Errorf("the reader got %d facts of 5", got)
	}
	if _, err := os.Stat(filepath.Join(cfg.Dir, "history", "1-00000001")); !os.IsNotExist(err) {
		t.Errorf("the directory of the removed epoch is still there (%v)", err)
	}
}

func TestClockThatJumpsTakesNoTimeBack(t *testing.T) {
	clock := newWind()
	cfg := testConfig(t, t.TempDir())
	cfg.Clock = clock.Now
	s := mustOpen(t, cfg)
	defer mustClose(t, s)
	for _, d := range []time.Duration{0, time.Second, -time.Hour, 2 * time.Hour, -48 * time.Hour, 72 * time.Hour} {
		clock.move(d)
		mustPropose(t, s, op{0, opSet, "k", fmt.Sprint("v", d)})
	}
	if got := s.Stats().ClockSteps; got != 4 {
		t.Errorf("jumps of the clock: expected 4, found %d", got)
	}
	mustSeal(t, s)
	var last time.Time
	for _, i := range readAll(t, s, Query{}) {
		if i.Time.Before(last) {
			t.Errorf("%v: %v comes after %v", i.Position, i.Time, last)
		}
		last = i.Time
	}
	if want := clock.Now(); !last.Equal(want) {
		t.Errorf("time of the last record: expected %v, found %v", want, last)
	}
}
