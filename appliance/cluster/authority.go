package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"trine/engine/secret"
	"trine/engine/state"
	"trine/raftstore/transport"
)

// How long certificates are good. A node renews its own when a third of its time is left.
const (
	authorityFor = 10 * 365 * 24 * time.Hour
	nodeFor      = 90 * 24 * time.Hour
)

// skew is how far clocks of nodes may be apart for a fresh certificate to be good at once.
const skew = 10 * time.Minute

// authorityContext is bound into the sealed key of the authority. It is for ever.
var authorityContext = []byte("trine/cluster/authority/1")

// Authority certifies the nodes of a cluster. Its key is P-256 (FIPS 186-5).
type Authority struct {
	Cluster     string
	Certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority makes the authority of a new cluster, with a fresh id.
func NewAuthority(now time.Time) (*Authority, error) {
	var id [8]byte
	_, _ = rand.Read(id[:]) // it never fails
	a := &Authority{Cluster: fmt.Sprintf("%x", id)}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("make the authority's key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: newSerial(), Subject: pkix.Name{CommonName: "Trine cluster " + a.Cluster}, NotBefore: now.Add(-skew), NotAfter: now.Add(authorityFor),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("make the authority's certificate: %w", err)
	}
	a.Certificate, err = x509.ParseCertificate(der)
	return a, err
}

// Seal returns the authority's private key, sealed with a cluster key.
func (a *Authority) Seal(ring *secret.Keyring) ([]byte, error) {
	plain, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, fmt.Errorf("encode the authority's key: %w", err)
	}
	defer clear(plain)
	sealed, err := ring.Seal(nil, plain, authorityContext)
	if err != nil {
		return nil, fmt.Errorf("seal the authority's key: %w", err)
	}
	return sealed, nil
}

// OpenAuthority opens the authority that the views hold.
func OpenAuthority(kept state.Authority, ring *secret.Keyring) (*Authority, error) {
	c, err := x509.ParseCertificate(kept.Certificate)
	if err != nil {
		return nil, fmt.Errorf("read the authority's certificate: %w", err)
	}
	plain, err := ring.Open(nil, kept.Key, authorityContext)
	if err != nil {
		return nil, fmt.Errorf("open the authority's key: %w", err)
	}
	defer clear(plain)
	key, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, fmt.Errorf("read the authority's key: %w", err)
	}
	own, ok := key.(*ecdsa.PrivateKey)
	if !ok || !own.PublicKey.Equal(c.PublicKey) {
		return nil, errors.New("read the authority's key: it is not that of the authority's certificate")
	}
	return &Authority{Cluster: kept.Cluster, Certificate: c, key: own}, nil
}

// Certify makes a certificate for a node, by the key that its request proves (PKCS #10, RFC 2986). What else the request says is not looked at.
func (a *Authority) Certify(node uint64, name string, request []byte, now time.Time) (*x509.Certificate, error) {
	r, err := x509.ParseCertificateRequest(request)
	if err == nil {
		err = r.CheckSignature()
	}
	if err != nil {
		return nil, fmt.Errorf("read the node's certificate request: %w", err)
	}
	key, ok := r.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("read the node's certificate request: its key is not one of P-256")
	}
	template := &x509.Certificate{
		SerialNumber: newSerial(), Subject: pkix.Name{CommonName: name}, URIs: []*url.URL{transport.NodeURI(a.Cluster, node)},
		NotBefore: now.Add(-skew), NotAfter: earlier(now.Add(nodeFor), a.Certificate.NotAfter), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.Certificate, key, a.key)
	if err != nil {
		return nil, fmt.Errorf("certify node %016x: %w", node, err)
	}
	return x509.ParseCertificate(der)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// newSerial returns 127 random bits (RFC 5280 section 4.1.2.2 asks for a positive number of at most 20 octets).
func newSerial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[0] &= 0x7f
	b[15] |= 1
	return new(big.Int).SetBytes(b[:])
}
