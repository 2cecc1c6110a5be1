package engine

import (
	"bytes"
	"context"
	"encoding/hex"
	"math/rand/v2"
	"time"

	"trine/engine/credential"
	"trine/engine/credential/certificate"
	"trine/engine/credential/code"
	"trine/engine/credential/push"
	"trine/engine/credential/webauthn"
	"trine/engine/login"
	"trine/engine/script"
	"trine/engine/trace"
)

// advance goes on once it is known which ways are accepted: what the round brings is verified, what it chose is begun, and else it is asked what is wanted. It
// returns true if the round waits.
func (e *Engine) advance(r *Request) (waits bool) {
	d, f := r.dialogue, r.dialogue.round.Factor
	if f == login.NoFactor {
		return e.onward(r)
	}
	if !e.wants(r, f) {
		return false
	}
	given := d.round.Proof.given()
	if given {
		d.acted = true
	}
	switch f {
	case login.Password:
		if typed := d.round.Proof.Typed; typed != nil {
			r.Proof = credential.Proof{Method: credential.Page, Password: typed}
			r.work.challenge = d.challenge()
			return e.verify(r)
		}
	case login.OTP, login.PIN:
		if given {
			return e.proveTyped(r, f)
		}
	case login.SMS, login.Email, login.Push:
		if !given {
			return e.beginSent(r, f)
		}
		if d.state.Asked != f {
			r.trace.Add(trace.ChallengeVoid, f.String()+" was not begun", "")
			r.reject(trace.ChallengeInvalid)
			return false
		}
		return e.proveTyped(r, f)
	case login.FIDO:
		if !given {
			return e.beginFIDO(r)
		}
		return e.useProof(r, e.proveFIDO(r))
	default:
		if given {
			return e.useProof(r, e.proveNamed(r, f))
		}
	}
	d.asked = f
	return e.onward(r)
}

// wants reports whether a factor is wanted next; where it is not, the round is decided.
func (e *Engine) wants(r *Request, f login.Factor) bool {
	session, since := r.proven(e.now())
	possible := ^login.Set(0)
	s := r.dialogue.state.Demand.Weigh(&login.Circumstance{Matrix: r.work.matrix, Session: session, Now: since, Possible: possible, At: e.now()})
	if s.Next.Has(f) || s.Satisfied && s.Way.Has(f) { // whoever has a session may prove himself again
		return true
	}
	r.trace.Add(trace.FactorMissing, s.Missing.String(), f.String()+" is not wanted next")
	reason := s.Reason
	if s.Satisfied || reason == trace.FactorNeeded {
		reason = trace.FactorRefused
	}
	r.reject(reason)
	return false
}

// challenge is what is used up of the state with a proof.
func (d *dialogue) challenge() login.Challenge {
	return login.Challenge{ID: d.state.ID, NotAfter: d.state.NotAfter, Push: d.state.Push}
}

// useProof has a proof used up with the state that it answers.
func (e *Engine) useProof(r *Request, p proof) (waits bool) {
	r.work.challenge = r.dialogue.challenge()
	return e.use(r, p)
}

// proveTyped verifies what can be guessed.
func (e *Engine) proveTyped(r *Request, f login.Factor) (waits bool) {
	if reason := e.Locked(r, r.guarded(f)); reason != trace.OK {
		return e.refused(r, reason)
	}
	typed := r.dialogue.round.Proof.Typed
	r.work.challenge = r.dialogue.challenge()
	if f == login.SMS || f == login.Email {
		return e.use(r, e.proveSent(r, f, typed))
	}
	return e.use(r, e.prove(r, f, typed))
}

// proveSent compares a code with the one that was sent. It can be tried a few times, each under a state of its own.
func (e *Engine) proveSent(r *Request, f login.Factor, typed []byte) proof {
	st := &r.dialogue.state
	issued := code.Issued{MAC: st.Code, NotAfter: st.CodeEnds, Attempts: codeAttempts}
	reason := issued.Verify(typed, e.now(), st.Failures, e.config.Keyring, codeOwner(r, st.Sent))
	issued.Record(&r.trace, reason, channelOf(f).String(), st.Failures)
	return proof{asked: f, reason: reason, label: "the code that was sent", detail: "it is not the code that was sent"}
}

