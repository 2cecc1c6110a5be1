package credential

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"trine/engine/event"
	"trine/engine/secret"
)

func TestOnlyWhatIsKeptIsBuilt(t *testing.T) {
	f := newFixture(t, nil)
	for mask := range 16 {
		keep := Keep{Argon2id: mask&1 != 0, Keyed: mask&2 != 0, NT: mask&4 != 0, Clear: mask&8 != 0}
		set, err := BuildForms(context.Background(), "alice", []byte("wonderland"), keep, cheap(), f.ring, &bench{now: true})
		if keep == (Keep{}) {
			if !errors.Is(err, ErrNothingKept) {
				t.Errorf("nothing kept: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		got := Keep{Argon2id: set.Argon2Id != nil, Keyed: set.Keyed != nil, NT: set.Nt != nil, Clear: set.Clear != nil}
		if got != keep || set.User != "alice" {
			t.Errorf("asked for %+v, got %+v", keep, got)
		}
		for _, form := range [][]byte{set.Argon2Id, set.Keyed, set.Nt, set.Clear} {
			if bytes.Contains(form, []byte("wonderland")) {
				t.Error("a form holds the clear password")
			}
		}
	}
}

func TestEqualPasswordsHaveUnlikeForms(t *testing.T) {
	f := newFixture(t, nil)
	build := func(user string) *event.PasswordSet {
		set, err := BuildForms(context.Background(), user, []byte("same"), all(), cheap(), f.ring, &bench{now: true})
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	a, b := build("alice"), build("bob")
	if bytes.Equal(a.Argon2Id, b.Argon2Id) || bytes.Equal(a.Keyed, b.Keyed) || bytes.Equal(a.Nt, b.Nt) || bytes.Equal(a.Clear, b.Clear) {
		t.Error("two users with the same password can be told by their forms")
	}
}

func TestUnfitPasswordsAreRefused(t *testing.T) {
	f := newFixture(t, nil)
	for _, c := range []struct {
		name, password string
		keep           Keep
		params         Params
		want           error
	}{
		{"empty", "", all(), cheap(), ErrPasswordLength},
		{"too long", strings.Repeat("x", MaxPassword+1), DefaultKeep(), cheap(), ErrPasswordLength},
		{"not text, for an NT hash", "\xff", Keep{NT: true}, cheap(), ErrPasswordText},
		{"too long for an NT hash", strings.Repeat("x", 257), Keep{NT: true}, cheap(), ErrPasswordText},
		{"not text, otherwise", "\xff", Keep{Argon2id: true, Keyed: true, Clear: true}, cheap(), nil},
		{"cost out of bounds", "x", DefaultKeep(), Params{}, ErrArgon2id},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := BuildForms(context.Background(), "alice", []byte(c.password), c.keep, c.params, f.ring, &bench{now: true}); !errors.Is(err, c.want) {
				t.Errorf("error %v, expected %v", err, c.want)
			}
		})
	}
	if _, err := BuildForms(context.Background(), "alice", []byte("x"), Keep{Clear: true}, cheap(), secret.NewKeyring(), nil); !errors.Is(err, secret.ErrNoKey) {
		t.Errorf("without a cluster key: %v", err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := BuildForms(ended, "alice", []byte("x"), DefaultKeep(), cheap(), f.ring, f.bench); !errors.Is(err, context.Canceled) {
		t.Errorf("caller that left: %v", err)
	}
	f.bench.full = true
	if _, err := BuildForms(context.Background(), "alice", []byte("x"), DefaultKeep(), cheap(), f.ring, f.bench); !errors.Is(err, ErrQueueFull) {
		t.Errorf("full queue: %v", err)
	}
}

func TestArgon2idFormShowsNothing(t *testing.T) {
	a, err := HashArgon2id([]byte("x"), cheap())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(a.Append(nil)); n != 57 {
		t.Errorf("the form has %d bytes", n)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		s := fmt.Sprintf(verb, a)
		if s != "«redacted»" || strings.Contains(s, base64.RawStdEncoding.EncodeToString(a.Hash)) {
			t.Errorf("%s prints %s", verb, s)
		}
	}
}

func FuzzArgon2id(f *testing.F) {
	a, err := HashArgon2id([]byte("x"), cheap())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(a.Append(nil))
	f.Add([]byte{1, 0, 0, 0, 64, 0, 1, 1, 255})
	f.Fuzz(func(t *testing.T, form []byte) {
		a, err := ParseArgon2id(form)
		if err != nil {
			return
		}
		if got := a.Append(nil); !bytes.Equal(got, form) {
			t.Errorf("%x is written as %x", form, got)
		}
	})
}

// The name that a form is bound to must be folded as the rest of the engine folds names.
func FuzzFoldedName(f *testing.F) {
	for _, name := range []string{"Alice", "ÄLICE", "İstanbul", "\xff", "K"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if got := appendFolded(nil, []byte(name)); string(got) != event.FoldName(name) {
			t.Errorf("%q is folded as %q, elsewhere as %q", name, got, event.FoldName(name))
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	f := newFixture(b, nil)
	cached := f.user(b, 1, "alice", "right", DefaultKeep())
	f.run(b, pap("right", cached))
	for _, c := range []struct {
		name string
		a    *Attempt
	}{
		{"PAP-cache", pap("right", cached)},
		{"PAP-clear", pap("right", f.user(b, 2, "alice", "right", Keep{Clear: true}))},
		{"PAP-keyed", pap("right", f.user(b, 3, "alice", "right", Keep{Keyed: true}))},
		{"CHAP", &Attempt{Proof: prove(b, CHAP, "right", ""), User: f.user(b, 5, "alice", "right", all())}},
		{"MSCHAPv2", &Attempt{Proof: prove(b, MSCHAPv2, "right", ""), User: f.user(b, 7, "alice", "right", all())}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f.Verify(c.a)
			}
		})
	}
}
