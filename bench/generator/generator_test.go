package generator

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// fakeLoad is requests of four bytes: a target, the Identifier, and a number.
type fakeLoad struct {
	n, slots int
	once     bool
}

func (l *fakeLoad) Request(i int) []byte {
	return []byte{byte(l.Target(i)), byte(i % l.slots % 256), byte(i >> 8), byte(i)}
}
func (l *fakeLoad) Len() int         { return l.n }
func (l *fakeLoad) Slots() int       { return l.slots }
func (l *fakeLoad) Once() bool       { return l.once }
func (l *fakeLoad) Target(i int) int { return i / l.slots % 2 }

func (l *fakeLoad) Check(i int, reply []byte) error {
	if string(reply) != string(l.Request(i)) {
		return errors.New("not what was sent")
	}
	return nil
}

// peer answers datagrams as a test says.
type peer struct {
	conn *net.UDPConn
	mu   sync.Mutex
	seen map[string]int
}

func newPeer(t *testing.T, answer func(p *peer, data []byte, times int) []byte) (*peer, netip.AddrPort) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadBuffer(4 << 20)
	p := &peer{conn: conn, seen: map[string]int{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var buf [64]byte
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf[:])
			if err != nil {
				return
			}
			p.mu.Lock()
			p.seen[string(buf[:n])]++
			times := p.seen[string(buf[:n])]
			p.mu.Unlock()
			if reply := answer(p, buf[:n], times); reply != nil {
				_, _ = conn.WriteToUDPAddrPort(reply, from)
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return p, conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

func echo(_ *peer, data []byte, _ int) []byte { return data }

func drive(t *testing.T, l *fakeLoad, o Options, addresses ...netip.AddrPort) *Result {
	t.Helper()
	g, err := New(l, addresses...)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	r, err := g.Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEachRequestIsSentOnceToItsTarget(t *testing.T) {
	a, addrA := newPeer(t, echo)
	b, addrB := newPeer(t, echo)
	for _, o := range []Options{{Window: 64}, {Rate: 50_000}, {Window: 64, Segments: true}} {
		clear(a.seen)
		clear(b.seen)
		o.Duration = time.Minute
		l := &fakeLoad{n: 3000, slots: 300, once: true}
		r := drive(t, l, o, addrA, addrB)
		// It ends when one slot has no more; what is under way then is answered, but not counted.
		if !r.Exhausted || r.Wrong != 0 || r.Lost != 0 || r.Sent < l.n/2 || r.Answered > r.Sent || r.Answered < r.Sent-l.slots {
			t.Errorf("%+v: %+v", o, r)
		}
		if r.Latency.TotalCount() != int64(r.Answered) {
			t.Errorf("%d latencies of %d answers", r.Latency.TotalCount(), r.Answered)
		}
		total := 0
		for target, p := range []*peer{a, b} {
			for request, times := range p.seen {
				if int(request[0]) != target || times > 1+r.Repeated {
					t.Errorf("%x came %d times to %d", request, times, target)
				}
				total++
			}
		}
		if total != r.Sent {
			t.Errorf("%d different requests came, %d were sent", total, r.Sent)
		}
	}
}

func TestWindowIsKept(t *testing.T) {
	var mu sync.Mutex
	var held [][]byte
	most := 0
	_, addr := newPeer(t, func(p *peer, data []byte, times int) []byte {
		mu.Lock()
		defer mu.Unlock()
		if times == 1 {
			held = append(held, append([]byte(nil), data...))
		}
		most = max(most, len(held))
		return nil
	})
	g, err := New(&fakeLoad{n: 1000, slots: 100}, addr, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if _, err := g.Run(context.Background(), Options{Duration: 50 * time.Millisecond, Window: 7}); err == nil {
		t.Error("a server that never answers is no error")
	}
	mu.Lock()
	defer mu.Unlock()
	if most != 7 {
		t.Errorf("%d requests were under way, want 7", most)
	}
}

func TestLostRequestsAreSentAgainAndCountFromTheFirstTime(t *testing.T) {
	_, addr := newPeer(t, func(_ *peer, data []byte, times int) []byte {
		if times == 1 && data[3] == 5 {
			return nil
		}
		return data
	})
	r := drive(t, &fakeLoad{n: 200, slots: 200}, Options{Duration: 1500 * time.Millisecond, Window: 10}, addr, addr)
	if r.Repeated == 0 || r.Latency.Max() < int64(time.Second) {
		t.Errorf("%d sent again, longest %v", r.Repeated, time.Duration(r.Latency.Max()))
	}
}

func TestWrongAnswersDoNotCount(t *testing.T) {
	_, addr := newPeer(t, func(_ *peer, data []byte, times int) []byte {
		if data[3] == 3 && times == 1 {
			return []byte{data[0], data[1], 99, 99}
		}
		return data
	})
	r := drive(t, &fakeLoad{n: 200, slots: 200, once: true}, Options{Duration: 3 * time.Second, Window: 10}, addr, addr)
	if r.Wrong != 1 || r.FirstBad == nil || r.Repeated == 0 {
		t.Errorf("%+v", r)
	}
}

// TestOpenLoopCountsWhatWaited stops the server for a while: every request that was due meanwhile must show it, whether it was sent
// or had no slot.
func TestOpenLoopCountsWhatWaited(t *testing.T) {
	const pause, rate, slots = 400 * time.Millisecond, 2000, 50
	var once sync.Once
	_, addr := newPeer(t, func(_ *peer, data []byte, _ int) []byte {
		once.Do(func() { time.Sleep(pause) })
		return data
	})
	r := drive(t, &fakeLoad{n: 10000, slots: slots}, Options{Duration: time.Second, Rate: rate}, addr, addr)
	slow := 0
	for _, bar := range r.Latency.Distribution() {
		if bar.From > int64(pause/4) {
			slow += int(bar.Count)
		}
	}
	// Three quarters of the 800 requests that were due in the pause waited for longer than a quarter of it; only 50 had a slot.
	if want := int(rate * pause.Seconds() / 2); slow < want {
		t.Errorf("%d requests show the pause, want %d at least", slow, want)
	}
}
