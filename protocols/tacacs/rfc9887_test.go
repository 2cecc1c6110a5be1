package tacacs

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"trine/protocols/tacacs/wire"
)

// The tests of this file are listed in docs/rfc8907.md with the rules of RFC 9887 that they show.

// passing is a START that passes.
var passing = wire.AuthenStart{Type: wire.TypePAP, User: []byte("alice"), Data: []byte("wonderland")}

// served reports whether a device that connects within TLS is answered, and why not.
func (r *rig) served(config *tls.Config) (bool, error) {
	r.t.Helper()
	conn, err := tls.Dial("tcp", r.server.SecureAddr(0).String(), config)
	if err != nil {
		return false, err
	}
	d := newDevice(r.t, conn, "")
	d.start(1, passing)
	h, body, err := d.next()
	return err == nil && h.Seq == 2 && wire.AuthenStatus(body[0]) == wire.AuthenPass, err
}

func TestRFC9887_3_1_BothSidesProveCertificates(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	r := newRig(t, func(c *Config) { c.Secure, c.TLS = []string{"127.0.0.1:0"}, a.server() })
	for name, tc := range map[string]struct {
		change func(c *tls.Config)
		want   string // of the error; empty: it is served
	}{
		"a certificate of the authority": {func(*tls.Config) {}, ""},
		"none":                           {func(c *tls.Config) { c.Certificates = nil }, "certificate required"},
		"one of another authority": {func(c *tls.Config) {
			pair := other.issue("switch.example.com")
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}, "unknown certificate authority"},
		"one that has expired": {func(c *tls.Config) {
			c.Certificates = []tls.Certificate{a.issue("switch.example.com", func(x *x509.Certificate) { x.NotAfter = time.Now().Add(-time.Minute) })}
		}, "expired certificate"},
		"one that is not good yet": {func(c *tls.Config) {
			c.Certificates = []tls.Certificate{a.issue("switch.example.com", func(x *x509.Certificate) { x.NotBefore = time.Now().Add(time.Minute) })}
		}, "expired certificate"},
		"one for servers alone": {func(c *tls.Config) {
			c.Certificates = []tls.Certificate{a.issue("switch.example.com", func(x *x509.Certificate) { x.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })}
		}, "certificate"},
		"a device that does not trust the server": {func(c *tls.Config) { c.RootCAs = other.pool }, "unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			c := a.device(t, "switch.example.com")
			tc.change(c)
			ok, err := r.served(c)
			if ok != (tc.want == "") || !ok && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("served: %t, %v", ok, err)
			}
		})
	}
}

// TestRFC9887_3_1_NothingButTLSIsHeard speaks TACACS+ on the port of TLS, as RFC 8907 has it and in clear, and TLS on the other.
func TestRFC9887_3_1_NothingButTLSIsHeard(t *testing.T) {
	r, config := secureRig(t)
	for _, secret := range []string{"testing123", ""} {
		conn, err := net.Dial("tcp", r.server.SecureAddr(0).String())
		if err != nil {
			t.Fatal(err)
		}
		d := newDevice(t, conn, secret)
		d.start(1, passing)
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if got, err := io.ReadAll(conn); len(got) > 0 && got[0]>>4 == 0xc {
			t.Errorf("answered %x, %v", got, err)
		}
	}
	for _, c := range r.server.Stats().Requests {
		if c.Count != 0 {
			t.Errorf("requests are counted: %+v", c)
		}
	}
	if conn, err := tls.Dial("tcp", r.server.PlainAddr(0).String(), config("switch.example.com")); err == nil {
		_ = conn.Close()
		t.Error("TLS is spoken on the port without it")
	}
	if r.server.SecureAddr(0).Port() == r.server.PlainAddr(0).Port() {
		t.Error("the ports are the same")
	}
}

func TestRFC9887_3_2_EarlierVersionsAreRefused(t *testing.T) {
	r, config := secureRig(t)
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12} {
		c := config("switch.example.com")
		c.MinVersion, c.MaxVersion = version, version
		if ok, err := r.served(c); ok || !strings.Contains(err.Error(), "protocol version") {
			t.Errorf("%s is served: %t, %v", tls.VersionName(version), ok, err)
		}
	}
}

// TestRFC9887_3_2_ConnectionsEndWithTheirSession has connections for one session and for many.
func TestRFC9887_3_2_ConnectionsEndWithTheirSession(t *testing.T) {
	r, config := secureRig(t)
	d := r.dialTLS(config("switch.example.com"))
	d.start(1, passing)
	d.reply(1, wire.AuthenPass)
	d.ended()
	d = r.dialTLS(config("switch.example.com"))
	d.flags = wire.SingleConnect
	for i := range uint32(3) {
		d.start(i, passing)
		d.reply(i, wire.AuthenPass)
	}
}

