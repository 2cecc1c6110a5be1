package browser

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// patience is how long a tab waits for what it is to see. It is reached only where a test fails.
const patience = 30 * time.Second

// chromium is the one browser of all tests, started with the first tab; each tab has cookies of its own.
var chromium process

type process struct {
	once   sync.Once
	ctx    context.Context
	failed error
	end    []func()

	folder      string // its home
	certificate bool   // it has a client certificate, and sends Kerberos tickets
}

// skipWithout skips a test whose command is not installed; .ci/test-needs installs them where continuous integration runs.
func skipWithout(t *testing.T, commands ...string) {
	t.Helper()
	for _, c := range commands {
		if _, err := exec.LookPath(c); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%v: .ci/test-needs should have installed it", err)
			}
			t.Skipf("%v; .ci/test-needs says which package has it", err)
		}
	}
}

func (p *process) start() error {
	p.once.Do(func() {
		folder, err := os.MkdirTemp("", "trine-chromium-")
		if err != nil {
			p.failed = err
			return
		}
		p.end, p.folder = append(p.end, func() { os.RemoveAll(folder) }), folder
		command, err := p.wardrobe(folder)
		if err != nil {
			p.failed = err
			return
		}
		// The certificate of the tests' nodes is pinned: to Chromium it is one without a fault, and any other is refused.
		pin := sha256.Sum256(authority.spki)
		options := append(chromedp.DefaultExecAllocatorOptions[:],
			chromedp.ExecPath(command), chromedp.UserDataDir(filepath.Join(folder, "profile")), chromedp.Env("HOME="+folder, "KRB5_CONFIG="+filepath.Join(folder, "krb5.conf"), "KRB5CCNAME=FILE:"+filepath.Join(folder, "tickets")), chromedp.NoSandbox, chromedp.WindowSize(900, 700),
			chromedp.Flag("ignore-certificate-errors-spki-list", base64.StdEncoding.EncodeToString(pin[:])),
			chromedp.Flag("lang", "en"), chromedp.Flag("accept-lang", "en"),
			chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-dev-shm-usage", true),
		)
		if os.Getenv("TRINE_TEST_CHROMIUM") == "verbose" {
			options = append(options, chromedp.CombinedOutput(os.Stderr))
		}
		allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
		p.end = append(p.end, stop)
		// What the library does not know of the protocol is no failure of a test.
		ctx, stop := chromedp.NewContext(allocator, chromedp.WithErrorf(func(string, ...any) {}))
		p.end = append(p.end, stop)
		p.ctx, p.failed = ctx, chromedp.Do(ctx)
	})
	return p.failed
}

// certified reports whether the browser has the client certificate of the tests.
func (p *process) certified() bool { return p.start() == nil && p.certificate }

// wardrobe puts into the folder what the browser is to find there: a client certificate, and the policy that it shows that one and Kerberos tickets
// without asking. It returns the command that starts the browser. Policies are the machine's, so the browser sees a folder of its own in their
// place, which takes root and its right to mount; without that the browser is one like any other.
func (p *process) wardrobe(folder string) (command string, err error) {
	for _, needed := range []string{"certutil", "pk12util", "openssl", "unshare"} {
		if _, err := exec.LookPath(needed); err != nil || os.Getuid() != 0 {
			return "chromium", nil
		}
	}
	pki, policies := filepath.Join(folder, ".pki", "nssdb"), filepath.Join(folder, "chromium", "policies", "managed")
	for _, f := range []string{pki, policies} {
		if err := os.MkdirAll(f, 0o755); err != nil {
			return "", err
		}
	}
	for name, text := range map[string]string{
		filepath.Join(folder, "client.pem"): string(authority.client),
		filepath.Join(policies, "policy.json"): `{
"AutoSelectCertificateForUrls": ["{\"pattern\": \"https://[*.]localhost\", \"filter\": {}}"],
"AuthServerAllowlist": "localhost", "DisableAuthNegotiateCnameLookup": true, "EnableAuthNegotiatePort": false}`,
		filepath.Join(folder, "start"):          "#!/bin/sh\nmount --bind \"" + filepath.Join(folder, "chromium") + "\" /etc/chromium && exec chromium \"$@\"\n",
		filepath.Join(folder, "chromium-alone"): "#!/bin/sh\nexec unshare --mount --propagation private \"" + filepath.Join(folder, "start") + "\" \"$@\"\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
			return "", err
		}
	}
	// Root of a container may not be allowed to mount anything.
	if err := exec.Command("unshare", "--mount", "--propagation", "private", "mount", "--bind", filepath.Join(folder, "chromium"), "/etc/chromium").Run(); err != nil {
		return "chromium", nil
	}
	bundle := filepath.Join(folder, "client.p12")
	for _, c := range [][]string{
		{"openssl", "pkcs12", "-export", "-in", filepath.Join(folder, "client.pem"), "-out", bundle, "-passout", "pass:x", "-name", "client"},
		{"certutil", "-N", "-d", "sql:" + pki, "--empty-password"},
		{"pk12util", "-i", bundle, "-d", "sql:" + pki, "-W", "x"},
	} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w: %s", strings.Join(c, " "), err, out)
		}
	}
	// Chromium cannot load GSSAPI within the sandbox of its network service. It notes a first Negotiate header here, and does without that sandbox from its next start on.
	profile := filepath.Join(folder, "profile")
	if err := os.Mkdir(profile, 0o700); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(profile, "Local State"), []byte(`{"net":{"received_http_auth_negotiate_headers":true}}`), 0o600); err != nil {
		return "", err
	}
	p.certificate = true
	return filepath.Join(folder, "chromium-alone"), nil
}

