package pin

import (
	"bytes"
	"errors"
	"fmt"

	"trine/engine/secret"
	"trine/engine/trace"
)

// The bounds of every policy.
const (
	MinDigits = 4
	MaxDigits = 16
)

// Policy says what a new PIN must be like.
type Policy struct {
	Min, Max int // digits
}

// DefaultPolicy asks for six digits or more.
func DefaultPolicy() Policy { return Policy{Min: 6, Max: MaxDigits} }

// ErrPolicy means that a PIN does not meet the policy, and so is not kept. What it wraps is for the person who chose it.
var ErrPolicy = errors.New("this PIN cannot be used")

// Check returns ErrPolicy, wrapped with what to do instead, for a PIN that is too short or too long, has anything but digits, or is
// trivial: of those that people choose first and thieves try first. A policy beyond the bounds is taken as the bounds.
func (p Policy) Check(pin []byte) error {
	least := min(max(p.Min, MinDigits), MaxDigits)
	most := min(max(p.Max, least), MaxDigits)
	switch {
	case len(pin) < least || len(pin) > most:
		return fmt.Errorf("%w: it has %d characters; choose %d to %d digits", ErrPolicy, len(pin), least, most)
	case !digits(pin):
		return fmt.Errorf("%w: it has other characters than the digits 0 to 9", ErrPolicy)
	case run(pin):
		return fmt.Errorf("%w: its digits are one digit, or count up or down; choose one that nobody tries first", ErrPolicy)
	case repeats(pin), doubles(pin), mirrors(pin):
		return fmt.Errorf("%w: it is a few digits repeated; choose one that nobody tries first", ErrPolicy)
	case year(pin):
		return fmt.Errorf("%w: it is a year; choose one that nobody tries first", ErrPolicy)
	}
	return nil
}

// Keep returns what is kept of a PIN that meets the policy: 37 bytes, bound to owner, who is named as the keyring's contexts name
// things, such as "User/alice" with the name folded. Errors are ErrPolicy and secret.ErrNoKey; they do not hold the PIN.
func (p Policy) Keep(pin []byte, keyring *secret.Keyring, owner []byte) ([]byte, error) {
	if err := p.Check(pin); err != nil {
		return nil, err
	}
	kept, err := keyring.MAC(nil, appendContext(nil, owner), pin)
	if err != nil {
		return nil, fmt.Errorf("key PIN: %w", err)
	}
	return kept, nil
}

// Verify verifies a PIN against what is kept, in constant time and without allocating. The reason is [trace.OK], [trace.PINWrong], or
// [trace.FactorUnreadable] where what is kept is damaged or the cluster key is not known. The policy of today does not matter: a PIN
// that was good when it was chosen is verified.
func Verify(pin, kept []byte, keyring *secret.Keyring, owner []byte) trace.Reason {
	if len(pin) > MaxDigits {
		return trace.PINWrong
	}
	var room [288]byte
	fits, err := keyring.CheckMAC(kept, appendContext(room[:0], owner), pin)
	switch {
	case err != nil:
		return trace.FactorUnreadable
	case !fits:
		return trace.PINWrong
	}
	return trace.OK
}

// Record adds to a trace what Verify found.
func Record(t *trace.Trace, reason trace.Reason) {
	switch reason {
	case trace.OK:
		t.Add(trace.PINChecked, "", "")
	case trace.FactorUnreadable:
		t.Add(trace.FactorIsBad, "PIN", "")
	default:
		t.Add(trace.PINDiffers, "", "")
	}
}

func digits(pin []byte) bool {
	for _, c := range pin {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// run reports whether the digits go in equal steps, around the end too: 0000, 1234, 8901, 9876, 2468.
func run(pin []byte) bool {
	step := (pin[1] - pin[0] + 10) % 10
	if step > 2 && step < 8 {
		return false
	}
	for i := 2; i < len(pin); i++ {
		if (pin[i]-pin[i-1]+10)%10 != step {
			return false
		}
	}
	return true
}

// repeats reports whether a shorter block comes again and again: 1212, 123123, 12341234.
func repeats(pin []byte) bool {
	for n := 1; n <= len(pin)/2; n++ {
		if len(pin)%n == 0 && bytes.Equal(pin[n:], pin[:len(pin)-n]) {
			return true
		}
	}
	return false
}

// doubles reports whether a run comes with each digit twice: 1122, 998877.
func doubles(pin []byte) bool {
	if len(pin)%2 != 0 {
		return false
	}
	var half [MaxDigits / 2]byte
	for i := 0; i < len(pin); i += 2 {
		if pin[i] != pin[i+1] {
			return false
		}
		half[i/2] = pin[i]
	}
	return run(half[:len(pin)/2])
}

// mirrors reports whether a run comes back: 1221, 123321, 12321.
func mirrors(pin []byte) bool {
	half := (len(pin) + 1) / 2
	for i := range half {
		if pin[i] != pin[len(pin)-1-i] {
			return false
		}
	}
	return run(pin[:half])
}

// year reports whether the PIN is a year that people live in.
func year(pin []byte) bool {
	return len(pin) == 4 && (pin[0] == '1' && pin[1] == '9' || pin[0] == '2' && pin[1] == '0')
}

// appendContext appends what a PIN is bound to: "User/alice/pin".
func appendContext(dst, owner []byte) []byte { return append(append(dst, owner...), "/pin"...) }
