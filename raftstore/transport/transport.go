// Package transport carries raft's messages between nodes. Members are addressed by node id; where an id lives is looked up
// when it is dialled. A lone voter sends nothing, and gets the in-process transport.
package transport

import (
	"time"

	"github.com/hashicorp/raft"
)

// timeout bounds a call between in-process nodes.
const timeout = time.Second

// New returns an in-process transport for the node with an id. Nodes of one process reach each other after
// [raft.InmemTransport.Connect].
func New(id string) *raft.InmemTransport {
	_, t := raft.NewInmemTransportWithTimeout(raft.ServerAddress(id), timeout)
	return t
}
