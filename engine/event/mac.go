package event

// MAC is an IEEE 802 MAC address of 48 bits.
type MAC [6]byte

// ParseMAC reads a MAC address in any usual notation: twelve hexadecimal digits, alone or in groups of two, four or six digits
// with one of the separators - : and . between all of them, in any case. It does not allocate.
func ParseMAC[T ~string | ~[]byte](text T) (mac MAC, ok bool) {
	mac, n := CutMAC(text)
	return mac, n > 0 && n == len(text)
}

// CutMAC reads a MAC address at the beginning of a text, as in a Called-Station-Id with an SSID behind it (RFC 3580 section
// 3.20), and returns how many bytes of the text it takes; 0 if there is none. It does not allocate.
func CutMAC[T ~string | ~[]byte](text T) (mac MAC, n int) {
	group := 0 // digits between separators; 0: no separators
	var separator byte
	for digits := 0; digits < 12; n++ {
		if n >= len(text) {
			return MAC{}, 0
		}
		c := text[n]
		if d, ok := hexDigit(c); ok {
			if group > 0 && digits%group == 0 && text[n-1] != separator {
				return MAC{}, 0
			}
			mac[digits/2] = mac[digits/2]<<4 | d
			digits++
			continue
		}
		switch {
		case c != '-' && c != ':' && c != '.' || n == 0 || text[n-1] == c:
			return MAC{}, 0
		case separator == 0 && (digits == 2 || digits == 4 || digits == 6):
			group, separator = digits, c
		case c != separator || digits%group != 0:
			return MAC{}, 0
		}
	}
	return mac, n
}

func hexDigit(c byte) (d byte, ok bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// MACLen is the length of a MAC address as AppendText writes it.
const MACLen = 17

// AppendText appends the address in the form of RFC 3580 section 3.21, which is that of endpoints' names: 00-10-A4-23-19-C0.
func (m MAC) AppendText(dst []byte) []byte {
	const digits = "0123456789ABCDEF"
	for i, b := range m {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = append(dst, digits[b>>4], digits[b&15])
	}
	return dst
}

// String returns what AppendText appends.
func (m MAC) String() string {
	var buf [MACLen]byte
	return string(m.AppendText(buf[:0]))
}
