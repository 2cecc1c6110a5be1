package oidc

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"trine/engine/policy"
	"trine/engine/trace"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// longestAssertion is how far ahead an assertion may expire: its jti is remembered as long.
const longestAssertion = time.Hour

// caller is the client that asks an endpoint for machines.
type caller struct {
	client *policy.Client
	wire   *Client
	proved bool   // it has proved itself: it is not public
	jti    string // of the assertion that it proved itself with
	until  time.Time
}

func invalidClient(reason trace.Reason, format string, args ...any) *refusal {
	r := refuse("invalid_client", reason, format, args...)
	r.status = http.StatusUnauthorized
	return r
}

// authenticate finds out which client asks and whether it is the one (RFC 6749 section 2.3, OpenID Connect Core 1.0 section 9).
func (p *Provider) authenticate(ctx context.Context, c *policy.Cache, issuer *policy.Issuer, header http.Header, q *params, audiences ...string) (caller, *refusal) {
	var id, secret string
	method := authNone
	ways := 0
	if basic, ok := strings.CutPrefix(header.Get("Authorization"), "Basic "); ok {
		ways++
		method = authBasic
		if id, secret, ok = basicPair(basic); !ok {
			return caller{}, invalidClient(trace.OIDCClientSecret, "the header Authorization is not that of HTTP Basic authentication")
		}
	}
	if q.get("client_secret") != "" {
		ways++
		id, secret, method = q.get("client_id"), q.get("client_secret"), authPost
	}
	assertion := q.get("client_assertion")
	if assertion != "" {
		ways++
		if q.get("client_assertion_type") != assertionType {
			return caller{}, invalidClient(trace.OIDCClientAssertion, "the client_assertion_type is not %s", assertionType)
		}
		id, method = unverifiedSubject(assertion), authSecretJWT
	}
	switch {
	case ways > 1:
		return caller{}, refuse("invalid_request", trace.OIDCClientMethod, "the client proves itself in more than one way (RFC 6749 section 2.3)")
	case ways == 0:
		id = q.get("client_id")
	}
	if sent := q.get("client_id"); sent != "" && sent != id && !(method == authBasic && rawPair(header, sent)) {
		return caller{}, invalidClient(trace.OIDCClientSecret, "the client_id is not that of the client that proves itself")
	}
	if id == "" {
		return caller{}, invalidClient(trace.OIDCClientMissing, "the request does not say which client it is of")
	}
	client := c.OpenIDClient([]byte(id))
	if client == nil && method == authBasic { // a client that did not encode what it sent (RFC 6749 section 2.3.1)
		if basic, ok := rawBasic(header); ok {
			rawID, rawSecret, _ := strings.Cut(basic, ":")
			client, secret = c.OpenIDClient([]byte(rawID)), rawSecret
		}
	}
	if client == nil || client.Issuer == nil || client.Issuer.Name != issuer.Name {
		p.decoy(secret)
		return caller{}, invalidClient(trace.OIDCClientUnknown, "there is no such client, or it could not prove itself")
	}
	wire := wireOf(client)
	if wire == nil || client.Broken != nil {
		r := refuse("server_error", trace.ConfigBroken, "the client cannot be used as it is configured")
		r.status = http.StatusInternalServerError
		return caller{client: client}, r
	}
	who := caller{client: client, wire: wire}
	if wire.auth == authNone {
		if ways > 0 && (method != authBasic && method != authPost || secret != "") {
			return who, invalidClient(trace.OIDCClientSecret, "there is no such client, or it could not prove itself")
		}
		return who, nil
	}
	switch method {
	case authBasic, authPost:
		if wire.auth != authSecret && wire.auth != method || !p.secretIs(wire, secret, method, header) {
			return who, invalidClient(trace.OIDCClientSecret, "there is no such client, or it could not prove itself")
		}
	case authSecretJWT:
		var wrong *refusal
		if who.jti, who.until, wrong = p.openAssertion(ctx, wire, client.ClientID, assertion, append(audiences, issuer.URL)); wrong != nil {
			return who, wrong
		}
	default:
		return who, invalidClient(trace.OIDCClientMissing, "the client must prove itself")
	}
	who.proved = true
	return who, nil
}

