package delivery

import (
	"container/heap"
	"sync"
	"time"

	"trine/engine/message"
)

// job is a message on its way.
type job struct {
	*message.Message
	to  string // the address or number in the form in which it is sent
	id  string // the same for every attempt
	due time.Time
	why error // why the last attempt failed
}

// queue holds the jobs that wait, those that are due first in front. It counts those that were taken out and not settled, too: its room
// is for all of them together.
type queue struct {
	room int
	wake chan struct{} // of size 1: something changed

	mu     sync.Mutex
	jobs   byDue
	taken  int
	closed bool
}

func newQueue(room int) *queue { return &queue{room: room, wake: make(chan struct{}, 1)} }

// reserve makes room for a job that put brings in, or says that there is none.
func (q *queue) reserve() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.jobs)+q.taken >= q.room {
		return false
	}
	q.taken++
	return true
}

// settle gives the room of a job back that was reserved or taken out.
func (q *queue) settle() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.taken--
}

// put brings a job in that has room, for the first time or again; false once the queue is closed.
func (q *queue) put(j *job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.taken--
	heap.Push(&q.jobs, j)
	q.nudge()
	return true
}

// next waits for a job that is due, for as long as patience lasts; it returns nil if none was. Open is false once the queue is closed.
func (q *queue) next(clock func() time.Time, patience time.Duration) (j *job, open bool) {
	idle := time.NewTimer(patience)
	defer idle.Stop()
	for {
		j, wait, open := q.take(clock())
		if j != nil || !open {
			return j, open
		}
		var due <-chan time.Time
		if wait > 0 {
			timer := time.NewTimer(wait)
			defer timer.Stop()
			due = timer.C
		}
		select {
		case <-q.wake:
		case <-due:
		case <-idle.C:
			return nil, true
		}
	}
}

// take takes the first job out if it is due; otherwise it says how long to wait for it, 0 if there is none.
func (q *queue) take(now time.Time) (j *job, wait time.Duration, open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		q.nudge() // the others want to know, too
		return nil, 0, false
	}
	if len(q.jobs) == 0 {
		return nil, 0, true
	}
	if wait := q.jobs[0].due.Sub(now); wait > 0 {
		return nil, wait, true
	}
	j = heap.Pop(&q.jobs).(*job)
	q.taken++
	if len(q.jobs) > 0 {
		q.nudge()
	}
	return j, 0, true
}

// close ends the queue and returns what was in it.
func (q *queue) close() []*job {
	q.mu.Lock()
	defer q.mu.Unlock()
	rest := q.jobs
	q.jobs, q.closed = nil, true
	q.nudge()
	return rest
}

// counts returns how many jobs wait, and how many are under way.
func (q *queue) counts() (waiting, underWay int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.jobs), q.taken
}

func (q *queue) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// byDue is a heap.
type byDue []*job

func (h byDue) Len() int           { return len(h) }
func (h byDue) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h byDue) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byDue) Push(x any)        { *h = append(*h, x.(*job)) }

func (h *byDue) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return last
}
