package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"path/filepath"
	"time"

	"trine/bench/generator"
	"trine/bench/packets"
	"trine/bench/server"
)

// nodes is a cluster on this machine.
type nodes struct {
	*settings
	list    []*server.Trine
	people  int
	session int // next session that was never accounted
}

// free returns an address of loopback that nobody listens on now.
func free() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// prepareCluster makes a node with people and founds a cluster with it, which the others join.
func prepareCluster(ctx context.Context, s *settings, r *report, size int, people server.People) (_ *nodes, err error) {
	r.progress("preparing %d people", people.N)
	first, err := server.PrepareTrine(ctx, s.trine, filepath.Join(s.dir, "cluster-1"), secret, people)
	if err != nil {
		return nil, err
	}
	c := &nodes{settings: s, people: people.N, session: int(time.Now().Unix()) << 24}
	defer func() {
		if err != nil {
			c.kill()
		}
	}()
	if err := c.start(ctx, first, ""); err != nil {
		return nil, err
	}
	if _, err := first.Output(ctx, "cluster", "init"); err != nil {
		return nil, err
	}
	if err := first.Ready(ctx); err != nil { // it began again
		return nil, err
	}
	for len(c.list) < size {
		r.progress("node %d joins", len(c.list)+1)
		if err := c.join(ctx); err != nil {
			return nil, err
		}
	}
	return c, c.settle(ctx, size)
}

func (c *nodes) start(ctx context.Context, t *server.Trine, token string) error {
	at, err := free()
	if err != nil {
		return err
	}
	arguments := []string{"--node-name", fmt.Sprintf("node%d", len(c.list)+1), "--cluster-listen", at}
	if token != "" {
		arguments = append(arguments, "--join", token)
	}
	if len(c.list) == 0 { // the name that it was prepared with
		arguments = arguments[2:]
	}
	if err := t.Start(ctx, "0-1023", arguments...); err != nil {
		return err
	}
	c.list = append(c.list, t)
	return nil
}

// join adds a node, and returns when it serves.
func (c *nodes) join(ctx context.Context) error {
	var made struct{ Token string }
	text, err := c.list[0].Output(ctx, "cluster", "token", "-o", "json")
	if err == nil {
		err = json.Unmarshal(text, &made)
	}
	if err != nil {
		return err
	}
	return c.start(ctx, server.OpenTrine(c.trine, filepath.Join(c.dir, fmt.Sprintf("cluster-%d", len(c.list)+1))), made.Token)
}

// member is what the cluster says of a node.
type member struct {
	Name        string
	Role        string
	Votes       bool
	Leader      bool
	Lag         uint64
	HistoryFrom uint64
}

func (c *nodes) members(ctx context.Context) ([]member, error) {
	text, err := c.list[0].Output(ctx, "cluster", "list", "-o", "json")
	if err != nil {
		return nil, err
	}
	var out struct{ Nodes []member }
	return out.Nodes, json.Unmarshal(text, &out)
}

// settle waits until so many nodes vote.
func (c *nodes) settle(ctx context.Context, voters int) error {
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		list, err := c.members(ctx)
		n := 0
		for _, m := range list {
			if m.Votes {
				n++
			}
		}
		if n == voters {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("wait for %d voters: there are %d: %+v (%w)", voters, n, list, err)
		}
	}
}

func (c *nodes) kill() {
	for _, t := range c.list {
		t.Kill()
	}
}

// spread sends the sessions of a pool to several nodes in turn; each session keeps to one.
type spread struct {
	*packets.Pool
	over int
}

// Target implements generator.Load.
func (s spread) Target(i int) int { return i % s.Slots() % s.over }

// accounting runs accounting against all nodes, or the first of them.
func (c *nodes) accounting(ctx context.Context, over, sessions int, o generator.Options) (*generator.Result, error) {
	pool := packets.Accounting(packets.Config{Secret: secret, Slots: 4096, Seed: rand.Uint64()}, packets.Sessions{
		N: sessions, Users: c.people, Interims: 1, Stop: true, Began: time.Now().Add(-time.Hour).Unix(), FirstOfAll: c.session,
	})
	c.session += sessions
	return c.run(ctx, pool, over, o)
}

func (c *nodes) run(ctx context.Context, pool *packets.Pool, over int, o generator.Options) (*generator.Result, error) {
	var to []netip.AddrPort
	for _, t := range c.list[:over] {
		to = append(to, t.Acct)
	}
	return generate(ctx, spread{pool, over}, o, to...)
}

// The figures that are wanted of three nodes on two cores.
const (
	clusterRate = 40_000
	clusterP99  = 20 * time.Millisecond
)

