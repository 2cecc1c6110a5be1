package certificate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"
)

// noon is the time at which the tests' certificates are verified where nothing is fetched.
var noon = time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)

// authority is a certificate with its key, made in a test.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

var serials = func() func() *big.Int {
	next := make(chan int64, 1)
	next <- 1000
	return func() *big.Int {
		n := <-next
		next <- n + 1
		return big.NewInt(n)
	}
}()

// newRoot returns a root that is valid from 1990 to 2040, as is all that is issued: tests with a clock of their own begin in 2000.
func newRoot(t testing.TB, name string) *authority {
	t.Helper()
	return (*authority)(nil).issue(t, name, func(c *x509.Certificate) {
		c.IsCA, c.KeyUsage, c.ExtKeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign|x509.KeyUsageDigitalSignature, nil
	})
}

// issue issues a certificate for clients; edit makes something else of it. A nil authority issues a root.
func (a *authority) issue(t testing.TB, name string, edit func(*x509.Certificate)) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serials(), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	if edit != nil {
		edit(template)
	}
	parent, signer := template, crypto.Signer(key)
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t, cert, key}
}

// sub issues an authority below.
func (a *authority) sub(t testing.TB, name string, edit func(*x509.Certificate)) *authority {
	t.Helper()
	return a.issue(t, name, func(c *x509.Certificate) {
		c.IsCA, c.KeyUsage, c.ExtKeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign|x509.KeyUsageDigitalSignature, nil
		if edit != nil {
			edit(c)
		}
	})
}

// crl signs a list of the serial numbers; edit makes something else of it.
func (a *authority) crl(revoked []*big.Int, edit func(*x509.RevocationList)) []byte {
	a.t.Helper()
	now := time.Now()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour)}
	for _, serial := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: serial, RevocationTime: now.Add(-2 * time.Hour), ReasonCode: 1})
	}
	if edit != nil {
		edit(list)
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

// upn returns a subject alternative name with user principal names and e-mail addresses.
func upn(t *testing.T, names ...string) pkix.Extension {
	t.Helper()
	var all []asn1.RawValue
	for _, name := range names {
		text, err := asn1.MarshalWithParams(name, "utf8")
		if err != nil {
			t.Fatal(err)
		}
		oid, err := asn1.Marshal(oidUPN)
		if err != nil {
			t.Fatal(err)
		}
		value, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: text})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: append(oid, value...)})
	}
	der, err := asn1.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: oidSubjectAltName, Value: der}
}
