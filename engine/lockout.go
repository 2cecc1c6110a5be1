package engine

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/zeebo/xxh3"

	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/state"
	"trine/engine/trace"
)

// Guarded is a factor that can be guessed, so that its failures are counted and lock out whoever guesses. Whoever verifies one asks
// Locked before he looks at the proof, and says Failed when the proof was wrong. An accepted login forgets what failed from its source
// by itself.
type Guarded struct {
	Factor uint32 // login.Factor, which is recorded; below 64
	Name   string // as the trace shows it
	// Apart lets its failures count by themselves and lock this factor alone; otherwise they count with those of the password.
	Apart bool
	// Lockout is when to lock; nil: as the user type says.
	Lockout *document.Lockout
}

// password is the factor that every login of a packet protocol begins with.
var password = Guarded{Factor: uint32(login.Password), Name: "password"}

func (g *Guarded) apart() uint32 {
	if g.Apart {
		return g.Factor
	}
	return 0
}

// failing is what a request knows of failures under its login name.
type failing struct {
	name       []byte // in the form of state.AppendLoginName; empty until it is asked for
	source     uint64
	remembered uint64 // a bit for each value of apart under which failures from this source are remembered
	failed     bool
	failure    event.LoginFailedView
}

func (f *failing) reset() {
	f.name, f.remembered, f.failed = f.name[:0], 0, false
}

// Locked returns why a factor must not be verified for this request now, or trace.OK. It answers alike for names that somebody has and
// for those that nobody has. The lock of (name, source) comes before the lock of the name, so that who guesses on one device is told
// nothing of others. It does not allocate.
func (e *Engine) Locked(r *Request, g Guarded) trace.Reason {
	rule := r.lockout(&g)
	if rule == nil {
		return trace.OK
	}
	f, apart, now := r.failures(), g.apart(), e.clock()
	familiar := r.familiar() // guesses of others do not keep a person from where he has logged in before
	locks := e.config.People.LoginLocks(f.name, apart, f.source)
	if locks.Remembered {
		f.remembered |= 1 << (apart % 64)
	}
	switch {
	case locks.Here.Holds(now):
		return r.lockedUntil(trace.LockedHere, trace.UserLockedSource, locks.Here)
	case locks.Everywhere.Holds(now) && !familiar:
		return r.lockedUntil(trace.LockedEverywhere, trace.UserLocked, locks.Everywhere)
	case e.holdsBack(e.guessKey(f.name, apart, f.source), rule.Attempts, rule):
		r.trace.AddName(trace.HeldBack, f.name, "")
		return trace.UserLockedSource
	case !familiar && e.holdsBack(e.guessKey(f.name, apart, 0), rule.Everywhere(), rule):
		r.trace.AddName(trace.HeldBack, f.name, "")
		return trace.UserLocked
	}
	return trace.OK
}

// Failed counts a factor that was not proved. It is recorded beside the decision, which must be a reject, in the same record: nothing waits
// for it. Of a request at most one factor fails. It does not allocate.
func (e *Engine) Failed(r *Request, g Guarded) {
	e.guess(r, g)
	e.fail(r, g)
}

// guess counts a factor that was not proved on this node alone, at once.
func (e *Engine) guess(r *Request, g Guarded) {
	if rule := r.lockout(&g); rule != nil {
		f, apart := r.failures(), g.apart()
		e.counts(e.guessKey(f.name, apart, f.source), rule)
		e.counts(e.guessKey(f.name, apart, 0), rule)
	}
}

// fail has a factor that was not proved recorded beside the decision.
func (e *Engine) fail(r *Request, g Guarded) {
	rule := r.lockout(&g)
	if rule == nil {
		return
	}
	f := r.failures()
	f.failed = true
	f.failure = event.LoginFailedView{
		Name: f.name, Source: f.source, Login: r.Decision.ID, Factor: g.Factor, Apart: g.Apart,
		Attempts: uint32(rule.Attempts), Total: uint32(rule.Everywhere()), Progressive: rule.Progressive,
		Window: seconds(rule.Window), Duration: seconds(rule.Duration),
	}
	r.trace.Add(trace.FailureCounted, g.Name, "")
}

// guessed reports whether a password that was not proved for this reason may have been a guess. What came to no end, and what could not
// have matched whatever the password, does not count.
func guessed(reason trace.Reason) bool {
	switch reason {
	case trace.PasswordWrong, trace.PasswordMissing, trace.PasswordChangeInvalid, trace.UserUnknown:
		return true
	}
	return false
}

