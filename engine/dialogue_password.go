package engine

import (
	"slices"

	"trine/engine/credential"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/trace"
)

// outdated returns why the password that was proved will not do as it is, if the person can change it before the login ends; OK if it will do. Whoever does not
// know the other factors must not change it, so that this is for the end.
func (e *Engine) outdated(r *Request) trace.Reason {
	p := r.policy()
	_, old, stale := e.ageOf(r, &p)
	switch {
	case stale || !p.AllowChange:
	case r.user.MustChange:
		return trace.PasswordMustChange
	case old:
		return trace.PasswordExpired
	}
	return trace.OK
}

// end ends a login over pages for which everything was proved and allowed: with another password first, where that is due or wanted, and then with its
// session. It returns true if the round waits.
func (e *Engine) end(r *Request) (waits bool) {
	d := r.dialogue
	switch wanted := d.round.NewPassword != nil; {
	case !wanted && !r.byPassword():
		return e.keepSession(r)
	case !wanted:
		reason := e.age(r)
		if reason == trace.OK {
			return e.keepSession(r)
		}
		if e.outdated(r) == trace.OK { // it has become too old even to be changed, or may not be any more
			r.reject(reason)
			return false
		}
		e.askPassword(r, reason)
		return false
	case !r.byPassword(): // a session or a passkey is not the proof that a change takes
		r.trace.Add(trace.ChangeNotOffered, credential.Page.String(), "")
		r.reject(trace.PasswordChangeDenied)
		return false
	}
	d.acted = true
	r.Proof.Method, r.Proof.NewPassword = credential.Page, slices.Clone(d.round.NewPassword)
	reason := e.offered(r)
	if reason == trace.OK {
		reason = e.age(r)
	}
	if reason != trace.OK {
		r.dropPassword()
		r.reject(reason)
		if reason == trace.PasswordPolicy {
			e.anotherPassword(r, r.work.lack)
		}
		return false
	}
	r.work.challenge = login.Challenge{}
	if r.work.proof.asked == login.NoFactor { // else the state was used up with what was proved
		r.work.challenge = d.challenge()
	}
	return e.change(r)
}

// askPassword asks for a new password, which is all that the login lacks.
func (e *Engine) askPassword(r *Request, reason trace.Reason) {
	d := r.dialogue
	d.acted = true
	r.trace.Add(trace.FactorAsked, "a new password", "")
	e.goOn(r, d.since)
	if r.Decision.Verdict == event.Challenge {
		d.message, r.Decision.Reason, r.Decision.MustChangePassword = "Enter a new password", reason, true
	}
}

// anotherPassword lets the person try another one, after a new password that will not do.
func (e *Engine) anotherPassword(r *Request, lack string) {
	d := r.dialogue
	d.guess, d.state.Proved, d.state.ID = true, d.since, r.Decision.ID
	e.own(r)
	r.Decision.Message, r.Decision.MustChangePassword = lack, true
}
