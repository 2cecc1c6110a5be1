package web

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"trine/docs/named"
	"trine/engine/credential"
	"trine/engine/event"
	"trine/engine/trace"
)

func TestSessionIDIsRotatedAtLoginAndStepUp(t *testing.T) {
	r := newRig(t, house)
	device := r.enrol("alice")
	b := r.browser()
	planted := strings.Repeat("A", 54)
	b.has(sessionCookie, planted)
	b.signIn("alice", "wonderland")
	first := b.cookie(sessionCookie)
	if first == planted || first == "" {
		t.Fatalf("the session is %q, which somebody else chose", first)
	}
	b.get("/strict/go?sp=bank&id=2").fill("secret", r.code(device)).says("done request 2 alice")
	second := b.cookie(sessionCookie)
	if second == first {
		t.Fatal("the session's id is the one from before the step-up")
	}
	// Who has kept an id from before has nothing.
	for _, old := range []string{planted, first} {
		thief := r.browser()
		thief.has(sessionCookie, old)
		thief.get("/go?sp=shop&id=3").says("User name")
		thief.get("/protected").says("User name")
	}
	b.get("/go?sp=shop&id=4&force=1").fill("secret", "wonderland").says("done request 4 alice")
	if b.cookie(sessionCookie) == second {
		t.Fatal("the session's id is the one from before the login anew")
	}
	// A change of the password is a proof of it.
	third := b.cookie(sessionCookie)
	b.get("/protected/changePassword").fill("current", "wonderland", "new", "looking-glass", "again", "looking-glass").says("Your password was changed")
	if b.cookie(sessionCookie) == third {
		t.Fatal("the session's id is the one from before the change of the password")
	}
}

func TestSessionThatWasPlantedInABrowserEndsWithTheLoginThere(t *testing.T) {
	r := newRig(t, house)
	thief, victim := r.browser().signIn("bob", "builder-bob"), r.browser()
	victim.has(sessionCookie, thief.cookie(sessionCookie))
	victim.get("/go?sp=shop&select=1&id=1").says("bob").fill("do", "other").fill("name", "alice", "secret", "wonderland").says("done request 1 alice")
	if victim.cookie(sessionCookie) == thief.cookie(sessionCookie) {
		t.Fatal("alice goes on in the session of bob")
	}
	thief.get("/go?sp=shop&id=2").says("User name")
}

// stranger is what a form is worth in another browser: nothing, whoever is logged in there and whichever cookies he has kept from before.
func (r *rig) stranger(form string, send func(b *browser) *browser, status int) {
	r.t.Helper()
	for name, b := range map[string]*browser{"without cookies": r.browser(), "of its own": r.browser().get("/go?sp=shop"), "of the same person": r.browser().signIn("alice", "wonderland")} {
		before := b.cookie(sessionCookie)
		send(b)
		if b.status != status && !(before == "" && b.at.Path == protectedPath) || strings.Contains(b.body, "done") || b.cookie(sessionCookie) != before {
			r.t.Errorf("%s in a browser %s: %d %s\n%s", form, name, b.status, b.at, b.body)
		}
	}
}

func TestFormsOfALoginAreGoodInTheirBrowserAlone(t *testing.T) {
	r := newRig(t, house)
	device := r.enrol("alice")
	pages := map[string]func(b *browser) []string{
		"name and password": func(b *browser) []string {
			b.get("/go?sp=shop&id=1")
			return []string{"name", "alice", "secret", "wonderland"}
		},
		"second factor": func(b *browser) []string {
			b.get("/strict/go?sp=bank&id=1").fill("name", "alice", "secret", "wonderland").says("authenticator app")
			return []string{"secret", r.code(device)}
		},
		"choice of an account": func(b *browser) []string {
			b.signIn("alice", "wonderland").get("/go?sp=shop&id=1&select=1").says("Continue as alice")
			return []string{"do", "continue"}
		},
		"consent": func(b *browser) []string {
			b.get("/go?sp=asks&id=1").fill("name", "alice", "secret", "wonderland").says("Nosy asks for")
			return []string{"do", "consent"}
		},
		"logout": func(b *browser) []string {
			b.signIn("alice", "wonderland").get("/bye?confirm=1").says("Sign out?")
			return []string{"do", "logout"}
		},
	}
	for name, page := range pages {
		b := r.browser()
		fields := page(b)
		path, values := b.form(0)
		for i := 0; i < len(fields); i += 2 {
			values.Set(fields[i], fields[i+1])
		}
		r.stranger(name, func(b *browser) *browser { return b.post(path, values) }, 400)
		r.stranger(name+" by its address", func(b *browser) *browser { return b.get("/login?flow=" + url.QueryEscape(values.Get("flow"))) }, 400)
		// Where it was made it is good, whatever others did with it.
		if name != "second factor" { // a code that is wrong for a stranger is still his
			b.post(path, values)
			if want := map[bool]string{true: "You are signed out", false: "done request 1"}[name == "logout"]; !strings.Contains(b.body, want) {
				t.Errorf("%s: %d %s", name, b.status, b.body)
			}
		}
	}
}

