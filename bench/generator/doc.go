// Package generator loads a UDP server with requests that were built before, and measures how long the answers take. It knows no protocol
// but the place of the RADIUS Identifier: what a request is, and whether an answer is a good one, is the Load's to say.
//
// A request belongs to a slot: a pair of a socket and an Identifier, on which one request is under way at a time. In the closed loop a
// number of slots is kept under way; in the open loop requests are due at a fixed rate, whether or not the server keeps up.
package generator
