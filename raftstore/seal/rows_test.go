package seal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"trine/raftstore/damage"
)

// put writes a run; a row without "=" is gone.
func put(t testing.TB, r *Rows, index uint64, rows ...string) Run {
	t.Helper()
	w, err := r.Create(index)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		k, v, ok := strings.Cut(row, "=")
		value := []byte(v)
		if !ok {
			value = nil
		}
		if err := w.Put('m', []byte(k), value); err != nil {
			t.Fatal(err)
		}
	}
	run, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// read returns the rows of runs as put takes them, each with the number of its run in front.
func read(r *Rows, runs ...Run) (rows []string, err error) {
	d := r.Read(runs)
	defer d.Close()
	for {
		run, key, value, ok, err := d.Next()
		if err != nil || !ok {
			return rows, err
		}
		row := fmt.Sprintf("%d:%s", run, key)
		if value != nil {
			row += "=" + string(value)
		}
		rows = append(rows, row)
	}
}

func TestRunsAreReadAsWritten(t *testing.T) {
	r, err := OpenRows(filepath.Join(t.TempDir(), "rows"))
	if err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("large ", 100_000)
	first := put(t, r, 10, "a=1", "b=", "c="+large)
	second := put(t, r, 20, "a", "=2")
	empty := put(t, r, 30)
	got, err := read(r, first, second, empty)
	if want := []string{"0:ma=1", "0:mb=", "0:mc=" + large, "1:ma", "1:m=2"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("found %.200q, %v", got, err)
	}
	if first.Rows != 3 || second.Rows != 2 || empty.Rows != 0 {
		t.Errorf("found %d, %d and %d rows", first.Rows, second.Rows, empty.Rows)
	}
	if got, err := read(r); len(got) > 0 || err != nil {
		t.Errorf("no run: found %q, %v", got, err)
	}
	// A run is never written again, unless it was swept.
	if _, err := r.Create(20); !errors.Is(err, os.ErrExist) {
		t.Errorf("found %v", err)
	}
	if err := r.Sweep([]Run{first, empty}); err != nil {
		t.Fatal(err)
	}
	again := put(t, r, 20, "z=3")
	if got, err := read(r, again); err != nil || !slices.Equal(got, []string{"0:mz=3"}) {
		t.Errorf("found %q, %v", got, err)
	}
	if err := r.Sweep([]Run{first}); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(r.dir, "*")); len(left) != 1 || filepath.Base(left[0]) != runName(10) {
		t.Errorf("after a sweep: %v", left)
	}
	// Whoever stops early leaves nothing behind.
	d := r.Read([]Run{first})
	if _, key, _, ok, err := d.Next(); !ok || err != nil || string(key) != "ma" {
		t.Errorf("found %s, %v, %v", key, ok, err)
	}
	d.Close()
}

func TestRunsHoldAnyRows(t *testing.T) {
	r, err := OpenRows(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		var want []string
		var runs []Run
		for i := range rapid.IntRange(0, 3).Draw(rt, "runs") {
			var rows []string
			for range rapid.IntRange(0, 400).Draw(rt, "rows") {
				row := rapid.StringMatching(`[a-z]{0,20}`).Draw(rt, "key")
				if rapid.Bool().Draw(rt, "there") {
					row += "=" + strings.Repeat("v", rapid.IntRange(0, 3000).Draw(rt, "length"))
				}
				rows = append(rows, row)
				want = append(want, fmt.Sprintf("%d:m%s", i, row))
			}
			runs = append(runs, put(t, r, uint64(i), rows...))
			defer os.Remove(filepath.Join(r.dir, runName(uint64(i))))
		}
		if got, err := read(r, runs...); err != nil || !slices.Equal(got, want) {
			rt.Fatalf("found %d rows, want %d: %v", len(got), len(want), err)
		}
	})
}

func TestDamageOfRunsIsNamed(t *testing.T) {
	r, err := OpenRows(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for i := range 3000 {
		rows = append(rows, fmt.Sprintf("key%d=%x", i, bytes.Repeat([]byte{byte(i), byte(i >> 3)}, 20)))
	}
	run := put(t, r, 7, rows...)
	name := filepath.Join(r.dir, runName(7))
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, damaged []byte, runs ...Run) {
		t.Helper()
		if damaged == nil {
			err = os.Remove(name)
		} else {
			err = os.WriteFile(name, damaged, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		var d *damage.Error
		if _, err := read(r, runs...); !errors.As(err, &d) || d.File != name || d.Advice == "" {
			t.Errorf("%s: found %v", what, err)
		}
	}
	for at := 0; at < len(whole); at += 1 + at/50 {
		b := bytes.Clone(whole)
		b[at] ^= 0x10
		check(fmt.Sprintf("byte %d of %d flipped", at, len(whole)), b, run)
	}
	check("cut off", whole[:len(whole)-1], run)
	check("longer", append(bytes.Clone(whole), 0), run)
	check("empty", []byte{}, run)
	check("of another index", whole, Run{Index: 7, Rows: run.Rows, Bytes: run.Bytes + 1})
	check("missing", nil, run)
	other := put(t, r, 8, rows...)
	b, err := os.ReadFile(filepath.Join(r.dir, runName(8)))
	if err != nil {
		t.Fatal(err)
	}
	check("another run under its name", b, Run{Index: 7, Rows: other.Rows, Bytes: other.Bytes})
}

func TestRunsAreFewAndShort(t *testing.T) {
	for _, c := range []struct {
		bytes       []uint64
		calm, hurry bool
	}{
		{nil, true, true},
		{[]uint64{100}, false, false},
		{[]uint64{100, 30, 20}, false, false},
		{[]uint64{100, 30, 21}, true, false},
		{[]uint64{100, 100, 100}, true, false},
		{[]uint64{100, 104, 100}, true, true},
		{slices.Repeat([]uint64{0}, maxRuns-1), false, false},
		{slices.Repeat([]uint64{0}, maxRuns), true, true},
	} {
		var runs []Run
		for i, n := range c.bytes {
			runs = append(runs, Run{Index: uint64(i), Bytes: n})
		}
		if calm, hurry := Due(runs, false), Due(runs, true); calm != c.calm || hurry != c.hurry {
			t.Errorf("%v: found %v, in a hurry %v", c.bytes, calm, hurry)
		}
	}
}

// Reading a row allocates nothing: a start reads millions.
func TestReadingRowsDoesNotAllocate(t *testing.T) {
	r, err := OpenRows(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for i := range 20_000 {
		rows = append(rows, fmt.Sprintf("key%d=%s", i, strings.Repeat("v", 100)))
	}
	run := put(t, r, 7, rows...)
	allocs := testing.AllocsPerRun(3, func() {
		d := r.Read([]Run{run})
		defer d.Close()
		for {
			if _, _, _, ok, err := d.Next(); err != nil || !ok {
				return
			}
		}
	})
	if allocs > 100 {
		t.Errorf("%.0f allocations for %d rows", allocs, len(rows))
	}
}
