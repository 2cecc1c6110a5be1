package probe

import (
	"strconv"

	"trine/protocols/radius/dictionary"
	"trine/protocols/radius/wire"
)

// describe lists the attributes of an answer by name, in its order, less the signature, which has been checked.
func describe(v *wire.View, names *dictionary.Dictionary) []Attribute {
	out := []Attribute{}
	for _, p := range names.Pairs(v) {
		if p.Attribute != nil && p.Attribute == names.Standard(wire.MessageAuthenticator) {
			continue
		}
		name := p.Name
		if p.Tag != 0 {
			name += ":" + strconv.Itoa(int(p.Tag))
		}
		out = append(out, Attribute{Name: name, Value: p.Value})
	}
	return out
}
