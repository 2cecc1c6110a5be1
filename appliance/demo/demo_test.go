package demo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc/oidctest"
)

// stub is a provider that says what a test wants it to. The real one is tested with this relying party elsewhere.
type stub struct {
	t   *testing.T
	key *ecdsa.PrivateKey
	srv *httptest.Server

	mu        sync.Mutex
	nonce     string
	challenge string
	jwt       bool                        // access tokens are JWTs
	twist     func(claims map[string]any) // of the ID token
	subject   string                      // of userinfo
	requests  []url.Values                // to the authorization endpoint
	ended     url.Values                  // what the end of the session was asked with
}

func newStub(t *testing.T) *stub {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &stub{t: t, key: key, subject: "alice"}
	keys := &oidctest.Server{PublicKeys: []oidctest.PublicKey{{PublicKey: key.Public(), KeyID: "one", Algorithm: "ES256"}}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		s.write(w, map[string]any{
			"issuer": s.srv.URL, "authorization_endpoint": s.srv.URL + "/authorization", "token_endpoint": s.srv.URL + "/token", "jwks_uri": s.srv.URL + "/keys",
			"userinfo_endpoint": s.srv.URL + "/userinfo", "introspection_endpoint": s.srv.URL + "/introspect", "end_session_endpoint": s.srv.URL + "/logout?x=1",
			"id_token_signing_alg_values_supported": []string{"ES256"}, "acr_values_supported": []string{"two"}, "authorization_response_iss_parameter_supported": true,
		})
	})
	mux.Handle("GET /keys", keys)
	mux.HandleFunc("GET /authorization", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.nonce, s.challenge, s.requests = q.Get("nonce"), q.Get("code_challenge"), append(s.requests, q)
		answer := url.Values{"state": {q.Get("state")}, "code": {"a-code"}, "iss": {s.srv.URL}}
		if q.Get("prompt") == "none" {
			answer = url.Values{"state": {q.Get("state")}, "error": {"login_required"}, "error_description": {"nobody <i>here</i>"}, "iss": {s.srv.URL}}
		}
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+answer.Encode(), http.StatusSeeOther)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		id, secret, _ := r.BasicAuth()
		renewed := r.PostFormValue("grant_type") == "refresh_token" && r.PostFormValue("refresh_token") == "a-refresh-token"
		if id != "demo" || secret != "demo-secret" || !renewed && (r.PostFormValue("code") != "a-code" || base64.RawURLEncoding.EncodeToString(sum[:]) != s.challenge) {
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		claims := map[string]any{
			"iss": s.srv.URL, "aud": "demo", "sub": "alice", "nonce": s.nonce, "sid": "sid-1", "exp": time.Now().Add(time.Minute).Unix(), "iat": time.Now().Unix(), "name": "Alice <b>Liddell</b>",
		}
		if s.twist != nil {
			s.twist(claims)
		}
		access := "opaque-one"
		if s.jwt || renewed {
			access = s.sign(map[string]any{"jti": "access-1", "renewed": renewed})
		}
		s.write(w, map[string]any{
			"access_token": access, "refresh_token": "a-refresh-token", "token_type": "Bearer", "expires_in": 300, "id_token": s.sign(claims),
		})
	})
	mux.HandleFunc("GET /userinfo", func(w http.ResponseWriter, _ *http.Request) {
		s.write(w, map[string]any{"sub": s.subject, "member_of": []string{"15@lab", "1@lab"}})
	})
	mux.HandleFunc("POST /introspect", func(w http.ResponseWriter, r *http.Request) {
		s.write(w, map[string]any{"active": r.PostFormValue("token") != "", "introspected": true})
	})
	mux.HandleFunc("GET /logout", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.ended = r.URL.Query()
		s.mu.Unlock()
		http.Redirect(w, r, r.URL.Query().Get("post_logout_redirect_uri"), http.StatusSeeOther)
	})
	s.srv = httptest.NewTLSServer(mux)
	t.Cleanup(s.srv.Close)
	return s
}

func (s *stub) write(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(value); err != nil {
		s.t.Error(err)
	}
}

func (s *stub) sign(claims map[string]any) string {
	text, err := json.Marshal(claims)
	if err != nil {
		s.t.Error(err)
	}
	return oidctest.SignIDToken(s.key, "one", "ES256", string(text))
}

// browser is somebody at the relying party.
type browser struct {
	t    *testing.T
	http *http.Client
	base string
}

