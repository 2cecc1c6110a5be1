package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"time"

	"trine/bench/generator"
	"trine/bench/packets"
	"trine/bench/server"
)

// million is a node with a million people and sessions.
type million struct {
	*settings
	node     *server.Trine
	sessions int // that were opened
}

// prepareMillion makes the node's data directory. People have ten attributes, five groups and two forms of a password.
func prepareMillion(ctx context.Context, s *settings, r *report) (*million, error) {
	r.progress("preparing %d people", s.sessions)
	t, err := server.PrepareTrine(ctx, s.trine, filepath.Join(s.dir, "million"), secret, server.People{N: s.sessions, Forms: "keyed, nt", Typical: true})
	if err != nil {
		return nil, err
	}
	return &million{settings: s, node: t}, nil
}

func (m *million) config() packets.Config {
	return packets.Config{Secret: secret, Slots: 4096, Seed: rand.Uint64()}
}

// open opens n sessions that stay.
func (m *million) open(ctx context.Context, n int) error {
	n += 4095 - (n-1)%4096
	pool := packets.Accounting(m.config(), packets.Sessions{
		N: n, Users: m.settings.sessions, Began: time.Now().Add(-time.Hour).Unix(), FirstOfAll: m.sessions, InOrder: true,
	})
	m.sessions += n
	_, err := m.run(ctx, pool, generator.Options{Duration: 10 * time.Minute, Window: 4096})
	return err
}

// run runs a load on the node.
func (m *million) run(ctx context.Context, load generator.Load, o generator.Options) (*generator.Result, error) {
	return generate(ctx, load, o, m.node.Auth, m.node.Acct)
}

// generate runs a load on addresses, and refuses a run of which an answer is wrong, or none came.
func generate(ctx context.Context, load generator.Load, o generator.Options, to ...netip.AddrPort) (*generator.Result, error) {
	g, err := generator.New(load, to...)
	if err != nil {
		return nil, err
	}
	defer g.Close()
	result, err := g.Run(ctx, o)
	if err != nil {
		return nil, err
	}
	if result.Wrong > 0 || result.Answered == 0 {
		return nil, fmt.Errorf("%d of %d answers are wrong: %w", result.Wrong, result.Sent, result.FirstBad)
	}
	return result, nil
}

// measureMemory fills a node and then gives it 20,000 requests a second.
func measureMemory(ctx context.Context, s *settings, r *report) error {
	const rate, under = 20_000, 30 * time.Second
	m, err := prepareMillion(ctx, s, r)
	if err != nil {
		return err
	}
	if err := m.node.Start(ctx, s.serverCore); err != nil {
		return err
	}
	defer m.node.Kill()
	people, err := m.node.Metrics(ctx)
	if err != nil {
		return err
	}
	idle, err := m.node.Usage()
	if err != nil {
		return err
	}
	r.progress("opening %d sessions", s.sessions)
	if err := m.open(ctx, s.sessions); err != nil {
		return err
	}
	before, err := m.node.Metrics(ctx)
	if err != nil {
		return err
	}
	full, err := m.node.Usage()
	if err != nil {
		return err
	}
	r.progress("%d requests a second for %v", rate, under)
	pool := packets.Accounting(m.config(), packets.Sessions{
		N: int(under.Seconds()) * rate / 5, Users: s.sessions, Login: true, Interims: 3, Stop: true, Began: time.Now().Add(-time.Hour).Unix(), FirstOfAll: m.sessions,
	})
	calm, err := m.run(ctx, pool, generator.Options{Duration: under, Rate: rate})
	if err != nil {
		return err
	}
	after, err := m.node.Metrics(ctx)
	if err != nil {
		return err
	}
	loaded, err := m.node.Usage()
	if err != nil {
		return err
	}
	spent := loaded.CPU - full.CPU
	collected := after["go_cpu_classes_gc_total_cpu_seconds_total"] - before["go_cpu_classes_gc_total_cpu_seconds_total"]
	perUser, perSession := people["trine_state_bytes"]/float64(s.sessions), (before["trine_state_bytes"]-people["trine_state_bytes"])/float64(m.sessions)
	hold := time.Duration(after["trine_log_apply_hold_max_seconds"] * 1e9)
	r.section("Memory")
	r.text("One node with %d people (ten attributes, five groups, two forms of a password each) and %d live sessions, on one core. "+
		"Bytes are those of rows and indexes; resident memory counts mapped files, which the kernel takes back when it needs them.", s.sessions, m.sessions)
	r.table([]string{"what", "wanted", "found", "reached"}, func(row func(...string)) {
		line := func(what, want, found string, ok bool) {
			row(what, want, found, map[bool]string{true: "yes", false: "no"}[ok])
		}
		line("bytes a person", "at most 600", fmt.Sprintf("%.0f", perUser), perUser <= 600)
		line("bytes a session", "at most 512", fmt.Sprintf("%.0f", perSession), perSession <= 512)
		line("resident, people only, after the start", "", sizes(idle), true)
		line("resident, people and sessions", "under 1.5 GiB", sizes(full), full.Memory < 3<<29)
		line("resident, under load", "under 1.5 GiB", sizes(loaded), loaded.Memory < 3<<29)
		line("resident at most", "", megabytes(loaded.Peak), true)
		line(fmt.Sprintf("garbage collection, share of the processor time at %.0f requests/s", calm.Rate()), "under 5%",
			fmt.Sprintf("%.1f%% of the time spent, %.1f%% of the core", 100*collected/spent.Seconds(), 100*collected/calm.Elapsed.Seconds()), collected/spent.Seconds() < 0.05)
		line("longest time that a seal held Apply", "at most 5 ms", short(hold), hold <= 5*time.Millisecond)
		line("seals meanwhile", "", fmt.Sprint(after["trine_log_seals_total"]-before["trine_log_seals_total"]), true)
		line("p50, p99, p99.9 of the answers", "", fmt.Sprint(short(quantile(calm, 50)), ", ", short(quantile(calm, 99)), ", ", short(quantile(calm, 99.9))), true)
	})
	return m.node.Stop()
}

