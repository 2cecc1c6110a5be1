package certificate

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"trine/engine/trace"
)

// openssl is an authority that Debian's openssl keeps: it issues, revokes, makes CRLs and answers OCSP.
type openssl struct {
	t       *testing.T
	command string
	dir     string
}

const opensslConfig = `
[ca]
default_ca = sub
[sub]
dir = .
database = index.txt
new_certs_dir = .
serial = serial
crlnumber = crlnumber
certificate = sub.pem
private_key = sub.key
default_md = sha256
default_days = 30
default_crl_days = 1
policy = any
unique_subject = no
copy_extensions = none
crl_extensions = crl
[any]
commonName = supplied
userId = optional
[crl]
authorityKeyIdentifier = keyid
issuingDistributionPoint = critical,@point
[point]
fullname = URI:http://pki.example/sub.crl
[req]
distinguished_name = name
[name]
[root]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[authority]
basicConstraints = critical,CA:true,pathlen:0
keyUsage = critical,keyCertSign,cRLSign,digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[client]
basicConstraints = critical,CA:false
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth
crlDistributionPoints = URI:http://pki.example/sub.crl
subjectAltName = email:alice@example.org,otherName:1.3.6.1.4.1.311.20.2.3;UTF8:alice@corp.example
[responder]
basicConstraints = critical,CA:false
keyUsage = critical,digitalSignature
extendedKeyUsage = OCSPSigning
noCheck = ignored
`

