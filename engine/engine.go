package engine

import (
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"trine/engine/credential"
	"trine/engine/event"
	"trine/engine/login/geo"
	"trine/engine/message"
	"trine/engine/policy"
	"trine/engine/script"
	"trine/engine/secret"
	"trine/engine/state"
)

// People is the views as logins and accounting read them. *state.State is the one that lives; *state.Draft lays users over it.
type People interface {
	User(dst *state.User, login []byte) bool
	WarmUsers(logins [][]byte)
	UserName(dst, login []byte) ([]byte, bool)
	Account(owner []byte, system string) state.Standing
	OwnedAccounts(owner []byte) []state.OwnedAccount
	Endpoint(dst *state.Endpoint, mac event.MAC) bool
	HasEndpoint(mac event.MAC) bool
	CountSessions(user string, now time.Time) int
	LoginLocks(name []byte, apart uint32, source uint64) state.LoginLocks
	Time() time.Time
	Factors(dst *state.Factors, user uint64)
	LastLogin(dst *state.LastLogin, user uint64)
	Consumed(key string) bool
	PushAnswer(challenge uint64) (state.PushAnswer, bool)
	AppliedIndex() uint64
	UserByID(dst *state.User, id uint64) bool
	SSO(hash state.SSOHash) (state.SSO, bool)
	TrustedDevices(user uint64) []state.TrustedDevice
	Grant(number uint64) (state.Grant, bool)
	GrantsOf(user string) []state.Grant
	GrantsPage(after uint64, limit int, client string, over bool, now int64) []state.Grant
	TokenRevoked(id uint64) bool
	VoidedClient(client string) state.Voided
	Consent(user uint64, client string) (state.Consent, bool)
	ConsentsOf(user uint64) []state.Consent
	SigningKeys(issuer string) (state.SigningKeys, bool)
	SigningChanges() uint64
	Check(at state.Stamp, proposal []byte) state.Result
}

var (
	_ People = (*state.State)(nil)
	_ People = (*state.Draft)(nil)
)

// Config is what an Engine is made of.
type Config struct {
	People   People
	Policies *policy.Holder
	Log      Log
	Verifier *credential.Verifier
	Keyring  *secret.Keyring // seals challenges and opens factors
	// Places says where addresses are, for adaptive rules; nil: nothing is known.
	Places *geo.Holder
	// Scripts runs scripts; nil: what a script makes cannot be had.
	Scripts script.Runner
	// Messenger sends one-time codes and push challenges; nil: none are sent.
	Messenger message.Messenger
	// SessionsEnded is told of sessions of single sign-on that have ended by a record of this node, whoever wanted it and whyever; nil: nobody is. It must not block.
	SessionsEnded func(ended []state.SSO)
	Clock         func() time.Time // nil: time.Now
	Logger        *slog.Logger     // nil: nothing is logged
	// TraceAccepts keeps the full trace of one accept in so many; 0 of none. Rejects always keep theirs.
	TraceAccepts int
	// Waiting bounds the logins of the node that wait for a commit, and the accounting records of each lane that do; 0: 8192.
	Waiting int
}

// Engine decides. Its lanes do the work; it holds what they share.
type Engine struct {
	config Config
	clock  func() time.Time

	lanes   atomic.Uint64 // how many were made
	salt    uint64        // high bits of decision ids, different for each start of each node
	accepts atomic.Uint64 // how many were made, where some of them are traced
	latest  atomic.Int64  // unix nanoseconds: the latest that the clock ever said to now
	guesses *guesses
	aside   bool         // nothing that is decided counts: it is a simulation
	changes atomic.Int32 // of passwords, under way

	waiting   *waiting      // logins that wait for a commit
	late      sharedJournal // decisions that were made off the lanes' goroutines
	decisions Proposer      // of late
	rehashes  *rehashes     // imported passwords that a login has shown
	missing   gaps
	gaps      Proposer // of missing
	memories  Proposer // of what adaptive rules ask of the login before
	forgotten atomic.Uint64
	recent    *recent
	pages     pages // what rounds of logins over pages share
}

// New returns an engine over the parts of c.
func New(c Config) *Engine {
	e := newEngine(c)
	e.guesses = newGuesses(e.clock())
	e.recent = newRecent()
	return e
}

