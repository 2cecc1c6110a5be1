package credential

import (
	"trine/engine/credential/chap"
	"trine/engine/trace"
)

// mschap needs the NT hash, or the clear password to make it of.
func (v *Verifier) mschap(a *Attempt, t *target, s *scratch) Outcome {
	p := a.Proof
	p.HasKeys = false
	if err := p.checkMSCHAP(); err != nil {
		return wrong(trace.ProofMalformed, NoForm, err)
	}
	o := t.ntHash(s)
	if o.Status != Matched {
		return o
	}
	switch p.Method {
	case MSCHAPv1:
		if o = v.matched(chap.VerifyV1(&s.nt, p.Challenge, p.Response), o.Form); o.Status == Matched && t.lack == "" {
			t.grantV1(p, s)
		}
	case MSCHAPv2:
		o = v.matched(chap.VerifyV2(&s.nt, p.Challenge, p.PeerChallenge, p.HashName, p.Response), o.Form)
		if o.Status == Matched && t.lack == "" {
			p.grantV2(&s.nt)
		}
	default:
		return t.change(p, s, o.Form)
	}
	return o
}

// checkMSCHAP checks lengths, before anything is computed of what came.
func (p *Proof) checkMSCHAP() error {
	challenge := 16
	if p.Method == MSCHAPv1 {
		challenge = 8
	}
	switch {
	case len(p.Challenge) != challenge || p.Method != MSCHAPv1 && len(p.PeerChallenge) != 16:
		return errChallenge
	case len(p.Response) != 24:
		return errResponse
	case p.Method == MSCHAPCPW && (len(p.EncryptedHash) != 16 || len(p.EncryptedPassword) != chap.EncryptedPasswordLen):
		return errChange
	}
	return nil
}

// ntHash brings the NT hash into the scratch; the outcome is Matched if it is there.
func (t *target) ntHash(s *scratch) Outcome {
	switch {
	case len(t.stored.NT) > 0:
		hash, err := t.open(s, FormNT)
		if err != nil || len(hash) != len(s.nt) {
			return wrong(trace.PasswordUnreadable, FormNT, err)
		}
		copy(s.nt[:], hash)
		return matched(true, FormNT)
	case len(t.stored.Clear) > 0:
		password, err := t.open(s, FormClear)
		if err != nil {
			return wrong(trace.PasswordUnreadable, FormClear, err)
		}
		hash, ok := chap.NTHash(password)
		if !ok {
			return wrong(trace.RadiusMSCHAPHashNotKept, FormNT, ErrPasswordText)
		}
		s.nt = hash
		return matched(true, FormClear)
	}
	return wrong(trace.RadiusMSCHAPHashNotKept, FormNT, nil)
}

// grantV1 fills in the keys of RFC 3079 section 2. The LM key is all zeros unless the clear password is kept: an LM hash never is.
func (t *target) grantV1(p *Proof, s *scratch) {
	p.NTKey = chap.HashOfHash(&s.nt)
	p.SendKey = chap.KeyV1(&s.nt, (*[8]byte)(p.Challenge))
	p.RecvKey = p.SendKey
	p.LMKey = [8]byte{}
	if len(t.stored.Clear) > 0 {
		if password, err := t.open(s, FormClear); err == nil {
			if hash, ok := chap.LMHash(password); ok {
				copy(p.LMKey[:], hash[:])
			}
		}
	}
	p.HasKeys = true
}

// grantV2 fills in the authenticator response and the keys of RFC 3079 section 3.
func (p *Proof) grantV2(hash *[16]byte) {
	response := (*[24]byte)(p.Response)
	challenge := chap.ChallengeHash((*[16]byte)(p.PeerChallenge), (*[16]byte)(p.Challenge), p.HashName)
	p.AuthenticatorResponse = chap.AuthenticatorResponse(hash, response, &challenge)
	p.SendKey, p.RecvKey = chap.KeysV2(hash, response)
	p.HasKeys = true
}

// change reveals the new password and makes sure that the peer knew both: the old hash is encrypted with the new one, and the
// response is made with the new one (RFC 2759 section 7).
func (t *target) change(p *Proof, s *scratch, form Form) Outcome {
	refused := wrong(trace.PasswordChangeInvalid, form, nil)
	password, err := chap.DecryptNewPassword(&s.nt, p.EncryptedPassword)
	if err != nil {
		return refused
	}
	hash, ok := chap.NTHash(password)
	if !ok || !chap.VerifyOldHash(&s.nt, &hash, p.EncryptedHash) ||
		!chap.VerifyV2(&hash, p.Challenge, p.PeerChallenge, p.HashName, p.Response) || len(password) == 0 || t.lack != "" {
		clear(password)
		return refused
	}
	p.NewPassword = password
	p.grantV2(&hash)
	return matched(true, form)
}
