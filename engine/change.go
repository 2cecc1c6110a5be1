package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"trine/engine/credential"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/state"
	"trine/engine/trace"
)

const (
	// maxChanges bounds the changes of passwords that are under way at a time; a change past it gets no answer, so that the device tries again.
	maxChanges = 64
	// changeTime bounds how long the forms of a new password may take where nobody says how long he waits.
	changeTime = 30 * time.Second
)

// offered refuses a change of password by somebody whose user type does not let him, before the proof is looked at. Names that nobody
// has follow the default user type.
func (e *Engine) offered(r *Request) trace.Reason {
	switch {
	case r.Changes && !r.Proof.Changes():
		r.trace.Add(trace.MethodUnknown, "a change of password without a new one", "")
		return trace.ProofMissing
	case !r.Proof.Changes():
		return trace.OK
	}
	name := "default"
	t := r.Cache.UserType(nil)
	if r.work.found.ok && len(r.user.UserType) > 0 {
		name = string(r.user.UserType)
		t = r.Cache.UserType(r.user.UserType)
	}
	if t == nil || !t.Spec.Password.AllowChange {
		r.trace.Add(trace.ChangeNotOffered, r.Proof.Method.String(), name)
		return trace.PasswordChangeDenied
	}
	return trace.OK
}

// age checks how old the password is: too old to log in with, or, where a new one came, too young or too old to be changed.
func (e *Engine) age(r *Request) trace.Reason {
	p := r.policy()
	age, old, stale := e.ageOf(r, &p)
	changing := r.Proof.Changes()
	switch {
	case stale:
		r.trace.Add(trace.PasswordIsStale, words(age), words(p.MaxAge+p.Grace))
		return trace.PasswordExpired
	case changing && !old && !r.user.MustChange && age < p.MinAge:
		r.trace.Add(trace.PasswordIsYoung, words(age), words(p.MinAge))
		return trace.PasswordTooYoung
	case changing:
		if lack := lackOf(&p, r.Proof.NewPassword); lack != "" {
			r.trace.Add(trace.NewPasswordRefused, lack, "")
			r.work.lack = lack
			return trace.PasswordPolicy
		}
	case r.user.MustChange:
		r.trace.AddName(trace.PasswordToBeChanged, r.user.Name, "")
		return trace.PasswordMustChange
	case old:
		r.trace.Add(trace.PasswordOutOfDate, words(age), words(p.MaxAge))
		return trace.PasswordExpired
	}
	return trace.OK
}

// asksForChange reports whether a login that is refused for the age of the password can ask for a new one: of the methods, MS-CHAPv2 and ASCII have
// a dialogue for that.
func (e *Engine) asksForChange(r *Request, reason trace.Reason) bool {
	if reason != trace.PasswordMustChange && reason != trace.PasswordExpired || r.Proof.Method != credential.MSCHAPv2 && r.Proof.Method != credential.ASCII {
		return false
	}
	p := r.policy()
	_, _, stale := e.ageOf(r, &p)
	return p.AllowChange && !stale
}

// policy returns the password policy of the user; where there is none, nothing ages and nobody may change.
func (r *Request) policy() (p document.PasswordPolicy) {
	if t := r.Cache.UserType(r.user.UserType); t != nil {
		p = t.Spec.Password
	}
	return p
}

// ageOf returns how old the password is, whether that is too old to log in with, and whether it is too old even to be changed.
func (e *Engine) ageOf(r *Request, p *document.PasswordPolicy) (age time.Duration, old, stale bool) {
	age = max(e.clock().Sub(time.Unix(r.user.PasswordSetAt, 0)), 0)
	old = p.MaxAge > 0 && age > p.MaxAge
	return age, old, old && p.Grace > 0 && age > p.MaxAge+p.Grace
}

// words tells an age to the minute.
func words(d time.Duration) string {
	day := 24 * time.Hour
	switch {
	case d >= 2*day:
		return strconv.Itoa(int(d/day)) + " days"
	case d >= time.Minute:
		return d.Truncate(time.Minute).String()
	}
	return d.Truncate(time.Second).String()
}

// change has the forms of the new password made, which takes time, and proposes them. It returns false if too many are under way.
func (e *Engine) change(r *Request) (waits bool) {
	if e.changes.Add(1) > maxChanges {
		e.changes.Add(-1)
		r.discard(trace.OverloadQueueFull)
		return false
	}
	r.work.late = true
	renew := func() {
		defer e.changes.Add(-1)
		if !e.renew(r) {
			e.settleLate(r)
		}
	}
	if e.aside { // whoever tries out a login waits
		renew()
	} else {
		go renew()
	}
	return true
}

