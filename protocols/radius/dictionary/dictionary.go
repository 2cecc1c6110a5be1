package dictionary

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	"trine/protocols/radius/wire"
)

//go:generate go run ./internal/condense $FREERADIUS_DICTIONARIES standard.dict

//go:embed standard.dict
var standardText string

// File is a dictionary file: what other files include it by, and errors call
// it, and its text.
type File struct {
	Name string
	Text string
}

// Dictionary maps attributes between names and numbers. It is immutable and
// safe for concurrent use.
type Dictionary struct {
	layers   [][]File
	byName   map[string]*Attribute // by lower-case name
	byNumber map[uint64]*Attribute
	vendors  map[string]*Vendor
	numbers  map[uint32]*Vendor
	warnings []string
}

var standard = sync.OnceValues(func() (*Dictionary, error) {
	return compile([][]File{{{Name: "standard.dict", Text: standardText}}})
})

// Standard returns the attributes of the RFCs and of the vendors that come with
// Trine. It is read once; all callers get the same one.
func Standard() (*Dictionary, error) {
	d, err := standard()
	if err != nil {
		return nil, fmt.Errorf("read the standard dictionary: %w", err)
	}
	return d, nil
}

// New returns a dictionary of these files alone. See With.
func New(files ...File) (*Dictionary, error) { return compile([][]File{files}) }

// With returns a new dictionary that has these files laid over d: an attribute,
// vendor or value of theirs replaces one of the same name. All files are read, in
// this order; $INCLUDE reads another one of them earlier, and nothing is read
// twice. Errors are a *Error with file and line.
func (d *Dictionary) With(files ...File) (*Dictionary, error) {
	return compile(append(slices.Clone(d.layers), files))
}

// Attribute returns the attribute of this name, whose case does not matter; nil
// if there is none.
func (d *Dictionary) Attribute(name string) *Attribute {
	return d.byName[strings.ToLower(name)]
}

// Vendor returns the vendor of this name, whose case does not matter; nil if
// there is none.
func (d *Dictionary) Vendor(name string) *Vendor { return d.vendors[strings.ToLower(name)] }

// VendorNumber returns the vendor of this number; nil if there is none.
func (d *Dictionary) VendorNumber(number uint32) *Vendor { return d.numbers[number] }

// Standard returns the standard attribute of this type; nil if there is none.
func (d *Dictionary) Standard(t wire.Type) *Attribute { return d.byNumber[key(0, 0, uint32(t))] }

// VendorAttribute returns a vendor's attribute; nil if there is none.
func (d *Dictionary) VendorAttribute(vendor, number uint32) *Attribute {
	return d.byNumber[key(0, vendor, number)]
}

// ExtendedVendorAttribute returns a vendor's attribute in the vendor space of an
// extended type, RFC 6929 section 2.4; nil if there is none.
func (d *Dictionary) ExtendedVendorAttribute(base wire.Type, vendor uint32, number uint8) *Attribute {
	return d.byNumber[key(base, vendor, uint32(number))]
}

// Attributes returns all attributes, ordered by name.
func (d *Dictionary) Attributes() []*Attribute {
	all := make([]*Attribute, 0, len(d.byName))
	for _, a := range d.byName {
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b *Attribute) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Warnings returns what was read and left out, such as attributes that exist in
// another server only, each with file and line.
func (d *Dictionary) Warnings() []string { return slices.Clone(d.warnings) }

// Suggest returns the name of an attribute that is nearest to one that does not
// exist; "" if none is near.
func (d *Dictionary) Suggest(name string) string {
	names := make([]string, 0, len(d.byName))
	for _, a := range d.byName {
		names = append(names, a.Name)
	}
	return nearest(name, names)
}

// nearest returns the candidate with the smallest edit distance, at most a third
// of the word; of equals the first in order.
func nearest(word string, candidates []string) string {
	best, limit := "", max(1, len(word)/3)
	lower := strings.ToLower(word)
	for _, c := range candidates {
		n := distance(lower, strings.ToLower(c), limit)
		if n < limit || n == limit && (best == "" || c < best) {
			best, limit = c, n
		}
	}
	return best
}

// distance is the edit distance of two words with neighbours swapped counted
// once, or more than limit as soon as it must be.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	before, previous, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		least := i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(previous[j]+1, row[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
			least = min(least, row[j])
		}
		if least > limit {
			return limit + 1
		}
		before, previous, row = previous, row, before
	}
	return previous[len(b)]
}

// key orders the top-level attributes: an extended type's vendor space or 0, the
// vendor or 0, the number. A vendor's number has 24 bits, RFC 2865 section 5.26.
func key(base wire.Type, vendor, number uint32) uint64 {
	return uint64(base)<<56 | uint64(vendor&0xffffff)<<32 | uint64(number)
}
