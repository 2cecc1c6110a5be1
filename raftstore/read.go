package raftstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"trine/raftstore/history"
	"trine/raftstore/wal"
)

// Item is one fact read back. It belongs to the reader.
type Item struct {
	Position
	Time time.Time // of the entry, UTC
	Node uint64    // who proposed it
	Fact
}

// Read returns the facts that q selects, up to what is applied here when it begins: from history, then from the part of the
// log that is not sealed. Facts of void records are not among them. With q.Reverse the newest comes first, and q.From, unless
// zero, is where to begin going back. After an error, which is the last thing yielded, nothing follows. A slow reader holds
// nobody up.
func (s *Store) Read(ctx context.Context, q Query) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		end, _ := s.fold.at.get()
		r := s.newReader(ctx, q)
		var err error
		if q.Reverse {
			err = r.backwards(end, yield)
		} else {
			_, err = r.forwards(q.From, end, yield)
		}
		if err != nil && !errors.Is(err, errStop) {
			yield(Item{}, err)
		}
	}
}

// Follow is like Read, and then waits for more, until ctx ends, the store closes, or q.Until has passed in the log. It pulls: a
// slow reader is behind, nobody else is.
func (s *Store) Follow(ctx context.Context, q Query) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		if q.Reverse {
			yield(Item{}, errors.New("follow: cannot follow in reverse"))
			return
		}
		r := s.newReader(ctx, q)
		for next := q.From; ; {
			end, last := s.fold.at.get()
			var err error
			if next, err = r.forwards(next, end, yield); err != nil {
				if !errors.Is(err, errStop) {
					yield(Item{}, err)
				}
				return
			}
			if last >= r.until {
				return
			}
			moved := s.fold.at.past(end)
			if moved == nil {
				continue
			}
			select {
			case <-moved:
			case <-ctx.Done():
				yield(Item{}, ctx.Err())
				return
			case <-s.closed:
				yield(Item{}, ErrClosed)
				return
			}
		}
	}
}

// Replay folds every kept fact, from the first on, into a Machine of the caller's through ApplyFact.
func (s *Store) Replay(ctx context.Context, into Machine) error {
	for item, err := range s.Read(ctx, Query{}) {
		if err != nil {
			return fmt.Errorf("replay: %w", err)
		}
		into.ApplyFact(item.Position, item.Time, item.Fact)
	}
	return nil
}

var errStop = errors.New("reader stopped")

type reader struct {
	s            *Store
	ctx          context.Context
	q            Query
	classes      []Class
	since, until int64
	tail         tailReader
	n            int
}

func (s *Store) newReader(ctx context.Context, q Query) *reader {
	r := &reader{
		s: s, ctx: ctx, q: q, classes: q.Classes, since: math.MinInt64, until: math.MaxInt64,
		tail: tailReader{log: s.log, notes: s.notes, machine: s.cfg.Machine},
	}
	if len(r.classes) == 0 {
		for c := range MaxClass + 1 {
			r.classes = append(r.classes, c)
		}
	}
	if !q.Since.IsZero() {
		r.since = q.Since.UnixNano()
	}
	if !q.Until.IsZero() {
		r.until = q.Until.UnixNano()
	}
	return r
}

// forwards yields from next to the end of entry end, and returns where to go on.
func (r *reader) forwards(next Position, end uint64, yield func(Item, error) bool) (Position, error) {
	for next.Index <= end {
		if err := r.check(); err != nil {
			return next, err
		}
		if sealed := min(r.s.history.Seal(), end); next.Index <= sealed {
			if err := r.fromHistory(next, sealed, yield); err != nil {
				return next, err
			}
			next = Position{Index: sealed + 1}
			continue
		}
		items, err := r.entry(next.Index)
		if errors.Is(err, errSealed) {
			if r.s.history.Seal() < next.Index {
				return next, fmt.Errorf("read entry %d: it is neither in history nor in the log", next.Index)
			}
			continue
		}
		if err != nil {
			return next, err
		}
		for _, item := range items {
			if item.Less(next) {
				continue
			}
			if !yield(item, nil) {
				return next, errStop
			}
		}
		next = Position{Index: next.Index + 1}
	}
	return next, nil
}

// backwards yields from entry end, or q.From, back to the first.
func (r *reader) backwards(end uint64, yield func(Item, error) bool) error {
	from := Position{Index: end, Offset: math.MaxUint32}
	if (r.q.From != Position{}) && r.q.From.Less(from) {
		from = r.q.From
	}
	for from.Index > 0 {
		if err := r.check(); err != nil {
			return err
		}
		if r.s.history.Seal() >= from.Index {
			return r.fromHistory(from, 0, yield)
		}
		items, err := r.entry(from.Index)
		if errors.Is(err, errSealed) {
			if r.s.history.Seal() < from.Index {
				return fmt.Errorf("read entry %d: it is neither in history nor in the log", from.Index)
			}
			continue
		}
		if err != nil {
			return err
		}
		for _, item := range slices.Backward(items) {
			if from.Less(item.Position) {
				continue
			}
			if !yield(item, nil) {
				return errStop
			}
		}
		from = Position{Index: from.Index - 1, Offset: math.MaxUint32}
	}
	return nil
}

