package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// run is one seed, from the making of the cluster to the checks.
type run struct {
	seed     uint64
	time     time.Duration
	folder   string
	steps    []step
	possible possible
	records  int // of a session
	verbose  bool

	cluster *cluster
	traffic *traffic

	began     time.Time
	mu        sync.Mutex
	said      []string // what was done, for the report of a failure
	dark      []span   // in which most nodes were down
	placesEnd bool     // a clock jumped so far that places ended
	count     int      // of faults
	patience  time.Duration
	wrong     []error
	summary   string
}

// say notes what is done.
func (r *run) say(format string, a ...any) {
	line := fmt.Sprintf("%8.3f  ", time.Since(r.began).Seconds()) + fmt.Sprintf(format, a...)
	r.mu.Lock()
	r.said = append(r.said, line)
	r.mu.Unlock()
	if r.verbose {
		fmt.Println(line)
	}
}

// rest waits, unless the run is given up.
func (r *run) rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// wrongs notes errors.
func (r *run) wrongs(errs ...error) {
	for _, err := range errs {
		if err != nil {
			r.wrong = append(r.wrong, err)
		}
	}
}

// all makes the cluster, loads and hurts it, and checks it. The error is about the run itself; what it found is in r.wrong.
func (r *run) all(ctx context.Context, binary string, nodes int) (err error) {
	r.began = time.Now()
	if r.cluster, err = newCluster(r.seed, r.folder, binary, nodes); err != nil {
		return err
	}
	defer func() {
		keep := err != nil || len(r.wrong) > 0
		if keep {
			r.report(err)
		}
		err = errors.Join(err, r.cluster.close(keep))
	}()
	if err := r.cluster.start(ctx); err != nil {
		return err
	}
	r.traffic = newTraffic(ctx, r.cluster, r.records)
	if err := r.traffic.start(); err != nil {
		return err
	}
	r.say("%d nodes serve", nodes)
	r.hurt(ctx)
	r.say("all is healed")
	// What is not whole now is not waited for any more.
	if r.patience = catchUpWithin; len(r.wrong) > 0 {
		r.patience = 5 * time.Second
	}
	r.traffic.end(r.patience)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.check(ctx)
	return ctx.Err()
}

// hurt does one step after the other until the time is over. What could not be healed ends it.
func (r *run) hurt(ctx context.Context) {
	until := time.Now().Add(r.time)
	for _, s := range r.steps {
		if time.Now().Add(s.wait).After(until) {
			break
		}
		r.rest(ctx, s.wait)
		victim := r.cluster.nodes[s.victim]
		if s.lead {
			if leader := r.cluster.leader(ctx); leader != nil {
				victim = r.cluster.nodes[(leader.number-1+s.victim)%len(r.cluster.nodes)]
			}
		}
		r.say("%s %s for %v", s.fault.name, victim, s.lasts.Round(time.Millisecond))
		over := r.cluster.hurting()
		err := s.fault.run(ctx, r, s, victim)
		if err != nil && ctx.Err() == nil {
			err = r.mended(ctx, s, err)
		}
		over()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			r.say("not healed: %v", err)
			r.wrongs(fmt.Errorf("%s of %s: %w", s.fault.name, victim, err))
			return
		}
		r.say("healed")
		r.count++
	}
	r.rest(ctx, time.Until(until))
}

// mended looks after nodes that ended, or refused to start, over earlier damage: with others there they are replaced; a node that is alone must go on when what was
// flipped is put right. It returns the error that was, or that of doing so.
func (r *run) mended(ctx context.Context, s step, was error) error {
	for _, n := range r.cluster.nodes {
		if len(n.damaged) == 0 || n.running() {
			continue
		}
		if len(r.cluster.nodes) >= several {
			r.say("%s ended over %v and is replaced", n, n.damaged)
			was = replaced(ctx, r, s, n)
			continue
		}
		r.say("%s ended over %v, which is put right", n, n.damaged)
		var errs []error
		for _, b := range slices.Backward(n.damaged) {
			errs = append(errs, b.right())
		}
		n.damaged = nil
		if was = errors.Join(append(errs, back(ctx, r, n))...); was != nil {
			was = fmt.Errorf("after what was flipped was put right: %w", was)
		}
	}
	return was
}

// report writes what was done and what is wrong beside the data of the nodes.
func (r *run) report(err error) {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d\n\nwrong:\n", r.seed)
	for _, e := range append(r.wrong, err) {
		if e != nil {
			fmt.Fprintf(&b, "- %v\n", e)
		}
	}
	fmt.Fprintf(&b, "\ndone:\n%s\n\nplanned:\n", strings.Join(r.said, "\n"))
	for _, s := range r.steps[:min(len(r.steps), r.count+2)] {
		fmt.Fprintln(&b, s)
	}
	if err := os.WriteFile(filepath.Join(r.folder, "report.txt"), []byte(b.String()), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, "robust: write the report:", err)
	}
}
