package raftstore

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// done is a future with its outcome.
type done struct{ err error }

func (d done) Error() error { return d.err }

// log is a raft that does what a test says.
type log struct {
	mu      sync.Mutex
	q       *batcher
	stats   counters
	leads   bool
	isFull  bool
	outcome func(seq uint64) (err error, committed bool)
	sent    []uint64 // sequences, in the order of submit
	records int
}

func newLog(limit int) *log {
	l := &log{leads: true, outcome: func(uint64) (error, bool) { return nil, true }}
	l.q = newBatcher(limit, &l.stats, l.submit, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.leads
	}, func() bool { return l.isFull })
	return l
}

func (l *log) submit(b *batch) future {
	l.mu.Lock()
	l.sent = append(l.sent, b.seq)
	err, committed := l.outcome(b.seq)
	l.mu.Unlock()
	if committed {
		if c := l.q.committed(b.seq); c != nil {
			l.records += len(c.waiters)
			for _, w := range c.waiters {
				if w.w != nil {
					w.w.Committed(w.token, Position{Index: b.seq}, Result{}, nil)
				}
			}
			l.q.told(c)
		}
	}
	return done{err}
}

// tally counts outcomes by token.
type tally struct {
	mu   sync.Mutex
	errs map[uint64][]error
}

func (t *tally) Committed(token uint64, _ Position, _ Result, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.errs == nil {
		t.errs = map[uint64][]error{}
	}
	t.errs[token] = append(t.errs[token], err)
}

func (t *tally) want(test *testing.T, n int, want error) {
	test.Helper()
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range uint64(n) {
		if e := t.errs[i]; len(e) != 1 || !errors.Is(e[0], want) {
			test.Fatalf("record %d: expected once %v, found %v", i, want, e)
		}
	}
}

func TestEveryProposalHasOneOutcome(t *testing.T) {
	tests := []struct {
		name    string
		outcome func(try map[uint64]int, seq uint64) (error, bool)
		leads   bool
		want    error
	}{
		{"committed", func(map[uint64]int, uint64) (error, bool) { return nil, true }, true, nil},
		{"refused once, then committed", func(try map[uint64]int, seq uint64) (error, bool) {
			if try[seq] == 1 {
				return raft.ErrNotLeader, false
			}
			return nil, true
		}, true, nil},
		{"lost, but in the log", func(try map[uint64]int, seq uint64) (error, bool) {
			return raft.ErrLeadershipLost, true
		}, true, nil},
		{"lost once, then committed", func(try map[uint64]int, seq uint64) (error, bool) {
			if try[seq] == 1 {
				return raft.ErrLeadershipLost, false
			}
			return nil, true
		}, true, nil},
		{"lost for good", func(try map[uint64]int, seq uint64) (error, bool) { return raft.ErrLeadershipLost, false }, true, ErrUncertain},
		{"no leader", func(map[uint64]int, uint64) (error, bool) { return nil, true }, false, ErrNoLeader},
		{"shut down", func(map[uint64]int, uint64) (error, bool) { return raft.ErrRaftShutdown, false }, true, ErrUncertain},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLog(10000)
				try := map[uint64]int{}
				l.outcome = func(seq uint64) (error, bool) {
					try[seq]++
					err, ok := test.outcome(try, seq)
					if errors.Is(err, raft.ErrLeadershipLost) && test.want != nil && try[seq] > 2 {
						l.leads = false
					}
					return err, ok
				}
				l.leads = test.leads
				l.q.start()
				var seen tally
				const n = 1500
				for i := range uint64(n) {
					if err := l.q.propose(kindMachine, []byte("record"), &seen, i); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(2 * leaderWait)
				seen.want(t, n, test.want)
				if d := l.q.depth(); d != 0 {
					t.Errorf("%d records are still counted", d)
				}
				l.q.stop()
				seen.want(t, n, test.want)
			})
		})
	}
}

// A batch whose leadership was lost may be committed by the next leader while it waits here to be sent again.
func TestBatchThatAnotherLeaderCommitsHasOneOutcome(t *testing.T) {
	for _, end := range []string{"no leader for long", "stop"} {
		t.Run(end, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLog(100)
				l.outcome = func(uint64) (error, bool) { l.leads = false; return raft.ErrLeadershipLost, false }
				l.q.start()
				got := new(tally)
				for i := range uint64(3) {
					if err := l.q.propose(kindMachine, []byte("r"), got, i); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(time.Second)
				synctest.Wait()
				b := l.q.committed(1)
				if b == nil {
					t.Fatal("the batch is not known any more")
				}
				n := len(b.waiters)
				for _, w := range b.waiters {
					w.w.Committed(w.token, Position{}, Result{}, nil)
				}
				l.q.told(b)
				if end != "stop" {
					time.Sleep(2 * leaderWait)
					synctest.Wait()
				}
				l.q.stop()
				got.want(t, n, nil)
				if d := l.q.depth(); d != 0 {
					t.Errorf("%d records are still counted", d)
				}
			})
		})
	}
}

func TestIdleLogDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(100)
		l.q.start()
		var seen tally
		start := time.Now()
		for i := range uint64(5) {
			if err := l.q.propose(kindMachine, []byte("x"), &seen, i); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			seen.want(t, int(i)+1, nil)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("five records on an idle log took %v", d)
		}
		l.q.stop()
	})
}

// blocked is a future that has its outcome when the channel is closed.
type blocked struct{ until chan struct{} }

