package dictionary

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"trine/protocols/radius/wire"
)

const (
	maxDepth    = 16      // of $INCLUDE
	maxFileSize = 4 << 20 // bytes
	maxPath     = 6       // numbers of a dotted number
)

// Error is what is wrong with a dictionary file, and where.
type Error struct {
	File string
	Line int
	Text string // what is wrong and what to do
}

// Error returns file, line and text.
func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text) }

type place struct {
	file  string
	line  int
	layer int
}

func (p place) String() string { return fmt.Sprintf("%s:%d", p.file, p.line) }

func (p place) errorf(format string, args ...any) error {
	return &Error{File: p.file, Line: p.line, Text: fmt.Sprintf(format, args...)}
}

// parser reads layers of files into one dictionary.
type parser struct {
	d       *Dictionary
	files   map[string]File
	read    map[string]bool
	at      place
	vendor  *Vendor
	base    wire.Type // of an extended vendor space
	parents []*Attribute
	ignored map[string]bool // names of attributes left out, lower case
	where   map[string]place
	values  []value
}

// value is a VALUE line; it is settled at the end, since it may stand before its
// attribute.
type value struct {
	at              place
	attribute, name string
	number          uint64
}

func compile(layers [][]File) (*Dictionary, error) {
	p := &parser{
		d: &Dictionary{
			layers:   layers,
			byName:   make(map[string]*Attribute),
			byNumber: make(map[uint64]*Attribute),
			vendors:  make(map[string]*Vendor),
			numbers:  make(map[uint32]*Vendor),
		},
		ignored: make(map[string]bool),
		where:   make(map[string]place),
	}
	for i, layer := range layers {
		p.files, p.read = make(map[string]File), make(map[string]bool)
		for _, f := range layer {
			if _, twice := p.files[path.Clean(f.Name)]; twice {
				return nil, place{file: f.Name, line: 1}.errorf("file is given twice")
			}
			p.files[path.Clean(f.Name)] = f
		}
		for _, f := range layer {
			if err := p.file(f, i, 0); err != nil {
				return nil, err
			}
		}
		if err := p.settle(); err != nil {
			return nil, err
		}
	}
	return p.d, nil
}

func (p *parser) file(f File, layer, depth int) error {
	name := path.Clean(f.Name)
	if p.read[name] {
		return nil
	}
	p.read[name] = true
	p.at = place{file: f.Name, layer: layer}
	if depth > maxDepth {
		return p.at.errorf("$INCLUDE goes deeper than %d files", maxDepth)
	}
	if len(f.Text) > maxFileSize {
		return p.at.errorf("file is larger than %d bytes", maxFileSize)
	}
	for line := range strings.Lines(f.Text) {
		p.at.line++
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if strings.HasPrefix(strings.ToUpper(fields[0]), "$INCLUDE") {
			if err := p.include(fields, layer, depth); err != nil {
				return err
			}
			continue
		}
		if err := p.statement(fields); err != nil {
			return err
		}
	}
	if p.vendor != nil {
		return p.at.errorf("BEGIN-VENDOR %s has no END-VENDOR", p.vendor.Name)
	}
	if len(p.parents) > 0 {
		return p.at.errorf("BEGIN-TLV %s has no END-TLV", p.parents[len(p.parents)-1].Name)
	}
	return nil
}

func (p *parser) include(fields []string, layer, depth int) error {
	optional := strings.HasSuffix(fields[0], "-")
	if len(fields) != 2 {
		return p.at.errorf("$INCLUDE takes one file name")
	}
	if p.vendor != nil || len(p.parents) > 0 {
		return p.at.errorf("$INCLUDE cannot stand inside BEGIN-VENDOR or BEGIN-TLV")
	}
	name, err := included(p.at.file, fields[1])
	if err != nil {
		return p.at.errorf("%v", err)
	}
	f, ok := p.files[name]
	if !ok {
		if optional {
			return nil
		}
		return p.at.errorf("$INCLUDE %s: there is no such file beside this one", fields[1])
	}
	here := p.at
	if err := p.file(f, layer, depth+1); err != nil {
		return err
	}
	p.at = here
	return nil
}

