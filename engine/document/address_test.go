package document

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func TestAddressRangesAreReadAndWritten(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1":               "192.0.2.1 [192.0.2.1/32]",
		"192.0.2.1/32":            "192.0.2.1 [192.0.2.1/32]",
		"10.0.0.0/8":              "10.0.0.0/8 [10.0.0.0/8]",
		"0.0.0.0/0":               "0.0.0.0/0 [0.0.0.0/0]",
		"::/0":                    "::/0 [::/0]",
		"::ffff:192.0.2.1":        "192.0.2.1 [192.0.2.1/32]",
		"::ffff:192.0.2.0/120":    "192.0.2.0/24 [192.0.2.0/24]",
		"192.0.2.1-192.0.2.1":     "192.0.2.1 [192.0.2.1/32]",
		"192.0.2.0 - 192.0.2.255": "192.0.2.0-192.0.2.255 [192.0.2.0/24]",
		"0.0.0.0-255.255.255.255": "0.0.0.0-255.255.255.255 [0.0.0.0/0]",
		"192.0.2.1-192.0.2.6":     "192.0.2.1-192.0.2.6 [192.0.2.1/32 192.0.2.2/31 192.0.2.4/31 192.0.2.6/32]",
		"2001:DB8::1-2001:db8::2": "2001:db8::1-2001:db8::2 [2001:db8::1/128 2001:db8::2/128]",
	} {
		r, err := ParseAddressRange(in)
		if got := fmt.Sprint(r, " ", r.Prefixes()); err != nil || got != want {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "x", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.2-10.0.0.1", "::1-10.0.0.1", "fe80::1%a", "-", "1.2.3.4-", "::ffff:10.0.0.0/64", "01.2.3.4"} {
		if r, err := ParseAddressRange(in); err == nil {
			t.Errorf("%q is read as %s", in, r)
		}
	}
}

func TestPrefixesHoldExactlyTheRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Uint32().Draw(t, "a"), rapid.Uint32().Draw(t, "b")
		from, to := min(a, b), max(a, b)
		addr := func(n uint32) netip.Addr {
			var x [4]byte
			binary.BigEndian.PutUint32(x[:], n)
			return netip.AddrFrom4(x)
		}
		r, err := ParseAddressRange(addr(from).String() + "-" + addr(to).String())
		if err != nil {
			t.Fatal(err)
		}
		next := uint64(from)
		for _, p := range r.Prefixes() {
			if p != p.Masked() || p.Addr() != addr(uint32(next)) {
				t.Fatalf("%s does not begin at %s", p, addr(uint32(next)))
			}
			next += 1 << (32 - p.Bits())
		}
		if next != uint64(to)+1 {
			t.Fatalf("%s ends at %d", r, next)
		}
		if len(r.Prefixes()) > 62 {
			t.Fatal("more prefixes than a range can need")
		}
	})
}