func TestFormsOfAPersonsPagesAreGoodInTheirBrowserAndSessionAlone(t *testing.T) {
	r := newRig(t, house)
	b := r.browser().signIn("alice", "wonderland").get("/protected")
	token := b.token()
	b.post("/protected/factors", url.Values{"token": {token}, "do": {"otp"}}).says("Scan this")
	_, enrolment := b.form(0)
	forms := map[string]url.Values{
		"/protected/sessions": {"end": {"others"}}, "/protected/factors": {"do": {"recovery"}}, "/protected/devices": {"id": {"x"}}, "/protected/consents": {"client": {"shop"}},
		"/protected/logout": {}, "/protected/changePassword": {"current": {"wonderland"}, "new": {"looking-glass"}, "again": {"looking-glass"}},
	}
	for path, values := range forms {
		for _, of := range []string{token, "", "AAAA", strings.Repeat("A", 50)} {
			values.Set("token", of)
			if of == token {
				r.stranger(path, func(b *browser) *browser { return b.post(path, values) }, 403)
			} else if b.post(path, values).status != 403 {
				t.Errorf("%s with the token %q: %d", path, of, b.status)
			}
		}
	}
	// What is being enrolled is good for the browser and the person who began.
	other := r.browser().signIn("alice", "wonderland").get("/protected")
	enrolment.Set("token", other.token())
	enrolment.Set("do", "otp-confirm")
	other.post("/protected/factors", enrolment).with(400).says("too old")
	// A session that began anew has other tokens.
	b.get("/bye")
	b.signIn("alice", "wonderland").post("/protected/sessions", url.Values{"token": {token}, "end": {"others"}}).with(403)
}

func TestFormsOfOtherSitesAreRefusedEverywhere(t *testing.T) {
	r := newRig(t, house)
	b := r.browser().signIn("alice", "wonderland").get("/protected")
	token := b.token()
	_, flow := b.get("/go?sp=shop&force=1").form(0)
	flow.Set("secret", "wonderland")
	before := b.cookie(sessionCookie)
	for _, header := range [][]string{
		{"Origin", "https://evil.example.org"},
		{"Origin", "null"},
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Origin", strings.Replace(r.origin, "https", "http", 1)},
		{"Origin", r.origin + ".evil.example.org"},
		{"Origin", r.origin, "Sec-Fetch-Site", "cross-site"},
	} {
		for path, values := range map[string]url.Values{
			"/login": flow, "/login/negotiate": flow, "/login/push": flow, "/login/logout": flow, "/protected/sessions": {"token": {token}, "end": {"others"}},
			"/protected/factors": {"token": {token}, "do": {"recovery"}}, "/protected/devices": {"token": {token}}, "/protected/consents": {"token": {token}}, "/protected/logout": {"token": {token}},
			"/protected/changePassword": {"token": {token}, "current": {"wonderland"}, "new": {"looking-glass"}, "again": {"looking-glass"}},
		} {
			if b.post(path, values, header...); b.status != 403 || b.cookie(sessionCookie) != before {
				t.Errorf("%s with %q: %d", path, header, b.status)
			}
		}
	}
	b.get("/go?sp=shop&id=9").says("done request 9 alice")
}

// watched are the documents of tests that come from many addresses: the front believes what the proxy at 127.0.0.1 says of them.
var watched = strings.NewReplacer("ports: [{port: PORT}]", "ports: [{port: PORT, reverseProxy: {incomingAddresses: [127.0.0.0/8]}}]",
	"minLength: 8", "minLength: 8, lockout: {attempts: 3, total: 7, window: 15m, duration: 10m}").Replace(house)

