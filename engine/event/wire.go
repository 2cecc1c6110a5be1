package event

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"trine/engine/event/field"
)

// ErrFormat means that bytes are not an encoded proposal, event or body that this release can read.
var ErrFormat = errors.New("not a readable event record")

// Part tells the parts of a proposal apart.
type Part uint8

// The parts of a proposal.
const (
	PartExpectation Part = 1
	PartEvent       Part = 2
)

// NextPart splits the first part off a proposal that is not empty: an encoded expectation (see ParseExpectation) or an encoded
// event (see ParseEvent). Both results share the proposal's memory. It returns ErrFormat for anything else.
func NextPart(proposal []byte) (part Part, data, rest []byte, err error) {
	f, rest, ok := field.Next(proposal)
	if !ok || f.Type != protowire.BytesType || f.Num != 1 && f.Num != 2 {
		return 0, nil, nil, fmt.Errorf("read part of proposal: %w", ErrFormat)
	}
	return Part(f.Num), f.Data, rest, nil
}

// ExpectationView is an expectation as it stands in a proposal; Key shares the proposal's memory.
type ExpectationView struct {
	Kind  Expectation_Kind
	Key   []byte
	Value uint64
}

// ParseExpectation reads an encoded expectation. It returns ErrFormat for one of an unknown kind.
func ParseExpectation(data []byte) (ExpectationView, error) {
	var x ExpectationView
	for len(data) > 0 {
		f, rest, ok := field.Next(data)
		switch {
		case !ok:
			return x, fmt.Errorf("read expectation: %w", ErrFormat)
		case f.Num == 1 && f.Type == protowire.VarintType:
			x.Kind = Expectation_Kind(f.Value)
		case f.Num == 2 && f.Type == protowire.BytesType:
			x.Key = f.Data
		case f.Num == 3 && f.Type == protowire.VarintType:
			x.Value = f.Value
		default:
			return x, fmt.Errorf("read expectation field %d: %w", f.Num, ErrFormat)
		}
		data = rest
	}
	if x.Kind <= Expectation_UNSPECIFIED || x.Kind > Expectation_CREDENTIAL {
		return x, fmt.Errorf("read expectation of kind %d: %w", x.Kind, ErrFormat)
	}
	return x, nil
}

// Envelope is an event as it stands in a proposal or in history; it shares that memory.
type Envelope struct {
	Type    Type
	Class   Class
	Body    []byte
	streams []byte
}

// ParseEvent reads an encoded event's envelope. It does not look into the body and takes any type number.
func ParseEvent(data []byte) (Envelope, error) {
	var e Envelope
	for len(data) > 0 {
		f, rest, ok := field.Next(data)
		switch {
		case !ok:
			return e, fmt.Errorf("read event: %w", ErrFormat)
		case f.Num == 1 && f.Type == protowire.VarintType && f.Value <= 1<<32-1:
			e.Type = Type(f.Value)
		case f.Num == 2 && f.Type == protowire.VarintType && f.Value <= 1<<32-1:
			e.Class = Class(f.Value)
		case f.Num == 3 && f.Type == protowire.BytesType && len(f.Data)%8 == 0:
			e.streams = f.Data
		case f.Num == 4 && f.Type == protowire.BytesType:
			e.Body = f.Data
		default:
			return e, fmt.Errorf("read event field %d: %w", f.Num, ErrFormat)
		}
		data = rest
	}
	return e, nil
}

// StagedView is one piece of a staged proposal; it shares the body's memory.
type StagedView struct {
	Stage uint64
	Piece uint32
	parts []byte
}

// ParseStaged reads the body of a Staged event, and checks that its parts can be walked with Next.
func ParseStaged(body []byte) (StagedView, error) {
	var s StagedView
	s.parts = body
	for len(body) > 0 {
		f, rest, ok := field.Next(body)
		switch {
		case !ok:
			return s, fmt.Errorf("read staged piece: %w", ErrFormat)
		case f.Num == 1 && f.Type == protowire.Fixed64Type:
			s.Stage = f.Value
		case f.Num == 2 && f.Type == protowire.VarintType && f.Value <= 1<<32-1:
			s.Piece = uint32(f.Value)
		case (f.Num == 3 || f.Num == 4) && f.Type == protowire.BytesType:
		default:
			return s, fmt.Errorf("read staged piece field %d: %w", f.Num, ErrFormat)
		}
		body = rest
	}
	return s, nil
}

// Next splits the next part off the piece; ok is false at the end.
func (s *StagedView) Next() (part Part, data []byte, ok bool) {
	for len(s.parts) > 0 {
		f, rest, sound := field.Next(s.parts)
		if !sound {
			return 0, nil, false
		}
		s.parts = rest
		switch f.Num {
		case 3:
			return PartEvent, f.Data, true
		case 4:
			return PartExpectation, f.Data, true
		}
	}
	return 0, nil, false
}

// appendText appends a field of type string, which must be UTF-8: every byte that is not becomes U+FFFD, as otherwise no
// reader of history could read the message.
func appendText(dst []byte, num protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return dst
	}
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	if utf8.Valid(v) {
		return protowire.AppendBytes(dst, v)
	}
	return protowire.AppendString(dst, string([]rune(string(v))))
}
