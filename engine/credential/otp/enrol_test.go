package otp

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/png"
	"math"
	"net/url"
	"strings"
	"testing"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
)

func TestURIIsWhatAppsRead(t *testing.T) {
	for name, c := range map[string]struct {
		secret          *Secret
		issuer, account string
		want            string
	}{
		"totp":   {known(t, DefaultParams(), ascii20), "Example", "alice", "otpauth://totp/Example:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Example&algorithm=SHA1&digits=6&period=30"},
		"hotp":   {known(t, hotp6(), ascii20), "Example", "alice", "otpauth://hotp/Example:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Example&algorithm=SHA1&digits=6&counter=42"},
		"unsafe": {known(t, totp8(SHA256), ascii20), "Größe & Söhne", "a/b?c#d+e@x=y", "otpauth://totp/Gr%C3%B6%C3%9Fe%20%26%20S%C3%B6hne:a%2Fb%3Fc%23d%2Be%40x%3Dy?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Gr%C3%B6%C3%9Fe%20%26%20S%C3%B6hne&algorithm=SHA256&digits=8&period=30"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.secret.URI(c.issuer, c.account, 42)
			if err != nil || got != c.want {
				t.Fatalf("%s, %v", got, err)
			}
			u, err := url.Parse(got)
			if err != nil || u.Path != "/"+c.issuer+":"+c.account || u.Query().Get("issuer") != c.issuer {
				t.Errorf("it reads back as %v, %v", u, err)
			}
			if again, err := ImportBase32(c.secret.Params(), u.Query().Get("secret")); err != nil || again != *c.secret {
				t.Errorf("the key does not read back: %v", err)
			}
		})
	}
}

func TestNameThatAppsWouldMisreadIsRefused(t *testing.T) {
	s := known(t, DefaultParams(), ascii20)
	for _, bad := range []string{"", "a:b", "a\nb", "\x7f", "\xff", strings.Repeat("a", 129)} {
		if uri, err := s.URI(bad, "alice", 0); !errors.Is(err, ErrLabel) || !strings.Contains(err.Error(), "issuer") {
			t.Errorf("issuer %q: %s, %v", bad, uri, err)
		}
		if uri, err := s.URI("Example", bad, 0); !errors.Is(err, ErrLabel) || !strings.Contains(err.Error(), "account") {
			t.Errorf("account %q: %s, %v", bad, uri, err)
		}
	}
}

// TestQRCodeIsReadByAnotherReader also has the longest URI that there can be.
func TestQRCodeIsReadByAnotherReader(t *testing.T) {
	longest, label := known(t, Params{Kind: HOTP, Algorithm: SHA512, Digits: 8}, ascii64), strings.Repeat("ü", maxLabel/2)
	for name, c := range map[string]struct {
		secret *Secret
		label  string
	}{"usual": {known(t, DefaultParams(), ascii20), "Example"}, "longest": {longest, label}} {
		t.Run(name, func(t *testing.T) {
			uri, err := c.secret.URI(c.label, c.label, math.MaxUint64)
			if err != nil {
				t.Fatal(err)
			}
			picture, err := PNG(uri)
			if err != nil {
				t.Fatal(err)
			}
			decoded, err := png.Decode(bytes.NewReader(picture))
			if err != nil {
				t.Fatal(err)
			}
			if got := read(t, decoded); got != uri {
				t.Errorf("the PNG reads as %s", got)
			}
			for _, inverted := range []bool{false, true} {
				text, err := Terminal(uri, inverted)
				if err != nil {
					t.Fatal(err)
				}
				if got := read(t, screen(text, inverted)); got != uri {
					t.Errorf("the terminal's text (inverted: %v) reads as %s", inverted, got)
				}
			}
		})
	}
	if _, err := PNG(strings.Repeat("x", 5000)); err == nil {
		t.Error("5,000 bytes fit into a QR code")
	}
}

// screen draws what a terminal shows: blocks in the foreground's colour, which is light unless the terminal is inverted.
func screen(text string, inverted bool) image.Image {
	const scale = 4
	foreground, background := color.Gray{255}, color.Gray{0}
	if inverted {
		foreground, background = background, foreground
	}
	var lines [][]rune
	for line := range strings.Lines(text) {
		lines = append(lines, []rune(strings.TrimSuffix(line, "\n")))
	}
	img := image.NewGray(image.Rect(0, 0, scale*len(lines[0]), scale*2*len(lines)))
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			c := background
			switch r := lines[y/scale/2][x/scale]; {
			case r == '█', r == '▀' && y/scale%2 == 0, r == '▄' && y/scale%2 == 1:
				c = foreground
			}
			img.SetGray(x, y, c)
		}
	}
	return img
}

func read(t *testing.T, img image.Image) string {
	t.Helper()
	bitmap, err := gozxing.NewBinaryBitmapFromImage(img)
	if err != nil {
		t.Fatal(err)
	}
	result, err := qrcode.NewQRCodeReader().Decode(bitmap, nil)
	if err != nil {
		t.Fatalf("no QR code is seen: %v", err)
	}
	return result.GetText()
}
