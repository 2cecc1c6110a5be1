package recovery

import (
	"bytes"
	"errors"
	"math/bits"
	"strings"
	"testing"
	"time"

	"trine/engine/secret"
	"trine/engine/trace"
)

func keyring(t testing.TB) *secret.Keyring {
	t.Helper()
	k := secret.NewKeyring()
	if err := k.Add(1, secret.NewClusterKey()); err != nil {
		t.Fatal(err)
	}
	return k
}

func TestEachCodeOfASetIsGoodOnce(t *testing.T) {
	k, owner := keyring(t), []byte("User/alice")
	for _, count := range []int{1, Count, MaxCount} {
		codes, kept, err := New(count, k, owner)
		if err != nil || len(codes) != count {
			t.Fatal(len(codes), err)
		}
		used := uint32(0)
		for i, code := range codes {
			bit, reason := Verify([]byte(code), kept, used, k, owner)
			if reason != trace.OK || bit != 1<<i {
				t.Fatalf("code %d: %s, bit %x", i, reason, bit)
			}
			used |= bit
			if bit, reason := Verify([]byte(code), kept, used, k, owner); reason != trace.RecoveryUsed || bit != 0 {
				t.Errorf("code %d again: %s, bit %x", i, reason, bit)
			}
			if left := Left(kept, used); left != count-i-1 {
				t.Errorf("%d left after %d of %d", left, i+1, count)
			}
		}
	}
}

func TestCodesAreReadAsPeopleWriteThem(t *testing.T) {
	k, owner := keyring(t), []byte("User/alice")
	kept, err := k.MAC(nil, appendContext(nil, owner), []byte("7K3M01TX0WZE"))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"7K3M-01TX-0WZE", "7k3m01tx0wze", " 7K3M 01TX 0WZE ", "7K3M-OLTX-oWZE", "7K3M-oitx-OWZE", "7-K-3-M-0-1-T-X-0-W-Z-E"} {
		if _, reason := Verify([]byte(text), kept, 0, k, owner); reason != trace.OK {
			t.Errorf("%q: %s", text, reason)
		}
	}
	for _, text := range []string{"", "7K3M-01TX-0WZ", "7K3M-01TX-0WZEE", "7K3M-01TX-0WZF", "7K3M_01TX_0WZE", "7K3M-01TX-0WZU", "7K3M-01TX-0WZ\x00", strings.Repeat(" ", 1000), "7K3M-01TX-0WZÉ"} {
		if bit, reason := Verify([]byte(text), kept, 0, k, owner); reason != trace.RecoveryWrong || bit != 0 {
			t.Errorf("%q: %s", text, reason)
		}
	}
}

func TestSetIsItsOwnersAndUselessWithoutTheKey(t *testing.T) {
	k, owner := keyring(t), []byte("User/alice")
	codes, kept, err := New(3, k, owner)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := New(3, k, owner)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(kept)
	damaged[0]++
	for name, c := range map[string]struct {
		code  string
		kept  []byte
		ring  *secret.Keyring
		owner string
		want  trace.Reason
	}{
		"another person's":      {codes[0], kept, k, "User/bob", trace.RecoveryWrong},
		"of another set":        {other[0], kept, k, "User/alice", trace.RecoveryWrong},
		"under another key":     {codes[0], kept, keyring(t), "User/alice", trace.RecoveryWrong},
		"no key":                {codes[0], kept, secret.NewKeyring(), "User/alice", trace.FactorUnreadable},
		"damaged":               {codes[0], damaged, k, "User/alice", trace.FactorUnreadable},
		"cut off":               {codes[0], kept[1:], k, "User/alice", trace.FactorUnreadable},
		"nothing kept":          {codes[0], nil, k, "User/alice", trace.FactorUnreadable},
		"more than a set holds": {codes[0], bytes.Repeat(kept, 11), k, "User/alice", trace.FactorUnreadable},
	} {
		if bit, reason := Verify([]byte(c.code), c.kept, 0, c.ring, []byte(c.owner)); reason != c.want || bit != 0 {
			t.Errorf("%s: %s, bit %x", name, reason, bit)
		}
	}
	if _, _, err := New(1, secret.NewKeyring(), owner); !errors.Is(err, secret.ErrNoKey) {
		t.Errorf("a set without a key: %v", err)
	}
	for _, count := range []int{-1, 0, MaxCount + 1} {
		if _, _, err := New(count, k, owner); !errors.Is(err, ErrCount) {
			t.Errorf("a set of %d: %v", count, err)
		}
	}
}

// TestCodesUseTheWholeAlphabet: 3,840 letters leave one of 32 out once in 10^51 times.
func TestCodesUseTheWholeAlphabet(t *testing.T) {
	if len(alphabet) != 1<<(Bits/Characters) {
		t.Fatalf("%d letters are not %d bits", len(alphabet), Bits/Characters)
	}
	k, seen, letters := keyring(t), map[string]bool{}, uint32(0)
	for range 10 {
		codes, _, err := New(MaxCount, k, []byte("User/alice"))
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range codes {
			if seen[code] || len(code) != 14 || code[4] != '-' || code[9] != '-' {
				t.Errorf("%s", code)
			}
			seen[code] = true
			for _, c := range strings.ReplaceAll(code, "-", "") {
				letters |= 1 << strings.IndexRune(alphabet, c)
			}
		}
	}
	if bits.OnesCount32(letters) != 32 {
		t.Errorf("letters in use: %032b", letters)
	}
}

func TestTraceSaysWhatBecameOfTheCode(t *testing.T) {
	var tr trace.Trace
	tr.Start(time.Now())
	for i, want := range []struct {
		reason trace.Reason
		words  string
	}{
		{trace.OK, "The recovery code is one of the set; 7 are left."},
		{trace.RecoveryWrong, "The recovery code is none of the set."},
		{trace.RecoveryUsed, "The recovery code is one of the set and was used before."},
		{trace.FactorUnreadable, "What is stored of the factor recovery codes cannot be opened."},
	} {
		Record(&tr, want.reason, 7)
		step := tr.Step(i)
		if got := step.Code.Words(string(step.Subject), string(step.Detail)); got != want.words {
			t.Errorf("%s: %s", want.reason, got)
		}
	}
}

func FuzzVerify(f *testing.F) {
	k, owner := keyring(f), []byte("User/alice")
	codes, kept, err := New(2, k, owner)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(codes[0]), kept, uint32(1))
	f.Fuzz(func(t *testing.T, code, kept []byte, used uint32) {
		bit, reason := Verify(code, kept, used, k, owner)
		if (reason == trace.OK) != (bit != 0) || bit&used != 0 {
			t.Fatalf("%s, bit %x", reason, bit)
		}
	})
}
