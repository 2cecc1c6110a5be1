package oidc

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"time"

	"trine/engine/trace"
	"trine/protocols/web"
)

// token is the token endpoint (RFC 6749 section 3.2).
func (p *Provider) token(x *web.Exchange) {
	if p.preflight(x, "POST") {
		return
	}
	q, ok := p.form(x)
	if !ok {
		return
	}
	ctx := x.R.Context()
	who, wrong := p.authenticate(ctx, x.Cache, x.Issuer, x.R.Header, &q, x.Issuer.URL+x.Issuer.Spec.Profiles.OpenID.Token)
	if wrong != nil {
		p.refuseClient(x, &who, "", wrong)
		return
	}
	p.allowOrigin(x, who.wire)
	if wrong = p.useAssertion(ctx, &who); wrong != nil {
		p.refuseClient(x, &who, "", wrong)
		return
	}
	var body []byte
	var user string
	switch grant := q.get("grant_type"); grant {
	case "authorization_code":
		body, user, wrong = p.redeem(x, &who, &q)
	case "refresh_token":
		body, user, wrong = p.refresh(x, &who, &q)
	case "client_credentials":
		body, wrong = p.clientCredentials(x, &who, &q)
	case "password":
		body, user, wrong = p.password(x, &who, &q)
	case "":
		wrong = refuse("invalid_request", trace.OIDCRequestInvalid, "the parameter grant_type is missing")
	default:
		wrong = refuse("unsupported_grant_type", trace.OIDCClientBlocked, "no grant_type %q", short(grant))
	}
	if wrong != nil {
		p.refuseClient(x, &who, user, wrong)
		return
	}
	answerJSON(x.W, http.StatusOK, body)
}

// form reads the form of a request to an endpoint for machines, and answers where it cannot be read.
func (p *Provider) form(x *web.Exchange) (q params, ok bool) {
	if x.R.Method != http.MethodPost {
		x.W.Header().Set("Allow", "POST, OPTIONS")
		wrong := refuse("invalid_request", trace.OIDCRequestInvalid, "this endpoint takes POST")
		wrong.status = http.StatusMethodNotAllowed
		answerError(x.W, wrong, 0, false)
		return q, false
	}
	q, err := readForm(x.R)
	if err != nil {
		wrong := refuse("invalid_request", trace.OIDCRequestInvalid, "%s", err)
		if err == errLong {
			wrong.status = http.StatusRequestEntityTooLarge
		}
		answerError(x.W, wrong, 0, false)
		return q, false
	}
	if q.twice != "" {
		answerError(x.W, refuse("invalid_request", trace.OIDCRequestInvalid, "the parameter %s came more than once", short(q.twice)), 0, false)
		return q, false
	}
	return q, true
}

func invalidGrant(reason trace.Reason, format string, args ...any) *refusal {
	return refuse("invalid_grant", reason, format, args...)
}

// redeem redeems an authorization code.
func (p *Provider) redeem(x *web.Exchange, who *caller, q *params) (body []byte, user string, wrong *refusal) {
	if !who.wire.spec.Flows.AuthorizationCode {
		return nil, "", refuse("unauthorized_client", trace.OIDCClientBlocked, "the authorization code flow is not open to the client")
	}
	text := q.get("code")
	if text == "" {
		return nil, "", refuse("invalid_request", trace.OIDCRequestInvalid, "the parameter code is missing")
	}
	var c code
	plain, err := unseal(p.keyring, codeContext, text)
	if err == nil {
		err = c.decode(plain)
	}
	switch {
	case err != nil:
		return nil, "", invalidGrant(trace.OIDCCodeInvalid, "the code is none that was made here")
	case c.client != who.client.Name || c.issuer != x.Issuer.Name:
		return nil, c.person.user, invalidGrant(trace.OIDCCodeMismatch, "the code was made for another client")
	case p.now().Unix() >= c.notAfter:
		return nil, c.person.user, invalidGrant(trace.OIDCCodeExpired, "the code has expired")
	}
	user = c.person.user
	switch sent := q.get("redirect_uri"); {
	case sent == "" && !who.proved && c.redirectURI != "":
		return nil, user, refuse("invalid_request", trace.OIDCRedirectInvalid, "a client that does not prove itself must send redirect_uri")
	case sent != "" && sent != c.redirectURI:
		return nil, user, invalidGrant(trace.OIDCCodeMismatch, "the redirect_uri is not that of the authorization request")
	}
	if wrong := checkVerifier(&c, q.get("code_verifier")); wrong != nil {
		return nil, user, wrong
	}
	scopes := words(c.scopes)
	known, wrong := p.facts(x, who.client, &c.person, c.index)
	if wrong != nil {
		return nil, user, wrong
	}
	i := issuance{x: x, client: who.client, wire: who.wire, person: c.person, detail: c.detail, scopes: scopes, facts: known, number: c.number, codeNotAfter: c.notAfter}
	i.refresh = who.wire.spec.Flows.Refresh
	if wrong := p.start(x, &i); wrong != nil {
		return nil, user, wrong
	}
	body, wrong = p.respond(&i, "")
	return body, user, wrong
}

