// Package radius is the RADIUS server (RFC 2865, 2866, 2869, 3579, 5080, 5997): it reads requests, checks that they come from
// whom they say, brings them to the engine, and renders the engine's decision. It decides nothing about people. The codec is in
// package wire, names of attributes are in package dictionary, sockets and loops are package loop's.
package radius
