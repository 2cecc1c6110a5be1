package loop

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// spread is added to the length of a receiver's buffers, so that not all of them begin in the same few lines of the processor's
// nearest cache.
const spread = 3 * 64

// mmsghdr is the kernel's struct mmsghdr.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// receiver holds the arrays that recvmmsg fills. They are allocated once a loop.
type receiver struct {
	size  int // of the longest datagram
	pitch int // from one buffer to the next
	data  []byte
	hdrs  [BatchSize]mmsghdr
	iovs  [BatchSize]unix.Iovec
	names [BatchSize]unix.RawSockaddrInet6
	used  int // how many of them the last call filled
}

func newReceiver(size int) *receiver {
	r := &receiver{size: size, pitch: size + spread}
	r.data = make([]byte, BatchSize*r.pitch)
	for i := range r.hdrs {
		r.iovs[i].Base = &r.data[i*r.pitch]
		r.iovs[i].SetLen(size)
		r.hdrs[i].hdr.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		r.hdrs[i].hdr.Iov = &r.iovs[i]
		r.hdrs[i].hdr.Namelen = unix.SizeofSockaddrInet6
		r.hdrs[i].hdr.SetIovlen(1)
	}
	return r
}

// receive takes what waits in the socket, at most most datagrams, without blocking. It returns how many there were. The call is a
// raw one: it cannot block, and for one that the runtime knows of it would take the processor away from the loop after some 20
// microseconds.
func (r *receiver) receive(fd, most int) (int, unix.Errno) {
	for i := range r.used {
		r.hdrs[i].hdr.Namelen = unix.SizeofSockaddrInet6
	}
	r.used = 0
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&r.hdrs[0])), uintptr(most), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			r.used = int(n)
			return r.used, 0
		case unix.EINTR:
			continue
		}
		return 0, errno
	}
}

// datagram returns the i-th datagram that the last receive took.
func (r *receiver) datagram(i int) Datagram {
	at, n := i*r.pitch, min(int(r.hdrs[i].len), r.size)
	return Datagram{decodeAddr(&r.names[i]), r.data[at : at+n : at+n]}
}

// decodeAddr reads a socket address of either family, without its zone: a link-local socket knows its own.
func decodeAddr(sa *unix.RawSockaddrInet6) netip.AddrPort {
	if sa.Family == unix.AF_INET {
		sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(sa4.Addr), networkPort(&sa4.Port))
	}
	return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), networkPort(&sa.Port))
}

// encodeAddr writes a socket address for a socket of the family that the address has.
func encodeAddr(sa *unix.RawSockaddrInet6, addr netip.AddrPort, scope uint32) (length uint32) {
	if addr.Addr().Is4() {
		sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		*sa4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: addr.Addr().As4()}
		setNetworkPort(&sa4.Port, addr.Port())
		return unix.SizeofSockaddrInet4
	}
	*sa = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: addr.Addr().As16()}
	if addr.Addr().IsLinkLocalUnicast() {
		sa.Scope_id = scope
	}
	setNetworkPort(&sa.Port, addr.Port())
	return unix.SizeofSockaddrInet6
}

func networkPort(p *uint16) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(p))[:])
}

func setNetworkPort(p *uint16, port uint16) {
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(p))[:], port)
}

// kernelDrops returns how many datagrams the kernel dropped at a socket because its receive buffer was full.
func kernelDrops(fd int) uint64 {
	var info [9]uint32
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 || uintptr(size) < unsafe.Sizeof(info) {
		return 0
	}
	return uint64(info[8])
}
