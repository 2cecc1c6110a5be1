package radius

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"trine/engine/policy"
	"trine/engine/secret"
	"trine/protocols/loop"
)

// Config configures a Server. The zero value of a field without a default is an error unless it says otherwise.
type Config struct {
	// Authentication and Accounting are the addresses to listen on, host:port; see loop.Listener. One of the two may be empty.
	Authentication, Accounting []string
	// Loops is how many loops run; 0 means GOMAXPROCS.
	Loops int
	// NewLane makes the way into the engine for one loop.
	NewLane func() Lane
	// Policies holds the policy cache in force.
	Policies *policy.Holder
	// Cluster names the cluster: a Class attribute (RFC 2865 section 5.25) made by another cluster is not taken for one of ours.
	Cluster string
	// Keyring keys the Chargeable-User-Identity; without one it is not sent.
	Keyring *secret.Keyring
	// DuplicateLife is how long an answer is kept for retransmissions, 5 to 30 s (RFC 5080 section 2.2.2); 0 means 10 s.
	DuplicateLife time.Duration
	// Deadline is how long a device is thought to wait for the decision of a login; 0 means 5 s.
	Deadline time.Duration
	// MaxLogins and MaxRecords bound, for each loop, the logins and the accounting records under way, and MaxRequests the requests
	// that are remembered at all. 0 means 4,096, 8,192 and 65,536.
	MaxLogins, MaxRecords, MaxRequests int
	// Clock gives the time; nil means time.Now.
	Clock  func() time.Time
	Logger *slog.Logger
}

// replyMemory bounds the replies kept for retransmissions, in bytes a loop.
const replyMemory = 48 << 20

// Server is the RADIUS server of a node. Its life: Start, then Stop.
type Server struct {
	loops  *loop.Engine
	auths  int // the first listeners are for authentication
	mu     sync.Mutex
	counts []*counters
}

// Start opens the listeners and serves. An error wraps loop.ErrPortInUse where another process has a port.
func Start(c Config) (*Server, error) {
	if c.Policies == nil {
		return nil, errors.New("start RADIUS server: there are no policies")
	}
	return startShared(c, func(addr netip.Addr) (*policy.Cache, *policy.Client) {
		cache := c.Policies.Load()
		return cache, cache.ClientFor(protocol, addr)
	})
}

// startShared is Start with the way in which loops find who a packet is from.
func startShared(c Config, lookup func(netip.Addr) (*policy.Cache, *policy.Client)) (*Server, error) {
	if err := c.complete(); err != nil {
		return nil, fmt.Errorf("start RADIUS server: %w", err)
	}
	shared := &common{
		lookup: lookup,
		keys:   c.Keyring, mark: markOf(c.Cluster), logger: c.Logger, deadline: c.Deadline, life: c.DuplicateLife,
		logins: c.MaxLogins, records: c.MaxRecords, entries: c.MaxRequests, bytes: replyMemory,
	}
	s := &Server{auths: len(c.Authentication)}
	var listeners []loop.Listener
	for _, addr := range c.Authentication {
		listeners = append(listeners, loop.Listener{Name: "RADIUS authentication", Addr: addr, Setting: "radius-authentication"})
		shared.roles = append(shared.roles, roleAuthentication)
	}
	for _, addr := range c.Accounting {
		listeners = append(listeners, loop.Listener{Name: "RADIUS accounting", Addr: addr, Setting: "radius-accounting"})
		shared.roles = append(shared.roles, roleAccounting)
	}
	var err error
	s.loops, err = loop.Start(loop.Config{
		Listeners: listeners, Loops: c.Loops, Clock: c.Clock, Logger: c.Logger,
		NewHandler: func(l *loop.Loop) loop.Handler {
			stats := new(counters)
			s.mu.Lock()
			s.counts = append(s.counts, stats)
			s.mu.Unlock()
			return newHandler(shared, l, c.NewLane(), stats)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("start RADIUS server: %w", err)
	}
	return s, nil
}

func (c *Config) complete() error {
	switch {
	case len(c.Authentication)+len(c.Accounting) == 0:
		return errors.New("no address to listen on")
	case c.NewLane == nil:
		return errors.New("there is no engine")
	case c.DuplicateLife != 0 && (c.DuplicateLife < 5*time.Second || c.DuplicateLife > 30*time.Second):
		return fmt.Errorf("duplicate life %v is not within 5 to 30 s", c.DuplicateLife)
	}
	if c.DuplicateLife == 0 {
		c.DuplicateLife = 10 * time.Second
	}
	if c.Deadline <= 0 {
		c.Deadline = 5 * time.Second
	}
	if c.MaxLogins <= 0 {
		c.MaxLogins = 4096
	}
	if c.MaxRecords <= 0 {
		c.MaxRecords = 8192
	}
	if c.MaxRequests <= 0 {
		c.MaxRequests = 65536
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// markOf shortens a cluster's name to the mark that its Class attributes carry.
func markOf(cluster string) (m classMark) {
	sum := sha256.Sum256([]byte("radius/class/" + cluster))
	copy(m[:], sum[:])
	return m
}

// AuthenticationAddr returns the i-th authentication listener's address, with the port that the system chose.
func (s *Server) AuthenticationAddr(i int) netip.AddrPort { return s.loops.Addr(i) }

// AccountingAddr returns the i-th accounting listener's address, with the port that the system chose.
func (s *Server) AccountingAddr(i int) netip.AddrPort { return s.loops.Addr(s.auths + i) }

// Stats returns the counters. Any goroutine may call it.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return collect(s.counts)
}

// Sockets returns the counters of the sockets.
func (s *Server) Sockets() loop.Totals { return s.loops.Totals() }

// Done is closed when the server has ended, by Stop or because its loops failed; Err says which.
func (s *Server) Done() <-chan struct{} { return s.loops.Done() }

// Err returns why the server ended by itself, or nil.
func (s *Server) Err() error { return s.loops.Err() }

// Stop takes no new requests, answers those under way until ctx ends, and stops. It returns ctx's error if some were left.
func (s *Server) Stop(ctx context.Context) error {
	if err := s.loops.Stop(ctx); err != nil {
		return fmt.Errorf("stop RADIUS server: %w", err)
	}
	return nil
}