// at returns a browser somewhere in the network.
func (r *rig) at(address string) *browser {
	b := r.browser()
	b.sends = []string{"X-Forwarded-For", address}
	return b
}

// guess has somebody tried with a wrong password, by a browser that has no cookies of before.
func (r *rig) guess(address, name string) *browser {
	return r.at(address).get("/go?sp=shop").fill("name", name, "secret", "wrong")
}

// reason tries a password of Alice in a browser, and returns what the engine says.
func (r *rig) reason(b *browser, password string) trace.Reason {
	r.t.Helper()
	b.get("/go?sp=shop&force=1").fill("name", "alice", "secret", password)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.steps[len(r.steps)-1].Reason
}

func TestLockIsOfNameAndAddressHoweverManyBrowsersGuess(t *testing.T) {
	r := newRig(t, watched)
	for range 20 { // a new browser each time
		r.guess("192.0.2.66", "alice")
	}
	if got := r.reason(r.at("192.0.2.66"), "wonderland"); got != trace.UserLockedSource {
		t.Errorf("where the guesses came from: %s", got)
	}
	for i := range 20 { // addresses of IPv6 that one client has
		r.guess(fmt.Sprintf("2001:db8:1:2::%x", i+1), "alice")
	}
	if got := r.reason(r.at("2001:db8:1:2:ffff::1"), "wonderland"); got != trace.UserLockedSource {
		t.Errorf("from the same network: %s", got)
	}
	// Six guesses of two sources are below the cap of seven, so that others are not locked out.
	if got := r.reason(r.at("198.51.100.7"), "wonderland"); got != trace.OK {
		t.Errorf("from elsewhere: %s", got)
	}
}

func TestLockEverywhereHasACapAndLeavesOutWhereThePersonIsKnown(t *testing.T) {
	r := newRig(t, watched)
	own := r.at("198.51.100.7").signIn("alice", "wonderland")
	own.get("/bye")
	for i := range 20 {
		r.guess(fmt.Sprint("192.0.2.", i+1), "alice")
	}
	if got := r.reason(r.at("203.0.113.1"), "wonderland"); got != trace.UserLocked {
		t.Errorf("from elsewhere: %s", got)
	}
	if got := r.reason(own, "wonderland"); got != trace.OK {
		t.Errorf("where she has logged in before: %s", got)
	}
	// There she can be guessed at no more than anywhere.
	own.get("/bye")
	for range 3 {
		r.reason(own, "wrong")
	}
	r.house.Engine.Flush()
	r.move(time.Minute)
	if got := r.reason(own, "wonderland"); got != trace.UserLockedSource {
		t.Errorf("after guesses in her own browser: %s", got)
	}
	r.move(10*time.Minute + time.Second)
	if got := r.reason(own, "wonderland"); got != trace.OK {
		t.Errorf("after the lock: %s", got)
	}
}

func TestLocksAndKnownBrowsersHoldAtEveryNode(t *testing.T) {
	r := newRig(t, watched)
	other := r.another()
	own := r.at("198.51.100.7").signIn("alice", "wonderland")
	own.get("/bye")
	for range 3 {
		r.guess("192.0.2.66", "alice")
	}
	r.house.Engine.Flush() // nothing waits for records of failures
	if got := r.reason(r.at("192.0.2.66").to(other), "wonderland"); got != trace.UserLockedSource {
		t.Errorf("at another node, where the guesses came from: %s", got)
	}
	for i := range 4 {
		r.guess(fmt.Sprint("192.0.2.", i+1), "alice")
	}
	r.house.Engine.Flush()
	if got := r.reason(r.at("203.0.113.1").to(other), "wonderland"); got != trace.UserLocked {
		t.Errorf("at another node, from elsewhere: %s", got)
	}
	if got := r.reason(own.to(other), "wonderland"); got != trace.OK {
		t.Errorf("at another node, where she has logged in before: %s", got)
	}
}

