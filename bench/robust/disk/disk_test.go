package disk

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func newDisk(t *testing.T) *Disk {
	t.Helper()
	if err := Missing(); err != nil {
		t.Skip(err)
	}
	d, err := New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(false); err != nil {
			t.Error(err)
		}
	})
	return d
}

func TestPowerCutLosesWhatWasNotSynced(t *testing.T) {
	d := newDisk(t)
	synced, lost := filepath.Join(d.Path(), "synced"), filepath.Join(d.Path(), "lost")
	if err := os.WriteFile(synced, []byte("synced"), 0o600); err != nil {
		t.Fatal(err)
	}
	unix.Sync()
	if err := os.WriteFile(lost, []byte("lost"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Cut(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(synced); string(text) != "synced" {
		t.Errorf("what was synced is now %q, %v", text, err)
	}
	if text, err := os.ReadFile(lost); err == nil && len(text) > 0 {
		t.Errorf("what was not synced survived the power cut: %q", text)
	}
}

func TestFullDiskTakesNothing(t *testing.T) {
	d := newDisk(t)
	file := filepath.Join(d.Path(), "file")
	if err := d.Fill(0); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err == nil {
		t.Error("a full disk took a megabyte")
	}
	if err := d.Free(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		t.Errorf("a disk that was freed takes nothing: %v", err)
	}
}
