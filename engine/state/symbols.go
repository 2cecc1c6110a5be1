package state

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
)

// symbols gives numbers to texts that many rows hold, such as group names. A text keeps its number for ever.
type symbols struct {
	numbers map[string]uint32        // the writer's
	texts   atomic.Pointer[[][]byte] // by number; grows only
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

func (y *symbols) all() [][]byte {
	if p := y.texts.Load(); p != nil {
		return *p
	}
	return nil
}

// text returns the text of a number, or nil for a number that was never given.
func (y *symbols) text(n uint64) []byte {
	if all := y.all(); n < uint64(len(all)) {
		return all[n]
	}
	return nil
}

func (y *symbols) add(texts [][]byte, text []byte) {
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
