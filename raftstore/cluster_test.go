package raftstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"trine/raftstore/transport"
)

// web is the network between the nodes of a test: loopback, with ways that can be cut.
type web struct {
	mu  sync.Mutex
	cut map[[2]uint64]bool // from, to
	all map[*wire]struct{}
}

// wire is one stream from one node to another.
type wire struct {
	net.Conn
	from, to uint64
	web      *web
}

func (w *wire) Close() error {
	w.web.mu.Lock()
	delete(w.web.all, w)
	w.web.mu.Unlock()
	return w.Conn.Close()
}

// set cuts or mends the ways between two nodes, both ways. What is open ends.
func (w *web) set(a, b uint64, cut bool) {
	w.mu.Lock()
	w.cut[[2]uint64{a, b}], w.cut[[2]uint64{b, a}] = cut, cut
	var end []*wire
	for c := range w.all {
		if cut && (c.from == a && c.to == b || c.from == b && c.to == a) {
			end = append(end, c)
		}
	}
	w.mu.Unlock()
	for _, c := range end {
		_ = c.Close()
	}
}

// strand is a node's end of the web. It implements transport.Mesh and stays when its store is opened again.
type strand struct {
	web      *web
	node     uint64
	listener net.Listener
	mu       sync.Mutex
	serve    map[transport.Service]func(uint64, net.Conn)
}

func (w *web) strand(t *testing.T, node uint64) *strand {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s := &strand{web: w, node: node, listener: l, serve: map[transport.Service]func(uint64, net.Conn){}}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.accept(c)
		}
	}()
	return s
}

func (s *strand) accept(c net.Conn) {
	var head [9]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		_ = c.Close()
		return
	}
	name := make([]byte, head[8])
	if _, err := io.ReadFull(c, name); err != nil {
		_ = c.Close()
		return
	}
	s.mu.Lock()
	serve := s.serve[transport.Service(name)]
	s.mu.Unlock()
	if serve == nil {
		_ = c.Close()
		return
	}
	serve(binary.LittleEndian.Uint64(head[:]), c)
}

func (s *strand) Address() string { return s.listener.Addr().String() }

func (s *strand) Handle(service transport.Service, serve func(uint64, net.Conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serve[service] = serve
}

func (s *strand) Dial(ctx context.Context, node uint64, address string, service transport.Service) (net.Conn, error) {
	s.web.mu.Lock()
	cut := s.web.cut[[2]uint64{s.node, node}]
	s.web.mu.Unlock()
	if cut {
		return nil, errors.New("no way there")
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	w := &wire{c, s.node, node, s.web}
	s.web.mu.Lock()
	s.web.all[w] = struct{}{}
	s.web.mu.Unlock()
	head := append(binary.LittleEndian.AppendUint64(nil, s.node), byte(len(service)))
	_, err = w.Write(append(head, service...))
	return w, err
}

// cluster is some nodes of a test.
type cluster struct {
	t     *testing.T
	web   *web
	nodes []*clusterNode
}

// clusterNode is a store that is opened again when it asks for that, as a node's process does.
type clusterNode struct {
	c        *cluster
	dir      string
	strand   *strand
	change   func(*Config)
	mu       sync.Mutex
	store    *Store // nil: down
	restarts int
	loading  func() // called before the store is opened again
	busy     sync.WaitGroup
}

// newCluster starts n voters.
func newCluster(t *testing.T, n int, change func(*Config)) *cluster {
	c := &cluster{t: t, web: &web{cut: map[[2]uint64]bool{}, all: map[*wire]struct{}{}}}
	for range n {
		node := c.add(change)
		if len(c.nodes) > 1 {
			c.eventually("the new node has the log", func() bool {
				at, _ := node.now().Applied()
				end, _ := c.leader().Applied()
				return at == end
			})
			c.must("promote", c.nodes[0].now().Promote(c.within(), node.strand.node))
		}
	}
	t.Cleanup(c.close)
	return c
}

func (c *cluster) within() context.Context {
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	c.t.Cleanup(cancel)
	return ctx
}

func (c *cluster) must(what string, err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatalf("%s: %v", what, err)
	}
}

// add starts a node; all but the first are added as members that follow.
func (c *cluster) add(change func(*Config)) *clusterNode {
	c.t.Helper()
	id := uint64(len(c.nodes) + 1)
	n := &clusterNode{c: c, dir: filepath.Join(c.t.TempDir(), fmt.Sprint(id)), strand: c.web.strand(c.t, id), change: change}
	c.nodes = append(c.nodes, n)
	n.start()
	if id == 1 {
		c.must("barrier", n.now().Barrier(c.within()))
		return n
	}
	c.must("add member", c.leader().AddMember(c.within(), id, n.strand.Address()))
	return n
}

func (n *clusterNode) start() {
	n.c.t.Helper()
	cfg := testConfig(n.c.t, n.dir)
	cfg.Node, cfg.Mesh, cfg.Bootstrap, cfg.keep = n.strand.node, n.strand, n.strand.node == 1, 100*time.Millisecond
	if os.Getenv("TRINE_TEST_LOG") != "" {
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("on", n.strand.node)
	}
	if n.change != nil {
		n.change(&cfg)
	}
	n.busy.Add(1)
	once := sync.OnceFunc(n.busy.Done)
	cfg.Restart = func(string) {
		defer once()
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.store == nil {
			return
		}
		mustClose(n.c.t, n.store)
		n.restarts++
		if n.loading != nil {
			n.loading()
		}
		n.start()
	}
	s, err := Open(context.Background(), cfg)
	if err != nil {
		n.c.t.Fatal(err)
	}
	n.store = s
}

// now returns the node's store; nil while it is down.
func (n *clusterNode) now() *Store {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.store
}

func (n *clusterNode) stop() {
	n.c.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.store != nil {
		mustClose(n.c.t, n.store)
		n.store = nil
	}
}

func (n *clusterNode) restart() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.start()
}

