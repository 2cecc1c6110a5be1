package oidc

import (
	"net/http"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"trine/engine/policy"
	"trine/engine/trace"
	"trine/protocols/web"
)

var errToken = &refusal{code: "invalid_token", reason: trace.OIDCTokenInvalid, words: "the access token is none that is good here", status: http.StatusUnauthorized}

// bearer returns the access token of a request (RFC 6750 section 2): in its header, or in its form. In the query it would stand in logs.
func (p *Provider) bearer(x *web.Exchange) (string, *refusal) {
	token, inHeader := strings.CutPrefix(x.R.Header.Get("Authorization"), "Bearer ")
	if x.R.Method == http.MethodPost && strings.HasPrefix(x.R.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		q, err := readForm(x.R)
		if err != nil {
			return "", &refusal{code: "invalid_request", reason: trace.OIDCRequestInvalid, words: err.Error(), status: http.StatusBadRequest}
		}
		if inForm := q.get("access_token"); inForm != "" {
			if inHeader || q.twice == "access_token" {
				return "", &refusal{code: "invalid_request", reason: trace.OIDCRequestInvalid, words: "the access token came more than once", status: http.StatusBadRequest}
			}
			return inForm, nil
		}
	}
	if !inHeader || token == "" {
		return "", &refusal{reason: trace.OIDCTokenMissing, words: "there is no access token", status: http.StatusUnauthorized}
	}
	return strings.TrimSpace(token), nil
}

// openAccess reads an access token of this identity provider, opaque or JWT. Whether it still counts is for alive to say.
func (p *Provider) openAccess(x *web.Exchange, text string) (a access, ok bool) {
	if strings.IndexByte(text, '.') < 0 {
		plain, err := unseal(p.keyring, accessContext, text)
		if err != nil || a.decode(plain) != nil || a.issuer != x.Issuer.Name {
			return access{}, false
		}
		return a, true
	}
	keys, err := p.issuerKeys(x.R.Context(), x.Issuer)
	if err != nil {
		return access{}, false
	}
	if kept, ok := p.verified.get(text, keys); ok {
		return kept, kept.issuer == x.Issuer.Name
	}
	claims, typ, err := verifyAccess(keys, x.Issuer, text)
	if err != nil || typ != typeAccess {
		return access{}, false
	}
	if a.grant, a.token, a.index, ok = parseTokenID(claims.ID); !ok || claims.Expiry == nil || claims.IssuedAt == nil {
		return access{}, false
	}
	client := x.Cache.OpenIDClient([]byte(claims.Client))
	if client == nil {
		return access{}, false
	}
	a.client, a.issuer, a.scopes, a.audience = client.Name, x.Issuer.Name, claims.Scope, strings.Join(claims.Audience, " ")
	a.issued, a.notAfter = int64(*claims.IssuedAt), int64(*claims.Expiry)
	if a.grant != 0 {
		g, ok := p.grantOf(a.grant)
		if !ok {
			return access{}, false
		}
		a.user = g.User
	}
	p.verified.put(text, keys, a)
	return a, true
}

// accessClaims are the claims of an access token that is a JWT.
type accessClaims struct {
	claimsOf
	Client string `json:"client_id"`
	Scope  string `json:"scope"`
}

func verifyAccess(keys *issuerKeys, issuer *policy.Issuer, text string) (c accessClaims, typ string, err error) {
	token, err := jose.ParseSignedCompact(text, jwsAlgorithms[:])
	if err != nil || len(token.Signatures) != 1 {
		return c, "", errSealed
	}
	typ, _ = token.Signatures[0].Protected.ExtraHeaders[jose.HeaderType].(string)
	payload, err := verifyWith(token, keys.public)
	if err != nil {
		return c, "", err
	}
	if err := unmarshalAccess(payload, &c); err != nil {
		return c, "", err
	}
	if c.Issuer != issuer.URL {
		return c, "", errSealed
	}
	return c, typ, nil
}