func TestCookieOfAKnownBrowserIsGoodThereAndForItsPersonAlone(t *testing.T) {
	r := newRig(t, watched)
	own := r.at("198.51.100.7").signIn("alice", "wonderland")
	for i := range 20 {
		r.guess(fmt.Sprint("192.0.2.", i+1), "alice")
	}
	r.house.Engine.Flush()
	known := own.cookie(knownCookie)
	another := "A" + own.cookie(browserCookie)[1:]
	if another == own.cookie(browserCookie) {
		another = "B" + another[1:]
	}
	for name, cookies := range map[string][2]string{
		"of another browser": {another, known}, "without a browser": {"", known}, "forged": {own.cookie(browserCookie), known[:20] + "AAAA" + known[24:]},
		"of another kind": {own.cookie(browserCookie), own.cookie(userCookie)}, "cut": {own.cookie(browserCookie), known[:40]}, "no text": {own.cookie(browserCookie), "!"},
		"of bob": {own.cookie(browserCookie), r.at("198.51.100.7").signIn("bob", "builder-bob").cookie(knownCookie)},
	} {
		b := r.at("203.0.113.1")
		if cookies[0] != "" {
			b.has(browserCookie, cookies[0])
		}
		b.has(knownCookie, cookies[1])
		if got := r.reason(b, "wonderland"); got != trace.UserLocked {
			t.Errorf("a cookie %s: %s", name, got)
		}
	}
	// It does not tell who has logged in, nor how many.
	own.get("/bye")
	own.signIn("bob", "builder-bob")
	if len(own.cookie(knownCookie)) != len(known) {
		t.Error("the cookie grows")
	}
	own.get("/bye")
	if got := r.reason(own, "wonderland"); got != trace.OK {
		t.Errorf("both of whom have logged in there: %s", got)
	}
}

// slowPassword gives somebody a password of which there is a slow hash alone.
func (r *rig) slowPassword(user, password string) {
	r.t.Helper()
	hash, err := credential.HashArgon2id([]byte(password), credential.DefaultParams())
	if err != nil {
		r.t.Fatal(err)
	}
	var b event.Builder
	if err := b.Add(event.TypePasswordSet, event.ClassIdentity, nil, &event.PasswordSet{User: user, Argon2Id: hash.Append(nil)}); err != nil {
		r.t.Fatal(err)
	}
	if result := r.house.Commit(b.Bytes()); result.Code != 0 {
		r.t.Fatal(result.Detail)
	}
}

// slowHouse keeps passwords as slow hashes alone.
var slowHouse = strings.Replace(house, "keep: [keyed, nt], allowChange: true", "keep: [argon2id]", 1)

// full is a hasher that has no room.
type full struct{}

// Submit implements credential.Hasher.
func (full) Submit(*credential.Job) error { return credential.ErrQueueFull }

// counting counts what a hasher is asked for, and finds nothing right.
type counting struct{ jobs chan *credential.Job }

// Submit implements credential.Hasher.
func (c counting) Submit(j *credential.Job) error {
	c.jobs <- j
	go j.Done.Hashed(j)
	return nil
}

func TestPasswordOfNobodyIsHashedAsThatOfAPerson(t *testing.T) {
	jobs := make(chan *credential.Job, 100)
	r := newRig(t, slowHouse)
	r.hasher = counting{jobs}
	r.slowPassword("alice", "wonderland")
	var forms [2][]int
	for i, name := range []string{"alice", "alicf"} {
		r.browser().get("/go?sp=shop").fill("name", name, "secret", "wrong").says("You could not be signed in")
		for len(jobs) > 0 {
			forms[i] = append(forms[i], len((<-jobs).Form))
		}
	}
	if len(forms[0]) != 1 || fmt.Sprint(forms[0]) != fmt.Sprint(forms[1]) {
		t.Errorf("hashed for a person: %v, for nobody: %v", forms[0], forms[1])
	}
}

func TestFullHashingPoolIsSaidAtOnceAndAlikeForAll(t *testing.T) {
	r := newRig(t, slowHouse)
	r.hasher = full{}
	r.slowPassword("alice", "wonderland")
	for _, name := range []string{"alice", "alicf"} {
		b := r.browser().get("/go?sp=shop").fill("name", name, "secret", "wonderland").with(503).says("Try again in a moment")
		b.get("/go?sp=shop&id=1").says("User name")
	}
	if got := r.browser().get("/fast"); got.status != 200 { // what needs no hash is answered
		t.Fatal(got.status)
	}
}

// TestTableOfWebSecurityNamesTestsThatExist holds docs/web-security.md against the tests of the repository.
func TestTableOfWebSecurityNamesTestsThatExist(t *testing.T) {
	if names, _ := named.Tests(t, "../..", "web-security.md", "protocols/web"); len(names) < 20 {
		t.Errorf("the page names %d tests", len(names))
	}
}
