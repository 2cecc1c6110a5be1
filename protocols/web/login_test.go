package web

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"trine/engine/event"
	"trine/engine/trace"
)

func TestPasswordLogsInAndTheSessionSufficesAfterwards(t *testing.T) {
	r := newRig(t, house)
	b := r.browser().get("/go?sp=shop&id=1").with(200).says("The Shop").says("Sign in")
	for name, want := range map[string]string{
		"Strict-Transport-Security": "max-age=31536000", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "same-origin", "X-Frame-Options": "DENY",
	} {
		if got := b.header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	csp := b.header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "require-trusted-types-for 'script'", "script-src 'self'"} {
		if !strings.Contains(csp, part) {
			t.Errorf("%q lacks %q", csp, part)
		}
	}
	b.fill("name", "alice", "secret", "wonderlost").with(200).says("You could not be signed in").says("Reference:")
	b.fill("name", "nobody", "secret", "wonderlost").says("You could not be signed in")
	b.fill("name", "Alice", "secret", "wonderland").with(200).says("done request 1 alice")
	for _, c := range b.http.Jar.Cookies(b.at) {
		if !strings.HasPrefix(c.Name, "__Host-trine-") {
			t.Errorf("cookie %s", c.Name)
		}
	}
	if b.cookie(sessionCookie) == "" || r.protocol.last(t).Step.Verdict != event.Accept {
		t.Fatal("there is no session")
	}
	b.get("/go?sp=shop&id=2").says("done request 2 alice")
	r.browser().get("/go?sp=shop&id=3").says("Sign in")
}

func TestCookiesAreSafe(t *testing.T) {
	r := newRig(t, house)
	b := r.browser().get("/go?sp=shop&id=1")
	b.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	all := b.header.Values("Set-Cookie")
	all = append(all, b.fill("name", "alice", "secret", "wonderland").header.Values("Set-Cookie")...)
	if len(all) < 3 {
		t.Fatal(all)
	}
	for _, c := range all {
		for _, part := range []string{"__Host-", "Path=/", "Secure", "HttpOnly", "SameSite=Lax"} {
			if !strings.Contains(c, part) {
				t.Errorf("%s lacks %s", c, part)
			}
		}
	}
}

func TestPassiveLoginIsRefusedWithoutAPage(t *testing.T) {
	r := newRig(t, house)
	b := r.browser().get("/go?sp=shop&id=1&passive=1").says("done request 1")
	if o := r.protocol.last(t); o.Refused != LoginRequired || o.Step.Reason != trace.LoginRequired {
		t.Fatalf("%+v", o)
	}
	b.get("/go?sp=shop").fill("name", "alice", "secret", "wonderland")
	if b.get("/go?sp=shop&id=2&passive=1").says("done request 2 alice"); r.protocol.last(t).Refused != RefusedNot {
		t.Fatal(r.protocol.last(t))
	}
	r.enrol("alice")
	b.get("/strict/go?sp=bank&id=3&passive=1").says("done request 3")
	if o := r.protocol.last(t); o.Refused != InteractionRequired {
		t.Fatalf("%+v", o)
	}
}

func TestSecondFactorIsAskedForAndATrustedDeviceStandsForIt(t *testing.T) {
	r := newRig(t, house)
	device := r.enrol("alice")
	b := r.browser().get("/strict/go?sp=bank&id=1").says("The Bank").fill("name", "alice", "secret", "wonderland").says("authenticator app")
	b.fill("secret", "000000").says("could not be signed in")
	b.fill("secret", r.code(device), "trust", "1").says("done request 1 alice")
	if b.cookie(deviceCookie) == "" {
		t.Fatal("the device is not trusted")
	}
	b.get("/protected").says("Trusted devices").says("Remove")
	b.post("/login/logout", url.Values{}) // no flow
	b.get("/bye").says("You are signed out")
	b.get("/strict/go?sp=bank&id=2").fill("name", "alice", "secret", "wonderland").says("done request 2 alice")
}

func TestStepUpAsksForWhatIsMissingAlone(t *testing.T) {
	r := newRig(t, house)
	device := r.enrol("alice")
	b := r.browser().get("/go?sp=shop&id=1").fill("name", "alice", "secret", "wonderland").says("done")
	before := b.cookie(sessionCookie)
	b.get("/strict/go?sp=bank&id=2").says("authenticator app").says("alice")
	b.fill("secret", r.code(device)).says("done request 2 alice")
	if b.cookie(sessionCookie) == before {
		t.Fatal("the session's id was not rotated")
	}
}

