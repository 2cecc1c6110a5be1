package browser

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// screenshots is the folder of the pages' pictures, and gallery the page that shows them.
const (
	screenshots = "../../../docs/screenshots"
	gallery     = "../../../docs/pages.md"
)

// axe is the checker of accessibility, from npm.
var axe = sync.OnceValues(func() (string, error) {
	text, err := os.ReadFile("testdata/npm/node_modules/axe-core/axe.min.js")
	return string(text), err
})

// scheme makes the browser prefer dark or light pages.
func (b *tab) scheme(name string) {
	b.t.Helper()
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: name}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
}

// looks holds the page to what every page must be: usable for everybody in light and dark, and on a narrow screen; and it keeps a picture of each under the
// name where the flag update asks for it. An empty name keeps none.
func (b *tab) looks(name string) {
	b.t.Helper()
	for scheme, rules := range map[string]string{
		"light": `{type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}`,
		"dark":  `{type: 'rule', values: ['color-contrast']}`, // nothing else is other than in light
	} {
		b.scheme(scheme)
		b.accessible(name+" in "+scheme, rules)
		if name != "" {
			b.picture(name + "-" + scheme)
		}
	}
	b.scheme("light")
	b.narrow(name)
}

// accessible fails where axe finds something by the rules.
func (b *tab) accessible(what, rules string) {
	b.t.Helper()
	source, err := axe()
	if err != nil {
		if os.Getenv("CI") != "" {
			b.t.Fatalf("%v: .ci/test-needs should have installed it", err)
		}
		b.t.Logf("accessibility is not checked: %v; .ci/test-needs installs it", err)
		return
	}
	if there, err := eval[bool](b, `typeof axe === 'object'`); err != nil || !there {
		b.must(chromedp.Evaluate[chromedp.Void](source + ";0"))
	}
	found, err := eval[[]string](b, `axe.run({resultTypes: ['violations'], runOnly: `+rules+`}).then(r => r.violations.map(v => v.impact + ': ' + v.id + ': ' + v.help + ': ' + v.nodes.map(n => n.html + ' ' + (n.any.concat(n.all, n.none).map(c => c.message).join('; '))).join(' | ')))`)
	if err != nil {
		b.t.Fatalf("%s: check the accessibility: %v", what, err)
	}
	if len(found) > 0 {
		b.t.Errorf("%s: axe finds\n%s", what, strings.Join(found, "\n"))
	}
}

// narrow fails where a page must be scrolled sideways on a screen of 320 pixels (WCAG 2.2, 1.4.10).
func (b *tab) narrow(what string) {
	b.t.Helper()
	size := func() (inner, scrolled int) {
		at, err := eval[[]int](b, `[innerWidth, document.documentElement.scrollWidth]`)
		if err != nil || len(at) != 2 {
			return 0, 0
		}
		return at[0], at[1]
	}
	before, _ := size()
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: 320, Height: 640, DeviceScaleFactor: 1})
	var width int
	b.until("a narrow screen", func() bool {
		inner, scrolled := size()
		width = scrolled
		return inner == 320
	})
	if width > 320 {
		b.t.Errorf("%s: the page is %d pixels wide on a screen of 320", what, width)
	}
	call(b, emulation.ClearDeviceMetricsOverride, cdp.Empty{})
	b.until("the wide screen again", func() bool { // or a button would not be where it was found
		inner, _ := size()
		return inner == before
	})
}

// picture keeps a picture of the whole page, or makes sure that there is one.
func (b *tab) picture(name string) {
	b.t.Helper()
	if !slices.ContainsFunc(captions, func(c struct{ name, text string }) bool {
		return strings.TrimSuffix(strings.TrimSuffix(name, "-light"), "-dark") == c.name
	}) {
		b.t.Errorf("the picture %s has no caption", name)
	}
	path := filepath.Join(screenshots, name+".png")
	if !*update {
		if _, err := os.Stat(path); err != nil {
			b.t.Errorf("%v: make pictures makes them", err)
		}
		return
	}
	beyond := true
	height := call(b, page.GetLayoutMetrics, cdp.Empty{}).CSSContentSize.Height
	picture := call(b, page.CaptureScreenshot, page.CaptureScreenshotParams{
		CaptureBeyondViewport: &beyond, Clip: &page.Viewport{Width: 900, Height: max(300, min(height, 1400)), Scale: 0.75},
	}).Data
	if err := os.MkdirAll(screenshots, 0o755); err != nil {
		b.t.Fatal(err)
	}
	small, err := fewColours(picture)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, small, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// fewColours makes a PNG small: with the colours that it has most of, and each other one as the nearest of these.
func fewColours(picture []byte) ([]byte, error) {
	full, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		return nil, err
	}
	counts := make(map[color.RGBA]int)
	frame := full.Bounds()
	for y := frame.Min.Y; y < frame.Max.Y; y++ {
		for x := frame.Min.X; x < frame.Max.X; x++ {
			counts[color.RGBAModel.Convert(full.At(x, y)).(color.RGBA)]++
		}
	}
	found := slices.SortedFunc(maps.Keys(counts), func(a, b color.RGBA) int {
		return cmp.Or(counts[b]-counts[a], int(a.R)-int(b.R), int(a.G)-int(b.G), int(a.B)-int(b.B))
	})
	few := &image.Paletted{Pix: make([]uint8, frame.Dx()*frame.Dy()), Stride: frame.Dx(), Rect: frame}
	for _, c := range found[:min(len(found), 64)] {
		few.Palette = append(few.Palette, c)
	}
	nearest := make(map[color.RGBA]uint8, len(found))
	for _, c := range found {
		nearest[c] = uint8(few.Palette.Index(c))
	}
	for y := frame.Min.Y; y < frame.Max.Y; y++ {
		for x := frame.Min.X; x < frame.Max.X; x++ {
			few.SetColorIndex(x, y, nearest[color.RGBAModel.Convert(full.At(x, y)).(color.RGBA)])
		}
	}
	var out bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, few)
	return out.Bytes(), err
}

