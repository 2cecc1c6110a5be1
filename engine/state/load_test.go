package state_test

import (
	"fmt"
	"runtime"
	"testing"

	"trine/engine/event"
	"trine/engine/state"
)

// sealedRows are the rows of a state as a seal writes them.
type sealedRows struct {
	keys, values [][]byte
	digest       [16]byte
}

// typical returns the rows of so many users and sessions, those of TestRowsAreSmall.
func typical(tb testing.TB, n int) *sealedRows {
	s := state.New()
	var b event.Builder
	var v event.AccountedView
	at := state.Stamp{Index: 1, Time: start}
	apply := func() {
		if r := s.Apply(at, b.Bytes()); r.Code != 0 {
			tb.Fatalf("%+v", r)
		}
		b.Reset()
	}
	for i := range 30 {
		add(tb, &b, group(fmt.Sprintf("department-%d", i)))
		apply()
	}
	for i := range n {
		add(tb, &b, bigUser(i))
		add(tb, &b, &event.PasswordSet{User: fmt.Sprintf("user%06d", i), Argon2Id: make([]byte, 58), Keyed: make([]byte, 36), By: "import"})
		apply()
		liveSession(&v, i)
		b.AddAccounted(&v)
		apply()
	}
	f := s.Freeze()
	defer f.Release(true)
	rows := &sealedRows{digest: s.Digest()}
	var memory []byte
	keep := func(b []byte) []byte {
		if cap(memory)-len(memory) < len(b) {
			memory = make([]byte, 0, 1<<20+len(b))
		}
		memory = append(memory, b...)
		return memory[len(memory)-len(b) : len(memory) : len(memory)]
	}
	if err := f.Rows(true, func(k, v []byte) error {
		rows.keys, rows.values = append(rows.keys, keep(k)), append(rows.values, keep(v))
		return nil
	}); err != nil {
		tb.Fatal(err)
	}
	return rows
}

// load returns a state with the rows.
func (r *sealedRows) load(tb testing.TB) *state.State {
	s := state.New()
	i := -1
	if err := s.Load(func() ([]byte, []byte, bool, error) {
		if i++; i == len(r.keys) {
			return nil, nil, false, nil
		}
		return r.keys[i], r.values[i], true, nil
	}); err != nil {
		tb.Fatal(err)
	}
	return s
}

// A start loads a million of each within seconds. It allocates memory for the rows and their indexes, in pieces that are few beside the rows,
// and hardly more than it keeps: what would be left over is memory that the node takes and does not need.
func TestLoadTakesLittleMoreThanItKeeps(t *testing.T) {
	if testing.Short() {
		t.Skip("30,000 users and sessions")
	}
	const n = 30_000
	rows := typical(t, n)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	s := rows.load(t)
	runtime.ReadMemStats(&after)
	if s.Digest() != rows.digest || s.Counts().Sessions != n || s.Counts().Users != n {
		t.Fatalf("found %+v", s.Counts())
	}
	pieces, taken := after.Mallocs-before.Mallocs, after.TotalAlloc-before.TotalAlloc
	t.Logf("%d rows: %d pieces, %d bytes, of which %d are kept", len(rows.keys), pieces, taken, s.Counts().Bytes)
	if pieces > uint64(len(rows.keys))/8 {
		t.Errorf("%d allocations for %d rows", pieces, len(rows.keys))
	}
	if kept := s.Counts().Bytes; float64(taken) > 1.15*float64(kept) {
		t.Errorf("%d bytes were allocated, %d are kept", taken, kept)
	}
	var u state.User
	for i := range n {
		name := fmt.Sprintf("user%06d", i)
		if !s.UserLogin(&u, name) || string(u.Name) != name || !s.UserByID(&u, u.ID) || string(u.Name) != name {
			t.Fatalf("%s is not found", name)
		}
		if got := s.CountSessions(name, start); got != 1 {
			t.Fatalf("%s has %d sessions", name, got)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	const n = 100_000
	rows := typical(b, n)
	b.ReportAllocs()
	for b.Loop() {
		rows.load(b)
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/n, "ns/user+session")
}
