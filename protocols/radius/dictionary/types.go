package dictionary

import (
	"strings"

	"trine/protocols/radius/wire"
)

// DataType is how an attribute's value is laid out, RFC 8044 section 3.
type DataType uint8

// The data types.
const (
	Octets       DataType = iota // bytes, RFC 8044 "string"
	String                       // text, by convention UTF-8
	Integer                      // 32 bits, unsigned
	Integer64                    // 64 bits, unsigned
	Signed                       // 32 bits
	Short                        // 16 bits, unsigned
	Byte                         // 8 bits, unsigned
	Date                         // 32 bits, seconds since 1970 in UTC
	IPAddr                       // an IPv4 address
	IPv6Addr                     // an IPv6 address
	ComboIP                      // an IPv4 or IPv6 address, told apart by its length
	IPv4Prefix                   // RFC 8044 section 3.10
	IPv6Prefix                   // RFC 3162 section 2.3
	InterfaceID                  // eight bytes, RFC 3162 section 2.2
	Ether                        // a MAC address
	TLV                          // attributes inside, RFC 8044 section 3.13
	VSA                          // RFC 2865 section 5.26
	Extended                     // RFC 6929 section 2.1
	LongExtended                 // RFC 6929 section 2.2
	EVS                          // RFC 6929 section 2.4

	dataTypes
)

var dataTypeName = [dataTypes]string{
	"octets", "string", "integer", "integer64", "signed", "short", "byte", "date", "ipaddr", "ipv6addr", "combo-ip",
	"ipv4prefix", "ipv6prefix", "ifid", "ether", "tlv", "vsa", "extended", "long-extended", "evs",
}

// String returns the type's name in the dictionary syntax.
func (t DataType) String() string {
	if t < dataTypes {
		return dataTypeName[t]
	}
	return "unknown"
}

// dataTypeOf knows the names of FreeRADIUS 3, those of its successor, and those
// of RFC 8044 where they do not mean another type here. Filters in Ascend's
// binary form are kept as the bytes that they are.
func dataTypeOf(name string) (DataType, bool) {
	switch name = strings.ToLower(name); name {
	case "text":
		return String, true
	case "uint32", "enum":
		return Integer, true
	case "uint64":
		return Integer64, true
	case "int32":
		return Signed, true
	case "uint16":
		return Short, true
	case "uint8":
		return Byte, true
	case "time":
		return Date, true
	case "ipv4addr":
		return IPAddr, true
	case "abinary":
		return Octets, true
	case "ethernet":
		return Ether, true
	}
	for t, known := range dataTypeName {
		if name == known {
			return DataType(t), true
		}
	}
	return 0, false
}

// size returns the number of bytes of a value of fixed size, and 0 for others.
func (t DataType) size() int {
	switch t {
	case Integer, Signed, Date, IPAddr:
		return 4
	case Integer64, InterfaceID:
		return 8
	case Short:
		return 2
	case Byte:
		return 1
	case IPv6Addr:
		return 16
	case Ether, IPv4Prefix:
		return 6
	}
	return 0
}

// isNumber reports whether values of the type can have names.
func (t DataType) isNumber() bool {
	switch t {
	case Integer, Integer64, Signed, Short, Byte:
		return true
	}
	return false
}

// holdsAttributes reports whether values of the type are attributes.
func (t DataType) holdsAttributes() bool { return t == TLV || t == Extended || t == LongExtended }

// Vendor is a vendor with the layout of its attributes.
type Vendor struct {
	Name   string
	Number uint32 // Private Enterprise Number
	Format wire.Format
}

// Attribute is one attribute of a dictionary. It must not be changed.
type Attribute struct {
	Name   string
	Number uint32    // within its vendor or its parent
	Vendor *Vendor   // nil for the standard attributes
	Base   wire.Type // the extended type (241-246) of an extended vendor's attribute; else 0
	Parent *Attribute
	Type   DataType
	Size   int         // bytes that a value of type octets must have; 0 is any
	Hiding wire.Hiding // flag encrypt=
	Tagged bool        // flag has_tag, RFC 2868 section 3.1
	Concat bool        // flag concat: longer values go over several attributes
	Array  bool        // flag array: several values in one attribute
	Secret bool        // never shown: hidden on the wire, or flag secret

	where    place
	children map[uint32]*Attribute
	numbers  map[string]uint64 // names of values, lower case
	names    map[uint64]string
}

// Value returns the number of a named value, whose case does not matter.
func (a *Attribute) Value(name string) (uint64, bool) {
	n, ok := a.numbers[strings.ToLower(name)]
	return n, ok
}

// ValueName returns the name of a number; "" if it has none.
func (a *Attribute) ValueName(number uint64) string { return a.names[number] }

// Child returns the attribute of a number inside this one; nil if there is none.
func (a *Attribute) Child(number uint32) *Attribute { return a.children[number] }

// top returns the outermost TLV that the attribute is in, or the attribute.
func (a *Attribute) top() *Attribute {
	for a.Parent != nil && a.Parent.Type == TLV {
		a = a.Parent
	}
	return a
}
