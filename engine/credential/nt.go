package credential

import (
	"crypto/md5"
	"crypto/subtle"
	"unicode/utf16"

	"golang.org/x/crypto/md4"

	"trine/engine/trace"
)

// ntHash returns the NT hash of a password (RFC 2759 section 8.3); false if it is not valid UTF-8.
func ntHash(password []byte) (hash [16]byte, ok bool) {
	if !validText(password) {
		return hash, false
	}
	h := md4.New()
	for _, u := range utf16.Encode([]rune(string(password))) {
		h.Write([]byte{byte(u), byte(u >> 8)})
	}
	h.Sum(hash[:0])
	return hash, true
}

func chapMatches(p *Proof, password []byte) bool {
	h := md5.New()
	h.Write([]byte{p.Identifier})
	h.Write(password)
	h.Write(p.Challenge)
	return subtle.ConstantTimeCompare(h.Sum(nil), p.Response) == 1
}

func (v *Verifier) mschap(a *Attempt, t *target, s *scratch) Outcome {
	return wrong(trace.ProofMissing, NoForm, errMethod)
}
