package raftstore

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	batchBytes   = 256 << 10
	batchRecords = 512
	// batchLinger is how long a record waits for company while others are under way; with so many under way that it will be waited
	// for in any case, it waits longer: a batch and its fsync then cost more than they gain.
	batchLinger = time.Millisecond
	deep        = 2048 // records under way
	deepLinger  = 10 * time.Millisecond
	// maxInFlight batches may be on their way through raft; it is far below windowSize, so that a batch sent again is never too
	// far behind.
	maxInFlight = 64
	// queueBytes bounds the memory of the queue, whatever the records' number.
	queueBytes = 64 << 20
	// leaderWait is how long a record waits for a leader.
	leaderWait = 3 * time.Second
	// retryAfter keeps batches that raft turns away from being sent again in a tight loop.
	retryAfter = 2 * time.Millisecond
	// keepBuffer is the largest buffer of a batch that is used again.
	keepBuffer = 2 * batchBytes
)

// waiting is who wants to know about a record; w may be nil.
type waiting struct {
	w     Waiter
	token uint64
}

// batch is the records that become one raft entry.
type batch struct {
	buf     []byte // header and records; its checksum is appended when it is sent
	body    int    // length without the checksum
	waiters []waiting
	seq     uint64 // 0: not sent yet
	born    time.Time
	// The rest is guarded by batcher.mu.
	uncertain bool // some attempt may have reached the log
	applied   bool // its waiters know
	users     int  // of buf and waiters: raft, and whoever tells the waiters
}

// batcher turns records into batches, sends them, and tells the waiters. Records keep their order within a batch, and across
// batches unless the leader changes.
type batcher struct {
	limit  int
	submit func(b *batch) future // stamps and sends
	leader func() bool           // whether there is one to send to

	mu       sync.Mutex
	current  *batch
	ready    []*batch // full, not sent
	again    []*batch // to be sent again, by sequence
	pending  map[uint64]*batch
	free     []*batch
	records  int // queued or under way
	bytes    int
	inFlight int // batches
	flying   int // records in them
	seq      uint64
	closed   bool // takes no records
	dead     bool // raft is gone: whatever is left fails
	idle     *sync.Cond

	full  func() bool // whether the disk is
	wake  chan struct{}
	sent  chan flight
	stats *counters
	done  sync.WaitGroup
}

type flight struct {
	b       *batch
	f       future
	records int
}

func newBatcher(limit int, stats *counters, submit func(*batch) future, leader, full func() bool) *batcher {
	b := &batcher{
		limit: limit, submit: submit, leader: leader, full: full, stats: stats,
		pending: make(map[uint64]*batch, maxInFlight),
		wake:    make(chan struct{}, 1),
		sent:    make(chan flight, maxInFlight),
	}
	b.idle = sync.NewCond(&b.mu)
	return b
}

func (q *batcher) start() {
	q.done.Add(2)
	go q.send()
	go q.settle()
}

// propose queues one record. It takes one short lock and copies the record once.
func (q *batcher) propose(k kind, record []byte, w Waiter, token uint64) error {
	if len(record) > MaxRecord {
		return ErrTooLarge
	}
	if q.full() {
		q.stats.refused.Add(1)
		return ErrDiskFull
	}
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return ErrClosed
	}
	if q.records >= q.limit || q.bytes > queueBytes {
		q.mu.Unlock()
		q.stats.refused.Add(1)
		return ErrBusy
	}
	b := q.current
	if b != nil && (len(b.waiters) == batchRecords || len(b.buf)+len(record) > batchBytes) {
		q.ready = append(q.ready, b)
		b = nil
	}
	first := b == nil
	if first {
		b = q.take()
		q.current = b
	}
	before := len(b.buf)
	b.buf = appendRecord(b.buf, k, record)
	b.waiters = append(b.waiters, waiting{w, token})
	q.records++
	q.bytes += len(b.buf) - before
	q.mu.Unlock()
	if first {
		q.poke()
	}
	return nil
}

