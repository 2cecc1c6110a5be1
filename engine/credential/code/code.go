package code

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"trine/engine/secret"
	"trine/engine/trace"
)

// The bounds of every policy. At the worst, a code is guessed once in 100,000 times.
const (
	MinDigits   = 6
	MaxDigits   = 10
	MinValid    = 30 * time.Second
	MaxValid    = time.Hour
	MaxAttempts = 10
)

// Policy says what codes are like.
type Policy struct {
	Digits   int
	Valid    time.Duration // how long a code is good for
	Attempts int           // how many wrong codes end it
}

// DefaultPolicy is six digits, good for five minutes and five attempts.
func DefaultPolicy() Policy { return Policy{Digits: 6, Valid: 5 * time.Minute, Attempts: 5} }

// ErrPolicy means that a policy is out of bounds.
var ErrPolicy = errors.New("policy of one-time codes is out of bounds")

// Validate returns ErrPolicy, wrapped with what is wrong.
func (p Policy) Validate() error {
	switch {
	case p.Digits < MinDigits || p.Digits > MaxDigits:
		return fmt.Errorf("%w: %d digits, not %d to %d", ErrPolicy, p.Digits, MinDigits, MaxDigits)
	case p.Valid < MinValid || p.Valid > MaxValid:
		return fmt.Errorf("%w: valid for %v, not %v to %v", ErrPolicy, p.Valid, MinValid, MaxValid)
	case p.Attempts < 1 || p.Attempts > MaxAttempts:
		return fmt.Errorf("%w: %d attempts, not 1 to %d", ErrPolicy, p.Attempts, MaxAttempts)
	}
	return nil
}

// Issued is what is kept of a code that was sent. It says nothing about the code to whoever lacks the cluster key.
type Issued struct {
	MAC      []byte // 37 bytes
	NotAfter time.Time
	Attempts int // how many wrong codes end it
}

// New makes a code. It returns the digits, which go to the person and nowhere else, and what is kept. Owner is what the code is bound to,
// named as the keyring's contexts name things: the person and the one login or enrolment that the code is for, such as
// "User/alice/7K3MQ9TX0WZE4", so that it answers no other. Errors are ErrPolicy and secret.ErrNoKey.
func New(p Policy, now time.Time, keyring *secret.Keyring, owner []byte) (digits string, issued Issued, err error) {
	if err := p.Validate(); err != nil {
		return "", Issued{}, err
	}
	code := random(p.Digits)
	mac, err := keyring.MAC(nil, appendContext(nil, owner), code)
	if err != nil {
		return "", Issued{}, fmt.Errorf("key one-time code: %w", err)
	}
	return string(code), Issued{MAC: mac, NotAfter: now.Add(p.Valid), Attempts: p.Attempts}, nil
}

// Verify verifies a code at a time, after so many failures, in constant time and without allocating. The reason is
//
//   - [trace.OK]: whoever records that the code is used makes sure that it was not yet;
//   - [trace.CodeWrong]: a failure, which is to be recorded;
//   - [trace.CodeExpired]: the code came at NotAfter or later; it was not looked at;
//   - [trace.CodeAttempts]: it was guessed wrong too often; it was not looked at;
//   - [trace.FactorUnreadable]: what is kept is damaged, or the cluster key is not known.
func (i *Issued) Verify(code []byte, now time.Time, failures int, keyring *secret.Keyring, owner []byte) trace.Reason {
	switch {
	case failures >= i.Attempts:
		return trace.CodeAttempts
	case !now.Before(i.NotAfter):
		return trace.CodeExpired
	case len(code) > MaxDigits:
		return trace.CodeWrong
	}
	var room [288]byte
	fits, err := keyring.CheckMAC(i.MAC, appendContext(room[:0], owner), code)
	switch {
	case err != nil:
		return trace.FactorUnreadable
	case !fits:
		return trace.CodeWrong
	}
	return trace.OK
}

// Record adds to a trace what Verify found after so many failures. Channel says how the code was sent, such as "mail".
func (i *Issued) Record(t *trace.Trace, reason trace.Reason, channel string, failures int) {
	switch reason {
	case trace.OK:
		t.Add(trace.CodeChecked, channel, "")
	case trace.CodeExpired:
		var text [len(time.RFC3339) + 8]byte
		t.Add(trace.CodeTooLate, channel, string(i.NotAfter.UTC().AppendFormat(text[:0], time.RFC3339)))
	case trace.CodeAttempts:
		t.AddNumber(trace.CodeSpent, channel, uint64(max(failures, 0)))
	case trace.FactorUnreadable:
		t.Add(trace.FactorIsBad, channel, "")
	default:
		t.AddNumber(trace.CodeDiffers, channel, uint64(max(i.Attempts-failures-1, 0)))
	}
}

// random returns n digits, each as likely as the others.
func random(n int) []byte {
	digits := make([]byte, 0, n)
	for len(digits) < n {
		var b [2 * MaxDigits]byte
		rand.Read(b[:])
		for _, c := range b {
			if c < 250 && len(digits) < n { // 250 is the last multiple of 10
				digits = append(digits, '0'+c%10)
			}
		}
	}
	return digits
}

// appendContext appends what a code is bound to: "User/alice/7K3MQ9TX0WZE4/code".
func appendContext(dst, owner []byte) []byte { return append(append(dst, owner...), "/code"...) }
