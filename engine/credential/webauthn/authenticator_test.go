package webauthn

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math/big"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/uuid"
)

// The flags of authenticator data (WebAuthn section 6.1).
const (
	userPresent    = 1 << 0
	userVerified   = 1 << 2
	backupEligible = 1 << 3
	backedUp       = 1 << 4
	attested       = 1 << 6
)

// authenticator is a security key or passkey in software, and the browser in front of it. A test changes what it wants wrong.
type authenticator struct {
	t        testing.TB
	id       []byte
	key      crypto.Signer
	point    []byte // that it says its key is, where that is a lie
	aaguid   uuid.UUID
	counter  uint32
	step     uint32 // by which it counts
	flags    byte
	handle   []byte // that it keeps; only passkeys do
	rpID     string
	origin   string
	crossing bool // in a frame of another site
	attest   func(a *authenticator, signed []byte) (format string, statement map[string]any)
}

func newAuthenticator(t testing.TB) *authenticator {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authenticator{
		t: t, id: make([]byte, 32), key: key, aaguid: uuid.MustParse("c1f9a0bc-1dd2-404a-b27f-8e29047a43fd"), counter: 4, step: 1,
		flags: userPresent | userVerified, rpID: "example.org", origin: "https://sso.example.org",
	}
	rand.Read(a.id)
	return a
}

// options is what the page gets, as far as an authenticator needs it.
type options struct {
	PublicKey struct {
		Challenge string
		User      struct{ ID, Name, DisplayName string }
		Attestation,
		UserVerification string
		AuthenticatorSelection struct{ ResidentKey, UserVerification string }
		ExcludeCredentials     []struct{ ID string }
		AllowCredentials       []struct {
			ID         string
			Transports []string
		}
	}
}

func read(t testing.TB, encoded []byte) (o options) {
	t.Helper()
	if err := json.Unmarshal(encoded, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

func text(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (a *authenticator) clientData(typ, challenge string) []byte {
	a.t.Helper()
	data := map[string]any{"type": typ, "challenge": challenge, "origin": a.origin, "crossOrigin": a.crossing}
	if a.crossing {
		data["topOrigin"] = "https://evil.example"
	}
	encoded, err := json.Marshal(data)
	if err != nil {
		a.t.Fatal(err)
	}
	return encoded
}

func (a *authenticator) authenticatorData(flags byte) []byte {
	id := sha256.Sum256([]byte(a.rpID))
	data := append(id[:], flags)
	return binary.BigEndian.AppendUint32(data, a.counter)
}

func (a *authenticator) cbor(v any) []byte {
	a.t.Helper()
	mode, err := cbor.CTAP2EncOptions().EncMode()
	if err != nil {
		a.t.Fatal(err)
	}
	encoded, err := mode.Marshal(v)
	if err != nil {
		a.t.Fatal(err)
	}
	return encoded
}

// cose returns the public key as RFC 9052 and RFC 8230 have it.
func (a *authenticator) cose() []byte {
	switch key := a.key.Public().(type) {
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		if err != nil {
			a.t.Fatal(err)
		}
		if a.point != nil {
			point = a.point
		}
		return a.cbor(map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]})
	case ed25519.PublicKey:
		return a.cbor(map[int]any{1: 1, 3: -8, -1: 6, -2: []byte(key)})
	case *rsa.PublicKey:
		return a.cbor(map[int]any{1: 3, 3: -257, -1: key.N.Bytes(), -2: big.NewInt(int64(key.E)).Bytes()})
	}
	a.t.Fatal("no such key")
	return nil
}

func (a *authenticator) sign(message []byte) []byte {
	a.t.Helper()
	digest, hash := message, crypto.Hash(0)
	if _, ok := a.key.(ed25519.PrivateKey); !ok {
		sum := sha256.Sum256(message)
		digest, hash = sum[:], crypto.SHA256
	}
	signature, err := a.key.Sign(rand.Reader, digest, hash)
	if err != nil {
		a.t.Fatal(err)
	}
	return signature
}

// create answers navigator.credentials.create.
func (a *authenticator) create(encoded []byte) []byte {
	a.t.Helper()
	o := read(a.t, encoded)
	client := a.clientData("webauthn.create", o.PublicKey.Challenge)
	data := append(a.authenticatorData(a.flags|attested), a.aaguid[:]...)
	data = binary.BigEndian.AppendUint16(data, uint16(len(a.id)))
	data = append(append(data, a.id...), a.cose()...)
	format, statement := "none", map[string]any{}
	if a.attest != nil {
		hash := sha256.Sum256(client)
		format, statement = a.attest(a, append(bytes.Clone(data), hash[:]...))
	}
	return a.answer(map[string]any{
		"clientDataJSON":    text(client),
		"attestationObject": text(a.cbor(map[string]any{"fmt": format, "attStmt": statement, "authData": data})),
		"transports":        []string{"usb", "nfc", "smoke-signals"},
	})
}

// get answers navigator.credentials.get.
func (a *authenticator) get(encoded []byte) []byte {
	a.t.Helper()
	o := read(a.t, encoded)
	client := a.clientData("webauthn.get", o.PublicKey.Challenge)
	a.counter += a.step
	data := a.authenticatorData(a.flags)
	hash := sha256.Sum256(client)
	response := map[string]any{
		"clientDataJSON": text(client), "authenticatorData": text(data), "signature": text(a.sign(append(bytes.Clone(data), hash[:]...))),
	}
	if a.handle != nil {
		response["userHandle"] = text(a.handle)
	}
	return a.answer(response)
}

func (a *authenticator) answer(response map[string]any) []byte {
	a.t.Helper()
	encoded, err := json.Marshal(map[string]any{
		"id": text(a.id), "rawId": text(a.id), "type": "public-key", "response": response,
		"clientExtensionResults": map[string]any{"credProps": map[string]any{"rk": true}}, // unasked, as password managers do
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return encoded
}

// selfAttest is attestation by the credential's own key.
func selfAttest(a *authenticator, signed []byte) (string, map[string]any) {
	return "packed", map[string]any{"alg": -7, "sig": a.sign(signed)}
}

// maker signs what its authenticators are.
type maker struct {
	t    testing.TB
	root *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newMaker(t testing.TB) *maker {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Maker's root"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &maker{t, root, key}
}

func (m *maker) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(m.root)
	return pool
}

// attest is basic attestation (WebAuthn section 8.2) by a certificate of the maker's.
func (m *maker) attest(_ *authenticator, signed []byte) (string, map[string]any) {
	m.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		m.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
		Subject: pkix.Name{Country: []string{"SE"}, Organization: []string{"Maker"}, OrganizationalUnit: []string{"Authenticator Attestation"}, CommonName: "Key"},
	}, m.root, key.Public(), m.key)
	if err != nil {
		m.t.Fatal(err)
	}
	digest := sha256.Sum256(signed)
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		m.t.Fatal(err)
	}
	return "packed", map[string]any{"alg": -7, "sig": signature, "x5c": [][]byte{der}}
}