func (p *process) stop() {
	for i := len(p.end) - 1; i >= 0; i-- {
		p.end[i]()
	}
}

// tab is a page of a browser with cookies of its own.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// open opens a tab of a browser that nobody has used before.
func open(t *testing.T) *tab {
	t.Helper()
	skipWithout(t, "chromium")
	if err := chromium.start(); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return newTab(t, chromium.ctx, chromedp.WithNewBrowserContext())
}

// own opens a tab of the browser's own profile, which is the only one that sends Kerberos tickets. One test at a time may use it.
func own(t *testing.T) *tab {
	t.Helper()
	skipWithout(t, "chromium")
	if err := chromium.start(); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	b := newTab(t, chromium.ctx)
	call(b, network.ClearBrowserCookies, cdp.Empty{})
	return b
}

// another opens a second tab of the same browser: it shares the cookies.
func (b *tab) another() *tab {
	b.t.Helper()
	return newTab(b.t, b.ctx)
}

func newTab(t *testing.T, parent context.Context, options ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent, options...)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx}
	// The first use binds the context to its target for good, so it must not be a context that ends early.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	call(b, network.Enable, network.EnableParams{})
	b.scheme("light")
	return b
}

// call runs a command of the protocol.
func call[P, R any](b *tab, command cdp.Command[P, R], parameters P) R {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	result, err := chromedp.Call(ctx, command, parameters)
	if err != nil {
		b.t.Fatalf("%s: %v\n%s", command.Method, err, b.describe())
	}
	return result
}

// must runs actions within the patience.
func (b *tab) must(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatalf("%v\n%s", err, b.describe())
	}
}

// visit goes to an address and waits for the page. Where the browser is sent on, it is the page that it ends at.
func (b *tab) visit(url string) {
	b.t.Helper()
	b.must(chromedp.Navigate(url))
}

// script turns JavaScript of pages on or off. What the test itself looks at goes on.
func (b *tab) script(on bool) {
	b.t.Helper()
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
}

// finder is run in the page: it finds what people find, by the text that names it.
const finder = `(() => {
  const text = e => (e.innerText ?? e.textContent ?? '').replace(/\s+/g, ' ').trim();
  const visible = e => e.getClientRects().length > 0 && getComputedStyle(e).visibility !== 'hidden';
  const name = e => {
    const by = e.getAttribute('aria-labelledby');
    if (by) return by.split(/\s+/).map(id => document.getElementById(id)).filter(Boolean).map(text).join(' ');
    return e.getAttribute('aria-label') || (e.labels && e.labels.length ? [...e.labels].map(text).join(' ') : '') || text(e) || e.value || '';
  };
  const best = (list, wanted) => {
    const found = list.filter(visible).map(e => [name(e), e]);
    return (found.find(([n]) => n === wanted) || found.find(([n]) => n.startsWith(wanted)) || found.find(([n]) => n.includes(wanted)) || [])[1];
  };
  const field = wanted => best([...document.querySelectorAll('input:not([type=hidden]),select,textarea')], wanted);
  const control = wanted => best([...document.querySelectorAll('button,input[type=submit],input[type=checkbox],a[href],summary,[role=button]')], wanted);
  return {text, visible, name, field, control};
})()`

// eval evaluates an expression in the page, with the finder at hand as f, and waits for what it promises.
func eval[T any](b *tab, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T]("(async f => ("+expression+"))("+finder+")", chromedp.EvalAwaitPromise))
}

// quoted is a JavaScript string.
func quoted(s string) string { return fmt.Sprintf("%q", s) }

// focus puts the cursor into the field that a label names.
func (b *tab) focus(label string) {
	b.t.Helper()
	b.until("a field "+quoted(label), func() bool {
		found, err := eval[bool](b, `(e => { if (!e) return false; e.scrollIntoView({block: 'center'}); e.focus(); if (e.select) e.select(); return document.activeElement === e })(f.field(`+quoted(label)+`))`)
		return err == nil && found
	})
}

