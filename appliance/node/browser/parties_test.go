package browser

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/pkg/client/rp"
	httphelper "github.com/zitadel/oidc/v3/pkg/http"
	"github.com/zitadel/oidc/v3/pkg/oidc"
)

// TestOpenIDClientOfNPM is a login, its claims, a refresh, an introspection, a revocation and a logout by openid-client, on Node.js.
func TestOpenIDClientOfNPM(t *testing.T) {
	t.Parallel()
	skipWithout(t, "node")
	if _, err := os.Stat("testdata/npm/node_modules/openid-client"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%v: .ci/test-needs should have installed it", err)
		}
		t.Skipf("%v; .ci/test-needs installs it", err)
	}
	s := shared(t)
	c := exec.Command("node", "testdata/npm/party.mjs")
	c.Env = append(os.Environ(), "ISSUER="+s.issuer, "CLIENT_ID=npm", "CLIENT_SECRET=npm-secret", "SCOPE=openid profile email offline_access", "NODE_EXTRA_CA_CERTS="+s.ca)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	base, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the relying party did not start: %v", err)
	}
	base = strings.TrimSpace(base)
	s.apply(person("nadia", ""), application("npm", "", "npm-secret", "http://127.0.0.1/callback", base+"/bye", ""))

	f := s.surfer()
	f.visit(base + "/login").in("nadia")
	var got struct {
		Claims, UserInfo, Introspected map[string]any
		Renewed                        bool
		Bye                            string
	}
	read := func() {
		t.Helper()
		got.Claims, got.UserInfo, got.Introspected = nil, nil, nil
		if err := json.Unmarshal([]byte(f.page), &got); err != nil || f.code != http.StatusOK {
			t.Fatalf("%d at %s: %v\n%s", f.code, f.at, err, f.page)
		}
	}
	read()
	if got.Claims["sub"] != "nadia" || got.Claims["iss"] != s.issuer || got.UserInfo["sub"] != "nadia" || got.UserInfo["given_name"] != "Nadia" || got.UserInfo["email"] != "nadia@example.com" {
		t.Errorf("found %v and %v", got.Claims, got.UserInfo)
	}
	f.visit(base + "/refresh")
	read()
	if !got.Renewed || got.Claims["sub"] != "nadia" || got.Introspected["active"] != true {
		t.Errorf("after a refresh: %+v", got)
	}
	f.visit(base + "/revoke")
	read()
	if got.Introspected["active"] != false {
		t.Errorf("after a revocation: %+v", got)
	}
	f.visit(base + "/logout")
	read()
	if got.Bye != "a-state" {
		t.Errorf("after a logout: %+v at %s", got, f.at)
	}
	f.visit(base + "/login").sees("password") // asked anew
}

// TestRelyingPartyOfZitadel is a login, its claims and a logout by the relying party of github.com/zitadel/oidc.
func TestRelyingPartyOfZitadel(t *testing.T) {
	t.Parallel()
	s := shared(t)
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	s.apply(person("zita", ""), application("zitadel", "", "zitadel-secret", "http://127.0.0.1/callback", server.URL+"/bye", ""))
	party, err := rp.NewRelyingPartyOIDC(t.Context(), s.issuer, "zitadel", "zitadel-secret", server.URL+"/callback", []string{"openid", "profile", "email"},
		rp.WithHTTPClient(s.http), rp.WithPKCE(httphelper.NewCookieHandler([]byte("a-key-of-the-tests-that-is-long!"), []byte("a-key-of-the-tests-that-is-long!"), httphelper.WithUnsecure())), rp.WithVerifierOpts(rp.WithIssuedAtOffset(5*time.Second)))
	if err != nil {
		t.Fatal(err)
	}
	var tokens *oidc.Tokens[*oidc.IDTokenClaims]
	mux.Handle("GET /login", rp.AuthURLHandler(func() string { return "a-state" }, party))
	mux.Handle("GET /callback", rp.CodeExchangeHandler(rp.UserinfoCallback(
		func(w http.ResponseWriter, _ *http.Request, got *oidc.Tokens[*oidc.IDTokenClaims], _ string, _ rp.RelyingParty, info *oidc.UserInfo) {
			tokens = got
			fmt.Fprintf(w, "subject %s, given name %s, mail %s", info.Subject, info.GivenName, info.Email)
		}), party))
	mux.HandleFunc("GET /bye", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "bye with "+r.URL.Query().Get("state")) })
	f := s.surfer()
	f.visit(server.URL + "/login").in("zita").sees("subject zita, given name Zita, mail zita@example.com")
	if tokens.IDTokenClaims.Subject != "zita" || tokens.IDTokenClaims.AuthTime.AsTime().IsZero() && tokens.IDTokenClaims.Nonce != "" {
		t.Errorf("the ID token says %+v", tokens.IDTokenClaims)
	}
	end, err := url.Parse(party.GetEndSessionEndpoint())
	if err != nil {
		t.Fatal(err)
	}
	end.RawQuery = url.Values{"id_token_hint": {tokens.IDToken}, "post_logout_redirect_uri": {server.URL + "/bye"}, "state": {"a-state"}}.Encode()
	f.visit(end.String()).sees("bye with a-state")
	f.visit(server.URL + "/login").sees("password")
}

