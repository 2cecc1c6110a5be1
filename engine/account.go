package engine

import (
	"sync"

	"trine/engine/event"
)

// accounts holds the accounting records of one lane that wait for their commit, by token.
type accounts struct {
	engine  *Engine
	to      Proposer
	builder event.Builder

	mu    sync.Mutex
	slots []*Accounting
	free  []uint32
}

func newAccounts(e *Engine, size int) *accounts {
	w := &accounts{engine: e, slots: make([]*Accounting, size), free: make([]uint32, size)}
	for i := range w.free {
		w.free[i] = uint32(size - 1 - i)
	}
	w.to = e.config.Log.Proposer(w)
	return w
}

// Account stores one accounting record. a.Done is told exactly once, possibly before Account returns: with a.Err nil once a
// quorum has the record on disk. ErrBusy and ErrUnavailable mean that the device gets no answer and tries again elsewhere.
func (l *Lane) Account(a *Accounting) {
	w := l.accounts
	a.Err, a.Duplicate = nil, false
	if len(a.Record.UserName) > 0 && resolve(&a.user, l.engine.config.People, a.Client, a.Record.UserName) {
		a.Record.User = a.user.Name
	} else {
		a.Record.User = nil
	}
	a.text = append(a.text[:0], a.Client.Name...)
	a.Record.Client = a.text
	a.Record.Key = event.AccountingKey(&a.Record, a.HasTime)
	a.Record.StaleAfter = uint32(a.Client.StaleAfter.Seconds())

	w.builder.Reset()
	w.builder.AddAccounted(&a.Record, a.describe()...)

	w.mu.Lock()
	if len(w.free) == 0 {
		w.mu.Unlock()
		a.Err = ErrBusy
		a.Done.Accounted(a)
		return
	}
	token := w.free[len(w.free)-1]
	w.free = w.free[:len(w.free)-1]
	w.slots[token] = a
	w.mu.Unlock()

	if err := w.to.Propose(w.builder.Bytes(), uint64(token)); err != nil {
		w.finish(token, err, false)
	}
}

// Committed implements Completion.
func (w *accounts) Committed(token uint64, o Outcome) {
	err := o.Err
	if err == nil && o.Code != 0 && o.Code != event.CodeDuplicate {
		err = ErrRefused
	}
	w.finish(uint32(token), err, o.Code == event.CodeDuplicate)
}

func (w *accounts) finish(token uint32, err error, duplicate bool) {
	w.mu.Lock()
	a := w.slots[token]
	w.slots[token] = nil
	w.free = append(w.free, token)
	w.mu.Unlock()
	a.Err, a.Duplicate = err, duplicate
	a.Done.Accounted(a)
}

// describe returns the streams under which a is found.
func (a *Accounting) describe() []uint64 {
	record := &a.Record
	var id [16]byte
	streams := append(a.streams[:0],
		event.StreamKey(event.StreamClient, record.Client),
		event.StreamKey(event.StreamSession, appendSession(id[:0], event.SessionID(record.Client, record.NAS, record.SessionID))),
		event.StreamKey(event.StreamNAS, record.NAS))
	if len(record.User) > 0 {
		streams = append(streams, event.StreamKey(event.StreamUser, record.User))
	} else if len(record.UserName) > 0 {
		streams = append(streams, event.StreamKey(event.StreamUser, record.UserName))
	}
	if len(record.Calling) > 0 {
		streams = append(streams, event.StreamKey(event.StreamMAC, record.Calling))
	}
	return streams
}

// appendSession appends a session id as 16 hexadecimal digits.
func appendSession(dst []byte, id uint64) []byte {
	const digits = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, digits[id>>uint(shift)&15])
	}
	return dst
}
