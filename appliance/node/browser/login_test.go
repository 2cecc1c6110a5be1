package browser

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"trine/appliance/demo"
)

// What the pages call things, in English.
const (
	titleLogin    = "to go on to" // above every page of a login for an application
	labelUser     = "User name"
	labelPassword = "Password"
	labelCode     = "Code"
	labelPresent  = "Present password"
	labelNew      = "New password"
	labelAgain    = "New password again"
	buttonGoOn    = "Continue"
	buttonSend    = "Send"
	buttonAllow   = "Allow"
	buttonDeny    = "Do not allow"
	refused       = "You could not be signed in."
)

// demo starts the demo as the only client of this test.
func (s *site) demo(name, issuer string, more string) *party {
	s.t.Helper()
	l := listen(s.t)
	s.apply(demonstration(name, issuer, "http://"+l.Addr().String(), more))
	return s.party(l, name, func(o *demo.Options) {
		if issuer != "" {
			o.Issuer += "/" + issuer
		}
	})
}

// begin opens the demo and goes to the login page.
func (b *tab) begin(p *party) {
	b.t.Helper()
	b.visit(p.url)
	b.sees("Not signed in")
	b.press("Sign in")
}

// prove types name and password and sends them.
func (b *tab) prove(user, password string) {
	b.t.Helper()
	b.fill(labelUser, user)
	b.fill(labelPassword, password)
	b.press(buttonGoOn)
}

// arrives waits until the demo shows who has signed in.
func (b *tab) arrives(p *party, user string) {
	b.t.Helper()
	b.until("the way back to "+p.url, func() bool { return strings.HasPrefix(b.at(), p.url) })
	b.sees("Signed in as " + user)
}

// signIn opens the demo and signs a person in there by his password.
func (b *tab) signIn(p *party, user string) {
	b.t.Helper()
	b.begin(p)
	b.prove(user, secretOf)
	b.arrives(p, user)
}

func TestSignsInWithAPasswordAndOut(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(person("paula", ""))
	p := s.demo("password", "", "")
	b := open(t)
	b.visit(p.url)
	b.looks("demo-before")
	b.press("Sign in")
	b.sees(titleLogin)
	b.looks("login")
	b.prove("paula", "looking-glass")
	b.sees(refused)
	b.lacks("Signed in as")
	b.looks("login-wrong")
	b.prove("paula", secretOf)
	b.arrives(p, "paula")
	b.sees("Paula", "paula@example.com", "sid", "auth_time")
	b.looks("demo")
	for name, c := range b.cookies(s.issuer) {
		if strings.HasSuffix(name, "-watch") { // for the frame of session management, which the cookie must reach
			continue
		}
		if !c.Secure || !c.HTTPOnly || c.SameSite != "Lax" || !strings.HasPrefix(name, "__Host-") || c.Path != "/" {
			t.Errorf("the cookie %s is %+v", name, c)
		}
	}
	// Single sign-on: signed out at the demo only, no password is asked for again.
	b.press("Sign out here only")
	b.sees("Not signed in")
	b.press("Sign in")
	b.arrives(p, "paula")
	b.press("Sign out everywhere")
	b.sees("Not signed in", "Back from the provider")
	b.press("Sign in")
	b.sees(titleLogin)
	b.lacks("Signed in as")
}

func TestLocksOutWhoGuesses(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(person("gwen", "  userType: guessed\n"))
	p := s.demo("guesses", "", "")
	b := open(t)
	b.begin(p)
	for range 3 {
		b.prove("gwen", "guess")
	}
	b.prove("gwen", secretOf)
	b.sees(refused)
	b.lacks("Signed in as")
	b.looks("login-locked")
}

func TestWorksWithoutScript(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(person("nora", ""))
	p := s.demo("scriptless", "", "")
	b := open(t)
	b.script(false)
	b.begin(p)
	b.prove("nora", "wrong")
	b.sees(refused)
	b.prove("nora", secretOf)
	b.arrives(p, "nora")
	b.press("Sign out everywhere")
	b.sees("Not signed in")
}

