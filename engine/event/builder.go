package event

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"trine/engine/event/field"
)

// Builder writes a proposal into a buffer that it keeps from one proposal to the next. The zero value is an empty proposal.
// A Builder is used by one goroutine at a time.
type Builder struct {
	buf  []byte
	body []byte
}

// Reset empties the proposal. Bytes handed out before are overwritten by what comes next.
func (b *Builder) Reset() { b.buf = b.buf[:0] }

// Len returns the encoded size of the proposal so far, in bytes.
func (b *Builder) Len() int { return len(b.buf) }

// Bytes returns the encoded proposal. It is valid until the next call of another method.
func (b *Builder) Bytes() []byte { return b.buf }

// Expect adds an expectation. Keys are made by Key, except where Expectation says otherwise.
func (b *Builder) Expect(kind Expectation_Kind, key string, value uint64) {
	expect(b, kind, key, value)
}

// ExpectBytes is Expect for a key that is at hand as bytes; it does not allocate.
func (b *Builder) ExpectBytes(kind Expectation_Kind, key []byte, value uint64) {
	expect(b, kind, key, value)
}

func expect[T ~string | ~[]byte](b *Builder, kind Expectation_Kind, key T, value uint64) {
	b.body = field.AppendNumber(b.body[:0], 1, uint64(kind))
	b.body = protowire.AppendTag(b.body, 2, protowire.BytesType)
	b.body = protowire.AppendVarint(b.body, uint64(len(key)))
	b.body = append(b.body, key...)
	b.body = field.AppendNumber(b.body, 3, value)
	b.buf = field.AppendBytes(b.buf, protowire.Number(PartExpectation), b.body)
}

// Add adds an event with its stream keys (see StreamKey). It fails, and adds nothing, if the message is not the one of the
// type, or if one of its texts is not UTF-8.
func (b *Builder) Add(t Type, c Class, streams []uint64, m proto.Message) error {
	if want := TypeOf(m); want != t {
		return fmt.Errorf("encode %T as event type %d: its type is %d", m, t, want)
	}
	body, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(b.body[:0], m)
	if err != nil {
		return fmt.Errorf("encode %s: %w", t, err)
	}
	b.body = body
	b.AddBody(t, c, streams, body)
	return nil
}

// AddAccounted adds an accounting record; its stream keys follow from it. It does not allocate once the buffers have grown.
func (b *Builder) AddAccounted(v *AccountedView) {
	b.body = AppendAccounted(b.body[:0], v)
	b.AddBody(TypeAccounted, ClassAccounting, nil, b.body)
}

// AddDecided adds a login decision; its stream keys follow from it. It does not allocate once the buffers have grown.
func (b *Builder) AddDecided(v *DecidedView) {
	b.body = AppendDecided(b.body[:0], v)
	b.AddBody(TypeDecided, ClassDecision, nil, b.body)
}

// AddLoginFailed adds a failure; its stream keys follow from it. It does not allocate once the buffers have grown.
func (b *Builder) AddLoginFailed(v *LoginFailedView) {
	b.body = AppendLoginFailed(b.body[:0], v)
	b.AddBody(TypeLoginFailed, ClassDecision, nil, b.body)
}

// AddBody adds an event whose body is encoded already.
func (b *Builder) AddBody(t Type, c Class, streams []uint64, body []byte) {
	size := eventSize(t, c, streams, body)
	b.buf = protowire.AppendTag(b.buf, protowire.Number(PartEvent), protowire.BytesType)
	b.buf = protowire.AppendVarint(b.buf, uint64(size))
	b.buf = appendEvent(b.buf, t, c, streams, body)
}

// AddEvent adds an event that is encoded already, envelope included, such as one read back from history.
func (b *Builder) AddEvent(data []byte) {
	b.buf = protowire.AppendTag(b.buf, protowire.Number(PartEvent), protowire.BytesType)
	b.buf = protowire.AppendBytes(b.buf, data)
}

// eventSize returns how many bytes appendEvent appends.
func eventSize(t Type, c Class, streams []uint64, body []byte) int {
	n := 2 + protowire.SizeVarint(uint64(t)) + protowire.SizeVarint(uint64(c))
	if len(streams) > 0 {
		n += 1 + protowire.SizeBytes(8*len(streams))
	}
	if len(body) > 0 {
		n += 1 + protowire.SizeBytes(len(body))
	}
	return n
}

// appendEvent appends an encoded Event.
func appendEvent(dst []byte, t Type, c Class, streams []uint64, body []byte) []byte {
	dst = protowire.AppendTag(dst, 1, protowire.VarintType)
	dst = protowire.AppendVarint(dst, uint64(t))
	dst = protowire.AppendTag(dst, 2, protowire.VarintType)
	dst = protowire.AppendVarint(dst, uint64(c))
	if len(streams) > 0 {
		dst = protowire.AppendTag(dst, 3, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(8*len(streams)))
		for _, s := range streams {
			dst = protowire.AppendFixed64(dst, s)
		}
	}
	return field.AppendBytes(dst, 4, body)
}
