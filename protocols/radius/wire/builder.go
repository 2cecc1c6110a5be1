package wire

import (
	"crypto/rand"
	"encoding/binary"
	mathrand "math/rand/v2"
)

// Builder writes one packet after another into buffers of its caller. The first
// fault sticks: everything after it is ignored, and Finish returns it, so that
// a packet is whole or is not sent. The zero Builder is ready for Reply or
// Request.
type Builder struct {
	buf       []byte
	limit     int
	secret    *Secret
	request   [AuthenticatorLen]byte // what hidden values and signatures go by
	signature int                    // offset of the Message-Authenticator's value; 0 is none
	salt      uint32                 // the latest, above its 16 bits a mark that one was drawn
	reply     bool
	fault     Fault
	later     *Replies // completes the packet together with others; nil: Finish does
}

// Reply begins the answer to a request: its identifier, and for every code but
// the accounting and dynamic authorization ones a Message-Authenticator in
// front of all other attributes. buf's capacity, at most 4,096 bytes of it, is
// the limit; its content is overwritten.
func (b *Builder) Reply(buf []byte, code Code, to *View, secret *Secret) {
	b.ReplyTo(buf, code, to.ID(), to.Authenticator(), secret)
}

// ReplyTo is Reply for a caller that kept only the identifier and authenticator
// of the request.
func (b *Builder) ReplyTo(buf []byte, code Code, id uint8, authenticator *[AuthenticatorLen]byte, secret *Secret) {
	b.begin(buf, code, id, secret)
	b.reply = true
	b.request = *authenticator
	if b.fault != OK {
		return
	}
	copy(b.buf[4:], authenticator[:]) // as both digests of a reply want it
	if code.carriesSignature() {
		b.Sign()
	}
}

// Request begins a request with an identifier. An Access-Request or
// Status-Server gets a random authenticator and a Message-Authenticator in
// front; the authenticator of an accounting, CoA or Disconnect request is
// computed by Finish.
func (b *Builder) Request(buf []byte, code Code, id uint8, secret *Secret) {
	b.begin(buf, code, id, secret)
	if b.fault != OK || code.signsRequest() {
		return
	}
	// Read never fails: it ends the process instead.
	_, _ = rand.Read(b.request[:])
	copy(b.buf[4:], b.request[:])
	if code.carriesSignature() {
		b.Sign()
	}
}

// UnsignedRequest is Request without the Message-Authenticator, as old clients
// send it.
func (b *Builder) UnsignedRequest(buf []byte, code Code, id uint8, secret *Secret) {
	b.Request(buf, code, id, secret)
	if b.signature != 0 {
		b.buf, b.signature = b.buf[:headerLen], 0
	}
}

// SetAuthenticator replaces the random authenticator of a request. It must come
// before anything is hidden under it.
func (b *Builder) SetAuthenticator(authenticator *[AuthenticatorLen]byte) {
	if !b.open() || b.reply {
		return
	}
	b.request = *authenticator
	copy(b.buf[4:], authenticator[:])
}

// Authenticator returns the request authenticator: of a request begun with
// Request the one that its answer is verified with, which for accounting is
// right only after Finish.
func (b *Builder) Authenticator() *[AuthenticatorLen]byte { return &b.request }

// Sign reserves a Message-Authenticator at this place, once a packet, for
// packets that do not get one of themselves. Finish fills it.
func (b *Builder) Sign() {
	if b.signature != 0 {
		return
	}
	var zero [AuthenticatorLen]byte
	b.Attr(MessageAuthenticator, zero[:])
	if b.fault == OK {
		b.signature = len(b.buf) - AuthenticatorLen
	}
}

// Err returns the fault that sticks, or OK.
func (b *Builder) Err() Fault { return b.fault }

// Len returns the packet's length in bytes so far.
func (b *Builder) Len() int { return len(b.buf) }

// Room returns how many bytes of attributes still fit.
func (b *Builder) Room() int { return b.limit - len(b.buf) }

// Attr appends an attribute. A value above 253 bytes is ValueTooLong.
func (b *Builder) Attr(t Type, value []byte) {
	if b.grow(t, len(value)) {
		b.buf = append(b.buf, value...)
	}
}

// Text appends an attribute with a string's bytes.
func (b *Builder) Text(t Type, value string) {
	if b.grow(t, len(value)) {
		b.buf = append(b.buf, value...)
	}
}

