package otp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"trine/engine/secret"
)

func TestNewSecretIsAsLongAsTheHash(t *testing.T) {
	for a, size := range map[Algorithm]int{SHA1: 20, SHA256: 32, SHA512: 64} {
		p := DefaultParams()
		p.Algorithm = a
		one, err := New(p)
		if err != nil {
			t.Fatal(err)
		}
		other, err := New(p)
		if err != nil {
			t.Fatal(err)
		}
		if int(one.size) != size || one == other || one.key == (Secret{}).key || one.Params() != p {
			t.Errorf("%v: %d bytes", a, one.size)
		}
	}
}

func TestParametersOutOfBoundsAreRefused(t *testing.T) {
	for name, change := range map[string]func(*Params){
		"kind":           func(p *Params) { p.Kind = 3 },
		"no kind":        func(p *Params) { p.Kind = 0 },
		"algorithm":      func(p *Params) { p.Algorithm = 4 },
		"no algorithm":   func(p *Params) { p.Algorithm = 0 },
		"7 digits":       func(p *Params) { p.Digits = 7 },
		"no digits":      func(p *Params) { p.Digits = 0 },
		"no period":      func(p *Params) { p.Period = 0 },
		"short period":   func(p *Params) { p.Period = 9 * time.Second },
		"long period":    func(p *Params) { p.Period = 301 * time.Second },
		"half seconds":   func(p *Params) { p.Period = 30500 * time.Millisecond },
		"HOTP by period": func(p *Params) { p.Kind = HOTP },
	} {
		t.Run(name, func(t *testing.T) {
			p := DefaultParams()
			change(&p)
			if _, err := New(p); !errors.Is(err, ErrParams) {
				t.Errorf("New: %v", err)
			}
			if _, err := ImportHex(p, strings.Repeat("0a", 20)); !errors.Is(err, ErrParams) {
				t.Errorf("ImportHex: %v", err)
			}
		})
	}
}

