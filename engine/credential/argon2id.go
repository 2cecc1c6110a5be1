package credential

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/argon2"

	"trine/engine/credential/imported"
)

// Bounds of an Argon2id form. They keep a user type from asking for more work than a node can give.
const (
	MaxMemoryKiB   = imported.MaxMemory >> 10
	MaxIterations  = 64
	MaxParallelism = 16

	minSalt, maxSalt = 8, 64
	minHash, maxHash = 16, 64
	newSalt, newHash = 16, 32
)

// argon2idFormat is the first byte of an encoded Argon2id form; the parameters, the salt's length, the salt and the hash follow.
const (
	argon2idFormat = 1
	argon2idHead   = 1 + 4 + 2 + 1 + 1
	// MaxArgon2id is the length in bytes of the longest encoded form.
	MaxArgon2id = argon2idHead + maxSalt + maxHash
)

// ErrArgon2id means that bytes are not an Argon2id form, or are one beyond the bounds.
var ErrArgon2id = errors.New("not an Argon2id form")

// Params is the cost of Argon2id (RFC 9106).
type Params struct {
	MemoryKiB   uint32 // 8*Parallelism to MaxMemoryKiB
	Iterations  uint16 // 1 to MaxIterations
	Parallelism uint8  // 1 to MaxParallelism
}

// DefaultParams is the cost where a user type states none: 19 MiB, two passes, one lane. It is the second of the equivalent choices that
// OWASP's password storage guidance lists, taken because it needs the least memory that guidance still calls sound for one core.
func DefaultParams() Params { return Params{MemoryKiB: 19 << 10, Iterations: 2, Parallelism: 1} }

// Validate returns an error that says which parameter is out of bounds.
func (p Params) Validate() error {
	switch {
	case p.Parallelism < 1 || p.Parallelism > MaxParallelism:
		return fmt.Errorf("%w: parallelism is %d, not 1 to %d", ErrArgon2id, p.Parallelism, MaxParallelism)
	case p.Iterations < 1 || p.Iterations > MaxIterations:
		return fmt.Errorf("%w: iterations are %d, not 1 to %d", ErrArgon2id, p.Iterations, MaxIterations)
	case p.MemoryKiB < 8*uint32(p.Parallelism) || p.MemoryKiB > MaxMemoryKiB:
		return fmt.Errorf("%w: memory is %d KiB, not %d to %d", ErrArgon2id, p.MemoryKiB, 8*uint32(p.Parallelism), MaxMemoryKiB)
	}
	return nil
}

// Argon2id is an Argon2id hash of a password with what it was made with. The password is hashed as the bytes that it came as, in
// whatever encoding and normalization form.
type Argon2id struct {
	Params Params
	Salt   []byte // 8 to 64 bytes; 16 in forms made here
	Hash   []byte // 16 to 64 bytes; 32 in forms made here
}

// HashArgon2id hashes a password with a new salt. It takes the time and memory that p asks for: never call it on a loop.
func HashArgon2id(password []byte, p Params) (Argon2id, error) {
	if err := p.Validate(); err != nil {
		return Argon2id{}, err
	}
	a := Argon2id{Params: p, Salt: make([]byte, newSalt)}
	rand.Read(a.Salt)
	a.Hash = argon2.IDKey(password, a.Salt, uint32(p.Iterations), p.MemoryKiB, p.Parallelism, newHash)
	return a, nil
}

// Matches reports, in constant time for equal lengths, whether the hash is the password's. It takes time and memory as HashArgon2id does.
func (a Argon2id) Matches(password []byte) bool {
	got := argon2.IDKey(password, a.Salt, uint32(a.Params.Iterations), a.Params.MemoryKiB, a.Params.Parallelism, uint32(len(a.Hash)))
	return subtle.ConstantTimeCompare(got, a.Hash) == 1
}

// Append appends the compact form, in which it is recorded: a format byte, memory, iterations, parallelism, the salt's length,
// salt and hash; 57 bytes for forms made here.
func (a Argon2id) Append(dst []byte) []byte {
	dst = append(dst, argon2idFormat)
	dst = binary.BigEndian.AppendUint32(dst, a.Params.MemoryKiB)
	dst = binary.BigEndian.AppendUint16(dst, a.Params.Iterations)
	dst = append(dst, a.Params.Parallelism, byte(len(a.Salt)))
	dst = append(dst, a.Salt...)
	return append(dst, a.Hash...)
}

// ParseArgon2id reads what Append writes. Salt and hash point into form. It returns ErrArgon2id for anything else.
func ParseArgon2id(form []byte) (Argon2id, error) {
	if len(form) < argon2idHead || form[0] != argon2idFormat {
		return Argon2id{}, ErrArgon2id
	}
	salt := int(form[argon2idHead-1])
	if len(form) < argon2idHead+salt {
		return Argon2id{}, ErrArgon2id
	}
	a := Argon2id{
		Params: Params{
			MemoryKiB:   binary.BigEndian.Uint32(form[1:]),
			Iterations:  binary.BigEndian.Uint16(form[5:]),
			Parallelism: form[7],
		},
		Salt: form[argon2idHead : argon2idHead+salt],
		Hash: form[argon2idHead+salt:],
	}
	if err := a.validate(); err != nil {
		return Argon2id{}, err
	}
	return a, nil
}

func (a Argon2id) validate() error {
	if len(a.Salt) < minSalt || len(a.Salt) > maxSalt {
		return fmt.Errorf("%w: the salt has %d bytes, not %d to %d", ErrArgon2id, len(a.Salt), minSalt, maxSalt)
	}
	if len(a.Hash) < minHash || len(a.Hash) > maxHash {
		return fmt.Errorf("%w: the hash has %d bytes, not %d to %d", ErrArgon2id, len(a.Hash), minHash, maxHash)
	}
	return a.Params.Validate()
}

// Format shows nothing of the hash under any verb.
func (a Argon2id) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("«redacted»")) }

// MarshalText shows nothing of the hash.
func (a Argon2id) MarshalText() ([]byte, error) { return []byte("«redacted»"), nil }
