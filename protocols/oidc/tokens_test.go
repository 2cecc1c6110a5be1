package oidc

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"trine/engine"
)

// Clients of one sector know a person by one name, those of another by another, and none by the user name (OpenID Connect Core 1.0 section 8).
func TestPairwiseSubjects(t *testing.T) {
	client := func(name, host string) string {
		return fmt.Sprintf(`{kind: ServiceProvider, name: %s, spec: {type: oidc, oidc: {clientSecret: builder-of-webs, flows: {authorizationCode: true}, responseURLs: ["https://%s/cb"], subjectType: pairwise}}}`, name, host)
	}
	r := newRig(t, client("one", "a.example.com"), client("two", "a.example.com"), client("three", "b.example.com"))
	sub := func(name, host string) string {
		code := r.browser("alice:wonderland").code("client_id", name, "redirect_uri", "https://"+host+"/cb")
		got := r.machine(name, "builder-of-webs").post("/token", "grant_type", "authorization_code", "code", code)
		told, _ := r.claims(got.text("id_token"))["sub"].(string)
		if info := r.bearer(http.MethodGet, "/userinfo", got.text("access_token")); info.json["sub"] != told {
			t.Errorf("%s: the ID token says %s, the endpoint %s", name, told, info.body)
		}
		return told
	}
	one, two, three := sub("one", "a.example.com"), sub("two", "a.example.com"), sub("three", "b.example.com")
	if one != two || one == three || one == "alice" || len(one) != 43 {
		t.Errorf("%s %s %s", one, two, three)
	}
}

// What is encrypted for a client only its key opens, and within it is the signed token.
func TestEncryptedTokens(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "enc", Use: "enc"}}})
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, fmt.Sprintf(`
kind: ServiceProvider
name: sealed
spec:
  type: oidc
  oidc:
    clientSecret: builder-of-webs
    flows: {authorizationCode: true}
    jwks: '%s'
    responseURLs: ["https://app.example.com/cb"]
    idTokenAlgorithm: EdDSA
    idTokenEncryption: {algorithm: RSA-OAEP-256, content: A256GCM}
    userinfoAlgorithm: PS256
    userinfoEncryption: {algorithm: RSA-OAEP}
`, set))
	got := r.machine("sealed", "builder-of-webs").post("/token", "grant_type", "authorization_code", "code", r.browser("alice:wonderland").code("client_id", "sealed"))
	open := func(text string, algorithm jose.KeyAlgorithm, content jose.ContentEncryption) string {
		t.Helper()
		object, err := jose.ParseEncryptedCompact(text, []jose.KeyAlgorithm{algorithm}, []jose.ContentEncryption{content})
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		plain, err := object.Decrypt(key)
		if err != nil {
			t.Fatal(err)
		}
		return string(plain)
	}
	if claims := r.claims(open(got.text("id_token"), jose.RSA_OAEP_256, jose.A256GCM)); claims["sub"] != "alice" {
		t.Errorf("%v", claims)
	}
	info := r.bearer(http.MethodGet, "/userinfo", got.text("access_token"))
	if info.header.Get("Content-Type") != "application/jwt" {
		t.Fatalf("%d %v %s", info.status, info.header, info.body)
	}
	if claims := r.claims(open(info.body, jose.RSA_OAEP, jose.A128CBC_HS256)); claims["sub"] != "alice" || claims["aud"] != "sealed" || claims["iss"] != r.url {
		t.Errorf("%v", claims)
	}
}

