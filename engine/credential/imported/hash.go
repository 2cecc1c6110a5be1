package imported

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// MaxText is the length in bytes of the longest text that Parse reads.
const MaxText = 512

// Bounds of what verifying one password may cost. Each of them is a few seconds of work on a core that has nothing else to do, well within
// the time that the process which verifies has for a job.
const (
	// MaxMemory is how many bytes argon2id, scrypt or yescrypt may fill; the process that verifies has room for so many a job.
	MaxMemory = 256 << 20
	// MaxTraffic is how many bytes they may fill altogether: memory by passes or by parallelism.
	MaxTraffic = 512 << 20
	// MaxBcryptCost is the highest cost of bcrypt: 2^16 expansions of the key.
	MaxBcryptCost = 16
	// MaxPBKDF2Rounds bounds the rounds of PBKDF2, for all blocks of the hash together.
	MaxPBKDF2Rounds = 5_000_000
	// MaxSHACryptRounds bounds the rounds of crypt(3)'s $5$ and $6$, where they can be much longer than those of PBKDF2.
	MaxSHACryptRounds = 1_000_000
)

// Accepted names what Parse reads, for messages.
const Accepted = "argon2 ($argon2id$, $argon2i$), bcrypt ($2a$, $2b$, $2y$), scrypt ($scrypt$, $7$), yescrypt ($y$), crypt ($5$, $6$, {CRYPT}), " +
	"PBKDF2 ($pbkdf2$, $pbkdf2-sha256$, $pbkdf2-sha512$, {PBKDF2}, {PBKDF2-SHA256}, {PBKDF2-SHA512}), Django (pbkdf2_sha256$, scrypt$, argon2$, bcrypt$), " +
	"{SSHA}, {SSHA256}, {SSHA512}, {SHA}, {SHA256}, {SHA512}, and the NT hash ({NT}, $3$$ or 32 hexadecimal digits)"

// ErrHash means that a text is not a password hash that can be verified here, or that verifying it would cost too much.
var ErrHash = errors.New("not a password hash that can be imported")

// Hash is a password hash that another system made. It prints as «redacted». The zero Hash fits no password.
type Hash struct{ kind kind }

// kind is one kind of hash with its parameters, which are in bounds.
type kind interface {
	// matches reports whether the hash is the password's. What it compares, it compares in constant time.
	matches(password []byte) bool
}

// Parse reads a hash. Its errors wrap ErrHash, say what is wrong or what is accepted, and quote nothing of the text but its cost.
func Parse(text string) (Hash, error) {
	k, err := parse(text)
	if err != nil {
		return Hash{}, fmt.Errorf("%w: %w", ErrHash, err)
	}
	return Hash{k}, nil
}

// Matches reports whether the hash is the password's. It takes time and memory within the bounds above: never call it on a loop.
func (h Hash) Matches(password []byte) bool { return h.kind != nil && h.kind.matches(password) }

// NT returns the NT hash that h is, if it is one: MS-CHAP needs nothing else.
func (h Hash) NT() (hash [16]byte, ok bool) {
	nt, ok := h.kind.(ntHash)
	return nt, ok
}

// Format shows nothing of the hash under any verb.
func (h Hash) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("«redacted»")) }

// MarshalText shows nothing of the hash.
func (h Hash) MarshalText() ([]byte, error) { return []byte("«redacted»"), nil }

var errUnknown = errors.New("it is of no kind that is known; accepted are " + Accepted)

func parse(text string) (kind, error) {
	if len(text) > MaxText {
		return nil, fmt.Errorf("it is longer than %d bytes", MaxText)
	}
	switch {
	case strings.HasPrefix(text, "{"):
		return parseScheme(text)
	case strings.HasPrefix(text, "$"):
		return parseCrypt(text)
	case strings.Contains(text, "$"):
		return parseDjango(text)
	}
	k, err := parseNT(text)
	if err != nil {
		return nil, errUnknown
	}
	return k, nil
}