func (q *batcher) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *batcher) take() *batch {
	var b *batch
	if n := len(q.free); n > 0 {
		b, q.free = q.free[n-1], q.free[:n-1]
	} else {
		b = &batch{buf: make([]byte, 0, 4<<10)}
	}
	*b = batch{buf: appendHeader(b.buf[:0]), waiters: b.waiters[:0], born: time.Now()}
	return b
}

// send is the goroutine that hands batches to raft: at once when nothing is under way, else when one is full or has waited for
// its time.
func (q *batcher) send() {
	defer q.done.Done()
	defer close(q.sent)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		b, wait, ok := q.next()
		if !ok {
			return
		}
		if b != nil {
			n := len(b.waiters)
			f := q.submit(b)
			q.handed(b)
			q.sent <- flight{b, f, n}
			continue
		}
		timer.Reset(wait)
		select {
		case <-q.wake:
		case <-timer.C:
		}
	}
}

// next returns the batch to send now, or how long to wait; false at the end.
func (q *batcher) next() (b *batch, wait time.Duration, ok bool) {
	leads := q.leader()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.dead {
		return nil, 0, false
	}
	if !leads || len(q.again) > 0 || q.stale() {
		if wait := q.expire(); !leads {
			return nil, wait, true
		}
	}
	switch {
	case q.inFlight == maxInFlight:
		return nil, time.Hour, true
	case len(q.again) > 0:
		b, q.again = q.again[0], q.again[1:]
		if b.applied { // by an earlier attempt after all
			q.leave(b)
			return q.nothing()
		}
	case len(q.ready) > 0:
		b, q.ready = q.ready[0], q.ready[1:]
	case q.current == nil:
		return nil, time.Hour, true
	default:
		linger := batchLinger
		if q.flying >= deep {
			linger = deepLinger
		}
		if age := time.Since(q.current.born); q.inFlight > 0 && age < linger && len(q.current.waiters) < batchRecords && !q.closed {
			return nil, linger - age, true
		}
		b, q.current = q.current, nil
	}
	if b.seq == 0 {
		q.seq++
		b.seq, b.body, b.users = q.seq, len(b.buf), 2
		q.pending[b.seq] = b
	}
	q.inFlight++
	q.flying += len(b.waiters)
	return b, 0, true
}

func (q *batcher) nothing() (*batch, time.Duration, bool) { return nil, 0, true }

// stale reports whether what waits to be sent has waited for too long, as where the process stood still: who wanted it recorded has asked elsewhere since. The lock
// is held.
func (q *batcher) stale() bool {
	oldest := q.current
	if len(q.ready) > 0 {
		oldest = q.ready[0]
	}
	return oldest != nil && time.Since(oldest.born) > leaderWait
}

// expire fails the records that have waited too long for a leader, and returns how long to wait for the next of them.
func (q *batcher) expire() time.Duration {
	now := time.Now()
	wait := time.Hour
	var late []*batch
	keep := func(list []*batch) []*batch {
		return slices.DeleteFunc(list, func(b *batch) bool {
			left := leaderWait - now.Sub(b.born)
			if left <= 0 {
				late = append(late, b)
				return true
			}
			wait = min(wait, left)
			return false
		})
	}
	q.again, q.ready = keep(q.again), keep(q.ready)
	if q.current != nil && len(keep([]*batch{q.current})) == 0 {
		q.current = nil
	}
	for _, b := range late {
		q.fail(b, ErrNoLeader)
	}
	return wait
}

