package oidc

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"trine/engine/login"
	"trine/engine/policy"
	"trine/engine/trace"
)

// refusal is why a request is refused, in the words of the protocol and of the trace.
type refusal struct {
	code   string // RFC 6749 section 4.1.2.1 and 5.2, OpenID Connect Core 1.0 section 3.1.2.6
	words  string // for developers
	reason trace.Reason
	status int // of an answer to a machine; 0: 400

	id       uint64 // of the decision; 0: none is known
	recorded bool   // somebody else has recorded it
}

func (r *refusal) Error() string { return r.code + ": " + r.words }

func refuse(code string, reason trace.Reason, format string, args ...any) *refusal {
	return &refusal{code: code, reason: reason, words: fmt.Sprintf(format, args...)}
}

// The parts of a response.
const (
	withCode uint8 = 1 << iota
	withIDToken
	withToken
)

// The ways in which a response is sent.
const (
	modeQuery uint8 = iota
	modeFragment
	modeForm
)

// authRequest is an authorization request that was read and found good (OpenID Connect Core 1.0 section 3.1.2.1).
type authRequest struct {
	client *policy.Client
	wire   *Client

	response    uint8
	mode        uint8
	redirectURI string
	state       string
	nonce       string
	scopes      []string // those that the client may have
	challenge   string
	plain       bool // of the challenge
	claims      claimsRequest
	resources   []string
	demand      login.Demand
	none        bool // prompt
	consent     bool
	account     bool
	hint        string
	hintSubject string // of id_token_hint
	locales     []string
	maxAge      bool // asked for, so that auth_time is told
	given       params
}

func (a *authRequest) openID() bool { return slices.Contains(a.scopes, "openid") }

func (a *authRequest) offline() bool { return slices.Contains(a.scopes, "offline_access") }

// claimsRequest is the parameter claims (OpenID Connect Core 1.0 section 5.5).
type claimsRequest struct {
	userInfo, idToken []string
	subject           string   // the sub that the ID token must have
	classes           []string // acr as an essential claim
	voluntary         []string // acr as a voluntary one
}

type claimWanted struct {
	Essential bool  `json:"essential"`
	Value     any   `json:"value"`
	Values    []any `json:"values"`
}

func parseClaims(text string) (c claimsRequest, err error) {
	var sent struct {
		UserInfo map[string]*claimWanted `json:"userinfo"`
		IDToken  map[string]*claimWanted `json:"id_token"`
	}
	if err := json.Unmarshal([]byte(text), &sent); err != nil {
		return c, errors.New("the parameter claims is not the JSON object of OpenID Connect Core 1.0 section 5.5")
	}
	c.userInfo, c.idToken = slices.Sorted(maps.Keys(sent.UserInfo)), slices.Sorted(maps.Keys(sent.IDToken))
	if w := sent.IDToken["sub"]; w != nil {
		c.subject, _ = w.Value.(string)
	}
	if w := sent.IDToken["acr"]; w != nil {
		list := w.Values
		if w.Value != nil {
			list = append(list, w.Value)
		}
		for _, v := range list {
			class, ok := v.(string)
			switch {
			case ok && w.Essential:
				c.classes = append(c.classes, class)
			case ok:
				c.voluntary = append(c.voluntary, class)
			}
		}
	}
	return c, nil
}

// whoAsks finds the client of an authorization request, and whether its redirect URI may be trusted with an answer. Where there is a refusal with page, no answer
// goes to the redirect URI.
func (p *Provider) whoAsks(c *policy.Cache, issuer *policy.Issuer, q *params) (client *policy.Client, wire *Client, wrong *refusal) {
	switch {
	case q.twice == "client_id" || q.twice == "redirect_uri":
		return nil, nil, refuse("invalid_request", trace.OIDCRequestInvalid, "the parameter %s came more than once", q.twice)
	case q.get("client_id") == "":
		return nil, nil, refuse("invalid_request", trace.OIDCRequestInvalid, "the parameter client_id is missing")
	}
	client = c.OpenIDClient([]byte(q.get("client_id")))
	if client == nil || client.Issuer == nil || client.Issuer.Name != issuer.Name {
		return nil, nil, refuse("invalid_client", trace.OIDCClientUnknown, "this identity provider has no client %q", short(q.get("client_id")))
	}
	wire = wireOf(client)
	if wire == nil || client.Broken != nil {
		return client, nil, refuse("server_error", trace.ConfigBroken, "the client cannot be used as it is configured")
	}
	return client, wire, nil
}

