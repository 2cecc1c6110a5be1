package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"trine/bench/devices"
	"trine/bench/server"
)

// tacacsDocuments make everybody an operator who may run what the last of twenty patterns permits.
func tacacsDocuments() string {
	var b strings.Builder
	b.WriteString(`---
kind: Group
name: operators
spec: {roles: [{role: 5@devices}]}
---
kind: ServiceProvider
name: devices
spec:
  type: tacacs
  publicID: devices
  tacacs: {sourceIPs: [127.0.0.0/8], secret: ` + secret + `}
---
kind: Role
name: 5@devices
spec:
  commands:
`)
	for i := range 10 {
		fmt.Fprintf(&b, "    - {permit: \"clear counters interface %d\"}\n    - {deny: \"configure terminal %d *\"}\n", i, i)
	}
	text := b.String()
	last := strings.LastIndex(text, "    - {deny") // the twentieth
	return text[:last] + "    - {permit: \"show interfaces *\"}\n"
}

const (
	tacacsConnections = 10
	tacacsInFlight    = 32

	tacacsPool    = 200 << 10 // packets that are sent again and again
	tacacsRecords = 400_000   // sessions of a pool of accounting, three records each, sent once
	tacacsRound   = 8192
)

// connected is one kind of load over connections.
type connected struct {
	name     string
	want     float64                                                      // a second; 0: none is asked for
	secure   bool                                                         // within TLS
	each     bool                                                         // a connection for each session
	recorded bool                                                         // the server records something, so seals happen
	build    func(c devices.Config, s *settings, first int) *devices.Pool // nil: the connection alone
}

var connectedScenarios = []connected{
	{"Authorization", 120_000, false, false, true, func(c devices.Config, s *settings, _ int) *devices.Pool {
		return devices.Commands(c, tacacsPool, s.users)
	}},
	{"PAP", 80_000, false, false, true, func(c devices.Config, s *settings, _ int) *devices.Pool {
		return devices.Logins(c, tacacsPool, s.users)
	}},
	{"Accounting", 80_000, false, false, true, func(c devices.Config, s *settings, first int) *devices.Pool {
		return devices.Records(c, tacacsRecords, tacacsRound, s.users, first)
	}},
	{"Connection each", 15_000, false, true, false, func(c devices.Config, s *settings, _ int) *devices.Pool {
		return devices.Commands(c, tacacsPool, s.users)
	}},
	{"Authorization, TLS", 0, true, false, true, func(c devices.Config, s *settings, _ int) *devices.Pool {
		return devices.Commands(c, tacacsPool, s.users)
	}},
	{"TLS handshakes", 1500, true, true, false, nil},
}

// tacacsBench is the measurement of TACACS+ under way.
type tacacsBench struct {
	*settings
	pools   map[string]*devices.Pool
	cursors map[string]*devices.Cursor
	session int
	client  *tls.Config
	samples map[string][]*sample // by server and scenario
}

// measureTACACS measures our node and a bare echo in turn, over connections.
func measureTACACS(ctx context.Context, s *settings, r *report) error {
	if err := needs("taskset"); err != nil {
		return err
	}
	r.progress("preparing %d people", s.users)
	t, err := server.PrepareTrine(ctx, s.trine, filepath.Join(s.dir, "tacacs"), secret, server.People{
		N: s.users, Forms: "nt, clear", Group: "operators", Documents: tacacsDocuments(),
	})
	if err != nil {
		return err
	}
	files, client, err := server.DeviceCertificates(s.dir)
	if err != nil {
		return err
	}
	b := &tacacsBench{
		settings: s, pools: map[string]*devices.Pool{}, cursors: map[string]*devices.Cursor{}, session: int(time.Now().Unix()),
		client: client, samples: map[string][]*sample{},
	}
	for turn := range s.turns {
		r.progress("turn %d of %d: Trine", turn+1, s.turns)
		if err := b.node(ctx, t, files, r); err != nil {
			return fmt.Errorf("turn %d: %w", turn+1, err)
		}
		r.progress("turn %d of %d: echo", turn+1, s.turns)
		if err := b.echo(ctx, r); err != nil {
			return fmt.Errorf("turn %d, echo: %w", turn+1, err)
		}
	}
	b.write(r, t.Version())
	return nil
}

