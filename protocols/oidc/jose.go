package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"trine/engine/document"
	"trine/engine/secret"
)

// The types of tokens, as their headers say them.
const (
	typeID     = "JWT"
	typeAccess = "at+jwt"     // RFC 9068 section 2.1
	typeLogout = "logout+jwt" // OpenID Connect Back-Channel Logout 1.0 section 2.4
	typeUser   = "JWT"
)

// signer signs with one key and one algorithm. What does not change of a header is kept encoded.
type signer struct {
	algorithm string
	kid       string
	key       crypto.Signer
	heads     [3]string // by type: JWT, at+jwt, logout+jwt
}

func newSigner(algorithm, kid string, key crypto.Signer) *signer {
	s := &signer{algorithm: algorithm, kid: kid, key: key}
	for i, typ := range [...]string{typeID, typeAccess, typeLogout} {
		s.heads[i] = head(algorithm, kid, typ)
	}
	return s
}

func head(algorithm, kid, typ string) string {
	b := append(make([]byte, 0, 96), `{"alg":`...)
	b = appendString(b, algorithm)
	b = append(b, `,"kid":`...)
	b = appendString(b, kid)
	b = append(b, `,"typ":`...)
	b = appendString(b, typ)
	return base64.RawURLEncoding.EncodeToString(append(b, '}')) + "."
}

// sign appends the token with that payload.
func (s *signer) sign(dst []byte, typ string, payload []byte) ([]byte, error) {
	h := s.heads[0]
	switch typ {
	case typeAccess:
		h = s.heads[1]
	case typeLogout:
		h = s.heads[2]
	}
	start := len(dst)
	dst = append(dst, h...)
	dst = base64.RawURLEncoding.AppendEncode(dst, payload)
	signature, err := signBytes(s.key, s.algorithm, dst[start:])
	if err != nil {
		return dst[:start], fmt.Errorf("sign a token: %w", err)
	}
	dst = append(dst, '.')
	return base64.RawURLEncoding.AppendEncode(dst, signature), nil
}

// signBytes signs as JSON Web Algorithms (RFC 7518 section 3, RFC 8037) have it. The algorithms that tokens are signed with all hash by SHA-256, but EdDSA.
func signBytes(key crypto.Signer, algorithm string, text []byte) ([]byte, error) {
	if algorithm == "EdDSA" {
		return key.Sign(nil, text, crypto.Hash(0))
	}
	digest := sha256.Sum256(text)
	switch algorithm {
	case "ES256":
		der, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
		if err != nil {
			return nil, err
		}
		return fixedSignature(der)
	case "RS256":
		return key.Sign(rand.Reader, digest[:], crypto.SHA256)
	case "PS256":
		return key.Sign(rand.Reader, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
	}
	return nil, fmt.Errorf("no algorithm %q", algorithm)
}

// fixedSignature makes of an ECDSA signature on P-256 in ASN.1 the two numbers one behind the other.
func fixedSignature(der []byte) ([]byte, error) {
	var inner cryptobyte.String
	var r, s []byte
	input := cryptobyte.String(der)
	if !input.ReadASN1(&inner, asn1.SEQUENCE) || !input.Empty() || !inner.ReadASN1Integer(&r) || !inner.ReadASN1Integer(&s) || !inner.Empty() || len(r) > 32 || len(s) > 32 {
		return nil, errors.New("the signature is malformed")
	}
	out := make([]byte, 64)
	copy(out[32-len(r):], r)
	copy(out[64-len(s):], s)
	return out, nil
}

// halfHash is the left half of the hash of a text, as at_hash, c_hash and s_hash have it (OpenID Connect Core 1.0 section 3.3.2.11).
func halfHash(algorithm, text string) string {
	if algorithm == "EdDSA" { // Ed25519 hashes by SHA-512
		sum := sha512Sum(text)
		return base64.RawURLEncoding.EncodeToString(sum[:32])
	}
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// suits reports whether a key can be used with an algorithm of encryption.
func suits(k *jose.JSONWebKey, algorithm string) bool {
	switch k.Key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(algorithm, "RSA")
	case *ecdsa.PublicKey:
		return strings.HasPrefix(algorithm, "ECDH")
	}
	return false
}

// verifies reports whether a key is of the kind that an algorithm of signatures has.
func verifies(k *jose.JSONWebKey, algorithm jose.SignatureAlgorithm) bool {
	if k.Use != "" && k.Use != "sig" || k.Algorithm != "" && k.Algorithm != string(algorithm) {
		return false
	}
	switch k.Key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(string(algorithm), "RS") || strings.HasPrefix(string(algorithm), "PS")
	case *ecdsa.PublicKey:
		return strings.HasPrefix(string(algorithm), "ES")
	case ed25519.PublicKey:
		return algorithm == jose.EdDSA
	}
	return false
}

