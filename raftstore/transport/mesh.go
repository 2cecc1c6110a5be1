package transport

import (
	"context"
	"net"
)

// Service is what a stream between two nodes is for. Over TLS it is the protocol that ALPN picks (RFC 7301).
type Service string

// The services that nodes offer each other.
const (
	// ServiceRaft carries raft's own messages.
	ServiceRaft Service = "trine-raft/1"
	// ServiceLog carries what a follower's store asks of the others: proposals, barriers, members, digests, history.
	ServiceLog Service = "trine-log/1"
)

// Mesh carries streams between the nodes of a cluster. Each end of a stream has proved which node it is, and that it is one of this
// cluster.
type Mesh interface {
	// Dial opens a stream for a service to the node with a number, at an address that its name is resolved from now. It fails when
	// somebody else answers there.
	Dial(ctx context.Context, node uint64, address string, service Service) (net.Conn, error)
	// Handle sets who serves the streams of a service that others open; serve owns the stream, and is called on a goroutine of its own. Until then, and
	// after serve is set to nil, such streams are refused.
	Handle(service Service, serve func(from uint64, stream net.Conn))
	// Address returns where others reach this node, HOST:PORT.
	Address() string
}
