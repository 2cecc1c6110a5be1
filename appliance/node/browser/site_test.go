package browser

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"trine/appliance/admin/client"
	"trine/appliance/demo"
	"trine/appliance/node"
)

// issuance is a certificate authority of the tests, and the certificate for localhost that it issued.
type issuance struct {
	ca, certificate, key []byte // PEM
	client               []byte // a person's certificate and its key, PEM
	spki                 []byte
	pool                 *x509.CertPool
}

// certified is the user whose certificate the browser has.
const certified = "carla"

// authority issued the certificate of all nodes of the tests.
var authority = func() *issuance {
	a, err := issue()
	if err != nil {
		panic(err)
	}
	return a
}()

func issue() (*issuance, error) {
	root, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	leaf, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	above := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Authority of tests"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	below := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		DNSNames: []string{"localhost", "*.localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	top, err := x509.CreateCertificate(rand.Reader, above, above, root.Public(), root)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, below, above, leaf.Public(), root)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(leaf)
	if err != nil {
		return nil, err
	}
	person, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	owned, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: certified}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}, above, person.Public(), root)
	if err != nil {
		return nil, err
	}
	personal, err := x509.MarshalPKCS8PrivateKey(person)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	a := &issuance{
		ca:          pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: top}),
		certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		client:      append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: owned}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: personal})...),
		spki:        parsed.RawSubjectPublicKeyInfo, pool: x509.NewCertPool(),
	}
	a.pool.AppendCertsFromPEM(a.ca)
	return a, nil
}

// site is a node that serves browsers, in a process of its own.
type site struct {
	t          *testing.T
	data       string
	port       string // of the web listener
	apache     string // a port for Apache, which documents name
	issuer     string // of the local identity provider
	admin      *client.Client
	command    *exec.Cmd
	log        *bytes.Buffer // read it after the end
	ended      chan struct{}
	ca         string // file
	http       *http.Client
	post       *post // that carries messages
	management string
}

// only is the node that most tests share: each has people and clients of its own there.
var only struct {
	once   sync.Once
	site   *site
	failed error
}

// shared returns the node that tests share.
func shared(t *testing.T) *site {
	t.Helper()
	only.once.Do(func() {
		if only.site, only.failed = launch(nil); only.failed == nil {
			only.failed = only.site.put(documents...)
		}
	})
	if only.failed != nil {
		t.Fatal(only.failed)
	}
	s := *only.site
	s.t = t
	return &s
}

// start starts a node for one test and applies documents, in which PORT stands for the port of the web listener.
func start(t *testing.T, arguments []string, documents ...string) *site {
	t.Helper()
	s, err := launch(arguments)
	if err != nil {
		t.Fatal(err)
	}
	s.t = t
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() && s.log.Len() > 0 {
			t.Logf("the node said:\n%s", s.log)
		}
	})
	if err := s.put(documents...); err != nil {
		t.Fatal(err)
	}
	return s
}

// launch starts a node on ports of its own.
func launch(arguments []string) (*site, error) {
	data, err := os.MkdirTemp("", "trine-site-")
	if err != nil {
		return nil, err
	}
	s := &site{data: data, log: new(bytes.Buffer), ended: make(chan struct{}), ca: filepath.Join(data, "tests-ca.pem")}
	certificate, key := filepath.Join(data, "tests.pem"), filepath.Join(data, "tests-key.pem")
	for name, text := range map[string][]byte{s.ca: authority.ca, certificate: authority.certificate, key: authority.key} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			return nil, err
		}
	}
	if s.post, err = newPost(); err != nil {
		return nil, err
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, s.apache, _ = net.SplitHostPort(free.Addr().String())
	free.Close()
	s.command = exec.Command(os.Args[0], append([]string{
		"--data", data, "--node-name", "test", "--tacacs-listen", "127.0.0.1:0", "--radius-authentication", "127.0.0.1:0", "--radius-accounting", "127.0.0.1:0",
		"--management-listen", "127.0.0.1:0", "--web-listen", "127.0.0.1:0", "--web-certificate", certificate, "--web-key", key, "--oidc-private-addresses", "127.0.0.0/8", "--radius-loops", "1", "--log-level", "warn",
	}, arguments...)...)
	s.command.Env = append(os.Environ(), asNode+"=serve")
	s.command.Stderr = s.log
	s.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(s.ended)
		_ = s.command.Wait()
	}()
	addresses, err := s.addresses()
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	s.management = addresses.Management
	if _, s.port, err = net.SplitHostPort(addresses.Web[0]); err != nil {
		return nil, err
	}
	s.issuer = "https://localhost:" + s.port
	if s.admin, err = client.New(client.Options{Data: data}); err != nil {
		return nil, err
	}
	s.http = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authority.pool}}}
	return s, nil
}

// addresses waits until the node says where it listens.
func (s *site) addresses() (a node.Addresses, err error) {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(filepath.Join(s.data, "addresses.json"))
		if err == nil {
			return a, json.Unmarshal(text, &a)
		}
		select {
		case <-s.ended:
			return a, fmt.Errorf("the node did not start:\n%s", s.log)
		default:
		}
	}
	return a, errors.New("the node did not start in time")
}

// stop asks the node to stop, and waits for that.
func (s *site) stop() (err error) {
	if err := s.command.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.ended:
	case <-time.After(30 * time.Second):
		_ = s.command.Process.Kill()
		<-s.ended
		err = errors.New("the node did not stop in order")
	}
	s.post.close()
	if s.http != nil {
		s.http.CloseIdleConnections()
	}
	if s.admin != nil {
		s.admin.Close()
	}
	return errors.Join(err, os.RemoveAll(s.data))
}

// put puts documents in force.
func (s *site) put(documents ...string) error {
	text := strings.NewReplacer("PORT", s.port, "APACHE", s.apache, "SMTP", s.post.smtp.Addr().String(), "GATEWAY", s.post.gateway.URL).Replace(strings.Join(documents, "\n---\n"))
	if _, err := s.admin.Apply(context.Background(), []client.File{{Name: "test.yaml", Data: []byte(text)}}, client.ApplyOptions{Comment: "test"}); err != nil {
		return fmt.Errorf("apply: %w\n%s", err, text)
	}
	return nil
}

// apply puts documents in force.
func (s *site) apply(documents ...string) {
	s.t.Helper()
	if err := s.put(documents...); err != nil {
		s.t.Fatal(err)
	}
}

// party serves a demo relying party on loopback, at an address that documents can be written for.
type party struct {
	url string // without a slash at its end
}

// party starts the demo as a client, at an address that is known before: what is applied first may name it.
func (s *site) party(listener net.Listener, id string, change func(*demo.Options)) *party {
	s.t.Helper()
	o := demo.Options{Issuer: s.issuer, ClientID: id, ClientSecret: "demo-secret", CA: s.ca, Scopes: []string{"profile", "email"}}
	if change != nil {
		change(&o)
	}
	rp, err := demo.New(o, listener.Addr().(*net.TCPAddr).AddrPort())
	if err != nil {
		s.t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(rp)
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	s.t.Cleanup(func() { server.Close(); rp.Close() })
	return &party{url: server.URL}
}

// listen opens a port on loopback.
func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}
