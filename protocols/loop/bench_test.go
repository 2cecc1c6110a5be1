package loop

import (
	"net"
	"testing"
	"time"
)

// BenchmarkEcho sends datagrams to one loop and back, 64 at a time from one socket: what a datagram costs in all, with the
// generator's share.
func BenchmarkEcho(b *testing.B) {
	e, err := Start(Config{Listeners: []Listener{{Addr: "127.0.0.1:0"}}, Loops: 1, NewHandler: func(l *Loop) Handler { return &mirror{loop: l} }})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = e.Stop(b.Context()) }()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		b.Fatal(err)
	}
	r, s := newReceiver(4096), newSender(4096)
	var stats Stats
	data := make([]byte, 100)
	missing := 0
	b.ReportAllocs()
	for done := 0; b.Loop(); done++ {
		if done%BatchSize != 0 {
			continue
		}
		_ = raw.Control(func(fd uintptr) {
			socket := &Socket{fd: int(fd)}
			for range BatchSize {
				s.add(socket, e.Addr(0), data)
			}
			s.flush(&stats)
		})
		deadline := time.Now().Add(time.Second)
		_ = conn.SetReadDeadline(deadline)
		for got := 0; got < BatchSize; {
			err := raw.Read(func(fd uintptr) bool {
				n, _ := r.receive(int(fd), BatchSize)
				got += n
				return n > 0
			})
			if err != nil {
				missing += BatchSize - got
				break
			}
		}
	}
	if missing > 0 {
		b.Errorf("%d datagrams did not come back", missing)
	}
	t := e.Totals()
	b.ReportMetric(float64(t.Received)/float64(max(t.ReceiveCalls, 1)), "datagrams/recvmmsg")
	b.ReportMetric(float64(t.Sent)/float64(max(t.SendCalls, 1)), "datagrams/sendmmsg")
}

// mirror sends back what comes.
type mirror struct{ loop *Loop }

func (m *mirror) Packets(s *Socket, batch []Datagram) {
	for _, d := range batch {
		m.loop.Send(s, d.From, d.Data)
	}
}
func (m *mirror) Wake()          {}
func (m *mirror) Expired(uint64) {}
func (m *mirror) EndBatch(bool)  {}
func (m *mirror) Drain()         {}
func (m *mirror) Pending() int   { return 0 }
