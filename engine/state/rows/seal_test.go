package rows_test

import (
	"testing"

	"trine/engine/state/rows"
)

func TestDeletionAfterAFailedSealIsTold(t *testing.T) {
	s := rows.NewStore()
	table := s.Table(1, 0)
	table.Put([]byte("k"), []byte("v"))
	disk := map[string]string{}
	write := func(sealed bool) {
		f := s.Freeze()
		defer f.Release(sealed)
		if err := f.Rows(false, func(k, v []byte) error {
			if v == nil {
				delete(disk, string(k))
			} else {
				disk[string(k)] = string(v)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	write(false) // the row is on the disk, but no seal says so
	table.Delete([]byte("k"))
	write(true)
	if len(disk) != 0 {
		t.Fatalf("a deleted row is left on the disk: %v", disk)
	}
}
