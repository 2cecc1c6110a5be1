package oidc

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// The plan oidcc-rp-initiated-logout-certification-test-plan.
func TestOIDCCRPInitiatedLogout(t *testing.T) {
	t.Run("oidcc-rp-initiated-logout-discovery-endpoint-verification", func(t *testing.T) {
		discovered(t, map[string]any{"end_session_endpoint": "/logout"})
	})
	login := func(r *rig) (*browser, string) {
		b := r.browser("alice:wonderland")
		return b, r.machine("web", "builder-of-webs").post("/token", "grant_type", "authorization_code", "code", b.code()).text("id_token")
	}
	const bye = "https://app.example.com/bye"
	for _, m := range []struct {
		name     string
		query    func(hint string) url.Values
		redirect string // that follows
		page     string // or else the page
		ends     bool
	}{
		{"oidcc-rp-initiated-logout", func(h string) url.Values {
			return url.Values{"id_token_hint": {h}, "post_logout_redirect_uri": {bye}, "state": {"a b"}}
		}, bye + "?state=a+b", "", true},
		{"oidcc-rp-initiated-logout-no-state", func(h string) url.Values {
			return url.Values{"id_token_hint": {h}, "post_logout_redirect_uri": {bye}}
		}, bye, "", true},
		{"oidcc-rp-initiated-logout-no-post-logout-redirect-uri", func(h string) url.Values { return url.Values{"id_token_hint": {h}, "state": {"s"}} }, "", "logged out", true},
		{"oidcc-rp-initiated-logout-no-params", func(string) url.Values { return url.Values{} }, "", "confirm the logout", false},
		{"oidcc-rp-initiated-logout-only-state", func(string) url.Values { return url.Values{"state": {"s"}} }, "", "confirm the logout", false},
		{"oidcc-rp-initiated-logout-bad-post-logout-redirect-uri", func(h string) url.Values {
			return url.Values{"id_token_hint": {h}, "post_logout_redirect_uri": {bye + "x"}}
		}, "", "error oidc.redirect-invalid", false},
		{"oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri", func(h string) url.Values {
			return url.Values{"id_token_hint": {h}, "post_logout_redirect_uri": {bye + "?x=1"}}
		}, "", "error oidc.redirect-invalid", false},
		{"oidcc-rp-initiated-logout-modified-id-token-hint", func(h string) url.Values {
			return url.Values{"id_token_hint": {h[:len(h)-6] + "AAAAAA"}, "post_logout_redirect_uri": {bye}}
		}, "", "error oidc.hint-invalid", false},
		{"oidcc-rp-initiated-logout-bad-id-token-hint", func(string) url.Values {
			return url.Values{"id_token_hint": {unsigned(map[string]any{"iss": "x", "aud": "web"})}, "post_logout_redirect_uri": {bye}}
		}, "", "error oidc.hint-invalid", false},
		{"oidcc-rp-initiated-logout-no-id-token-hint", func(string) url.Values { return url.Values{"post_logout_redirect_uri": {bye}} }, "", "error oidc.hint-invalid", false},
		{"oidcc-rp-initiated-logout client_id without a hint asks the person", func(string) url.Values {
			return url.Values{"client_id": {"web"}, "post_logout_redirect_uri": {bye}}
		}, "", "confirm the logout", false},
		{"a hint of another client", func(h string) url.Values {
			return url.Values{"id_token_hint": {h}, "client_id": {"test"}, "post_logout_redirect_uri": {bye}}
		}, "", "error oidc.hint-invalid", false},
	} {
		t.Run(m.name, func(t *testing.T) {
			r := newRig(t)
			b, hint := login(r)
			b.login = ""
			a := b.get("/logout", m.query(hint))
			if m.redirect != "" && (a.location == nil || a.location.String() != m.redirect) || m.redirect == "" && (a.location != nil || a.page != m.page) {
				t.Errorf("%d %v %q", a.status, a.location, a.page)
			}
			after := b.authorize("prompt", "none")
			if ended := after.values.Get("error") == "login_required"; ended != m.ends {
				t.Errorf("the session has ended: %v", ended)
			}
		})
	}
	// Item 21: the hint is verified, however old it is, and ends the session alone that it is of.
	t.Run("a hint that has expired", func(t *testing.T) {
		r := newRig(t)
		b, hint := login(r)
		b.login = ""
		for range 4 { // the session is in use
			r.clock.forward(20 * time.Minute)
			b.code("prompt", "none")
		}
		if a := b.get("/logout", url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {bye}}); a.location == nil {
			t.Errorf("%d %q %s", a.status, a.page, a.body)
		}
	})
	t.Run("a hint of another session asks the person", func(t *testing.T) {
		r := newRig(t)
		_, hint := login(r)
		other, _ := login(r)
		other.login = ""
		if a := other.get("/logout", url.Values{"id_token_hint": {hint}}); a.page != "confirm the logout" {
			t.Errorf("%d %q", a.status, a.page)
		}
	})
	t.Run("a logout ends the grants of the session that are not offline", func(t *testing.T) {
		r := newRig(t)
		b, web := r.browser("alice:wonderland"), r.machine("web", "builder-of-webs")
		online := web.post("/token", "grant_type", "authorization_code", "code", b.code())
		offline := web.post("/token", "grant_type", "authorization_code", "code", b.code("scope", "openid offline_access"))
		b.get("/logout", url.Values{"id_token_hint": {online.text("id_token")}})
		if got := web.post("/token", "grant_type", "refresh_token", "refresh_token", online.text("refresh_token")); got.text("error") != "invalid_grant" {
			t.Errorf("online: %s", got.body)
		}
		if got := web.post("/token", "grant_type", "refresh_token", "refresh_token", offline.text("refresh_token")); got.status != http.StatusOK {
			t.Errorf("offline: %s", got.body)
		}
	})
}