func (b blocked) Error() error { <-b.until; return nil }
func (blocked) Response() any  { return nil }
func (blocked) Index() uint64  { return 0 }

// A batch waits for company no longer than what is under way is waited for in any case.
func TestBatchWaitsLongerBehindMany(t *testing.T) {
	for _, test := range []struct {
		first  int // records under way when the last one comes
		linger time.Duration
	}{{0, 0}, {1, batchLinger}, {deep - 1, batchLinger}, {deep, deepLinger}} {
		t.Run(fmt.Sprint(test.first, " under way"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLog(10000)
				until := make(chan struct{})
				sent := 0
				l.q.submit = func(b *batch) future {
					sent += len(b.waiters)
					c := l.q.committed(b.seq)
					l.q.told(c)
					return blocked{until}
				}
				l.q.start()
				propose := func() {
					if err := l.q.propose(kindMachine, []byte("r"), nil, 0); err != nil {
						t.Fatal(err)
					}
				}
				for range test.first {
					propose()
				}
				time.Sleep(2 * deepLinger)
				synctest.Wait()
				if sent != test.first {
					t.Fatalf("%d of %d records are under way", sent, test.first)
				}
				propose()
				if test.linger > 0 {
					time.Sleep(test.linger - time.Microsecond)
					synctest.Wait()
					if sent != test.first {
						t.Errorf("sent before %v", test.linger)
					}
					time.Sleep(time.Microsecond)
				}
				synctest.Wait()
				if sent != test.first+1 {
					t.Errorf("not sent after %v", test.linger)
				}
				close(until)
				l.q.drain(func() bool { return false })
				l.q.stop()
			})
		})
	}
}

func TestQueueIsBounded(t *testing.T) {
	l := newLog(10)
	l.leads = false
	for range 10 {
		if err := l.q.propose(kindMachine, []byte("x"), nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.q.propose(kindMachine, []byte("x"), nil, 0); !errors.Is(err, ErrBusy) {
		t.Errorf("expected %v, found %v", ErrBusy, err)
	}
	if err := l.q.propose(kindMachine, make([]byte, MaxRecord+1), nil, 0); !errors.Is(err, ErrTooLarge) {
		t.Errorf("expected %v, found %v", ErrTooLarge, err)
	}
	l.isFull = true
	if err := l.q.propose(kindMachine, []byte("x"), nil, 0); !errors.Is(err, ErrDiskFull) {
		t.Errorf("expected %v, found %v", ErrDiskFull, err)
	}
	l.isFull = false
	l.q.drain(func() bool { return true })
	if err := l.q.propose(kindMachine, []byte("x"), nil, 0); !errors.Is(err, ErrClosed) {
		t.Errorf("expected %v, found %v", ErrClosed, err)
	}
}

func TestBatchesKeepOrderAndLimits(t *testing.T) {
	l := newLog(100000)
	var got []string
	l.q.submit = func(b *batch) future {
		var e envelope
		if err := e.decode(stamp(b.buf[:b.body], 1, 1, 1, b.seq, 1, len(b.waiters))); err != nil {
			t.Error(err)
		}
		if len(b.waiters) > batchRecords || b.body > envelopeHeader+batchBytes+MaxRecord+8 || len(b.waiters) > 1 && b.body > envelopeHeader+batchBytes+8 {
			t.Errorf("a batch of %d records in %d bytes", len(b.waiters), b.body)
		}
		for _, r := range e.records {
			got = append(got, string(r[:6]))
		}
		return l.submit(b)
	}
	var want []string
	for i := range 3000 {
		size := 6 + i%50
		if i%100 == 7 {
			size = MaxRecord
		}
		r := make([]byte, size)
		copy(r, fmt.Sprintf("%06d", i))
		want = append(want, string(r[:6]))
		if err := l.q.propose(kindMachine, r, nil, 0); err != nil {
			l.q.mu.Lock()
			bytes := l.q.bytes
			l.q.mu.Unlock()
			t.Fatalf("record %d with %d bytes queued: %v", i, bytes, err)
		}
	}
	l.q.start()
	l.q.drain(func() bool { return false })
	l.q.stop()
	if !slices.Equal(got, want) {
		t.Error("records were sent in another order")
	}
}

func TestProposeAllocatesNothing(t *testing.T) {
	l := newLog(1 << 20)
	l.outcome = func(uint64) (error, bool) { l.sent = l.sent[:0]; return nil, true }
	l.q.start()
	defer l.q.stop()
	record := make([]byte, 160)
	var seen quiet
	propose := func() {
		if err := l.q.propose(kindMachine, record, &seen, 1); err != nil {
			t.Fatal(err)
		}
	}
	for range 20000 {
		propose()
	}
	if n := testing.AllocsPerRun(20000, propose); n != 0 {
		t.Errorf("%v allocations a record", n)
	}
}

type quiet struct{}

func (*quiet) Committed(uint64, Position, Result, error) {}

func BenchmarkPropose(b *testing.B) {
	l := newLog(1 << 30)
	l.outcome = func(uint64) (error, bool) { l.sent = l.sent[:0]; return nil, true }
	l.q.start()
	defer l.q.stop()
	record := make([]byte, 160)
	b.ReportAllocs()
	for b.Loop() {
		for l.q.propose(kindMachine, record, nil, 1) != nil {
			time.Sleep(time.Millisecond)
		}
	}
}
