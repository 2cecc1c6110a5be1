package state

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// errRow means that a row cannot be read.
var errRow = errors.New("not a readable row")

// Rows are protobuf messages without a schema file: a field that is empty or zero is left out, and a field of a later release is
// skipped by an earlier one. Numbers are varints, except fixed 64-bit ids.

// field is one field of a row: value for numbers, data for the rest.
type field struct {
	num   protowire.Number
	value uint64
	data  []byte
}

// next splits the first field off a row; ok is false if there is no sound one.
func next(b []byte) (f field, rest []byte, ok bool) {
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return f, nil, false
	}
	f.num = num
	b = b[n:]
	switch typ {
	case protowire.VarintType:
		f.value, n = protowire.ConsumeVarint(b)
	case protowire.Fixed64Type:
		f.value, n = protowire.ConsumeFixed64(b)
	case protowire.BytesType:
		f.data, n = protowire.ConsumeBytes(b)
	default:
		return f, nil, false
	}
	if n < 0 {
		return f, nil, false
	}
	return f, b[n:], true
}

func putNumber(dst []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	dst = protowire.AppendTag(dst, num, protowire.VarintType)
	return protowire.AppendVarint(dst, v)
}

func putFixed(dst []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	dst = protowire.AppendTag(dst, num, protowire.Fixed64Type)
	return protowire.AppendFixed64(dst, v)
}

func putData(dst []byte, num protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return dst
	}
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	return protowire.AppendBytes(dst, v)
}

func putFlag(dst []byte, num protowire.Number, v bool) []byte {
	if !v {
		return dst
	}
	return putNumber(dst, num, 1)
}

// docRow is the row of a document or user, in the memory of the row.
type docRow struct {
	id         uint64 // of users
	version    uint64
	createdAt  int64  // unix seconds
	createdBy  uint64 // symbol, plus one
	modifiedAt int64
	modifiedBy uint64 // symbol, plus one
	name       []byte // as written, if it differs from the key
	refs       []byte // symbols
	claims     []byte // claims, each with its length in front; an empty one is login/ and the key
	spec       []byte // of users: userSpec
	credential []byte // of users
}

// append appends the encoded row.
func (r *docRow) append(dst []byte) []byte {
	dst = putNumber(dst, 1, r.id)
	dst = putNumber(dst, 2, r.version)
	dst = putNumber(dst, 3, uint64(r.createdAt))
	dst = putNumber(dst, 4, r.createdBy)
	dst = putNumber(dst, 5, uint64(r.modifiedAt))
	dst = putNumber(dst, 6, r.modifiedBy)
	dst = putData(dst, 7, r.name)
	dst = putData(dst, 8, r.refs)
	dst = putData(dst, 9, r.claims)
	dst = putData(dst, 10, r.spec)
	return putData(dst, 11, r.credential)
}

// decode reads a row without copying.
func (r *docRow) decode(b []byte) error {
	*r = docRow{}
	for len(b) > 0 {
		f, rest, ok := next(b)
		if !ok {
			return fmt.Errorf("read document row: %w", errRow)
		}
		b = rest
		switch f.num {
		case 1:
			r.id = f.value
		case 2:
			r.version = f.value
		case 3:
			r.createdAt = int64(f.value)
		case 4:
			r.createdBy = f.value
		case 5:
			r.modifiedAt = int64(f.value)
		case 6:
			r.modifiedBy = f.value
		case 7:
			r.name = f.data
		case 8:
			r.refs = f.data
		case 9:
			r.claims = f.data
		case 10:
			r.spec = f.data
		case 11:
			r.credential = f.data
		}
	}
	return nil
}

// nextSymbol splits the first number off a list of symbols; ok is false at its end, and for what is no list.
func nextSymbol(b []byte) (n uint64, rest []byte, ok bool) {
	n, size := protowire.ConsumeVarint(b)
	if size < 0 {
		return 0, nil, false
	}
	return n, b[size:], true
}

// nextText splits the first text off a list of texts with their lengths in front.
func nextText(b []byte) (text, rest []byte, ok bool) {
	text, size := protowire.ConsumeBytes(b)
	if size < 0 {
		return nil, nil, false
	}
	return text, b[size:], true
}
