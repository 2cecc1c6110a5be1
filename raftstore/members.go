package raftstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"trine/raftstore/transport"
)

// Member is a node of the cluster as raft's configuration has it.
type Member struct {
	Node    uint64
	Address string // where the others reach it, HOST:PORT; empty for a lone voter
	Voter   bool   // false: it follows and does not count for a quorum
	Leader  bool   // it leads, as far as this node knows
}

// MemberStatus is how a member stands, told by itself.
type MemberStatus struct {
	Node      uint64 `json:"node"`
	State     string `json:"state"` // "Leader", "Follower", "Candidate" or "Shutdown"
	Term      uint64 `json:"term"`
	Commit    uint64 `json:"commit"`
	Applied   uint64 `json:"applied"`
	Last      uint64 `json:"last"`
	SealIndex uint64 `json:"seal_index"`
	Complete  uint64 `json:"complete"` // see Status.HistoryComplete
	DiskLevel int    `json:"disk_level"`
	Level     uint16 `json:"level"`     // the highest feature level that it reads
	Diverged  bool   `json:"diverged"`  // see Status.Diverged
	DiskFree  int64  `json:"disk_free"` // bytes
}

var (
	// ErrNotMember means that a node is not, or no longer, a member of the cluster.
	ErrNotMember = errors.New("raftstore: the node is not a member of the cluster")
	// ErrLastVoter means that a cluster would be left without a voter.
	ErrLastVoter = errors.New("raftstore: the cluster's last voter cannot be removed or demoted")
)

// Members returns the members as this node knows them; changes that are not committed yet are among them.
func (s *Store) Members() []Member {
	f := s.raft.GetConfiguration()
	if f.Error() != nil { // raft is shut down
		return nil
	}
	leader, _ := s.leader()
	var out []Member
	for _, m := range f.Configuration().Servers {
		node, ok := transport.Node(m.ID)
		if !ok {
			continue
		}
		_, where, _ := transport.ParseAddress(m.Address)
		out = append(out, Member{Node: node, Address: where, Voter: m.Suffrage == raft.Voter, Leader: node == leader})
	}
	return out
}

// others returns the other members: the one that leads first, or last.
func (s *Store) others(leaderFirst bool) []Member {
	out := slices.DeleteFunc(s.Members(), func(m Member) bool { return m.Node == s.node })
	slices.SortStableFunc(out, func(a, b Member) int {
		switch {
		case a.Leader == b.Leader:
			return 0
		case a.Leader == leaderFirst:
			return -1
		}
		return 1
	})
	return out
}

func (s *Store) member(node uint64) (Member, bool) {
	for _, m := range s.Members() {
		if m.Node == node {
			return m, true
		}
	}
	return Member{}, false
}

// where returns where a member is.
func (s *Store) where(node uint64) (string, bool) {
	m, ok := s.member(node)
	return m.Address, ok && m.Address != ""
}

// What is to be done with a member.
const (
	changeAdd      = "add"
	changePromote  = "promote"
	changeDemote   = "demote"
	changeRemove   = "remove"
	changeTransfer = "transfer"
)

type memberChange struct {
	What    string `json:"what"`
	Node    uint64 `json:"node"`
	Address string `json:"address,omitempty"`
}

// AddMember adds a node as one that follows and does not vote, or gives a member another address, HOST:PORT. Like the other methods that change
// members it works on every node: the leader does it. Errors: ErrNoLeader, ErrUncertain, and what speaks against it.
func (s *Store) AddMember(ctx context.Context, node uint64, address string) error {
	return s.changeMember(ctx, memberChange{changeAdd, node, address})
}

// Promote makes a member a voter. Errors: as AddMember, ErrNotMember.
func (s *Store) Promote(ctx context.Context, node uint64) error {
	return s.changeMember(ctx, memberChange{What: changePromote, Node: node})
}

// Demote makes a voter one that follows. Errors: as AddMember, ErrNotMember, ErrLastVoter.
func (s *Store) Demote(ctx context.Context, node uint64) error {
	return s.changeMember(ctx, memberChange{What: changeDemote, Node: node})
}

// Remove removes a member. The number is not used again: a node that was removed comes back with an empty data directory, as another one.
// Errors: as AddMember, ErrNotMember, ErrLastVoter.
func (s *Store) Remove(ctx context.Context, node uint64) error {
	return s.changeMember(ctx, memberChange{What: changeRemove, Node: node})
}

