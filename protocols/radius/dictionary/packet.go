package dictionary

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"trine/protocols/radius/wire"
)

// Pair is one attribute of a packet for people to read. Attribute is nil where
// the dictionary does not know it; its name is then Attr-N, Attr-241.N,
// Vendor-N-Attr-M or Vendor-N, and its value hexadecimal.
type Pair struct {
	Name      string
	Tag       uint8 // 0 is none
	Value     string
	Attribute *Attribute
}

// String returns Name:Tag = Value.
func (p Pair) String() string { return p.Named() + " = " + p.Value }

// Named returns Name:Tag, or the name alone where there is no tag.
func (p Pair) Named() string {
	if p.Tag != 0 {
		return p.Name + ":" + strconv.Itoa(int(p.Tag))
	}
	return p.Name
}

// Pairs returns all attributes of a packet in its order, secrets redacted,
// pieces of one value joined where they begin. It is for traces and tools, not
// for the packet path.
func (d *Dictionary) Pairs(v *wire.View) []Pair {
	pairs := make([]Pair, 0, v.Len())
	joined := [256]bool{}
	for i := 0; i < v.Len(); {
		t, value := v.At(i)
		next := i + 1
		switch a := d.Standard(t); {
		case t == wire.VendorSpecific:
			pairs, next = d.vendorPairs(pairs, v, i)
		case t.IsExtended():
			var p Pair
			p, next = d.extendedPair(v, i)
			pairs = append(pairs, p)
		case a == nil:
			pairs = append(pairs, Pair{Name: "Attr-" + strconv.Itoa(int(t)), Value: hexText(value)})
		case a.Concat:
			if !joined[t] {
				joined[t] = true
				pairs = append(pairs, a.pair(v.Concat(nil, t)))
			}
		default:
			pairs = append(pairs, a.pair(value))
		}
		i = next
	}
	return pairs
}

// PairsOf is Pairs for attributes without a packet around them, as they are
// recorded of accounting. It returns wire.Parse's fault if they are not a row of
// whole attributes, or more than a packet holds.
func (d *Dictionary) PairsOf(attributes []byte) ([]Pair, error) {
	const header = 20
	packet := make([]byte, header, header+len(attributes))
	packet[0] = byte(wire.AccountingRequest)
	binary.BigEndian.PutUint16(packet[2:], uint16(min(header+len(attributes), 0xffff)))
	v := new(wire.View)
	if fault := wire.Parse(append(packet, attributes...), v); fault != wire.OK {
		return nil, fault
	}
	return d.Pairs(v), nil
}

// pair decodes one attribute's value, tag included.
func (a *Attribute) pair(value []byte) Pair {
	p := Pair{Name: a.Name, Attribute: a}
	p.Tag, value = a.CutTag(value)
	p.Value = a.Decode(value)
	return p
}

// CutTag divides a value of this attribute into its tag, 0 for none, and the
// rest, RFC 2868 section 3.1. A tagged number keeps four bytes: the value is
// copied with the tag's byte cleared.
func (a *Attribute) CutTag(value []byte) (tag uint8, rest []byte) {
	if !a.Tagged || len(value) == 0 || value[0] > MaxTag {
		return 0, value
	}
	if a.Type == Integer {
		if len(value) != 4 {
			return 0, value
		}
		return value[0], []byte{0, value[1], value[2], value[3]}
	}
	return value[0], value[1:]
}

// vendorPairs decodes one Vendor-Specific attribute, or several where a value is
// continued, and returns the index of what follows.
func (d *Dictionary) vendorPairs(pairs []Pair, v *wire.View, i int) ([]Pair, int) {
	_, value := v.At(i)
	number, data, ok := wire.SplitVSA(value)
	if !ok {
		return append(pairs, Pair{Name: "Attr-26", Value: hexText(value)}), i + 1
	}
	format, prefix := wire.StandardFormat(), "Vendor-"+strconv.FormatUint(uint64(number), 10)
	vendor := d.numbers[number]
	if vendor != nil {
		format = vendor.Format
	}
	if len(data) == 0 || !format.WellFormed(data) {
		return append(pairs, Pair{Name: prefix, Value: hexText(data)}), i + 1
	}
	next := i + 1
	for sub := range format.Subs(data) {
		value := sub.Value
		if sub.More {
			value, next = joinContinued(v, next, number, format, sub)
		}
		if a := d.VendorAttribute(number, sub.Type); a != nil {
			pairs = append(pairs, a.pair(value))
		} else {
			pairs = append(pairs, Pair{Name: fmt.Sprintf("%s-Attr-%d", prefix, sub.Type), Value: hexText(value)})
		}
	}
	return pairs, next
}

// joinContinued appends to a value the attributes from index i on that continue
// it, each alone in its Vendor-Specific attribute.
func joinContinued(v *wire.View, i int, vendor uint32, f wire.Format, first wire.Sub) ([]byte, int) {
	value := append([]byte(nil), first.Value...)
	for ; i < v.Len(); i++ {
		t, raw := v.At(i)
		number, data, ok := wire.SplitVSA(raw)
		if t != wire.VendorSpecific || !ok || number != vendor || len(data) == 0 {
			break
		}
		sub, rest, ok := f.Next(data)
		if !ok || len(rest) > 0 || sub.Type != first.Type {
			break
		}
		value = append(value, sub.Value...)
		if !sub.More {
			return value, i + 1
		}
	}
	return value, i
}

func (d *Dictionary) extendedPair(v *wire.View, i int) (Pair, int) {
	e, next, _, ok := v.ExtendedAt(i, nil)
	if !ok {
		t, value := v.At(i)
		return Pair{Name: "Attr-" + strconv.Itoa(int(t)), Value: hexText(value)}, i + 1
	}
	if vendor, number, value, ok := e.Vendor(); ok {
		if a := d.ExtendedVendorAttribute(e.Base, vendor, number); a != nil {
			return a.pair(value), next
		}
		return Pair{Name: fmt.Sprintf("Attr-%d.26.%d.%d", e.Base, vendor, number), Value: hexText(value)}, next
	}
	if outer := d.Standard(e.Base); outer != nil {
		if a := outer.children[uint32(e.Type)]; a != nil {
			return a.pair(e.Value), next
		}
	}
	return Pair{Name: fmt.Sprintf("Attr-%d.%d", e.Base, e.Type), Value: hexText(e.Value)}, next
}

// Text returns pairs one a line.
func Text(pairs []Pair) string {
	var b strings.Builder
	for _, p := range pairs {
		b.WriteString(p.String() + "\n")
	}
	return b.String()
}
