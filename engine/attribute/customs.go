package attribute

import (
	"iter"
	"math"

	"trine/engine/state"
)

// Customs says which custom attributes the definitions of a set ask for, so that those of a person are read all at once and the others
// passed over.
type Customs struct {
	slots *state.SymbolTable // of the slots of those definitions, plus one
	count int                // no slot is as large
}

// NewCustoms returns what some definitions ask for. Those that ask for the same attribute must have the same slot, see [Values].
func NewCustoms(definitions iter.Seq[*Definition]) *Customs {
	c := new(Customs)
	numbers := map[string]uint32{}
	for d := range definitions {
		if d.source == Custom && d.computation == nil {
			numbers[d.custom] = uint32(d.slot) + 1
			c.count = max(c.count, d.slot+1)
		}
	}
	c.slots = state.NewSymbolTable(func(name []byte) uint32 {
		if n, asked := numbers[string(name)]; asked {
			return n
		}
		return math.MaxUint32
	})
	return c
}

// readCustoms finds the values of all definitions that ask for custom attributes.
func (f *Facts) readCustoms() {
	if f.customs == f.generation {
		return
	}
	f.customs = f.generation
	f.grow(f.Customs.count)
	f.values = f.Subject.AppendCustoms(f.values, f.spans, f.generation, f.Customs.slots)
}