func (c *cluster) close() {
	for _, n := range c.nodes {
		n.stop()
	}
}

// leader waits until one of the nodes leads.
func (c *cluster) leader() *Store {
	c.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for _, n := range c.nodes {
			if s := n.now(); s != nil && s.IsLeader() && s.diverged.Load() == nil {
				return s
			}
		}
	}
	c.t.Fatal("nobody leads")
	return nil
}

// eventually waits until something holds.
func (c *cluster) eventually(what string, holds func() bool) {
	c.t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("not in time: %s", what)
		}
	}
}

// alike waits until all nodes have applied what the leader has, and holds their rows, chains and facts against each other.
func (c *cluster) alike(facts int) {
	c.t.Helper()
	c.must("barrier", c.leader().Barrier(c.within()))
	end, _ := c.leader().Applied()
	var first *Store
	var items []Item
	for i, n := range c.nodes {
		c.eventually(fmt.Sprintf("node %d applies entry %d", i+1, end), func() bool {
			s := n.now()
			if s == nil {
				return false
			}
			at, _ := s.Applied()
			return at >= end && s.historyComplete() == 1
		})
		s := n.now()
		got := readAll(c.t, s, Query{})
		if first == nil {
			first, items = s, got
			if len(got) != facts {
				c.t.Errorf("expected %d facts, found %d", facts, len(got))
			}
			continue
		}
		if a, b := s.cfg.Machine.(*kv).copy(), first.cfg.Machine.(*kv).copy(); fmt.Sprint(a) != fmt.Sprint(b) {
			c.t.Errorf("the rows of node %d differ: %v and %v", i+1, a, b)
		}
		if !sameFacts(got, items) {
			c.t.Errorf("the %d facts of node %d differ from the %d of node 1", len(got), i+1, len(items))
		}
	}
}

