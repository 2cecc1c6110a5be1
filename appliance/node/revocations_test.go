package node

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// revoke returns a list of an authority, with the numbers of what it has revoked.
func (a *authority) revoke(next time.Time, change func(*x509.RevocationList), serials ...int64) []byte {
	a.t.Helper()
	l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: next}
	for _, n := range serials {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(n), RevocationTime: l.ThisUpdate, ReasonCode: 1})
	}
	if change != nil {
		change(l)
	}
	der, err := x509.CreateRevocationList(rand.Reader, l, a.certificate, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

// TestRFC9887_3_4_RevokedCertificatesAreRefused connects with certificates of two authorities, one of them below the other, while their lists change.
func TestRFC9887_3_4_RevokedCertificatesAreRefused(t *testing.T) {
	root := newAuthority(t, "root")
	between := &authority{t: t, serial: 100}
	between.certificate, between.key = root.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "between"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	})
	other := newAuthority(t, "root") // of the same name
	device := func(a *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
		return a.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "switch"}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	}
	direct, directKey := device(root)
	below, belowKey := device(between)

	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	root.certify(at("cert"), at("key"), "node.example.com")
	now := time.Now()
	d := &deviceTLS{
		certificate: at("cert"), key: at("key"), authorities: root.file, revocations: at("lists"), clock: func() time.Time { return now }, logger: slog.New(slog.DiscardHandler),
	}
	lists := func(all ...[]byte) {
		t.Helper()
		var text []byte
		for _, der := range all {
			text = append(text, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})...)
		}
		if err := os.WriteFile(at("lists"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		now = now.Add(2 * lookEvery)
		if err := os.Chtimes(at("lists"), now, now); err != nil {
			t.Fatal(err)
		}
	}
	soon := now.Add(time.Hour)
	lists(root.revoke(soon, nil))
	c, err := d.config()
	if err != nil {
		t.Fatal(err)
	}
	// handshake returns what the server thinks of a device.
	handshake := func(pair tls.Certificate) error {
		ours, theirs := net.Pipe()
		defer ours.Close()
		defer theirs.Close()
		pool := x509.NewCertPool()
		pool.AddCert(root.certificate)
		go func() {
			conn := tls.Client(theirs, &tls.Config{RootCAs: pool, ServerName: "node.example.com", GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }})
			_ = conn.Handshake()
			_, _ = conn.Read(make([]byte, 1)) // what the server says of the certificate
		}()
		_ = ours.SetDeadline(time.Now().Add(10 * time.Second))
		return tls.Server(ours, c).Handshake()
	}
	check := func(what, wantDirect, wantBelow string) {
		t.Helper()
		for want, pair := range map[*string]tls.Certificate{
			&wantDirect: {Certificate: [][]byte{direct.Raw}, PrivateKey: directKey},
			&wantBelow:  {Certificate: [][]byte{below.Raw, between.certificate.Raw}, PrivateKey: belowKey},
		} {
			if err := handshake(pair); *want == "" && err != nil || *want != "" && (err == nil || !strings.Contains(err.Error(), *want)) {
				t.Errorf("%s: %v, want %q", what, err, *want)
			}
		}
	}
	const none, revoked, late = "there is no list", "is revoked", "was to be replaced"
	check("a list of the root", "", none)
	lists(root.revoke(soon, nil), between.revoke(soon, nil))
	check("lists of both", "", "")
	lists(root.revoke(soon, nil, direct.SerialNumber.Int64()), between.revoke(soon, nil))
	check("one is revoked", revoked, "")
	lists(root.revoke(soon, nil), between.revoke(soon, nil, below.SerialNumber.Int64(), 4711))
	check("the other is revoked", "", revoked)
	lists(root.revoke(soon, nil, between.certificate.SerialNumber.Int64()), between.revoke(soon, nil))
	check("the authority between is revoked", "", revoked)
	lists(root.revoke(soon, nil), between.revoke(now.Add(-time.Minute), nil))
	check("a list is late", "", late)
	lists(root.revoke(now.Add(-time.Minute), nil, direct.SerialNumber.Int64()), root.revoke(soon, nil), between.revoke(soon, nil))
	check("revoked by a list that is late", revoked, "")
	lists(other.revoke(soon, nil), between.revoke(soon, nil))
	check("a list of another root of the same name", none, none)
	if err := os.WriteFile(at("lists"), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * lookEvery)
	check("a file that is none: those before stay in use", none, none)
}

func TestRevocationsThatDoNotTellOfAllAreRefused(t *testing.T) {
	a := newAuthority(t, "ours")
	soon := time.Now().Add(time.Hour)
	file := filepath.Join(t.TempDir(), "lists")
	for name, der := range map[string][]byte{
		"good": a.revoke(soon, nil, 7),
		"a part of the certificates": a.revoke(soon, func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: []byte{0x30, 0}}}
		}),
		"what changed since another": a.revoke(soon, func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}}
		}),
		"an entry of another authority": a.revoke(soon, func(l *x509.RevocationList) {
			l.RevokedCertificateEntries[0].ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 29}, Critical: true, Value: []byte{0x30, 0}}}
		}, 7),
		"nothing": nil, "nonsense": []byte("nonsense"), "a certificate": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw}),
	} {
		if err := os.WriteFile(file, der, 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := readRevocations(file, time.Now); (err == nil) != (name == "good") {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}