// captions say what each page is, in the order in which docs/pages.md shows them.
var captions = []struct{ name, text string }{
	{"demo-before", "An application that leaves its logins to Trine: the one that `trine demo rp` runs."},
	{"login", "The login page."},
	{"login-wrong", "Something was wrong. It is not said what, and the reference is for `trine explain`."},
	{"login-locked", "After too many guesses the page is that of any other wrong password, even for the right one."},
	{"login-es", "In Spanish, with the look of its identity provider."},
	{"factor-otp", "A one-time password as the second factor."},
	{"send-mail", "A code by mail, before it is sent,"},
	{"factor-mail", "and after."},
	{"send-sms", "A code by text message, before it is sent,"},
	{"factor-sms", "and after."},
	{"factor-pin", "A PIN."},
	{"factor-push", "An approval on a device, with the number to type there."},
	{"factor-fido", "A security key or passkey."},
	{"factor-certificate", "A client certificate."},
	{"factor-kerberos", "What the person's computer knows of him (Kerberos)."},
	{"trust", "The offer to trust this device."},
	{"step-up", "An application asks for more than the session has: only what is missing is asked for."},
	{"new-password", "A password that has to be changed before the login goes on."},
	{"change-password", "Change of a password,"},
	{"change-password-refused", "refused by the password policy."},
	{"consent", "Consent to what an application learns."},
	{"select-account", "The choice of an account, where an application asks for one."},
	{"demo", "Back at the application."},
	{"logout", "A logout that anybody could have asked for is asked about."},
	{"logged-out", "Signed out."},
	{"account", "A person's own pages: sessions, factors, trusted devices, consents."},
	{"account-sessions", "Sessions elsewhere can be ended,"},
	{"account-devices", "devices trusted no longer,"},
	{"account-consents", "and consents taken back."},
	{"enrol-otp", "An authenticator app is enrolled,"},
	{"enrol-passkey", "or a passkey,"},
	{"recovery-codes", "or recovery codes."},
	{"expired", "A page that is too old, or was made for another browser."},
	{"error-client", "A client that there is not."},
	{"error-redirect", "A redirect URI that is not registered: a page, and never a redirect."},
}

// showing is the text of docs/pages.md.
func showing() string {
	var b strings.Builder
	b.WriteString("# What people see\n\nEvery page in light and dark, as Debian's Chromium shows it at a width of 900 pixels. Pages need no script but for security keys, fit a screen of 320 pixels,\n" +
		"speak English and Spanish, and wear what the identity provider's `lookAndFeel` says. The tests make the pictures: `make pictures`.\n")
	for _, c := range captions {
		fmt.Fprintf(&b, "\n%s\n\n| light | dark |\n|---|---|\n| ![%[2]s](screenshots/%[2]s-light.png) | ![%[2]s, dark](screenshots/%[2]s-dark.png) |\n", c.text, c.name)
	}
	return b.String()
}

// TestEveryPictureIsShown: docs/pages.md shows each picture, and no other.
func TestEveryPictureIsShown(t *testing.T) {
	if *update {
		if err := os.WriteFile(gallery, []byte(showing()), 0o644); err != nil {
			t.Fatal(err)
		}
		return // the pictures are being made
	}
	text, err := os.ReadFile(gallery)
	if err != nil || string(text) != showing() {
		t.Errorf("docs/pages.md is not what the tests say (%v): make pictures makes it anew", err)
	}
	names, err := filepath.Glob(filepath.Join(screenshots, "*.png"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.Contains(string(text), "](screenshots/"+filepath.Base(name)+")") {
			t.Errorf("docs/pages.md does not show %s", filepath.Base(name))
		}
	}
	if len(names) != 2*len(captions) {
		t.Errorf("docs/pages.md shows %d pictures, and there are %d", 2*len(captions), len(names))
	}
}