// Transfer moves leadership to a voter; 0: to whichever has the most of the log. Errors: as AddMember, ErrNotMember.
func (s *Store) Transfer(ctx context.Context, node uint64) error {
	return s.changeMember(ctx, memberChange{What: changeTransfer, Node: node})
}

// changeMember has the leader do a change. One whose answer was lost, as when leadership moves, is asked for again: done twice, it is done once.
func (s *Store) changeMember(ctx context.Context, c memberChange) error {
	lost := false
	for {
		changed := s.leading.changed()
		err := s.tryMemberChange(ctx, c)
		switch {
		case errors.Is(err, ErrUncertain):
			lost = true
		case lost && c.What == changeRemove && errors.Is(err, ErrNotMember):
			return nil
		case !errors.Is(err, ErrNoLeader):
			return err
		}
		if lost && c.What == changeTransfer && c.Node == 0 {
			return nil // leadership has moved, or the answer would have come
		}
		if err := s.await(ctx, changed); err != nil {
			if lost {
				return ErrUncertain
			}
			return err
		}
	}
}

// tryMemberChange does a change here or asks the leader, once.
func (s *Store) tryMemberChange(ctx context.Context, c memberChange) error {
	leader, ok := s.leader()
	if !ok {
		return ErrNoLeader
	}
	if leader == s.node {
		return s.doMemberChange(c)
	}
	if s.peers == nil {
		return ErrNoLeader
	}
	body, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("change members: %w", err)
	}
	_, err = s.peers.call(ctx, leader, verbMember, body)
	var refused *refusedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		for _, known := range []error{ErrNoLeader, ErrNotMember, ErrLastVoter} {
			if refused.why == known.Error() {
				return known
			}
		}
		return fmt.Errorf("change members: %w", refused)
	case errors.Is(err, errNotSent):
		return ErrNoLeader
	case ctx.Err() != nil:
		return fmt.Errorf("change members: %w", ctx.Err())
	}
	return ErrUncertain
}

func (s *Store) takeMemberChange(from uint64, body []byte) error {
	var c memberChange
	if err := json.Unmarshal(body, &c); err != nil {
		return &refusedError{fmt.Sprintf("node %016x asks for a change of members that does not decode: %v", from, err)}
	}
	err := s.doMemberChange(c)
	if err == nil || errors.Is(err, ErrUncertain) {
		return err
	}
	return &refusedError{err.Error()}
}

// doMemberChange changes raft's configuration, which only the leader can.
func (s *Store) doMemberChange(c memberChange) error {
	f := s.raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return ErrClosed
	}
	var found *raft.Server
	voters := 0
	for _, m := range f.Configuration().Servers {
		if m.Suffrage == raft.Voter {
			voters++
		}
		if m.ID == transport.ID(c.Node) {
			found = &m
		}
	}
	if c.Node == s.node && (c.What == changeDemote || c.What == changeRemove) && voters > 1 {
		// Another leader does it: this one would be followed by none for the time of an election.
		if err := s.raft.LeadershipTransfer().Error(); err != nil {
			return fmt.Errorf("change members: hand leadership over first: %w", err)
		}
		return ErrNoLeader
	}
	last := found != nil && found.Suffrage == raft.Voter && voters == 1
	id := transport.ID(c.Node)
	var done raft.Future
	switch {
	case c.What == changeTransfer && c.Node == 0:
		done = s.raft.LeadershipTransfer()
	case found == nil && c.What != changeAdd:
		return ErrNotMember
	case last && (c.What == changeDemote || c.What == changeRemove):
		return ErrLastVoter
	case c.What == changeAdd:
		address := transport.Address(c.Node, c.Address)
		switch {
		case found != nil && found.Address == address:
			return nil
		case found != nil && found.Suffrage == raft.Voter:
			done = s.raft.AddVoter(id, address, f.Index(), callTimeout)
		default:
			done = s.raft.AddNonvoter(id, address, f.Index(), callTimeout)
		}
	case c.What == changePromote:
		done = s.raft.AddVoter(id, found.Address, f.Index(), callTimeout)
	case c.What == changeDemote:
		done = s.raft.DemoteVoter(id, f.Index(), callTimeout)
	case c.What == changeRemove:
		done = s.raft.RemoveServer(id, f.Index(), callTimeout)
	case c.What == changeTransfer:
		if c.Node == s.node {
			return nil
		}
		done = s.raft.LeadershipTransferToServer(id, found.Address)
	default:
		return fmt.Errorf("change members: %.20q is not known", c.What)
	}
	switch err := done.Error(); {
	case err == nil:
		return nil
	case neverAppended(err):
		return ErrNoLeader
	case errors.Is(err, raft.ErrRaftShutdown):
		return ErrClosed
	case errors.Is(err, raft.ErrLeadershipLost):
		return ErrUncertain
	default:
		return fmt.Errorf("change members: %w", err)
	}
}

