package state

import "sync/atomic"

// SymbolTable keeps a number beside each symbol that was asked for: something that is known of its text, so that the text is looked at
// once and not for everybody who has it. Readers take no lock: what one of them finds is what every other would.
type SymbolTable struct {
	find  func(text []byte) uint32
	known atomic.Pointer[SymbolNumbers]
	none  SymbolNumbers // of who has no symbols
}

// SymbolNumbers are the numbers that are known of the symbols of a State.
type SymbolNumbers struct {
	table   *SymbolTable
	of      *Symbols
	numbers []atomic.Uint32 // by symbol; 0: not asked for yet
}

// NewSymbolTable returns a table of the numbers that find returns of texts, which are never 0 and for a text always the same.
func NewSymbolTable(find func(text []byte) uint32) *SymbolTable { return &SymbolTable{find: find} }

// Find returns the number of a text.
func (t *SymbolTable) Find(text []byte) uint32 { return t.find(text) }

// Of returns the numbers of some symbols, with room for all that have been given so far. They are kept for the symbols of one State; for
// others, as of drafted users, a number is found anew each time.
func (t *SymbolTable) Of(y *Symbols) *SymbolNumbers {
	if known := t.known.Load(); y != nil && known != nil && known.of == y && len(known.numbers) >= y.Len() {
		return known
	}
	return t.grow(y)
}

// grow publishes numbers with room for all symbols that there are, and some more, and for all that are a byte in a list. What another reader finds at the same time may be lost
// with it, and is then found again.
func (t *SymbolTable) grow(y *Symbols) *SymbolNumbers {
	if y == nil {
		return &t.none
	}
	known := t.known.Load()
	if y.aside || known != nil && known.of != y {
		return &SymbolNumbers{table: t, of: y}
	}
	n := y.Len()
	next := &SymbolNumbers{table: t, of: y, numbers: make([]atomic.Uint32, max(n+n/4+16, 0x80))}
	if known != nil {
		for i := range known.numbers {
			next.numbers[i].Store(known.numbers[i].Load())
		}
	}
	t.known.Store(next)
	return next
}

// Known returns the numbers that are known already, by symbol; 0 for others. It is for those who go through many: what is not among them
// is to be asked of At.
func (s *SymbolNumbers) Known() []atomic.Uint32 { return s.numbers }

// At returns the number of a symbol.
func (s *SymbolNumbers) At(symbol uint32) uint32 {
	if int(symbol) < len(s.numbers) {
		if n := s.numbers[symbol].Load(); n != 0 {
			return n
		}
	}
	n := s.table.find(s.of.Text(symbol))
	if int(symbol) < len(s.numbers) {
		s.numbers[symbol].Store(n)
	}
	return n
}
