package transport

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const testCluster = "5f1c3f3a9d0b7c42"

// authority is a cluster's authority as tests make one.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{c, key}
}

func (a *authority) issue(t *testing.T, uris []*url.URL, notAfter time.Time) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "node"}, URIs: uris, NotBefore: time.Now().Add(-time.Hour), NotAfter: notAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.certificate.Raw}, PrivateKey: key}
}

func (a *authority) node(t *testing.T, node uint64) *tls.Certificate {
	return a.issue(t, []*url.URL{NodeURI(testCluster, node)}, time.Now().Add(time.Hour))
}

func listen(t *testing.T, a *authority, certificate *tls.Certificate, change func(*Config)) *TLS {
	t.Helper()
	c := Config{Listen: "127.0.0.1:0", Cluster: testCluster, Authority: a.certificate, Certificate: func() *tls.Certificate { return certificate }}
	if change != nil {
		change(&c)
	}
	m, err := Listen(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// echo answers what comes, and tells of whom it came.
func echo(came chan<- uint64) func(uint64, net.Conn) {
	return func(from uint64, stream net.Conn) {
		came <- from
		_, _ = io.Copy(stream, stream)
		_ = stream.Close()
	}
}

func say(t *testing.T, stream net.Conn) error {
	t.Helper()
	if err := stream.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := stream.Write([]byte("hello")); err != nil {
		return err
	}
	var b [5]byte
	if _, err := io.ReadFull(stream, b[:]); err != nil {
		return err
	}
	if string(b[:]) != "hello" {
		t.Errorf("heard %q, want hello", b)
	}
	return nil
}

func TestNodesReachEachOther(t *testing.T) {
	a := newAuthority(t)
	one, two := listen(t, a, a.node(t, 1), nil), listen(t, a, a.node(t, 2), nil)
	raft, log := make(chan uint64, 1), make(chan uint64, 1)
	two.Handle(ServiceRaft, echo(raft))
	two.Handle(ServiceLog, echo(log))
	for service, came := range map[Service]chan uint64{ServiceRaft: raft, ServiceLog: log} {
		stream, err := one.Dial(t.Context(), 2, two.Address(), service)
		if err != nil {
			t.Fatal(err)
		}
		if err := say(t, stream); err != nil {
			t.Fatal(err)
		}
		if from := <-came; from != 1 {
			t.Errorf("%s: the stream is said to come from %d, want 1", service, from)
		}
		if err := stream.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestStreamsAreRefused(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	hour := time.Now().Add(time.Hour)
	two := listen(t, a, a.node(t, 2), func(c *Config) { c.Removed = func(node uint64) bool { return node == 7 } })
	two.Handle(ServiceRaft, echo(make(chan uint64, 16)))
	for _, test := range []struct {
		name        string
		certificate *tls.Certificate
		trusts      *authority
		node        uint64
		service     Service
		want        error
		text        string
	}{
		{"another node is at the address", a.node(t, 1), a, 3, ServiceRaft, ErrIdentity, "node 0000000000000002 is at this address"},
		{"the dialling node trusts another authority", a.node(t, 1), other, 2, ServiceRaft, nil, "unknown authority"},
		{"the dialling node is certified by another authority", other.node(t, 1), a, 2, ServiceRaft, nil, "bad certificate"},
		{"the certificate has expired", a.issue(t, []*url.URL{NodeURI(testCluster, 1)}, time.Now().Add(-time.Minute)), a, 2, ServiceRaft, nil, "bad certificate"},
		{"the certificate is of another cluster", a.issue(t, []*url.URL{NodeURI("0000000000000000", 1)}, hour), a, 2, ServiceRaft, nil, "bad certificate"},
		{"the certificate names no node", a.issue(t, nil, hour), a, 2, ServiceRaft, nil, "bad certificate"},
		{"the certificate names two nodes", a.issue(t, []*url.URL{NodeURI(testCluster, 1), NodeURI(testCluster, 4)}, hour), a, 2, ServiceRaft, nil, "bad certificate"},
		{"the node was removed", a.node(t, 7), a, 2, ServiceRaft, ErrRemoved, ""},
		{"nobody serves it", a.node(t, 1), a, 2, ServiceLog, ErrRefused, ""},
		{"there is no such service", a.node(t, 1), a, 2, "trine-other/1", nil, "no application protocol"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := listen(t, a, test.certificate, func(c *Config) { c.Authority = test.trusts.certificate })
			stream, err := m.Dial(t.Context(), test.node, two.Address(), test.service)
			if err == nil {
				_ = stream.Close()
				t.Fatal("the stream was opened")
			}
			out := false
			select {
			case <-m.Out():
				out = true
			default:
			}
			if out != (test.want == ErrRemoved) {
				t.Errorf("out %t", out)
			}
			if test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("error %q, want %v with %q", err, test.want, test.text)
			}
		})
	}
}

func TestRemovedNodeIsNotDialled(t *testing.T) {
	a := newAuthority(t)
	one := listen(t, a, a.node(t, 1), func(c *Config) { c.Removed = func(node uint64) bool { return node == 2 } })
	if _, err := one.Dial(t.Context(), 2, "127.0.0.1:1", ServiceRaft); err == nil || !strings.Contains(err.Error(), "removed") {
		t.Errorf("error %v, want that it was removed", err)
	}
}

func TestRenewedCertificateIsUsedAtOnce(t *testing.T) {
	a := newAuthority(t)
	var current atomic.Pointer[tls.Certificate]
	current.Store(a.issue(t, []*url.URL{NodeURI(testCluster, 1)}, time.Now().Add(-time.Minute)))
	one := listen(t, a, nil, func(c *Config) { c.Certificate = current.Load })
	two := listen(t, a, a.node(t, 2), nil)
	two.Handle(ServiceRaft, echo(make(chan uint64, 1)))
	if _, err := one.Dial(t.Context(), 2, two.Address(), ServiceRaft); err == nil {
		t.Fatal("an expired certificate was taken")
	}
	current.Store(a.node(t, 1))
	stream, err := one.Dial(t.Context(), 2, two.Address(), ServiceRaft)
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.Close()
}

func TestDropClosesTheStreamsOfOneNode(t *testing.T) {
	a := newAuthority(t)
	one, two, three := listen(t, a, a.node(t, 1), nil), listen(t, a, a.node(t, 2), nil), listen(t, a, a.node(t, 3), nil)
	two.Handle(ServiceRaft, echo(make(chan uint64, 2)))
	dropped, err := one.Dial(t.Context(), 2, two.Address(), ServiceRaft)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := three.Dial(t.Context(), 2, two.Address(), ServiceRaft)
	if err != nil {
		t.Fatal(err)
	}
	two.Drop(1)
	if err := say(t, dropped); err == nil {
		t.Error("the stream of the node that was dropped still carries")
	}
	if err := say(t, kept); err != nil {
		t.Errorf("the stream of another node was closed too: %v", err)
	}
}

func TestStrangerFindsTheClusterByItsKey(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	one := listen(t, a, a.node(t, 1), nil)
	came := make(chan uint64, 1)
	if _, _, err := DialStranger(t.Context(), one.Address(), testCluster, KeyHash(a.certificate), time.Now()); !errors.Is(err, ErrRefused) {
		t.Fatalf("error %v before anybody serves strangers, want ErrRefused", err)
	}
	one.Handle(ServiceJoin, echo(came))
	stream, found, err := DialStranger(t.Context(), one.Address(), testCluster, KeyHash(a.certificate), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if !found.Equal(a.certificate) {
		t.Error("another authority's certificate was returned")
	}
	if err := say(t, stream); err != nil {
		t.Error(err)
	}
	if from := <-came; from != 0 {
		t.Errorf("a stranger came as node %d", from)
	}
	if _, _, err := DialStranger(t.Context(), one.Address(), testCluster, KeyHash(other.certificate), time.Now()); !errors.Is(err, ErrIdentity) {
		t.Errorf("error %v for the key of another authority, want ErrIdentity", err)
	}
	if _, _, err := DialStranger(t.Context(), one.Address(), "0000000000000000", KeyHash(a.certificate), time.Now()); !errors.Is(err, ErrIdentity) {
		t.Errorf("error %v for another cluster, want ErrIdentity", err)
	}
}

func TestStrangersAreBounded(t *testing.T) {
	a := newAuthority(t)
	one := listen(t, a, a.node(t, 1), nil)
	one.Handle(ServiceJoin, echo(make(chan uint64, 2*maxStrangers)))
	key := KeyHash(a.certificate)
	var streams []net.Conn
	for range maxStrangers {
		stream, _, err := DialStranger(t.Context(), one.Address(), testCluster, key, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, stream)
	}
	if _, _, err := DialStranger(t.Context(), one.Address(), testCluster, key, time.Now()); !errors.Is(err, ErrRefused) {
		t.Fatalf("error %v for one stranger too many, want ErrRefused", err)
	}
	for _, stream := range streams {
		_ = stream.Close()
	}
	for { // the places come back as the other end sees it
		stream, _, err := DialStranger(t.Context(), one.Address(), testCluster, key, time.Now())
		if err == nil {
			_ = stream.Close()
			return
		}
		if !errors.Is(err, ErrRefused) {
			t.Fatal(err)
		}
	}
}

func TestWhoSaysNothingMakesRoom(t *testing.T) {
	a := newAuthority(t)
	one, two := listen(t, a, a.node(t, 1), nil), listen(t, a, a.node(t, 2), nil)
	two.Handle(ServiceRaft, echo(make(chan uint64, 1)))
	var silent []net.Conn
	for range maxHandshakes {
		c, err := net.Dial("tcp", two.Address())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		silent = append(silent, c)
	}
	stream, err := one.Dial(t.Context(), 2, two.Address(), ServiceRaft)
	if err != nil {
		t.Fatal(err)
	}
	if err := say(t, stream); err != nil {
		t.Error(err)
	}
	if _, err := silent[0].Read(make([]byte, 1)); err == nil {
		t.Error("the oldest connection that says nothing is still open")
	}
	if s := two.Stats(); s.Crowded == 0 {
		t.Errorf("%+v: nobody was counted who made room", s)
	}
}

func TestGarbageEndsItsConnection(t *testing.T) {
	a := newAuthority(t)
	one := listen(t, a, a.node(t, 1), nil)
	one.Handle(ServiceRaft, echo(make(chan uint64, 1)))
	// A record of a handshake that announces a message of 16 MiB, then as much of it as is taken.
	flood := append([]byte{22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff}, make([]byte, 0x4000-4)...)
	for name, sent := range map[string][]byte{"text": []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "zeros": make([]byte, 4096), "flood": flood} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", one.Address())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(time.Minute))
			for range 64 {
				if _, err := c.Write(sent); err != nil {
					break
				}
			}
			if _, err := io.Copy(io.Discard, c); errors.Is(err, context.DeadlineExceeded) {
				t.Error("the connection was not ended")
			}
		})
	}
	if s := one.Stats(); s.Failed != 3 || s.Served != 0 || s.Open != 0 {
		t.Errorf("%+v: want 3 failed and none served", s)
	}
}

