package raftstore

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"
)

// holds are the members that this node, leading, has sent its state to. The log is kept for them from there on: a member loads a large state for as long as it takes the others
// to fill a seal or two, and would else find the log cut beyond it, and be sent another state, again and again.
type holds struct {
	mu sync.Mutex
	of map[uint64]hold // by node
}

// hold is how far a member is.
type hold struct {
	from  uint64    // the last entry that it has
	moved time.Time // when it was found to have more, or was sent the state
}

// holdFor is how long the log is held for a member of which nothing is heard.
const holdFor = 10 * time.Minute

// sending is told, before a state at an entry is sent to a member. It returns an error if the log has been cut beyond that entry.
func (s *Store) sending(node, index uint64) error {
	s.holds.mu.Lock()
	defer s.holds.mu.Unlock()
	if s.holds.of == nil {
		s.holds.of = map[uint64]hold{}
	}
	s.holds.of[node] = hold{index, time.Now()}
	if err := s.holds.apply(s.log.Hold); err != nil {
		delete(s.holds.of, node)
		return fmt.Errorf("send the state at entry %d to node %016x: %w", index, node, err)
	}
	return nil
}

// apply holds the log for the member that has the least of it.
func (h *holds) apply(hold func(after uint64) error) error {
	least := uint64(0)
	for _, m := range h.of {
		if least == 0 || m.from < least {
			least = m.from
		}
	}
	return hold(least)
}

// lookAfterHolds asks the members that the log is held for how far they are.
func (s *Store) lookAfterHolds() {
	s.holds.mu.Lock()
	of := maps.Clone(s.holds.of)
	s.holds.mu.Unlock()
	for node, was := range of {
		now, keep := s.holdOn(node, was)
		s.holds.mu.Lock()
		if s.holds.of[node] == was { // else it was sent another meanwhile
			s.holds.of[node] = now
			if !keep {
				delete(s.holds.of, node)
			}
		}
		err := s.holds.apply(s.log.Hold)
		s.holds.mu.Unlock()
		if err != nil {
			s.cfg.Logger.Warn("the log is not held for a node that was sent the state", "error", err)
		}
	}
}

// holdOn returns how far a member is now, and whether the log is to be held for it any longer: not if it has all but the last entries, is gone, or has stood still for long, nor if
// this node does not lead, or disk space is short.
func (s *Store) holdOn(node uint64, h hold) (hold, bool) {
	if _, member := s.member(node); !member || !s.IsLeader() {
		return h, false
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	name := fmt.Sprintf("%016x", node)
	st, err := s.MemberStatus(ctx, node)
	if err == nil && st.Last+trailingEntries >= s.raft.LastIndex() {
		s.cfg.Logger.Info("a node that was sent the state has caught up", "node", name)
		return h, false
	}
	if err == nil && st.Last > h.from {
		h = hold{st.Last, time.Now()}
	}
	why := ""
	switch {
	case s.disk.levelNow() > 0:
		why = "disk space is short"
	case time.Since(h.moved) > holdFor:
		why = "it has not moved for " + holdFor.String()
	default:
		return h, true
	}
	s.cfg.Logger.Warn("the log is no longer held for a node that was sent the state; it may have to be sent another", "node", name, "reason", why)
	return h, false
}
