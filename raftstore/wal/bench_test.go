package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// badgerLog is the smallest LogStore and StableStore on Badger that is durable before it acknowledges: what this package is
// measured against. It syncs every transaction, and one transaction is one call of StoreLogs.
type badgerLog struct {
	db          *badger.DB
	first, last atomic.Uint64
}

func openBadger(dir string) (*badgerLog, error) {
	db, err := badger.Open(badger.DefaultOptions(dir).WithSyncWrites(true).WithLogger(nil).WithMetricsEnabled(false).
		WithDetectConflicts(false).WithCompression(0).WithBlockCacheSize(0).WithValueThreshold(1 << 10))
	return &badgerLog{db: db}, err
}

func badgerKey(index uint64) []byte { return binary.BigEndian.AppendUint64([]byte("l"), index) }

func (b *badgerLog) FirstIndex() (uint64, error) { return b.first.Load(), nil }
func (b *badgerLog) LastIndex() (uint64, error)  { return b.last.Load(), nil }

func (b *badgerLog) GetLog(index uint64, l *raft.Log) error {
	return b.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get(badgerKey(index))
		if errors.Is(err, badger.ErrKeyNotFound) {
			return raft.ErrLogNotFound
		}
		if err != nil {
			return err
		}
		return item.Value(func(v []byte) error {
			*l = raft.Log{
				Index: index, Term: binary.BigEndian.Uint64(v), Type: raft.LogType(v[8]), Data: append([]byte(nil), v[9:]...),
			}
			return nil
		})
	})
}

func (b *badgerLog) StoreLog(l *raft.Log) error { return b.StoreLogs([]*raft.Log{l}) }

func (b *badgerLog) StoreLogs(logs []*raft.Log) error {
	txn := b.db.NewTransaction(true)
	defer txn.Discard()
	for _, l := range logs {
		v := append(binary.BigEndian.AppendUint64(make([]byte, 0, 9+len(l.Data)), l.Term), byte(l.Type))
		if err := txn.Set(badgerKey(l.Index), append(v, l.Data...)); err != nil {
			return err
		}
	}
	if err := txn.Commit(); err != nil {
		return err
	}
	b.first.CompareAndSwap(0, logs[0].Index)
	b.last.Store(logs[len(logs)-1].Index)
	return nil
}

func (b *badgerLog) DeleteRange(uint64, uint64) error { return nil }

func (b *badgerLog) Set(k, v []byte) error {
	return b.db.Update(func(txn *badger.Txn) error { return txn.Set(append([]byte("s"), k...), v) })
}

func (b *badgerLog) Get(k []byte) (v []byte, err error) {
	err = b.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get(append([]byte("s"), k...))
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		if err == nil {
			v, err = item.ValueCopy(nil)
		}
		return err
	})
	return v, err
}

func (b *badgerLog) SetUint64(k []byte, v uint64) error {
	return b.Set(k, binary.BigEndian.AppendUint64(nil, v))
}

func (b *badgerLog) GetUint64(k []byte) (uint64, error) {
	v, err := b.Get(k)
	if err != nil || v == nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(v), nil
}

type nothing struct{}

func (nothing) Apply(*raft.Log) any                 { return nil }
func (nothing) Snapshot() (raft.FSMSnapshot, error) { return nil, errors.New("no snapshot") }
func (nothing) Restore(io.ReadCloser) error         { return nil }
func (nothing) ApplyBatch(logs []*raft.Log) []any   { return make([]any, len(logs)) }

// BenchmarkLogStore commits 160-byte events through a raft of one voter, with so many in flight, group commit in front, and
// the two log stores in turn. The figures of docs/adr/0001-raft-log-store.md come from it.
func BenchmarkLogStore(b *testing.B) {
	type store interface {
		raft.LogStore
		raft.StableStore
	}
	stores := []struct {
		name string
		open func(dir string) (store, func() error, error)
	}{
		{"badger", func(dir string) (store, func() error, error) {
			l, err := openBadger(dir)
			return l, l.db.Close, err
		}},
		{"raft-wal", func(dir string) (store, func() error, error) {
			l, err := Open(dir, Options{Fatal: func(err error) { b.Error(err) }})
			return l, l.Close, err
		}},
	}
	for _, s := range stores {
		for _, inFlight := range []int{16, 256, 1024, 4096} {
			b.Run(fmt.Sprintf("%s/%d", s.name, inFlight), func(b *testing.B) {
				logs, closeLogs, err := s.open(b.TempDir())
				if err != nil {
					b.Fatal(err)
				}
				commitEvents(b, logs, logs, inFlight)
				if err := closeLogs(); err != nil {
					b.Error(err)
				}
			})
		}
	}
}

func commitEvents(b *testing.B, logs raft.LogStore, stable raft.StableStore, inFlight int) {
	c := raft.DefaultConfig()
	c.LocalID, c.Logger, c.BatchApplyCh, c.SnapshotInterval = "n", hclog.NewNullLogger(), true, time.Hour
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
	_, trans := raft.NewInmemTransport("n")
	snaps := raft.NewDiscardSnapshotStore()
	servers := raft.Configuration{Servers: []raft.Server{{ID: "n", Address: "n"}}}
	if err := raft.BootstrapCluster(c, logs, stable, snaps, trans, servers); err != nil {
		b.Fatal(err)
	}
	r, err := raft.NewRaft(c, nothing{}, logs, stable, snaps, trans)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := r.Shutdown().Error(); err != nil {
			b.Error(err)
		}
	}()
	for r.State() != raft.Leader {
		time.Sleep(time.Millisecond)
	}
	const size, perEntry = 160, 512
	event := make([]byte, size)
	queue := make(chan chan struct{}, inFlight)
	slots := make(chan struct{}, 16) // entries in flight
	var entries sync.WaitGroup
	go func() {
		for first := range queue {
			slots <- struct{}{}
			waiters := []chan struct{}{first}
			data := append([]byte(nil), event...)
			for len(waiters) < perEntry && len(queue) > 0 {
				waiters = append(waiters, <-queue)
				data = append(data, event...)
			}
			entries.Go(func() {
				if err := r.Apply(data, 0).Error(); err != nil {
					b.Error(err)
				}
				<-slots
				for _, w := range waiters {
					w <- struct{}{}
				}
			})
		}
	}()
	var next atomic.Int64
	var workers sync.WaitGroup
	var waited atomic.Int64
	b.ResetTimer()
	for range inFlight {
		workers.Go(func() {
			done := make(chan struct{}, 1)
			for next.Add(1) <= int64(b.N) {
				start := time.Now()
				queue <- done
				<-done
				waited.Add(int64(time.Since(start)))
			}
		})
	}
	workers.Wait()
	b.StopTimer()
	close(queue)
	entries.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(waited.Load())/float64(b.N)/1e6, "ms/event")
	b.ReportMetric(0, "ns/op")
}
