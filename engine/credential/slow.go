package credential

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"time"

	"trine/engine/trace"
)

// maxJoined bounds how many attempts wait for one job.
const maxJoined = 256

// slowPath sends attempts to the hasher. Its lock is held for table work only, never while the hasher or a Done runs.
type slowPath struct {
	v      *Verifier
	seed   maphash.Seed
	limits Limits

	mu      sync.Mutex
	users   buckets
	sources buckets
	work    map[tag]*work
	stats   Stats
}

// work is one job and who waits for it.
type work struct {
	job     Job
	path    *slowPath
	tag     tag
	user    uint64 // cache id; 0 for the decoy
	lack    trace.Reason
	form    Form      // what the job verifies
	keys    [2]uint64 // buckets of user and source
	sourced bool
	waiting []Done
}

// The limits that an attempt can run into.
var (
	errUserLimit   = errors.New("too many failures of this user")
	errSourceLimit = errors.New("too many failures from this source")
	errUserBusy    = errors.New("too many verifications of this user are under way")
	errSourceBusy  = errors.New("too many verifications from this source are under way")
	errJoined      = errors.New("too many equal attempts are under way")
)

func (p *slowPath) init(v *Verifier, l Limits) {
	p.v, p.seed, p.limits, p.work = v, maphash.MakeSeed(), l, map[tag]*work{}
	p.users.init(l.UserBurst, l.UserPerMinute, l.UserUnderWay)
	p.sources.init(l.SourceBurst, l.SourcePerMinute, l.SourceUnderWay)
}

// verify joins the attempt to an equal one that is under way, or has it verified against the form that is kept.
func (p *slowPath) verify(a *Attempt, t *target, form Form, kept []byte, of tag) Outcome {
	w, o := p.enter(a, t, form, kept, of)
	if w == nil {
		return o
	}
	if err := p.v.hasher.Submit(&w.job); err != nil {
		// Who joined meanwhile waits for an answer, which this goroutine gives; the attempt itself is answered by the return.
		w.job.Err = err
		p.finish(w, a.Done)
		return w.outcome(err)
	}
	return o
}

// enter returns new work, or why there is none.
func (p *slowPath) enter(a *Attempt, t *target, form Form, kept []byte, of tag) (*work, Outcome) {
	now := p.v.clock()
	pending := Outcome{Status: Pending, Form: form}
	var keys [2]uint64
	if a.User != nil {
		keys[0] = a.User.ID * 0x9e3779b97f4a7c15
	} else {
		// Folded, because a known user has one bucket however his name is written.
		var room [256]byte
		keys[0] = maphash.Bytes(p.seed, appendFolded(room[:0], a.Name))
	}
	keys[1] = maphash.Bytes(p.seed, a.Source)
	if original := p.v.original; original != nil {
		if o, held := original.slow.heldBack(keys, form, len(a.Source) > 0, now); held {
			return nil, o
		}
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	if !a.Deadline.IsZero() && !now.Before(a.Deadline) {
		p.stats.SlowLate++
		return nil, wrong(trace.OverloadDeadline, form, ErrDeadline)
	}
	if w := p.work[of]; w != nil {
		if len(w.waiting) >= maxJoined {
			p.stats.SlowRefused++
			return nil, wrong(trace.OverloadQueueFull, form, errJoined)
		}
		w.waiting = append(w.waiting, a.Done)
		p.stats.SlowJoined++
		pending.Joined = true
		return nil, pending
	}
	if o, ok := p.admit(p.users.enter(keys[0], now), form, errUserLimit, errUserBusy); !ok {
		return nil, o
	}
	if len(a.Source) > 0 {
		if o, ok := p.admit(p.sources.enter(keys[1], now), form, errSourceLimit, errSourceBusy); !ok {
			p.users.leave(keys[0], now, false)
			return nil, o
		}
	}
	w := &work{path: p, tag: of, user: a.User.cacheID(), lack: t.lack, form: form, keys: keys, sourced: len(a.Source) > 0, waiting: []Done{a.Done}}
	secrets := make([]byte, 0, len(a.Proof.Password)+len(kept))
	secrets = append(append(secrets, a.Proof.Password...), kept...)
	w.job = Job{
		Password: secrets[:len(a.Proof.Password):len(a.Proof.Password)],
		Form:     secrets[len(a.Proof.Password):],
		Deadline: a.Deadline,
		Done:     w,
	}
	p.work[of] = w
	p.stats.SlowStarted++
	return w, pending
}

func (p *slowPath) admit(e entry, form Form, tooMany, busy error) (Outcome, bool) {
	switch e {
	case exhausted:
		p.stats.SlowThrottled++
		return wrong(trace.OverloadThrottled, form, tooMany), false
	case crowded:
		p.stats.SlowRefused++
		return wrong(trace.OverloadQueueFull, form, busy), false
	}
	return Outcome{}, true
}

// Hashed takes the hasher's outcome.
func (w *work) Hashed(*Job) { w.path.finish(w, nil) }

// finish remembers a good password, settles the limits and tells all who wait but one.
func (p *slowPath) finish(w *work, but Done) {
	o := w.outcome(w.job.Err)
	clear(w.job.Password)
	clear(w.job.Form) // of an imported hash, what is otherwise sealed
	if o.Status == Matched && p.v.cache != nil && p.v.original == nil {
		p.v.cache.put(w.user, &w.tag)
	}
	failed := o.Status == Wrong && w.job.Err == nil
	now := p.v.clock()
	p.mu.Lock()
	delete(p.work, w.tag)
	p.users.leave(w.keys[0], now, failed)
	if w.sourced {
		p.sources.leave(w.keys[1], now, failed)
	}
	p.count(o, w.job.Err)
	waiting := w.waiting
	p.mu.Unlock()
	for i, done := range waiting {
		if i == 0 && but != nil {
			continue
		}
		done.Verified(o)
	}
}

// heldBack reports whether an attempt would be refused because of failures before, and with which outcome. It takes nothing.
func (p *slowPath) heldBack(keys [2]uint64, form Form, sourced bool, now time.Time) (Outcome, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.users.spent(keys[0], now):
		return wrong(trace.OverloadThrottled, form, errUserLimit), true
	case sourced && p.sources.spent(keys[1], now):
		return wrong(trace.OverloadThrottled, form, errSourceLimit), true
	}
	return Outcome{}, false
}

