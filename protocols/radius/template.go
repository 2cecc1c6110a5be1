package radius

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"trine/engine/attribute"
	"trine/engine/document"
	"trine/engine/policy"
	"trine/protocols/radius/dictionary"
	"trine/protocols/radius/wire"
)

// Wire compiles the parts of documents that only RADIUS understands. It is immutable.
type Wire struct{ names *dictionary.Dictionary }

var _ policy.Wire = (*Wire)(nil)

// NewWire returns a compiler that knows the attributes of names.
func NewWire(names *dictionary.Dictionary) *Wire { return &Wire{names: names} }

// Client compiles a service provider of type radius. Its secrets must be clear text: whoever compiles opens them.
func (w *Wire) Client(sp *document.ServiceProvider) (any, error) {
	c, err := newClient(sp)
	if err != nil {
		return nil, err
	}
	c.userName = setting{of: w.names.Attribute("User-Name")}
	return c, nil
}

// Reply compiles the lines of a reply template: `Tunnel-Type:1 = VLAN`, `Cisco-AVPair += "shell:priv-lvl=15"`. Attributes that
// hold a secret, such as Tunnel-Password, are refused: the line would hold it in clear. Errors about one line are, or wrap, a
// *dictionary.LineError.
func (w *Wire) Reply(lines []string) (any, error) {
	items, err := parseLines(lines)
	if err != nil {
		return nil, err
	}
	t, err := w.template(items)
	if err != nil {
		return nil, err
	}
	for i := range items {
		if a := w.names.Attribute(items[i].Name); a.Secret {
			return nil, dictionary.AtLine(items[i].Line,
				fmt.Errorf("%s holds a secret, which would stand in clear in the document; replies cannot hold secrets yet", a.Name))
		}
	}
	return t, nil
}

func parseLines(lines []string) ([]dictionary.Item, error) {
	var items []dictionary.Item
	for i, text := range lines {
		more, err := dictionary.ParseItems(text)
		if err != nil {
			var inside *dictionary.LineError
			if errors.As(err, &inside) {
				err = inside.Unwrap() // a document's line is a text of its own
			}
			return nil, dictionary.AtLine(i+1, err)
		}
		for _, item := range more {
			item.Line = i + 1
			items = append(items, item)
		}
	}
	return items, nil
}

func (w *Wire) template(items []dictionary.Item) (*Template, error) {
	whole, err := w.names.Compile(items)
	if err != nil {
		return nil, err
	}
	t := &Template{whole: whole}
	for len(items) > 0 {
		set := w.setting(items[0])
		n := 1
		for n < len(items) && set.of.Type == dictionary.TLV && w.setting(items[n]) == set {
			n++ // what stands together inside one attribute stays together
		}
		list, err := w.names.Compile(items[:n])
		if err != nil {
			return nil, err
		}
		t.parts = append(t.parts, part{set, items[0].Add, list})
		items = items[n:]
	}
	return t, nil
}

// Attribute resolves the name under which an attribute definition is sent: an attribute of the dictionary, with a tag where it
// takes one (`Tunnel-Private-Group-Id:1`). Attributes that hold a secret are refused, as in Reply.
func (w *Wire) Attribute(id string) (any, error) {
	name, tagText, tagged := strings.Cut(id, ":")
	tag := uint64(0)
	if tagged {
		var err error
		if tag, err = strconv.ParseUint(tagText, 10, 8); err != nil || tag > dictionary.MaxTag {
			return nil, fmt.Errorf("%q is not a tag (0 to %d)", tagText, dictionary.MaxTag)
		}
	}
	a := w.names.Attribute(name)
	switch {
	case a == nil:
		suggestion := ""
		if near := w.names.Suggest(name); near != "" {
			suggestion = fmt.Sprintf(" (did you mean %s?)", near)
		}
		return nil, fmt.Errorf("unknown attribute %q%s", name, suggestion)
	case a.Type == dictionary.TLV || a.Type == dictionary.VSA || a.Type == dictionary.EVS || a.Type == dictionary.Extended || a.Type == dictionary.LongExtended:
		return nil, fmt.Errorf("%s holds attributes and has no value of its own", a.Name)
	case tag > 0 && !a.Tagged:
		return nil, fmt.Errorf("%s has no tags", a.Name)
	case a.Vendor == nil && a.Parent == nil && reserved(wire.Type(a.Number)):
		return nil, fmt.Errorf("%s is set by the server itself", a.Name)
	case a.Secret:
		return nil, fmt.Errorf("%s holds a secret, which would stand in clear with the users; attributes cannot hold secrets yet", a.Name)
	}
	return &releasedAttribute{setting: setting{a, uint8(tag)}}, nil
}

// reserved reports whether only the server writes an attribute, or none may stand in a reply.
func reserved(t wire.Type) bool {
	switch t {
	case wire.UserPassword, wire.CHAPPassword, wire.CHAPChallenge, wire.State, wire.ProxyState, wire.EAPMessage, wire.MessageAuthenticator:
		return true
	}
	return false
}

// setting is what a reply can have set: an attribute with its tag.
type setting struct {
	of  *dictionary.Attribute
	tag uint8
}

// setting returns what an item sets: the outermost attribute around it.
func (w *Wire) setting(item dictionary.Item) setting {
	a := w.names.Attribute(item.Name)
	for a.Parent != nil && a.Parent.Type == dictionary.TLV {
		a = a.Parent
	}
	return setting{a, item.Tag}
}

// Template is a compiled reply template. It is immutable.
type Template struct {
	whole *dictionary.Template
	parts []part
}

// first names the attribute that the template begins with.
func (t *Template) first() string {
	if len(t.parts) == 0 {
		return "nothing"
	}
	return t.parts[0].of.Name
}

// part is one attribute of a template.
type part struct {
	setting
	add  bool // += and not =
	list *dictionary.Template
}

// appendTo appends the template to a reply that has the attributes of set already, and returns the set with its own. A line
// with = counts unless a template before this one, of higher precedence, has set the attribute; one with += always counts.
func (t *Template) appendTo(b *wire.Builder, set []setting) []setting {
	before := len(set)
	if before == 0 {
		t.whole.AppendTo(b)
	}
	for i := range t.parts {
		p := &t.parts[i]
		if !p.add && slices.Contains(set[:before], p.setting) {
			continue
		}
		if before > 0 {
			p.list.AppendTo(b)
		}
		set = append(set, p.setting)
	}
	return set
}

// releasedAttribute is what an attribute definition's radiusID was resolved to.
type releasedAttribute struct{ setting }

// release appends a released attribute with all its values, unless a template has set it already: what an administrator wrote
// for this service provider or group goes before what is known of the person.
func (h *handler) release(r *attribute.Released) error {
	a, ok := r.Attribute.Wire.(*releasedAttribute)
	if !ok {
		return fmt.Errorf("attribute definition %s was not compiled for RADIUS", r.Attribute.Name)
	}
	if slices.Contains(h.set, a.setting) {
		return nil
	}
	for _, value := range r.Values {
		// AppendTo reads the text before it returns, so the value need not be copied to become one.
		text := unsafe.String(unsafe.SliceData(value), len(value))
		if err := a.of.AppendTo(&h.builder, text, a.tag); err != nil {
			return fmt.Errorf("release attribute definition %s: %w", r.Attribute.Name, err)
		}
	}
	h.set = append(h.set, a.setting)
	return nil
}
