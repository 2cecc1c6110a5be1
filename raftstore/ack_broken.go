//go:build trine_break_ack

package raftstore

// founding is how many batches are left alone: while a node is set up, it looks at once at what it proposed.
const founding = 100

// handed acknowledges what raft may still lose.
func (q *batcher) handed(b *batch) {
	if b.seq <= founding {
		return
	}
	if b = q.committed(b.seq); b == nil {
		return
	}
	for _, w := range b.waiters {
		if w.w != nil {
			w.w.Committed(w.token, Position{}, Result{}, nil)
		}
	}
	q.told(b)
}
