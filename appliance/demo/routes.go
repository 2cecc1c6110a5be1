package demo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Paths that the client's document names.
const (
	callbackPath     = "/callback"
	frontChannelPath = "/frontchannel-logout"
	backChannelPath  = "/backchannel-logout"
	signedOutPath    = "/signed-out"
)

// maxAnswer bounds what is read from the provider or a browser.
const maxAnswer = 1 << 20

// routes are the pages. Forms of other sites are refused; the provider's calls come without a browser's headers.
func (rp *RelyingParty) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", rp.index)
	mux.HandleFunc("POST /login", rp.login)
	mux.HandleFunc("GET "+callbackPath, rp.callback)
	mux.HandleFunc("POST /refresh", rp.refresh)
	mux.HandleFunc("POST /forget", rp.forget)
	mux.HandleFunc("POST /logout", rp.logout)
	mux.HandleFunc("GET "+signedOutPath, rp.signedOut)
	mux.HandleFunc("GET "+frontChannelPath, rp.frontChannel)
	mux.HandleFunc("POST "+backChannelPath, rp.backChannel)
	mux.HandleFunc("GET /style.css", style)
	guarded := http.NewCrossOriginProtection().Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'")
		r.Body = http.MaxBytesReader(w, r.Body, maxAnswer)
		guarded.ServeHTTP(w, r)
	})
}

func (rp *RelyingParty) index(w http.ResponseWriter, r *http.Request) {
	s, happened := rp.people.look(rp.people.of(w, r, rp.cookie))
	v := view{Options: rp.options, Self: rp.self, Session: rp.describe(s), News: happened}
	rp.mu.Lock()
	if rp.provider != nil {
		v.ACR = rp.provider.extra.ACR
	}
	rp.mu.Unlock()
	render(w, http.StatusOK, "index", &v)
}

// asked are the parameters that a person may add to a request for a login, to see what they do.
var asked = []string{"prompt", "max_age", "acr_values", "login_hint", "ui_locales", "claims"}

// login sends the browser to the provider, with a state, a nonce and a code verifier of its own.
func (rp *RelyingParty) login(w http.ResponseWriter, r *http.Request) {
	p, err := rp.discover(r.Context())
	if err != nil {
		rp.fail(w, http.StatusBadGateway, err)
		return
	}
	a := &attempt{state: rand.Text(), nonce: rand.Text(), verifier: oauth2.GenerateVerifier()}
	rp.people.begin(rp.people.of(w, r, rp.cookie), a)
	options := []oauth2.AuthCodeOption{oidc.Nonce(a.nonce), oauth2.S256ChallengeOption(a.verifier)}
	for _, name := range asked {
		if value := strings.TrimSpace(r.PostFormValue(name)); value != "" {
			options = append(options, oauth2.SetAuthURLParam(name, value))
		}
	}
	config := rp.oauth(p)
	if r.PostFormValue("offline") != "" && !slices.Contains(config.Scopes, oidc.ScopeOfflineAccess) {
		config.Scopes = append(config.Scopes, oidc.ScopeOfflineAccess)
	}
	http.Redirect(w, r, config.AuthCodeURL(a.state, options...), http.StatusSeeOther)
}

