package engine

import (
	"strconv"
	"time"

	"trine/engine/attribute"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/script"
	"trine/engine/trace"
)

// challengeLife is how long a device may take to answer a challenge: a person has to look for a telephone and type.
const challengeLife = 2 * time.Minute

// choose finds out which ways the login is accepted in, and goes on with the password. It returns true if the request waits.
func (e *Engine) choose(r *Request) (waits bool) {
	r.work.matrix = nil
	if r.dialogue == nil && r.Client.Issuer.Login.Trivial() {
		return e.verify(r)
	}
	e.enrolments(r)
	e.fillFacts(r)
	return e.weigh(r, 0)
}

// weigh looks at the adaptive rules from one on. The facts are those of when the login came, also where it has waited for scripts meanwhile.
func (e *Engine) weigh(r *Request, from int) (waits bool) {
	policy := r.Client.Issuer.Login
	n, scripted, err := policy.Choose(&r.work.facts, from)
	switch {
	case err != nil:
		r.trace.Add(trace.RuleFailed, policy.Rules[n].Name, err.Error())
		r.reject(trace.RuleBroken)
		return false
	case !scripted:
		return e.chosen(r, n)
	}
	w := &r.work
	w.stage, w.weighed = atRule, n
	w.script = script.Job{Deadline: r.Deadline, Done: r}
	policy.Rules[n].Job(&w.script, &w.facts)
	if err := e.submit(&w.script); err != nil {
		return e.unweighed(r, err)
	}
	return true // r may be anybody's by now
}

// weighed goes on with what the script of a rule yielded.
func (e *Engine) weighed(r *Request, j *script.Job) (waits bool) {
	w := &r.work
	if j.Err != nil {
		return e.unweighed(r, j.Err)
	}
	w.stage = atPassword
	r.trace.Add(trace.RuleScriptRun, r.Client.Issuer.Login.Rules[w.weighed].Name, strconv.FormatBool(j.Value.Bool))
	if e.tooLate(r) {
		return false
	}
	if reason := e.Locked(r, password); reason != trace.OK { // others that waited as well may have failed meanwhile
		return e.refused(r, reason)
	}
	if j.Value.Bool {
		return e.chosen(r, w.weighed)
	}
	return e.weigh(r, w.weighed+1)
}

// unweighed decides a login for which the script of a rule yielded nothing: it may be the one that asks for more.
func (e *Engine) unweighed(r *Request, err error) (waits bool) {
	r.trace.Add(trace.RuleFailed, r.Client.Issuer.Login.Rules[r.work.weighed].Name, err.Error())
	return e.refused(r, trace.Reason(script.Code(err)))
}

// chosen goes on once it is known which rule decides; past the last one, the default does.
func (e *Engine) chosen(r *Request, rule int) (waits bool) {
	issuer := r.Client.Issuer
	if rule < len(issuer.Login.Rules) {
		r.trace.Add(trace.RuleChosen, issuer.Login.Rules[rule].Name, issuer.Name)
	}
	r.work.matrix = issuer.Login.Matrix(rule)
	if r.dialogue != nil {
		return e.advance(r)
	}
	return e.verify(r)
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
	if r.dialogue != nil { // what the round before left is used up with the password
		return e.use(r, proof{asked: login.Password, reason: trace.OK})
	}
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
	asked := login.Preferred(missing & have)
	switch {
	case asked == login.NoFactor:
		r.trace.Add(trace.FactorMissing, missing.String(), "enrolled are "+have.String())
		r.reject(trace.FactorNotEnrolled)
		return false
	case r.Proof.Changes(): // the new password would not outlive the challenge
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

// ask makes the challenge for one factor.
func (e *Engine) ask(r *Request, f login.Factor) (waits bool) {
	w := &r.work
	c := login.Challenge{
		ID: r.Decision.ID, User: r.user.ID, Version: r.user.CredentialVersion, Client: event.StreamKey(event.StreamClient, r.Client.Name),
		Proved: w.proved, Asked: login.SetOf(f), NotAfter: e.now().Add(challengeLife), Index: e.config.People.AppliedIndex(),
	}
	message, reason := prompts[f], trace.OK
	switch f {
	case login.SMS, login.Email:
		reason = e.sendCode(r, f, &c)
	case login.Push:
		if reason = e.sendPush(r, &c); reason == trace.OK {
			message = pushPrompt(&c.Push)
		}
	}
	if reason != trace.OK {
		return e.refused(r, reason)
	}
	r.trace.Add(trace.FactorAsked, f.String(), "")
	e.challenge(r, &c, message)
	return false
}

// challenge decides that the login goes on with the answer to a challenge, and what the person is told.
func (e *Engine) challenge(r *Request, c *login.Challenge, message string) {
	d := &r.Decision
	sealed, err := c.Seal(d.State[:0], e.config.Keyring)
	if err != nil {
		r.trace.Add(trace.FactorMissing, c.Asked.String(), err.Error())
		r.discard(trace.LogNotRecorded)
		return
	}
	d.deny(event.Challenge, trace.FactorNeeded)
	d.State, d.Message = sealed, message
}

// prompts are what people are asked, in words that a device can show.
var prompts = map[login.Factor]string{
	login.OTP:   "Enter the one-time password of your token",
	login.PIN:   "Enter your PIN",
	login.SMS:   "Enter the code that was sent to your mobile telephone",
	login.Email: "Enter the code that was sent to you by mail",
}

// authentication returns what conditions call the factors that were proved (AttributePolicy, authenticationMethod): nothing for a device, which proves none. A PIN and
// whatever is sent or shown to a person for one login count as a one-time password, FIDO as a certificate. Of more than two the strongest count.
func authentication(proved login.Set) attribute.Authentication {
	const (
		alone = iota
		withOTP
		withCertificate
		withExternal
		ways
	)
	second := alone
	switch {
	case proved&login.SetOf(login.Certificate, login.FIDO) != 0:
		second = withCertificate
	case proved&login.SetOf(login.OTP, login.Email, login.SMS, login.PIN, login.Push) != 0:
		second = withOTP
	case proved.Has(login.ExternalIdP):
		second = withExternal
	}
	switch {
	case proved.Has(login.Kerberos):
		return [ways]attribute.Authentication{attribute.Kerberos, attribute.KerberosOTP, attribute.KerberosCertificate, attribute.KerberosExternal}[second]
	case proved.Has(login.Password):
		return [ways]attribute.Authentication{attribute.Password, attribute.PasswordOTP, attribute.PasswordCertificate, attribute.PasswordExternal}[second]
	case proved.Has(login.ExternalIdP):
		return [ways]attribute.Authentication{withOTP: attribute.ExternalOTP, withCertificate: attribute.ExternalCertificate, withExternal: attribute.External}[second]
	case second == withCertificate && proved&^login.SetOf(login.Certificate, login.FIDO) != 0:
		return attribute.OTPCertificate
	}
	return [ways]attribute.Authentication{withOTP: attribute.OTP, withCertificate: attribute.Certificate}[second]
}
