// Package wire is the TACACS+ codec of the packet path, RFC 8907 and RFC 9887:
// a [Header] is read before its body is, a [Secret] takes the obfuscation off a
// body where it lies and puts it on, and [Pads] does so for many bodies side by
// side. The Parse functions lay views over a body without copying it, and a
// [Builder] writes a packet into its caller's buffer; both know all seven
// messages, those of the server and those of the client. [Sequence] holds the
// rules of a session's numbers, and [Diagnose] tells a wrong secret from a
// malformed packet. It allocates nothing per packet and knows no sockets: what a
// packet means, and what becomes of the connection, is the server's.
package wire
