package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"trine/bench/generator"
	"trine/bench/packets"
	"trine/bench/server"
)

const (
	// hashed is how many people there are: each of them costs one Argon2id hash to make and one to verify for the first time.
	hashed = 500
	// floodRate is how many wrong passwords come in a second.
	floodRate = 1000
	// othersRate is how many logins of others come in a second meanwhile.
	othersRate = 5000
)

// keeper is a node that keeps passwords in some forms.
type keeper struct {
	forms string
	node  *server.Trine
}

// measurePasswords compares what people cost whose passwords are kept as Argon2id alone, and with another form.
func measurePasswords(ctx context.Context, s *settings, r *report) error {
	keepers := []*keeper{{forms: "clear"}, {forms: "argon2id"}, {forms: "argon2id, keyed"}}
	for i, k := range keepers {
		r.progress("preparing %d people whose passwords are kept as %s", hashed, k.forms)
		var err error
		k.node, err = server.PrepareTrine(ctx, s.trine, filepath.Join(s.dir, fmt.Sprint("passwords-", i)), secret, server.People{N: hashed, Forms: k.forms})
		if err != nil {
			return err
		}
		defer k.node.Kill()
	}
	inClear, argon := keepers[0], keepers[1]
	r.section("Passwords kept as Argon2id")
	r.text("%d people; server and worker on one core.", hashed)
	var rows [][]string
	for turn := range s.turns {
		r.progress("turn %d: kept as clear text, then as Argon2id with everybody verified before", turn+1)
		base, err := inClear.rate(ctx, s, false)
		if err != nil {
			return err
		}
		warm, err := argon.rate(ctx, s, true)
		if err != nil {
			return err
		}
		rows = append(rows, []string{
			"PAP, Argon2id and verified before, share of the rate with clear text", "at least 80%",
			fmt.Sprintf("%s (%.0f/s of %.0f/s)", percent(warm.Rate()/base.Rate()), warm.Rate(), base.Rate()),
		})
	}
	for turn := range s.turns {
		r.progress("turn %d: %d wrong passwords a second", turn+1, floodRate)
		both, err := argon.flooded(ctx, s)
		if err != nil {
			return err
		}
		rows = append(rows, both...)
	}
	for _, k := range keepers[1:] {
		r.progress("after a restart, kept as %s", k.forms)
		cold, err := k.cold(ctx, s)
		if err != nil {
			return err
		}
		rows = append(rows, []string{"logins/s right after a restart, kept as " + k.forms, "", fmt.Sprintf("%.0f/s", cold.Rate())})
	}
	r.table([]string{"what", "wanted", "found"}, func(row func(...string)) {
		for _, cells := range rows {
			row(cells...)
		}
	})
	return nil
}

func (k *keeper) config() packets.Config {
	return packets.Config{Secret: secret, Slots: 256, Seed: 1}
}

// everybody is a pool in which each person logs in at least once.
func (k *keeper) everybody() *packets.Pool { return packets.Each(k.config(), hashed) }

func (k *keeper) run(ctx context.Context, load generator.Load, o generator.Options) (*generator.Result, error) {
	g, err := generator.New(load, k.node.Auth)
	if err != nil {
		return nil, err
	}
	defer g.Close()
	result, err := g.Run(ctx, o)
	if err != nil {
		return nil, err
	}
	if result.Wrong > 0 {
		return nil, fmt.Errorf("%d of %d answers are wrong: %w", result.Wrong, result.Sent, result.FirstBad)
	}
	return result, nil
}

// warm starts the node and lets everybody log in once.
func (k *keeper) warm(ctx context.Context, s *settings) error {
	if err := k.node.Start(ctx, s.serverCore); err != nil {
		return err
	}
	// Few at a time: the node bounds what it hashes at once for one source.
	_, err := k.run(ctx, k.everybody(), generator.Options{Duration: 10 * time.Minute, Window: 4})
	return err
}

// rate measures PAP with everybody known, and stops the node.
func (k *keeper) rate(ctx context.Context, s *settings, warm bool) (*generator.Result, error) {
	start := func() error { return k.node.Start(ctx, s.serverCore) }
	if warm {
		start = func() error { return k.warm(ctx, s) }
	}
	if err := start(); err != nil {
		return nil, err
	}
	pool := packets.Logins(k.config(), packets.PAP, logins, hashed)
	if _, err := k.run(ctx, pool, generator.Options{Duration: time.Second, Window: 256}); err != nil {
		return nil, err
	}
	result, err := k.run(ctx, pool, generator.Options{Duration: s.window, Window: 256})
	if err != nil {
		return nil, err
	}
	return result, k.node.Stop()
}

// flooded measures other people's logins, first by themselves and then while wrong passwords come.
func (k *keeper) flooded(ctx context.Context, s *settings) (rows [][]string, err error) {
	if err := k.warm(ctx, s); err != nil {
		return nil, err
	}
	row := func(while, wanted string) error {
		result, err := k.run(ctx, packets.Logins(k.config(), packets.PAP, logins, hashed), generator.Options{Duration: s.window, Rate: othersRate})
		if err != nil {
			return err
		}
		usage, err := k.node.Usage()
		if err != nil {
			return err
		}
		rows = append(rows, []string{
			fmt.Sprintf("p99 of other people's logins, %d/s, %s", othersRate, while), wanted,
			fmt.Sprintf("%s (p50 %s, p99.9 %s), resident %s", short(quantile(result, 99)), short(quantile(result, 50)), short(quantile(result, 99.9)), megabytes(usage.Memory)),
		})
		return nil
	}
	if err := row("by themselves", ""); err != nil {
		return nil, err
	}
	stop, err := beside(ctx, "flood", k.node.Auth.String())
	if err != nil {
		return nil, err
	}
	time.Sleep(time.Second)
	err = row(fmt.Sprintf("while %d/s wrong passwords come from one source", floodRate), "under 5ms")
	stop()
	if err != nil {
		return nil, err
	}
	return rows, k.node.Stop()
}

// beside starts this program once more, as a load of that name beside what is measured, until stop is called.
func beside(ctx context.Context, load string, arguments ...string) (stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	c := exec.CommandContext(ctx, self, append([]string{load}, arguments...)...)
	c.Stderr = os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("start the %s: %w", load, err)
	}
	return func() {
		_ = c.Process.Kill() // it has done its work
		_ = c.Wait()
	}, nil
}

// cold measures logins of people none of whom was verified since the start.
func (k *keeper) cold(ctx context.Context, s *settings) (*generator.Result, error) {
	if err := k.node.Start(ctx, s.serverCore); err != nil {
		return nil, err
	}
	result, err := k.run(ctx, k.everybody(), generator.Options{Duration: s.window, Window: 4})
	if err != nil {
		return nil, err
	}
	return result, k.node.Stop()
}

// flood sends wrong passwords from one socket until it is killed. It waits for no answer.
func flood(address string) error {
	conn, err := net.Dial("udp4", address)
	if err != nil {
		return fmt.Errorf("flood %s: %w", address, err)
	}
	pool := packets.Wrong(packets.Config{Secret: secret, Slots: 256, Seed: uint64(os.Getpid())}, 100*floodRate, 0, hashed)
	for i, tick := 0, time.Tick(time.Second/floodRate); ; i++ {
		<-tick
		if _, err := conn.Write(pool.Request(i % pool.Len())); err != nil {
			return fmt.Errorf("flood %s: %w", address, err)
		}
	}
}
