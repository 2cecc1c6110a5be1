package loop

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// sendSlots is how many replies a send batch holds before it leaves by itself.
	sendSlots = 128
	// maxSegments is how many replies the kernel cuts one message into at most (UDP_MAX_SEGMENTS of older kernels).
	maxSegments = 64
	// maxSegment is the longest reply that is sent as a segment, in bytes: segments must fit the way's MTU, which is 1280 at least
	// for IPv6 and hardly less for IPv4.
	maxSegment = 1200
	// maxMessage is the longest message, in bytes (65,535 less the headers of IPv4 and UDP).
	maxMessage = 65507
)

// sender collects replies and hands them to the kernel, many to a sendmmsg. Replies of one length from one socket to one address
// are one message that is cut into segments below (UDP_SEGMENT): the way through the kernel is then paid once for all of them.
// Its arrays are allocated once a loop.
type sender struct {
	data  []byte // the replies, one after the other
	used  int
	count int

	iovs    [sendSlots]unix.Iovec // of the replies, as they came
	message [sendSlots]uint8      // of each reply

	messages int
	sockets  [sendSlots]*Socket // of each message from here on
	names    [sendSlots]unix.RawSockaddrInet6
	lengths  [sendSlots]uint32 // of names
	parts    [sendSlots]uint8  // replies in it
	size     [sendSlots]uint16 // of its replies, in bytes
	latest   [64]uint8         // one more than the newest message, by a hash of its address and size

	ordered  [sendSlots]unix.Iovec // the replies, those of a message together
	controls [sendSlots]segmentSize
	hdrs     [sendSlots]mmsghdr // built for one socket at a time
	alone    [1]mmsghdr         // of a reply whose message could not be sent as one
}

// segmentSize is the control message that says where to cut.
type segmentSize struct {
	hdr  unix.Cmsghdr
	size uint16
	_    [6]byte // CMSG_SPACE rounds up
}

func newSender(size int) *sender {
	s := &sender{data: make([]byte, sendSlots/2*size)}
	for i := range s.controls {
		c := &s.controls[i].hdr
		c.Level, c.Type = unix.SOL_UDP, unix.UDP_SEGMENT
		c.SetLen(unix.SizeofCmsghdr + 2)
	}
	return s
}

// fits reports whether a reply of n bytes can be added without flushing first.
func (s *sender) fits(n int) bool { return s.count < sendSlots && s.used+n <= len(s.data) }

// add copies a reply into the batch; the caller has asked fits.
func (s *sender) add(socket *Socket, to netip.AddrPort, data []byte) {
	i, at := s.count, s.used
	s.used += copy(s.data[at:], data)
	s.iovs[i].Base = &s.data[at]
	s.iovs[i].SetLen(len(data))
	s.message[i] = s.messageFor(socket, to, len(data))
	s.count++
}

// messageFor returns the message that a reply is to be part of, a new one if need be.
func (s *sender) messageFor(socket *Socket, to netip.AddrPort, size int) uint8 {
	n := s.messages
	s.lengths[n] = encodeAddr(&s.names[n], to, socket.scope)
	newest := &s.latest[(int(to.Port())^size)%len(s.latest)]
	if m := *newest - 1; *newest > 0 && size <= maxSegment && s.sockets[m] == socket && int(s.size[m]) == size &&
		s.parts[m] < maxSegments && (int(s.parts[m])+1)*size <= maxMessage && s.names[m] == s.names[n] {
		s.parts[m]++
		return m
	}
	s.sockets[n], s.parts[n], s.size[n] = socket, 1, uint16(size)
	s.messages++
	*newest = uint8(s.messages)
	return uint8(n)
}

// flush sends the batch, socket by socket. It never blocks: what a full socket buffer refuses is dropped and counted, and so
// is what cannot be sent for another reason.
func (s *sender) flush(stats *Stats) {
	if s.count == 0 {
		return
	}
	var starts [sendSlots]uint8
	next := uint8(0)
	for m := range s.messages {
		starts[m] = next
		next += s.parts[m]
	}
	place := starts
	for i := range s.count {
		m := s.message[i]
		s.ordered[place[m]] = s.iovs[i]
		place[m]++
	}
	for first := range s.messages {
		socket := s.sockets[first]
		if socket == nil {
			continue
		}
		n := 0
		for m := first; m < s.messages; m++ {
			if s.sockets[m] == socket {
				s.sockets[m] = nil // sent
				s.compose(&s.hdrs[n].hdr, m, starts[m])
				n++
			}
		}
		s.transmit(socket.fd, s.hdrs[:n], stats)
	}
	s.count, s.used, s.messages = 0, 0, 0
	clear(s.latest[:])
}

// compose fills in the header of a message whose replies begin at the given place of ordered.
func (s *sender) compose(h *unix.Msghdr, m int, start uint8) {
	*h = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&s.names[m])), Namelen: s.lengths[m], Iov: &s.ordered[start]}
	h.SetIovlen(int(s.parts[m]))
	if s.parts[m] > 1 {
		s.controls[m].size = s.size[m]
		h.Control = (*byte)(unsafe.Pointer(&s.controls[m]))
		h.SetControllen(int(unsafe.Sizeof(s.controls[m])))
	}
}

// transmit sends messages from one socket. The calls are raw ones, see receiver.receive.
func (s *sender) transmit(fd int, hdrs []mmsghdr, stats *Stats) {
	for len(hdrs) > 0 {
		sent, errno := sendmmsg(fd, hdrs)
		switch {
		case errno == 0:
			for i := range sent {
				stats.Sent.Add(hdrs[i].hdr.Iovlen)
			}
			stats.SendCalls.Add(1)
			hdrs = hdrs[sent:]
		case errno == unix.EINTR:
		case errno == unix.EAGAIN || errno == unix.ENOBUFS:
			for i := range hdrs {
				stats.SendFull.Add(hdrs[i].hdr.Iovlen)
			}
			return
		case hdrs[0].hdr.Iovlen > 1: // some ways take no segments (IPsec, a small MTU): one by one then
			s.transmitParts(fd, &hdrs[0].hdr, stats)
			hdrs = hdrs[1:]
		default: // this one cannot be sent (unreachable, port 0, ...); the next may
			stats.SendFailed.Add(1)
			hdrs = hdrs[1:]
		}
	}
}

// transmitParts sends the replies of a message as messages of their own.
func (s *sender) transmitParts(fd int, h *unix.Msghdr, stats *Stats) {
	parts := unsafe.Slice(h.Iov, h.Iovlen)
	for i := range parts {
		s.alone[0].hdr = unix.Msghdr{Name: h.Name, Namelen: h.Namelen, Iov: &parts[i], Iovlen: 1}
		s.transmit(fd, s.alone[:], stats)
	}
}

// sendmmsg returns how many messages the kernel took.
func sendmmsg(fd int, hdrs []mmsghdr) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&hdrs[0])), uintptr(len(hdrs)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}
