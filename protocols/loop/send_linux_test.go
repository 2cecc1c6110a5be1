package loop

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// place is a UDP socket on loopback.
type place struct {
	conn   *net.UDPConn
	addr   netip.AddrPort
	socket *Socket
}

func newPlace(t testing.TB, host string) *place { return newPlaceAt(t, host, 0) }

func newPlaceAt(t testing.TB, host string, port uint16) *place {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(host), Port: int(port)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetReadBuffer(4 << 20)
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	p := &place{conn: conn, addr: plain(conn.LocalAddr().(*net.UDPAddr).AddrPort())}
	// The descriptor outlives the call because the socket does.
	_ = raw.Control(func(fd uintptr) { p.socket = &Socket{fd: int(fd)} })
	return p
}

// next returns the next datagram that arrived and who sent it.
func (p *place) next(t testing.TB) ([]byte, netip.AddrPort) {
	t.Helper()
	buf := make([]byte, 1<<16)
	_ = p.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, from, err := p.conn.ReadFromUDPAddrPort(buf)
	if err != nil {
		t.Fatalf("no datagram: %v", err)
	}
	return buf[:n], plain(from)
}

// nothing fails if something is left. What was sent on loopback has arrived when the call returns.
func (p *place) nothing(t testing.TB) {
	t.Helper()
	if n, _, err := unix.Recvfrom(p.socket.fd, make([]byte, 1<<16), unix.MSG_DONTWAIT); err == nil {
		t.Fatalf("one datagram too many, of %d bytes", n)
	}
}

// text is a reply that no other resembles.
func text(number, size int) []byte {
	b := bytes.Repeat([]byte{byte(number), byte(number >> 8)}, size/2+1)[:size]
	if size >= 8 {
		binary.BigEndian.PutUint32(b, uint32(number))
		binary.BigEndian.PutUint32(b[size-4:], uint32(number))
	}
	return b
}

func TestRepliesOfOneLengthToOneAddressLeaveAsOneMessage(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		for _, size := range []int{1, 20, 100, 1023} {
			t.Run(fmt.Sprintf("%s, %d bytes", host, size), func(t *testing.T) {
				a, b := newPlace(t, host), newPlace(t, host)
				s := newSender(4096)
				var stats Stats
				for i := range maxSegments {
					s.add(a.socket, b.addr, text(i, size))
				}
				if s.messages != 1 {
					t.Fatalf("%d messages", s.messages)
				}
				s.flush(&stats)
				if stats.Sent.Load() != maxSegments || stats.SendCalls.Load() != 1 || stats.SendFailed.Load()+stats.SendFull.Load() != 0 {
					t.Fatalf("%d sent by %d calls, %d failed", stats.Sent.Load(), stats.SendCalls.Load(), stats.SendFailed.Load())
				}
				for i := range maxSegments {
					got, from := b.next(t)
					if !bytes.Equal(got, text(i, size)) || from != a.addr {
						t.Fatalf("reply %d is %x from %v", i, got, from)
					}
				}
				b.nothing(t)
			})
		}
	}
}

func TestMessagesStayWithinWhatTheKernelTakes(t *testing.T) {
	a, b := newPlace(t, "127.0.0.1"), newPlace(t, "127.0.0.1")
	for _, tc := range []struct{ size, count, messages int }{
		{100, maxSegments + 1, 2},                 // more segments than one message may have
		{maxSegment, 60, 2},                       // more bytes: 54 of 1,200 fit
		{maxSegment + 1, 5, 5},                    // a segment that may pass an MTU
		{4096, 3, 3},                              //
		{100, sendSlots, sendSlots / maxSegments}, // all that a sender holds
	} {
		s := newSender(4096)
		var stats Stats
		for i := range tc.count {
			if !s.fits(tc.size) {
				t.Fatalf("%d of %d bytes do not fit", tc.count, tc.size)
			}
			s.add(a.socket, b.addr, text(i, tc.size))
		}
		if s.messages != tc.messages {
			t.Errorf("%d replies of %d bytes are %d messages, want %d", tc.count, tc.size, s.messages, tc.messages)
		}
		s.flush(&stats)
		for i := range tc.count {
			if got, _ := b.next(t); !bytes.Equal(got, text(i, tc.size)) {
				t.Fatalf("reply %d of %d bytes is %d bytes", i, tc.size, len(got))
			}
		}
		b.nothing(t)
		if stats.Sent.Load() != uint64(tc.count) {
			t.Errorf("%d counted of %d", stats.Sent.Load(), tc.count)
		}
	}
}