// parseRequest reads an authorization request. The refusals of page are told to the person, as there is nowhere to send them; those of the client are sent to
// the redirect URI of the request that comes with them. A request that goes on after its login is read again, as its client may have been changed meanwhile; its request
// object was opened before.
func (p *Provider) parseRequest(ctx context.Context, c *policy.Cache, issuer *policy.Issuer, q params, goesOn bool) (a *authRequest, page, wrong *refusal) {
	client, wire, page := p.whoAsks(c, issuer, &q)
	a = &authRequest{client: client, wire: wire}
	if page != nil {
		return a, page, nil
	}
	// What is known of the response before the request object is read serves to answer that it cannot be.
	var objectWrong *refusal
	if text := q.get("request"); text != "" {
		objectWrong = p.openRequestObject(ctx, issuer, wire, client.ClientID, text, &q)
	} else if wire.spec.RequireRequestObject && !goesOn {
		objectWrong = refuse("invalid_request", trace.OIDCRequestObject, "the client must send signed request objects")
	}
	if page = a.readRedirect(&q); page != nil {
		return a, page, nil
	}
	a.readState(&q)
	if objectWrong != nil {
		return a, nil, objectWrong
	}
	a.given = q
	if wrong := a.readResponse(&q); wrong != nil {
		return a, nil, wrong
	}
	if wrong := a.readRest(p, &q); wrong != nil {
		return a, nil, wrong
	}
	if hint := q.get("id_token_hint"); hint != "" {
		told, err := p.readHint(ctx, issuer, hint)
		if err != nil || !slices.Contains(told.Audience, client.ClientID) {
			return a, nil, refuse("invalid_request", trace.OIDCHintInvalid, "the id_token_hint is no ID token that this identity provider made for the client")
		}
		a.hintSubject = told.Subject
	}
	return a, nil, nil
}

// readRedirect compares the redirect URI before anything is made of it (RFC 9700 section 2.1).
func (a *authRequest) readRedirect(q *params) *refusal {
	a.redirectURI = q.get("redirect_uri")
	switch {
	case a.redirectURI == "" && len(a.wire.redirects) == 1 && !slices.Contains(words(q.get("scope")), "openid"):
		a.redirectURI = a.wire.redirects[0].uri // RFC 6749 section 3.1.2.3
	case a.redirectURI == "":
		return refuse("invalid_request", trace.OIDCRedirectInvalid, "the parameter redirect_uri is missing")
	case !a.wire.allows(a.redirectURI):
		return refuse("invalid_request", trace.OIDCRedirectInvalid, "%q is none of the redirect URIs of the client", short(a.redirectURI))
	}
	return nil
}

// readState reads what every response needs, as far as it can be read.
func (a *authRequest) readState(q *params) {
	if q.twice != "state" {
		a.state = q.get("state")
	}
	types := words(q.get("response_type"))
	for _, t := range types {
		switch t {
		case "code":
			a.response |= withCode
		case "id_token":
			a.response |= withIDToken
		case "token":
			a.response |= withToken
		}
	}
	if a.response&(withIDToken|withToken) != 0 {
		a.mode = modeFragment
	}
	switch q.get("response_mode") {
	case "fragment":
		a.mode = modeFragment
	case "form_post":
		a.mode = modeForm
	case "query":
		if a.mode != modeFragment { // tokens never stand in a query
			a.mode = modeQuery
		}
	}
}