// usable returns whom an access token is of, where it counts now.
func (p *Provider) usable(x *web.Exchange, text string) (a access, client *policy.Client, wire *Client, wrong *refusal) {
	a, ok := p.openAccess(x, text)
	if !ok || a.expired(p.now()) {
		return a, nil, nil, errToken
	}
	client = x.Cache.Client(a.client)
	if client == nil || client.Broken != nil || client.Issuer == nil || client.Issuer.Name != x.Issuer.Name {
		return a, nil, nil, errToken
	}
	if wire = wireOf(client); wire == nil {
		return a, nil, nil, errToken
	}
	if wrong = p.alive(x, &a); wrong != nil {
		return a, client, wire, wrong
	}
	return a, client, wire, nil
}

// holder returns whom the access token of a request is of, and answers where there is none that counts.
func (p *Provider) holder(x *web.Exchange) (a access, client *policy.Client, wire *Client, ok bool) {
	text, wrong := p.bearer(x)
	if wrong != nil {
		answerBearer(x.W, wrong, 0)
		return a, nil, nil, false
	}
	if a, client, wire, wrong = p.usable(x, text); wrong != nil {
		answerBearer(x.W, wrong, p.refused(x, client, a.user, wrong))
		return a, nil, nil, false
	}
	return a, client, wire, true
}

