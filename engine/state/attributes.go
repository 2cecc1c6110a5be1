package state

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"trine/engine/event/field"
)

// Attribute is a named attribute of a user or an endpoint.
type Attribute struct {
	Name   []byte
	Values [][]byte
}

// attributes are those of a user. Many a login asks for a few of them or for none, so they stay as they are in his row until then.
type attributes struct {
	spec     []byte      // of a user's row
	from, to int         // in spec: where the first attribute's field begins and the last one's ends
	made     []Attribute // of whoever has none in a row
}

// SetAttributes gives attributes to a user who is made without a row.
func (u *User) SetAttributes(list []Attribute) {
	u.attributes = attributes{made: append(u.attributes.made[:0], list...)}
}

// Span says where the values of an attribute stand among others: from From on and before To, if it has the mark of the reading that is
// asked about.
type Span struct {
	Mark     uint32
	From, To int32
}

// AppendAttributes appends the values of those attributes whose names have the number of a span, counted from 1 on, in a table, and sets
// their spans. The values point into the user. It reads his row once, whatever is asked for.
func (u *User) AppendAttributes(values [][]byte, spans []Span, mark uint32, t *SymbolTable) [][]byte {
	for i := range u.attributes.made {
		a := &u.attributes.made[i]
		if number := t.Find(a.Name); int(number) <= len(spans) {
			spans[number-1] = Span{Mark: mark, From: int32(len(values)), To: int32(len(values) + len(a.Values))}
			values = append(values, a.Values...)
		}
	}
	if u.attributes.spec == nil {
		return values
	}
	values, ok := u.attributes.read(values, spans, mark, t.Of(u.Symbols))
	if !ok {
		u.unreadable()
	}
	return values
}

// AppendAttribute appends the values of the attribute with that name, which point into the user.
func (u *User) AppendAttribute(dst [][]byte, name string) [][]byte {
	for i := range u.attributes.made {
		if a := &u.attributes.made[i]; string(a.Name) == name {
			return append(dst, a.Values...)
		}
	}
	u.eachAttribute(func(n uint64, values []byte) (more, ok bool) {
		if string(u.Symbols.text(n)) != name {
			return true, true
		}
		dst, ok = appendTexts(dst, values)
		return false, ok
	})
	return dst
}

// AppendAttributeNames appends the names of the attributes.
func (u *User) AppendAttributeNames(dst [][]byte) [][]byte {
	for i := range u.attributes.made {
		dst = append(dst, u.attributes.made[i].Name)
	}
	u.eachAttribute(func(n uint64, _ []byte) (more, ok bool) {
		dst = append(dst, u.Symbols.text(n))
		return true, true
	})
	return dst
}

// eachAttribute calls visit with the attributes of the row, each with the symbol of its name and its values, until it wants no more of them.
func (u *User) eachAttribute(visit func(name uint64, values []byte) (more, ok bool)) {
	for b := u.attributes.row(); len(b) > 0; {
		name, values, size, ok := attributeIn(b)
		more := true
		if ok && name != noAttribute {
			more, ok = visit(name, values)
		}
		if !ok {
			u.unreadable()
		}
		if !more {
			return
		}
		b = b[size:]
	}
}

func (u *User) unreadable() {
	violated("readable attributes in a user row", "%s: %x", u.Name, u.attributes.spec)
}

// add says that attributes stand in a part of an encoded spec; what lies between two parts is other fields.
func (a *attributes) add(spec []byte, from, to int) {
	if a.spec == nil {
		a.spec, a.from = spec, from
	}
	a.to = to
}

// row returns the fields of the attributes.
func (a *attributes) row() []byte { return a.spec[a.from:a.to] }

// read appends the values of those attributes that have a span; ok is false for a row that cannot be read.
func (a *attributes) read(values [][]byte, spans []Span, mark uint32, table *SymbolNumbers) (_ [][]byte, ok bool) {
	numbers := table.Known()
	for b := a.row(); len(b) > 0; {
		name, texts, size, ok := shortAttribute(b) // as most are
		if !ok {
			if name, texts, size, ok = attributeIn(b); !ok {
				return values, false
			}
		}
		b = b[size:]
		number := uint32(0)
		if name < uint64(len(numbers)) {
			number = numbers[name].Load()
		}
		if number == 0 && name != noAttribute {
			number = table.At(uint32(name))
		}
		if number--; uint64(number) >= uint64(len(spans)) {
			continue
		}
		from := len(values)
		for len(texts) > 0 {
			size := 1 + int(texts[0])
			if size > 0x80 || size > len(texts) {
				if values, ok = appendTexts(values, texts); !ok {
					return values, false
				}
				break
			}
			values, texts = append(values, texts[1:size:size]), texts[size:]
		}
		spans[number] = Span{Mark: mark, From: int32(from), To: int32(len(values))}
	}
	return values, true
}

// noAttribute is the name of a field that is another.
const noAttribute = 1<<64 - 1

// shortAttribute is attributeIn for an attribute whose length is a byte and the symbol of whose name up to three, and which has a value; ok is
// false for others.
func shortAttribute(b []byte) (name uint64, values []byte, size int, ok bool) {
	if len(b) < 4 {
		return 0, nil, 0, false
	}
	head := binary.LittleEndian.Uint32(b)
	size = 2 + int(head>>8&0xff)
	if head&0x80ff != uint32(attributeTag) || size < 4 || size > len(b) {
		return 0, nil, 0, false
	}
	name = uint64(head >> 16 & 0x7f)
	switch {
	case head&0x800000 == 0:
		return name, b[3:size], size, true
	case head>>31 == 0:
		return name | uint64(head>>24)<<7, b[4:size], size, true
	case size > 4 && b[4] < 0x80:
		return name | uint64(head>>24&0x7f)<<7 | uint64(b[4])<<14, b[5:size], size, true
	}
	return 0, nil, 0, false
}

// attributeIn reads the field with which a part of a spec begins: the symbol of the attribute's name, its values, each with its length in
// front, and the size of all.
func attributeIn(b []byte) (name uint64, values []byte, size int, ok bool) {
	f, rest, ok := field.Next(b)
	size = len(b) - len(rest)
	if !ok || f.Num != attributeField {
		return noAttribute, nil, size, ok
	}
	name, values, ok = nextSymbol(f.Data)
	return name, values, size, ok && name <= math.MaxUint32
}

// appendTexts appends texts that stand with their lengths in front.
func appendTexts(dst [][]byte, b []byte) (_ [][]byte, ok bool) {
	for len(b) > 0 {
		var text []byte
		if text, b, ok = nextText(b); !ok {
			return dst, false
		}
		dst = append(dst, text)
	}
	return dst, true
}

// The field of an attribute in a user's spec, and its tag, behind which its length stands.
const (
	attributeField = 14
	attributeTag   = attributeField<<3 | byte(protowire.BytesType)
)

// sizeOfAttributes returns how long the attributes are with which a part of an encoded spec begins, as far as the length of each is a byte.
func sizeOfAttributes(b []byte) int {
	at := 0
	for at+1 < len(b) && b[at] == attributeTag && b[at+1] < 0x80 {
		end := at + 2 + int(b[at+1])
		if end > len(b) {
			break
		}
		at = end
	}
	return at
}
