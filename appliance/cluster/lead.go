package cluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"trine/engine/event"
	"trine/engine/state"
	"trine/raftstore"
)

// How near a member must be to the leader, and for how long, before it votes, and how many vote at most. See DESIGN.md.
const (
	maxTrailing  = 250 // entries
	stableFor    = 5 * time.Second
	maxVoters    = 7
	askWithin    = time.Second
	changeWithin = 3 * time.Second
)

// lead makes the store's configuration follow the views, one step at a time.
func (s *Service) lead(ctx context.Context) {
	if _, ok := s.cfg.Views.Authority(); !ok {
		return
	}
	members := s.cfg.Members.Members()
	statuses := s.ask(ctx, members)
	list := make([]raftstore.MemberStatus, 0, len(statuses))
	for _, st := range statuses {
		list = append(list, st)
	}
	slices.SortFunc(list, func(a, b raftstore.MemberStatus) int { return cmp.Compare(a.Node, b.Node) })
	s.statuses.Store(&list)
	now := s.cfg.Clock()
	s.settle(members, statuses, now)
	for _, step := range plan(s.cfg.Views, s.node, members, s.ready(now)) {
		stepping, cancel := context.WithTimeout(ctx, changeWithin)
		err := s.take(stepping, step)
		cancel()
		if err != nil {
			s.cfg.Logger.Warn("the cluster's members could not be changed yet", "change", step.what, "node", fmt.Sprintf("%016x", step.node), "error", err)
			return
		}
		s.cfg.Logger.Info("the cluster's members were changed", "change", step.what, "node", fmt.Sprintf("%016x", step.node))
	}
}

// ask asks all members how they stand, at the same time; those that do not answer in time are left out.
func (s *Service) ask(ctx context.Context, members []raftstore.Member) map[uint64]raftstore.MemberStatus {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	var mu sync.Mutex
	var asking sync.WaitGroup
	out := make(map[uint64]raftstore.MemberStatus, len(members))
	for _, m := range members {
		asking.Go(func() {
			if st, err := s.cfg.Members.MemberStatus(ctx, m.Node); err == nil {
				mu.Lock()
				out[m.Node] = st
				mu.Unlock()
			}
		})
	}
	asking.Wait()
	return out
}

// settle notes since when each member that does not vote is near enough.
func (s *Service) settle(members []raftstore.Member, statuses map[uint64]raftstore.MemberStatus, now time.Time) {
	lead := statuses[s.node]
	seen := map[uint64]bool{}
	for _, m := range members {
		st, ok := statuses[m.Node]
		if m.Voter || !ok || st.Diverged || st.Applied+maxTrailing < lead.Applied {
			continue
		}
		seen[m.Node] = true
		if s.stable[m.Node].IsZero() {
			s.stable[m.Node] = now
		}
	}
	for node := range s.stable {
		if !seen[node] {
			delete(s.stable, node)
		}
	}
}

// ready returns the members that have been near enough for long enough.
func (s *Service) ready(now time.Time) map[uint64]bool {
	out := map[uint64]bool{}
	for node, since := range s.stable {
		if now.Sub(since) >= stableFor {
			out[node] = true
		}
	}
	return out
}

// The steps by which members change.
const (
	stepAdd      = "add"
	stepRemove   = "remove"
	stepDemote   = "demote"
	stepPromote  = "promote"
	stepTransfer = "transfer"
)

// step is one change of the store's configuration.
type step struct {
	what    string
	node    uint64
	address string
}

// plan returns what is to be done, in this order, for the configuration to be what the views want: nodes that joined are added, nodes that were removed go,
// replicas do not vote, and nodes that are to vote do so once they are ready, if that leaves an odd number of voters.
func plan(views *state.State, leader uint64, members []raftstore.Member, ready map[uint64]bool) (steps []step) {
	in := map[uint64]raftstore.Member{}
	voters := 0
	for _, m := range members {
		in[m.Node] = m
		if m.Voter {
			voters++
		}
	}
	for _, n := range views.Nodes() {
		if _, ok := in[n.Node]; !ok {
			steps = append(steps, step{stepAdd, n.Node, n.Address})
		}
	}
	for _, m := range members {
		n, known := views.Node(m.Node)
		if !known {
			continue
		}
		gone := !n.Removed.IsZero()
		switch {
		case !gone && (!m.Voter || n.Role != event.RoleReplica):
			continue
		case m.Voter && voters == 1:
			continue // somebody must decide
		case m.Node == leader:
			// Another one leads first, and does it then.
			return append(steps, step{what: stepTransfer})
		case gone:
			steps = append(steps, step{what: stepRemove, node: m.Node})
		default:
			steps = append(steps, step{what: stepDemote, node: m.Node})
		}
		if m.Voter {
			voters--
		}
	}
	var candidates []uint64
	for _, m := range members {
		if n, ok := views.Node(m.Node); ok && n.Removed.IsZero() && n.Role == event.RoleVoter && !m.Voter && ready[m.Node] {
			candidates = append(candidates, m.Node)
		}
	}
	slices.Sort(candidates)
	for len(candidates) > 0 {
		n := 1
		if voters%2 == 1 {
			n = 2
		}
		if len(candidates) < n || voters+n > maxVoters {
			break
		}
		for _, node := range candidates[:n] {
			steps = append(steps, step{what: stepPromote, node: node})
		}
		candidates, voters = candidates[n:], voters+n
	}
	return steps
}

func (s *Service) take(ctx context.Context, what step) error {
	switch what.what {
	case stepAdd:
		return s.cfg.Members.AddMember(ctx, what.node, what.address)
	case stepRemove:
		return s.cfg.Members.Remove(ctx, what.node)
	case stepDemote:
		return s.cfg.Members.Demote(ctx, what.node)
	case stepPromote:
		return s.cfg.Members.Promote(ctx, what.node)
	}
	return s.cfg.Members.Transfer(ctx, what.node)
}