// start serves a relying party of the stub and opens a browser, which trusts both.
func (s *stub) start(change func(*Options)) *browser {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "issuer.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.srv.Certificate().Raw}), 0o600); err != nil {
		s.t.Fatal(err)
	}
	o := Options{Issuer: s.srv.URL, ClientID: "demo", ClientSecret: "demo-secret", CA: file, Scopes: []string{"profile"}}
	if change != nil {
		change(&o)
	}
	srv := httptest.NewUnstartedServer(nil)
	rp, err := New(o, netip.MustParseAddrPort(srv.Listener.Addr().String()))
	if err != nil {
		s.t.Fatal(err)
	}
	srv.Config.Handler = rp
	srv.Start()
	s.t.Cleanup(func() { srv.Close(); rp.Close() })
	b := &browser{t: s.t, base: srv.URL}
	b.http = b.fresh()
	return b
}

// fresh is another browser.
func (b *browser) fresh() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return &http.Client{Jar: jar, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
}

func (b *browser) read(resp *http.Response, err error) (int, string) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, html.UnescapeString(string(text))
}

func (b *browser) get(path string) (int, string) {
	b.t.Helper()
	return b.read(b.http.Get(b.base + path))
}

func (b *browser) post(path string, form ...string) (int, string) {
	b.t.Helper()
	values := url.Values{}
	for i := 0; i < len(form); i += 2 {
		values.Set(form[i], form[i+1])
	}
	return b.read(b.http.PostForm(b.base+path, values))
}

func (b *browser) shows(what string, status int, page string, want int, words ...string) {
	b.t.Helper()
	if status != want {
		b.t.Errorf("%s: status %d, not %d\n%s", what, status, want, page)
	}
	for _, w := range words {
		if !strings.Contains(page, w) {
			b.t.Errorf("%s: no %q in\n%s", what, w, page)
		}
	}
}

func TestSignsInShowsWhatItGotAndSignsOut(t *testing.T) {
	s := newStub(t)
	b := s.start(nil)
	status, page := b.get("/")
	b.shows("at first", status, page, 200, "Not signed in")
	status, page = b.post("/login", "acr_values", "two", "prompt", "login", "offline", "yes")
	b.shows("signed in", status, page, 200, `Signed in as <span id="subject">alice`, "15@lab, 1@lab", `"alg": "ES256"`, "sid-1", "opaque-one", `"introspected": true`, "Renew the tokens", `value="two"`)
	q := s.requests[0]
	if q.Get("acr_values") != "two" || q.Get("prompt") != "login" || q.Get("code_challenge_method") != "S256" || q.Get("scope") != "openid profile offline_access" || len(q.Get("state")) < 20 {
		t.Errorf("asked with %v", q)
	}
	if raw, err := b.http.Get(b.base + "/"); err != nil {
		t.Fatal(err)
	} else if text, err := io.ReadAll(raw.Body); err != nil || strings.Contains(string(text), "<b>Liddell") {
		t.Errorf("a claim came into the page as markup: %v\n%s", err, text)
	}
	status, page = b.post("/refresh")
	b.shows("renewed", status, page, 200, "Renewed the tokens.", `"renewed": true`)
	status, page = b.post("/forget")
	b.shows("signed out here", status, page, 200, "Not signed in", "Signed out here")
	if s.ended != nil {
		t.Error("the provider was told")
	}
	if status, page = b.post("/refresh"); status != http.StatusBadRequest {
		t.Errorf("renewed without a session: %d\n%s", status, page)
	}
	b.post("/login")
	status, page = b.post("/logout")
	b.shows("signed out", status, page, 200, "Not signed in", "Back from the provider")
	if s.ended.Get("client_id") != "demo" || s.ended.Get("id_token_hint") == "" || s.ended.Get("post_logout_redirect_uri") != b.base+"/signed-out" || s.ended.Get("x") != "1" {
		t.Errorf("the session's end was asked with %v", s.ended)
	}
}

