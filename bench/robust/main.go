// Command robust hurts a cluster of real nodes under load and checks that it keeps its promises: no acknowledged record is lost or doubled, what
// is used once is used once, all nodes say the same, and every node that is up answers logins. `make robust` calls it; DESIGN.md says how it
// works, docs/guarantees.md what it shows, BUGS.md what it found.
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
	"syscall"
	"time"

	"trine/bench/robust/network"
)

// inside marks the process that has namespaces of its own.
const inside = "TRINE_ROBUST_INSIDE"

// impossibleStatus is the exit status where this machine lacks what a run takes.
const impossibleStatus = 4

// impossibleError is the error of a machine or a user that cannot do a run.
type impossibleError struct{ err error }

// Error implements error.
func (e *impossibleError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *impossibleError) Unwrap() error { return e.err }

func main() {
	var err error
	if os.Getenv(inside) == "" {
		err = enter()
	} else {
		err = work()
	}
	var status *exec.ExitError
	var no *impossibleError
	switch {
	case errors.As(err, &status):
		os.Exit(status.ExitCode())
	case errors.As(err, &no):
		fmt.Fprintln(os.Stderr, "robust:", err)
		os.Exit(impossibleStatus)
	case err != nil:
		fmt.Fprintln(os.Stderr, "robust:", err)
		os.Exit(1)
	}
}

// enter runs this command again with a mount namespace of its own, so that what is mounted is gone with it; and if it is not root, with a
// user namespace, in which it may make networks but mount no disks.
func enter() error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this command: %w", err)
	}
	c := exec.Command(self, os.Args[1:]...)
	c.Env = append(os.Environ(), inside+"=root")
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWNS}
	if uid := os.Getuid(); uid != 0 {
		c.Env = append(os.Environ(), inside+"=user")
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	ignored := make(chan os.Signal, 1)
	signal.Notify(ignored, os.Interrupt, syscall.SIGTERM) // the other process is in the same group, and cleans up
	if err := c.Start(); err != nil {
		return &impossibleError{fmt.Errorf("make namespaces (as root, or where users may make namespaces): %w", err)}
	}
	go func() {
		for s := range ignored {
			_ = c.Process.Signal(s)
		}
	}()
	return c.Wait()
}

// options are what the command is told.
type options struct {
	seed     uint64
	runs     int
	time     time.Duration
	nodes    int
	trine    string
	upgraded string
	only     string
	log      string
	folder   string
	commit   string
	records  int
	verbose  bool
	show     bool
}

func work() error {
	// What is mounted here is nobody else's.
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to this process: %w", err)
	}
	if err := network.Missing(); err != nil {
		return &impossibleError{err}
	}
	var o options
	flags := flag.NewFlagSet("robust", flag.ExitOnError)
	flags.Uint64Var(&o.seed, "seed", 0, "seed of the first run; 0: one by the clock")
	flags.IntVar(&o.runs, "runs", 1, "number of runs, each with the seed after the last")
	flags.DurationVar(&o.time, "time", 30*time.Second, "time for which each run hurts the cluster")
	flags.IntVar(&o.nodes, "nodes", 3, "number of nodes: 1, or 3 and more")
	flags.StringVar(&o.trine, "trine", "", "node built with the tag trine_clock; empty: build it")
	flags.StringVar(&o.upgraded, "upgrade", "", "node of a later release, for the fault upgrade")
	flags.StringVar(&o.only, "faults", "", "faults to draw from, separated by commas; empty: all that are possible")
	flags.StringVar(&o.log, "log", "", "file to add a line to for each run that passed; seeds that are in it for this commit are passed over")
	flags.StringVar(&o.folder, "folder", os.TempDir(), "where the folder with the nodes' data and logs is made; it is kept if a run fails")
	flags.StringVar(&o.commit, "commit", "", "commit that the log names; empty: ask git")
	flags.IntVar(&o.records, "records", sessionRecords, "accounting records of a session, 2 and more; one that comes late is known again among seven and the first")
	flags.BoolVar(&o.verbose, "v", false, "print what is done while it is done")
	flags.BoolVar(&o.show, "plan", false, "print the schedule and do nothing")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: robust [flags]")
		flags.PrintDefaults()
		fmt.Fprintln(flags.Output(), "faults:")
		for _, f := range faults {
			fmt.Fprintf(flags.Output(), "  %-10s %s\n", f.name, f.what)
		}
	}
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	if o.nodes != 1 && o.nodes < several {
		return fmt.Errorf("-nodes %d: a cluster of two stands still when one of them is hurt; take 1, or %d and more", o.nodes, several)
	}
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano()) % 1_000_000_000
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	return o.all(ctx)
}

// all does the runs.
func (o *options) all(ctx context.Context) error {
	top, err := os.MkdirTemp(o.folder, "robust-")
	if err != nil {
		return fmt.Errorf("make a folder for the runs: %w", err)
	}
	defer os.Remove(top) // if nothing is kept there
	if o.trine == "" && !o.show {
		o.trine = filepath.Join(top, "trine")
		defer os.Remove(o.trine)
		if out, err := exec.CommandContext(ctx, "go", "build", "-tags", "trine_clock", "-o", o.trine, "./cmd/trine").CombinedOutput(); err != nil {
			return fmt.Errorf("build the node: %w: %s", err, out)
		}
	}
	for _, path := range []*string{&o.trine, &o.upgraded} {
		if *path != "" {
			if *path, err = filepath.Abs(*path); err != nil {
				return fmt.Errorf("find the node: %w", err)
			}
		}
	}
	log, err := openLog(o.log, o.commit)
	if err != nil {
		return err
	}
	p := possible{nodes: o.nodes, disks: disks(), upgraded: o.upgraded}
	among, err := choose(p, o.only)
	if err != nil {
		return err
	}
	failed := 0
	for i := range o.runs {
		seed := o.seed + uint64(i)
		r := &run{seed: seed, time: o.time, folder: filepath.Join(top, fmt.Sprint("seed-", seed)), steps: plan(seed, o.nodes, among), possible: p, records: o.records, verbose: o.verbose}
		if o.show {
			for _, s := range r.steps {
				fmt.Println(s)
			}
			continue
		}
		if log.has(seed, o) {
			fmt.Printf("seed %d passed before\n", seed)
			continue
		}
		if err := os.MkdirAll(r.folder, 0o700); err != nil {
			return fmt.Errorf("make a folder for a run: %w", err)
		}
		began := time.Now()
		err := r.all(ctx, o.trine, o.nodes)
		if ctx.Err() != nil {
			return errors.Join(errors.New("interrupted"), os.RemoveAll(r.folder))
		}
		if err != nil || len(r.wrong) > 0 {
			failed++
			fmt.Printf("seed %d FAILED after %v; its schedule, logs and data are in %s\n", seed, time.Since(began).Round(time.Second), r.folder)
			for _, w := range append(r.wrong, err) {
				if w != nil {
					fmt.Printf("  %v\n", w)
				}
			}
			fmt.Printf("  again: %s\n", o.again(seed))
			continue
		}
		fmt.Printf("seed %d passed in %v: %s\n", seed, time.Since(began).Round(time.Second), r.summary)
		if err := log.add(seed, o, r.summary); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d runs failed", failed, o.runs)
	}
	return nil
}

// again is the command that does a run once more.
func (o *options) again(seed uint64) string {
	text := fmt.Sprintf("go run ./bench/robust -seed %d -time %v -nodes %d", seed, o.time, o.nodes)
	if o.records != sessionRecords {
		text += fmt.Sprint(" -records ", o.records)
	}
	if o.only != "" {
		text += " -faults " + o.only
	}
	return text
}