// beginSent sends a code or a push challenge. While nothing was proved, it looks the same whether there is anybody to send it to.
func (e *Engine) beginSent(r *Request, f login.Factor) (waits bool) {
	d, st := r.dialogue, &r.dialogue.state
	r.trace.Add(trace.FactorBegun, f.String(), "")
	session, since := r.proven(e.now())
	known := len(session)+len(since) > 0
	c := login.Challenge{ID: r.Decision.ID}
	reason := trace.FactorNotEnrolled
	switch {
	case !r.work.found.ok || !e.enrolled(r).Has(f):
	case e.config.Messenger == nil:
		reason = trace.DeliveryUnconfigured
	case f == login.Push:
		reason = e.sendPush(r, &c)
	default:
		reason = e.sendCode(r, f, &c)
	}
	if reason != trace.OK {
		if known {
			return e.refused(r, reason)
		}
		if err := e.pretend(r, f, &c); err != nil {
			r.trace.Add(trace.FactorMissing, f.String(), err.Error())
			r.discard(trace.LogNotRecorded)
			return false
		}
	}
	st.Asked, st.Sent, st.Code, st.CodeEnds, st.Failures, st.Push = f, r.Decision.ID, c.Code, c.NotAfter, 0, c.Push
	d.message = prompts[f]
	if f == login.Push {
		st.Code, d.number, d.message = nil, c.Push.Number, pushPrompt(&c.Push)
	}
	d.begun(f, known)
	r.trace.Add(trace.FactorAsked, f.String(), "")
	e.goOn(r, since)
	return false
}

// begun notes that a factor was begun and waits for its proof.
func (d *dialogue) begun(f login.Factor, recorded bool) {
	d.asked, d.choices, d.acted = f, login.SetOf(f), d.acted || recorded
}

// pretend makes what would have been sent.
func (e *Engine) pretend(r *Request, f login.Factor, c *login.Challenge) error {
	if f == login.Push {
		c.Push = login.PushRound{ID: c.ID, NotAfter: e.now().Add(push.DefaultPolicy().Valid).Truncate(time.Second), Number: uint8(10 + rand.IntN(90))}
		return nil
	}
	_, issued, err := code.New(code.DefaultPolicy(), e.now(), e.config.Keyring, codeOwner(r, c.ID))
	c.Code, c.NotAfter = issued.MAC, issued.NotAfter
	return err
}

// pendingPush asks once more for a push challenge that the device has not answered yet.
func (e *Engine) pendingPush(r *Request) {
	d, st := r.dialogue, &r.dialogue.state
	st.Push.Round++
	d.number, d.message = st.Push.Number, "Not approved yet. "+pushPrompt(&st.Push)
	d.begun(login.Push, true)
	e.goOn(r, st.Proved)
}

// beginFIDO begins a WebAuthn ceremony: of the person's credentials where he is known, and else of whichever passkey he has.
func (e *Engine) beginFIDO(r *Request) (waits bool) {
	d, st, rp := r.dialogue, &r.dialogue.state, r.dialogue.round.RelyingParty
	if rp == nil {
		r.trace.Add(trace.FactorMissing, login.FIDO.String(), "the site has no relying party")
		r.reject(trace.FactorRefused)
		return false
	}
	r.trace.Add(trace.FactorBegun, login.FIDO.String(), "")
	session, since := r.proven(e.now())
	known := len(session)+len(since) > 0
	var options []byte
	var ceremony webauthn.Session
	var err error
	if known {
		handle, credentials := e.credentials(r)
		options, ceremony, err = rp.BeginLogin(handle, credentials, e.now())
	} else {
		options, ceremony, err = rp.BeginPasskey(e.now())
	}
	if err != nil {
		r.trace.Add(trace.FactorMissing, login.FIDO.String(), err.Error())
		r.reject(trace.FactorNotEnrolled)
		return false
	}
	st.Asked, st.WebAuthn, d.options = login.FIDO, ceremony.Append(nil), options
	d.begun(login.FIDO, known)
	if !known { // the passkey says who it is
		st.ID, st.Index = r.Decision.ID, e.config.People.AppliedIndex()
		e.sealState(r)
		return false
	}
	e.goOn(r, since)
	return false
}

// credentials returns a user's WebAuthn credentials, and the handle of the first, by which all of them know him.
func (e *Engine) credentials(r *Request) (handle []byte, list []webauthn.Credential) {
	for i := range r.work.factors.List {
		f := &r.work.factors.List[i]
		if f.Kind != uint32(login.FIDO) {
			continue
		}
		stored, err := login.OpenFIDO(e.config.Keyring, string(r.user.Name), string(f.ID), f.Data)
		if err != nil {
			r.trace.AddBytes(trace.FactorIsBad, f.ID, []byte(err.Error()))
			continue
		}
		if handle == nil {
			handle = stored.Handle
		}
		if bytes.Equal(handle, stored.Handle) {
			list = append(list, stored.Credential)
		}
	}
	return handle, list
}

