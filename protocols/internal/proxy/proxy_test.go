package proxy

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
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

func TestHeaders(t *testing.T) {
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
		"2 longest":              {binaryProxy(0x21, 0x11, make([]byte, MaxHeader-fixed)), "0.0.0.0:0"},
		"2 too long":             {binaryProxy(0x21, 0x11, make([]byte, MaxHeader-fixed+1)), "-"},
		"2 other signature":      {append([]byte("\r\n\r\n\x00\r\nQUIT\r"), 0x21, 0x11, 0, 0), "-"},
		"neither":                {[]byte("hello"), "-"},
	} {
		t.Run(name, func(t *testing.T) {
			more := append(bytes.Clone(tc.header), "what follows"...)
			source, length, err := Parse(more)
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
				if _, length, err := Parse(tc.header[:cut]); length != 0 || err != nil {
					t.Fatalf("of %d bytes: %d, %v", cut, length, err)
				}
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.1 192.0.2.2 1000 49\r\nrest"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add(binaryProxy(0x21, 0x11, ipv4("192.0.2.1:1000", "192.0.2.2:49")))
	f.Add(binaryProxy(0x20, 0x00))
	f.Fuzz(func(t *testing.T, data []byte) {
		source, length, err := Parse(data)
		if length < 0 || length > len(data) || length > MaxHeader || err != nil && (length != 0 || source.IsValid()) {
			t.Fatalf("%v, %d, %v of %d bytes", source, length, err, len(data))
		}
		if err == nil && length == 0 && len(data) >= MaxHeader {
			t.Fatal("more is wanted than a header has")
		}
		if length > 0 {
			if again, n, err := Parse(data[:length]); again != source || n != length || err != nil {
				t.Fatalf("alone it is %v, %d, %v", again, n, err)
			}
			if _, n, err := Parse(data[:length-1]); n != 0 || err != nil {
				t.Fatalf("cut by one byte it is %d, %v", n, err)
			}
		}
	})
}
