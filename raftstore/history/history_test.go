package history

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"trine/raftstore/damage"
)

type silent struct{}

func (silent) Errorf(string, ...any)   {}
func (silent) Warningf(string, ...any) {}
func (silent) Infof(string, ...any)    {}
func (silent) Debugf(string, ...any)   {}

var _ badger.Logger = silent{}

func TestFilterForgetsNoKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var keys keySet
		for range 2 { // the second time in the memory of the first
			want := map[uint64]bool{}
			for _, k := range rapid.SliceOf(rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 3))).Draw(t, "keys") {
				keys.add(k)
				want[k] = true
			}
			if keys.len() != len(want) {
				t.Fatalf("expected %d keys, found %d", len(want), keys.len())
			}
			f := newFilter(&keys)
			for k := range want {
				if !f.has(k) {
					t.Fatalf("key %x is not found", k)
				}
			}
			keys.reset()
		}
	})
	var keys keySet
	for i := range uint64(1000) {
		keys.add(i*0x9e3779b97f4a7c15 + 1)
	}
	f := newFilter(&keys)
	wrong := 0
	for i := range uint64(10000) {
		if f.has(i*0xd6e8feb86659fd93 + 7) {
			wrong++
		}
	}
	if wrong > 300 {
		t.Errorf("%d of 10000 foreign keys pass", wrong)
	}
}

