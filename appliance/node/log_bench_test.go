package node

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"trine/engine/state"
	"trine/raftstore"
)

// openLoaded opens a log with the node's own Machine, and closes it at the end.
func openLoaded(t testing.TB, sealBytes int64) *raftstore.Store {
	t.Helper()
	store, err := raftstore.Open(t.Context(), raftstore.Config{
		Dir: filepath.Join(t.TempDir(), logDirectory), Machine: machine{state.New()}, Logger: slog.New(slog.DiscardHandler), Bootstrap: true,
		SealBytes: sealBytes,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if err := store.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store
}

func cpuTime(t testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkLog commits what a network's sessions and logins make, with the node's own views behind it, seals included. Run it on
// one core as a node has: GOMAXPROCS=1 taskset -c 0.
func BenchmarkLog(b *testing.B) {
	for _, load := range []struct {
		name     string
		inFlight int
		sessions int
		each     int // decisions in a journal; 0: accounting
	}{
		{"accounting", 4096, 20_000, 0},
		{"accounting-many", 4096, 1_000_000, 0},
		{"decisions", 16, 1, 100},
	} {
		b.Run(load.name, func(b *testing.B) {
			l := newLogLoad(load.sessions)
			var made []byte
			var ends []int
			each := max(1, load.each)
			for n := 0; n < b.N; n += each {
				if load.each == 0 {
					made = append(made, l.accounting()...)
				} else {
					made = append(made, l.decisions(load.each)...)
				}
				ends = append(ends, len(made))
			}
			store := openLoaded(b, 0)
			under := make(windowed, load.inFlight)
			bytes, cpu, before := diskBytes(b), cpuTime(b), store.Stats()
			b.ReportAllocs()
			b.ResetTimer()
			from := 0
			for _, end := range ends {
				under <- struct{}{}
				if err := store.Propose(made[from:end], under, 0); err != nil {
					b.Fatal(err)
				}
				from = end
			}
			under.drained()
			if err := store.Seal(b.Context()); err != nil { // all that there is costs its seal
				b.Fatal(err)
			}
			b.StopTimer()
			records := float64(len(ends) * each)
			st := store.Stats()
			b.ReportMetric(records/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64((cpuTime(b)-cpu).Nanoseconds())/records, "cpu-ns/record")
			b.ReportMetric(float64(len(made))/records, "payload-B/record")
			b.ReportMetric(records/float64(st.Fsyncs-before.Fsyncs), "records/fsync")
			b.ReportMetric(float64(diskBytes(b)-bytes)/float64(len(made)), "written-B/B")
			b.ReportMetric(float64(st.LogBytes-before.LogBytes)/float64(len(made)), "log-B/B")
			b.ReportMetric(float64(st.HistoryBytes)/float64(len(made)), "history-B/B")
			b.ReportMetric(float64(st.StateBytes)/float64(len(made)), "rows-B/B")
			b.ReportMetric(float64(st.Seals), "seals")
			b.ReportMetric(st.SealSeconds/float64(max(1, st.Seals)), "s/seal")
		})
	}
}

// BenchmarkLone commits records that come one by one to a log that has nothing else to do.
func BenchmarkLone(b *testing.B) {
	store := openLoaded(b, 0)
	l := newLogLoad(1000)
	var took []time.Duration
	for b.Loop() {
		time.Sleep(2 * time.Millisecond) // until all is quiet
		record := l.accounting()
		start := time.Now()
		if _, _, err := store.ProposeWait(b.Context(), record); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "us-p50")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "us-p99")
	b.ReportMetric(float64(took[len(took)-1].Microseconds()), "us-max")
}