func TestMixedRepliesArriveRight(t *testing.T) {
	from := []*place{newPlace(t, "127.0.0.1"), newPlace(t, "127.0.0.1"), newPlace(t, "::1")}
	to := []*place{newPlace(t, "127.0.0.1"), newPlace(t, "127.0.0.1"), newPlace(t, "127.0.0.1"), newPlace(t, "::1"), newPlace(t, "::1")}
	to = append(to, newPlaceAt(t, "127.0.0.2", to[0].addr.Port()))                        // which shares a place in latest
	sizes := []int{8, 9, 100, 100, 100, 101, 164, maxSegment, maxSegment + 1, 2000, 4096} // 100 and 164 share one too
	r := rand.New(rand.NewPCG(5, 5))
	s := newSender(4096)
	var stats Stats
	type flow struct{ from, to, size int }
	for batch := range 200 {
		sent := make(map[flow][]int)
		total := make([]int, len(to))
		for number := range 1 + r.IntN(sendSlots) {
			f := flow{r.IntN(len(from)), r.IntN(len(to)), sizes[r.IntN(len(sizes))]}
			if from[f.from].addr.Addr().Is4() != to[f.to].addr.Addr().Is4() || !s.fits(f.size) {
				continue
			}
			s.add(from[f.from].socket, to[f.to].addr, text(number, f.size))
			sent[f] = append(sent[f], number)
			total[f.to]++
		}
		s.flush(&stats)
		for i, p := range to {
			for range total[i] {
				got, sender := p.next(t)
				f := flow{-1, i, len(got)}
				for j := range from {
					if from[j].addr == sender {
						f.from = j
					}
				}
				// Replies of one length to one address keep their order.
				if len(sent[f]) == 0 || !bytes.Equal(got, text(sent[f][0], f.size)) {
					t.Fatalf("batch %d: %d bytes from %v to %v: not what was sent next", batch, len(got), sender, p.addr)
				}
				sent[f] = sent[f][1:]
			}
			p.nothing(t)
		}
	}
	if stats.SendFailed.Load()+stats.SendFull.Load() != 0 || stats.SendCalls.Load() > 200*uint64(len(from)) {
		t.Errorf("%d calls, %d failed, %d refused", stats.SendCalls.Load(), stats.SendFailed.Load(), stats.SendFull.Load())
	}
}

// narrow puts the calling test into a network of its own, whose loopback takes packets of mtu bytes.
func narrow(t *testing.T, mtu int) {
	t.Helper()
	runtime.LockOSThread() // for ever: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("needs a network namespace: %v", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	request.SetUint32(uint32(mtu))
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFMTU, request); err != nil {
		t.Fatalf("set the MTU of loopback: %v", err)
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		t.Fatalf("bring loopback up: %v", err)
	}
}

func TestRepliesLeaveOneByOneWhereTheWayTakesNoSegments(t *testing.T) {
	const size, count = 1000, 20
	narrow(t, 600)
	a, b := newPlace(t, "127.0.0.1"), newPlace(t, "127.0.0.1")
	s := newSender(4096)
	var stats Stats
	var long, short [count][]byte // only these fit
	for i := range count {
		long[i], short[i] = text(i, size), text(i, 100)
	}
	fill := func() {
		for i := range count {
			s.add(a.socket, b.addr, long[i])
		}
		for i := range count {
			s.add(a.socket, b.addr, short[i])
		}
	}
	fill()
	if s.messages != 2 {
		t.Fatalf("%d messages", s.messages)
	}
	s.flush(&stats)
	if stats.Sent.Load() != 2*count || stats.SendFailed.Load() != 0 || stats.SendCalls.Load() != count+1 {
		t.Fatalf("%d sent by %d calls, %d failed", stats.Sent.Load(), stats.SendCalls.Load(), stats.SendFailed.Load())
	}
	for _, want := range slices.Concat(long[:], short[:]) {
		if got, _ := b.next(t); !bytes.Equal(got, want) {
			t.Fatalf("a reply of %d bytes arrived as %d", len(want), len(got))
		}
	}
	b.nothing(t)
	if n := testing.AllocsPerRun(20, func() {
		fill()
		s.flush(&stats)
	}); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}

func TestSegmentSizeIsTheKernelsControlMessage(t *testing.T) {
	if got, want := int(unsafe.Sizeof(segmentSize{})), unix.CmsgSpace(2); got != want {
		t.Errorf("%d bytes, want %d", got, want)
	}
}
