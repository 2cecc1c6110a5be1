package delivery

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"trine/engine/document"
	"trine/engine/message"
	"trine/engine/secret"
	"trine/engine/state"
)

// site is the documents of a node without the node.
type site struct {
	t       testing.TB
	keyring *secret.Keyring
	log     *bytes.Buffer

	mu      sync.Mutex
	stored  map[string]state.Document
	version uint64
}

func newSite(t testing.TB, documents ...string) *site {
	t.Helper()
	s := &site{t: t, keyring: secret.NewKeyring(), log: new(bytes.Buffer), stored: map[string]state.Document{}}
	if err := s.keyring.Add(1, secret.NewClusterKey()); err != nil {
		t.Fatal(err)
	}
	for _, d := range documents {
		s.apply(d)
	}
	return s
}

// apply puts a document in force as the administration does.
func (s *site) apply(text string) {
	s.t.Helper()
	docs, err := document.Parse("in.yaml", strings.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, d := range docs {
		d.EachSecret(func(_ string, t *secret.Text) {
			if *t, err = t.Seal(s.keyring, d.SecretContext()); err != nil {
				s.t.Fatal(err)
			}
		})
		spec, err := d.Stored()
		if err != nil {
			s.t.Fatal(err)
		}
		s.mu.Lock()
		s.version++
		s.stored[d.Name] = state.Document{Kind: d.Kind, Name: d.Name, Version: s.version, Spec: spec}
		s.mu.Unlock()
	}
}

func (s *site) Documents(kind, after string, _ int) []state.Document {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []state.Document
	for name, d := range s.stored {
		if kind == document.KindMessageGateway && name > after {
			out = append(out, d)
		}
	}
	return out
}

// lines is a log that a test reads after what writes to it has ended.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start starts a service over the site.
func (s *site) start(c Config) (*Service, *lines) {
	log := new(lines)
	c.Documents, c.Keyring = s, s.keyring
	c.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	service := New(c)
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := service.Close(ctx); err != nil {
			s.t.Error(err)
		}
		if s.t.Failed() {
			s.t.Log(log)
		}
	})
	return service, log
}

// outcome waits for what becomes of a message.
type outcome chan *message.Message

func (o outcome) Delivered(m *message.Message) { o <- m }

func (o outcome) wait(t testing.TB) *message.Message {
	t.Helper()
	select {
	case m := <-o:
		return m
	case <-time.After(time.Minute):
		t.Fatal("nothing was told of the message")
		return nil
	}
}

const theCode = "493117"

func code(channel message.Channel, to string) *message.Message {
	return &message.Message{
		Kind: message.Code, Channel: channel, To: to, User: "alice",
		Values:  message.Values{Code: theCode, Service: "VPN", Name: "Alice"},
		Expires: time.Now().Add(5*time.Minute + 30*time.Second), Done: make(outcome, 1),
	}
}

// send submits a message, which must be taken, and waits for its outcome.
func send(t testing.TB, s *Service, m *message.Message) *message.Message {
	t.Helper()
	if err := s.Submit(m); err != nil {
		t.Fatal(err)
	}
	return m.Done.(outcome).wait(t)
}

// authority issues certificates for 127.0.0.1.
type authority struct {
	pem         string
	certificate tls.Certificate
	chain, key  []byte // PEM
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	issue := func(template, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if parent == nil {
			parent, by = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c, key
	}
	term := func(serial int64, name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
		}
	}
	root := term(1, "test authority")
	root.IsCA, root.KeyUsage = true, x509.KeyUsageCertSign
	ca, caKey := issue(root, nil, nil)
	leaf := term(2, "mail.example.com")
	leaf.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	leaf.KeyUsage, leaf.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	server, serverKey := issue(leaf, ca, caKey)
	der, err := x509.MarshalPKCS8PrivateKey(serverKey)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{
		pem:         string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw})),
		certificate: tls.Certificate{Certificate: [][]byte{server.Raw}, PrivateKey: serverKey},
		chain:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Raw}),
		key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
	}
	return a
}

// block writes PEM as a block of YAML with some indentation.
func block(text string, indent int) string {
	return strings.ReplaceAll("|\n"+strings.TrimSpace(text), "\n", "\n"+strings.Repeat(" ", indent))
}

func mailGateway(server, authorities, more string) string {
	text := fmt.Sprintf("kind: MessageGateway\nname: mail\nspec:\n  type: smtp\n  smtp:\n    servers: [%q]\n    from: Example IT <it@example.com>\n", server)
	if authorities != "" {
		text += "    authorities: " + block(authorities, 6) + "\n"
	}
	return text + more
}
