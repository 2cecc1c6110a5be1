package server

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"unsafe"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// Echo sends every datagram back: gnet's loop with the socket drained by recvmmsg and answered by sendmmsg. It is what the
// machine allows a server that does nothing.
type Echo struct {
	*Process
	Addr netip.AddrPort
}

// StartEcho runs the given command, which must call ServeEcho with the address that is its last argument.
func StartEcho(ctx context.Context, cores string, command ...string) (*Echo, error) {
	addr, _, err := twoPorts()
	if err != nil {
		return nil, err
	}
	e := &Echo{Addr: addr}
	if e.Process, err = start(cores, nil, command[0], append(command[1:], addr.String())...); err != nil {
		return nil, err
	}
	port := fmt.Sprintf(":%04X ", addr.Port())
	return e, e.until(ctx, "start the echo", readyWithin, func() error { return contains("/proc/net/udp", port) })
}

const echoBatch = 64

type echoMessage struct {
	header unix.Msghdr
	length uint32
}

type echo struct {
	gnet.BuiltinEventEngine
	messages [echoBatch]echoMessage
	parts    [echoBatch]unix.Iovec
	names    [echoBatch]unix.RawSockaddrInet4
	data     [echoBatch][4096]byte
}

// ServeEcho serves until the process ends.
func ServeEcho(addr string) error {
	e := &echo{}
	for i := range e.messages {
		e.parts[i].Base = &e.data[i][0]
		e.messages[i].header.Iov = &e.parts[i]
		e.messages[i].header.SetIovlen(1)
		e.messages[i].header.Name = (*byte)(unsafe.Pointer(&e.names[i]))
	}
	if err := gnet.Run(e, "udp4://"+addr, gnet.WithNumEventLoop(1), gnet.WithSocketRecvBuffer(4<<20), gnet.WithSocketSendBuffer(4<<20)); err != nil {
		return fmt.Errorf("echo on %s: %w", addr, err)
	}
	return nil
}

// OnTraffic implements gnet.EventHandler.
func (e *echo) OnTraffic(c gnet.Conn) gnet.Action {
	first, err := c.Next(-1)
	if err != nil {
		return gnet.None
	}
	if _, err := c.Write(first); err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
	}
	for fd := uintptr(c.Fd()); ; {
		for i := range e.messages {
			e.messages[i].header.Namelen = unix.SizeofSockaddrInet4
			e.parts[i].SetLen(len(e.data[i]))
		}
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&e.messages[0])), echoBatch, unix.MSG_DONTWAIT, 0, 0)
		if errno != 0 {
			return gnet.None
		}
		for i := range n {
			e.parts[i].SetLen(int(e.messages[i].length))
		}
		for done := uintptr(0); done < n; {
			sent, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&e.messages[done])), n-done, unix.MSG_DONTWAIT, 0, 0)
			if errno != 0 {
				fmt.Fprintln(os.Stderr, "echo:", errno)
				break
			}
			done += sent
		}
		if n < echoBatch {
			return gnet.None
		}
	}
}