// TestRFC9887_3_4_1_ChainsAreVerified has a device show the certificate of an authority between.
func TestRFC9887_3_4_1_ChainsAreVerified(t *testing.T) {
	root := newAuthority(t)
	r := newRig(t, func(c *Config) { c.Secure, c.TLS = []string{"127.0.0.1:0"}, root.server() })
	between := func(isCA bool) *authority {
		pair := root.issue("between", func(x *x509.Certificate) {
			x.IsCA, x.BasicConstraintsValid, x.ExtKeyUsage = isCA, true, nil
			if isCA {
				x.KeyUsage = x509.KeyUsageCertSign
			}
		})
		cert, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return &authority{t: t, cert: cert, key: pair.PrivateKey.(*ecdsa.PrivateKey)}
	}
	for _, isCA := range []bool{true, false} {
		for _, shown := range []bool{true, false} {
			a := between(isCA)
			pair := a.issue("switch.example.com")
			if shown {
				pair.Certificate = append(pair.Certificate, a.cert.Raw)
			}
			c := root.device(t, "switch.example.com")
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
			if ok, err := r.served(c); ok != (isCA && shown) {
				t.Errorf("issued by an authority: %t, which is shown: %t: served: %t, %v", isCA, shown, ok, err)
			}
		}
	}
}

// TestRFC9887_3_4_2_DevicesAreToldByNameOrAddress holds what a service provider wants against what certificates say.
func TestRFC9887_3_4_2_DevicesAreToldByNameOrAddress(t *testing.T) {
	a := newAuthority(t)
	r := newRig(t, func(c *Config) { c.Secure, c.TLS = []string{"127.0.0.1:0"}, a.server() })
	r.house.Put(coreDocument(`, certificateNames: [switch.example.com, "192.0.2.8", "2001:db8::8"]`))
	for name, tc := range map[string]struct {
		change func(x *x509.Certificate)
		want   bool
	}{
		"a dNSName":                       {func(x *x509.Certificate) { x.DNSNames = []string{"other.example.com", "SWITCH.example.com"} }, true},
		"another dNSName":                 {func(x *x509.Certificate) { x.DNSNames = []string{"other.example.com"} }, false},
		"a dNSName that only ends so":     {func(x *x509.Certificate) { x.DNSNames = []string{"a.switch.example.com"} }, false},
		"a wildcard":                      {func(x *x509.Certificate) { x.DNSNames = []string{"*.example.com"} }, false},
		"an iPAddress":                    {func(x *x509.Certificate) { x.DNSNames, x.IPAddresses = nil, []net.IP{net.IPv4(192, 0, 2, 8)} }, true},
		"an iPAddress of IPv6":            {func(x *x509.Certificate) { x.DNSNames, x.IPAddresses = nil, []net.IP{net.ParseIP("2001:db8::8")} }, true},
		"another iPAddress":               {func(x *x509.Certificate) { x.DNSNames, x.IPAddresses = nil, []net.IP{net.IPv4(192, 0, 2, 9)} }, false},
		"an address written as a dNSName": {func(x *x509.Certificate) { x.DNSNames = []string{"192.0.2.8"} }, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := a.device(t, "switch.example.com")
			c.Certificates = []tls.Certificate{a.issue("switch.example.com", tc.change)}
			if ok, err := r.served(c); ok != tc.want {
				t.Errorf("served: %t, %v", ok, err)
			}
		})
	}
}

// TestRFC9887_3_4_2_AServerNameMayBeIndicated connects with names that the server has and has not.
func TestRFC9887_3_4_2_AServerNameMayBeIndicated(t *testing.T) {
	a := newAuthority(t)
	var seen []string
	r := newRig(t, func(c *Config) {
		c.Secure, c.TLS = []string{"127.0.0.1:0"}, a.server()
		one, two := c.TLS.Certificates[0], a.issue("tacacs.example.com")
		c.TLS.Certificates = nil
		c.TLS.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			seen = append(seen, hello.ServerName)
			if hello.ServerName == "tacacs.example.com" {
				return &two, nil
			}
			return &one, nil
		}
	})
	for _, name := range []string{"trine.example.com", "tacacs.example.com"} {
		c := a.device(t, "switch.example.com")
		c.ServerName = name
		if ok, err := r.served(c); !ok {
			t.Errorf("%s is not served: %v", name, err)
		}
	}
	if strings.Join(seen, " ") != "trine.example.com tacacs.example.com" {
		t.Errorf("the server heard %q", seen)
	}
}

// TestRFC9887_3_4_3_TheMandatoryCipherSuiteIsSpoken offers TLS_AES_128_GCM_SHA256 alone, as no library here would: the ClientHello is changed on its way.
func TestRFC9887_3_4_3_TheMandatoryCipherSuiteIsSpoken(t *testing.T) {
	r, config := secureRig(t)
	for suite, want := range map[uint16]bool{tls.TLS_AES_128_GCM_SHA256: true, 0x13aa: false} {
		hello := firstFlight(t, config("switch.example.com"), func(h *helloParts) { h.suites = binary.BigEndian.AppendUint16(nil, suite) })
		got := r.sendHello(t, hello)
		served := len(got) > 48 && got[0] == 22 // a handshake record, with a ServerHello: 5 + 4 + 2 + 32 + 1 bytes before its session
		if served {
			at := 5 + 4 + 2 + 32
			at += 1 + int(got[at])
			served = binary.BigEndian.Uint16(got[at:]) == suite
		}
		if served != want {
			t.Errorf("suite %#x is spoken: %t: %x", suite, served, got)
		}
	}
}

