package oidc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"trine/engine"
)

// What implicit and hybrid flows have beside the modules of their plans, for each response type in each order.
func TestResponsesOfEachType(t *testing.T) {
	for _, c := range []struct {
		plan, response string
		code, id, tok  bool
	}{
		{"implicit", "id_token", false, true, false},
		{"implicit", "id_token token", false, true, true},
		{"implicit", "token id_token", false, true, true},
		{"hybrid", "code id_token", true, true, false},
		{"hybrid", "code token", true, false, true},
		{"hybrid", "code id_token token", true, true, true},
		{"hybrid", "id_token code token", true, true, true},
	} {
		t.Run(c.plan+"/"+c.response, func(t *testing.T) {
			r := newRig(t)
			b, web := r.browser("alice:wonderland"), r.machine("web", "builder-of-webs")
			t.Run("oidcc-server", func(t *testing.T) {
				a := b.authorize("response_type", c.response)
				if a.location == nil || a.location.RawQuery != "" || a.values.Get("state") != "s1" || a.values.Get("iss") != r.url {
					t.Fatalf("%d %v", a.status, a.location)
				}
				if has := a.values.Get("code") != ""; has != c.code {
					t.Errorf("code: %v", has)
				}
				if has := a.values.Get("access_token") != ""; has != c.tok {
					t.Errorf("access_token: %v", has)
				}
				if has := a.values.Get("id_token") != ""; has != c.id {
					t.Errorf("id_token: %v", has)
				}
				if c.tok && (a.values.Get("token_type") != "Bearer" || a.values.Get("expires_in") != "11998") {
					t.Errorf("%v", a.values)
				}
				if c.id {
					claims := r.claims(a.values.Get("id_token"))
					if claims["nonce"] != "n1" || claims["sub"] != "alice" {
						t.Errorf("%v", claims)
					}
					if c.tok && claims["at_hash"] != halfHash("RS256", a.values.Get("access_token")) || !c.tok && claims["at_hash"] != nil {
						t.Errorf("at_hash is %v", claims["at_hash"])
					}
					if c.code && claims["c_hash"] != halfHash("RS256", a.values.Get("code")) || !c.code && claims["c_hash"] != nil {
						t.Errorf("c_hash is %v", claims["c_hash"])
					}
					if c.code && claims["s_hash"] != halfHash("RS256", "s1") {
						t.Errorf("s_hash is %v", claims["s_hash"])
					}
				}
				if c.tok {
					if info := r.bearer(http.MethodGet, "/userinfo", a.values.Get("access_token")); info.json["sub"] != "alice" {
						t.Errorf("%d %s", info.status, info.body)
					}
				}
				if c.code {
					got := web.post("/token", "grant_type", "authorization_code", "code", a.values.Get("code"), "redirect_uri", "https://app.example.com/cb")
					if got.status != http.StatusOK || r.claims(got.text("id_token"))["sub"] != "alice" {
						t.Errorf("%d %s", got.status, got.body)
					}
				}
			})
			t.Run("oidcc-ensure-request-without-nonce-fails", func(t *testing.T) {
				if !c.id {
					t.Skip("there is no ID token in the response")
				}
				a := b.authorize("response_type", c.response, "nonce", "")
				if a.values.Get("error") != "invalid_request" || a.location.RawQuery != "" {
					t.Errorf("%v", a.location)
				}
			})
			t.Run("tokens are never in a query", func(t *testing.T) {
				a := b.authorize("response_type", c.response, "response_mode", "query")
				if a.values.Get("error") != "invalid_request" || a.location.RawQuery != "" {
					t.Errorf("%v", a.location)
				}
			})
			t.Run("oidcc-scope-email", func(t *testing.T) {
				a := b.authorize("response_type", c.response, "scope", "openid email")
				if c.id && !c.tok && !c.code { // nothing else gets the claims
					if claims := r.claims(a.values.Get("id_token")); claims["email"] != "alice@example.org" {
						t.Errorf("%v", claims)
					}
				}
				if c.id && c.tok {
					if claims := r.claims(a.values.Get("id_token")); claims["email"] != nil {
						t.Errorf("%v", claims)
					}
				}
			})
			t.Run("oidcc-server with form_post", func(t *testing.T) {
				a := b.authorize("response_type", c.response, "response_mode", "form_post")
				form := formOf(t, a)
				if form.Get("state") != "s1" || (form.Get("code") != "") != c.code || (form.Get("id_token") != "") != c.id || (form.Get("access_token") != "") != c.tok {
					t.Errorf("%v", form)
				}
			})
		})
	}
}

