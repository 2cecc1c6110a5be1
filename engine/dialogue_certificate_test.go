package engine

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"trine/engine/credential/certificate"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/policy"
	"trine/engine/trace"
)

// authority is a certificate authority of a test, with the web server that has its revocation list.
type authority struct {
	t      testing.TB
	root   *x509.Certificate
	key    *ecdsa.PrivateKey
	server *httptest.Server
	list   atomic.Pointer[[]byte]
	serial int64
}

// The machine's clock and that of the rig are both within these.
var (
	before = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	after  = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
)

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t}
	a.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if list := a.list.Load(); list != nil {
			_, _ = w.Write(*list)
			return
		}
		http.NotFound(w, nil)
	}))
	t.Cleanup(a.server.Close)
	c := a.issue("Root of the test", func(c *x509.Certificate) {
		c.IsCA, c.KeyUsage, c.ExtKeyUsage, c.CRLDistributionPoints = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign, nil, nil
	})
	a.root, a.key = c.Leaf, c.PrivateKey.(*ecdsa.PrivateKey)
	return a
}

// issue issues a certificate for clients, which names where the revocation list is; edit makes something else of it.
func (a *authority) issue(name string, edit func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.serial), Subject: pkix.Name{CommonName: name}, NotBefore: before, NotAfter: after, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, CRLDistributionPoints: []string{a.server.URL},
	}
	if edit != nil {
		edit(template)
	}
	parent, signer := a.root, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// revoke publishes the list of what is revoked.
func (a *authority) revoke(list ...tls.Certificate) {
	a.t.Helper()
	l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: before, NextUpdate: after}
	for _, c := range list {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.Leaf.SerialNumber, RevocationTime: before})
	}
	der, err := x509.CreateRevocationList(rand.Reader, l, a.root, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.list.Store(&der)
}

// document returns the identity providers that take certificates of the authority.
func (a *authority) document(mapping string) string {
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw}))
	rules := "certificate: {revocation: crl, " + mapping + ", authorities: " + fmt.Sprintf("%q", text) + "}"
	return "{kind: IdentityProvider, name: cards, spec: {type: local, authentication: {matrix: [{first: Certificate}], " + rules + "}}}\n---\n" +
		"{kind: IdentityProvider, name: both, spec: {type: local, authentication: {matrix: [{first: Password, second: Certificate}], " + rules + "}}}"
}

// overHTTP fetches lists as they are.
type overHTTP struct{}

func (overHTTP) Fetch(ctx context.Context, r certificate.FetchRequest) ([]byte, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, errors.New(answer.Status)
	}
	return io.ReadAll(io.LimitReader(answer.Body, r.Limit))
}

// presented has a browser present a certificate over TLS, and returns the round that the front makes of that.
func (a *authority) presented(c tls.Certificate) Round {
	a.t.Helper()
	server := a.issue("sso.example.org", func(c *x509.Certificate) {
		c.DNSNames, c.ExtKeyUsage = []string{"sso.example.org"}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	roots := x509.NewCertPool()
	roots.AddCert(a.root)
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	client := tls.Client(near, &tls.Config{ServerName: "sso.example.org", RootCAs: roots, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c, nil }})
	done := make(chan error, 1)
	go func() { done <- client.Handshake() }()
	front := tls.Server(far, &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequestClientCert, SessionTicketsDisabled: true})
	if err := front.Handshake(); err != nil {
		a.t.Fatal(err)
	}
	if err := <-done; err != nil {
		a.t.Fatal(err)
	}
	state := front.ConnectionState()
	p, err := certificate.FromTLS(&state)
	if err != nil {
		a.t.Fatal(err)
	}
	return Round{Factor: login.Certificate, Proof: Proof{Certificate: &p}}
}

// cardRig returns a browser before the identity providers that take certificates.
func cardRig(t *testing.T, a *authority, mapping string) *browser {
	t.Helper()
	b := pageRig(t, nil)
	known := certificate.NewRevocations(overHTTP{}, certificate.Limits{})
	t.Cleanup(known.Close)
	var err error
	b.compiler, err = policy.NewCompiler(policy.Config{
		State: b.people, Wires: map[string]policy.Wire{document.TypeRadius: fakeWire{}, document.TypeTacacs: tacacsWire{}}, Keyring: b.ring, Clock: b.clock.Now,
		Revoked: login.NewRevoked(known),
	})
	if err != nil {
		t.Fatal(err)
	}
	b.engine = New(Config{People: b.people, Policies: b.compiler.Holder(), Log: b.log, Verifier: b.verifier, Clock: b.clock.Now, Keyring: b.ring})
	b.apply(a.document(mapping))
	return b
}

