package engine

import (
	"net/netip"
	"unicode/utf8"

	"trine/engine/event"
)

// maxStreams is the number of streams that a login's or an accounting record's event can be in.
const maxStreams = 6

// appendStreams appends the streams that decisions and accounting records have in common: the person, by user name or else as the
// login name came, the calling station, and the NAS. Names are in the form in which event's streams have them.
func appendStreams(streams []uint64, user, login, calling, nas []byte) []uint64 {
	var room [256]byte
	if len(user) == 0 {
		user = login
	}
	if len(user) > 0 {
		streams = append(streams, event.StreamKey(event.StreamUser, appendFolded(room[:0], user)))
	}
	if len(calling) > 0 {
		streams = append(streams, event.StreamKey(event.StreamMAC, appendFolded(room[:0], calling)))
	}
	if len(nas) > 0 {
		streams = append(streams, event.StreamKey(event.StreamNAS, appendNAS(room[:0], nas)))
	}
	return streams
}

// appendFolded appends event.FoldName of a name. It allocates only for names that are not ASCII.
func appendFolded(dst, name []byte) []byte {
	start := len(dst)
	for _, c := range name {
		if c >= utf8.RuneSelf {
			return append(dst[:start], event.FoldName(string(name))...)
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
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
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return utf8.Valid(b)
}

// appendHex appends an id as 16 hexadecimal digits, as streams of sessions have it.
func appendHex(dst []byte, id uint64) []byte {
	const digits = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, digits[id>>uint(shift)&15])
	}
	return dst
}

// appendAddr appends the 4 or 16 bytes of an address; nothing for none.
func appendAddr(dst []byte, a netip.Addr) []byte {
	switch a = a.Unmap(); {
	case a.Is4():
		b := a.As4()
		return append(dst, b[:]...)
	case a.Is6():
		b := a.As16()
		return append(dst, b[:]...)
	}
	return dst
}
