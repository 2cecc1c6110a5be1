package login

import (
	"fmt"
	"math/bits"
	"strings"
)

// Factor is one way to prove who somebody is. The numbers are recorded and never change.
type Factor uint8

// The factors of the matrix.
const (
	NoFactor    Factor = 0
	Password    Factor = 1
	Kerberos    Factor = 2
	ExternalIdP Factor = 3
	OTP         Factor = 4 // a time or counter based one-time password, or a recovery code in its stead
	Email       Factor = 5 // a code sent by mail
	SMS         Factor = 6 // a code sent by text message
	PIN         Factor = 7
	Certificate Factor = 8
	FIDO        Factor = 9 // WebAuthn
	Push        Factor = 10
	factors            = 11
)

// names holds the name of each factor at its number, as documents write it.
var names = [factors]string{
	"", "Password", "Kerberos", "ExternalIdP", "OTP", "Email", "SMS", "PIN", "Certificate", "FIDO", "Push",
}

// String returns the factor's name as documents write it.
func (f Factor) String() string {
	if f < factors {
		return names[f]
	}
	return fmt.Sprintf("factor %d", uint8(f))
}

// ParseFactor returns the factor that a document names; NoFactor for the empty text.
func ParseFactor(name string) (Factor, bool) {
	for f, n := range names {
		if n == name {
			return Factor(f), true
		}
	}
	return NoFactor, false
}

// Set is a set of factors, a bit for each at its number. It is recorded.
type Set uint16

// SetOf returns the set of the factors; NoFactor is in no set.
func SetOf(list ...Factor) (s Set) {
	for _, f := range list {
		if f != NoFactor {
			s |= 1 << f
		}
	}
	return s
}

// Has reports whether a factor is in the set.
func (s Set) Has(f Factor) bool { return f != NoFactor && s&(1<<f) != 0 }

// Len returns the number of factors in the set.
func (s Set) Len() int { return bits.OnesCount16(uint16(s)) }

// First returns the factor with the lowest number, or NoFactor.
func (s Set) First() Factor {
	if s == 0 {
		return NoFactor
	}
	return Factor(bits.TrailingZeros16(uint16(s)))
}

// String lists the names with plus signs between them, such as "Password+OTP".
func (s Set) String() string {
	var list []string
	for f := Factor(1); f < factors; f++ {
		if s.Has(f) {
			list = append(list, f.String())
		}
	}
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, "+")
}
