package raftstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/zeebo/xxh3"
)

// kv is the Machine of these tests: rows with a value. A record sets, adds (void if the row exists) or deletes.
type kv struct {
	mu     sync.Mutex
	rows   map[string]string
	sealed map[string]bool // rows that some seal has written
	dirty  map[string]bool
	digest Digest
	last   uint64
	facts  []Position // positions that ApplyFact saw
	slow   time.Duration
}

func newKV() *kv {
	return &kv{rows: map[string]string{}, sealed: map[string]bool{}, dirty: map[string]bool{}}
}

const (
	opSet = iota
	opAdd
	opDel
	voidExists Code = 7
)

type op struct {
	class Class
	what  byte
	key   string
	value string
}

func (o op) encode() []byte {
	b := []byte{byte(o.class), o.what, byte(len(o.key))}
	return append(append(b, o.key...), o.value...)
}

func decodeOp(b []byte) op {
	n := int(b[2])
	return op{Class(b[0]), b[1], string(b[3 : 3+n]), string(b[3+n:])}
}

func stream(key string) uint64 { return xxh3.HashString(key) | 1 }

func rowHash(k, v string) xxh3.Uint128 { return xxh3.HashString128(k + "\x00" + v) }

func (m *kv) put(k, v string) {
	m.drop(k)
	m.rows[k] = v
	h := rowHash(k, v)
	m.mix(h.Hi, h.Lo)
}

func (m *kv) drop(k string) {
	if v, ok := m.rows[k]; ok {
		h := rowHash(k, v)
		m.mix(-h.Hi, -h.Lo)
		delete(m.rows, k)
	}
}

func (m *kv) mix(hi, lo uint64) {
	binary.BigEndian.PutUint64(m.digest[:], binary.BigEndian.Uint64(m.digest[:])+hi)
	binary.BigEndian.PutUint64(m.digest[8:], binary.BigEndian.Uint64(m.digest[8:])+lo)
}

func (m *kv) fold(o op) Result {
	_, exists := m.rows[o.key]
	switch o.what {
	case opAdd:
		if exists {
			return Result{Code: voidExists, Detail: o.key}
		}
		m.put(o.key, o.value)
	case opSet:
		m.put(o.key, o.value)
	case opDel:
		m.drop(o.key)
	}
	m.dirty[o.key] = true
	return Result{Value: uint64(len(o.value))}
}

func (m *kv) Apply(e *Entry, results []Result) {
	m.mu.Lock()
	defer m.mu.Unlock()
	time.Sleep(m.slow)
	m.last = e.Index
	for i, r := range e.Records {
		results[i] = m.fold(decodeOp(r))
	}
}

// Facts yields the record as one fact, and for a value that begins with '2' a second one in the class above.
func (m *kv) Facts(record []byte, yield func(Fact)) {
	o := decodeOp(record)
	streams := [1]uint64{stream(o.key)}
	yield(Fact{Class: o.class, Streams: streams[:], Data: record})
	if len(o.value) > 0 && o.value[0] == '2' {
		yield(Fact{Class: (o.class + 1) % 16, Data: nil})
	}
}

func (m *kv) Count(record []byte) (n int) {
	m.Facts(record, func(Fact) { n++ })
	return n
}

func (m *kv) Streams(dst []uint64, _ Class, data []byte) []uint64 {
	if len(data) == 0 {
		return dst
	}
	return append(dst, stream(decodeOp(data).key))
}

func (m *kv) ApplyFact(at Position, _ time.Time, f Fact) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.facts = append(m.facts, at)
	if len(f.Data) > 0 {
		m.fold(decodeOp(f.Data))
	}
}

type frozenKV struct {
	m      *kv
	all    map[string]string
	dirty  map[string]bool
	known  map[string]bool
	digest Digest
}

func (m *kv) Freeze() Frozen {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := &frozenKV{m: m, all: maps.Clone(m.rows), dirty: m.dirty, known: maps.Clone(m.sealed), digest: m.digest}
	m.dirty = map[string]bool{}
	return f
}

func (f *frozenKV) Rows(full bool, emit func(k, v []byte) error) error {
	keys := slices.Sorted(maps.Keys(f.dirty))
	if full {
		keys = slices.Sorted(maps.Keys(f.all))
	}
	for _, k := range keys {
		v, ok := f.all[k]
		var err error
		switch {
		case ok:
			err = emit([]byte(k), []byte(v))
		case f.known[k]: // a row that was born and ended since the last seal was never written
			err = emit([]byte(k), nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *frozenKV) Digest() Digest { return f.digest }

func (f *frozenKV) Release(sealed bool) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	for k := range f.dirty {
		if !sealed {
			f.m.dirty[k] = true
		} else if _, ok := f.all[k]; ok {
			f.m.sealed[k] = true
		} else {
			delete(f.m.sealed, k)
		}
	}
}

func (m *kv) Load(next func() ([]byte, []byte, bool, error)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows, m.sealed, m.dirty, m.digest = map[string]string{}, map[string]bool{}, map[string]bool{}, Digest{}
	for {
		k, v, ok, err := next()
		if err != nil || !ok {
			return err
		}
		if m.drop(string(k)); v != nil {
			m.put(string(k), string(v))
		}
		m.sealed[string(k)] = v != nil
	}
}

func (m *kv) Digest() Digest {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.digest
}

func (m *kv) copy() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.rows)
}

func testConfig(tb testing.TB, dir string) Config {
	tb.Helper()
	return Config{
		Dir: dir, Cluster: "test", Machine: newKV(), Bootstrap: true, segment: 1 << 20,
		Logger:     slog.New(slog.NewTextHandler(io.Discard, nil)),
		Watermarks: [3]int64{3, 2, 1},
		Fatal:      func(err error) { tb.Errorf("fatal: %v", err) },
	}
}

func mustOpen(tb testing.TB, cfg Config) *Store {
	tb.Helper()
	s, err := Open(context.Background(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.Barrier(context.Background()); err != nil {
		tb.Fatal(err)
	}
	return s
}

func mustClose(tb testing.TB, s *Store) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		tb.Fatal(err)
	}
}

func mustSeal(tb testing.TB, s *Store) {
	tb.Helper()
	if err := s.Seal(context.Background()); err != nil {
		tb.Fatal(err)
	}
}

func mustPropose(tb testing.TB, s *Store, o op) (Position, Result) {
	tb.Helper()
	at, r, err := s.ProposeWait(context.Background(), o.encode())
	if err != nil {
		tb.Fatal(err)
	}
	return at, r
}

func readAll(tb testing.TB, s *Store, q Query) []Item {
	tb.Helper()
	var items []Item
	for item, err := range s.Read(context.Background(), q) {
		if err != nil {
			tb.Fatal(err)
		}
		items = append(items, item)
	}
	return items
}

// names prints items shortly: "key=value@index.offset".
func names(items []Item) []string {
	out := make([]string, 0, len(items))
	for _, i := range items {
		if len(i.Data) == 0 {
			out = append(out, "second")
			continue
		}
		o := decodeOp(i.Data)
		out = append(out, fmt.Sprintf("%s=%s", o.key, o.value))
	}
	return out
}

func replayed(tb testing.TB, s *Store) *kv {
	tb.Helper()
	m := newKV()
	if err := s.Replay(context.Background(), m); err != nil {
		tb.Fatal(err)
	}
	return m
}
