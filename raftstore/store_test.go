package raftstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestRecordsSurviveACleanRestart(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, testConfig(t, dir))
	for i := range 100 {
		mustPropose(t, s, op{Class(i % 3), opSet, fmt.Sprintf("k%d", i%40), fmt.Sprint(i)})
	}
	want := s.cfg.Machine.(*kv).copy()
	before := readAll(t, s, Query{})
	node := s.Status().Node
	mustClose(t, s)

	s = mustOpen(t, testConfig(t, dir))
	defer mustClose(t, s)
	if got := s.cfg.Machine.(*kv).copy(); !maps.Equal(got, want) {
		t.Errorf("rows: expected %v, found %v", want, got)
	}
	if s.Status().SealIndex == 0 {
		t.Error("a clean close made no seal")
	}
	if got := s.Status().Node; got != node {
		t.Errorf("node: expected %x, found %x", node, got)
	}
	after := readAll(t, s, Query{})
	if !slices.EqualFunc(before, after, sameItem) {
		t.Errorf("facts before the restart: %v\nafter: %v", names(before), names(after))
	}
	if r := replayed(t, s); r.Digest() != s.cfg.Machine.Digest() {
		t.Error("the digest of a replay differs from the views'")
	}
}

func sameItem(a, b Item) bool {
	return a.Position == b.Position && a.Time.Equal(b.Time) && a.Node == b.Node && a.Class == b.Class &&
		slices.Equal(a.Streams, b.Streams) && string(a.Data) == string(b.Data)
}

func TestVoidRecordsLeaveNoFacts(t *testing.T) {
	s := mustOpen(t, testConfig(t, t.TempDir()))
	defer mustClose(t, s)
	check := func(when string) {
		t.Helper()
		got := names(readAll(t, s, Query{}))
		want := []string{"a=1", "b=2x", "second", "c=3"}
		if !slices.Equal(got, want) {
			t.Errorf("%s: expected %v, found %v", when, want, got)
		}
	}
	mustPropose(t, s, op{1, opAdd, "a", "1"})
	at, r := mustPropose(t, s, op{1, opAdd, "a", "9"})
	if r.Code != voidExists || r.Detail != "a" || at.Index == 0 {
		t.Errorf("a void record: found %+v at %v", r, at)
	}
	mustPropose(t, s, op{1, opAdd, "b", "2x"})
	mustPropose(t, s, op{1, opAdd, "b", "2y"})
	mustPropose(t, s, op{1, opAdd, "c", "3"})
	check("in the log")
	mustSeal(t, s)
	check("in history")
	if r := replayed(t, s); r.Digest() != s.cfg.Machine.Digest() {
		t.Error("the digest of a replay differs from the views'")
	}
}

// reread is a Waiter that reads what it is told.
type reread struct {
	s    *Store
	done chan []Item
}

func (r *reread) Committed(_ uint64, at Position, _ Result, _ error) {
	var got []Item
	for item := range r.s.Read(context.Background(), Query{From: at}) {
		got = append(got, item)
	}
	r.done <- got
}

func TestProposerThatIsAnsweredCanReadItsRecord(t *testing.T) {
	s := mustOpen(t, testConfig(t, t.TempDir()))
	defer mustClose(t, s)
	r := &reread{s, make(chan []Item, 1)}
	if err := s.Propose(op{0, opSet, "k", "v"}.encode(), r, 0); err != nil {
		t.Fatal(err)
	}
	if got := <-r.done; len(got) == 0 {
		t.Error("the record was acknowledged before it could be read")
	}
}

