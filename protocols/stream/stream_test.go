package stream

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"trine/protocols/loop"
)

// The protocol of the tests: a command, a byte that is not used, the length of the frame. 'e' is answered with itself, 'l' with itself from another
// goroutine once it is let go, 't' with itself by a timer, 'b' with a frame of maxFrame bytes, 'c' with itself and then the end, 'h' with itself when
// the loop drains.
const (
	frameHeader = 4
	maxFrame    = 4096
)

func framing() Framing {
	return Framing{Header: frameHeader, Max: maxFrame, Length: func(h []byte) int { return int(binary.BigEndian.Uint16(h[2:])) }}
}

func frame(command byte, body string) []byte {
	f := []byte{command, 0, 0, 0}
	binary.BigEndian.PutUint16(f[2:], uint16(frameHeader+len(body)))
	return append(f, body...)
}

// talker is the protocol on one loop, and what it saw.
type talker struct {
	*watch
	loop    *Loop
	mail    *loop.Mailbox[answer]
	timed   []answer
	held    []answer
	pending int
	big     []byte
}

type answer struct {
	to   Handle
	data []byte
}

// watch is what the test sees of all loops.
type watch struct {
	admit   func(netip.AddrPort) Admission
	letGo   chan struct{} // late answers wait for it
	longest atomic.Int64  // frames in a batch
	dropped atomic.Int64  // late answers whose connection was gone
	open    atomic.Int64

	mu      sync.Mutex
	causes  []Cause
	errs    []error
	remotes []netip.AddrPort
	common  []string // of the certificates
}

func (t *talker) Open(c *Conn) Admission {
	t.mu.Lock()
	t.remotes = append(t.remotes, c.Remote())
	t.mu.Unlock()
	a := t.admit(c.Remote())
	c.State = new(int)
	return a
}

func (t *talker) Frames(c *Conn, frames [][]byte) {
	t.longest.Store(max(t.longest.Load(), int64(len(frames))))
	n := c.State.(*int)
	if *n == 0 {
		t.open.Add(1)
		if s := c.TLS(); s != nil {
			t.mu.Lock()
			t.common = append(t.common, s.PeerCertificates[0].Subject.CommonName)
			t.mu.Unlock()
		}
	}
	for _, f := range frames {
		*n++
		switch a := (answer{c.Handle(), bytes.Clone(f)}); f[0] {
		case 'e':
			c.Write(f)
		case 'l':
			t.pending++
			go func() {
				<-t.letGo
				t.mail.Put(a)
			}()
		case 't':
			t.timed = append(t.timed, a)
			t.loop.After(20*time.Millisecond, uint64(len(t.timed)-1))
		case 'b':
			c.Write(t.big)
		case 'c':
			c.Write(f)
			c.Close()
		case 'h':
			t.pending++
			t.held = append(t.held, a)
		}
	}
}

func (t *talker) Closed(c *Conn, cause Cause) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.causes = append(t.causes, cause)
	t.errs = append(t.errs, c.Err())
	if t.loop.Conn(c.Handle()) != nil {
		t.causes = append(t.causes, open) // a handle that outlives its connection
	}
	c.Write([]byte("does nothing"))
	c.Close()
}

func (t *talker) Wake() {
	for _, a := range t.mail.Take() {
		t.pending--
		t.answer(a)
	}
}

func (t *talker) answer(a answer) {
	if c := t.loop.Conn(a.to); c != nil {
		c.Write(a.data)
	} else {
		t.dropped.Add(1)
	}
}

func (t *talker) Expired(token uint64) { t.answer(t.timed[token]) }
func (t *talker) EndBatch()            {}
func (t *talker) Pending() int         { return t.pending }
func (t *talker) Drain() {
	for _, a := range t.held {
		if string(a.data[frameHeader:]) != "for ever" {
			t.pending--
			t.answer(a)
		}
	}
}

// network admits a client for each /24.
func network(limit int) func(netip.AddrPort) Admission {
	return func(from netip.AddrPort) Admission {
		p, err := from.Addr().Prefix(24)
		if err != nil {
			return Admission{}
		}
		return Admission{Client: p, Limit: limit}
	}
}

func start(t testing.TB, c Config) (*Engine, *watch) {
	t.Helper()
	return startFor(t, c, network(1<<20))
}

