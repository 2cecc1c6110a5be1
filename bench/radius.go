package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"trine/bench/generator"
	"trine/bench/packets"
	"trine/bench/server"
)

// scenario is one kind of load.
type scenario struct {
	name     string
	window   int     // requests under way in the closed loop
	ratio    float64 // of FreeRADIUS's rate to reach; 0: none is asked for
	p99      time.Duration
	recorded bool // the server records something, so seals happen
	segments bool // the generator needs them to be faster than the server
	build    func(c packets.Config, s *settings, session int) *packets.Pool
}

const (
	logins  = 200 << 10 // requests in a pool of logins, which is sent again and again
	records = 2_400_000 // records in a pool of accounting, each of which is sent once
)

// scenarios are measured in this order. Nothing waits for accounting longer than for an fsync, so its window is larger.
var scenarios = []scenario{
	{"PAP", 256, 4, 2 * time.Millisecond, true, false, func(c packets.Config, s *settings, _ int) *packets.Pool {
		return packets.Logins(c, packets.PAP, logins, s.users)
	}},
	{"CHAP", 256, 4, 2 * time.Millisecond, true, false, func(c packets.Config, s *settings, _ int) *packets.Pool {
		return packets.Logins(c, packets.CHAP, logins, s.users)
	}},
	{"MS-CHAPv2", 256, 3, 2 * time.Millisecond, true, false, func(c packets.Config, s *settings, _ int) *packets.Pool {
		return packets.Logins(c, packets.MSCHAPv2, logins, s.users)
	}},
	{"Accounting", 1024, 4, 10 * time.Millisecond, true, false, func(c packets.Config, s *settings, first int) *packets.Pool {
		return packets.Accounting(c, packets.Sessions{
			N: records / 3, Users: s.users, Interims: 1, Stop: true, Began: time.Now().Add(-time.Hour).Unix(), FirstOfAll: first,
		})
	}},
	{"Status-Server", 256, 4, 0, false, true, func(c packets.Config, _ *settings, _ int) *packets.Pool {
		return packets.Status(c, logins)
	}},
	{"Mix", 1024, 0, 10 * time.Millisecond, true, false, func(c packets.Config, s *settings, first int) *packets.Pool {
		return packets.Accounting(c, packets.Sessions{
			N: records / 6, Users: s.users, Login: true, Interims: 3, Stop: true, Began: time.Now().Add(-time.Hour).Unix(), FirstOfAll: first,
		})
	}},
}

// sample is one scenario measured once on one server.
type sample struct {
	rate         float64 // answers a second, closed loop
	cpu          time.Duration
	p50, p99     time.Duration // closed loop
	p999         time.Duration
	calm         float64 // requests a second in the open loop, 70% of rate
	calm50       time.Duration
	calm99       time.Duration
	calm999      time.Duration
	late         int     // in the open loop: begun too late
	company      company // in the open loop
	memory       int64
	seals        int
	collections  int
	collected    float64 // share of the processor time that the garbage collection took
	elapsed      time.Duration
	server, busy float64 // share of the window in which the server, the generator was at work
	repeated     int
	lost, wrong  int
	recordsFsync float64
	bytesPayload float64
}

// subject is a server that can be measured.
type subject struct {
	name    string
	start   func(ctx context.Context, cores string) (auth, acct netip.AddrPort, p *server.Process, err error)
	metrics func(ctx context.Context) (server.Metrics, error) // nil: it has none
}

func trineSubject(t *server.Trine, arguments ...string) subject {
	return subject{"Trine", func(ctx context.Context, cores string) (netip.AddrPort, netip.AddrPort, *server.Process, error) {
		err := t.Start(ctx, cores, arguments...)
		return t.Auth, t.Acct, t.Process, err
	}, t.Metrics}
}

func freeRADIUSSubject(f *server.FreeRADIUS) subject {
	return subject{"FreeRADIUS", func(ctx context.Context, cores string) (netip.AddrPort, netip.AddrPort, *server.Process, error) {
		err := f.Start(ctx, cores)
		return f.Auth, f.Acct, f.Process, err
	}, nil}
}

func echoSubject() subject {
	return subject{"Echo", func(ctx context.Context, cores string) (netip.AddrPort, netip.AddrPort, *server.Process, error) {
		e, err := server.StartEcho(ctx, cores, os.Args[0], "echo")
		if err != nil {
			return netip.AddrPort{}, netip.AddrPort{}, nil, err
		}
		return e.Addr, e.Addr, e.Process, nil
	}, nil}
}

// echoed is a pool whose answers are the requests themselves.
type echoed struct{ *packets.Pool }

func (e echoed) Check(i int, reply []byte) error {
	if !bytes.Equal(reply, e.Request(i)) {
		return fmt.Errorf("request %d came back changed", i)
	}
	return nil
}

// bench is the measurement of RADIUS under way.
type bench struct {
	*settings
	pools   map[string]*packets.Pool // of logins, which can be sent again
	session int                      // next session that was never accounted
}

