package oidc

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// modules are tests named after the modules of the OpenID Foundation's plans that run with several response types and modes; plans_test.go has the others.
var modules = map[string]func(t *testing.T, r *rig){
	"oidcc-server": func(t *testing.T, r *rig) {
		b := r.browser("alice:wonderland")
		a := b.authorize("scope", "openid profile")
		if a.location == nil || a.location.Host != "app.example.com" || a.values.Get("state") != "s1" || a.values.Get("iss") != r.url {
			t.Fatalf("%d %v", a.status, a.location)
		}
		got := r.redeemed(a)
		if r.style.hasCode() && (got.status != http.StatusOK || got.text("token_type") != "Bearer" || got.header.Get("Cache-Control") != "no-store") {
			t.Fatalf("%d %s", got.status, got.body)
		}
		claims := r.claims(got.text("id_token"))
		now := time.Now().Unix()
		if claims["iss"] != r.url || claims["aud"] != "web" || claims["nonce"] != "n1" || claims["sub"] != "alice" || claims["exp"].(float64) < float64(now) || claims["iat"].(float64) > float64(now+5) {
			t.Errorf("%v", claims)
		}
		if got.text("access_token") == "" {
			return // response_type=id_token has none
		}
		info := r.bearer(http.MethodGet, "/userinfo", got.text("access_token"))
		if info.status != http.StatusOK || info.json["sub"] != claims["sub"] {
			t.Errorf("%d %s", info.status, info.body)
		}
	},
	"oidcc-response-type-missing": func(t *testing.T, r *rig) {
		a := r.browser("alice:wonderland").authorize("response_type", "")
		if a.values.Get("error") != "invalid_request" || a.values.Get("state") != "s1" {
			t.Errorf("%d %v", a.status, a.location)
		}
	},
	"oidcc-idtoken-signature": func(t *testing.T, r *rig) {
		token := r.browser("alice:wonderland").tokens().text("id_token")
		if r.claims(token)["sub"] != "alice" {
			t.Error("it is not signed by a published key")
		}
		signed, err := jose.ParseSignedCompact(token, jwsAlgorithms[:])
		if err != nil || signed.Signatures[0].Header.Algorithm != "RS256" || signed.Signatures[0].Header.KeyID == "" {
			t.Errorf("%v %v", signed, err)
		}
	},
	// An ID token is never unsigned, whoever asks for it.
	"oidcc-idtoken-unsigned": func(t *testing.T, r *rig) {
		request, _ := http.NewRequest(http.MethodGet, r.url+"/.well-known/openid-configuration", nil)
		if algorithms, _ := r.call(request).json["id_token_signing_alg_values_supported"].([]any); len(algorithms) == 0 || slices.Contains(algorithms, any("none")) {
			t.Errorf("%v", algorithms)
		}
	},
	"oidcc-alternate-happy-flow": func(t *testing.T, r *rig) { // another client, another redirect URI, a short nonce and state, and nothing that is not needed
		a := r.browser("alice:wonderland").authorize("redirect_uri", "https://app.example.com/cb?x=1", "state", "1", "nonce", "2", "scope", "email openid")
		if a.values.Get("state") != "1" || a.location == nil || a.location.Query().Get("x") != "1" {
			t.Fatalf("%d %v", a.status, a.location)
		}
		if claims := r.claims(r.redeemed(a).text("id_token")); claims["nonce"] != "2" {
			t.Errorf("%v", claims)
		}
	},
	"oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported": func(t *testing.T, r *rig) {
		a := r.browser("alice:wonderland").authorize("request_uri", "https://app.example.com/request.jwt")
		if a.values.Get("error") != "request_uri_not_supported" || a.values.Get("state") != "s1" {
			t.Errorf("%d %v", a.status, a.location)
		}
	},
	"oidcc-ensure-request-without-nonce-fails": func(t *testing.T, r *rig) {
		if a := r.browser("alice:wonderland").authorize("nonce", ""); a.values.Get("error") != "invalid_request" || a.values.Get("state") != "s1" {
			t.Errorf("%d %v", a.status, a.location)
		}
	},
	"oidcc-userinfo-get":         func(t *testing.T, r *rig) { userInfo(t, r, http.MethodGet, false) },
	"oidcc-userinfo-post-header": func(t *testing.T, r *rig) { userInfo(t, r, http.MethodPost, false) },
	"oidcc-userinfo-post-body":   func(t *testing.T, r *rig) { userInfo(t, r, http.MethodPost, true) },
	"oidcc-ensure-request-without-nonce-succeeds-for-code-flow": func(t *testing.T, r *rig) {
		got := r.browser("alice:wonderland").tokens("nonce", "")
		if _, has := r.claims(got.text("id_token"))["nonce"]; has {
			t.Error("there is a nonce")
		}
	},
	"oidcc-scope-profile": func(t *testing.T, r *rig) {
		scopes(t, r, "profile", "name", "given_name", "family_name", "birthdate")
	},
	"oidcc-scope-email":   func(t *testing.T, r *rig) { scopes(t, r, "email", "email", "email_verified") },
	"oidcc-scope-address": func(t *testing.T, r *rig) { scopes(t, r, "address", "address") },
	"oidcc-scope-phone":   func(t *testing.T, r *rig) { scopes(t, r, "phone", "phone_number") },
	"oidcc-scope-all": func(t *testing.T, r *rig) {
		info := scopes(t, r, "profile email address phone", "name", "given_name", "family_name", "birthdate", "email", "email_verified", "address", "phone_number")
		if info["email_verified"] != true {
			t.Errorf("email_verified is %v", info["email_verified"])
		}
		if a, _ := info["address"].(map[string]any); a["formatted"] != "1 Rabbit Hole" {
			t.Errorf("address is %v", info["address"])
		}
	},
	"oidcc-ensure-other-scope-order-succeeds": func(t *testing.T, r *rig) {
		if got := r.browser("alice:wonderland").tokens("scope", "email openid"); got.text("id_token") == "" {
			t.Errorf("%s", got.body)
		}
	},
	"oidcc-display-page":  func(t *testing.T, r *rig) { r.browser("alice:wonderland").tokens("display", "page") },
	"oidcc-display-popup": func(t *testing.T, r *rig) { r.browser("alice:wonderland").tokens("display", "popup") },
	"oidcc-prompt-login": func(t *testing.T, r *rig) {
		b := r.browser("alice:wonderland")
		first := r.claims(b.tokens().text("id_token"))
		b.login = ""
		if a := b.authorize("prompt", "login"); !strings.HasPrefix(a.page, "login") {
			t.Fatalf("the person was not asked: %v", a.location)
		}
		r.clock.forward(5 * time.Second)
		b.login = "alice:wonderland"
		second := r.claims(b.tokens("prompt", "login").text("id_token"))
		if second["auth_time"].(float64) <= first["auth_time"].(float64) || second["sub"] != first["sub"] {
			t.Errorf("%v, then %v", first, second)
		}
	},
	"oidcc-prompt-none-not-logged-in": func(t *testing.T, r *rig) {
		a := r.browser("").authorize("prompt", "none")
		if a.values.Get("error") != "login_required" || a.values.Get("state") != "s1" || a.values.Get("iss") != r.url {
			t.Errorf("%d %v", a.status, a.location)
		}
	},
	"oidcc-prompt-none-logged-in": func(t *testing.T, r *rig) {
		b := r.browser("alice:wonderland")
		first := r.claims(b.tokens().text("id_token"))
		b.login = ""
		second := r.claims(b.tokens("prompt", "none").text("id_token"))
		if first["sub"] != second["sub"] || first["auth_time"] != second["auth_time"] {
			t.Errorf("%v, then %v", first, second)
		}
	},
	"oidcc-max-age-1": func(t *testing.T, r *rig) {
		b := r.browser("alice:wonderland")
		first := r.claims(b.tokens().text("id_token"))
		r.clock.forward(3 * time.Second)
		b.login = ""
		if a := b.authorize("max_age", "1"); !strings.HasPrefix(a.page, "login") {
			t.Fatalf("the person was not asked: %v", a.location)
		}
		b.login = "alice:wonderland"
		second := r.claims(b.tokens("max_age", "1").text("id_token"))
		if second["auth_time"].(float64) <= first["auth_time"].(float64) {
			t.Errorf("%v, then %v", first, second)
		}
	},
	"oidcc-max-age-10000": func(t *testing.T, r *rig) {
		b := r.browser("alice:wonderland")
		first := r.claims(b.tokens().text("id_token"))
		b.login = ""
		second := r.claims(b.tokens("max_age", "10000").text("id_token"))
		if first["auth_time"] != second["auth_time"] {
			t.Errorf("%v, then %v", first, second)
		}
	},
	"oidcc-ensure-request-with-unknown-parameter-succeeds": func(t *testing.T, r *rig) { r.browser("alice:wonderland").tokens("extra", "foobar") },
	"oidcc-id-token-hint": func(t *testing.T, r *rig) {
		b := r.browser("alice:wonderland")
		hint := b.tokens().text("id_token")
		b.login = ""
		second := r.claims(b.tokens("prompt", "none", "id_token_hint", hint).text("id_token"))
		if second["sub"] != "alice" {
			t.Errorf("%v", second)
		}
		other := r.browser("bob:builder")
		if a := other.authorize("id_token_hint", hint); a.values.Get("error") != "login_required" {
			t.Errorf("another person than the hint's: %v", a.location)
		}
		if a := b.authorize("id_token_hint", hint+"x"); a.values.Get("error") != "invalid_request" {
			t.Errorf("a forged hint: %v", a.location)
		}
	},
	"oidcc-login-hint": func(t *testing.T, r *rig) {
		b := r.browser("")
		if a := b.authorize("login_hint", "alice"); !strings.HasSuffix(a.page, "hint alice") {
			t.Errorf("%s", a.page)
		}
	},
	"oidcc-ui-locales":     func(t *testing.T, r *rig) { r.browser("alice:wonderland").tokens("ui_locales", "se es") },
	"oidcc-claims-locales": func(t *testing.T, r *rig) { r.browser("alice:wonderland").tokens("claims_locales", "se") },
	"oidcc-ensure-request-with-acr-values-succeeds": func(t *testing.T, r *rig) {
		claims := r.claims(r.browser("alice:wonderland").tokens("acr_values", "1 2").text("id_token"))
		if claims["acr"] != "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport" || !slices.Equal(claims["amr"].([]any), []any{"pwd"}) {
			t.Errorf("%v", claims)
		}
	},
	"oidcc-codereuse": func(t *testing.T, r *rig) {
		web := r.machine("web", "builder-of-webs")
		code := r.browser("alice:wonderland").code()
		first := web.post("/token", "grant_type", "authorization_code", "code", code)
		if second := web.post("/token", "grant_type", "authorization_code", "code", code); second.status != http.StatusBadRequest || second.text("error") != "invalid_grant" {
			t.Errorf("%d %s", second.status, second.body)
		}
		if info := r.bearer(http.MethodGet, "/userinfo", first.text("access_token")); info.status != http.StatusUnauthorized {
			t.Errorf("the access token is good still: %d", info.status)
		}
		if again := web.post("/token", "grant_type", "refresh_token", "refresh_token", first.text("refresh_token")); again.text("error") != "invalid_grant" {
			t.Errorf("the refresh token is good still: %s", again.body)
		}
	},
	"oidcc-codereuse-30seconds": func(t *testing.T, r *rig) {
		web := r.machine("web", "builder-of-webs")
		code := r.browser("alice:wonderland").code()
		first := web.post("/token", "grant_type", "authorization_code", "code", code)
		r.clock.forward(30 * time.Second)
		if second := web.post("/token", "grant_type", "authorization_code", "code", code); second.text("error") != "invalid_grant" {
			t.Errorf("%d %s", second.status, second.body)
		}
		if info := r.bearer(http.MethodGet, "/userinfo", first.text("access_token")); info.status != http.StatusUnauthorized {
			t.Errorf("the access token is good still: %d", info.status)
		}
	},
	"oidcc-ensure-registered-redirect-uri": func(t *testing.T, r *rig) {
		a := r.browser("alice:wonderland").authorize("redirect_uri", "https://app.example.com/other")
		if a.status != http.StatusBadRequest || a.location != nil || !strings.Contains(a.body, "reference") {
			t.Errorf("%d %v %s", a.status, a.location, a.body)
		}
	},
	"oidcc-ensure-post-request-succeeds": func(t *testing.T, r *rig) {
		b := r.browser("alice:wonderland")
		if a := b.post("/authorization", b.usual()); a.values.Get("code") == "" && a.values.Get("id_token") == "" {
			t.Errorf("%d %v", a.status, a.location)
		}
	},
	"oidcc-server-client-secret-post": func(t *testing.T, r *rig) {
		code := r.browser("alice:wonderland").code()
		got := (&machine{r, "", ""}).post("/token", "grant_type", "authorization_code", "code", code, "client_id", "web", "client_secret", "builder-of-webs")
		if got.status != http.StatusOK {
			t.Errorf("%d %s", got.status, got.body)
		}
	},
	"oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported": func(t *testing.T, r *rig) {
		object := unsigned(map[string]any{"client_id": "web", "response_type": r.style.responseType(), "nonce": "from-object", "state": "from-object", "iss": "web", "aud": r.url})
		a := r.browser("alice:wonderland").authorize("request", object)
		if a.values.Get("state") != "from-object" {
			t.Fatalf("%v", a.location)
		}
		claims := r.claims(r.redeemed(a).text("id_token"))
		if claims["nonce"] != "from-object" {
			t.Errorf("%v", claims)
		}
	},
	"oidcc-claims-essential": func(t *testing.T, r *rig) {
		got := r.browser("alice:wonderland").tokens("claims", `{"userinfo":{"name":{"essential":true}}}`)
		if got.text("access_token") == "" {
			return // the parameter has nothing else that it could be about
		}
		if info := r.bearer(http.MethodGet, "/userinfo", got.text("access_token")); info.json["name"] != "Alice Liddell" || info.json["email"] != nil {
			t.Errorf("%s", info.body)
		}
	},
	"oidcc-claims-in-id-token": func(t *testing.T, r *rig) {
		claims := r.claims(r.browser("alice:wonderland").tokens("claims", `{"id_token":{"email":null,"nothing":null}}`).text("id_token"))
		if claims["email"] != "alice@example.org" {
			t.Errorf("%v", claims)
		}
	},
	"oidcc-ensure-request-object-with-redirect-uri": func(t *testing.T, r *rig) {
		object := unsigned(map[string]any{"client_id": "web", "response_type": r.style.responseType(), "redirect_uri": "https://app.example.com/cb?x=1"})
		a := r.browser("alice:wonderland").authorize("request", object, "redirect_uri", "https://app.example.com/elsewhere")
		if a.values.Get("state") != "s1" || a.values.Get("error") != "" || a.location == nil || a.location.Query().Get("x") != "1" {
			t.Errorf("%d %v %s", a.status, a.location, a.body)
		}
	},
	"oidcc-refresh-token": func(t *testing.T, r *rig) {
		web := r.machine("web", "builder-of-webs")
		first := web.post("/token", "grant_type", "authorization_code", "code", r.browser("alice:wonderland").code("scope", "openid offline_access"))
		second := web.post("/token", "grant_type", "refresh_token", "refresh_token", first.text("refresh_token"))
		if second.status != http.StatusOK || second.text("access_token") == first.text("access_token") || second.text("refresh_token") == first.text("refresh_token") {
			t.Fatalf("%d %s", second.status, second.body)
		}
		was, is := r.claims(first.text("id_token")), r.claims(second.text("id_token"))
		for _, name := range []string{"iss", "sub", "aud", "azp", "auth_time"} {
			if was[name] != is[name] {
				t.Errorf("%s was %v and is %v", name, was[name], is[name])
			}
		}
		if other := r.machine("test", "test").post("/token", "grant_type", "refresh_token", "refresh_token", second.text("refresh_token")); other.text("error") != "invalid_grant" {
			t.Errorf("another client: %s", other.body)
		}
	},
	"oidcc-ensure-request-with-valid-pkce-succeeds": func(t *testing.T, r *rig) {
		verifier := strings.Repeat("a", 64)
		code := r.browser("alice:wonderland").code("code_challenge", challengeOf(verifier), "code_challenge_method", "S256")
		got := r.machine("web", "builder-of-webs").post("/token", "grant_type", "authorization_code", "code", code, "code_verifier", verifier)
		if got.status != http.StatusOK {
			t.Errorf("%d %s", got.status, got.body)
		}
	},
}

