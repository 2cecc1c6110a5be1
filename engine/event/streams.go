package event

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"unicode/utf8"

	"github.com/zeebo/xxh3"

	"trine/engine/event/field"
)

// AppendStreams appends the event's stream keys. Decisions, failures and accounting records, of which there are many, do not carry them:
// theirs follow from the body. What of a body cannot be read is in no stream.
func (e *Envelope) AppendStreams(dst []uint64) []uint64 {
	if len(e.streams) == 0 {
		switch e.Type {
		case TypeDecided:
			return appendDecidedStreams(dst, e.Body)
		case TypeAccounted:
			return appendAccountedStreams(dst, e.Body)
		case TypeLoginFailed:
			return appendFailureStreams(dst, e.Body)
		}
	}
	for b := e.streams; len(b) >= 8; b = b[8:] {
		dst = append(dst, binary.LittleEndian.Uint64(b))
	}
	return dst
}

// appendDecidedStreams appends the streams of an encoded Decided: the service provider, the decision, and appendCommonStreams'.
func appendDecidedStreams(dst []uint64, body []byte) []uint64 {
	var client, login, user, nas, calling []byte
	var id uint64
	for more := true; more && len(body) > 0; {
		f, rest, ok := field.Next(body)
		if !ok {
			break
		}
		body = rest
		switch f.Num {
		case 1:
			id = f.Value
		case 4:
			client = f.Data
		case 5:
			login = f.Data
		case 6:
			user = f.Data
		case 8:
			nas = f.Data
		case 9:
			calling = f.Data
		}
		more = f.Num < 9 // fields are in the order of their numbers
	}
	var text [13]byte
	dst = append(dst, StreamKey(StreamClient, client), StreamKey(StreamDecision, AppendID(text[:0], id)))
	return appendCommonStreams(dst, user, login, calling, nas)
}

// appendAccountedStreams appends the streams of an encoded Accounted: the service provider, the session, and appendCommonStreams'.
func appendAccountedStreams(dst []uint64, body []byte) []uint64 {
	var client, nas, session, login, user, calling []byte
	for more := true; more && len(body) > 0; {
		f, rest, ok := field.Next(body)
		if !ok {
			break
		}
		body = rest
		switch f.Num {
		case 1:
			client = f.Data
		case 2:
			nas = f.Data
		case 3:
			session = f.Data
		case 5:
			login = f.Data
		case 6:
			user = f.Data
		case 10:
			calling = f.Data
		}
		more = f.Num < 10
	}
	var text [16]byte
	dst = append(dst, StreamKey(StreamClient, client), StreamKey(StreamSession, appendHex(text[:0], SessionID(client, nas, session))))
	return appendCommonStreams(dst, user, login, calling, nas)
}

// appendCommonStreams appends the streams that decisions and accounting records have in common: the person, by user name or else as
// the login name came, the calling station, and the NAS. Names are in the form in which streams have them. It is StreamKey
// without its copies.
func appendCommonStreams(dst []uint64, user, login, calling, nas []byte) []uint64 {
	var room [128]byte
	if len(user) == 0 {
		user = login
	}
	if len(user) > 0 {
		dst = append(dst, xxh3.Hash(appendFolded(append(room[:0], StreamUser+"/"...), user)))
	}
	if len(calling) > 0 {
		dst = append(dst, xxh3.Hash(appendFolded(append(room[:0], StreamMAC+"/"...), calling)))
	}
	if len(nas) > 0 {
		dst = append(dst, xxh3.Hash(appendNAS(append(room[:0], StreamNAS+"/"...), nas)))
	}
	return dst
}

// appendFolded appends FoldName of a name. It allocates only for names that are long or not ASCII.
func appendFolded(dst, name []byte) []byte {
	start := len(dst)
	dst = append(dst, name...)
	for i := start; i < len(dst); i++ {
		switch c := dst[i]; {
		case 'A' <= c && c <= 'Z':
			dst[i] = c + 'a' - 'A'
		case c >= utf8.RuneSelf:
			return append(dst[:start], FoldName(string(name))...)
		}
	}
	return dst
}

// appendNAS appends a NAS-Identifier as it is, and a packed address, which is no text, as people write it.
func appendNAS(dst, nas []byte) []byte {
	if isText(nas) {
		return append(dst, nas...)
	}
	if addr, ok := netip.AddrFromSlice(nas); ok {
		return addr.Unmap().AppendTo(dst)
	}
	return append(dst, nas...)
}

// isText reports whether b is text without control characters.
func isText(b []byte) bool {
	for _, c := range b {
		switch {
		case c < ' ' || c == 0x7f:
			return false
		case c >= utf8.RuneSelf:
			return utf8.Valid(b) && !bytes.ContainsFunc(b, func(r rune) bool { return r < ' ' || r == 0x7f })
		}
	}
	return true
}

// appendHex appends an id as 16 hexadecimal digits, as streams of sessions have it.
func appendHex(dst []byte, id uint64) []byte {
	const digits = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, digits[id>>uint(shift)&15])
	}
	return dst
}