// TestThreeVotersFoldAlike proposes at every node, moves leadership by closing the leader, and compares the nodes.
func TestThreeVotersFoldAlike(t *testing.T) {
	c := newCluster(t, 3, nil)
	for i := range 300 {
		mustPropose(t, c.nodes[i%3].now(), op{Class(i % 3), opSet, fmt.Sprint("k", i%20), fmt.Sprint("v", i)})
	}
	mustSeal(t, c.leader())
	for _, n := range c.nodes {
		if n.now() == c.leader() {
			n.stop()
			defer func() {
				n.restart()
				c.alike(450)
			}()
			break
		}
	}
	for i := range 150 {
		for _, n := range c.nodes {
			if s := n.now(); s != nil {
				mustPropose(t, s, op{Class(i % 3), opSet, fmt.Sprint("k", i), fmt.Sprint("w", i)})
				break
			}
		}
	}
	if s := c.leader().Stats(); s.Proposed == 0 {
		t.Error("nothing was proposed at the leader")
	}
}

// TestRecordsAreCommittedOnceWhateverBreaks proposes at three nodes at once while ways are cut and nodes are restarted. What was acknowledged is there once;
// what was not is there at most once.
func TestRecordsAreCommittedOnceWhateverBreaks(t *testing.T) {
	c := newCluster(t, 3, func(cfg *Config) { cfg.SealRecords = 200 })
	stop := make(chan struct{})
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	var work sync.WaitGroup
	for w := range 6 {
		work.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				n := c.nodes[w%3]
				s := n.now()
				if s == nil {
					time.Sleep(time.Millisecond)
					continue
				}
				key := fmt.Sprintf("w%d-%d", w, i)
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				_, r, err := s.ProposeWait(ctx, op{1, opAdd, key, "v"}.encode())
				cancel()
				if err == nil && r.Code != Applied {
					t.Errorf("record %s was void: it came twice", key)
				}
				if err == nil {
					mu.Lock()
					acknowledged[key] = true
					mu.Unlock()
				}
			}
		})
	}
	for i := range 6 {
		leader := c.leader().node
		other := leader%3 + 1
		switch i % 3 {
		case 0: // the leader is alone
			for _, n := range c.nodes {
				if n.strand.node != leader {
					c.web.set(leader, n.strand.node, true)
				}
			}
			time.Sleep(1500 * time.Millisecond)
			for _, n := range c.nodes {
				c.web.set(leader, n.strand.node, false)
			}
		case 1: // a follower is alone
			c.web.set(other, leader, true)
			time.Sleep(700 * time.Millisecond)
			c.web.set(other, leader, false)
		case 2: // a node starts again
			c.nodes[leader-1].stop()
			time.Sleep(300 * time.Millisecond)
			c.nodes[leader-1].restart()
		}
		time.Sleep(300 * time.Millisecond)
	}
	close(stop)
	work.Wait()
	var found map[string]int
	c.must("barrier", c.leader().Barrier(c.within()))
	found = map[string]int{}
	items := readAll(t, c.leader(), Query{})
	for _, item := range items {
		found[decodeOp(item.Data).key]++
	}
	for key := range acknowledged {
		if found[key] != 1 {
			t.Errorf("acknowledged record %s is there %d times", key, found[key])
		}
	}
	for key, n := range found {
		if n != 1 {
			t.Errorf("record %s is there %d times", key, n)
		}
	}
	if len(acknowledged) < 100 {
		t.Errorf("only %d records were acknowledged", len(acknowledged))
	}
	c.alike(len(items))
}

// TestNodeThatWasAwayTakesOverASealAndCompletesItsHistory lets the log go where a node left it: it gets the leader's state, is opened again, and fetches what its history misses.
func TestNodeThatWasAwayTakesOverASealAndCompletesItsHistory(t *testing.T) {
	small := func(cfg *Config) { cfg.segment = 64 << 10 } // what is left of a segment that is in use is there for others
	c := newCluster(t, 3, small)
	n := 0
	value := strings.Repeat("v", 400)
	write := func(count int) {
		t.Helper()
		for range count {
			mustPropose(t, c.leader(), op{Class(n % 3), opSet, fmt.Sprint("k", n%50), fmt.Sprint(value, n)})
			n++
		}
	}
	write(100)
	away := c.nodes[2]
	mustSeal(t, away.now())
	write(20)
	away.stop()
	for range 4 {
		write(400)
		for _, other := range c.nodes[:2] {
			mustSeal(t, other.now())
		}
	}
	away.restart()
	c.eventually("the node is opened again", func() bool {
		away.mu.Lock()
		defer away.mu.Unlock()
		return away.restarts == 1 && away.store != nil
	})
	c.alike(n)
	write(50)
	c.alike(n)
	// What it fetched counts: it is there after one more start, and can be sent on.
	away.stop()
	away.restart()
	c.alike(n)
	fourth := c.add(small)
	c.eventually("the fourth node has everything", func() bool {
		s := fourth.now()
		if s == nil {
			return false
		}
		at, _ := s.Applied()
		end, _ := c.leader().Applied()
		return at == end && s.historyComplete() == 1
	})
	c.alike(n)
	for _, m := range c.leader().Members() {
		if m.Voter != (m.Node != 4) {
			t.Errorf("member %+v", m)
		}
	}
}