func TestWorksByKeyboardAlone(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(person("kira", ""))
	p := s.demo("keyboard", "", "")
	b := open(t)
	b.visit(p.url)
	// To what the tab key leads to, in order, with what is focused in sight.
	to := func(what string) {
		t.Helper()
		for range 30 {
			b.key(kb.Tab)
			name, err := eval[string](b, `(e => { const s = getComputedStyle(e), r = e.getBoundingClientRect(); const seen = s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0 || s.boxShadow !== 'none'; return (seen && r.bottom > 0 && r.top < innerHeight ? '' : 'unseen: ') + f.name(e) })(document.activeElement)`)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(strings.TrimPrefix(name, "unseen: "), what) {
				if strings.HasPrefix(name, "unseen: ") {
					t.Errorf("nothing shows that %q has the focus", what)
				}
				return
			}
		}
		t.Fatalf("the tab key does not lead to %q\n%s", what, b.describe())
	}
	to("Sign in")
	b.leave(func() { b.key(kb.Enter) })
	name, err := eval[string](b, `f.name(document.activeElement)`)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(name, labelUser) {
		to(labelUser)
	}
	b.key("kira")
	to(labelPassword)
	b.key(secretOf)
	b.leave(func() { b.key(kb.Enter) })
	b.arrives(p, "kira")
}

func TestTwoTabsDoNotMeet(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(person("tess", ""))
	p, q := s.demo("tab-one", "", ""), s.demo("tab-two", "", "")
	one := open(t)
	two := one.another()
	one.begin(p)
	two.begin(q)
	one.prove("tess", secretOf)
	one.arrives(p, "tess")
	two.prove("tess", secretOf)
	two.arrives(q, "tess")
	one.visit(p.url)
	one.arrives(p, "tess")
}

func TestBackButtonDoesNoHarm(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(person("bess", ""))
	p := s.demo("backwards", "", "")
	b := open(t)
	b.begin(p)
	b.prove("bess", "wrong")
	b.sees(refused)
	b.back()
	b.prove("bess", secretOf)
	b.arrives(p, "bess")
	b.back()
	if b.has(titleLogin) { // the page of the login, which is over
		b.prove("bess", secretOf)
	}
	b.lacks("Something went wrong")
	b.visit(p.url)
	b.sees("bess")
}

// TestPageOfAnotherBrowserIsWorthNothing: what a page holds is bound to the browser that it was made for.
func TestPageOfAnotherBrowserIsWorthNothing(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(person("otto", ""))
	p := s.demo("stolen", "", "")
	b, thief := open(t), open(t)
	b.begin(p)
	flow, err := eval[string](b, `document.querySelector('input[name=flow]').value`)
	if err != nil {
		t.Fatal(err)
	}
	thief.begin(p)
	for name, value := range map[string]string{"of another browser": flow, "changed": flow[:len(flow)-4] + "AAAA", "nothing": ""} {
		if _, err := eval[bool](thief, `(document.querySelector('input[name=flow]').value = `+quoted(value)+`, true)`); err != nil {
			t.Fatal(err)
		}
		thief.prove("otto", secretOf)
		thief.sees("This page is too old or was used before.")
		if name == "of another browser" {
			thief.looks("expired")
		}
		thief.begin(p)
	}
	b.prove("otto", secretOf)
	b.arrives(p, "otto")
}

func TestErrorsArePagesThatPeopleUnderstand(t *testing.T) {
	t.Parallel()
	s := shared(t)
	p := s.demo("errors", "", "")
	b := open(t)
	for name, query := range map[string]string{
		"error-client":   "client_id=nobody&response_type=code&scope=openid&redirect_uri=http://127.0.0.1/callback",
		"error-redirect": "client_id=errors&response_type=code&scope=openid&redirect_uri=https://evil.example/callback",
	} {
		b.visit(s.issuer + "/authorization?" + query)
		if at := b.at(); !strings.HasPrefix(at, s.issuer) {
			t.Errorf("%s: sent to %s", name, at)
		}
		b.looks(name)
	}
	_ = p
}
