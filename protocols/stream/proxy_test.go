package stream

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// Headers of version 2: for 192.0.2.1:1000, the same with 20 bytes of fields, and of a proxy that speaks for itself.
var (
	proxyV2      = []byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x03\xe8\x00\x31")
	proxyV2Long  = []byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x20\xc0\x00\x02\x01\xc0\x00\x02\x02\x03\xe8\x00\x31" + strings.Repeat("\x00", 20))
	proxyV2Local = []byte("\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00")
)

func proxied() Listener {
	return Listener{Name: "test", Addr: "127.0.0.1:0", Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.9.0/24")}}
}

func TestProxyIsRequiredFromListedAddressesAlone(t *testing.T) {
	v1 := []byte("PROXY TCP4 192.0.2.1 192.0.2.2 1000 49\r\n")
	for name, tc := range map[string]struct {
		from   string
		header []byte
		want   Cause // open: it is served
		remote string
	}{
		"listed, 1":          {"127.0.9.1", v1, open, "192.0.2.1:1000"},
		"listed, 2":          {"127.0.9.1", proxyV2, open, "192.0.2.1:1000"},
		"listed, itself":     {"127.0.9.1", proxyV2Local, open, "127.0.9.1"},
		"listed, without":    {"127.0.9.1", nil, ProxyMalformed, ""},
		"listed, malformed":  {"127.0.9.1", []byte("PROXY TCP4 x\r\n"), ProxyMalformed, ""},
		"unlisted, 1":        {"127.0.0.1", v1, ProxyUnlisted, ""},
		"unlisted, 2":        {"127.0.0.1", proxyV2, ProxyUnlisted, ""},
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
		proxyV2Long,
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
