package wire

import (
	"encoding/binary"
	"strconv"
)

const (
	// HeaderLen is the length of a packet's header in bytes.
	HeaderLen = 12
	// MaxBody is the length in bytes of the longest body that any message can
	// have: an authorization RESPONSE with every field full. RFC 8907 section
	// 4.1 recommends 65,536 as the limit that a server accepts.
	MaxBody = responseFixed + maxArguments + 2*maxText + maxArguments*maxField

	maxField     = 255   // bytes of a field, or number of arguments, counted by one byte
	maxText      = 65535 // bytes of a field counted by two
	maxArguments = 255

	majorVersion = 0xc0
	majorMask    = 0xf0
)

// Version is the version byte of a packet: major version 12 and a minor one.
type Version uint8

// The versions of RFC 8907 section 5.4.1. Version1 is for the START of a PAP,
// CHAP or MS-CHAP authentication and what follows it; everything else is
// Version0.
const (
	Version0 Version = majorVersion
	Version1 Version = majorVersion | 1
)

// Minor returns the minor version, 0 to 15.
func (v Version) Minor() uint8 { return uint8(v) &^ majorMask }

// Type says what a packet is about, RFC 8907 section 4.1.
type Type uint8

// The packet types.
const (
	Authentication Type = 1
	Authorization  Type = 2
	Accounting     Type = 3
)

// String returns the type's name, or type-N.
func (t Type) String() string {
	switch t {
	case Authentication:
		return "authentication"
	case Authorization:
		return "authorization"
	case Accounting:
		return "accounting"
	}
	return "type-" + strconv.Itoa(int(t))
}

// Flags are the flags of a header that have a meaning. The others are ignored
// when read and written as zeros, RFC 8907 section 4.1.
type Flags uint8

// The flags.
const (
	// Unencrypted means that the body is not obfuscated: always within TLS (RFC
	// 9887 section 4), never outside (RFC 8907 section 4.5).
	Unencrypted Flags = 0x01
	// SingleConnect offers, in the first two packets of a connection, to carry
	// many sessions on it; later it means nothing, RFC 8907 section 4.3.
	SingleConnect Flags = 0x04

	knownFlags = Unencrypted | SingleConnect
)

// Quirks are deviations from the RFC that devices are known for and that a
// server may accept from those that have them. The zero Quirks accepts none.
type Quirks uint8

// The quirks that are the codec's.
const (
	// LooseLength accepts a body with bytes behind the last field, which are
	// ignored: a header whose length is more than the body has.
	LooseLength Quirks = 1 << iota
	// BareArguments accepts arguments without a separator, which are names with
	// no value, and arguments of no byte, which mean nothing.
	BareArguments
	// MinorOne accepts minor version 1 on authorization and accounting.
	MinorOne
)

// Header is a packet's header, RFC 8907 section 4.1.
type Header struct {
	Version Version
	Type    Type
	Seq     uint8 // odd from the client, even from the server
	Flags   Flags
	Session uint32
	Length  uint32 // of the body, in bytes
}

// ParseHeader reads the first twelve bytes of b. limit is the longest body in
// bytes that the caller accepts, so that nothing of a longer one is read or
// kept. The header is returned with a fault as well, as far as there is one,
// since even a refusal repeats it; HeaderShort leaves it empty.
func ParseHeader(b []byte, limit uint32, q Quirks) (Header, Fault) {
	if len(b) < HeaderLen {
		return Header{}, HeaderShort
	}
	h := Header{
		Version: Version(b[0]),
		Type:    Type(b[1]),
		Seq:     b[2],
		Flags:   Flags(b[3]) & knownFlags,
		Session: binary.BigEndian.Uint32(b[4:]),
		Length:  binary.BigEndian.Uint32(b[8:]),
	}
	switch {
	case h.Version&majorMask != majorVersion:
		return h, MajorVersion
	case h.Type < Authentication || h.Type > Accounting:
		return h, TypeUnknown
	case h.Version.Minor() > 1, h.Version == Version1 && h.Type != Authentication && q&MinorOne == 0:
		return h, MinorVersion
	case h.Seq == 0:
		return h, SequenceZero
	case h.Length > limit:
		return h, BodyLong
	}
	return h, OK
}

// Put writes the header over the first twelve bytes of b.
func (h *Header) Put(b []byte) {
	_ = b[HeaderLen-1]
	b[0], b[1], b[2], b[3] = byte(h.Version), byte(h.Type), h.Seq, byte(h.Flags&knownFlags)
	binary.BigEndian.PutUint32(b[4:], h.Session)
	binary.BigEndian.PutUint32(b[8:], h.Length)
}

// Answer returns the header of a packet that follows h in its session: its
// type and session, the next number, no flags, and of the versions that there
// are the nearest to its own. What follows 255 has number 0, which no Builder
// writes.
func (h *Header) Answer() Header {
	version := Version0
	if h.Type == Authentication && h.Version.Minor() > 0 {
		version = Version1
	}
	return Header{Version: version, Type: h.Type, Seq: h.Seq + 1, Session: h.Session}
}

// Check holds the header against how the packet came: outside TLS a body must
// be obfuscated, and within it must not be. InClear and Obfuscated say which of
// the two was broken; RFC 8907 section 4.5, RFC 9887 section 4.
func (h *Header) Check(tls bool) Fault {
	switch clear := h.Flags&Unencrypted != 0; {
	case clear && !tls:
		return InClear
	case !clear && tls:
		return Obfuscated
	}
	return OK
}

// Refusal writes into buf the answer to a packet whose type is unknown: its
// header with the next number and no body, RFC 8907 section 3.6.
func Refusal(buf []byte, to *Header) ([]byte, Fault) {
	if cap(buf) < HeaderLen {
		return nil, PacketFull
	}
	if to.Seq == 255 {
		return nil, SequenceEnd
	}
	h := *to
	h.Seq++
	h.Length = 0
	p := buf[:HeaderLen:HeaderLen]
	h.Put(p)
	return p, OK
}

// Kind is what a packet carries.
type Kind uint8

// The kinds of messages. A header tells which one follows.
const (
	KindAuthenStart Kind = iota
	KindAuthenContinue
	KindAuthenReply
	KindAuthorRequest
	KindAuthorResponse
	KindAcctRequest
	KindAcctReply
)

// Kind returns what the body of a packet with this header is: clients send odd
// numbers and servers even ones, and the first of a client's authentication is
// a START.
func (h *Header) Kind() Kind {
	reply := h.Seq%2 == 0
	switch {
	case h.Type == Authorization && reply:
		return KindAuthorResponse
	case h.Type == Authorization:
		return KindAuthorRequest
	case h.Type == Accounting && reply:
		return KindAcctReply
	case h.Type == Accounting:
		return KindAcctRequest
	case reply:
		return KindAuthenReply
	case h.Seq == 1:
		return KindAuthenStart
	}
	return KindAuthenContinue
}

// String returns the kind's name.
func (k Kind) String() string {
	return [...]string{
		"authentication START", "authentication CONTINUE", "authentication REPLY",
		"authorization REQUEST", "authorization RESPONSE", "accounting REQUEST", "accounting REPLY",
	}[k]
}
