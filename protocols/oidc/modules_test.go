package oidc

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"trine/docs/named"
)

// The modules of the OpenID Foundation's plans for identity providers, of the release 5.1 of its suite. Every response type has those that it can have.
var (
	codeModules = []string{
		"oidcc-server", "oidcc-response-type-missing", "oidcc-idtoken-signature", "oidcc-codereuse", "oidcc-scope-address", "oidcc-scope-all", "oidcc-scope-email", "oidcc-scope-phone",
		"oidcc-scope-profile", "oidcc-claims-essential", "oidcc-claims-locales", "oidcc-userinfo-get", "oidcc-userinfo-post-body", "oidcc-userinfo-post-header", "oidcc-alternate-happy-flow",
		"oidcc-display-page", "oidcc-display-popup", "oidcc-ui-locales", "oidcc-login-hint", "oidcc-id-token-hint", "oidcc-prompt-login", "oidcc-prompt-none-logged-in",
		"oidcc-prompt-none-not-logged-in", "oidcc-max-age-1", "oidcc-max-age-10000", "oidcc-ensure-post-request-succeeds", "oidcc-ensure-registered-redirect-uri",
		"oidcc-ensure-request-object-with-redirect-uri", "oidcc-ensure-request-with-acr-values-succeeds", "oidcc-ensure-request-with-unknown-parameter-succeeds",
		"oidcc-ensure-request-with-valid-pkce-succeeds", "oidcc-ensure-request-without-nonce-succeeds-for-code-flow", "oidcc-refresh-token", "oidcc-codereuse-30seconds",
		"oidcc-server-client-secret-post", "oidcc-idtoken-unsigned", "oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported",
		"oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported", "oidcc-ensure-other-scope-order-succeeds", "oidcc-claims-in-id-token",
	}
	// withoutCode are those that need a code, withoutAccess those that need an access token beside an ID token.
	withoutCode = []string{
		"oidcc-codereuse", "oidcc-codereuse-30seconds", "oidcc-ensure-request-with-valid-pkce-succeeds", "oidcc-refresh-token", "oidcc-server-client-secret-post",
		"oidcc-ensure-request-without-nonce-succeeds-for-code-flow",
	}
	withoutAccess = []string{"oidcc-userinfo-get", "oidcc-userinfo-post-body", "oidcc-userinfo-post-header"}

	// otherPlans are those whose modules are subtests of functions of their own.
	otherPlans = map[string]struct {
		function string
		modules  []string
	}{
		"oidcc-config-certification-test-plan": {"TestOIDCCConfig", []string{"oidcc-discovery-endpoint-verification"}},
		"oidcc-dynamic-certification-test-plan": {"TestOIDCCDynamic", []string{
			"oidcc-discovery-endpoint-verification", "oidcc-server", "oidcc-ensure-client-assertion-with-iss-aud-succeeds", "oidcc-ensure-redirect-uri-in-authorization-request",
			"oidcc-ensure-request-object-with-redirect-uri", "oidcc-idtoken-rs256", "oidcc-idtoken-unsigned", "oidcc-redirect-uri-query-OK", "oidcc-redirect-uri-query-added",
			"oidcc-redirect-uri-query-mismatch", "oidcc-redirect-uri-regfrag", "oidcc-refresh-token", "oidcc-refresh-token-rp-key-rotation", "oidcc-registration-jwks-uri",
			"oidcc-registration-logo-uri", "oidcc-registration-policy-uri", "oidcc-registration-sector-bad", "oidcc-registration-sector-uri", "oidcc-registration-tos-uri",
			"oidcc-request-uri-signed-rs256", "oidcc-request-uri-unsigned", "oidcc-server-rotate-keys", "oidcc-userinfo-rs256",
		}},
		"oidcc-rp-initiated-logout-certification-test-plan": {"TestOIDCCRPInitiatedLogout", []string{
			"oidcc-rp-initiated-logout-discovery-endpoint-verification", "oidcc-rp-initiated-logout", "oidcc-rp-initiated-logout-bad-post-logout-redirect-uri",
			"oidcc-rp-initiated-logout-modified-id-token-hint", "oidcc-rp-initiated-logout-no-id-token-hint", "oidcc-rp-initiated-logout-no-params",
			"oidcc-rp-initiated-logout-no-post-logout-redirect-uri", "oidcc-rp-initiated-logout-no-state", "oidcc-rp-initiated-logout-only-state",
			"oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri", "oidcc-rp-initiated-logout-bad-id-token-hint",
		}},
		"oidcc-backchannel-rp-initiated-logout-certification-test-plan": {"TestOIDCCBackChannelLogout", []string{
			"oidcc-backchannel-logout-discovery-endpoint-verification", "oidcc-backchannel-rp-initiated-logout",
		}},
		"oidcc-frontchannel-rp-initiated-logout-certification-test-plan": {"TestOIDCCFrontChannelLogout", []string{
			"oidcc-frontchannel-logout-discovery-endpoint-verification", "oidcc-frontchannel-rp-initiated-logout",
		}},
		"oidcc-session-management-certification-test-plan": {"TestOIDCCSessionManagement", []string{
			"oidcc-session-management-discovery-endpoint-verification", "oidcc-session-management-rp-initiated-logout",
		}},
	}
)

