package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const openIDDocuments = `
kind: IdentityProvider
name: local
spec:
  type: local
  network: {hostName: 127.0.0.1, ports: [{port: %d}]}
  profiles: {radius: {enabled: true}, openid: {enabled: true}}
---
kind: ServiceProvider
name: rp
spec:
  type: oidc
  oidc:
    clientSecret: the-secret-of-the-relying-party
    flows: {authorizationCode: true}
    responseURLs: ["https://rp.example.com/callback"]
    requirePKCE: true
---
kind: ServiceProvider
name: registrar
spec:
  type: oidc-dynamic
  oidc-dynamic: {flows: {authorizationCode: true}, registrationToken: {token: register-here, maxClients: 1}}
`

var (
	formAction = regexp.MustCompile(`<form[^>]* action="([^"]*)"`)
	hiddenFlow = regexp.MustCompile(`name="flow" value="([^"]*)"`)
)

// relyingBrowser is a browser without script that follows redirects, but not to rp.example.com, where nobody is.
func relyingBrowser(t *testing.T, jar http.CookieJar) (*http.Client, *http.Transport) {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport, Timeout: time.Minute, CheckRedirect: func(q *http.Request, _ []*http.Request) error {
		if q.URL.Host == "rp.example.com" {
			return http.ErrUseLastResponse
		}
		return nil
	}}, transport
}

// signIn sends the login page of an answer with Alice's name and password, and returns what comes of it.
func signIn(t *testing.T, browser *http.Client, page *http.Response, body string) (*http.Response, string) {
	t.Helper()
	action, flow := formAction.FindStringSubmatch(body), hiddenFlow.FindStringSubmatch(body)
	if action == nil || flow == nil {
		t.Fatalf("%d is no login page: %s", page.StatusCode, body)
	}
	to, err := page.Request.URL.Parse(html.UnescapeString(action[1]))
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"flow": {html.UnescapeString(flow[1])}, "factor": {"Password"}, "name": {"alice"}, "secret": {"wonderland"}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to.String(), strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Origin", "https://"+to.Host)
	answer, err := browser.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(text)
}

// TestGoOIDCLogsInAtANode logs a person in over the real front of a real node, with coreos/go-oidc as the relying party: discovery, authorization code with PKCE, the ID token,
// the user information endpoint, refreshing, and a client that registers itself.
func TestGoOIDCLogsInAtANode(t *testing.T) {
	t.Parallel()
	n := startInterop(t)
	at := netip.MustParseAddrPort(n.addr.Web[0])
	n.apply(fmt.Sprintf(openIDDocuments, at.Port()))
	issuer := "https://" + at.String()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser, transport := relyingBrowser(t, jar)
	ctx := oidc.ClientContext(context.Background(), &http.Client{Transport: transport})
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		t.Fatal(err)
	}
	relying := oauth2.Config{
		ClientID: "rp", ClientSecret: "the-secret-of-the-relying-party", Endpoint: provider.Endpoint(), RedirectURL: "https://rp.example.com/callback", Scopes: []string{oidc.ScopeOpenID},
	}
	verifier := oauth2.GenerateVerifier()
	page, body := visit(t, browser, relying.AuthCodeURL("the-state", oauth2.S256ChallengeOption(verifier), oidc.Nonce("the-nonce")))
	answer, text := signIn(t, browser, page, body)
	back, err := answer.Location()
	if err != nil || back.Host != "rp.example.com" || back.Query().Get("state") != "the-state" || back.Query().Get("iss") != issuer {
		t.Fatalf("%d %v %s", answer.StatusCode, back, text)
	}
	token, err := relying.Exchange(ctx, back.Query().Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := token.Extra("id_token").(string)
	verified, err := provider.Verifier(&oidc.Config{ClientID: "rp"}).Verify(ctx, raw)
	if err != nil || verified.Subject != "alice" || verified.Nonce != "the-nonce" {
		t.Fatalf("%+v %v", verified, err)
	}
	info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil || info.Subject != "alice" {
		t.Fatalf("%+v %v", info, err)
	}
	again, err := relying.TokenSource(ctx, &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
	if err != nil || again.AccessToken == token.AccessToken {
		t.Fatalf("%v", err)
	}
	if _, err := relying.Exchange(ctx, back.Query().Get("code"), oauth2.VerifierOption(verifier)); err == nil {
		t.Error("the code is good twice")
	}
	if _, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(again)); err == nil {
		t.Error("what a code led to that was presented again is good still")
	}
	for i, want := range []int{http.StatusCreated, http.StatusForbidden} {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, issuer+"/register", strings.NewReader(`{"redirect_uris":["https://rp.example.com/registered"]}`))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer register-here")
		answer, err := browser.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("registration %d: %d %s", i, answer.StatusCode, text)
		}
	}
}

func visit(t *testing.T, browser *http.Client, address string) (*http.Response, string) {
	t.Helper()
	answer, err := browser.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(text)
}
