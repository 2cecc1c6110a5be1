package wire

import (
	"encoding/binary"
	"iter"
)

// Format is how a vendor lays out the attributes inside its Vendor-Specific
// attributes: the sizes in bytes of type (1, 2 or 4) and length (0, 1 or 2),
// and whether a continuation byte follows the length, as in WiMAX. The length
// counts type, length and continuation too. Without a length, one attribute
// fills the rest.
type Format struct {
	Type, Length uint8
	Continuation bool
}

// StandardFormat returns the layout that RFC 2865 section 5.26 suggests.
func StandardFormat() Format { return Format{Type: 1, Length: 1} }

// WiMAXFormat returns the layout of the WiMAX Forum's attributes.
func WiMAXFormat() Format { return Format{Type: 1, Length: 1, Continuation: true} }

// Valid reports whether the sizes are ones that exist.
func (f Format) Valid() bool {
	return (f.Type == 1 || f.Type == 2 || f.Type == 4) && f.Length <= 2 && (!f.Continuation || f.Length == 1)
}

// Header returns the number of bytes in front of a vendor attribute's value.
func (f Format) Header() int {
	n := int(f.Type) + int(f.Length)
	if f.Continuation {
		n++
	}
	return n
}

// Sub is one attribute inside a Vendor-Specific attribute. More says that the
// next one of the same type continues its value (WiMAX).
type Sub struct {
	Type  uint32
	Value []byte
	More  bool
}

// SplitVSA divides the value of a Vendor-Specific attribute into the vendor's
// number and its data; false if it is too short to hold a number.
func SplitVSA(value []byte) (vendor uint32, data []byte, ok bool) {
	if len(value) < 4 {
		return 0, nil, false
	}
	return binary.BigEndian.Uint32(value), value[4:], true
}

// Next reads the first attribute from data, which must not be empty, and
// returns what follows it; false if data is not laid out as f says.
func (f Format) Next(data []byte) (sub Sub, rest []byte, ok bool) {
	header := f.Header()
	if len(data) < header {
		return Sub{}, nil, false
	}
	switch f.Type {
	case 1:
		sub.Type = uint32(data[0])
	case 2:
		sub.Type = uint32(binary.BigEndian.Uint16(data))
	case 4:
		sub.Type = binary.BigEndian.Uint32(data)
	default:
		return Sub{}, nil, false
	}
	size := len(data)
	switch f.Length {
	case 0:
	case 1:
		size = int(data[f.Type])
	case 2:
		size = int(binary.BigEndian.Uint16(data[f.Type:]))
	default:
		return Sub{}, nil, false
	}
	if size < header || size > len(data) {
		return Sub{}, nil, false
	}
	if f.Continuation {
		sub.More = data[header-1]&0x80 != 0
	}
	sub.Value = data[header:size:size]
	return sub, data[size:], true
}

// WellFormed reports whether all of data is attributes laid out as f says. A
// Vendor-Specific attribute that is not is opaque: none of it is used.
func (f Format) WellFormed(data []byte) bool {
	for len(data) > 0 {
		_, rest, ok := f.Next(data)
		if !ok {
			return false
		}
		data = rest
	}
	return true
}

// Subs yields the attributes in data, and nothing at all where data is not
// well-formed.
func (f Format) Subs(data []byte) iter.Seq[Sub] {
	return func(yield func(Sub) bool) {
		if !f.WellFormed(data) {
			return
		}
		for len(data) > 0 {
			sub, rest, ok := f.Next(data)
			if !ok || !yield(sub) {
				return
			}
			data = rest
		}
	}
}

// EachVendor yields the attributes of a vendor in the packet's order. Pieces of
// a continued value come one by one; VendorConcat joins them.
func (v *View) EachVendor(vendor uint32, f Format) iter.Seq[Sub] {
	return func(yield func(Sub) bool) {
		for value := range v.Each(VendorSpecific) {
			number, data, ok := SplitVSA(value)
			if !ok || number != vendor {
				continue
			}
			for sub := range f.Subs(data) {
				if !yield(sub) {
					return
				}
			}
		}
	}
}

// Vendor returns the first attribute of a vendor and type in the standard
// layout.
func (v *View) Vendor(vendor uint32, t uint8) ([]byte, bool) {
	for sub := range v.EachVendor(vendor, StandardFormat()) {
		if sub.Type == uint32(t) {
			return sub.Value, true
		}
	}
	return nil, false
}

// VendorConcat appends to dst the value of the first attribute of a vendor and
// type, with the pieces that continue it, and reports whether there was one. A
// value whose continuation is missing counts as none.
func (v *View) VendorConcat(dst []byte, vendor uint32, f Format, t uint32) ([]byte, bool) {
	start, found := len(dst), false
	for sub := range v.EachVendor(vendor, f) {
		if sub.Type != t {
			if found {
				return dst[:start], false
			}
			continue
		}
		dst, found = append(dst, sub.Value...), true
		if !sub.More {
			return dst, true
		}
	}
	return dst[:start], false
}

const (
	longMore = 0x80
	// extVendorSpecific is the extended type whose value begins with a vendor's
	// number and a one-byte type, RFC 6929 section 2.4.
	extVendorSpecific = 26
)

// IsExtended reports whether t is one of the types of RFC 6929, whose value
// begins with a second type.
func (t Type) IsExtended() bool { return t >= Extended1 && t <= LongExtended2 }

// IsLong reports whether t is a long extended type, whose value can be spread
// over several attributes.
func (t Type) IsLong() bool { return t == LongExtended1 || t == LongExtended2 }

// Extended is one extended attribute of RFC 6929: its type, the type inside,
// and its value, joined from all its fragments.
type Extended struct {
	Base  Type
	Type  uint8
	Value []byte
}

// Vendor divides the value of an extended Vendor-Specific attribute (type 26
// inside) into vendor, type and value; false for any other, and for one too
// short.
func (e Extended) Vendor() (vendor uint32, t uint8, value []byte, ok bool) {
	if e.Type != extVendorSpecific || len(e.Value) < 5 {
		return 0, 0, nil, false
	}
	return binary.BigEndian.Uint32(e.Value), e.Value[4], e.Value[5:], true
}

// ExtendedAt reads the extended attribute that begins at attribute i and
// returns the index of the attribute after it. A single fragment's value stays
// in the packet; several are appended to scratch, which is returned grown. ok
// is false where attribute i is not an extended attribute, has no room for its
// header, or lacks the fragment that its More flag promises (RFC 6929 section
// 2.2); next is right all the same.
func (v *View) ExtendedAt(i int, scratch []byte) (e Extended, next int, grown []byte, ok bool) {
	t, value := v.At(i)
	header := 1
	if t.IsLong() {
		header = 2
	}
	if !t.IsExtended() || len(value) < header {
		return Extended{}, i + 1, scratch, false
	}
	e = Extended{Base: t, Type: value[0], Value: value[header:]}
	if !t.IsLong() || value[1]&longMore == 0 {
		return e, i + 1, scratch, true
	}
	start := len(scratch)
	scratch = append(scratch, e.Value...)
	for next = i + 1; next < v.count; next++ {
		t, value = v.At(next)
		if t != e.Base || len(value) < header || value[0] != e.Type {
			break
		}
		scratch = append(scratch, value[header:]...)
		if value[1]&longMore == 0 {
			e.Value = scratch[start:len(scratch):len(scratch)]
			return e, next + 1, scratch, true
		}
	}
	return Extended{}, next, scratch[:start], false
}