func startFor(t testing.TB, c Config, admit func(netip.AddrPort) Admission) (*Engine, *watch) {
	t.Helper()
	w := &watch{admit: admit, letGo: make(chan struct{}, 1<<16)}
	if c.Loops == 0 {
		c.Loops = 2
	}
	if c.Listeners == nil {
		c.Listeners = []Listener{{Name: "test", Addr: "127.0.0.1:0"}}
	}
	c.Framing = framing()
	c.NewHandler = func(l *Loop) Handler {
		h := &talker{watch: w, loop: l, big: frame('b', string(make([]byte, maxFrame-frameHeader)))}
		h.mail = loop.NewMailbox[answer](l)
		return h
	}
	e, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		select {
		case <-e.Done():
		default:
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_ = e.Stop(ctx)
		}
	})
	return e, w
}

func dial(t testing.TB, e *Engine) *net.TCPConn { return dialFrom(t, e, "127.0.0.1") }

func dialFrom(t testing.TB, e *Engine, source string) *net.TCPConn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}, Timeout: 5 * time.Second, KeepAlive: -1}
	c, err := d.Dial("tcp", e.Addr(0).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c.(*net.TCPConn)
}

func send(t testing.TB, c io.Writer, data ...[]byte) {
	t.Helper()
	if _, err := c.Write(bytes.Join(data, nil)); err != nil {
		t.Fatal(err)
	}
}

func expect(t testing.TB, c io.Reader, want ...[]byte) {
	t.Helper()
	all := bytes.Join(want, nil)
	got := make([]byte, len(all))
	if n, err := io.ReadFull(c, got); err != nil {
		t.Fatalf("%d of %d bytes: %v", n, len(got), err)
	}
	if !bytes.Equal(got, all) {
		t.Fatalf("got %.100q, want %.100q", got, all)
	}
}

func expectEnd(t testing.TB, c io.Reader) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("read %d bytes and %v, want the end", n, err)
	}
}

// eventually waits until something holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// ends waits until as many connections have ended for a cause, and nothing is left of them.
func ends(t testing.TB, e *Engine, cause Cause, n uint64) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		total := e.Totals()
		if total.Ended[cause] == n {
			return
		}
		if time.Now().After(deadline) {
			for c, n := range total.Ended {
				if n > 0 {
					t.Logf("%d ended for %v", n, Cause(c))
				}
			}
			t.Fatalf("%d connections ended for %v, want %d", total.Ended[cause], cause, n)
		}
	}
}

func TestFramesSplitAtEveryByteComeWhole(t *testing.T) {
	e, _ := start(t, Config{})
	c := dial(t, e)
	message := bytes.Join([][]byte{frame('e', ""), frame('e', "hello"), frame('e', "again")}, nil)
	for split := 1; split < len(message); split++ {
		before := e.Totals().BytesIn
		send(t, c, message[:split])
		eventually(t, "the first part arrives", func() bool { return e.Totals().BytesIn == before+uint64(split) })
		send(t, c, message[split:])
		expect(t, c, message)
	}
	for i := range message {
		before := e.Totals().BytesIn
		send(t, c, message[i:i+1])
		eventually(t, "the byte arrives", func() bool { return e.Totals().BytesIn == before+1 })
	}
	expect(t, c, message)
	if n := e.Totals(); n.Frames != uint64(3*len(message)) || n.Accepted != 1 || n.Open != 1 {
		t.Fatalf("totals %+v", n)
	}
}

func TestFramesThatCameTogetherAreHandedOverTogether(t *testing.T) {
	e, w := start(t, Config{})
	c := dial(t, e)
	const n = 5000
	var all []byte
	for i := range n {
		all = append(all, frame('e', string(binary.BigEndian.AppendUint32(nil, uint32(i))))...)
	}
	go func() { _, _ = c.Write(all) }()
	expect(t, c, all)
	if total := e.Totals(); total.Frames != n || total.Batches >= n || total.BytesIn != uint64(len(all)) {
		t.Fatalf("totals %+v", total)
	}
	if longest := w.longest.Load(); longest < 2 || longest > BatchSize {
		t.Fatalf("the longest batch has %d frames", longest)
	}
}

func TestLengthsThatAreRefusedCloseAfterTheFramesBefore(t *testing.T) {
	for name, tc := range map[string]struct {
		bad   []byte
		split int
	}{
		"below the header":          {bad: []byte{'e', 0, 0, 3}},
		"above the longest":         {bad: []byte{'e', 0, 0x10, 1}},
		"zero":                      {bad: []byte{'e', 0, 0, 0}},
		"above the longest, in two": {bad: []byte{'e', 0, 0xff, 0xff}, split: 2},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := start(t, Config{})
			c := dial(t, e)
			good := frame('e', "good")
			if tc.split > 0 {
				send(t, c, good, tc.bad[:tc.split])
				expect(t, c, good)
				send(t, c, tc.bad[tc.split:])
			} else {
				send(t, c, good, tc.bad, good)
				expect(t, c, good)
			}
			expectEnd(t, c)
			_ = c.Close()
			ends(t, e, FrameMalformed, 1)
		})
	}
}

