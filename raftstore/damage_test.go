package raftstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trine/raftstore/damage"
	"trine/raftstore/seal"
)

// filled returns a closed data directory with history, rows and, unless sealed, a log that goes on after the SEAL.
func filled(t *testing.T, sealed bool) string {
	t.Helper()
	dir := t.TempDir()
	s := mustOpen(t, testConfig(t, dir))
	value := strings.Repeat("some value ", 20)
	for i := range 300 {
		mustPropose(t, s, op{Class(i % 2), opSet, fmt.Sprint("k", i), fmt.Sprint(i, value)})
	}
	mustSeal(t, s)
	if sealed {
		mustClose(t, s)
		return dir
	}
	for i := range 50 {
		if i == 49 {
			value = strings.Repeat(value, 20)
		}
		mustPropose(t, s, op{0, opSet, fmt.Sprint("tail", i), value})
	}
	copied := copyTree(t, dir)
	mustClose(t, s)
	return copied
}

func flip(t *testing.T, name string, at int64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	_, err = f.ReadAt(b[:], at)
	b[0] ^= 0x10
	if err == nil {
		_, err = f.WriteAt(b[:], at)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// find returns the offset of text in a file.
func find(t *testing.T, name, text string) int64 {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(b), text)
	if at < 0 {
		t.Fatalf("%q is not in %s", text, name)
	}
	return int64(at)
}

func one(t *testing.T, pattern string) string {
	t.Helper()
	m, err := filepath.Glob(pattern)
	if err != nil || len(m) == 0 {
		t.Fatalf("no file %s (%v)", pattern, err)
	}
	return m[0]
}

// wantDamage opens a directory and reads everything; one of the two must say what is damaged.
func wantDamage(t *testing.T, dir, file string) {
	t.Helper()
	s, err := Open(context.Background(), testConfig(t, dir))
	if err == nil {
		if err = s.Barrier(context.Background()); err == nil {
			for _, e := range s.Read(context.Background(), Query{}) {
				err = errors.Join(err, e)
			}
		}
		mustClose(t, s)
	}
	var d *DamagedError
	if !errors.As(err, &d) {
		t.Fatalf("expected damage, found %v", err)
	}
	if !strings.Contains(d.File, file) || d.Reason == "" || d.Advice == "" {
		t.Errorf("found %v", d)
	}
	t.Log(d)
}

func TestDamageIsSaidNotSwallowed(t *testing.T) {
	t.Run("a byte of an acknowledged record in the log", func(t *testing.T) {
		dir := filled(t, false)
		name := one(t, filepath.Join(dir, "wal", "*.wal"))
		flip(t, name, find(t, name, "tail20"))
		wantDamage(t, dir, ".wal")
	})
	t.Run("a byte of the very last record in the log", func(t *testing.T) {
		dir := filled(t, false)
		name := one(t, filepath.Join(dir, "wal", "*.wal"))
		flip(t, name, find(t, name, "tail49"))
		wantDamage(t, dir, ".wal")
	})
	t.Run("the type of a frame in the log", func(t *testing.T) {
		dir := filled(t, false)
		name := one(t, filepath.Join(dir, "wal", "*.wal"))
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		at := int(find(t, name, "tail20")) &^ 7
		for b[at] != 1 || b[at+1]|b[at+2]|b[at+3] != 0 || b[at+4] == 0 {
			at -= 8
		}
		flip(t, name, int64(at))
		wantDamage(t, dir, ".wal")
	})
	t.Run("a log that ends before the SEAL", func(t *testing.T) {
		dir := filled(t, true)
		if err := os.RemoveAll(filepath.Join(dir, "wal")); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(dir, "wal"), 0o700); err != nil {
			t.Fatal(err)
		}
		wantDamage(t, dir, "wal")
	})
	t.Run("the SEAL", func(t *testing.T) {
		dir := filled(t, true)
		flip(t, filepath.Join(dir, "SEAL"), 30)
		wantDamage(t, dir, "SEAL")
	})
	t.Run("a missing SEAL", func(t *testing.T) {
		dir := filled(t, true)
		if err := os.Remove(filepath.Join(dir, "SEAL")); err != nil {
			t.Fatal(err)
		}
		wantDamage(t, dir, "wal")
	})
	t.Run("a row of the state database", func(t *testing.T) {
		dir := filled(t, true)
		name := one(t, filepath.Join(dir, "state-1", "*.rows"))
		st, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		flip(t, name, st.Size()/3)
		wantDamage(t, dir, "state-1")
	})
	t.Run("a blob of history", func(t *testing.T) {
		dir := filled(t, true)
		name := one(t, filepath.Join(dir, "history", "0-*", "*.vlog"))
		st, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		flip(t, name, st.Size()/2)
		wantDamage(t, dir, "history")
	})
	t.Run("a missing epoch of history", func(t *testing.T) {
		dir := filled(t, true)
		if err := os.RemoveAll(filepath.Join(dir, "history", "1-00000001")); err != nil {
			t.Fatal(err)
		}
		wantDamage(t, dir, "history")
	})
	t.Run("the identity", func(t *testing.T) {
		dir := filled(t, true)
		if err := os.Remove(filepath.Join(dir, "node.json")); err != nil {
			t.Fatal(err)
		}
		wantDamage(t, dir, "node.json")
	})
}

