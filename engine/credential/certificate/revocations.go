package certificate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Fetcher gets what a URL names. Whoever implements it says who may be connected to; certificate authorities choose the URLs.
type Fetcher interface {
	// Fetch returns the body of the answer to a GET, or to a POST of body where that is not nil, and an error for any status but 200 and for
	// a body larger than limit bytes. It must return soon after the context is done, and follow no redirect to another scheme than http and https.
	Fetch(ctx context.Context, r FetchRequest) ([]byte, error)
}

// FetchRequest says what to fetch.
type FetchRequest struct {
	URL         string // http or https
	Body        []byte // nil: GET
	ContentType string // of Body
	Limit       int64  // bytes
}

// Limits bound what Revocations keeps and does. Zero fields take the defaults.
type Limits struct {
	CRLSize int64         // bytes of one CRL; 0: 8 MiB, which is some 200,000 revoked certificates
	CRLs    int           // CRLs kept; 0: 64
	Answers int           // OCSP answers kept, some 300 bytes each; 0: 65,536
	Flights int           // fetches under way at a time; 0: 32
	Fetch   time.Duration // for one fetch, whoever waits for it; 0: 15 s
	Hold    time.Duration // how long a source that failed is left alone; 0: 30 s
}

// maxAnswer is the number of bytes that an OCSP response may have.
const maxAnswer = 64 << 10

func (l Limits) withDefaults() Limits {
	if l.CRLSize <= 0 {
		l.CRLSize = 8 << 20
	}
	if l.CRLs <= 0 {
		l.CRLs = 64
	}
	if l.Answers <= 0 {
		l.Answers = 1 << 16
	}
	if l.Flights <= 0 {
		l.Flights = 32
	}
	if l.Fetch <= 0 {
		l.Fetch = 15 * time.Second
	}
	if l.Hold <= 0 {
		l.Hold = 30 * time.Second
	}
	return l
}

var (
	errBusy   = errors.New("too many other fetches are under way")
	errClosed = errors.New("the node is stopping")
)

// Revocations is what a node knows about revoked certificates, and how it learns more: CRLs and OCSP answers, each kept until its nextUpdate.
// All verifiers of a node share one. It is safe for concurrent use.
type Revocations struct {
	fetcher Fetcher
	limits  Limits
	ctx     context.Context // done when closed
	stop    context.CancelFunc
	flown   sync.WaitGroup
	parsing sync.Mutex // held while a CRL is parsed, so that only one takes its memory at a time

	mu       sync.Mutex // guards what follows; nothing slow is done under it
	crls     map[[32]byte]*list
	answers  map[[32]byte]answer
	failures map[[32]byte]failure
	flights  map[[32]byte]*flight
}

// failure is a source that is left alone for a while, so that one that hangs does not cost every login its timeout.
type failure struct {
	err   error
	until time.Time
}

// flight is a fetch under way. Those who want the same wait for it together.
type flight struct {
	done chan struct{} // closed at its end
	err  error         // read after done
}

// NewRevocations returns one that knows nothing yet.
func NewRevocations(f Fetcher, limits Limits) *Revocations {
	ctx, stop := context.WithCancel(context.Background())
	return &Revocations{
		fetcher: f, limits: limits.withDefaults(), ctx: ctx, stop: stop,
		crls: map[[32]byte]*list{}, answers: map[[32]byte]answer{}, failures: map[[32]byte]failure{}, flights: map[[32]byte]*flight{},
	}
}

// Close ends the fetches under way and waits for them. What is asked afterwards is answered from what is known.
func (r *Revocations) Close() {
	r.mu.Lock()
	r.stop()
	r.mu.Unlock()
	r.flown.Wait()
}

// known returns what is known from a source without waiting; false if it has to be fetched.
func (r *Revocations) known(s *source, at time.Time) (answer, bool) {
	r.mu.Lock()
	l, a, failed := r.crls[s.key], answer{}, r.failures[s.key]
	if s.ocsp {
		l, a = nil, r.answers[s.key]
	}
	r.mu.Unlock()
	switch {
	case l != nil && l.covers(at):
		return l.judge(s, at), true
	case a.status != unavailable && !at.Before(a.from.Add(-skew)) && at.Before(a.until):
		return a, true
	case failed.err != nil && time.Now().Before(failed.until):
		return answer{err: failed.err}, true
	}
	return answer{}, false
}

// fetch asks a source, or joins those who do, and waits until the context is done. The fetch itself goes on, for the next who asks.
func (r *Revocations) fetch(ctx context.Context, s *source, at time.Time) answer {
	r.mu.Lock()
	f := r.flights[s.key]
	switch {
	case f != nil:
	case r.ctx.Err() != nil:
		r.mu.Unlock()
		return answer{err: errClosed}
	case len(r.flights) >= r.limits.Flights:
		r.mu.Unlock()
		return answer{err: errBusy}
	default:
		f = &flight{done: make(chan struct{})}
		r.flights[s.key] = f
		r.flown.Add(1)
		go r.fly(f, *s)
	}
	r.mu.Unlock()
	select {
	case <-f.done:
	case <-ctx.Done():
		return answer{err: fmt.Errorf("no answer in time: %w", ctx.Err())}
	}
	if f.err != nil {
		return answer{err: f.err}
	}
	a, ok := r.known(s, at)
	if !ok {
		return answer{err: errors.New("its answer does not count for the time that was asked about")}
	}
	return a
}

// fly does one fetch and keeps what came of it.
func (r *Revocations) fly(f *flight, s source) {
	defer r.flown.Done()
	ctx, cancel := context.WithTimeout(r.ctx, r.limits.Fetch)
	defer cancel()
	var l *list
	var a answer
	if s.ocsp {
		a, f.err = r.fetchOCSP(ctx, &s)
	} else {
		l, f.err = r.fetchCRL(ctx, &s)
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.flights, s.key)
	delete(r.failures, s.key)
	switch {
	case f.err != nil:
		makeRoom(r.failures, r.limits.Answers, func(f failure) bool { return now.After(f.until) })
		r.failures[s.key] = failure{f.err, now.Add(r.limits.Hold)}
	case s.ocsp:
		makeRoom(r.answers, r.limits.Answers, func(a answer) bool { return now.After(a.until) })
		r.answers[s.key] = a
	default:
		// An older list than the one that is known, from a stale or a hostile mirror, must not bring a revoked certificate back.
		if old := r.crls[s.key]; old != nil && l.thisUpdate.Before(old.thisUpdate) {
			f.err = fmt.Errorf("it gave a list of %s, older than the one of %s that is known", l.thisUpdate.UTC().Format(time.RFC3339), old.thisUpdate.UTC().Format(time.RFC3339))
			r.failures[s.key] = failure{f.err, now.Add(r.limits.Hold)}
			break
		}
		makeRoom(r.crls, r.limits.CRLs, func(l *list) bool { return now.After(l.nextUpdate) })
		r.crls[s.key] = l
	}
	close(f.done)
}

// makeRoom removes what is over from a full map, or else whatever comes first: what is removed is fetched again when it is asked for.
func makeRoom[V any](m map[[32]byte]V, limit int, over func(V) bool) {
	if len(m) < limit {
		return
	}
	for key, v := range m {
		if over(v) {
			delete(m, key)
		}
	}
	for key := range m {
		if len(m) < limit {
			break
		}
		delete(m, key)
	}
}