// secretIs compares a secret, in constant time. One that came by Basic authentication may be as the standard wants it, or not have been encoded at all.
func (p *Provider) secretIs(wire *Client, secret string, method authMethod, header http.Header) bool {
	given := sha256.Sum256([]byte(secret))
	same := subtle.ConstantTimeCompare(given[:], wire.digest[:])
	if method == authBasic {
		if basic, ok := rawBasic(header); ok {
			_, raw, _ := strings.Cut(basic, ":")
			given = sha256.Sum256([]byte(raw))
			same |= subtle.ConstantTimeCompare(given[:], wire.digest[:])
		}
	}
	return same == 1 && wire.secret != nil
}

// decoy takes the time that a comparison takes.
func (p *Provider) decoy(secret string) {
	given := sha256.Sum256([]byte(secret))
	subtle.ConstantTimeCompare(given[:], make([]byte, len(given)))
}

func rawBasic(header http.Header) (string, bool) {
	basic, ok := strings.CutPrefix(header.Get("Authorization"), "Basic ")
	if !ok {
		return "", false
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(basic))
	return string(raw), err == nil
}

func rawPair(header http.Header, id string) bool {
	basic, ok := rawBasic(header)
	raw, _, _ := strings.Cut(basic, ":")
	return ok && raw == id
}

// basicPair reads what came by Basic authentication, in the form of RFC 6749 section 2.3.1.
func basicPair(basic string) (id, secret string, ok bool) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(basic))
	if err != nil {
		return "", "", false
	}
	id, secret, ok = strings.Cut(string(raw), ":")
	if !ok {
		return "", "", false
	}
	if decoded, err := url.QueryUnescape(id); err == nil {
		id = decoded
	}
	if decoded, err := url.QueryUnescape(secret); err == nil {
		secret = decoded
	}
	return id, secret, true
}

// unverifiedSubject returns of whom an assertion says that it is, before it is verified.
func unverifiedSubject(assertion string) string {
	_, rest, _ := strings.Cut(assertion, ".")
	body, _, _ := strings.Cut(rest, ".")
	raw, err := base64.RawURLEncoding.DecodeString(body)
	var claims claimsOf
	if err != nil || json.Unmarshal(raw, &claims) != nil {
		return ""
	}
	return claims.Subject
}

// openAssertion verifies an assertion by which a client proves itself (RFC 7523 section 3). It is the caller's to see that its jti is used once.
func (p *Provider) openAssertion(ctx context.Context, wire *Client, id, assertion string, audiences []string) (jti string, until time.Time, wrong *refusal) {
	no := func(format string, args ...any) (string, time.Time, *refusal) {
		return "", time.Time{}, invalidClient(trace.OIDCClientAssertion, "the client_assertion "+format, args...)
	}
	if wire.auth != authSecretJWT && wire.auth != authKeyJWT {
		return no("is no way in which the client proves itself")
	}
	token, err := jose.ParseSignedCompact(assertion, wire.assertions)
	if err != nil || len(token.Signatures) != 1 {
		return no("is not signed with an algorithm that the client has")
	}
	var payload []byte
	if wire.auth == authSecretJWT {
		payload, err = token.Verify(wire.secret)
	} else {
		payload, err = p.verifyByClient(ctx, wire, token)
	}
	if err != nil {
		return no("cannot be verified: %s", errSignature)
	}
	var claims claimsOf
	if json.Unmarshal(payload, &claims) != nil {
		return no("has claims that cannot be read")
	}
	if err := claims.timely(p.now(), longestAssertion); err != nil {
		return no("is not good now: %s", err)
	}
	switch {
	case claims.Issuer != id || claims.Subject != id:
		return no("is not the client's own (iss, sub)")
	case !slices.ContainsFunc(claims.Audience, func(a string) bool { return slices.Contains(audiences, a) }):
		return no("is for somebody else (aud)")
	case claims.ID == "" || len(claims.ID) > 512:
		return no("has no jti, or one that is too long")
	}
	return claims.ID, time.Unix(int64(*claims.Expiry), 0).Add(leeway), nil
}