func newOpenSSL(t *testing.T) *openssl {
	t.Helper()
	command, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed (Debian: openssl)")
	}
	o := &openssl{t, command, t.TempDir()}
	for name, text := range map[string]string{"openssl.cnf": opensslConfig, "index.txt": "", "serial": "00F1\n", "crlnumber": "01\n"} {
		if err := os.WriteFile(filepath.Join(o.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o.request("root", "/CN=Root")
	o.run("x509", "-req", "-in", "root.csr", "-key", "root.key", "-out", "root.pem", "-days", "30", "-extfile", "openssl.cnf", "-extensions", "root")
	o.request("sub", "/O=Example/CN=Sub")
	o.run("x509", "-req", "-in", "sub.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-out", "sub.pem", "-days", "30", "-extfile", "openssl.cnf", "-extensions", "authority")
	return o
}

func (o *openssl) run(args ...string) string {
	o.t.Helper()
	command := exec.CommandContext(o.t.Context(), o.command, args...)
	command.Dir = o.dir
	out, err := command.CombinedOutput()
	if err != nil {
		o.t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (o *openssl) request(name, subject string) {
	o.t.Helper()
	args := []string{"req", "-new", "-nodes", "-keyout", name + ".key", "-out", name + ".csr", "-subj", subject, "-config", "openssl.cnf"}
	if name == "sub" {
		args = append(args, "-newkey", "rsa:2048")
	} else {
		args = append(args, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
	}
	o.run(args...)
}

// issue has the authority issue a certificate with the extensions of a section of its configuration.
func (o *openssl) issue(name, subject, extensions string) *x509.Certificate {
	o.t.Helper()
	o.request(name, subject)
	o.run("ca", "-batch", "-config", "openssl.cnf", "-in", name+".csr", "-out", name+".pem", "-notext", "-extensions", extensions)
	return o.certificate(name)
}

func (o *openssl) certificate(name string) *x509.Certificate {
	o.t.Helper()
	block, _ := pem.Decode(o.read(name + ".pem"))
	if block == nil {
		o.t.Fatalf("%s.pem holds nothing", name)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		o.t.Fatal(err)
	}
	return c
}

func (o *openssl) read(name string) []byte {
	o.t.Helper()
	text, err := os.ReadFile(filepath.Join(o.dir, name))
	if err != nil {
		o.t.Fatal(err)
	}
	return text
}

func (o *openssl) revoke(name, reason string) {
	o.t.Helper()
	o.run("ca", "-config", "openssl.cnf", "-revoke", name+".pem", "-crl_reason", reason)
}

// respond starts a responder and returns its URL. It ends with the test.
func (o *openssl) respond(args ...string) string {
	o.t.Helper()
	command := exec.Command(o.command, append([]string{"ocsp", "-port", "0", "-index", "index.txt", "-CA", "sub.pem"}, args...)...)
	command.Dir = o.dir
	out, err := command.StdoutPipe()
	if err != nil {
		o.t.Fatal(err)
	}
	command.Stderr = command.Stdout
	if err := command.Start(); err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	port := regexp.MustCompile(`^ACCEPT .*:(\d+)`)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := port.FindStringSubmatch(lines.Text()); m != nil {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return "http://127.0.0.1:" + m[1] + "/"
		}
	}
	o.t.Fatal("openssl ocsp does not say where it listens")
	return ""
}

// overHTTP fetches what openssl serves, and CRLs out of its directory.
type overHTTP struct{ o *openssl }

func (f overHTTP) Fetch(ctx context.Context, r FetchRequest) ([]byte, error) {
	if r.URL == crlURL {
		return os.ReadFile(filepath.Join(f.o.dir, "sub.crl"))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", r.ContentType)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, r.Limit))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", response.StatusCode)
	}
	return body, err
}

func (o *openssl) verify(policy Policy, mapping string, c *x509.Certificate) Outcome {
	o.t.Helper()
	m, err := ParseMapping(mapping)
	if err != nil {
		o.t.Fatal(err)
	}
	r := NewRevocations(overHTTP{o}, Limits{})
	defer r.Close()
	policy.LeafOnly = true
	v, err := NewVerifier(Trust{
		Roots: []*x509.Certificate{o.certificate("root")}, Intermediates: []*x509.Certificate{o.certificate("sub")}, Policy: policy, Mapping: m,
	}, r)
	if err != nil {
		o.t.Fatal(err)
	}
	return v.Verify(o.t.Context(), Presented{Leaf: c}, time.Now())
}

func TestAgainstOpenSSL(t *testing.T) {
	o := newOpenSSL(t)
	responder := o.issue("responder", "/CN=Responder", "responder")
	alice := o.issue("alice", "/CN=Alice Smith/UID=asmith", "client")
	bob := o.issue("bob", "/CN=Bob", "client")
	foreign := o.issue("foreign", "/CN=Foreign", "client") // which the responder will have forgotten
	o.revoke("bob", "keyCompromise")
	index := o.read("index.txt")
	kept := regexp.MustCompile(`(?m)^.*CN=Foreign\n`).ReplaceAll(index, nil)
	if len(kept) == len(index) {
		t.Fatalf("the index does not hold CN=Foreign:\n%s", index)
	}
	if err := os.WriteFile(filepath.Join(o.dir, "index.txt"), kept, 0o600); err != nil {
		t.Fatal(err)
	}
	o.run("ca", "-config", "openssl.cnf", "-gencrl", "-out", "sub.crl")

	delegated := o.respond("-rsigner", "responder.pem", "-rkey", "responder.key", "-ndays", "1")
	own := o.respond("-rsigner", "sub.pem", "-rkey", "sub.key", "-nmin", "60")
	undated := o.respond("-rsigner", "sub.pem", "-rkey", "sub.key", "-resp_no_certs", "-resp_key_id")
	o.request("mallory", "/CN=Responder")
	o.run("x509", "-req", "-in", "mallory.csr", "-key", "mallory.key", "-out", "mallory.pem", "-days", "30", "-extfile", "openssl.cnf", "-extensions", "responder")
	wrong := o.respond("-rsigner", "mallory.pem", "-rkey", "mallory.key", "-ndays", "1")
	client := o.respond("-rsigner", "alice.pem", "-rkey", "alice.key", "-ndays", "1")

	const unknown = trace.CertificateRevocationUnknown
	for name, test := range map[string]struct {
		policy Policy
		cert   *x509.Certificate
		want   trace.Reason
		says   string
	}{
		"CRL, good":                        {Policy{Method: CRL}, alice, trace.OK, ""},
		"CRL, revoked":                     {Policy{Method: CRL}, bob, trace.CertificateRevoked, "key compromise"},
		"delegated responder, good":        {Policy{Method: OCSP, Responder: delegated}, alice, trace.OK, ""},
		"delegated responder, revoked":     {Policy{Method: OCSP, Responder: delegated}, bob, trace.CertificateRevoked, "key compromise"},
		"delegated responder, not known":   {Policy{Method: OCSP, Responder: delegated, AcceptUnavailable: true}, foreign, unknown, "does not know"},
		"delegated responder, nonce":       {Policy{Method: OCSP, Responder: delegated, Nonce: true}, alice, trace.OK, ""},
		"the authority itself, good":       {Policy{Method: OCSP, Responder: own}, alice, trace.OK, ""},
		"the authority itself, nonce":      {Policy{Method: OCSP, Responder: own, Nonce: true}, bob, trace.CertificateRevoked, ""},
		"undated, no certificate":          {Policy{Method: OCSP, Responder: undated}, alice, trace.OK, ""},
		"wrong signer":                     {Policy{Method: OCSP, Responder: wrong}, alice, unknown, "not of the authority"},
		"wrong signer that is trusted":     {Policy{Method: OCSP, Responder: wrong, Responders: []*x509.Certificate{o.certificate("mallory")}}, alice, trace.OK, ""},
		"a client answers":                 {Policy{Method: OCSP, Responder: client}, alice, unknown, "id-kp-OCSPSigning"},
		"either, good":                     {Policy{Responder: delegated}, alice, trace.OK, ""},
		"either, not known but on no list": {Policy{Responder: delegated}, foreign, trace.OK, ""},
		"nobody listens":                   {Policy{Method: OCSP, Responder: "http://127.0.0.1:1/"}, alice, unknown, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			got := o.verify(test.policy, "subject.CN", test.cert)
			if got.Reason != test.want || test.says != "" && !strings.Contains(got.Err.Error(), test.says) {
				t.Errorf("got %s (%v)", got.Reason, got.Err)
			}
		})
	}
	for mapping, want := range map[string]string{
		"subject": "UID=asmith,CN=Alice Smith", "subject.UID": "asmith", "san.email": "alice@example.org", "san.upn": "alice@corp.example",
	} {
		if got := o.verify(Policy{Method: Off}, mapping, alice); got.User != want {
			t.Errorf("%s: %q (%v)", mapping, got.User, got.Err)
		}
	}
	// openssl itself agrees about the names.
	if told := o.run("x509", "-in", "alice.pem", "-noout", "-subject", "-nameopt", "RFC2253", "-serial"); !strings.Contains(told, "subject=UID=asmith,CN=Alice Smith\n") || !strings.Contains(told, "serial="+serial(alice)+"\n") {
		t.Errorf("openssl says %s, and we %s", told, serial(alice))
	}
	if o.verify(Policy{Method: OCSP, Responder: delegated}, "subject", responder).Reason != trace.CertificateUsage {
		t.Error("a responder's certificate is taken for a client's")
	}
	// A list by another key of the same name.
	o.request("sub", "/O=Example/CN=Sub")
	o.run("x509", "-req", "-in", "sub.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-out", "new.pem", "-days", "30", "-extfile", "openssl.cnf", "-extensions", "authority")
	o.run("ca", "-config", "openssl.cnf", "-cert", "new.pem", "-gencrl", "-out", "sub.crl")
	if got := o.verify(Policy{Method: CRL}, "subject", alice); got.Reason != unknown || errors.Is(got.Err, ErrUnmapped) || !strings.Contains(got.Err.Error(), "signature") {
		t.Errorf("a list by another key: %s (%v)", got.Reason, got.Err)
	}
}
