package engine

import (
	"errors"
	"strconv"
	"time"

	"trine/engine/attribute"
	"trine/engine/credential"
	"trine/engine/event"
	"trine/engine/policy"
	"trine/engine/trace"
)

// reservationTerm is how long a place under a simultaneous-use limit is held for a session whose accounting has not started.
const reservationTerm = 2 * time.Minute

// work is what the engine keeps in a request while it decides.
type work struct {
	engine  *Engine
	stored  credential.Stored
	attempt credential.Attempt
	stage   stage
	late    bool // the decision is made off its lane's goroutine
	traced  bool // the whole trace is recorded
	streams [6]uint64
	text    []byte
	source  []byte
	steps   [trace.MaxSteps]event.StepView
}

// stage says what a request waits for.
type stage uint8

const (
	atPassword stage = iota
	atReservation
	atRecord
)

// Authenticate decides a login. It returns true if r.Decision is made; otherwise r.Done is told later, exactly once, and the
// request is the engine's until then.
//
// The order is: the client, the method, the person, the password, then what depends on who it is. A password is verified
// also for people who are unknown or switched off, so that neither time nor words tell them apart.
func (l *Lane) Authenticate(r *Request) bool {
	e := l.engine
	e.begin(r, l.newID())
	if reason := e.admit(r); reason != trace.OK {
		r.reject(reason)
		return l.settle(r)
	}
	e.identify(r)
	a := &r.work.attempt
	outcome := e.config.Verifier.Verify(a)
	if outcome.Status == credential.Pending {
		return false
	}
	if e.verified(r, outcome) {
		return false
	}
	return l.settle(r)
}

// Refuse decides a login that the protocol found wanting by itself, such as a proof that is malformed or a method that it
// does not speak, so that it is recorded and explained like every other.
func (l *Lane) Refuse(r *Request, reason trace.Reason) bool {
	e := l.engine
	e.begin(r, l.newID())
	if resolve(&r.user, e.config.People, r.Client, r.Name) {
		r.Decision.User, r.Decision.UserID = r.user.Name, r.user.ID
	}
	r.reject(reason)
	return l.settle(r)
}

// Overrule replaces an accept that the protocol could not render, for example because the reply is too large. The decision
// keeps its id; both are recorded.
func (l *Lane) Overrule(r *Request, reason trace.Reason) {
	r.reject(reason)
	r.work.traced = true
	l.record(r)
}

func (e *Engine) begin(r *Request, id uint64) {
	r.Decision.reset()
	r.Decision.ID = id
	r.work.engine, r.work.stage, r.work.late, r.work.traced = e, atPassword, false, false
	r.trace.Start(e.clock())
}

// admit checks what does not depend on the person.
func (e *Engine) admit(r *Request) trace.Reason {
	client := r.Client
	r.trace.Add(trace.ClientChosen, client.Name, "")
	if client.Broken != nil {
		r.trace.Add(trace.ClientIsBad, client.Name, client.Broken.Error())
		return trace.ConfigBroken
	}
	issuer := client.Issuer
	if issuer == nil {
		r.trace.Add(trace.IssuerNone, client.Name, "")
		return trace.IssuerMissing
	}
	r.trace.Add(trace.IssuerChosen, issuer.Name, "")
	if !allows(issuer, r.Proof.Method) {
		r.trace.Add(trace.MethodOff, r.Proof.Method.String(), issuer.Name)
		return trace.RadiusMethodDisabled
	}
	return trace.OK
}

func allows(issuer *policy.Issuer, m credential.Method) bool {
	switch m {
	case credential.PAP:
		return issuer.PAP
	case credential.CHAP:
		return issuer.CHAP
	case credential.MSCHAPv1:
		return issuer.MSCHAPv1
	case credential.MSCHAPv2, credential.MSCHAPCPW:
		return issuer.MSCHAPv2
	}
	return true // no proof at all: Verify says why that will not do
}

