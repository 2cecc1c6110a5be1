// Package listen opens the addresses of event loops: it reads them, binds them so that a port in use is refused, and explains in
// plain words what went wrong. What then listens at them is the loops'.
package listen
