package engine

import (
	"time"

	"trine/engine/credential"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/trace"
)

// challengeLife is how long a device may take to answer a challenge: a person has to look for a telephone and type.
const challengeLife = 2 * time.Minute

// choose finds out which ways the login is accepted in. It returns OK, or why it is refused at once.
func (e *Engine) choose(r *Request) trace.Reason {
	w := &r.work
	w.matrix = nil
	issuer := r.Client.Issuer
	if issuer.Login.Trivial() {
		return trace.OK
	}
	e.enrolments(r)
	e.fillFacts(r)
	matrix, rule, err := issuer.Login.Choose(&w.facts)
	switch {
	case err != nil:
		r.trace.Add(trace.RuleFailed, rule.Name, err.Error())
		return trace.RuleBroken
	case rule != nil:
		r.trace.Add(trace.RuleChosen, rule.Name, issuer.Name)
	}
	w.matrix = matrix
	return trace.OK
}

// enrolments reads which factors the user has.
func (e *Engine) enrolments(r *Request) {
	r.work.factors.List = r.work.factors.List[:0]
	if r.work.found.ok {
		e.config.People.Factors(&r.work.factors, r.user.ID)
	}
}

// further goes on once a factor was proved: with the place under a limit if what was proved is a way of the matrix, else with a
// challenge for what is missing. It returns true if the request waits for a commit.
func (e *Engine) further(r *Request) (waits bool) {
	w := &r.work
	if w.matrix == nil || w.matrix.Satisfied(w.proved) {
		return e.entitled(r)
	}
	missing := w.matrix.Missing(w.proved)
	r.trace.Add(trace.FactorsProved, w.proved.String(), r.Client.Issuer.Name)
	if missing == 0 {
		r.trace.Add(trace.FactorMissing, missing.String(), "no way of the matrix goes on from here")
		r.reject(trace.FactorRefused)
		return false
	}
	have := e.enrolled(r)
	asked := preferred(missing & have)
	switch {
	case asked == login.NoFactor:
		r.trace.Add(trace.FactorMissing, missing.String(), "enrolled are "+have.String())
		r.reject(trace.FactorNotEnrolled)
		return false
	case r.Proof.Method == credential.MSCHAPCPW: // the new password would not outlive the challenge
		r.trace.Add(trace.FactorMissing, asked.String(), "a change of password cannot wait for it")
		r.reject(trace.FactorNeeded)
		return false
	case !r.Continues:
		r.trace.Add(trace.FactorMissing, asked.String(), "the service provider cannot carry a challenge")
		r.reject(trace.FactorNeeded)
		return false
	}
	return e.ask(r, asked)
}

// preference is the order in which factors are asked for where several would do: what costs nothing and disturbs least comes first.
var preference = [...]login.Factor{login.OTP, login.PIN, login.SMS, login.Email}

func preferred(s login.Set) login.Factor {
	for _, f := range preference {
		if s.Has(f) {
			return f
		}
	}
	return login.NoFactor
}

// ask makes the challenge for one factor.
func (e *Engine) ask(r *Request, f login.Factor) (waits bool) {
	w, d := &r.work, &r.Decision
	c := login.Challenge{
		ID: d.ID, User: r.user.ID, Version: r.user.CredentialVersion, Client: event.StreamKey(event.StreamClient, r.Client.Name),
		Proved: w.proved, Asked: login.SetOf(f), NotAfter: e.now().Add(challengeLife), Index: e.config.People.AppliedIndex(),
	}
	if f == login.SMS || f == login.Email {
		if reason := e.sendCode(r, f, &c); reason != trace.OK {
			r.reject(reason)
			return false
		}
	}
	sealed, err := c.Seal(d.State[:0], e.config.Keyring)
	if err != nil {
		r.trace.Add(trace.FactorMissing, f.String(), err.Error())
		r.discard(trace.LogNotRecorded)
		return false
	}
	r.trace.Add(trace.FactorAsked, f.String(), "")
	d.deny(event.Challenge, trace.FactorNeeded)
	d.State, d.Message = sealed, prompts[f]
	return false
}

// prompts are what people are asked, in words that a device can show.
var prompts = map[login.Factor]string{
	login.OTP:   "Enter the one-time password of your token",
	login.PIN:   "Enter your PIN",
	login.SMS:   "Enter the code that was sent to your mobile telephone",
	login.Email: "Enter the code that was sent to you by mail",
}
