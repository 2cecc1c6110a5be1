package rows_test

import (
	"fmt"
	"sync"
	"testing"

	"trine/engine/state/rows"
)

// TestWarmingChangesNothingAndWaitsForNobody warms rows that are there, that are not, and that are there twice, from several goroutines while
// they come and go.
func TestWarmingChangesNothingAndWaitsForNobody(t *testing.T) {
	s := rows.NewStore()
	for _, table := range []*rows.Table{s.Table(1, 0), s.Table(2, 8)} {
		table.Warm(nil)
		var hashes []uint64
		for i := range 100 { // more than are looked at
			hashes = append(hashes, rows.Hash(fmt.Append(nil, i%70)))
		}
		table.Warm(hashes)
		var readers sync.WaitGroup
		stop := make(chan struct{})
		for reader := range 3 {
			readers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						table.Warm(hashes[reader*10:])
					}
				}
			})
		}
		for i := range 2000 {
			key := fmt.Append(nil, i%50)
			table.Put(key, make([]byte, i%300))
			if i%7 == 0 {
				table.Delete(key)
			}
		}
		close(stop)
		readers.Wait()
		before := table.Len()
		if n := testing.AllocsPerRun(100, func() { table.Warm(hashes) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
		if table.Len() != before || table.Len() == 0 {
			t.Errorf("%d rows, %d before", table.Len(), before)
		}
	}
}
