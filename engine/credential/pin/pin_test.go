package pin

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

func TestPINIsVerifiedForItsOwnerWithTheKey(t *testing.T) {
	k, owner := keyring(t), []byte("User/alice")
	kept, err := DefaultPolicy().Keep([]byte("730146"), k, owner)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		pin   string
		kept  []byte
		ring  *secret.Keyring
		owner string
		want  trace.Reason
	}{
		"right":             {"730146", kept, k, "User/alice", trace.OK},
		"wrong":             {"730147", kept, k, "User/alice", trace.PINWrong},
		"cut off":           {"73014", kept, k, "User/alice", trace.PINWrong},
		"longer":            {"7301460", kept, k, "User/alice", trace.PINWrong},
		"with a space":      {"730146 ", kept, k, "User/alice", trace.PINWrong},
		"none":              {"", kept, k, "User/alice", trace.PINWrong},
		"endless":           {strings.Repeat("7", 1<<20), kept, k, "User/alice", trace.PINWrong},
		"another person's":  {"730146", kept, k, "User/bob", trace.PINWrong},
		"under another key": {"730146", kept, keyring(t), "User/alice", trace.PINWrong},
		"no key":            {"730146", kept, secret.NewKeyring(), "User/alice", trace.FactorUnreadable},
		"damaged":           {"730146", kept[1:], k, "User/alice", trace.FactorUnreadable},
		"nothing kept":      {"730146", nil, k, "User/alice", trace.FactorUnreadable},
	} {
		if reason := Verify([]byte(c.pin), c.kept, c.ring, []byte(c.owner)); reason != c.want {
			t.Errorf("%s: %s, want %s", name, reason, c.want)
		}
	}
	if _, err := DefaultPolicy().Keep([]byte("730146"), secret.NewKeyring(), owner); !errors.Is(err, secret.ErrNoKey) {
		t.Errorf("without a key: %v", err)
	}
}

func TestPINThatIsTriedFirstIsRefused(t *testing.T) {
	four := Policy{Min: 4, Max: 8}
	for what, pins := range map[string][]string{
		"characters":            {"", "123", "730146999"},
		"other characters":      {"73a1", "73 1", "-731", "7٣٤"},
		"one digit, or count":   {"0000", "9999", "111111", "1234", "0123", "7890", "8901", "4321", "9876", "1098", "12345678", "2468", "8642", "1357"},
		"a few digits repeated": {"1212", "6969", "7373", "123123", "479479", "47914791", "1122", "998877", "112233", "1221", "123321", "12321", "7887"},
		"a year":                {"1900", "1984", "2000", "2026"},
	} {
		for _, pin := range pins {
			err := four.Check([]byte(pin))
			if !errors.Is(err, ErrPolicy) || !strings.Contains(err.Error(), what) {
				t.Errorf("%s: %v", pin, err)
			} else if len(pin) >= 4 && strings.Contains(err.Error(), pin) {
				t.Errorf("the error holds the PIN: %v", err)
			}
			if _, err := four.Keep([]byte(pin), keyring(t), []byte("User/alice")); !errors.Is(err, ErrPolicy) {
				t.Errorf("%s is kept: %v", pin, err)
			}
		}
	}
	for _, pin := range []string{"7301", "1235", "0001", "1213", "3174", "1066", "2150", "19846", "730146", "112234", "14725836"} {
		if err := four.Check([]byte(pin)); err != nil {
			t.Errorf("%s: %v", pin, err)
		}
	}
}

// TestMostPINsAreGood: the rules take away few of what a thief would have to try.
func TestMostPINsAreGood(t *testing.T) {
	refused := 0
	for n := range 10_000 {
		pin := []byte{byte('0' + n/1000), byte('0' + n/100%10), byte('0' + n/10%10), byte('0' + n%10)}
		if (Policy{Min: 4, Max: 4}).Check(pin) != nil {
			refused++
		}
	}
	if refused < 200 || refused > 500 {
		t.Errorf("%d of 10,000 PINs are refused", refused)
	}
}

func TestPolicyBeyondTheBoundsIsTheBounds(t *testing.T) {
	for name, c := range map[string]struct {
		policy Policy
		pin    string
		good   bool
	}{
		"zero policy, three digits":  {Policy{}, "731", false},
		"zero policy, four digits":   {Policy{}, "7301", true},
		"zero policy, five digits":   {Policy{}, "73014", false},
		"no upper bound is the most": {Policy{Min: 4, Max: 1000}, "7301467301460173", true},
		"more than the most":         {Policy{Min: 4, Max: 1000}, "73014673014601734", false},
		"least above the most":       {Policy{Min: 1000, Max: 4}, "7301467301460173", true},
	} {
		if err := c.policy.Check([]byte(c.pin)); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVerifyingDoesNotAllocate(t *testing.T) {
	k, owner, right, wrong := keyring(t), []byte("User/alice"), []byte("730146"), []byte("730147")
	kept, err := DefaultPolicy().Keep(right, k, owner)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		if Verify(right, kept, k, owner) != trace.OK || Verify(wrong, kept, k, owner) != trace.PINWrong {
			t.Fatal("not verified")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestTraceSaysWhatBecameOfThePIN(t *testing.T) {
	var tr trace.Trace
	tr.Start(time.Now())
	for i, want := range []struct {
		reason trace.Reason
		words  string
	}{
		{trace.OK, "The PIN fits."},
		{trace.PINWrong, "The PIN does not fit."},
		{trace.FactorUnreadable, "What is stored of the factor PIN cannot be opened."},
	} {
		Record(&tr, want.reason)
		step := tr.Step(i)
		if got := step.Code.Words(string(step.Subject), string(step.Detail)); got != want.words {
			t.Errorf("%s: %s", want.reason, got)
		}
	}
}