// measureCluster measures accounting that a quorum of three nodes on this machine has on disk before it is answered.
func measureCluster(ctx context.Context, s *settings, r *report) error {
	c, err := prepareCluster(ctx, s, r, 3, server.People{N: s.users, Forms: "nt, clear"})
	if err != nil {
		return err
	}
	defer c.kill()
	r.section("A cluster of three nodes")
	r.text("Three nodes on the two cores of this machine and its one disk, the generator beside them. Each record is answered once a quorum has it on disk and the node that answers has applied it; "+
		"%d people, each session at one node. Open loop: half of the rate before it.", c.people)
	type line struct {
		to          string
		result      *generator.Result
		half, least *generator.Result
	}
	var lines []line
	for turn := range s.turns {
		for _, over := range []int{3, 1} {
			to := map[int]string{3: "all three", 1: "the one that leads"}[over]
			r.progress("turn %d of %d: accounting at %s", turn+1, s.turns, to)
			if _, err := c.accounting(ctx, over, 120_000, generator.Options{Duration: 2 * time.Second, Window: 3072}); err != nil {
				return err
			}
			x, err := c.accounting(ctx, over, 1_200_000, generator.Options{Duration: s.window, Window: 3072})
			if err != nil {
				return err
			}
			half, err := c.accounting(ctx, over, 400_000, generator.Options{Duration: s.latency, Rate: x.Rate() / 2})
			if err != nil {
				return err
			}
			least, err := c.accounting(ctx, over, 400_000, generator.Options{Duration: s.latency, Rate: clusterRate / 2})
			if err != nil {
				return err
			}
			lines = append(lines, line{to, x, half, least})
			r.progress("  %9.0f/s  p99 %v; at half %v, at %d/s %v", x.Rate(), short(quantile(x, 99)), short(quantile(half, 99)), clusterRate/2, short(quantile(least, 99)))
		}
	}
	r.table([]string{"records at", "a second", "wanted", "p50, p99", "at half of it: p50, p99, p99.9", fmt.Sprintf("at %d/s: p50, p99, p99.9", clusterRate/2), "wanted p99"}, func(row func(...string)) {
		for _, l := range lines {
			three := func(x *generator.Result) string {
				return fmt.Sprint(short(quantile(x, 50)), ", ", short(quantile(x, 99)), ", ", short(quantile(x, 99.9)))
			}
			row(l.to, fmt.Sprintf("%.0f", l.result.Rate()), fmt.Sprint(clusterRate), fmt.Sprint(short(quantile(l.result, 50)), ", ", short(quantile(l.result, 99))), three(l.half), three(l.least), short(clusterP99))
		}
	})
	for _, t := range c.list {
		if err := t.Stop(); err != nil {
			return err
		}
	}
	return nil
}

// measureCatchUp adds a fourth node, with an empty disk, to three that have a million people, a million sessions and ten million records of history, and that go on taking records.
func measureCatchUp(ctx context.Context, s *settings, r *report) error {
	const rate, within = 10_000, time.Minute
	c, err := prepareCluster(ctx, s, r, 3, server.People{N: s.sessions, Forms: "keyed, nt", Typical: true})
	if err != nil {
		return err
	}
	defer c.kill()
	r.progress("opening %d sessions", s.sessions)
	open := packets.Accounting(packets.Config{Secret: secret, Slots: 4096, Seed: rand.Uint64()}, packets.Sessions{
		N: s.sessions + 4095, Users: s.sessions, Began: time.Now().Add(-time.Hour).Unix(), FirstOfAll: c.session, InOrder: true,
	})
	c.session += s.sessions + 4096
	if _, err := c.run(ctx, open, 3, generator.Options{Duration: 10 * time.Minute, Window: 3072}); err != nil {
		return err
	}
	taken := s.sessions
	for taken < 10*s.sessions {
		r.progress("%d of %d records of history", taken, 10*s.sessions)
		x, err := c.accounting(ctx, 3, 400_000, generator.Options{Duration: 10 * time.Minute, Window: 3072})
		if err != nil {
			return err
		}
		taken += x.Answered
	}
	r.progress("a fourth node joins while %d records a second come", rate)
	loading, stop := context.WithCancel(ctx)
	defer stop()
	type outcome struct {
		x   *generator.Result
		err error
	}
	loaded := make(chan outcome, 1)
	total := generator.NewResult()
	go func() {
		var failed error
		for loading.Err() == nil && failed == nil {
			var x *generator.Result
			if x, failed = c.accounting(ctx, 3, 40_960, generator.Options{Duration: 10 * time.Second, Rate: rate}); failed == nil {
				total.Add(x)
			}
		}
		loaded <- outcome{total, failed}
	}()
	began := time.Now()
	others := *c // the load goes on with the three
	if err := others.join(ctx); err != nil {
		return err
	}
	defer others.list[3].Kill()
	serving := time.Since(began)
	r.progress("it serves after %v", serving.Round(time.Millisecond))
	var complete time.Duration
	for complete == 0 {
		time.Sleep(time.Second)
		list, err := c.members(ctx)
		if err != nil {
			return err
		}
		for _, m := range list {
			if m.Name == "node4" && m.HistoryFrom <= 1 && m.Lag < 1000 {
				complete = time.Since(began)
			}
		}
		if time.Since(began) > 30*time.Minute {
			return errors.New("its history is not complete after half an hour")
		}
	}
	stop()
	end := <-loaded
	if end.err != nil {
		return end.err
	}
	r.section("A fourth node with an empty disk")
	r.text("Three nodes with %d people, %d live sessions and %d records, all on this machine's two cores; a fourth joins while they take %d records a second.", s.sessions, s.sessions, taken, rate)
	r.table([]string{"what", "wanted", "found"}, func(row func(...string)) {
		row("from its start until it serves with all people and sessions", fmt.Sprint("within ", within), serving.Round(10*time.Millisecond).String())
		row("until its history is complete", "in the background", complete.Round(time.Second).String())
		row("records a second meanwhile, at the three", fmt.Sprint(rate), fmt.Sprintf("%.0f, %d given up, p99 %v", end.x.Rate(), end.x.Lost, short(quantile(end.x, 99))))
	})
	return nil
}