// A node that was sent the state may have got what comes next before it began again with that state, and the leader not know. It sends that once more, and must not be refused: it would send
// another state.
func TestEntriesThatFollowAStateAreNotRefused(t *testing.T) {
	s := mustOpen(t, testConfig(t, t.TempDir()))
	defer mustClose(t, s)
	mustPropose(t, s, op{1, opSet, "k", "sealed"})
	mustSeal(t, s)
	sealed, _ := s.sealer.sealed()
	mustPropose(t, s, op{1, opSet, "k", "since"})
	var next raft.Log
	if err := s.log.GetLog(sealed.Index+1, &next); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.log.DeleteRange(1, s.raft.LastIndex()), s.log.StoreLogs([]*raft.Log{&next})); err != nil { // as raft does
		t.Fatal(err)
	}
	at, leader := raft.NewInmemTransport("")
	leader.Connect(s.carrier.LocalAddr(), s.carrier)
	term := s.raft.CurrentTerm() + 1
	for index, want := range map[uint64]bool{sealed.Index: true, sealed.Index - 1: false} {
		var answer raft.AppendEntriesResponse
		if err := leader.AppendEntries(transport.ID(s.node), s.carrier.LocalAddr(), &raft.AppendEntriesRequest{
			RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("leader"), Addr: []byte(at)},
			Term:      term, PrevLogEntry: index, PrevLogTerm: sealed.Term, Entries: []*raft.Log{&next},
		}, &answer); err != nil {
			t.Fatal(err)
		}
		if answer.Success != want {
			t.Errorf("what comes after entry %d, of a state at %d, was taken: %v, expected %v", index, sealed.Index, answer.Success, want)
		}
	}
}

// TestLogIsHeldForANodeThatWasSentTheState has a node take as long to load the state that it was sent as the leader takes to seal several times over: it is sent
// no other, and once it has caught up, or stood still for too long, the log is cut as ever.
func TestLogIsHeldForANodeThatWasSentTheState(t *testing.T) {
	c := newCluster(t, 3, func(cfg *Config) { cfg.segment = 64 << 10 })
	value := strings.Repeat("v", 400)
	n := 0
	writeAndSeal := func() {
		t.Helper()
		for range 400 {
			mustPropose(t, c.leader(), op{Class(n % 3), opSet, fmt.Sprint("k", n%50), fmt.Sprint(value, n)})
			n++
		}
		for _, other := range c.nodes[:2] {
			mustSeal(t, other.now())
		}
	}
	first := func() uint64 {
		at, _, err := c.leader().log.Bounds()
		c.must("bounds of the log", err)
		return at
	}
	away := c.nodes[2]
	away.stop()
	for range 2 {
		writeAndSeal()
	}
	loading, loaded := make(chan struct{}, 10), make(chan struct{})
	away.loading = func() {
		loading <- struct{}{}
		<-loaded
	}
	away.restart()
	<-loading
	sent := c.leader().sealer.index()
	for range 3 {
		writeAndSeal()
		c.leader().lookAfterHolds()
	}
	if now := first(); now > sent { // raft needs that entry, too, to say what comes behind it
		t.Errorf("while the node loads the state at entry %d, the log was cut up to entry %d", sent, now)
	}
	close(loaded)
	c.eventually("the node has the log", func() bool {
		away.mu.Lock()
		defer away.mu.Unlock()
		if away.store == nil {
			return false
		}
		at, _ := away.store.Applied()
		end, _ := c.leader().Applied()
		return at == end
	})
	if away.restarts != 1 {
		t.Errorf("the node was sent a state %d times", away.restarts)
	}
	c.alike(n)

	cut := func(what string) {
		t.Helper()
		was := first()
		c.leader().lookAfterHolds()
		for range 2 {
			writeAndSeal()
		}
		if now := first(); now < was+400 {
			t.Errorf("%s, the log was cut from entry %d to %d only", what, was, now)
		}
	}
	cut("when the node has caught up")
	leader := c.leader()
	end, _ := leader.Applied()
	away.stop()
	c.must("hold", leader.sending(away.strand.node, end))
	was := leader.holds.of[away.strand.node]
	was.moved = was.moved.Add(-holdFor)
	leader.holds.of[away.strand.node] = was
	cut("when the node has stood still")
	if err := leader.sending(away.strand.node, end); err == nil || leader.holds.of[away.strand.node] != (hold{}) {
		t.Errorf("a state before the log is sent: %v, %v", err, leader.holds.of)
	}
}