func TestCertificateLogsInThePersonWhomItNames(t *testing.T) {
	a := newAuthority(t)
	alice, unmapped, nobody, lost := a.issue("alice", nil), a.issue("", nil), a.issue("nobody", nil), a.issue("alice", nil)
	server := a.issue("alice", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	old := a.issue("alice", func(c *x509.Certificate) { c.NotAfter = start })
	stranger := newAuthority(t).issue("alice", nil)
	a.revoke(lost)
	b := cardRig(t, a, "mapping: subject.CN")
	b.apply("{kind: UserType, name: default, spec: {password: {maxAge: 24h}}}")
	b.clock.move(48 * time.Hour) // the password is old, and nobody asks for it
	got := b.accepted(b.ask("cards", a.presented(alice)))
	if got.User != "Alice" || !got.Session.Began || got.Class != login.ClassX509 || len(got.Proofs) != 1 || got.Proofs[0].Factor != login.Certificate {
		t.Errorf("%+v", got)
	}
	for _, c := range []struct {
		name string
		card tls.Certificate
		want trace.Reason
	}{
		{"revoked", lost, trace.CertificateRevoked},
		{"names nobody by its mapping", unmapped, trace.CertificateUnmapped},
		{"of somebody unknown", nobody, trace.UserUnknown},
		{"for servers", server, trace.CertificateUsage},
		{"over", old, trace.CertificateExpired},
		{"another authority's", stranger, trace.CertificateUntrusted},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &browser{rig: b.rig}
			s := b.ask("cards", a.presented(c.card))
			b.want(s, event.Reject, c.want, 0)
			if s.ID == 0 || s.Session.ID != "" {
				t.Errorf("%+v", s)
			}
			b.explained(s.ID, trace.CertificateCame)
		})
	}
	b.apply("{kind: User, name: Alice, spec: {active: false}}")
	fresh := &browser{rig: b.rig}
	fresh.want(fresh.ask("cards", a.presented(alice)), event.Reject, trace.UserInactive, 0)
}

func TestCertificateOfWhichNoListCanBeHadIsRefused(t *testing.T) {
	a := newAuthority(t)
	alice := a.issue("alice", nil)
	b := cardRig(t, a, "mapping: subject.CN")
	b.want(b.ask("cards", a.presented(alice)), event.Reject, trace.CertificateRevocationUnknown, 0)
	excused := cardRig(t, a, "mapping: subject.CN, acceptUnavailable: true")
	excused.accepted(excused.ask("cards", a.presented(alice)))
}

func TestCertificateIsASecondFactorOfTheSamePerson(t *testing.T) {
	a := newAuthority(t)
	alice, bob, lost := a.issue("CARD-alice", nil), a.issue("CARD-bob", nil), a.issue("CARD-alice", nil)
	a.revoke(lost)
	b := cardRig(t, a, `expression: 'subjectAttributes["CN"][0].replace("CARD-", "")'`)
	other := b.node(b.log.join(0, true))
	b.want(b.ask("both", typed("alice", login.Password, "wonderland")), event.Challenge, trace.FactorNeeded, login.SetOf(login.Certificate))
	round := func(c tls.Certificate) Round {
		r := a.presented(c)
		r.State = b.state
		return r
	}
	state := b.state
	for _, c := range []struct {
		card tls.Certificate
		want trace.Reason
	}{{bob, trace.FactorMismatch}, {lost, trace.CertificateRevoked}} {
		b.state = state
		b.want(b.ask("both", round(c.card)), event.Reject, c.want, 0)
	}
	b.state = state
	good := round(alice)
	got := b.accepted(b.ask("both", good))
	if got.User != "Alice" || len(got.Proofs) != 2 {
		t.Errorf("%+v", got)
	}
	other.session = ""
	other.want(other.ask("both", good), event.Reject, trace.ChallengeUsed, 0)
	other.session = b.session
	if got := other.accepted(other.ask("both", Round{})); got.User != "Alice" || strings.Contains(got.Session.ID, "=") {
		t.Errorf("%+v", got)
	}
}