// identify looks the person up and lays out the attempt.
func (e *Engine) identify(r *Request) {
	a := &r.work.attempt
	r.work.source = appendAddr(append(append(r.work.source[:0], r.Client.Name...), 0), r.Source.Addr())
	r.work.source = append(r.work.source, r.Calling...)
	*a = credential.Attempt{Proof: &r.Proof, Name: r.Name, Source: r.work.source, Deadline: r.Deadline, Done: r}
	if !resolve(&r.user, e.config.People, r.Client, r.Name) {
		r.trace.AddName(trace.UserNotFound, r.Name, "")
		return
	}
	r.trace.AddBytes(trace.UserFound, r.user.Name, r.Name)
	r.Decision.User, r.Decision.UserID = r.user.Name, r.user.ID
	r.work.stored = credential.Stored{
		ID: r.user.ID, Name: r.user.Name, Version: r.user.CredentialVersion,
		Argon2id: r.user.Argon2id, Keyed: r.user.Keyed, NT: r.user.NT, Clear: r.user.Clear,
	}
	a.Name, a.User = r.user.Name, &r.work.stored
}

// verified goes on once the password is verified or not. It returns true if the request waits for a commit.
func (e *Engine) verified(r *Request, outcome credential.Outcome) (waits bool) {
	outcome.Record(&r.trace, r.work.attempt.Name, "the user type")
	switch {
	case outcome.Status != credential.Matched && unanswerable(outcome.Reason):
		r.Decision.Verdict, r.Decision.Reason = event.Discard, outcome.Reason
		return false
	case r.work.attempt.User == nil:
		r.reject(trace.UserUnknown)
		return false
	case outcome.Status != credential.Matched:
		r.reject(outcome.Reason)
		return false
	case r.user.Inactive:
		r.trace.AddName(trace.UserIsOff, r.user.Name, "")
		r.reject(trace.UserInactive)
		return false
	}
	if !r.Deadline.IsZero() && r.work.late && e.clock().After(r.Deadline) {
		r.trace.Add(trace.DeadlinePassed, "the login", "")
		r.Decision.Verdict, r.Decision.Reason = event.Discard, trace.OverloadDeadline
		return false
	}
	userType := r.Cache.UserType(r.user.UserType)
	if reason := e.kind(r, userType); reason != trace.OK {
		r.reject(reason)
		return false
	}
	if r.user.MustChange {
		r.trace.AddName(trace.PasswordToBeChanged, r.user.Name, "")
		r.reject(trace.PasswordMustChange)
		r.Decision.MustChangePassword = true
		return false
	}
	return e.place(r, userType)
}

// kind checks the documents that say what kind of person it is.
func (e *Engine) kind(r *Request, userType *policy.UserType) trace.Reason {
	switch {
	case userType == nil && len(r.user.UserType) > 0:
		r.trace.AddName(trace.TypeNotFound, r.user.UserType, "")
		return trace.UserTypeMissing
	case userType != nil && userType.Broken != nil:
		return trace.ConfigBroken
	}
	if g := r.Cache.BrokenGroup(&r.user); g != nil {
		r.trace.Add(trace.GroupIsBad, g.Name, g.Broken.Error())
		return trace.ConfigBroken
	}
	return trace.OK
}

// unanswerable reports whether a verification came to no end for a reason of this node's: the device gets no answer, so that it
// tries another one.
func unanswerable(reason trace.Reason) bool {
	switch reason {
	case trace.OverloadQueueFull, trace.OverloadDeadline, trace.WorkerFailed:
		return true
	}
	return false
}

// place holds a place under the simultaneous-use limit, if there is one, and then grants.
func (e *Engine) place(r *Request, userType *policy.UserType) (waits bool) {
	limit := r.Cache.SessionLimit(userType, &r.user)
	if limit == 0 {
		e.grant(r)
		return false
	}
	now := e.clock()
	user := string(r.user.Name)
	used := e.config.People.CountSessions(user, now)
	count, most := strconv.Itoa(used), strconv.Itoa(limit)
	if used >= limit {
		r.trace.Add(trace.SessionsFull, count, most)
		r.reject(trace.SessionLimit)
		return false
	}
	r.trace.Add(trace.SessionsCounted, count, most)
	if !e.config.Log.HasLeader() {
		r.Decision.Verdict, r.Decision.Reason = event.Discard, trace.LogNoLeader
		return false
	}
	var b event.Builder
	b.Reset()
	b.Expect(event.Expectation_SESSIONS_BELOW, user, uint64(limit))
	err := b.Add(event.TypeSessionReserved, event.ClassSession, []uint64{event.StreamKey(event.StreamUser, event.FoldName(user))}, &event.SessionReserved{
		User: user, Login: r.Decision.ID, Client: r.Client.Name, NotAfterUnix: now.Add(reservationTerm).Unix(),
	})
	r.work.stage = atReservation
	r.work.late = true
	if err == nil {
		err = e.waiting.propose(b.Bytes(), r)
	}
	if err != nil {
		r.work.late = false
		e.unrecorded(r, err)
		return false
	}
	return true
}