func (p *slowPath) count(o Outcome, err error) {
	switch {
	case err == nil && o.Status == Matched:
		p.stats.SlowMatched++
	case err == nil:
		p.stats.SlowWrong++
	case errors.Is(err, ErrQueueFull):
		p.stats.SlowRefused++
	case errors.Is(err, ErrDeadline):
		p.stats.SlowLate++
	default:
		p.stats.SlowFailed++
	}
}

// outcome is the outcome of the work: a match only if the hasher says so, without an error, of a password that exists.
func (w *work) outcome(err error) Outcome {
	o := wrong(trace.PasswordWrong, w.form, err)
	o.Decoy = w.lack != ""
	switch {
	case errors.Is(err, ErrQueueFull):
		o.Reason = trace.OverloadQueueFull
	case errors.Is(err, ErrDeadline):
		o.Reason = trace.OverloadDeadline
	case errors.Is(err, ErrUnreadable):
		o.Reason = trace.PasswordUnreadable
	case err != nil:
		o.Reason = trace.WorkerFailed
	case w.lack != "":
		o.Reason = w.lack
	case w.job.Match:
		o.Status, o.Reason = Matched, trace.OK
	}
	return o
}

// Stats are a verifier's counters since it was made, and the sizes of its tables now.
type Stats struct {
	CacheHits, CacheMisses, CacheEvictions uint64
	CacheEntries, CacheSize                int

	SlowStarted   uint64 // jobs begun
	SlowJoined    uint64 // attempts that joined one under way
	SlowMatched   uint64 // jobs whose password was right
	SlowWrong     uint64 // jobs whose password was wrong
	SlowThrottled uint64 // attempts refused because of failures before
	SlowRefused   uint64 // attempts refused because of what is under way
	SlowLate      uint64 // attempts whose caller no longer waited
	SlowFailed    uint64 // jobs that the hasher could not do
	SlowUnderWay  int
}

// Stats returns the verifier's counters.
func (v *Verifier) Stats() Stats {
	v.slow.mu.Lock()
	s := v.slow.stats
	s.SlowUnderWay = len(v.slow.work)
	v.slow.mu.Unlock()
	if v.cache != nil {
		v.cache.stats(&s)
	}
	return s
}

var _ JobDone = (*work)(nil)

// Await verifies an attempt and waits for its outcome, for callers that may wait, such as administration; its Done is replaced.
// The error is the context's, if that ends first.
func (v *Verifier) Await(ctx context.Context, a *Attempt) (Outcome, error) {
	done := make(outcomes, 1)
	a.Done = done
	o := v.Verify(a)
	if o.Status != Pending {
		return o, nil
	}
	select {
	case o = <-done:
		return o, nil
	case <-ctx.Done():
		return o, ctx.Err()
	}
}

type outcomes chan Outcome

func (c outcomes) Verified(o Outcome) { c <- o }
