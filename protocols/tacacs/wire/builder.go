package wire

import "encoding/binary"

// Builder writes one packet after another into buffers of its caller. A packet
// is begun with the method that is named as its message, which takes a buffer
// and a header; the buffer's capacity is the limit, and its content is
// overwritten. Of the header, Length and Unencrypted are set by Finish. Then come
// the message's parts in its order: ServerMsg, Data, arguments. The first fault
// sticks: everything after it is ignored, and Finish returns it, so that a packet
// is whole or is not sent. A Builder writes nothing that Parse would refuse
// without quirks. The zero Builder is ready to begin.
type Builder struct {
	buf     []byte // header, fixed part, texts, and arguments without their lengths
	header  Header
	kind    Kind
	fixed   int // where the fixed part ends in buf
	part    part
	message int
	data    int
	args    int // where the arguments begin in buf
	count   int
	lengths [maxArguments]byte
	fault   Fault
}

// part is how far a message has come.
type part uint8

const (
	inMessage part = iota
	inData
	inArgs
	noParts // of a message that is written at once
)

// AuthenStart writes an authentication START.
func (b *Builder) AuthenStart(buf []byte, h Header, s *AuthenStart) {
	if !b.begin(buf, h, KindAuthenStart, startFixed, noParts) {
		return
	}
	f := s.ranges()
	if f == OK {
		f = s.combination(h.Version)
	}
	if f == OK {
		f = texts(s.User, s.Port, s.RemAddr)
	}
	b.fail(f)
	p := b.buf[HeaderLen:]
	p[0], p[1], p[2], p[3] = byte(s.Action), s.PrivLvl, byte(s.Type), byte(s.Service)
	p[4], p[5], p[6], p[7] = b.field(s.User), b.field(s.Port), b.field(s.RemAddr), b.field(s.Data)
}

// AuthenContinue writes an authentication CONTINUE.
func (b *Builder) AuthenContinue(buf []byte, h Header, c *AuthenContinue) {
	if !b.begin(buf, h, KindAuthenContinue, continueFixed, noParts) {
		return
	}
	if len(c.UserMsg) > maxText || len(c.Data) > maxText {
		b.fail(FieldLong)
		return
	}
	if !b.reserve(len(c.UserMsg) + len(c.Data)) {
		return
	}
	p := b.buf[HeaderLen:]
	binary.BigEndian.PutUint16(p, uint16(len(c.UserMsg)))
	binary.BigEndian.PutUint16(p[2:], uint16(len(c.Data)))
	if c.Abort {
		p[4] = continueAbort
	}
	b.buf = append(append(b.buf, c.UserMsg...), c.Data...)
}

// AuthenReply begins an authentication REPLY. AuthenFollow is StatusUnknown: it
// is never sent.
func (b *Builder) AuthenReply(buf []byte, h Header, status AuthenStatus, noEcho bool) {
	if !b.begin(buf, h, KindAuthenReply, replyFixed, inMessage) {
		return
	}
	if !status.known() || status == AuthenFollow {
		b.fail(StatusUnknown)
		return
	}
	b.buf[HeaderLen] = byte(status)
	if noEcho {
		b.buf[HeaderLen+1] = replyNoEcho
	}
}

// AuthorRequest begins an authorization REQUEST with the arguments of r, to which
// more may be added.
func (b *Builder) AuthorRequest(buf []byte, h Header, r *AuthorRequest) {
	if b.begin(buf, h, KindAuthorRequest, requestFixed, inArgs) {
		b.request(b.buf[HeaderLen:], r)
	}
}

// AuthorResponse begins an authorization RESPONSE. AuthorFollow is StatusUnknown:
// it is never sent.
func (b *Builder) AuthorResponse(buf []byte, h Header, status AuthorStatus) {
	if !b.begin(buf, h, KindAuthorResponse, responseFixed, inMessage) {
		return
	}
	if !status.known() || status == AuthorFollow {
		b.fail(StatusUnknown)
		return
	}
	b.buf[HeaderLen] = byte(status)
}

// AcctRequest begins an accounting REQUEST with the arguments of r, to which
// more may be added.
func (b *Builder) AcctRequest(buf []byte, h Header, r *AcctRequest) {
	if !b.begin(buf, h, KindAcctRequest, 1+requestFixed, inArgs) {
		return
	}
	if !r.Flags.known() {
		b.fail(AcctFlagsInvalid)
		return
	}
	b.buf[HeaderLen] = byte(r.Flags)
	b.request(b.buf[HeaderLen+1:], &r.AuthorRequest)
}

