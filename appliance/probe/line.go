package probe

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"trine/protocols/tacacs/wire"
)

// DeviceTLS names the files with which a device speaks TACACS+ over TLS 1.3 (RFC 9887).
type DeviceTLS struct {
	Certificate string // PEM file with the device's certificate chain; empty: none is proved, which servers refuse
	Key         string // PEM file with its private key
	Authorities string // PEM file with the authorities that may have issued the server's certificate; empty: the system's
	ServerName  string // the name that the server's certificate must have; empty: the host of the server's address
}

// config reads the files.
func (d *DeviceTLS) config(server string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: d.ServerName}
	if c.ServerName == "" {
		host, _, err := net.SplitHostPort(server)
		if err != nil {
			return nil, fmt.Errorf("find the server's name: %w", err)
		}
		c.ServerName = host
	}
	if d.Certificate != "" || d.Key != "" {
		pair, err := tls.LoadX509KeyPair(d.Certificate, d.Key)
		if err != nil {
			return nil, fmt.Errorf("load the device's certificate: %w", err)
		}
		// It is proved whichever authorities the server names, so that it says itself what it thinks of this one.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	if d.Authorities != "" {
		text, err := os.ReadFile(d.Authorities)
		if err != nil {
			return nil, fmt.Errorf("load the authorities of the server's certificate: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("load the authorities of the server's certificate: %s has no certificate in PEM", d.Authorities)
		}
	}
	return c, nil
}

// line makes the connections of a visit. The client's library knows shared secrets and no TLS, so that within TLS it obfuscates under a secret made
// up for it, which each connection takes off again.
type line struct {
	tls     *tls.Config
	secret  []byte
	shared  *wire.Secret
	agreed  atomic.Bool // the server agreed to carry many sessions on a connection
	dialled atomic.Int64
}

func newLine(v *Visit) (*line, error) {
	l := &line{secret: []byte(v.Secret)}
	var err error
	if v.TLS != nil {
		if l.tls, err = v.TLS.config(v.Server); err != nil {
			return nil, err
		}
		l.secret = make([]byte, 16)
		_, _ = rand.Read(l.secret)
	}
	if l.shared, err = wire.NewSecret(l.secret); err != nil {
		return nil, errEmptyTacacsSecret
	}
	return l, nil
}

// dial connects.
func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var conn net.Conn
	var err error
	if l.tls != nil {
		conn, err = (&tls.Dialer{Config: l.tls}).DialContext(ctx, network, address)
	} else {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
	}
	if err != nil {
		return nil, err
	}
	l.dialled.Add(1)
	return &packets{Conn: conn, line: l, broken: make(chan struct{})}, nil
}

// packets is a connection that looks at each packet on its way: what comes must make sense under the secret, to the byte, which the library does
// not ask for.
type packets struct {
	net.Conn
	line *line
	rest []byte // of a packet that came
	some bool   // that one came

	broken  chan struct{} // closed when nothing comes any more, for failure
	failure error
}

// Write sends a whole packet, as the library hands it over.
func (p *packets) Write(packet []byte) (int, error) {
	if p.line.tls != nil {
		packet = append([]byte(nil), packet...)
		p.line.shared.Obfuscate(packet)
		packet[3] |= byte(wire.Unencrypted) // RFC 9887 section 4
	}
	n, err := p.Conn.Write(packet)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		// What came last says why: within TLS 1.3 a certificate is refused after the handshake.
		select {
		case <-p.broken:
			return n, p.failure
		case <-time.After(time.Second):
		}
	}
	return n, err
}

// Read returns what came, a packet at a time.
func (p *packets) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		packet, err := p.next()
		if err != nil {
			p.failure = err
			close(p.broken) // the library reads nothing after an error
			return 0, err
		}
		p.rest = packet
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// next reads a packet and returns it as the library expects it.
func (p *packets) next() ([]byte, error) {
	packet := make([]byte, wire.HeaderLen)
	if _, err := io.ReadFull(p.Conn, packet); err != nil {
		return nil, ended(err)
	}
	h, f := wire.ParseHeader(packet, wire.MaxBody, 0)
	if f != wire.OK {
		return nil, fmt.Errorf("%w: %w", ErrGarbled, f)
	}
	secure := p.line.tls != nil
	if f := h.Check(secure); f != wire.OK {
		return nil, fmt.Errorf("%w: %w", ErrGarbled, f)
	}
	packet = append(packet, make([]byte, h.Length)...)
	if _, err := io.ReadFull(p.Conn, packet[wire.HeaderLen:]); err != nil {
		return nil, ended(err)
	}
	if !secure {
		p.line.shared.Obfuscate(packet)
	}
	if f := wire.Check(&h, packet[wire.HeaderLen:], 0); f != wire.OK {
		if d := wire.Diagnose(&h, packet[wire.HeaderLen:], f); d.WrongSecret || !secure && f == wire.LengthMismatch {
			return nil, fmt.Errorf("%w under this shared secret: the server's is another one", ErrGarbled)
		}
		return nil, fmt.Errorf("%w: %w", ErrGarbled, f)
	}
	if !p.some {
		p.some = true
		if h.Flags&wire.SingleConnect != 0 {
			p.line.agreed.Store(true)
		}
	}
	p.line.shared.Obfuscate(packet)
	return packet, nil
}

// ended says that the server closed the connection, where it did.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrClosed
	}
	return err
}
