package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nwaples/tacplus"

	"trine/appliance/admin/client"
	"trine/appliance/probe"
)

// authority issues certificates of devices and servers.
type authority struct {
	t           *testing.T
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	file        string // with its certificate
	serial      int64
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, file: filepath.Join(t.TempDir(), name+".pem")}
	a.certificate, a.key = a.issue(&x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign})
	a.write(a.file, "CERTIFICATE", a.certificate.Raw)
	return a
}

func (a *authority) issue(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.serial++
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(a.serial), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return certificate, key
}

// write writes a file as administrators write it: beside, and then in its place.
func (a *authority) write(file, kind string, der []byte) {
	a.t.Helper()
	err := os.WriteFile(file+".new", pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		a.t.Fatal(err)
	}
}

// certify writes a certificate for 127.0.0.1 and its key, in the place of those before.
func (a *authority) certify(certificate, key, name string) {
	a.t.Helper()
	c, private := a.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(key, "PRIVATE KEY", encoded)
	a.write(certificate, "CERTIFICATE", c.Raw)
}

func TestDevicesWithCertificatesAreAnsweredWithinTLSAlone(t *testing.T) {
	t.Parallel()
	ours, others := newAuthority(t, "ours"), newAuthority(t, "others")
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	ours.certify(at("node.pem"), at("node.key"), "node.example.com")
	ours.certify(at("switch.pem"), at("switch.key"), "switch-1")
	others.certify(at("stranger.pem"), at("stranger.key"), "switch-1")
	ours.write(at("devices.pem"), "CERTIFICATE", ours.certificate.Raw)

	data := filepath.Join(t.TempDir(), "data")
	node := startWith(t, data, arguments(data, map[string]string{
		"quickstart": "true", "tacacs-tls-listen": "127.0.0.1:0,[::1]:0", "tacacs-tls-certificate": at("node.pem"), "tacacs-tls-key": at("node.key"), "tacacs-tls-authorities": at("devices.pem"),
	})...)
	to := node.addresses.TacacsTLS[0]
	good := probe.DeviceTLS{Certificate: at("switch.pem"), Key: at("switch.key"), Authorities: ours.file}
	visit := func(files probe.DeviceTLS) (*probe.Visited, error) {
		return probe.Visit{
			Server: to, TLS: &files, User: "alice", Password: "wonderland", Enable: 15, Services: []string{"shell"}, Commands: []string{"show version"},
			Account: true, SingleConnect: true, Timeout: 10 * time.Second,
		}.Do(t.Context())
	}
	accepted := func(why string, files probe.DeviceTLS) {
		t.Helper()
		if v, err := visit(files); err != nil || !v.Passed || len(v.Exchanges) != 6 || v.Connections != 1 {
			t.Errorf("%s: %+v, %v", why, v, err)
		}
	}
	refused := func(why string, files probe.DeviceTLS, want string) {
		t.Helper()
		if v, err := visit(files); err == nil || v != nil && len(v.Exchanges) > 0 || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v", why, v, err)
		}
	}
	accepted("a certificate of the authority", good)
	refused("no certificate", probe.DeviceTLS{Authorities: ours.file}, "certificate required")
	refused("a certificate of another authority", probe.DeviceTLS{Certificate: at("stranger.pem"), Key: at("stranger.key"), Authorities: ours.file}, "unknown certificate authority")
	refused("a device that does not know the node's authority", probe.DeviceTLS{Certificate: at("switch.pem"), Key: at("switch.key"), Authorities: others.file}, "certificate signed by unknown authority")
	pair, err := tls.LoadX509KeyPair(at("switch.pem"), at("switch.key"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ours.certificate)
	if conn, err := tls.Dial("tcp", to, &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, MaxVersion: tls.VersionTLS12}); err == nil || !strings.Contains(err.Error(), "protocol version not supported") {
		if err == nil {
			_ = conn.Close()
		}
		t.Errorf("TLS 1.2: %v", err)
	}
	// Without TLS on the port of TLS, and within TLS with an obfuscated packet, nobody is heard.
	if v, err := (probe.Visit{Server: to, Secret: "testing123", User: "alice", Password: "wonderland", Enable: probe.NoLevel, Timeout: 10 * time.Second}).Do(t.Context()); err == nil {
		t.Errorf("without TLS: %+v", v)
	}
	conn, err := tls.Dial("tcp", to, &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	p := newPlus(t, to, false)
	p.DialContext = func(context.Context, string, string) (net.Conn, error) { return conn, nil }
	if err := p.account(t.Context(), tacplus.AcctFlagStart, "alice", "task_id=1"); err == nil {
		t.Error("within TLS, an obfuscated packet is answered")
	}

	// A service provider may want names in certificates, and a change of the files is taken up without a restart.
	n := &interop{t: t, addr: node.addresses}
	if n.admin, err = client.New(client.Options{Data: data}); err != nil {
		t.Fatal(err)
	}
	defer n.admin.Close()
	lab := func(name string) {
		n.apply("kind: ServiceProvider\nname: lab\nspec: {type: tacacs, publicID: lab, entityGroup: network, tacacs: {sourceIPs: [127.0.0.0/8, \"::1\"], secret: testing123, certificateNames: [" + name + "]}}\n")
	}
	lab("switch-2")
	refused("a certificate with another name", good, probe.ErrClosed.Error())
	lab("switch-1")
	accepted("a certificate with the name", good)

	others.certify(at("node.pem"), at("node.key"), "node.example.com")
	others.write(at("devices.pem"), "CERTIFICATE", others.certificate.Raw)
	replaced := probe.DeviceTLS{Certificate: at("stranger.pem"), Key: at("stranger.key"), Authorities: others.file}
	for deadline := time.Now().Add(3 * lookEvery); ; time.Sleep(200 * time.Millisecond) {
		v, err := visit(replaced)
		if err == nil && v.Passed {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the files that changed are not in use: %+v, %v", v, err)
		}
	}
	leaf, err := tls.LoadX509KeyPair(at("node.pem"), at("node.key"))
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("trine_cert_expiry_timestamp_seconds{use=\"tacacs\"} %g\n", float64(leaf.Leaf.NotAfter.Unix())); !strings.Contains(n.metrics(), want) {
		t.Errorf("the metrics do not hold %s", want)
	}
	refused("the authority before", probe.DeviceTLS{Certificate: at("switch.pem"), Key: at("switch.key"), Authorities: others.file}, "unknown certificate authority")
	node.quit(t)
}

