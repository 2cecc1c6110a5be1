package damage

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

func TestTablesThatWereCutOffAreNamed(t *testing.T) {
	made := t.TempDir()
	db, err := badger.Open(badger.DefaultOptions(made).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(txn *badger.Txn) error { return txn.Set([]byte("key"), []byte(strings.Repeat("value", 99))) }); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	const table, list = "000001.sst", badger.ManifestFilename
	whole, err := os.ReadFile(filepath.Join(made, table))
	if err != nil {
		t.Fatal(err)
	}
	cut := func(keep int) func(string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, table), whole[:keep], 0o600) }
	}
	for _, c := range []struct {
		name   string
		damage func(dir string) error
		want   string // file; empty: in order
	}{
		{"whole", func(string) error { return nil }, ""},
		{"a table without its last byte", cut(len(whole) - 1), table},
		{"half a table", cut(len(whole) / 2), table},
		{"three bytes of a table", cut(3), table},
		{"an empty table", cut(0), table},
		{"a byte of the index", func(dir string) error {
			b := []byte(string(whole))
			b[len(b)-40] ^= 1
			return os.WriteFile(filepath.Join(dir, table), b, 0o600)
		}, table},
		{"a missing table", func(dir string) error { return os.Remove(filepath.Join(dir, table)) }, table},
		{"a missing list", func(dir string) error { return os.Remove(filepath.Join(dir, list)) }, list},
		{"an empty list", func(dir string) error { return os.Truncate(filepath.Join(dir, list), 0) }, list},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(made)); err != nil {
				t.Fatal(err)
			}
			if err := c.damage(dir); err != nil {
				t.Fatal(err)
			}
			err := Tables(dir, "restore it")
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var damaged *Error
			if !errors.As(err, &damaged) || damaged.File != filepath.Join(dir, c.want) || damaged.Advice != "restore it" {
				t.Errorf("expected damage of %s, found %v", c.want, err)
			}
		})
	}
	if err := Tables(t.TempDir(), "restore it"); err != nil {
		t.Errorf("an empty directory: %v", err)
	}
}
