// Package proxy reads the header with which a proxy says for whom it opened a connection: the PROXY protocol, versions 1 and 2, as
// https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt has it.
package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
)

const (
	// maxLine is the longest header of version 1 in bytes, its line end included.
	maxLine = 107
	// MaxHeader is the longest header of version 2 in bytes that is taken. The addresses need 52; what follows them (type-length-value
	// fields of load balancers, certificates' names) is passed over.
	MaxHeader = 2048
	fixed     = 16
)

// ErrHeader means that what a proxy sent is no PROXY header, or one that is not for a connection.
var ErrHeader = errors.New("not a PROXY protocol header")

func lineStart() []byte { return []byte("PROXY ") }
func signature() []byte { return []byte("\r\n\r\n\x00\r\nQUIT\n") }

// Begins reports whether data begins as a PROXY header does, as far as its first five bytes show.
func Begins(data []byte) bool {
	return len(data) >= 5 && (bytes.Equal(data[:5], lineStart()[:5]) || bytes.Equal(data[:5], signature()[:5]))
}

// Parse reads the header at the beginning of a connection. It returns the length of the header, or 0 if more bytes
// are needed to tell. The source is invalid where the proxy speaks for itself (LOCAL) or does not know (UNKNOWN): it is then
// the proxy's own address that counts. Data longer than MaxHeader is never needed. The error is ErrHeader.
func Parse(data []byte) (source netip.AddrPort, length int, err error) {
	line, sign := lineStart(), signature()
	switch n := min(len(data), len(line)); {
	case len(data) == 0:
		return netip.AddrPort{}, 0, nil
	case bytes.Equal(data[:n], line[:n]):
		if len(data) < len(line) {
			return netip.AddrPort{}, 0, nil
		}
		return parseLine(data)
	}
	if n := min(len(data), len(sign)); !bytes.Equal(data[:n], sign[:n]) {
		return netip.AddrPort{}, 0, ErrHeader
	}
	return parseBinary(data)
}

// parseLine reads version 1: PROXY TCP4 source destination sport dport CR LF.
func parseLine(data []byte) (source netip.AddrPort, length int, err error) {
	end := bytes.IndexByte(data[:min(len(data), maxLine)], '\n')
	if end < 0 {
		if len(data) >= maxLine {
			return netip.AddrPort{}, 0, ErrHeader
		}
		return netip.AddrPort{}, 0, nil
	}
	line, ok := bytes.CutSuffix(data[:end], []byte{'\r'})
	if !ok {
		return netip.AddrPort{}, 0, ErrHeader
	}
	length = end + 1
	fields := bytes.Split(line, []byte{' '})
	if string(fields[1]) == "UNKNOWN" {
		return netip.AddrPort{}, length, nil // the rest of the line is to be passed over
	}
	if len(fields) != 6 {
		return netip.AddrPort{}, 0, ErrHeader
	}
	from, err1 := parseAddr(fields[1], fields[2], fields[4])
	_, err2 := parseAddr(fields[1], fields[3], fields[5])
	if err := errors.Join(err1, err2); err != nil {
		return netip.AddrPort{}, 0, ErrHeader
	}
	return from, length, nil
}

// parseAddr reads one address of version 1 in the one way in which it may be written.
func parseAddr(family, host, port []byte) (netip.AddrPort, error) {
	addr, err := netip.ParseAddr(string(host))
	if err != nil {
		return netip.AddrPort{}, err
	}
	if fits := string(family) == "TCP4" && addr.Is4() || string(family) == "TCP6" && addr.Is6(); !fits || addr.Zone() != "" {
		return netip.AddrPort{}, ErrHeader
	}
	n, err := strconv.ParseUint(string(port), 10, 16)
	if err != nil || len(port) > 1 && port[0] == '0' {
		return netip.AddrPort{}, ErrHeader
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), nil
}

// parseBinary reads version 2.
func parseBinary(data []byte) (source netip.AddrPort, length int, err error) {
	if len(data) < fixed {
		return netip.AddrPort{}, 0, nil
	}
	command, family := data[12], data[13]
	length = fixed + int(binary.BigEndian.Uint16(data[14:]))
	if command>>4 != 2 || command&0xf > 1 || length > MaxHeader {
		return netip.AddrPort{}, 0, ErrHeader
	}
	if len(data) < length {
		return netip.AddrPort{}, 0, nil
	}
	if command&0xf == 0 { // LOCAL: a health check; what addresses there are mean nothing
		return netip.AddrPort{}, length, nil
	}
	body := data[fixed:length]
	switch family {
	case 0x00: // unspecified
		return netip.AddrPort{}, length, nil
	case 0x11: // TCP over IPv4
		if len(body) < 12 {
			return netip.AddrPort{}, 0, ErrHeader
		}
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(body)), binary.BigEndian.Uint16(body[8:])), length, nil
	case 0x21: // TCP over IPv6
		if len(body) < 36 {
			return netip.AddrPort{}, 0, ErrHeader
		}
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(body)).Unmap(), binary.BigEndian.Uint16(body[32:])), length, nil
	}
	return netip.AddrPort{}, 0, ErrHeader // no datagrams, no Unix sockets: not over TCP
}
