package raftstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"trine/raftstore/history"
	"trine/raftstore/seal"
	"trine/raftstore/transport"
	"trine/raftstore/wal"
)

const (
	// trailingEntries stay in the log behind a seal, for a follower that is a little behind.
	trailingEntries = 256
	// maxAppendEntries is how many batches raft writes with one fsync, at most.
	maxAppendEntries = maxInFlight
	// closingSeal is how much log may have come since the last seal for a closing store to make one: it takes a second or two, which the
	// next start saves.
	closingSeal = 128 << 20
	never       = 10 * 365 * 24 * time.Hour
)

// Store is one node's part of the replicated record log.
type Store struct {
	cfg     Config
	node    uint64
	lock    *os.File
	disk    *disk
	log     *wal.Log
	rows    *seal.Rows
	history *history.Set
	notes   *notes
	sealer  *sealer
	fold    *fold
	batcher *batcher
	raft    *raft.Raft
	carrier raft.Transport
	leading *leading
	clock   clockWatch
	stats   counters

	unsealed    unsealed
	sealNow     chan struct{}
	sealing     sync.Mutex // held while a seal is made
	notify      chan bool
	closing     atomic.Bool
	aborting    atomic.Bool // whoever closes waits no longer
	failed      atomic.Bool
	closed      chan struct{}
	closeOnce   sync.Once
	closeErr    error
	work        sync.WaitGroup
	readMu      sync.Mutex
	readers     int
	reading     bool // false: no reader may enter
	readersGone chan struct{}
}

func (s *Store) raftConfig(node uint64) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = serverID(node)
	c.Logger = hclogger(s.cfg.Logger, "raft", s.cfg.Transport == nil)
	c.BatchApplyCh = true
	c.MaxAppendEntries = maxAppendEntries
	c.TrailingLogs = trailingEntries
	// Seals are made when there is enough to seal; raft's count of entries says nothing about that.
	c.SnapshotInterval = never
	c.SnapshotThreshold = 1 << 62
	c.NoSnapshotRestoreOnStart = true
	c.NotifyCh = s.notify
	c.NoLegacyTelemetry = true
	if s.cfg.Transport == nil {
		// A lone voter waits for nobody.
		c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
	}
	return c
}

func (s *Store) startRaft() error {
	s.sealNow = make(chan struct{}, 1)
	s.notify = make(chan bool, 16)
	s.reading = true
	s.batcher = newBatcher(s.cfg.QueueRecords, &s.stats, s.submit, s.IsLeader, s.disk.refuses)
	s.fold.batcher = s.batcher
	s.sealer.froze = time.Now()
	s.carrier = s.cfg.Transport
	if s.carrier == nil {
		s.carrier = transport.New(string(serverID(s.node)))
	}
	var err error
	s.raft, err = raft.NewRaft(s.raftConfig(s.node), s.fold, s.log, s.log, s.sealer, s.carrier)
	if err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	s.batcher.start()
	for _, f := range []func(){s.watchLeader, s.sealLoop, s.keepLoop} {
		s.work.Add(1)
		go func() {
			defer s.work.Done()
			f()
		}()
	}
	return nil
}

// fatal ends the process; in tests Fatal returns and the store stops taking records.
func (s *Store) fatal(err error) {
	s.failed.Store(true)
	s.cfg.Logger.Error("the store stops", "error", err)
	s.cfg.Fatal(err)
	if s.batcher != nil {
		s.batcher.nudge()
	}
}

// ranOut is told by the log when a write finds no space. Whoever closes the store need not wait for more.
func (s *Store) ranOut() {
	s.disk.ranOut()
	if s.batcher != nil {
		s.batcher.nudge()
	}
}

// submit stamps a batch and gives it to raft. It runs on one goroutine.
func (s *Store) submit(b *batch) raft.ApplyFuture {
	now, stepped := s.clock.now(s.cfg.Clock(), s.lastTime())
	if stepped != "" {
		s.stats.clockSteps.Add(1)
		s.cfg.Logger.Warn("the clock jumped; records keep a time that does not go back", "jump", stepped)
		s.handOver()
	}
	b.buf = stamp(b.buf[:b.body], envelopeLevel, s.node, s.fold.boot, b.seq, now, len(b.waiters))
	s.stats.batches.Add(1)
	s.stats.proposed.Add(uint64(len(b.waiters)))
	s.stats.proposedBytes.Add(uint64(len(b.buf)))
	return s.raft.Apply(b.buf, 0)
}

