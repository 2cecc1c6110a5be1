package login

// Way is one cell of the matrix: a factor, and a second one or NoFactor.
type Way struct{ First, Second Factor }

// Set returns the factors of the way.
func (w Way) Set() Set { return SetOf(w.First, w.Second) }

// Matrix is the ways in which a login is accepted. It is immutable once it is in use; the zero Matrix accepts none.
type Matrix struct {
	ways  []Set
	cells []cell // of the ways, at the same places
}

// cell is what a way is beside its factors.
type cell struct {
	Way
	trusting bool // a trusted device may stand for the second factor
}

// NewMatrix returns the matrix of the ways.
func NewMatrix(ways ...Way) *Matrix {
	m := new(Matrix)
	for _, w := range ways {
		m.ways = append(m.ways, w.Set())
		m.cells = append(m.cells, cell{Way: w})
	}
	return m
}

// Trust lets a trusted device stand for the second factor of a way. It is for whoever makes the matrix, before anybody uses it.
func (m *Matrix) Trust(w Way) {
	for i := range m.cells {
		if m.cells[i].Way == w && w.Second != NoFactor {
			m.cells[i].trusting = true
		}
	}
}

// PasswordSuffices is the matrix of an identity provider that states none.
func PasswordSuffices() *Matrix { return NewMatrix(Way{First: Password}) }

// Satisfied reports whether the factors that were proved are one of the ways. It does not allocate.
func (m *Matrix) Satisfied(proved Set) bool {
	for _, w := range m.ways {
		if proved&w == w {
			return true
		}
	}
	return false
}

// Missing returns the factors of which one more is enough, given those that were proved: a choice, each of which ends a way. It is
// empty where no way goes on from there. It does not allocate.
func (m *Matrix) Missing(proved Set) (next Set) {
	for _, w := range m.ways {
		if left := w &^ proved; w&proved != 0 && left.Len() == 1 {
			next |= left
		}
	}
	return next
}

// Open reports whether there is a way that begins with a factor and needs none but those that are carried, among them the first. A matrix that
// is not open refuses every login.
func (m *Matrix) Open(first Factor, carried Set) bool {
	for _, w := range m.ways {
		if w.Has(first) && w&^carried == 0 {
			return true
		}
	}
	return false
}
