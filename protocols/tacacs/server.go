package tacacs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"trine/engine/policy"
	"trine/protocols/stream"
	"trine/protocols/tacacs/wire"
)

// Config configures a Server. The zero value of a field without a default is an error unless it says otherwise.
type Config struct {
	// Plain and Secure are the addresses to listen on, host:port; see stream.Listener. One of the two may be empty.
	Plain, Secure []string
	// TLS is the configuration of Secure: RFC 9887, TLS 1.3 with certificates of both sides.
	TLS *tls.Config
	// Proxies are the addresses from which each connection begins with a PROXY header.
	Proxies []netip.Prefix
	// Loops is how many loops run; 0 means GOMAXPROCS.
	Loops int
	// NewLane makes the way into the engine for one loop.
	NewLane func() Lane
	// Policies holds the policy cache in force.
	Policies *policy.Holder
	// Deadline is how long a device is thought to wait for a decision; 0 means 5 s.
	Deadline time.Duration
	// Patience is how long a person may take to answer a question of a login; 0 means 2 min.
	Patience time.Duration
	// MaxConnections bounds the connections of all clients together, and MaxClient those from one address (of IPv6, one /64); 0
	// means 65,536 and 1,024.
	MaxConnections, MaxClient int
	// MaxSessions bounds the sessions under way on one connection, MaxAll those on one loop, people's answers awaited included; of
	// these MaxLogins the decisions and MaxRecords the accounting records. 0 means 1,024, 65,536, 4,096 and 8,192.
	MaxSessions, MaxAll, MaxLogins, MaxRecords int
	// MaxBody is the longest body of a packet that is accepted, in bytes, MinBody to wire.MaxBody; 0 means DefaultMaxBody.
	MaxBody int
	// Timeouts are those of connections; Idle is each service provider's own.
	Timeouts stream.Timeouts
	// Clock gives the time; nil means time.Now.
	Clock  func() time.Time
	Logger *slog.Logger
}

// Server is the TACACS+ server of a node. Its life: Start, then Stop.
type Server struct {
	loops  *stream.Engine
	plain  int // the first listeners are without TLS
	mu     sync.Mutex
	counts []*counters
}

// Start opens the listeners and serves. An error wraps stream.ErrPortInUse where another process has a port.
func Start(c Config) (*Server, error) {
	if err := c.complete(); err != nil {
		return nil, fmt.Errorf("start TACACS+ server: %w", err)
	}
	shared := &common{
		lookup: func(addr netip.Addr) (*policy.Cache, *policy.Client) {
			cache := c.Policies.Load()
			return cache, cache.ClientFor(protocol, addr)
		},
		logger: c.Logger, deadline: c.Deadline, patience: c.Patience,
		body: uint32(c.MaxBody), clients: c.MaxClient, sessions: c.MaxSessions, most: c.MaxAll, logins: c.MaxLogins, records: c.MaxRecords,
	}
	s := &Server{plain: len(c.Plain)}
	var listeners []stream.Listener
	for _, addr := range c.Plain {
		listeners = append(listeners, stream.Listener{Name: "TACACS+", Addr: addr, Setting: "tacacs-listen", Proxies: c.Proxies})
	}
	for _, addr := range c.Secure {
		listeners = append(listeners, stream.Listener{Name: "TACACS+ over TLS", Addr: addr, Setting: "tacacs-tls-listen", Proxies: c.Proxies, TLS: c.TLS})
	}
	var err error
	s.loops, err = stream.Start(stream.Config{
		Listeners: listeners, Loops: c.Loops, Clock: c.Clock, Logger: c.Logger, Framing: framing(uint32(c.MaxBody)),
		Limits: stream.Limits{Connections: c.MaxConnections}, Timeouts: c.Timeouts,
		NewHandler: func(l *stream.Loop) stream.Handler {
			stats := new(counters)
			s.mu.Lock()
			s.counts = append(s.counts, stats)
			s.mu.Unlock()
			return newHandler(shared, l, c.NewLane(), stats)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("start TACACS+ server: %w", err)
	}
	return s, nil
}

// framing cuts a connection into packets. A body above the limit ends the connection before anything of it is kept.
func framing(limit uint32) stream.Framing {
	return stream.Framing{
		Header: wire.HeaderLen, Max: wire.HeaderLen + int(limit),
		Length: func(header []byte) int {
			h, _ := wire.ParseHeader(header, limit, 0) // what else is wrong is answered by the handler
			if h.Length > limit {
				return -1
			}
			return wire.HeaderLen + int(h.Length)
		},
	}
}

func (c *Config) complete() error {
	switch {
	case len(c.Plain)+len(c.Secure) == 0:
		return errors.New("no address to listen on")
	case len(c.Secure) > 0 && c.TLS == nil:
		return errors.New("there is no certificate to listen with over TLS")
	case c.NewLane == nil:
		return errors.New("there is no engine")
	case c.MaxBody > wire.MaxBody, 0 < c.MaxBody && c.MaxBody < MinBody:
		return fmt.Errorf("a body may have %d to %d bytes at most, not %d", MinBody, wire.MaxBody, c.MaxBody)
	case c.Policies == nil:
		return errors.New("there are no policies")
	}
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{{&c.Deadline, 5 * time.Second}, {&c.Patience, 2 * time.Minute}} {
		if *d.value <= 0 {
			*d.value = d.or
		}
	}
	for _, d := range []struct {
		value *int
		or    int
	}{{&c.MaxConnections, 65536}, {&c.MaxBody, DefaultMaxBody}, {&c.MaxClient, 1024}, {&c.MaxSessions, 1024}, {&c.MaxAll, 65536}, {&c.MaxLogins, 4096}, {&c.MaxRecords, 8192}} {
		if *d.value <= 0 {
			*d.value = d.or
		}
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// PlainAddr returns the i-th address without TLS, with the port that the system chose.
func (s *Server) PlainAddr(i int) netip.AddrPort { return s.loops.Addr(i) }

// SecureAddr returns the i-th address within TLS, with the port that the system chose.
func (s *Server) SecureAddr(i int) netip.AddrPort { return s.loops.Addr(s.plain + i) }

// Stats returns the counters. Any goroutine may call it.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return collect(s.counts)
}

// Connections returns the counters of the connections.
func (s *Server) Connections() stream.Totals { return s.loops.Totals() }

// Done is closed when the server has ended, by Stop or because its loops failed; Err says which.
func (s *Server) Done() <-chan struct{} { return s.loops.Done() }

// Err returns why the server ended by itself, or nil.
func (s *Server) Err() error { return s.loops.Err() }

// Stop takes no new sessions, answers those under way until ctx ends, and stops. It returns ctx's error if some were left.
func (s *Server) Stop(ctx context.Context) error {
	if err := s.loops.Stop(ctx); err != nil {
		return fmt.Errorf("stop TACACS+ server: %w", err)
	}
	return nil
}
