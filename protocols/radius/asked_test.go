package radius

import (
	"fmt"
	"strings"
	"testing"

	"trine/protocols/radius/wire"
)

func TestConditionsReadAttributesAsTheyAreWritten(t *testing.T) {
	w := NewWire(standard(t))
	var b wire.Builder
	key, err := wire.NewSecret([]byte("s"))
	if err != nil {
		t.Fatal(err)
	}
	b.Request(make([]byte, 0, 4096), wire.AccessRequest, 1, key)
	b.Uint32(wire.ServiceType, 2)
	b.Uint32(wire.NASPort, 7)
	b.Attr(wire.NASIPAddress, []byte{192, 0, 2, 1})
	b.Attr(wire.NASIdentifier, []byte("ap-1"))
	b.Attr(61, []byte{0, 0, 0, 19})                             // NAS-Port-Type
	b.Attr(64, []byte{1, 0, 0, 13})                             // Tunnel-Type, tag 1
	b.Attr(81, append([]byte{2}, "20"...))                      // Tunnel-Private-Group-Id, tag 2
	b.Attr(95, append(make([]byte, 15), 1))                     // NAS-IPv6-Address
	b.VSA(9, 1, []byte("audit-session-id=1"))                   // Cisco-AVPair
	b.VSA(9, 1, []byte("method=mab"))                           // Cisco-AVPair
	b.VSA(14988, 1, []byte{0, 0, 0, 5})                         // Mikrotik-Recv-Limit
	b.Attr(wire.VendorSpecific, []byte{0, 0, 0})                // no vendor
	b.Attr(wire.VendorSpecific, []byte{0, 0, 0, 9, 1, 99, 'x'}) // an attribute that ends past its frame
	packet, fault := b.Finish()
	if fault != wire.OK {
		t.Fatal(fault)
	}
	l := &login{packet: packet}
	for _, c := range []struct{ name, value, text, want string }{
		{"Service-Type", "2", "Framed-User", "Framed-User"},
		{"service-type", "framed-user", "Framed-User", "Framed-User"},
		{"NAS-Port", "0x07", "7", "7"},
		{"NAS-IP-Address", "192.0.2.1", "192.0.2.1", "192.0.2.1"},
		{"NAS-IPv6-Address", "0:0::1", "::1", "::1"},
		{"NAS-Identifier", "ap-1", "ap-1", "ap-1"},
		{"NAS-Port-Type", "19", "Wireless-802.11", "Wireless-802.11"},
		{"Tunnel-Type", "13", "VLAN", "VLAN"},
		{"Tunnel-Private-Group-Id", "20", "20", "20"},
		{"Cisco-AVPair", "x", "x", "audit-session-id=1|method=mab"},
		{"Mikrotik-Recv-Limit", "5", "5", "5"},
		{"Calling-Station-Id", "", "", ""},
		{"NAS-Port-Id", "x", "x", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked, text, err := w.Asked(c.name, c.value)
			if err != nil || text != c.text {
				t.Fatalf("value %q, %v", text, err)
			}
			values := l.AppendValues(nil, asked)
			if got := strings.ReplaceAll(strings.Trim(fmt.Sprintf("%s", values), "[]"), " ", "|"); got != c.want {
				t.Errorf("values %s, want %s", got, c.want)
			}
			room := make([][]byte, 0, 4)
			if n := testing.AllocsPerRun(100, func() { l.AppendValues(room, asked) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func TestConditionsCannotAskForEverything(t *testing.T) {
	w := NewWire(standard(t))
	for _, c := range []struct{ name, value, says string }{
		{"NAS-Port-Typ", "", "did you mean NAS-Port-Type?"},
		{"NAS-Port-Type", "Wirelss-802.11", "did you mean Wireless-802.11?"},
		{"NAS-Port", "many", "is not a number of 32 bits"},
		{"NAS-IP-Address", "home", "is not an address"},
		{"User-Password", "x", "holds a secret"},
		{"Vendor-Specific", "x", "holds attributes"},
	} {
		if _, _, err := w.Asked(c.name, c.value); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s is %s: %v", c.name, c.value, err)
		}
	}
}

func FuzzAskedValues(f *testing.F) {
	w := NewWire(standard(f))
	var asked []any
	for _, name := range []string{"NAS-Identifier", "NAS-Port-Type", "NAS-IP-Address", "Tunnel-Private-Group-Id", "Tunnel-Type", "Cisco-AVPair", "Mikrotik-Recv-Limit", "Framed-IPv6-Prefix"} {
		a, _, err := w.Asked(name, "")
		if err != nil {
			f.Fatal(err)
		}
		asked = append(asked, a)
	}
	f.Add(append(make([]byte, 20), 32, 4, 'a', 'p', 26, 10, 0, 0, 0, 9, 1, 4, 'x', 'y'))
	f.Fuzz(func(t *testing.T, packet []byte) {
		l := &login{packet: packet}
		for _, a := range asked {
			for _, v := range l.AppendValues(nil, a) {
				if len(v) > 4096 {
					t.Fatalf("a value of %d bytes", len(v))
				}
			}
		}
	})
}
