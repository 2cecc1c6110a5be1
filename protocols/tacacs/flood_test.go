package tacacs

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"trine/protocols/stream"
	"trine/protocols/tacacs/wire"
)

// TestHalfOpenConnectionsAreBoundedAndHonestDevicesAreServed opens 100,000 connections from a hundred addresses and says nothing on them, or half a packet.
// As many are open at a time as the files of this process allow, which has both ends of each.
func TestHalfOpenConnectionsAreBoundedAndHonestDevicesAreServed(t *testing.T) {
	const n = 100_000
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	most := min(65_536, (int(min(files.Cur, 1<<20))-1000)/2)
	if most < 1000 {
		t.Skipf("%d files may be open, and a thousand connections need 3,000 (ulimit -n)", files.Cur)
	}
	r := newRig(t, func(c *Config) {
		c.MaxConnections = most
		c.Timeouts = stream.Timeouts{FirstByte: time.Minute, Frame: time.Minute}
	})
	honest := r.dial("testing123")
	honest.flags = wire.SingleConnect
	serve := func(session uint32) {
		t.Helper()
		honest.authorize(session, "alice", "service=shell", "cmd=")
		honest.response(session, wire.AuthorPassAdd, "priv-lvl=15")
	}
	serve(0)
	held := heap()
	to := &unix.SockaddrInet4{Port: int(r.to.Port()), Addr: [4]byte{127, 0, 0, 1}}
	half := []byte{0xc0, 1, 1, 0, 0, 0, 0, 7, 0, 0, 0xff, 0xff, 'x'} // 65,535 bytes are announced
	fds := make([]int, 0, n)
	t.Cleanup(func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	})
	for i := range n {
		if over := len(fds) - most - 100; over >= 0 { // the server has closed it long ago
			_ = unix.Close(fds[0])
			fds = fds[1:]
		}
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		from := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 1, byte(1 + i%100)}}
		if err := unix.Bind(fd, from); err != nil {
			t.Fatal(err)
		}
		if err := unix.Connect(fd, to); err != nil {
			t.Fatal(err)
		}
		if i%2 == 1 {
			_, _ = unix.Write(fd, half) // it may have been closed already
		}
		if i%5_000 == 0 {
			serve(uint32(i))
		}
	}
	eventually(t, "all were accepted", func() bool {
		c := r.server.Connections()
		var ended uint64
		for _, count := range c.Ended {
			ended += count
		}
		return int(ended)+c.Open >= n
	})
	serve(1)
	another := r.dial("testing123") // the table is full
	another.start(1, wire.AuthenStart{Type: wire.TypePAP, User: []byte("alice"), Data: []byte("wonderland")})
	another.reply(1, wire.AuthenPass)
	c := r.server.Connections()
	each := (int64(heap()) - int64(held)) / int64(c.Open)
	t.Logf("%d connections are open, each holds %d bytes; %d made room for others, %d were too many of one address", c.Open, each, c.Ended[stream.Evicted], c.Ended[stream.RefusedClient])
	if c.Open > most || c.Open < most-100 || each > 1200 {
		t.Errorf("%d connections are open, and each holds %d bytes", c.Open, each)
	}
}

// heap returns the bytes that are in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers let go
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestEveryByteOfEveryPacketMayBeAnything changes each byte of sound packets to several others, in the header and in the body under the right secret.
// Whatever comes, it is answered or the connection ends, and others are served.
func TestEveryByteOfEveryPacketMayBeAnything(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Timeouts = stream.Timeouts{Frame: 100 * time.Millisecond, FirstByte: 100 * time.Millisecond}
		c.Patience = 20 * time.Millisecond
		c.MaxClient = 4096
	})
	d := r.dial("testing123")
	var packets [][]byte
	keep := func() { packets = append(packets, bytes.Clone(d.packet())) }
	for _, start := range proofs(t, "alice", "wonderland") {
		d.builder.AuthenStart(d.buf, header(wire.Authentication, wire.Version1, 1, 1, 0), &wire.AuthenStart{
			Action: wire.Login, Type: start.Type, Service: wire.ServiceLogin, User: start.User, Port: start.Port, RemAddr: start.RemAddr, Data: start.Data,
		})
		keep()
	}
	d.builder.AuthenStart(d.buf, header(wire.Authentication, wire.Version0, 1, 1, 0), &wire.AuthenStart{Action: wire.Login, Type: wire.TypeASCII, Service: wire.ServiceLogin, User: []byte("alice")})
	keep()
	d.builder.AuthorRequest(d.buf, header(wire.Authorization, wire.Version0, 1, 1, 0), &wire.AuthorRequest{Method: wire.MethodTACACSPlus, Type: wire.TypeASCII, Service: wire.ServiceLogin, User: []byte("bob"), Port: []byte("tty1")})
	for _, a := range []string{"service=shell", "cmd=show", "cmd-arg=version", "cmd-arg=<cr>"} {
		d.builder.Arg([]byte(a))
	}
	keep()
	d.builder.AcctRequest(d.buf, header(wire.Accounting, wire.Version0, 1, 1, 0), &wire.AcctRequest{Flags: wire.AcctStart, AuthorRequest: wire.AuthorRequest{Method: wire.MethodTACACSPlus, Type: wire.TypeASCII, Service: wire.ServiceLogin, User: []byte("bob")}})
	for _, a := range []string{"task_id=7", "start_time=1790000000", "service=shell"} {
		d.builder.Arg([]byte(a))
	}
	keep()
	_ = d.conn.Close()
	answered, ended := 0, 0
	for _, sound := range packets {
		for at := range sound {
			for _, value := range []byte{0, 1, 0x7f, 0xff, sound[at] ^ 1, byte(rand.Uint32())} {
				p := bytes.Clone(sound)
				if at < wire.HeaderLen {
					p[at] = value
				} else {
					d.secret.Obfuscate(p)
					p[at] = value
					d.secret.Obfuscate(p)
				}
				if r.provoke(p) {
					answered++
				} else {
					ended++
				}
			}
		}
	}
	t.Logf("%d were answered, and %d connections ended without an answer", answered, ended)
	if answered < 1000 || ended < 50 {
		t.Errorf("%d were answered, and %d connections ended without an answer", answered, ended)
	}
	if !r.logsIn("alice", "wonderland") {
		t.Error("nobody is served any more")
	}
	eventually(t, "nothing is left", func() bool { s := r.server.Stats(); return s.Sessions == 0 && s.Logins == 0 && s.Records == 0 })
}

// provoke sends bytes on a connection of their own, and reports whether a whole packet came back before it ended.
func (r *rig) provoke(p []byte) bool {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.to.String())
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(p); err != nil {
		return false
	}
	_ = conn.(*net.TCPConn).CloseWrite()
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	back, err := io.ReadAll(conn)
	if err != nil && len(back) == 0 {
		if e, ok := err.(net.Error); ok && e.Timeout() {
			r.t.Fatalf("neither an answer nor an end to %x", p)
		}
		return false
	}
	if len(back) == 0 {
		return false
	}
	if len(back) < wire.HeaderLen || len(back) != wire.HeaderLen+int(binary.BigEndian.Uint32(back[8:])) {
		r.t.Fatalf("%x came back to %x", back, p)
	}
	return true
}
