package rows_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"trine/engine/state/rows"
)

// model is what a store must equal: one map from full keys to values.
type model struct {
	store  *rows.Store
	tables []*rows.Table
	now    map[string]string
	disk   map[string]string // what was sealed, and what was written and perhaps not sealed
	frozen *rows.Frozen
	shown  bool // the frozen rows were written
	then   map[string]string
}

func newModel() *model {
	s := rows.NewStore()
	return &model{store: s, tables: []*rows.Table{s.Table(1, 0), s.Table(2, 3)}, now: map[string]string{}, disk: map[string]string{}}
}

// write brings the frozen rows to the disk, in full or what changed only. Meanwhile rows change.
func (m *model) write(t *rapid.T, full bool, change func(*rapid.T)) {
	m.shown = true
	seen := map[string]bool{}
	if full {
		m.disk = map[string]string{}
	}
	err := m.frozen.Rows(full, func(key, value []byte) error {
		if seen[string(key)] {
			t.Fatalf("row %x comes twice", key)
		}
		seen[string(key)] = true
		if value == nil {
			delete(m.disk, string(key))
		} else {
			m.disk[string(key)] = string(value)
		}
		if rapid.IntRange(0, 3).Draw(t, "change") == 0 {
			change(t)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(m.disk, m.then) {
		t.Fatalf("frozen rows (full %v) give\n%v, want\n%v", full, m.disk, m.then)
	}
}

func TestStoreIsAMapWithFrozenViews(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		// Few keys meet often; many make the tables grow.
		keys := rapid.Map(rapid.OneOf(rapid.IntRange(0, 2), rapid.IntRange(0, 60)), func(i int) string { return fmt.Sprintf("key%d", i) })
		values := rapid.Map(rapid.IntRange(0, 300), func(n int) string { return string(bytes.Repeat([]byte{byte(n)}, n)) })
		put := func(t *rapid.T) {
			i, key, value := rapid.IntRange(0, 1).Draw(t, "table"), keys.Draw(t, "key"), values.Draw(t, "value")
			full := string(rune(i+1)) + key
			_, had := m.now[full]
			if _, created := m.tables[i].Put([]byte(key), []byte(value)); created == had {
				t.Fatalf("created %v, had %v", created, had)
			}
			m.now[full] = value
		}
		// One of the few keys more often than not, so that rows die at every point of a seal.
		remove := func(t *rapid.T) {
			i, key := rapid.IntRange(0, 1).Draw(t, "table"), keys.Draw(t, "key")
			full := string(rune(i+1)) + key
			if _, had := m.now[full]; m.tables[i].Delete([]byte(key)) != had {
				t.Fatalf("deleted, had %v", had)
			}
			delete(m.now, full)
		}
		change := func(t *rapid.T) {
			if rapid.Bool().Draw(t, "put") {
				put(t)
			} else {
				remove(t)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"put":    put,
			"delete": remove,
			"freeze": func(t *rapid.T) {
				if m.frozen != nil {
					t.Skip("open")
				}
				m.frozen, m.shown, m.then = m.store.Freeze(), false, maps.Clone(m.now)
			},
			"write": func(t *rapid.T) {
				if m.frozen == nil || m.shown {
					t.Skip("none")
				}
				m.write(t, rapid.Bool().Draw(t, "full"), change)
			},
			"seal": func(t *rapid.T) {
				if m.frozen == nil {
					t.Skip("none")
				}
				if !m.shown {
					m.write(t, rapid.Bool().Draw(t, "full"), change)
				}
				m.frozen.Release(true)
				m.frozen = nil
			},
			"fail to seal": func(t *rapid.T) {
				if m.frozen == nil {
					t.Skip("none")
				}
				if m.shown { // all was written, and then the seal failed
					m.frozen.Release(false)
					m.frozen = nil
					return
				}
				left := rapid.IntRange(0, 30).Draw(t, "written")
				stop := errors.New("disk full")
				err := m.frozen.Rows(false, func(key, value []byte) error {
					if left--; left < 0 {
						return stop
					}
					if value == nil {
						delete(m.disk, string(key))
					} else {
						m.disk[string(key)] = string(value)
					}
					return nil
				})
				if err != nil && !errors.Is(err, stop) {
					t.Fatal(err)
				}
				m.frozen.Release(false)
				m.frozen = nil
			},
			"load": func(t *rapid.T) {
				if m.frozen != nil {
					t.Skip("open")
				}
				before := m.store.Digest()
				m.load(t, m.now)
				m.disk = maps.Clone(m.now)
				if m.store.Digest() != before {
					t.Fatal("digest differs after load")
				}
			},
			"": func(t *rapid.T) {
				count := [2]int{}
				for full, want := range m.now {
					i := full[0] - 1
					count[i]++
					got, ok := m.tables[i].Get(nil, []byte(full[1:]))
					if !ok || string(got) != want {
						t.Fatalf("%q is %q, want %q", full, got, want)
					}
					ref, ok := m.tables[i].Find([]byte(full[1:]))
					if at, ok2 := m.tables[i].At(nil, ref); !ok || !ok2 || string(at) != want {
						t.Fatalf("%q by ref is %q", full, at)
					}
				}
				for i, table := range m.tables {
					found := 0
					for cursor, first := uint64(0), true; first || cursor != 0; first = false {
						steps := 0
						cursor = table.Scan(cursor, func(_ rows.Ref, key, value []byte) bool {
							found++
							steps++
							if want, ok := m.now[string(rune(i+1))+string(key)]; !ok || want != string(value) {
								t.Fatalf("scan finds %q", key)
							}
							return steps < 7
						})
					}
					if table.Len() != count[i] || found != count[i] {
						t.Fatalf("table %d has %d rows, scan finds %d, want %d", i, table.Len(), found, count[i])
					}
				}
				other := newModel()
				other.load(t, m.now)
				if other.store.Digest() != m.store.Digest() {
					t.Fatal("digest is not that of the rows")
				}
			},
		})
	})
}

func (m *model) load(t *rapid.T, from map[string]string) {
	keys := slices.Sorted(maps.Keys(from))
	if err := m.store.Load(func() (k, v []byte, ok bool, err error) {
		if len(keys) == 0 {
			return nil, nil, false, nil
		}
		key := keys[0]
		keys = keys[1:]
		return []byte(key), []byte(from[key]), true, nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestIndexIsAMultimap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x rows.Index
		hashOf := map[rows.Ref]uint64{}
		// Few hashes, some of them with the same 32 bits that decide their place.
		hashes := rapid.SampledFrom([]uint64{1, 2, 3, 1 << 32, 0xffffffff, 0x80000000, 77, 78})
		refs := rapid.Map(rapid.IntRange(0, 80), func(i int) rows.Ref { return rows.Ref(i%3)<<24 | rows.Ref(i) })
		short := func(h uint64) uint32 { return uint32(h) ^ uint32(h>>32) }
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				ref := refs.Draw(t, "ref")
				if _, in := hashOf[ref]; in {
					t.Skip("in")
				}
				hashOf[ref] = hashes.Draw(t, "hash")
				x.Add(hashOf[ref], ref)
			},
			"remove": func(t *rapid.T) {
				ref := refs.Draw(t, "ref")
				if h, in := hashOf[ref]; in {
					x.Remove(h, ref)
					delete(hashOf, ref)
				}
			},
			"": func(t *rapid.T) {
				for _, h := range []uint64{1, 2, 3, 1 << 32, 0xffffffff, 0x80000000, 77, 78, 99} {
					var want []rows.Ref
					for ref, other := range hashOf {
						if short(other) == short(h) {
							want = append(want, ref)
						}
					}
					got := x.Append(nil, h, 1000)
					slices.Sort(want)
					slices.Sort(got)
					if !slices.Equal(got, want) {
						t.Fatalf("hash %x gives %v, want %v", h, got, want)
					}
					if limited := x.Append(nil, h, 2); len(limited) != min(2, len(want)) {
						t.Fatalf("%d refs past the limit", len(limited))
					}
				}
				if x.Len() != len(hashOf) {
					t.Fatalf("length %d, want %d", x.Len(), len(hashOf))
				}
			},
		})
	})
}

