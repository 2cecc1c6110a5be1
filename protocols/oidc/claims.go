package oidc

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"trine/engine/attribute"
	"trine/engine/login"
)

// scopeClaims are the claims that a standard scope asks for (OpenID Connect Core 1.0 section 5.4).
func scopeClaims(scope string) []string {
	switch scope {
	case "profile":
		return []string{
			"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile", "picture", "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at",
		}
	case "email":
		return []string{"email", "email_verified"}
	case "address":
		return []string{"address"}
	case "phone":
		return []string{"phone_number", "phone_number_verified"}
	}
	return nil
}

// protected reports whether a claim is one that tokens have for themselves, which no attribute can be.
func protected(name string) bool {
	switch name {
	case "iss", "sub", "aud", "exp", "iat", "nbf", "jti", "auth_time", "nonce", "acr", "amr", "azp", "at_hash", "c_hash", "s_hash", "sid", "events", "client_id", "scope", "active", "token_type", "username":
		return true
	}
	return false
}

// selection says which of the released claims go into a token or an answer; nil names: all of them.
type selection struct {
	all   bool
	names []string
}

func (s *selection) has(name string) bool {
	return !protected(name) && (s.all || slices.Contains(s.names, name))
}

// userInfoSelection returns what the user information endpoint tells a client.
func (c *Client) userInfoSelection(scopes []string, asked *claimsRequest) selection {
	if !c.spec.ClaimsByScope {
		return selection{all: true}
	}
	s := selection{names: slices.Clone(asked.userInfo)}
	for _, scope := range scopes {
		s.names = append(s.names, scopeClaims(scope)...)
	}
	return s
}

// idTokenSelection returns what an ID token tells a client: where there is no access token, all that the client may know; else what was asked for by name, and the rest
// where the client wants it there too.
func (c *Client) idTokenSelection(scopes []string, asked *claimsRequest, alone bool) selection {
	switch {
	case !c.spec.ClaimsByScope && (alone || c.spec.IDTokenClaims):
		return selection{all: true}
	case c.spec.ClaimsByScope && alone:
		s := c.userInfoSelection(scopes, asked)
		s.names = append(s.names, asked.idToken...)
		return s
	}
	return selection{names: asked.idToken}
}

// appendReleased appends the released attributes that have a name here and are selected.
func appendReleased(o *object, released []attribute.Released, s *selection) {
	for i := range released {
		r := &released[i]
		name := r.Attribute.OpenIDName
		if name == "" || len(r.Values) == 0 || !s.has(name) {
			continue
		}
		o.name(name)
		o.b = appendValue(o.b, name, r.Attribute.Source(), r.Values)
	}
}

// appendValue appends the value of a claim in the form that the standard gives it (OpenID Connect Core 1.0 section 5.1).
func appendValue(dst []byte, name string, source attribute.Source, values [][]byte) []byte {
	switch name {
	case "email_verified", "phone_number_verified":
		return strconv.AppendBool(dst, strings.EqualFold(string(values[0]), "true"))
	case "updated_at":
		if n, err := strconv.ParseInt(string(values[0]), 10, 64); err == nil {
			return strconv.AppendInt(dst, n, 10)
		}
	case "address":
		if v := bytes.TrimSpace(values[0]); len(v) > 1 && v[0] == '{' && json.Valid(v) {
			return append(dst, v...)
		}
		o := newObject(dst)
		o.text("formatted", string(values[0]))
		return o.end()
	}
	if len(values) == 1 && source != attribute.Groups && source != attribute.Roles && source != attribute.Aliases {
		return appendString(dst, values[0])
	}
	dst = append(dst, '[')
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, v)
	}
	return append(dst, ']')
}

// methods returns how a person proved who he is, in the words of RFC 8176.
func methods(proofs []login.Proven) string {
	var list []string
	add := func(m string) {
		if !slices.Contains(list, m) {
			list = append(list, m)
		}
	}
	factors := 0
	for _, p := range proofs {
		factors++
		switch p.Factor {
		case login.Password:
			add("pwd")
		case login.Kerberos:
			add("wia")
		case login.OTP, login.Email:
			add("otp")
		case login.SMS:
			add("sms")
		case login.PIN:
			add("pin")
		case login.Certificate:
			add("swk")
		case login.FIDO:
			add("hwk")
		case login.Push:
			add("mca")
		}
	}
	if factors > 1 {
		add("mfa")
	}
	return strings.Join(list, " ")
}

func acrValues() []string {
	return []string{login.ClassUnspecified, login.ClassPassword, login.ClassKerberos, login.ClassTimeSync, login.ClassX509}
}

// pairwise returns the subject that clients of a sector know a person by (OpenID Connect Core 1.0 section 8.1). It follows from what never changes: the number of
// the user, not his name.
func pairwise(key []byte, sector string, user uint64) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(sector))
	mac.Write([]byte{0})
	mac.Write(strconv.AppendUint(nil, user, 10))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
