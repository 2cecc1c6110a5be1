package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"trine/bench/robust/network"
)

const (
	minimumFree = 48 << 20 // the setting of every node: free bytes below which it takes no records

	// catchUpWithin is how long a node may take to be like the others, once nothing hurts it.
	catchUpWithin = 60 * time.Second
	// settled is how long after a fault a node's refusals need not be right yet.
	settled = 3 * time.Second
)

// cluster is the nodes and all that they run on.
type cluster struct {
	seed    uint64
	folder  string
	binary  string
	network *network.Network
	devices *network.Host // where the clients are
	nodes   []*node
	disks   bool

	mu     sync.Mutex
	active int       // faults under way
	began  time.Time // of the last one
	ended  time.Time
}

// newCluster makes hosts and disks for as many nodes as are wanted, and starts none.
func newCluster(seed uint64, folder, binary string, count int) (*cluster, error) {
	c := &cluster{seed: seed, folder: folder, binary: binary, network: network.New(seed), disks: disks()}
	var err error
	if c.devices, err = c.network.Host(netip.AddrFrom4([4]byte{10, 77, 1, 1})); err != nil {
		return nil, err
	}
	for i := range count {
		host, err := c.network.Host(netip.AddrFrom4([4]byte{10, 77, 0, byte(i + 1)}))
		if err != nil {
			return nil, err
		}
		n, err := newNode(i+1, host, filepath.Join(folder, fmt.Sprintf("node%d", i+1)), binary, c.disks)
		if err != nil {
			return nil, err
		}
		n.cluster = count > 1
		c.nodes = append(c.nodes, n)
	}
	return c, nil
}

// close ends all nodes, and leaves their data where it is to be kept.
func (c *cluster) close(keep bool) (err error) {
	for _, n := range c.nodes {
		if e := n.close(keep); e != nil && err == nil {
			err = e
		}
	}
	c.network.Close()
	if !keep {
		if e := os.RemoveAll(c.folder); e != nil && err == nil {
			err = e
		}
	}
	return err
}

// hurting notes that a fault begins; the function that it returns, that it is over.
func (c *cluster) hurting() (over func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.active++
	c.began = time.Now()
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.active--
		c.ended = time.Now()
	}
}

// calm reports whether nothing is hurt, and nothing was lately.
func (c *cluster) calm() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.active == 0 && time.Since(c.ended) > settled
}

// calmSince reports whether no fault has begun since a time.
func (c *cluster) calmSince(from time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.active == 0 && c.began.Before(from)
}

// start starts the first node, makes the cluster, and lets the others join it.
func (c *cluster) start(ctx context.Context) error {
	first := c.nodes[0]
	if err := first.launch(); err != nil {
		return err
	}
	if first.cluster {
		if err := c.init(ctx, first); err != nil {
			return err
		}
	}
	if err := first.serving(ctx); err != nil {
		return err
	}
	for _, n := range c.nodes[1:] {
		if err := c.join(ctx, n, first); err != nil {
			return err
		}
	}
	if _, err := first.trine(ctx, c.documents(), "apply", "-f", "-", "--yes"); err != nil {
		return err
	}
	for i := range coders {
		body, err := json.Marshal(map[string]any{"kind": "otp", "type": "hotp", "secret": fmt.Sprintf("hex:%x", keyOf(i))})
		if err != nil {
			return err
		}
		a, err := first.call(ctx, "POST", "/api/v1/users/"+coderOf(i)+"/factors", "application/json", body)
		if err != nil {
			return fmt.Errorf("enrol a device: %w", err)
		}
		if !a.ok() {
			return fmt.Errorf("enrol a device: %d %s", a.status, a.body)
		}
	}
	return c.converge(ctx, catchUpWithin)
}

// init makes a cluster of the first node as soon as it takes commands.
func (c *cluster) init(ctx context.Context, first *node) (err error) {
	for deadline := time.Now().Add(readyWithin); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		if _, err = first.trine(ctx, "", "cluster", "init"); err == nil {
			return nil
		}
		if !first.running() {
			return fmt.Errorf("%w; the node said:\n%s", err, first.said())
		}
	}
	return err
}

// join starts an empty node with a token of one that is in the cluster.
func (c *cluster) join(ctx context.Context, n, of *node) error {
	token, err := of.insist(ctx, "cluster", "token") // one too many does no harm
	if err != nil {
		return err
	}
	return n.start(ctx, "--join", strings.TrimSpace(token))
}

// insist runs a command that changes the cluster, and runs it again where it found no leader or does not know whether it took effect, as an administrator does.
func (n *node) insist(ctx context.Context, arguments ...string) (out string, err error) {
	for deadline := time.Now().Add(catchUpWithin); ; time.Sleep(200 * time.Millisecond) {
		out, err = n.trine(ctx, "", arguments...)
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return out, err
		}
		if text := err.Error(); !strings.Contains(text, "not known whether") && !strings.Contains(text, "leader") {
			return out, err
		}
	}
}

