// Package tacacs is the TACACS+ server (RFC 8907, and RFC 9887 within TLS): the sessions on the connections of package stream,
// decided by the engine. Package wire has the packets. DESIGN.md says why it is as it is.
package tacacs
