package otp

import (
	"math"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"trine/engine/trace"
)

// The keys of RFC 4226 appendix D and RFC 6238 appendix B.
const (
	ascii20 = "12345678901234567890"
	ascii32 = "12345678901234567890123456789012"
	ascii64 = "1234567890123456789012345678901234567890123456789012345678901234"
)

func hotp6() Params { return Params{Kind: HOTP, Algorithm: SHA1, Digits: 6} }

func totp8(a Algorithm) Params {
	return Params{Kind: TOTP, Algorithm: a, Digits: 8, Period: 30 * time.Second}
}

func known(t testing.TB, p Params, key string) *Secret {
	t.Helper()
	s, err := FromKey(p, []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return &s
}

func TestCodesAreThoseOfRFC4226(t *testing.T) {
	s := known(t, hotp6(), ascii20)
	for counter, want := range []string{"755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"} {
		if got := s.Code(uint64(counter)); got != want {
			t.Errorf("counter %d: %s, not %s", counter, got, want)
		}
	}
}

func TestCodesAreThoseOfRFC6238(t *testing.T) {
	for _, c := range []struct {
		unix                 int64
		counter              uint64
		sha1, sha256, sha512 string
	}{
		{59, 0x1, "94287082", "46119246", "90693936"},
		{1111111109, 0x23523EC, "07081804", "68084774", "25091201"},
		{1111111111, 0x23523ED, "14050471", "67062674", "99943326"},
		{1234567890, 0x273EF07, "89005924", "91819424", "93441116"},
		{2000000000, 0x3F940AA, "69279037", "90698825", "38618901"},
		{20000000000, 0x27BC86AA, "65353130", "77737706", "47863826"},
	} {
		now := time.Unix(c.unix, 0)
		for _, h := range []struct {
			algorithm Algorithm
			key, want string
		}{{SHA1, ascii20, c.sha1}, {SHA256, ascii32, c.sha256}, {SHA512, ascii64, c.sha512}} {
			s := known(t, totp8(h.algorithm), h.key)
			if got := s.Counter(now); got != c.counter {
				t.Errorf("%d s: counter %x, not %x", c.unix, got, c.counter)
			}
			if got := s.Code(c.counter); got != h.want {
				t.Errorf("%v at %d s: %s, not %s", h.algorithm, c.unix, got, h.want)
			}
			state, reason := s.Verify([]byte(h.want), now, State{}, Window{})
			if reason != trace.OK || state != (State{Next: c.counter + 1}) {
				t.Errorf("%v at %d s: %s, state %+v", h.algorithm, c.unix, reason, state)
			}
		}
	}
}

func TestTimeCodeIsAcceptedWithinTheWindowAndOnce(t *testing.T) {
	s := known(t, totp8(SHA1), ascii20)
	now := time.Unix(1234567890, 0)
	at := s.Counter(now)
	for name, c := range map[string]struct {
		code   string
		state  State
		window Window
		want   trace.Reason
		next   uint64
	}{
		"of now":                                {s.Code(at), State{}, Window{Drift: 1}, trace.OK, at + 1},
		"of the period before":                  {s.Code(at - 1), State{}, Window{Drift: 1}, trace.OK, at},
		"of the period after":                   {s.Code(at + 1), State{}, Window{Drift: 1}, trace.OK, at + 2},
		"two before":                            {s.Code(at - 2), State{}, Window{Drift: 1}, trace.OTPWrong, 0},
		"two after":                             {s.Code(at + 2), State{}, Window{Drift: 1}, trace.OTPWrong, 0},
		"of now, no window":                     {s.Code(at), State{}, Window{}, trace.OK, at + 1},
		"before, no window":                     {s.Code(at - 1), State{}, Window{}, trace.OTPWrong, 0},
		"a window below nothing":                {s.Code(at), State{}, Window{Drift: -5}, trace.OK, at + 1},
		"a window beyond the bound":             {s.Code(at + MaxDrift + 1), State{}, Window{Drift: 1 << 40}, trace.OTPWrong, 0},
		"at the bound":                          {s.Code(at + MaxDrift), State{}, Window{Drift: 1 << 40}, trace.OK, at + MaxDrift + 1},
		"look-ahead is not for time":            {s.Code(at + 2), State{}, Window{Drift: 1, LookAhead: 10}, trace.OTPWrong, 0},
		"used":                                  {s.Code(at), State{Next: at + 1}, Window{Drift: 1}, trace.OTPReplayed, 0},
		"older than one that was used":          {s.Code(at - 1), State{Next: at + 1}, Window{Drift: 1}, trace.OTPReplayed, 0},
		"the next after one that was used":      {s.Code(at + 1), State{Next: at + 1}, Window{Drift: 1}, trace.OK, at + 2},
		"used at the end of the window":         {s.Code(at), State{Next: at + 2}, Window{Drift: 1}, trace.OTPReplayed, 0},
		"one of the future was used":            {s.Code(at), State{Next: at + 3}, Window{Drift: 1}, trace.OTPClock, 0},
		"one of the far future was used":        {s.Code(at), State{Next: math.MaxUint64}, Window{Drift: 1}, trace.OTPClock, 0},
		"wrong, and the future was used":        {"00000000", State{Next: at + 3}, Window{Drift: 1}, trace.OTPWrong, 0},
		"of a device that is ahead":             {s.Code(at + 20), State{Drift: 20}, Window{Drift: 1}, trace.OK, at + 21},
		"of a device that is behind":            {s.Code(at - 20), State{Drift: -20}, Window{Drift: 1}, trace.OK, at - 19},
		"of now, by a device that is ahead":     {s.Code(at), State{Drift: 20}, Window{Drift: 1}, trace.OTPWrong, 0},
		"too short":                             {s.Code(at)[1:], State{}, Window{Drift: 1}, trace.OTPWrong, 0},
		"too long":                              {s.Code(at) + "0", State{}, Window{Drift: 1}, trace.OTPWrong, 0},
		"none":                                  {"", State{}, Window{Drift: 1}, trace.OTPWrong, 0},
		"digits of another script":              {"٨٩٠٠", State{}, Window{Drift: 1}, trace.OTPWrong, 0},
		"a sign":                                {"+" + s.Code(at)[1:], State{}, Window{Drift: 1}, trace.OTPWrong, 0},
		"a number that fits after a wraparound": {"x9005924", State{}, Window{Drift: 1}, trace.OTPWrong, 0},
	} {
		t.Run(name, func(t *testing.T) {
			want := c.state
			if c.want == trace.OK {
				want.Next = c.next
			}
			if got, reason := s.Verify([]byte(c.code), now, c.state, c.window); reason != c.want || got != want {
				t.Errorf("%s, state %+v; want %s, %+v", reason, got, c.want, want)
			}
		})
	}
}

func TestClockThatJumpsBringsNoUsedCodeBack(t *testing.T) {
	s := known(t, totp8(SHA1), ascii20)
	now := time.Unix(1234567890, 0)
	state, reason := s.Verify([]byte(s.Code(s.Counter(now))), now, State{}, DefaultWindow())
	if reason != trace.OK {
		t.Fatal(reason)
	}
	for _, at := range []time.Time{now.Add(-time.Hour), time.Unix(0, 0), time.Unix(-1e9, 0), {}, now.Add(30 * time.Second), now.AddDate(100, 0, 0)} {
		after, reason := s.Verify([]byte(s.Code(s.Counter(now))), at, state, DefaultWindow())
		if reason == trace.OK || after != state {
			t.Errorf("at %v: %s, state %+v", at, reason, after)
		}
	}
	back := now.Add(-time.Hour)
	if _, reason := s.Verify([]byte(s.Code(s.Counter(back))), back, state, DefaultWindow()); reason != trace.OTPClock {
		t.Errorf("a fresh code after the clock went back: %s", reason)
	}
}

func TestCounterCodeIsAcceptedAheadAndOnce(t *testing.T) {
	s := known(t, hotp6(), ascii20)
	for name, c := range map[string]struct {
		code   string
		next   uint64
		window Window
		want   trace.Reason
		after  uint64
	}{
		"the first":                      {s.Code(0), 0, Window{LookAhead: 3}, trace.OK, 1},
		"the next":                       {s.Code(5), 5, Window{LookAhead: 3}, trace.OK, 6},
		"ahead":                          {s.Code(8), 5, Window{LookAhead: 3}, trace.OK, 9},
		"too far ahead":                  {s.Code(9), 5, Window{LookAhead: 3}, trace.OTPWrong, 5},
		"ahead, no window":               {s.Code(6), 5, Window{}, trace.OTPWrong, 5},
		"drift is not for counters":      {s.Code(6), 5, Window{Drift: 9}, trace.OTPWrong, 5},
		"used":                           {s.Code(4), 5, Window{LookAhead: 3}, trace.OTPReplayed, 5},
		"used long ago":                  {s.Code(1), 5, Window{LookAhead: 3}, trace.OTPWrong, 5},
		"the last counter that there is": {s.Code(math.MaxUint64), math.MaxUint64, Window{LookAhead: 3}, trace.OTPWrong, math.MaxUint64},
		"six digits, not eight":          {"00" + s.Code(5), 5, Window{LookAhead: 3}, trace.OTPWrong, 5},
	} {
		t.Run(name, func(t *testing.T) {
			if got, reason := s.Verify([]byte(c.code), time.Time{}, State{Next: c.next}, c.window); reason != c.want || got != (State{Next: c.after}) {
				t.Errorf("%s, state %+v; want %s, next %d", reason, got, c.want, c.after)
			}
		})
	}
}

// TestLowestUnusedOfEqualCodesIsTaken has two counters of one window with the same code, which one in some 20,000 windows of 50 has.
func TestLowestUnusedOfEqualCodesIsTaken(t *testing.T) {
	s, w := known(t, hotp6(), ascii20), Window{LookAhead: MaxLookAhead}
	seen := map[string]uint64{}
	for counter := uint64(0); ; counter++ {
		code := s.Code(counter)
		first, twice := seen[code]
		seen[code] = counter
		if !twice || counter-first > MaxLookAhead || counter-first < 2 {
			continue
		}
		for next, want := range map[uint64]uint64{first - 1: first, first: first, first + 1: counter, counter: counter} {
			if state, reason := s.Verify([]byte(code), time.Time{}, State{Next: next}, w); reason != trace.OK || state.Next != want+1 {
				t.Errorf("%s is the code of %d and %d; from %d on: %s, %+v", code, first, counter, next, reason, state)
			}
		}
		if _, reason := s.Verify([]byte(code), time.Time{}, State{Next: counter + 1}, w); reason != trace.OTPReplayed {
			t.Errorf("both are used: %s", reason)
		}
		return
	}
}

func TestDeviceIsResynchronisedByTwoCodesInARow(t *testing.T) {
	h, s := known(t, hotp6(), ascii20), known(t, totp8(SHA1), ascii20)
	now := time.Unix(1234567890, 0)
	at := s.Counter(now)
	for name, c := range map[string]struct {
		secret        *Secret
		first, second string
		state         State
		window        int
		want          trace.Reason
		after         State
	}{
		"counter ahead":                {h, h.Code(105), h.Code(106), State{Next: 5}, 100, trace.OK, State{Next: 107}},
		"counter too far ahead":        {h, h.Code(106), h.Code(107), State{Next: 5}, 100, trace.OTPWrong, State{Next: 5}},
		"counter not in a row":         {h, h.Code(50), h.Code(52), State{Next: 5}, 100, trace.OTPWrong, State{Next: 5}},
		"counter in the wrong order":   {h, h.Code(51), h.Code(50), State{Next: 5}, 100, trace.OTPWrong, State{Next: 5}},
		"one code twice":               {h, h.Code(50), h.Code(50), State{Next: 5}, 100, trace.OTPWrong, State{Next: 5}},
		"counter used":                 {h, h.Code(4), h.Code(5), State{Next: 5}, 100, trace.OTPWrong, State{Next: 5}},
		"counter beyond any bound":     {h, h.Code(2000), h.Code(2001), State{}, 1 << 40, trace.OTPWrong, State{}},
		"no window":                    {h, h.Code(5), h.Code(6), State{Next: 5}, -1, trace.OK, State{Next: 7}},
		"malformed":                    {h, h.Code(5), "1", State{Next: 5}, 10, trace.OTPWrong, State{Next: 5}},
		"clock ahead":                  {s, s.Code(at + 40), s.Code(at + 41), State{Next: at}, 100, trace.OK, State{Next: at + 42, Drift: 41}},
		"clock behind":                 {s, s.Code(at - 41), s.Code(at - 40), State{}, 100, trace.OK, State{Next: at - 39, Drift: -40}},
		"clock behind, codes used":     {s, s.Code(at - 41), s.Code(at - 40), State{Next: at}, 100, trace.OTPReplayed, State{Next: at}},
		"only the second is not used":  {s, s.Code(at - 41), s.Code(at - 40), State{Next: at - 40}, 100, trace.OTPReplayed, State{Next: at - 40}},
		"clock too far behind":         {s, s.Code(at - 201), s.Code(at - 200), State{}, 100, trace.OTPWrong, State{}},
		"drift does not add to itself": {s, s.Code(at + 150), s.Code(at + 151), State{Drift: 100}, 100, trace.OTPWrong, State{Drift: 100}},
		"the future was used":          {s, s.Code(at), s.Code(at + 1), State{Next: at + 5000}, 100, trace.OTPClock, State{Next: at + 5000}},
	} {
		t.Run(name, func(t *testing.T) {
			got, reason := c.secret.Resync([]byte(c.first), []byte(c.second), now, c.state, c.window)
			if reason != c.want || got != c.after {
				t.Fatalf("%s, state %+v; want %s, %+v", reason, got, c.want, c.after)
			}
			if reason != trace.OK {
				return
			}
			if _, reason := c.secret.Verify([]byte(c.second), now, got, DefaultWindow()); reason != trace.OTPReplayed {
				t.Errorf("the second code again: %s", reason)
			}
			if _, reason := c.secret.Verify([]byte(c.secret.Code(got.Next)), now, got, DefaultWindow()); reason != trace.OK {
				t.Errorf("the code after them: %s", reason)
			}
		})
	}
}

// TestNoCounterIsAcceptedTwice walks a device and a server through any history, with clocks that jump: whatever is accepted, its
// counter is above all that were accepted before, and is the counter of the code.
func TestNoCounterIsAcceptedTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Params{
			Kind:      rapid.SampledFrom([]Kind{TOTP, HOTP}).Draw(t, "kind"),
			Algorithm: rapid.SampledFrom([]Algorithm{SHA1, SHA256, SHA512}).Draw(t, "algorithm"),
			Digits:    rapid.SampledFrom([]int{6, 8}).Draw(t, "digits"),
		}
		if p.Kind == TOTP {
			p.Period = 30 * time.Second
		}
		s, err := FromKey(p, rapid.SliceOfN(rapid.Byte(), MinKey, MaxKey).Draw(t, "key"))
		if err != nil {
			t.Fatal(err)
		}
		now := time.Unix(rapid.Int64Range(0, 1e10).Draw(t, "start"), 0)
		var state State
		for range rapid.IntRange(1, 20).Draw(t, "attempts") {
			now = now.Add(time.Duration(rapid.Int64Range(-120, 240).Draw(t, "later")) * time.Second)
			centre := state.Next
			if p.Kind == TOTP {
				centre = s.Counter(now)
			}
			counter := uint64(max(int64(centre)+rapid.Int64Range(-4, 4).Draw(t, "off"), 0))
			after, reason := s.Verify([]byte(s.Code(counter)), now, state, Window{Drift: 2, LookAhead: 3})
			if reason != trace.OK {
				if after != state {
					t.Fatalf("%s changed the state from %+v to %+v", reason, state, after)
				}
				continue
			}
			if after.Next <= state.Next || s.Code(after.Next-1) != s.Code(counter) {
				t.Fatalf("counter %d: state %+v after %+v", counter, after, state)
			}
			state = after
		}
	})
}

func TestVerifyingDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	now := time.Unix(1234567890, 0)
	for _, a := range []Algorithm{SHA1, SHA256, SHA512} {
		s := known(t, totp8(a), ascii20)
		stored, code := s.Append(nil), []byte("12345678")
		var tr trace.Trace
		if n := testing.AllocsPerRun(100, func() {
			opened, err := Parse(stored)
			if err != nil {
				t.Fatal(err)
			}
			tr.Start(now)
			state, reason := opened.Verify(code, now, State{}, DefaultWindow())
			opened.Record(&tr, state, reason)
		}); n != 0 {
			t.Errorf("%v: %v allocations", a, n)
		}
	}
}

func TestTraceSaysWhatBecameOfTheCode(t *testing.T) {
	s := known(t, hotp6(), ascii20)
	var tr trace.Trace
	tr.Start(time.Now())
	for _, reason := range []trace.Reason{trace.OK, trace.OTPWrong, trace.OTPReplayed, trace.OTPClock} {
		s.Record(&tr, State{Next: 7}, reason)
	}
	want := []string{
		"The one-time password is the hotp code of counter 6.",
		"The one-time password is no hotp code within the window.",
		"The hotp code was used: only those from counter 7 on are good.",
		"The hotp code is older than one that was used, and that is later than the clock allows: only those from counter 7 on are good.",
	}
	for i, w := range want {
		step := tr.Step(i)
		if got := step.Code.Words(string(step.Subject), string(step.Detail)); got != w {
			t.Errorf("%s", got)
		}
	}
}