// TestRFC9887_5_1_2_EarlyDataEndsTheConnection offers data before the handshake.
func TestRFC9887_5_1_2_EarlyDataEndsTheConnection(t *testing.T) {
	r, config := secureRig(t)
	hello := firstFlight(t, config("switch.example.com"), func(h *helloParts) { h.extensions = append(h.extensions, 0, 42, 0, 0) })
	if got := r.sendHello(t, hello); len(got) != 7 || got[0] != 21 || got[6] != 110 { // an alert: unsupported_extension
		t.Errorf("answered %x", got)
	}
	hello = firstFlight(t, config("switch.example.com"), func(*helloParts) {})
	if got := r.sendHello(t, hello); len(got) == 0 || got[0] != 22 {
		t.Errorf("without early data it is answered %x", got)
	}
}

// TestRFC9887_4_EveryAnswerHasTheFlag goes through answers of all types, and through errors.
func TestRFC9887_4_EveryAnswerHasTheFlag(t *testing.T) {
	r, config := secureRig(t)
	d := r.dialTLS(config("switch.example.com"))
	d.flags = wire.SingleConnect
	d.authorize(1, "bob", "service=shell", "cmd=reload", "cmd-arg=<cr>")
	d.response(1, wire.AuthorFail) // read holds the flag against each
	d.account(2, wire.AcctStart, "bob", "task_id=1", "service=shell")
	d.acct(2, wire.AcctSuccess)
	d.raw(wire.Authorization, wire.Version0, 1, 3, []byte("x"))
	d.response(3, wire.AuthorError)
	d.raw(9, wire.Version0, 1, 4, nil)
	if h, body := d.read(); h.Type != 9 || h.Seq != 2 || len(body) != 0 {
		t.Errorf("an unknown type is answered %+v %x", h, body)
	}
}

// TestRFC9887_4_ErrorsAreOfTheTypeOfTheirRequest leaves the flag out of each type.
func TestRFC9887_4_ErrorsAreOfTheTypeOfTheirRequest(t *testing.T) {
	r, config := secureRig(t)
	for _, kind := range []wire.Type{wire.Authentication, wire.Authorization, wire.Accounting} {
		d := r.dialTLS(config("switch.example.com"))
		p := make([]byte, wire.HeaderLen)
		h := header(kind, wire.Version0, 1, 7, 0)
		h.Length = 8
		h.Put(p)
		d.send(append(p, "whatever"...))
		switch kind {
		case wire.Authentication:
			d.reply(7, wire.AuthenError)
		case wire.Authorization:
			d.response(7, wire.AuthorError)
		default:
			d.acct(7, wire.AcctError)
		}
		d.ended()
	}
}

// helloParts are what tests change of a ClientHello.
type helloParts struct{ suites, extensions []byte }

// firstFlight returns the ClientHello of a device, changed.
func firstFlight(t *testing.T, config *tls.Config, change func(*helloParts)) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() { _ = tls.Client(theirs, config).Handshake() }()
	record := make([]byte, 5)
	if _, err := io.ReadFull(ours, record); err != nil {
		t.Fatal(err)
	}
	hello := make([]byte, binary.BigEndian.Uint16(record[3:]))
	if _, err := io.ReadFull(ours, hello); err != nil {
		t.Fatal(err)
	}
	at := 4 + 2 + 32 // behind its head, version and random
	at += 1 + int(hello[at])
	start := hello[:at]
	take := func(size int) []byte {
		n := 0
		for _, b := range hello[at : at+size] {
			n = n<<8 | int(b)
		}
		at += size + n
		return hello[at-n : at]
	}
	h := helloParts{suites: take(2)}
	compression := take(1)
	h.extensions = append([]byte{}, take(2)...)
	change(&h)
	out := append([]byte{}, start...)
	out = append(binary.BigEndian.AppendUint16(out, uint16(len(h.suites))), h.suites...)
	out = append(append(out, byte(len(compression))), compression...)
	out = append(binary.BigEndian.AppendUint16(out, uint16(len(h.extensions))), h.extensions...)
	out[1], out[2], out[3] = 0, byte((len(out)-4)>>8), byte(len(out)-4)
	return append(binary.BigEndian.AppendUint16(record[:3:3], uint16(len(out))), out...)
}

// sendHello sends a ClientHello and returns the first record that comes, or what came of it.
func (r *rig) sendHello(t *testing.T, hello []byte) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", r.server.SecureAddr(0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Write(hello); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	n, err := io.ReadFull(conn, got)
	if err != nil {
		return got[:n]
	}
	got = append(got, make([]byte, binary.BigEndian.Uint16(got[3:]))...)
	n, _ = io.ReadFull(conn, got[5:])
	if got[0] == 21 { // nothing may follow
		if more, err := io.ReadAll(conn); len(more) > 0 {
			t.Errorf("after the alert comes %x, %v", more, err)
		}
	}
	return got[:5+n]
}
