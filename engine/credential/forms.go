package credential

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"

	"trine/engine/credential/chap"
	"trine/engine/credential/imported"
	"trine/engine/event"
	"trine/engine/secret"
)

// MaxPassword is the length in bytes of the longest password that can be set or verified. RADIUS carries 128, TACACS+ 255,
// MS-CHAP 256 UTF-16 units.
const MaxPassword = 512

// Form is a form in which a password is kept.
type Form uint8

// The forms.
const (
	NoForm       Form = iota
	FormArgon2id      // Argon2id hash
	FormKeyed         // HMAC under a cluster key: fast, and useless without the key
	FormNT            // NT hash (RFC 2759 section 8.3), sealed: MS-CHAP needs it
	FormClear         // the password, sealed: CHAP needs it
	FormCache         // not kept: verified before, by this node since it started
	FormImported      // the hash that another system made, sealed; it stays until a good login makes the others
)

// String returns the form's name as documents and traces use it.
func (f Form) String() string {
	switch f {
	case FormArgon2id:
		return "argon2id"
	case FormKeyed:
		return "keyed"
	case FormNT:
		return "nt"
	case FormClear:
		return "clear"
	case FormCache:
		return "cache"
	case FormImported:
		return "imported"
	}
	return "none"
}

// Keep says which forms of a password are kept.
type Keep struct {
	Argon2id, Keyed, NT, Clear bool
	// History is how many passwords, this one and those before it, the next one can be told from; see Verifier.Used.
	History int
}

// ntAlone reports whether the NT hash is the only form that is kept.
func (k Keep) ntAlone() bool { return k.NT && !k.Argon2id && !k.Keyed && !k.Clear }

// DefaultKeep is what is kept where no user type says otherwise: Argon2id alone.
func DefaultKeep() Keep { return Keep{Argon2id: true} }

var (
	// ErrNothingKept means that no form is to be kept, so that the password could never be verified.
	ErrNothingKept = errors.New("no form of the password is to be kept")
	// ErrPasswordLength means that a password is empty or longer than MaxPassword.
	ErrPasswordLength = fmt.Errorf("a password has 1 to %d bytes", MaxPassword)
	// ErrPasswordText means that a password has no NT hash: it is not valid UTF-8, or longer than 256 UTF-16 units.
	ErrPasswordText = errors.New("the NT hash of a password needs it to be valid UTF-8 of at most 256 UTF-16 units")
)

// BuildForms makes the forms of a user's new password that are to be kept, bound to the user's name. Argon2id is made by the
// hasher, and waited for until ctx ends; hasher may be nil where it is not kept. Passwords are bytes and taken as they come: no Unicode
// normalization, since the devices that ask do none either and CHAP would not bear it. The NT hash alone is of text: the password's UTF-8 as
// UTF-16LE; a password that has none is refused with ErrPasswordText where it is kept.
func BuildForms(ctx context.Context, user string, password []byte, keep Keep, params Params, keyring *secret.Keyring, hasher Hasher) (*event.PasswordSet, error) {
	if len(password) == 0 || len(password) > MaxPassword {
		return nil, ErrPasswordLength
	}
	if !keep.Argon2id && !keep.Keyed && !keep.NT && !keep.Clear {
		return nil, ErrNothingKept
	}
	set := &event.PasswordSet{User: user, History: uint32(max(keep.History-1, 0))}
	var scratch [maxContext]byte
	var err error
	if keep.Keyed {
		if set.Keyed, err = keyring.MAC(nil, appendContext(scratch[:0], []byte(user), FormKeyed), password); err != nil {
			return nil, fmt.Errorf("key password: %w", err)
		}
	}
	// What is sealed could be opened, which a former password need not be: it is remembered keyed.
	if keep.History > 1 && !keep.Keyed && !keep.Argon2id {
		if set.Past, err = keyring.MAC(nil, appendContext(scratch[:0], []byte(user), FormKeyed), password); err != nil {
			return nil, fmt.Errorf("key password: %w", err)
		}
	}
	if keep.NT {
		hash, ok := chap.NTHash(password)
		if !ok {
			return nil, ErrPasswordText
		}
		if set.Nt, err = keyring.Seal(nil, hash[:], appendContext(scratch[:0], []byte(user), FormNT)); err != nil {
			return nil, fmt.Errorf("seal NT hash: %w", err)
		}
	}
	if keep.Clear {
		if set.Clear, err = keyring.Seal(nil, password, appendContext(scratch[:0], []byte(user), FormClear)); err != nil {
			return nil, fmt.Errorf("seal password: %w", err)
		}
	}
	if keep.Argon2id {
		if set.Argon2Id, err = hash(ctx, password, params, hasher); err != nil {
			return nil, fmt.Errorf("hash password: %w", err)
		}
	}
	return set, nil
}