// node measures our node in all scenarios.
func (b *tacacsBench) node(ctx context.Context, t *server.Trine, files []string, r *report) error {
	arguments := append([]string{"--tacacs-tls-listen", "127.0.0.1:0"}, files...)
	if err := t.Start(ctx, b.serverCore, arguments...); err != nil {
		return err
	}
	defer t.Process.Kill()
	for i := range connectedScenarios {
		sc := &connectedScenarios[i]
		if !b.wants(sc.name) {
			continue
		}
		to, o := t.Tacacs, devices.Options{Connections: tacacsConnections, InFlight: tacacsInFlight}
		if sc.secure {
			to, o.TLS = t.TacacsTLS, b.client
		}
		x, err := b.sample(ctx, subject{metrics: t.Metrics}, t.Process, sc, b.load(sc), to, o)
		if err != nil {
			return fmt.Errorf("%s: %w", sc.name, err)
		}
		b.add("Trine", sc.name, x, r)
	}
	return t.Process.Stop()
}

// load returns the packets of a scenario, and nil where there are none. Those that may be sent once only are made anew each time.
func (b *tacacsBench) load(sc *connected) devices.Load {
	if sc.build == nil {
		return nil
	}
	if p := b.pools[sc.name]; p != nil {
		return p
	}
	c := devices.Config{Secret: secret, Seed: uint64(b.session)}
	if sc.secure {
		c.Secret = ""
	}
	p := sc.build(c, b.settings, b.session)
	b.cursors[sc.name] = new(devices.Cursor)
	if p.Once() {
		b.session += tacacsRecords
	} else {
		b.pools[sc.name] = p
	}
	return p
}

// echo measures a bare echo with the packets of those scenarios that are without TLS.
func (b *tacacsBench) echo(ctx context.Context, r *report) error {
	for i := range connectedScenarios {
		sc := &connectedScenarios[i]
		if !b.wants(sc.name) || sc.secure || sc.build == nil {
			continue
		}
		pool := b.load(sc).(*devices.Pool)
		e, err := server.StartMirror(ctx, b.serverCore, pool.AnswerLen(), os.Args[0], "mirror")
		if err != nil {
			return err
		}
		x, err := b.sample(ctx, subject{}, e.Process, sc, pool.Echoed(), e.Addr, devices.Options{Connections: tacacsConnections, InFlight: tacacsInFlight})
		e.Process.Kill()
		if err != nil {
			return fmt.Errorf("%s: %w", sc.name, err)
		}
		b.add("Echo", sc.name, x, r)
	}
	return nil
}

func (b *tacacsBench) add(who, scenario string, x *sample, r *report) {
	b.samples[who+"/"+scenario] = append(b.samples[who+"/"+scenario], x)
	r.progress("  %-18s %9.0f/s  %6.2f us of processor time  p50 %v p99 %v", scenario, x.rate, x.cpu.Seconds()*1e6, short(x.p50), short(x.p99))
}

// sample measures one scenario: a warm-up, then the rate in the closed loop.
func (b *tacacsBench) sample(ctx context.Context, subject subject, p *server.Process, sc *connected, load devices.Load, to netip.AddrPort, o devices.Options) (*sample, error) {
	run := devices.Run
	if sc.each {
		run, o.Connections = devices.RunEach, 64
	}
	cursor := b.cursors[sc.name]
	if cursor == nil {
		cursor = new(devices.Cursor)
	}
	o.Duration = time.Second
	if _, err := run(ctx, to, load, cursor, o); err != nil {
		return nil, err
	}
	total := devices.NewResult()
	x, err := b.windows(ctx, subject, p, sc.recorded, func(d time.Duration) (tally, error) {
		o.Duration = d
		result, err := run(ctx, to, load, cursor, o)
		if err == nil {
			total.Add(result)
		}
		return tally{total.Answered, total.Elapsed, total.Latency, total.Exhausted}, err
	})
	if err != nil {
		return nil, err
	}
	if total.Exhausted && x.seals < 2 && subject.metrics != nil {
		return nil, fmt.Errorf("the server took all records that were prepared within %v", total.Elapsed)
	}
	return x, nil
}

