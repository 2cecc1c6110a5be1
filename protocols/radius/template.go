package radius

import (
	"trine/engine/attribute"
	"trine/protocols/radius/wire"
)

// Template is a compiled reply template: attributes that are ready to be sent, but for those that are encrypted anew for each
// reply. It is immutable.
type Template struct{ lines []line }

// line is one attribute of a template.
type line struct {
	attribute uint64      // tells attributes apart, with their tags
	add       bool        // += and not =
	hiding    wire.Hiding // of value; wire.Clear for one that is ready
	ready     []byte      // the whole attribute, or where it is encrypted all in front of the value
	value     []byte      // to encrypt
}

// appendTo appends the template to a reply that has the attributes of set already, and returns the set with its own. A line
// with = counts unless a template before this one, of higher precedence, has set the attribute; one with += always counts.
func (t *Template) appendTo(b *wire.Builder, set []uint64) []uint64 {
	before := len(set)
	for i := range t.lines {
		l := &t.lines[i]
		if !l.add && has(set[:before], l.attribute) {
			continue
		}
		if l.hiding == wire.Clear {
			b.Encoded(l.ready)
		} else {
			b.Hidden(l.hiding, l.ready, l.value)
		}
		set = append(set, l.attribute)
	}
	return set
}

// release appends a released attribute with all its values, unless a template has set it. It returns false if a value does not
// fit the attribute's type.
func (h *handler) release(r *attribute.Released) bool {
	a, ok := r.Attribute.Wire.(*releasedAttribute)
	if !ok {
		return false
	}
	if has(h.set, a.attribute) {
		return true
	}
	for _, value := range r.Values {
		if !a.appendTo(&h.builder, value) {
			return false
		}
	}
	h.set = append(h.set, a.attribute)
	return true
}

// releasedAttribute is what an attribute definition's radiusID was resolved to.
type releasedAttribute struct {
	attribute uint64
}

func (a *releasedAttribute) appendTo(b *wire.Builder, value []byte) bool { return true }
