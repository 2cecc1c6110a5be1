package browser

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"

	"trine/appliance/demo"
	"trine/engine/login"
)

// TestOnePasswordForTwoPartiesAndOneLogout signs in at two relying parties with one password. The logout at the first tells the second, by the front channel and by
// the back channel.
func TestOnePasswordForTwoPartiesAndOneLogout(t *testing.T) {
	t.Parallel()
	s := shared(t)
	for _, channel := range []struct{ name, field, path, news string }{
		{"front", "frontChannelLogoutURL", "/frontchannel-logout", "front-channel logout"},
		{"back", "backChannelLogoutURL", "/backchannel-logout", "back-channel logout"},
	} {
		t.Run(channel.name, func(t *testing.T) {
			s := *s
			s.t = t
			user := channel.name + "ina"
			s.apply(person(user, ""))
			first := s.demo(channel.name+"-first", "", "")
			l := listen(t)
			s.apply(demonstration(channel.name+"-second", "", "http://"+l.Addr().String(), "    "+channel.field+": http://"+l.Addr().String()+channel.path+"\n"))
			second := s.party(l, channel.name+"-second", nil)
			b := open(t)
			b.signIn(first, user)
			b.begin(second)
			b.arrives(second, user)
			b.visit(first.url)
			b.press("Sign out everywhere")
			b.sees("Not signed in")
			b.visit(second.url)
			b.until("the second party's logout", func() bool {
				if b.has("Not signed in") {
					return true
				}
				b.visit(second.url)
				return false
			})
			b.sees(channel.news)
			b.press("Sign in")
			b.sees(titleLogin)
		})
	}
}

// TestStepUpAsksForTheMissingFactorAlone: where a relying party asks for more than the session has, the person proves that and nothing else.
func TestStepUpAsksForTheMissingFactorAlone(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(person("stella", ""))
	p := s.demo("demo-step", "step", "")
	code := s.device("stella")
	b := open(t)
	b.signIn(p, "stella")
	before := b.cookies(s.issuer)
	b.click("Ask for more")
	b.fill("Authentication class", login.ClassTimeSync)
	b.press("Sign in again")
	b.sees(labelCode)
	b.lacks(labelPassword + "\n")
	b.looks("step-up")
	b.fill(labelCode, code())
	b.press(buttonGoOn)
	b.arrives(p, "stella")
	b.sees(login.ClassTimeSync)
	after, changed := b.cookies(s.issuer), false
	for name, c := range before {
		if strings.Contains(name, "sso") {
			changed = after[name] != nil && after[name].Value != c.Value
		}
	}
	if !changed {
		t.Error("the session goes on under the id that it had before the step-up")
	}
}

func TestAsksForConsent(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(person("connie", ""))
	l := listen(t)
	text := demonstration("consenting", "", "http://"+l.Addr().String(), "")
	s.apply(strings.Replace(text, "  type: oidc\n", "  type: oidc\n  consent: true\n", 1))
	p := s.party(l, "consenting", func(o *demo.Options) { o.Scopes = []string{"profile", "email"} })
	b := open(t)
	b.begin(p)
	b.prove("connie", secretOf)
	b.sees("Application consenting")
	b.looks("consent")
	b.press(buttonDeny)
	b.sees("access_denied")
	b.begin(p)
	b.press(buttonAllow)
	b.arrives(p, "connie")
	// It is asked for once.
	b.press("Sign out here only")
	b.press("Sign in")
	b.arrives(p, "connie")
	// And can be taken back.
	b.visit(s.issuer + "/protected")
	b.sees("Application consenting")
	b.looks("account-consents")
	b.press("Take back Application consenting")
	b.sees("It was taken back.", "You have agreed to nothing.")
	b.visit(p.url)
	b.press("Sign out here only")
	b.press("Sign in")
	b.sees("asks for what is listed here")
}

func TestChangesThePassword(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(person("chang", "  userType: changing\n"))
	b := open(t)
	b.visit(s.issuer + "/protected/changePassword")
	b.prove("chang", secretOf)
	b.sees(labelNew)
	b.looks("change-password")
	change := func(present, next, again string) {
		t.Helper()
		b.fill(labelPresent, present)
		b.fill(labelNew, next)
		b.fill(labelAgain, again)
		b.press("Change password")
	}
	change("wrong", "a-better-password", "a-better-password")
	b.sees("The present password is wrong.")
	change(secretOf, "a-better-password", "another-password")
	b.sees("The two new passwords are not the same.")
	change(secretOf, "short", "short")
	b.sees("The new password will not do.")
	b.looks("change-password-refused")
	change(secretOf, "a-better-password", "a-better-password")
	b.sees("Your password was changed.")
	other := open(t)
	p := s.demo("changed", "", "")
	other.begin(p)
	other.prove("chang", secretOf)
	other.sees(refused)
	other.prove("chang", "a-better-password")
	other.arrives(p, "chang")
}

