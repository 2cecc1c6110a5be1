package network

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	mtu        = 16 << 10 // bytes of the longest packet
	queue      = 10_000   // packets that wait for this process
	prefixBits = 16       // of the network that all hosts are in
)

// Link is what happens to packets from one host to another.
type Link struct {
	Cut   bool
	Loss  float64       // share of the packets that are dropped, 0 to 1
	Delay time.Duration // by which packets come late
	Vary  time.Duration // and at most how much later; packets then overtake each other
}

// Network is hosts and what lies between them. Its methods can be called at the same time.
type Network struct {
	mu     sync.RWMutex
	hosts  map[netip.Addr]*Host
	links  map[[2]netip.Addr]Link
	random *rand.Rand // under mu held for writing, or by draw
	dice   sync.Mutex
}

// New returns a network without hosts. The seed decides which packets are lost.
func New(seed uint64) *Network {
	return &Network{hosts: map[netip.Addr]*Host{}, links: map[[2]netip.Addr]Link{}, random: rand.New(rand.NewPCG(seed, 1))}
}

// Missing returns what this process lacks for networks, nil if nothing.
func Missing() error {
	n := New(0)
	defer n.Close()
	_, err := n.Host(netip.AddrFrom4([4]byte{10, 77, 0, 1}))
	return err
}

// Host is a network namespace with one address, and a loopback device.
type Host struct {
	network *Network
	address netip.Addr
	device  *os.File
	work    chan func()
	once    sync.Once
}

// Host adds a host with an IPv4 address.
func (n *Network) Host(address netip.Addr) (*Host, error) {
	h := &Host{network: n, address: address, work: make(chan func())}
	ready := make(chan error)
	go h.live(ready)
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("make the host %s: %w", address, err)
	}
	n.mu.Lock()
	n.hosts[address] = h
	n.mu.Unlock()
	go h.forward()
	return h, nil
}

// Address returns the host's address.
func (h *Host) Address() netip.Addr { return h.address }

// Do runs f within the host: processes that it starts and sockets that it opens are there, and stay there.
func (h *Host) Do(f func() error) error {
	done := make(chan error)
	h.work <- func() { done <- f() }
	return <-done
}

// Close takes the host from the network. Its namespace is gone when the last process and socket in it is.
func (h *Host) Close() {
	h.once.Do(func() {
		h.network.mu.Lock()
		delete(h.network.hosts, h.address)
		h.network.mu.Unlock()
		h.device.Close()
		close(h.work)
	})
}

// Close closes all hosts.
func (n *Network) Close() {
	n.mu.Lock()
	var hosts []*Host
	for _, h := range n.hosts {
		hosts = append(hosts, h)
	}
	n.mu.Unlock()
	for _, h := range hosts {
		h.Close()
	}
}

// Set says what happens to packets from one address to another from now on.
func (n *Network) Set(from, to netip.Addr, l Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l == (Link{}) {
		delete(n.links, [2]netip.Addr{from, to})
		return
	}
	n.links[[2]netip.Addr{from, to}] = l
}

// Heal takes all that was set away.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.links)
}

// live is the host's thread: whatever it starts inherits the namespace. The thread ends with it, and is never one of the runtime's again.
func (h *Host) live(ready chan<- error) {
	runtime.LockOSThread()
	err := h.open()
	ready <- err
	if err != nil {
		return
	}
	for f := range h.work {
		f()
	}
}

func (h *Host) open() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make a network namespace (as root, or in a user namespace): %w", err)
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open /dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq("link")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return errors.Join(fmt.Errorf("make the device: %w", err), unix.Close(fd))
	}
	h.device = os.NewFile(uintptr(fd), "link")
	if err := configure(h.address); err != nil {
		return errors.Join(err, h.device.Close())
	}
	return nil
}

// configure gives the device its address and sets it and the loopback device up.
func configure(address netip.Addr) error {
	control, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	defer unix.Close(control)
	var mask [4]byte
	for i := range prefixBits {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	for _, step := range []struct {
		what, device string
		request      uint
		set          func(r *unix.Ifreq) error
	}{
		{"set the loopback device up", "lo", unix.SIOCSIFFLAGS, flags(unix.IFF_UP)},
		{"give the device its address", "link", unix.SIOCSIFADDR, func(r *unix.Ifreq) error { a := address.As4(); return r.SetInet4Addr(a[:]) }},
		{"give the device its mask", "link", unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr(mask[:]) }},
		{"set the longest packet", "link", unix.SIOCSIFMTU, number(mtu)},
		{"set the queue", "link", unix.SIOCSIFTXQLEN, number(queue)},
		{"set the device up", "link", unix.SIOCSIFFLAGS, flags(unix.IFF_UP)},
	} {
		r, err := unix.NewIfreq(step.device)
		if err == nil {
			err = step.set(r)
		}
		if err == nil {
			err = unix.IoctlIfreq(control, step.request, r)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

func flags(f uint16) func(*unix.Ifreq) error {
	return func(r *unix.Ifreq) error { r.SetUint16(f); return nil }
}

func number(n uint32) func(*unix.Ifreq) error {
	return func(r *unix.Ifreq) error { r.SetUint32(n); return nil }
}

const headerBytes = int(unsafe.Sizeof(ipv4{}))

// ipv4 is the fixed part of a packet's header (RFC 791 section 3.1).
type ipv4 struct {
	version, service    byte
	length, id, offset  [2]byte
	ttl, protocol       byte
	checksum            [2]byte
	source, destination [4]byte
}

// forward takes what the host sends until the device is closed.
func (h *Host) forward() {
	buffer := make([]byte, 64<<10)
	for {
		size, err := h.device.Read(buffer)
		if err != nil {
			return
		}
		if size < headerBytes || buffer[0]>>4 != 4 {
			continue // IPv6, which no host has an address of
		}
		header := (*ipv4)(unsafe.Pointer(&buffer[0]))
		h.network.pass(h.address, netip.AddrFrom4(header.destination), buffer[:size])
	}
}

// pass does with a packet what the link says.
func (n *Network) pass(from, to netip.Addr, packet []byte) {
	n.mu.RLock()
	host, l := n.hosts[to], n.links[[2]netip.Addr{from, to}]
	n.mu.RUnlock()
	late := l.Delay
	if l.Loss > 0 || l.Vary > 0 {
		n.dice.Lock()
		lost := n.random.Float64() < l.Loss
		if l.Vary > 0 {
			late += rand.N(l.Vary)
		}
		n.dice.Unlock()
		l.Cut = l.Cut || lost
	}
	switch {
	case host == nil || l.Cut:
	case late > 0:
		own := append([]byte(nil), packet...)
		time.AfterFunc(late, func() { _, _ = host.device.Write(own) }) // a host that is gone receives nothing
	default:
		_, _ = host.device.Write(packet)
	}
}