func (s *Store) lastTime() int64 {
	_, t := s.fold.at.get()
	return t
}

// Propose queues a record and returns; record may be reused at once. Errors at once, with the record not queued: ErrTooLarge,
// ErrBusy, ErrDiskFull, ErrClosed. Otherwise w.Committed is called exactly once, unless w is nil: with where the record stands
// and the Machine's result, or with ErrNoLeader (it is not in the log and will not be), ErrUncertain (it may be), or ErrClosed
// (the store closed before the record was sent). With an error the call comes from another goroutine than Apply's.
func (s *Store) Propose(record []byte, w Waiter, token uint64) error {
	if s.failed.Load() {
		return ErrClosed
	}
	return s.batcher.propose(kindMachine, record, w, token)
}

// outcome is a Waiter for one record.
type outcome struct {
	done chan struct{}
	at   Position
	r    Result
	err  error
}

// Committed implements Waiter.
func (o *outcome) Committed(_ uint64, at Position, r Result, err error) {
	o.at, o.r, o.err = at, r, err
	close(o.done)
}

// ProposeWait proposes a record and waits for its outcome. When ctx ends first, the error is ctx's, and the record may still
// be committed.
func (s *Store) ProposeWait(ctx context.Context, record []byte) (Position, Result, error) {
	if s.failed.Load() {
		return Position{}, Result{}, ErrClosed
	}
	return s.proposeKind(ctx, kindMachine, record)
}

func (s *Store) proposeKind(ctx context.Context, k kind, record []byte) (Position, Result, error) {
	o := &outcome{done: make(chan struct{})}
	if err := s.batcher.propose(k, record, o, 0); err != nil {
		return Position{}, Result{}, err
	}
	select {
	case <-o.done:
		return o.at, o.r, o.err
	case <-ctx.Done():
		return Position{}, Result{}, fmt.Errorf("wait for a record: %w", ctx.Err())
	}
}

// Barrier returns when everything that was committed before the call is applied here. It needs the leader: elsewhere, and
// without one, it returns ErrNoLeader.
func (s *Store) Barrier(ctx context.Context) error {
	for {
		done := make(chan error, 1)
		go func() { done <- s.raft.Barrier(0).Error() }()
		var err error
		select {
		case err = <-done:
		case <-ctx.Done():
			return fmt.Errorf("barrier: %w", ctx.Err())
		}
		switch {
		case err == nil:
			return nil
		case errors.Is(err, raft.ErrRaftShutdown):
			return ErrClosed
		case !neverAppended(err) && !errors.Is(err, raft.ErrLeadershipLost):
			return fmt.Errorf("barrier: %w", err)
		}
		// Just started or between two terms: wait for a leader as long as a record would.
		if err := s.awaitLeader(ctx); err != nil {
			return err
		}
	}
}

// awaitLeader waits until this node leads.
func (s *Store) awaitLeader(ctx context.Context) error {
	timer := time.NewTimer(leaderWait)
	defer timer.Stop()
	for {
		changed := s.leading.changed()
		if s.IsLeader() {
			return nil
		}
		select {
		case <-changed:
		case <-timer.C:
			return ErrNoLeader
		case <-s.closed:
			return ErrClosed
		case <-ctx.Done():
			return fmt.Errorf("wait for a leader: %w", ctx.Err())
		}
	}
}

// Applied returns the last entry applied here, and its time.
func (s *Store) Applied() (index uint64, at time.Time) {
	i, t := s.fold.at.get()
	return i, unixTime(t)
}

// WaitApplied returns when the entry at index is applied here.
func (s *Store) WaitApplied(ctx context.Context, index uint64) error {
	if index == 0 {
		return nil
	}
	for {
		moved := s.fold.at.past(index - 1)
		if moved == nil {
			return nil
		}
		select {
		case <-moved:
		case <-s.closed:
			return ErrClosed
		case <-ctx.Done():
			return fmt.Errorf("wait for entry %d: %w", index, ctx.Err())
		}
	}
}

// unsealed is how much log there is to seal. Only the goroutine that applies the log adds to it.
type unsealed struct{ bytes, records atomic.Int64 }

// grown is told by Apply how much log there is to seal.
func (s *Store) grown(bytes, records int) {
	s.unsealed.bytes.Add(int64(bytes))
	s.unsealed.records.Add(int64(records))
	if s.sealDue() {
		select {
		case s.sealNow <- struct{}{}:
		default:
		}
	}
}

