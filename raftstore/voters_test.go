package raftstore

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"trine/raftstore/transport"
)

// TestThreeVotersFoldAlike runs three nodes in one process, moves leadership by closing the leader, and compares them.
func TestThreeVotersFoldAlike(t *testing.T) {
	root := t.TempDir()
	var stores []*Store
	var carriers []*raft.InmemTransport
	for i := range 3 {
		cfg := testConfig(t, filepath.Join(root, fmt.Sprint(i)))
		cfg.Node = uint64(i + 1)
		cfg.Bootstrap = i == 0
		carrier := transport.New(string(serverID(cfg.Node)))
		for _, other := range carriers {
			other.Connect(carrier.LocalAddr(), carrier)
			carrier.Connect(other.LocalAddr(), other)
		}
		carriers = append(carriers, carrier)
		cfg.Transport = carrier
		s, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		stores = append(stores, s)
		if i == 0 {
			if err := s.Barrier(t.Context()); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := stores[0].raft.AddVoter(serverID(cfg.Node), carrier.LocalAddr(), 0, 0).Error(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 200 {
		mustPropose(t, stores[0], op{Class(i % 3), opSet, fmt.Sprint("k", i%20), fmt.Sprint("v", i)})
	}
	mustSeal(t, stores[0])
	mustClose(t, stores[0])
	var leader *Store
	for end := time.Now().Add(10 * time.Second); leader == nil; time.Sleep(10 * time.Millisecond) {
		for _, s := range stores[1:] {
			if s.IsLeader() {
				leader = s
			}
		}
		if time.Now().After(end) {
			t.Fatal("nobody leads")
		}
	}
	for i := range 50 {
		mustPropose(t, leader, op{Class(i % 3), opSet, fmt.Sprint("k", i), fmt.Sprint("w", i)})
	}
	end, _ := leader.Applied()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var facts []Item
	for i, s := range stores[1:] {
		if err := s.WaitApplied(ctx, end); err != nil {
			t.Fatal(err)
		}
		if s.cfg.Machine.Digest() != leader.cfg.Machine.Digest() || s.fold.chain != leader.fold.chain {
			t.Errorf("node %d differs from the leader", i+2)
		}
		got := readAll(t, s, Query{})
		if facts == nil {
			facts = got
		}
		if len(got) != 250 || !sameFacts(got, facts) {
			t.Errorf("node %d has %d facts, or others", i+2, len(got))
		}
	}
	for _, s := range stores[1:] {
		mustClose(t, s)
	}
}

// TestForeignBatchesCountOnceAndTakeNoTimeBack appends batches as another leader may have left them in the log: one twice, as
// after a lost answer, one of an earlier boot, and one with the time of a clock that is behind.
func TestForeignBatchesCountOnceAndTakeNoTimeBack(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, testConfig(t, dir))
	now := time.Now().UnixNano()
	send := func(boot, seq uint64, at int64, value string) {
		t.Helper()
		b := appendRecord(appendHeader(nil), kindMachine, op{1, opSet, "k", value}.encode())
		if err := s.raft.Apply(stamp(b, 1, 99, boot, seq, at, 1), 0).Error(); err != nil {
			t.Fatal(err)
		}
	}
	send(2, 5, now, "one")
	send(2, 5, now+1, "one again")
	send(2, 4, now-int64(time.Hour), "two, later and with an earlier time")
	send(1, 9, now+2, "of an earlier boot")
	check := func(when string) {
		t.Helper()
		items := readAll(t, s, Query{})
		if got := names(items); len(got) != 2 || got[0] != "k=one" || got[1] != "k=two, later and with an earlier time" {
			t.Fatalf("%s: found %q", when, got)
		}
		if want := time.Unix(0, now+1); !items[1].Time.Equal(want) {
			t.Errorf("%s: the second record has time %v, expected %v", when, items[1].Time, want)
		}
		if v := s.cfg.Machine.(*kv).copy()["k"]; v != "two, later and with an earlier time" {
			t.Errorf("%s: the row is %q", when, v)
		}
	}
	check("in the log")
	if n := s.Stats().Duplicates; n != 2 {
		t.Errorf("expected 2 batches to be left out, found %d", n)
	}
	crashed := copyTree(t, dir)
	mustClose(t, s) // with a seal
	s = mustOpen(t, testConfig(t, dir))
	check("in history")
	send(2, 5, now+3, "one more time, after a restart from the seal")
	check("sent again after the seal")
	mustClose(t, s)
	s = mustOpen(t, testConfig(t, crashed))
	defer mustClose(t, s)
	check("applied again after a crash")
}
