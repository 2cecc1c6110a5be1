package engine

import (
	"trine/engine/credential"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/login/geo"
	"trine/engine/policy"
	"trine/engine/script"
	"trine/engine/state"
	"trine/engine/trace"
)

// work is what the engine keeps in a request while it decides.
type work struct {
	engine    *Engine
	found     resolution
	stored    credential.Stored
	attempt   credential.Attempt
	stage     stage
	factors   state.Factors   // of the user, where the login may need one of them
	history   state.LastLogin // of the user, where rules ask for it
	facts     login.Facts     // what rules ask
	place     geo.Place       // where the login comes from, as far as it is known
	matrix    *login.Matrix   // the ways that are accepted; nil: a password is enough
	proved    login.Set       // what was proved so far
	code      []byte          // a one-time password that came behind the password
	challenge login.Challenge // that the login answers; its ID is 0 if it answers none
	proof     proof           // of the second factor
	late      bool            // the decision is made off its lane's goroutine
	device    bool            // it is a device, by its MAC address
	lack      string          // what the new password lacks, in words for the person
	rule      *policy.Rule    // of the authorization policy, that decided; nil if none did
	privilege int8            // the level that the person's roles give; -1 while it is not known, or none is
	action    *Authorization  // that is decided; nil for a login
	asked     asked
	traced    bool // the whole trace is recorded, though it is an accept
	limit     int  // of simultaneous sessions
	text      []byte
	source    []byte
	failing   failing
	builder   event.Builder // of what the request itself waits for
	script    script.Job    // that it waits for
	weighed   int           // the number of the adaptive rule whose script that is
	steps     [trace.MaxSteps + 1]event.StepView
}

// stage says what a request waits for.
type stage uint8

const (
	atPassword stage = iota
	atFactor
	atReservation
	atRecord
	atChange
	atRule
	atAuthorization
	atSession
)

// Authenticate decides a login. It returns true if r.Decision is made; otherwise r.Done is told later, exactly once and possibly
// before Authenticate returns, and the request is the engine's until then.
//
// The order is: the client, the method, the person, locks, the password, then what depends on who it is. A password is verified
// also for people who are unknown or switched off, so that neither time nor words tell them apart.
func (l *Lane) Authenticate(r *Request) bool {
	e := l.engine
	e.begin(r, l.newID())
	reason := e.admit(r)
	if r.Proof.Method == credential.MAC {
		if e.admitDevice(r, reason) {
			return false
		}
		return l.settle(r)
	}
	e.identify(r)
	if reason == trace.OK {
		reason = e.offered(r)
	}
	if reason == trace.OK {
		reason = e.Locked(r, password)
	}
	if reason != trace.OK {
		r.reject(reason)
		return l.settle(r)
	}
	if len(r.State) > 0 {
		return !e.answer(r) && l.settle(r)
	}
	if r.enabling() {
		r.trace.Add(trace.EnableAsked, levelText(r.Enable), "")
		if system := r.system(); system != nil && system.HasEnableSecret() {
			return !e.enable(r, system) && l.settle(r)
		}
	}
	return !e.choose(r) && l.settle(r)
}

// Refuse decides a login that the protocol found wanting by itself, such as a proof that is malformed or a method that it
// does not speak, so that it is recorded and explained like every other. It returns what Authenticate does.
func (l *Lane) Refuse(r *Request, reason trace.Reason) bool {
	e := l.engine
	e.begin(r, l.newID())
	e.admitClient(r)
	e.identify(r)
	r.remark(reason)
	r.reject(reason)
	return l.settle(r)
}

// Overrule replaces an accept that the protocol could not render, for example because the reply is too large. The decision
// keeps its id; both are recorded, the accept first. It is called on the lane's goroutine, when the accept was delivered.
func (l *Lane) Overrule(r *Request, reason trace.Reason) {
	if !r.work.traced { // unlike an accept, a reject always keeps its whole trace
		l.engine.release(r, &r.trace)
	}
	r.remark(reason)
	r.reject(reason)
	if r.work.late { // into the journal that the accept is in, if it is still in one
		l.engine.recordLate(r)
		return
	}
	l.record(r)
}

