package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"trine/engine/event"
	"trine/engine/secret"
	"trine/engine/state"
	"trine/raftstore"
	"trine/raftstore/transport"
)

// Log takes proposals.
type Log interface {
	// ProposeWait proposes and waits for the outcome.
	ProposeWait(ctx context.Context, proposal []byte) (raftstore.Position, raftstore.Result, error)
	// Barrier returns when everything that was committed before the call, anywhere, is applied here.
	Barrier(ctx context.Context) error
}

// Members is the store's word about who is in its configuration, and the way to change that. The methods that change something work on every node.
type Members interface {
	IsLeader() bool
	Members() []raftstore.Member
	MemberStatus(ctx context.Context, node uint64) (raftstore.MemberStatus, error)
	AddMember(ctx context.Context, node uint64, address string) error
	Promote(ctx context.Context, node uint64) error
	Demote(ctx context.Context, node uint64) error
	Remove(ctx context.Context, node uint64) error
	Transfer(ctx context.Context, node uint64) error
}

// Mesh is the part of the mesh that the service uses.
type Mesh interface {
	Handle(service transport.Service, serve func(from uint64, stream net.Conn))
	Drop(node uint64)
	Address() string
}

// Config is what a [Service] needs. All fields but Clock and Logger must be set.
type Config struct {
	Data    string // data directory
	Name    string // of this node
	Version string
	Views   *state.State
	Log     Log
	Members Members
	Mesh    Mesh
	Keyring *secret.Keyring
	Holder  *Holder
	Clock   func() time.Time // nil: time.Now
	Logger  *slog.Logger     // nil: none
}

// Service takes care of a cluster on one of its nodes: it takes nodes in that come with a token, renews this node's certificate, and, where this node
// leads, makes the store's configuration follow what the views say of each node. Its life: NewService, Run.
type Service struct {
	cfg      Config
	node     uint64
	stable   map[uint64]time.Time // since when members that do not vote are caught up, as far as this node saw; of Run
	dropped  map[uint64]bool      // nodes that were removed and whose streams were closed; of Run
	statuses atomic.Pointer[[]raftstore.MemberStatus]
}

// Holder holds the identity that is in force. It is safe for concurrent use.
type Holder struct{ atomic.Pointer[Identity] }

// NewService returns the care for a cluster; it does nothing until Run.
func NewService(c Config) *Service {
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Service{cfg: c, node: c.Holder.Load().Node, stable: map[uint64]time.Time{}, dropped: map[uint64]bool{}}
}

// tick is how often the service looks; lookWithin bounds what one look waits for.
const (
	tick       = time.Second
	lookWithin = 5 * time.Second
)

// Run takes care until ctx ends.
func (s *Service) Run(ctx context.Context) {
	s.cfg.Mesh.Handle(transport.ServiceJoin, s.serveStranger)
	defer s.cfg.Mesh.Handle(transport.ServiceJoin, nil)
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		looking, cancel := context.WithTimeout(ctx, lookWithin)
		s.look(looking)
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

func (s *Service) look(ctx context.Context) {
	for _, node := range s.cfg.Views.RemovedNodes() {
		if !s.dropped[node] {
			s.dropped[node] = true
			s.cfg.Mesh.Drop(node)
		}
	}
	if err := s.renew(); err != nil {
		s.cfg.Logger.Error("the node's certificate could not be renewed", "expires", s.cfg.Holder.Load().Own.NotAfter, "error", err)
	}
	if err := s.tell(ctx); err != nil && ctx.Err() == nil {
		s.cfg.Logger.Warn("what changed about this node could not be recorded yet", "error", err)
	}
	if !s.cfg.Members.IsLeader() {
		clear(s.stable)
		s.statuses.Store(nil)
		return
	}
	s.lead(ctx)
}

// renew makes a new certificate for this node when a third of its time is left. Every node has the cluster's keys and so can open the authority's: it
// needs nobody for it, and can do it when its certificate has expired and nobody talks to it.
func (s *Service) renew() error {
	now, own := s.cfg.Clock(), s.cfg.Holder.Load()
	if !own.Due(now) {
		return nil
	}
	next, err := Renew(own, s.cfg.Views, s.cfg.Keyring, now)
	if err != nil {
		return err
	}
	if err := next.Write(s.cfg.Data); err != nil {
		return err
	}
	s.cfg.Holder.Store(next)
	s.cfg.Logger.Info("the node's certificate was renewed", "expires", next.Own.NotAfter)
	return nil
}

// Renew returns the identity with a fresh certificate of the authority that the views hold.
func Renew(own *Identity, views *state.State, ring *secret.Keyring, now time.Time) (*Identity, error) {
	kept, ok := views.Authority()
	if !ok {
		return nil, errors.New("the views hold no authority")
	}
	a, err := OpenAuthority(kept, ring)
	if err != nil {
		return nil, err
	}
	return own.Renewed(a, now)
}

// tell records what has changed about this node: its name, address, version or certificate.
func (s *Service) tell(ctx context.Context) error {
	kept, ok := s.cfg.Views.Node(s.node)
	if !ok || !kept.Removed.IsZero() {
		return nil
	}
	own := s.cfg.Holder.Load().Own
	m := &event.NodeChanged{Node: s.node, By: "node:" + s.cfg.Name}
	changed := false
	for _, f := range []struct {
		to         *string
		is, wanted string
	}{{&m.Name, kept.Name, s.cfg.Name}, {&m.Address, kept.Address, s.cfg.Mesh.Address()}, {&m.Version, kept.Version, s.cfg.Version}} {
		if f.is != f.wanted {
			*f.to, changed = f.wanted, true
		}
	}
	if string(kept.Serial) != string(own.SerialNumber.Bytes()) {
		m.Serial, m.ExpiresUnix, changed = own.SerialNumber.Bytes(), own.NotAfter.Unix(), true
	}
	if !changed {
		return nil
	}
	return s.propose(ctx, m)
}

// propose records events about the cluster. A void proposal is an error.
func (s *Service) propose(ctx context.Context, events ...eventMessage) error {
	b, err := buildProposal(events...)
	if err != nil {
		return err
	}
	_, r, err := s.cfg.Log.ProposeWait(ctx, b)
	if err == nil && r.Code != 0 {
		err = &VoidError{r.Detail}
	}
	return err
}

// VoidError means that what was to be recorded does not hold any more.
type VoidError struct{ Detail string }

// Error implements error.
func (e *VoidError) Error() string { return e.Detail }

// Statuses returns how the members stood when this node last asked them; it asks while it leads.
func (s *Service) Statuses() []raftstore.MemberStatus {
	if list := s.statuses.Load(); list != nil {
		return *list
	}
	return nil
}

// streamOf is the stream key under which the events about a node are found.
func streamOf(node uint64) []uint64 {
	return []uint64{event.StreamKey(event.StreamNode, fmt.Sprintf("%016x", node))}
}