// together proposes records so that they share batches, and returns their positions.
func together(t *testing.T, s *Store, ops []op) []Position {
	t.Helper()
	c := &collector{at: make([]Position, len(ops)), left: len(ops), done: make(chan struct{})}
	for i, o := range ops {
		for {
			err := s.Propose(o.encode(), c, uint64(i))
			if err == nil {
				break
			}
			if !errors.Is(err, ErrBusy) {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
	}
	<-c.done
	if c.err != nil {
		t.Fatal(c.err)
	}
	return c.at
}

type collector struct {
	mu   sync.Mutex
	at   []Position
	left int
	err  error
	done chan struct{}
}

func (c *collector) Committed(token uint64, at Position, _ Result, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at[token] = at
	if err != nil {
		c.err = err
	}
	if c.left--; c.left == 0 {
		close(c.done)
	}
}

func TestPositionsCountFactsOfTheWholeEntry(t *testing.T) {
	s := mustOpen(t, testConfig(t, t.TempDir()))
	defer mustClose(t, s)
	var ops []op
	for i := range 2000 {
		v := fmt.Sprint(i % 4) // one in four has two facts
		ops = append(ops, op{Class(i % 2), byte(i % 2), fmt.Sprintf("k%d", i%300), v})
	}
	at := together(t, s, ops)
	for _, sealed := range []bool{false, true} {
		if sealed {
			mustSeal(t, s)
		}
		found := map[Position]string{}
		var last Position
		for i, item := range readAll(t, s, Query{}) {
			if i > 0 && !last.Less(item.Position) {
				t.Fatalf("sealed %v: %v does not come after %v", sealed, item.Position, last)
			}
			last = item.Position
			found[item.Position] = string(item.Data)
		}
		for i, p := range at {
			if data, ok := found[p]; ok && data != string(ops[i].encode()) {
				t.Errorf("sealed %v: at %v expected record %d", sealed, p, i)
			}
		}
	}
}

func TestReadsSelect(t *testing.T) {
	clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	cfg := testConfig(t, t.TempDir())
	var mu sync.Mutex
	cfg.Clock = func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return clock
	}
	s := mustOpen(t, cfg)
	defer mustClose(t, s)
	var at []Position
	for i := range 12 {
		mu.Lock()
		clock = clock.Add(time.Second)
		mu.Unlock()
		p, _ := mustPropose(t, s, op{Class(i % 3), opSet, fmt.Sprintf("k%d", i%4), fmt.Sprint("v", i)})
		at = append(at, p)
		if i == 4 || i == 7 {
			mustSeal(t, s)
		}
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	second := func(i int) time.Time { return start.Add(time.Duration(i+1) * time.Second) } // time of record i
	tests := []struct {
		name string
		q    Query
		want []int
	}{
		{"everything", Query{}, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
		{"backwards", Query{Reverse: true}, []int{11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0}},
		{"one class", Query{Classes: []Class{1}}, []int{1, 4, 7, 10}},
		{"two classes backwards", Query{Classes: []Class{0, 2}, Reverse: true}, []int{11, 9, 8, 6, 5, 3, 2, 0}},
		{"a stream", Query{Stream: stream("k2")}, []int{2, 6, 10}},
		{"a stream backwards", Query{Stream: stream("k3"), Reverse: true}, []int{11, 7, 3}},
		{"a stream that is not there", Query{Stream: stream("nobody")}, nil},
		{"from history on", Query{From: at[3]}, []int{3, 4, 5, 6, 7, 8, 9, 10, 11}},
		{"from the log on", Query{From: at[9]}, []int{9, 10, 11}},
		{"backwards from the log", Query{From: at[9], Reverse: true}, []int{9, 8, 7, 6, 5, 4, 3, 2, 1, 0}},
		{"backwards from history", Query{From: at[2], Reverse: true}, []int{2, 1, 0}},
		{"since", Query{Since: second(6)}, []int{6, 7, 8, 9, 10, 11}},
		{"until", Query{Until: second(6)}, []int{0, 1, 2, 3, 4, 5}},
		{"between", Query{Since: second(3), Until: second(9)}, []int{3, 4, 5, 6, 7, 8}},
		{"between backwards", Query{Since: second(3), Until: second(9), Reverse: true}, []int{8, 7, 6, 5, 4, 3}},
		{"past the end", Query{From: Position{Index: 1 << 40}}, nil},
		{"everything at once", Query{Classes: []Class{0, 1}, Since: second(1), Until: second(11), Stream: stream("k1")}, []int{1, 9}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var want []string
			for _, i := range test.want {
				want = append(want, fmt.Sprintf("k%d=v%d", i%4, i))
			}
			if got := names(readAll(t, s, test.q)); !slices.Equal(got, want) {
				t.Errorf("expected %v, found %v", want, got)
			}
		})
	}
}

func TestFollowerSeesEverythingOnce(t *testing.T) {
	cfg := testConfig(t, t.TempDir())
	cfg.SealRecords = 50
	s := mustOpen(t, cfg)
	defer mustClose(t, s)
	const n = 400
	mustPropose(t, s, op{0, opSet, "k", "v0"})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got := make(chan []string, 1)
	go func() {
		var seen []string
		for item, err := range s.Follow(ctx, Query{}) {
			if err != nil {
				t.Errorf("follow: %v", err)
				break
			}
			seen = append(seen, string(item.Data[4:]))
			if len(seen) == n {
				break
			}
		}
		got <- seen
	}()
	for i := 1; i < n; i++ {
		mustPropose(t, s, op{Class(i % 3), opSet, "k", fmt.Sprint("v", i)})
	}
	for i, v := range <-got {
		if v != fmt.Sprint("v", i) {
			t.Fatalf("item %d: found %s", i, v)
		}
	}
	if s.Stats().Seals == 0 {
		t.Error("no seal was made on the way")
	}
}

func TestCloseDoesNotWaitForSpaceOrAFailedStore(t *testing.T) {
	for _, c := range []struct {
		name string
		fail func(s *Store)
	}{
		{"no space", func(s *Store) { s.ranOut() }},
		{"failed", func(s *Store) { s.fatal(errors.New("sync failed")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig(t, t.TempDir())
			cfg.keep = time.Hour
			cfg.Fatal = func(error) {}
			s := mustOpen(t, cfg)
			// A record that never gets an outcome.
			s.batcher.mu.Lock()
			s.batcher.records++
			s.batcher.mu.Unlock()
			closed := make(chan error, 1)
			go func() { closed <- s.Close(context.Background()) }()
			for !errors.Is(s.Propose(op{0, opSet, "k", "v"}.encode(), nil, 0), ErrClosed) {
				time.Sleep(time.Millisecond)
			}
			time.Sleep(10 * time.Millisecond) // it waits for the record now
			c.fail(s)
			select {
			case err := <-closed:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("the store does not close")
			}
		})
	}
}

// A seal takes as long as the log and the rows are many; whoever closes does not wait for it beyond his time.
func TestCloseGivesUpASealWhenItsTimeIsOver(t *testing.T) {
	for _, step := range []string{"history", "rows", "syncfs"} {
		t.Run(step, func(t *testing.T) {
			cfg := testConfig(t, t.TempDir())
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			armed := false
			var aborting func() bool
			cfg.failpoint = func(at string) error {
				if armed && at == step {
					cancel()
					for !aborting() {
						time.Sleep(time.Millisecond)
					}
				}
				return nil
			}
			s := mustOpen(t, cfg)
			aborting = s.aborting.Load
			for i := range 100 {
				mustPropose(t, s, op{0, opSet, fmt.Sprint("k", i), "v"})
			}
			mustSeal(t, s)
			sealed := s.Status().SealIndex
			for i := range 100 {
				mustPropose(t, s, op{0, opSet, fmt.Sprint("k", 50+i), "w"})
			}
			digest := cfg.Machine.Digest()
			armed = true
			if err := s.Close(ctx); err != nil {
				t.Fatal(err)
			}
			s = mustOpen(t, testConfig(t, cfg.Dir))
			defer mustClose(t, s)
			if got := s.Status().SealIndex; got != sealed {
				t.Errorf("the seal is at %d, it was at %d", got, sealed)
			}
			if s.cfg.Machine.Digest() != digest {
				t.Error("the rows differ after the restart")
			}
		})
	}
}

func TestSealsAtTheSameTimeCountTheLogOnce(t *testing.T) {
	cfg := testConfig(t, t.TempDir())
	began, goOn := make(chan struct{}, 2), make(chan struct{})
	cfg.failpoint = func(at string) error {
		if at == "history" {
			began <- struct{}{}
			<-goOn
		}
		return nil
	}
	s := mustOpen(t, cfg)
	for i := range 20 {
		mustPropose(t, s, op{0, opSet, fmt.Sprint("k", i), "v"})
	}
	var seals sync.WaitGroup
	for range 2 {
		seals.Go(func() {
			if err := s.Seal(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	<-began
	time.Sleep(10 * time.Millisecond) // the other one waits for this one by then
	close(goOn)
	seals.Wait()
	if b, r := s.unsealed.bytes.Load(), s.unsealed.records.Load(); b != 0 || r != 0 {
		t.Errorf("after two seals %d bytes and %d records are to be sealed", b, r)
	}
	// A second seal at the same entry has nothing to seal, and harms nothing.
	if got := s.Stats().Seals; got != 1 {
		t.Errorf("%d seals of the same", got)
	}
	digest := s.cfg.Machine.Digest()
	mustClose(t, s)
	s = mustOpen(t, testConfig(t, cfg.Dir))
	defer mustClose(t, s)
	if s.cfg.Machine.Digest() != digest {
		t.Error("the rows differ after the restart")
	}
}

func TestSealsTruncateTheLog(t *testing.T) {
	cfg := testConfig(t, t.TempDir())
	cfg.segment = 64 << 10
	s := mustOpen(t, cfg)
	defer mustClose(t, s)
	for i := range 3 * trailingEntries {
		mustPropose(t, s, op{0, opSet, "k", fmt.Sprint(i)})
	}
	mustSeal(t, s)
	st := s.Status()
	if st.SealIndex < 3*trailingEntries || st.First != st.Last-trailingEntries+1 {
		t.Errorf("after a seal at %d of a log up to %d the log begins at %d", st.SealIndex, st.Last, st.First)
	}
}
