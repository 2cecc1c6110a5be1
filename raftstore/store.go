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
	// mostTrailing bounds how many stay at all.
	mostTrailing = 1 << 16
	// maxAppendEntries is how many batches raft writes with one fsync, at most.
	maxAppendEntries = maxInFlight
	// closingSeal is how much log may have come since the last seal for a closing store to make one: it takes a second or two, which the
	// next start saves.
	closingSeal = 128 << 20
	never       = 10 * 365 * 24 * time.Hour

	// A follower that has not heard of its leader for one to two times electionTimeout asks to be elected, and that takes another fraction of it: with these, a new
	// leader is there about a second after the old one was killed. A leader that a majority has not answered for leaseTimeout ceases to be one.
	electionTimeout = 500 * time.Millisecond
	leaseTimeout    = 400 * time.Millisecond
	// commitTimeout is how long a follower waits at most, when nothing else comes, to hear that what it has is committed: so long it takes to answer a
	// lone record there.
	commitTimeout = 5 * time.Millisecond
)

// Store is one node's part of the replicated record log.
type Store struct {
	cfg      Config
	node     uint64
	lock     *os.File
	disk     *disk
	log      *wal.Log
	rows     *seal.Rows
	history  *history.Set
	notes    *notes
	sealer   *sealer
	fold     *fold
	batcher  *batcher
	raft     *raft.Raft
	carrier  raft.Transport
	peers    *peers // nil: alone
	leading  *leading
	stamping sync.Mutex // of clock
	clock    clockWatch
	level    atomic.Uint32
	diverged atomic.Pointer[string] // why, once the nodes' views were found to differ
	compared atomic.Uint64          // the newest entry that digests were asked at
	stats    counters
	holds    holds
	told     atomic.Pointer[chan struct{}] // closed when the leader is told that its state is in place; nil: nobody waits

	unsealed    unsealed
	sealNow     chan struct{}
	sealing     sync.Mutex // held while a seal is made
	notify      chan bool
	observed    chan raft.Observation // that another node leads, or is away
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
	c.LocalID = transport.ID(node)
	c.Logger = hclogger(s.cfg.Logger, "raft", s.cfg.Mesh == nil)
	c.BatchApplyCh = true
	c.MaxAppendEntries = maxAppendEntries
	c.TrailingLogs = trailingEntries
	// Seals are made when there is enough to seal; raft's count of entries says nothing about that.
	c.SnapshotInterval = never
	c.SnapshotThreshold = 1 << 62
	c.NoSnapshotRestoreOnStart = true
	c.NotifyCh = s.notify
	c.NoLegacyTelemetry = true
	if s.cfg.Mesh == nil {
		// A lone voter waits for nobody.
		c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
		return c
	}
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = electionTimeout, electionTimeout, leaseTimeout
	c.CommitTimeout = commitTimeout
	return c
}

func (s *Store) startRaft() error {
	s.sealNow = make(chan struct{}, 1)
	s.notify = make(chan bool, 16)
	s.observed = make(chan raft.Observation, 16)
	s.reading = true
	s.batcher = newBatcher(s.cfg.QueueRecords, &s.stats, s.submit, s.HasLeader, s.disk.refuses)
	s.fold.batcher = s.batcher
	s.sealer.froze = time.Now()
	s.carrier = transport.Alone(s.node)
	if m := s.cfg.Mesh; m != nil {
		s.carrier = transport.New(s.node, m, hclogger(s.cfg.Logger, "transport", false), transport.Hooks{Sending: s.sending, Answered: s.answered})
		s.peers = newPeers(m, s.where)
	}
	var err error
	s.raft, err = raft.NewRaft(s.raftConfig(s.node), s.fold, behindSeal{s.log, s.sealer}, s.log, s.sealer, s.carrier)
	if err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	if members := s.Members(); s.cfg.Mesh == nil && (len(members) > 1 || len(members) == 1 && members[0].Node != s.node) {
		return errors.Join(ErrNotAlone, s.raft.Shutdown().Error())
	}
	s.raft.RegisterObserver(raft.NewObserver(s.observed, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.FailedHeartbeatObservation, raft.ResumedHeartbeatObservation:
			return true
		}
		return false
	}))
	s.batcher.start()
	loops := []func(){s.watchLeader, s.sealLoop, s.keepLoop}
	if s.peers != nil {
		loops = append(loops, s.memberLoop, s.compareLoop, s.backfillLoop)
		s.cfg.Mesh.Handle(transport.ServiceLog, s.serve)
	}
	for _, f := range loops {
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

func (s *Store) lastTime() int64 {
	_, t := s.fold.at.get()
	return t
}

// Propose queues a record and returns; record may be reused at once. Errors at once, with the record not queued: ErrTooLarge,
// ErrBusy, ErrDiskFull, ErrClosed. Otherwise w.Committed is called exactly once, unless w is nil: with where the record stands
// and the Machine's result, or with ErrNoLeader (it is not in the log and will not be), ErrUncertain (it may be), or ErrClosed
// (the store closed before the record was sent). With an error the call comes from another goroutine than Apply's.
func (s *Store) Propose(record []byte, w Waiter, token uint64) error {
	if err := s.open(); err != nil {
		return err
	}
	return s.batcher.propose(kindMachine, record, w, token)
}

// open returns why records are not taken here, if they are not.
func (s *Store) open() error {
	switch {
	case s.failed.Load():
		return ErrClosed
	case s.diverged.Load() != nil:
		return ErrDiverged
	}
	return nil
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
	if err := s.open(); err != nil {
		return Position{}, Result{}, err
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
	if s.diverged.Load() != nil {
		return ErrDiverged
	}
	s.keepTrailing()
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

// keepTrailing has raft keep, where there are others, as many entries behind the next seal as it seals: a node that was away for less than that gets entries
// and no seal.
func (s *Store) keepTrailing() {
	if s.peers == nil {
		return
	}
	c := s.raft.ReloadableConfig()
	c.TrailingLogs = min(max(s.raft.LastIndex()-min(s.raft.LastIndex(), s.sealer.index()), trailingEntries), mostTrailing)
	if err := s.raft.ReloadConfig(c); err != nil {
		s.cfg.Logger.Warn("the log keeps as many entries as before", "error", err)
	}
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
	s.handOver(ctx)
	close(s.closed)
	s.log.Abort()
	if s.peers != nil {
		s.cfg.Mesh.Handle(transport.ServiceLog, nil)
		s.peers.close()
	}
	if t, ok := s.carrier.(*transport.Transport); ok {
		t.Abandon()
	}
	err = s.raft.Shutdown().Error()
	if t, ok := s.carrier.(raft.WithClose); ok {
		err = errors.Join(err, t.Close())
	}
	s.batcher.stop()
	s.work.Wait()
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