func userInfo(t *testing.T, r *rig, method string, inBody bool) {
	t.Helper()
	token := r.browser("alice:wonderland").tokens("scope", "openid email").text("access_token")
	var info *reply
	if inBody {
		info = r.bearer(method, "/userinfo", "", "access_token", token)
	} else {
		info = r.bearer(method, "/userinfo", token)
	}
	if info.status != http.StatusOK || info.json["sub"] != "alice" || info.json["email"] != "alice@example.org" || !strings.HasPrefix(info.header.Get("Content-Type"), "application/json") {
		t.Errorf("%d %s", info.status, info.body)
	}
}

// scopes asks for scopes and checks that their claims are told, and no others.
func scopes(t *testing.T, r *rig, asked string, names ...string) map[string]any {
	t.Helper()
	got := r.browser("alice:wonderland").tokens("scope", "openid "+asked)
	var told map[string]any
	if access := got.text("access_token"); access != "" {
		told = r.bearer(http.MethodGet, "/userinfo", access).json
	} else { // OpenID Connect Core 1.0 section 5.4: they are in the ID token then
		told = r.claims(got.text("id_token"))
		for _, own := range []string{"iss", "aud", "azp", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid"} {
			delete(told, own)
		}
	}
	var have []string
	for name := range told {
		have = append(have, name)
	}
	names = append(names, "sub")
	slices.Sort(names)
	slices.Sort(have)
	if !slices.Equal(have, names) {
		t.Errorf("%s gives %v, want %v", asked, have, names)
	}
	return told
}

