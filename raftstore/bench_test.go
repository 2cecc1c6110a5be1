package raftstore

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkCommit commits 160-byte records through a whole store of one voter, seals included.
func BenchmarkCommit(b *testing.B) {
	for _, inFlight := range []int{16, 256, 4096} {
		b.Run(fmt.Sprint(inFlight), func(b *testing.B) {
			cfg := testConfig(b, b.TempDir())
			cfg.Machine = idle{newKV()}
			cfg.segment = 0
			s := mustOpen(b, cfg)
			slots := make(slotWaiter, inFlight)
			record := op{1, opSet, "key", string(make([]byte, 160))}.encode()
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				slots <- struct{}{}
				if err := s.Propose(record, slots, 0); err != nil {
					b.Fatal(err)
				}
			}
			for range inFlight {
				slots <- struct{}{}
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
			st := s.Stats()
			b.ReportMetric(float64(st.Records)/float64(max(1, st.Fsyncs)), "records/fsync")
			b.ReportMetric(float64(st.MaxApplyHold)/float64(time.Millisecond), "ms-hold")
			mustClose(b, s)
		})
	}
}

// idle is a Machine whose Apply costs next to nothing.
type idle struct{ *kv }

func (idle) Apply(_ *Entry, results []Result) { clear(results) }

func (idle) Facts(record []byte, yield func(Fact)) {
	yield(Fact{Class: Class(record[0]), Data: record})
}

type slotWaiter chan struct{}

func (w slotWaiter) Committed(uint64, Position, Result, error) { <-w }
