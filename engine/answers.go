package engine

import (
	"time"

	"trine/engine/credential"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/trace"
)

// answer decides a login that answers a challenge. The factors before it were proved to the node that asked; what is verified here is
// the one that was asked for. Whoever answers, right or wrong, uses the challenge up: so it returns true if r waits for that.
func (e *Engine) answer(r *Request) (waits bool) {
	w := &r.work
	c, reason := e.open(r)
	if reason != trace.OK {
		return e.refused(r, reason)
	}
	w.challenge, w.proved = c, c.Proved
	e.enrolments(r)
	e.locate(r)
	r.trace.Add(trace.ChallengeAnswered, event.FormatID(c.ID), c.Asked.String())
	if reason := e.Locked(r, r.guarded(c.Asked.First())); reason != trace.OK {
		return e.refused(r, reason)
	}
	return e.use(r, e.prove(r, c.Asked.First(), r.Proof.Password))
}

// refused rejects a login, or leaves it without an answer where another node may know better.
func (e *Engine) refused(r *Request, reason trace.Reason) (waits bool) {
	if unanswerable(reason) {
		r.discard(reason)
	} else {
		r.reject(reason)
	}
	return false
}

// open opens the challenge that a login answers and finds out whether it is still good for it.
func (e *Engine) open(r *Request) (c login.Challenge, reason trace.Reason) {
	w := &r.work
	c, err := login.OpenChallenge(r.State, e.config.Keyring)
	void := func(why string, reason trace.Reason) (login.Challenge, trace.Reason) {
		r.trace.Add(trace.ChallengeVoid, why, "")
		return c, reason
	}
	switch {
	case err != nil:
		return void(err.Error(), trace.ChallengeInvalid)
	case c.Index > e.config.People.AppliedIndex():
		return void("this node has not applied the log as far as the one that asked", trace.LogBehind)
	case e.now().After(c.NotAfter):
		return void("its time is over", trace.ChallengeExpired)
	case c.Client != event.StreamKey(event.StreamClient, r.Client.Name):
		return void("it was made for another service provider", trace.ChallengeInvalid)
	case !w.found.ok || r.user.ID != c.User:
		return void("it was made for another user", trace.ChallengeInvalid)
	case r.user.CredentialVersion != c.Version:
		return void("the password was changed meanwhile", trace.ChallengeExpired)
	case r.Proof.Method == credential.NoProof && c.Asked.Has(login.Push): // RFC 2865 section 4.1: State can stand alone
	case !r.Proof.Method.Clear():
		return void("its answer has to come as a password (PAP)", trace.ChallengeInvalid)
	}
	return c, trace.OK
}

// use proposes what was used: the challenge, and the step or counter of the factor where it was proved. It returns false if the login
// is decided without, because there was neither, or because the log did not take the record.
func (e *Engine) use(r *Request, p proof) (waits bool) {
	w := &r.work
	if w.proof = p; p.guessed() { // counted before it is committed: others may be answered at this moment
		e.guess(r, r.guarded(p.asked))
	}
	if w.challenge.ID == 0 && (p.reason != trace.OK || len(p.factor) == 0 && p.once == "") {
		return e.proven(r)
	}
	b := &w.builder
	b.Reset()
	streams := []uint64{event.StreamKey(event.StreamUser, event.FoldName(string(r.user.Name))), decisionKey(r.Decision.ID)}
	var err error
	if w.challenge.ID != 0 {
		err = b.Add(event.TypeConsumed, event.ClassSession, streams, &event.Consumed{
			Key: challengeKey(w.challenge.ID), NotAfterUnix: w.challenge.NotAfter.Add(time.Second).Unix(),
		})
	}
	if err == nil && p.reason == trace.OK && len(p.factor) > 0 {
		err = b.Add(event.TypeFactorUsed, event.ClassIdentity, streams, &event.FactorUsed{User: string(r.user.Name), Id: p.factor, Counter: p.counter, Drift: p.drift})
	}
	if err == nil && p.reason == trace.OK && p.once != "" {
		err = b.Add(event.TypeConsumed, event.ClassSession, streams, &event.Consumed{Key: p.once, NotAfterUnix: p.onceUntil.Unix() + 1})
	}
	if err == nil {
		w.stage = atFactor
		err = e.waiting.propose(b.Bytes(), r)
	}
	if err != nil {
		e.unrecorded(r, err)
		return false
	}
	return true
}

// challengeKey is the one-shot key of a challenge.
func challengeKey(id uint64) string { return "challenge/" + event.FormatID(id) }

// used goes on once what was used is committed or void.
func (e *Engine) used(r *Request, o Outcome) (waits bool) {
	w := &r.work
	switch {
	case o.Err == nil && o.Code != 0 && w.challenge.ID != 0 && e.config.People.Consumed(challengeKey(w.challenge.ID)):
		r.trace.Add(trace.ChallengeVoid, "it was answered before", "")
		r.reject(trace.ChallengeUsed)
		return false
	case o.Err == nil && o.Code != 0:
		r.trace.Add(trace.FactorReplayed, w.proof.asked.String(), o.Detail)
		r.reject(w.proof.replayed())
		return false
	case o.Err != nil:
		e.unrecorded(r, o.Err)
		return false
	case e.tooLate(r):
		return false
	}
	return e.proven(r)
}

// proven goes on with what a second factor proved, or did not.
func (e *Engine) proven(r *Request) (waits bool) {
	w := &r.work
	p := &w.proof
	if p.pending {
		if r.dialogue != nil {
			e.pendingPush(r)
			return false
		}
		e.askAgain(r)
		return false
	}
	if p.reason != trace.OK {
		r.trace.Add(trace.FactorDiffers, p.asked.String(), p.detail)
		if p.guessed() {
			e.fail(r, r.guarded(p.asked))
			if r.dialogue != nil {
				r.dialogue.guess = true
			}
		}
		return e.refused(r, p.reason)
	}
	r.trace.Add(trace.FactorAccepted, p.asked.String(), p.label)
	w.proved |= login.SetOf(p.asked)
	if r.dialogue != nil {
		if reason := e.standing(r); reason != trace.OK {
			return e.refused(r, reason)
		}
		return e.onward(r)
	}
	if w.challenge.ID != 0 {
		// The person may have been switched off while he looked for his token.
		if reason := e.standing(r); reason != trace.OK {
			return e.refused(r, reason)
		}
		return e.entitled(r)
	}
	return e.further(r)
}
