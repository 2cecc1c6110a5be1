package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Item 14: an error that belongs to a redirect URI which is not the client's is a page, and never leads there.
func TestErrorsOfUnknownRedirectURIsArePages(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		name   string
		change []string
	}{
		{"another path", []string{"redirect_uri", "https://app.example.com/evil"}},
		{"another host", []string{"redirect_uri", "https://evil.example.com/cb"}},
		{"encoded twice", []string{"redirect_uri", "https%3A%2F%2Fapp.example.com%2Fcb"}},
		{"missing", []string{"redirect_uri", ""}},
		{"with another error too", []string{"redirect_uri", "https://evil.example.com/cb", "response_type", "nonsense"}},
		{"unknown client", []string{"client_id", "nobody"}},
		{"no client", []string{"client_id", ""}},
		{"javascript", []string{"redirect_uri", "javascript:alert(1)"}},
		{"prompt none", []string{"redirect_uri", "https://evil.example.com/cb", "prompt", "none"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := r.browser("alice:wonderland").authorize(c.change...)
			if a.status != http.StatusBadRequest || a.location != nil || !strings.HasPrefix(a.page, "error oidc.") || !strings.Contains(a.body, "reference ") {
				t.Errorf("%d %v %q %s", a.status, a.location, a.page, a.body)
			}
		})
	}
	for _, twice := range []string{"client_id=web", "redirect_uri=https%3A%2F%2Fapp.example.com%2Fcb"} {
		b := r.browser("alice:wonderland")
		request, _ := http.NewRequest(http.MethodGet, r.url+"/authorization?"+usual().Encode()+"&"+twice, nil)
		if a := b.do(request); a.location != nil || a.status != http.StatusBadRequest {
			t.Errorf("%s twice: %d %v", twice, a.status, a.location)
		}
	}
}

// Item 15: every response says who sent it (RFC 9207).
func TestResponsesSayWhoSentThem(t *testing.T) {
	r := newRig(t)
	b := r.browser("alice:wonderland")
	for _, change := range [][]string{nil, {"response_type", "id_token"}, {"scope", "nonsense"}, {"response_type", "nonsense"}, {"prompt", "none login"}} {
		if a := b.authorize(change...); a.values.Get("iss") != r.url {
			t.Errorf("%v: %v", change, a.location)
		}
	}
}

