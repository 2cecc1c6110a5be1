package raftstore

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"trine/raftstore/history"
	"trine/raftstore/seal"
	"trine/raftstore/wal"
)

// A node that took over another's seal has its rows and none of the history before. It fetches that in the background, newest first, so that its history
// is complete from some entry on, and that entry comes earlier and earlier. What it has is written in the SEAL after each step.
//
// On the way, facts are one after the other, in the order of the log, little endian; an index of 0 ends them:
//
//	index u64, offset u32, time i64, node u64, class u8, length u32, bytes, CRC32C u32 of all that
//
// The checksum is there because the Machine is asked for a fact's streams, and what it cannot read ends the process.
const factHeader = 8 + 4 + 8 + 8 + 1 + 4

const (
	// backfillFacts is about how many facts a step fetches; so long a step holds up seals.
	backfillFacts = 200_000
	// backfillEntries is how many entries the first step asks for.
	backfillEntries = 256
	// backfillRetry is how long a node waits that finds nobody to ask.
	backfillRetry = time.Second
)

// missing returns the ranges of entries whose facts this node's history does not have yet, oldest first.
func (s *Store) missing() []seal.Range {
	if l, _ := s.sealer.sealed(); l != nil {
		return l.Missing
	}
	return nil
}

// historyComplete returns the first entry from which on history misses nothing; 1: it misses nothing at all.
func (s *Store) historyComplete() uint64 {
	if m := s.missing(); len(m) > 0 {
		return m[len(m)-1].To + 1
	}
	return 1
}

// backfillLoop fetches what history misses.
func (s *Store) backfillLoop() {
	entries := uint64(backfillEntries)
	reported := time.Now()
	for {
		m := s.missing()
		if len(m) == 0 {
			return
		}
		r := m[len(m)-1]
		step := seal.Range{From: max(r.From, r.To-min(r.To-1, entries-1)), To: r.To}
		start := time.Now()
		facts, err := s.backfill(step)
		wait := time.Since(start) // half of the time is others'
		switch {
		case errors.Is(err, ErrClosed), errors.Is(err, errReplaced):
			return
		case err != nil:
			s.cfg.Logger.Warn("history cannot be completed yet", "entries", step, "error", err)
			wait = backfillRetry
		case facts < backfillFacts/2:
			entries = min(2*entries, 1<<24)
		case facts > 2*backfillFacts:
			entries = max(entries/2, 1)
		}
		if err == nil && (len(s.missing()) == 0 || time.Since(reported) > 10*time.Second) {
			reported = time.Now()
			s.cfg.Logger.Info("history comes from the other nodes", "complete_from", s.historyComplete())
		}
		select {
		case <-time.After(min(wait, backfillRetry)):
		case <-s.closed:
			return
		}
	}
}

// backfill fetches the facts of a range from whoever has them, and returns how many they were.
func (s *Store) backfill(r seal.Range) (facts int, err error) {
	if s.peers == nil {
		return 0, errors.New("this node is alone")
	}
	failed := errors.New("there is no other node")
	for _, m := range s.others(false) { // the leader has the most to do
		facts, err := s.backfillFrom(m.Node, r)
		if err == nil || errors.Is(err, ErrClosed) || errors.Is(err, errReplaced) {
			return facts, err
		}
		failed = fmt.Errorf("from node %016x: %w", m.Node, err)
	}
	return 0, failed
}

func (s *Store) backfillFrom(node uint64, r seal.Range) (facts int, err error) {
	body := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, r.From), r.To)
	conn, err := s.peers.transfer(context.Background(), node, verbHistory, body)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }() // it was read
	if err := comes(conn); err != nil {
		return 0, err
	}
	s.sealing.Lock()
	defer s.sealing.Unlock()
	if s.isClosing() {
		return 0, ErrClosed
	}
	return s.sealer.complete(r, bufio.NewReaderSize(conn, 256<<10), *s.fold.shared.Load())
}

// complete adds the facts of a range to history and counts them in the SEAL, whose index stays. The sealing lock is held.
func (s *sealer) complete(r seal.Range, in io.Reader, epochs registry) (facts int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.replaced {
		return 0, errReplaced
	}
	if err := s.stop(); err != nil {
		return 0, err
	}
	if s.dirty {
		if err := s.undo(); err != nil {
			return 0, err
		}
	}
	w, err := s.history.Writer(false, s.stop)
	if err != nil {
		return 0, err
	}
	done := false
	defer func() {
		if !done {
			err = errors.Join(err, w.Close(), s.undo())
		}
	}()
	if facts, err = readFacts(r, in, s.cfg.Machine, func(f *history.Fact) error {
		if epoch, ok := epochs.at(Class(f.Class), f.Index); ok { // else retention removed it
			return w.Add(epoch, f)
		}
		return nil
	}); err != nil {
		return 0, err
	}
	counts, err := w.Finish()
	if err != nil {
		return 0, err
	}
	if err := s.sync(); err != nil {
		return 0, err
	}
	last, _ := s.sealed()
	k := *last
	k.History = countsOf(counts, epochs)
	k.Missing = without(last.Missing, r)
	if err := s.put(&k); err != nil {
		return 0, err
	}
	done = true
	s.mu.Lock()
	s.last = &k
	s.mu.Unlock()
	return facts, w.Commit(k.Index, historyRanges(k.Missing))
}