// corrupt changes a row of a node behind the log's back.
func corrupt(s *Store, value string) {
	m := s.cfg.Machine.(*kv)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put("a row that no record made", value)
}

// TestMinorityWithOtherRowsRebuildsThem corrupts each role in turn.
func TestMinorityWithOtherRowsRebuildsThem(t *testing.T) {
	for _, role := range []string{"follower", "leader"} {
		t.Run(role, func(t *testing.T) {
			c := newCluster(t, 3, nil)
			for i := range 100 {
				mustPropose(t, c.leader(), op{1, opSet, fmt.Sprint("k", i%20), fmt.Sprint("v", i)})
			}
			victim := c.leader()
			if role == "follower" {
				victim = c.nodes[victim.node%3].now()
			}
			corrupt(victim, "other")
			node := c.nodes[victim.node-1]
			written := 100
			c.eventually("the node rebuilds its rows", func() bool {
				for _, n := range c.nodes { // so that there is something to compare
					if s := n.now(); s != nil && s.IsLeader() && s.open() == nil {
						if _, _, err := s.ProposeWait(c.within(), op{1, opSet, "x", "y"}.encode()); err == nil {
							written++
						}
						break
					}
				}
				node.mu.Lock()
				defer node.mu.Unlock()
				return node.restarts == 1
			})
			if victim.stats.divergences.Load() != 1 {
				t.Error("the node did not find that it differs")
			}
			c.alike(written)
			for _, n := range c.nodes {
				if n != node && n.restarts != 0 {
					t.Errorf("node %d, which was right, was opened again", n.strand.node)
				}
			}
		})
	}
}

// TestWithoutMajorityNobodyTakesRecords corrupts one of two voters: nobody can say who is right.
func TestWithoutMajorityNobodyTakesRecords(t *testing.T) {
	c := newCluster(t, 2, nil)
	mustPropose(t, c.leader(), op{1, opSet, "k1", "v"})
	corrupt(c.nodes[1].now(), "other")
	for _, n := range c.nodes {
		c.eventually("the node takes no records", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, _, err := n.now().ProposeWait(ctx, op{1, opSet, "k2", "v"}.encode()) // so that there is something to compare
			return errors.Is(err, ErrDiverged)
		})
		if n.now().Status().Diverged == "" {
			t.Error("the status does not say so")
		}
	}
}

