package rows

import (
	"encoding/binary"
	"testing"
)

// filled returns a store with many rows in one table.
func filled(n int) (*Store, *Table) {
	s := NewStore()
	table := s.Table(1, 6)
	for i := range n {
		table.Put(binary.BigEndian.AppendUint32(nil, uint32(i)), []byte("some value"))
	}
	return s, table
}

// Apply stands still while a seal freezes the rows. No row is touched then, whatever their number: they are all out of reach here, and whoever
// looks for one panics. All that is allocated is the view.
func TestFreezeTouchesNoRows(t *testing.T) {
	for _, n := range []int{1_000, 300_000} {
		s, table := filled(n)
		type rest struct {
			arena arena
			index []uint32
		}
		kept := make([]rest, len(table.shards))
		reach := func(out bool) {
			for i := range table.shards {
				sh := &table.shards[i]
				if out {
					kept[i] = rest{sh.arena, sh.index}
					sh.arena, sh.index = arena{}, nil
				} else {
					sh.arena, sh.index = kept[i].arena, kept[i].index
				}
			}
		}
		allocs := testing.AllocsPerRun(5, func() {
			reach(true)
			f := s.Freeze()
			reach(false)
			f.Release(true)
		})
		if allocs > 1 {
			t.Errorf("%d rows: %v allocations", n, allocs)
		}
	}
}

// Later, Apply waits for a seal where both want one shard: for no more rows than a slice has.
func TestFrozenRowsAreCopiedAFewAtATime(t *testing.T) {
	const n = 300_000
	s, table := filled(n)
	f := s.Freeze()
	defer f.Release(true)
	var slice frozenSlice
	rows := 0
	for i := range table.shards {
		for more := true; more; {
			before := table.shards[i].copied
			more = table.shards[i].copyFrozen(&slice, 1, true)
			if got := table.shards[i].copied - before; got > sliceSlots || len(slice.ends) > sliceSlots {
				t.Fatalf("%d slots, %d rows under one lock, want at most %d", got, len(slice.ends), sliceSlots)
			}
			rows += len(slice.ends)
		}
	}
	if rows != n {
		t.Errorf("%d rows were shown, want %d", rows, n)
	}
}

// What changes behind the place that a seal has come to needs no copy of how it was.
func TestRowsThatWereShownAreNotKept(t *testing.T) {
	s, table := filled(10_000)
	f := s.Freeze()
	defer f.Release(true)
	change := func() (kept int) {
		for i := range 10_000 {
			table.Put(binary.BigEndian.AppendUint32(nil, uint32(i)), binary.BigEndian.AppendUint32(nil, uint32(i)))
			table.Put(binary.BigEndian.AppendUint32([]byte("new"), uint32(i)), nil)
		}
		for i := range table.shards {
			kept += len(table.shards[i].kept)
		}
		return kept
	}
	if err := f.Rows(true, func(_, _ []byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if kept := change(); kept != 0 {
		t.Errorf("%d rows are kept", kept)
	}
}
