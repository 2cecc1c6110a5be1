// Package packets builds the RADIUS requests that the benchmarks send, and verifies the answers. It shares no code with the server, so
// that neither can cover up for the other.
package packets
