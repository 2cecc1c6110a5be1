package credential

import (
	"context"
	"crypto/subtle"
	"fmt"

	"trine/engine/credential/chap"
	"trine/engine/event"
)

// Former is a former password of a user, in a form in which it is remembered: of Argon2id or keyed.
type Former struct {
	Form Form
	Data []byte
}

// Used reports whether a password is the present one of a user or one of former ones. It takes as long as an Argon2id verification for each
// that is remembered in that form, so it must not run on a loop. Its errors wrap those of the Hasher and of the keyring, or are the context's.
func (v *Verifier) Used(ctx context.Context, s *Stored, former []Former, password []byte) (bool, error) {
	if len(password) == 0 || len(password) > MaxPassword {
		return false, ErrPasswordLength
	}
	var room scratch
	defer func() { clear(room.open[:]) }()
	t := target{keyring: v.keyring, stored: s}
	used := false
	check := func(is bool, err error) error {
		used = used || is
		return err
	}
	// Each form is conclusive: all were made of one password.
	var err error
	switch {
	case len(s.Clear) > 0:
		var text []byte
		text, err = t.open(&room, FormClear)
		used = err == nil && equal(text, password)
	case len(s.Keyed) > 0:
		err = check(v.keyring.CheckMAC(s.Keyed, appendContext(room.context[:0], s.Name, FormKeyed), password))
	case len(s.NT) > 0:
		var kept []byte
		kept, err = t.open(&room, FormNT)
		hash, ok := chap.NTHash(password)
		used = err == nil && ok && subtle.ConstantTimeCompare(hash[:], kept) == 1
	case len(s.Argon2id) > 0:
		err = check(fits(ctx, s.Argon2id, password, v.hasher))
	}
	if err != nil {
		return false, fmt.Errorf("compare with the present password: %w", err)
	}
	for i := range former {
		switch f := &former[i]; f.Form {
		case FormKeyed:
			err = check(v.keyring.CheckMAC(f.Data, appendContext(room.context[:0], s.Name, FormKeyed), password))
		case FormArgon2id:
			err = check(fits(ctx, f.Data, password, v.hasher))
		}
		if err != nil {
			return false, fmt.Errorf("compare with former password %d: %w", i+1, err)
		}
		if used {
			break
		}
	}
	return used, nil
}

// BuildForms is the function of that name with the verifier's keyring and hasher.
func (v *Verifier) BuildForms(ctx context.Context, user string, password []byte, keep Keep, params Params) (*event.PasswordSet, error) {
	return BuildForms(ctx, user, password, keep, params, v.keyring, v.hasher)
}
