package code

import (
	"errors"
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

func TestCodeIsGoodForItsLoginInTime(t *testing.T) {
	k, owner, now := keyring(t), []byte("User/alice/1"), time.Unix(1e9, 0)
	digits, issued, err := New(DefaultPolicy(), now, k, owner)
	if err != nil {
		t.Fatal(err)
	}
	wrong := strings.Map(func(r rune) rune { return '0' + (r-'0'+1)%10 }, digits)
	for name, c := range map[string]struct {
		code     string
		after    time.Duration
		failures int
		ring     *secret.Keyring
		owner    string
		want     trace.Reason
	}{
		"at once":                 {digits, 0, 0, k, "User/alice/1", trace.OK},
		"at the last moment":      {digits, 5*time.Minute - 1, 4, k, "User/alice/1", trace.OK},
		"too late":                {digits, 5 * time.Minute, 0, k, "User/alice/1", trace.CodeExpired},
		"wrong and too late":      {wrong, time.Hour, 0, k, "User/alice/1", trace.CodeExpired},
		"after too many failures": {digits, 0, 5, k, "User/alice/1", trace.CodeAttempts},
		"and then some":           {digits, time.Hour, 9, k, "User/alice/1", trace.CodeAttempts},
		"a clock that went back":  {digits, -time.Hour, 0, k, "User/alice/1", trace.OK},
		"wrong":                   {wrong, 0, 0, k, "User/alice/1", trace.CodeWrong},
		"cut off":                 {digits[1:], 0, 0, k, "User/alice/1", trace.CodeWrong},
		"none":                    {"", 0, 0, k, "User/alice/1", trace.CodeWrong},
		"endless":                 {strings.Repeat("1", 1<<20), 0, 0, k, "User/alice/1", trace.CodeWrong},
		"of another login":        {digits, 0, 0, k, "User/alice/2", trace.CodeWrong},
		"of another person":       {digits, 0, 0, k, "User/bob/1", trace.CodeWrong},
		"under another key":       {digits, 0, 0, keyring(t), "User/alice/1", trace.CodeWrong},
		"without a key":           {digits, 0, 0, secret.NewKeyring(), "User/alice/1", trace.FactorUnreadable},
	} {
		if reason := issued.Verify([]byte(c.code), now.Add(c.after), c.failures, c.ring, []byte(c.owner)); reason != c.want {
			t.Errorf("%s: %s, want %s", name, reason, c.want)
		}
	}
	var nothing Issued
	if reason := nothing.Verify([]byte(digits), now, 0, k, owner); reason != trace.CodeAttempts {
		t.Errorf("nothing was issued: %s", reason)
	}
	damaged := issued
	damaged.MAC = issued.MAC[1:]
	if reason := damaged.Verify([]byte(digits), now, 0, k, owner); reason != trace.FactorUnreadable {
		t.Errorf("damaged: %s", reason)
	}
	if _, _, err := New(DefaultPolicy(), now, secret.NewKeyring(), owner); !errors.Is(err, secret.ErrNoKey) {
		t.Errorf("issued without a key: %v", err)
	}
}

func TestVerifyingDoesNotAllocate(t *testing.T) {
	k, owner, now := keyring(t), []byte("User/alice/1"), time.Unix(1e9, 0)
	digits, issued, err := New(DefaultPolicy(), now, k, owner)
	if err != nil {
		t.Fatal(err)
	}
	right, wrong := []byte(digits), []byte("none")
	if n := testing.AllocsPerRun(100, func() {
		if issued.Verify(right, now, 0, k, owner) != trace.OK || issued.Verify(wrong, now, 0, k, owner) != trace.CodeWrong {
			t.Fatal("not verified")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestCodesUseAllDigitsEverywhere: 1,000 codes leave a digit out at a place once in 10^45 times.
func TestCodesUseAllDigitsEverywhere(t *testing.T) {
	k := keyring(t)
	for _, n := range []int{MinDigits, MaxDigits} {
		seen := make([]map[rune]bool, n)
		for range 1000 {
			digits, _, err := New(Policy{Digits: n, Valid: time.Minute, Attempts: 1}, time.Now(), k, nil)
			if err != nil || len(digits) != n {
				t.Fatal(digits, err)
			}
			for i, c := range digits {
				if seen[i] == nil {
					seen[i] = map[rune]bool{}
				}
				seen[i][c] = true
			}
		}
		for i, digits := range seen {
			if len(digits) != 10 {
				t.Errorf("digit %d of %d takes %d values", i, n, len(digits))
			}
		}
	}
}

func TestPolicyOutOfBoundsIsRefused(t *testing.T) {
	for name, change := range map[string]func(*Policy){
		"few digits":    func(p *Policy) { p.Digits = 5 },
		"many digits":   func(p *Policy) { p.Digits = 11 },
		"too short":     func(p *Policy) { p.Valid = 29 * time.Second },
		"too long":      func(p *Policy) { p.Valid = time.Hour + 1 },
		"no attempts":   func(p *Policy) { p.Attempts = 0 },
		"many attempts": func(p *Policy) { p.Attempts = 11 },
	} {
		p := DefaultPolicy()
		change(&p)
		if _, _, err := New(p, time.Now(), keyring(t), nil); !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTraceSaysWhatBecameOfTheCode(t *testing.T) {
	var tr trace.Trace
	tr.Start(time.Now())
	issued := Issued{NotAfter: time.Unix(1e9, 0), Attempts: 5}
	for i, want := range []struct {
		reason trace.Reason
		words  string
	}{
		{trace.OK, "The code that was sent by mail fits."},
		{trace.CodeWrong, "The code that was sent by mail does not fit; attempts left: 2."},
		{trace.CodeExpired, "The code that was sent by mail was good until 2001-09-09T01:46:40Z."},
		{trace.CodeAttempts, "The code that was sent by mail is void after 2 wrong ones."},
		{trace.FactorUnreadable, "What is stored of the factor mail cannot be opened."},
	} {
		issued.Record(&tr, want.reason, "mail", 2)
		step := tr.Step(i)
		if got := step.Code.Words(string(step.Subject), string(step.Detail)); got != want.words {
			t.Errorf("%s: %s", want.reason, got)
		}
	}
}