// readResponse reads which response is asked for and whether the client may have it.
func (a *authRequest) readResponse(q *params) *refusal {
	if q.twice != "" {
		return refuse("invalid_request", trace.OIDCRequestInvalid, "the parameter %s came more than once", short(q.twice))
	}
	sent := words(q.get("response_type"))
	slices.Sort(sent)
	asked := strings.Join(sent, " ")
	known := []string{"code", "id_token", "id_token token", "token", "code id_token", "code token", "code id_token token"}
	switch {
	case asked == "":
		return refuse("invalid_request", trace.OIDCRequestInvalid, "the parameter response_type is missing")
	case !slices.Contains(known, asked):
		return refuse("unsupported_response_type", trace.OIDCResponseUnsupported, "no response_type %q", short(asked))
	case !slices.Contains(a.wire.types, asked):
		return refuse("unauthorized_client", trace.OIDCClientBlocked, "the response_type %q is not open to the client", asked)
	}
	switch mode := q.get("response_mode"); {
	case mode != "" && mode != "query" && mode != "fragment" && mode != "form_post":
		return refuse("invalid_request", trace.OIDCResponseUnsupported, "no response_mode %q", short(mode))
	case mode == "query" && a.response&(withIDToken|withToken) != 0:
		return refuse("invalid_request", trace.OIDCResponseUnsupported, "tokens are not sent by response_mode query")
	case q.get("request_uri") != "":
		return refuse("request_uri_not_supported", trace.OIDCRequestObject, "request objects are taken by value alone")
	case q.get("registration") != "":
		return refuse("registration_not_supported", trace.OIDCRequestInvalid, "the parameter registration is not taken")
	}
	return nil
}

// readRest reads the other parameters.
func (a *authRequest) readRest(p *Provider, q *params) *refusal {
	asked := words(q.get("scope"))
	a.scopes = a.wire.grant(asked)
	switch {
	case len(asked) > 0 && len(a.scopes) == 0:
		return refuse("invalid_scope", trace.OIDCScopeInvalid, "the client may have none of the scopes")
	case a.response&withIDToken != 0 && !a.openID():
		return refuse("invalid_scope", trace.OIDCScopeInvalid, "an ID token needs the scope openid")
	}
	a.nonce = q.get("nonce")
	if a.response&withIDToken != 0 && a.nonce == "" {
		return refuse("invalid_request", trace.OIDCRequestInvalid, "the parameter nonce is missing")
	}
	if wrong := a.readChallenge(q); wrong != nil {
		return wrong
	}
	if text := q.get("claims"); text != "" {
		var err error
		if a.claims, err = parseClaims(text); err != nil {
			return refuse("invalid_request", trace.OIDCClaimsInvalid, "%s", err)
		}
	}
	if a.resources = append(q.all("resource"), q.all("audience")...); len(a.resources) > 0 {
		if wrong := a.wire.targets(a.client.ClientID, a.resources); wrong != nil {
			return wrong
		}
	}
	a.hint, a.locales = q.get("login_hint"), words(q.get("ui_locales"))
	return a.readDemand(q)
}

// targets refuses resource servers that access tokens of the client are not for (RFC 8707 section 2).
func (c *Client) targets(id string, asked []string) *refusal {
	for _, r := range asked {
		if r != id && !slices.Contains(c.spec.Audience, r) {
			return refuse("invalid_target", trace.OIDCScopeInvalid, "access tokens of the client are not for %q", short(r))
		}
	}
	return nil
}

