package raftstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Nodes that fold the same log hold the same rows. Now and then the leader puts a record into the log that asks each node for the digest of its rows
// at that entry, and each compares its own with the others': a digest that a majority of the voters has is right. Who has another one takes itself out and rebuilds.
// Where no digest has a majority, nobody knows which rows are right, and no record is taken any more.

// digestBytes is the length of what is compared: the Machine's digest, that of the store's own rows, and the hash chain.
const digestBytes = 16 + 16 + 32

// keptDigests is how many entries' digests a node remembers.
const keptDigests = 32

type viewDigest [digestBytes]byte

// digests are those of the newest entries that asked for one.
type digests struct {
	mu    sync.Mutex
	at    map[uint64]viewDigest
	fresh chan uint64 // holds the newest entry that nobody compared yet
}

func newDigests() *digests {
	return &digests{at: map[uint64]viewDigest{}, fresh: make(chan uint64, 1)}
}

func (d *digests) put(index uint64, v viewDigest) {
	d.mu.Lock()
	d.at[index] = v
	if len(d.at) > keptDigests {
		delete(d.at, slices.Min(slices.Collect(maps.Keys(d.at))))
	}
	d.mu.Unlock()
	select {
	case <-d.fresh:
	default:
	}
	d.fresh <- index // only the goroutine that applies sends
}

func (d *digests) get(index uint64) (viewDigest, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	v, ok := d.at[index]
	return v, ok
}

// noteDigest remembers the digest of the rows at an entry.
func (f *fold) noteDigest(index uint64) {
	var v viewDigest
	m := f.machine.Digest()
	copy(v[:], m[:])
	var own rowDigest
	_ = f.ownRows(func(key, value []byte) error { // add gives no error
		own.add(key, value)
		return nil
	})
	copy(v[16:], own.bytes())
	copy(v[32:], f.chain[:])
	f.digests.put(index, v)
}

// proposeDigest asks all nodes to compare, if there are others and anything has changed.
func (s *Store) proposeDigest() {
	last, _ := s.fold.at.get()
	if last == s.compared.Load() || len(s.Members()) < 2 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	at, _, err := s.proposeKind(ctx, kindDigest, nil)
	if err == nil {
		s.compared.Store(at.Index)
	}
}

// digestAt answers another node that compares.
func (s *Store) digestAt(body []byte) ([]byte, error) {
	if len(body) != 8 {
		return nil, &refusedError{"expected an index of 8 bytes"}
	}
	index := binary.LittleEndian.Uint64(body)
	v, ok := s.fold.digests.get(index)
	if !ok {
		return nil, &refusedError{fmt.Sprintf("no digest of entry %d is known here", index)}
	}
	return v[:], nil
}

// compareLoop compares digests as they come.
func (s *Store) compareLoop() {
	for {
		select {
		case index := <-s.fold.digests.fresh:
			s.compare(index)
		case <-s.closed:
			return
		}
	}
}

// verdict is what comparing gave.
type verdict int

const (
	unknown  verdict = iota // too few have answered
	agreed                  // this node is with a majority
	differs                 // a majority has another digest
	disunity                // all have answered, and no digest has a majority
)

// judge compares a node's digest with those of the voters that answered; voters is how many there are.
func judge(own viewDigest, answers []viewDigest, voters int) verdict {
	count := map[viewDigest]int{}
	for _, v := range answers {
		count[v]++
	}
	for v, n := range count {
		if n > voters/2 {
			if v == own {
				return agreed
			}
			return differs
		}
	}
	if len(answers) == voters {
		return disunity
	}
	return unknown
}

// compare holds this node's digest at an entry against the voters'. Those that have not applied the entry yet are asked again for a while.
func (s *Store) compare(index uint64) {
	own, ok := s.fold.digests.get(index)
	if !ok || s.peers == nil || s.diverged.Load() != nil {
		return
	}
	answers := map[uint64]viewDigest{}
	for try := 0; ; try++ {
		voters := 0
		for _, m := range s.Members() {
			if !m.Voter {
				continue
			}
			voters++
			if m.Node == s.node {
				answers[m.Node] = own
				continue
			}
			if _, ok := answers[m.Node]; ok {
				continue
			}
			if v, ok := s.askDigest(m.Node, index); ok {
				answers[m.Node] = v
			}
		}
		v := judge(own, slices.Collect(maps.Values(answers)), voters)
		switch {
		case v == differs:
			s.diverge(index)
			return
		case v == disunity:
			s.disunite(index)
			return
		case v == agreed && len(answers) == voters, try == 4:
			if v == agreed {
				s.stats.agreed.Add(1)
			}
			return
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-s.closed:
			return
		}
	}
}

func (s *Store) askDigest(node, index uint64) (v viewDigest, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	answer, err := s.peers.call(ctx, node, verbDigest, binary.LittleEndian.AppendUint64(nil, index))
	return v, err == nil && copy(v[:], answer) == digestBytes
}

// disunite stops the taking of records here: no digest has a majority.
func (s *Store) disunite(index uint64) {
	why := fmt.Sprintf("the voters' views at entry %d differ and none has a majority; no record is taken until an administrator has decided which node is right (docs/guides/cluster.md)", index)
	s.diverged.Store(&why)
	s.cfg.Logger.Error(why)
	s.giveUpLead()
}

// diverge takes this node out, because a majority has other rows, and rebuilds its state from one of them.
func (s *Store) diverge(index uint64) {
	why := fmt.Sprintf("this node's views at entry %d differ from the majority's; it rebuilds them from another node", index)
	s.diverged.Store(&why)
	s.stats.divergences.Add(1)
	s.cfg.Logger.Error(why)
	s.giveUpLead()
	for {
		err := s.rebuild()
		if err == nil {
			return
		}
		s.cfg.Logger.Warn("the views are not rebuilt yet", "error", err)
		select {
		case <-time.After(time.Second):
		case <-s.closed:
			return
		}
	}
}

// rebuild puts another node's seal in the place of this node's state. The log stays, and is applied after it when the store is opened again.
func (s *Store) rebuild() error {
	if s.IsLeader() {
		s.giveUpLead()
		return errors.New("this node still leads")
	}
	first, _, err := s.log.Bounds()
	if err != nil {
		return err
	}
	least := max(first, s.sealer.index()+1)
	failed := errors.New("there is no other voter")
	for _, m := range s.others(true) {
		if !m.Voter {
			continue
		}
		in, err := s.fetchSeal(m.Node, least)
		if err != nil {
			failed = err
			continue
		}
		// The log must reach the seal, or there would be a gap in it.
		if last := s.raft.LastIndex(); last < in.seal.Index {
			return fmt.Errorf("the log ends at entry %d, before the seal of node %016x at %d", last, m.Node, in.seal.Index)
		}
		if err := s.sealer.replace(in, false); err != nil {
			return err
		}
		now := make(chan struct{})
		close(now)
		s.restart(fmt.Sprintf("the state of node %016x at entry %d is in place", m.Node, in.seal.Index), now)
		return nil
	}
	return failed
}

// fetchSeal takes a node's seal at or past an entry.
func (s *Store) fetchSeal(node, least uint64) (*incoming, error) {
	in, err := s.peers.transfer(context.Background(), node, verbSeal, binary.LittleEndian.AppendUint64(nil, least))
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }() // it was read
	if err := comes(in); err != nil {
		return nil, fmt.Errorf("seal of node %016x: %w", node, err)
	}
	return s.sealer.receive(in)
}