// sizes says how much memory is resident, and how much of it is mapped files.
func sizes(u server.Usage) string {
	return fmt.Sprintf("%s, %s of it mapped files", megabytes(u.Memory), megabytes(u.Files))
}

// measureRestart starts the node again and again, after it was stopped in order and after SIGKILL under load.
func measureRestart(ctx context.Context, s *settings, r *report) error {
	m, err := prepareMillion(ctx, s, r)
	if err != nil {
		return err
	}
	if err := m.node.Start(ctx, s.serverCore); err != nil {
		return err
	}
	defer func() { m.node.Kill() }()
	r.progress("opening %d sessions", s.sessions)
	if err := m.open(ctx, s.sessions); err != nil {
		return err
	}
	r.section("Restart")
	r.text("From the start of the process to its first answered login, with %d people and %d live sessions, on one core. Before each SIGKILL the node took accounting "+
		"for some seconds more, so that there is log to apply.", s.sessions, m.sessions)
	var failed error
	r.table([]string{"ended by", "wanted", "found in each turn"}, func(row func(...string)) {
		var clean, killed []string
		for turn := range s.turns {
			d, err := m.again(ctx, m.node.Stop)
			if err != nil {
				failed = fmt.Errorf("restart after a clean stop: %w", err)
				return
			}
			clean = append(clean, short(d))
			r.progress("turn %d: clean stop: %v", turn+1, d)
			if d, err = m.again(ctx, func() error { return m.killUnderLoad(ctx) }); err != nil {
				failed = fmt.Errorf("restart after SIGKILL: %w", err)
				return
			}
			killed = append(killed, short(d))
			r.progress("turn %d: SIGKILL: %v", turn+1, d)
		}
		row("SIGTERM", "within 5 s", fmt.Sprint(clean))
		row("SIGKILL", "within 8 s", fmt.Sprint(killed))
	})
	if failed != nil {
		return failed
	}
	return m.node.Stop()
}

// killUnderLoad kills the node in the middle of accounting.
func (m *million) killUnderLoad(ctx context.Context) error {
	const under = 4 * time.Second
	pool := packets.Accounting(m.config(), packets.Sessions{
		N: 500_000, Users: m.settings.sessions, Interims: 1, Stop: true, Began: time.Now().Add(-time.Hour).Unix(), FirstOfAll: m.sessions,
	})
	m.sessions += 500_000
	g, err := generator.New(pool, m.node.Auth, m.node.Acct)
	if err != nil {
		return err
	}
	defer g.Close()
	if _, err := g.Run(ctx, generator.Options{Duration: under, Window: 1024}); err != nil {
		return err
	}
	m.node.Kill()
	return nil
}

// again ends the node, starts it and returns how long it took until it answered a login.
func (m *million) again(ctx context.Context, end func() error) (time.Duration, error) {
	if err := end(); err != nil {
		return 0, err
	}
	pool := packets.Logins(m.config(), packets.PAP, 4096, m.settings.sessions)
	began := time.Now()
	if err := m.node.Start(ctx, m.serverCore); err != nil {
		return 0, err
	}
	g, err := generator.New(pool, m.node.Auth, m.node.Acct)
	if err != nil {
		return 0, err
	}
	defer g.Close()
	for time.Since(began) < time.Minute {
		result, err := g.Run(ctx, generator.Options{Duration: time.Millisecond, Window: 1})
		if err != nil {
			return 0, err
		}
		if result.Wrong > 0 {
			return 0, fmt.Errorf("the first login is answered wrongly: %w", result.FirstBad)
		}
		if result.Answered > 0 {
			return time.Since(began), nil
		}
	}
	return 0, errors.New("no login is answered within a minute")
}
