package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
)

// BareSize is the header in which a request says how long its answer is to be.
const BareSize = "Bare-Size"

// Bare is a bare net/http server within TLS.
type Bare struct {
	*Process
	Addr netip.AddrPort
}

// StartBare runs the given command, which must call ServeBare with the address that is its last argument.
func StartBare(ctx context.Context, cores string, command ...string) (*Bare, error) {
	addr, err := FreePort()
	if err != nil {
		return nil, err
	}
	b := &Bare{Addr: addr}
	if b.Process, err = start(cores, nil, command[0], append(command[1:], addr.String())...); err != nil {
		return nil, err
	}
	return b, b.until(ctx, "start the bare server", readyWithin, func() error {
		conn, err := net.Dial("tcp", addr.String())
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// ServeBare serves until the process ends: it reads what comes and sends as many bytes back as the request asks for. That is what the machine, the language's
// HTTP server and its TLS allow a server that does nothing.
func ServeBare(addr string) error {
	certificate, err := newCertificate("localhost", nil)
	if err != nil {
		return err
	}
	body := make([]byte, 1<<20)
	for i := range body {
		body[i] = 'x'
	}
	s := &http.Server{
		Addr: addr, TLSConfig: &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			size, err := strconv.Atoi(r.Header.Get(BareSize))
			if err != nil || size < 0 || size > len(body) {
				http.Error(w, "no size", http.StatusBadRequest)
				return
			}
			_, _ = io.Copy(io.Discard, r.Body) // the client sees to it that there is no more than a form
			h := w.Header()
			h.Set("Content-Type", "application/json")
			h.Set("Cache-Control", "no-store")
			h.Set("Content-Length", strconv.Itoa(size))
			_, _ = w.Write(body[:size])
		}),
	}
	if err := s.ListenAndServeTLS("", ""); err != nil {
		return fmt.Errorf("serve on %s: %w", addr, err)
	}
	return nil
}

// FreePort returns an address on loopback that nobody listens on now.
func FreePort() (netip.AddrPort, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().(*net.TCPAddr).AddrPort(), l.Close()
}