// parseScheme reads a value with a scheme in braces in front, as LDAP directories have it (RFC 2307 section 5.3).
// Schemes are compared without case.
func parseScheme(text string) (kind, error) {
	scheme, value, ok := strings.Cut(text[1:], "}")
	if !ok {
		return nil, errUnknown
	}
	switch strings.ToUpper(scheme) {
	case "CRYPT", "ARGON2", "ARGON2ID", "BCRYPT", "BLF-CRYPT", "SCRYPT", "SHA256-CRYPT", "SHA512-CRYPT":
		if !strings.HasPrefix(value, "$") {
			return nil, errors.New("what follows the scheme does not begin with $; the crypt of old UNIX systems (DES) is not accepted")
		}
		return parseCrypt(value)
	case "PBKDF2", "PBKDF2-SHA1":
		return parsePBKDF2(sha1Function, value, readAdapted, readAdapted)
	case "PBKDF2-SHA256":
		return parsePBKDF2(sha256Function, value, readAdapted, readAdapted)
	case "PBKDF2-SHA512":
		return parsePBKDF2(sha512Function, value, readAdapted, readAdapted)
	case "SHA":
		return parseDigest(sha1Function, value, false)
	case "SHA256":
		return parseDigest(sha256Function, value, false)
	case "SHA512":
		return parseDigest(sha512Function, value, false)
	case "SSHA":
		return parseDigest(sha1Function, value, true)
	case "SSHA256":
		return parseDigest(sha256Function, value, true)
	case "SSHA512":
		return parseDigest(sha512Function, value, true)
	case "NT", "NTLM", "MD4":
		return parseNT(value)
	case "MD5", "SMD5":
		return nil, errors.New("MD5 is not accepted")
	}
	return nil, errUnknown
}

// parseCrypt reads what begins with $ and the name of a kind: what crypt(3) takes, PHC strings and passlib's forms.
func parseCrypt(text string) (kind, error) {
	name, rest, ok := strings.Cut(text[1:], "$")
	if !ok {
		return nil, errUnknown
	}
	switch name {
	case "argon2id":
		return parseArgon2(argon2.IDKey, rest)
	case "argon2i": // what OpenLDAP makes
		return parseArgon2(argon2.Key, rest)
	case "2a", "2b", "2y":
		return parseBcrypt(text)
	case "scrypt":
		return parseScrypt(rest)
	case "7":
		return parseScryptCrypt(rest)
	case "y":
		return parseYescrypt(text)
	case "5":
		return parseSHACrypt(sha256Function, rest)
	case "6":
		return parseSHACrypt(sha512Function, rest)
	case "pbkdf2", "pbkdf2-sha1":
		return parsePBKDF2(sha1Function, rest, readAdapted, readAdapted)
	case "pbkdf2-sha256":
		return parsePBKDF2(sha256Function, rest, readAdapted, readAdapted)
	case "pbkdf2-sha512":
		return parsePBKDF2(sha512Function, rest, readAdapted, readAdapted)
	case "3":
		if nt, ok := strings.CutPrefix(rest, "$"); ok {
			return parseNT(nt)
		}
	case "argon2d":
		return nil, errors.New("argon2d is not accepted; argon2id and argon2i are")
	case "2", "2x":
		return nil, errors.New("bcrypt is accepted as $2a$, $2b$ and $2y$; other variants are of programs with a flaw")
	case "1", "apr1", "md5":
		return nil, errors.New("MD5 is not accepted, nor is crypt that is made of it")
	case "sha1":
		return nil, errors.New("crypt that is made of SHA-1 is not accepted")
	}
	return nil, errUnknown
}

// parseDjango reads the forms of Django's hashers, whose salts are text.
func parseDjango(text string) (kind, error) {
	name, rest, ok := strings.Cut(text, "$")
	if !ok {
		return nil, errUnknown
	}
	switch name {
	case "pbkdf2_sha1":
		return parsePBKDF2(sha1Function, rest, readText, readStandard)
	case "pbkdf2_sha256":
		return parsePBKDF2(sha256Function, rest, readText, readStandard)
	case "pbkdf2_sha512":
		return parsePBKDF2(sha512Function, rest, readText, readStandard)
	case "scrypt":
		return parseDjangoScrypt(rest)
	case "argon2":
		return parseCrypt("$" + rest)
	case "bcrypt":
		if !strings.HasPrefix(rest, "$2") {
			return nil, errUnknown
		}
		return parseCrypt(rest)
	case "bcrypt_sha256":
		return nil, errors.New("bcrypt of a SHA-256 digest is not accepted")
	}
	return nil, errUnknown
}
