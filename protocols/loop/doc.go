// Package loop runs the UDP event loops that the packet protocols share. Each loop is one goroutine with its own socket for
// every address (SO_REUSEPORT, flows hashed by source and destination), drains datagrams in batches, answers in batches, and
// owns the state of its handler, which therefore needs no lock. It knows no protocol: what a datagram means is the handler's.
package loop