// apacheConfiguration is an Apache that lets in who has logged in, and passes requests on to a server that shows what Apache knows.
const apacheConfiguration = `
ServerName localhost
ServerRoot "%[1]s"
DefaultRuntimeDir "%[1]s"
PidFile "%[1]s/pid"
ErrorLog "%[1]s/error.log"
LogLevel warn auth_openidc:debug
User www-data
Group www-data
Listen 127.0.0.1:%[2]s
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authn_core_module /usr/lib/apache2/modules/mod_authn_core.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule authz_user_module /usr/lib/apache2/modules/mod_authz_user.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
LoadModule auth_openidc_module /usr/lib/apache2/modules/mod_auth_openidc.so
StartServers 1
ServerLimit 1
ThreadsPerChild 8
MaxRequestWorkers 8
OIDCProviderMetadataURL %[3]s/.well-known/openid-configuration
OIDCClientID apache
OIDCClientSecret apache-secret
OIDCRedirectURI http://127.0.0.1:%[2]s/protected/callback
OIDCCryptoPassphrase a-passphrase-of-the-tests
OIDCScope "openid profile email"
OIDCPKCEMethod S256
OIDCRemoteUserClaim sub
OIDCCABundlePath "%[4]s"
OIDCSSLValidateServer On
OIDCDefaultLoggedOutURL http://127.0.0.1:%[2]s/bye
<Location /protected>
  AuthType openid-connect
  Require valid-user
</Location>
<Location /bye>
  Require all granted
</Location>
ProxyPass / %[5]s/
`

// TestApachesModAuthOpenIDC is a login, its claims and a logout by Apache's mod_auth_openidc, as Debian has it.
func TestApachesModAuthOpenIDC(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("Apache gives up root's rights, so it must have them")
	}
	apache, err := exec.LookPath("/usr/sbin/apache2")
	if err != nil {
		skipWithout(t, "apache2")
	}
	if _, err := os.Stat("/usr/lib/apache2/modules/mod_auth_openidc.so"); err != nil {
		skipWithout(t, "mod_auth_openidc")
	}
	s := shared(t)
	port := s.apache
	s.apply(person("appie", ""), application("apache", "", "apache-secret", "http://127.0.0.1:"+port+"/protected/callback", "http://127.0.0.1:"+port+"/bye", ""))
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s: user %s, given name %s, mail %s", r.URL.Path, r.Header.Get("OIDC_CLAIM_sub"), r.Header.Get("OIDC_CLAIM_given_name"), r.Header.Get("OIDC_CLAIM_email"))
	}))
	defer behind.Close()
	folder, err := os.MkdirTemp("", "trine-apache-") // its server's user must reach it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	for name, text := range map[string]string{
		"httpd.conf": fmt.Sprintf(apacheConfiguration, folder, port, s.issuer, filepath.Join(folder, "ca.pem"), behind.URL), "ca.pem": string(authority.ca),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(apache, "-f", filepath.Join(folder, "httpd.conf"), "-DFOREGROUND")
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt)
		_ = c.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(filepath.Join(folder, "error.log"))
			t.Logf("Apache said:\n%s", text[max(0, len(text)-8000):])
		}
	})
	base := "http://127.0.0.1:" + port
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		resp, err := http.Get(base + "/bye")
		if err == nil {
			resp.Body.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatalf("Apache did not start: %v", err)
		}
	}
	f := s.surfer()
	f.visit(base + "/protected/page").in("appie").sees("/protected/page: user appie, given name Appie, mail appie@example.com")
	f.visit(base + "/protected/callback?logout=" + base + "/bye").sees("/bye: user")
	if got := f.at.Path; got != "/bye" {
		t.Errorf("the logout ended at %s", f.at)
	}
	f.visit(base + "/protected/page").sees("password")
}
