// Package devices is the load of TACACS+: packets that are built before the clock starts, and the connections that carry them. The code is the
// benchmark's own: it shares none with the server.
package devices