// Access tokens that are JWTs (RFC 9068) say what opaque ones are asked for at the introspection endpoint (RFC 7662).
func TestAccessTokensOfBothForms(t *testing.T) {
	r := newRig(t, `{kind: ServiceProvider, name: api, spec: {type: oidc, oidc: {clientSecret: secret-of-the-api, flows: {clientCredentials: true}}}}`, `
kind: ServiceProvider
name: both
spec: {type: oidc, oidc: {clientSecret: builder-of-webs, flows: {authorizationCode: true, clientCredentials: true}, responseURLs: ["https://app.example.com/cb"], allowedScopes: [openid, api], accessToken: jwt, audience: [api]}}
`)
	verifier := strings.Repeat("v", 50)
	code := r.browser("alice:wonderland").code("client_id", "spa", "redirect_uri", "https://spa.example.com/cb", "code_challenge", challengeOf(verifier), "code_challenge_method", "S256")
	got := r.machine("spa", "").post("/token", "grant_type", "authorization_code", "code", code, "redirect_uri", "https://spa.example.com/cb", "code_verifier", verifier)
	claims := r.claims(got.text("access_token"))
	if claims["sub"] != "alice" || claims["client_id"] != "spa" || claims["aud"] != "spa" || claims["scope"] != "openid" || claims["iss"] != r.url || claims["exp"] == nil || claims["jti"] == nil {
		t.Errorf("%v", claims)
	}
	if info := r.bearer(http.MethodGet, "/userinfo", got.text("access_token")); info.json["sub"] != "alice" {
		t.Errorf("%d %s", info.status, info.body)
	}
	if info := r.bearer(http.MethodGet, "/userinfo", got.text("id_token")); info.status != http.StatusUnauthorized {
		t.Errorf("an ID token is taken for an access token: %d", info.status)
	}
	own := r.machine("both", "builder-of-webs").post("/token", "grant_type", "client_credentials", "scope", "api")
	if own.status != http.StatusOK || own.text("refresh_token") != "" || own.text("id_token") != "" {
		t.Fatalf("%d %s", own.status, own.body)
	}
	told := r.machine("api", "secret-of-the-api").post("/token_info", "token", own.text("access_token"))
	if told.json["active"] != true || told.json["client_id"] != "both" || told.json["sub"] != "both" || told.json["scope"] != "api" || told.json["aud"] != "api" {
		t.Errorf("%s", told.body)
	}
	if other := r.machine("web", "builder-of-webs").post("/token_info", "token", own.text("access_token")); other.body != `{"active":false}` {
		t.Errorf("who the token is not for is told: %s", other.body)
	}
	if info := r.bearer(http.MethodGet, "/userinfo", own.text("access_token")); info.status != http.StatusForbidden {
		t.Errorf("%d %s", info.status, info.body)
	}
	if r.machine("both", "builder-of-webs").post("/revoke", "token", own.text("access_token")); r.machine("api", "secret-of-the-api").post("/token_info", "token", own.text("access_token")).body != `{"active":false}` {
		t.Error("it was revoked, and is active still")
	}
	refresh := r.machine("test", "test").post("/token", "grant_type", "password", "username", "alice", "password", "wonderland")
	for _, token := range []string{refresh.text("access_token"), refresh.text("refresh_token")} {
		if told := r.machine("test", "test").post("/token_info", "token", token); told.json["active"] != true || told.json["client_id"] != "test" {
			t.Errorf("%s", told.body)
		}
	}
}