// write writes the tables.
func (b *tacacsBench) write(r *report, version string) {
	r.section("TACACS+")
	r.text("Trine %s on one core, the generator on the other: %d connections with %d sessions under way on each (single-connect), every answer checked. Every decision is recorded, and an accounting record is committed with an fsync before SUCCESS. "+
		"The authorizations are of a command that the last of 20 patterns permits. The echo is a gnet server that cuts packets by their header and sends as many bytes back as Trine does. \"Connection each\" opens a TCP connection for every authorization, 64 at a time; "+
		"handshakes are of TLS 1.3 with P-256 keys and certificates of both sides. Where the generator is as busy as it can be, the rate is the generator's.", version, tacacsConnections, tacacsInFlight)
	r.table([]string{"promise", "wanted", "found in each turn", "reached"}, func(row func(...string)) {
		for _, t := range b.targets() {
			row(t.what, t.want, fmt.Sprint(t.found), t.reached())
		}
	})
	r.text("The turn with the median rate of each.")
	r.table([]string{"scenario", "server", "answers/s", "CPU/answer", "server busy", "generator busy", "p50", "p99", "resident", "window", "seals", "records/fsync"}, func(row func(...string)) {
		for i := range connectedScenarios {
			for _, who := range []string{"Trine", "Echo"} {
				list := b.samples[who+"/"+connectedScenarios[i].name]
				if len(list) == 0 {
					continue
				}
				x := median(list)
				row(connectedScenarios[i].name, who, fmt.Sprintf("%.0f", x.rate), fmt.Sprintf("%.2f us", x.cpu.Seconds()*1e6), percent(x.server), percent(x.busy),
					short(x.p50), short(x.p99), fmt.Sprintf("%d MiB", x.memory>>20), fmt.Sprintf("%.0f s", x.elapsed.Seconds()), fmt.Sprint(x.seals), fmt.Sprintf("%.0f", x.recordsFsync))
			}
		}
	})
	var bars []bar
	for i := range connectedScenarios {
		for _, who := range []string{"Trine", "Echo"} {
			if list := b.samples[who+"/"+connectedScenarios[i].name]; len(list) > 0 {
				bars = append(bars, bar{connectedScenarios[i].name, who, median(list).rate})
			}
		}
	}
	r.chart("TACACS+: answers a second, median of the turns", bars)
}

// targets compares the turns one by one.
func (b *tacacsBench) targets() (list []*target) {
	for i := range connectedScenarios {
		sc := &connectedScenarios[i]
		ours := b.samples["Trine/"+sc.name]
		if sc.want > 0 && len(ours) > 0 {
			t := &target{what: sc.name, want: fmt.Sprintf("at least %.0f/s", sc.want)}
			for _, x := range ours {
				t.at(fmt.Sprintf("%.0f", x.rate), x.rate >= sc.want)
			}
			list = append(list, t)
		}
		if theirs := b.samples["Echo/"+sc.name]; len(theirs) > 0 && len(ours) == len(theirs) {
			t := &target{what: sc.name + ", share of a bare echo", want: "at least 50%"}
			for turn, x := range theirs {
				t.at(percent(ours[turn].rate/x.rate), ours[turn].rate >= x.rate/2)
			}
			list = append(list, t)
		}
	}
	if plain, secure := b.samples["Trine/Authorization"], b.samples["Trine/Authorization, TLS"]; len(plain) > 0 && len(plain) == len(secure) {
		t := &target{what: "Authorization within TLS, share of that without", want: "at least 60%"}
		for turn, x := range secure {
			t.at(percent(x.rate/plain[turn].rate), x.rate >= 0.6*plain[turn].rate)
		}
		list = append(list, t)
	}
	return list
}