// checkVerifier compares the code verifier with the challenge (RFC 7636 section 4.6). One without the other is a downgrade (RFC 9700 section 2.1.1).
func checkVerifier(c *code, verifier string) *refusal {
	switch {
	case c.challenge == "" && verifier == "":
		return nil
	case c.challenge == "":
		return invalidGrant(trace.OIDCPKCEMissing, "there is a code_verifier, and the authorization request had no code_challenge")
	case verifier == "":
		return invalidGrant(trace.OIDCPKCEMissing, "the parameter code_verifier is missing")
	case !verifierForm(verifier):
		return invalidGrant(trace.OIDCPKCEWrong, "the code_verifier has not the form of RFC 7636 section 4.1")
	}
	if !c.plain {
		sum := sha256.Sum256([]byte(verifier))
		verifier = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	if subtle.ConstantTimeCompare([]byte(verifier), []byte(c.challenge)) != 1 {
		return invalidGrant(trace.OIDCPKCEWrong, "the code_verifier is not that of the code_challenge")
	}
	return nil
}

// refresh gives new tokens for a refresh token, which is used up (RFC 6749 section 6, RFC 9700 section 4.14).
func (p *Provider) refresh(x *web.Exchange, who *caller, q *params) (body []byte, user string, wrong *refusal) {
	if !who.wire.spec.Flows.Refresh {
		return nil, "", refuse("unauthorized_client", trace.OIDCClientBlocked, "refresh tokens are not open to the client")
	}
	text := q.get("refresh_token")
	if text == "" {
		text = q.get("refresh_code") // the handbook's other name for it
	}
	if text == "" {
		return nil, "", refuse("invalid_request", trace.OIDCRequestInvalid, "the parameter refresh_token is missing")
	}
	i := issuance{x: x, client: who.client, wire: who.wire, refresh: true}
	asked := words(q.get("scope"))
	if wrong := p.renew(x, &i, text, asked); wrong != nil {
		return nil, i.person.user, wrong
	}
	if len(asked) > 0 {
		i.scopes = asked
	}
	i.detail.nonce = "" // OpenID Connect Core 1.0 section 12.2
	body, wrong = p.respond(&i, "")
	return body, i.person.user, wrong
}

// clientCredentials gives a client a token of its own (RFC 6749 section 4.4).
func (p *Provider) clientCredentials(x *web.Exchange, who *caller, q *params) ([]byte, *refusal) {
	switch {
	case !who.wire.spec.Flows.ClientCredentials:
		return nil, refuse("unauthorized_client", trace.OIDCClientBlocked, "the client credentials flow is not open to the client")
	case !who.proved:
		return nil, invalidClient(trace.OIDCClientSecret, "the client must prove itself")
	}
	asked := words(q.get("scope"))
	granted := who.wire.grant(asked)
	switch {
	case len(asked) == 0:
		for _, s := range who.wire.scopes {
			if s != "*" && s != "openid" && s != "offline_access" {
				granted = append(granted, s)
			}
		}
	case len(granted) == 0:
		return nil, refuse("invalid_scope", trace.OIDCScopeInvalid, "the client may have none of the scopes")
	}
	i := issuance{x: x, client: who.client, wire: who.wire, scopes: granted}
	if wrong := i.aim(q); wrong != nil {
		return nil, wrong
	}
	if wrong := p.record(x, &i); wrong != nil {
		return nil, wrong
	}
	return p.respond(&i, q.get("scope"))
}

// password gives tokens for a person's name and password (RFC 6749 section 4.3).
func (p *Provider) password(x *web.Exchange, who *caller, q *params) (body []byte, user string, wrong *refusal) {
	flows := &who.wire.spec.Flows
	if !flows.Password && !(flows.PasswordWithClientCredentials && who.proved) {
		return nil, "", refuse("unauthorized_client", trace.OIDCClientBlocked, "the password flow is not open to the client")
	}
	name := q.get("username")
	if name == "" || q.get("password") == "" {
		return nil, "", refuse("invalid_request", trace.OIDCRequestInvalid, "the parameters username and password are both needed")
	}
	asked := words(q.get("scope"))
	if len(asked) == 0 {
		asked = []string{"openid"} // the handbook's default scope
	}
	i := issuance{x: x, client: who.client, wire: who.wire, scopes: who.wire.grant(asked)}
	if len(i.scopes) == 0 {
		return nil, name, refuse("invalid_scope", trace.OIDCScopeInvalid, "the client may have none of the scopes")
	}
	if wrong := i.aim(q); wrong != nil {
		return nil, name, wrong
	}
	if wrong := p.login(x, &i, name, q.get("password")); wrong != nil {
		return nil, name, wrong
	}
	i.refresh = flows.Refresh
	if wrong := p.start(x, &i); wrong != nil {
		return nil, name, wrong
	}
	body, wrong = p.respond(&i, q.get("scope"))
	return body, name, wrong
}

// aim reads which resource servers the token is for.
func (i *issuance) aim(q *params) *refusal {
	asked := append(q.all("resource"), q.all("audience")...)
	if wrong := i.wire.targets(i.client.ClientID, asked); wrong != nil {
		return wrong
	}
	i.detail.resources = strings.Join(asked, " ")
	return nil
}

// respond makes the answer of the token endpoint, in the order of the handbook. Nothing is made of the issuance after it.
func (p *Provider) respond(i *issuance, asked string) ([]byte, *refusal) {
	defer i.facts.done()
	accessToken, life, err := p.accessToken(i)
	if err != nil {
		return nil, p.broken(i.x, "make an access token", err)
	}
	var idToken string
	if i.person.user != "" && slices.Contains(i.scopes, "openid") {
		if idToken, err = p.idToken(i, &idTokenParts{}); err != nil {
			return nil, p.broken(i.x, "make an ID token", err)
		}
	}
	o := newObject(make([]byte, 0, len(accessToken)+len(idToken)+len(i.secret)+256))
	o.text("access_token", accessToken)
	o.given("refresh_token", i.secret)
	o.given("id_token", idToken)
	o.text("token_type", "Bearer")
	o.number("expires_in", int64(life/time.Second))
	if asked != "" && asked != strings.Join(i.scopes, " ") || asked == "" && i.person.user == "" && len(i.scopes) > 0 {
		o.text("scope", strings.Join(i.scopes, " "))
	}
	return o.end(), nil
}