func TestBoundedStopsAtItsBound(t *testing.T) {
	ours, theirs := net.Pipe()
	go func() { _, _ = theirs.Write(make([]byte, 100)) }()
	b := &bounded{Conn: ours, left: 60}
	if n, err := io.Copy(io.Discard, b); n != 60 || err == nil {
		t.Errorf("read %d bytes and %v, want 60 and an error", n, err)
	}
	_ = ours.Close()
}

func TestCloseLeavesNothingBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	a := newAuthority(t)
	one, two := listen(t, a, a.node(t, 1), nil), listen(t, a, a.node(t, 2), nil)
	came := make(chan uint64, 1)
	two.Handle(ServiceRaft, echo(came))
	if _, err := one.Dial(t.Context(), 2, two.Address(), ServiceRaft); err != nil {
		t.Fatal(err)
	}
	<-came
	silent, err := net.Dial("tcp", two.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, m := range []*TLS{one, two} {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if open := m.Stats().Open; open != 0 {
			t.Errorf("%d streams are open after Close", open)
		}
	}
	for runtime.NumGoroutine() > before { // those that were waited for take a moment to be gone
		runtime.Gosched()
	}
	if _, err := one.Dial(t.Context(), 2, two.Address(), ServiceRaft); err == nil {
		t.Error("a closed mesh was reached")
	}
}

func TestNodeURIs(t *testing.T) {
	for _, text := range []string{
		"trine://c/0000000000000000", "trine://c/1", "trine:///0000000000000001", "http://c/0000000000000001", "trine://c/000000000000000A", "trine://c/0000000000000001?x",
		"trine://u@c/0000000000000001", "trine://c//0000000000000001", "trine://c/00000000000000001",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, node, err := NodeOf(&x509.Certificate{URIs: []*url.URL{u}}); err == nil {
			t.Errorf("%s was taken for node %d", text, node)
		}
	}
	cluster, node, err := NodeOf(&x509.Certificate{URIs: []*url.URL{NodeURI("c", 0xabc)}})
	if cluster != "c" || node != 0xabc || err != nil {
		t.Errorf("read %s, %x, %v", cluster, node, err)
	}
}