func TestReadersAndAFrozenViewGoOnWhileOneWrites(t *testing.T) {
	s := rows.NewStore()
	table := s.Table(1, 4)
	var x rows.Index
	key := func(i int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(i)) }
	// A row's value is one byte, many times: a torn read is seen at once.
	value := func(i, round int) []byte { return bytes.Repeat([]byte{byte(i + round)}, 20+(i*7+round*13)%50) }
	const n = 500
	for i := range n {
		ref, _ := table.Put(key(i), value(i, 0))
		x.Add(uint64(i%10), ref)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			var buf []byte
			var refs []rows.Ref
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				var ok bool
				if buf, ok = table.Get(buf[:0], key(i%n)); ok && len(bytes.Trim(buf, string(buf[:1]))) != 0 {
					t.Errorf("torn row %x", buf)
					return
				}
				refs = x.Append(refs[:0], uint64(i%10), n)
				for _, ref := range refs {
					table.View(ref, func(_, v []byte) {
						if v[0] != v[len(v)-1] {
							t.Errorf("torn row %x", v)
						}
					})
				}
			}
		})
	}
	for round := 1; round <= 30; round++ {
		f := s.Freeze()
		done := make(chan [16]byte)
		go func() {
			copied := rows.NewStore()
			into := copied.Table(1, 2)
			if err := f.Rows(true, func(k, v []byte) error { into.Put(k[1:], v); return nil }); err != nil {
				t.Error(err)
			}
			f.Release(round%3 != 0)
			done <- copied.Digest()
		}()
		want := f.Digest()
		for i := range n {
			switch ref, ok := table.Find(key(i)); {
			case ok && (i+round)%5 == 0:
				x.Remove(uint64(i%10), ref)
				table.Delete(key(i))
			case ok:
				table.Put(key(i), value(i, round))
			default:
				ref, _ := table.Put(key(i), value(i, round))
				x.Add(uint64(i%10), ref)
			}
		}
		if got := <-done; got != want {
			t.Fatalf("round %d: frozen rows have digest %x, want %x", round, got, want)
		}
	}
	close(stop)
	wg.Wait()
}

