package stream

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{cert, key, pool}
}

func (a *authority) issue(t testing.TB, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) server(t testing.TB, name string) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{a.issue(t, name)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.pool}
}

func (a *authority) client(t testing.TB) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{a.issue(t, "device")}, RootCAs: a.pool, ServerName: "server"}
}

func secured(t testing.TB, config *tls.Config) []Listener {
	return []Listener{{Name: "test", Addr: "127.0.0.1:0", TLS: config}}
}

func expectReset(t testing.TB, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Fatal("it was not closed")
	}
}

func TestTLSCarriesTheSameFrames(t *testing.T) {
	a := newAuthority(t)
	e, w := start(t, Config{Listeners: secured(t, a.server(t, "server"))})
	c := tls.Client(dial(t, e), a.client(t))
	message := bytes.Join([][]byte{frame('e', ""), frame('e', "hello"), frame('e', "again")}, nil)
	for split := 1; split < len(message); split++ { // each part a record
		send(t, c, message[:split])
		send(t, c, message[split:])
		expect(t, c, message)
	}
	var all []byte
	for range 3000 {
		all = append(all, frame('e', "many frames in many records")...)
	}
	go func() { _, _ = c.Write(all) }()
	expect(t, c, all)
	send(t, c, frame('l', "late"))
	w.letGo <- struct{}{}
	expect(t, c, frame('l', "late"))
	send(t, c, bytes.Repeat(frame('b', ""), 50), frame('c', "bye"), frame('e', "not read"))
	got, err := io.ReadAll(c) // an end without TLS's own would be an error
	if err != nil || len(got) != 50*maxFrame+7 {
		t.Fatalf("%d bytes: %v", len(got), err)
	}
	_ = c.Close()
	ends(t, e, ClosedByHandler, 1)
	if total := e.Totals(); total.Handshakes != 1 || total.HandshakesUnderWay != 0 {
		t.Fatalf("totals %+v", total)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.common) != 1 || w.common[0] != "device" {
		t.Fatalf("the handler saw certificates of %v", w.common)
	}
}

// trickle writes one byte at a time, and waits until the other side has it.
type trickle struct {
	net.Conn
	e *Engine
	t testing.TB
}

func (s trickle) Write(p []byte) (int, error) {
	for i := range p {
		before := s.e.Totals().BytesIn
		if _, err := s.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
		eventually(s.t, "the byte arrives", func() bool { return s.e.Totals().BytesIn == before+1 })
	}
	return len(p), nil
}

func TestTLSByteByByte(t *testing.T) {
	a := newAuthority(t)
	l := secured(t, a.server(t, "server"))
	l[0].Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.9.0/24")}
	e, w := start(t, Config{Listeners: l})
	raw := dialFrom(t, e, "127.0.9.1")
	slow := trickle{raw, e, t}
	send(t, slow, []byte("PROXY TCP4 192.0.2.1 192.0.2.2 1000 49\r\n"))
	c := tls.Client(slow, a.client(t))
	for range 3 {
		send(t, c, frame('e', "hello"))
		expect(t, c, frame('e', "hello"))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.remotes[0].String() != "192.0.2.1:1000" {
		t.Fatalf("the handler saw %v", w.remotes)
	}
}

func TestTLSProvesBothSides(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	for name, tc := range map[string]struct {
		spoil func(*tls.Config)
		say   []byte
		hears string // the client, of why
	}{
		"TLS 1.2":           {spoil: func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, hears: "protocol version"},
		"no certificate":    {spoil: func(c *tls.Config) { c.Certificates = nil }, hears: "certificate required"},
		"other authority":   {spoil: func(c *tls.Config) { c.Certificates = []tls.Certificate{other.issue(t, "device")} }, hears: "certificate"},
		"no TLS":            {say: frame('e', "in clear")},
		"a record too long": {say: []byte{22, 3, 1, 0xff, 0xff}},
		"nothing of TLS":    {say: append([]byte{22, 3, 1, 0, 5}, "hello"...)},
		"a PROXY header":    {say: []byte("PROXY TCP4 192.0.2.1 192.0.2.2 1000 49\r\n")},
	} {
		t.Run(name, func(t *testing.T) {
			e, w := start(t, Config{Listeners: secured(t, a.server(t, "server"))})
			raw := dial(t, e)
			if tc.say != nil {
				send(t, raw, tc.say)
				_, _ = io.ReadAll(raw)
			} else {
				config := a.client(t)
				tc.spoil(config)
				c := tls.Client(raw, config)
				_, err := c.Write(frame('e', "x"))
				if err == nil {
					_, err = c.Read(make([]byte, 1)) // in TLS 1.3 a client hears of it at the first read
				}
				if err == nil {
					t.Fatal("it was served")
				}
				if !strings.Contains(err.Error(), tc.hears) {
					t.Errorf("the client is not told why: %v", err)
				}
			}
			_ = raw.Close()
			want := HandshakeFailed
			if name == "a PROXY header" {
				want = ProxyUnlisted
			}
			ends(t, e, want, 1)
			w.mu.Lock()
			defer w.mu.Unlock()
			if want == HandshakeFailed && (len(w.errs) != 1 || w.errs[0] == nil) {
				t.Fatalf("the handler is not told why: %v", w.errs)
			}
			if n := e.Totals(); n.Frames != 0 || n.HandshakesUnderWay != 0 {
				t.Fatalf("totals %+v", n)
			}
		})
	}
}

func TestTLSConfigurationsMustAskForACertificate(t *testing.T) {
	a := newAuthority(t)
	for _, auth := range []tls.ClientAuthType{tls.NoClientCert, tls.RequestClientCert, tls.RequireAnyClientCert, tls.VerifyClientCertIfGiven} {
		config := a.server(t, "server")
		config.ClientAuth = auth
		_, err := Start(Config{Listeners: secured(t, config), Framing: framing(), NewHandler: func(*Loop) Handler { return new(talker) }})
		if err == nil {
			t.Fatalf("%v was taken", auth)
		}
		// The same from GetConfigForClient, where only the handshake can tell.
		outer := a.server(t, "server")
		outer.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return config, nil }
		e, _ := start(t, Config{Listeners: secured(t, outer)})
		c := tls.Client(dial(t, e), a.client(t))
		if err := c.Handshake(); err == nil {
			t.Fatalf("%v was taken at run time", auth)
		}
		_ = c.NetConn().Close()
		ends(t, e, HandshakeFailed, 1)
	}
}

