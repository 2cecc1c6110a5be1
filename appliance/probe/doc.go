// Package probe speaks to a RADIUS or TACACS+ server as a device does, for `trine radius test` and `trine tacacs test`: it asks
// what a device asks and tells what came back, by name. It is built on layeh.com/radius and nwaples/tacplus and not on the server's
// own codecs, so that what the two sides agree on is not one misunderstanding; only whether an answer is authentic and well formed
// is checked, and names are given, with what the server uses.
package probe
