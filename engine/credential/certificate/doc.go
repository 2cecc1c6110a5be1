// Package certificate verifies one factor: a client certificate, as a TLS peer presented it or as a trusted proxy passes it on in a
// header. It says whether the certificate leads to a trusted root, is valid, meant for client authentication and not revoked, and which
// user it names. It terminates no TLS, opens no connection (what it needs from the network comes through a Fetcher) and knows no users.
package certificate
