package wal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
	"golang.org/x/sys/unix"

	"trine/raftstore/damage"
)

func open(t testing.TB, dir string) *Log {
	t.Helper()
	l, err := Open(dir, Options{SegmentBytes: 16 << 10, Fatal: func(err error) { t.Errorf("fatal: %v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func add(t testing.TB, l *Log, from, n uint64, data string) {
	t.Helper()
	var logs []*raft.Log
	for i := range n {
		logs = append(logs, &raft.Log{Index: from + i, Term: 3, Type: raft.LogCommand, Data: fmt.Appendf(nil, "%d %s", from+i, data)})
	}
	if err := l.StoreLogs(logs); err != nil {
		t.Fatal(err)
	}
}

func check(t testing.TB, l *Log, from, to uint64) {
	t.Helper()
	for i := from; i <= to; i++ {
		var entry raft.Log
		if err := l.GetLog(i, &entry); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprint(i, " "); entry.Index != i || entry.Term != 3 || !strings.HasPrefix(string(entry.Data), want) {
			t.Fatalf("entry %d: found %+v", i, entry)
		}
	}
}

func files(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestEntriesSurviveManySegments(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	for i := uint64(1); i <= 300; i += 3 {
		add(t, l, i, 3, strings.Repeat("x", 200))
	}
	check(t, l, 1, 300)
	if err := l.DeleteRange(1, 150); err != nil {
		t.Fatal(err)
	}
	if err := l.SetUint64([]byte("term"), 9); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir)
	defer l.Close()
	check(t, l, 151, 300)
	if v, err := l.GetUint64([]byte("term")); v != 9 || err != nil {
		t.Errorf("term: expected 9, found %d, %v", v, err)
	}
	if err := l.GetLog(150, new(raft.Log)); !NotFound(err) {
		t.Errorf("a truncated entry: found %v", err)
	}
}

// A crash between the end of a segment file and the metadata that says so leaves a segment that is full but not closed.
// raft-wal then refuses every append.
func TestCrashWhileChangingSegmentsIsRepaired(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	index := uint64(1)
	for len(files(t, dir)) < 2 {
		add(t, l, index, 1, strings.Repeat("x", 500))
		index++
		time.Sleep(time.Millisecond) // the change of segments runs beside the append
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	m := &metadb.BoltMetaDB{}
	state, err := m.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, segment.FileName(state.Segments[1]))); err != nil {
		t.Fatal(err)
	}
	index = state.Segments[1].BaseIndex // a slow change of segments lets one more entry into the second
	first := &state.Segments[0]
	first.SealTime, first.MaxIndex, first.IndexStart = time.Time{}, 0, 0
	state.Segments = state.Segments[:1]
	state.NextSegmentID--
	if err := errors.Join(m.CommitState(state), m.Close()); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir)
	add(t, l, index, 5, "after")
	check(t, l, 1, index+4)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir)
	defer l.Close()
	check(t, l, 1, index+4)
}

// TestEveryFlippedBitIsFound flips bits all over a log of several batches.
// A crash may leave the newest segment without a file, or with nothing in it, but only before anything in it was acknowledged.
func TestNewestSegmentThatIsGoneIsMissed(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(name string) error
	}{
		{"removed", os.Remove},
		{"cut to nothing", func(name string) error { return os.Truncate(name, 0) }},
		{"all zeros", func(name string) error { return os.WriteFile(name, make([]byte, 4096), 0o600) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, dir)
			add(t, l, 1, 300, "entry")
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l = open(t, dir)
			add(t, l, 301, 10, "entry")
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			all := files(t, dir)
			if err := c.damage(all[len(all)-1]); err != nil {
				t.Fatal(err)
			}
			_, err := Open(dir, Options{SegmentBytes: 4096, Fatal: func(error) {}})
			var damaged *damage.Error
			if !errors.As(err, &damaged) || damaged.File != all[len(all)-1] {
				t.Errorf("expected damage of %s, found %v", all[len(all)-1], err)
			}
		})
	}
}

