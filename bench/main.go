// Command bench measures Trine beside its peers, on one machine and in one run: servers on one core, the load generator on
// another. `make bench` and its sisters call it; docs/performance.md says what to make of the results.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"trine/bench/server"
)

// secret is shared by the servers and the generator.
const secret = "a-long-shared-secret"

// settings are what every measurement is told.
type settings struct {
	trine          string
	results        string
	serverCore     string
	generatorCore  int
	users          int
	turns          int
	window         time.Duration
	latency        time.Duration
	only           string
	sessions       int
	dir            string
	freeRADIUSless bool
}

// wants reports whether a scenario is to be measured.
func (s *settings) wants(scenario string) bool {
	return s.only == "" || slices.Contains(strings.Split(s.only, ","), scenario)
}

// measurement is one subcommand. It writes its results into the report.
type measurement struct {
	name, what string
	run        func(ctx context.Context, s *settings, r *report) error
}

var measurements = []measurement{
	{"machine", "what the machine itself does: how long its cores stand still, how long an fsync takes", measureMachine},
	{"radius", "RADIUS beside FreeRADIUS and a bare echo", measureRADIUS},
	{"tacacs", "TACACS+ beside a bare echo, on connections with and without TLS", measureTACACS},
	{"passwords", "passwords kept as Argon2id: warm, cold, and under a flood of wrong ones", measurePasswords},
	{"web", "OpenID Connect beside a bare HTTPS server, and what a storm of password logins does to it", measureWeb},
	{"webmemory", "memory with one identity provider, and with 10,000", measureWebMemory},
	{"cluster", "three nodes on this machine: accounting that a quorum has on disk", measureCluster},
	{"catchup", "a fourth node with an empty disk joins three with a million people and sessions", measureCatchUp},
	{"memory", "a million people and a million sessions: memory, seals, collection", measureMemory},
	{"restart", "from start to the first answer, with a million people and sessions", measureRestart},
}

func main() {
	err := error(nil)
	switch {
	case len(os.Args) == 3 && os.Args[1] == "echo": // a server of its own process
		err = server.ServeEcho(os.Args[2])
	case len(os.Args) == 4 && os.Args[1] == "mirror": // and one more
		var answer int
		if answer, err = strconv.Atoi(os.Args[3]); err == nil {
			err = server.ServeMirror(os.Args[2], answer)
		}
	case len(os.Args) == 3 && os.Args[1] == "bare": // and one more
		err = server.ServeBare(os.Args[2])
	case len(os.Args) == 4 && os.Args[1] == "storm": // a client of its own process
		err = storm(os.Args[2], os.Args[3])
	case len(os.Args) == 3 && os.Args[1] == "flood": // a client of its own process
		err = flood(os.Args[2])
	default:
		err = run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	s := &settings{}
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	flags.StringVar(&s.trine, "trine", "bin/trine", "our binary")
	flags.StringVar(&s.results, "results", "bench/results", "folder for the results; empty: none are written")
	flags.StringVar(&s.serverCore, "server-core", "0", "core of the server")
	flags.IntVar(&s.generatorCore, "generator-core", 1, "core of the generator")
	flags.IntVar(&s.users, "users", 100_000, "number of people")
	flags.IntVar(&s.sessions, "million", 1_000_000, "number of people, and of sessions, of memory and restart")
	flags.IntVar(&s.turns, "turns", 3, "how often each server is measured, in turn")
	flags.DurationVar(&s.window, "window", 10*time.Second, "shortest time for which a rate is measured; it is longer where two seals take longer")
	flags.DurationVar(&s.latency, "latency", 5*time.Second, "time for which latencies at 70% of the rate are measured")
	flags.StringVar(&s.only, "only", "", "scenarios, separated by commas; empty: all")
	flags.BoolVar(&s.freeRADIUSless, "alone", false, "leave FreeRADIUS and the echo out")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: bench MEASUREMENT... [flags]")
		for _, m := range measurements {
			fmt.Fprintf(flags.Output(), "  %-10s %s\n", m.name, m.what)
		}
		flags.PrintDefaults()
	}
	chosen, err := choose(os.Args[1:], flags)
	if err != nil {
		return err
	}
	if err := pin(s.generatorCore); err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if s.trine, err = filepath.Abs(s.trine); err != nil {
		return fmt.Errorf("find our binary: %w", err)
	}
	if s.dir, err = os.MkdirTemp("", "trine-bench-"); err != nil {
		return fmt.Errorf("make a folder for the servers: %w", err)
	}
	defer os.RemoveAll(s.dir)
	r := newReport(s)
	for i, m := range chosen {
		if err := m.run(ctx, s, r); err != nil {
			err = fmt.Errorf("%s: %w", m.name, err)
			if i > 0 { // what was measured before is kept
				err = errors.Join(err, r.write(s.results, chosen[:i]))
			}
			return err
		}
	}
	return r.write(s.results, chosen)
}

// choose returns the measurements that are named in front of the flags.
func choose(arguments []string, flags *flag.FlagSet) (chosen []measurement, err error) {
	for len(arguments) > 0 && !strings.HasPrefix(arguments[0], "-") {
		i := slices.IndexFunc(measurements, func(m measurement) bool { return m.name == arguments[0] })
		if i < 0 {
			return nil, fmt.Errorf("no measurement is called %q; see bench -help", arguments[0])
		}
		chosen, arguments = append(chosen, measurements[i]), arguments[1:]
	}
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	if len(chosen) == 0 {
		flags.Usage()
		return nil, errors.New("name a measurement")
	}
	return chosen, nil
}

// pin moves the whole process to one core: threads keep the affinity of the thread that starts the process anew.
func pin(core int) error {
	const done = "TRINE_BENCH_PINNED"
	if os.Getenv(done) == strconv.Itoa(core) {
		return nil
	}
	if runtime.NumCPU() < 2 {
		return errors.New("two cores are needed, one for the server and one for the generator")
	}
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(core)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("move to core %d: %w", core, err)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	err = syscall.Exec(self, os.Args, append(os.Environ(), done+"="+strconv.Itoa(core)))
	return fmt.Errorf("start anew on core %d: %w", core, err)
}

// needs says which of the commands that a measurement wants are missing.
func needs(commands ...string) error {
	for _, c := range commands {
		if _, err := exec.LookPath(c); err != nil {
			return fmt.Errorf("%w: install it (util-linux, freeradius)", err)
		}
	}
	return nil
}