func (a *authRequest) readChallenge(q *params) *refusal {
	a.challenge = q.get("code_challenge")
	method := q.get("code_challenge_method")
	switch {
	case a.response&withCode == 0:
		a.challenge = ""
		return nil
	case a.challenge == "" && method != "":
		return refuse("invalid_request", trace.OIDCPKCEMissing, "there is a code_challenge_method and no code_challenge")
	case a.challenge == "" && (a.wire.public() || a.wire.spec.RequirePKCE):
		return refuse("invalid_request", trace.OIDCPKCEMissing, "the client must send a code_challenge (RFC 7636)")
	case a.challenge == "":
		return nil
	case method != "" && method != "plain" && method != "S256":
		return refuse("invalid_request", trace.OIDCPKCEMissing, "no code_challenge_method %q", short(method))
	case method != "S256" && !a.wire.spec.PlainPKCE:
		return refuse("invalid_request", trace.OIDCPKCEMissing, "the code_challenge_method must be S256")
	case !verifierForm(a.challenge) || method == "S256" && len(a.challenge) != 43:
		return refuse("invalid_request", trace.OIDCPKCEMissing, "the code_challenge has not the form of RFC 7636 section 4.2")
	}
	a.plain = method != "S256"
	return nil
}

// verifierForm reports whether a text has the form of a code verifier (RFC 7636 section 4.1).
func verifierForm(s string) bool {
	if len(s) < 43 || len(s) > 128 {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_' && r != '~'
	})
}

// readDemand reads what the request asks of the login.
func (a *authRequest) readDemand(q *params) *refusal {
	for _, prompt := range words(q.get("prompt")) {
		switch prompt {
		case "none":
			a.none, a.demand.Passive = true, true
		case "login":
			a.demand.Force = true
		case "consent":
			a.consent = true
		case "select_account":
			a.account = true
		}
	}
	if a.none && len(words(q.get("prompt"))) > 1 {
		return refuse("invalid_request", trace.OIDCRequestInvalid, "prompt none stands alone")
	}
	if text := q.get("max_age"); text != "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil || seconds < 0 {
			return refuse("invalid_request", trace.OIDCRequestInvalid, "max_age is no number of seconds")
		}
		a.demand.Bounded, a.demand.MaxAge, a.maxAge = true, time.Duration(min(seconds, int64(10*365*24*time.Hour/time.Second)))*time.Second, true
	} else if d := a.wire.spec.DefaultMaxAge; d > 0 {
		a.demand.Bounded, a.demand.MaxAge, a.maxAge = true, d, true
	}
	switch {
	case len(a.claims.classes) > 0:
		a.demand.Classes = a.claims.classes
	case q.get("acr_values") != "":
		a.demand.Classes, a.demand.Voluntary = words(q.get("acr_values")), true
	case len(a.claims.voluntary) > 0:
		a.demand.Classes, a.demand.Voluntary = a.claims.voluntary, true
	case len(a.wire.spec.DefaultACRValues) > 0:
		a.demand.Classes, a.demand.Voluntary = a.wire.spec.DefaultACRValues, true
	}
	return nil
}

// openRequestObject reads a request object by value (OpenID Connect Core 1.0 section 6.1, RFC 9101 section 6) and puts its parameters in the place of those of
// the query.
func (p *Provider) openRequestObject(ctx context.Context, issuer *policy.Issuer, wire *Client, id, text string, q *params) *refusal {
	bad := func(format string, args ...any) *refusal {
		return refuse("invalid_request_object", trace.OIDCRequestObject, "the request object "+format, args...)
	}
	payload, err := p.verifyObject(ctx, wire, text)
	if err != nil {
		return bad("cannot be used: %s", err)
	}
	var claims claimsOf
	var members map[string]json.RawMessage
	if json.Unmarshal(payload, &claims) != nil || json.Unmarshal(payload, &members) != nil {
		return bad("is no JSON object")
	}
	if claims.Expiry != nil || claims.Before != nil {
		if claims.Expiry == nil {
			far := float64(p.now().Add(time.Hour).Unix())
			claims.Expiry = &far
		}
		if err := claims.timely(p.now(), 0); err != nil {
			return bad("is not good now: %s", err)
		}
	}
	switch {
	case claims.Issuer != "" && claims.Issuer != id:
		return bad("is not the client's own (iss)")
	case len(claims.Audience) > 0 && !slices.Contains(claims.Audience, issuer.URL):
		return bad("is for another identity provider (aud)")
	}
	query := *q
	out := params{list: slices.Clone(q.list), twice: q.twice}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		switch name {
		case "iss", "aud", "exp", "nbf", "iat", "jti", "sub":
			continue
		case "request", "request_uri":
			return bad("has the member %s", name)
		}
		values, ok := memberValues(members[name])
		if !ok || len(values) > 1 && !repeatable(name) {
			return bad("has a member %s that is no parameter", short(name))
		}
		if name == "client_id" || name == "response_type" {
			if sent := query.get(name); sent != "" && (len(values) != 1 || !sameWords(sent, values[0])) {
				return bad("has another %s than the request", name)
			}
		}
		out.set(name, values...)
	}
	out.set("request")
	if out.twice != "" && members[out.twice] != nil {
		out.twice = ""
	}
	*q = out
	return nil
}