// TestFilesThatCannotBeReadLeaveTheCertificatesAsTheyWere changes the files of a listener's certificates behind its back.
func TestFilesThatCannotBeReadLeaveTheCertificatesAsTheyWere(t *testing.T) {
	ours := newAuthority(t, "ours")
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	ours.certify(at("cert"), at("key"), "one")
	now := time.Now()
	d := &deviceTLS{certificate: at("cert"), key: at("key"), authorities: ours.file, clock: func() time.Time { return now }, logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	c, err := d.config()
	if err != nil {
		t.Fatal(err)
	}
	name := func() string {
		t.Helper()
		now = now.Add(2 * lookEvery)
		in, err := c.GetConfigForClient(nil)
		if err != nil {
			t.Fatal(err)
		}
		if in.ClientAuth != tls.RequireAndVerifyClientCert || in.MinVersion != tls.VersionTLS13 {
			t.Errorf("what is read again asks for less: %+v", in)
		}
		leaf, err := x509.ParseCertificate(in.Certificates[0].Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.Subject.CommonName
	}
	is := func(want string) {
		t.Helper()
		if got := name(); got != want {
			t.Errorf("the certificate is %s, want %s", got, want)
		}
	}
	is("one")
	other, key := ours.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "two"}})
	ours.write(at("cert"), "CERTIFICATE", other.Raw) // without its key yet
	is("one")
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	ours.write(at("key"), "PRIVATE KEY", encoded)
	is("two")
	if err := os.Remove(at("key")); err != nil {
		t.Fatal(err)
	}
	is("two")
	ours.certify(at("cert"), at("key"), "three")
	is("three")
	for _, wrong := range []func(*deviceTLS){
		func(d *deviceTLS) { d.certificate = at("nowhere") },
		func(d *deviceTLS) { d.authorities = at("nowhere") },
		func(d *deviceTLS) { d.authorities = at("key") },
	} {
		bad := &deviceTLS{certificate: d.certificate, key: d.key, authorities: d.authorities, clock: d.clock, logger: d.logger}
		wrong(bad)
		if _, err := bad.config(); err == nil {
			t.Errorf("taken: %s, %s", bad.certificate, bad.authorities)
		}
	}
}