func TestTLSConfigurationChangesAtRunTime(t *testing.T) {
	a, b := newAuthority(t), newAuthority(t)
	var now atomic.Pointer[tls.Config]
	now.Store(a.server(t, "server"))
	outer := a.server(t, "server")
	outer.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return now.Load(), nil }
	e, _ := start(t, Config{Listeners: secured(t, outer)})
	before := tls.Client(dial(t, e), a.client(t))
	send(t, before, frame('e', "x"))
	expect(t, before, frame('e', "x"))

	now.Store(b.server(t, "server"))
	after := tls.Client(dial(t, e), b.client(t))
	send(t, after, frame('e', "x"))
	expect(t, after, frame('e', "x"))
	send(t, before, frame('e', "still there"))
	expect(t, before, frame('e', "still there"))
	mixed := b.client(t)
	mixed.Certificates = a.client(t).Certificates
	refused := tls.Client(dial(t, e), mixed)
	_, err := refused.Write(frame('e', "x"))
	if err == nil {
		_, err = refused.Read(make([]byte, 1))
	}
	if err == nil {
		t.Fatal("a certificate of the former authority was taken")
	}
}

func TestHandshakesAreBoundedInNumberAndTime(t *testing.T) {
	a := newAuthority(t)
	e, _ := start(t, Config{
		Listeners: secured(t, a.server(t, "server")),
		Limits:    Limits{Handshakes: 2}, Timeouts: Timeouts{Handshake: time.Second},
	})
	hello := clientHello(t, a)
	for range 2 {
		send(t, dial(t, e), hello)
	}
	eventually(t, "both are under way", func() bool { return e.Totals().HandshakesUnderWay == 2 })
	third := dial(t, e)
	send(t, third, hello)
	expectReset(t, third)
	ends(t, e, RefusedHandshakes, 1)
	ends(t, e, HandshakeSlow, 2)
	eventually(t, "none is under way", func() bool { return e.Totals().HandshakesUnderWay == 0 })
	send(t, dial(t, e), hello[:len(hello)-1]) // who has not said hello takes nobody's place
	c := tls.Client(dial(t, e), a.client(t))
	send(t, c, frame('e', "x"))
	expect(t, c, frame('e', "x"))
	ends(t, e, HandshakeSlow, 3)
}

// clientHello returns the first flight of a client.
func clientHello(t *testing.T, a *authority) []byte {
	t.Helper()
	near, far := net.Pipe()
	go func() { _ = tls.Client(near, a.client(t)).Handshake() }()
	buf := make([]byte, 16<<10)
	n, err := far.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	_ = far.Close()
	return buf[:n]
}

func TestHandshakeKeepsABoundedFlight(t *testing.T) {
	var w wire
	w.came.L = &w.mu
	chunk := make([]byte, 1000)
	for w.push(chunk) {
		if len(w.in) > maxFlight {
			t.Fatalf("%d bytes are kept", len(w.in))
		}
	}
	if len(w.in) < maxFlight-len(chunk) {
		t.Fatalf("only %d bytes are kept", len(w.in))
	}
}

func TestTLSRecordsThatAreForgedEndTheConnection(t *testing.T) {
	a := newAuthority(t)
	e, _ := start(t, Config{Listeners: secured(t, a.server(t, "server"))})
	raw := dial(t, e)
	c := tls.Client(raw, a.client(t))
	send(t, c, frame('e', "x"))
	expect(t, c, frame('e', "x"))
	send(t, raw, append([]byte{23, 3, 3, 0, 32}, make([]byte, 32)...))
	if _, err := c.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Fatalf("the client is told %v", err)
	}
	_ = raw.Close()
	ends(t, e, TLSBroken, 1)
}

func TestTLSClientThatNeverReadsIsClosed(t *testing.T) {
	a := newAuthority(t)
	e, _ := start(t, Config{Listeners: secured(t, a.server(t, "server")), Limits: Limits{Outbound: 64 << 10}})
	c := tls.Client(dial(t, e), a.client(t))
	send(t, c, frame('e', "x"))
	expect(t, c, frame('e', "x"))
	for e.Totals().Ended[OutboundFull] == 0 {
		if _, err := c.Write(bytes.Repeat(frame('b', ""), 100)); err != nil {
			break
		}
	}
	ends(t, e, OutboundFull, 1)
}