// TestFeatureLevelIsRaisedOnceAllReadIt upgrades the nodes one after the other.
func TestFeatureLevelIsRaisedOnceAllReadIt(t *testing.T) {
	level := map[uint64]uint16{1: 1, 2: 1, 3: 1}
	var mu sync.Mutex
	c := newCluster(t, 3, func(cfg *Config) {
		mu.Lock()
		defer mu.Unlock()
		cfg.Level = level[cfg.Node]
	})
	for i, n := range c.nodes {
		mustPropose(t, c.leader(), op{1, opSet, "k", fmt.Sprint(i)})
		if got := n.now().Level(); got != 1 {
			t.Fatalf("with %d of 3 nodes upgraded the level is %d", i, got)
		}
		n.stop()
		mu.Lock()
		level[n.strand.node] = 2
		mu.Unlock()
		n.restart()
		c.must("barrier", n.now().Barrier(c.within()))
	}
	for _, n := range c.nodes {
		c.eventually("the level is raised", func() bool { return n.now().Level() == 2 })
	}
	mustPropose(t, c.leader(), op{1, opSet, "k", "at the new level"})
	mustSeal(t, c.nodes[0].now())
	c.nodes[0].stop()
	cfg := testConfig(t, c.nodes[0].dir)
	cfg.Node, cfg.Mesh, cfg.Level = 1, c.nodes[0].strand, 1
	if s, err := Open(t.Context(), cfg); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("an earlier release opened a later one's data: %v", err)
		if s != nil {
			mustClose(t, s)
		}
	}
	c.nodes[0].restart()
}

// TestMembersChangeFromAnyNode adds, promotes, demotes and removes from a follower, and moves leadership.
func TestMembersChangeFromAnyNode(t *testing.T) {
	c := newCluster(t, 3, nil)
	follower := c.nodes[c.leader().node%3].now()
	fourth := c.add(nil)
	c.must("promote", follower.Promote(c.within(), 4))
	c.must("demote", follower.Demote(c.within(), 4))
	c.must("transfer", follower.Transfer(c.within(), follower.node))
	c.eventually("the follower leads", follower.IsLeader)
	st, err := follower.MemberStatus(c.within(), 4)
	if err != nil || st.State != "Follower" || st.Node != 4 {
		t.Errorf("status of the fourth: %+v, %v", st, err)
	}
	if err := follower.Promote(c.within(), 99); !errors.Is(err, ErrNotMember) {
		t.Errorf("promote a stranger: %v", err)
	}
	other := c.nodes[follower.node%3].now()
	if err := other.Remove(c.within(), 99); !errors.Is(err, ErrNotMember) {
		t.Errorf("remove a stranger, asked at a follower: %v", err)
	}
	c.must("remove", other.Remove(c.within(), 4))
	if m := follower.Members(); len(m) != 3 {
		t.Errorf("members: %+v", m)
	}
	fourth.stop()
	c.nodes = c.nodes[:3]
	leader := c.leader()
	c.must("demote the leader", leader.Demote(c.within(), leader.node))
	if c.leader() == leader {
		t.Error("a member that was demoted leads")
	}
	c.must("remove", leader.Remove(c.within(), leader.node))
	if m := c.leader().Members(); len(m) != 2 {
		t.Errorf("members: %+v", m)
	}
	one := newCluster(t, 1, nil)
	if err := one.leader().Remove(one.within(), 1); !errors.Is(err, ErrLastVoter) {
		t.Errorf("remove the last voter: %v", err)
	}
	if err := one.leader().Demote(one.within(), 1); !errors.Is(err, ErrLastVoter) {
		t.Errorf("demote the last voter: %v", err)
	}
}

// TestMemberWithoutAWayToTheOthersDoesNotStart opens a member's directory without a mesh.
func TestMemberWithoutAWayToTheOthersDoesNotStart(t *testing.T) {
	c := newCluster(t, 2, nil)
	c.eventually("the second knows the cluster", func() bool { return len(c.nodes[1].now().Members()) == 2 })
	c.nodes[1].stop()
	cfg := testConfig(t, c.nodes[1].dir)
	cfg.Bootstrap = false
	if s, err := Open(t.Context(), cfg); !errors.Is(err, ErrNotAlone) {
		t.Errorf("found %v", err)
		if s != nil {
			mustClose(t, s)
		}
	}
}