// grant accepts: it computes what is released and replied.
func (e *Engine) grant(r *Request) {
	d := &r.Decision
	d.Verdict, d.Reason = event.Accept, trace.OK
	d.Replies = r.Cache.Replies(d.Replies[:0], r.Client, &r.user)
	r.facts.Reset()
	r.facts.Subject, r.facts.Principal = attribute.OfUser(&r.user), r.user.Name
	r.facts.Authentication = authentication(r.Proof.Method)
	d.Released = r.Cache.Release(d.Released[:0], r.Client, &r.facts)
}

// unrecorded decides a login whose record the log did not take: the device gets no answer and tries another node.
func (e *Engine) unrecorded(r *Request, err error) {
	r.trace.Add(trace.RecordRefused, err.Error(), "")
	d := &r.Decision
	d.reply()
	d.Verdict, d.Reason = event.Discard, trace.LogNotRecorded
	if errors.Is(err, ErrUnavailable) && !e.config.Log.HasLeader() {
		d.Reason = trace.LogNoLeader
	}
}

// Verified implements credential.Done: a verification that took its time has ended.
func (r *Request) Verified(outcome credential.Outcome) {
	e := r.work.engine
	r.work.late = true
	if !e.verified(r, outcome) {
		e.settleLate(r)
	}
}

// resume goes on with a request that waited for a commit.
func (e *Engine) resume(r *Request, o Outcome) {
	switch r.work.stage {
	case atReservation:
		switch {
		case o.Err != nil:
			e.unrecorded(r, o.Err)
		case o.Code != 0:
			r.trace.Add(trace.SessionsFull, "", o.Detail)
			r.reject(trace.SessionLimit)
		default:
			r.trace.Add(trace.SessionReserved, o.Detail, "")
			e.grant(r)
		}
		e.settleLate(r)
	case atRecord:
		if o.Err != nil || o.Code != 0 {
			if o.Err == nil {
				o.Err = ErrRefused
			}
			e.unrecorded(r, o.Err)
		}
		r.Done.Decided(r)
	}
}

// settle records a decision that was made on its lane; it returns false if the answer has to wait for the record.
func (l *Lane) settle(r *Request) bool {
	if r.Client.RecordFirst {
		return !l.engine.recordFirst(r)
	}
	l.record(r)
	return true
}

func (l *Lane) record(r *Request) {
	e := l.engine
	if r.Decision.Verdict == event.Accept && e.config.TraceAccepts > 0 {
		l.accepts++
		if l.accepts >= e.config.TraceAccepts {
			l.accepts, r.work.traced = 0, true
		}
	}
	var d event.DecidedView
	l.journal.add(&d, e.describe(r, &d), r.Arrived)
	if l.journal.builder.Len() >= journalBytes {
		l.Flush()
	}
}

// settleLate records a decision that was made elsewhere, and delivers it.
func (e *Engine) settleLate(r *Request) {
	if r.Client.RecordFirst {
		if !e.recordFirst(r) {
			r.Done.Decided(r)
		}
		return
	}
	e.late.Lock()
	var d event.DecidedView
	e.late.journal.add(&d, e.describe(r, &d), r.Arrived)
	if e.late.journal.builder.Len() >= journalBytes {
		e.late.journal.flush(e.late.to, &e.missing)
	}
	e.late.Unlock()
	r.Done.Decided(r)
}

// recordFirst proposes the decision's record, on which the answer waits. It returns false if the answer need not wait,
// because the log did not take the record and there is none.
func (e *Engine) recordFirst(r *Request) (waits bool) {
	r.work.stage = atRecord
	var b event.Builder
	var d event.DecidedView
	b.Reset()
	b.AddDecided(&d, e.describe(r, &d)...)
	if err := e.waiting.propose(b.Bytes(), r); err != nil {
		e.missing.add(1, r.Arrived, r.Arrived, err)
		e.unrecorded(r, err)
		return false
	}
	return true
}