// write appends facts of one class to one epoch and commits at their last index. Epochs with even numbers are compressed for speed.
func write(t *testing.T, s *Set, epoch uint32, facts []Fact, commit bool) {
	t.Helper()
	w, err := s.Writer(epoch%2 == 0, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	for i := range facts {
		if err := w.Add(epoch, &facts[i]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	if !commit {
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := w.Commit(facts[len(facts)-1].Index, nil); err != nil {
		t.Fatal(err)
	}
}

func some(from, n uint64) []Fact {
	var facts []Fact
	for i := from; i < from+n; i++ {
		facts = append(facts, Fact{
			Index: i, Offset: uint32(i % 3), Time: int64(i) * 1000, Node: i / 1000, Class: 2, Streams: []uint64{i%10 + 1},
			Data: fmt.Appendf(nil, "%d %0200d", i, i*i),
		})
	}
	return facts
}

// streams are those that some gives its facts.
func streams(dst []uint64, _ uint8, data []byte) []uint64 {
	var i uint64
	_, _ = fmt.Sscan(string(data), &i) // what cannot be read is in a stream that no test asks for
	return append(dst, i%10+1)
}

func count(t *testing.T, s *Set, q Query) (n int) {
	t.Helper()
	q.Class, q.Streams = 2, streams
	if q.Until == 0 {
		q.Since, q.Until = math.MinInt64, math.MaxInt64
	}
	if q.High == 0 {
		q.High = s.Seal()
	}
	c := s.Cursor(q, func(uint32) bool { return true })
	defer c.Close()
	last := uint64(0)
	for {
		f, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		if f == nil {
			return n
		}
		if want := fmt.Sprintf("%d %0200d", f.Index, f.Index*f.Index); string(f.Data) != want {
			t.Fatalf("fact at %d: %q", f.Index, f.Data)
		}
		if f.Node != f.Index/1000 || f.Time != int64(f.Index)*1000 || f.Offset != uint32(f.Index%3) {
			t.Fatalf("fact at %d: found %+v", f.Index, f)
		}
		if n > 0 && f.Index <= last != q.Reverse {
			t.Fatalf("%d comes after %d", f.Index, last)
		}
		last = f.Index
		n++
	}
}

func TestLeftoversOfACrashedSealDoNotCount(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, 0, nil, nil, silent{})
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, 1, some(1, 3000), true)
	counts := s.Counts()
	write(t, s, 1, some(3001, 1500), false) // no SEAL follows
	write(t, s, 2, some(4501, 100), false)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(dir, 3000, nil, counts, silent{}); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s, Query{}); n != 3000 {
		t.Errorf("expected 3000 facts, found %d", n)
	}
	write(t, s, 1, some(3001, 700), true) // cut elsewhere
	write(t, s, 2, some(3701, 800), true)
	for _, test := range []struct {
		name string
		q    Query
		want int
	}{
		{"all", Query{}, 4500},
		{"reverse", Query{Reverse: true, Index: math.MaxUint64}, 4500},
		{"from", Query{Index: 4000}, 501},
		{"reverse from", Query{Reverse: true, Index: 4000, Offset: 9}, 4000},
		{"time", Query{Since: 100_000, Until: 200_000}, 100},
		{"stream", Query{Stream: 4}, 450},
		{"no such stream", Query{Stream: 99}, 0},
	} {
		if n := count(t, s, test.q); n != test.want {
			t.Errorf("%s: expected %d facts, found %d", test.name, test.want, n)
		}
	}
	counts = s.Counts()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	counts[0].Facts++
	if _, err := Open(dir, 4500, nil, counts, silent{}); err != nil {
		t.Errorf("an older epoch is verified when it is read, not before: %v", err)
	}
	counts[1].Facts++
	if _, err := Open(dir, 4500, nil, counts, silent{}); err == nil {
		t.Error("an epoch with fewer facts than the SEAL counts was opened")
	}
}

func TestReaderPassesOverAnEpochThatWasRemovedBeforeIt(t *testing.T) {
	for _, reverse := range []bool{false, true} {
		t.Run(fmt.Sprintf("reverse %v", reverse), func(t *testing.T) {
			s, err := Open(t.TempDir(), 0, nil, nil, silent{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			for epoch := range uint32(4) {
				write(t, s, epoch+1, some(uint64(epoch)*10+1, 10), true)
			}
			c := s.Cursor(Query{Class: 2, Index: 41 * b2u(reverse), High: 40, Since: math.MinInt64, Until: math.MaxInt64, Reverse: reverse},
				func(uint32) bool { return true })
			defer c.Close()
			n := 0
			for {
				f, err := c.Next()
				if err != nil {
					t.Fatal(err)
				}
				if f == nil {
					break
				}
				if n++; n == 1 {
					for _, gone := range []uint32{2, 3} {
						if err := s.Remove(2, gone); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			if n != 20 {
				t.Errorf("expected the 20 facts of what is left, found %d", n)
			}
			if left, err := os.ReadDir(s.dir); err != nil || len(left) != 2 {
				t.Errorf("directories that are left: %v, %v", left, err)
			}
		})
	}
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// The advice that damage comes with removes the directory: a database that somebody has open must not get it.
func TestDatabaseThatCannotBeOpenedNowIsNotDamaged(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, 0, nil, nil, silent{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	write(t, s, 1, some(1, 10), true)
	_, err = Open(dir, 10, nil, s.Counts(), silent{})
	var damaged *damage.Error
	if err == nil || errors.As(err, &damaged) {
		t.Errorf("expected an error that is no damage, found %v", err)
	}
}

func FuzzBlob(f *testing.F) {
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	var b builder
	for _, x := range some(5, 3) {
		b.add(&x)
	}
	f.Add(b.encode(enc), b.raw, uint32(3))
	f.Add(b.encode(nil), b.raw, uint32(3))
	dec, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(2*maxBlob))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, stored, raw []byte, facts uint32) {
		line := entry{firstIndex: 5, facts: facts}
		if _, err := decodeBlob(dec, 2, &line, stored); err != nil && !errors.Is(err, errBlob) {
			t.Errorf("found %v", err)
		}
		if _, err := decodeFacts(raw, 2, &line); err != nil && !errors.Is(err, errBlob) {
			t.Errorf("found %v", err)
		}
		if e, err := decodeEntry(key(prefixIndex, 1, 2), stored); err == nil && string(e.encode()) != string(stored) {
			t.Error("a line of the index changes when it is stored")
		}
	})
}

// Badger writes through memory maps: what has no room on disk then must be found out before.
func TestRoomIsAllocatedBeforeBlobsAreWritten(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, 0, nil, nil, silent{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w, err := s.Writer(true, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, f := range some(1, 2000) {
		if err := w.Add(1, &f); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	for pattern, least := range map[string]int64{"*.vlog": reserveBytes, "*.mem": 2 << 20, discardName: discardBytes} {
		names, err := filepath.Glob(filepath.Join(dir, "*", pattern))
		if err != nil || len(names) != 1 {
			t.Fatalf("%s: %v, %v", pattern, names, err)
		}
		var st unix.Stat_t
		if err := unix.Stat(names[0], &st); err != nil {
			t.Fatal(err)
		}
		if got := st.Blocks * 512; got < least {
			t.Errorf("%s has %d bytes on disk, want %d at least", names[0], got, least)
		}
	}
}