func TestEveryFlippedBitIsFound(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	for i := uint64(1); i <= 20; i += 4 {
		add(t, l, i, 4, strings.Repeat("payload", 20))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	name := files(t, dir)[0]
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	info := types.SegmentInfo{BaseIndex: 1, MinIndex: 1, Codec: codecID}
	clean, err := scan(name, whole, info, castagnoli())
	if err != nil || clean.entries != 20 || clean.garbage != 0 {
		t.Fatalf("a clean segment: %+v, %v", clean, err)
	}
	for at := 0; at < int(clean.end); at++ {
		whole[at] ^= 0x40
		s, err := scan(name, whole, info, castagnoli())
		whole[at] ^= 0x40
		var d *damage.Error
		if at >= 4 && at < 7 {
			continue // reserved bytes of the header, covered by the first batch's checksum below
		}
		if !errors.As(err, &d) {
			t.Fatalf("byte %d: found %+v, %v", at, s, err)
		}
	}
}

// TestTornBatchIsToldFromDamage takes sectors away from the last batch, in every combination, as a power cut does.
func TestTornBatchIsToldFromDamage(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	add(t, l, 1, 4, strings.Repeat("first", 30))
	add(t, l, 5, 6, strings.Repeat("second", 60))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	name := files(t, dir)[0]
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	info := types.SegmentInfo{BaseIndex: 1, MinIndex: 1, Codec: codecID}
	all, err := scan(name, whole, info, castagnoli())
	if err != nil {
		t.Fatal(err)
	}
	// Where the last batch begins: behind the first, which is what a scan finds when the rest is zero.
	firstOnly := append([]byte(nil), whole...)
	clear(firstOnly[all.end-8:])
	one, err := scan(name, firstOnly, info, castagnoli())
	if err != nil || one.entries != 4 || one.garbage == 0 {
		t.Fatalf("without its commit: %+v, %v", one, err)
	}
	from, to := int(one.end)/sector, (int(all.end)+sector-1)/sector
	for lost := 1; lost < 1<<(to-from); lost++ {
		b := append([]byte(nil), whole...)
		for i := range to - from {
			if lost&(1<<i) != 0 {
				clear(b[max((from+i)*sector, int(one.end)) : (from+i+1)*sector])
			}
		}
		s, err := scan(name, b, info, castagnoli())
		if err != nil || s.entries != 4 || s.end != one.end {
			t.Fatalf("sectors %b of the last batch lost: %+v, %v", lost, s, err)
		}
	}
	// A sector of an earlier batch is not the last write's: that is damage.
	b := append([]byte(nil), whole...)
	clear(b[40:400])
	var d *damage.Error
	if s, err := scan(name, b, info, castagnoli()); !errors.As(err, &d) {
		t.Errorf("sectors of an acknowledged batch lost: %+v, %v", s, err)
	}
}

func TestGuardWaitsForSpaceAndEndsOnOtherErrors(t *testing.T) {
	var fatal error
	full := 0
	g := &guard{fatal: func(err error) { fatal = err }, full: func(error) { full++ }, closing: make(chan struct{})}
	tries := 0
	err := g.do("write", func() error {
		if tries++; tries < 3 {
			return &os.PathError{Op: "write", Path: "x", Err: unix.ENOSPC}
		}
		return nil
	})
	if err != nil || full != 2 || fatal != nil {
		t.Errorf("a full disk that heals: %v, full %d times, fatal %v", err, full, fatal)
	}
	if err := g.do("sync", func() error { return unix.EIO }); err == nil || !errors.Is(fatal, unix.EIO) {
		t.Errorf("a failed fsync: %v, fatal %v", err, fatal)
	}
}

func FuzzScan(f *testing.F) {
	dir := f.TempDir()
	l := open(f, dir)
	add(f, l, 1, 3, "seed")
	if err := l.Close(); err != nil {
		f.Fatal(err)
	}
	b, err := os.ReadFile(files(f, dir)[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[:1024])
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < segmentHeader {
			return
		}
		s, err := scan("fuzzed", b, types.SegmentInfo{BaseIndex: 1, MinIndex: 1, Codec: codecID}, castagnoli())
		if err == nil && s.end+s.garbage > int64(len(b)) {
			t.Errorf("found %+v in %d bytes", s, len(b))
		}
		var entry raft.Log
		if (&codec{table: castagnoli()}).Decode(b, &entry) == nil && !entryValid(b, castagnoli()) {
			t.Error("an entry without its checksum was decoded")
		}
	})
}