// TestAsksForANewPasswordAtTheLogin: where the password has to be changed, the login goes on once it is.
func TestAsksForANewPasswordAtTheLogin(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(person("nelly", "  userType: changing\n  passwordMustChange: true\n"))
	p := s.demo("outdated", "", "")
	b := open(t)
	b.begin(p)
	b.prove("nelly", secretOf)
	b.sees("Choose a new password")
	b.looks("new-password")
	b.fill(labelNew, "a-better-password")
	b.fill(labelAgain, "another-password")
	b.press(buttonGoOn)
	b.sees("The two new passwords are not the same.")
	b.fill(labelNew, "a-better-password")
	b.fill(labelAgain, "a-better-password")
	b.press(buttonGoOn)
	b.arrives(p, "nelly")
}

// TestEndsOtherSessions: at /protected a person sees where else he is signed in, and ends that.
func TestEndsOtherSessions(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(person("sessa", ""))
	p := s.demo("sessions", "", "")
	one, two := open(t), open(t)
	for _, b := range []*tab{one, two} {
		b.signIn(p, "sessa")
	}
	one.visit(s.issuer + "/protected")
	one.sees("Another browser")
	one.looks("account-sessions")
	one.press("Sign out everywhere else")
	one.sees("The sign-ins were ended.")
	two.press("Sign out here only")
	two.press("Sign in")
	two.sees(titleLogin)
	two.lacks("Signed in as")
}

// TestChoosesAnAccount: where a relying party asks for a choice of accounts, the person goes on as himself or as somebody else.
func TestChoosesAnAccount(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(person("selma", ""), person("selina", ""))
	p := s.demo("selecting", "", "")
	b := open(t)
	b.signIn(p, "selma")
	choose := func() {
		t.Helper()
		b.click("Ask for more")
		if _, err := eval[bool](b, `(document.querySelector('select[name=prompt]').value = 'select_account', true)`); err != nil {
			t.Fatal(err)
		}
		b.press("Sign in again")
		b.sees("Choose an account")
	}
	choose()
	b.looks("select-account")
	b.press("Continue as selma")
	b.arrives(p, "selma")
	choose()
	b.press("Use another account")
	b.prove("selina", secretOf)
	b.arrives(p, "selina")
}

// TestAsksBeforeALogoutThatAnybodyCouldHaveAskedFor: without a hint of who asks, the person is asked first.
func TestAsksBeforeALogoutThatAnybodyCouldHaveAskedFor(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(person("lola", ""))
	p := s.demo("asking", "", "")
	b := open(t)
	b.signIn(p, "lola")
	b.visit(s.issuer + "/logout")
	b.sees("Sign out?", "lola")
	b.looks("logout")
	b.press("Stay signed in")
	b.visit(s.issuer + "/logout")
	b.press("Sign out")
	b.sees("You are signed out.")
	b.looks("logged-out")
}

// TestSpeaksTheLanguageOfTheBrowser, and wears what the identity provider says.
func TestSpeaksTheLanguageOfTheBrowser(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(person("luz", ""), `
kind: IdentityProvider
name: dressed
spec:
  type: local
  parent: local
  name: Bergbau
  publicID: https://trine.example.com/dressed
  pathPrefix: /dressed
  lookAndFeel:
    css: ":root { --accent: #7a3e00; } @media (prefers-color-scheme: dark) { :root { --accent: #ffb870; } }"
    header: "<p class=\"brand\">Bergbau AG</p>"
    footer: "<p>Bergbau AG, <a href=\"https://bergbau.example/imprint\">Impressum</a></p>"
  profiles: {openid: {enabled: true}}
`)
	p := s.demo("demo-dressed", "dressed", "")
	b := open(t)
	call(b, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": "es-AR, es;q=0.9, en;q=0.5"}})
	b.begin(p)
	b.sees("Bergbau AG", "Impressum")
	if lang, err := eval[string](b, `document.documentElement.lang`); err != nil || lang != "es" {
		t.Errorf("the page is in %q, %v", lang, err)
	}
	b.looks("login-es")
}