// remark says in the trace what the protocol found.
func (r *Request) remark(reason trace.Reason) {
	remark := r.Remark
	r.Remark = ""
	if remark == "" {
		remark = string(reason)
	}
	switch reason {
	case trace.ProofMalformed, trace.EndpointMismatch, trace.PasswordPolicy, trace.UserMissing:
		r.trace.Add(trace.ProofIsBad, remark, "")
	case trace.RadiusServiceUnsupported, trace.TacacsActionUnsupported:
		r.trace.Add(trace.ServiceAsked, remark, "")
	case trace.RadiusReplyBroken, trace.RadiusReplyTooLarge:
		r.trace.Add(trace.ReplyIsBad, r.Client.Name, remark)
	default:
		r.trace.Add(trace.MethodUnknown, remark, "")
	}
}

func (e *Engine) begin(r *Request, id uint64) {
	if r.Cache == nil {
		r.Cache = e.config.Policies.Load()
	}
	r.Decision.reset()
	r.Decision.ID = id
	w := &r.work
	w.engine, w.stage, w.late, w.traced, w.limit = e, atPassword, false, false, 0
	w.found, w.place = resolution{}, geo.Place{}
	w.device, w.rule, w.asked = false, nil, asked{}
	w.privilege, w.action, w.lack = -1, nil, ""
	w.failing.reset()
	w.proved, w.code, w.challenge, w.proof, w.matrix = 0, nil, login.Challenge{}, proof{}, nil
	r.trace.Start(e.clock())
}

// admit checks what does not depend on the person.
func (e *Engine) admit(r *Request) trace.Reason {
	e.admitClient(r)
	client, issuer := r.Client, r.Client.Issuer
	switch {
	case client.Broken != nil && issuer == nil && client.Wire != nil: // nothing is wrong with its own document
		r.trace.Add(trace.IssuerNone, client.Name, "")
		r.trace.Add(trace.ClientIsBad, client.Name, client.Broken.Error())
		return trace.IssuerMissing
	case client.Broken != nil:
		r.trace.Add(trace.ClientIsBad, client.Name, client.Broken.Error())
		return trace.ConfigBroken
	case issuer == nil:
		r.trace.Add(trace.IssuerNone, client.Name, "")
		return trace.IssuerMissing
	}
	r.trace.Add(trace.IssuerChosen, issuer.Name, "")
	if wire := client.Spec.Type; !allows(issuer.Accepts(wire), r.Proof.Method) {
		r.trace.Add(trace.MethodOff, r.Proof.Method.String(), issuer.Name)
		if wire == document.TypeTacacs {
			return trace.TacacsMethodDisabled
		}
		return trace.RadiusMethodDisabled
	}
	if len(r.Name) == 0 {
		r.trace.AddName(trace.NameCame, nil, "")
		return trace.UserMissing
	}
	return trace.OK
}

func (e *Engine) admitClient(r *Request) {
	text := append(r.work.text[:0], r.Client.Name...)
	name := len(text)
	if a := r.Source.Addr(); a.IsValid() {
		text = a.Unmap().AppendTo(text)
	}
	r.work.text = text
	r.trace.AddBytes(trace.ClientChosen, text[:name], text[name:])
}

func allows(offered policy.Methods, m credential.Method) bool {
	switch m {
	case credential.ASCII:
		return offered.ASCII
	case credential.PAP:
		return offered.PAP
	case credential.CHAP:
		return offered.CHAP
	case credential.MSCHAPv1:
		return offered.MSCHAPv1
	case credential.MSCHAPv2, credential.MSCHAPCPW:
		return offered.MSCHAPv2
	}
	return true // no proof at all: Verify says why that will not do
}

// identify looks the person up and lays out the attempt.
func (e *Engine) identify(r *Request) {
	w, a := &r.work, &r.work.attempt
	w.found = resolve(r.Client, r.Name, func(login []byte) bool { return e.config.People.User(&r.user, login) })
	w.source = append(append(w.source[:0], r.Client.Name...), 0)
	if r.dialogue != nil && !r.familiar() {
		w.source = appendNetwork(w.source, r.Source.Addr())
	} else {
		w.source = append(AppendAddr(w.source, r.Source.Addr()), r.Calling...)
	}
	*a = credential.Attempt{Proof: &r.Proof, Name: w.found.looked, Source: w.source, Deadline: r.Deadline, Done: r}
	if w.found.stripped {
		r.trace.AddBytes(trace.NameStripped, w.found.looked, w.found.realm)
	}
	if !w.found.ok {
		if w.found.unlisted {
			r.trace.AddName(trace.RealmUnlike, w.found.realm, "")
		}
		r.trace.AddName(trace.UserNotFound, w.found.looked, "")
		return
	}
	r.trace.AddBytes(trace.UserFound, r.user.Name, w.found.looked)
	r.Decision.User, r.Decision.UserID = r.user.Name, r.user.ID
	w.stored = credential.Stored{
		ID: r.user.ID, Name: r.user.Name, Version: r.user.CredentialVersion,
		Argon2id: r.user.Argon2id, Keyed: r.user.Keyed, NT: r.user.NT, Clear: r.user.Clear, Imported: r.user.Imported,
	}
	a.Name, a.User = r.user.Name, &w.stored
}

