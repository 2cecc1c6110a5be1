// Package field reads and writes the fields of protobuf messages one by one, without generated messages and without
// allocating: for events on the hot path and for the rows of views. A field that is empty or zero is left out.
package field

import (
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field is one field of an encoded message.
type Field struct {
	Num   protowire.Number
	Type  protowire.Type
	Value uint64 // of varints and fixed 32- and 64-bit fields
	Data  []byte // of length-delimited fields; it points into the message
}

// Next splits the first field off an encoded message; ok is false if there is no sound one. Groups are not sound.
func Next(b []byte) (f Field, rest []byte, ok bool) {
	// Most fields have a number below 16 and a value or a length of a byte, an event's body a length of two.
	if len(b) >= 2 && b[0] >= 1<<3 && b[0] < 0x80 {
		num, n, at := protowire.Number(b[0]>>3), int(b[1]), 2
		switch typ := protowire.Type(b[0] & 7); typ {
		case protowire.VarintType:
			if n < 0x80 {
				return Field{Num: num, Type: typ, Value: uint64(n)}, b[2:], true
			}
		case protowire.BytesType:
			if n >= 0x80 && len(b) > 2 {
				n, at = n&0x7f|int(b[2])<<7, 3
				if b[2] >= 0x80 {
					break
				}
			}
			if n <= len(b)-at {
				return Field{Num: num, Type: typ, Data: b[at : at+n : at+n]}, b[at+n:], true
			}
		case protowire.Fixed64Type:
			if len(b) >= 9 {
				return Field{Num: num, Type: typ, Value: binary.LittleEndian.Uint64(b[1:])}, b[9:], true
			}
		}
	}
	return next(b)
}

func next(b []byte) (f Field, rest []byte, ok bool) {
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return f, nil, false
	}
	f.Num, f.Type = num, typ
	b = b[n:]
	switch typ {
	case protowire.VarintType:
		f.Value, n = protowire.ConsumeVarint(b)
	case protowire.Fixed64Type:
		f.Value, n = protowire.ConsumeFixed64(b)
	case protowire.Fixed32Type:
		var v uint32
		v, n = protowire.ConsumeFixed32(b)
		f.Value = uint64(v)
	case protowire.BytesType:
		f.Data, n = protowire.ConsumeBytes(b)
	default:
		return f, nil, false
	}
	if n < 0 {
		return f, nil, false
	}
	return f, b[n:], true
}

// AppendNumber appends a varint.
func AppendNumber(dst []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	dst = protowire.AppendTag(dst, num, protowire.VarintType)
	return protowire.AppendVarint(dst, v)
}

// AppendFixed appends a fixed 64-bit field, as ids and hashes are.
func AppendFixed(dst []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	dst = protowire.AppendTag(dst, num, protowire.Fixed64Type)
	return protowire.AppendFixed64(dst, v)
}

// AppendBytes appends a length-delimited field.
func AppendBytes(dst []byte, num protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return dst
	}
	if num < 16 && len(v) < 0x80 {
		dst = append(dst, byte(num)<<3|byte(protowire.BytesType), byte(len(v)))
		return append(dst, v...)
	}
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	return protowire.AppendBytes(dst, v)
}

// AppendFlag appends a bool.
func AppendFlag(dst []byte, num protowire.Number, v bool) []byte {
	if !v {
		return dst
	}
	return AppendNumber(dst, num, 1)
}
