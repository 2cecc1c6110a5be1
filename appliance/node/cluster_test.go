package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
)

// clusterNode is a node of a cluster in a process of its own.
type clusterNode struct {
	*process
	name, data, address string
	admin               *client.Client
}

// freeAddress returns an address on loopback that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// newClusterNode starts a node with a directory of its own.
func newClusterNode(t *testing.T, name string, arguments ...string) *clusterNode {
	t.Helper()
	n := &clusterNode{name: name, data: t.TempDir(), address: freeAddress(t)}
	n.start(t, arguments...)
	return n
}

func (n *clusterNode) start(t *testing.T, arguments ...string) {
	t.Helper()
	var err error
	if n.process, err = n.try(t, arguments...); err != nil {
		t.Fatal(err)
	}
	if n.admin == nil {
		if n.admin, err = client.New(client.Options{Data: n.data}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(n.admin.Close)
	}
}

// try starts the node, which may refuse; the error has its log.
func (n *clusterNode) try(t *testing.T, arguments ...string) (*process, error) {
	t.Helper()
	return tryWith(t, os.Args[0], n.data, append(arguments, "--data", n.data, "--node-name", n.name, "--cluster-listen", n.address, "--radius-authentication", "127.0.0.1:0",
		"--radius-accounting", "127.0.0.1:0", "--tacacs-listen", "127.0.0.1:0", "--web-listen", "127.0.0.1:0", "--management-listen", "127.0.0.1:0", "--radius-loops", "1", "--log-level", "warn")...)
}

// until waits until the cluster is as the test wants it, as the node sees it.
func (n *clusterNode) until(t *testing.T, want string, is func(*api.Cluster) bool) *api.Cluster {
	t.Helper()
	var last *api.Cluster
	var failed error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if last, failed = n.admin.Cluster(t.Context()); failed == nil && is(last) {
			return last
		}
	}
	t.Fatalf("node %s does not see %s: %+v, %v", n.name, want, last, failed)
	return nil
}

func voting(count int) func(*api.Cluster) bool {
	return func(c *api.Cluster) bool {
		votes := 0
		for i := range c.Nodes {
			if c.Nodes[i].Votes && c.Nodes[i].Answers {
				votes++
			}
		}
		return votes == count
	}
}

// token has the node make a token.
func (n *clusterNode) token(t *testing.T, role string) string {
	t.Helper()
	made, err := n.admin.CreateJoinToken(t.Context(), api.TokenRequest{Role: role})
	if err != nil {
		t.Fatal(err)
	}
	return made.Token
}

// accounts has the node acknowledge an accounting record.
func (n *clusterNode) accounts(t *testing.T, session string) {
	t.Helper()
	stop := make(chan struct{})
	defer time.AfterFunc(time.Minute, func() { close(stop) }).Stop()
	nas := newNAS(t, "nas-"+n.name, netip.MustParseAddrPort(n.addresses.RadiusAccounting[0]), "testing123")
	if ok, err := nas.account(record{session, "start", 0}, "alice", stop); !ok || err != nil {
		t.Fatalf("node %s acknowledges no accounting: %v", n.name, err)
	}
}

// seesSessions waits until the node knows so many sessions.
func (n *clusterNode) seesSessions(t *testing.T, want int) {
	t.Helper()
	var got int
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if s, err := n.admin.Status(t.Context()); err == nil {
			if got = s.Sessions; got == want {
				return
			}
		}
	}
	t.Fatalf("node %s knows %d sessions, want %d", n.name, got, want)
}

