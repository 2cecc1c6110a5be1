package raftstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"trine/raftstore/transport"
)

// future tells, once, what became of a batch that was sent; it waits until that is known.
type future interface{ Error() error }

// errNotAppended means that a batch is in nobody's log.
var errNotAppended = errors.New("the batch reached no leader")

type failed struct{ err error }

func (f failed) Error() error { return f.err }

// submit sends a batch to the log: here if this node leads, else to the leader. It runs on one goroutine.
func (s *Store) submit(b *batch) future {
	s.stats.batches.Add(1)
	s.stats.proposed.Add(uint64(len(b.waiters)))
	s.stats.proposedBytes.Add(uint64(len(b.buf)))
	if s.IsLeader() || s.peers == nil {
		b.buf = stamp(b.buf[:b.body], s.Level(), s.node, s.fold.boot, b.seq, s.now(), len(b.waiters))
		return s.raft.Apply(b.buf, 0)
	}
	leader, ok := s.leader()
	if !ok {
		return failed{errNotAppended}
	}
	b.buf = stamp(b.buf[:b.body], s.Level(), s.node, s.fold.boot, b.seq, 0, len(b.waiters))
	s.stats.forwarded.Add(1)
	return &forwarded{s, s.peers.start(leader, verbPropose, b.buf)}
}

// now returns the time to stamp. Whoever finds that the clock has jumped gives leadership away.
func (s *Store) now() int64 {
	s.stamping.Lock()
	now, stepped := s.clock.now(s.cfg.Clock(), s.lastTime())
	s.stamping.Unlock()
	if stepped != "" {
		s.stats.clockSteps.Add(1)
		s.cfg.Logger.Warn("the clock jumped; records keep a time that does not go back", "jump", stepped)
		s.giveUpLead()
	}
	return now
}

// forwarded is a batch that another node was asked to append.
type forwarded struct {
	s    *Store
	call *call
}

// Error implements future. With nil the batch is committed, and what is committed before it and with it is applied here.
func (f *forwarded) Error() error {
	<-f.call.done
	var refused *refusedError
	switch err := f.call.err; {
	case errors.As(err, &refused), errors.Is(err, errNotSent):
		return fmt.Errorf("%w: %w", errNotAppended, err)
	case err != nil:
		return err
	case len(f.call.answer) != 8:
		return errLost
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	return f.s.WaitApplied(ctx, binary.LittleEndian.Uint64(f.call.answer))
}

// handle does what another node asks, and tells it through reply, which is called once. It does not wait for the log.
func (s *Store) handle(from uint64, v verb, body []byte, reply func([]byte, error)) {
	switch v {
	case verbPropose:
		s.append(from, body, reply)
	case verbBarrier:
		go func() { reply(s.barrierIndex()) }()
	case verbMember:
		go func() { reply(nil, s.takeMemberChange(from, body)) }()
	case verbStatus:
		reply(s.ownStatus())
	case verbDigest:
		reply(s.digestAt(body))
	default:
		reply(nil, &refusedError{fmt.Sprintf("verb %d is not known here", v)})
	}
}

// append puts another node's batch into the log. It is read whole before: what is in the log is applied by all, and must not stop them.
func (s *Store) append(from uint64, body []byte, reply func([]byte, error)) {
	var e envelope
	err := e.decode(body)
	switch {
	case err != nil:
	case e.node != from:
		err = fmt.Errorf("node %016x proposes in the name of node %016x", from, e.node)
	case s.disk.refuses():
		err = ErrDiskFull
	case s.failed.Load() || s.isClosing():
		err = ErrClosed
	}
	if err != nil {
		reply(nil, &refusedError{err.Error()})
		return
	}
	f := s.raft.Apply(stamp(body[:len(body)-envelopeSum], s.Level(), e.node, e.epoch, e.seq, s.now(), len(e.records)), 0)
	go func() {
		err := f.Error()
		switch {
		case err == nil:
			reply(binary.LittleEndian.AppendUint64(nil, f.Index()), nil)
		case neverAppended(err):
			reply(nil, &refusedError{err.Error()})
		default:
			reply(nil, err)
		}
	}()
}

// leader returns the node that leads as far as this one knows, itself included.
func (s *Store) leader() (uint64, bool) {
	_, id := s.raft.LeaderWithID()
	return transport.Node(id)
}

// barrierIndex returns an index at which everything is applied that was committed before the call, if this node leads.
func (s *Store) barrierIndex() ([]byte, error) {
	f := s.raft.Barrier(callTimeout)
	switch err := f.Error(); {
	case err == nil:
		// Raft's own index counts entries that are no records, which no node waits for.
		index, _ := s.fold.at.get()
		return binary.LittleEndian.AppendUint64(nil, index), nil
	case neverAppended(err), errors.Is(err, raft.ErrLeadershipLost):
		return nil, &refusedError{err.Error()}
	default:
		return nil, err
	}
}

// Barrier returns when everything that was committed before the call, anywhere, is applied here. Without a leader it waits for one as
// long as a record would, and then returns ErrNoLeader.
func (s *Store) Barrier(ctx context.Context) error {
	for {
		changed := s.leading.changed()
		index, err := s.barrier(ctx)
		switch {
		case err == nil:
			return s.WaitApplied(ctx, index)
		case errors.Is(err, raft.ErrRaftShutdown):
			return ErrClosed
		case ctx.Err() != nil:
			return fmt.Errorf("barrier: %w", ctx.Err())
		}
		if err := s.await(ctx, changed); err != nil {
			return err
		}
	}
}

// barrier asks the leader, this node or another, once.
func (s *Store) barrier(ctx context.Context) (uint64, error) {
	leader, ok := s.leader()
	if !ok {
		return 0, ErrNoLeader
	}
	if leader != s.node && s.peers != nil {
		answer, err := s.peers.call(ctx, leader, verbBarrier, nil)
		if err != nil || len(answer) != 8 {
			return 0, errors.Join(errNotAppended, err)
		}
		return binary.LittleEndian.Uint64(answer), nil
	}
	done := make(chan error, 1)
	go func() { done <- s.raft.Barrier(0).Error() }()
	select {
	case err := <-done:
		return 0, err // raft has applied it all
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// await waits until the leader changes, or a moment has passed with one.
func (s *Store) await(ctx context.Context, changed <-chan struct{}) error {
	wait := leaderWait
	if s.HasLeader() {
		wait = 20 * retryAfter
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-changed:
		return nil
	case <-timer.C:
		if wait == leaderWait {
			return ErrNoLeader
		}
		return nil
	case <-s.closed:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("wait for a leader: %w", ctx.Err())
	}
}
