package raftstore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestOneNodeOfThreeIsRecoveredOnceTheOthersAreGone loses a quorum, and what the third node has goes on.
func TestOneNodeOfThreeIsRecoveredOnceTheOthersAreGone(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		t.Run(fmt.Sprintf("sealed %v", sealed), func(t *testing.T) {
			c := newCluster(t, 3, nil)
			for i := range 60 {
				mustPropose(t, c.leader(), op{1, opSet, fmt.Sprint("k", i), "v"})
			}
			c.alike(60)
			left := c.nodes[2]
			if sealed {
				mustSeal(t, left.now())
			}
			left.stop()
			c.nodes[1].stop()
			cfg := func() Config {
				cfg := testConfig(t, left.dir)
				cfg.Node, cfg.Mesh, cfg.Bootstrap = 3, left.strand, false
				return cfg
			}
			if err := Recover(t.Context(), cfg()); !errors.Is(err, ErrPeerAnswers) {
				t.Fatalf("with a living peer: %v", err)
			}
			alone := cfg()
			alone.Mesh = nil
			if err := Recover(t.Context(), alone); !errors.Is(err, ErrNotAlone) {
				t.Fatalf("without a way to the peers: %v", err)
			}
			c.nodes[0].stop()
			c.must("recover", Recover(t.Context(), cfg()))
			c.must("recover again", Recover(t.Context(), cfg()))
			left.restart()
			c.nodes = c.nodes[2:]
			if s := c.leader(); s != left.now() || len(s.Members()) != 1 {
				t.Errorf("members: %+v", s.Members())
			}
			mustPropose(t, left.now(), op{1, opSet, "k", "after"})
			c.alike(61)
		})
	}
	if err := Recover(t.Context(), testConfig(t, t.TempDir())); !errors.Is(err, ErrNoData) {
		t.Errorf("an empty directory: %v", err)
	}
}

// TestBackupIsRestoredAsANewCluster backs a node up while records come, verifies and restores it, and compares.
func TestBackupIsRestoredAsANewCluster(t *testing.T) {
	s := mustOpen(t, testConfig(t, t.TempDir()))
	for i := range 300 {
		mustPropose(t, s, op{Class(i % 3), opSet, fmt.Sprint("k", i%40), fmt.Sprint("v", i)})
	}
	mustSeal(t, s)
	for i := range 50 {
		mustPropose(t, s, op{1, opSet, fmt.Sprint("k", i), "w"})
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				mustPropose(t, s, op{2, opSet, "later", "x"})
			}
		}
	}()
	var b bytes.Buffer
	info, err := s.Backup(t.Context(), &b)
	close(stop)
	<-stopped
	if err != nil {
		t.Fatal(err)
	}
	var want []Item
	for _, item := range readAll(t, s, Query{}) {
		if item.Index <= info.Index {
			want = append(want, item)
		}
	}
	mustClose(t, s)
	if info.Facts != len(want) || info.Facts < 350 {
		t.Errorf("the backup says that it has %d facts, of %d", info.Facts, len(want))
	}
	verified, err := VerifyBackup(bytes.NewReader(b.Bytes()), newKV(), t.TempDir())
	if err != nil || verified != info {
		t.Errorf("verify: %+v, %v; expected %+v", verified, err, info)
	}
	dir := filepath.Join(t.TempDir(), "new")
	cfg := testConfig(t, dir)
	cfg.Cluster = "new"
	restored, err := Restore(t.Context(), cfg, bytes.NewReader(b.Bytes()))
	if err != nil || restored != info {
		t.Fatalf("restore: %+v, %v", restored, err)
	}
	if _, err := Restore(t.Context(), cfg, bytes.NewReader(b.Bytes())); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("restore over it: %v", err)
	}
	r := mustOpen(t, cfg)
	if got := readAll(t, r, Query{}); !sameFacts(got, want) {
		t.Errorf("%d facts were restored, of %d", len(got), len(want))
	}
	if r.Status().Cluster != "new" || r.node == s.node {
		t.Errorf("status: %+v", r.Status())
	}
	mustPropose(t, r, op{1, opSet, "k", "after"})
	mustSeal(t, r)
	mustClose(t, r)
	r = mustOpen(t, cfg)
	if got := readAll(t, r, Query{}); len(got) != len(want)+1 {
		t.Errorf("after another start there are %d facts, expected %d", len(got), len(want)+1)
	}
	mustClose(t, r)
}

// TestDamagedBackupIsRefused changes and cuts a backup everywhere, and restores it: nothing is left behind.
func TestDamagedBackupIsRefused(t *testing.T) {
	s := mustOpen(t, testConfig(t, t.TempDir()))
	for i := range 20 {
		mustPropose(t, s, op{1, opSet, fmt.Sprint("k", i), "v"})
	}
	var out bytes.Buffer
	if _, err := s.Backup(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	b := out.Bytes()
	try := func(what string, r io.Reader) {
		t.Helper()
		dir := t.TempDir()
		cfg := testConfig(t, dir)
		if _, err := Restore(t.Context(), cfg, r); err == nil {
			t.Errorf("%s was restored", what)
			return
		}
		names, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			if n.Name() != lockName {
				t.Errorf("%s left %s behind", what, n.Name())
			}
		}
	}
	for at := 0; at < len(b); at += 7 {
		changed := bytes.Clone(b)
		changed[at] ^= 0x10
		try(fmt.Sprintf("a bit at %d", at), bytes.NewReader(changed))
		try(fmt.Sprintf("the first %d bytes", at), bytes.NewReader(b[:at]))
	}
	try("more than a backup", bytes.NewReader(append(bytes.Clone(b), 0)))
}