// The handbook's /userinfo/impersonate: a client that may gets the cookies which another service sets when the person logs in there.
func TestImpersonation(t *testing.T) {
	var r *rig
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		here := "http://" + q.Host
		switch q.URL.Path {
		case "/app/":
			http.SetCookie(w, &http.Cookie{Name: "state", Value: "abc", Path: "/"})
			to := url.Values{"client_id": {"target"}, "redirect_uri": {here + "/cb"}, "response_type": {"code"}, "scope": {"openid"}, "state": {"abc"}}
			http.Redirect(w, q, r.url+"/authorization?"+to.Encode(), http.StatusFound)
		case "/cb":
			got := r.machine("target", "secret-of-the-target").post("/token", "grant_type", "authorization_code", "code", q.FormValue("code"), "redirect_uri", here+"/cb")
			if got.status != http.StatusOK || q.FormValue("state") != "abc" {
				t.Errorf("%d %s", got.status, got.body)
			}
			http.SetCookie(w, &http.Cookie{Name: "session", Value: fmt.Sprint(r.claims(got.text("id_token"))["sub"]), Path: "/app"})
		}
	}))
	defer target.Close()
	r = newRig(t, fmt.Sprintf(`
kind: ServiceProvider
name: target
spec: {type: oidc, oidc: {clientSecret: secret-of-the-target, flows: {authorizationCode: true}, responseURLs: ["%[1]s/cb"]}}
---
kind: ServiceProvider
name: acting
spec: {type: oidc, impersonations: ["%[1]s/app/"], oidc: {clientSecret: secret-of-the-acting, flows: {passwordWithClientCredentials: true}}}
`, target.URL))
	token := r.machine("acting", "secret-of-the-acting").post("/token", "grant_type", "password", "username", "alice", "password", "wonderland").text("access_token")
	got := r.bearer(http.MethodPost, "/userinfo/impersonate?url="+url.QueryEscape(target.URL+"/app/"), token)
	want := `[{"path":"/","domain":"127.0.0.1","name":"state","value":"abc"},{"path":"/app","domain":"127.0.0.1","name":"session","value":"alice"}]`
	if got.status != http.StatusOK || got.body != want {
		t.Errorf("%d %s", got.status, got.body)
	}
	for _, other := range []string{target.URL + "/other/", target.URL + "/app/../other/", "http://127.0.0.1:1/app/", "file:///etc/passwd"} {
		if got := r.bearer(http.MethodGet, "/userinfo/impersonate?url="+url.QueryEscape(other), token); got.status != http.StatusForbidden {
			t.Errorf("%s: %d %s", other, got.status, got.body)
		}
	}
	unentitled := r.machine("test", "test").post("/token", "grant_type", "password", "username", "alice", "password", "wonderland").text("access_token")
	if got := r.bearer(http.MethodGet, "/userinfo/impersonate?url="+url.QueryEscape(target.URL+"/app/"), unentitled); got.status != http.StatusForbidden {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// After a leader's clock had jumped ahead, records are stamped with a time that is ahead. Clients see nothing of it.
func TestGrantsGoOnWhereTheLogIsAhead(t *testing.T) {
	r := newRig(t, `
kind: ServiceProvider
name: refreshing
spec:
  type: oidc
  oidc: {clientSecret: builder-of-webs, flows: {authorizationCode: true, refresh: true, clientCredentials: true}, responseURLs: ["https://app.example.com/cb"], allowedScopes: [openid, api]}
`)
	r.house.Ahead(30 * 24 * time.Hour)
	m := r.machine("refreshing", "builder-of-webs")
	first := m.post("/token", "grant_type", "authorization_code", "code", r.browser("alice:wonderland").authorize("client_id", "refreshing").values.Get("code"))
	if first.status != http.StatusOK {
		t.Fatalf("%d %s", first.status, first.body)
	}
	next := first
	for range 3 {
		if next = m.post("/token", "grant_type", "refresh_token", "refresh_token", next.text("refresh_token")); next.status != http.StatusOK {
			t.Fatalf("%d %s", next.status, next.body)
		}
	}
	counts := func(token, answer string) {
		t.Helper()
		if got := m.post("/token_info", "token", token); !strings.HasPrefix(got.body, answer) {
			t.Errorf("%d %s, want %s", got.status, got.body, answer)
		}
	}
	counts(first.text("access_token"), `{"active":true`)
	counts(next.text("access_token"), `{"active":true`)
	m.post("/revoke", "token", first.text("access_token"))
	counts(first.text("access_token"), `{"active":false}`)
	counts(next.text("access_token"), `{"active":true`)
	own := m.post("/token", "grant_type", "client_credentials").text("access_token")
	counts(own, `{"active":true`)
	if err := r.house.Engine.VoidTokens(t.Context(), "refreshing", "", "admin"); err != nil {
		t.Fatal(err)
	}
	counts(own, `{"active":false}`)
	counts(m.post("/token", "grant_type", "client_credentials").text("access_token"), `{"active":true`)
}

// A token is as good as the key that signed it, also at a node that has verified it before.
func TestTokensOfAKeyThatIsTakenBackAreVoid(t *testing.T) {
	verifier := strings.Repeat("v", 50)
	r := newRig(t)
	redeemed := func() string {
		got := r.machine("spa", "").post("/token", "grant_type", "authorization_code", "redirect_uri", "https://spa.example.com/cb", "code_verifier", verifier,
			"code", r.browser("alice:wonderland").code("client_id", "spa", "redirect_uri", "https://spa.example.com/cb", "code_challenge", challengeOf(verifier), "code_challenge_method", "S256"))
		if got.status != http.StatusOK {
			t.Fatalf("%d %s", got.status, got.body)
		}
		return got.text("access_token")
	}
	token := redeemed()
	for range 2 {
		if info := r.bearer(http.MethodGet, "/userinfo", token); info.status != http.StatusOK {
			t.Fatalf("%d %s", info.status, info.body)
		}
	}
	if _, err := r.house.Engine.RotateKeys(t.Context(), &engine.Rotation{Issuer: "corp", By: "admin"}); err != nil {
		t.Fatal(err)
	}
	if info := r.bearer(http.MethodGet, "/userinfo", token); info.status != http.StatusOK {
		t.Errorf("after a rotation with its time: %d %s", info.status, info.body)
	}
	if _, err := r.house.Engine.RotateKeys(t.Context(), &engine.Rotation{Issuer: "corp", AtOnce: true, By: "admin"}); err != nil {
		t.Fatal(err)
	}
	if info := r.bearer(http.MethodGet, "/userinfo", token); info.status != http.StatusUnauthorized || info.text("error") != "invalid_token" {
		t.Errorf("after its key was taken back: %d %s", info.status, info.body)
	}
	if info := r.bearer(http.MethodGet, "/userinfo", redeemed()); info.status != http.StatusOK {
		t.Errorf("%d %s", info.status, info.body)
	}
}
