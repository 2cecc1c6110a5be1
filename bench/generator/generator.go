package generator

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// Load is requests that were built before.
type Load interface {
	// Request returns the i-th request, 0 <= i < Len. Its second byte, the Identifier, is i%Slots%256.
	Request(i int) []byte
	Len() int
	// Slots is how many requests may be under way at once.
	Slots() int
	// Once says that no request may be sent a second time, so that the run ends when all were sent.
	Once() bool
	// Target says to which of the addresses the i-th request goes.
	Target(i int) int
	// Check returns nil if reply is the right answer to the i-th request, else what is wrong with it.
	Check(i int, reply []byte) error
}

const (
	idBits        = 8                      // of the RADIUS Identifier
	retransmit    = time.Second            // after which a request without an answer is sent again
	attempts      = 5                      // after which it is given up
	drainWithin   = 3 * time.Second        // how long the answers to what is under way are waited for at the end
	longest       = int64(time.Minute)     // what the histogram holds
	digits        = 3                      // of the histogram
	checkInterval = 100 * time.Millisecond // between looks for requests without an answer
)

// Generator drives one server with one load, from the goroutine that calls Run.
type Generator struct {
	load    Load
	groups  [][]*socket // by slot/256, then by target
	slots   []slot
	free    []int32 // slots with nothing under way, a ring
	first   int
	count   int
	pollFds []unix.PollFd
	segment bool
}

// slot is one Identifier on one socket.
type slot struct {
	step     int32 // how many of its requests were sent
	tries    int8  // of the one under way; 0: none is
	request  int   // under way
	before   int   // the request before, plus one, if it was sent more than once: another answer to it may come
	intended int64 // when it was due, nanoseconds
	sent     int64 // when it was sent last
}

// New opens the sockets for a load. The addresses are IPv4; Load.Target chooses among them.
func New(load Load, addresses ...netip.AddrPort) (*Generator, error) {
	g := &Generator{load: load, slots: make([]slot, load.Slots()), free: make([]int32, load.Slots())}
	for i := range g.slots {
		g.free[i] = int32(i)
	}
	g.count = len(g.slots)
	for range (len(g.slots) + 1<<idBits - 1) >> idBits {
		var group []*socket
		for _, address := range addresses {
			s, err := dial(address)
			if err != nil {
				g.Close()
				return nil, err
			}
			group = append(group, s)
			g.pollFds = append(g.pollFds, unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN})
		}
		g.groups = append(g.groups, group)
	}
	return g, nil
}

// Close closes the sockets.
func (g *Generator) Close() {
	for _, group := range g.groups {
		for _, s := range group {
			s.close()
		}
	}
}

// Options say how to run.
type Options struct {
	Duration time.Duration
	// Window is how many requests are kept under way in the closed loop; 0 means all slots.
	Window int
	// Rate is how many requests are due in a second, in the open loop; 0 means the closed loop.
	Rate float64
	// Segments sends neighbours of one length as one message that the kernel cuts up (UDP_SEGMENT). It is for servers that are
	// faster than the generator without it, and makes no difference to what arrives.
	Segments bool
}

// Result is what a run measured. Runs of one scenario can be added up.
type Result struct {
	Answered  int
	Elapsed   time.Duration
	Sent      int // retransmissions left out
	Repeated  int // retransmissions
	Lost      int // given up
	Wrong     int // answers that Check refused; each counts as no answer
	FirstBad  error
	Exhausted bool // all requests of a load that goes out once were sent
	Busy      time.Duration
	// Latency holds nanoseconds, in the open loop from the time that a request was due: what waits behind a slow answer counts.
	Latency *hdrhistogram.Histogram
}

// NewResult returns an empty result to add to.
func NewResult() *Result { return &Result{Latency: hdrhistogram.New(1, longest, digits)} }

// Add adds another run of the same scenario.
func (r *Result) Add(o *Result) {
	r.Answered += o.Answered
	r.Elapsed += o.Elapsed
	r.Sent += o.Sent
	r.Repeated += o.Repeated
	r.Lost += o.Lost
	r.Wrong += o.Wrong
	r.FirstBad = errors.Join(r.FirstBad, o.FirstBad)
	r.Exhausted = r.Exhausted || o.Exhausted
	r.Busy += o.Busy
	r.Latency.Merge(o.Latency)
}

// Rate returns the answers a second.
func (r *Result) Rate() float64 { return float64(r.Answered) / r.Elapsed.Seconds() }

// run is one Run under way.
type run struct {
	*Generator
	Options
	result   *Result
	start    int64
	due      int64 // requests that were sent in the open loop
	underWay int
}

// monotonic returns the nanoseconds of CLOCK_MONOTONIC.
func monotonic() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // cannot fail
	return t.Nano()
}

// The generator sleeps between its looks, by the clock: an answer does not wake it, so the server never pays for that. One that spins
// would keep its core at 100%; a virtual machine whose processors and disk share a quota of processor time is then stopped as a whole, for
// some 10 milliseconds of every 100 in which the server writes. In the open loop a request may be sent, and its answer seen, so much later.
const (
	nap     = 250 * time.Microsecond // between two looks in the open loop
	blink   = 50 * time.Microsecond  // the same in the closed loop, where little was to be done
	handful = 32                     // requests and answers; with more, the closed loop looks again at once
)

func rest(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil) // an error only ends it early
}

