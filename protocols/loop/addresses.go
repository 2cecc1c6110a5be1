package loop

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"trine/protocols/internal/listen"
)

// wanted lists the addresses that should be bound now, with port 0 where the system has not chosen yet.
func (e *Engine) wanted() (bindings []binding, wildcard bool, err error) {
	var local []netip.Addr
	for i, l := range e.config.Listeners {
		host, port, err := listen.Parse(l.Addr)
		if err != nil {
			return nil, false, fmt.Errorf("%s: %w", l.Name, err)
		}
		if given := e.port(i); given != 0 {
			port = given
		}
		if host.IsValid() && !host.IsUnspecified() {
			bindings = append(bindings, binding{i, netip.AddrPortFrom(host, port), false})
			continue
		}
		wildcard = true
		if local == nil {
			if local, err = e.config.addresses(); err != nil {
				return nil, false, fmt.Errorf("list this machine's addresses for %s: %w", l.Name, err)
			}
		}
		for _, a := range local {
			if !host.IsValid() || host.Is4() == a.Is4() {
				bindings = append(bindings, binding{i, netip.AddrPortFrom(a, port), true})
			}
		}
	}
	return distinct(bindings), wildcard, nil
}

// distinct leaves out what a wildcard stands for where the address is asked for by itself too.
func distinct(bindings []binding) []binding {
	asked := make(map[netip.AddrPort]bool)
	for _, b := range bindings {
		if !b.wildcard && b.addr.Port() != 0 {
			asked[b.addr] = true
		}
	}
	return slices.DeleteFunc(bindings, func(b binding) bool { return b.wildcard && asked[b.addr] })
}

// localAddresses returns the unicast addresses of the interfaces, link-local ones with their zone.
func localAddresses() ([]netip.Addr, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var addrs []netip.Addr
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		list, err := i.Addrs()
		if err != nil {
			continue // it went away meanwhile
		}
		for _, a := range list {
			prefix, ok := a.(*net.IPNet)
			if !ok {
				continue
			}
			addr, ok := netip.AddrFromSlice(prefix.IP)
			addr = addr.Unmap()
			if !ok || addr.IsMulticast() || addr.IsUnspecified() {
				continue
			}
			if addr.Is6() && addr.IsLinkLocalUnicast() {
				addr = addr.WithZone(i.Name)
			}
			addrs = append(addrs, addr)
		}
	}
	return addrs, nil
}

// probe is a plainly bound socket that holds an address until the loops' own sockets are open.
type probe struct{ fd int }

func closeProbes(probes []*probe) {
	for _, p := range probes {
		if p.fd >= 0 {
			_ = unix.Close(p.fd)
			p.fd = -1
		}
	}
}

// probe binds every address without SO_REUSEPORT, so that an address in use is refused, and learns the ports that the system
// gives. An address that a wildcard stands for and that does not exist (any more) is left out.
func (e *Engine) probe(wanted []binding) (probes []*probe, bindings []binding, err error) {
	defer func() {
		if err != nil {
			closeProbes(probes)
			probes = nil
		}
	}()
	for _, b := range wanted {
		if port := e.port(b.listener); b.addr.Port() == 0 && port != 0 {
			b.addr = netip.AddrPortFrom(b.addr.Addr(), port)
		}
		fd, port, err := listen.Bind(listen.UDP, b.addr)
		if b.wildcard && errors.Is(err, unix.EADDRNOTAVAIL) {
			continue // it is tentative, or went away meanwhile: the next poll tries again
		}
		if err != nil {
			l := e.config.Listeners[b.listener]
			return probes, nil, listen.Explain(listen.UDP, l.Name, b.addr, l.Setting, err)
		}
		probes = append(probes, &probe{fd})
		e.ports[b.listener].Store(uint32(port))
		b.addr = netip.AddrPortFrom(b.addr.Addr(), port)
		bindings = append(bindings, b)
	}
	if len(bindings) == 0 {
		return probes, nil, errors.New("open packet listeners: this machine has none of the configured addresses")
	}
	return probes, bindings, nil
}

// follow looks for addresses that came and went, until the engine stops.
func (e *Engine) follow() {
	tick := time.NewTicker(e.config.AddressPoll)
	defer tick.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-tick.C:
			e.followOnce()
		}
	}
}

// followOnce opens sockets for addresses that came, and stops added groups all of whose addresses are gone.
func (e *Engine) followOnce() {
	wanted, _, err := e.wanted()
	if err != nil {
		e.config.Logger.Warn("cannot follow address changes", slog.Any("error", err))
		return
	}
	present := make(map[binding]bool, len(wanted))
	var added []binding
	e.mu.Lock()
	for _, b := range wanted {
		present[b] = true
		if _, ok := e.bound[b]; !ok {
			added = append(added, b)
		}
	}
	var gone []*group
	kept := e.groups[:0:0]
	for _, g := range e.groups {
		if g.permanent || g.serves(present) {
			kept = append(kept, g)
			continue
		}
		gone = append(gone, g)
		for _, b := range g.bindings {
			delete(e.bound, b)
		}
	}
	e.groups = kept
	e.mu.Unlock()
	for _, g := range gone {
		g.stop()
		for _, b := range g.bindings {
			e.config.Logger.Info("stopped listening on an address that is gone", slog.String("listener", e.config.Listeners[b.listener].Name), slog.String("address", b.addr.String()))
		}
	}
	if len(added) == 0 {
		return
	}
	g, err := e.open(added)
	if err != nil {
		e.config.Logger.Warn("cannot listen on a new address; will try again", slog.Any("error", err))
		return
	}
	for _, b := range g.bindings {
		e.config.Logger.Info("listening on a new address", slog.String("listener", e.config.Listeners[b.listener].Name), slog.String("address", b.addr.String()))
	}
}

// serves reports whether one of the group's addresses still exists.
func (g *group) serves(present map[binding]bool) bool {
	for _, b := range g.bindings {
		if present[b] {
			return true
		}
	}
	return false
}
