package seal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trine/raftstore/damage"
)

type silent struct{}

func (silent) Errorf(string, ...any)   {}
func (silent) Warningf(string, ...any) {}
func (silent) Infof(string, ...any)    {}
func (silent) Debugf(string, ...any)   {}

func TestSealIsReadAsWritten(t *testing.T) {
	dir := t.TempDir()
	if s, err := Read(dir); s != nil || err != nil {
		t.Fatalf("no SEAL: found %v, %v", s, err)
	}
	s := &Seal{Format: Format, Cluster: "c", Node: 1, Index: 7, Term: 2, Machine: Hex{1, 2}, History: []Epoch{{1, 2, 3, 4, 5}}}
	if err := Write(dir, s); err != nil {
		t.Fatal(err)
	}
	got, err := Read(dir)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(&Seal{
		Format: Format, Cluster: "c", Node: 1, Index: 7, Term: 2, Machine: Hex{1, 2}, Store: Hex{}, Chain: Hex{}, History: []Epoch{{1, 2, 3, 4, 5}},
	}) {
		t.Errorf("found %+v, %v", got, err)
	}
	s.Format = Format + 1
	if err := Write(dir, s); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("expected %v, found %v", ErrNewerFormat, err)
	}
	b, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	for at := range b {
		b[at] ^= 4
		if err := os.WriteFile(filepath.Join(dir, FileName), b, 0o600); err != nil {
			t.Fatal(err)
		}
		b[at] ^= 4
		var d *damage.Error
		if _, err := Read(dir); !errors.As(err, &d) {
			t.Fatalf("byte %d flipped: found %v", at, err)
		}
	}
}

func FuzzSeal(f *testing.F) {
	b, err := encode(&Seal{Format: Format, Index: 7})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decode(b)
		if err != nil {
			return
		}
		again, err := encode(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decode(again); err != nil {
			t.Errorf("a SEAL does not decode again: %v", err)
		}
	})
}

// load returns the rows as of an index.
func load(t *testing.T, r *Rows, index uint64) string {
	t.Helper()
	var out []string
	err := r.Load(index, func(k, v []byte) error {
		out = append(out, string(k)+"="+string(v))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, " ")
}

func put(t *testing.T, r *Rows, index uint64, rows ...string) {
	t.Helper()
	w := r.Write(index)
	defer w.Cancel()
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
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
}

func TestRepairUndoesWhatNoSealCounts(t *testing.T) {
	dir := t.TempDir()
	r, err := OpenRows(dir, silent{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, r, 10, "a=1", "b=1", "c=1")
	put(t, r, 20, "a=2", "b", "d=2")  // crashed
	put(t, r, 25, "a=25", "e=2", "c") // crashed again
	if got := load(t, r, 10); got != "ma=1 mb=1 mc=1" {
		t.Errorf("as of 10: %s", got)
	}
	if err := r.Repair(10); err != nil {
		t.Fatal(err)
	}
	for _, index := range []uint64{10, 15, 20, 25, 99} {
		if got := load(t, r, index); got != "ma=1 mb=1 mc=1" {
			t.Errorf("as of %d, repaired: %s", index, got)
		}
	}
	put(t, r, 22, "b=3", "f=3")
	if got := load(t, r, 30); got != "ma=1 mb=3 mc=1 mf=3" {
		t.Errorf("after the next seal: %s", got)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err = OpenRows(dir, silent{}); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got := load(t, r, 30); got != "ma=1 mb=3 mc=1 mf=3" {
		t.Errorf("after a restart: %s", got)
	}
}