// unsigned returns a request object with algorithm none.
func unsigned(members map[string]any) string {
	body, _ := json.Marshal(members)
	return encodePart([]byte(`{"alg":"none"}`)) + "." + encodePart(body) + "."
}

// style is how authorization requests are answered.
type style struct{ response, mode string }

func (s style) responseType() string {
	if s.response == "" {
		return "code"
	}
	return s.response
}

func (s style) has(what string) bool { return slices.Contains(strings.Fields(s.responseType()), what) }
func (s style) hasCode() bool        { return s.has("code") }

// usual is usual in the rig's style.
func (b *browser) usual(change ...string) url.Values {
	s := b.rig.style
	var own []string
	if s.response != "" && !slices.Contains(change, "response_type") {
		own = append(own, "response_type", s.response)
	}
	if s.mode != "" {
		own = append(own, "response_mode", s.mode)
	}
	return usual(append(own, change...)...)
}

// tokens logs a browser in and returns what the client web gets by it.
func (b *browser) tokens(change ...string) *reply {
	b.rig.t.Helper()
	a := b.authorize(change...)
	if a.location == nil || a.values.Get("error") != "" {
		b.rig.t.Fatalf("%d %s %v %s", a.status, a.page, a.location, a.body)
	}
	return b.rig.redeemed(a)
}

// redeemed returns what the client web gets by an authorization response: the answer of the token endpoint where there is a code, else what the response brought itself.
func (r *rig) redeemed(a *answer) *reply {
	r.t.Helper()
	if code := a.values.Get("code"); code != "" {
		return r.machine("web", "builder-of-webs").post("/token", "grant_type", "authorization_code", "code", code)
	}
	out := &reply{status: a.status, header: a.header, json: map[string]any{}}
	for name := range a.values {
		out.json[name] = a.values.Get(name)
	}
	return out
}