// callback takes the provider's answer: the attempt is used up whatever it says.
func (rp *RelyingParty) callback(w http.ResponseWriter, r *http.Request) {
	q, id := r.URL.Query(), rp.people.of(w, r, rp.cookie)
	a := rp.people.attempt(id, q.Get("state"))
	if a == nil {
		rp.fail(w, http.StatusBadRequest, errors.New("this answer belongs to no login that this browser has begun here, or it was used before; start again"))
		return
	}
	p, err := rp.discover(r.Context())
	if err != nil {
		rp.fail(w, http.StatusBadGateway, err)
		return
	}
	if issuer := q.Get("iss"); issuer != rp.options.Issuer && (issuer != "" || p.extra.SendsIssuer) {
		rp.fail(w, http.StatusBadRequest, fmt.Errorf("the answer came from the issuer %q, and %q was asked", issuer, rp.options.Issuer))
		return
	}
	if code := q.Get("error"); code != "" {
		rp.fail(w, http.StatusForbidden, answered(code, q.Get("error_description")))
		return
	}
	ctx := rp.with(r.Context())
	tokens, err := rp.oauth(p).Exchange(ctx, q.Get("code"), oauth2.VerifierOption(a.verifier))
	if err != nil {
		rp.fail(w, http.StatusBadGateway, fmt.Errorf("exchange the code for tokens: %w", err))
		return
	}
	s, err := rp.accept(ctx, p, tokens, a.nonce)
	if err != nil {
		rp.fail(w, http.StatusBadGateway, err)
		return
	}
	rp.people.sign(id, s, "Signed in.")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// answered is an error that the provider sent.
func answered(code, description string) error {
	if description == "" {
		return fmt.Errorf("the provider answers %s", code)
	}
	return fmt.Errorf("the provider answers %s: %s", code, description)
}

// accept verifies an ID token and asks the provider what else there is.
func (rp *RelyingParty) accept(ctx context.Context, p *provider, tokens *oauth2.Token, nonce string) (*session, error) {
	raw, _ := tokens.Extra("id_token").(string)
	if raw == "" {
		return nil, errors.New("the provider's answer holds no ID token")
	}
	verified, err := p.verifier.Verify(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("verify the ID token: %w", err)
	}
	if verified.Nonce != nonce {
		return nil, errors.New("the ID token was made for another login: its nonce differs")
	}
	if verified.AccessTokenHash != "" {
		if err := verified.VerifyAccessToken(tokens.AccessToken); err != nil {
			return nil, fmt.Errorf("the ID token belongs to another access token: %w", err)
		}
	}
	s := &session{
		subject: verified.Subject, since: time.Now(), idToken: raw, accessToken: tokens.AccessToken, refreshToken: tokens.RefreshToken, expires: tokens.Expiry,
	}
	var known struct {
		SID string `json:"sid"`
	}
	var all json.RawMessage
	if err := errors.Join(verified.Claims(&known), verified.Claims(&all)); err != nil {
		return nil, fmt.Errorf("read the ID token: %w", err)
	}
	s.sid, s.claims = known.SID, all
	return s, rp.ask(ctx, p, s, tokens)
}

// ask fetches the person's claims and what the provider says of the access token.
func (rp *RelyingParty) ask(ctx context.Context, p *provider, s *session, tokens *oauth2.Token) error {
	if p.UserInfoEndpoint() != "" {
		info, err := p.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
		if err != nil {
			return fmt.Errorf("ask for the person's claims: %w", err)
		}
		if info.Subject != s.subject {
			return fmt.Errorf("the claims are those of %q, and %q has signed in", info.Subject, s.subject)
		}
		var all json.RawMessage
		if err := info.Claims(&all); err != nil {
			return fmt.Errorf("read the person's claims: %w", err)
		}
		s.userinfo = all
	}
	if p.extra.Introspection == "" || rp.options.ClientSecret == "" {
		return nil
	}
	form := strings.NewReader(url.Values{"token": {s.accessToken}, "token_type_hint": {"access_token"}}.Encode())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.extra.Introspection, form)
	if err != nil {
		return fmt.Errorf("ask what the access token is: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(url.QueryEscape(rp.options.ClientID), url.QueryEscape(rp.options.ClientSecret))
	resp, err := rp.client.Do(request)
	if err != nil {
		return fmt.Errorf("ask what the access token is: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("ask what the access token is: %w", err)
	}
	if resp.StatusCode != http.StatusOK || !json.Valid(text) {
		return fmt.Errorf("ask what the access token is: the provider answers %s", resp.Status)
	}
	s.introspection = text
	return nil
}

// refresh renews the tokens.
func (rp *RelyingParty) refresh(w http.ResponseWriter, r *http.Request) {
	id := rp.people.of(w, r, rp.cookie)
	s, _ := rp.people.look(id)
	p, err := rp.discover(r.Context())
	switch {
	case err != nil:
		rp.fail(w, http.StatusBadGateway, err)
		return
	case s == nil || s.refreshToken == "":
		rp.fail(w, http.StatusBadRequest, errors.New("there is no refresh token: sign in with “stay signed in” first"))
		return
	}
	ctx := rp.with(r.Context())
	tokens, err := rp.oauth(p).TokenSource(ctx, &oauth2.Token{RefreshToken: s.refreshToken}).Token()
	if err != nil {
		rp.fail(w, http.StatusBadGateway, fmt.Errorf("renew the tokens: %w", err))
		return
	}
	next := *s
	next.accessToken, next.expires, next.refreshToken = tokens.AccessToken, tokens.Expiry, tokens.RefreshToken
	if raw, ok := tokens.Extra("id_token").(string); ok { // the provider may leave it out
		verified, err := p.verifier.Verify(ctx, raw)
		var all json.RawMessage
		if err == nil {
			err = verified.Claims(&all)
		}
		if err == nil && verified.Subject != s.subject {
			err = fmt.Errorf("it is that of %q", verified.Subject)
		}
		if err != nil {
			rp.fail(w, http.StatusBadGateway, fmt.Errorf("verify the renewed ID token: %w", err))
			return
		}
		next.idToken, next.claims = raw, all
	}
	if err := rp.ask(ctx, p, &next, tokens); err != nil {
		rp.fail(w, http.StatusBadGateway, err)
		return
	}
	rp.people.sign(id, &next, "Renewed the tokens.")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// forget signs out here only: the provider's session goes on, so that the next login needs no password.
func (rp *RelyingParty) forget(w http.ResponseWriter, r *http.Request) {
	rp.people.sign(rp.people.of(w, r, rp.cookie), nil, "Signed out here. The provider’s session goes on: sign in again and see.")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// logout signs out here and sends the browser to do so at the provider (OpenID Connect RP-Initiated Logout 1.0).
func (rp *RelyingParty) logout(w http.ResponseWriter, r *http.Request) {
	id := rp.people.of(w, r, rp.cookie)
	s, _ := rp.people.look(id)
	p, err := rp.discover(r.Context())
	if err != nil {
		rp.fail(w, http.StatusBadGateway, err)
		return
	}
	rp.people.sign(id, nil, "Signed out here, and asked the provider to sign out everywhere.")
	if p.extra.EndSession == "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	q := url.Values{"client_id": {rp.options.ClientID}, "post_logout_redirect_uri": {rp.self + signedOutPath}, "state": {rand.Text()}}
	if s != nil {
		q.Set("id_token_hint", s.idToken)
	}
	separator := "?"
	if strings.Contains(p.extra.EndSession, "?") {
		separator = "&"
	}
	http.Redirect(w, r, p.extra.EndSession+separator+q.Encode(), http.StatusSeeOther)
}

// signedOut is where the provider sends browsers back to.
func (rp *RelyingParty) signedOut(w http.ResponseWriter, r *http.Request) {
	rp.people.change(rp.people.of(w, r, rp.cookie), func(p *visitor) { p.tell("Back from the provider, which has signed out.") })
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// frontChannel is loaded in a frame of the provider's page (OpenID Connect Front-Channel Logout 1.0). Cookies do not come with it, so the session is found by sid.
func (rp *RelyingParty) frontChannel(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("iss") != rp.options.Issuer || q.Get("sid") == "" {
		http.Error(w, "iss and sid must be those of a session here", http.StatusBadRequest)
		return
	}
	issuer, err := url.Parse(rp.options.Issuer)
	if err != nil { // New has parsed it
		http.Error(w, "the issuer is no URL", http.StatusInternalServerError)
		return
	}
	n := rp.people.end(q.Get("sid"), "", "Signed out by the provider, in a frame of its page (front-channel logout).")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors "+issuer.Scheme+"://"+issuer.Host)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "signed out: "+strconv.Itoa(n))
}

// backChannel takes a logout token (OpenID Connect Back-Channel Logout 1.0).
func (rp *RelyingParty) backChannel(w http.ResponseWriter, r *http.Request) {
	p, err := rp.discover(r.Context())
	if err != nil {
		http.Error(w, "the provider does not answer", http.StatusServiceUnavailable)
		return
	}
	token, err := p.verifier.VerifyLogout(rp.with(r.Context()), r.PostFormValue("logout_token"))
	if err != nil {
		refuse(w, "invalid_request", err.Error())
		return
	}
	if !rp.people.fresh(token.TokenID, token.Expiry) {
		refuse(w, "invalid_request", "this logout token was used before")
		return
	}
	rp.people.end(token.SessionID, token.Subject, "Signed out by the provider, from server to server (back-channel logout).")
	w.WriteHeader(http.StatusOK)
}

// refuse answers the provider as RFC 6749 has it.
func refuse(w http.ResponseWriter, code, description string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": description})
}

// fail shows a page that says what went wrong.
func (rp *RelyingParty) fail(w http.ResponseWriter, status int, err error) {
	render(w, status, "failure", &view{Options: rp.options, Self: rp.self, Failure: err.Error()})
}
