package dictionary

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"trine/protocols/radius/wire"
)

const redacted = "«redacted»"

// ErrValue is returned, wrapped, for a text that is no value of its attribute.
var ErrValue = errors.New("not a value of the attribute")

// appendValue appends the bytes of a value given as text: for numbers a named
// value or a decimal or 0x number, for dates seconds since 1970, RFC 3339 or
// YYYY-MM-DD in UTC, for octets 0x and hexadecimal digits, or else the text
// itself.
func (a *Attribute) appendValue(dst []byte, text string) ([]byte, error) {
	switch a.Type {
	case String:
		return append(dst, text...), nil
	case Octets:
		return a.appendOctets(dst, text)
	case Integer, Integer64, Short, Byte, Signed:
		return a.appendNumber(dst, text)
	case Date:
		seconds, ok := parseDate(text)
		if !ok {
			return dst, a.bad(text, "is not a date: write seconds since 1970, 2006-01-02T15:04:05Z or 2006-01-02")
		}
		return binary.BigEndian.AppendUint32(dst, seconds), nil
	case IPAddr, IPv6Addr, ComboIP:
		address, err := netip.ParseAddr(text)
		if err != nil || address.Zone() != "" || address.Is4() && a.Type == IPv6Addr || address.Is6() && a.Type == IPAddr {
			return dst, a.bad(text, "is not an address of type "+a.Type.String())
		}
		return append(dst, address.AsSlice()...), nil
	case IPv4Prefix, IPv6Prefix:
		return a.appendPrefix(dst, text)
	case InterfaceID:
		return a.appendInterfaceID(dst, text)
	case Ether:
		return a.appendEther(dst, text)
	}
	b, ok := parseHex(text)
	if !ok {
		return dst, a.bad(text, "is not 0x and hexadecimal digits, which type "+a.Type.String()+" takes")
	}
	return append(dst, b...), nil
}

// Bytes returns the bytes of a value given as text, without its header and without a tag. Its errors are, or wrap, ErrValue.
func (a *Attribute) Bytes(text string) ([]byte, error) { return a.appendValue(nil, text) }

func (a *Attribute) appendOctets(dst []byte, text string) ([]byte, error) {
	start := len(dst)
	if b, ok := parseHex(text); ok {
		dst = append(dst, b...)
	} else {
		dst = append(dst, text...)
	}
	if n := len(dst) - start; a.Size > 0 && n != a.Size {
		return dst[:start], a.bad(text, fmt.Sprintf("has %d bytes, not %d", n, a.Size))
	}
	return dst, nil
}

func (a *Attribute) appendNumber(dst []byte, text string) ([]byte, error) {
	n, ok := a.Value(text)
	if !ok {
		var err error
		if a.Type == Signed {
			var signed int64
			signed, err = strconv.ParseInt(text, 0, 32)
			n = uint64(uint32(signed))
		} else {
			n, err = strconv.ParseUint(text, 0, 8*a.Type.size())
		}
		if err != nil {
			names := a.valueNames()
			kind := fmt.Sprintf("is not a number of %d bits", 8*a.Type.size())
			if len(names) > 0 {
				kind += " or a named value"
			}
			return dst, a.bad(text, kind+didYouMean(nearest(text, names)))
		}
	}
	switch a.Type.size() {
	case 1:
		return append(dst, byte(n)), nil
	case 2:
		return binary.BigEndian.AppendUint16(dst, uint16(n)), nil
	case 8:
		return binary.BigEndian.AppendUint64(dst, n), nil
	}
	if a.Tagged && n > 0xffffff {
		return dst, a.bad(text, "does not fit the 24 bits that a tagged number has")
	}
	return binary.BigEndian.AppendUint32(dst, uint32(n)), nil
}

// appendPrefix writes all bytes of the address, as RFC 3162 section 2.3 allows
// and every client understands.
func (a *Attribute) appendPrefix(dst []byte, text string) ([]byte, error) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil || prefix.Addr().Is4() != (a.Type == IPv4Prefix) {
		return dst, a.bad(text, "is not a prefix of type "+a.Type.String())
	}
	if prefix != prefix.Masked() {
		return dst, a.bad(text, "has bits set behind the prefix (did you mean "+prefix.Masked().String()+"?)")
	}
	dst = append(dst, 0, byte(prefix.Bits()))
	return append(dst, prefix.Addr().AsSlice()...), nil
}

func (a *Attribute) appendInterfaceID(dst []byte, text string) ([]byte, error) {
	start := len(dst)
	for group := range strings.SplitSeq(text, ":") {
		n, err := strconv.ParseUint(group, 16, 16)
		if err != nil || len(group) > 4 {
			return dst[:start], a.bad(text, "is not an interface identifier such as 0:0:0:1")
		}
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	}
	if len(dst)-start != 8 {
		return dst[:start], a.bad(text, "is not an interface identifier such as 0:0:0:1")
	}
	return dst, nil
}

func (a *Attribute) appendEther(dst []byte, text string) ([]byte, error) {
	digits := strings.Map(func(r rune) rune {
		if r == ':' || r == '-' || r == '.' {
			return -1
		}
		return r
	}, text)
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) != 6 {
		return dst, a.bad(text, "is not a MAC address such as 02:00:5e:10:00:01")
	}
	return append(dst, b...), nil
}

