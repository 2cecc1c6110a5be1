package loop

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// echo answers what it gets. A datagram that begins with 'l' is answered late, from another goroutine; one that begins with
// 't' by a timer; one that begins with '!' is held until drained.
type echo struct {
	loop    *Loop
	mail    *Mailbox[late]
	timers  []late
	pending int
	wakes   *atomic.Int64
	held    []late
}

type late struct {
	s    *Socket
	from netip.AddrPort
	data []byte
}

func (e *echo) Packets(s *Socket, batch []Datagram) {
	for _, d := range batch {
		e.packet(s, d.From, d.Data)
	}
}

func (e *echo) packet(s *Socket, from netip.AddrPort, data []byte) {
	l := late{s, from, append([]byte(nil), data...)}
	switch data[0] {
	case 'l':
		e.pending++
		go e.mail.Put(l)
	case 't':
		e.timers = append(e.timers, l)
		e.loop.After(20*time.Millisecond, uint64(len(e.timers)-1))
	case '!':
		e.pending++
		e.held = append(e.held, l)
	default:
		e.loop.Send(s, from, data)
	}
}

func (e *echo) Wake() {
	e.wakes.Add(1)
	for _, l := range e.mail.Take() {
		e.pending--
		e.loop.Send(l.s, l.from, l.data)
	}
}

func (e *echo) Expired(token uint64) {
	l := e.timers[token]
	e.loop.Send(l.s, l.from, l.data)
}

func (e *echo) EndBatch(bool) {}

func (e *echo) Drain() {
	for _, l := range e.held {
		if string(l.data) != "! for ever" {
			go e.mail.Put(l)
		}
	}
}

func (e *echo) Pending() int { return e.pending }

func startEcho(t *testing.T, c Config) (*Engine, *atomic.Int64) {
	t.Helper()
	wakes := new(atomic.Int64)
	c.Loops = 2
	c.NewHandler = func(l *Loop) Handler {
		e := &echo{loop: l, wakes: wakes}
		e.mail = NewMailbox[late](l)
		return e
	}
	e, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = e.Stop(ctx)
	})
	return e, wakes
}

func dial(t *testing.T, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func ask(t *testing.T, c *net.UDPConn, text string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	var buf [4096]byte
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, err := c.Read(buf[:])
	if err != nil {
		t.Fatalf("no answer to %q: %v", text, err)
	}
	if string(buf[:n]) != text {
		t.Fatalf("answer to %q is %q", text, buf[:n])
	}
}

func TestEveryListenerAnswersOnBothFamilies(t *testing.T) {
	e, _ := startEcho(t, Config{Listeners: []Listener{{Name: "a", Addr: "127.0.0.1:0"}, {Name: "b", Addr: "[::1]:0"}}})
	for i := range 2 {
		if e.Addr(i).Port() == 0 {
			t.Fatalf("listener %d has no port", i)
		}
		for range 20 { // other source ports, so other loops
			ask(t, dial(t, e.Addr(i)), "hello")
		}
	}
	deadline := time.Now().Add(5 * time.Second) // an answer can be here before it is counted
	for e.Totals().Sent < 40 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if n := e.Totals(); n.Received != 40 || n.Sent != 40 || n.Sockets < 2 {
		t.Fatalf("totals %+v", n)
	}
}

func TestABurstIsAnsweredCompletely(t *testing.T) {
	e, _ := startEcho(t, Config{Listeners: []Listener{{Addr: "127.0.0.1:0"}}})
	const n = 1000
	c := dial(t, e.Addr(0))
	_ = c.SetReadBuffer(4 << 20)
	for i := range n {
		if _, err := c.Write(binary.BigEndian.AppendUint32([]byte{0}, uint32(i))); err != nil {
			t.Fatal(err)
		}
	}
	seen := make(map[uint32]bool)
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	for range n {
		var buf [16]byte
		k, err := c.Read(buf[:])
		if err != nil {
			t.Fatalf("%d of %d answers: %v", len(seen), n, err)
		}
		seen[binary.BigEndian.Uint32(buf[1:k])] = true
	}
	if len(seen) != n {
		t.Fatalf("%d different answers of %d", len(seen), n)
	}
}

func TestLateAndTimedAnswersComeBack(t *testing.T) {
	e, wakes := startEcho(t, Config{Listeners: []Listener{{Addr: "127.0.0.1:0"}}})
	c := dial(t, e.Addr(0))
	for range 5 {
		ask(t, c, "late")
	}
	before := time.Now()
	ask(t, c, "timed")
	if d := time.Since(before); d < 20*time.Millisecond {
		t.Fatalf("the timer fired after %v, before its time", d)
	}
	if wakes.Load() == 0 {
		t.Fatal("nothing woke the loop")
	}
}

func TestWildcardAnswersFromTheAddressThatWasAsked(t *testing.T) {
	addrs := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("::1")}
	for _, tc := range []struct {
		listen string
		want   []string
	}{
		{":0", []string{"127.0.0.1", "127.0.0.2", "::1"}},
		{"0.0.0.0:0", []string{"127.0.0.1", "127.0.0.2"}},
		{"[::]:0", []string{"::1"}},
	} {
		t.Run(tc.listen, func(t *testing.T) {
			e, _ := startEcho(t, Config{
				Listeners: []Listener{{Addr: tc.listen}},
				addresses: func() ([]netip.Addr, error) { return addrs, nil },
			})
			for _, a := range tc.want { // a connected socket takes answers from the asked address only
				ask(t, dial(t, netip.AddrPortFrom(netip.MustParseAddr(a), e.Addr(0).Port())), "hello")
			}
			if n := len(e.bound); n != len(tc.want) {
				t.Fatalf("%d addresses are bound, want %d", n, len(tc.want))
			}
		})
	}
}

