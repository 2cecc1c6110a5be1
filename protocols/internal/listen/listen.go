package listen

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// Network is what a listener speaks.
type Network string

// The networks that loops listen on.
const (
	UDP Network = "udp"
	TCP Network = "tcp"
)

func (n Network) kind() int {
	if n == TCP {
		return unix.SOCK_STREAM
	}
	return unix.SOCK_DGRAM
}

// ErrPortInUse means that another process listens at an address.
var ErrPortInUse = errors.New("the address is in use by another process")

// Parse splits an address, host:port. The host is invalid (zero) where all of IPv4 and IPv6 is meant.
func Parse(addr string) (host netip.Addr, port uint16, err error) {
	h, p, err := net.SplitHostPort(addr)
	if err != nil {
		return netip.Addr{}, 0, fmt.Errorf("listen address %q: want host:port: %w", addr, err)
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return netip.Addr{}, 0, fmt.Errorf("listen address %q: want a port from 0 to 65535", addr)
	}
	if h == "" || h == "*" {
		return netip.Addr{}, uint16(n), nil
	}
	host, err = netip.ParseAddr(h)
	if err != nil {
		return netip.Addr{}, 0, fmt.Errorf("listen address %q: want an IP address, not a name: %w", addr, err)
	}
	return host.Unmap(), uint16(n), nil
}

// Bind binds an address exclusively and only then lets the loops' sockets join it (SO_REUSEPORT). It returns the socket and the
// port, which the system gives where the address has none.
func Bind(network Network, addr netip.AddrPort) (fd int, port uint16, err error) {
	family := unix.AF_INET6
	if addr.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, err = unix.Socket(family, network.kind()|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, 0, fmt.Errorf("open socket: %w", err)
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	if network == TCP {
		// What is left of connections to a process that ended does not hold the port; a socket that listens does.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return -1, 0, fmt.Errorf("pass over ended connections: %w", err)
		}
	}
	var sa unix.Sockaddr
	if family == unix.AF_INET {
		sa = &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	} else {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return -1, 0, fmt.Errorf("restrict socket to IPv6: %w", err)
		}
		sa6 := &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()}
		if zone := addr.Addr().Zone(); zone != "" {
			i, err := net.InterfaceByName(zone)
			if err != nil {
				return -1, 0, fmt.Errorf("find interface %s: %w", zone, err)
			}
			sa6.ZoneId = uint32(i.Index)
		}
		sa = sa6
	}
	if err := unix.Bind(fd, sa); err != nil {
		return -1, 0, fmt.Errorf("bind: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return -1, 0, fmt.Errorf("share the port among the loops: %w", err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		return -1, 0, fmt.Errorf("read the bound address: %w", err)
	}
	switch b := bound.(type) {
	case *unix.SockaddrInet4:
		port = uint16(b.Port)
	case *unix.SockaddrInet6:
		port = uint16(b.Port)
	}
	return fd, port, nil
}

// Explain says in plain words why a listener could not be opened: what listens, where, and what to do. Setting is the name of the
// setting that moves it, or nothing. The error wraps ErrPortInUse where another process has the port.
func Explain(network Network, name string, addr netip.AddrPort, setting string, err error) error {
	change := ""
	if setting != "" {
		change = ", or set " + setting + " to another address"
	}
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("%s: listen on %s (%s): %w: stop that process%s", name, addr, network, ErrPortInUse, change)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("%s: listen on %s (%s): this machine does not have that address: add it%s", name, addr, network, change)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("%s: listen on %s (%s): ports below 1024 need the capability CAP_NET_BIND_SERVICE: grant it%s", name, addr, network, change)
	}
	return fmt.Errorf("%s: listen on %s (%s): %w", name, addr, network, err)
}
