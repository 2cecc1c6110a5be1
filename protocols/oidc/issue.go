package oidc

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"trine/engine"
	"trine/engine/attribute"
	"trine/engine/event"
	"trine/engine/policy"
	"trine/engine/trace"
	"trine/protocols/web"
)

// issuance is what is granted to a client, from the request to the tokens.
type issuance struct {
	x      *web.Exchange
	client *policy.Client
	wire   *Client
	person person
	detail detail
	scopes []string
	facts  facts

	refresh      bool   // with a refresh token
	number       uint64 // of the grant; before it is started: that of the code, or 0
	codeNotAfter int64
	token        uint64 // of the access token
	index        uint64 // of the log, at which it exists
	secret       string // the refresh token
}

// facts are what a client may know of a person.
type facts struct {
	userID   uint64
	name     string // that the client is told
	released []attribute.Released
	claims   engine.Claims // what released is in; nothing where it is a login's
}

// done gives back what released is in, which is not to be read after it.
func (f *facts) done() {
	f.released = nil
	f.claims.Close()
}

// subject returns the sub of a person at a client.
func (p *Provider) subject(w *Client, f *facts) string {
	if w.spec.SubjectType == "pairwise" {
		return pairwise(p.pairwiseKey(), w.sector, f.userID)
	}
	return f.name
}

// audienceOf returns whom an access token is for.
func (i *issuance) audience() []string {
	if i.detail.resources != "" {
		return words(i.detail.resources)
	}
	if a := i.wire.spec.Audience; len(a) > 0 {
		return a
	}
	return []string{i.client.ClientID}
}

// accessToken makes the access token of a grant.
func (p *Provider) accessToken(i *issuance) (string, time.Duration, error) {
	now, life := p.now(), i.wire.accessLife(i.x.Issuer)
	audience := i.audience()
	if i.wire.access == accessOpaque {
		a := access{
			grant: i.number, token: i.token, client: i.client.Name, issuer: i.x.Issuer.Name, user: i.person.user, scopes: strings.Join(i.scopes, " "),
			audience: strings.Join(audience, " "), issued: now.Unix(), notAfter: now.Add(life).Unix(), index: i.index,
		}
		if i.person.user == "" {
			a.grant = 0
		}
		text, err := seal(p.keyring, accessContext, a.append(make([]byte, 0, 256)))
		return text, life, err
	}
	o := newObject(make([]byte, 0, 512))
	o.text("iss", i.x.Issuer.URL)
	if i.person.user == "" {
		o.text("sub", i.client.ClientID)
	} else {
		o.text("sub", p.subject(i.wire, &i.facts))
	}
	o.one("aud", audience)
	o.text("client_id", i.client.ClientID)
	o.number("iat", now.Unix())
	o.number("exp", now.Add(life).Unix())
	o.text("jti", tokenID(i.number, i.token, i.index))
	o.given("scope", strings.Join(i.scopes, " "))
	if i.person.user != "" {
		o.number("auth_time", i.person.at)
		o.given("acr", i.person.class)
		if i.detail.amr != "" {
			o.texts("amr", words(i.detail.amr))
		}
	}
	s, err := p.signer(i.x.R.Context(), i.x.Issuer, i.wire.spec.AccessTokenAlgorithm)
	if err != nil {
		return "", 0, err
	}
	token, err := s.sign(make([]byte, 0, 1024), typeAccess, o.end())
	return string(token), life, err
}

// one appends a member that is a text where there is one value, else a list.
func (o *object) one(name string, values []string) {
	if len(values) == 1 {
		o.text(name, values[0])
		return
	}
	o.texts(name, values)
}

// tokenID is the jti of an access token: its grant, its own number and the log index at which it exists.
func tokenID(grant, token, index uint64) string {
	return event.FormatID(grant) + "." + event.FormatID(token) + "." + strconv.FormatUint(index, 36)
}

func parseTokenID(text string) (grant, token, index uint64, ok bool) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return 0, 0, 0, false
	}
	var errs [3]error
	grant, errs[0] = event.ParseID(parts[0])
	token, errs[1] = event.ParseID(parts[1])
	index, errs[2] = strconv.ParseUint(parts[2], 36, 64)
	return grant, token, index, errs[0] == nil && errs[1] == nil && errs[2] == nil
}

