package state

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"trine/engine/event/field"
)

// errRow means that a row cannot be read.
var errRow = errors.New("not a readable row")

// Rows are protobuf messages without a schema file: a field that is empty or zero is left out, and a field of a later release is
// skipped by an earlier one. Numbers are varints, except fixed 64-bit ids.

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
	dst = field.AppendNumber(dst, 1, r.id)
	dst = field.AppendNumber(dst, 2, r.version)
	dst = field.AppendNumber(dst, 3, uint64(r.createdAt))
	dst = field.AppendNumber(dst, 4, r.createdBy)
	dst = field.AppendNumber(dst, 5, uint64(r.modifiedAt))
	dst = field.AppendNumber(dst, 6, r.modifiedBy)
	dst = field.AppendBytes(dst, 7, r.name)
	dst = field.AppendBytes(dst, 8, r.refs)
	dst = field.AppendBytes(dst, 9, r.claims)
	dst = field.AppendBytes(dst, 10, r.spec)
	return field.AppendBytes(dst, 11, r.credential)
}

// decode reads a row without copying.
func (r *docRow) decode(b []byte) error {
	*r = docRow{}
	for len(b) > 0 {
		f, rest, ok := field.Next(b)
		if !ok {
			return fmt.Errorf("read document row: %w", errRow)
		}
		b = rest
		switch f.Num {
		case 1:
			r.id = f.Value
		case 2:
			r.version = f.Value
		case 3:
			r.createdAt = int64(f.Value)
		case 4:
			r.createdBy = f.Value
		case 5:
			r.modifiedAt = int64(f.Value)
		case 6:
			r.modifiedBy = f.Value
		case 7:
			r.name = f.Data
		case 8:
			r.refs = f.Data
		case 9:
			r.claims = f.Data
		case 10:
			r.spec = f.Data
		case 11:
			r.credential = f.Data
		}
	}
	return nil
}

// nextSymbol splits the first number off a list of symbols; ok is false at its end, and for what is no list.
func nextSymbol(b []byte) (n uint64, rest []byte, ok bool) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), b[1:], true
	}
	return nextLongSymbol(b)
}

func nextLongSymbol(b []byte) (n uint64, rest []byte, ok bool) {
	n, size := protowire.ConsumeVarint(b)
	if size < 0 {
		return 0, nil, false
	}
	return n, b[size:], true
}

// nextText splits the first text off a list of texts with their lengths in front.
func nextText(b []byte) (text, rest []byte, ok bool) {
	if len(b) > 0 && b[0] < 0x80 && int(b[0]) < len(b) {
		end := 1 + int(b[0])
		return b[1:end:end], b[end:], true
	}
	return nextLongText(b)
}

func nextLongText(b []byte) (text, rest []byte, ok bool) {
	text, size := protowire.ConsumeBytes(b)
	if size < 0 {
		return nil, nil, false
	}
	return text, b[size:], true
}
