package history

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"

	"trine/raftstore/aside"
	"trine/raftstore/damage"
)

const advice = "restore this node from a backup, or remove its data directory and let it join the cluster as a new node"

// epoch is one directory. Its database is open while somebody uses it, and as long as it is the newest of its class.
type epoch struct {
	dir    string
	class  uint8
	number uint32
	logger badger.Logger

	mu      sync.Mutex
	db      *badger.DB
	users   int
	newest  bool
	doomed  bool                     // removed by retention; the last user removes the files
	count   Count                    // as the SEAL says
	counted *atomic.Pointer[counted] // the set's
}

// errRemoved means that retention removed an epoch before its reader came to it.
var errRemoved = errors.New("history epoch is removed")

// acquire opens the database if need be. Each acquire needs a release.
func (e *epoch) acquire() (*badger.DB, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.db == nil {
		if e.doomed {
			return nil, errRemoved
		}
		if err := e.open(); err != nil {
			return nil, err
		}
	}
	e.users++
	return e.db, nil
}

func (e *epoch) release() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.users--
	return e.settle()
}

// settle closes or removes what nobody needs any more.
func (e *epoch) settle() error {
	if e.users > 0 || e.newest && !e.doomed {
		return nil
	}
	var err error
	if e.db != nil {
		err = e.db.Close()
		e.db = nil
	}
	if e.doomed {
		err = errors.Join(err, os.RemoveAll(e.dir))
	}
	if err != nil {
		return fmt.Errorf("close history epoch %s: %w", e.dir, err)
	}
	return nil
}

// writeback makes the kernel begin to write the newest of the files that hold blobs.
func (e *epoch) writeback() {
	parts, _, err := e.files()
	if err != nil || len(parts) == 0 {
		return
	}
	f, err := os.Open(slices.Max(parts))
	if err != nil {
		return
	}
	aside.Writeback(f)
	_ = f.Close() // nothing was written through it
}

func (e *epoch) damaged(reason string) error {
	return &damage.Error{File: e.dir, Offset: -1, Reason: reason, Advice: advice}
}

func (e *epoch) open() error {
	if _, err := os.Stat(e.dir); errors.Is(err, os.ErrNotExist) && e.count.Blobs > 0 {
		return e.damaged("the directory is missing")
	}
	if err := os.MkdirAll(e.dir, 0o700); err != nil {
		return fmt.Errorf("make history epoch: %w", err)
	}
	if err := damage.RemoveUnborn(e.dir); err != nil {
		return err
	}
	if err := damage.Tables(e.dir, advice); err != nil {
		return err
	}
	if err := damage.CheckValues(e.dir, damage.Values{Part: e.count.Part, End: e.count.End}, advice); err != nil {
		return err
	}
	if err := reserveDiscard(e.dir); err != nil {
		return err
	}
	db, err := badger.Open(badger.DefaultOptions(e.dir).
		WithLogger(e.logger).
		WithMetricsEnabled(false).
		WithMemTableSize(1 << 20).
		WithNumMemtables(2).
		WithNumCompactors(2).
		WithNumGoroutines(2).
		WithCompression(0).
		WithBlockCacheSize(0).
		WithIndexCacheSize(1 << 20).
		WithValueThreshold(1 << 10).
		WithValueLogFileSize(16 << 20).
		WithVerifyValueChecksum(true).
		WithDetectConflicts(false))
	if err != nil {
		return damage.Opening(e.dir, err, advice)
	}
	if err := e.verify(db); err != nil {
		return errors.Join(err, db.Close())
	}
	e.db = db
	return nil
}

// verify removes the blobs that no SEAL counts, as a crashed seal left them, and compares the others with what the SEAL counted.
func (e *epoch) verify(db *badger.DB) error {
	var found Count
	var leftover [][]byte
	known := e.counted.Load()
	err := db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Seek([]byte{prefixIndex}); it.ValidForPrefix([]byte{prefixIndex}); it.Next() {
			line, err := readEntry(it.Item())
			if err != nil {
				return err
			}
			if !known.counts(line.firstIndex) {
				leftover = append(leftover, it.Item().KeyCopy(nil), key(prefixBlob, line.firstIndex, line.firstOffset))
				continue
			}
			found.Blobs++
			found.Facts += uint64(line.facts)
			found.Bytes += uint64(line.stored)
		}
		// A blob is written before its line, so a crash may leave one without the other.
		for _, r := range known.loose() {
			end := key(prefixBlob, r.To, math.MaxUint32)
			for it.Seek(key(prefixBlob, r.From, 0)); it.ValidForPrefix([]byte{prefixBlob}) && bytes.Compare(it.Item().Key(), end) <= 0; it.Next() {
				leftover = append(leftover, it.Item().KeyCopy(nil))
			}
		}
		return nil
	})
	if err != nil {
		return e.damaged(err.Error())
	}
	if found.Blobs != e.count.Blobs || found.Facts != e.count.Facts || found.Bytes != e.count.Bytes {
		return e.damaged(fmt.Sprintf("expected %d blobs with %d facts in %d bytes, found %d with %d in %d",
			e.count.Blobs, e.count.Facts, e.count.Bytes, found.Blobs, found.Facts, found.Bytes))
	}
	if len(leftover) == 0 {
		return nil
	}
	wb := db.NewWriteBatch()
	defer wb.Cancel()
	for _, k := range leftover {
		if err := wb.Delete(k); err != nil {
			return fmt.Errorf("remove leftovers of a seal: %w", err)
		}
	}
	if err := wb.Flush(); err != nil {
		return fmt.Errorf("remove leftovers of a seal: %w", err)
	}
	return nil
}

func readEntry(item *badger.Item) (*entry, error) {
	var line *entry
	err := item.Value(func(v []byte) error {
		var err error
		line, err = decodeEntry(item.Key(), v)
		return err
	})
	return line, err
}