// AcctReply begins an accounting REPLY. AcctFollow is StatusUnknown: it is never
// sent.
func (b *Builder) AcctReply(buf []byte, h Header, status AcctStatus) {
	if !b.begin(buf, h, KindAcctReply, acctReplyFixed, inMessage) {
		return
	}
	if !status.known() || status == AcctFollow {
		b.fail(StatusUnknown)
		return
	}
	b.buf[HeaderLen+4] = byte(status)
}

// ErrorReply begins the reply of the header's type with status ERROR, which says
// that a request was not processed: the client goes on as if the server could
// not be reached, RFC 8907 section 4.4.
func (b *Builder) ErrorReply(buf []byte, h Header) {
	switch h.Type {
	case Authorization:
		b.AuthorResponse(buf, h, AuthorError)
	case Accounting:
		b.AcctReply(buf, h, AcctError)
	default:
		b.AuthenReply(buf, h, AuthenError, false)
	}
}

// ServerMsg appends to the text that the person sees. It is sent as printable
// US-ASCII, which is all that RFC 8907 section 3.7 allows: tabs become spaces,
// and other characters beyond it question marks. Ends of lines stay in an
// authentication REPLY, where terminals show banners and prompts as they come and
// every server sends them so; elsewhere they become spaces.
func (b *Builder) ServerMsg(text string) {
	if b.reach(inMessage) {
		b.message += b.text(text)
		b.fits(b.message)
	}
}

// Data appends to the text for an administrator's log, sent as printable US-ASCII
// as ServerMsg is; of an authentication REPLY it is arbitrary bytes, which are
// sent as they are.
func (b *Builder) Data(text string) {
	if !b.reach(inData) {
		return
	}
	if b.kind == KindAuthenReply {
		if b.reserve(len(text)) {
			b.buf = append(b.buf, text...)
			b.data += len(text)
		}
	} else {
		b.data += b.text(text)
	}
	b.fits(b.data)
}

// Arg appends an argument as it is written, such as priv-lvl=15.
func (b *Builder) Arg(text []byte) {
	if b.room(len(text)) {
		b.buf = append(b.buf, text...)
		b.argument(len(text))
	}
}

// Args appends all arguments of another message.
func (b *Builder) Args(a Args) {
	for text := range a.Raw() {
		b.Arg(text)
	}
}

// Pair appends an argument made of a name and a value. A name with a separator is
// SeparatorInName.
func (b *Builder) Pair(name, value string, isOptional bool) {
	for i := range len(name) {
		if name[i] == mandatory || name[i] == optional {
			b.fail(SeparatorInName)
			return
		}
	}
	if !b.room(len(name) + 1 + len(value)) {
		return
	}
	separator := byte(mandatory)
	if isOptional {
		separator = optional
	}
	b.buf = append(b.buf, name...)
	b.buf = append(b.buf, separator)
	b.buf = append(b.buf, value...)
	b.argument(len(name) + 1 + len(value))
}

// Err returns the fault that sticks, or OK.
func (b *Builder) Err() Fault { return b.fault }

// Finish completes the packet and returns it, a part of the buffer given at the
// beginning, obfuscated with secret. Without one it is in clear and says so, as
// it must within TLS. A fault met on the way is returned with no packet. The
// Builder must begin anew afterwards.
func (b *Builder) Finish(secret *Secret) ([]byte, Fault) {
	p, f := b.close(secret == nil)
	if f == OK && secret != nil {
		secret.Obfuscate(p)
	}
	return p, f
}

// FinishIn is Finish for a packet that is obfuscated together with others: it
// is in clear until Run of pads, which must not be Full.
func (b *Builder) FinishIn(pads *Pads, secret *Secret) ([]byte, Fault) {
	p, f := b.close(false)
	if f == OK {
		pads.Add(secret, p)
	}
	return p, f
}

func (b *Builder) close(clear bool) ([]byte, Fault) {
	if b.open() && b.kind == KindAuthorRequest {
		b.fail(Args{lengths: b.lengths[:b.count], text: b.buf[b.args:]}.demand())
	}
	if !b.open() {
		return nil, b.fault
	}
	size := len(b.buf) + b.count
	p := b.buf[:size:size]
	copy(p[b.fixed+b.count:], b.buf[b.fixed:])
	copy(p[b.fixed:], b.lengths[:b.count])
	switch body := p[HeaderLen:]; b.kind {
	case KindAuthenReply:
		binary.BigEndian.PutUint16(body[2:], uint16(b.message))
		binary.BigEndian.PutUint16(body[4:], uint16(b.data))
	case KindAuthorResponse:
		body[1] = byte(b.count)
		binary.BigEndian.PutUint16(body[2:], uint16(b.message))
		binary.BigEndian.PutUint16(body[4:], uint16(b.data))
	case KindAcctReply:
		binary.BigEndian.PutUint16(body, uint16(b.message))
		binary.BigEndian.PutUint16(body[2:], uint16(b.data))
	case KindAuthorRequest, KindAcctRequest:
		p[b.fixed-1] = byte(b.count)
	}
	b.header.Flags &^= Unencrypted
	if clear {
		b.header.Flags |= Unencrypted
	}
	b.header.Length = uint32(size - HeaderLen)
	b.header.Put(p)
	b.buf, b.fault = nil, Misused
	return p, OK
}

