package document

import (
	"fmt"
	"net/netip"
	"strings"
)

// AddressRange is an address, a prefix or a range of addresses. The zero AddressRange is none.
type AddressRange struct {
	from, to netip.Addr
	prefix   netip.Prefix // valid for an address or a prefix
}

// ParseAddressRange reads "10.0.0.1", "10.0.0.0/8" or "10.0.0.1-10.0.0.9", IPv4 or IPv6. A prefix must have no bits set beyond
// its length, a range must not run backwards, and zones are refused. IPv4-mapped IPv6 addresses count as IPv4.
func ParseAddressRange(text string) (AddressRange, error) {
	first, last, isRange := strings.Cut(text, "-")
	switch {
	case isRange:
		from, err := parseAddr(strings.TrimSpace(first))
		if err != nil {
			return AddressRange{}, err
		}
		to, err := parseAddr(strings.TrimSpace(last))
		if err != nil {
			return AddressRange{}, err
		}
		if from.Is4() != to.Is4() {
			return AddressRange{}, fmt.Errorf("the range %q mixes IPv4 and IPv6", text)
		}
		if to.Less(from) {
			return AddressRange{}, fmt.Errorf("the range %q runs backwards", text)
		}
		return AddressRange{from: from, to: to}, nil
	case strings.Contains(text, "/"):
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return AddressRange{}, fmt.Errorf("%q is not a prefix such as 10.0.0.0/8 or 2001:db8::/32", text)
		}
		if p.Addr().Is4In6() {
			if p.Bits() < 96 {
				return AddressRange{}, fmt.Errorf("the prefix %q is IPv4 in IPv6; write it as IPv4", text)
			}
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		if m := p.Masked(); m != p {
			return AddressRange{}, fmt.Errorf("the prefix %q has bits set beyond its length; did you mean %s or %s?", text, m, p.Addr())
		}
		return AddressRange{from: p.Addr(), to: lastAddr(p), prefix: p}, nil
	}
	a, err := parseAddr(text)
	if err != nil {
		return AddressRange{}, err
	}
	return AddressRange{from: a, to: a, prefix: netip.PrefixFrom(a, a.BitLen())}, nil
}

func parseAddr(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%q is not an address, a prefix or a range such as 192.0.2.1, 10.0.0.0/8 or 10.0.0.1-10.0.0.9", text)
	}
	if a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("the address %q has a zone, which means something else on every node", text)
	}
	return a.Unmap(), nil
}

// IsZero reports whether the range is none.
func (r AddressRange) IsZero() bool { return !r.from.IsValid() }

// String returns the range as documents write it.
func (r AddressRange) String() string {
	switch {
	case r.IsZero():
		return ""
	case r.from == r.to:
		return r.from.String()
	case r.prefix.IsValid():
		return r.prefix.String()
	}
	return r.from.String() + "-" + r.to.String()
}

// Prefixes returns the fewest prefixes that hold exactly the addresses of the range, lowest first.
func (r AddressRange) Prefixes() []netip.Prefix { return r.appendPrefixes(nil) }

func (r AddressRange) appendPrefixes(out []netip.Prefix) []netip.Prefix {
	if r.IsZero() {
		return out
	}
	if r.prefix.IsValid() {
		return append(out, r.prefix)
	}
	for a := r.from; ; {
		// The largest prefix that begins at a and ends within the range.
		bits := a.BitLen()
		p := netip.PrefixFrom(a, bits)
		for bits > 0 {
			wider := netip.PrefixFrom(a, bits-1)
			if wider.Masked().Addr() != a || r.to.Less(lastAddr(wider)) {
				break
			}
			p, bits = wider, bits-1
		}
		out = append(out, p)
		end := lastAddr(p)
		if !end.Less(r.to) {
			return out
		}
		a = end.Next()
	}
}

// lastAddr returns the last address of a prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// Contains reports whether the address, which is no IPv4-mapped one, is in the range.
func (r AddressRange) Contains(a netip.Addr) bool {
	return r.from.IsValid() && a.Is4() == r.from.Is4() && !a.Less(r.from) && !r.to.Less(a)
}