// check looks now and then whether anybody still wants to know.
func (r *reader) check() error {
	if r.n++; r.n%64 != 1 {
		return nil
	}
	select {
	case <-r.s.closed:
		return ErrClosed
	default:
		return r.ctx.Err()
	}
}

// entry returns the selected facts of an entry of the unsealed log.
func (r *reader) entry(index uint64) ([]Item, error) {
	var items []Item
	err := r.tail.read(index, func(item *Item) error {
		t := item.Time.UnixNano()
		if t < r.since || t >= r.until || !slices.Contains(r.classes, item.Class) ||
			r.q.Stream != 0 && !slices.Contains(item.Streams, r.q.Stream) {
			return nil
		}
		kept := *item
		kept.Streams = slices.Clone(item.Streams)
		kept.Data = slices.Clone(item.Data)
		items = append(items, kept)
		return nil
	})
	return items, err
}

// fromHistory merges the classes by position.
func (r *reader) fromHistory(from Position, high uint64, yield func(Item, error) bool) (err error) {
	if !r.s.enter() {
		return ErrClosed
	}
	defer r.s.leave()
	epochs := *r.s.fold.shared.Load()
	type head struct {
		c *history.Cursor
		f *history.Fact
	}
	var heads []head
	defer func() {
		for _, h := range heads {
			err = errors.Join(err, h.c.Close())
		}
	}()
	for _, class := range r.classes {
		c := r.s.history.Cursor(history.Query{
			Class: uint8(class), Index: from.Index, Offset: from.Offset, High: high,
			Since: r.since, Until: r.until, Stream: r.q.Stream, Streams: r.streams, Reverse: r.q.Reverse,
		}, func(number uint32) bool { return epochs.has(class, number) })
		f, err := c.Next()
		if err != nil {
			return err
		}
		heads = append(heads, head{c, f})
	}
	for {
		best := -1
		for i, h := range heads {
			if h.f == nil {
				continue
			}
			if best < 0 || factPosition(h.f).Less(factPosition(heads[best].f)) != r.q.Reverse {
				best = i
			}
		}
		if best < 0 {
			return nil
		}
		if err := r.check(); err != nil {
			return err
		}
		f := heads[best].f
		item := Item{
			Position: factPosition(f), Time: time.Unix(0, f.Time).UTC(), Node: f.Node,
			Fact: Fact{Class: Class(f.Class), Streams: r.streams(nil, f.Class, f.Data), Data: f.Data},
		}
		if !yield(item, nil) {
			return errStop
		}
		if heads[best].f, err = heads[best].c.Next(); err != nil {
			return err
		}
	}
}

func (r *reader) streams(dst []uint64, class uint8, data []byte) []uint64 {
	return r.s.cfg.Machine.Streams(dst, Class(class), data)
}

func factPosition(f *history.Fact) Position { return Position{f.Index, f.Offset} }

// errSealed means that an entry has left the log for history.
var errSealed = errors.New("entry is sealed")

// tailReader reads the facts of entries that are not sealed yet.
type tailReader struct {
	log     *wal.Log
	notes   *notes
	machine Machine
	raw     raft.Log
	env     envelope
}

// read calls yield for each fact of an entry that took effect; the item and what it points to are valid until it returns.
func (t *tailReader) read(index uint64, yield func(*Item) error) error {
	if err := t.log.GetLog(index, &t.raw); err != nil {
		if wal.NotFound(err) {
			return errSealed
		}
		return fmt.Errorf("read entry %d of the log: %w", index, err)
	}
	if t.raw.Type != raft.LogCommand {
		return nil
	}
	if err := t.env.decode(t.raw.Data); err != nil {
		return fmt.Errorf("read entry %d of the log: %w", index, err)
	}
	n, ok := t.notes.get(index)
	if !ok {
		return errSealed
	}
	if n.skipped {
		return nil
	}
	item := Item{Position: Position{Index: index}, Time: time.Unix(0, t.env.time).UTC(), Node: t.env.node}
	if n.time != 0 {
		item.Time = time.Unix(0, n.time).UTC()
	}
	var err error
	void := false
	each := func(f Fact) {
		if item.Fact = f; !void && err == nil {
			err = yield(&item)
		}
		item.Offset++
	}
	for i, record := range t.env.records {
		if t.env.kinds[i] != kindMachine {
			continue
		}
		void = slices.ContainsFunc(n.voids, func(v voidNote) bool { return v.record == uint32(i) })
		t.machine.Facts(record, each)
	}
	return err
}