// Uint32 appends an attribute of four bytes: an integer, a time in seconds or
// an IPv4 address.
func (b *Builder) Uint32(t Type, value uint32) {
	if b.grow(t, 4) {
		b.buf = binary.BigEndian.AppendUint32(b.buf, value)
	}
}

// Split appends a value in as many attributes as it takes, such as EAP-Message
// (RFC 3579 section 3.1). An empty value appends nothing.
func (b *Builder) Split(t Type, value []byte) {
	for len(value) > 0 {
		n := min(len(value), MaxValue)
		b.Attr(t, value[:n])
		value = value[n:]
	}
}

// Encoded appends attributes that are encoded already. The caller vouches for
// their form.
func (b *Builder) Encoded(attributes []byte) {
	if b.reserve(len(attributes)) {
		b.buf = append(b.buf, attributes...)
	}
}

// ProxyStates appends the Proxy-State attributes of a request unmodified and in
// order, RFC 2865 section 5.33.
func (b *Builder) ProxyStates(of *View) {
	if !of.Has(ProxyState) {
		return
	}
	for i := range of.Len() {
		if t, _ := of.At(i); t == ProxyState {
			b.Encoded(of.Raw(i))
		}
	}
}

// VSA appends a vendor's attribute in the standard layout, alone in its
// Vendor-Specific attribute. A value above 247 bytes is ValueTooLong.
func (b *Builder) VSA(vendor uint32, t uint8, value []byte) {
	b.Vendor(vendor, StandardFormat(), uint32(t), value)
}

// Vendor appends a vendor's attribute in layout f. Where f has continuations, a
// value too long for one attribute is spread over several.
func (b *Builder) Vendor(vendor uint32, f Format, t uint32, value []byte) {
	room := MaxValue - 4 - f.Header()
	for {
		n := len(value)
		if n > room && f.Continuation {
			n = room
		}
		if !f.Valid() || !b.grow(VendorSpecific, 4+f.Header()+n) {
			b.fail(ValueTooLong)
			return
		}
		b.buf = binary.BigEndian.AppendUint32(b.buf, vendor)
		b.buf = f.appendHeader(b.buf, t, n, n < len(value))
		b.buf = append(b.buf, value[:n]...)
		if value = value[n:]; len(value) == 0 {
			return
		}
	}
}

// AppendHeader appends to dst what stands in front of a vendor attribute's n
// bytes of value.
func (f Format) AppendHeader(dst []byte, t uint32, n int) []byte {
	return f.appendHeader(dst, t, n, false)
}

func (f Format) appendHeader(dst []byte, t uint32, n int, more bool) []byte {
	switch f.Type {
	case 1:
		dst = append(dst, byte(t))
	case 2:
		dst = binary.BigEndian.AppendUint16(dst, uint16(t))
	default:
		dst = binary.BigEndian.AppendUint32(dst, t)
	}
	switch size := f.Header() + n; f.Length {
	case 1:
		dst = append(dst, byte(size))
	case 2:
		dst = binary.BigEndian.AppendUint16(dst, uint16(size))
	}
	if f.Continuation {
		var flags byte
		if more {
			flags = 0x80
		}
		dst = append(dst, flags)
	}
	return dst
}

// Extended appends an extended attribute of RFC 6929. In a long type a value is
// spread over fragments as needed; in the others one above 252 bytes is
// ValueTooLong.
func (b *Builder) Extended(base, t uint8, value []byte) {
	if !Type(base).IsLong() {
		if b.grow(Type(base), 1+len(value)) {
			b.buf = append(append(b.buf, t), value...)
		}
		return
	}
	for {
		n := min(len(value), MaxValue-2)
		var flags byte
		if n < len(value) {
			flags = longMore
		}
		if !b.grow(Type(base), 2+n) {
			return
		}
		b.buf = append(append(b.buf, t, flags), value[:n]...)
		if value = value[n:]; len(value) == 0 {
			return
		}
	}
}

// Hidden appends an attribute whose value is encrypted for this packet. header
// is everything in front of the encrypted part, tag or vendor header included,
// with its length bytes already counting Hiding.HiddenLen of the value. Each
// salted value of a packet gets a salt of its own.
func (b *Builder) Hidden(h Hiding, header, value []byte) {
	n := len(header) + h.HiddenLen(len(value))
	if len(header) < 2 || int(header[1]) != n || !h.fits(len(value)) {
		b.fail(ValueTooLong)
		return
	}
	if !b.reserve(n) {
		return
	}
	if b.salt == 0 {
		b.salt = mathrand.Uint32() | 1<<16
	}
	b.salt++
	b.buf = append(b.buf, header...)
	start := len(b.buf)
	b.buf = h.appendClear(b.buf, value, uint16(b.salt))
	if b.later == nil || !b.later.hide(h, start, len(b.buf)) {
		b.secret.encrypt(h, b.buf[start:], &b.request)
	}
}

