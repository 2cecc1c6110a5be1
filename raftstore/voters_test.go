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
