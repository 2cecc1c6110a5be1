package state_test

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"trine/engine/event"
	"trine/engine/state"
)

// heap returns the bytes of the heap in use.
func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// liveSession is a session as a wireless controller reports it, with all that is indexed.
func liveSession(v *event.AccountedView, i int) {
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(i))
	*v = event.AccountedView{
		Client: []byte("campus-wlan"), NAS: fmt.Appendf(nil, "controller-%03d", i%200), SessionID: fmt.Appendf(nil, "%016x", i*7919),
		Status: event.StatusStart, UserName: fmt.Appendf(nil, "user%06d", i), User: fmt.Appendf(nil, "user%06d", i), Login: uint64(i) + 1,
		FramedIP: []byte{10, n[1], n[2], n[3]}, FramedIPv6Prefix: append([]byte{0, 64, 0x20, 1, 0xd, 0xb8}, n[:]...),
		Calling: fmt.Appendf(nil, "AA-BB-%02X-%02X-%02X-%02X", n[0], n[1], n[2], n[3]), Called: []byte("00-11-22-33-44-55:eduroam"),
		NASPortID: []byte("wlan0"), NASPort: 13, EventUnix: start.Unix(), StaleAfter: 1800, Source: []byte{192, 0, 2, byte(i)},
		Class: []byte("0123456789ABC"),
	}
	v.Key = event.AccountingKey(v, true)
}

func TestRowsAreSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("100,000 rows")
	}
	const n = 100_000
	t.Run("sessions", func(t *testing.T) {
		before := heap()
		s := state.New()
		var b event.Builder
		var v event.AccountedView
		at := state.Stamp{Index: 1, Time: start}
		for i := range n {
			b.Reset()
			liveSession(&v, i)
			b.AddAccounted(&v)
			s.Apply(at, b.Bytes())
		}
		perRow := (heap() - before) / n
		t.Logf("%d bytes a session, %d by its own count", perRow, s.Counts().Bytes/n)
		if perRow > 512 || s.Counts().Sessions != n {
			t.Errorf("%d bytes for each of %d sessions, want at most 512", perRow, s.Counts().Sessions)
		}
		runtime.KeepAlive(s)
	})
	t.Run("users", func(t *testing.T) {
		before := heap()
		s := state.New()
		var b event.Builder
		at := state.Stamp{Index: 1, Time: start}
		for i := range 30 {
			b.Reset()
			add(t, &b, group(fmt.Sprintf("department-%d", i)))
			s.Apply(at, b.Bytes())
		}
		for i := range n {
			b.Reset()
			add(t, &b, bigUser(i))
			add(t, &b, &event.PasswordSet{
				User: fmt.Sprintf("user%06d", i), Argon2Id: make([]byte, 58), Keyed: make([]byte, 36), By: "import",
			})
			if r := s.Apply(at, b.Bytes()); r.Code != 0 {
				t.Fatalf("%+v", r)
			}
		}
		perRow := (heap() - before) / n
		t.Logf("%d bytes a user, %d by its own count", perRow, s.Counts().Bytes/n)
		if perRow > 600 || s.Counts().Users != n {
			t.Errorf("%d bytes for each of %d users, want at most 600", perRow, s.Counts().Users)
		}
		runtime.KeepAlive(s)
	})
}

func add(t testing.TB, b *event.Builder, m proto.Message) {
	if err := b.Add(event.TypeOf(m), event.ClassIdentity, []uint64{1}, m); err != nil {
		t.Fatal(err)
	}
}

// bigUser is a user with ten attributes and five groups.
func bigUser(i int) *event.DocumentPut {
	name := fmt.Sprintf("user%06d", i)
	m := &event.UserSpec{
		FirstName: "Firstname", LastName: "Lastname", FullName: "Firstname Lastname", Mail: name, MailDomain: "example.org", UserType: "employee",
		Mobile: "+34600123456", PrimaryGroup: "department-0",
	}
	put := &event.DocumentPut{Kind: "User", Name: name, By: "import", Claims: []string{"login/" + name}}
	for g := range 5 {
		g = (i + g*7) % 30
		m.Groups = append(m.Groups, fmt.Sprintf("department-%d", g))
		put.Refs = append(put.Refs, fmt.Sprintf("Group/department-%d", g))
	}
	for a := range 10 {
		m.Attributes = append(m.Attributes, &event.UserSpec_Attribute{Name: fmt.Sprintf("attribute%d", a), Values: []string{fmt.Sprintf("value %d", i*a)}})
	}
	spec, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	put.Spec = spec
	return put
}

