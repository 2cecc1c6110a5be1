package event

import (
	"strings"
	"testing"
)

func TestMACIsReadInAnyNotation(t *testing.T) {
	const want = "00-10-A4-23-19-C0"
	for _, text := range []string{
		want, "0010a42319c0", "0010A42319C0", "00:10:a4:23:19:c0", "00.10.a4.23.19.c0", "0010.a423.19c0", "0010-a423-19c0",
		"0010:a423:19c0", "0010a4-2319c0", "0010A4:2319C0",
	} {
		if mac, ok := ParseMAC(text); !ok || mac.String() != want {
			t.Errorf("%q is read as %s, %v", text, mac, ok)
		}
		if got := CanonicalName("Endpoint", text); got != want {
			t.Errorf("an endpoint named %q is %q", text, got)
		}
	}
	for _, text := range []string{
		"", "-", "0010a42319c", "0010a42319c00", "00:10:a4:23:19:c0:", ":00:10:a4:23:19:c0", "00:10-a4:23:19:c0", "00::10:a4:23:19:c0",
		"0010.a423:19c0", "001:0a4:231:9c0", "0:10:a4:23:19:c0", "00:10:a42319c0", "0010:a4:23:19c0", "0010a4:23:19c0", "00 10 a4 23 19 c0",
		"g010a42319c0", "00-10-A4-23-19-C0 ", "0010a423-19c0", "00-10-A4-23-19-C0:corp",
	} {
		if mac, ok := ParseMAC(text); ok {
			t.Errorf("%q is read as %s", text, mac)
		}
		if got := CanonicalName("Endpoint", text); got != text {
			t.Errorf("an endpoint named %q is %q", text, got)
		}
	}
}

func TestMACIsCutOffWhatFollows(t *testing.T) {
	for text, n := range map[string]int{
		"00-10-A4-23-19-C0:corp": 17, "00:10:a4:23:19:c0:corp": 17, "0010a42319c0:corp": 12, "0010.a423.19c0": 14, "corp": 0, "": 0,
	} {
		if _, got := CutMAC(text); got != n {
			t.Errorf("%q: %d bytes, want %d", text, got, n)
		}
	}
}

func FuzzParseMAC(f *testing.F) {
	f.Add("00-10-A4-23-19-C0")
	f.Add("0010.a423.19c0:x")
	f.Fuzz(func(t *testing.T, text string) {
		mac, n := CutMAC(text)
		if n == 0 {
			return
		}
		digits := strings.NewReplacer("-", "", ":", "", ".", "").Replace(text[:n])
		if strings.ReplaceAll(mac.String(), "-", "") != strings.ToUpper(digits) {
			t.Fatalf("%q is read as %s", text, mac)
		}
		if again, ok := ParseMAC(mac.String()); !ok || again != mac {
			t.Fatalf("%s is read as %s, %v", mac, again, ok)
		}
	})
}