// proveFIDO verifies what an authenticator answered to the ceremony of the state.
func (e *Engine) proveFIDO(r *Request) proof {
	d := r.dialogue
	p := proof{asked: login.FIDO, reason: trace.WebAuthnChallenge, detail: "no ceremony was begun"}
	rp := d.round.RelyingParty
	ceremony, err := webauthn.ParseSession(d.state.WebAuthn)
	if err != nil || rp == nil || d.state.Asked != login.FIDO {
		return p
	}
	a, outcome := webauthn.ReadAssertion(d.round.Proof.Assertion)
	if outcome.Reason != trace.OK {
		outcome.Record(&r.trace, "")
		p.reason, p.detail = outcome.Reason, outcome.Detail
		return p
	}
	p.reason, p.detail = trace.WebAuthnCredential, "the user has no such credential"
	for i := range r.work.factors.List {
		f := &r.work.factors.List[i]
		if f.Kind != uint32(login.FIDO) {
			continue
		}
		stored, err := login.OpenFIDO(e.config.Keyring, string(r.user.Name), string(f.ID), f.Data)
		if err != nil || !bytes.Equal(stored.Credential.ID, a.CredentialID()) {
			continue
		}
		if f.Next > 0 { // the counter is kept beside what was registered
			stored.Credential.Counter = uint32(f.Next - 1)
		}
		done, outcome := rp.FinishLogin(ceremony, a, stored.Credential, stored.Handle, e.now())
		outcome.Record(&r.trace, deviceName(f.Label, f.ID))
		if p.reason, p.detail, p.label = outcome.Reason, outcome.Detail, deviceName(f.Label, f.ID); p.reason == trace.OK && done.Credential.Counter > 0 {
			p.factor, p.counter = string(f.ID), uint64(done.Credential.Counter)
		}
		return p
	}
	return p
}

// proveNamed takes what was verified already, as it named its person.
func (e *Engine) proveNamed(r *Request, f login.Factor) proof {
	d := r.dialogue
	p := proof{asked: f, reason: trace.OK, label: d.named}
	switch {
	case !r.work.found.ok:
		p.reason, p.detail = trace.UserUnknown, "nobody has the name "+d.named
	case f == login.Certificate && d.certified:
	case f == login.Kerberos && d.round.Proof.Kerberos != nil:
		k := d.round.Proof.Kerberos
		p.once, p.onceUntil = "kerberos/"+hex.EncodeToString(k.Once[:]), k.OnceUntil
	case f == login.ExternalIdP && d.round.Proof.External != nil:
	default:
		p.reason, p.detail = trace.FactorRefused, "what came proves another factor"
	}
	return p
}

// nameByCertificate verifies the certificate that the browser presented, and finds out whom it names.
func (e *Engine) nameByCertificate(ctx context.Context, r *Request) trace.Reason {
	d, c := r.dialogue, r.Client.Issuer.Certificates
	if c == nil {
		r.trace.Add(trace.FactorMissing, login.Certificate.String(), "the identity provider accepts no certificates")
		return trace.FactorRefused
	}
	o := c.Verify(ctx, *d.round.Proof.Certificate, e.now())
	if m := c.Scripted(); m != nil && o.Reason == trace.OK {
		o.User, o.Err = e.runMapping(ctx, m, &o)
		if o.Err != nil {
			if o.Reason = trace.CertificateUnmapped; script.Code(o.Err) != "" {
				o.Reason = trace.Reason(script.Code(o.Err))
			}
		}
	}
	o.Record(&r.trace)
	if o.Reason == trace.OK {
		d.certified, d.named = true, o.User
	}
	return o.Reason
}

// mappingDone waits for a script.
type mappingDone chan struct{}

// ScriptDone implements script.JobDone.
func (s mappingDone) ScriptDone(*script.Job) { close(s) }

// runMapping has the script run that names the user of a certificate.
func (e *Engine) runMapping(ctx context.Context, m *login.CertificateMapping, o *certificate.Outcome) (string, error) {
	fields, err := certificate.FieldsOf(o.Leaf)
	if err != nil {
		return "", err
	}
	done := make(mappingDone)
	deadline, _ := ctx.Deadline()
	j := &script.Job{Deadline: deadline, Done: done}
	m.Job(j, &fields)
	if err := e.submit(j); err != nil {
		return "", err
	}
	<-done
	return m.User(j)
}