func TestFlowIsGoodForItsBrowserAndInTime(t *testing.T) {
	r := newRig(t, house)
	victim, thief := r.browser().get("/go?sp=shop&id=1"), r.browser().get("/go?sp=shop&id=2")
	path, values := victim.form(0)
	values.Set("name", "alice")
	values.Set("secret", "wonderland")
	thief.post(path, values).with(400).says("too old or was used before")
	forged := url.Values{"flow": {values.Get("flow")[:40] + "AAAA" + values.Get("flow")[44:]}, "name": {"alice"}, "secret": {"wonderland"}, "factor": {"Password"}}
	victim.post(path, forged).with(400)
	victim.post("/strict"+path, values).with(400) // of another identity provider
	r.move(flowLife + time.Minute)
	victim.post(path, values).with(400).says("too old")
	if victim.cookie(sessionCookie) != "" {
		t.Fatal("a session")
	}
}

func TestTwoTabsDoNotMeet(t *testing.T) {
	r := newRig(t, house)
	b := r.browser()
	path1, first := b.get("/go?sp=shop&id=one").form(0)
	path2, second := b.get("/go?sp=asks&id=two").form(0)
	for _, v := range []url.Values{first, second} {
		v.Set("name", "alice")
		v.Set("secret", "wonderland")
	}
	b.post(path1, first).says("done request one alice")
	b.post(path2, second).says("Nosy").fill("do", "consent").says("done request two alice")
}

func TestReplayedFormOfASecondFactorIsRefused(t *testing.T) {
	r := newRig(t, house)
	device := r.enrol("alice")
	b := r.browser().get("/strict/go?sp=bank&id=1").fill("name", "alice", "secret", "wonderland")
	path, values := b.form(0)
	values.Set("secret", r.code(device))
	b.post(path, values).says("done request 1")
	b.http.Jar, _ = emptyWith(b, browserCookie)
	b.post(path, values)
	if strings.Contains(b.body, "done") || b.cookie(sessionCookie) != "" {
		t.Fatal(b.body)
	}
}

func TestRequestOfAnotherSiteComesAgainWithItsCookies(t *testing.T) {
	r := newRig(t, house)
	b := r.browser().get("/go?sp=shop").fill("name", "alice", "secret", "wonderland")
	b.post("/go", url.Values{"sp": {"shop"}, "id": {"5"}}, "Origin", "https://shop.example.org", "Sec-Fetch-Site", "cross-site").says("done request 5 alice")
	if b.at.Path != loginPath {
		t.Fatal(b.at)
	}
	// A form of the login itself is taken from its own pages alone.
	path, values := r.browser().get("/go?sp=shop").form(0)
	b.post(path, values, "Origin", "https://evil.example.org", "Sec-Fetch-Site", "cross-site").with(403)
}

func TestWhatIsTooLongTwiceOrNoFormIsRefused(t *testing.T) {
	r := newRig(t, house)
	b := r.browser().get("/go?sp=shop&long=1").with(414)
	b.get("/go?sp=shop&id=1")
	path, values := b.form(0)
	values.Set("secret", strings.Repeat("x", 2000))
	b.post(path, values).with(400)
	values["secret"] = []string{"a", "b"}
	b.post(path, values).with(400)
	values["secret"] = []string{strings.Repeat("x", 2<<20)}
	b.post(path, values).with(413)
	b.post(path, url.Values{}, "Content-Type", "text/plain").with(415)
	q, _ := http.NewRequestWithContext(t.Context(), http.MethodDelete, r.origin+path, nil)
	b.do(q).with(405)
	b.get(path).with(200).says("nothing to go on with")
}

func TestCancelTellsTheServiceProvider(t *testing.T) {
	r := newRig(t, house)
	r.browser().get("/go?sp=shop&id=1").fill("do", "cancel").says("done request 1")
	if o := r.protocol.last(t); o.Refused != AccessDenied {
		t.Fatalf("%+v", o)
	}
}

func TestAccountIsChosen(t *testing.T) {
	r := newRig(t, house)
	b := r.browser().get("/go?sp=shop").fill("name", "alice", "secret", "wonderland")
	b.get("/go?sp=shop&id=1&select=1").says("Continue as alice").fill("do", "continue").says("done request 1 alice")
	b.get("/go?sp=shop&id=2&select=1").fill("do", "other").says("User name").fill("name", "bob", "secret", "builder-bob").says("done request 2 bob")
	b.get("/go?sp=shop&id=3").says("done request 3 bob")
}