func TestUnchangedRowsAreNotWrittenAgain(t *testing.T) {
	s := rows.NewStore()
	table := s.Table(1, 0)
	changed := func(sealed bool) (keys []string) {
		f := s.Freeze()
		defer f.Release(sealed)
		if err := f.Rows(false, func(k, v []byte) error {
			keys = append(keys, fmt.Sprintf("%s=%s/%v", k[1:], v, v == nil))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return keys
	}
	table.Put([]byte("a"), []byte("1"))
	table.Put([]byte("b"), []byte("1"))
	table.Put([]byte("c"), nil)
	table.Put([]byte("never"), []byte("1"))
	table.Delete([]byte("never"))
	if got := changed(true); !slices.Equal(got, []string{"a=1/false", "b=1/false", "c=/false"}) {
		t.Fatalf("first seal has %v", got)
	}
	table.Put([]byte("a"), []byte("1"))
	table.Delete([]byte("b"))
	for range 2 { // what was not sealed comes again
		if got := changed(false); !slices.Equal(got, []string{"b=/true"}) {
			t.Fatalf("second seal has %v", got)
		}
	}
	if got := changed(true); len(got) != 1 {
		t.Fatalf("third seal has %v", got)
	}
	if got := changed(true); len(got) != 0 {
		t.Fatalf("last seal has %v", got)
	}
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	s := rows.NewStore()
	table := s.Table(1, 2)
	var x rows.Index
	k, v, buf := []byte("key"), bytes.Repeat([]byte("v"), 100), make([]byte, 0, 200)
	ref, _ := table.Put(k, v)
	x.Add(1, ref)
	refs := make([]rows.Ref, 0, 8)
	run := func() {
		v[0]++
		table.Put(k, v)
		buf, _ = table.Get(buf[:0], k)
		buf, _ = table.At(buf[:0], ref)
		table.Peek(k)
		x.Remove(1, ref)
		x.Add(1, ref)
		refs = x.Append(refs[:0], 1, 8)
	}
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