// idTokenParts are what an ID token vouches for beside the person.
type idTokenParts struct {
	accessToken, code, state string // hashed where they are given
	alone                    bool   // there is no access token that gets the claims
}

// idToken makes an ID token (OpenID Connect Core 1.0 section 2).
func (p *Provider) idToken(i *issuance, parts *idTokenParts) (string, error) {
	now := p.now()
	algorithm := i.wire.spec.IDTokenAlgorithm
	o := newObject(make([]byte, 0, 1024))
	o.text("iss", i.x.Issuer.URL)
	o.text("sub", p.subject(i.wire, &i.facts))
	o.text("aud", i.client.ClientID)
	o.number("exp", now.Add(i.wire.spec.IDTokenTimeout).Unix())
	o.number("iat", now.Unix())
	if i.person.at != 0 {
		o.number("auth_time", i.person.at)
	}
	o.given("nonce", i.detail.nonce)
	o.given("acr", i.person.class)
	if i.detail.amr != "" {
		o.texts("amr", words(i.detail.amr))
	}
	o.text("azp", i.client.ClientID)
	o.given("sid", i.detail.sessionID)
	if parts.accessToken != "" {
		o.text("at_hash", halfHash(algorithm, parts.accessToken))
	}
	if parts.code != "" {
		o.text("c_hash", halfHash(algorithm, parts.code))
	}
	if parts.state != "" {
		o.text("s_hash", halfHash(algorithm, parts.state))
	}
	asked, _ := parseClaimsKept(i.detail.claims)
	selected := i.wire.idTokenSelection(i.scopes, &asked, parts.alone)
	appendReleased(&o, i.facts.released, &selected)
	s, err := p.signer(i.x.R.Context(), i.x.Issuer, algorithm)
	if err != nil {
		return "", err
	}
	token, err := s.sign(make([]byte, 0, 2048), typeID, o.end())
	if err != nil || i.wire.spec.IDTokenEncryption == nil {
		return string(token), err
	}
	set, err := p.keySet(i.x.R.Context(), i.wire)
	if err != nil {
		return "", err
	}
	return encrypt(i.wire.spec.IDTokenEncryption, set, string(token), "JWT")
}

// parseClaimsKept reads the parameter claims as a grant keeps it; it was read before.
func parseClaimsKept(text string) (claimsRequest, error) {
	if text == "" {
		return claimsRequest{}, nil
	}
	return parseClaims(text)
}

// readHint verifies an ID token that this identity provider has made, however long ago (OpenID Connect Core 1.0 section 3.1.2.1).
func (p *Provider) readHint(ctx context.Context, issuer *policy.Issuer, text string) (claimsOf, error) {
	return p.verifyOwn(ctx, issuer, text, jwsAlgorithms[:])
}

var jwsAlgorithms = [...]jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.EdDSA}

// verifyOwn verifies a token that this identity provider has signed. Whether it is good now is the caller's to say.
func (p *Provider) verifyOwn(ctx context.Context, issuer *policy.Issuer, text string, algorithms []jose.SignatureAlgorithm) (c claimsOf, err error) {
	token, err := jose.ParseSignedCompact(text, algorithms)
	if err != nil || len(token.Signatures) != 1 {
		return c, fmt.Errorf("read a token: %w", errSealed)
	}
	keys, err := p.issuerKeys(ctx, issuer)
	if err != nil {
		return c, err
	}
	payload, err := verifyWith(token, keys.public)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		return c, fmt.Errorf("read the claims of a token: %w", err)
	}
	if c.Issuer != issuer.URL {
		return c, fmt.Errorf("verify a token: it is of %q", short(c.Issuer))
	}
	return c, nil
}

// broken says that something failed here that no client can mend. It is logged.
func (p *Provider) broken(x *web.Exchange, what string, err error) *refusal {
	p.logger.Error("OpenID Connect: "+what, slog.String("identityProvider", x.Issuer.Name), slog.Any("error", err))
	r := refuse("server_error", trace.LogNotRecorded, "the identity provider could not %s", what)
	r.status = http.StatusInternalServerError
	return r
}

// mayKnow reports whether a client's tokens may be shown to another client.
func mayKnow(asks *Client, id string, audience []string, owner string) bool {
	return owner == id || slices.Contains(asks.spec.Introspects, owner) || slices.Contains(asks.spec.Introspects, "*") || slices.Contains(audience, id)
}
