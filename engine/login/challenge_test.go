package login

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"trine/engine/secret"
)

func ring(t *testing.T) *secret.Keyring {
	t.Helper()
	k := secret.NewKeyring()
	if err := k.Add(1, bytes.Repeat([]byte{7}, secret.KeySize)); err != nil {
		t.Fatal(err)
	}
	return k
}

func TestChallengeIsOpenedAsItWasSealed(t *testing.T) {
	keys := ring(t)
	for _, c := range []Challenge{
		{},
		{ID: 1, User: 2, Version: 3, Client: 4, Proved: SetOf(Password), Asked: SetOf(OTP, SMS), NotAfter: time.Unix(1_800_000_000, 0), Index: 5},
		{ID: ^uint64(0), NotAfter: time.Unix(-1, 0), Code: bytes.Repeat([]byte{9}, maxCode)},
	} {
		sealed, err := c.Seal(nil, keys)
		if err != nil {
			t.Fatal(err)
		}
		if len(sealed) > MaxSealed || len(sealed) > 253 {
			t.Errorf("%d bytes are too many for an attribute", len(sealed))
		}
		got, err := OpenChallenge(sealed, keys)
		if err != nil {
			t.Fatal(err)
		}
		if c.NotAfter.IsZero() {
			c.NotAfter = time.Unix(c.NotAfter.Unix(), 0)
		}
		if !reflect.DeepEqual(got, c) {
			t.Errorf("expected %+v, found %+v", c, got)
		}
	}
}

func TestChallengeOfOthersIsForeign(t *testing.T) {
	keys := ring(t)
	sealed, err := (&Challenge{ID: 1}).Seal(nil, keys)
	if err != nil {
		t.Fatal(err)
	}
	other := secret.NewKeyring()
	if err := other.Add(1, bytes.Repeat([]byte{8}, secret.KeySize)); err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(sealed)
	changed[len(changed)-1] ^= 1
	elsewhere, err := keys.Seal(nil, make([]byte, challengeFixed), []byte("another purpose"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		token []byte
		keys  *secret.Keyring
	}{
		"empty":                      {nil, keys},
		"short":                      {sealed[:20], keys},
		"changed":                    {changed, keys},
		"long":                       {append(bytes.Clone(sealed), make([]byte, 300)...), keys},
		"another cluster":            {sealed, other},
		"sealed for another purpose": {elsewhere, keys},
		"no key":                     {sealed, secret.NewKeyring()},
	} {
		if _, err := OpenChallenge(c.token, c.keys); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: expected ErrForeign, found %v", name, err)
		}
	}
	if _, err := (&Challenge{Code: make([]byte, maxCode+1)}).Seal(nil, keys); err == nil {
		t.Error("a code that is too long was sealed")
	}
}

func FuzzOpenChallenge(f *testing.F) {
	keys := secret.NewKeyring()
	if err := keys.Add(1, bytes.Repeat([]byte{7}, secret.KeySize)); err != nil {
		f.Fatal(err)
	}
	sealed, err := (&Challenge{ID: 1, Code: []byte("code")}).Seal(nil, keys)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed, []byte{})
	f.Fuzz(func(t *testing.T, token, inner []byte) {
		if _, err := OpenChallenge(token, keys); err != nil && !errors.Is(err, ErrForeign) {
			t.Fatal(err)
		}
		if len(inner) > challengeFixed+maxCode {
			return
		}
		authentic, err := keys.Seal(nil, inner, []byte(challengeContext)) // what a later release may seal
		if err != nil {
			t.Fatal(err)
		}
		if _, err := OpenChallenge(authentic, keys); err != nil && !errors.Is(err, ErrForeign) {
			t.Fatal(err)
		}
	})
}
