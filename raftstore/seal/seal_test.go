package seal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"trine/raftstore/damage"
)

func TestSealIsReadAsWritten(t *testing.T) {
	dir := t.TempDir()
	if s, err := Read(dir); s != nil || err != nil {
		t.Fatalf("no SEAL: found %v, %v", s, err)
	}
	s := &Seal{Format: Format, Cluster: "c", Node: 1, Index: 7, Term: 2, Runs: []Run{{1, 2, 3}}, Machine: Hex{1, 2}, History: []Epoch{{1, 2, 3, 4, 5, 3, 4096}}}
	if err := Write(dir, s); err != nil {
		t.Fatal(err)
	}
	got, err := Read(dir)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(&Seal{
		Format: Format, Cluster: "c", Node: 1, Index: 7, Term: 2, Runs: []Run{{1, 2, 3}}, Machine: Hex{1, 2}, Store: Hex{}, Chain: Hex{}, History: []Epoch{{1, 2, 3, 4, 5, 3, 4096}},
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
	s.Format = Format - 1
	if err := Write(dir, s); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir); !errors.Is(err, ErrOlderFormat) {
		t.Errorf("expected %v, found %v", ErrOlderFormat, err)
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
	b, err := Encode(&Seal{Format: Format, Index: 7})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(again); err != nil {
			t.Errorf("a SEAL does not decode again: %v", err)
		}
	})
}
