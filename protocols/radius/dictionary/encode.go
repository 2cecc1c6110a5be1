package dictionary

import (
	"encoding/binary"
	"errors"
	"fmt"

	"trine/protocols/radius/wire"
)

// MaxTag is the largest tag, RFC 2868 section 3.1. Tag 0 is none.
const MaxTag = 0x1f

var (
	// ErrHidden is returned for an attribute that is encrypted anew for each
	// packet and so cannot be encoded by itself: use AppendTo or a Template.
	ErrHidden = errors.New("attribute is encrypted for each packet")
	// ErrTag is returned for a tag on an attribute that takes none, or above
	// MaxTag.
	ErrTag = errors.New("attribute does not take this tag")
	// ErrTooLong is returned for a value that does not fit into its attribute.
	ErrTooLong = errors.New("value does not fit into the attribute")
)

// Encode appends the whole attribute to dst: type, length and value, with its
// tag, inside its vendor's, extended or outer attribute, and in several
// attributes where the value is long and the attribute allows for it. On an
// error, which is or wraps one of this package's, dst comes back as it was.
func (a *Attribute) Encode(dst []byte, value string, tag uint8) ([]byte, error) {
	if a.Hiding != wire.Clear {
		return dst, fmt.Errorf("%w: %s", ErrHidden, a.Name)
	}
	var fixed [512]byte
	body, err := a.appendBody(fixed[:0], value, tag)
	if err != nil {
		return dst, err
	}
	return a.top().wrap(dst, body)
}

// AppendTo appends the attribute to a packet, encrypted for it where need be. A
// packet that is full is the Builder's fault and shows there.
func (a *Attribute) AppendTo(b *wire.Builder, value string, tag uint8) error {
	if a.plain() && tag == 0 && len(value) <= wire.MaxValue {
		b.Text(wire.Type(a.Number), value) // as most values of people are
		return nil
	}
	return a.appendTo(b, value, tag)
}

// plain reports whether the value is the text itself, behind type and length.
func (a *Attribute) plain() bool {
	return a.Type == String && !a.Tagged && a.Hiding == wire.Clear && a.Vendor == nil && a.Parent == nil && a.Base == 0
}

func (a *Attribute) appendTo(b *wire.Builder, value string, tag uint8) error {
	var fixed, whole [512]byte
	if a.Hiding == wire.Clear {
		body, err := a.appendBody(fixed[:0], value, tag)
		if err != nil {
			return err
		}
		encoded, err := a.top().wrap(whole[:0], body)
		if err != nil {
			return err
		}
		b.Encoded(encoded)
		return nil
	}
	header, secret, err := a.hidden(whole[:0], fixed[:0], value, tag)
	if err != nil {
		return err
	}
	b.Hidden(a.Hiding, header, secret)
	clear(fixed[:])
	return nil
}

// hidden returns what wire.Builder's Hidden takes: everything in front of the
// encrypted part, appended to header, and the clear value, appended to secret.
func (a *Attribute) hidden(header, secret []byte, value string, tag uint8) (front, clearText []byte, err error) {
	if err := a.checkTag(tag); err != nil {
		return nil, nil, err
	}
	if a.Parent != nil || a.Base != 0 {
		return nil, nil, fmt.Errorf("%w: %s: encrypted attributes inside others are not supported", ErrValue, a.Name)
	}
	secret, err = a.appendValue(secret, value)
	if err != nil {
		return nil, nil, err
	}
	n := a.Hiding.HiddenLen(len(secret))
	if a.Hiding == wire.HideUserPassword && len(secret) > 128 || a.Hiding == wire.HideAscend && len(secret) > 16 {
		return nil, nil, a.tooLong(len(secret))
	}
	if a.Tagged {
		n++
	}
	header, ok := a.appendHeader(header, n)
	if !ok {
		return nil, nil, a.tooLong(len(secret))
	}
	if a.Tagged {
		header = append(header, tag)
	}
	return header, secret, nil
}

// appendBody appends the value with its tag, inside the attributes that are
// between it and its top.
func (a *Attribute) appendBody(dst []byte, value string, tag uint8) ([]byte, error) {
	if err := a.checkTag(tag); err != nil {
		return dst, err
	}
	start := len(dst)
	depth := 0
	for p := a; p != a.top(); p = p.Parent {
		depth++
	}
	var zero [2 * maxPath]byte
	dst = append(dst, zero[:2*depth]...)
	at := len(dst)
	if a.Tagged && a.Type != Integer {
		dst = append(dst, tag)
	}
	dst, err := a.appendValue(dst, value)
	if err != nil {
		return dst[:start], err
	}
	switch {
	case a.Tagged && a.Type == Integer:
		dst[at] = tag
	case a.Tagged && tag == 0 && len(dst) > at+1 && dst[at+1] > MaxTag:
		dst = append(dst[:at], dst[at+1:]...) // no tag, and no byte that looks like one
	}
	for p := a; p != a.top(); p = p.Parent {
		at -= 2
		n := len(dst) - at
		if n > 255 {
			return dst[:start], a.tooLong(n)
		}
		dst[at], dst[at+1] = byte(p.Number), byte(n)
	}
	return dst, nil
}

