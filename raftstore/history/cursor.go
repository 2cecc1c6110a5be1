package history

import (
	"errors"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"github.com/klauspost/compress/zstd"
)

// Query selects facts of one class.
type Query struct {
	Class   uint8
	Index   uint64 // forwards: first position, inclusive; in reverse: last position, inclusive
	Offset  uint32
	High    uint64 // forwards: entries up to this index
	Since   int64  // entries at or after, Unix nanoseconds
	Until   int64  // entries before
	Stream  uint64 // facts with this key, unless 0; Streams must be set with it
	Reverse bool
	// Streams appends the keys of a fact to dst.
	Streams func(dst []uint64, class uint8, data []byte) []uint64
}

// Cursor reads the facts of one class in order. Between two calls of Next it holds one decoded blob and a hold on one epoch,
// no snapshot of a database.
type Cursor struct {
	set    *Set
	q      Query
	epochs []*epoch // still to read, in order
	cur    *epoch
	db     *badger.DB
	dec    *zstd.Decoder
	after  *entry // the blob last read
	facts  []Fact
	at     int
	keys   []uint64 // of one fact
	done   bool
}

// Cursor starts reading the class among the epochs that keep reports true for.
func (s *Set) Cursor(q Query, keep func(epoch uint32) bool) *Cursor {
	c := &Cursor{set: s, q: q, dec: s.dec}
	s.mu.Lock()
	for k, e := range s.epochs {
		if k.class == q.Class && keep(k.epoch) {
			c.epochs = append(c.epochs, e)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(c.epochs, func(a, b *epoch) int {
		if q.Reverse {
			a, b = b, a
		}
		return int(a.number) - int(b.number)
	})
	return c
}

// Next returns the next fact without its Streams, nil at the end.
func (c *Cursor) Next() (*Fact, error) {
	for !c.done {
		for c.at < len(c.facts) {
			f := &c.facts[c.at]
			if c.q.Reverse {
				f = &c.facts[len(c.facts)-1-c.at]
			}
			c.at++
			if !c.q.wants(f) {
				continue
			}
			if c.q.Stream != 0 {
				if c.keys = c.q.Streams(c.keys[:0], f.Class, f.Data); !slices.Contains(c.keys, c.q.Stream) {
					continue
				}
			}
			return f, nil
		}
		if err := c.load(); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return nil, nil
}

// Close lets go of the epoch being read. It may be called more than once.
func (c *Cursor) Close() error {
	c.done = true
	return c.leave()
}

func (c *Cursor) leave() error {
	if c.cur == nil {
		return nil
	}
	e := c.cur
	c.cur, c.db, c.after = nil, nil, nil
	return e.release()
}

// wants reports whether a fact lies where and when the query wants it.
func (q *Query) wants(f *Fact) bool {
	if f.Time < q.Since || f.Time >= q.Until {
		return false
	}
	if q.Reverse {
		if f.Index > q.Index || f.Index == q.Index && f.Offset > q.Offset {
			return false
		}
	} else if f.Index < q.Index || f.Index == q.Index && f.Offset < q.Offset || f.Index > q.High {
		return false
	}
	return true
}

// load decodes the next blob that may hold something, moving to the next epoch where one ends.
func (c *Cursor) load() error {
	c.facts, c.at = nil, 0
	if c.cur == nil {
		if len(c.epochs) == 0 {
			c.done = true
			return nil
		}
		e := c.epochs[0]
		c.epochs = c.epochs[1:]
		db, err := e.acquire()
		if errors.Is(err, errRemoved) {
			return nil // on to the next
		}
		if err != nil {
			return err
		}
		c.cur, c.db = e, db
	}
	var line *entry
	err := c.db.View(func(txn *badger.Txn) error {
		var err error
		if line, err = c.find(txn); err != nil || line == nil {
			return err
		}
		item, err := txn.Get(key(prefixBlob, line.firstIndex, line.firstOffset))
		if err != nil {
			return err
		}
		return item.Value(func(v []byte) error {
			c.facts, err = decodeBlob(c.dec, c.cur.class, line, v)
			return err
		})
	})
	if err != nil {
		return c.cur.damaged(err.Error())
	}
	if line == nil {
		return c.leave()
	}
	c.after = line
	return nil
}

// find looks for the next line of the index that the query cannot exclude.
func (c *Cursor) find(txn *badger.Txn) (*entry, error) {
	o := badger.DefaultIteratorOptions
	o.PrefetchValues = false
	o.Reverse = c.q.Reverse
	it := txn.NewIterator(o)
	defer it.Close()
	if err := c.seek(txn, it); err != nil {
		return nil, err
	}
	for ; it.ValidForPrefix([]byte{prefixIndex}); it.Next() {
		line, err := readEntry(it.Item())
		if err != nil {
			return nil, err
		}
		over, skip := c.q.excludes(line)
		if over {
			return nil, nil
		}
		if !skip {
			return line, nil
		}
	}
	return nil, nil
}

func (c *Cursor) seek(txn *badger.Txn, it *badger.Iterator) error {
	switch {
	case c.after != nil:
		k := key(prefixIndex, c.after.firstIndex, c.after.firstOffset)
		if it.Seek(k); it.Valid() && string(it.Item().Key()) == string(k) {
			it.Next()
		}
	case c.q.Reverse:
		it.Seek(key(prefixIndex, c.q.Index, c.q.Offset))
	default:
		// The blob that holds the first position begins at or before it.
		first := key(prefixIndex, c.q.Index, c.q.Offset)
		o := badger.DefaultIteratorOptions
		o.PrefetchValues = false
		o.Reverse = true
		back := txn.NewIterator(o)
		defer back.Close()
		if back.Seek(first); back.ValidForPrefix([]byte{prefixIndex}) {
			first = back.Item().KeyCopy(nil)
		}
		it.Seek(first)
	}
	return nil
}

// excludes reports whether the query wants nothing of a blob, and whether it wants nothing of those after it either.
func (q *Query) excludes(e *entry) (over, skip bool) {
	if q.Reverse {
		if e.lastTime < q.Since {
			return true, true
		}
		if e.firstTime >= q.Until {
			return false, true
		}
	} else {
		if e.firstTime >= q.Until || e.firstIndex > q.High {
			return true, true
		}
		if e.lastTime < q.Since || e.lastIndex < q.Index {
			return false, true
		}
	}
	return false, q.Stream != 0 && !e.streams.has(q.Stream)
}
