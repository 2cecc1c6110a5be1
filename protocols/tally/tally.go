// Package tally has the counters that protocols keep on their loops: one loop writes each, anyone may read.
package tally

import (
	"sync/atomic"
	"time"
)

// Count is one counter with what tells it apart.
type Count struct {
	Label string
	Count uint64
}

// Add adds the counters of one loop to the sums, which are as many.
func Add(to []Count, from []atomic.Uint64) {
	for i := range from {
		to[i].Count += from[i].Load()
	}
}

// bounds is the number of Bounds.
const bounds = 12

// Bounds returns the upper bounds of a histogram's buckets; one more has no bound.
func Bounds() [bounds]time.Duration {
	return [...]time.Duration{
		50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
		time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond,
		50 * time.Millisecond, 250 * time.Millisecond, time.Second, 5 * time.Second,
	}
}

// Histogram counts durations. It does not allocate.
type Histogram struct {
	buckets [bounds + 1]atomic.Uint64
	sum     atomic.Int64 // nanoseconds
}

// Observe counts a duration; a negative one counts as 0.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	i := 0
	for limits := Bounds(); i < len(limits) && d > limits[i]; {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(int64(d))
}

// Latency is how long requests of one kind took. Buckets count what fell into each, not cumulated; the last has no upper bound.
type Latency struct {
	Kind    string // such as "access" or "accounting"
	Method  string // of logins: "pap", ...; empty for the rest
	Buckets [bounds + 1]uint64
	Sum     time.Duration
}

// Add adds what one loop counted.
func (l *Latency) Add(h *Histogram) {
	for i := range h.buckets {
		l.Buckets[i] += h.buckets[i].Load()
	}
	l.Sum += time.Duration(h.sum.Load())
}
