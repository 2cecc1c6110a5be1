package server

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/panjf2000/gnet/v2"
)

// StartMirror runs the given command, which must call ServeMirror with the address and the length that are its last arguments.
func StartMirror(ctx context.Context, cores string, answer int, command ...string) (*Echo, error) {
	addr, _, err := twoPorts()
	if err != nil {
		return nil, err
	}
	e := &Echo{Addr: addr}
	if e.Process, err = start(cores, nil, command[0], append(command[1:], addr.String(), fmt.Sprint(answer))...); err != nil {
		return nil, err
	}
	listening := fmt.Sprintf("0100007F:%04X 00000000:0000 0A", addr.Port()) // what has ended with that port stands there as well
	return e, e.until(ctx, "start the echo", readyWithin, func() error { return contains("/proc/net/tcp", listening) })
}

// mirror answers each packet of a connection, which has its length behind its twelve bytes of header as TACACS+ has it, with the first bytes of it:
// what the machine allows a server on connections that does nothing.
type mirror struct {
	gnet.BuiltinEventEngine
	answer int
	out    []byte
}

// ServeMirror serves until the process ends. Answer is the length of each answer in bytes, its header included.
func ServeMirror(addr string, answer int) error {
	if err := gnet.Run(&mirror{answer: answer}, "tcp4://"+addr, gnet.WithNumEventLoop(1), gnet.WithTCPNoDelay(gnet.TCPNoDelay)); err != nil {
		return fmt.Errorf("echo on %s: %w", addr, err)
	}
	return nil
}

// OnTraffic implements gnet.EventHandler.
func (m *mirror) OnTraffic(c gnet.Conn) gnet.Action {
	const header = 12
	m.out = m.out[:0]
	for c.InboundBuffered() >= header {
		head, err := c.Peek(header)
		if err != nil {
			break
		}
		size := header + int(binary.BigEndian.Uint32(head[8:]))
		if c.InboundBuffered() < size {
			break
		}
		packet, err := c.Next(size)
		if err != nil || size < m.answer {
			return gnet.Close
		}
		at := len(m.out)
		m.out = append(m.out, packet[:m.answer]...)
		binary.BigEndian.PutUint32(m.out[at+8:], uint32(m.answer-header))
	}
	if len(m.out) > 0 {
		if _, err := c.Write(m.out); err != nil {
			return gnet.Close
		}
	}
	return gnet.None
}
