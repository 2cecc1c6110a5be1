package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"trine/protocols/radius/wire"
)

// nas is a network access server: it sends accounting as one does, again and again until it is answered.
type nas struct {
	name   string
	secret *wire.Secret
	conn   *net.UDPConn
	next   uint8
}

// record names one accounting record as the test knows it.
type record struct {
	session string
	status  string // start, interim or stop
	time    uint32 // session time, seconds
}

// statuses are the values of Acct-Status-Type.
var statuses = map[string]uint32{"start": 1, "stop": 2, "interim": 3}

func newNAS(t *testing.T, name string, to netip.AddrPort, secret string) *nas {
	t.Helper()
	s, err := wire.NewSecret([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &nas{name: name, secret: s, conn: conn}
}

// account sends a record until it is answered (true) or stop is closed (false: nobody knows). Each third try is a new packet,
// with another identifier and an Acct-Delay-Time; the others are the same bytes.
func (n *nas) account(r record, user string, stop <-chan struct{}) (bool, error) {
	var packet []byte
	var authenticator [wire.AuthenticatorLen]byte
	began := time.Now()
	for try := 0; ; try++ {
		if try%3 == 0 {
			n.next++
			var b wire.Builder
			b.Request(make([]byte, 0, wire.MaxPacket), wire.AccountingRequest, n.next, n.secret)
			b.Accounting(statuses[r.status], r.session)
			b.Text(1, user)
			b.Text(32, n.name)
			b.Uint32(46, r.time)
			b.Uint32(42, r.time*1000)
			b.Uint32(43, r.time*2000)
			b.Text(31, "02-00-00-00-00-01")
			if delay := uint32(time.Since(began).Seconds()); try > 0 {
				b.Uint32(41, delay)
			}
			out, fault := b.Finish()
			if err := fault.Err(); err != nil {
				return false, fmt.Errorf("build an accounting request: %w", err)
			}
			packet = append(packet[:0], out...)
			authenticator = [16]byte(out[4:20])
		}
		// While the node is down the port is closed and the kernel says so; a NAS tries again.
		_, _ = n.conn.Write(packet)
		ok, err := n.answered(packet[1], &authenticator, 150*time.Millisecond)
		if ok || err != nil {
			return ok, err
		}
		select {
		case <-stop:
			return false, nil
		default:
		}
	}
}

func (n *nas) answered(id uint8, authenticator *[wire.AuthenticatorLen]byte, within time.Duration) (bool, error) {
	deadline := time.Now().Add(within)
	buf := make([]byte, wire.MaxPacket)
	for {
		if err := n.conn.SetReadDeadline(deadline); err != nil {
			return false, err
		}
		size, err := n.conn.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return false, nil
		}
		if err != nil { // connection refused: wait as one waits for an answer
			time.Sleep(10 * time.Millisecond)
			if time.Now().After(deadline) {
				return false, nil
			}
			continue
		}
		if size >= 20 && buf[1] == id && buf[0] == byte(wire.AccountingResponse) && int(binary.BigEndian.Uint16(buf[2:])) == size {
			return true, nil
		}
	}
}

// acknowledged collects what was answered.
type acknowledged struct {
	mu      sync.Mutex
	records map[record]bool
}

func (a *acknowledged) add(r record) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.records[r] = true
}

func (a *acknowledged) snapshot() []record {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]record, 0, len(a.records))
	for r := range a.records {
		list = append(list, r)
	}
	return list
}

// load sends sessions (start, three interims, stop) from several NASes until stop is closed.
func load(t *testing.T, to netip.AddrPort, secret string, devices int, stop <-chan struct{}) (*acknowledged, *sync.WaitGroup) {
	t.Helper()
	acked := &acknowledged{records: map[record]bool{}}
	var wait sync.WaitGroup
	for d := range devices {
		n := newNAS(t, fmt.Sprintf("nas-%d", d), to, secret)
		wait.Go(func() {
			for s := 0; ; s++ {
				session := fmt.Sprintf("%s-%d", n.name, s)
				for step, status := range []string{"start", "interim", "interim", "interim", "stop"} {
					select {
					case <-stop:
						return
					default:
					}
					r := record{session, status, uint32(step * 60)}
					ok, err := n.account(r, "alice", stop)
					if err != nil {
						t.Error(err)
						return
					}
					if !ok {
						return
					}
					acked.add(r)
				}
			}
		})
	}
	return acked, &wait
}
