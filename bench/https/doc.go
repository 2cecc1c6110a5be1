// Package https drives a server over HTTP/1.1 within TLS: connections that stay open, each with somebody who does the same thing again and again, in a
// closed loop or at a rate. It reads answers with code of its own, which costs less than net/http's client, so that the server is the slower part.
package https
