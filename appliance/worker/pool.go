package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Config says how a pool runs its child.
type Config struct {
	// Command is the child's program and arguments; nil: this process's own binary with the argument "worker".
	Command []string
	// Env is added to the child's environment, which is otherwise empty.
	Env []string
	// Parallel is how many jobs the child works on at once, 1 to 64; 0: as many as there are processors.
	Parallel int
	// Memory is how many bytes the child may map beyond what it has at its start; 0: for passwords 512 MiB for each job at once and
	// as much to spare, for scripts 256 MiB. A child that wants more dies.
	Memory int64
	// Queue bounds the jobs that wait for the child; 0: 512.
	Queue int
	// JobTimeout is how long the child may take over one job until it is killed; 0: 15 s, which leaves room for an idle process
	// on a busy machine.
	JobTimeout time.Duration
	// Backoff is how long to wait before a child is started anew after one that answered nothing; it doubles up to a hundredfold. 0: 50 ms.
	Backoff time.Duration
	// Logger learns when a child dies and what it said; nil: discarded.
	Logger *slog.Logger
}

// Pool is the parent's side of the worker: it keeps one child alive and hands it jobs, as many at once as the child has
// processors. A job whose deadline has passed while it waited is dropped. It is safe for concurrent use. [Passwords] and [Scripts] are
// pools that know what their jobs are.
type Pool struct {
	config Config
	limit  int           // bytes of a frame that the child answers with
	look   time.Duration // how often to look how long the jobs under way have taken
	lazy   bool          // the first child is started for the first job
	log    *slog.Logger
	stop   chan struct{}
	done   chan struct{}
	wake   chan struct{} // of size 1: something was queued

	mu     sync.Mutex
	queue  []*job // in order; those to be retried are in front
	closed bool
	stats  Stats
}

// task is what a job is about.
type task interface {
	// request returns the job as the child reads it, but for the number.
	request() frame
	// settle takes the child's answer, and fail why there is none: one of the errors below, or what became of the child. One
	// of the two is called, once.
	settle(answer *frame)
	fail(err error)
}

type job struct {
	task
	deadline time.Time
	budget   time.Duration // of the processor, beyond which the child is killed; 0: none
	again    int           // how often it is given to another child after one has died
	tries    int
	started  time.Time
	spent    time.Duration // by the child, when it was handed over
}

// Stats are a pool's counters since it was made, and what is waiting and under way now.
type Stats struct {
	Queued   int // jobs that wait
	UnderWay int // jobs that the child works on
	Parallel int // jobs that the child works on at once; 0 while none runs

	Submitted uint64
	Done      uint64 // jobs answered by the child
	Refused   uint64 // jobs not taken because the queue was full
	Late      uint64 // jobs dropped because their deadline had passed
	Failed    uint64 // jobs that failed with their child
	Retried   uint64 // jobs given to a second child
	Starts    uint64 // children started
	Deaths    uint64 // children that ended without being asked to, those killed for their slowness included
	Killed    uint64 // children killed for their slowness
}

// Why a job was not taken, or not done. With any other error its child has died.
var (
	errFull   = errors.New("the queue is full")
	errLate   = errors.New("its deadline has passed")
	errClosed = errors.New("it was stopped")
)

// newPool starts a pool and its child, of whose answers none is larger than limit. It fails only if the process's own binary cannot be
// found; a child that does not start is started again and again, and jobs wait for it.
func newPool(c Config, limit int) (*Pool, error) {
	if len(c.Command) == 0 {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find own binary: %w", err)
		}
		c.Command = []string{self, "worker"}
	}
	if c.Queue <= 0 {
		c.Queue = 512
	}
	if c.JobTimeout <= 0 {
		c.JobTimeout = 15 * time.Second
	}
	if c.Backoff <= 0 {
		c.Backoff = 50 * time.Millisecond
	}
	p := &Pool{
		config: c,
		limit:  limit,
		look:   min(c.JobTimeout/4, 250*time.Millisecond),
		log:    c.Logger,
		stop:   make(chan struct{}),
		done:   make(chan struct{}),
		wake:   make(chan struct{}, 1),
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	return p, nil
}