func TestAddressChangesAreFollowed(t *testing.T) {
	var addrs atomic.Pointer[[]netip.Addr]
	set := func(list ...string) {
		var l []netip.Addr
		for _, a := range list {
			l = append(l, netip.MustParseAddr(a))
		}
		addrs.Store(&l)
	}
	set("127.0.0.1")
	e, _ := startEcho(t, Config{
		Listeners:   []Listener{{Addr: "0.0.0.0:0"}},
		AddressPoll: time.Hour,
		addresses:   func() ([]netip.Addr, error) { return *addrs.Load(), nil },
	})
	at := func(a string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(a), e.Addr(0).Port()) }
	set("127.0.0.1", "127.0.0.9")
	e.followOnce()
	ask(t, dial(t, at("127.0.0.9")), "hello")
	ask(t, dial(t, at("127.0.0.1")), "hello")
	set("127.0.0.1")
	e.followOnce()
	if len(e.groups) != 1 || len(e.bound) != 1 {
		t.Fatalf("%d groups and %d addresses remain", len(e.groups), len(e.bound))
	}
	set("127.0.0.1", "127.0.0.9")
	e.followOnce()
	ask(t, dial(t, at("127.0.0.9")), "back again")
}

func TestPortInUseIsRefused(t *testing.T) {
	for _, reuse := range []bool{false, true} {
		t.Run(fmt.Sprintf("the other shares ports: %v", reuse), func(t *testing.T) {
			lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
				var err error
				if reuse {
					_ = c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
				}
				return err
			}}
			other, err := lc.ListenPacket(context.Background(), "udp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			_, err = Start(Config{Listeners: []Listener{{Name: "radius authentication", Addr: other.LocalAddr().String(), Setting: "radius.authentication"}}})
			if !errors.Is(err, ErrPortInUse) {
				t.Fatalf("error is %v", err)
			}
			t.Log(err)
		})
	}
}

func TestSecondEngineIsRefused(t *testing.T) {
	e, _ := startEcho(t, Config{Listeners: []Listener{{Addr: "127.0.0.1:0"}}})
	_, err := Start(Config{Listeners: []Listener{{Addr: e.Addr(0).String()}}})
	if !errors.Is(err, ErrPortInUse) {
		t.Fatalf("error is %v", err)
	}
}

