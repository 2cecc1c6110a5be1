package engine

import "errors"

// Log is the replicated log as the engine needs it.
type Log interface {
	// Proposer returns a way to propose records whose outcomes all go to c. A protocol loop makes one for its lifetime.
	Proposer(c Completion) Proposer
	// HasLeader reports whether records can be committed now, as far as this node knows.
	HasLeader() bool
}

// Proposer proposes records.
type Proposer interface {
	// Propose queues a proposal (the bytes of event.Builder) and copies it before it returns. It never blocks. An error at once
	// (ErrBusy, ErrUnavailable) means that it was not queued; otherwise Completion.Committed is called exactly once.
	Propose(proposal []byte, token uint64) error
}

// Outcome is what became of a proposal. With Err nil and Code 0 it took effect at Index; another Code (event.CodeConflict, ...)
// means that it was void, and Detail says why. With Err it did not take effect as far as is known: where the log cannot tell, it
// may have.
type Outcome struct {
	Index  uint64
	Code   uint32
	Value  uint64
	Detail string
	Err    error
}

// failure returns why the proposal did not take effect; nil if it did.
func (o Outcome) failure() error {
	if o.Err == nil && o.Code != 0 {
		return ErrRefused
	}
	return o.Err
}

// Completion learns outcomes. Committed runs on the goroutine that applies the log, or on any other where the proposal failed. It
// must not block; it may propose.
type Completion interface {
	Committed(token uint64, o Outcome)
}

var (
	// ErrBusy means that the bounded queue of the log is full.
	ErrBusy = errors.New("engine: the log's queue is full")
	// ErrUnavailable means that the log takes no records now: no leader, a full disk, or closing.
	ErrUnavailable = errors.New("engine: the log takes no records now")
	// ErrRefused means that the log took the record and the views found it void.
	ErrRefused = errors.New("engine: the record was found void")
)
