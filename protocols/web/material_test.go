package web

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

// authority is an authority for certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{certificate, key}
}

// issue returns a certificate for a name with its key and the chain; expired where it is to be.
func (a *authority) issue(t *testing.T, name string, expired ...bool) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if strings.Contains(name, ".") {
		template.DNSNames = []string{name}
	}
	if len(expired) > 0 {
		template.NotAfter = time.Now().Add(-time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.certificate.Raw}, PrivateKey: key, Leaf: leaf}
}

func pemOf(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}) }

// pemFiles returns chain and privateKey of a document.
func pemFiles(t *testing.T, c *tls.Certificate) string {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	chain := string(pemOf(c.Certificate[0])) + string(pemOf(c.Certificate[1]))
	return fmt.Sprintf("chain: %q, privateKey: %q", chain, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
}

// pkcs returns pkcs12 and pin of a document.
func pkcs(t *testing.T, encoder *pkcs12.Encoder, c *tls.Certificate, pin, given string) string {
	t.Helper()
	above, err := x509.ParseCertificate(c.Certificate[1])
	if err != nil {
		t.Fatal(err)
	}
	file, err := encoder.Encode(c.PrivateKey, c.Leaf, []*x509.Certificate{above}, pin)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("pkcs12: %q, pin: %q", base64.StdEncoding.EncodeToString(file), given)
}

func TestCertificateIsThatOfTheHostThatIsAskedFor(t *testing.T) {
	ca := newAuthority(t, "Web")
	a, b, c := ca.issue(t, "a.example.org"), ca.issue(t, "b.example.org"), ca.issue(t, "c.example.org")
	old, wrong, other := ca.issue(t, "old.example.org", true), ca.issue(t, "wrong.example.org"), ca.issue(t, "other.example.org")
	documents := house
	for name, material := range map[string]string{
		"a": pemFiles(t, a), "b": pkcs(t, pkcs12.Modern2023, b, "tea party", "tea party"), "c": pkcs(t, pkcs12.LegacyDES, c, "rabbit", "rabbit"), "old": pemFiles(t, old),
		"wrong": pkcs(t, pkcs12.Modern2023, wrong, "tea party", "coffee"), "other": strings.Replace(pemFiles(t, other), strings.SplitN(pemFiles(t, other), "privateKey: ", 2)[1], strings.SplitN(pemFiles(t, a), "privateKey: ", 2)[1], 1),
	} {
		documents += "---\n{kind: IdentityProvider, name: " + name + ", spec: {type: local, network: {hostName: " + name + ".example.org, ports: [{port: PORT}]}, tls: {" + material + "}}}\n"
	}
	r := newRig(t, documents)
	roots := x509.NewCertPool()
	roots.AddCert(ca.certificate)
	shown := func(host string) *x509.Certificate {
		t.Helper()
		s, err := tls.Dial("tcp", r.front.Addrs()[0].String(), &tls.Config{ServerName: host, InsecureSkipVerify: true}) //nolint:gosec // verified below
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		list := s.ConnectionState().PeerCertificates
		if strings.HasSuffix(host, ".example.org") && len(list) == 2 && !list[1].Equal(ca.certificate) {
			t.Errorf("%s has a chain that ends with %s", host, list[1].Subject)
		}
		return list[0]
	}
	for host, want := range map[string]*tls.Certificate{"a.example.org": a, "b.example.org": b, "c.example.org": c, "A.Example.Org": a} {
		leaf := shown(host)
		if !leaf.Equal(want.Leaf) {
			t.Errorf("%s has the certificate of %s", host, leaf.Subject)
		}
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	// One that has expired is shown all the same: clients say what is wrong with it better than none would.
	if leaf := shown("old.example.org"); !leaf.Equal(old.Leaf) {
		t.Errorf("the certificate of %s", leaf.Subject)
	}
	// What cannot be used is that of the node, and the identity provider says that it cannot be used.
	for _, host := range []string{"wrong.example.org", "other.example.org", "unknown.example.org", ""} {
		if leaf := shown(host); leaf.Subject.CommonName != "node" {
			t.Errorf("%q has the certificate of %s", host, leaf.Subject)
		}
	}
	for name, word := range map[string]string{"wrong": "pkcs12", "other": "privateKey"} {
		_, err := r.house.Policies.Holder().Load().Issuer(name)
		if err == nil || !strings.Contains(err.Error(), word) || strings.Contains(err.Error(), "coffee") {
			t.Errorf("%s: %v", name, err)
		}
		q := strings.Replace(asks("/protected"), "localhost", name+".example.org", 1)
		if status, _ := r.raw("127.0.0.1", true, "", q); status != 503 {
			t.Errorf("%s answers %d", name, status)
		}
	}
	// A certificate is exchanged without a start.
	again := ca.issue(t, "a.example.org")
	_, port, _ := strings.Cut(strings.TrimPrefix(r.origin, "https://"), ":")
	r.house.Put("{kind: IdentityProvider, name: a, spec: {type: local, network: {hostName: a.example.org, ports: [{port: " + port + "}]}, tls: {" + pemFiles(t, again) + "}}}")
	if leaf := shown("a.example.org"); !leaf.Equal(again.Leaf) {
		t.Error("the certificate is the one from before")
	}
}
