package seal

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// What the rows of a seal cost in runs and in a Badger database with the same options that the store once had; docs/adr/0003 has figures.
// Each turn writes all rows anew, as sessions that report, under keys that lie anywhere.
const benchRows = 200_000

func benchRow(i int, key, value []byte) {
	binary.BigEndian.PutUint64(key, uint64(i)*0x9e3779b97f4a7c15)
	r := rand.New(rand.NewPCG(uint64(i), 1))
	for at := 0; at < len(value)/3; at += 8 { // a third of a row looks random
		binary.LittleEndian.PutUint64(value[at:], r.Uint64())
	}
}

func BenchmarkRows(b *testing.B) {
	key, value := make([]byte, 9), make([]byte, 240)
	perRow := func(b *testing.B) { b.ReportMetric(float64(b.Elapsed())/float64(b.N)/benchRows, "ns/row") }
	b.Run("runs", func(b *testing.B) {
		r, err := OpenRows(b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		var run Run
		write := func() {
			w, err := r.Create(1)
			if err != nil {
				b.Fatal(err)
			}
			for i := range benchRows {
				benchRow(i, key[1:], value)
				if err := w.Put('m', key[1:], value); err != nil {
					b.Fatal(err)
				}
			}
			if run, err = w.Finish(); err != nil {
				b.Fatal(err)
			}
		}
		write()
		b.Run("write", func(b *testing.B) {
			for b.Loop() {
				write()
			}
			perRow(b)
		})
		b.Run("read", func(b *testing.B) {
			for b.Loop() {
				d := r.Read([]Run{run})
				n := 0
				for {
					_, _, _, ok, err := d.Next()
					if err != nil {
						b.Fatal(err)
					}
					if !ok {
						break
					}
					n++
				}
				d.Close()
				if n != benchRows {
					b.Fatal(n)
				}
			}
			perRow(b)
		})
	})
	b.Run("badger", func(b *testing.B) {
		db, err := badger.OpenManaged(badger.DefaultOptions(b.TempDir()).WithLogger(nil).WithMetricsEnabled(false).WithMemTableSize(8 << 20).
			WithNumMemtables(2).WithNumCompactors(2).WithNumGoroutines(2).WithBlockCacheSize(8 << 20).WithIndexCacheSize(8 << 20).
			WithValueLogFileSize(16 << 20).WithNumVersionsToKeep(1).WithDetectConflicts(false))
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		version := uint64(0)
		write := func() {
			version++
			wb := db.NewWriteBatchAt(version)
			defer wb.Cancel()
			for i := range benchRows {
				benchRow(i, key[1:], value)
				if err := wb.Set(append([]byte{'m'}, key[1:]...), append([]byte(nil), value...)); err != nil {
					b.Fatal(err)
				}
			}
			if err := wb.Flush(); err != nil {
				b.Fatal(err)
			}
			db.SetDiscardTs(version)
		}
		write()
		b.Run("write", func(b *testing.B) {
			for b.Loop() {
				write()
			}
			perRow(b)
		})
		b.Run("read", func(b *testing.B) {
			for b.Loop() {
				txn := db.NewTransactionAt(version, false)
				o := badger.DefaultIteratorOptions
				o.PrefetchValues = false
				it := txn.NewIterator(o)
				n := 0
				for it.Rewind(); it.Valid(); it.Next() {
					if err := it.Item().Value(func([]byte) error { n++; return nil }); err != nil {
						b.Fatal(err)
					}
				}
				it.Close()
				txn.Discard()
				if n != benchRows {
					b.Fatal(n)
				}
			}
			perRow(b)
		})
	})
}