// fill types a text into the field that a label names, in place of what is there.
func (b *tab) fill(label, text string) {
	b.t.Helper()
	b.focus(label)
	call(b, input.InsertText, input.InsertTextParams{Text: text})
}

// where returns the middle of what a name is on: a button or a link.
func (b *tab) where(name string) (x, y float64) {
	b.t.Helper()
	var at []float64
	b.until("a button or link "+quoted(name), func() bool {
		var err error
		at, err = eval[[]float64](b, `(e => { if (!e || e.disabled) return null; e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect(), x = r.x + r.width / 2, y = r.y + r.height / 2, hit = document.elementFromPoint(x, y); return hit && (e.contains(hit) || [...e.labels ?? []].some(l => l.contains(hit))) ? [x, y] : null })(f.control(`+quoted(name)+`))`)
		return err == nil && len(at) == 2
	})
	return at[0], at[1]
}

// click presses a button or link with the mouse, and does not wait for what it does.
func (b *tab) click(name string) {
	b.t.Helper()
	x, y := b.where(name)
	b.must(chromedp.MouseClickXY(x, y))
}

// press presses a button or link that leads to another page, and waits for that.
func (b *tab) press(name string) {
	b.t.Helper()
	b.leave(func() { b.click(name) })
}

// leave does what leads to another page, and waits for that.
func (b *tab) leave(act func()) {
	b.t.Helper()
	if _, err := eval[string](b, `(document.documentElement.dataset.left = 'yes')`); err != nil {
		b.t.Fatal(err)
	}
	act()
	b.until("another page", func() bool {
		arrived, err := eval[bool](b, `document.documentElement.dataset.left !== 'yes' && document.readyState === 'complete'`)
		return err == nil && arrived
	})
}

// key presses a key of the keyboard.
func (b *tab) key(keys string) {
	b.t.Helper()
	b.must(chromedp.KeyEvent(keys))
}

// text is what the page shows.
func (b *tab) text() string {
	text, err := eval[string](b, `document.title + '\n' + document.body.innerText`)
	if err != nil {
		return "(no page: " + err.Error() + ")"
	}
	return text
}

// at is the page's address.
func (b *tab) at() string {
	at, err := eval[string](b, `location.href`)
	if err != nil {
		return "(no page: " + err.Error() + ")"
	}
	return at
}

// has reports whether the page shows a text now.
func (b *tab) has(text string) bool { return strings.Contains(b.text(), text) }

// sees waits until the page shows all texts.
func (b *tab) sees(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		b.until("the text "+quoted(text), func() bool { return b.has(text) })
	}
}

// lacks fails where the page shows a text.
func (b *tab) lacks(text string) {
	b.t.Helper()
	if b.has(text) {
		b.t.Fatalf("the page shows %q\n%s", text, b.describe())
	}
}

// until waits for something; a page that is just being left may be looked at again.
func (b *tab) until(what string, is func() bool) {
	b.t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("waited in vain for %s\n%s", what, b.describe())
		}
	}
}

// describe tells where the tab is, for a failure.
func (b *tab) describe() string {
	if b.t.Failed() {
		return ""
	}
	text := "at " + b.at() + "\n" + b.text()
	if folder := os.Getenv("TRINE_TEST_PICTURES"); folder != "" {
		if picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot()); err == nil {
			_ = os.WriteFile(filepath.Join(folder, strings.ReplaceAll(b.t.Name(), "/", "-")+".png"), picture, 0o600)
		}
	}
	return text
}

// back presses the browser's button. A page that was kept comes back as it was left.
func (b *tab) back() {
	b.t.Helper()
	history := call(b, page.GetNavigationHistory, cdp.Empty{})
	if history.CurrentIndex == 0 {
		b.t.Fatal("there is no page to go back to")
	}
	was := b.at()
	call(b, page.NavigateToHistoryEntry, page.NavigateToHistoryEntryParams{EntryID: history.Entries[history.CurrentIndex-1].ID})
	b.until("the page before", func() bool {
		at, err := eval[string](b, `document.readyState === 'complete' ? location.href : ''`)
		return err == nil && at != "" && (at != was || history.Entries[history.CurrentIndex-1].URL == was)
	})
}

// cookies returns the cookies that the browser has for an address, by name.
func (b *tab) cookies(url string) map[string]*network.Cookie {
	b.t.Helper()
	found := make(map[string]*network.Cookie)
	for _, c := range call(b, network.GetCookies, network.GetCookiesParams{URLs: []string{url}}).Cookies {
		found[c.Name] = c
	}
	return found
}
