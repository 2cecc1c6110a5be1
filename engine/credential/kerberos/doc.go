// Package kerberos verifies one factor: a Kerberos ticket, as a browser sends it in an Authorization header (SPNEGO, RFC 4559). It holds a service's
// keys, accepts a ticket once, says whose it is and which user that names, and proves the service to the client in return. It talks to no
// KDC, reads no authorization data (PAC), accepts no delegated credentials, and protects no messages after the login.
package kerberos