func TestTornLastWriteIsForgotten(t *testing.T) {
	dir := filled(t, false)
	name := one(t, filepath.Join(dir, "wal", "*.wal"))
	// The last batch loses its second half, as if the machine had stopped while it was written.
	at := find(t, name, "tail49")
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(make([]byte, 8192), (at/512+2)*512)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, testConfig(t, dir))
	rows := s.cfg.Machine.(*kv).copy()
	if _, ok := rows["tail48"]; !ok {
		t.Error("the write before the torn one is lost")
	}
	if _, ok := rows["tail49"]; ok {
		t.Error("the torn write came back")
	}
	mustPropose(t, s, op{0, opSet, "after", "it"})
	mustClose(t, s)
	s = mustOpen(t, testConfig(t, dir))
	defer mustClose(t, s)
	if s.cfg.Machine.(*kv).copy()["after"] != "it" {
		t.Error("a record after the torn write is lost")
	}
}

// TestFileThatACrashLeftEmptyIsForgotten puts what Badger has made, but not yet given a size, when the process is killed.
func TestFileThatACrashLeftEmptyIsForgotten(t *testing.T) {
	dir := filled(t, true)
	lists, _ := filepath.Glob(filepath.Join(dir, "*", "MANIFEST"))
	more, _ := filepath.Glob(filepath.Join(dir, "*", "*", "MANIFEST"))
	if lists = append(lists, more...); len(lists) < 2 {
		t.Fatalf("databases: %v", lists)
	}
	for _, list := range lists {
		for _, name := range []string{"00099.mem", "000099.vlog"} {
			if err := os.WriteFile(filepath.Join(filepath.Dir(list), name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := mustOpen(t, testConfig(t, dir))
	defer mustClose(t, s)
	if n := len(s.cfg.Machine.(*kv).copy()); n == 0 {
		t.Error("no row is left")
	}
	facts := 0
	for _, err := range s.Read(context.Background(), Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		facts++
	}
	if facts == 0 {
		t.Error("no fact is left")
	}
}

func TestForeignDirectoriesAreRefused(t *testing.T) {
	dir := filled(t, true)
	open := func(change func(*Config)) error {
		cfg := testConfig(t, dir)
		change(&cfg)
		s, err := Open(context.Background(), cfg)
		if err == nil {
			mustClose(t, s)
		}
		return err
	}
	tests := []struct {
		name   string
		change func(*Config)
		want   error
	}{
		{"another cluster", func(c *Config) { c.Cluster = "other" }, ErrOtherNode},
		{"another node", func(c *Config) { c.Node = 42 }, ErrOtherNode},
		{"another name", func(c *Config) { c.NodeName = "other" }, ErrOtherNode},
		{"itself", func(*Config) {}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := open(test.change); !errors.Is(err, test.want) {
				t.Errorf("expected %v, found %v", test.want, err)
			}
		})
	}
	t.Run("in use", func(t *testing.T) {
		s := mustOpen(t, testConfig(t, dir))
		if err := open(func(*Config) {}); !errors.Is(err, ErrInUse) {
			t.Errorf("expected %v, found %v", ErrInUse, err)
		}
		mustClose(t, s)
	})
	t.Run("newer format", func(t *testing.T) {
		name := filepath.Join(dir, "node.json")
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		newer := strings.Replace(string(b), fmt.Sprintf(`"format": %d`, seal.Format), `"format": 99`, 1)
		if err := os.WriteFile(name, []byte(newer), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := open(func(*Config) {}); !errors.Is(err, ErrNewerFormat) {
			t.Errorf("expected %v, found %v", ErrNewerFormat, err)
		}
	})
}

// A directory without an identity is made anew only if nothing in it can be somebody's.
func TestNothingIsRemovedFromADirectoryOfOthers(t *testing.T) {
	for _, c := range []struct{ name, file string }{
		{"a log of another kind", filepath.Join(walName, "00000001")},
		{"rows", filepath.Join(rowsName, "0000000000000007.rows")},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			name := filepath.Join(dir, c.file)
			if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(context.Background(), testConfig(t, dir))
			if err == nil {
				mustClose(t, s)
			}
			var damaged *DamagedError
			if !errors.As(err, &damaged) {
				t.Errorf("expected damage, found %v", err)
			}
			if b, err := os.ReadFile(name); err != nil || string(b) != "precious" {
				t.Errorf("the file holds %q now (%v)", b, err)
			}
		})
	}
	t.Run("a log with records", func(t *testing.T) {
		dir := filled(t, false)
		for _, name := range []string{identityName, historyName, rowsName, seal.FileName} {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		wantDamage(t, dir, identityName)
	})
	t.Run("a directory whose making was interrupted", func(t *testing.T) {
		for _, without := range [][]string{{identityName}, {identityName, "wal/wal-meta.db", "wal/*.wal"}, {identityName, "wal/*.wal"}} {
			cfg := testConfig(t, t.TempDir())
			s := &Store{cfg: cfg}
			if _, err := s.make(); err != nil {
				t.Fatal(err)
			}
			if err := s.log.Close(); err != nil {
				t.Fatal(err)
			}
			for _, pattern := range without {
				if err := os.Remove(one(t, filepath.Join(cfg.Dir, pattern))); err != nil {
					t.Fatal(err)
				}
			}
			mustClose(t, mustOpen(t, cfg))
		}
	})
}

func TestReadOnlyDirectoryIsRefused(t *testing.T) {
	image := filepath.Join(t.TempDir(), "disk")
	dir := ext4(t, image, 64, "rw")
	s := mustOpen(t, testConfig(t, filepath.Join(dir, "data")))
	mustClose(t, s)
	if out, err := exec.Command("mount", "-o", "remount,ro", dir).CombinedOutput(); err != nil {
		t.Skipf("cannot remount read-only (%v): %s", err, out)
	}
	_, err := Open(context.Background(), testConfig(t, filepath.Join(dir, "data")))
	if !errors.Is(err, ErrReadOnly) {
		t.Errorf("expected %v, found %v", ErrReadOnly, err)
	}
}

func TestFullDiskRefusesRecordsAndHeals(t *testing.T) {
	image := filepath.Join(t.TempDir(), "disk")
	mount := ext4(t, image, 128, "rw")
	cfg := testConfig(t, filepath.Join(mount, "data"))
	cfg.Watermarks = [3]int64{48 << 20, 40 << 20, 30 << 20}
	cfg.keep = 10 * time.Millisecond
	cfg.SealRecords = 500
	s := mustOpen(t, cfg)
	fill := filepath.Join(mount, "filler")
	eat := func(leave int64) {
		t.Helper()
		// What else writes to the disk writes too fast for a watch that looks now and then.
		if out, err := exec.Command("fallocate", "-l", fmt.Sprint(s.disk.free.Load()-leave), fill).CombinedOutput(); err != nil {
			t.Fatalf("fill the disk: %v: %s", err, out)
		}
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: not within 10 seconds, level %d, %d bytes free", what, s.disk.levelNow(), s.disk.free.Load())
			}
		}
	}
	n := 0
	propose := func() error {
		n++
		_, _, err := s.ProposeWait(t.Context(), op{1, opSet, fmt.Sprint("k", n), strings.Repeat("x", 500)}.encode())
		return err
	}
	for range 100 {
		if err := propose(); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 2 {
		eat(int64(2-2*round) << 20) // almost full, then to the last block
		until("refusal", func() bool { return errors.Is(propose(), ErrDiskFull) })
		if err := s.Seal(t.Context()); err == nil {
			t.Error("a seal was made on a full disk")
		}
		if got := len(readAll(t, s, Query{})); got < 100 {
			t.Errorf("only %d facts can be read on a full disk", got)
		}
		if err := os.Remove(fill); err != nil {
			t.Fatal(err)
		}
		until("healing", func() bool { return propose() == nil })
		mustSeal(t, s)
	}
	// A node that stops on a full disk starts on it, too.
	until("space", func() bool { _, err := s.disk.look(); return err == nil && s.disk.levelNow() == 0 })
	if err := s.disk.load(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.disk.look(); err != nil {
		t.Fatal(err)
	}
	eat(0)
	until("refusal", func() bool { return errors.Is(propose(), ErrDiskFull) })
	rows := len(s.cfg.Machine.(*kv).copy())
	mustClose(t, s)
	cfg.Machine = newKV()
	s = mustOpen(t, cfg)
	if got := len(s.cfg.Machine.(*kv).copy()); got != rows {
		t.Errorf("rows after a start on a full disk: expected %d, found %d", rows, got)
	}
	if err := propose(); !errors.Is(err, ErrDiskFull) {
		t.Errorf("expected %v, found %v", ErrDiskFull, err)
	}
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	until("healing", func() bool { return propose() == nil })
	mustClose(t, s)
}

// Badger would cut the newest part of its value log off at a value whose checksum is wrong, and nobody could put it right afterwards.
func TestDamagedValuesOfHistoryAreRefusedAndLeftAlone(t *testing.T) {
	for _, sealed := range []bool{true, false} {
		t.Run(fmt.Sprintf("stopped in order: %v", sealed), func(t *testing.T) {
			dir := filled(t, sealed)
			name := one(t, filepath.Join(dir, "history", "0-*", "*.vlog"))
			v, err := damage.EndOfValues(filepath.Dir(name))
			if err != nil || v.End < 100 {
				t.Fatalf("the value log ends at %d (%v)", v.End, err)
			}
			for _, at := range []int64{0, 20, 21, v.End / 2, v.End - 1} {
				flip(t, name, at)
				s, err := Open(context.Background(), testConfig(t, dir))
				if err == nil {
					mustClose(t, s)
				}
				var d *DamagedError
				if !errors.As(err, &d) || d.File != name {
					t.Fatalf("a bit of byte %d of %d: expected damage in %s, found %v", at, v.End, name, err)
				}
				flip(t, name, at)
			}
			s := mustOpen(t, testConfig(t, dir))
			n := 0
			for _, err := range s.Read(context.Background(), Query{}) {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
			if n < 300 {
				t.Errorf("found %d events of 300 once the bits are right again", n)
			}
			mustClose(t, s)
		})
	}
}
