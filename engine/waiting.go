package engine

import "sync"

// waiting holds the logins that wait for a commit, by token, and continues them when it comes.
type waiting struct {
	engine *Engine
	to     Proposer

	mu    sync.Mutex
	slots []*Request
	free  []uint32
}

func newWaiting(e *Engine, size int) *waiting {
	w := &waiting{engine: e, slots: make([]*Request, size), free: make([]uint32, size)}
	for i := range w.free {
		w.free[i] = uint32(size - 1 - i)
	}
	w.to = e.config.Log.Proposer(w)
	return w
}

// propose proposes a record on which r waits. It returns ErrBusy when too many wait, or what the log says.
func (w *waiting) propose(record []byte, r *Request) error {
	token, ok := w.put(r)
	if !ok {
		return ErrBusy
	}
	if err := w.to.Propose(record, uint64(token)); err != nil {
		w.take(token)
		return err
	}
	return nil
}

func (w *waiting) put(r *Request) (uint32, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.free) == 0 {
		return 0, false
	}
	token := w.free[len(w.free)-1]
	w.free = w.free[:len(w.free)-1]
	w.slots[token] = r
	return token, true
}

func (w *waiting) take(token uint32) *Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.slots[token]
	w.slots[token] = nil
	w.free = append(w.free, token)
	return r
}

func (w *waiting) len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.slots) - len(w.free)
}

// Committed implements Completion.
func (w *waiting) Committed(token uint64, o Outcome) {
	r := w.take(uint32(token))
	w.engine.resume(r, o)
}
