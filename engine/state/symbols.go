package state

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"

	"google.golang.org/protobuf/encoding/protowire"
)

// Symbols gives numbers to texts that many rows hold, such as group names. A text keeps its number for ever.
type Symbols struct {
	numbers map[string]uint32        // the writer's
	texts   atomic.Pointer[[][]byte] // by number; grows only
	aside   bool                     // they are not those of everybody
}

// SymbolList is the numbers of texts, one after another as rows have them.
type SymbolList []byte

// NewSymbolList returns the list of some numbers.
func NewSymbolList(numbers ...uint32) (l SymbolList) {
	for _, n := range numbers {
		l = protowire.AppendVarint(l, uint64(n))
	}
	return l
}

// At returns the number at a place of the list, from 0 on and below its length, and the place of the one behind it. Numbers below 128 are a byte
// each, and no other byte is below 128 but the last of a number.
func (l SymbolList) At(at int) (n uint32, next int) {
	if l[at] < 0x80 {
		return uint32(l[at]), at + 1
	}
	return l.long(at)
}

func (l SymbolList) long(at int) (n uint32, next int) {
	if at+1 < len(l) && l[at+1] < 0x80 {
		return uint32(l[at]&0x7f) | uint32(l[at+1])<<7, at + 2
	}
	v, size := protowire.ConsumeVarint(l[at:])
	if size < 0 {
		violated("a readable list of symbols", "%x", []byte(l))
	}
	return uint32(v), at + size
}

// NewSymbols returns symbols of their own, where a user is made without a State: the i-th text has the number i.
func NewSymbols(texts ...string) *Symbols {
	y := new(Symbols)
	for _, text := range texts {
		y.add(y.all(), []byte(text))
	}
	return y
}

// symbol returns the number of a text, which gets one if it has none.
func (s *State) symbol(text []byte) uint64 {
	if n, ok := s.symbols.numbers[string(text)]; ok {
		return uint64(n)
	}
	texts := s.symbols.all()
	n := uint32(len(texts))
	own := append([]byte(nil), text...)
	s.symbols.add(texts, own)
	var key [4]byte
	binary.BigEndian.PutUint32(key[:], n)
	s.symbolRows.Put(key[:], own)
	return uint64(n)
}

func (y *Symbols) all() [][]byte {
	if p := y.texts.Load(); p != nil {
		return *p
	}
	return nil
}

// Len returns how many texts have a number; numbers count from 0.
func (y *Symbols) Len() int { return len(y.all()) }

// Text returns the text of a number, or nil for a number that was never given. It must not be changed.
func (y *Symbols) Text(n uint32) []byte { return y.text(uint64(n)) }

func (y *Symbols) text(n uint64) []byte {
	if all := y.all(); n < uint64(len(all)) {
		return all[n]
	}
	return nil
}

func (y *Symbols) add(texts [][]byte, text []byte) {
	if y.numbers == nil {
		y.numbers = make(map[string]uint32)
	}
	y.numbers[string(text)] = uint32(len(texts))
	texts = append(texts, text)
	y.texts.Store(&texts)
}

// loadSymbols reads the symbols' rows. Numbers are dense, so each row's place is known.
func (s *State) loadSymbols() error {
	count := s.symbolRows.Len()
	texts := make([][]byte, count)
	numbers := make(map[string]uint32, count)
	var bad error
	s.symbolRows.Scan(0, func(_ rowRef, key, value []byte) bool {
		if len(key) != 4 || binary.BigEndian.Uint32(key) >= uint32(count) {
			bad = fmt.Errorf("load symbols: key %x is not one of %d", key, count)
			return false
		}
		n := binary.BigEndian.Uint32(key)
		texts[n] = append([]byte{}, value...)
		numbers[string(value)] = n
		return true
	})
	s.symbols.numbers = numbers
	s.symbols.texts.Store(&texts)
	return bad
}