// has reports whether the cluster has a member of that name, as the node knows it.
func (n *node) has(ctx context.Context, member string) (bool, error) {
	var list struct{ Nodes []struct{ Name string } }
	if err := n.get(ctx, "/api/v1/cluster", &list); err != nil {
		return false, err
	}
	for _, m := range list.Nodes {
		if m.Name == member {
			return true, nil
		}
	}
	return false, nil
}

// documents let all devices ask, and hold the people who log in.
func (c *cluster) documents() string {
	var b strings.Builder
	fmt.Fprintf(&b, `kind: UserType
name: default
spec:
  password:
    keep: [keyed]
    lockout: {attempts: 1000, total: 100000}
---
kind: IdentityProvider
name: local
spec:
  type: local
  publicID: https://trine.example.com
  authentication:
    matrix:
      - {first: Password}
    adaptiveRules:
      - description: who has a device is asked for its code
        expression: 'user.startsWith("coder")'
        matrix: [{first: Password, second: OTP}]
  profiles:
    radius: {enabled: true}
---
kind: ServiceProvider
name: devices
spec:
  type: radius
  publicID: devices
  radius:
    sourceIPs: [10.77.0.0/16]
    secret: %s
    secondFactor: appended
---
kind: Group
name: guests
spec:
  sessions: {limit: %d}
`, secret, limit)
	person := func(name string, i int, more string) {
		fmt.Fprintf(&b, "---\nkind: User\nname: %s\nspec:\n  firstName: A\n  lastName: B\n  password: %s\n%s", name, passwordOf(i), more)
	}
	for i := range people {
		person(fmt.Sprintf("person%d", i), i, "")
	}
	for i := range coders {
		person(coderOf(i), i, "")
	}
	for i := range guests {
		person(guestOf(i), i, "  primaryGroup: guests\n")
	}
	return b.String()
}

func coderOf(i int) string { return fmt.Sprintf("coder%d", i) }
func guestOf(i int) string { return fmt.Sprintf("guest%d", i) }

// keyOf is the key of a person's one-time password device.
func keyOf(i int) []byte {
	sum := sha1.Sum(fmt.Append(nil, "the key of ", i))
	return sum[:]
}

// hotp computes a code of six digits (RFC 4226 section 5.3).
func hotp(key []byte, counter uint64) string {
	mac := hmac.New(sha1.New, key)
	mac.Write(binary.BigEndian.AppendUint64(nil, counter))
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[at:])&0x7fffffff)%1_000_000)
}

// leader returns the node that leads, nil if there is none that says so.
func (c *cluster) leader(ctx context.Context) *node {
	var found *node
	term := uint64(0)
	for _, n := range c.nodes {
		if !n.running() {
			continue
		}
		if s, err := n.status(ctx); err == nil && strings.EqualFold(s.Log.Role, "leader") && s.Log.Term >= term {
			found, term = n, s.Log.Term
		}
	}
	return found
}

// members says what keeps the cluster from being whole as its nodes see it: who votes, and whose history is not complete.
func (c *cluster) members(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var list struct {
		Nodes []struct {
			Name           string
			Votes, Answers bool
			Diverged       bool
			HistoryFrom    uint64
			Trouble        string
		}
	}
	of := c.leader(ctx)
	if of == nil {
		return "no node leads"
	}
	if err := of.get(ctx, "/api/v1/cluster", &list); err != nil {
		return err.Error()
	}
	votes := 0
	for _, m := range list.Nodes {
		switch {
		case m.Diverged:
			return m.Name + " has diverged"
		case !m.Answers:
			return m.Name + " does not answer the leader: " + m.Trouble
		case m.HistoryFrom > 1:
			return fmt.Sprintf("%s has history from %d only", m.Name, m.HistoryFrom)
		case m.Votes:
			votes++
		}
	}
	// The number of voters stays odd.
	if wanted := (len(c.nodes)-1)/2*2 + 1; votes < wanted {
		return fmt.Sprintf("%d of %d nodes vote", votes, wanted)
	}
	return ""
}

// converge waits until every node serves, knows a leader, and has applied what any of them had committed when it was asked.
func (c *cluster) converge(ctx context.Context, within time.Duration) error {
	deadline := time.Now().Add(within)
	for want := uint64(0); ; time.Sleep(20 * time.Millisecond) {
		why := ""
		led := false
		for _, n := range c.nodes {
			s, err := n.status(ctx)
			switch {
			case err != nil:
				why = fmt.Sprintf("%s: %v", n, err)
			case !s.Ready:
				why = fmt.Sprintf("%s is not ready", n)
			case s.Log.Applied < want:
				why = fmt.Sprintf("%s has applied %d of %d", n, s.Log.Applied, want)
			}
			led = led || strings.EqualFold(s.Log.Role, "leader")
			if want == 0 {
				want = max(want, s.Log.Committed)
			}
		}
		if why == "" && len(c.nodes) > 1 {
			why = c.members(ctx)
		}
		if why == "" && !led {
			why = "no node leads"
		}
		if why == "" {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the cluster is not whole again within %v: %s", within, why)
		}
	}
}
