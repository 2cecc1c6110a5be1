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

func TestProxyHeaders(t *testing.T) {
	six := ipv4("[2001:db8::1]:1000", "[2001:db8::2]:49")
	for name, tc := range map[string]struct {
		header []byte
		source string // empty: the proxy's own; "-": refused
	}{
		"1 IPv4":                 {[]byte("PROXY TCP4 192.0.2.1 192.0.2.2 1000 49\r\n"), "192.0.2.1:1000"},
		"1 IPv6":                 {[]byte("PROXY TCP6 2001:db8::1 2001:db8::2 1000 49\r\n"), "[2001:db8::1]:1000"},
		"1 unknown":              {[]byte("PROXY UNKNOWN\r\n"), ""},
		"1 unknown with rest":    {[]byte("PROXY UNKNOWN ffff:f...f:ffff 65535 65535\r\n"), ""},
		"1 longest":              {[]byte("PROXY UNKNOWN " + strings.Repeat("f", 91) + "\r\n"), ""},
		"1 too long":             {[]byte("PROXY UNKNOWN " + strings.Repeat("f", 92) + "\r\n"), "-"},
		"1 without end":          {[]byte("PROXY TCP4 " + strings.Repeat("1", 200)), "-"},
		"1 other family":         {[]byte("PROXY TCP4 2001:db8::1 2001:db8::2 1000 49\r\n"), "-"},
		"1 no number":            {[]byte("PROXY TCP4 192.0.2.1 192.0.2.2 +1000 49\r\n"), "-"},
		"1 leading zero":         {[]byte("PROXY TCP4 192.0.2.1 192.0.2.2 01000 49\r\n"), "-"},
		"1 port too high":        {[]byte("PROXY TCP4 192.0.2.1 192.0.2.2 65536 49\r\n"), "-"},
		"1 zone":                 {[]byte("PROXY TCP6 fe80::1%lo fe80::2 1000 49\r\n"), "-"},
		"1 two spaces":           {[]byte("PROXY TCP4  192.0.2.1 192.0.2.2 1000 49\r\n"), "-"},
		"1 without return":       {[]byte("PROXY TCP4 192.0.2.1 192.0.2.2 1000 49\n"), "-"},
		"1 nothing":              {[]byte("PROXY \r\n"), "-"},
		"1 lower case":           {[]byte("proxy TCP4 192.0.2.1 192.0.2.2 1000 49\r\n"), "-"},
		"2 IPv4":                 {binaryProxy(0x21, 0x11, ipv4("192.0.2.1:1000", "192.0.2.2:49")), "192.0.2.1:1000"},
		"2 IPv6":                 {binaryProxy(0x21, 0x21, six), "[2001:db8::1]:1000"},
		"2 mapped":               {binaryProxy(0x21, 0x21, ipv4("[::ffff:192.0.2.1]:1000", "[::ffff:192.0.2.2]:49")), "192.0.2.1:1000"},
		"2 with fields":          {binaryProxy(0x21, 0x11, ipv4("192.0.2.1:1000", "192.0.2.2:49"), make([]byte, 1000)), "192.0.2.1:1000"},
		"2 local":                {binaryProxy(0x20, 0x00), ""},
		"2 local with addresses": {binaryProxy(0x20, 0x11, ipv4("192.0.2.1:1000", "192.0.2.2:49")), ""},
		"2 unspecified":          {binaryProxy(0x21, 0x00), ""},
		"2 datagrams":            {binaryProxy(0x21, 0x12, ipv4("192.0.2.1:1000", "192.0.2.2:49")), "-"},
		"2 Unix":                 {binaryProxy(0x21, 0x31, make([]byte, 216)), "-"},
		"2 short":                {binaryProxy(0x21, 0x11, make([]byte, 11)), "-"},
		"2 short IPv6":           {binaryProxy(0x21, 0x21, make([]byte, 35)), "-"},
		"2 other version":        {binaryProxy(0x31, 0x11, ipv4("192.0.2.1:1000", "192.0.2.2:49")), "-"},
		"2 other command":        {binaryProxy(0x22, 0x11, ipv4("192.0.2.1:1000", "192.0.2.2:49")), "-"},
		"2 longest":              {binaryProxy(0x21, 0x11, make([]byte, maxProxyHeader-proxyFixed)), "0.0.0.0:0"},
		"2 too long":             {binaryProxy(0x21, 0x11, make([]byte, maxProxyHeader-proxyFixed+1)), "-"},
		"2 other signature":      {append([]byte("\r\n\r\n\x00\r\nQUIT\r"), 0x21, 0x11, 0, 0), "-"},
		"neither":                {[]byte("hello"), "-"},
	} {
		t.Run(name, func(t *testing.T) {
			more := append(bytes.Clone(tc.header), "what follows"...)
			source, length, err := parseProxy(more)
			if tc.source == "-" {
				if err == nil {
					t.Fatalf("read %v in %d bytes", source, length)
				}
				return
			}
			if err != nil || length != len(tc.header) {
				t.Fatalf("read %d of %d bytes: %v", length, len(tc.header), err)
			}
			if tc.source == "" && source.IsValid() || tc.source != "" && source.String() != tc.source {
				t.Fatalf("source is %v, want %q", source, tc.source)
			}
			for cut := range tc.header { // whatever has come of it, it is waited for
				if _, length, err := parseProxy(tc.header[:cut]); length != 0 || err != nil {
					t.Fatalf("of %d bytes: %d, %v", cut, length, err)
				}
			}
		})
	}
}

func FuzzParseProxy(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.1 192.0.2.2 1000 49\r\nrest"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add(binaryProxy(0x21, 0x11, ipv4("192.0.2.1:1000", "192.0.2.2:49")))
	f.Add(binaryProxy(0x20, 0x00))
	f.Fuzz(func(t *testing.T, data []byte) {
		source, length, err := parseProxy(data)
		if length < 0 || length > len(data) || length > maxProxyHeader || err != nil && (length != 0 || source.IsValid()) {
			t.Fatalf("%v, %d, %v of %d bytes", source, length, err, len(data))
		}
		if err == nil && length == 0 && len(data) >= maxProxyHeader {
			t.Fatal("more is wanted than a header has")
		}
		if length > 0 {
			if again, n, err := parseProxy(data[:length]); again != source || n != length || err != nil {
				t.Fatalf("alone it is %v, %d, %v", again, n, err)
			}
			if _, n, err := parseProxy(data[:length-1]); n != 0 || err != nil {
				t.Fatalf("cut by one byte it is %d, %v", n, err)
			}
		}
	})
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