// TestCodesAreThoseOfOathtool compares with Debian's oathtool, which .ci/test-needs installs.
func TestCodesAreThoseOfOathtool(t *testing.T) {
	oathtool, err := exec.LookPath("oathtool")
	if err != nil {
		t.Skip("oathtool is not installed (Debian package oathtool)")
	}
	run := func(args ...string) []string {
		t.Helper()
		out, err := exec.Command(oathtool, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("oathtool %v: %v\n%s", args, err, out)
		}
		return strings.Fields(string(out))
	}
	for _, digits := range []int{6, 8} {
		s, err := New(Params{Kind: HOTP, Algorithm: SHA1, Digits: digits})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range run("--hotp", "--base32", "--digits", strconv.Itoa(digits), "--counter", "4000000000", "--window", "5", s.Base32()) {
			if got := s.Code(4000000000 + uint64(i)); got != want {
				t.Errorf("hotp, %d digits: %s, not %s", digits, got, want)
			}
		}
		for _, a := range []Algorithm{SHA1, SHA256, SHA512} {
			s, err := New(Params{Kind: TOTP, Algorithm: a, Digits: digits, Period: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			now := time.Date(2031, 5, 4, 3, 2, 1, 0, time.UTC)
			codes := run("--totp="+a.String(), "--base32", "--digits", strconv.Itoa(digits), "--time-step-size", "60s",
				"--now", now.Format("2006-01-02 15:04:05 MST"), "--window", "5", s.Base32())
			if len(codes) != 6 {
				t.Fatalf("oathtool says %v", codes)
			}
			state := State{}
			for i, code := range codes {
				var reason trace.Reason
				if state, reason = s.Verify([]byte(code), now.Add(time.Duration(i)*time.Minute), state, Window{}); reason != trace.OK {
					t.Errorf("%v, %d digits, code %d (%s): %s", a, digits, i, code, reason)
				}
			}
		}
	}
}
