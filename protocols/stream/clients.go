package stream

import (
	"net/netip"
	"sync"
)

// clients counts the connections of each client over all loops.
type clients struct {
	mu   sync.Mutex
	open map[netip.Prefix]*client
}

// client is a client with connections; who has none is not kept.
type client struct {
	prefix      netip.Prefix
	connections int
}

// enter counts a connection, or returns nil if the client has as many as it may.
func (s *clients) enter(prefix netip.Prefix, limit int) *client {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.open[prefix]
	if c == nil {
		if limit <= 0 {
			return nil
		}
		c = &client{prefix: prefix}
		s.open[prefix] = c
	}
	if c.connections >= limit {
		return nil
	}
	c.connections++
	return c
}

func (s *clients) leave(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.connections--; c.connections == 0 {
		delete(s.open, c.prefix)
	}
}
