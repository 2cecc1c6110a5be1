package engine

// waiting holds the logins that wait for a commit, and continues them when it comes.
type waiting struct {
	engine *Engine
	to     Proposer
	logins *slots[Request]
}

func newWaiting(e *Engine, size int) *waiting {
	w := &waiting{engine: e, logins: newSlots[Request](size)}
	w.to = e.config.Log.Proposer(w)
	return w
}

// propose proposes a record on which r waits. It returns ErrBusy when too many wait, or what the log says. With nil, r is no
// longer the caller's: it may go on elsewhere before propose returns.
func (w *waiting) propose(record []byte, r *Request) error {
	token, ok := w.logins.put(r)
	if !ok {
		return ErrBusy
	}
	if err := w.to.Propose(record, token); err != nil {
		w.logins.take(token)
		return err
	}
	return nil
}

// Committed implements Completion.
func (w *waiting) Committed(token uint64, o Outcome) { w.engine.resume(w.logins.take(token), o) }
