package oidc

import (
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"trine/engine/event/field"
	"trine/engine/secret"
	"trine/engine/state"
)

// What is sealed under the cluster key, so that every node can read it and nobody else. These texts are for ever.
const (
	codeContext   = "trine/code/1"
	accessContext = "trine/access/1"
)

var errSealed = errors.New("it was not made here, or is damaged")

// code is what an authorization code says: all that the token endpoint needs. Nothing of it is recorded before it is redeemed.
type code struct {
	number      uint64 // also of the grant that it becomes
	notAfter    int64  // unix seconds
	index       uint64 // of the log, from which on the login that it came of can be seen
	client      string // name of the service provider
	issuer      string // name of the identity provider
	redirectURI string
	challenge   string
	plain       bool
	scopes      string
	person      person
	detail      detail
}

// person is who logged in, and how.
type person struct {
	user    string
	session uint64
	factors uint32
	at      int64 // unix seconds at which they were proved
	class   string
	login   uint64 // decision id
}

// detail is what a grant keeps for this protocol. It is recorded with it.
type detail struct {
	nonce     string
	amr       string // words
	claims    string // the parameter claims as it came
	resources string // words
	authTime  bool   // auth_time was asked for
	sessionID string // sid
	locales   string
}

func (d *detail) append(dst []byte) []byte {
	dst = field.AppendBytes(dst, 1, []byte(d.nonce))
	dst = field.AppendBytes(dst, 2, []byte(d.amr))
	dst = field.AppendBytes(dst, 3, []byte(d.claims))
	dst = field.AppendBytes(dst, 4, []byte(d.resources))
	dst = field.AppendFlag(dst, 5, d.authTime)
	dst = field.AppendBytes(dst, 6, []byte(d.sessionID))
	return field.AppendBytes(dst, 7, []byte(d.locales))
}

func (d *detail) decode(b []byte) error {
	return each(b, func(f field.Field) {
		switch f.Num {
		case 1:
			d.nonce = string(f.Data)
		case 2:
			d.amr = string(f.Data)
		case 3:
			d.claims = string(f.Data)
		case 4:
			d.resources = string(f.Data)
		case 5:
			d.authTime = f.Value != 0
		case 6:
			d.sessionID = string(f.Data)
		case 7:
			d.locales = string(f.Data)
		}
	})
}

func each(b []byte, f func(field.Field)) error {
	for len(b) > 0 {
		one, rest, ok := field.Next(b)
		if !ok {
			return errSealed
		}
		b = rest
		f(one)
	}
	return nil
}

func (c *code) append(dst []byte) []byte {
	dst = field.AppendFixed(dst, 1, c.number)
	dst = field.AppendNumber(dst, 2, uint64(c.notAfter))
	dst = field.AppendNumber(dst, 3, c.index)
	dst = field.AppendBytes(dst, 4, []byte(c.client))
	dst = field.AppendBytes(dst, 5, []byte(c.issuer))
	dst = field.AppendBytes(dst, 6, []byte(c.redirectURI))
	dst = field.AppendBytes(dst, 7, []byte(c.challenge))
	dst = field.AppendFlag(dst, 8, c.plain)
	dst = field.AppendBytes(dst, 9, []byte(c.scopes))
	dst = field.AppendBytes(dst, 10, []byte(c.person.user))
	dst = field.AppendNumber(dst, 11, c.person.session)
	dst = field.AppendNumber(dst, 12, uint64(c.person.factors))
	dst = field.AppendNumber(dst, 13, uint64(c.person.at))
	dst = field.AppendBytes(dst, 14, []byte(c.person.class))
	dst = field.AppendNumber(dst, 15, c.person.login)
	return field.AppendBytes(dst, 16, c.detail.append(nil))
}

func (c *code) decode(b []byte) error {
	var inner []byte
	if err := each(b, func(f field.Field) {
		switch f.Num {
		case 1:
			c.number = f.Value
		case 2:
			c.notAfter = int64(f.Value)
		case 3:
			c.index = f.Value
		case 4:
			c.client = string(f.Data)
		case 5:
			c.issuer = string(f.Data)
		case 6:
			c.redirectURI = string(f.Data)
		case 7:
			c.challenge = string(f.Data)
		case 8:
			c.plain = f.Value != 0
		case 9:
			c.scopes = string(f.Data)
		case 10:
			c.person.user = string(f.Data)
		case 11:
			c.person.session = f.Value
		case 12:
			c.person.factors = uint32(f.Value)
		case 13:
			c.person.at = int64(f.Value)
		case 14:
			c.person.class = string(f.Data)
		case 15:
			c.person.login = f.Value
		case 16:
			inner = f.Data
		}
	}); err != nil {
		return err
	}
	return c.detail.decode(inner)
}

// access is what an access token says. An opaque one is these bytes sealed; of one that is a JWT they are read out of its claims.
type access struct {
	grant, token uint64 // grant 0: a client's own, of which there is no row
	client       string // name of the service provider
	issuer       string // name of the identity provider
	user         string // empty: the client's own
	scopes       string
	audience     string // words
	issued       int64  // unix seconds
	notAfter     int64
	index        uint64

	kept *state.Grant // once it was found; not in the token
}

func (a *access) append(dst []byte) []byte {
	dst = field.AppendFixed(dst, 1, a.grant)
	dst = field.AppendFixed(dst, 2, a.token)
	dst = field.AppendBytes(dst, 3, []byte(a.client))
	dst = field.AppendBytes(dst, 4, []byte(a.issuer))
	dst = field.AppendBytes(dst, 5, []byte(a.user))
	dst = field.AppendBytes(dst, 6, []byte(a.scopes))
	dst = field.AppendBytes(dst, 7, []byte(a.audience))
	dst = field.AppendNumber(dst, 8, uint64(a.issued))
	dst = field.AppendNumber(dst, 9, uint64(a.notAfter))
	return field.AppendNumber(dst, 10, a.index)
}

func (a *access) decode(b []byte) error {
	return each(b, func(f field.Field) {
		switch f.Num {
		case 1:
			a.grant = f.Value
		case 2:
			a.token = f.Value
		case 3:
			a.client = string(f.Data)
		case 4:
			a.issuer = string(f.Data)
		case 5:
			a.user = string(f.Data)
		case 6:
			a.scopes = string(f.Data)
		case 7:
			a.audience = string(f.Data)
		case 8:
			a.issued = int64(f.Value)
		case 9:
			a.notAfter = int64(f.Value)
		case 10:
			a.index = f.Value
		}
	})
}

func (a *access) expired(now time.Time) bool { return now.Unix() >= a.notAfter }

// seal returns bytes sealed, as a text that is part of URLs.
func seal(k *secret.Keyring, context string, plain []byte) (string, error) {
	sealed, err := k.Seal(make([]byte, 0, len(plain)+64), plain, []byte(context))
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// unseal returns what seal has sealed.
func unseal(k *secret.Keyring, context, text string) ([]byte, error) {
	if len(text) > maxParameter || strings.ContainsAny(text, "\r\n") {
		return nil, errSealed
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, errSealed
	}
	plain, err := k.Open(make([]byte, 0, len(sealed)), sealed, []byte(context))
	if err != nil {
		return nil, errSealed
	}
	return plain, nil
}
