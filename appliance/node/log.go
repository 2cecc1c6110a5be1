package node

import (
	"context"
	"errors"

	"trine/engine"
	"trine/raftstore"
)

// log lets the engine propose to the store: it only translates between the two packages' types.
type log struct{ store *raftstore.Store }

var _ engine.Log = log{}

// Proposer implements engine.Log.
func (l log) Proposer(c engine.Completion) engine.Proposer {
	return &proposer{store: l.store, done: c}
}

// HasLeader implements engine.Log.
func (l log) HasLeader() bool { return l.store.HasLeader() }

type proposer struct {
	store *raftstore.Store
	done  engine.Completion
}

// Propose implements engine.Proposer.
func (p *proposer) Propose(proposal []byte, token uint64) error {
	return translate(p.store.Propose(proposal, p, token))
}

// Committed implements raftstore.Waiter.
func (p *proposer) Committed(token uint64, at raftstore.Position, r raftstore.Result, err error) {
	p.done.Committed(token, engine.Outcome{
		Index: at.Index, Code: uint32(r.Code), Value: r.Value, Detail: r.Detail, Err: translate(err),
	})
}

func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raftstore.ErrBusy):
		return engine.ErrBusy
	case errors.Is(err, raftstore.ErrNoLeader), errors.Is(err, raftstore.ErrDiskFull), errors.Is(err, raftstore.ErrClosed),
		errors.Is(err, raftstore.ErrUncertain):
		return engine.ErrUnavailable
	}
	return err
}

// propose proposes and waits, for the administration.
func propose(ctx context.Context, store *raftstore.Store, proposal []byte) (engine.Outcome, error) {
	at, r, err := store.ProposeWait(ctx, proposal)
	return engine.Outcome{Index: at.Index, Code: uint32(r.Code), Value: r.Value, Detail: r.Detail}, err
}
