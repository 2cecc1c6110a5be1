package document

import (
	"fmt"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"
)

// UserType is a kind of people, such as staff or guests, with their password policy. The one named default applies to users
// that name none.
type UserType struct {
	// Description is free text.
	Description string `json:"description"`
	// Password is the password policy.
	Password PasswordPolicy `json:"password"`
	// Sessions limits simultaneous use by each person of the type.
	Sessions Sessions `json:"sessions"`
}

// DefaultUserTypeName is the name of the user type of people who name none. It need not exist as a document.
const DefaultUserTypeName = "default"

// PasswordForm names a form in which a password is kept.
type PasswordForm string

// The forms of a password.
const (
	FormArgon2id PasswordForm = "argon2id" // an Argon2id hash: PAP, slowly
	FormKeyed    PasswordForm = "keyed"    // an HMAC under a sealed cluster key: PAP, fast
	FormNT       PasswordForm = "nt"       // the sealed NT hash: MS-CHAP
	FormClear    PasswordForm = "clear"    // the sealed password itself: CHAP
)

// PasswordPolicy says how passwords are kept and what they must be like.
type PasswordPolicy struct {
	// Keep lists the forms in which a password is kept: argon2id and keyed verify PAP, nt also verifies MS-CHAP, clear also verifies CHAP. A change takes effect for passwords set after it.
	Keep []PasswordForm `json:"keep" default:"argon2id" enum:"argon2id,keyed,nt,clear"`
	// MinLength is the least number of characters in a new password.
	MinLength int `json:"minLength" min:"0" max:"128"`
	// Classes is how many of the four classes (lower case, upper case, digits, others) a new password must use.
	Classes int `json:"classes" min:"0" max:"4"`
	// AllowChange lets people change their own password: at the pages of the web front, in ASCII logins of TACACS+, and over RADIUS by MS-CHAPv2, which needs the form nt or clear.
	AllowChange bool `json:"allowChange"`
	// Argon2 is the cost of the Argon2id hash.
	Argon2 Argon2 `json:"argon2"`
	// History is how many passwords, the present one and those before it, a new one must differ from that a person chooses.
	History int `json:"history" min:"0" max:"50"`
	// MinAge is how long a password must be kept before its person may change it.
	MinAge time.Duration `json:"minAge" min:"0s" max:"8760h"`
	// MaxAge is how long a password is good for; 0s: for ever.
	MaxAge time.Duration `json:"maxAge" min:"0s" max:"87600h"`
	// Grace is how long after its maxAge a password may still be used, to change it and for nothing else; 0s: for ever.
	Grace time.Duration `json:"grace" min:"0s" max:"8760h"`
	// Lockout stops guessing. Without it nobody is locked out.
	Lockout *Lockout `json:"lockout"`
}

// Argon2 is the cost of an Argon2id hash (RFC 9106).
type Argon2 struct {
	// MemoryKiB is the memory of one hash in KiB.
	MemoryKiB int `json:"memoryKiB" default:"19456" min:"8" max:"1048576"`
	// Iterations is the number of passes.
	Iterations int `json:"iterations" default:"2" min:"1" max:"64"`
	// Parallelism is the number of lanes.
	Parallelism int `json:"parallelism" default:"1" min:"1" max:"16"`
}

// Lockout says when wrong passwords lock a person out.
type Lockout struct {
	// Attempts is how many wrong passwords from one source, such as a device, lock the person out from there.
	Attempts int `json:"attempts" default:"10" min:"1" max:"1000"`
	// Total is how many wrong passwords from all sources together lock the person out everywhere; 0 stands for five times attempts. Of one source no more than attempts count.
	Total int `json:"total" min:"0" max:"100000"`
	// Window is the time within which the attempts count.
	Window time.Duration `json:"window" default:"15m" min:"1s" max:"24h"`
	// Duration is how long the lock lasts.
	Duration time.Duration `json:"duration" default:"15m" min:"1s" max:"8760h"`
	// Progressive doubles the duration with each lock in a row, up to a day or else the duration itself.
	Progressive bool `json:"progressive"`
}

// Everywhere returns how many wrong passwords lock the person out everywhere.
func (l *Lockout) Everywhere() int {
	if l.Total == 0 {
		return 5 * l.Attempts
	}
	return l.Total
}

// DefaultUserType returns the user type that applies where no UserType named default exists.
func DefaultUserType() *UserType {
	t := new(UserType)
	applyDefaults(t)
	return t
}

// Keeps reports whether the policy keeps the form.
func (p *PasswordPolicy) Keeps(form PasswordForm) bool { return slices.Contains(p.Keep, form) }

// Check says what a new password lacks under the policy, in words for the person who chose it; it returns nothing for a
// good one. What passwords were used before is not its matter.
func (p *PasswordPolicy) Check(password []byte) string {
	return complexity("password", password, p.MinLength, p.Classes)
}

// complexity says what a text lacks that must have so many characters, of so many of the four classes.
func complexity(what string, text []byte, length, classes int) string {
	if n := utf8.RuneCount(text); n < length {
		return fmt.Sprintf("the %s is shorter than %d characters", what, length)
	}
	var lower, upper, digit, other int
	for _, r := range string(text) {
		switch {
		case unicode.IsLower(r):
			lower = 1
		case unicode.IsUpper(r):
			upper = 1
		case unicode.IsDigit(r):
			digit = 1
		default:
			other = 1
		}
	}
	if lower+upper+digit+other < classes {
		return fmt.Sprintf("the %s uses fewer than %d of lower case, upper case, digits and other characters", what, classes)
	}
	return ""
}

func (*UserType) kind() string { return KindUserType }

func (t *UserType) normalise() {}