// plan runs the modules of a plan in each style, at a provider each.
func plan(t *testing.T, styles ...style) {
	t.Helper()
	for _, s := range styles {
		t.Run(strings.TrimSpace(s.responseType()+" "+s.mode), func(t *testing.T) {
			r := newRig(t)
			r.style = s
			names := slices.Clone(codeModules)
			lacks := func(which []string) {
				names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(which, name) })
			}
			if !s.hasCode() {
				lacks(withoutCode)
				if !s.has("token") {
					lacks(withoutAccess)
				}
			}
			if s.has("id_token") {
				lacks([]string{"oidcc-ensure-request-without-nonce-succeeds-for-code-flow"})
				names = append(names, "oidcc-ensure-request-without-nonce-fails")
			}
			for _, name := range names {
				t.Run(name, func(t *testing.T) {
					run := modules[name]
					if run == nil {
						t.Fatal("there is no test of that name")
					}
					r.t = t
					run(t, r)
				})
			}
			r.t = t
		})
	}
}

// The plan oidcc-basic-certification-test-plan.
func TestOIDCCBasic(t *testing.T) { plan(t, style{}) }

// The plan oidcc-implicit-certification-test-plan.
func TestOIDCCImplicit(t *testing.T) {
	plan(t, style{response: "id_token"}, style{response: "id_token token"})
}

// The plan oidcc-hybrid-certification-test-plan.
func TestOIDCCHybrid(t *testing.T) {
	plan(t, style{response: "code id_token"}, style{response: "code token"}, style{response: "code id_token token"})
}

// The plans oidcc-formpost-basic-, oidcc-formpost-implicit- and oidcc-formpost-hybrid-certification-test-plan.
func TestOIDCCFormPost(t *testing.T) {
	plan(t, style{"code", "form_post"}, style{"id_token", "form_post"}, style{"id_token token", "form_post"}, style{"code id_token", "form_post"}, style{"code token", "form_post"},
		style{"code id_token token", "form_post"})
}

// TestPlansAreWhole checks that the function of each other plan has a subtest named after each of its modules, that docs/openid.md names every plan with the function that has it, and
// that the tests which it names exist.
func TestPlansAreWhole(t *testing.T) {
	literals := map[string][]string{} // by function
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if b, ok := n.(*ast.BasicLit); ok && b.Kind == token.STRING {
					if text, err := strconv.Unquote(b.Value); err == nil {
						literals[f.Name.Name] = append(literals[f.Name.Name], text)
					}
				}
				return true
			})
		}
	}
	page, err := os.ReadFile("../../docs/openid.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(string(page), "\n")
	for name, p := range otherPlans {
		for _, module := range p.modules {
			if !slices.Contains(literals[p.function], module) {
				t.Errorf("%s has no subtest %s", p.function, module)
			}
		}
		if !slices.ContainsFunc(rows, func(row string) bool { return strings.Contains(row, name) && strings.Contains(row, p.function) }) {
			t.Errorf("docs/openid.md does not say that %s is %s", name, p.function)
		}
	}
	named.Tests(t, "../..", "openid.md", "protocols/oidc", "protocols/web", "engine", "engine/document", "engine/policy", "appliance/node", "appliance/node/browser", "appliance/admin", "cmd/trine")
}
