package push

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"trine/engine/secret"
	"trine/engine/trace"
)

// maxToken bounds what is looked at; tokens of New have 26 characters.
const maxToken = 64

// Enrolment is what is kept of an enrolment that a person began, until his device comes with the token.
type Enrolment struct {
	MAC      []byte // 37 bytes
	NotAfter time.Time
}

// NewEnrolment makes a one-time token of 130 random bits, which the person's device reads off a screen, and what is kept of it. Owner is
// whom it enrols, named as the keyring's contexts name things, such as "User/alice" with the name folded. Valid is from MinValid to an
// hour (ErrPolicy); without a cluster key the error is secret.ErrNoKey.
func NewEnrolment(now time.Time, valid time.Duration, keyring *secret.Keyring, owner []byte) (token string, e Enrolment, err error) {
	if valid < MinValid || valid > time.Hour {
		return "", Enrolment{}, fmt.Errorf("%w: an enrolment valid for %v, not %v to %v", ErrPolicy, valid, MinValid, time.Hour)
	}
	token = rand.Text()
	mac, err := keyring.MAC(nil, appendContext(nil, owner), []byte(token))
	if err != nil {
		return "", Enrolment{}, fmt.Errorf("key enrolment token: %w", err)
	}
	return token, Enrolment{MAC: mac, NotAfter: now.Add(valid)}, nil
}

// Proof is what a device brings to be enrolled: the token, its public key, and that it has the private one.
type Proof struct {
	Token     string
	Key       []byte // as ParseKey reads it
	Signature []byte // by that key, of EnrolmentMessage
}

// EnrolmentMessage returns what a device signs to be enrolled: what it is for, the token after its length in two bytes, the key.
func EnrolmentMessage(token string, key []byte) []byte {
	message := []byte("trine/push/enrolment/1\x00")
	message = binary.BigEndian.AppendUint16(message, uint16(len(token)))
	return append(append(message, token...), key...)
}

// Verify verifies a device's proof at a time. With [trace.OK] it returns the key to keep: whoever records it makes sure that the
// enrolment was not used yet. The other reasons are
//
//   - [trace.PushExpired]: it came at NotAfter or later, and was not looked at;
//   - [trace.PushEnrolment]: the token is another one, or the key none;
//   - [trace.PushSignature]: the device does not prove that it has the private key;
//   - [trace.FactorUnreadable]: what is kept is damaged, or the cluster key is not known.
func (e *Enrolment) Verify(p Proof, now time.Time, keyring *secret.Keyring, owner []byte) (Key, trace.Reason) {
	if !now.Before(e.NotAfter) {
		return Key{}, trace.PushExpired
	}
	if len(p.Token) > maxToken {
		return Key{}, trace.PushEnrolment
	}
	fits, err := keyring.CheckMAC(e.MAC, appendContext(nil, owner), []byte(p.Token))
	if err != nil {
		return Key{}, trace.FactorUnreadable
	}
	key, err := ParseKey(p.Key)
	switch {
	case !fits || err != nil:
		return Key{}, trace.PushEnrolment
	case !key.verifies(EnrolmentMessage(p.Token, p.Key), p.Signature):
		return Key{}, trace.PushSignature
	}
	return key, trace.OK
}

// appendContext appends what a token is bound to: "User/alice/push".
func appendContext(dst, owner []byte) []byte { return append(append(dst, owner...), "/push"...) }