// MemberStatus asks a member how it stands. Errors: ErrNotMember, and that it cannot be reached.
func (s *Store) MemberStatus(ctx context.Context, node uint64) (MemberStatus, error) {
	if node == s.node {
		return s.memberStatus(), nil
	}
	var st MemberStatus
	if _, ok := s.member(node); !ok || s.peers == nil {
		return st, ErrNotMember
	}
	answer, err := s.peers.call(ctx, node, verbStatus, nil)
	if err == nil {
		err = json.Unmarshal(answer, &st)
	}
	if err != nil {
		return st, fmt.Errorf("status of node %016x: %w", node, err)
	}
	return st, nil
}

// ownStatus answers another node. A store that is about to be opened again does not have what it says it has.
func (s *Store) ownStatus() ([]byte, error) {
	if s.failed.Load() {
		return nil, &refusedError{"this node is about to start again"}
	}
	return json.Marshal(s.memberStatus())
}

func (s *Store) memberStatus() MemberStatus {
	applied, _ := s.reached()
	return MemberStatus{
		Node: s.node, State: s.raft.State().String(), Term: s.raft.CurrentTerm(), Commit: s.raft.CommitIndex(), Applied: applied,
		Last: s.raft.LastIndex(), SealIndex: s.sealer.index(), Complete: s.historyComplete(), DiskLevel: s.disk.levelNow(),
		Level: s.cfg.Level, Diverged: s.diverged.Load() != nil, DiskFree: s.disk.free.Load(),
	}
}

// announce tells the cluster where this node is, if it says otherwise.
func (s *Store) announce() {
	if s.peers == nil || s.isClosing() {
		return
	}
	here := s.cfg.Mesh.Address()
	if m, ok := s.member(s.node); !ok || m.Address == here {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	if err := s.tryMemberChange(ctx, memberChange{changeAdd, s.node, here}); err != nil && !errors.Is(err, ErrNoLeader) {
		s.cfg.Logger.Warn("the cluster does not know yet where this node is", "address", here, "error", err)
	}
}

// Level returns the cluster's feature level: the highest that all members read, once the leader has recorded it.
func (s *Store) Level() uint16 { return max(uint16(s.level.Load()), 1) }

// raiseLevel proposes the highest feature level that all members read. The leader calls it now and then.
func (s *Store) raiseLevel() {
	level := s.cfg.Level
	if level <= s.Level() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	for _, m := range s.Members() {
		st, err := s.MemberStatus(ctx, m.Node)
		if err != nil {
			return // who is not there may be of an earlier release
		}
		level = min(level, st.Level)
	}
	if level <= s.Level() {
		return
	}
	if _, _, err := s.proposeKind(ctx, kindLevel, []byte{byte(level), byte(level >> 8)}); err != nil {
		s.cfg.Logger.Info("the feature level is not raised yet", "level", level, "error", err)
		return
	}
	s.cfg.Logger.Info("all members read a higher feature level", "level", level)
}

// memberLoop looks after what the cluster has to agree on besides records.
func (s *Store) memberLoop() {
	every := memberInterval
	if s.cfg.keep > 0 {
		every = s.cfg.keep
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		changed := s.leading.changed()
		select {
		case <-tick.C:
		case <-changed:
		case <-s.closed:
			return
		}
		s.announce()
		s.lookAfterHolds()
		if s.IsLeader() {
			s.raiseLevel()
			s.proposeDigest()
		}
	}
}

// memberInterval is how often digests are compared and the feature level is looked at.
const memberInterval = 3 * time.Second