func TestClientThatNeverReadsIsClosed(t *testing.T) {
	for name, tc := range map[string]struct {
		limits   Limits
		timeouts Timeouts
		want     Cause
	}{
		"too much waits":  {Limits{Outbound: 64 << 10}, Timeouts{}, OutboundFull},
		"for a long time": {Limits{Outbound: 1 << 30}, Timeouts{Write: 50 * time.Millisecond}, WriteSlow},
	} {
		t.Run(name, func(t *testing.T) {
			e, w := start(t, Config{Limits: tc.limits, Timeouts: tc.timeouts})
			c := dial(t, e)
			ask := bytes.Repeat(frame('b', ""), 100)
			for e.Totals().Ended[tc.want] == 0 {
				if _, err := c.Write(ask); err != nil {
					break
				}
				time.Sleep(time.Millisecond)
			}
			ends(t, e, tc.want, 1)
			honest := dial(t, e)
			send(t, honest, frame('e', "x"))
			expect(t, honest, frame('e', "x"))
			w.mu.Lock()
			defer w.mu.Unlock()
			if len(w.causes) != 1 || w.causes[0] != tc.want {
				t.Fatalf("the handler was told %v", w.causes)
			}
		})
	}
}

func TestAnswersOfOneCallAreBounded(t *testing.T) {
	e, _ := start(t, Config{Limits: Limits{Outbound: 64 << 10}})
	c := dial(t, e)
	send(t, c, bytes.Repeat(frame('b', ""), BatchSize))
	ends(t, e, OutboundFull, 1)
}

func TestClientThatAsksMuchAtOnceIsAnswered(t *testing.T) {
	e, _ := start(t, Config{Limits: Limits{Outbound: 300 << 10}})
	c := dial(t, e)
	const n = 4 * BatchSize // 1 MiB of answers to one read, which the kernel takes
	send(t, c, bytes.Repeat(frame('b', ""), n))
	if _, err := io.ReadFull(c, make([]byte, n*maxFrame)); err != nil {
		t.Fatal(err)
	}
}

func TestClientThatReadsSlowlyGetsEverything(t *testing.T) {
	e, _ := start(t, Config{Limits: Limits{Outbound: 64 << 20}, Timeouts: Timeouts{Write: 5 * time.Second}})
	c := dial(t, e)
	const n = 4000 // 16 MB, more than the kernel keeps
	go func() { _, _ = c.Write(append(bytes.Repeat(frame('b', ""), n), frame('c', "end")...)) }()
	eventually(t, "everything is answered", func() bool { return e.Totals().Frames == n+1 })
	time.Sleep(50 * time.Millisecond) // for the kernel to take what it can
	got, err := io.ReadAll(c)
	if want := n*maxFrame + len(frame('c', "end")); err != nil || len(got) != want {
		t.Fatalf("%d bytes of %d: %v", len(got), want, err)
	}
	_ = c.Close()
	ends(t, e, ClosedByHandler, 1)
}

func TestSilenceHasItsEnd(t *testing.T) {
	short := 40 * time.Millisecond
	for name, tc := range map[string]struct {
		timeouts Timeouts
		say      []byte
		want     Cause
	}{
		"nothing came":          {Timeouts{FirstByte: short}, nil, SilentAtFirst},
		"half a header":         {Timeouts{Frame: short}, []byte{'e', 0}, FrameSlow},
		"half a frame":          {Timeouts{Frame: short}, frame('e', "hello")[:7], FrameSlow},
		"a frame, then half":    {Timeouts{Frame: short}, append(frame('e', "x"), 'e'), FrameSlow},
		"a frame, then nothing": {Timeouts{Idle: short}, frame('e', "x"), Idle},
		"it does not close":     {Timeouts{Linger: short}, frame('c', "x"), ClosedByHandler},
	} {
		t.Run(name, func(t *testing.T) {
			for _, other := range []*time.Duration{&tc.timeouts.FirstByte, &tc.timeouts.Frame, &tc.timeouts.Idle, &tc.timeouts.Linger} {
				if *other == 0 {
					*other = time.Hour
				}
			}
			e, _ := start(t, Config{Timeouts: tc.timeouts})
			c := dial(t, e)
			if tc.say != nil {
				send(t, c, tc.say)
			}
			ends(t, e, tc.want, 1)
			if n := e.Totals().Open; n != 0 {
				t.Fatalf("%d connections are open", n)
			}
		})
	}
}