// newEngine returns an engine that has yet to be told what it remembers of failures.
func newEngine(c Config) *Engine {
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Waiting <= 0 {
		c.Waiting = 8192
	}
	e := &Engine{config: c, clock: c.Clock, salt: rand.Uint64(), late: sharedJournal{journal: new(journal), spare: new(journal)}}
	e.decisions = c.Log.Proposer(decisionsCommitted{e})
	e.gaps = c.Log.Proposer(gapCommitted{e})
	e.memories = c.Log.Proposer(memoriesCommitted{e})
	e.waiting = newWaiting(e, c.Waiting)
	e.pages.init(e)
	e.rehashes = newRehashes(e)
	return e
}

// Lane is one loop's way into the engine: it owns that loop's buffers, so that little on the way needs a lock. A Lane's methods
// are called from its loop's goroutine only.
type Lane struct {
	engine   *Engine
	journal  journal
	decided  Proposer
	accounts *accounts
	next     uint64 // the last decision id
}

// NewLane returns a lane for one loop.
func (e *Engine) NewLane() *Lane {
	n := e.lanes.Add(1)
	l := &Lane{engine: e, decided: e.config.Log.Proposer(decisionsCommitted{e})}
	// An id is 24 bits that differ by node, start and lane, and a count that begins anywhere in 40 bits.
	l.next = mix(e.salt+n)<<40 | rand.Uint64()>>24
	l.accounts = newAccounts(e, e.config.Waiting)
	return l
}

// mix is the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// newID returns the next decision id, which is never 0.
func (l *Lane) newID() uint64 {
	const count = 1<<40 - 1
	l.next = l.next&^count | (l.next+1)&count
	if l.next == 0 {
		l.next = 1
	}
	return l.next
}

// Flush hands the decisions made since the last Flush to the log. A loop calls it once a millisecond and before it sleeps.
func (l *Lane) Flush() { l.journal.flush(l.decided, &l.engine.missing) }

// Expect says which login names the next calls of Authenticate, Authorize and Account are about. It changes nothing but how long they take: together they are found faster
// than one by one.
func (l *Lane) Expect(logins [][]byte) { l.engine.config.People.WarmUsers(logins) }

// Flush hands over the decisions that were made off the lanes, and says how many could not be recorded. The node calls it
// every few milliseconds, and once after the last lane stopped.
func (e *Engine) Flush() {
	e.late.flush(e.decisions, &e.missing)
	if g, ok := e.missing.unreported(); ok {
		e.config.Logger.Warn("decisions could not be recorded; a record of how many will follow", "count", g.count, "cause", g.cause)
	}
	if !e.config.Log.HasLeader() {
		return
	}
	m := e.missing.take()
	if m == nil {
		return
	}
	var b event.Builder
	err := b.Add(event.TypeDecisionsMissing, event.ClassDecision, nil, m)
	if err == nil {
		err = e.gaps.Propose(b.Bytes(), 0)
	}
	if err != nil {
		e.missing.settle(err)
	}
}

// now returns the clock's time, or the latest that it said before if it was set back since. Whether a term is over is asked of it: what
// was over once stays over.
func (e *Engine) now() time.Time {
	now := e.clock()
	for {
		latest := e.latest.Load()
		if nanos := now.UnixNano(); nanos <= latest {
			return time.Unix(0, latest)
		} else if e.latest.CompareAndSwap(latest, nanos) {
			return now
		}
	}
}

// TermFrom returns the time from which a term counts that is recorded, such as that of a session or grant: that of the log where it is ahead of the clock, as after a leader's
// clock had jumped, since Apply measures by it. What is good once and says by itself until when, such as a one-time code or an assertion, keeps to the clock: it ends sooner, and is
// never good twice.
func (e *Engine) TermFrom() time.Time {
	now := e.now()
	if at := e.config.People.Time(); at.After(now) {
		return at
	}
	return now
}

// Stats are counts since the engine was made.
type Stats struct {
	DecisionsMissing uint64 // decisions that were answered but could not be recorded
	WaitingLogins    int    // logins that wait for a commit now
	LoginsForgotten  uint64 // accepted logins that could not be remembered for adaptive rules
	Rehashed         uint64 // imported passwords that were replaced by the forms that are kept
	RehashesFailed   uint64 // attempts to do so that came to nothing; the next login of the person tries again
}

// Stats returns the counts.
func (e *Engine) Stats() Stats {
	return Stats{
		DecisionsMissing: e.missing.total.Load(), WaitingLogins: e.waiting.logins.used(), LoginsForgotten: e.forgotten.Load(),
		Rehashed: e.rehashes.done.Load(), RehashesFailed: e.rehashes.failed.Load(),
	}
}
