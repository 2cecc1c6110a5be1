package probe

import (
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
		out = append(out, Attribute{Name: p.Named(), Value: p.Value})
	}
	return out
}