// discovered checks what discovery says; texts are paths of the identity provider.
func discovered(t *testing.T, want map[string]any) {
	t.Helper()
	r := newRig(t)
	request, _ := http.NewRequest(http.MethodGet, r.url+"/.well-known/openid-configuration", nil)
	got := r.call(request)
	for name, w := range want {
		if path, ok := w.(string); ok {
			w = r.url + path
		}
		if got.json[name] != w {
			t.Errorf("%s is %v, want %v", name, got.json[name], w)
		}
	}
}

const listeningDocument = `
kind: ServiceProvider
name: listening
spec:
  type: oidc
  oidc:
    clientSecret: builder-of-webs
    flows: {authorizationCode: true}
    responseURLs: ["https://app.example.com/cb"]
    frontChannelLogoutURL: "https://app.example.com/front?a=b"
    backChannelLogoutURL: BACK
`

// The plan oidcc-frontchannel-rp-initiated-logout-certification-test-plan.
func TestOIDCCFrontChannelLogout(t *testing.T) {
	t.Run("oidcc-frontchannel-logout-discovery-endpoint-verification", func(t *testing.T) {
		discovered(t, map[string]any{"end_session_endpoint": "/logout", "frontchannel_logout_supported": true, "frontchannel_logout_session_supported": true})
	})
	t.Run("oidcc-frontchannel-rp-initiated-logout", func(t *testing.T) {
		r := newRig(t, strings.Replace(listeningDocument, "    backChannelLogoutURL: BACK\n", "", 1))
		b := r.browser("alice:wonderland")
		token := r.machine("listening", "builder-of-webs").post("/token", "grant_type", "authorization_code", "code", b.code("client_id", "listening")).text("id_token")
		sid, _ := r.claims(token)["sid"].(string)
		b.get("/logout", url.Values{"id_token_hint": {token}})
		want := "https://app.example.com/front?a=b&" + url.Values{"iss": {r.url}, "sid": {sid}}.Encode()
		if len(r.frames) != 1 || r.frames[0] != want || sid == "" {
			t.Errorf("%v, want %s", r.frames, want)
		}
	})
}

// The plan oidcc-backchannel-rp-initiated-logout-certification-test-plan.
func TestOIDCCBackChannelLogout(t *testing.T) {
	t.Run("oidcc-backchannel-logout-discovery-endpoint-verification", func(t *testing.T) {
		discovered(t, map[string]any{"end_session_endpoint": "/logout", "backchannel_logout_supported": true, "backchannel_logout_session_supported": true})
	})
	t.Run("oidcc-backchannel-rp-initiated-logout", func(t *testing.T) {
		var mu sync.Mutex
		var tokens []string
		receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			tokens = append(tokens, q.FormValue("logout_token"))
		}))
		defer receiver.Close()
		r := newRig(t, strings.Replace(listeningDocument, "BACK", `"`+receiver.URL+`/back"`, 1))
		b := r.browser("alice:wonderland")
		token := r.machine("listening", "builder-of-webs").post("/token", "grant_type", "authorization_code", "code", b.code("client_id", "listening")).text("id_token")
		b.get("/logout", url.Values{"id_token_hint": {token}})
		r.calls.Wait()
		if len(tokens) != 1 {
			t.Fatalf("%d tokens", len(tokens))
		}
		claims, of := r.claims(tokens[0]), r.claims(token)
		events, _ := claims["events"].(map[string]any)
		if _, has := events[logoutEvent]; !has || claims["iss"] != r.url || claims["aud"] != "listening" || claims["sid"] != of["sid"] || claims["sub"] != of["sub"] || claims["jti"] == "" ||
			claims["nonce"] != nil || claims["exp"] == nil {
			t.Errorf("%v", claims)
		}
	})
	t.Run("a receiver that never answers does not hold the person up", func(t *testing.T) {
		silent, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = silent.Close() }()
		r := newRig(t, strings.Replace(listeningDocument, "BACK", `"http://`+silent.Addr().String()+`/back"`, 1))
		b := r.browser("alice:wonderland")
		token := r.machine("listening", "builder-of-webs").post("/token", "grant_type", "authorization_code", "code", b.code("client_id", "listening")).text("id_token")
		if a := b.get("/logout", url.Values{"id_token_hint": {token}}); a.page != "logged out" {
			t.Errorf("%d %q", a.status, a.page)
		}
	})
}