func TestRefusesAnswersThatAreNotForIt(t *testing.T) {
	for name, c := range map[string]struct {
		twist   func(map[string]any)
		subject string
		want    string
	}{
		"another nonce":    {twist: func(m map[string]any) { m["nonce"] = "another" }, want: "made for another login"},
		"another audience": {twist: func(m map[string]any) { m["aud"] = "somebody" }, want: "verify the ID token"},
		"another issuer":   {twist: func(m map[string]any) { m["iss"] = "https://elsewhere.example" }, want: "verify the ID token"},
		"over":             {twist: func(m map[string]any) { m["exp"] = time.Now().Add(-time.Hour).Unix() }, want: "verify the ID token"},
		"another at_hash":  {twist: func(m map[string]any) { m["at_hash"] = "AAAAAAAAAAAAAAAAAAAAAA" }, want: "another access token"},
		"another person":   {subject: "mallory", want: `the claims are those of "mallory"`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStub(t)
			if s.twist = c.twist; c.subject != "" {
				s.subject = c.subject
			}
			b := s.start(nil)
			status, page := b.post("/login")
			b.shows("the answer", status, page, 502, c.want)
			status, page = b.get("/")
			b.shows("after it", status, page, 200, "Not signed in")
		})
	}
}

func TestAnswersAreForTheBrowserThatAskedAndGoodOnce(t *testing.T) {
	s := newStub(t)
	b := s.start(nil)
	var callback string
	b.http.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == callbackPath {
			callback = r.URL.RequestURI()
			return http.ErrUseLastResponse
		}
		return nil
	}
	b.post("/login")
	owner := b.http
	owner.CheckRedirect = nil
	b.http = b.fresh()
	status, page := b.get(callback)
	b.shows("in another browser", status, page, 400, "belongs to no login that this browser has begun")
	b.http = owner
	for name, changed := range map[string]string{"another issuer": "https://elsewhere.example", "no issuer": ""} {
		b.http.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if r.URL.Path == callbackPath {
				q := r.URL.Query()
				if q.Set("iss", changed); changed == "" {
					q.Del("iss")
				}
				r.URL.RawQuery = q.Encode()
			}
			return nil
		}
		status, page = b.post("/login")
		b.shows(name, status, page, 400, "and \""+s.srv.URL+"\" was asked")
	}
	b.http.CheckRedirect = nil
	status, page = b.post("/login", "prompt", "none")
	b.shows("refused by the provider", status, page, 403, "the provider answers login_required: nobody <i>here</i>")
	// The stub knows the last request only, so the kept answer has the right state and another login's verifier.
	b.post("/login")
	status, page = b.get("/")
	b.shows("signed in", status, page, 200, "Signed in as")
	status, page = b.get(callback)
	b.shows("its code is another login's", status, page, 502, "exchange the code for tokens")
	status, page = b.get(callback)
	b.shows("the second time", status, page, 400, "or it was used before")
}

func TestEndsSessionsAsTheProviderSays(t *testing.T) {
	s := newStub(t)
	b := s.start(nil)
	token := func(change func(map[string]any)) string {
		claims := map[string]any{
			"iss": s.srv.URL, "aud": "demo", "sub": "alice", "sid": "sid-1", "jti": rand.Text(), "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
			"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
		}
		change(claims)
		return s.sign(claims)
	}
	b.post("/login")
	provider := b.fresh() // no cookie comes with what the provider sends
	send := func(token string) int {
		t.Helper()
		status, _ := b.read(provider.PostForm(b.base+backChannelPath, url.Values{"logout_token": {token}}))
		return status
	}
	for name, change := range map[string]func(map[string]any){
		"an ID token":      func(m map[string]any) { m["nonce"] = "x" },
		"no event":         func(m map[string]any) { delete(m, "events") },
		"another audience": func(m map[string]any) { m["aud"] = "somebody" },
		"another issuer":   func(m map[string]any) { m["iss"] = "https://elsewhere.example" },
		"over":             func(m map[string]any) { m["exp"] = time.Now().Add(-time.Hour).Unix() },
		"nobody":           func(m map[string]any) { delete(m, "sid"); delete(m, "sub") },
	} {
		if status := send(token(change)); status != 400 {
			t.Errorf("%s: %d", name, status)
		}
	}
	other := token(func(m map[string]any) { m["sid"] = "sid-2" })
	if status := send(other); status != 200 {
		t.Errorf("another session's end was answered %d", status)
	}
	status, page := b.get("/")
	b.shows("after what is not for this session", status, page, 200, "Signed in as")
	mine := token(func(map[string]any) {})
	if status := send(mine); status != 200 {
		t.Errorf("a logout token was answered %d", status)
	}
	status, page = b.get("/")
	b.shows("after the back channel", status, page, 200, "Not signed in", "from server to server")
	b.post("/login")
	if status := send(mine); status != 400 {
		t.Errorf("a used logout token was answered %d", status)
	}
	if status := send(token(func(m map[string]any) { delete(m, "sid") })); status != 200 {
		t.Errorf("a logout token of a subject was answered %d", status)
	}
	status, page = b.get("/")
	b.shows("after a subject's logout", status, page, 200, "Not signed in")

	b.post("/login")
	for name, query := range map[string]string{
		"another issuer": "?iss=https://elsewhere.example&sid=sid-1", "no session": "?iss=" + url.QueryEscape(s.srv.URL),
	} {
		if status, _ := b.read(provider.Get(b.base + frontChannelPath + query)); status != 400 {
			t.Errorf("%s: %d", name, status)
		}
	}
	resp, err := provider.Get(b.base + frontChannelPath + "?sid=sid-1&iss=" + url.QueryEscape(s.srv.URL))
	if status, text := b.read(resp, err); status != 200 || !strings.Contains(text, "signed out: 1") {
		t.Errorf("the front channel was answered %d %s", status, text)
	}
	if policy := resp.Header.Get("Content-Security-Policy"); !strings.HasSuffix(policy, "frame-ancestors "+s.srv.URL) {
		t.Errorf("the provider may not frame the answer: %s", policy)
	}
	status, page = b.get("/")
	b.shows("after the front channel", status, page, 200, "Not signed in", "in a frame of its page")
}