// TestLoneVoterBecomesTheFirstOfMany gives a store that was alone a mesh, and a second member.
func TestLoneVoterBecomesTheFirstOfMany(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "1")
	cfg := testConfig(t, dir)
	cfg.Node = 1
	s := mustOpen(t, cfg)
	mustPropose(t, s, op{1, opSet, "k", "alone"})
	mustClose(t, s)
	c := &cluster{t: t, web: &web{cut: map[[2]uint64]bool{}, all: map[*wire]struct{}{}}}
	n := &clusterNode{c: c, dir: dir, strand: c.web.strand(t, 1)}
	c.nodes = append(c.nodes, n)
	t.Cleanup(c.close)
	n.start()
	c.eventually("the cluster knows where the node is", func() bool { return n.now().Members()[0].Address == n.strand.Address() })
	c.add(nil)
	c.must("promote", n.now().Promote(c.within(), 2))
	mustPropose(t, c.nodes[1].now(), op{1, opSet, "k", "together"})
	c.alike(2)
}

func TestJudge(t *testing.T) {
	a, b, d := viewDigest{1}, viewDigest{2}, viewDigest{3}
	for _, c := range []struct {
		name    string
		answers []viewDigest
		voters  int
		want    verdict
	}{
		{"all alike", []viewDigest{a, a, a}, 3, agreed},
		{"a majority is enough", []viewDigest{a, a}, 3, agreed},
		{"a minority differs", []viewDigest{a, b, b}, 3, differs},
		{"another minority differs", []viewDigest{a, a, b}, 3, agreed},
		{"one of two", []viewDigest{a, b}, 2, disunity},
		{"one of two has not answered", []viewDigest{a}, 2, unknown},
		{"three ways", []viewDigest{a, b, d}, 3, disunity},
		{"two of five, two not there", []viewDigest{a, b, b}, 5, unknown},
		{"halves of four", []viewDigest{a, a, b, b}, 4, disunity},
		{"no answer but one of another, of one voter", []viewDigest{b}, 1, differs},
	} {
		if got := judge(a, c.answers, c.voters); got != c.want {
			t.Errorf("%s: expected %d, found %d", c.name, c.want, got)
		}
	}
}

// TestStrangeBytesOfAnotherNodeChangeNothing sends what no node sends.
func TestStrangeBytesOfAnotherNodeChangeNothing(t *testing.T) {
	c := newCluster(t, 1, nil)
	s := c.leader()
	other := c.web.strand(t, 9)
	conn, err := other.Dial(t.Context(), 1, c.nodes[0].strand.Address(), transport.ServiceLog)
	c.must("dial", err)
	_, err = conn.Write(appendCall(nil, 7, byte(verbBarrier), nil))
	c.must("write", err)
	if _, code, why, err := readCall(conn); err != nil || outcomeCode(code) != outcomeNot || !strings.Contains(string(why), "no member") {
		t.Errorf("a stranger's call: found %d %q %v", code, why, err)
	}
	_ = conn.Close()
	c.must("add member", s.AddMember(c.within(), 9, other.Address()))
	batch := func(node uint64, level uint16) []byte {
		b := appendRecord(appendHeader(nil), kindMachine, op{1, opSet, "k", "v"}.encode())
		return stamp(b, level, node, 1, 1, 0, 1)
	}
	good := batch(9, 1)
	for name, body := range map[string][]byte{
		"nothing": {}, "half a batch": good[:20], "a bit is flipped": append(bytes.Clone(good[:50]), append([]byte{good[50] ^ 1}, good[51:]...)...), "in another's name": batch(1, 1),
	} {
		conn, err := other.Dial(t.Context(), 1, c.nodes[0].strand.Address(), transport.ServiceLog)
		c.must("dial", err)
		_, err = conn.Write(appendCall(nil, 7, byte(verbPropose), body))
		c.must("write", err)
		id, code, why, err := readCall(conn)
		if err != nil || id != 7 || outcomeCode(code) != outcomeNot || len(why) == 0 {
			t.Errorf("%s: found %d %d %q %v", name, id, code, why, err)
		}
		_ = conn.Close()
	}
	conn, err = other.Dial(t.Context(), 1, c.nodes[0].strand.Address(), transport.ServiceLog)
	c.must("dial", err)
	_, err = conn.Write(appendCallHeader(nil, 1, byte(verbPropose), 1<<30))
	c.must("write", err)
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("a call of a gigabyte was taken")
	}
	_ = conn.Close()
	if n := len(readAll(t, s, Query{})); n != 0 {
		t.Errorf("%d facts came of it", n)
	}
}