var errSignature = errors.New("the signature is not that of a key of the client")

// verifyWith verifies a parsed token by the keys of a set: those of its kid where it has one, else each that its algorithm can be of.
func verifyWith(token *jose.JSONWebSignature, set *jose.JSONWebKeySet) ([]byte, error) {
	h := token.Signatures[0].Header
	algorithm := jose.SignatureAlgorithm(h.Algorithm)
	for i := range set.Keys {
		k := &set.Keys[i]
		if h.KeyID != "" && k.KeyID != "" && k.KeyID != h.KeyID || !verifies(k, algorithm) {
			continue
		}
		if payload, err := token.Verify(k.Key); err == nil {
			return payload, nil
		}
	}
	return nil, errSignature
}

// encrypt encrypts a token, or the claims themselves, for a client.
func encrypt(e *document.OpenIDEncryption, set *jose.JSONWebKeySet, content, contentType string) (string, error) {
	key, err := encryptionKey(set, e.Algorithm)
	if err != nil {
		return "", err
	}
	options := new(jose.EncrypterOptions)
	if contentType != "" {
		options = options.WithContentType(jose.ContentType(contentType))
	}
	encrypter, err := jose.NewEncrypter(jose.ContentEncryption(e.Content), jose.Recipient{Algorithm: jose.KeyAlgorithm(e.Algorithm), Key: key.Key, KeyID: key.KeyID}, options)
	if err != nil {
		return "", fmt.Errorf("encrypt for the client: %w", err)
	}
	object, err := encrypter.Encrypt([]byte(content))
	if err != nil {
		return "", fmt.Errorf("encrypt for the client: %w", err)
	}
	return object.CompactSerialize()
}

// claimsOf are the claims that matter of a token that somebody brings.
type claimsOf struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience audience `json:"aud"`
	Expiry   *float64 `json:"exp"`
	Before   *float64 `json:"nbf"`
	IssuedAt *float64 `json:"iat"`
	ID       string   `json:"jti"`
	Session  string   `json:"sid"`
	Party    string   `json:"azp"`
}

// audience is one text or a list.
type audience []string

// UnmarshalJSON reads both forms (RFC 7519 section 4.1.3).
func (a *audience) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var one string
		if err := json.Unmarshal(b, &one); err != nil {
			return err
		}
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

// Leeway is by how much the clocks of clients may differ from this node's.
const leeway = 60 * time.Second

// timely says why a token is not good now.
func (c *claimsOf) timely(now time.Time, longest time.Duration) error {
	seconds := float64(now.Unix())
	switch {
	case c.Expiry == nil:
		return errors.New("it has no exp")
	case seconds >= *c.Expiry+leeway.Seconds():
		return errors.New("it has expired")
	case longest > 0 && *c.Expiry > seconds+longest.Seconds()+leeway.Seconds():
		return fmt.Errorf("its exp is more than %s ahead", longest)
	case c.Before != nil && seconds < *c.Before-leeway.Seconds():
		return errors.New("it is not good yet (nbf)")
	case c.IssuedAt != nil && seconds < *c.IssuedAt-leeway.Seconds():
		return errors.New("it was issued in the future (iat)")
	}
	return nil
}

// sealedMark stands for a secret that is known and not kept.
func sealedMark(absent bool) secret.Text {
	if absent {
		return secret.Text{}
	}
	return secret.Redacted()
}

func sealedRegistration(r *document.OpenIDRegistration) *document.OpenIDRegistration {
	if r == nil {
		return nil
	}
	hidden := *r
	hidden.AccessToken = secret.Redacted()
	return &hidden
}
