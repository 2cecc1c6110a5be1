package rows_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"trine/engine/state/rows"
)

// feed returns what Load asks for rows; one without a value is gone.
func feed(keys, values [][]byte) func() ([]byte, []byte, bool, error) {
	at := -1
	return func() ([]byte, []byte, bool, error) {
		if at++; at == len(keys) {
			return nil, nil, false, nil
		}
		return keys[at], values[at], true, nil
	}
}

// Rows come in any order, again, and again as gone; what is loaded is what the last word on each says.
func TestLoadTakesTheLastWord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		m.tables[0].Put([]byte("before"), []byte("is forgotten"))
		var keys, values [][]byte
		want := map[string]string{}
		count := [2]int{}
		for range rapid.IntRange(0, 300).Draw(t, "rows") {
			table := rapid.IntRange(0, 1).Draw(t, "table")
			key := append([]byte{byte(table + 1)}, fmt.Sprint("key", rapid.IntRange(0, 120).Draw(t, "key"))...)
			var value []byte
			_, had := want[string(key)]
			if rapid.IntRange(0, 4).Draw(t, "gone") == 0 {
				delete(want, string(key))
			} else {
				n := rapid.OneOf(rapid.IntRange(0, 100), rapid.SampledFrom([]int{5_000, 40_000})).Draw(t, "length")
				value = bytes.Repeat([]byte{byte(n)}, n)
				want[string(key)] = string(value)
			}
			if _, has := want[string(key)]; has != had {
				count[table] += map[bool]int{true: 1, false: -1}[has]
			}
			keys, values = append(keys, key), append(values, value)
		}
		if err := m.store.Load(feed(keys, values)); err != nil {
			t.Fatal(err)
		}
		other := newModel()
		for key, value := range want {
			other.tables[key[0]-1].Put([]byte(key[1:]), []byte(value))
			if got, ok := m.tables[key[0]-1].Get(nil, []byte(key[1:])); !ok || string(got) != value {
				t.Fatalf("%q has %d bytes, want %d", key, len(got), len(value))
			}
		}
		if m.store.Digest() != other.store.Digest() || m.tables[0].Len() != count[0] || m.tables[1].Len() != count[1] {
			t.Fatalf("%d and %d rows, want %v", m.tables[0].Len(), m.tables[1].Len(), count)
		}
		// All that was loaded counts as sealed: only what is deleted now is told.
		m.frozen = m.store.Freeze()
		m.disk, m.then = maps.Clone(want), want
		m.write(t, false, func(*rapid.T) {})
		m.frozen.Release(true)
		for key := range want {
			m.tables[key[0]-1].Delete([]byte(key[1:]))
		}
		m.frozen, m.then = m.store.Freeze(), nil
		m.write(t, false, func(*rapid.T) {})
		m.frozen.Release(true)
	})
}

func TestLoadRefusesWhatItDoesNotKnow(t *testing.T) {
	for name, key := range map[string][]byte{"another table": {9, 1}, "no table": {}} {
		m := newModel()
		if err := m.store.Load(feed([][]byte{{1, 7}, key}, [][]byte{{1}, {1}})); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A start loads millions of rows. What it allocates is memory for them, once: chunks, not rows, and no more than a twentieth beyond their
// bytes, keys and places.
func TestLoadAllocatesChunksOnly(t *testing.T) {
	const n, size = 200_000, 100
	s := rows.NewStore()
	table := s.Table(1, 6)
	key, value := make([]byte, 9), make([]byte, size)
	key[0] = 1
	load := func() {
		i := uint64(0)
		err := s.Load(func() ([]byte, []byte, bool, error) {
			i++
			binary.BigEndian.PutUint64(key[1:], i*0x9e3779b97f4a7c15)
			return key, value, i <= n, nil
		})
		if err != nil || table.Len() != n {
			t.Fatalf("%d rows, %v", table.Len(), err)
		}
	}
	if allocs := testing.AllocsPerRun(1, load); allocs > n/40 {
		t.Errorf("%.0f allocations for %d rows", allocs, n)
	}
	const perRow = size + 8 + 2 + 4 + 10 // value, key, their lengths, place, index
	if got := float64(s.Bytes()) / n; got > perRow*1.05 {
		t.Errorf("%.1f bytes a row of %d bytes", got, size+8)
	}
}
