package cluster

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"trine/engine/event"
	"trine/engine/state"
	"trine/raftstore"
	"trine/raftstore/transport"
)

// TokenFor is how long a token is good unless said otherwise, and maxTokenFor the longest that may be said.
const (
	TokenFor    = 15 * time.Minute
	maxTokenFor = 24 * time.Hour
	maxTokens   = 100
)

// ErrRefused means that what is asked for cannot be done; the error says why and what to do.
var ErrRefused = errors.New("refused")

// NodeView is a node as people see it: what the cluster knows of it, and how it stands.
type NodeView struct {
	state.Node
	Member  bool // in the store's configuration
	Voter   bool
	Leader  bool
	Self    bool                   // this node
	Ready   bool                   // the status was told by the node itself, just now
	Status  raftstore.MemberStatus // if Ready
	Trouble string                 // why it was not told
}

// Nodes returns all nodes, each asked how it stands.
func (s *Service) Nodes(ctx context.Context) []NodeView {
	members := s.cfg.Members.Members()
	statuses := s.ask(ctx, members)
	var out []NodeView
	for _, n := range s.cfg.Views.Nodes() {
		v := NodeView{Node: n, Self: n.Node == s.node}
		for _, m := range members {
			if m.Node == n.Node {
				v.Member, v.Voter, v.Leader = true, m.Voter, m.Leader
			}
		}
		if v.Status, v.Ready = statuses[n.Node]; !v.Ready {
			v.Trouble = "it does not answer"
			if !v.Member {
				v.Trouble = "it has not been added yet"
			}
		}
		out = append(out, v)
	}
	return out
}

// Find returns the node with a name, or a number in 16 hexadecimal digits.
func (s *Service) Find(text string) (state.Node, error) {
	for _, n := range s.cfg.Views.Nodes() {
		if strings.EqualFold(n.Name, text) {
			return n, nil
		}
	}
	if number, err := strconv.ParseUint(text, 16, 64); err == nil && len(text) == 16 {
		if n, ok := s.cfg.Views.Node(number); ok && n.Removed.IsZero() {
			return n, nil
		}
	}
	return state.Node{}, &VoidError{fmt.Sprintf("no node of this cluster is called %.80q; `trine cluster list` shows them", text)}
}

// MakeToken makes a token by which one node may join in a role, for a time; 0: TokenFor.
func (s *Service) MakeToken(ctx context.Context, role event.NodeRole, term time.Duration, by string) (*Token, time.Time, error) {
	if term == 0 {
		term = TokenFor
	}
	if term < time.Minute || term > maxTokenFor {
		return nil, time.Time{}, fmt.Errorf("%w: a join token is good for one minute to 24 hours, not %s", ErrRefused, term)
	}
	kept, ok := s.cfg.Views.Authority()
	if !ok {
		return nil, time.Time{}, fmt.Errorf("%w: this node has not heard of its own cluster yet", ErrRefused)
	}
	if n := len(s.cfg.Views.JoinTokens()); n >= maxTokens {
		return nil, time.Time{}, fmt.Errorf("%w: there are %d join tokens, which is as many as there may be; take some back or let them expire", ErrRefused, n)
	}
	authority, err := x509.ParseCertificate(kept.Certificate)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("read the authority's certificate: %w", err)
	}
	t := NewToken(kept.Cluster, transport.KeyHash(authority), s.addresses())
	if _, err := t.Text(); err != nil {
		return nil, time.Time{}, err
	}
	from := s.cfg.Clock()
	if at := s.cfg.Views.Time(); at.After(from) { // the log's time is ahead, as after a leader's clock had jumped, and is what the token is measured by
		from = at
	}
	expires := from.Add(term).Truncate(time.Second)
	return t, expires, s.propose(ctx, &event.JoinTokenMade{Id: t.ID, Hash: t.Hash(), Role: uint32(role), ExpiresUnix: expires.Unix(), By: by})
}

// addresses returns where members are, this one first.
func (s *Service) addresses() []string {
	out := []string{s.cfg.Mesh.Address()}
	for _, n := range s.cfg.Views.Nodes() {
		if n.Node != s.node && n.Address != "" {
			out = append(out, n.Address)
		}
	}
	return out
}

// RevokeToken takes a token back.
func (s *Service) RevokeToken(ctx context.Context, id, by string) error {
	return s.propose(ctx, &event.JoinTokenRevoked{Id: id, By: by})
}

// SetRole says whether a node is to vote. The leader makes it so: a voter once it has caught up and the number of voters stays odd, a replica at once.
func (s *Service) SetRole(ctx context.Context, n state.Node, role event.NodeRole, by string) error {
	if n.Role == role {
		return nil
	}
	if role == event.RoleReplica {
		if err := s.dispensable(n, "demoted"); err != nil {
			return err
		}
	}
	return s.propose(ctx, &event.NodeChanged{Node: n.Node, Role: uint32(role), By: by})
}

// Remove takes a node out for ever.
func (s *Service) Remove(ctx context.Context, n state.Node, by string) error {
	if err := s.dispensable(n, "removed"); err != nil {
		return err
	}
	if err := s.giveUpLead(ctx, n); err != nil {
		return err
	}
	return s.propose(ctx, &event.NodeRemoved{Node: n.Node, By: by})
}

// giveUpLead lets another node lead where the one that goes does: the others would not listen to it any more.
func (s *Service) giveUpLead(ctx context.Context, n state.Node) error {
	leads := func() bool {
		return slices.ContainsFunc(s.cfg.Members.Members(), func(m raftstore.Member) bool { return m.Node == n.Node && m.Leader })
	}
	if !leads() {
		return nil
	}
	// The answer of a leader that steps down may be lost; what counts is that it does.
	failed := s.cfg.Members.Transfer(ctx, 0)
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for leads() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("let another node lead before %s goes: %w", n.Name, cmp.Or(failed, ctx.Err()))
		case <-t.C:
		}
	}
	return nil
}

// dispensable returns an error for the last node that votes.
func (s *Service) dispensable(n state.Node, what string) error {
	others := 0
	voter := false
	for _, m := range s.cfg.Members.Members() {
		if m.Node == n.Node {
			voter = m.Voter
		} else if m.Voter {
			others++
		}
	}
	if voter && others == 0 {
		return fmt.Errorf("%w: %s is the only node that votes and cannot be %s; let others join and be promoted first", ErrRefused, n.Name, what)
	}
	return nil
}

// Transfer lets another node lead; the zero node: whoever has the most of the log.
func (s *Service) Transfer(ctx context.Context, n state.Node) error {
	for _, m := range s.cfg.Members.Members() {
		if m.Node == n.Node && !m.Voter {
			return fmt.Errorf("%w: %s does not vote and cannot lead", ErrRefused, n.Name)
		}
	}
	return s.cfg.Members.Transfer(ctx, n.Node)
}
