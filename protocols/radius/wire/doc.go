// Package wire is the RADIUS codec of the packet path: a [View] lays an offset
// table over a received datagram without copying it, a [Secret] verifies and
// computes authenticators and hides attributes, and a [Builder] writes a packet
// into its caller's buffer. [Checks] and [Replies] do the digests of many packets
// side by side. It allocates nothing per packet and keeps no state
// between packets. It knows attributes by number only: names, data types and
// values are package dictionary's, and what a packet means is the server's.
package wire
