package web

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

func TestHostsAndPathsAreTakenAsTheyAre(t *testing.T) {
	r := newRig(t, house)
	ask := func(line, host string) (int, string) {
		return r.raw("127.0.0.1", true, "", line+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
	}
	for host, want := range map[string]int{
		"localhost": 200, "LOCALHOST": 200, "localhost.": 200, "localhost:99": 200, "evil.example.org": 404, "localhost.evil.example.org": 404, "localhost@evil.example.org": 404, "": 404, "localhost/": 404, "local host": 400,
		"localhost\r\nHost: evil.example.org": 400, "[::1]": 404, "localhost:443:443": 404,
	} {
		if status, body := ask("GET /fast", host); status != want && !(want == 404 && status == 400) {
			t.Errorf("Host %q: %d %s", host, status, body)
		}
	}
	if status, _ := ask("GET https://evil.example.org/fast", "localhost"); status != 404 { // the address of the request counts (RFC 9112 section 3.2.2)
		t.Errorf("a request for another host: %d", status)
	}
	for _, path := range []string{
		"//evil.example.org/%2e%2e", "/strict/../protected/..", "/strict/%2e%2e/fast", "/strict%2fgo", "/strict//fast", "//strict/fast", "/%2ffast", "/fast/", "/fast%00", "/fast%0d%0aX:1", "/login/static/../../fast", "/login/static/%2e%2e/page.css",
		"/login/static/..%2f..%2fetc/passwd", "/login/static/", "/login/static/page.css", "/protected%2fsessions", "/PROTECTED", "/login/;x", "/./fast", "/strict;/fast", "\\fast",
	} {
		status, body := ask("GET "+path, "localhost")
		if status != 404 && status != 400 || strings.Contains(body, "127.0.0.1") || strings.Contains(body, "root:") {
			t.Errorf("%s: %d %.200s", path, status, body)
		}
	}
}

func TestOversizedRequestsAreRefused(t *testing.T) {
	r := newRig(t, house)
	for name, x := range map[string]struct {
		request string
		status  int
	}{
		"header": {asks("/fast", "X-Long", strings.Repeat("x", 100<<10)), 431}, "address": {asks("/fast?" + strings.Repeat("x", 100<<10)), 431},
		"many headers": {asks("/fast", strings.Split(strings.Repeat("X-A: b|", 20_000), "|")[:2]...), 200},
		"cookies":      {asks("/go?sp=shop", "Cookie", strings.Repeat("a=b; ", 10_000)), 200},
	} {
		if status, _ := r.raw("127.0.0.1", true, "", x.request); status != x.status && !(status == 0 && x.status == 431) {
			t.Errorf("%s: %d", name, status)
		}
	}
	b := r.browser().get("/go?sp=shop")
	path, form := b.form(0)
	for name, values := range map[string]url.Values{
		"a flow": {"flow": {strings.Repeat("A", maxFlow+1)}}, "a name": {"flow": form["flow"], "name": {strings.Repeat("n", 2000)}}, "an assertion": {"flow": form["flow"], "factor": {"FIDO"}, "assertion": {strings.Repeat("{", 33<<10)}},
		"the name of a field": {"flow": form["flow"], strings.Repeat("f", 65): {"x"}}, "a field twice": {"flow": {form.Get("flow"), form.Get("flow")}},
	} {
		if b.post(path, values); b.status != 400 {
			t.Errorf("%s: %d", name, b.status)
		}
	}
	b.get("/go?sp=shop&id=1").fill("name", "alice", "secret", "wonderland").says("done request 1 alice")
}

func TestMethodsThatNobodyNeedsAreRefused(t *testing.T) {
	r := newRig(t, house)
	b := r.browser().signIn("alice", "wonderland")
	before := b.cookie(sessionCookie)
	for _, method := range []string{"PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "BREW"} {
		for _, path := range []string{"/login", "/login/push", "/protected", "/protected/sessions"} {
			q, err := http.NewRequestWithContext(t.Context(), method, r.origin+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			b.do(q)
			if b.status == 200 && b.at.Path == path || b.cookie(sessionCookie) != before || b.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s %s: %d", method, path, b.status)
			}
		}
	}
	// Nothing is changed by a GET.
	for _, path := range []string{"/login?do=cancel", "/login/logout?do=logout", "/protected/logout", "/protected/sessions?end=others", "/protected/factors?do=recovery", "/protected/consents?client=shop", "/protected/devices?id=x"} {
		b.get(path)
	}
	b.get("/go?sp=shop&id=8").says("done request 8 alice")
}

func TestForgedCookiesAreWorthNothing(t *testing.T) {
	r := newRig(t, house)
	device := r.enrol("alice")
	own := r.browser().get("/strict/go?sp=bank&id=1").fill("name", "alice", "secret", "wonderland").fill("secret", r.code(device), "trust", "1").says("done request 1 alice")
	forge := func(text string) []string {
		return []string{"", "x", text[:len(text)-4], text + "AAAA", "AAAA" + text[4:], text[:10] + "BBBB" + text[14:], strings.Repeat("A", len(text)), strings.Repeat("A", 3000), "%00", "../../etc/passwd"}
	}
	for _, name := range []string{sessionCookie, deviceCookie, userCookie, browserCookie, knownCookie} {
		value := own.cookie(name)
		if value == "" {
			t.Fatalf("there is no cookie %s", name)
		}
		for _, forged := range forge(value) {
			if forged == value { // it begins with zeros
				continue
			}
			b := r.browser()
			b.has(name, forged)
			if b.get("/go?sp=shop&id=2"); b.status != 200 || strings.Contains(b.body, "done request") || strings.Contains(b.body, `value="alice"`) {
				t.Errorf("%s=%.40s: %d %s", name, forged, b.status, b.body)
			}
		}
	}
	for _, forged := range forge(own.cookie(deviceCookie)) { // and no second factor stands
		b := r.browser()
		b.has(deviceCookie, forged)
		if b.get("/strict/go?sp=bank&id=3").fill("name", "alice", "secret", "wonderland"); strings.Contains(b.body, "done request") {
			t.Errorf("the device %.40s stands for the second factor", forged)
		}
	}
	// A cookie of one kind is none of another.
	for _, as := range []string{sessionCookie, deviceCookie, userCookie} {
		for _, of := range []string{sessionCookie, deviceCookie, userCookie, browserCookie, knownCookie} {
			b := r.browser()
			if b.has(as, own.cookie(of)); as != of && strings.Contains(b.get("/go?sp=shop&id=4").body, "done request") {
				t.Errorf("%s as %s logs in", of, as)
			}
		}
	}
}

func TestOpenRedirectsAreRefused(t *testing.T) {
	r := newRig(t, house)
	b := r.browser().signIn("alice", "wonderland")
	for _, to := range []string{
		"https://evil.example.org", "//evil.example.org", "///evil.example.org", `/\evil.example.org`, `\\evil.example.org`, "/\t/evil.example.org", "\t//evil.example.org", " //evil.example.org", "https:evil.example.org", "https:///evil.example.org",
		"http://localhost/", r.origin + "@evil.example.org/", r.origin + ".evil.example.org/", "https://localhost:1/", "https://x:y@" + strings.TrimPrefix(r.origin, "https://") + "/", "javascript:alert(1)", "data:text/html,x", "JaVaScRiPt:alert(1)",
		"https://shop.example.org/back/../evil", "https://shop.example.org/back?x", "https://shop.example.org.evil/back", "/\r\nSet-Cookie: a=b", "/%0d%0aSet-Cookie:a=b\x00", "protected", "?x", "#x", "/x\\@evil.example.org", "https://evil.example.org#" + r.origin,
	} {
		if b.get("/protected/changePassword?return=" + url.QueryEscape(to)); b.status != 400 {
			t.Errorf("%q: %d", to, b.status)
		}
	}
	for _, to := range []string{"/fast", r.origin + "/fast", "https://shop.example.org/back"} {
		b.get("/protected/changePassword?return=" + url.QueryEscape(to)).with(200)
	}
}

func TestStreamsOfAConnectionAreBounded(t *testing.T) {
	r := newRig(t, house)
	c, err := tls.Dial("tcp", r.front.Addrs()[0].String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, ServerName: "localhost"}) //nolint:gosec // a test
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(c, c)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		settings, ok := frame.(*http2.SettingsFrame)
		if !ok || settings.IsAck() {
			continue
		}
		if n, ok := settings.Value(http2.SettingMaxConcurrentStreams); !ok || n != maxStreams {
			t.Errorf("%d streams at a time", n)
		}
		if n, ok := settings.Value(http2.SettingMaxHeaderListSize); !ok || n > 2*64<<10 {
			t.Errorf("headers of %d bytes", n)
		}
		return
	}
}
