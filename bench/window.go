package main

import (
	"context"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"trine/bench/server"
)

// longestWindow is how long two seals are waited for.
const longestWindow = time.Minute

// tally is what a load has come to so far.
type tally struct {
	done    int
	elapsed time.Duration
	latency *hdrhistogram.Histogram // nanoseconds
	over    bool                    // what may be sent once only has been sent
}

// windows runs a load for one window, and where the server records what it does for halves of one more until two seals have come, and returns the sample. Run runs the load for a
// time and returns what all its runs have come to.
func (s *settings) windows(ctx context.Context, subject subject, p *server.Process, recorded bool, run func(time.Duration) (tally, error)) (*sample, error) {
	before, err := read(ctx, subject, p)
	if err != nil {
		return nil, err
	}
	spent, err := ownTime()
	if err != nil {
		return nil, err
	}
	x := new(sample)
	for d := s.window; ; d = s.window / 2 {
		total, err := run(d)
		if err != nil {
			return nil, err
		}
		after, err := read(ctx, subject, p)
		if err != nil {
			return nil, err
		}
		now, err := ownTime()
		if err != nil {
			return nil, err
		}
		x.fill(&total, before, after, now-spent)
		if !recorded || subject.metrics == nil || x.seals >= 2 || total.elapsed > longestWindow || total.over {
			return x, nil
		}
	}
}

// reading is the counters of a server at one moment.
type reading struct {
	usage   server.Usage
	metrics server.Metrics
}

func read(ctx context.Context, subject subject, p *server.Process) (r reading, err error) {
	if r.usage, err = p.Usage(); err != nil || subject.metrics == nil {
		return r, err
	}
	r.metrics, err = subject.metrics(ctx)
	return r, err
}

// fill computes the sample from a load, the readings around it, and the processor time that the generator took.
func (x *sample) fill(total *tally, before, after reading, own time.Duration) {
	spent := after.usage.CPU - before.usage.CPU
	x.rate, x.elapsed = float64(total.done)/total.elapsed.Seconds(), total.elapsed
	x.cpu = spent / time.Duration(max(1, total.done))
	x.server, x.busy = spent.Seconds()/total.elapsed.Seconds(), own.Seconds()/total.elapsed.Seconds()
	x.p50, x.p99 = time.Duration(total.latency.ValueAtQuantile(50)), time.Duration(total.latency.ValueAtQuantile(99))
	x.memory = after.usage.Memory
	if after.metrics == nil {
		return // other servers say nothing of themselves
	}
	grown := func(name string) float64 { return after.metrics[name] - before.metrics[name] }
	x.seals, x.collections = int(grown("trine_log_seals_total")), int(grown("go_gc_duration_seconds_count"))
	x.collected = grown("go_cpu_classes_gc_total_cpu_seconds_total") / spent.Seconds()
	if n := grown("trine_log_fsyncs_total"); n > 0 {
		x.recordsFsync = grown("trine_log_records_total") / n
	}
	if n := grown("trine_log_proposed_bytes_total"); n > 0 {
		x.bytesPayload = float64(after.usage.Written-before.usage.Written) / n
	}
}
