package generator

import (
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	batch       = 64   // datagrams that one recvmmsg or sendmmsg takes at most
	maxDatagram = 4096 // bytes, RFC 2865 section 3
	bufferBytes = 8 << 20
	maxMessage  = 60000 // bytes that are sent as one
)

// message is the kernel's struct mmsghdr.
type message struct {
	header unix.Msghdr
	length uint32
}

// socket is a connected UDP socket with its arrays for recvmmsg and sendmmsg.
type socket struct {
	fd       int
	in, out  [batch]message
	inParts  [batch]unix.Iovec
	outParts [batch]unix.Iovec
	cuts     [batch]segmentSize
	queued   int
	data     [batch][maxDatagram]byte
}

// segmentSize is a control message UDP_SEGMENT: where the kernel cuts a message into datagrams.
type segmentSize struct {
	header unix.Cmsghdr
	size   uint16
	_      [6]byte // CMSG_SPACE rounds up
}

// dial opens a socket that sends to an IPv4 address and receives from there only.
func dial(to netip.AddrPort) (*socket, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	// As root the limits of the system on buffers do not hold; otherwise they do.
	for _, option := range []int{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF} {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, bufferBytes)
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("connect to %s: %w", to, err)
	}
	s := &socket{fd: fd}
	for i := range s.in {
		s.inParts[i].Base = &s.data[i][0]
		s.inParts[i].SetLen(maxDatagram)
		s.in[i].header.Iov = &s.inParts[i]
		s.in[i].header.SetIovlen(1)
		cut := &s.cuts[i].header
		cut.Level, cut.Type = unix.SOL_UDP, unix.UDP_SEGMENT
		cut.SetLen(unix.SizeofCmsghdr + 2)
	}
	return s, nil
}

// receive takes what has come, and returns how many datagrams that is.
func (s *socket) receive() (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.in[0])), batch, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, nil
		default:
			return 0, fmt.Errorf("receive: %w", errno)
		}
	}
}

// reply returns the i-th datagram of the last receive.
func (s *socket) reply(i int) []byte { return s.data[i][:min(s.in[i].length, maxDatagram)] }

// queue adds a datagram to those that flush will send, and flushes if there is no more room. The data is not copied.
func (s *socket) queue(data []byte, segment bool) error {
	s.outParts[s.queued].Base = &data[0]
	s.outParts[s.queued].SetLen(len(data))
	s.queued++
	if s.queued == batch {
		return s.flush(segment)
	}
	return nil
}

// flush sends what was queued; with segment, neighbours of one length as one message.
func (s *socket) flush(segment bool) error {
	messages := 0
	for from := 0; from < s.queued; {
		to := from + 1
		for segment && to < s.queued && s.outParts[to].Len == s.outParts[from].Len && uint64(to-from+1)*s.outParts[from].Len < maxMessage {
			to++
		}
		h := &s.out[messages].header
		*h = unix.Msghdr{Iov: &s.outParts[from]}
		h.SetIovlen(to - from)
		if to-from > 1 {
			s.cuts[messages].size = uint16(s.outParts[from].Len)
			h.Control = (*byte)(unsafe.Pointer(&s.cuts[messages]))
			h.SetControllen(int(unsafe.Sizeof(s.cuts[messages])))
		}
		messages++
		from = to
	}
	s.queued = 0
	for done := 0; done < messages; {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.out[done])), uintptr(messages-done), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			done += int(n)
		case unix.EINTR:
		case unix.EAGAIN:
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLOUT}}, 10); err != nil && err != unix.EINTR {
				return fmt.Errorf("wait to send: %w", err)
			}
		default:
			return fmt.Errorf("send: %w", errno)
		}
	}
	return nil
}

func (s *socket) close() { _ = unix.Close(s.fd) }
