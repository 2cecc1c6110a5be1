package raftstore

import (
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// counters are what Stats reads.
type counters struct {
	proposed, proposedBytes, batches  atomic.Uint64
	entries, records, void            atomic.Uint64
	duplicates, refused, applyNanos   atomic.Uint64
	historyBytes, rowBytes, rows      atomic.Uint64
	seals, sealsFailed, sealNanos     atomic.Uint64
	leaderChanges, clockSteps, epochs atomic.Uint64
	forwarded, divergences, agreed    atomic.Uint64
	holdNanos                         maximum
}

type maximum struct{ atomic.Uint64 }

func (m *maximum) max(v uint64) {
	for old := m.Load(); v > old && !m.CompareAndSwap(old, v); old = m.Load() {
	}
}

// Stats are counters since the store was opened; none ever decreases.
type Stats struct {
	Proposed      uint64 // records taken by Propose here and handed to raft
	ProposedBytes uint64 // bytes of their batches
	Refused       uint64 // records refused at once: queue or disk full
	Batches       uint64 // batches handed to raft, those sent again included
	Entries       uint64 // batches applied
	Records       uint64 // records applied
	Void          uint64 // of those, void
	Duplicates    uint64 // batches that came twice and were applied once
	ApplySeconds  float64

	Fsyncs       uint64 // of the log
	LogBytes     uint64 // written to the log
	HistoryBytes uint64 // written to history, compressed
	StateBytes   uint64 // keys and values written to the state database
	StateRows    uint64

	Seals         uint64
	SealsFailed   uint64
	SealSeconds   float64
	MaxApplyHold  time.Duration // longest time that a seal held Apply
	LeaderChanges uint64        // times that this node became or ceased to be the leader
	ClockSteps    uint64        // times that the clock was found to have jumped
	EpochChanges  uint64        // epochs begun or removed on this node's proposal
	Forwarded     uint64        // batches sent to another node that leads
	Divergences   uint64        // times that this node's views were found to differ from a majority's
	Agreements    uint64        // times that its views were found to be those of a majority
}

// Stats returns the counters.
func (s *Store) Stats() Stats {
	c, w := &s.stats, s.log.Counters()
	return Stats{
		Proposed: c.proposed.Load(), ProposedBytes: c.proposedBytes.Load(), Refused: c.refused.Load(), Batches: c.batches.Load(),
		Entries: c.entries.Load(), Records: c.records.Load(), Void: c.void.Load(), Duplicates: c.duplicates.Load(),
		ApplySeconds: time.Duration(c.applyNanos.Load()).Seconds(),
		Fsyncs:       w.Syncs, LogBytes: w.Bytes, HistoryBytes: c.historyBytes.Load(),
		StateBytes: c.rowBytes.Load(), StateRows: c.rows.Load(),
		Seals: c.seals.Load(), SealsFailed: c.sealsFailed.Load(), SealSeconds: time.Duration(c.sealNanos.Load()).Seconds(),
		MaxApplyHold: time.Duration(c.holdNanos.Load()), LeaderChanges: c.leaderChanges.Load(), ClockSteps: c.clockSteps.Load(),
		EpochChanges: c.epochs.Load(), Forwarded: c.forwarded.Load(), Divergences: c.divergences.Load(), Agreements: c.agreed.Load(),
	}
}

// Status is how a store stands.
type Status struct {
	Cluster  string
	Node     uint64
	NodeName string
	State    string // "Leader", "Follower", "Candidate" or "Shutdown"
	Term     uint64
	Leader   string // node id of the leader as hexadecimal; empty if none is known
	Level    uint16 // the cluster's feature level

	Commit, Applied, Last uint64 // raft indexes
	AppliedTime           time.Time
	First                 uint64 // first index in the log; 0 if it is empty

	SealIndex, SealTerm uint64 // 0: none yet
	SealTime            time.Time
	SealDuration        time.Duration // 0 for a seal of an earlier start

	HistoryComplete uint64 // history misses nothing from this entry on; 1: nothing at all
	Diverged        string // why no record is taken here, where the nodes' views differ

	Epochs    []EpochStatus
	DiskFree  int64 // bytes
	DiskLevel int   // 0: enough space; 1, 2, 3: below that many watermarks
	Queue     int   // records queued or under way
}

// EpochStatus is one history epoch as of the last seal.
type EpochStatus struct {
	Class  Class
	Epoch  uint32
	Since  time.Time // zero for the first epoch of a class
	Facts  uint64
	Blobs  uint64
	Bytes  uint64 // compressed
	Active bool   // new facts go here
}

// Status returns how the store stands.
func (s *Store) Status() Status {
	stats := s.raft.Stats()
	_, leader := s.raft.LeaderWithID()
	index, at := s.reached()
	st := Status{
		Cluster: s.cfg.Cluster, Node: s.node, NodeName: s.cfg.NodeName, State: stats["state"], Leader: string(leader),
		Term: s.raft.CurrentTerm(), Commit: s.raft.CommitIndex(), Applied: index, Last: s.raft.LastIndex(),
		AppliedTime: unixTime(at), DiskFree: s.disk.free.Load(), DiskLevel: int(s.disk.level.Load()), Queue: s.batcher.depth(),
		Level: s.Level(), HistoryComplete: s.historyComplete(),
	}
	if first, err := s.log.FirstIndex(); err == nil {
		st.First = first
	}
	if l, took := s.sealer.sealed(); l != nil {
		st.SealIndex, st.SealTerm, st.SealTime, st.SealDuration = l.Index, l.Term, l.Time(), took
	}
	if why := s.diverged.Load(); why != nil {
		st.Diverged = *why
	}
	epochs := *s.fold.shared.Load()
	for _, c := range s.history.Counts() {
		e := EpochStatus{Class: Class(c.Class), Epoch: c.Epoch, Facts: c.Facts, Blobs: c.Blobs, Bytes: c.Bytes}
		for _, x := range epochs.class(e.Class) {
			if x.number == e.Epoch {
				e.Since = unixTime(x.since)
			}
		}
		e.Active = epochs.current(e.Class).number == e.Epoch
		st.Epochs = append(st.Epochs, e)
	}
	return st
}

// reached returns the index up to which this node has applied the log, and the time of the last record in unix nanoseconds. Entries of raft's own, such as the first of
// each leader, have nothing to apply: behind the last record they count as applied once they are committed.
func (s *Store) reached() (index uint64, at int64) {
	index, at = s.fold.at.get()
	for end := s.raft.CommitIndex(); index < end; index++ {
		var l raft.Log
		if err := s.log.GetLog(index+1, &l); err != nil || l.Type == raft.LogCommand {
			break
		}
	}
	return index, at
}

func unixTime(t int64) time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.Unix(0, t).UTC()
}

// IsLeader reports whether this node leads.
func (s *Store) IsLeader() bool { return s.raft.State() == raft.Leader }

// HasLeader reports whether, as far as this node knows, there is a leader to take records.
func (s *Store) HasLeader() bool {
	_, id := s.raft.LeaderWithID()
	return id != ""
}