func TestClusterIsFoundedGrowsAndReplacesANode(t *testing.T) {
	a := newClusterNode(t, "a", "--quickstart")
	if _, err := a.admin.CreateJoinToken(t.Context(), api.TokenRequest{}); err == nil || !strings.Contains(err.Error(), "alone") {
		t.Fatalf("a token of a lone node: %v", err)
	}
	if err := a.admin.FoundCluster(t.Context()); err != nil {
		t.Fatal(err)
	}
	founded := a.until(t, "a cluster", func(c *api.Cluster) bool { return c.Cluster != "" && voting(1)(c) })
	a.reread(t)
	token := a.token(t, "voter")
	b := newClusterNode(t, "b", "--join", token)
	c := newClusterNode(t, "c", "--join", b.token(t, "voter")) // a token is made anywhere
	r := newClusterNode(t, "r", "--join", c.token(t, "replica"))
	all := []*clusterNode{a, b, c, r}
	for i, n := range all {
		now := n.until(t, "three voters and a replica", func(c *api.Cluster) bool { return len(c.Nodes) == 4 && voting(3)(c) })
		if now.Cluster != founded.Cluster || len(now.Tokens) != 0 {
			t.Errorf("node %s is one of cluster %s with tokens %v", n.name, now.Cluster, now.Tokens)
		}
		n.accounts(t, fmt.Sprintf("s%d", i))
	}
	late := &clusterNode{name: "late", data: t.TempDir(), address: freeAddress(t)}
	if _, err := late.try(t, "--join", token); err == nil || !strings.Contains(err.Error(), "used up") {
		t.Errorf("a second node by the same token: %v", err)
	}
	if _, err := r.admin.Apply(t.Context(), []client.File{{Name: "group.yaml", Data: []byte("kind: Group\nname: everywhere\n")}}, client.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, n := range all {
		n.seesSessions(t, 4)
		n.until(t, "the group that was made on the replica", func(*api.Cluster) bool {
			_, err := n.admin.Document(t.Context(), "Group", "everywhere")
			return err == nil
		})
	}

	// Whoever leads is killed; the others elect, and go on acknowledging.
	lead := 0
	for i, n := range c.until(t, "a leader", func(*api.Cluster) bool { return true }).Nodes {
		if n.Leader {
			lead = i // nodes are in the order of their names, as all is
		}
	}
	gone := all[lead]
	gone.kill()
	left := append(append([]*clusterNode{}, all[:lead]...), all[lead+1:]...)
	for i, n := range left {
		n.accounts(t, fmt.Sprintf("t%d", i))
	}

	// The dead node is removed on the replica, another takes its place and votes.
	if err := r.admin.RemoveNode(t.Context(), gone.name); err != nil {
		t.Fatal(err)
	}
	d := newClusterNode(t, "d", "--join", r.token(t, "voter"))
	d.until(t, "three voters again", func(c *api.Cluster) bool { return len(c.Nodes) == 4 && voting(3)(c) })
	d.seesSessions(t, 7)
	d.accounts(t, "u")

	// The removed node comes back, hears of it, and stops.
	again, err := gone.try(t)
	if err == nil {
		select {
		case <-again.ended:
			err = errors.New(again.log.String())
		case <-time.After(time.Minute):
			t.Fatal("the removed node goes on")
		}
	}
	if !strings.Contains(err.Error(), "was removed from its cluster") {
		t.Errorf("the removed node ended otherwise: %v", err)
	}

	// Those that stop in order come back by themselves, without a token.
	d.quit(t)
	d.start(t)
	d.until(t, "three voters after a restart", voting(3))
}

// reread reads where the node listens after it has started again within its process.
func (n *clusterNode) reread(t *testing.T) {
	t.Helper()
	n.addresses = readAddresses(t, n.data)
}

// readAddresses waits for the file of addresses of a node of a cluster.
func readAddresses(t *testing.T, data string) (a Addresses) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(filepath.Join(data, addressesName))
		if err == nil && json.Unmarshal(text, &a) == nil && a.Cluster != "" {
			return a
		}
	}
	t.Fatal("the node does not say where it listens")
	return a
}

// threeVoters founds a cluster that two other nodes join, and returns when all know that.
func threeVoters(t *testing.T) (a, b, c *clusterNode) {
	t.Helper()
	a = newClusterNode(t, "a", "--quickstart")
	if err := a.admin.FoundCluster(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.until(t, "a cluster", func(c *api.Cluster) bool { return c.Cluster != "" && voting(1)(c) })
	a.reread(t)
	b = newClusterNode(t, "b", "--join", a.token(t, "voter"))
	c = newClusterNode(t, "c", "--join", a.token(t, "voter"))
	for _, n := range []*clusterNode{a, b, c} {
		n.until(t, "three voters", voting(3))
	}
	return a, b, c
}

func TestNodeIsRecoveredWhenMostAreLostForGood(t *testing.T) {
	a, b, c := threeVoters(t)
	for i, n := range []*clusterNode{a, b, c} {
		n.accounts(t, fmt.Sprintf("s%d", i))
	}
	a.seesSessions(t, 3)
	a.kill()
	if err := RecoverCluster(t.Context(), a.data, slog.New(slog.DiscardHandler)); !errors.Is(err, ErrPeerAnswers) {
		t.Fatalf("recovered while two others answer: %v", err)
	}
	b.kill()
	if err := RecoverCluster(t.Context(), a.data, slog.New(slog.DiscardHandler)); !errors.Is(err, ErrPeerAnswers) {
		t.Fatalf("recovered while another answers: %v", err)
	}
	c.kill()
	if err := RecoverCluster(t.Context(), a.data, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	a.start(t)
	a.until(t, "itself as the only voter", func(c *api.Cluster) bool { return len(c.Nodes) == 1 && voting(1)(c) })
	a.reread(t)
	a.seesSessions(t, 3)
	a.accounts(t, "t")
	d := newClusterNode(t, "d", "--join", a.token(t, "voter"))
	d.seesSessions(t, 4)
	d.accounts(t, "u")
	// What was lost is not of the cluster any more, should it come back.
	again, err := b.try(t)
	if err == nil {
		defer again.kill()
		if s, err := b.admin.Cluster(t.Context()); err == nil && voting(2)(s) {
			t.Errorf("a lost node takes part again: %+v", s)
		}
	}
}