// readFacts hands over facts as another node sends them, and returns how many they were. They are valid until take returns.
func readFacts(r seal.Range, in io.Reader, m Machine, take func(*history.Fact) error) (facts int, err error) {
	var head [factHeader]byte
	var sum [4]byte
	var at Position
	var f history.Fact
	for {
		if _, err := io.ReadFull(in, head[:8]); err != nil {
			return 0, fmt.Errorf("receive history: %w", err)
		}
		index := binary.LittleEndian.Uint64(head[:])
		if index == 0 {
			return facts, nil
		}
		if _, err := io.ReadFull(in, head[8:]); err != nil {
			return 0, fmt.Errorf("receive history: %w", err)
		}
		f = history.Fact{
			Index: index, Offset: binary.LittleEndian.Uint32(head[8:]), Time: int64(binary.LittleEndian.Uint64(head[12:])),
			Node: binary.LittleEndian.Uint64(head[20:]), Class: head[28], Streams: f.Streams[:0], Data: f.Data[:0],
		}
		next := Position{index, f.Offset}
		n := binary.LittleEndian.Uint32(head[29:])
		if n > MaxRecord || index < r.From || index > r.To || f.Class > uint8(MaxClass) || facts > 0 && !at.Less(next) {
			return 0, fmt.Errorf("receive history: fact %v of class %d with %d bytes after %v, in a range from %d to %d", next, f.Class, n, at, r.From, r.To)
		}
		f.Data = slices.Grow(f.Data, int(n))[:n]
		if _, err := io.ReadFull(in, f.Data); err != nil {
			return 0, fmt.Errorf("receive history: %w", err)
		}
		if _, err := io.ReadFull(in, sum[:]); err != nil {
			return 0, fmt.Errorf("receive history: %w", err)
		}
		if want, found := binary.LittleEndian.Uint32(sum[:]), wal.ChecksumAll(head[:], f.Data); want != found {
			return 0, fmt.Errorf("receive history: fact %v: checksum: expected %08x, found %08x", next, want, found)
		}
		f.Streams = m.Streams(f.Streams, Class(f.Class), f.Data)
		at = next
		facts++
		if err := take(&f); err != nil {
			return 0, err
		}
	}
}

// without returns ranges without the end of the last of them, which has come.
func without(ranges []seal.Range, came seal.Range) []seal.Range {
	out := slices.Clone(ranges)
	last := &out[len(out)-1]
	if last.To = came.From - 1; last.To < last.From {
		out = out[:len(out)-1]
	}
	return out
}

func historyRanges(ranges []seal.Range) []history.Range {
	out := make([]history.Range, 0, len(ranges))
	for _, r := range ranges {
		out = append(out, history.Range(r))
	}
	return out
}

// sendHistory sends the facts of entries from one to another, if this node has them all.
func (s *Store) sendHistory(ctx context.Context, out io.Writer, from, to uint64) error {
	applied, _ := s.fold.at.get()
	if from == 0 || from > to || to > applied {
		return &refusedError{fmt.Sprintf("entries %d to %d are not all here: the last is %d", from, to, applied)}
	}
	for _, m := range s.missing() {
		if from <= m.To && to >= m.From {
			return &refusedError{fmt.Sprintf("history of entries %d to %d is missing here", m.From, m.To)}
		}
	}
	if s.diverged.Load() != nil {
		return &refusedError{"this node's views differ from the majority's"}
	}
	if _, err := out.Write([]byte{byte(outcomeDone)}); err != nil {
		return err
	}
	_, err := s.writeFacts(ctx, out, from, to)
	return err
}

// writeFacts writes the facts of entries from one to another, and returns how many they are.
func (s *Store) writeFacts(ctx context.Context, out io.Writer, from, to uint64) (facts int, err error) {
	var b []byte
	var failed error
	r := s.newReader(ctx, Query{})
	_, err = r.forwards(Position{Index: from}, to, func(item Item, err error) bool {
		if err != nil {
			failed = err
			return false
		}
		facts++
		b = binary.LittleEndian.AppendUint64(b[:0], item.Index)
		b = binary.LittleEndian.AppendUint32(b, item.Offset)
		b = binary.LittleEndian.AppendUint64(b, uint64(item.Time.UnixNano()))
		b = binary.LittleEndian.AppendUint64(b, item.Node)
		b = binary.LittleEndian.AppendUint32(append(b, byte(item.Class)), uint32(len(item.Data)))
		b = append(b, item.Data...)
		_, failed = out.Write(binary.LittleEndian.AppendUint32(b, wal.Checksum(b)))
		return failed == nil
	})
	if failed != nil {
		err = failed
	}
	if err != nil {
		return facts, err
	}
	_, err = out.Write(make([]byte, 8))
	return facts, err
}