func TestSlowWriterCannotExtendHisTime(t *testing.T) {
	e, _ := start(t, Config{Timeouts: Timeouts{FirstByte: time.Hour, Frame: 60 * time.Millisecond}})
	c := dial(t, e)
	for _, b := range frame('e', string(make([]byte, 2000))) {
		if _, err := c.Write([]byte{b}); err != nil {
			break
		}
		if time.Sleep(5 * time.Millisecond); e.Totals().Ended[FrameSlow] > 0 {
			break
		}
	}
	ends(t, e, FrameSlow, 1)
}

func TestLateAnswersReachTheirConnectionAndNoOther(t *testing.T) {
	e, w := start(t, Config{Loops: 1})
	c := dial(t, e)
	send(t, c, frame('l', "1"), frame('l', "2"))
	eventually(t, "it is heard", func() bool { return e.Totals().Frames == 2 })
	w.letGo <- struct{}{}
	w.letGo <- struct{}{}
	got := make([]byte, 10)
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	send(t, c, frame('t', "timed"))
	expect(t, c, frame('t', "timed"))

	send(t, c, frame('l', "3"))
	eventually(t, "it is heard", func() bool { return e.Totals().Frames == 4 })
	_ = c.Close()
	ends(t, e, ClosedByPeer, 1)
	next := dial(t, e) // in the same slot
	send(t, next, frame('e', "x"))
	expect(t, next, frame('e', "x"))
	w.letGo <- struct{}{}
	eventually(t, "the late answer is dropped", func() bool { return w.dropped.Load() == 1 })
	send(t, next, frame('e', "y"))
	expect(t, next, frame('e', "y"))
}

func TestEndLeavesAfterWhatWasWritten(t *testing.T) {
	e, _ := start(t, Config{})
	c := dial(t, e)
	// What follows the end is not read by anybody; a reset would take the answers back.
	ask := bytes.Join([][]byte{bytes.Repeat(frame('b', ""), 20), frame('c', "bye"), bytes.Repeat(frame('e', "more"), 50_000)}, nil)
	go func() { _, _ = c.Write(ask) }()
	got, err := io.ReadAll(c)
	if want := 20*maxFrame + 7; err != nil || len(got) != want || !bytes.HasSuffix(got, frame('c', "bye")) {
		t.Fatalf("%d bytes of %d: %v", len(got), want, err)
	}
	_ = c.Close()
	ends(t, e, ClosedByHandler, 1)
}

func TestLimitsRefuseTheNewest(t *testing.T) {
	for name, tc := range map[string]struct {
		limits Limits
		admit  func(netip.AddrPort) Admission
		files  int
		want   Cause
	}{
		"in all":   {Limits{Connections: 3}, network(100), 0, RefusedFull},
		"a client": {Limits{}, network(3), 0, RefusedClient},
		"a stranger": {Limits{}, func(a netip.AddrPort) Admission {
			if a.Addr() == netip.MustParseAddr("127.0.0.7") {
				return Admission{}
			}
			return network(100)(a)
		}, 0, RefusedStranger},
		"descriptors": {Limits{}, network(100), 1, RefusedDescriptors},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := startFor(t, Config{Limits: tc.limits, files: tc.files}, tc.admit)
			n := 3
			if tc.files > 0 {
				n = 0
			}
			var before []*net.TCPConn
			for range n {
				c := dial(t, e)
				send(t, c, frame('e', "x"))
				expect(t, c, frame('e', "x"))
				before = append(before, c)
			}
			late := dialFrom(t, e, "127.0.0.7")
			if k, err := late.Read(make([]byte, 1)); k > 0 || err == nil {
				t.Fatal("the newest was served")
			}
			ends(t, e, tc.want, 1)
			for _, c := range before {
				send(t, c, frame('e', "y"))
				expect(t, c, frame('e', "y"))
			}
			if n == 0 {
				return
			}
			_ = before[0].Close() // makes room
			ends(t, e, ClosedByPeer, 1)
			c := dial(t, e)
			send(t, c, frame('e', "z"))
			expect(t, c, frame('e', "z"))
			if total := e.Totals(); total.Open != 3 || total.Accepted != 4 {
				t.Fatalf("totals %+v", total)
			}
		})
	}
}

