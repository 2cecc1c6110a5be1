package login

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"trine/engine/credential/push"
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
		{Asked: SetOf(Push), NotAfter: time.Unix(1, 0), Push: PushRound{ID: ^uint64(0), NotAfter: time.Unix(1_800_000_000, 0), Number: 99, Round: 10}},
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

func TestTicketIsOpenedWithItsChallengeOnly(t *testing.T) {
	keys := ring(t)
	want := Ticket{User: "Alice", Factor: "f1", Number: 42}
	sealed, err := want.Seal(keys, []byte("challenge"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := OpenTicket(sealed, []byte("challenge"), keys); err != nil || got != want || len(sealed) > MaxTicket {
		t.Errorf("found %+v, %v, in %d bytes", got, err, len(sealed))
	}
	long := Ticket{User: strings.Repeat("u", maxTicketName), Factor: strings.Repeat("f", 64)}
	if sealed, err := long.Seal(keys, nil); err != nil || len(sealed) > MaxTicket {
		t.Errorf("the longest ticket has %d bytes, %v", len(sealed), err)
	}
	if _, err := (&Ticket{User: strings.Repeat("u", maxTicketName+1)}).Seal(keys, nil); err == nil {
		t.Error("a name that is too long was sealed")
	}
	changed := bytes.Clone(sealed)
	changed[len(changed)-1] ^= 1
	short, err := keys.Seal(nil, []byte{42, 9, 'f'}, []byte(ticketContext+"challenge"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		sealed    []byte
		challenge string
		keys      *secret.Keyring
	}{
		"empty":             {nil, "challenge", keys},
		"changed":           {changed, "challenge", keys},
		"another challenge": {sealed, "Challenge", keys},
		"too long":          {make([]byte, MaxTicket+1), "challenge", keys},
		"cut short":         {short, "challenge", keys},
		"no key":            {sealed, "challenge", secret.NewKeyring()},
	} {
		if _, err := OpenTicket(c.sealed, []byte(c.challenge), c.keys); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: expected ErrForeign, found %v", name, err)
		}
	}
}

func TestPushDeviceIsOpenedAsItWasSealed(t *testing.T) {
	keys := ring(t)
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	want := PushDevice{Key: push.Ed25519Key(public), Address: "token"}
	sealed, err := SealPush(keys, "Alice", "f1", want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := OpenPush(keys, "alice", "f1", sealed); err != nil || got != want {
		t.Errorf("found %+v, %v", got, err)
	}
	for _, whose := range [][2]string{{"bob", "f1"}, {"alice", "f2"}} {
		if _, err := OpenPush(keys, whose[0], whose[1], sealed); err == nil {
			t.Errorf("it opens as the device %s of %s", whose[1], whose[0])
		}
	}
	for _, plain := range []string{"", "\x21", "\x01x"} {
		sealed, err := keys.Seal(nil, []byte(plain), FactorContext(nil, "alice", "f1"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := OpenPush(keys, "alice", "f1", sealed); !errors.Is(err, push.ErrKey) {
			t.Errorf("%q: %v", plain, err)
		}
	}
}