// renew makes the forms of the new password and proposes them, unless somebody else has changed it meanwhile. It returns false if the login is
// decided, because that cannot be done.
func (e *Engine) renew(r *Request) (waits bool) {
	set, err := e.newForms(r)
	r.dropPassword() // before the request may be somebody else's
	switch {
	case errors.Is(err, errUsed):
		r.trace.Add(trace.NewPasswordRefused, err.Error(), "")
		r.reject(trace.PasswordReused)
		r.Decision.Message = "the password was used before"
		if r.dialogue != nil {
			e.anotherPassword(r, r.Decision.Message)
		}
		return false
	case err != nil:
		r.trace.Add(trace.WorkerRefused, err.Error(), "")
		r.discard(reasonOf(err))
		return false
	}
	b := &r.work.builder
	b.Reset()
	b.Expect(event.Expectation_CREDENTIAL, set.User, r.user.CredentialVersion)
	streams := []uint64{
		event.StreamKey(event.StreamDocument, event.Key(document.KindUser, set.User)),
		event.StreamKey(event.StreamUser, event.FoldName(set.User)),
		decisionKey(r.Decision.ID),
	}
	if err = b.Add(event.TypePasswordSet, event.ClassIdentity, streams, set); err == nil && r.dialogue != nil && r.work.challenge.ID != 0 {
		err = b.Add(event.TypeConsumed, event.ClassSession, streams, &event.Consumed{
			Key: challengeKey(r.work.challenge.ID), NotAfterUnix: r.work.challenge.NotAfter.Add(time.Second).Unix(),
		})
	}
	if err == nil {
		r.work.stage = atChange
		err = e.waiting.propose(b.Bytes(), r)
	}
	if err != nil {
		e.unrecorded(r, err)
		return false
	}
	return true
}

// errUsed means that a new password is the present one or a former one.
var errUsed = errors.New("it differs from the passwords before it")

// newForms makes the forms of the new password that are to be kept. It returns errUsed for one that was used before.
func (e *Engine) newForms(r *Request) (*event.PasswordSet, error) {
	wait := changeTime
	if !r.Deadline.IsZero() {
		wait = r.Deadline.Sub(e.clock())
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	keep, params := KeepOf(r.Cache.UserType(r.user.UserType).Spec)
	if keep.History > 0 {
		used, err := e.config.Verifier.Used(ctx, &r.work.stored, former(&r.user, keep.History-1), r.Proof.NewPassword)
		if err != nil {
			return nil, err
		}
		if used {
			return nil, errUsed
		}
	}
	set, err := e.config.Verifier.BuildForms(ctx, string(r.user.Name), r.Proof.NewPassword, keep, params)
	if err == nil {
		set.By = set.User
	}
	return set, err
}

// former returns what is remembered of at most so many of a user's former passwords.
func former(u *state.User, most int) (list []credential.Former) {
	for _, f := range u.Former[:min(len(u.Former), max(most, 0))] {
		form := credential.FormKeyed
		if f[0] == state.FormerArgon2id {
			form = credential.FormArgon2id
		}
		list = append(list, credential.Former{Form: form, Data: f[1:]})
	}
	return list
}

// reasonOf returns why forms could not be made or compared.
func reasonOf(err error) trace.Reason {
	switch {
	case errors.Is(err, credential.ErrQueueFull):
		return trace.OverloadQueueFull
	case errors.Is(err, credential.ErrDeadline), errors.Is(err, context.DeadlineExceeded):
		return trace.OverloadDeadline
	}
	return trace.WorkerFailed
}

// changed goes on once a new password is committed or not. Who waited for it is answered also when he waits no longer: it is his password now. It returns true
// if the request waits for the session of a login over pages.
func (e *Engine) changed(r *Request, o Outcome) (waits bool) {
	switch {
	case o.Err == nil && o.Code == event.CodeConflict:
		r.trace.AddName(trace.ChangedMeanwhile, r.user.Name, "")
		r.reject(trace.PasswordChangeInvalid)
	case o.failure() != nil:
		e.unrecorded(r, o.failure())
	default:
		r.trace.AddName(trace.NewPasswordSet, r.user.Name, "")
		if r.dialogue != nil {
			r.dialogue.renewed = true
			return e.keepSession(r)
		}
		e.grant(r)
		r.work.traced = true
	}
	return false
}

// lackOf says what a new password lacks, in words for the person; empty if nothing.
func lackOf(p *document.PasswordPolicy, password []byte) string {
	if len(password) > credential.MaxPassword {
		return fmt.Sprintf("the password is longer than %d bytes", credential.MaxPassword)
	}
	return p.Check(password)
}

// dropPassword forgets the new password, at the latest when the login is decided.
func (r *Request) dropPassword() {
	clear(r.Proof.NewPassword)
	r.Proof.NewPassword = nil
}
