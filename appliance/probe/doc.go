// Package probe speaks to a RADIUS server as a device does, for `trine radius test`: it sends one login and tells what came
// back, by name. It is built on layeh.com/radius and not on the server's own codec, so that what the two agree on is not one
// misunderstanding; only the answer's signature is checked, and named, with what the server uses.
package probe
