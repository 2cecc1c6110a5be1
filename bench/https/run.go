package https

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Visitor does one thing again and again on one connection: one exchange or several, after which it is counted. It checks every answer.
type Visitor interface {
	Do(c *Conn) error
}

// Options say how visitors are sent.
type Options struct {
	Duration time.Duration
	Rate     float64 // things a second: an open loop; 0: each visitor begins anew when he is done
	TLS      *tls.Config
}

// Result is what came of a run.
type Result struct {
	Done    int
	Elapsed time.Duration
	Latency *hdrhistogram.Histogram // nanoseconds; in an open loop since a thing was due
	Late    int                     // of an open loop, things that were due and not begun when the time was over
}

// Rate returns the things done a second.
func (r *Result) Rate() float64 { return float64(r.Done) / r.Elapsed.Seconds() }

// NewResult returns an empty result.
func NewResult() *Result { return &Result{Latency: hdrhistogram.New(1, int64(2*time.Minute), 3)} }

// Add adds another run of the same kind.
func (r *Result) Add(o *Result) {
	r.Done += o.Done
	r.Elapsed += o.Elapsed
	r.Late += o.Late
	r.Latency.Merge(o.Latency)
}

// Run lets visitors do their thing, each on a connection of his own, until the time is over.
func Run(ctx context.Context, to netip.AddrPort, visitors []Visitor, o Options) (*Result, error) {
	conns := make([]*Conn, len(visitors))
	for i := range conns {
		c, err := Dial(ctx, to, i, o.TLS)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		conns[i] = c
	}
	began := time.Now()
	until := began.Add(o.Duration)
	parts, errs := make([]*Result, len(visitors)), make([]error, len(visitors))
	var due atomic.Int64 // of an open loop, how many things were taken
	var failed atomic.Bool
	var wait sync.WaitGroup
	for i, v := range visitors {
		wait.Go(func() {
			r := NewResult()
			parts[i] = r
			for !failed.Load() {
				start := time.Now()
				if o.Rate > 0 {
					start = began.Add(time.Duration(float64(due.Add(1)-1) / o.Rate * float64(time.Second)))
				}
				if !start.Before(until) || ctx.Err() != nil {
					return
				}
				if o.Rate > 0 {
					if time.Now().After(until) {
						r.Late++
						continue
					}
					time.Sleep(time.Until(start))
				}
				if err := v.Do(conns[i]); err != nil {
					errs[i] = fmt.Errorf("visitor %d: %w", i, err)
					failed.Store(true)
					return
				}
				r.Done++
				_ = r.Latency.RecordValue(int64(time.Since(start))) // what does not fit has timed out before
			}
		})
	}
	wait.Wait()
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return nil, err
	}
	total := NewResult()
	for _, p := range parts {
		total.Add(p)
	}
	total.Elapsed = time.Since(began)
	return total, nil
}