// lockout returns the rule for a factor of this request; nil if there is none. Names that nobody has follow the default user type.
func (r *Request) lockout(g *Guarded) *document.Lockout {
	if g.Lockout != nil {
		return g.Lockout
	}
	var of []byte
	if r.work.found.ok {
		of = r.user.UserType
	}
	t := r.Cache.UserType(of)
	if t == nil && len(of) > 0 {
		t = r.Cache.UserType(nil)
	}
	if t == nil {
		return nil
	}
	return t.Spec.Password.Lockout
}

// familiar reports whether the person has logged in before with the browser that a round came from, or has a session there.
func (r *Request) familiar() bool {
	d := r.dialogue
	if d == nil || !r.work.found.ok || len(r.Calling) == 0 {
		return false
	}
	return slices.Contains(d.round.Familiar, r.user.ID) || d.session != nil && event.FoldName(d.session.User) == event.FoldName(string(r.user.Name))
}

// failures fills in under which name and source failures of this request count. The source is the calling station where the device
// names it, since a person's telephone wanders between access points, and else the device itself; always with the service provider,
// which others cannot pretend to be. Over pages it is the browser of somebody who has logged in with it before, and else the
// address; whichever service provider sent him there, since anybody can come from any.
func (r *Request) failures() *failing {
	w := &r.work
	f := &w.failing
	if len(f.name) > 0 {
		return f
	}
	name := w.found.looked
	if w.found.ok {
		name = r.user.Name
	}
	f.name = state.AppendLoginName(f.name, name)
	var buf [512]byte
	source := append(append(buf[:0], r.Client.Name...), 0)
	switch {
	case r.familiar():
		source = append(append(buf[:0], 0, 4), r.Calling...)
	case r.dialogue != nil:
		source = appendNetwork(append(buf[:0], 0, 3), r.Source.Addr())
	case len(r.Calling) > 0:
		source = append(append(source, 1), r.Calling...)
	default:
		source = AppendAddr(append(source, 2), r.Source.Addr())
	}
	f.source = xxh3.Hash(source)
	return f
}

// appendNetwork appends an address; of IPv6, the first 64 bits, as whoever has one of these addresses has them all.
func appendNetwork(dst []byte, a netip.Addr) []byte {
	if a = a.Unmap(); a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			a = p.Addr()
		}
	}
	return AppendAddr(dst, a)
}

func (r *Request) lockedUntil(code trace.StepCode, reason trace.Reason, l state.Lock) trace.Reason {
	w := &r.work
	w.text = time.Unix(l.Until, 0).UTC().AppendFormat(w.text[:0], time.DateTime)
	r.trace.AddBytes(code, w.failing.name, w.text)
	return reason
}

// addFailure adds to a decision's record what it changes of failures: one more, or those forgotten that a good login makes up for. It adds
// it once, also where a decision is recorded again.
func (r *Request) addFailure(b *event.Builder) {
	f := &r.work.failing
	switch {
	case f.failed && r.Decision.Verdict == event.Reject:
		b.AddLoginFailed(&f.failure)
	case f.remembered != 0 && r.Decision.Verdict == event.Accept:
		for apart := range uint32(64) {
			if f.remembered&(1<<apart) == 0 {
				continue
			}
			streams := []uint64{event.StreamKey(event.StreamUser, f.name), decisionKey(r.Decision.ID)}
			m := &event.FailuresCleared{Name: f.name, Source: f.source, Apart: apart, Login: r.Decision.ID}
			if err := b.Add(event.TypeFailuresCleared, event.ClassDecision, streams, m); err != nil {
				violated("an event that can be encoded", "%v", err)
			}
		}
	}
	f.failed, f.remembered = false, 0
}

// forgive forgets what this node alone counted under the name of a login that was accepted, of the password and of each factor that was
// proved. What other sources did is in the log, or will be.
func (e *Engine) forgive(r *Request) {
	f := &r.work.failing
	if len(f.name) == 0 || e.aside {
		return
	}
	proved := r.work.proved &^ login.SetOf(login.Password)
	for apart := uint32(0); apart == 0 || proved>>apart != 0; apart++ {
		if apart == 0 || proved.Has(login.Factor(apart)) {
			e.guesses.forget(e.guessKey(f.name, apart, f.source))
			e.guesses.forget(e.guessKey(f.name, apart, 0))
		}
	}
}

// guessKey hashes whose guesses are counted together on this node.
func (e *Engine) guessKey(name []byte, apart uint32, source uint64) uint64 {
	var tail [12]byte
	binary.LittleEndian.PutUint64(tail[:], source)
	binary.LittleEndian.PutUint32(tail[8:], apart)
	var buf [288]byte
	return xxh3.HashSeed(append(append(buf[:0], name...), tail[:]...), e.guesses.seed)
}

func seconds(d time.Duration) uint32 {
	return uint32(min(max((d+time.Second-1)/time.Second, 0), 1<<31))
}
