package node

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"trine/appliance/admin/client"
)

const testPassphrase = "correct horse battery"

// archive backs a node up.
func archive(t *testing.T, data string) []byte {
	t.Helper()
	c, err := client.New(client.Options{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	stream, err := c.Backup(t.Context(), testPassphrase)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	b, err := io.ReadAll(stream)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestBackupIsRestoredAsANodeThatAnswers backs a serving node up, checks the archive, restores it elsewhere, and finds every record and the secrets there.
func TestBackupIsRestoredAsANodeThatAnswers(t *testing.T) {
	data, known := used(t, true)
	node := startProcess(t, data, nil)
	b := archive(t, data)
	node.quit(t)
	scratch := t.TempDir()
	info, err := VerifyBackup(bytes.NewReader(b), testPassphrase, scratch)
	if err != nil || info.Users < 2 || info.Events == 0 {
		t.Fatalf("verify: %+v, %v", info, err)
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("the check left %v behind (%v)", left, err)
	}
	quiet := slog.New(slog.DiscardHandler)
	s := DefaultSettings()
	s.Data, s.NodeName = filepath.Join(t.TempDir(), "restored"), "test"
	for what, c := range map[string]struct {
		archive    []byte
		passphrase string
		want       error
	}{
		"with another passphrase": {b, "incorrect horse battery", ErrPassphrase},
		"cut off":                 {b[:len(b)-1], testPassphrase, nil},
		"changed":                 {append(append(bytes.Clone(b[:len(b)-100]), b[len(b)-100]^1), b[len(b)-99:]...), testPassphrase, nil},
	} {
		if _, err := RestoreBackup(t.Context(), s, bytes.NewReader(c.archive), c.passphrase, quiet); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", what, err)
		}
		if left, err := os.ReadDir(s.Data); err != nil || len(left) > 0 {
			t.Fatalf("%s: it left %v behind (%v)", what, left, err)
		}
	}
	restored, err := RestoreBackup(t.Context(), s, bytes.NewReader(b), testPassphrase, quiet)
	if err != nil || restored != info {
		t.Fatalf("restore: %+v, %v", restored, err)
	}
	if _, err := RestoreBackup(t.Context(), s, bytes.NewReader(b), testPassphrase, quiet); err == nil {
		t.Error("it was restored twice")
	}
	again := startProcess(t, s.Data, nil)
	if _, err := os.Stat(filepath.Join(s.Data, restoredName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the keys of the backup are still beside the log: %v", err)
	}
	again.quit(t)
	intact(t, s.Data, known)
}