// BuildForms is the function of that name with the verifier's keyring and hasher.
func (v *Verifier) BuildForms(ctx context.Context, user string, password []byte, keep Keep, params Params) (*event.PasswordSet, error) {
	return BuildForms(ctx, user, password, keep, params, v.keyring, v.hasher)
}

// ImportForms makes the forms of a password of which only a hash is known that another system made: the hash itself, sealed, which stays until
// the password is seen at a login, and of an NT hash the form of that name at once where it is kept. Its errors wrap imported.ErrHash, or
// are the keyring's.
func ImportForms(user, hash string, keep Keep, keyring *secret.Keyring) (*event.PasswordSet, error) {
	h, err := imported.Parse(hash)
	if err != nil {
		return nil, err
	}
	set := &event.PasswordSet{User: user, History: uint32(max(keep.History-1, 0))}
	var scratch [maxContext]byte
	if nt, ok := h.NT(); ok && keep.NT {
		if set.Nt, err = keyring.Seal(nil, nt[:], appendContext(scratch[:0], []byte(user), FormNT)); err != nil {
			return nil, fmt.Errorf("seal NT hash: %w", err)
		}
		if keep.ntAlone() {
			return set, nil // there is nothing else to make
		}
	}
	if set.Imported, err = keyring.Seal(nil, []byte(hash), appendContext(scratch[:0], []byte(user), FormImported)); err != nil {
		return nil, fmt.Errorf("seal imported hash: %w", err)
	}
	return set, nil
}

// IsImport reports whether all that is stored came of the given hash, by ImportForms with the same keep.
func (s *Stored) IsImport(hash string, keep Keep, keyring *secret.Keyring) bool {
	h, err := imported.Parse(hash)
	if err != nil || len(s.Argon2id)+len(s.Keyed)+len(s.Clear) > 0 {
		return false
	}
	var scratch [maxContext]byte
	if len(s.Imported) > 0 {
		text, err := keyring.Open(nil, s.Imported, appendContext(scratch[:0], s.Name, FormImported))
		return err == nil && subtle.ConstantTimeCompare(text, []byte(hash)) == 1
	}
	nt, ok := h.NT()
	if !ok || !keep.ntAlone() {
		return false
	}
	kept, err := keyring.Open(nil, s.NT, appendContext(scratch[:0], s.Name, FormNT))
	return err == nil && subtle.ConstantTimeCompare(kept, nt[:]) == 1
}

func hash(ctx context.Context, password []byte, params Params, hasher Hasher) ([]byte, error) {
	if err := params.Validate(); err != nil {
		return nil, err
	}
	job := &Job{Password: append([]byte(nil), password...), Params: params}
	if err := await(ctx, job, hasher); err != nil {
		return nil, err
	}
	return job.Hash, nil
}

// fits reports whether a password fits an Argon2id form.
func fits(ctx context.Context, form, password []byte, hasher Hasher) (bool, error) {
	job := &Job{Password: append([]byte(nil), password...), Form: append([]byte(nil), form...)}
	if err := await(ctx, job, hasher); err != nil {
		return false, err
	}
	return job.Match, nil
}

// await has a job done and waits for it, until ctx ends.
func await(ctx context.Context, job *Job, hasher Hasher) error {
	done := make(hashed, 1)
	job.Done = done
	job.Deadline, _ = ctx.Deadline()
	if err := hasher.Submit(job); err != nil {
		clear(job.Password)
		return err
	}
	select {
	case <-done:
		clear(job.Password)
		return job.Err
	case <-ctx.Done(): // the job is the hasher's; it ends by itself
		return context.Cause(ctx)
	}
}

type hashed chan struct{}

func (h hashed) Hashed(*Job) { h <- struct{}{} }

// maxContext is room for the context of usual user names.
const maxContext = 288

// appendContext appends what a form is bound to: "User/alice/nt", the name folded as event.FoldName does, without allocating.
func appendContext(dst, user []byte, form Form) []byte {
	dst = append(dst, "User/"...)
	dst = appendFolded(dst, user)
	dst = append(dst, '/')
	return append(dst, form.String()...)
}

func appendFolded(dst, name []byte) []byte {
	for len(name) > 0 {
		if c := name[0]; c < utf8.RuneSelf {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			dst = append(dst, c)
			name = name[1:]
			continue
		}
		r, n := utf8.DecodeRune(name)
		dst = utf8.AppendRune(dst, unicode.ToLower(r))
		name = name[n:]
	}
	return dst
}