// verify has the password verified, once it is known what is needed beside it. It returns true if the request waits.
func (e *Engine) verify(r *Request) (waits bool) {
	e.split(r)
	outcome := e.config.Verifier.Verify(&r.work.attempt)
	if outcome.Status == credential.Pending {
		return true // r may be anybody's by now
	}
	return e.verified(r, outcome)
}

// Verified implements credential.Done: a verification that took its time has ended.
func (r *Request) Verified(outcome credential.Outcome) {
	e := r.work.engine
	r.work.late = true
	if outcome.Err == nil {
		r.trace.Add(trace.WorkerAnswered, outcome.Form.String(), "")
	}
	if !e.verified(r, outcome) {
		e.settleLate(r)
	}
}

// verified goes on once the password is verified or not. It returns true if the request waits for a commit.
func (e *Engine) verified(r *Request, outcome credential.Outcome) (waits bool) {
	outcome.Reason = e.toCome(r, outcome.Reason)
	e.explain(r, outcome)
	if guessed(outcome.Reason) {
		e.Failed(r, password)
	}
	switch {
	case outcome.Status == credential.Matched && r.work.attempt.User != nil:
	case unanswerable(outcome.Reason):
		r.discard(outcome.Reason)
		return false
	case r.work.found.unlisted && outcome.Reason == trace.UserUnknown:
		r.reject(trace.RealmUnknown)
		return false
	case outcome.Status == credential.Matched:
		violated("no match without a user", "one of %s", outcome.Form)
	default:
		r.reject(outcome.Reason)
		return false
	}
	if e.tooLate(r) {
		return false
	}
	reason := e.standing(r)
	switch reason {
	case trace.OK, trace.PasswordMustChange, trace.PasswordExpired: // the last two may be changed by MS-CHAPv2 once there is an NT form
		if !r.Proof.Changes() { // all forms are made anew anyway
			e.rehashes.offer(r, outcome)
		}
	}
	if reason != trace.OK {
		r.reject(reason)
		r.Decision.MustChangePassword = e.asksForChange(r, reason)
		if reason == trace.PasswordPolicy {
			r.Decision.Message = r.work.lack
		}
		return false
	}
	r.work.proved |= login.SetOf(login.Password)
	if len(r.work.code) > 0 {
		if reason := e.Locked(r, r.guarded(login.OTP)); reason != trace.OK {
			return e.refused(r, reason)
		}
		return e.use(r, e.prove(r, login.OTP, r.work.code))
	}
	return e.further(r)
}

// standing says whether the person may log in at all, whatever was proved.
func (e *Engine) standing(r *Request) trace.Reason {
	if r.user.Inactive {
		r.trace.AddName(trace.UserIsOff, r.user.Name, "")
		return trace.UserInactive
	}
	r.meet(e.now())
	if reason := e.kind(r, r.Cache.UserType(r.user.UserType)); reason != trace.OK {
		return reason
	}
	if r.dialogue != nil && (!r.byPassword() || e.outdated(r) != trace.OK) {
		return trace.OK // who came by a passkey may have no password; and a password that can be changed is at the end
	}
	return e.age(r)
}

// toCome returns why a form of the password is not there, if it is the imported password's: the user type keeps it, and the first login by PAP
// makes it.
func (e *Engine) toCome(r *Request, reason trace.Reason) trace.Reason {
	if reason != trace.RadiusCHAPSecretNotKept && reason != trace.RadiusMSCHAPHashNotKept || !r.work.found.ok || len(r.user.Imported) == 0 {
		return reason
	}
	userType := r.Cache.UserType(r.user.UserType)
	if userType == nil || userType.Broken != nil {
		return reason
	}
	keep, _ := KeepOf(userType.Spec)
	if keep.Clear || keep.NT && reason == trace.RadiusMSCHAPHashNotKept {
		return trace.PasswordImported
	}
	return reason
}