func TestBadListenAddressesAreNamed(t *testing.T) {
	for _, addr := range []string{"", "127.0.0.1", "localhost:1812", "127.0.0.1:70000", "[::1:1812", "198.51.100.77:0"} {
		if _, err := Start(Config{Listeners: []Listener{{Name: "x", Addr: addr}}}); err == nil {
			t.Errorf("%q was taken", addr)
		}
	}
}

func TestStopWaitsForAnswersUnderWay(t *testing.T) {
	e, _ := startEcho(t, Config{Listeners: []Listener{{Addr: "127.0.0.1:0"}}})
	c := dial(t, e.Addr(0))
	ask(t, c, "x")
	if _, err := c.Write([]byte("! hold")); err != nil {
		t.Fatal(err)
	}
	for e.Totals().Received < 2 {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := e.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(time.Second))
	var buf [16]byte
	if n, err := c.Read(buf[:]); err != nil || string(buf[:n]) != "! hold" {
		t.Fatalf("the held answer was lost: %q, %v", buf[:n], err)
	}
	<-e.Done()
	if e.Err() != nil {
		t.Fatal(e.Err())
	}
}

func TestStopGivesUpWithItsContext(t *testing.T) {
	e, _ := startEcho(t, Config{Listeners: []Listener{{Addr: "127.0.0.1:0"}}})
	c := dial(t, e.Addr(0))
	ask(t, c, "x")
	if _, err := c.Write([]byte("! for ever")); err != nil {
		t.Fatal(err)
	}
	for e.Totals().Received < 2 {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if err := e.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error is %v", err)
	}
}

func TestMailboxWakesOnceForABatch(t *testing.T) {
	w := new(countingWaker)
	m := NewMailbox[int](w)
	for round := range 3 {
		for i := range 10 {
			m.Put(i)
		}
		if got := m.Take(); len(got) != 10 || got[9] != 9 {
			t.Fatalf("took %v", got)
		}
		if w.n != round+1 {
			t.Fatalf("%d wakes after %d batches", w.n, round+1)
		}
	}
	if n := testing.AllocsPerRun(100, func() { m.Put(1); m.Take() }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

type countingWaker struct{ n int }

func (w *countingWaker) Wake() { w.n++ }

func TestBatchesAllocateNothing(t *testing.T) {
	a, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	raw, err := a.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		var stats Stats
		r, s := newReceiver(4096), newSender(4096)
		socket := &Socket{fd: int(fd)}
		self := a.LocalAddr().(*net.UDPAddr).AddrPort()
		data := make([]byte, 100)
		got := 0
		n := testing.AllocsPerRun(50, func() {
			for range 32 {
				s.add(socket, self, data)
			}
			s.flush(&stats)
			n, _ := r.receive(int(fd), BatchSize)
			for i := range n {
				if d := r.datagram(i); d.From == self && len(d.Data) == 100 {
					got++
				}
			}
		})
		if n != 0 {
			t.Errorf("%v allocations a batch", n)
		}
		if got != 51*32 {
			t.Errorf("%d datagrams came back", got)
		}
	})
}

func TestAddressThatIsNotThereIsLeftOutOfAWildcardOnly(t *testing.T) {
	here, gone := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("198.51.100.77")
	e, _ := startEcho(t, Config{
		Listeners: []Listener{{Addr: "0.0.0.0:0"}},
		addresses: func() ([]netip.Addr, error) { return []netip.Addr{here, gone}, nil },
	})
	ask(t, dial(t, netip.AddrPortFrom(here, e.Addr(0).Port())), "hello")
	_, err := Start(Config{
		Listeners: []Listener{{Addr: "0.0.0.0:0"}, {Name: "asked for", Addr: "198.51.100.77:0"}},
		addresses: func() ([]netip.Addr, error) { return []netip.Addr{here}, nil },
	})
	if !errors.Is(err, unix.EADDRNOTAVAIL) && (err == nil || !strings.Contains(err.Error(), "asked for")) {
		t.Fatalf("error is %v", err)
	}
}