// settle is the goroutine that learns from raft what became of the batches.
func (q *batcher) settle() {
	defer q.done.Done()
	for s := range q.sent {
		err := s.f.Error()
		q.mu.Lock()
		q.inFlight--
		q.flying -= s.records
		switch {
		case err == nil:
			if !s.b.applied {
				// Applied by an attempt that the window recognised; the first one told the waiters, or will never.
				q.fail(s.b, ErrUncertain)
			} else {
				q.leave(s.b)
			}
		default:
			if !neverAppended(err) {
				s.b.uncertain = true
			}
			switch {
			case s.b.applied:
				q.leave(s.b)
			case q.dead || errors.Is(err, raft.ErrRaftShutdown):
				// Raft may still hold the buffer: it is not used again.
				s.b.buf = nil
				q.fail(s.b, ErrClosed)
			default:
				at, _ := slices.BinarySearchFunc(q.again, s.b.seq, func(b *batch, seq uint64) int { return int(b.seq) - int(seq) })
				q.again = slices.Insert(q.again, at, s.b)
			}
		}
		q.mu.Unlock()
		if err != nil {
			time.Sleep(retryAfter)
		}
		q.poke()
	}
}

// neverAppended reports whether err says for sure that raft did not append the entry.
func neverAppended(err error) bool {
	return errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrLeadershipTransferInProgress) ||
		errors.Is(err, raft.ErrEnqueueTimeout) || errors.Is(err, raft.ErrNotVoter) || errors.Is(err, errNotAppended)
}

// committed returns the batch with a sequence if its waiters do not know yet. The caller tells them and then calls told.
func (q *batcher) committed(seq uint64) *batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.pending[seq]
	if b != nil {
		delete(q.pending, seq)
		b.applied = true
	}
	return b
}

// told ends the use of a batch by whoever told its waiters.
func (q *batcher) told(b *batch) {
	q.mu.Lock()
	q.release(b)
	q.leave(b)
	q.mu.Unlock()
}

// release takes a batch's records out of the queue's count. The lock is held.
func (q *batcher) release(b *batch) {
	q.records -= len(b.waiters)
	q.bytes -= b.size()
	if q.records == 0 {
		q.idle.Broadcast()
	}
}

func (b *batch) size() int {
	if b.body > 0 {
		return b.body - envelopeHeader
	}
	return len(b.buf) - envelopeHeader
}

// leave ends one use of a batch; the last one makes it free. The lock is held.
func (q *batcher) leave(b *batch) {
	if b.users--; b.users > 0 {
		return
	}
	clear(b.waiters)
	if b.buf != nil && cap(b.buf) <= keepBuffer && len(q.free) < maxInFlight {
		q.free = append(q.free, b)
	}
}

// fail tells the waiters of a batch that is not, as far as is known, in the log, unless they know better. The lock is held; it is let go while the
// waiters are told.
func (q *batcher) fail(b *batch, err error) {
	if b.applied { // an attempt that seemed lost was not, and its waiters know
		q.leave(b)
		return
	}
	if b.uncertain {
		err = ErrUncertain
		b.buf = nil // raft may still hold it: it is not used again
	}
	delete(q.pending, b.seq)
	b.applied = true
	q.mu.Unlock()
	for _, w := range b.waiters {
		if w.w != nil {
			w.w.Committed(w.token, Position{}, Result{}, err)
		}
	}
	q.mu.Lock()
	q.release(b)
	b.users = 0
	q.leave(b)
}

// depth returns how many records are queued or under way.
func (q *batcher) depth() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.records
}

// drain refuses new records and waits until the others have an outcome, or give says that the wait is over.
func (q *batcher) drain(give func() bool) {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.poke()
	q.mu.Lock()
	for q.records > 0 && !give() {
		q.idle.Wait()
	}
	q.mu.Unlock()
}

// nudge lets whoever drains look again whether to give up.
func (q *batcher) nudge() {
	q.mu.Lock()
	q.idle.Broadcast()
	q.mu.Unlock()
}

// stop ends the goroutines after raft has been shut down, and fails what is left.
func (q *batcher) stop() {
	q.mu.Lock()
	q.closed, q.dead = true, true
	q.mu.Unlock()
	q.poke()
	q.done.Wait()
	q.mu.Lock()
	defer q.mu.Unlock()
	left := slices.Concat(q.again, q.ready)
	if q.current != nil {
		left = append(left, q.current)
	}
	q.again, q.ready, q.current = nil, nil, nil
	for _, b := range left {
		q.fail(b, ErrClosed)
	}
}