func sameWords(a, b string) bool {
	x, y := words(a), words(b)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

// memberValues returns a member of a request object as a parameter would have it.
func memberValues(raw json.RawMessage) (values []string, ok bool) {
	switch raw = bytes.TrimSpace(raw); {
	case len(raw) == 0:
		return nil, false
	case raw[0] == '"':
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return nil, false
		}
		return []string{s}, true
	case raw[0] == '[':
		if json.Unmarshal(raw, &values) != nil {
			return nil, false
		}
		return values, true
	case bytes.Equal(raw, []byte("null")):
		return nil, true
	}
	return []string{string(raw)}, true // a number, true or false, an object such as claims
}

// verifyObject returns what a request object says.
func (p *Provider) verifyObject(ctx context.Context, wire *Client, text string) ([]byte, error) {
	if head, rest, _ := strings.Cut(text, "."); wire.unsigned && unsignedHead(head) {
		body, signature, ok := strings.Cut(rest, ".")
		if !ok || signature != "" {
			return nil, errors.New("it is no JWT")
		}
		return base64.RawURLEncoding.DecodeString(body)
	}
	if len(wire.objects) == 0 {
		return nil, errors.New("the client may sign with no algorithm")
	}
	token, err := jose.ParseSignedCompact(text, wire.objects)
	if err != nil || len(token.Signatures) != 1 {
		return nil, errors.New("it is not signed with an algorithm that the client has")
	}
	return p.verifyByClient(ctx, wire, token)
}

func unsignedHead(head string) bool {
	raw, err := base64.RawURLEncoding.DecodeString(head)
	var h struct {
		Algorithm string `json:"alg"`
	}
	return err == nil && json.Unmarshal(raw, &h) == nil && h.Algorithm == "none"
}

// verifyByClient verifies what a client signed with one of its public keys. Where these stand at an address of the client's, they are fetched anew for a kid that is not
// known.
func (p *Provider) verifyByClient(ctx context.Context, wire *Client, token *jose.JSONWebSignature) ([]byte, error) {
	if wire.keys != nil {
		return verifyWith(token, wire.keys)
	}
	if wire.keysURL == "" {
		return nil, errors.New("the client has no public keys")
	}
	set, err := p.keys.get(ctx, wire.keysURL, false)
	if err != nil {
		return nil, err
	}
	payload, err := verifyWith(token, set)
	if err == nil {
		return payload, nil
	}
	if set, again := p.keys.get(ctx, wire.keysURL, true); again == nil {
		return verifyWith(token, set)
	}
	return nil, err
}

// keySet returns the public keys of a client.
func (p *Provider) keySet(ctx context.Context, wire *Client) (*jose.JSONWebKeySet, error) {
	switch {
	case wire.keys != nil:
		return wire.keys, nil
	case wire.keysURL == "":
		return nil, errors.New("the client has no public keys")
	}
	return p.keys.get(ctx, wire.keysURL, false)
}

// short cuts what is repeated in messages.
func short(s string) string {
	if len(s) > 80 {
		return s[:77] + "..."
	}
	return s
}
