package engine

import (
	"math/bits"
	"time"

	"trine/engine/credential/otp"
	"trine/engine/credential/pin"
	"trine/engine/credential/recovery"
	"trine/engine/document"
	"trine/engine/login"
	"trine/engine/state"
	"trine/engine/trace"
)

// proof is what came of verifying a second factor.
type proof struct {
	asked    login.Factor
	reason   trace.Reason // OK if it was proved
	factor   string       // the id of the factor that has to be used up; empty: none has
	counter  uint64
	drift    int32
	label    string // of the factor that proved it
	recovery bool   // it was a recovery code
	pending  bool   // the device has not answered yet: the person is asked once more
	detail   string // why not

	// Over pages alone: a one-shot key beside the factor's counter, such as of a Kerberos ticket.
	once      string
	onceUntil time.Time
}

// replayed is why a proof does not count that somebody else used up a moment before.
func (p *proof) replayed() trace.Reason {
	switch {
	case p.recovery:
		return trace.RecoveryUsed
	case p.asked == login.Kerberos:
		return trace.KerberosReplayed
	case p.asked == login.FIDO:
		return trace.WebAuthnCounter
	}
	return trace.OTPReplayed
}

// guessed reports whether what was typed may have been a guess.
func (p *proof) guessed() bool {
	switch p.reason {
	case trace.OTPWrong, trace.RecoveryWrong, trace.PINWrong, trace.CodeWrong, trace.PushNumber, trace.PushDenied:
		return true
	}
	return false
}

// secondLockout bounds the guesses at a second factor where the user type states no lockout: six digits do not bear many.
func secondLockout() *document.Lockout {
	return &document.Lockout{Attempts: 10, Window: 15 * time.Minute, Duration: 15 * time.Minute}
}

// guarded says how failures of a second factor count: apart from those of the password, which was right.
func (r *Request) guarded(f login.Factor) Guarded {
	g := Guarded{Factor: uint32(f), Name: f.String(), Apart: true}
	if r.lockout(&g) == nil {
		g.Lockout = secondLockout()
	}
	return g
}

// prove verifies what a person typed against the factors of one kind that he has enrolled.
func (e *Engine) prove(r *Request, f login.Factor, typed []byte) proof {
	switch f {
	case login.OTP:
		if p := e.proveOTP(r, typed); p.reason == trace.OK || len(typed) < recovery.Characters {
			return p
		}
		return e.proveRecovery(r, typed)
	case login.PIN:
		return e.provePIN(r, typed)
	case login.SMS, login.Email:
		return e.proveCode(r, f, typed)
	case login.Push:
		return e.provePush(r)
	}
	return proof{asked: f, reason: trace.FactorNeeded, detail: "it cannot be proved over this protocol"}
}

// split takes the one-time password off the end of a password that came with one, where the login needs one and the device appends it.
func (e *Engine) split(r *Request) {
	w := &r.work
	w.code = nil
	if !r.Appends || !r.Proof.Method.Clear() || w.matrix == nil || w.matrix.Satisfied(login.SetOf(login.Password)) {
		return
	}
	digits := e.otpDigits(r)
	password := r.Proof.Password
	if digits == 0 || len(password) <= digits || !decimal(password[len(password)-digits:]) {
		return
	}
	r.Proof.Password, w.code = password[:len(password)-digits], password[len(password)-digits:]
	r.trace.Add(trace.CodeAppended, login.OTP.String(), "")
}

// otpDigits returns how many digits the one-time passwords of the user's first device have; 0 if he has none.
func (e *Engine) otpDigits(r *Request) int {
	for i := range r.work.factors.List {
		if f := &r.work.factors.List[i]; f.Kind == uint32(login.OTP) {
			if s, err := login.OpenOTP(e.config.Keyring, string(r.user.Name), string(f.ID), f.Data); err == nil {
				return s.Params().Digits
			}
		}
	}
	return 0
}

// proveOTP tries a code with each of the user's devices.
func (e *Engine) proveOTP(r *Request, code []byte) proof {
	p := proof{asked: login.OTP, reason: trace.OTPWrong, detail: "it is no code of an enrolled device"}
	now := e.clock()
	for i := range r.work.factors.List {
		f := &r.work.factors.List[i]
		if f.Kind != uint32(login.OTP) {
			continue
		}
		s, err := login.OpenOTP(e.config.Keyring, string(r.user.Name), string(f.ID), f.Data)
		if err != nil {
			r.trace.AddBytes(trace.FactorIsBad, f.ID, []byte(err.Error()))
			p.reason, p.detail = trace.FactorUnreadable, "its secret cannot be opened"
			continue
		}
		before := otp.State{Next: f.Next, Drift: f.Drift}
		after, reason := s.Verify(code, now, before, otp.DefaultWindow())
		s.Record(&r.trace, after, reason)
		if reason == trace.OK {
			return proof{asked: login.OTP, reason: trace.OK, factor: string(f.ID), counter: after.Next - 1, drift: after.Drift, label: string(f.Label)}
		}
		if reason != trace.OTPWrong {
			p.reason, p.detail = reason, "it was used before"
		}
	}
	return p
}

// proveRecovery tries a code with each of the user's sets of recovery codes.
func (e *Engine) proveRecovery(r *Request, typed []byte) proof {
	p := proof{asked: login.OTP, reason: trace.RecoveryWrong, detail: "it is no recovery code of his"}
	for i := range r.work.factors.List {
		f := &r.work.factors.List[i]
		if f.Kind != state.RecoveryCodes {
			continue
		}
		bit, reason := recovery.Verify(typed, f.Data, uint32(f.Next), e.config.Keyring, login.FactorContext(nil, string(r.user.Name), string(f.ID)))
		if reason == trace.OK {
			recovery.Record(&r.trace, reason, recovery.Left(f.Data, uint32(f.Next)|bit))
			return proof{asked: login.OTP, reason: trace.OK, factor: string(f.ID), counter: uint64(bits.TrailingZeros32(bit)), label: "a recovery code", recovery: true}
		}
		recovery.Record(&r.trace, reason, recovery.Left(f.Data, uint32(f.Next)))
		if reason != trace.RecoveryWrong {
			p.reason, p.detail = reason, "it was used before, or cannot be read"
		}
	}
	return p
}

// provePIN compares a PIN with the user's.
func (e *Engine) provePIN(r *Request, typed []byte) proof {
	p := proof{asked: login.PIN, reason: trace.PINWrong, detail: "it is not his PIN"}
	for i := range r.work.factors.List {
		f := &r.work.factors.List[i]
		if f.Kind != uint32(login.PIN) {
			continue
		}
		reason := pin.Verify(typed, f.Data, e.config.Keyring, login.FactorContext(nil, string(r.user.Name), string(f.ID)))
		pin.Record(&r.trace, reason)
		if reason == trace.OK {
			return proof{asked: login.PIN, reason: reason, label: string(f.Label)}
		}
		if reason != trace.PINWrong {
			p.reason, p.detail = reason, "what is stored of it cannot be opened"
		}
	}
	return p
}

func decimal(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
