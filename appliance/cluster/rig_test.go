package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"trine/engine/event"
	"trine/engine/secret"
	"trine/engine/state"
	"trine/raftstore"
	"trine/raftstore/transport"
)

// memoryLog is a log that applies what is proposed to one state at once.
type memoryLog struct {
	views *state.State
	clock func() time.Time
	mu    sync.Mutex
	index uint64
}

func (l *memoryLog) ProposeWait(_ context.Context, proposal []byte) (raftstore.Position, raftstore.Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.index++
	r := l.views.Apply(state.Stamp{Index: l.index, Time: l.clock(), Node: 1}, proposal)
	return raftstore.Position{Index: l.index}, raftstore.Result{Code: raftstore.Code(r.Code), Value: r.Value, Detail: r.Detail}, nil
}

func (l *memoryLog) Barrier(context.Context) error { return nil }

// memoryMembers is a store's configuration in memory.
type memoryMembers struct {
	mu     sync.Mutex
	self   uint64
	leads  bool
	list   []raftstore.Member
	status map[uint64]raftstore.MemberStatus
	steps  []string
}

func (m *memoryMembers) IsLeader() bool { return m.leads }

func (m *memoryMembers) Members() []raftstore.Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.list)
}

func (m *memoryMembers) MemberStatus(_ context.Context, node uint64) (raftstore.MemberStatus, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	st, ok := m.status[node]
	if !ok {
		return st, errors.New("it does not answer")
	}
	st.Node = node
	return st, nil
}

func (m *memoryMembers) change(what string, node uint64, do func(i int)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.steps = append(m.steps, fmt.Sprintf("%s %d", what, node))
	do(slices.IndexFunc(m.list, func(m raftstore.Member) bool { return m.Node == node }))
	return nil
}

func (m *memoryMembers) AddMember(_ context.Context, node uint64, address string) error {
	return m.change("add", node, func(i int) {
		if i < 0 {
			m.list = append(m.list, raftstore.Member{Node: node, Address: address})
		}
	})
}

func (m *memoryMembers) Promote(_ context.Context, node uint64) error {
	return m.change("promote", node, func(i int) { m.list[i].Voter = true })
}

func (m *memoryMembers) Demote(_ context.Context, node uint64) error {
	return m.change("demote", node, func(i int) { m.list[i].Voter = false })
}

func (m *memoryMembers) Remove(_ context.Context, node uint64) error {
	return m.change("remove", node, func(i int) { m.list = slices.Delete(m.list, i, i+1) })
}

func (m *memoryMembers) Transfer(_ context.Context, node uint64) error {
	return m.change("transfer", node, func(int) {
		for i := range m.list {
			m.list[i].Leader = !m.list[i].Leader && m.list[i].Voter
		}
	})
}

// rig is the first node of a cluster with a real mesh, and a log and members in memory.
type rig struct {
	t       *testing.T
	now     time.Time
	views   *state.State
	log     *memoryLog
	members *memoryMembers
	ring    *secret.Keyring
	own     *secret.NodeKey
	dir     string
	holder  Holder
	mesh    *transport.TLS
	service *Service
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, now: time.Now().Truncate(time.Second), views: state.New(), ring: secret.NewKeyring(), dir: t.TempDir()}
	r.log = &memoryLog{views: r.views, clock: r.clock}
	r.members = &memoryMembers{self: 1, leads: true, list: []raftstore.Member{{Node: 1, Voter: true, Leader: true}}, status: map[uint64]raftstore.MemberStatus{1: {Applied: 1000}}}
	must(t, r.ring.Add(1, secret.NewClusterKey()))
	var err error
	if r.own, err = secret.LoadOrCreateNodeKey(filepath.Join(r.dir, "node.key")); err != nil {
		t.Fatal(err)
	}
	wrapped, err := r.ring.Wrap(1, 1, r.own.Public())
	must(t, err)
	r.propose(&event.ClusterKeyAdded{Id: 1, Wraps: []*event.ClusterKeyAdded_Wrap{{Node: 1, Wrapped: wrapped}}})
	must(t, r.founder().Found(t.Context(), "admin"))
	identity, err := ReadIdentity(r.dir)
	must(t, err)
	r.holder.Store(identity)
	r.mesh, err = transport.Listen(transport.Config{
		Listen: "127.0.0.1:0", Cluster: identity.Cluster, Authority: identity.Authority, Removed: r.views.NodeRemoved, Clock: r.clock,
		Certificate: func() *tls.Certificate { return r.holder.Load().Certificate() },
	})
	must(t, err)
	t.Cleanup(func() { must(t, r.mesh.Close()) })
	r.service = r.newService()
	r.mesh.Handle(transport.ServiceJoin, r.service.serveStranger)
	return r
}

func (r *rig) newService() *Service {
	return NewService(Config{
		Data: r.dir, Name: "one", Version: "1", Views: r.views, Log: r.log, Members: r.members, Mesh: r.mesh, Keyring: r.ring, Holder: &r.holder, Clock: r.clock,
	})
}

func (r *rig) clock() time.Time { return r.now }

func (r *rig) founder() *Founder {
	return &Founder{Data: r.dir, Node: 1, Name: "one", Address: "127.0.0.1:1", Public: r.own.Public(), Version: "1", Log: r.log, Views: r.views, Keyring: r.ring, Clock: r.clock}
}

func (r *rig) propose(events ...eventMessage) {
	r.t.Helper()
	b, err := buildProposal(events...)
	must(r.t, err)
	_, result, err := r.log.ProposeWait(r.t.Context(), b)
	must(r.t, err)
	if result.Code != 0 {
		r.t.Fatalf("void: %s", result.Detail)
	}
}

// token makes a token and returns its text.
func (r *rig) token(role event.NodeRole) string {
	r.t.Helper()
	made, _, err := r.service.MakeToken(r.t.Context(), role, 0, "admin")
	must(r.t, err)
	text, err := made.Text()
	must(r.t, err)
	return text
}

// joining is another node that asks, with a directory and a key of its own.
func (r *rig) joining(dir, token, name string) (*Joining, *secret.NodeKey) {
	r.t.Helper()
	own, err := secret.LoadOrCreateNodeKey(filepath.Join(dir, "node.key"))
	must(r.t, err)
	j, err := NewJoining(dir, token)
	must(r.t, err)
	j.Name, j.Address, j.Public, j.Version, j.Clock = name, "127.0.0.1:2", own.Public(), "1", r.clock
	return j, own
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