func TestForcedLoginAsksAgain(t *testing.T) {
	r := newRig(t, house)
	b := r.browser().get("/go?sp=shop").fill("name", "alice", "secret", "wonderland")
	b.get("/go?sp=shop&id=1&force=1").says("Password").says("alice").fill("secret", "wonderland").says("done request 1 alice")
}

func TestConsentIsAskedForAndCanBeDenied(t *testing.T) {
	r := newRig(t, house)
	b := r.browser().get("/go?sp=asks&id=1").fill("name", "alice", "secret", "wonderland").says("Nosy asks for")
	b.fill("do", "deny").says("done request 1")
	if o := r.protocol.last(t); o.Refused != AccessDenied {
		t.Fatalf("%+v", o)
	}
	b.get("/go?sp=asks&id=2").says("Nosy asks for").fill("do", "consent").says("done request 2 alice")
	if o := r.protocol.last(t); o.Refused != RefusedNot {
		t.Fatalf("%+v", o)
	}
	b.get("/go?sp=asks&id=3&passive=1").says("done request 3 alice")
	b.get("/protected").says("Nosy")
	token := regexp.MustCompile(`name="token" value="([^"]*)"`).FindStringSubmatch(b.body)[1]
	b.post("/protected/consents", url.Values{"token": {token[:10] + "AAAA" + token[14:]}, "client": {"asks"}}).with(403)
	b.post("/protected/consents", url.Values{"token": {token}, "client": {"asks"}}).says("It was taken back")
	b.get("/go?sp=asks&id=4&passive=1")
	if o := r.protocol.last(t); o.Refused != ConsentRequired {
		t.Fatalf("%+v", o)
	}
}

func TestEveryLanguageHasEveryText(t *testing.T) {
	p, err := newPages()
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range p.texts[1:] {
		for key := range p.texts[0].words {
			if other.words[key] == "" {
				t.Errorf("%s lacks %s", other.locale, key)
			}
		}
		if len(other.words) != len(p.texts[0].words) {
			t.Errorf("%s has %d texts, and %s %d", other.locale, len(other.words), p.texts[0].locale, len(p.texts[0].words))
		}
	}
}

func TestSessionsElsewhereAreEndedAndServiceProvidersTold(t *testing.T) {
	r := newRig(t, house)
	told := make(chan struct{}, 4)
	r.protocol.call = func(context.Context) error { told <- struct{}{}; return nil }
	here, there := r.browser(), r.browser()
	for _, b := range []*browser{here, there} {
		b.get("/go?sp=shop").fill("name", "alice", "secret", "wonderland").says("done")
	}
	here.get("/protected").says("Another browser")
	token := regexp.MustCompile(`name="token" value="([^"]*)"`).FindStringSubmatch(here.body)[1]
	here.post("/protected/sessions", url.Values{"token": {token}, "end": {"others"}}).says("The sign-ins were ended")
	<-told
	there.get("/go?sp=shop").says("Sign in")
	here.get("/go?sp=shop").says("done")
}

func TestReturnAddressIsOwnOrRegistered(t *testing.T) {
	r := newRig(t, house)
	b := r.browser()
	b.get("/protected").fill("name", "alice", "secret", "wonderland").says("Your account")
	for _, to := range []string{"https://evil.example.org/", "//evil.example.org", `/\evil.example.org`, "javascript:alert(1)", "https://localhost@evil.example.org/"} {
		b.get("/protected/changePassword?return=" + url.QueryEscape(to)).with(400)
	}
	b.get("/protected/changePassword?return=" + url.QueryEscape("https://shop.example.org/back")).with(200)
	b.get("/protected/changePassword?return=/fast").fill("current", "wrong-one", "new", "looking-glass", "again", "looking-glass").with(422)
	b.get("/protected/changePassword?return=/fast").fill("current", "wonderland", "new", "looking-glass", "again", "looking-glas").says("not the same")
}

func TestPagesAreInTheLanguageThatIsAskedFor(t *testing.T) {
	r := newRig(t, house)
	r.browser().get("/go?sp=shop&locale=es-MX").says("Iniciar sesión").says(`lang="es"`)
	r.browser().get("/go?sp=shop&locale=xx").says("Sign in")
	b := r.browser()
	q, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, r.origin+"/go?sp=shop", nil)
	q.Header.Set("Accept-Language", "es-ES,es;q=0.9,en;q=0.5")
	b.do(q).says("Contraseña")
}

func TestLastUserIsFilledIn(t *testing.T) {
	r := newRig(t, house)
	b := r.browser().get("/go?sp=shop").fill("name", "alice", "secret", "wonderland")
	b.get("/bye").get("/go?sp=shop").says(`value="alice"`)
}
