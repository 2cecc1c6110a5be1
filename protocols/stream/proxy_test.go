package stream

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// binaryProxy makes a header of version 2.
func binaryProxy(command, family byte, body ...[]byte) []byte {
	all := bytes.Join(body, nil)
	h := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), command, family)
	return append(binary.BigEndian.AppendUint16(h, uint16(len(all))), all...)
}

func ipv4(source, destination string) []byte {
	s, d := netip.MustParseAddrPort(source), netip.MustParseAddrPort(destination)
	b := append(s.Addr().AsSlice(), d.Addr().AsSlice()...)
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, s.Port()), d.Port())
}

func proxied() Listener {
	return Listener{Name: "test", Addr: "127.0.0.1:0", Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.9.0/24")}}
}

func TestProxyIsRequiredFromListedAddressesAlone(t *testing.T) {
	v1 := []byte("PROXY TCP4 192.0.2.1 192.0.2.2 1000 49\r\n")
	v2 := binaryProxy(0x21, 0x11, ipv4("192.0.2.1:1000", "192.0.2.2:49"))
	for name, tc := range map[string]struct {
		from   string
		header []byte
		want   Cause // open: it is served
		remote string
	}{
		"listed, 1":          {"127.0.9.1", v1, open, "192.0.2.1:1000"},
		"listed, 2":          {"127.0.9.1", v2, open, "192.0.2.1:1000"},
		"listed, itself":     {"127.0.9.1", binaryProxy(0x20, 0), open, "127.0.9.1"},
		"listed, without":    {"127.0.9.1", nil, ProxyMalformed, ""},
		"listed, malformed":  {"127.0.9.1", []byte("PROXY TCP4 x\r\n"), ProxyMalformed, ""},
		"unlisted, 1":        {"127.0.0.1", v1, ProxyUnlisted, ""},
		"unlisted, 2":        {"127.0.0.1", v2, ProxyUnlisted, ""},
		"unlisted, without":  {"127.0.0.1", nil, open, "127.0.0.1"},
		"listed, a stranger": {"127.0.9.1", []byte("PROXY TCP4 198.51.100.1 192.0.2.2 1000 49\r\n"), RefusedStranger, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e, w := startFor(t, Config{Listeners: []Listener{proxied()}}, func(from netip.AddrPort) Admission {
				if from.Addr() == netip.MustParseAddr("198.51.100.1") {
					return Admission{}
				}
				return network(100)(from)
			})
			c := dialFrom(t, e, tc.from)
			send(t, c, tc.header, frame('e', "x"))
			if tc.want != open {
				if k, err := c.Read(make([]byte, 1)); k > 0 || err == nil {
					t.Fatal("it was served")
				}
				ends(t, e, tc.want, 1)
				return
			}
			expect(t, c, frame('e', "x"))
			w.mu.Lock()
			defer w.mu.Unlock()
			if len(w.remotes) != 1 || !strings.HasPrefix(w.remotes[0].String(), tc.remote) {
				t.Fatalf("the handler saw %v, want %s", w.remotes, tc.remote)
			}
		})
	}
}

func TestProxyHeaderSplitAtEveryByte(t *testing.T) {
	e, _ := start(t, Config{Listeners: []Listener{proxied()}})
	for _, header := range [][]byte{
		[]byte("PROXY TCP4 192.0.2.1 192.0.2.2 1000 49\r\n"),
		binaryProxy(0x21, 0x11, ipv4("192.0.2.1:1000", "192.0.2.2:49"), make([]byte, 20)),
	} {
		for split := 1; split < len(header); split++ {
			c := dialFrom(t, e, "127.0.9.1")
			before := e.Totals().BytesIn
			send(t, c, header[:split])
			eventually(t, "the first part arrives", func() bool { return e.Totals().BytesIn == before+uint64(split) })
			send(t, c, header[split:], frame('e', "x"), frame('e', "y"))
			expect(t, c, frame('e', "x"), frame('e', "y"))
			_ = c.Close()
		}
	}
}

func TestProxyHeaderHasItsTime(t *testing.T) {
	e, _ := start(t, Config{Listeners: []Listener{proxied()}, Timeouts: Timeouts{Handshake: 40 * time.Millisecond}})
	c := dialFrom(t, e, "127.0.9.1")
	send(t, c, []byte("PROXY TCP4 192.0.2.1"))
	ends(t, e, HandshakeSlow, 1)
	expectReset(t, c)
}
