package wire

import (
	"encoding/binary"
	"iter"
)

// View is a parsed packet: the datagram itself and a table of where each of
// its attributes begins. It copies nothing, so it is valid only as long as the
// datagram's bytes are. A View is about five kilobytes; a loop keeps one and
// parses every packet into it. The zero View is a packet without a header and
// must not be asked for one.
type View struct {
	packet []byte
	count  int
	first  [256]uint16 // offset of the first attribute of a type; 0 is none
	more   [4]uint64   // a bit for each type of which there is more than one
	offset [maxAttributes]uint16
}

// Parse reads datagram into v. What follows the Length field's number of bytes
// is padding and cut off before anything looks at it, RFC 2865 section 3. On
// any fault v holds no packet. An attribute without a value is kept: some are
// defined to be empty.
func Parse(datagram []byte, v *View) Fault {
	v.packet, v.count = nil, 0
	if len(datagram) < headerLen {
		return TooShort
	}
	length := int(binary.BigEndian.Uint16(datagram[2:]))
	switch {
	case length > MaxPacket:
		return TooLong
	case length < headerLen, length > len(datagram):
		return LengthField
	}
	p := datagram[:length:length]
	v.first = [256]uint16{}
	v.more = [4]uint64{}
	n := 0
	for at := headerLen; at < length; n++ {
		if length-at < 2 {
			return AttributeOverrun
		}
		size := int(p[at+1])
		if size < 2 {
			return AttributeLength
		}
		if size > length-at {
			return AttributeOverrun
		}
		v.offset[n] = uint16(at)
		if t := p[at]; v.first[t] == 0 {
			v.first[t] = uint16(at)
		} else {
			v.more[t>>6] |= 1 << (t & 63)
		}
		at += size
	}
	v.packet, v.count = p, n
	return OK
}

// Move makes v the view of to, which holds a copy of the packet's bytes.
func (v *View) Move(to []byte) { v.packet = to[:len(v.packet):len(v.packet)] }

// Bytes returns the packet without padding.
func (v *View) Bytes() []byte { return v.packet }

// Code returns the packet's code.
func (v *View) Code() Code { return Code(v.packet[0]) }

// ID returns the packet's identifier.
func (v *View) ID() uint8 { return v.packet[1] }

// Authenticator returns the packet's authenticator, inside the datagram.
func (v *View) Authenticator() *[AuthenticatorLen]byte {
	return (*[AuthenticatorLen]byte)(v.packet[4:headerLen])
}

// Len returns the number of attributes.
func (v *View) Len() int { return v.count }

// At returns attribute i, 0 <= i < Len, in the packet's order.
func (v *View) At(i int) (Type, []byte) {
	at := int(v.offset[:v.count][i])
	return Type(v.packet[at]), v.value(at)
}

// Raw returns attribute i whole: type, length and value.
func (v *View) Raw(i int) []byte {
	at := int(v.offset[:v.count][i])
	end := at + int(v.packet[at+1])
	return v.packet[at:end:end]
}

// Has reports whether the packet carries an attribute of type t.
func (v *View) Has(t Type) bool { return v.count > 0 && v.first[t] != 0 }

// repeated reports whether the packet carries more than one attribute of type t.
func (v *View) repeated(t Type) bool { return v.more[t>>6]>>(t&63)&1 != 0 }

// First returns the value of the first attribute of type t.
func (v *View) First(t Type) ([]byte, bool) {
	if v.count == 0 || v.first[t] == 0 {
		return nil, false
	}
	return v.value(int(v.first[t])), true
}

// Uint32 returns the first attribute of type t as a four-byte integer; false
// where there is none or it has another size.
func (v *View) Uint32(t Type) (uint32, bool) {
	b, ok := v.First(t)
	if !ok || len(b) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(b), true
}

// Count returns how many attributes of type t the packet carries.
func (v *View) Count(t Type) int {
	n := 0
	for range v.Each(t) {
		n++
	}
	return n
}

// All yields every attribute in the packet's order.
func (v *View) All() iter.Seq2[Type, []byte] {
	return func(yield func(Type, []byte) bool) {
		for _, at := range v.offset[:v.count] {
			if !yield(Type(v.packet[at]), v.value(int(at))) {
				return
			}
		}
	}
}

// Each yields the values of the attributes of type t in the packet's order.
func (v *View) Each(t Type) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if !v.Has(t) {
			return
		}
		for _, at := range v.offset[:v.count] {
			if Type(v.packet[at]) == t && !yield(v.value(int(at))) {
				return
			}
		}
	}
}

// Concat appends the values of all attributes of type t to dst: the content of
// an attribute that is sent in pieces, such as EAP-Message (RFC 3579 section
// 3.1).
func (v *View) Concat(dst []byte, t Type) []byte {
	for value := range v.Each(t) {
		dst = append(dst, value...)
	}
	return dst
}

// AppendExcept appends to dst the attributes as they stand in the packet, less
// those that leaveOut reports.
func (v *View) AppendExcept(dst []byte, leaveOut func(Type, []byte) bool) []byte {
	from := headerLen
	for _, at := range v.offset[:v.count] {
		if leaveOut(Type(v.packet[at]), v.value(int(at))) {
			dst = append(dst, v.packet[from:at]...)
			from = int(at) + int(v.packet[at+1])
		}
	}
	return append(dst, v.packet[from:]...)
}

// Contiguous reports whether the attributes of type t stand together, as RFC
// 3579 section 3.1 demands of EAP-Message. None or one always do.
func (v *View) Contiguous(t Type) bool {
	const before, inside, after = 0, 1, 2
	where := before
	for _, at := range v.offset[:v.count] {
		is := Type(v.packet[at]) == t
		switch {
		case is && where == after:
			return false
		case is:
			where = inside
		case where == inside:
			where = after
		}
	}
	return true
}

func (v *View) value(at int) []byte {
	end := at + int(v.packet[at+1])
	return v.packet[at+2 : end : end]
}