func TestRefusesOptionsThatCannotWork(t *testing.T) {
	at := netip.MustParseAddrPort("127.0.0.1:8081")
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, o := range map[string]Options{
		`the issuer "localhost" is no URL`:          {Issuer: "localhost", ClientID: "demo"},
		"the client id is empty":                    {Issuer: "https://localhost"},
		"is not on loopback":                        {Issuer: "https://sso.example.com", ClientID: "demo", Insecure: true},
		"holds no certificate in PEM":               {Issuer: "https://localhost", ClientID: "demo", CA: empty},
		"read the provider's certificate":           {Issuer: "https://localhost", ClientID: "demo", CA: empty + ".not"},
		`"http://x/path" is no URL without a path,`: {Issuer: "https://localhost", ClientID: "demo", URL: "http://x/path"},
	} {
		if rp, err := New(o, at); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", want, rp, err)
		}
	}
}

func TestSaysThatTheProviderDoesNotAnswerAndTriesAgain(t *testing.T) {
	s := newStub(t)
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	b := s.start(func(o *Options) { o.Issuer = closed.URL })
	status, page := b.post("/login")
	b.shows("without a provider", status, page, 502, "ask "+closed.URL+" what it is")
	untrusting := s.start(func(o *Options) { o.CA = "" })
	status, page = untrusting.post("/login")
	untrusting.shows("of an unknown issuer", status, page, 502, "certificate")
	pinned := s.start(nil)
	status, page = pinned.post("/login")
	pinned.shows("with the certificate", status, page, 200, "Signed in as")
}

func TestOtherSitesCannotPressItsButtons(t *testing.T) {
	b := newStub(t).start(nil)
	for _, path := range []string{"/login", "/logout", "/forget", "/refresh"} {
		r, err := http.NewRequest(http.MethodPost, b.base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", "https://evil.example")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		if status, _ := b.read(b.http.Do(r)); status != http.StatusForbidden {
			t.Errorf("%s from another site: %d", path, status)
		}
	}
}

func TestRemembersABoundedNumberOfBrowsers(t *testing.T) {
	v := newVisitors()
	first := v.of(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil), "c")
	for range maxVisitors {
		v.of(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil), "c")
	}
	if len(v.byID) != maxVisitors || len(v.order) != maxVisitors || v.byID[first] != nil {
		t.Errorf("%d browsers, %d in order, the first still there: %v", len(v.byID), len(v.order), v.byID[first] != nil)
	}
	last := v.order[len(v.order)-1]
	for i := range maxAttempts + 1 {
		v.begin(last, &attempt{state: fmt.Sprint(i)})
	}
	if v.attempt(last, "0") != nil || v.attempt(last, "1") == nil {
		t.Error("the oldest attempt is not the one that was given up")
	}
}

// TestPagesNeedNoScript: they hold none, and no style of their own, as their policy allows neither.
func TestPagesNeedNoScript(t *testing.T) {
	text, err := files.ReadFile("pages.html")
	if err != nil {
		t.Fatal(err)
	}
	if found := regexp.MustCompile(`(?i)<script|\son\w+=|\sstyle=|<style`).Find(text); found != nil {
		t.Errorf("a page holds %q", found)
	}
}
