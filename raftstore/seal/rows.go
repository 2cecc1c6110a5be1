package seal

import (
	"fmt"
	"math"
	"os"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"trine/raftstore/damage"
)

// Rows is the state database. Versions are raft indexes; a read sees what was written at or below the index it asks for.
type Rows struct {
	db  *badger.DB
	dir string
}

// OpenRows opens or makes the state database in dir. Badger's memory is kept small: rows are read once, at start.
func OpenRows(dir string, logger badger.Logger) (*Rows, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make state database: %w", err)
	}
	if err := damage.RemoveUnborn(dir); err != nil {
		return nil, err
	}
	if err := damage.Tables(dir, advice); err != nil {
		return nil, err
	}
	db, err := badger.OpenManaged(badger.DefaultOptions(dir).
		WithLogger(logger).
		WithMetricsEnabled(false).
		WithMemTableSize(8 << 20).
		WithNumMemtables(2).
		WithNumCompactors(2).
		WithNumGoroutines(2).
		WithBlockCacheSize(8 << 20).
		WithIndexCacheSize(8 << 20).
		WithValueLogFileSize(16 << 20).
		WithChecksumVerificationMode(options.OnBlockRead).
		WithNumVersionsToKeep(math.MaxInt32).
		WithDetectConflicts(false))
	if err != nil {
		return nil, damage.Opening(dir, err, advice)
	}
	return &Rows{db, dir}, nil
}

// Discard lets go of versions that a read at index or later does not see.
func (r *Rows) Discard(index uint64) { r.db.SetDiscardTs(index) }

// Load calls yield for every row as of index, in the order of keys. Key and value are valid until it returns.
func (r *Rows) Load(index uint64, yield func(key, value []byte) error) error {
	txn := r.db.NewTransactionAt(index, false)
	defer txn.Discard()
	o := badger.DefaultIteratorOptions
	o.PrefetchSize = 64
	it := txn.NewIterator(o)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		err := item.Value(func(v []byte) error { return yield(item.Key(), v) })
		if err != nil {
			return fmt.Errorf("load rows of %s: %w", r.dir, err)
		}
	}
	return nil
}

// Repair undoes what seals that never came to their SEAL wrote past index: such a version gets the value that the row has
// as of index, or becomes a deletion. Otherwise a row that was born and ended between two seals could come back, because
// nobody would write it again.
func (r *Rows) Repair(index uint64) error {
	txn := r.db.NewTransactionAt(math.MaxUint64, false)
	defer txn.Discard()
	o := badger.DefaultIteratorOptions
	o.AllVersions = true
	it := txn.NewIterator(o)
	defer it.Close()
	var key []byte
	var late []uint64 // versions of key past index
	fix := func(value []byte) error {
		for _, version := range late {
			w := r.Write(version)
			err := w.put(key, value)
			if err == nil {
				err = w.Finish()
			}
			if err != nil {
				w.Cancel()
				return err
			}
		}
		late = late[:0]
		return nil
	}
	settled := false // an older version of key has been seen
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		if string(item.Key()) != string(key) {
			if err := fix(nil); err != nil {
				return err
			}
			key, settled = item.KeyCopy(nil), false
		}
		switch {
		case settled:
		case item.Version() > index:
			late = append(late, item.Version())
		default:
			settled = true
			var value []byte
			if len(late) > 0 && !item.IsDeletedOrExpired() {
				v, err := item.ValueCopy([]byte{})
				if err != nil {
					return fmt.Errorf("repair rows of %s: %w", r.dir, err)
				}
				value = v
			}
			if err := fix(value); err != nil {
				return err
			}
		}
	}
	return fix(nil)
}

// Write starts writing rows at an index.
func (r *Rows) Write(index uint64) *RowWriter {
	return &RowWriter{wb: r.db.NewWriteBatchAt(index), dir: r.dir}
}

// Close closes the database.
func (r *Rows) Close() error {
	if err := r.db.Close(); err != nil {
		return fmt.Errorf("close state database: %w", err)
	}
	return nil
}

// RowWriter writes rows at one index. Nothing that it writes counts before a SEAL names that index.
type RowWriter struct {
	wb    *badger.WriteBatch
	dir   string
	Bytes uint64 // of keys and values written so far
	Rows  uint64
}

// Put writes a row, or removes it if value is nil. It copies both.
func (w *RowWriter) Put(prefix byte, key, value []byte) error {
	k := make([]byte, 1+len(key))
	k[0] = prefix
	copy(k[1:], key)
	w.Rows++
	w.Bytes += uint64(len(k) + len(value))
	if value != nil {
		value = append(make([]byte, 0, len(value)), value...)
	}
	return w.put(k, value)
}

func (w *RowWriter) put(key, value []byte) error {
	var err error
	if value == nil {
		err = w.wb.Delete(key)
	} else {
		err = w.wb.Set(key, value)
	}
	if err != nil {
		return fmt.Errorf("write row of %s: %w", w.dir, err)
	}
	return nil
}

// Finish hands all rows to the database.
func (w *RowWriter) Finish() error {
	if err := w.wb.Flush(); err != nil {
		return fmt.Errorf("write rows of %s: %w", w.dir, err)
	}
	return nil
}

// Cancel drops what was not handed over yet.
func (w *RowWriter) Cancel() { w.wb.Cancel() }
