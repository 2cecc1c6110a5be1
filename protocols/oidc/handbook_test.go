package oidc

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// The requests and responses of the handbook, as they are written there.
func TestHandbook(t *testing.T) {
	r := newRig(t, registrarDocument+`
---
kind: ServiceProvider
name: hidden
spec:
  type: oidc-dynamic
  consent: true
  oidc-dynamic: {flows: {authorizationCode: true}, hideSecrets: true, registrationToken: {token: hidden-token, maxClients: 20}}
`)
	raw := func(t *testing.T, method, path, body string, headers ...string) *reply {
		t.Helper()
		request, err := http.NewRequest(method, r.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			request.Header.Set(headers[i], headers[i+1])
		}
		return r.call(request)
	}
	const basic, form = "Basic dGVzdDp0ZXN0", "application/x-www-form-urlencoded"
	five := regexp.MustCompile(`^\{"access_token":"[^"]+","refresh_token":"[^"]+","id_token":"[^"]+","token_type":"Bearer","expires_in":11998\}$`)
	b := r.browser("alice:wonderland")
	request, err := http.NewRequest(http.MethodGet, r.url+"/authorization?redirect_uri=https://serviceprovider/response&client_id=test&nonce=12345679801234567890&scope=openid+test+other&response_type=code", nil)
	if err != nil {
		t.Fatal(err)
	}
	a := b.do(request)
	if a.location == nil || !strings.HasPrefix(a.location.String(), "https://serviceprovider/response?code=") || a.values.Get("nonce") != "12345679801234567890" {
		t.Fatalf("%d %v %s", a.status, a.location, a.body)
	}
	var refresh string
	t.Run("1. authorization code", func(t *testing.T) {
		got := raw(t, http.MethodPost, "/token", "grant_type=authorization_code&code="+a.values.Get("code"), "Accept", "application/json", "Authorization", basic, "Content-Type", form)
		if got.status != http.StatusOK || !five.MatchString(got.body) {
			t.Fatalf("%d %s", got.status, got.body)
		}
		refresh = got.text("refresh_token")
	})
	t.Run("1. refresh", func(t *testing.T) {
		got := raw(t, http.MethodPost, "/token", "grant_type=refresh_token&refresh_token="+refresh, "Accept", "application/json", "Authorization", basic, "Content-Type", form)
		if got.status != http.StatusOK || !five.MatchString(got.body) {
			t.Fatalf("%d %s", got.status, got.body)
		}
		refresh = got.text("refresh_token")
	})
	t.Run("1. refresh by refresh_code", func(t *testing.T) {
		got := raw(t, http.MethodPost, "/token", "grant_type=refresh_token&refresh_code="+refresh, "Authorization", basic, "Content-Type", form)
		if got.status != http.StatusOK || !five.MatchString(got.body) {
			t.Fatalf("%d %s", got.status, got.body)
		}
	})
	var token string
	t.Run("2. user's password and client credentials", func(t *testing.T) {
		got := raw(t, http.MethodPost, "/token", "grant_type=password&username=alice&password=wonderland", "Accept", "application/json", "Authorization", basic, "Content-Type", form)
		if got.status != http.StatusOK || !five.MatchString(got.body) {
			t.Fatalf("%d %s", got.status, got.body)
		}
		token = got.text("access_token")
	})
	t.Run("2. wrong password", func(t *testing.T) {
		wrong := raw(t, http.MethodPost, "/token", "grant_type=password&username=alice&password=rabbit", "Authorization", basic, "Content-Type", form)
		nobody := raw(t, http.MethodPost, "/token", "grant_type=password&username=bob&password=rabbit", "Authorization", basic, "Content-Type", form)
		reference := regexp.MustCompile(` \(reference [^)]*\)`)
		if wrong.status != http.StatusBadRequest || wrong.text("error") != "invalid_grant" || reference.ReplaceAllString(wrong.body, "") != reference.ReplaceAllString(nobody.body, "") {
			t.Errorf("%d %s, of another person %s", wrong.status, wrong.body, nobody.body)
		}
		if !reference.MatchString(wrong.body) {
			t.Errorf("there is no reference: %s", wrong.body)
		}
	})
	t.Run("4. user attributes", func(t *testing.T) {
		got := raw(t, http.MethodGet, "/userinfo", "", "Accept", "application/json", "Authorization", "Bearer "+token)
		if got.body != `{"sub":"alice","given_name":"Alice","member_of":["TestRole2@soffid","TestRole@soffid"],"surname":"Liddell"}` {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
	var cookie string
	t.Run("5. session cookie", func(t *testing.T) {
		got := raw(t, http.MethodGet, "/session_cookie", "", "Accept", "application/json", "Authorization", "Bearer "+token)
		if !regexp.MustCompile(`^\{"cookie_domain":"cookied","user":"alice","cookie_value":"[^"]+","cookie_name":"cookien"\}$`).MatchString(got.body) {
			t.Fatalf("%d %s", got.status, got.body)
		}
		cookie = got.text("cookie_value")
		other := r.browser("")
		u, _ := url.Parse(r.url)
		other.client.Jar.SetCookies(u, []*http.Cookie{{Name: "cookien", Value: cookie, Path: "/", Secure: true}})
		if other.code("prompt", "none") == "" {
			t.Error("the browser is not logged in")
		}
	})
	t.Run("3. closing the session", func(t *testing.T) {
		got := raw(t, http.MethodPost, "/revoke", "token_type_hint=token=access_token&token="+token, "Accept", "application/json", "Content-type", form, "Authorization", basic)
		if got.status != http.StatusOK || got.body != "" {
			t.Errorf("%d %s", got.status, got.body)
		}
		if info := raw(t, http.MethodGet, "/userinfo", "", "Authorization", "Bearer "+token); info.status != http.StatusUnauthorized {
			t.Errorf("the token is good still: %d", info.status)
		}
		got = raw(t, http.MethodPost, "/revoke", "token_type_hint=session_cookie&token="+cookie, "Content-type", form, "Authorization", basic)
		if _, live := r.house.Engine.Session(cookie); got.status != http.StatusOK || live {
			t.Errorf("%d %s, live %v", got.status, got.body, live)
		}
	})
	t.Run("dynamic registration", func(t *testing.T) {
		const sample = `{
  "application_type": "web",
  "redirect_uris":
       ["https://client.example.org/callback",
       "https://client.example.org/callback2"],
  "client_name": "My Example 7",
  "logo_uri": "https://client.example.org/logo.png",
  "subject_type":  "pairwise",
  "token_endpoint_auth_method": "client_secret_basic",
  "jwks_uri": "https://client.example.org/my_public_keys.jwks",
  "userinfo_encrypted_response_alg": "RSA1_5",
  "userinfo_encrypted_response_enc": "A128CBC-HS256",
  "contacts": ["ve7jtb@example.org", "mary@example.org"],
  "request_uris":
       ["https://client.example.org/rf.txt#qpXaRLh_n93TTR9F252ValdatUQvQiJi5BDub2BeznA"]
}`
		got := raw(t, http.MethodPost, "/register", sample, "Authorization", "Bearer hidden-token", "Content-type", form)
		shape := regexp.MustCompile(`^\{"client_secret_expires_at":0,"registration_client_uri":"https://127\.0\.0\.1:\d+/register\?client_id=(DR_\w+)","client_secret":"[\w-]{48}",` +
			`"redirect_uris":\["https://client\.example\.org/callback","https://client\.example\.org/callback2"\],"registration_access_token":"[\w-]{48}","client_name":"My Example 7","client_id":"(DR_\w+)"\}$`)
		if got.status != http.StatusOK || !shape.MatchString(got.body) {
			t.Fatalf("%d %s", got.status, got.body)
		}
		read := raw(t, http.MethodGet, "/register?client_id="+got.text("client_id"), "", "Authorization", "Bearer "+got.text("registration_access_token"), "Content-type", "application/json")
		want := regexp.MustCompile(`^\{"client_secret_expires_at":0,"registration_client_uri":"[^"]+","redirect_uris":\[[^\]]+\],"client_name":"My Example 7","client_id":"DR_\w+"\}$`)
		if read.status != http.StatusOK || !want.MatchString(read.body) {
			t.Errorf("%d %s", read.status, read.body)
		}
	})
}

// What the profile moves is where it says.
func TestEndpointsAreMoved(t *testing.T) {
	r := newRig(t)
	moved := strings.ReplaceAll(strings.Split(houseDocuments[strings.Index(houseDocuments, "kind: IdentityProvider"):], "\n---")[0], "PORT", r.url[strings.LastIndex(r.url, ":")+1:])
	r.house.Put(strings.Replace(moved, "openid: {enabled: true}", "openid: {enabled: true, token: /oauth/token, userinfo: /me, tokenInfo: /introspect, registration: /clients}", 1))
	request, _ := http.NewRequest(http.MethodGet, r.url+"/.well-known/openid-configuration", nil)
	got := r.call(request)
	for name, want := range map[string]string{"token_endpoint": "/oauth/token", "userinfo_endpoint": "/me", "introspection_endpoint": "/introspect", "registration_endpoint": "/clients"} {
		if got.json[name] != r.url+want {
			t.Errorf("%s is %v", name, got.json[name])
		}
	}
	web := r.machine("web", "builder-of-webs")
	if old := web.post("/token", "grant_type", "client_credentials"); old.status != http.StatusNotFound {
		t.Errorf("the former place answers: %d", old.status)
	}
	if is := web.post("/oauth/token", "grant_type", "client_credentials"); is.status != http.StatusOK {
		t.Errorf("%d %s", is.status, is.body)
	}
}
