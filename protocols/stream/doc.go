// Package stream runs the TCP event loops that the packet protocols share, with or without TLS 1.3 on them. A loop owns its
// connections and the state of its handler, which therefore needs no lock; it cuts what comes into whole frames, hands over those
// that came together, and sends what was answered in one piece. It bounds connections, memory and time. It knows no protocol: what
// a frame is long, and what it means, is the protocol's.
package stream