// bad returns an ErrValue that names the attribute and, unless it is a secret,
// the value.
func (a *Attribute) bad(text, why string) error {
	shown := redacted
	if !a.Secret {
		if len(text) > 80 {
			text = text[:80] + "..."
		}
		shown = strconv.Quote(text)
	}
	return fmt.Errorf("%w: %s: %s %s", ErrValue, a.Name, shown, why)
}

func parseHex(text string) ([]byte, bool) {
	if len(text) < 2 || text[0] != '0' || text[1]|0x20 != 'x' {
		return nil, false
	}
	b, err := hex.DecodeString(text[2:])
	return b, err == nil
}

func parseDate(text string) (uint32, bool) {
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		return uint32(n), true
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil && t.Unix() >= 0 && t.Unix() <= 0xffffffff {
			return uint32(t.Unix()), true
		}
	}
	return 0, false
}

// Decode returns a value's bytes, without tag, as text for people: named values
// by name, secrets as «redacted», and what does not fit the type as 0x and
// hexadecimal digits. Encode of the text gives the same bytes again, except for
// secrets, arrays, attributes inside, and strings that are not printable.
func (a *Attribute) Decode(value []byte) string {
	if a.Secret {
		return redacted
	}
	size := a.Type.size()
	if a.Array && size > 0 && len(value) > size && len(value)%size == 0 {
		parts := make([]string, 0, len(value)/size)
		for ; len(value) > 0; value = value[size:] {
			parts = append(parts, a.decodeOne(value[:size]))
		}
		return strings.Join(parts, ", ")
	}
	return a.decodeOne(value)
}

func (a *Attribute) decodeOne(value []byte) string {
	if size := a.Type.size(); size > 0 && len(value) != size {
		return hexText(value)
	}
	switch a.Type {
	case String:
		return printable(value)
	case Integer, Integer64, Short, Byte, Signed:
		return a.decodeNumber(value)
	case Date:
		return time.Unix(int64(binary.BigEndian.Uint32(value)), 0).UTC().Format(time.RFC3339)
	case IPAddr, IPv6Addr, ComboIP:
		if address, ok := netip.AddrFromSlice(value); ok {
			return address.String()
		}
	case IPv4Prefix, IPv6Prefix:
		if prefix, ok := DecodePrefix(value, a.Type == IPv4Prefix); ok {
			return prefix.String()
		}
	case InterfaceID:
		return fmt.Sprintf("%x:%x:%x:%x", binary.BigEndian.Uint16(value), binary.BigEndian.Uint16(value[2:]),
			binary.BigEndian.Uint16(value[4:]), binary.BigEndian.Uint16(value[6:]))
	case Ether:
		return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", value[0], value[1], value[2], value[3], value[4], value[5])
	case TLV:
		if format := wire.StandardFormat(); len(value) > 0 && format.WellFormed(value) {
			return a.decodeTLV(value)
		}
	}
	return hexText(value)
}

func (a *Attribute) decodeNumber(value []byte) string {
	var n uint64
	for _, b := range value {
		n = n<<8 | uint64(b)
	}
	if name := a.ValueName(n); name != "" {
		return name
	}
	if a.Type == Signed {
		return strconv.FormatInt(int64(int32(uint32(n))), 10)
	}
	return strconv.FormatUint(n, 10)
}

func (a *Attribute) decodeTLV(value []byte) string {
	var b strings.Builder
	b.WriteByte('{')
	separator := " "
	for sub := range wire.StandardFormat().Subs(value) {
		b.WriteString(separator)
		separator = ", "
		if child := a.children[sub.Type]; child != nil {
			b.WriteString(child.Name + " = " + child.Decode(sub.Value))
		} else {
			fmt.Fprintf(&b, "Attr-%d = %s", sub.Type, hexText(sub.Value))
		}
	}
	b.WriteString(" }")
	return b.String()
}

// DecodePrefix reads a prefix in the layout of RFC 3162 section 2.3 (IPv6) or
// RFC 8044 section 3.10 (IPv4): a reserved byte, a length, and the address, of
// which IPv6 may leave out trailing bytes. False for wrong sizes, a reserved
// byte other than zero, a length beyond the bytes, or bits set behind it.
func DecodePrefix(value []byte, v4 bool) (netip.Prefix, bool) {
	if len(value) < 2 || value[0] != 0 {
		return netip.Prefix{}, false
	}
	bits, rest := int(value[1]), value[2:]
	var address netip.Addr
	if v4 {
		if len(rest) != 4 || bits > 32 {
			return netip.Prefix{}, false
		}
		address = netip.AddrFrom4([4]byte(rest))
	} else {
		if len(rest) > 16 || bits > 8*len(rest) || bits > 128 {
			return netip.Prefix{}, false
		}
		var all [16]byte
		copy(all[:], rest)
		address = netip.AddrFrom16(all)
	}
	prefix := netip.PrefixFrom(address, bits)
	return prefix, prefix == prefix.Masked()
}

// printable returns text as it is, or with escapes where it is not printable.
func printable(value []byte) string {
	if utf8.Valid(value) {
		clean := true
		for _, r := range string(value) {
			clean = clean && unicode.IsPrint(r)
		}
		if clean {
			return string(value)
		}
	}
	quoted := strconv.Quote(string(value))
	return quoted[1 : len(quoted)-1]
}

func hexText(value []byte) string { return "0x" + hex.EncodeToString(value) }