// userinfo is the user information endpoint (OpenID Connect Core 1.0 section 5.3).
func (p *Provider) userinfo(x *web.Exchange) {
	if p.preflight(x, "GET, POST") {
		return
	}
	if x.R.Method != http.MethodGet && x.R.Method != http.MethodPost && x.R.Method != http.MethodHead {
		x.W.Header().Set("Allow", "GET, POST, OPTIONS")
		x.W.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	text, wrong := p.bearer(x)
	if wrong != nil {
		p.openOrigin(x)
		answerBearer(x.W, wrong, 0)
		return
	}
	a, client, wire, wrong := p.usable(x, text)
	if wrong != nil {
		p.openOrigin(x)
		answerBearer(x.W, wrong, p.refused(x, client, a.user, wrong))
		return
	}
	p.allowOrigin(x, wire)
	scopes := words(a.scopes)
	if a.user == "" || !hasWord(a.scopes, "openid") {
		wrong := &refusal{code: "insufficient_scope", reason: trace.OIDCScopeMissing, words: "the access token has not the scope openid", status: http.StatusForbidden}
		answerBearer(x.W, wrong, p.refused(x, client, a.user, wrong))
		return
	}
	known, kept, wrong := p.factsOf(x, client, &a)
	if wrong != nil {
		wrong = &refusal{code: "invalid_token", reason: wrong.reason, words: wrong.words, status: http.StatusUnauthorized}
		answerBearer(x.W, wrong, p.refused(x, client, a.user, wrong))
		return
	}
	defer known.done()
	asked, _ := parseClaimsKept(kept.claims)
	selected := wire.userInfoSelection(scopes, &asked)
	o := newObject(make([]byte, 0, 1024))
	o.text("sub", p.subject(wire, &known))
	signs, encrypts := wire.spec.UserInfoAlgorithm, wire.spec.UserInfoEncryption
	if signs != "" {
		o.text("iss", x.Issuer.URL)
		o.text("aud", client.ClientID)
	}
	appendReleased(&o, known.released, &selected)
	body := o.end()
	if signs == "" && encrypts == nil {
		answerJSON(x.W, http.StatusOK, body)
		return
	}
	body, err := p.sealUserInfo(x, wire, body)
	if err != nil {
		answerError(x.W, p.broken(x, "sign or encrypt the answer", err), 0, false)
		return
	}
	h := x.W.Header()
	h["Content-Type"], h["Cache-Control"] = contentJWT, noStore
	x.W.WriteHeader(http.StatusOK)
	_, _ = x.W.Write(body)
}

// sealUserInfo signs and encrypts what the user information endpoint answers, as the client has it.
func (p *Provider) sealUserInfo(x *web.Exchange, wire *Client, body []byte) ([]byte, error) {
	contentType := ""
	if algorithm := wire.spec.UserInfoAlgorithm; algorithm != "" {
		s, err := p.signer(x.R.Context(), x.Issuer, algorithm)
		if err != nil {
			return nil, err
		}
		if body, err = s.sign(nil, typeUser, body); err != nil {
			return nil, err
		}
		contentType = "JWT"
	}
	if wire.spec.UserInfoEncryption == nil {
		return body, nil
	}
	set, err := p.keySet(x.R.Context(), wire)
	if err != nil {
		return nil, err
	}
	sealed, err := encrypt(wire.spec.UserInfoEncryption, set, string(body), contentType)
	return []byte(sealed), err
}

// hasWord reports whether a text has a word.
func hasWord(text, word string) bool {
	for text != "" {
		var one string
		one, text, _ = strings.Cut(text, " ")
		if one == word {
			return true
		}
	}
	return false
}

// askedAbout reads which token a client asks about, at an endpoint of a path, and answers where it may not ask. With prove, a public client may not.
func (p *Provider) askedAbout(x *web.Exchange, path string, prove bool) (q params, who caller, text string, ok bool) {
	if p.preflight(x, "POST") {
		return q, who, "", false
	}
	if q, ok = p.form(x); !ok {
		return q, who, "", false
	}
	ctx := x.R.Context()
	who, wrong := p.authenticate(ctx, x.Cache, x.Issuer, x.R.Header, &q, x.Issuer.URL+path, x.Issuer.URL+x.Issuer.Spec.Profiles.OpenID.Token)
	if wrong == nil && prove && !who.proved {
		wrong = invalidClient(trace.OIDCClientSecret, "the client must prove itself")
	}
	if wrong == nil {
		wrong = p.useAssertion(ctx, &who)
	}
	if wrong == nil {
		p.allowOrigin(x, who.wire)
		if text = q.get("token"); text == "" {
			wrong = refuse("invalid_request", trace.OIDCRequestInvalid, "the parameter token is missing")
		}
	}
	if wrong != nil {
		p.refuseClient(x, &who, "", wrong)
		return q, who, "", false
	}
	return q, who, text, true
}

// introspect is the introspection endpoint (RFC 7662).
func (p *Provider) introspect(x *web.Exchange) {
	_, who, text, ok := p.askedAbout(x, x.Issuer.Spec.Profiles.OpenID.TokenInfo, true)
	if !ok {
		return
	}
	body := p.introspectAccess(x, &who, text)
	if body == nil {
		body = p.introspectRefresh(x, &who, text)
	}
	if body == nil {
		body = inactive
	}
	answerJSON(x.W, http.StatusOK, body)
}

var inactive = []byte(`{"active":false}`)

func (p *Provider) introspectAccess(x *web.Exchange, who *caller, text string) []byte {
	a, client, wire, wrong := p.usable(x, text)
	if wrong != nil || !mayKnow(who.wire, who.client.ClientID, words(a.audience), client.ClientID) {
		return nil
	}
	o := newObject(make([]byte, 0, 512))
	o.flag("active", true)
	o.given("scope", a.scopes)
	o.text("client_id", client.ClientID)
	sub := client.ClientID
	if a.user != "" {
		known, wrong := p.briefly(x, client, &a)
		if wrong != nil {
			return nil
		}
		sub = p.subject(wire, &known)
		if wire.spec.SubjectType != "pairwise" {
			o.text("username", known.name)
		}
	}
	o.text("token_type", "Bearer")
	o.number("exp", a.notAfter)
	o.number("iat", a.issued)
	o.text("sub", sub)
	o.one("aud", words(a.audience))
	o.text("iss", x.Issuer.URL)
	o.text("jti", tokenID(a.grant, a.token, a.index))
	return o.end()
}

// revoke is the revocation endpoint (RFC 7009), which also ends a session by what its browser has of it, as the handbook has it.
func (p *Provider) revoke(x *web.Exchange) {
	q, who, text, ok := p.askedAbout(x, x.Issuer.Spec.Profiles.OpenID.Revoke, false)
	if !ok {
		return
	}
	// The hint saves looking; one that is not known is passed over (RFC 7009 section 2.1).
	tries := []func(*web.Exchange, *caller, string) (bool, *refusal){p.revokeAccess, p.revokeRefresh, p.revokeSession}
	switch q.get("token_type_hint") {
	case "refresh_token":
		tries[0], tries[1] = tries[1], tries[0]
	case "session_cookie":
		tries[0], tries[2] = tries[2], tries[0]
	}
	for _, try := range tries {
		done, wrong := try(x, &who, text)
		if wrong != nil {
			p.refuseClient(x, &who, "", wrong)
			return
		}
		if done {
			break
		}
	}
	h := x.W.Header()
	h["Cache-Control"] = noStore
	x.W.WriteHeader(http.StatusOK)
}