// included returns the name of a file that is included by another; it must not
// lead out of the folder.
func included(from, name string) (string, error) {
	if path.IsAbs(name) || strings.Contains(name, `\`) {
		return "", fmt.Errorf("$INCLUDE %s: give a name relative to this file", name)
	}
	joined := path.Join(path.Dir(from), name)
	if joined == ".." || strings.HasPrefix(joined, "../") {
		return "", fmt.Errorf("$INCLUDE %s leads out of the folder", name)
	}
	return joined, nil
}

func (p *parser) statement(fields []string) error {
	switch keyword := strings.ToUpper(fields[0]); keyword {
	case "ATTRIBUTE":
		if len(fields) < 4 {
			return p.at.errorf("ATTRIBUTE takes a name, a number and a type")
		}
		return p.attribute(fields[1], fields[2], fields[3], fields[4:])
	case "VALUE":
		if len(fields) != 4 {
			return p.at.errorf("VALUE takes an attribute, a name and a number")
		}
		n, err := strconv.ParseUint(fields[3], 0, 64)
		if err != nil {
			return p.at.errorf("%q is not a number", fields[3])
		}
		p.values = append(p.values, value{p.at, fields[1], fields[2], n})
		return nil
	case "VENDOR":
		return p.vendorLine(fields)
	case "BEGIN-VENDOR":
		return p.beginVendor(fields)
	case "END-VENDOR":
		if len(fields) != 2 || p.vendor == nil || !strings.EqualFold(fields[1], p.vendor.Name) || len(p.parents) > 0 {
			return p.at.errorf("END-VENDOR does not match what was begun")
		}
		p.vendor, p.base = nil, 0
		return nil
	case "BEGIN-TLV":
		if len(fields) != 2 {
			return p.at.errorf("BEGIN-TLV takes the name of an attribute")
		}
		a := p.d.Attribute(fields[1])
		if a == nil || a.Type != TLV {
			return p.at.errorf("BEGIN-TLV %s: no attribute of type tlv has that name", fields[1])
		}
		p.parents = append(p.parents, a)
		return nil
	case "END-TLV":
		last := len(p.parents) - 1
		if len(fields) != 2 || last < 0 || !strings.EqualFold(fields[1], p.parents[last].Name) {
			return p.at.errorf("END-TLV does not match what was begun")
		}
		p.parents = p.parents[:last]
		return nil
	default:
		keywords := []string{"ATTRIBUTE", "VALUE", "VENDOR", "BEGIN-VENDOR", "END-VENDOR", "BEGIN-TLV", "END-TLV", "$INCLUDE"}
		return p.at.errorf("unknown keyword %q%s", fields[0], didYouMean(nearest(keyword, keywords)))
	}
}

func (p *parser) vendorLine(fields []string) error {
	if len(fields) != 3 && len(fields) != 4 {
		return p.at.errorf("VENDOR takes a name, a number and, if need be, format=")
	}
	number, err := strconv.ParseUint(fields[2], 0, 24)
	if err != nil || number == 0 {
		return p.at.errorf("%q is not a vendor's number (1 to 16777215)", fields[2])
	}
	v := &Vendor{Name: fields[1], Number: uint32(number), Format: wire.StandardFormat()}
	if len(fields) == 4 {
		if v.Format, err = formatOf(fields[3]); err != nil {
			return p.at.errorf("%v", err)
		}
	}
	name := strings.ToLower(v.Name)
	if old, ok := p.d.vendors[name]; ok && *old != *v && p.where["vendor "+name].layer == p.at.layer {
		return p.at.errorf("vendor %s is already defined otherwise at %s", v.Name, p.where["vendor "+name])
	}
	if old, ok := p.d.numbers[v.Number]; ok && len(fields) == 3 {
		v.Format = old.Format // another name of the same vendor
	}
	p.where["vendor "+name] = p.at
	p.d.vendors[name] = v
	p.d.numbers[v.Number] = v
	return nil
}

func formatOf(text string) (wire.Format, error) {
	bad := fmt.Errorf("%q is not a format: write format=T,L or format=T,L,c with 1, 2 or 4 bytes of type and 0, 1 or 2 of length", text)
	sizes, ok := strings.CutPrefix(text, "format=")
	parts := strings.Split(sizes, ",")
	if !ok || len(parts) < 2 || len(parts) > 3 {
		return wire.Format{}, bad
	}
	t, errType := strconv.ParseUint(parts[0], 10, 8)
	l, errLength := strconv.ParseUint(parts[1], 10, 8)
	f := wire.Format{Type: uint8(t), Length: uint8(l), Continuation: len(parts) == 3}
	if errType != nil || errLength != nil || !f.Valid() || f.Continuation && parts[2] != "c" {
		return wire.Format{}, bad
	}
	return f, nil
}

func (p *parser) beginVendor(fields []string) error {
	if p.vendor != nil || len(p.parents) > 0 {
		return p.at.errorf("BEGIN-VENDOR cannot stand inside BEGIN-VENDOR or BEGIN-TLV")
	}
	if len(fields) != 2 && len(fields) != 3 {
		return p.at.errorf("BEGIN-VENDOR takes the name of a vendor")
	}
	v := p.d.Vendor(fields[1])
	if v == nil {
		return p.at.errorf("vendor %q is not defined: write a VENDOR line first", fields[1])
	}
	if len(fields) == 3 {
		_, name, ok := strings.Cut(fields[2], "=")
		a := p.d.Attribute(name)
		if !ok || a == nil || a.Type != EVS || a.Parent == nil {
			return p.at.errorf("%q does not name an extended vendor space such as Extended-Vendor-Specific-1", fields[2])
		}
		p.base = wire.Type(a.Parent.Number)
	}
	p.vendor = v
	return nil
}

func (p *parser) attribute(name, oid, typeName string, flags []string) error {
	a := &Attribute{Name: name, where: p.at, Vendor: p.vendor, Base: p.base}
	numbers, err := p.place(a, oid)
	if err != nil {
		return err
	}
	if err := p.dataType(a, typeName); err != nil {
		return err
	}
	virtual, err := p.flags(a, flags)
	if err != nil {
		return err
	}
	if virtual || a.Vendor == nil && a.Parent == nil && len(numbers) == 1 && (a.Number == 0 || a.Number > 255) {
		p.d.warnings = append(p.d.warnings, fmt.Sprintf("%s: attribute %s never travels in a packet and is left out", p.at, name))
		p.ignored[strings.ToLower(name)] = true
		return nil
	}
	if err := p.check(a); err != nil {
		return err
	}
	return p.add(a)
}

// place finds where a dotted number belongs: its vendor, parent and last number.
func (p *parser) place(a *Attribute, oid string) ([]uint32, error) {
	parts := strings.Split(oid, ".")
	if len(parts) > maxPath {
		return nil, p.at.errorf("number %s has more than %d parts", oid, maxPath)
	}
	numbers := make([]uint32, len(parts))
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 0, 32)
		if err != nil {
			return nil, p.at.errorf("%q is not a number such as 1, 26.9.1 or 241.1", oid)
		}
		numbers[i] = uint32(n)
	}
	rest := numbers
	switch {
	case len(p.parents) > 0:
		a.Parent = p.parents[len(p.parents)-1]
		a.Vendor, a.Base = a.Parent.Vendor, a.Parent.Base
	case p.vendor == nil && len(rest) >= 3 && rest[0] == uint32(wire.VendorSpecific):
		if a.Vendor = p.d.numbers[rest[1]]; a.Vendor == nil {
			return nil, p.at.errorf("vendor %d of %s is not defined: write a VENDOR line first", rest[1], oid)
		}
		rest = rest[2:]
	case p.vendor == nil && len(rest) >= 4 && wire.Type(rest[0]).IsExtended() && rest[0] < 256 && rest[1] == uint32(wire.VendorSpecific):
		if a.Vendor = p.d.numbers[rest[2]]; a.Vendor == nil {
			return nil, p.at.errorf("vendor %d of %s is not defined: write a VENDOR line first", rest[2], oid)
		}
		a.Base, rest = wire.Type(rest[0]), rest[3:]
	}
	for ; len(rest) > 1; rest = rest[1:] {
		var parent *Attribute
		if a.Parent != nil {
			parent = a.Parent.children[rest[0]]
		} else {
			at := Attribute{Vendor: a.Vendor, Base: a.Base, Number: rest[0]}
			parent = p.d.byNumber[at.key()]
		}
		if parent == nil || !parent.Type.holdsAttributes() {
			return nil, p.at.errorf("number %s: there is no attribute of type tlv or extended at %d to hold it", oid, rest[0])
		}
		a.Parent = parent
	}
	a.Number = rest[0]
	return numbers, nil
}

func (p *parser) dataType(a *Attribute, name string) error {
	if base, size, ok := strings.Cut(name, "["); ok {
		n, err := strconv.Atoi(strings.TrimSuffix(size, "]"))
		if err != nil || n < 1 || n > wire.MaxValue || !strings.HasSuffix(size, "]") || !strings.EqualFold(base, "octets") {
			return p.at.errorf("%q is not a type: only octets takes a size, as in octets[16]", name)
		}
		a.Size, name = n, base
	}
	t, ok := dataTypeOf(name)
	if !ok {
		return p.at.errorf("unknown type %q%s", name, didYouMean(nearest(name, dataTypeName[:])))
	}
	a.Type = t
	return nil
}

func (p *parser) flags(a *Attribute, fields []string) (virtual bool, err error) {
	for _, field := range fields {
		for flag := range strings.SplitSeq(field, ",") {
			switch strings.ToLower(flag) {
			case "":
			case "has_tag":
				a.Tagged = true
			case "array":
				a.Array = true
			case "concat":
				a.Concat = true
			case "virtual":
				virtual = true
			case "secret":
				a.Secret = true
			case "encrypt=1":
				a.Hiding = wire.HideUserPassword
			case "encrypt=2":
				a.Hiding = wire.HideSalted
			case "encrypt=3":
				a.Hiding = wire.HideAscend
			default:
				known := []string{"has_tag", "array", "concat", "virtual", "secret", "encrypt=1", "encrypt=2", "encrypt=3"}
				return false, p.at.errorf("unknown flag %q%s", flag, didYouMean(nearest(flag, known)))
			}
		}
	}
	a.Secret = a.Secret || a.Hiding != wire.Clear
	return virtual, nil
}

// check refuses what could not be encoded.
func (p *parser) check(a *Attribute) error {
	limit, of := uint32(255), "this place"
	if a.Parent == nil && a.Vendor != nil && a.Base == 0 {
		of = "vendor " + a.Vendor.Name
		switch a.Vendor.Format.Type {
		case 2:
			limit = 0xffff
		case 4:
			limit = 0xffffffff
		}
	}
	if a.Number > limit {
		return p.at.errorf("number %d of %s is above %d, the most that %s can have", a.Number, a.Name, limit, of)
	}
	if a.Tagged && a.Type != Integer && a.Type != String && a.Type != Octets {
		return p.at.errorf("has_tag goes with the types integer, string and octets, not %s", a.Type)
	}
	if a.Hiding != wire.Clear && (a.Type.holdsAttributes() || a.Concat) {
		return p.at.errorf("encrypt goes with a single value, not with %s", a.Type)
	}
	if (a.Type == Extended || a.Type == LongExtended) && (a.Parent != nil || a.Vendor != nil || !wire.Type(a.Number).IsExtended()) {
		return p.at.errorf("type %s belongs to the attributes 241 to 246", a.Type)
	}
	if a.Concat && (a.Parent != nil || a.Vendor != nil) {
		return p.at.errorf("concat goes with standard attributes")
	}
	return nil
}

func (p *parser) add(a *Attribute) error {
	name := strings.ToLower(a.Name)
	if old := p.d.byName[name]; old != nil {
		same := sameDefinition(old, a)
		if !same && old.where.layer == a.where.layer {
			return p.at.errorf("attribute %s is already defined otherwise at %s", a.Name, old.where)
		}
		if same {
			return nil
		}
		p.forget(old)
	}
	var old *Attribute
	if a.Parent == nil {
		old = p.d.byNumber[a.key()]
		p.d.byNumber[a.key()] = a
	} else {
		old = a.Parent.children[a.Number]
		if a.Parent.children == nil {
			a.Parent.children = make(map[uint32]*Attribute)
		}
		a.Parent.children[a.Number] = a
	}
	// A second name of a number is an alias and knows what the first one knows.
	if old != nil && old.Type == a.Type {
		for n, name := range old.names {
			a.setValue(name, n)
		}
		for n, child := range old.children {
			if a.children == nil {
				a.children = make(map[uint32]*Attribute)
			}
			a.children[n] = child
		}
	}
	p.d.byName[name] = a
	delete(p.ignored, name)
	return nil
}

// forget takes an attribute that is being replaced from its number.
func (p *parser) forget(a *Attribute) {
	switch {
	case a.Parent != nil && a.Parent.children[a.Number] == a:
		delete(a.Parent.children, a.Number)
	case a.Parent == nil && p.d.byNumber[a.key()] == a:
		delete(p.d.byNumber, a.key())
	}
}

func (a *Attribute) key() uint64 {
	var vendor uint32
	if a.Vendor != nil {
		vendor = a.Vendor.Number
	}
	return key(a.Base, vendor, a.Number)
}

func sameDefinition(a, b *Attribute) bool {
	return a.Number == b.Number && a.Vendor == b.Vendor && a.Base == b.Base && a.Parent == b.Parent &&
		a.Type == b.Type && a.Size == b.Size && a.Hiding == b.Hiding && a.Tagged == b.Tagged
}

// settle gives the values of a layer to their attributes.
func (p *parser) settle() error {
	for _, v := range p.values {
		a := p.d.Attribute(v.attribute)
		if a == nil {
			if p.ignored[strings.ToLower(v.attribute)] {
				continue
			}
			return v.at.errorf("VALUE of an attribute %q that is not defined%s", v.attribute, didYouMean(p.d.Suggest(v.attribute)))
		}
		if !a.Type.isNumber() {
			p.d.warnings = append(p.d.warnings, fmt.Sprintf("%s: VALUE %s of %s is left out: type %s takes no named values", v.at, v.name, a.Name, a.Type))
			continue
		}
		if size := a.Type.size(); size < 8 && v.number>>(8*size) != 0 {
			return v.at.errorf("number %d does not fit %s, which has %d bytes", v.number, a.Name, size)
		}
		a.setValue(v.name, v.number)
	}
	p.values = nil
	return nil
}

func (a *Attribute) setValue(name string, number uint64) {
	if a.numbers == nil {
		a.numbers, a.names = make(map[string]uint64), make(map[uint64]string)
	}
	a.numbers[strings.ToLower(name)] = number
	a.names[number] = name
}

func (a *Attribute) valueNames() []string {
	names := make([]string, 0, len(a.names))
	for _, name := range a.names {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func didYouMean(name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", name)
}
