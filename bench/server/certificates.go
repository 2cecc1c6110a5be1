package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// DeviceCertificates makes an authority and, by it, certificates of the node and of a device, all with P-256 keys. It returns the node's settings for
// TACACS+ over TLS, and the device's configuration.
func DeviceCertificates(dir string) (settings []string, device *tls.Config, err error) {
	authority, err := newCertificate("authority", nil)
	if err != nil {
		return nil, nil, err
	}
	node, err := newCertificate("node", authority)
	if err != nil {
		return nil, nil, err
	}
	client, err := newCertificate("device", authority)
	if err != nil {
		return nil, nil, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(node.PrivateKey)
	if err != nil {
		return nil, nil, fmt.Errorf("encode the node's key: %w", err)
	}
	for _, f := range []struct {
		setting, name, kind string
		data                []byte
	}{
		{"--tacacs-tls-certificate", "node.crt", "CERTIFICATE", node.Certificate[0]},
		{"--tacacs-tls-key", "node.key", "PRIVATE KEY", key},
		{"--tacacs-tls-authorities", "authorities.crt", "CERTIFICATE", authority.Certificate[0]},
	} {
		path := filepath.Join(dir, f.name)
		settings = append(settings, f.setting, path)
		err = errors.Join(err, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.data}), 0o600))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("write certificates: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(authority.Leaf)
	return settings, &tls.Config{
		Certificates: []tls.Certificate{*client}, RootCAs: pool, ServerName: "node", MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.CurveP256},
	}, nil
}

// newCertificate makes a certificate, by itself where there is no issuer.
func newCertificate(name string, issuer *tls.Certificate) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key of %s: %w", name, err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	parent, signer := template, any(key)
	if issuer != nil {
		parent, signer = issuer.Leaf, issuer.PrivateKey
	} else {
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %s: %w", name, err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the certificate of %s: %w", name, err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}