// HiddenAttr appends an encrypted attribute without tag or vendor.
func (b *Builder) HiddenAttr(h Hiding, t Type, value []byte) {
	n := 2 + h.HiddenLen(len(value))
	if n > 2+MaxValue {
		b.fail(ValueTooLong)
		return
	}
	b.Hidden(h, []byte{byte(t), byte(n)}, value)
}

// HiddenVSA appends an encrypted vendor's attribute in the standard layout,
// such as the MS-MPPE keys of RFC 2548 section 2.4.
func (b *Builder) HiddenVSA(h Hiding, vendor uint32, t uint8, value []byte) {
	n := msVendorTypeBytes + h.HiddenLen(len(value))
	if n > MaxValue {
		b.fail(ValueTooLong)
		return
	}
	header := [2 + msVendorTypeBytes]byte{byte(VendorSpecific), byte(2 + n), 6: t, 7: byte(n - 4)}
	binary.BigEndian.PutUint32(header[2:], vendor)
	b.Hidden(h, header[:], value)
}

// TunnelPassword appends a Tunnel-Password with a tag, 0 for none, RFC 2868
// section 3.5.
func (b *Builder) TunnelPassword(tag uint8, password []byte) {
	n := 3 + HideSalted.HiddenLen(len(password))
	if n > 2+MaxValue {
		b.fail(ValueTooLong)
		return
	}
	b.Hidden(HideSalted, []byte{byte(TunnelPassword), byte(n), tag}, password)
}

// Finish completes the packet and returns it, a part of the buffer given at the
// beginning: its Length, its Message-Authenticator, computed with the request
// authenticator in place, and then its own authenticator. A fault met on the
// way is returned with no packet. The Builder must be begun anew afterwards.
func (b *Builder) Finish() ([]byte, Fault) {
	if b.later != nil { // it may hold what is still to be hidden
		b.fail(NotBegun)
	}
	p, fault := b.close()
	if fault == OK {
		b.complete(p)
	}
	return p, fault
}

// close ends the packet, whose authenticators are still to be computed.
func (b *Builder) close() ([]byte, Fault) {
	if !b.open() {
		b.fail(NotBegun)
		return nil, b.fault
	}
	p := b.buf
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	b.buf = nil
	b.fault = NotBegun
	return p[:len(p):len(p)], OK
}

// complete computes the Message-Authenticator and then the authenticator.
func (b *Builder) complete(p []byte) {
	if b.signature != 0 {
		sum := b.secret.sign(p, &b.request, b.signature)
		copy(p[b.signature:], sum[:])
	}
	if code := Code(p[0]); !b.reply && !code.signsRequest() {
		return
	}
	sum := b.secret.digest(p, &b.request)
	copy(p[4:headerLen], sum[:])
	if !b.reply {
		b.request = sum
	}
}

func (b *Builder) begin(buf []byte, code Code, id uint8, secret *Secret) {
	*b = Builder{limit: min(cap(buf), MaxPacket), secret: secret}
	if b.limit < headerLen {
		b.fault = PacketFull
		return
	}
	b.buf = buf[:headerLen]
	clear(b.buf)
	b.buf[0], b.buf[1] = byte(code), id
}

// open reports whether a packet is being written and nothing has failed.
func (b *Builder) open() bool {
	if b.buf == nil && b.fault == OK {
		b.fault = NotBegun
	}
	return b.fault == OK
}

// fail records a fault unless one is there already.
func (b *Builder) fail(f Fault) {
	if b.open() {
		b.fault = f
	}
}

// reserve reports whether n more bytes may be appended.
func (b *Builder) reserve(n int) bool {
	if !b.open() {
		return false
	}
	if n > b.Room() {
		b.fault = PacketFull
		return false
	}
	return true
}

// grow appends the two-byte header of an attribute with n bytes of value.
func (b *Builder) grow(t Type, n int) bool {
	if n > MaxValue {
		b.fail(ValueTooLong)
		return false
	}
	if !b.reserve(2 + n) {
		return false
	}
	b.buf = append(b.buf, byte(t), byte(2+n))
	return true
}
