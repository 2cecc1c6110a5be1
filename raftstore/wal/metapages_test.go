package wal

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft-wal/metadb"

	"trine/raftstore/damage"
)

func TestEitherPageOfTheListOfSegmentsIsChecked(t *testing.T) {
	for _, at := range []int64{20, 60, 4096 + 16, 4096 + 70} {
		dir := t.TempDir()
		l, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, metadb.FileName)
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if at > 4096 && os.Getpagesize() != 4096 {
			at += int64(os.Getpagesize()) - 4096
		}
		b[at] ^= 4
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err = Open(dir, Options{})
		var damaged *damage.Error
		if !errors.As(err, &damaged) || damaged.File != name || damaged.Offset != at/int64(os.Getpagesize())*int64(os.Getpagesize()) {
			t.Errorf("byte %d: expected damage, found %v", at, err)
		}
		if err == nil {
			_ = l.Close()
		}
	}
}