// Run sends requests for the options' duration and then waits for the answers to those under way, which count neither as answered nor
// as time. A second Run goes on where the first ended.
func (g *Generator) Run(ctx context.Context, o Options) (*Result, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// The kernel may prolong a sleep by 50 microseconds otherwise.
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("ask for exact sleeps: %w", err)
	}
	if o.Window == 0 || o.Rate > 0 {
		o.Window = len(g.slots)
	}
	g.segment = o.Segments
	r := &run{Generator: g, Options: o, result: NewResult(), start: monotonic()}
	until := r.start + int64(o.Duration)
	check := r.start
	for {
		began := monotonic()
		if began >= until || r.result.Exhausted || ctx.Err() != nil {
			break
		}
		got, err := r.receive(true)
		if err != nil {
			return nil, err
		}
		sent, err := r.send()
		if err != nil {
			return nil, err
		}
		now := monotonic()
		if now > check {
			if err := r.repeat(now); err != nil {
				return nil, err
			}
			check = now + int64(checkInterval)
		}
		if got+sent > 0 {
			r.result.Busy += time.Duration(now - began)
		}
		switch {
		case r.Rate > 0:
			rest(nap)
		case got+sent < handful:
			rest(blink)
		}
	}
	r.result.Elapsed = time.Duration(monotonic() - r.start)
	return r.result, errors.Join(ctx.Err(), r.drain())
}

// receive takes the answers that have come. They count unless the time is over.
func (r *run) receive(counts bool) (total int, err error) {
	for g, group := range r.groups {
		for _, s := range group {
			n, err := s.receive()
			if err != nil {
				return total, err
			}
			if n == 0 {
				continue
			}
			total += n
			now := monotonic()
			for i := range n {
				r.answer(g, s.reply(i), now, counts)
			}
		}
	}
	return total, nil
}

func (r *run) answer(group int, reply []byte, now int64, counts bool) {
	if len(reply) < 2 {
		r.wrong(errors.New("an answer shorter than two bytes"))
		return
	}
	at := group<<idBits | int(reply[1])
	if at >= len(r.slots) || r.slots[at].tries == 0 {
		return // another answer to a request that was sent more than once
	}
	s := &r.slots[at]
	if err := r.load.Check(s.request, reply); err != nil {
		if s.before == 0 || r.load.Check(s.before-1, reply) != nil {
			r.wrong(err)
		}
		return
	}
	if counts {
		r.result.Answered++
		_ = r.result.Latency.RecordValue(min(now-s.intended, longest)) // cannot fail: it is in range
	}
	r.release(at)
}

func (r *run) wrong(err error) {
	r.result.Wrong++
	if r.result.FirstBad == nil {
		r.result.FirstBad = err
	}
}

func (r *run) release(at int) {
	s := &r.slots[at]
	s.before = 0
	if s.tries > 1 {
		s.before = s.request + 1
	}
	s.tries = 0
	r.free[(r.first+r.count)%len(r.free)] = int32(at)
	r.count++
	r.underWay--
}

// send sends what is due: in the closed loop as much as fills the window, in the open loop what the clock says.
func (r *run) send() (n int, err error) {
	now := monotonic()
	for r.count > 0 {
		intended := now
		if r.Rate > 0 {
			intended = r.start + int64(float64(r.due)/r.Rate*1e9)
			if intended > now {
				break
			}
		} else if r.underWay >= r.Window {
			break
		}
		at := int(r.free[r.first])
		s := &r.slots[at]
		i := int(s.step)*len(r.slots) + at
		if i >= r.load.Len() {
			if r.load.Once() {
				r.result.Exhausted = true
				break
			}
			s.step, i = 0, at
		}
		r.first = (r.first + 1) % len(r.free)
		r.count--
		s.step++
		s.tries, s.request, s.intended, s.sent = 1, i, intended, now
		if err := r.groups[at>>idBits][r.load.Target(i)].queue(r.load.Request(i), r.segment); err != nil {
			return n, err
		}
		r.underWay++
		r.due++
		n++
	}
	r.result.Sent += n
	if n == 0 {
		return 0, nil
	}
	return n, r.flush()
}

func (r *run) flush() error {
	for _, group := range r.groups {
		for _, s := range group {
			if s.queued > 0 {
				if err := s.flush(r.segment); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// repeat sends requests again that have waited too long, as a device does, and gives up those that were repeated often.
func (r *run) repeat(now int64) error {
	if r.underWay == 0 {
		return nil
	}
	for at := range r.slots {
		s := &r.slots[at]
		if s.tries == 0 || now-s.sent < int64(retransmit) {
			continue
		}
		if s.tries == attempts {
			r.result.Lost++
			_ = r.result.Latency.RecordValue(min(now-s.intended, longest)) // cannot fail: it is in range
			r.release(at)
			continue
		}
		s.tries++
		s.sent = now
		r.result.Repeated++
		if err := r.groups[at>>idBits][r.load.Target(s.request)].queue(r.load.Request(s.request), r.segment); err != nil {
			return err
		}
	}
	return r.flush()
}

// drain waits for what is under way.
func (r *run) drain() error {
	until := monotonic() + int64(drainWithin)
	check := monotonic() + int64(checkInterval)
	for r.underWay > 0 {
		if _, err := r.receive(false); err != nil {
			return err
		}
		now := monotonic()
		if now > check {
			if err := r.repeat(now); err != nil {
				return err
			}
			check = now + int64(checkInterval)
		}
		if now > until {
			left := slices.IndexFunc(r.slots, func(s slot) bool { return s.tries > 0 })
			return fmt.Errorf("%d requests have no answer %v after the run, among them number %d", r.underWay, drainWithin, r.slots[left].request)
		}
		if _, err := unix.Poll(r.pollFds, 1); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for answers: %w", err)
		}
	}
	return nil
}