func TestEveryListenerAnswersOnBothFamilies(t *testing.T) {
	for _, tc := range []struct {
		listen string
		hosts  []string
	}{
		{"127.0.0.1:0", []string{"127.0.0.1"}},
		{"[::1]:0", []string{"::1"}},
		{"0.0.0.0:0", []string{"127.0.0.1", "127.0.0.2"}},
		{"[::]:0", []string{"::1"}},
		{":0", []string{"127.0.0.1", "127.0.0.2", "::1"}},
	} {
		t.Run(tc.listen, func(t *testing.T) {
			e, w := start(t, Config{Listeners: []Listener{{Name: "test", Addr: tc.listen}}})
			for _, host := range tc.hosts {
				at := netip.AddrPortFrom(netip.MustParseAddr(host), e.Addr(0).Port())
				c, err := net.Dial("tcp", at.String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(5 * time.Second))
				send(t, c, frame('e', "x"))
				expect(t, c, frame('e', "x"))
				w.mu.Lock()
				from := w.remotes[len(w.remotes)-1]
				w.mu.Unlock()
				if from.String() != c.LocalAddr().String() {
					t.Fatalf("the handler saw %v, the client is %v", from, c.LocalAddr())
				}
			}
		})
	}
}

func TestPortInUseIsRefused(t *testing.T) {
	for name, option := range map[string]int{"plainly": 0, "shared": unix.SO_REUSEPORT} {
		t.Run(name, func(t *testing.T) {
			lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
				if option != 0 {
					return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, 1) })
				}
				return nil
			}}
			other, err := lc.Listen(t.Context(), "tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			_, err = Start(Config{
				Listeners:  []Listener{{Name: "tacacs", Addr: other.Addr().String(), Setting: "tacacs-listen"}},
				Framing:    framing(),
				NewHandler: func(*Loop) Handler { return new(talker) },
			})
			if !errors.Is(err, ErrPortInUse) || !bytes.Contains([]byte(err.Error()), []byte("tacacs-listen")) || !bytes.Contains([]byte(err.Error()), []byte("(tcp)")) {
				t.Fatalf("error is %v", err)
			}
		})
	}
	t.Run("by another engine", func(t *testing.T) {
		e, _ := start(t, Config{})
		_, err := Start(Config{
			Listeners: []Listener{{Addr: e.Addr(0).String()}}, Framing: framing(), NewHandler: func(*Loop) Handler { return new(talker) },
		})
		if !errors.Is(err, ErrPortInUse) {
			t.Fatalf("error is %v", err)
		}
	})
}

func TestPortIsFreeAgainAfterStop(t *testing.T) {
	e, _ := start(t, Config{})
	at := e.Addr(0).String()
	c := dial(t, e)
	send(t, c, frame('e', "x"))
	expect(t, c, frame('e', "x"))
	if err := e.Stop(t.Context()); err != nil { // closes first, so that the address remembers the connection
		t.Fatal(err)
	}
	again, _ := start(t, Config{Listeners: []Listener{{Addr: at}}})
	c = dial(t, again)
	send(t, c, frame('e', "x"))
	expect(t, c, frame('e', "x"))
}

func TestBadConfigurationsAreNamed(t *testing.T) {
	good := func() Config {
		return Config{Listeners: []Listener{{Name: "x", Addr: "127.0.0.1:0"}}, Framing: framing(), NewHandler: func(*Loop) Handler { return new(talker) }}
	}
	for name, spoil := range map[string]func(*Config){
		"no listener":   func(c *Config) { c.Listeners = nil },
		"no address":    func(c *Config) { c.Listeners[0].Addr = "" },
		"a name":        func(c *Config) { c.Listeners[0].Addr = "localhost:49" },
		"no such port":  func(c *Config) { c.Listeners[0].Addr = "127.0.0.1:70000" },
		"not ours":      func(c *Config) { c.Listeners[0].Addr = "198.51.100.77:0" },
		"no framing":    func(c *Config) { c.Framing.Length = nil },
		"no header":     func(c *Config) { c.Framing.Header = 0 },
		"short longest": func(c *Config) { c.Framing.Max = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			c := good()
			spoil(&c)
			e, err := Start(c)
			if err == nil {
				_ = e.Stop(t.Context())
				t.Fatal("it was taken")
			}
			t.Log(err)
		})
	}
}
