package node

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
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// Names in the data directory of the management listener's own certificate and key.
const (
	certificateFile = "management.crt"
	keyFile         = "management.key"
)

// WebCertificateFile is the name in the data directory of the certificate that the web listener makes for itself.
const WebCertificateFile = "web.crt"

// webKeyFile is the name of its key.
const webKeyFile = "web.key"

// selfSignedFor is how long a self-signed certificate is good; a new one is made at a start within the last tenth of it.
const selfSignedFor = 2 * 365 * 24 * time.Hour

// managementTLS returns the management listener's TLS settings: the certificate that the settings name, or else a self-signed
// one that is kept in the data directory.
func managementTLS(s *Settings, now time.Time) (*tls.Config, error) {
	certificate, key := s.ManagementCertificate, s.ManagementKey
	if certificate == "" {
		certificate, key = filepath.Join(s.Data, certificateFile), filepath.Join(s.Data, keyFile)
		if err := ensureSelfSigned(certificate, key, "management", s.NodeName, []string{s.ManagementListen}, now); err != nil {
			return nil, err
		}
	}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("load the management certificate %s with key %s: %w", certificate, key, err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}, nil
}

// ensureSelfSigned makes a certificate for the addresses of a listener, where there is none that is good for a while.
func ensureSelfSigned(certificate, key, listener, name string, addresses []string, now time.Time) error {
	if pair, err := tls.LoadX509KeyPair(certificate, key); err == nil {
		if now.Before(pair.Leaf.NotAfter.Add(-selfSignedFor / 10)) {
			return nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("load the self-signed %s certificate %s: %w; remove it and its key to have a new one made", listener, certificate, err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make the %s key: %w", listener, err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return fmt.Errorf("make the %s certificate: %w", listener, err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name, Organization: []string{"Trine, self-signed"}},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(selfSignedFor),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              []string{"localhost", name},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	for _, text := range addresses {
		if address, err := netip.ParseAddrPort(text); err == nil && !address.Addr().IsLoopback() && !address.Addr().IsUnspecified() {
			template.IPAddresses = append(template.IPAddresses, address.Addr().AsSlice())
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return fmt.Errorf("sign the %s certificate: %w", listener, err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("encode the %s key: %w", listener, err)
	}
	// A power cut at any moment leaves both, or no certificate, and then a new one is made: never half a file, nor a key that is another certificate's.
	if err := os.Remove(certificate); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the %s certificate that ends: %w", listener, err)
	}
	if err := keep(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}), 0o600); err != nil {
		return fmt.Errorf("write the %s key: %w", listener, err)
	}
	if err := keep(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		return fmt.Errorf("write the %s certificate: %w", listener, err)
	}
	return nil
}

// keep writes a file so that it is there, whole, after a power cut: what was removed in its folder before stays removed.
func keep(name string, data []byte, mode fs.FileMode) error {
	folder, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := folder.Sync(); err != nil {
		return err
	}
	f, err := os.OpenFile(name+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	return folder.Sync()
}