// TestStateThatCameTwiceTakesNothingAway has a node be sent the state that it has already, as a leader does that did not hear of its arrival: what came since stays.
func TestStateThatCameTwiceTakesNothingAway(t *testing.T) {
	s := mustOpen(t, testConfig(t, t.TempDir()))
	defer mustClose(t, s)
	mustPropose(t, s, op{1, opSet, "k", "sealed"})
	mustSeal(t, s)
	mustPropose(t, s, op{1, opSet, "k", "since"})
	in, err := s.sealer.stream()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if s.sealer.arrived, err = s.sealer.receive(in); err != nil {
		t.Fatal(err)
	}
	first, last := s.raft.LastIndex(), s.raft.LastIndex()
	if err := s.takeOver(); err != nil {
		t.Fatal(err)
	}
	if err := s.log.DeleteRange(1, last); err != nil { // as raft does after an install
		t.Fatal(err)
	}
	if got, err := s.log.LastIndex(); err != nil || got != first {
		t.Errorf("the log ends at %d (%v), expected %d", got, err, first)
	}
	s.fold.apply(&raft.Log{Index: last, Type: raft.LogCommand}) // and then from there again
	mustPropose(t, s, op{1, opSet, "k", "after"})
	if n := len(readAll(t, s, Query{})); n != 3 {
		t.Errorf("expected 3 facts, found %d", n)
	}
}

// A leader that is not told that its state is in place sends it again.
func TestNodeBeginsAgainOnceTheLeaderIsTold(t *testing.T) {
	for _, told := range []bool{true, false} {
		t.Run(fmt.Sprint("told ", told), func(t *testing.T) {
			again := make(chan string, 1)
			cfg := testConfig(t, t.TempDir())
			cfg.Restart = func(reason string) { again <- reason }
			s := mustOpen(t, cfg)
			defer mustClose(t, s)
			mustPropose(t, s, op{1, opSet, "k", "v"})
			mustSeal(t, s)
			in, err := s.sealer.stream()
			if err != nil {
				t.Fatal(err)
			}
			arrived, err := s.sealer.receive(in)
			if err = errors.Join(err, in.Close()); err != nil {
				t.Fatal(err)
			}
			arrived.seal.Index++ // as of a leader that is ahead
			s.sealer.arrived = arrived
			if err := s.takeOver(); err != nil {
				t.Fatal(err)
			}
			if told {
				s.answered()
				<-again
				return
			}
			select {
			case reason := <-again:
				t.Errorf("it began again (%s), and the leader knows of nothing", reason)
			case <-time.After(5 * answerDelay):
			}
		})
	}
}

// The first entry of a leader has nothing to apply. A cluster in which nothing more happens has applied it all the same.
func TestQuietClusterHasNothingLeftToApply(t *testing.T) {
	c := newCluster(t, 3, nil)
	mustPropose(t, c.leader(), op{0, opSet, "k", "v"})
	for range 3 {
		leader := c.leader()
		for _, n := range c.nodes {
			c.eventually("the nodes have compared what they have", func() bool {
				at, _ := n.now().Applied()
				n.now().compared.Store(at) // as if it had asked for that itself, when it led before
				return n.now().Status().Applied == leader.raft.LastIndex()
			})
		}
		before := leader.raft.LastIndex()
		for _, n := range c.nodes {
			if n.now() == leader {
				continue
			}
			c.must("transfer", leader.Transfer(c.within(), n.now().node))
			c.eventually("the other leads", func() bool { return n.now().IsLeader() && n.now().raft.CommitIndex() > before })
			break
		}
		end := c.leader().raft.CommitIndex()
		for i, n := range c.nodes {
			c.eventually(fmt.Sprintf("node %d has applied entry %d", i+1, end), func() bool { return n.now().Status().Applied >= end })
			if own := n.now().memberStatus(); own.Applied < end {
				t.Errorf("node %d tells the others that it has applied %d of %d", i+1, own.Applied, end)
			}
		}
	}
}
