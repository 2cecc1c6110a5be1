package radius

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"trine/protocols/radius/dictionary"
	"trine/protocols/radius/wire"
)

// askedAttribute is an attribute that conditions ask requests for.
type askedAttribute struct{ of *dictionary.Attribute }

// Asked implements policy.Wire: it resolves an attribute of the dictionary. A value of a number, an address or a date may be written in
// any form that reply templates take, and comes back in the one in which AppendValues has it. Attributes that hold a secret are refused.
func (w *Wire) Asked(name, value string) (any, string, error) {
	a := w.names.Attribute(name)
	switch {
	case a == nil:
		suggestion := ""
		if near := w.names.Suggest(name); near != "" {
			suggestion = fmt.Sprintf(" (did you mean %s?)", near)
		}
		return nil, "", fmt.Errorf("unknown attribute %q%s", name, suggestion)
	case a.Type >= dictionary.TLV:
		return nil, "", fmt.Errorf("%s holds attributes and has no value of its own", a.Name)
	case a.Parent != nil || a.Base != 0 || a.Concat || a.Vendor != nil && a.Vendor.Format.Continuation:
		return nil, "", fmt.Errorf("%s lies within another attribute or is spread over several, which conditions cannot ask for yet", a.Name)
	case a.Secret:
		return nil, "", fmt.Errorf("%s holds a secret, which conditions cannot ask for", a.Name)
	}
	if value == "" || a.Type == dictionary.String || a.Type == dictionary.Octets {
		return &askedAttribute{a}, value, nil
	}
	encoded, err := a.Bytes(value)
	if err != nil {
		return nil, "", err
	}
	return &askedAttribute{a}, string(appendText(nil, a, encoded)), nil
}

var errNotAsked = errors.New("radius: the attribute was not resolved by Asked")

// AppendValues implements engine.RequestAttributes. Text and octets are the packet's own bytes; all else is made in the login's scratch. It
// reads the copy of the packet, which is the login's wherever it is decided.
func (l *login) AppendValues(dst [][]byte, attribute any) [][]byte {
	asked, ok := attribute.(*askedAttribute)
	if !ok {
		panic(errNotAsked)
	}
	a := asked.of
	l.scratch = l.scratch[:0]
	standard, number := wire.Type(a.Number), a.Number
	if a.Vendor != nil {
		standard = wire.VendorSpecific
	}
	for rest := l.packet[min(headerLen, len(l.packet)):]; len(rest) >= 2; {
		t, size := wire.Type(rest[0]), int(rest[1])
		if size < 2 || size > len(rest) {
			break // not in a packet that was taken
		}
		value := rest[2:size:size]
		rest = rest[size:]
		if t != standard {
			continue
		}
		if a.Vendor == nil {
			dst = l.appendValue(dst, a, value)
			continue
		}
		vendor, data, ok := wire.SplitVSA(value)
		if !ok || vendor != a.Vendor.Number || !a.Vendor.Format.WellFormed(data) {
			continue
		}
		for len(data) > 0 {
			var sub wire.Sub
			if sub, data, ok = a.Vendor.Format.Next(data); !ok {
				break
			}
			if sub.Type == number {
				dst = l.appendValue(dst, a, sub.Value)
			}
		}
	}
	return dst
}

// headerLen is the length of a packet's header, RFC 2865 section 3.
const headerLen = 20

func (l *login) appendValue(dst [][]byte, a *dictionary.Attribute, value []byte) [][]byte {
	if a.Tagged && len(value) > 0 && value[0] <= dictionary.MaxTag {
		if a.Type == dictionary.Integer && len(value) == 4 {
			value = value[1:] // the number has 24 bits
		} else if a.Type != dictionary.Integer {
			value = value[1:]
		}
	}
	if a.Type == dictionary.String || a.Type == dictionary.Octets {
		return append(dst, value)
	}
	from := len(l.scratch)
	l.scratch = appendText(l.scratch, a, value)
	return append(dst, l.scratch[from:len(l.scratch):len(l.scratch)])
}

// appendText appends a value as text: a named value by its name, other numbers in decimals, addresses as people write them, and what is
// rare as the dictionary decodes it.
func appendText(dst []byte, a *dictionary.Attribute, value []byte) []byte {
	switch a.Type {
	case dictionary.Integer, dictionary.Integer64, dictionary.Short, dictionary.Byte, dictionary.Signed:
		if len(value) > 8 {
			break
		}
		var wide [8]byte
		copy(wide[8-len(value):], value)
		n := binary.BigEndian.Uint64(wide[:])
		if name := a.ValueName(n); name != "" {
			return append(dst, name...)
		}
		if a.Type == dictionary.Signed {
			return strconv.AppendInt(dst, int64(int32(uint32(n))), 10)
		}
		return strconv.AppendUint(dst, n, 10)
	case dictionary.IPAddr, dictionary.IPv6Addr, dictionary.ComboIP:
		if address, ok := netip.AddrFromSlice(value); ok {
			return address.AppendTo(dst)
		}
	}
	return append(dst, a.Decode(value)...)
}