// explain adds the outcome of the verification to the trace.
func (e *Engine) explain(r *Request, outcome credential.Outcome) {
	keeper := ""
	if outcome.Reason == trace.RadiusCHAPSecretNotKept || outcome.Reason == trace.RadiusMSCHAPHashNotKept {
		keeper = "the user type default"
		if r.work.found.ok && len(r.user.UserType) > 0 {
			keeper = "the user type " + string(r.user.UserType)
		}
	}
	outcome.Record(&r.trace, r.work.attempt.Name, keeper)
}

// unanswerable reports whether a verification came to no end for a reason of this node's: the device gets no answer, so that it
// tries another one.
func unanswerable(reason trace.Reason) bool {
	switch reason {
	case trace.OverloadQueueFull, trace.OverloadDeadline, trace.WorkerFailed, trace.LogBehind:
		return true
	}
	return false
}

// tooLate drops a login whose device no longer waits.
func (e *Engine) tooLate(r *Request) bool {
	if !r.work.late || r.Deadline.IsZero() || !e.clock().After(r.Deadline) {
		return false
	}
	r.trace.Add(trace.DeadlinePassed, "the login", "")
	r.discard(trace.OverloadDeadline)
	return true
}

// kind checks the documents that say what kind of person it is.
func (e *Engine) kind(r *Request, userType *policy.UserType) trace.Reason {
	switch {
	case userType == nil && len(r.user.UserType) > 0:
		r.trace.AddName(trace.TypeNotFound, r.user.UserType, "")
		return trace.UserTypeMissing
	case userType != nil && userType.Broken != nil:
		r.trace.Add(trace.TypeIsBad, userType.Name, userType.Broken.Error())
		return trace.ConfigBroken
	}
	return e.membership(r)
}

// membership checks what is known of a person by his groups and roles.
func (e *Engine) membership(r *Request) trace.Reason {
	if g := r.person.BrokenGroup(); g != nil {
		r.trace.Add(trace.GroupIsBad, g.Name, g.Broken.Error())
		return trace.ConfigBroken
	}
	if role := r.person.BrokenRole(); role != nil {
		r.trace.Add(trace.RoleIsBad, role.Name, role.Broken.Error())
		return trace.ConfigBroken
	}
	return trace.OK
}

// proceed ends a login for which there is a place. It returns true if the request waits for a new password.
func (e *Engine) proceed(r *Request) (waits bool) {
	if r.Proof.Changes() {
		return e.change(r)
	}
	e.grant(r)
	return false
}

// grant accepts, with what is released, and computes what is replied.
func (e *Engine) grant(r *Request) {
	d := &r.Decision
	d.Verdict, d.Reason = event.Accept, trace.OK
	e.forgive(r)
	e.remember(r)
	d.Privilege = r.work.privilege
	if r.Client.System == "" { // over TACACS+ what somebody gets is asked for by an authorization
		d.Replies = r.person.Replies(d.Replies[:0], r.Client, r.work.rule)
	}
	if r.work.traced = e.traces(); r.work.traced {
		e.release(r, &r.trace)
	}
}

// traces reports whether this accept is one of those whose whole trace is kept.
func (e *Engine) traces() bool {
	n := e.config.TraceAccepts
	return n > 0 && e.accepts.Add(1)%uint64(n) == 0
}

// resume goes on with a request that waited for a commit.
func (e *Engine) resume(r *Request, o Outcome) {
	r.work.late = true
	switch r.work.stage {
	case atFactor:
		if !e.used(r, o) {
			e.settleLate(r)
		}
	case atReservation:
		if !e.reserved(r, o) {
			e.settleLate(r)
		}
	case atSession:
		if !e.kept(r, o) {
			e.settleLate(r)
		}
	case atChange:
		if !e.changed(r, o) {
			e.settleLate(r)
		}
	case atRecord:
		if err := o.failure(); err != nil {
			e.missing.add(1, r.Arrived, e.clock(), err)
			e.unrecorded(r, err)
		}
		r.Done.Decided(r)
	default:
		violated("a login that waits for a commit", "one at stage %d", r.work.stage)
	}
}