// Item 16: a code is redeemed once, however many ask at once, by its client alone, with its redirect URI and its verifier; and one that is presented again takes back what it led to.
func TestCodeIsRedeemedOnce(t *testing.T) {
	r := newRig(t)
	web := r.machine("web", "builder-of-webs")
	t.Run("at once", func(t *testing.T) {
		code := r.browser("alice:wonderland").code()
		var good atomic.Int32
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				if web.post("/token", "grant_type", "authorization_code", "code", code).status == http.StatusOK {
					good.Add(1)
				}
			})
		}
		all.Wait()
		if good.Load() != 1 {
			t.Errorf("it was redeemed %d times", good.Load())
		}
	})
	for _, c := range []struct {
		name string
		by   *machine
		form []string
		code string
	}{
		{"another client", r.machine("test", "test"), nil, "invalid_grant"},
		{"another redirect URI", web, []string{"redirect_uri", "https://app.example.com/cb?x=1"}, "invalid_grant"},
		{"a verifier without a challenge", web, []string{"code_verifier", strings.Repeat("a", 43)}, "invalid_grant"},
		{"a wrong secret", r.machine("web", "wrong"), nil, "invalid_client"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code := r.browser("alice:wonderland").code()
			got := c.by.post("/token", append([]string{"grant_type", "authorization_code", "code", code}, c.form...)...)
			if got.text("error") != c.code {
				t.Errorf("%d %s", got.status, got.body)
			}
			if got := web.post("/token", "grant_type", "authorization_code", "code", code); got.status != http.StatusOK {
				t.Errorf("the client itself: %d %s", got.status, got.body)
			}
		})
	}
	t.Run("too late", func(t *testing.T) {
		code := r.browser("alice:wonderland").code()
		r.clock.forward(codeLife + time.Second)
		if got := web.post("/token", "grant_type", "authorization_code", "code", code); got.text("error") != "invalid_grant" {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
	t.Run("damaged", func(t *testing.T) {
		code := r.browser("alice:wonderland").code()
		for _, bad := range []string{code[:len(code)-2], code + "AA", "B" + code[1:], "nonsense", strings.Repeat("A", 5000)} {
			if got := web.post("/token", "grant_type", "authorization_code", "code", bad); got.text("error") != "invalid_grant" {
				t.Errorf("%d %s", got.status, got.body)
			}
		}
	})
	t.Run("a refresh token that is used again ends all of its family", func(t *testing.T) {
		first := web.post("/token", "grant_type", "authorization_code", "code", r.browser("alice:wonderland").code())
		second := web.post("/token", "grant_type", "refresh_token", "refresh_token", first.text("refresh_token"))
		if second.status != http.StatusOK {
			t.Fatal(second.body)
		}
		if again := web.post("/token", "grant_type", "refresh_token", "refresh_token", first.text("refresh_token")); again.text("error") != "invalid_grant" {
			t.Errorf("%s", again.body)
		}
		if newest := web.post("/token", "grant_type", "refresh_token", "refresh_token", second.text("refresh_token")); newest.text("error") != "invalid_grant" {
			t.Errorf("the newest one is good still: %s", newest.body)
		}
		if info := r.bearer(http.MethodGet, "/userinfo", second.text("access_token")); info.status != http.StatusUnauthorized {
			t.Errorf("the access token is good still: %d", info.status)
		}
	})
}

// Item 17: who uses PKCE uses it to the end, by S256, and public clients always do.
func TestPKCECannotBeDowngraded(t *testing.T) {
	r := newRig(t)
	verifier := strings.Repeat("v", 50)
	spa := []string{"client_id", "spa", "redirect_uri", "https://spa.example.com/cb"}
	t.Run("a public client without", func(t *testing.T) {
		if a := r.browser("alice:wonderland").authorize(spa...); a.values.Get("error") != "invalid_request" {
			t.Errorf("%v", a.location)
		}
	})
	t.Run("plain", func(t *testing.T) {
		for _, method := range []string{"plain", ""} {
			if a := r.browser("alice:wonderland").authorize(append(spa, "code_challenge", verifier, "code_challenge_method", method)...); a.values.Get("error") != "invalid_request" {
				t.Errorf("%q: %v", method, a.location)
			}
		}
	})
	with := append(spa, "code_challenge", challengeOf(verifier), "code_challenge_method", "S256")
	for _, c := range []struct {
		name, verifier string
		ok             bool
	}{{"the verifier", verifier, true}, {"another", strings.Repeat("w", 50), false}, {"none", "", false}, {"the challenge", challengeOf(verifier), false}, {"too short", "short", false}} {
		t.Run(c.name, func(t *testing.T) {
			code := r.browser("alice:wonderland").code(with...)
			got := r.machine("spa", "").post("/token", "grant_type", "authorization_code", "code", code, "redirect_uri", "https://spa.example.com/cb", "code_verifier", c.verifier)
			if (got.status == http.StatusOK) != c.ok {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
	t.Run("a public client must say its redirect URI", func(t *testing.T) {
		code := r.browser("alice:wonderland").code(with...)
		if got := r.machine("spa", "").post("/token", "grant_type", "authorization_code", "code", code, "code_verifier", verifier); got.status == http.StatusOK {
			t.Error("it need not")
		}
	})
	t.Run("plain where the client takes it", func(t *testing.T) {
		r.house.Put(`{kind: ServiceProvider, name: old, spec: {type: oidc, oidc: {flows: {authorizationCode: true}, responseURLs: ["https://old.example.com/cb"], plainPKCE: true}}}`)
		code := r.browser("alice:wonderland").code("client_id", "old", "redirect_uri", "https://old.example.com/cb", "code_challenge", verifier)
		if got := r.machine("old", "").post("/token", "grant_type", "authorization_code", "code", code, "redirect_uri", "https://old.example.com/cb", "code_verifier", verifier); got.status != http.StatusOK {
			t.Errorf("%s", got.body)
		}
	})
}

func signWith(t testing.TB, algorithm jose.SignatureAlgorithm, key any, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := json.Marshal(claims)
	object, err := signer.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	text, err := object.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Item 18: the algorithms of a client are listed, none is refused where it is not, and a public key is never a shared secret. Item 19: an assertion proves its client once.
func TestClientAssertions(t *testing.T) {
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: elliptical.Public(), KeyID: "one"}}})
	if err != nil {
		t.Fatal(err)
	}
	const shared = "0123456789abcdef0123456789abcdef"
	r := newRig(t, fmt.Sprintf(`
kind: ServiceProvider
name: keyed
spec: {type: oidc, oidc: {flows: {clientCredentials: true}, tokenEndpointAuth: private_key_jwt, jwks: '%s', allowedScopes: [api]}}
---
kind: ServiceProvider
name: shared
spec: {type: oidc, oidc: {flows: {clientCredentials: true}, tokenEndpointAuth: client_secret_jwt, clientSecret: %s, allowedScopes: [api]}}
`, set, shared))
	count := 0
	good := func(id string, change ...any) map[string]any {
		count++
		claims := map[string]any{"iss": id, "sub": id, "aud": r.url, "jti": fmt.Sprint("j", count), "exp": time.Now().Add(time.Minute).Unix()}
		for i := 0; i < len(change); i += 2 {
			if change[i+1] == nil {
				delete(claims, change[i].(string))
				continue
			}
			claims[change[i].(string)] = change[i+1]
		}
		return claims
	}
	ask := func(assertion string) *reply {
		return (&machine{r, "", ""}).post("/token", "grant_type", "client_credentials", "client_assertion_type", assertionType, "client_assertion", assertion)
	}
	for _, c := range []struct {
		name, assertion string
		ok              bool
	}{
		{"private_key_jwt", signWith(t, jose.ES256, elliptical, good("keyed")), true},
		{"for the token endpoint", signWith(t, jose.ES256, elliptical, good("keyed", "aud", []string{r.url + "/token"})), true},
		{"client_secret_jwt", signWith(t, jose.HS256, []byte(shared), good("shared")), true},
		{"a clock that is half a minute ahead", signWith(t, jose.ES256, elliptical, good("keyed", "iat", time.Now().Add(30*time.Second).Unix())), true},
		{"a clock that is half a minute behind", signWith(t, jose.ES256, elliptical, good("keyed", "exp", time.Now().Add(-30*time.Second).Unix())), true},
		{"a clock that is an hour ahead", signWith(t, jose.ES256, elliptical, good("keyed", "iat", time.Now().Add(time.Hour).Unix())), false},
		{"expired", signWith(t, jose.ES256, elliptical, good("keyed", "exp", time.Now().Add(-time.Hour).Unix())), false},
		{"good for a day", signWith(t, jose.ES256, elliptical, good("keyed", "exp", time.Now().Add(24*time.Hour).Unix())), false},
		{"good for ever", signWith(t, jose.ES256, elliptical, good("keyed", "exp", nil)), false},
		{"without jti", signWith(t, jose.ES256, elliptical, good("keyed", "jti", nil)), false},
		{"for somebody else", signWith(t, jose.ES256, elliptical, good("keyed", "aud", "https://other.example.com")), false},
		{"of another issuer", signWith(t, jose.ES256, elliptical, good("keyed", "iss", "shared")), false},
		{"by another key", signWith(t, jose.ES256, other, good("keyed")), false},
		{"by none", unsigned(good("keyed")), false},
		{"by the public key as a shared secret", signWith(t, jose.HS256, set, good("keyed")), false},
		{"by the secret of another", signWith(t, jose.HS256, []byte(shared), good("keyed")), false},
		{"of a client with a secret", signWith(t, jose.HS256, []byte("builder-of-webs-builder-of-webs-"), good("web")), false},
		{"no JWT", "nonsense", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ask(c.assertion)
			if (got.status == http.StatusOK) != c.ok || !c.ok && (got.status != http.StatusUnauthorized || got.text("error") != "invalid_client") {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
	t.Run("twice", func(t *testing.T) {
		assertion := signWith(t, jose.ES256, elliptical, good("keyed"))
		if got := ask(assertion); got.status != http.StatusOK {
			t.Fatal(got.body)
		}
		if got := ask(assertion); got.status != http.StatusUnauthorized {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
	t.Run("in two ways", func(t *testing.T) {
		got := r.machine("web", "builder-of-webs").post("/token", "grant_type", "client_credentials", "client_assertion_type", assertionType, "client_assertion", "x")
		if got.text("error") != "invalid_request" {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
	t.Run("a secret where the client has keys", func(t *testing.T) {
		if got := r.machine("keyed", "anything").post("/token", "grant_type", "client_credentials"); got.status != http.StatusUnauthorized || got.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}

// Item 18: the keys of a client at an address of its own are fetched within bounds, and again for a kid that is not known, once a minute.
func TestKeysAreFetchedWithinBounds(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	next, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	var body atomic.Value
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		asked.Add(1)
		if q.URL.Path == "/redirect" {
			http.Redirect(w, q, "https://127.0.0.1:1/", http.StatusFound)
			return
		}
		if q.URL.Path == "/large" { // 10 MB
			_, _ = w.Write([]byte(`{"keys":[`))
			for range 10 << 10 {
				_, _ = w.Write([]byte(strings.Repeat(" ", 1024)))
			}
			_, _ = w.Write([]byte(`]}`))
			return
		}
		_, _ = w.Write(body.Load().([]byte))
	}))
	defer server.Close()
	r := newRig(t)
	r.provider.out.client.Transport = server.Client().Transport
	set := func(keys ...jose.JSONWebKey) {
		b, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		body.Store(b)
	}
	set(jose.JSONWebKey{Key: key.Public(), KeyID: "one"})
	ctx := context.Background()
	keys := r.provider.keys
	for range 5 {
		if got, err := keys.get(ctx, server.URL, false); err != nil || len(got.Keys) != 1 {
			t.Fatal(err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times", asked.Load())
	}
	set(jose.JSONWebKey{Key: next.Public(), KeyID: "two"})
	for range 5 {
		_, _ = keys.get(ctx, server.URL, true)
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times within a minute", asked.Load())
	}
	r.clock.forward(keysAgain + time.Second)
	for range 5 {
		if got, err := keys.get(ctx, server.URL, true); err != nil || got.Keys[0].KeyID != "two" {
			t.Fatal(err)
		}
	}
	if asked.Load() != 2 {
		t.Errorf("asked %d times", asked.Load())
	}
	for _, path := range []string{"/large", "/redirect"} {
		if _, err := keys.get(ctx, server.URL+path, false); err == nil {
			t.Errorf("%s is taken", path)
		}
		before := asked.Load()
		for range 5 {
			_, _ = keys.get(ctx, server.URL+path, true)
		}
		if asked.Load() != before {
			t.Errorf("%s is asked again at once", path)
		}
	}
	if _, err := keys.get(ctx, strings.Replace(server.URL, "https", "http", 1), false); err == nil {
		t.Error("http is taken")
	}
}

// Item 20: a parameter that came twice is refused, a request object has the last word, and request_uri is not taken.
func TestDuplicatesAndRequestObjects(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "one"}}})
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, fmt.Sprintf(`
kind: ServiceProvider
name: signing
spec:
  type: oidc
  oidc: {clientSecret: builder-of-webs, flows: {authorizationCode: true}, jwks: '%s', responseURLs: ["https://app.example.com/cb"], requireRequestObject: true, requestObjectAlgorithms: [RS256]}
`, set))
	b := r.browser("alice:wonderland")
	for _, twice := range []string{"scope=openid", "state=s1", "nonce=n2", "response_type=code", "prompt=none&prompt=none", "x=1&x=2"} {
		request, _ := http.NewRequest(http.MethodGet, r.url+"/authorization?"+usual().Encode()+"&"+twice, nil)
		a := b.do(request)
		if a.values.Get("error") != "invalid_request" {
			t.Errorf("%s: %v", twice, a.location)
		}
		if strings.HasPrefix(twice, "state") && a.values.Get("state") != "" {
			t.Error("a state that came twice is sent back")
		}
	}
	for _, twice := range []string{"grant_type=client_credentials", "scope=a&scope=b", "client_secret=x&client_secret=y"} {
		request, _ := http.NewRequest(http.MethodPost, r.url+"/token", strings.NewReader("grant_type=client_credentials&"+twice))
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.SetBasicAuth("web", "builder-of-webs")
		if got := r.call(request); got.text("error") != "invalid_request" {
			t.Errorf("%s: %d %s", twice, got.status, got.body)
		}
	}
	if a := b.authorize("request_uri", "https://app.example.com/request.jwt"); a.values.Get("error") != "request_uri_not_supported" {
		t.Errorf("%v", a.location)
	}
	if a := b.authorize("registration", "{}"); a.values.Get("error") != "registration_not_supported" {
		t.Errorf("%v", a.location)
	}
	object := func(change ...any) string {
		claims := map[string]any{"iss": "signing", "aud": r.url, "client_id": "signing", "response_type": "code", "state": "object", "redirect_uri": "https://app.example.com/cb", "scope": "openid"}
		for i := 0; i < len(change); i += 2 {
			claims[change[i].(string)] = change[i+1]
		}
		return signWith(t, jose.RS256, key, claims)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, object, code string
	}{
		{"signed", object(), ""},
		{"max_age as a number, claims as an object", object("max_age", 1000, "claims", map[string]any{"id_token": map[string]any{"email": nil}}), ""},
		{"none", "", "invalid_request"},
		{"unsigned", unsigned(map[string]any{"client_id": "signing", "state": "object"}), "invalid_request_object"},
		{"by another key", signWith(t, jose.RS256, other, map[string]any{"client_id": "signing", "state": "object"}), "invalid_request_object"},
		{"by an algorithm that the client has not", signWith(t, jose.PS256, key, map[string]any{"client_id": "signing", "state": "object"}), "invalid_request_object"},
		{"for somebody else", object("aud", "https://other.example.com"), "invalid_request_object"},
		{"of another client", object("client_id", "web"), "invalid_request_object"},
		{"of another response type", object("response_type", "id_token"), "invalid_request_object"},
		{"expired", object("exp", time.Now().Add(-time.Hour).Unix()), "invalid_request_object"},
		{"within itself", object("request", "x"), "invalid_request_object"},
		{"no JWT", "nonsense", "invalid_request_object"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := b.authorize("client_id", "signing", "request", c.object, "state", "query")
			switch {
			case a.location == nil:
				t.Errorf("%d %s", a.status, a.body)
			case c.code != "" && a.values.Get("error") != c.code:
				t.Errorf("%v", a.location)
			case c.code == "" && (a.values.Get("code") == "" || a.values.Get("state") != "object"):
				t.Errorf("%v", a.location)
			}
		})
	}
}

// Item 22: no origin is told that it may read an answer because it asked, and none gets credentials.
func TestOriginsAreListed(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		origin string
		listed bool
	}{{"https://app.example.com", true}, {"https://evil.example.com", false}, {"null", false}, {"https://spa.example.com", false}} {
		form := url.Values{"grant_type": {"client_credentials"}}
		request, _ := http.NewRequest(http.MethodPost, r.url+"/token", strings.NewReader(form.Encode()))
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Origin", c.origin)
		request.SetBasicAuth("web", "builder-of-webs")
		got := r.call(request)
		if has := got.header.Get("Access-Control-Allow-Origin") == c.origin; has != c.listed || got.header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: %v", c.origin, got.header)
		}
	}
	for origin, listed := range map[string]bool{"https://spa.example.com": true, "https://evil.example.com": false} {
		for _, path := range []string{"/token", "/userinfo", "/token_info", "/revoke"} {
			request, _ := http.NewRequest(http.MethodOptions, r.url+path, nil)
			request.Header.Set("Origin", origin)
			request.Header.Set("Access-Control-Request-Method", "POST")
			got := r.call(request)
			if has := got.header.Get("Access-Control-Allow-Origin") == origin; has != listed || got.status != http.StatusNoContent {
				t.Errorf("%s at %s: %d %v", origin, path, got.status, got.header)
			}
		}
		request, _ := http.NewRequest(http.MethodGet, r.url+"/authorization?"+usual().Encode(), nil)
		request.Header.Set("Origin", origin)
		if got := r.call(request); got.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s may read the authorization endpoint", origin)
		}
	}
}

// What is too long, or no form, is refused before anything is made of it.
func TestBadInput(t *testing.T) {
	r := newRig(t)
	long := strings.Repeat("x", maxParameter+1)
	if a := r.browser("").authorize("state", long); a.status != http.StatusBadRequest || a.location != nil {
		t.Errorf("%d %v", a.status, a.location)
	}
	web := r.machine("web", "builder-of-webs")
	if got := web.post("/token", "grant_type", "client_credentials", "x", long); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := web.post("/token", "grant_type", "client_credentials", "x", strings.Repeat("y", maxRequest)); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", got.status, got.body)
	}
	for _, kind := range []string{"application/json", "text/plain", ""} {
		request, _ := http.NewRequest(http.MethodPost, r.url+"/token", strings.NewReader("grant_type=client_credentials"))
		request.Header.Set("Content-Type", kind)
		request.SetBasicAuth("web", "builder-of-webs")
		if got := r.call(request); got.status != http.StatusBadRequest {
			t.Errorf("%q: %d", kind, got.status)
		}
	}
	request, _ := http.NewRequest(http.MethodGet, r.url+"/token?grant_type=client_credentials", nil)
	if got := r.call(request); got.status != http.StatusMethodNotAllowed || got.header.Get("Allow") == "" {
		t.Errorf("%d", got.status)
	}
	for _, token := range []string{"", "x", "a.b.c", long, strings.Repeat("A", 300)} {
		if got := r.bearer(http.MethodGet, "/userinfo", token); got.status != http.StatusUnauthorized || !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%.20s: %d %v", token, got.status, got.header)
		}
	}
	if got := web.post("/token_info", "token", "nonsense"); got.body != `{"active":false}` {
		t.Errorf("%s", got.body)
	}
	if got := web.post("/token", "grant_type", "nonsense"); got.text("error") != "unsupported_grant_type" {
		t.Errorf("%s", got.body)
	}
	if got := r.machine("nobody", "x").post("/token", "grant_type", "client_credentials"); got.status != http.StatusUnauthorized || got.text("error") != "invalid_client" {
		t.Errorf("%d %s", got.status, got.body)
	}
	if a := r.browser("alice:wonderland").authorize("claims", "{"); a.values.Get("error") != "invalid_request" {
		t.Errorf("%v", a.location)
	}
	if a := r.browser("alice:wonderland").authorize("max_age", "-1"); a.values.Get("error") != "invalid_request" {
		t.Errorf("%v", a.location)
	}
	if a := r.browser("alice:wonderland").authorize("resource", "https://other.example.com"); a.values.Get("error") != "invalid_target" {
		t.Errorf("%v", a.location)
	}
}

// Tokens stop to count with what they rest on.
func TestTokensEndWithWhatTheyRestOn(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(r *rig, token string)
	}{
		{"the person is switched off", func(r *rig, _ string) { r.house.Put("{kind: User, name: alice, spec: {active: false}}") }},
		{"the client has another owner", func(r *rig, _ string) {
			if err := r.docs.Delete(t.Context(), "ServiceProvider", "web", ""); err != nil {
				r.t.Fatal(err)
			}
		}},
		{"revoked", func(r *rig, token string) { r.machine("web", "builder-of-webs").post("/revoke", "token", token) }},
		{"all tokens are void", func(r *rig, _ string) {
			if err := r.house.Engine.VoidTokens(t.Context(), "web", "", "admin"); err != nil {
				r.t.Fatal(err)
			}
		}},
		{"time", func(r *rig, _ string) { r.clock.forward(4 * time.Hour) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			token := r.machine("web", "builder-of-webs").post("/token", "grant_type", "authorization_code", "code", r.browser("alice:wonderland").code()).text("access_token")
			if info := r.bearer(http.MethodGet, "/userinfo", token); info.status != http.StatusOK {
				t.Fatalf("%d %s", info.status, info.body)
			}
			c.end(r, token)
			if info := r.bearer(http.MethodGet, "/userinfo", token); info.status != http.StatusUnauthorized || info.text("error") != "invalid_token" {
				t.Errorf("%d %s", info.status, info.body)
			}
		})
	}
	t.Run("another client revokes nothing", func(t *testing.T) {
		r := newRig(t)
		token := r.machine("web", "builder-of-webs").post("/token", "grant_type", "authorization_code", "code", r.browser("alice:wonderland").code()).text("access_token")
		if got := r.machine("test", "test").post("/revoke", "token", token); got.status != http.StatusOK {
			t.Errorf("%d", got.status)
		}
		if info := r.bearer(http.MethodGet, "/userinfo", token); info.status != http.StatusOK {
			t.Errorf("%d %s", info.status, info.body)
		}
		if got := r.machine("test", "test").post("/token_info", "token", token); got.body != `{"active":false}` {
			t.Errorf("another client is told: %s", got.body)
		}
	})
}

// A cookie that was made up, changed or is another identity provider's logs nobody in, and breaks nothing.
func TestForgedCookiesAreNone(t *testing.T) {
	r := newRig(t)
	good := r.browser("alice:wonderland")
	good.code()
	u, err := url.Parse(r.url)
	if err != nil {
		t.Fatal(err)
	}
	var session string
	for _, c := range good.client.Jar.Cookies(u) {
		if c.Name == "cookien" {
			session = c.Value
		}
	}
	if session == "" {
		t.Fatal("the browser has no session")
	}
	changed := []byte(session)
	changed[len(changed)/2] ^= 1
	for _, forged := range []string{"x", string(changed), session[1:], session + "A", strings.Repeat("A", len(session)), strings.Repeat("A", 4000), "%00", "a.b.c"} {
		b := r.browser("")
		b.client.Jar.SetCookies(u, []*http.Cookie{{Name: "cookien", Value: forged, Path: "/", Secure: true}, {Name: watchCookie, Value: forged, Path: "/", Secure: true}})
		if a := b.authorize("prompt", "none"); a.values.Get("error") != "login_required" || a.values.Get("code") != "" {
			t.Errorf("%.30q: %d %v", forged, a.status, a.location)
		}
		if a := b.authorize(); !strings.HasPrefix(a.page, "login") {
			t.Errorf("%.30q: %d %v", forged, a.status, a.location)
		}
	}
	good.login = ""
	good.code("prompt", "none")
}