var inputs = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)

// formOf returns the fields of a response in form_post.
func formOf(t *testing.T, a *answer) url.Values {
	t.Helper()
	if a.status != http.StatusOK || !strings.Contains(a.body, `<form method="post" action="https://app.example.com/cb`) {
		t.Fatalf("%d %s", a.status, a.body)
	}
	policy := a.header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, hashOf(formScript)) || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", a.header)
	}
	return formValues(a.body)
}

// formValues returns the values that the form of a page has.
func formValues(page string) url.Values {
	form := url.Values{}
	for _, m := range inputs.FindAllStringSubmatch(page, -1) {
		form.Add(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	return form
}

// Responses in form_post cannot be broken out of.
func TestFormPostEscapesWhatItSends(t *testing.T) {
	r := newRig(t)
	form := formOf(t, r.browser("alice:wonderland").authorize("response_mode", "form_post", "state", `a"><script>&+`))
	if form.Get("state") != `a"><script>&+` || form.Get("code") == "" || form.Get("iss") != r.url {
		t.Errorf("%v", form)
	}
}

// The plan oidcc-config-certification-test-plan.
func TestOIDCCConfig(t *testing.T) {
	r := newRig(t)
	request, _ := http.NewRequest(http.MethodGet, r.url+"/.well-known/openid-configuration", nil)
	got := r.call(request)
	t.Run("oidcc-discovery-endpoint-verification", func(t *testing.T) {
		if got.status != http.StatusOK || got.json["issuer"] != r.url || got.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Fatalf("%d %v %s", got.status, got.header, got.body)
		}
		for _, name := range []string{
			"authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "registration_endpoint", "revocation_endpoint", "introspection_endpoint", "end_session_endpoint",
			"check_session_iframe",
		} {
			text, _ := got.json[name].(string)
			u, err := url.Parse(text)
			if err != nil || !strings.HasPrefix(text, r.url+"/") {
				t.Errorf("%s is %q", name, text)
				continue
			}
			cache := r.house.Policies.Holder().Load()
			issuer, err := cache.Issuer("corp")
			if err != nil || r.provider.Endpoint(issuer, u.Path) == nil {
				t.Errorf("nothing answers %s", text)
			}
		}
		for name, want := range map[string][]string{
			"response_types_supported":              {"code", "id_token", "token id_token", "code id_token", "code token", "code token id_token"},
			"response_modes_supported":              {"query", "fragment", "form_post"},
			"id_token_signing_alg_values_supported": {"RS256"},
			"subject_types_supported":               {"public", "pairwise"},
			"scopes_supported":                      {"openid"},
			"code_challenge_methods_supported":      {"S256"},
		} {
			have := texts(got.json[name])
			for _, w := range want {
				if !slices.Contains(have, w) {
					t.Errorf("%s lacks %s: %v", name, w, have)
				}
			}
		}
		if slices.Contains(texts(got.json["id_token_signing_alg_values_supported"]), "none") {
			t.Error("ID tokens may have no signature")
		}
		for _, later := range []string{
			"pushed_authorization_request_endpoint", "device_authorization_endpoint", "backchannel_authentication_endpoint", "dpop_signing_alg_values_supported",
			"tls_client_certificate_bound_access_tokens", "authorization_signing_alg_values_supported", "mtls_endpoint_aliases",
		} {
			if _, has := got.json[later]; has {
				t.Errorf("%s is advertised", later)
			}
		}
		if got.json["request_uri_parameter_supported"] != false || got.json["claims_parameter_supported"] != true || got.json["authorization_response_iss_parameter_supported"] != true {
			t.Errorf("%s", got.body)
		}
	})
	t.Run("oidcc-server keys", func(t *testing.T) {
		set := r.keys()
		var algorithms []string
		for _, k := range set.Keys {
			if !k.IsPublic() || k.Use != "sig" || k.KeyID == "" {
				t.Errorf("%+v", k)
			}
			algorithms = append(algorithms, k.Algorithm)
		}
		if len(set.Keys) != 2 || !slices.Contains(algorithms, "ES256") {
			t.Errorf("%v", algorithms)
		}
	})
	t.Run("RFC 8414", func(t *testing.T) {
		request, _ := http.NewRequest(http.MethodGet, r.url+"/.well-known/oauth-authorization-server", nil)
		if other := r.call(request); other.body != got.body {
			t.Error("the metadata differ")
		}
	})
}

func texts(v any) (list []string) {
	all, _ := v.([]any)
	for _, one := range all {
		s, _ := one.(string)
		list = append(list, s)
	}
	return list
}

const registrarDocument = `
kind: ServiceProvider
name: registrar
spec:
  type: oidc-dynamic
  oidc-dynamic:
    flows: {authorizationCode: true, implicit: true}
    allowedScopes: [openid, profile, email, offline_access]
    claimsByScope: true
    registrationToken: {token: initial-access-token, maxClients: 3}
`

func (r *rig) register(t *testing.T, token, contentType string, metadata map[string]any) *reply {
	t.Helper()
	return r.registration(t, http.MethodPost, "/register", token, contentType, metadata)
}

func (r *rig) registration(t *testing.T, method, path, token, contentType string, metadata map[string]any) *reply {
	t.Helper()
	body, err := json.Marshal(metadata)
	if err != nil {
		t.Fatal(err)
	}
	if metadata == nil {
		body = nil
	}
	request, err := http.NewRequest(method, r.url+strings.TrimPrefix(path, r.url), strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("Authorization", "Bearer "+token)
	return r.call(request)
}

// A virtual identity provider that has a path is described where OpenID Connect Discovery 1.0 section 4 and RFC 8414 section 3.1 say, each in its own way.
func TestVirtualIssuerIsDiscoveredInBothWays(t *testing.T) {
	r := newRig(t, `
kind: IdentityProvider
name: partners
spec: {type: local, parent: corp, pathPrefix: /partners/abroad, profiles: {openid: {enabled: true}}}
`)
	for path, issuer := range map[string]string{
		"/.well-known/openid-configuration":                         r.url,
		"/.well-known/oauth-authorization-server":                   r.url,
		"/partners/abroad/.well-known/openid-configuration":         r.url + "/partners/abroad",
		"/.well-known/oauth-authorization-server/partners/abroad":   r.url + "/partners/abroad",
		"/.well-known/openid-configuration/partners/abroad":         r.url + "/partners/abroad",
		"/.well-known/oauth-authorization-server/partners":          "",
		"/.well-known/oauth-authorization-server/partners/abroad/x": "",
	} {
		request, _ := http.NewRequest(http.MethodGet, r.url+path, nil)
		got := r.call(request)
		switch {
		case issuer == "":
			if got.status != http.StatusNotFound {
				t.Errorf("%s: %d", path, got.status)
			}
		case got.text("issuer") != issuer || got.text("token_endpoint") != issuer+"/token":
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
}

// The plan oidcc-dynamic-certification-test-plan.
func TestOIDCCDynamic(t *testing.T) {
	const asJSON = "application/json"
	minimal := func() map[string]any {
		return map[string]any{"redirect_uris": []string{"https://app.example.com/cb"}, "client_name": "One"}
	}
	t.Run("oidcc-server", func(t *testing.T) {
		r := newRig(t, registrarDocument)
		got := r.register(t, "initial-access-token", asJSON, minimal())
		if got.status != http.StatusCreated || got.text("client_id") == "" || len(got.text("client_secret")) < 40 || got.json["client_secret_expires_at"] != 0.0 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		code := r.browser("alice:wonderland").code("client_id", got.text("client_id"), "scope", "openid email")
		tokens := r.machine(got.text("client_id"), got.text("client_secret")).post("/token", "grant_type", "authorization_code", "code", code, "redirect_uri", "https://app.example.com/cb")
		if tokens.status != http.StatusOK {
			t.Fatalf("%d %s", tokens.status, tokens.body)
		}
		if info := r.bearer(http.MethodGet, "/userinfo", tokens.text("access_token")); info.json["email"] != "alice@example.org" {
			t.Errorf("%s", info.body)
		}
		t.Run("oidcc-registration read", func(t *testing.T) {
			read := r.registration(t, http.MethodGet, got.text("registration_client_uri"), got.text("registration_access_token"), asJSON, nil)
			if read.status != http.StatusOK || read.text("client_secret") != got.text("client_secret") || read.text("registration_access_token") != got.text("registration_access_token") ||
				read.text("client_name") != "One" {
				t.Errorf("%d %s", read.status, read.body)
			}
			if wrong := r.registration(t, http.MethodGet, got.text("registration_client_uri"), "other", asJSON, nil); wrong.status != http.StatusUnauthorized {
				t.Errorf("another token: %d", wrong.status)
			}
		})
		t.Run("RFC 7592 update", func(t *testing.T) {
			change := minimal()
			change["client_id"], change["client_secret"], change["client_name"], change["redirect_uris"] = got.text("client_id"), got.text("client_secret"), "Two", []string{"https://app.example.com/cb2"}
			put := r.registration(t, http.MethodPut, got.text("registration_client_uri"), got.text("registration_access_token"), asJSON, change)
			if put.status != http.StatusOK || put.text("client_name") != "Two" || put.text("client_secret") != got.text("client_secret") {
				t.Fatalf("%d %s", put.status, put.body)
			}
			if a := r.browser("alice:wonderland").authorize("client_id", got.text("client_id")); a.location != nil {
				t.Errorf("the former redirect URI is good still: %v", a.location)
			}
		})
		t.Run("RFC 7592 delete", func(t *testing.T) {
			if gone := r.registration(t, http.MethodDelete, got.text("registration_client_uri"), got.text("registration_access_token"), asJSON, nil); gone.status != http.StatusNoContent {
				t.Fatalf("%d %s", gone.status, gone.body)
			}
			if read := r.registration(t, http.MethodGet, got.text("registration_client_uri"), got.text("registration_access_token"), asJSON, nil); read.status != http.StatusUnauthorized {
				t.Errorf("%d", read.status)
			}
			if info := r.bearer(http.MethodGet, "/userinfo", tokens.text("access_token")); info.status != http.StatusUnauthorized {
				t.Errorf("tokens of a client that is gone are good still: %d", info.status)
			}
		})
	})
	t.Run("as many clients as may be", func(t *testing.T) {
		r := newRig(t, registrarDocument)
		for i := range 4 {
			got := r.register(t, "initial-access-token", asJSON, minimal())
			if want := map[bool]int{true: http.StatusCreated, false: http.StatusForbidden}[i < 3]; got.status != want {
				t.Errorf("client %d: %d %s", i, got.status, got.body)
			}
		}
	})
	t.Run("initial access token", func(t *testing.T) {
		r := newRig(t, strings.Replace(registrarDocument, "maxClients: 3", "validUntil: 2020-01-01T00:00:00Z", 1))
		if got := r.register(t, "initial-access-token", asJSON, minimal()); got.status != http.StatusUnauthorized {
			t.Errorf("expired: %d %s", got.status, got.body)
		}
		if got := r.register(t, "other", asJSON, minimal()); got.status != http.StatusUnauthorized {
			t.Errorf("wrong: %d %s", got.status, got.body)
		}
	})
	r := newRig(t, strings.Replace(registrarDocument, "maxClients: 3", "maxClients: 100", 1))
	for _, m := range []struct {
		name, code string
		change     map[string]any
	}{
		{"oidcc-registration-logo-uri", "", map[string]any{"logo_uri": "https://app.example.com/logo.png"}},
		{"oidcc-registration-policy-uri", "", map[string]any{"policy_uri": "https://app.example.com/policy"}},
		{"oidcc-registration-tos-uri", "", map[string]any{"tos_uri": "https://app.example.com/tos"}},
		{"oidcc-registration-jwks-uri", "", map[string]any{"jwks_uri": "https://app.example.com/jwks", "token_endpoint_auth_method": "private_key_jwt"}},
		{"oidcc-server-idtoken-signing-alg-es256", "", map[string]any{"id_token_signed_response_alg": "ES256"}},
		{"oidcc-idtoken-unsigned", "invalid_client_metadata", map[string]any{"id_token_signed_response_alg": "none"}},
		{"oidcc-redirect-uri-regfrag", "invalid_redirect_uri", map[string]any{"redirect_uris": []string{"https://app.example.com/cb#x"}}},
		{"javascript", "invalid_redirect_uri", map[string]any{"redirect_uris": []string{"javascript:alert(1)"}}},
		{"no redirect URI", "invalid_redirect_uri", map[string]any{"redirect_uris": []string{}}},
		{"oidcc-registration-sector-bad", "invalid_client_metadata", map[string]any{"sector_identifier_uri": "https://127.0.0.1:1/none.json", "subject_type": "pairwise"}},
		{"a flow that is not open", "invalid_client_metadata", map[string]any{"grant_types": []string{"client_credentials"}}},
		{"response type that its grant types do not open", "invalid_client_metadata", map[string]any{"grant_types": []string{"authorization_code"}, "response_types": []string{"id_token"}}},
		{"a client id of its own", "invalid_client_metadata", map[string]any{"client_id": "web"}},
		{"unknown members", "", map[string]any{"software_version": "1", "x": map[string]any{"y": 1}}},
		{"private keys", "invalid_client_metadata", map[string]any{"jwks": map[string]any{"keys": []any{map[string]any{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}}}}},
	} {
		t.Run(m.name, func(t *testing.T) {
			metadata := minimal()
			for name, v := range m.change {
				metadata[name] = v
			}
			got := r.register(t, "initial-access-token", asJSON, metadata)
			switch {
			case m.code == "" && got.status != http.StatusCreated:
				t.Errorf("%d %s", got.status, got.body)
			case m.code != "" && (got.status != http.StatusBadRequest || got.text("error") != m.code):
				t.Errorf("%d %s", got.status, got.body)
			}
			for name, v := range m.change {
				if s, ok := v.(string); ok && m.code == "" && name != "software_version" && got.text(name) != s {
					t.Errorf("%s is %v", name, got.json[name])
				}
			}
		})
	}
	registered := func(t *testing.T, change map[string]any) (*reply, *machine) {
		t.Helper()
		metadata := minimal()
		for name, v := range change {
			metadata[name] = v
		}
		got := r.register(t, "initial-access-token", asJSON, metadata)
		if got.status != http.StatusCreated {
			t.Fatalf("%d %s", got.status, got.body)
		}
		return got, r.machine(got.text("client_id"), got.text("client_secret"))
	}
	code := func(client *reply, change ...string) string {
		return r.browser("alice:wonderland").code(append([]string{"client_id", client.text("client_id")}, change...)...)
	}
	t.Run("oidcc-discovery-endpoint-verification", func(t *testing.T) {
		request, _ := http.NewRequest(http.MethodGet, r.url+"/.well-known/openid-configuration", nil)
		if got := r.call(request); got.text("registration_endpoint") != r.url+"/register" || got.text("issuer") != r.url {
			t.Errorf("%s", got.body)
		}
	})
	t.Run("oidcc-ensure-redirect-uri-in-authorization-request", func(t *testing.T) {
		client, _ := registered(t, nil)
		if a := r.browser("alice:wonderland").authorize("client_id", client.text("client_id"), "redirect_uri", ""); a.location != nil || a.status != http.StatusBadRequest {
			t.Errorf("%d %v", a.status, a.location)
		}
	})
	t.Run("oidcc-idtoken-rs256", func(t *testing.T) {
		client, machine := registered(t, map[string]any{"id_token_signed_response_alg": "RS256"})
		token := machine.post("/token", "grant_type", "authorization_code", "code", code(client)).text("id_token")
		signed, err := jose.ParseSignedCompact(token, jwsAlgorithms[:])
		if err != nil || signed.Signatures[0].Header.Algorithm != "RS256" || r.claims(token)["aud"] != client.text("client_id") {
			t.Errorf("%v %v", signed, err)
		}
	})
	t.Run("oidcc-userinfo-rs256", func(t *testing.T) {
		client, machine := registered(t, map[string]any{"userinfo_signed_response_alg": "RS256"})
		access := machine.post("/token", "grant_type", "authorization_code", "code", code(client)).text("access_token")
		info := r.bearer(http.MethodGet, "/userinfo", access)
		if info.header.Get("Content-Type") != "application/jwt" {
			t.Fatalf("%d %s", info.status, info.body)
		}
		if claims := r.claims(info.body); claims["sub"] != "alice" || claims["iss"] != r.url || claims["aud"] != client.text("client_id") {
			t.Errorf("%v", claims)
		}
	})
	for _, m := range []struct {
		name, registered, sent string
		ok                     bool
	}{
		{"oidcc-redirect-uri-query-OK", "https://app.example.com/cb?foo=bar", "https://app.example.com/cb?foo=bar", true},
		{"oidcc-redirect-uri-query-added", "https://app.example.com/cb", "https://app.example.com/cb?foo=bar", false},
		{"oidcc-redirect-uri-query-mismatch", "https://app.example.com/cb?foo=bar", "https://app.example.com/cb?bar=foo", false},
	} {
		t.Run(m.name, func(t *testing.T) {
			client, _ := registered(t, map[string]any{"redirect_uris": []string{m.registered}})
			a := r.browser("alice:wonderland").authorize("client_id", client.text("client_id"), "redirect_uri", m.sent)
			if m.ok && (a.values.Get("code") == "" || a.values.Get("foo") != "bar") || !m.ok && (a.location != nil || a.status != http.StatusBadRequest) {
				t.Errorf("%d %v", a.status, a.location)
			}
		})
	}
	t.Run("oidcc-ensure-request-object-with-redirect-uri", func(t *testing.T) {
		client, _ := registered(t, map[string]any{"request_object_signing_alg": "none", "redirect_uris": []string{"https://app.example.com/cb", "https://app.example.com/cb2"}})
		object := unsigned(map[string]any{"client_id": client.text("client_id"), "response_type": "code", "redirect_uri": "https://app.example.com/cb2"})
		a := r.browser("alice:wonderland").authorize("client_id", client.text("client_id"), "request", object)
		if a.location == nil || a.location.Path != "/cb2" || a.values.Get("code") == "" {
			t.Errorf("%d %v %s", a.status, a.location, a.body)
		}
	})
	for name, object := range map[string]string{"oidcc-request-uri-unsigned": "https://app.example.com/unsigned.jwt", "oidcc-request-uri-signed-rs256": "https://app.example.com/signed.jwt"} {
		t.Run(name, func(t *testing.T) { // discovery says that there are none, and so the plan passes them over
			client, _ := registered(t, nil)
			a := r.browser("alice:wonderland").authorize("client_id", client.text("client_id"), "request_uri", object)
			request, _ := http.NewRequest(http.MethodGet, r.url+"/.well-known/openid-configuration", nil)
			if a.values.Get("error") != "request_uri_not_supported" || r.call(request).json["request_uri_parameter_supported"] != false {
				t.Errorf("%v", a.location)
			}
		})
	}
	t.Run("oidcc-refresh-token", func(t *testing.T) {
		client, machine := registered(t, map[string]any{"grant_types": []string{"authorization_code", "refresh_token"}})
		first := machine.post("/token", "grant_type", "authorization_code", "code", code(client, "scope", "openid offline_access"))
		second := machine.post("/token", "grant_type", "refresh_token", "refresh_token", first.text("refresh_token"))
		if second.status != http.StatusOK || second.text("access_token") == "" || second.text("access_token") == first.text("access_token") {
			t.Errorf("%d %s", second.status, second.body)
		}
	})
	// A client that proves itself by its keys.
	key := func() (*ecdsa.PrivateKey, any) {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprintf("%x", k.X)[:8]
		return k, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: k.Public(), KeyID: id, Algorithm: "ES256", Use: "sig"}}}
	}
	count := 0
	asserted := func(k *ecdsa.PrivateKey, client, audience string, form ...string) *reply {
		count++
		assertion := signWith(t, jose.ES256, k, map[string]any{"iss": client, "sub": client, "aud": audience, "jti": fmt.Sprint("dynamic", count), "exp": time.Now().Add(time.Minute).Unix()})
		return (&machine{r, "", ""}).post("/token", append(form, "client_assertion_type", assertionType, "client_assertion", assertion)...)
	}
	t.Run("oidcc-ensure-client-assertion-with-iss-aud-succeeds", func(t *testing.T) {
		k, set := key()
		client, _ := registered(t, map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks": set})
		for _, audience := range []string{r.url, r.url + "/token"} {
			if got := asserted(k, client.text("client_id"), audience, "grant_type", "authorization_code", "code", code(client)); got.status != http.StatusOK {
				t.Errorf("%s: %d %s", audience, got.status, got.body)
			}
		}
	})
	t.Run("oidcc-refresh-token-rp-key-rotation", func(t *testing.T) {
		k, set := key()
		metadata := map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks": set, "grant_types": []string{"authorization_code", "refresh_token"}}
		client, _ := registered(t, metadata)
		id := client.text("client_id")
		first := asserted(k, id, r.url, "grant_type", "authorization_code", "code", code(client, "scope", "openid offline_access"))
		if first.text("refresh_token") == "" {
			t.Fatalf("%d %s", first.status, first.body)
		}
		next, set := key()
		change := minimal()
		for name, v := range metadata {
			change[name] = v
		}
		change["jwks"], change["client_id"] = set, id
		if put := r.registration(t, http.MethodPut, client.text("registration_client_uri"), client.text("registration_access_token"), asJSON, change); put.status != http.StatusOK {
			t.Fatalf("%d %s", put.status, put.body)
		}
		if got := asserted(k, id, r.url, "grant_type", "refresh_token", "refresh_token", first.text("refresh_token")); got.status != http.StatusUnauthorized {
			t.Errorf("by the key before: %d %s", got.status, got.body)
		}
		if got := asserted(next, id, r.url, "grant_type", "refresh_token", "refresh_token", first.text("refresh_token")); got.status != http.StatusOK {
			t.Errorf("by the new key: %d %s", got.status, got.body)
		}
	})
	t.Run("oidcc-registration-sector-uri", func(t *testing.T) {
		listed := []string{"https://app.example.com/cb", "https://other.example.com/cb"}
		sector := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(listed)
		}))
		defer sector.Close()
		metadata := map[string]any{"subject_type": "pairwise", "sector_identifier_uri": sector.URL + "/sector.json", "redirect_uris": listed}
		client, machine := registered(t, metadata)
		sub := r.claims(machine.post("/token", "grant_type", "authorization_code", "code", code(client)).text("id_token"))["sub"]
		if sub == "alice" || sub == nil {
			t.Errorf("%v", sub)
		}
		other := minimal()
		other["subject_type"], other["sector_identifier_uri"], other["redirect_uris"] = "pairwise", sector.URL+"/sector.json", []string{"https://third.example.com/cb"}
		if got := r.register(t, "initial-access-token", asJSON, other); got.status != http.StatusBadRequest || got.text("error") != "invalid_client_metadata" {
			t.Errorf("a redirect URI that is not listed: %d %s", got.status, got.body)
		}
	})
	t.Run("oidcc-server-rotate-keys", func(t *testing.T) {
		before := r.keys()
		token := r.machine("web", "builder-of-webs").post("/token", "grant_type", "authorization_code", "code", r.browser("alice:wonderland").code()).text("id_token")
		if _, err := r.house.Engine.RotateKeys(t.Context(), &engine.Rotation{Issuer: "corp"}); err != nil {
			t.Fatal(err)
		}
		if after := r.keys(); len(after.Keys) != 2*len(before.Keys) {
			t.Errorf("%d keys became %d", len(before.Keys), len(after.Keys))
		}
		if r.claims(token)["sub"] != "alice" {
			t.Error("what was signed before cannot be verified")
		}
		r.clock.forward(2 * time.Hour)
		newer := r.machine("web", "builder-of-webs").post("/token", "grant_type", "authorization_code", "code", r.browser("alice:wonderland").code()).text("id_token")
		signed, err := jose.ParseSignedCompact(newer, jwsAlgorithms[:])
		if err != nil || len(before.Key(signed.Signatures[0].Header.KeyID)) != 0 || r.claims(newer)["sub"] != "alice" {
			t.Error("the former key signs still")
		}
	})
}