func (a *Attribute) checkTag(tag uint8) error {
	if tag > MaxTag {
		return fmt.Errorf("%w: %s: tag %d is above %d", ErrTag, a.Name, tag, MaxTag)
	}
	if tag > 0 && !a.Tagged {
		return fmt.Errorf("%w: %s has no tags", ErrTag, a.Name)
	}
	return nil
}

func (a *Attribute) tooLong(n int) error {
	return fmt.Errorf("%w: %s: %d bytes", ErrTooLong, a.Name, n)
}

// extended returns the extended type that a top attribute is in, the type
// inside, and true; false for the other attributes.
func (a *Attribute) extended() (base wire.Type, inside uint8, ok bool) {
	switch {
	case a.Base != 0:
		return a.Base, 26, true
	case a.Parent != nil && (a.Parent.Type == Extended || a.Parent.Type == LongExtended):
		return wire.Type(a.Parent.Number), uint8(a.Number), true
	}
	return 0, 0, false
}

// wrap appends the attribute that carries body, which belongs to a top attribute.
func (a *Attribute) wrap(dst, body []byte) ([]byte, error) {
	base, inside, isExtended := a.extended()
	switch {
	case isExtended && base.IsLong():
		if a.Base != 0 {
			front := binary.BigEndian.AppendUint32(make([]byte, 0, 5+len(body)), a.Vendor.Number)
			body = append(append(front, byte(a.Number)), body...)
		}
		return appendLong(dst, base, inside, body), nil
	case !isExtended && a.Vendor != nil && a.Vendor.Format.Continuation:
		return a.appendContinued(dst, body)
	case a.Concat && !isExtended && a.Vendor == nil:
		for {
			n := min(len(body), wire.MaxValue)
			dst = append(append(dst, byte(a.Number), byte(2+n)), body[:n]...)
			if body = body[n:]; len(body) == 0 {
				return dst, nil
			}
		}
	}
	header, ok := a.appendHeader(dst, len(body))
	if !ok {
		return dst, a.tooLong(len(body))
	}
	return append(header, body...), nil
}

// appendHeader appends what stands in front of n bytes in one attribute; false
// where they do not fit.
func (a *Attribute) appendHeader(dst []byte, n int) ([]byte, bool) {
	start := len(dst)
	base, inside, isExtended := a.extended()
	switch {
	case isExtended:
		dst = append(dst, byte(base), 0, inside)
		if base.IsLong() {
			dst = append(dst, 0)
		}
		if a.Base != 0 {
			dst = append(binary.BigEndian.AppendUint32(dst, a.Vendor.Number), byte(a.Number))
		}
	case a.Vendor != nil:
		dst = append(dst, byte(wire.VendorSpecific), 0)
		dst = binary.BigEndian.AppendUint32(dst, a.Vendor.Number)
		dst = a.Vendor.Format.AppendHeader(dst, a.Number, n)
	default:
		dst = append(dst, byte(a.Number), 0)
	}
	size := len(dst) - start + n
	if size > 2+wire.MaxValue {
		return dst[:start], false
	}
	dst[start+1] = byte(size)
	return dst, true
}

// appendContinued spreads a body over attributes with continuation flags.
func (a *Attribute) appendContinued(dst, body []byte) ([]byte, error) {
	room := wire.MaxValue - 4 - a.Vendor.Format.Header()
	for {
		n := min(len(body), room)
		dst, _ = a.appendHeader(dst, n) // it fits
		if n < len(body) {
			dst[len(dst)-1] |= 0x80
		}
		dst = append(dst, body[:n]...)
		if body = body[n:]; len(body) == 0 {
			return dst, nil
		}
	}
}

// appendLong spreads a body over fragments, RFC 6929 section 2.2.
func appendLong(dst []byte, base wire.Type, inside uint8, body []byte) []byte {
	for {
		n := min(len(body), wire.MaxValue-2)
		var more byte
		if n < len(body) {
			more = 0x80
		}
		dst = append(append(dst, byte(base), byte(4+n), inside, more), body[:n]...)
		if body = body[n:]; len(body) == 0 {
			return dst
		}
	}
}