// TestLargeStageIsFoldedInBoundedWork commits 100,000 users at once. The time is printed; what is asserted is that the work for a
// document does not grow with their number: the same share of allocations in a small stage and a large one.
func TestLargeStageIsFoldedInBoundedWork(t *testing.T) {
	if testing.Short() {
		t.Skip("100,000 users")
	}
	perDocument := func(n int) float64 {
		l := newLog(t)
		for i := range 30 {
			l.must(group(fmt.Sprintf("department-%d", i)))
		}
		const each = 250
		for piece := range n / each {
			m := &event.Staged{Stage: 1, Piece: uint32(piece)}
			for i := range each {
				body, err := proto.Marshal(bigUser(piece*each + i))
				if err != nil {
					t.Fatal(err)
				}
				m.Events = append(m.Events, &event.Event{Type: uint32(event.TypeDocumentPut), Class: 2, Body: body})
			}
			l.must(m)
		}
		l.b.Reset()
		add(t, &l.b, &event.StageCommitted{Stage: 1, Pieces: uint32(n / each)})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begun := time.Now()
		r := l.Apply(l.at, l.b.Bytes())
		took := time.Since(begun)
		runtime.ReadMemStats(&after)
		if r.Code != 0 || l.Count("User") != n {
			t.Fatalf("%+v, %d users", r, l.Count("User"))
		}
		allocs := float64(after.Mallocs-before.Mallocs) / float64(n)
		t.Logf("%d documents in %v, %.1f allocations each", n, took, allocs)
		return allocs
	}
	if small, large := perDocument(1000), perDocument(100_000); large > small*1.5 {
		t.Errorf("%.1f allocations a document in a large stage, %.1f in a small one", large, small)
	}
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	l := newLog(t)
	l.must(group("staff"))
	l.must(user("alice", "staff"))
	l.must(&event.PasswordSet{User: "alice", Argon2Id: []byte("x")})
	v := record(event.StatusStart, "s1", 0)
	l.must(v)
	var u state.User
	var x state.Session
	var b event.Builder
	login, nobody := []byte("ALICE"), []byte("nobody")
	v.Status = event.StatusInterim
	decided := &event.DecidedView{ID: 1, Verdict: event.Accept, User: []byte("alice")}
	at := l.at
	for name, run := range map[string]func(){
		"user": func() {
			if !l.User(&u, login) || l.User(&u, nobody) || !l.User(&u, login) {
				t.Fatal("not found")
			}
		},
		"user by id": func() { l.UserByID(&u, 1) },
		"session":    func() { l.Session(&x, sessionID("s1")) },
		"count":      func() { l.CountSessions("alice", start) },
		"interim": func() {
			v.SessionTime++
			v.EventUnix++
			v.InputOctets += 1 << 20
			v.Key = event.AccountingKey(v, true)
			b.Reset()
			b.AddAccounted(v)
			if r := l.Apply(at, b.Bytes()); r.Code != 0 {
				t.Fatalf("%+v", r)
			}
		},
		"repeat": func() {
			if r := l.Apply(at, b.Bytes()); r.Code != event.CodeDuplicate {
				t.Fatalf("%+v", r)
			}
		},
		"decisions": func() {
			b.Reset()
			for range 10 {
				b.AddDecided(decided)
			}
			l.Apply(at, b.Bytes())
		},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "repeat" {
				b.Reset()
				b.AddAccounted(v)
				l.Apply(at, b.Bytes())
			}
			run()
			if n := testing.AllocsPerRun(100, run); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func BenchmarkInterim(b *testing.B) {
	const n = 100_000
	s := state.New()
	views := make([]event.AccountedView, n)
	var p event.Builder
	at := state.Stamp{Index: 1, Time: start}
	for i := range views {
		liveSession(&views[i], i)
		p.Reset()
		p.AddAccounted(&views[i])
		s.Apply(at, p.Bytes())
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		v := &views[i*7919%n]
		i++
		v.Status, v.InputOctets, v.Key = event.StatusInterim, v.InputOctets+1000, v.Key+1
		p.Reset()
		p.AddAccounted(v)
		s.Apply(at, p.Bytes())
	}
}

func BenchmarkUser(b *testing.B) {
	const n = 100_000
	s := state.New()
	var p event.Builder
	at := state.Stamp{Index: 1, Time: start}
	for i := range 30 {
		p.Reset()
		add(b, &p, group(fmt.Sprintf("department-%d", i)))
		s.Apply(at, p.Bytes())
	}
	names := make([][]byte, n)
	for i := range n {
		p.Reset()
		add(b, &p, bigUser(i))
		s.Apply(at, p.Bytes())
		names[i] = fmt.Appendf(nil, "user%06d", i)
	}
	b.ReportAllocs()
	var u state.User
	i := 0
	for b.Loop() {
		i++
		if !s.User(&u, names[i*7919%n]) {
			b.Fatal("not found")
		}
	}
}
