package state

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"trine/engine/event"
)

// full is a State that remembers four names.
func full(names ...string) (*State, func(name string, times int)) {
	s := New()
	s.maxFailures = 4
	at := Stamp{Index: 1, Time: time.Unix(1772366400, 0)}
	fail := func(name string, times int) {
		for range times {
			var b event.Builder
			b.AddLoginFailed(&event.LoginFailedView{Name: []byte(name), Source: 1, Factor: 1, Attempts: 2, Total: 9, Window: 60, Duration: 60})
			s.Apply(at, b.Bytes())
			at.Index++
			at.Time = at.Time.Add(time.Second)
		}
	}
	for _, name := range names {
		var b event.Builder
		if err := b.Add(event.TypeDocumentPut, event.ClassIdentity, nil, &event.DocumentPut{Kind: "User", Name: name}); err != nil {
			panic(err)
		}
		s.Apply(at, b.Bytes())
		at.Index++
	}
	return s, fail
}

func (s *State) failing() (names []string) {
	for _, key := range expired(s.failures, func([]byte) bool { return true }) {
		names = append(names, string(key[1:]))
	}
	slices.Sort(names)
	return names
}

func TestStrangeNamesCannotDriveOutThoseOfUsers(t *testing.T) {
	s, fail := full("alice", "bob")
	fail("alice", 2) // locked
	fail("bob", 1)
	fail("locked-nobody", 2)
	for i := range 50 {
		fail(fmt.Sprint("nobody", i), 1)
	}
	if got, want := s.failing(), []string{"alice", "bob", "locked-nobody", "nobody49"}; !slices.Equal(got, want) {
		t.Fatalf("found %v, want %v", got, want)
	}
	for i := range 50 {
		fail(fmt.Sprint("nobody", i), 2)
	}
	if got := s.failing(); !slices.Contains(got, "alice") || !slices.Contains(got, "bob") {
		t.Fatalf("found %v", got)
	}
}

func TestNamesOfUsersThatAreLockedOutStayLongest(t *testing.T) {
	s, fail := full("a", "b", "c", "d", "e", "f")
	fail("a", 2)
	for _, name := range []string{"b", "c", "d", "e", "f"} {
		fail(name, 1)
	}
	if got, want := s.failing(), []string{"a", "d", "e", "f"}; !slices.Equal(got, want) {
		t.Fatalf("found %v, want %v", got, want)
	}
}

// TestWhatIsForgottenDoesNotDependOnWhereRowsLie compares a State with one that was loaded, where rows have other places.
func TestWhatIsForgottenDoesNotDependOnWhereRowsLie(t *testing.T) {
	const most = 200
	s, next := New(), New()
	s.maxFailures, next.maxFailures = most, most
	at := Stamp{Index: 1, Time: time.Unix(1772366400, 0)}
	fail := func(s *State, i int) {
		var b event.Builder
		b.AddLoginFailed(&event.LoginFailedView{Name: fmt.Append(nil, "name", i), Source: 1, Attempts: 2, Total: 4, Window: 5, Duration: 5})
		s.Apply(at, b.Bytes())
		at.Index++
	}
	for i := range most {
		fail(s, i)
	}
	var kept [][2][]byte
	f := s.Freeze()
	if err := f.Rows(true, func(k, v []byte) error {
		kept = append(kept, [2][]byte{slices.Clone(k), slices.Clone(v)})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	f.Release(true)
	if err := next.Load(func() (k, v []byte, ok bool, err error) {
		if ok = len(kept) > 0; ok {
			k, v = kept[len(kept)-1][0], kept[len(kept)-1][1]
			kept = kept[:len(kept)-1]
		}
		return k, v, ok, nil
	}); err != nil {
		t.Fatal(err)
	}
	for i := range most {
		fail(s, most+i)
		fail(next, most+i)
		if s.Digest() != next.Digest() || s.failures.Len() != most {
			t.Fatalf("after %d more, %d names are left; %v and %v", i+1, s.failures.Len(), s.failing(), next.failing())
		}
	}
}

func TestFailuresTakeBoundedMemory(t *testing.T) {
	s := New()
	s.maxFailures = 100
	at := Stamp{Index: 1, Time: time.Unix(1772366400, 0)}
	var b event.Builder
	for i := range 20_000 {
		b.Reset()
		b.AddLoginFailed(&event.LoginFailedView{
			Name: binary.BigEndian.AppendUint32(make([]byte, 0, 4), uint32(i%7919)), Source: uint64(i), Attempts: 3, Total: 9, Window: 60, Duration: 60,
		})
		s.Apply(at, b.Bytes())
	}
	if n := s.failures.Len(); n != 100 {
		t.Errorf("%d names are remembered", n)
	}
	if n := s.leasts.len(); n > mostLeasts(100) {
		t.Errorf("%d places for 100 names", n)
	}
	if n := s.failures.Bytes(); n > 1<<20 {
		t.Errorf("%d bytes", n)
	}
}

func TestLoginLocksAllocateNothing(t *testing.T) {
	s, fail := full("alice")
	name := AppendLoginName(nil, []byte("ALICE"))
	look := func() {
		if l := s.LoginLocks(name, 0, 1); l.Remembered != (s.failures.Len() > 0) {
			t.Fatal(l)
		}
	}
	if n := testing.AllocsPerRun(100, look); n != 0 {
		t.Errorf("%v allocations where nothing is remembered", n)
	}
	fail("alice", 3)
	if n := testing.AllocsPerRun(100, look); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