// begin begins a packet of a kind whose message has fixed bytes in front of what
// varies.
func (b *Builder) begin(buf []byte, h Header, kind Kind, fixed int, first part) bool {
	b.buf, b.header, b.kind, b.part, b.fault = buf[:0], h, kind, first, OK
	b.message, b.data, b.count = 0, 0, 0
	b.fixed = HeaderLen + fixed
	b.args = b.fixed
	switch {
	case h.Version&majorMask != majorVersion:
		b.fault = MajorVersion
	case h.Version.Minor() > 1, h.Version == Version1 && h.Type != Authentication:
		b.fault = MinorVersion
	case h.Seq == 0:
		b.fault = SequenceZero
	case h.Type < Authentication, h.Type > Accounting, h.Kind() != kind:
		b.fault = Misused
	case cap(buf) < b.fixed:
		b.fault = PacketFull
	default:
		b.buf = buf[:b.fixed]
		clear(b.buf)
	}
	return b.fault == OK
}

// request writes what authorization and accounting have in common over the first
// bytes of p, and behind the fixed part.
func (b *Builder) request(p []byte, r *AuthorRequest) {
	b.fail(r.ranges())
	b.fail(texts(r.User, r.Port, r.RemAddr))
	p[0], p[1], p[2], p[3] = byte(r.Method), r.PrivLvl, byte(r.Type), byte(r.Service)
	p[4], p[5], p[6] = b.field(r.User), b.field(r.Port), b.field(r.RemAddr)
	b.args = len(b.buf)
	b.Args(r.Args)
}

// field appends a field whose length takes a byte, and returns its length.
func (b *Builder) field(value []byte) byte {
	if len(value) > maxField {
		b.fail(FieldLong)
		return 0
	}
	if b.reserve(len(value)) {
		b.buf = append(b.buf, value...)
	}
	return byte(len(value))
}

// text appends printable US-ASCII and returns how many bytes it is.
func (b *Builder) text(text string) int {
	start := len(b.buf)
	for _, r := range text {
		if !b.reserve(1) {
			break
		}
		switch {
		case r >= ' ' && r <= '~':
			b.buf = append(b.buf, byte(r))
		case r == '\n' && b.kind == KindAuthenReply:
			b.buf = append(b.buf, '\n')
		case r == '\n', r == '\r', r == '\t':
			b.buf = append(b.buf, ' ')
		default:
			b.buf = append(b.buf, '?')
		}
	}
	return len(b.buf) - start
}

// fits checks the length of a text.
func (b *Builder) fits(n int) {
	if n > maxText {
		b.fail(FieldLong)
	}
}

// reach reports whether a part may be written now.
func (b *Builder) reach(to part) bool {
	if !b.open() {
		return false
	}
	if b.part > to || to == inArgs && b.kind != KindAuthorRequest && b.kind != KindAuthorResponse && b.kind != KindAcctRequest {
		b.fault = Misused
		return false
	}
	if to == inArgs && b.part < inArgs {
		b.args = len(b.buf)
	}
	b.part = to
	return true
}

// room reports whether an argument of n bytes may be written.
func (b *Builder) room(n int) bool {
	switch {
	case !b.reach(inArgs):
	case n > maxField:
		b.fault = FieldLong
	case b.count == maxArguments:
		b.fault = ArgumentsMany
	default:
		return b.reserve(n + 1)
	}
	return false
}

// argument takes in the argument that the last n bytes are.
func (b *Builder) argument(n int) {
	b.fail(checkArg(b.buf[len(b.buf)-n:], 0))
	b.lengths[b.count] = byte(n)
	b.count++
}

// open reports whether a packet is being written and nothing has failed.
func (b *Builder) open() bool {
	if b.buf == nil && b.fault == OK {
		b.fault = Misused
	}
	return b.fault == OK
}

// fail records a fault unless one is there already.
func (b *Builder) fail(f Fault) {
	if b.open() {
		b.fault = f
	}
}

// reserve reports whether n more bytes may be written, beside the lengths of the
// arguments.
func (b *Builder) reserve(n int) bool {
	if !b.open() {
		return false
	}
	if n > cap(b.buf)-len(b.buf)-b.count {
		b.fault = PacketFull
		return false
	}
	return true
}