func (s *Store) sealDue() bool {
	return s.unsealed.bytes.Load() >= s.cfg.SealBytes || s.unsealed.records.Load() >= int64(s.cfg.SealRecords)
}

// sealLoop makes a seal whenever there is enough to seal.
func (s *Store) sealLoop() {
	for {
		select {
		case <-s.sealNow:
		case <-s.closed:
			return
		}
		if s.disk.levelNow() >= levelNoSeal || !s.sealDue() {
			continue // the next record asks again
		}
		if err := s.seal(false); err != nil && !s.isClosing() {
			s.cfg.Logger.Error("a seal failed; the log keeps growing until one succeeds", "error", err)
			select {
			case <-time.After(time.Second):
			case <-s.closed:
				return
			}
		}
	}
}

// Seal seals everything that is applied here now.
func (s *Store) Seal(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- s.seal(false) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for a seal: %w", ctx.Err())
	}
}

// seal makes one seal after the other. Once the store closes, only its own, the last one, begins: raft must not end while it makes one.
func (s *Store) seal(last bool) error {
	s.sealing.Lock()
	defer s.sealing.Unlock()
	if s.isClosing() && !last {
		return ErrClosed
	}
	err := s.raft.Snapshot().Error()
	if errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return nil
	}
	if err != nil {
		s.stats.sealsFailed.Add(1)
		if errors.Is(err, raft.ErrRaftShutdown) {
			return ErrClosed
		}
		return fmt.Errorf("seal: %w", err)
	}
	return nil
}

func (s *Store) isClosing() bool { return s.closing.Load() }

func (s *Store) enter() bool {
	s.readMu.Lock()
	defer s.readMu.Unlock()
	if !s.reading {
		return false
	}
	s.readers++
	return true
}

func (s *Store) leave() {
	s.readMu.Lock()
	defer s.readMu.Unlock()
	if s.readers--; s.readers == 0 && s.readersGone != nil {
		close(s.readersGone)
	}
}

// Close refuses new records, waits for those under way, moves leadership away if there is somebody to take it, makes a seal
// if that is quick, and closes everything. When ctx ends it stops waiting, gives up a seal that is under way, and still closes. Whatever was
// acknowledged is durable either way.
func (s *Store) Close(ctx context.Context) error {
	s.closeOnce.Do(func() { s.closeErr = s.close(ctx) })
	return s.closeErr
}

func (s *Store) close(ctx context.Context) error {
	s.closing.Store(true)
	stop := context.AfterFunc(ctx, func() {
		s.aborting.Store(true)
		s.log.Abort()
		s.batcher.nudge()
	})
	defer stop()
	s.batcher.drain(func() bool { return ctx.Err() != nil || s.failed.Load() || s.disk.refuses() })
	var err error
	if s.disk.levelNow() < levelNoSeal && ctx.Err() == nil && !s.failed.Load() && s.unsealed.records.Load() > 0 &&
		s.unsealed.bytes.Load() < closingSeal {
		if err = s.seal(true); err != nil {
			s.cfg.Logger.Warn("closing without a last seal", "error", err)
		}
	}
	s.handOver()
	close(s.closed)
	s.log.Abort()
	err = s.raft.Shutdown().Error()
	s.batcher.stop()
	s.work.Wait()
	if t, ok := s.carrier.(raft.WithClose); ok && s.cfg.Transport == nil {
		err = errors.Join(err, t.Close())
	}
	s.awaitReaders(ctx)
	return errors.Join(err, s.closeFiles())
}

// awaitReaders waits a moment for readers of history to notice.
func (s *Store) awaitReaders(ctx context.Context) {
	s.readMu.Lock()
	s.reading = false
	gone := make(chan struct{})
	s.readersGone = gone
	n := s.readers
	s.readMu.Unlock()
	if n == 0 {
		return
	}
	select {
	case <-gone:
	case <-ctx.Done():
	case <-time.After(time.Second):
	}
}

func (s *Store) closeFiles() error {
	var err error
	if s.disk != nil && s.disk.refuses() && s.history != nil {
		// Badger writes what is left in memory when it closes.
		err = s.disk.drop()
	}
	if s.history != nil {
		err = errors.Join(err, s.history.Close())
	}
	if s.log != nil {
		err = errors.Join(err, s.log.Close())
	}
	if s.sealer != nil {
		err = errors.Join(err, s.sealer.dir.Close())
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}