// measureRADIUS measures all servers in turn, several times, so that a machine that drifts drifts for all of them.
func measureRADIUS(ctx context.Context, s *settings, r *report) error {
	if err := needs("taskset", server.FreeRADIUSCommand); err != nil {
		return err
	}
	r.progress("preparing %d people on both servers", s.users)
	t, err := server.PrepareTrine(ctx, s.trine, filepath.Join(s.dir, "trine"), secret, server.People{N: s.users, Forms: "nt, clear"})
	if err != nil {
		return err
	}
	f, err := server.PrepareFreeRADIUS(filepath.Join(s.dir, "freeradius"), secret, s.users)
	if err != nil {
		return err
	}
	b := &bench{settings: s, pools: make(map[string]*packets.Pool), session: int(time.Now().Unix()) << 24}
	results := newComparison(t.Version(), f.Version())
	for turn := range s.turns {
		subjects := []subject{trineSubject(t), freeRADIUSSubject(f), echoSubject()}
		if s.freeRADIUSless {
			subjects = subjects[:1]
		}
		for _, subject := range subjects {
			r.progress("turn %d of %d: %s", turn+1, s.turns, subject.name)
			if err := b.measure(ctx, subject, s.serverCore, results, r); err != nil {
				return fmt.Errorf("turn %d, %s: %w", turn+1, subject.name, err)
			}
		}
		r.progress("turn %d of %d: Trine on both cores, the generator beside it", turn+1, s.turns)
		both := trineSubject(t)
		both.name = twoCores
		if err := b.measure(ctx, both, fmt.Sprintf("%s,%d", s.serverCore, s.generatorCore), results, r); err != nil {
			return fmt.Errorf("turn %d, %s: %w", turn+1, both.name, err)
		}
	}
	results.write(r)
	return nil
}

// twoCores names Trine where it has the generator's core as well.
const twoCores = "Trine, two cores"

// takes reports whether a server is measured in a scenario.
func (b *bench) takes(subject string, sc *scenario) bool {
	if !b.wants(sc.name) {
		return false
	}
	switch subject {
	case "Echo":
		return sc.name == "PAP"
	case twoCores:
		return sc.name == "PAP" || sc.name == "Accounting"
	}
	return true
}

func (b *bench) measure(ctx context.Context, subject subject, cores string, results *comparison, r *report) error {
	auth, acct, process, err := subject.start(ctx, cores)
	if err != nil {
		return err
	}
	defer process.Kill()
	for i := range scenarios {
		sc := &scenarios[i]
		if !b.takes(subject.name, sc) {
			continue
		}
		pool := b.pool(sc)
		pool.DemandSigned(subject.metrics != nil) // FreeRADIUS as Debian ships it does not sign its answers
		var load generator.Load = pool
		if subject.name == "Echo" {
			load = echoed{pool}
		}
		x, err := b.sample(ctx, subject, process, sc, load, auth, acct)
		if err != nil {
			return fmt.Errorf("%s: %w", sc.name, err)
		}
		results.add(subject.name, sc.name, x)
		r.progress("  %-13s %9.0f/s  %6.2f us of processor time  p99 %v, at 70%% %v", sc.name, x.rate, x.cpu.Seconds()*1e6, short(x.p99), short(x.calm99))
	}
	return process.Stop()
}

// pool returns the requests of a scenario. Those that may be sent once only are made anew each time.
func (b *bench) pool(sc *scenario) *packets.Pool {
	if p := b.pools[sc.name]; p != nil {
		return p
	}
	p := sc.build(packets.Config{Secret: secret, Slots: max(sc.window, 4096), Seed: uint64(b.session)}, b.settings, b.session)
	if p.Once() {
		b.session += records
	} else {
		b.pools[sc.name] = p
	}
	return p
}

// sample measures one scenario: a warm-up, the rate in the closed loop, then latencies in the open loop at 70% of that rate.
func (b *bench) sample(ctx context.Context, subject subject, p *server.Process, sc *scenario, load generator.Load, auth, acct netip.AddrPort) (*sample, error) {
	g, err := generator.New(load, auth, acct)
	if err != nil {
		return nil, err
	}
	defer g.Close()
	options := generator.Options{Duration: time.Second, Window: sc.window, Segments: sc.segments}
	if _, err := g.Run(ctx, options); err != nil {
		return nil, err
	}
	total := generator.NewResult()
	x, err := b.windows(ctx, subject, p, sc.recorded, func(d time.Duration) (tally, error) {
		options.Duration = d
		result, err := g.Run(ctx, options)
		if err == nil {
			total.Add(result)
		}
		return tally{total.Answered, total.Elapsed, total.Latency, total.Exhausted}, err
	})
	if err != nil {
		return nil, err
	}
	x.busy = total.Busy.Seconds() / total.Elapsed.Seconds() // while it waits, it looks again and again
	x.p999, x.repeated, x.lost, x.wrong = quantile(total, 99.9), total.Repeated, total.Lost, total.Wrong
	if err := acceptable(total); err != nil {
		return nil, err
	}
	x.calm = 0.7 * x.rate
	// What the closed loop left to do, such as a seal that lags, is not of this rate's making.
	options.Duration, options.Rate = b.latency/2, x.calm
	if _, err := g.Run(ctx, options); err != nil {
		return nil, err
	}
	options.Duration = b.latency
	var calm *generator.Result
	if x.company, err = watched(p, func() (err error) { calm, err = g.Run(ctx, options); return err }); err != nil {
		return nil, err
	}
	if err := acceptable(calm); err != nil {
		return nil, fmt.Errorf("at 70%% of the rate: %w", err)
	}
	x.calm50, x.calm99, x.calm999 = quantile(calm, 50), quantile(calm, 99), quantile(calm, 99.9)
	return x, nil
}

// acceptable refuses a run that measured something else than a server that answers.
func acceptable(r *generator.Result) error {
	switch {
	case r.Wrong > 0:
		return fmt.Errorf("%d of %d answers are wrong: %w", r.Wrong, r.Sent, r.FirstBad)
	case r.Exhausted:
		return errors.New("the server took all requests that were prepared before the time was over")
	case r.Answered == 0:
		return errors.New("the server answered nothing")
	}
	return nil
}

func quantile(r *generator.Result, q float64) time.Duration {
	return time.Duration(r.Latency.ValueAtQuantile(q))
}