// The plan oidcc-session-management-certification-test-plan.
func TestOIDCCSessionManagement(t *testing.T) {
	r := newRig(t)
	t.Run("oidcc-session-management-discovery-endpoint-verification", func(t *testing.T) {
		request, _ := http.NewRequest(http.MethodGet, r.url+"/.well-known/openid-configuration", nil)
		if got := r.call(request); got.text("check_session_iframe") != r.url+"/check_session" {
			t.Errorf("%s", got.body)
		}
	})
	t.Run("oidcc-session-management-rp-initiated-logout", func(t *testing.T) {
		b := r.browser("alice:wonderland")
		a := b.authorize()
		hash, salt, ok := strings.Cut(a.values.Get("session_state"), ".")
		if !ok {
			t.Fatalf("%v", a.location)
		}
		state := ""
		u, _ := url.Parse(r.url)
		for _, c := range b.client.Jar.Cookies(u) {
			if c.Name == watchCookie {
				state = c.Value
			}
		}
		if hash != sessionHash("web", "https://app.example.com", state, salt) {
			t.Errorf("the session is not what the browser shows of it (%q)", state)
		}
		if state == "" || strings.Contains(state, "alice") {
			t.Errorf("%q", state)
		}
	})
	// What a check of the session compares: the session_state of the client with what the browser keeps.
	kept := func(r *rig, b *browser) string {
		u, _ := url.Parse(r.url)
		for _, c := range b.client.Jar.Cookies(u) {
			if c.Name == watchCookie {
				return c.Value
			}
		}
		return "none"
	}
	unchanged := func(r *rig, b *browser, sessionState string) bool {
		hash, salt, _ := strings.Cut(sessionState, ".")
		return hash == sessionHash("web", "https://app.example.com", kept(r, b), salt)
	}
	t.Run("a logout is a change, and asking whether to log out is none", func(t *testing.T) {
		r := newRig(t)
		b := r.browser("alice:wonderland")
		a := b.authorize()
		state := a.values.Get("session_state")
		hint := r.machine("web", "builder-of-webs").post("/token", "grant_type", "authorization_code", "code", a.values.Get("code")).text("id_token")
		b.login = ""
		if page := b.get("/logout", url.Values{}); page.page != "confirm the logout" || !unchanged(r, b, state) {
			t.Errorf("%q; unchanged: %v", page.page, unchanged(r, b, state))
		}
		b.get("/logout", url.Values{"id_token_hint": {hint}})
		if unchanged(r, b, state) {
			t.Error("after the logout the session is the same")
		}
	})
	t.Run("a session that has ended elsewhere is a change as soon as the browser comes", func(t *testing.T) {
		r := newRig(t)
		b := r.browser("alice:wonderland")
		state := b.authorize().values.Get("session_state")
		b.login = ""
		if again := b.authorize("prompt", "none").values.Get("session_state"); !unchanged(r, b, state) || !unchanged(r, b, again) {
			t.Error("the session is another for having been used")
		}
		if refused := b.authorize("prompt", "none", "claims", "{").values; refused.Get("error") == "" || !unchanged(r, b, state) || !unchanged(r, b, refused.Get("session_state")) {
			t.Errorf("a refusal that has nothing to do with the session changes it: %v", refused)
		}
		for _, s := range r.house.People.SSOOf("alice") {
			if err := r.house.Engine.EndSessions(t.Context(), "alice", []uint64{s.Number}, "admin"); err != nil {
				t.Fatal(err)
			}
		}
		refused := b.authorize("prompt", "none").values
		if refused.Get("error") != "login_required" || unchanged(r, b, state) || !unchanged(r, b, refused.Get("session_state")) || kept(r, b) != "none" {
			t.Errorf("%v, and the browser shows %q", refused, kept(r, b))
		}
		if next := b; true {
			next.login = "bob:builder"
			if a := next.authorize(); unchanged(r, b, state) || !unchanged(r, b, a.values.Get("session_state")) {
				t.Error("another person's session is the same")
			}
		}
	})
	t.Run("the page may be framed, and has no other source than itself", func(t *testing.T) {
		request, _ := http.NewRequest(http.MethodGet, r.url+"/check_session", nil)
		got := r.call(request)
		if csp := got.header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors *") || !strings.Contains(csp, hashOf(watchScript)) || !strings.Contains(csp, "default-src 'none'") {
			t.Errorf("%s", csp)
		}
		if got.header.Get("X-Frame-Options") != "" || !strings.Contains(got.body, watchCookie) {
			t.Errorf("%v %s", got.header, got.body)
		}
	})
}
