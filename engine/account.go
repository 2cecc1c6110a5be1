package engine

import (
	"trine/engine/event"
)

// accounts holds the accounting records of one lane that wait for their commit.
type accounts struct {
	to      Proposer
	builder event.Builder // the lane's goroutine's
	records *slots[Accounting]
}

func newAccounts(e *Engine, size int) *accounts {
	w := &accounts{records: newSlots[Accounting](size)}
	w.to = e.config.Log.Proposer(w)
	return w
}

// Account stores one accounting record. a.Done is told exactly once, possibly before Account returns: with a.Err nil once a
// quorum has the record on disk. With any other outcome (ErrBusy, ErrUnavailable, ErrRefused) the device gets no answer and tries
// again, here or elsewhere.
func (l *Lane) Account(a *Accounting) {
	w := l.accounts
	a.Err, a.Duplicate = nil, false
	token, ok := w.records.put(a)
	if !ok {
		a.Err = ErrBusy
		a.Done.Accounted(a)
		return
	}
	l.complete(a)
	w.builder.Reset()
	w.builder.AddAccounted(&a.Record)
	if err := w.to.Propose(w.builder.Bytes(), token); err != nil {
		w.finish(token, err, false)
	}
}

// complete fills in what the engine knows of a record.
func (l *Lane) complete(a *Accounting) {
	v := &a.Record
	v.User = nil
	named := func(login []byte) (ok bool) {
		a.user, ok = l.engine.config.People.UserName(a.user[:0], login)
		return ok
	}
	name, found := v.UserName, resolution{}
	if a.Client.UID == nil {
		found = resolve(a.Client, name, named)
	} else if name = a.LoginUser; len(name) > 0 {
		found.ok = named(name)
	}
	if !found.ok {
		a.user, found.ok = l.engine.endpointName(a.user[:0], a.Client, name)
	}
	if found.ok {
		v.User = a.user
	}
	a.text = append(a.text[:0], a.Client.Name...)
	v.Client = a.text
	v.Key = event.AccountingKey(v, a.HasTime)
	v.StaleAfter = uint32(a.Client.StaleAfter.Seconds())
}

// Committed implements Completion.
func (w *accounts) Committed(token uint64, o Outcome) {
	err := o.Err
	if err == nil && o.Code != 0 && o.Code != event.CodeDuplicate {
		err = ErrRefused
	}
	w.finish(token, err, err == nil && o.Code == event.CodeDuplicate)
}

func (w *accounts) finish(token uint64, err error, duplicate bool) {
	a := w.records.take(token)
	a.Err, a.Duplicate = err, duplicate
	a.Done.Accounted(a)
}