func TestImportedKeyIsTheDevicesKey(t *testing.T) {
	// RFC 4226's key in each writing.
	want := known(t, DefaultParams(), ascii20)
	for name, c := range map[string]struct {
		read func(Params, string) (Secret, error)
		text string
	}{
		"base32":                 {ImportBase32, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"},
		"base32 in small groups": {ImportBase32, "gezd gnbv gy3t qojq\r\ngezd-gnbv-gy3t-qojq\n"},
		"base32, padded":         {ImportBase32, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ===="},
		"hex":                    {ImportHex, "3132333435363738393031323334353637383930"},
		"hex in groups":          {ImportHex, "31:32:33:34:35 36373839-30313233 34353637 38:39:30"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := c.read(DefaultParams(), c.text); err != nil || got != *want {
				t.Errorf("%v", err)
			}
		})
	}
	// 26 characters are 130 bits: apps drop the last two.
	if s, err := ImportBase32(DefaultParams(), "GEZDGNBVGY3TQOJQGEZDGNBVGZ"); err != nil || string(s.key[:s.size]) != ascii20[:16] {
		t.Errorf("130 bits: %v", err)
	}
}

func TestKeyOfBadLengthIsRefusedAndSaysWhatIsExpected(t *testing.T) {
	for name, c := range map[string]struct {
		read func(Params, string) (Secret, error)
		text string
		says string
	}{
		"80 bits":           {ImportBase32, "GEZDGNBVGY3TQOJQ", "it has 80 bits, and 128 to 512 are expected (RFC 4226 section 4), which are 26 to 103 characters of base32 or 32 to 128 hexadecimal digits"},
		"120 bits":          {ImportHex, strings.Repeat("ab", 15), "it has 120 bits"},
		"520 bits":          {ImportHex, strings.Repeat("ab", 65), "it has 520 bits"},
		"empty base32":      {ImportBase32, "", "it has 0 bits"},
		"empty hex":         {ImportHex, "", "it has 0 bits"},
		"not base32":        {ImportBase32, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ1", "base32 has the letters"},
		"half a byte":       {ImportBase32, "GEZDGNBVGY3TQOJQGEZDGNBVGY3", "a number of them that fills bytes"},
		"padding inside":    {ImportBase32, "GEZDGNBV====GY3TQOJQGEZDGNBVGY3TQOJQ", "base32 has"},
		"tab":               {ImportBase32, "GEZDGNBVGY3TQOJQ\tGEZDGNBVGY3TQOJQ", "base32 has"},
		"one too many":      {ImportBase32, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQA", "a number of them that fills bytes"},
		"not hex":           {ImportHex, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "an even number of 0 to 9"},
		"odd hex":           {ImportHex, strings.Repeat("a", 41), "an even number"},
		"endless":           {ImportHex, strings.Repeat("a", 1<<20), "1048576 characters"},
		"endless with gaps": {ImportBase32, strings.Repeat(" ", 1<<20), "1048576 characters"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.read(DefaultParams(), c.text)
			if !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
			if err != nil && len(c.text) > 4 && strings.Contains(err.Error(), c.text) {
				t.Error("the error holds the key")
			}
		})
	}
}

func TestSecretPrintsAsTheMark(t *testing.T) {
	s := known(t, DefaultParams(), ascii20)
	var log bytes.Buffer
	// Without the time, whose digits could be those that are looked for.
	plain := slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	slog.New(slog.NewTextHandler(&log, &plain)).Info("x", "secret", *s, "pointer", s)
	encoded, err := json.Marshal(map[string]any{"secret": s, "value": *s})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s %d %x %v", *s, *s, *s, *s, *s, *s, s), log.String(), string(encoded)} {
		if !strings.Contains(text, secret.Mark) || strings.Contains(text, "49") || strings.Contains(text, "3132") || strings.Contains(text, "SHA1") {
			t.Errorf("it prints as %s", text)
		}
	}
}

func TestStoredFormIsTheSecret(t *testing.T) {
	for _, p := range []Params{DefaultParams(), totp8(SHA512), hotp6(), {TOTP, SHA256, 6, MaxPeriod}} {
		for _, size := range []int{MinKey, 20, MaxKey} {
			s := known(t, p, ascii64[:size])
			stored := s.Append([]byte("x"))
			if len(stored) != 1+6+size {
				t.Errorf("%d bytes for a key of %d", len(stored)-1, size)
			}
			if got, err := Parse(stored[1:]); err != nil || got != *s {
				t.Errorf("%+v: %v", p, err)
			}
		}
	}
	good := known(t, DefaultParams(), ascii20).Append(nil)
	if want := append([]byte{1, 1, 1, 6, 0, 30}, ascii20...); !bytes.Equal(good, want) {
		t.Errorf("the stored form is %x, and was %x: it is for ever", good, want)
	}
	for name, bad := range map[string][]byte{
		"empty":          nil,
		"cut off":        good[:21],
		"too long":       append(bytes.Clone(good), make([]byte, 50)...),
		"another format": append([]byte{2}, good[1:]...),
		"another kind":   append([]byte{1, 9}, good[2:]...),
		"seven digits":   append([]byte{1, 1, 1, 7}, good[4:]...),
		"period of HOTP": append([]byte{1, 2}, good[2:]...),
	} {
		if _, err := Parse(bad); !errors.Is(err, ErrForm) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(known(f, DefaultParams(), ascii20).Append(nil))
	f.Add(known(f, hotp6(), ascii32).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrForm) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(s.Append(nil), b) {
			t.Fatalf("%x is not what Append makes", b)
		}
		if len(s.Code(1)) != s.Params().Digits {
			t.Fatal("a code has the wrong length")
		}
	})
}

// FuzzImport: what is imported has a key of a length that is allowed and reads back from what is shown.
func FuzzImport(f *testing.F) {
	f.Add("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
	f.Add("31:32:33:34:35 36373839-30313233 34353637 38:39:30")
	f.Fuzz(func(t *testing.T, text string) {
		for _, read := range []func(Params, string) (Secret, error){ImportBase32, ImportHex} {
			s, err := read(DefaultParams(), text)
			if err != nil {
				if !errors.Is(err, ErrKey) {
					t.Fatal(err)
				}
				continue
			}
			if again, err := ImportBase32(DefaultParams(), s.Base32()); err != nil || again != s || s.size < MinKey {
				t.Fatalf("%q does not read back: %v", text, err)
			}
		}
	})
}