// submit queues a job, or returns errFull or errClosed.
func (p *Pool) submit(j *job) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return errClosed
	case len(p.queue) >= p.config.Queue:
		p.stats.Refused++
		return errFull
	}
	p.queue = append(p.queue, j)
	p.stats.Submitted++
	p.nudge()
	return nil
}

// Stats returns the pool's counters.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Queued = len(p.queue)
	return s
}

// Close ends the child and fails all jobs that are not done. It returns when the child is gone, or with ctx's error if that ends first.
func (p *Pool) Close(ctx context.Context) error {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.stop)
	}
	p.mu.Unlock()
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for worker to end: %w", context.Cause(ctx))
	}
}

func (p *Pool) nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// take returns the next job that is still wanted, or nil. Those whose deadline has passed are dropped on the way.
func (p *Pool) take(now time.Time) *job {
	for {
		p.mu.Lock()
		if len(p.queue) == 0 {
			p.mu.Unlock()
			return nil
		}
		j := p.queue[0]
		p.queue[0] = nil
		p.queue = p.queue[1:]
		late := !j.deadline.IsZero() && !now.Before(j.deadline)
		if late {
			p.stats.Late++
		} else {
			p.stats.UnderWay++
		}
		p.mu.Unlock()
		if !late {
			return j
		}
		j.fail(errLate)
	}
}

// expire drops the waiting jobs whose deadline has passed while no child takes them.
func (p *Pool) expire(now time.Time) {
	var late []*job
	p.mu.Lock()
	kept := p.queue[:0]
	for _, j := range p.queue {
		if !j.deadline.IsZero() && !now.Before(j.deadline) {
			late = append(late, j)
			p.stats.Late++
		} else {
			kept = append(kept, j)
		}
	}
	clear(p.queue[len(kept):])
	p.queue = kept
	p.mu.Unlock()
	for _, j := range late {
		j.fail(errLate)
	}
}

// settle answers a job as the child did.
func (p *Pool) settle(j *job, answer *frame) {
	p.mu.Lock()
	p.stats.UnderWay--
	p.stats.Done++
	p.mu.Unlock()
	j.settle(answer)
}

// abandon takes back what a dead child was working on: what may be tried again goes to the front of the queue, the rest fails.
func (p *Pool) abandon(jobs []*job, cause error) {
	var again, lost []*job
	p.mu.Lock()
	p.stats.UnderWay -= len(jobs)
	for _, j := range jobs {
		if j.tries <= j.again && !p.closed {
			again = append(again, j)
			p.stats.Retried++
		} else {
			lost = append(lost, j)
			p.stats.Failed++
		}
	}
	p.queue = append(again, p.queue...)
	p.mu.Unlock()
	for _, j := range lost {
		j.fail(cause)
	}
}

// run keeps a child alive until the pool is closed.
func (p *Pool) run() {
	defer close(p.done)
	backoff := p.config.Backoff
	if p.lazy {
		select {
		case <-p.wake:
		case <-p.stop:
		}
	}
	for !p.stopping() {
		answered, err := p.live()
		if p.stopping() {
			break
		}
		p.mu.Lock()
		p.stats.Deaths++
		if errors.Is(err, errSlow) || errors.Is(err, errSpent) {
			p.stats.Killed++
		}
		p.mu.Unlock()
		if answered {
			backoff = p.config.Backoff
		}
		p.log.Warn("the worker ended and is started anew", "error", err, "after", backoff)
		p.rest(backoff)
		backoff = min(2*backoff, 100*p.config.Backoff)
	}
	p.mu.Lock()
	left := p.queue
	p.queue = nil
	p.stats.Failed += uint64(len(left))
	p.mu.Unlock()
	for _, j := range left {
		j.fail(errClosed)
	}
}

// rest waits, and drops meanwhile what nobody waits for any more.
func (p *Pool) rest(d time.Duration) {
	until := time.NewTimer(d)
	defer until.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case now := <-until.C:
			p.expire(now)
			return
		case now := <-tick.C:
			p.expire(now)
		}
	}
}

func (p *Pool) stopping() bool {
	select {
	case <-p.stop:
		return true
	default:
		return false
	}
}