// TestSegmentCutOffAtItsEndIsReadAfterARestart cuts off the end of the log, as a new leader has a follower do, and opens it again: with a crash at each step of the repair, and with a torn write where it was cut.
func TestSegmentCutOffAtItsEndIsReadAfterARestart(t *testing.T) {
	for _, kind := range []string{"clean", "torn", "index without metadata"} {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, dir)
			for i := uint64(1); i <= 40; i++ {
				add(t, l, i, 1, strings.Repeat("x", 100))
			}
			if err := l.DeleteRange(31, 40); err != nil {
				t.Fatal(err)
			}
			check(t, l, 1, 30)
			cut := files(t, dir)[0]
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			switch kind {
			case "torn":
				s, err := os.ReadFile(cut)
				if err != nil {
					t.Fatal(err)
				}
				end := int64(len(strings.TrimRight(string(s), "\x00"))+7) &^ 7
				if err := writeSync(cut, []byte{frameEntry, 0, 0, 0, 200, 1}, end); err != nil {
					t.Fatal(err)
				}
			case "index without metadata":
				was, err := os.ReadFile(filepath.Join(dir, metadb.FileName))
				if err != nil {
					t.Fatal(err)
				}
				l = open(t, dir)
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, metadb.FileName), was, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				l = open(t, dir)
				check(t, l, 1, 30)
				if last, err := l.LastIndex(); err != nil || last != 30 {
					t.Fatalf("the last entry is %d (%v)", last, err)
				}
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			}
			l = open(t, dir)
			add(t, l, 31, 9, "again")
			if err := l.DeleteRange(35, 39); err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l = open(t, dir)
			defer l.Close()
			check(t, l, 1, 34)
			if err := l.DeleteRange(1, 20); err != nil {
				t.Fatal(err)
			}
			check(t, l, 21, 34)
		})
	}
}

// TestHeldEntriesStay cuts the log in front of, at and behind an entry that it is held from.
func TestHeldEntriesStay(t *testing.T) {
	l := open(t, t.TempDir())
	defer l.Close()
	add(t, l, 1, 100, "entry")
	first := func(want uint64) {
		t.Helper()
		if got, _, err := l.Bounds(); err != nil || got != want {
			t.Errorf("the log begins at %d, expected %d (%v)", got, want, err)
		}
	}
	cut := func(to uint64) {
		t.Helper()
		from, _, err := l.Bounds()
		if err == nil && from <= to {
			err = l.DeleteRange(from, to)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Hold(50); err != nil {
		t.Fatal(err)
	}
	cut(20)
	first(21)
	cut(80)
	first(50)
	cut(60)
	first(50)
	if err := l.Hold(40); err == nil {
		t.Error("entries that are gone are held")
	}
	cut(80)
	first(50)
	if err := l.DeleteRange(90, 100); err != nil { // of the end
		t.Fatal(err)
	}
	if err := l.Hold(0); err != nil {
		t.Fatal(err)
	}
	cut(80)
	first(81)
	if err := l.Hold(80); err != nil {
		t.Fatal(err)
	}
	cut(89) // all of it, as after an install
	if from, to, err := l.Bounds(); from != 0 || to != 0 || err != nil {
		t.Errorf("the log holds entries %d to %d (%v)", from, to, err)
	}
}
