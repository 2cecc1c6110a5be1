package state_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"trine/engine/event"
	"trine/engine/state"
)

// naive is what a State must equal, written without regard to speed.
type naive struct {
	docs     map[string]naiveDoc // by "Kind/name"
	versions map[string]uint64   // last ones, deleted documents' included
	live     map[string]*naiveSession
	ended    map[string]*naiveSession
	reserved map[uint64]naiveReservation
	consumed map[string]int64
}

type naiveDoc struct {
	refs, claims []string
	spec         string
	password     string
	credential   uint64
}

type naiveSession struct {
	user     string
	seen     int64
	octets   uint64
	keys     []uint64
	happened int64
	recorded int64
	swept    bool
}

type naiveReservation struct {
	user     string
	notAfter int64
}

// machine drives a State and the naive model with the same proposals.
type machine struct {
	*log
	naive
}

func newMachine(t *rapid.T) *machine {
	return &machine{
		log: newLog(t),
		naive: naive{
			docs: map[string]naiveDoc{}, versions: map[string]uint64{}, live: map[string]*naiveSession{},
			ended: map[string]*naiveSession{}, reserved: map[uint64]naiveReservation{}, consumed: map[string]int64{},
		},
	}
}

var (
	drawName  = rapid.SampledFrom([]string{"a", "b", "c", "d"})
	drawKind  = rapid.SampledFrom([]string{"User", "Group"})
	drawUser  = rapid.SampledFrom([]string{"a", "b"})
	drawSess  = rapid.SampledFrom([]string{"s1", "s2", "s3", "s4"})
	drawLogin = rapid.Uint64Range(1, 5)
)

// documents proposes some changes of documents at once.
func (m *machine) documents(t *rapid.T) {
	after := maps.Clone(m.docs)
	versions := maps.Clone(m.versions)
	changed := map[string]bool{}
	var parts []any
	ok := true
	for range rapid.IntRange(1, 4).Draw(t, "changes") {
		kind, name := drawKind.Draw(t, "kind"), drawName.Draw(t, "name")
		key := kind + "/" + name
		ok = ok && !changed[key]
		changed[key] = true
		old, existed := after[key]
		if rapid.IntRange(0, 2).Draw(t, "delete") == 0 {
			ok = ok && existed
			delete(after, key)
			parts = append(parts, &event.DocumentDeleted{Kind: kind, Name: name})
			continue
		}
		d := naiveDoc{password: old.password, credential: old.credential}
		d.refs = rapid.SliceOfNDistinct(rapid.Map(drawName, func(n string) string { return "Group/" + n }), 0, 2, rapid.ID).Draw(t, "refs")
		d.claims = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"login/a", "login/b", "login/x", "p"}), 0, 2, rapid.ID).Draw(t, "claims")
		put := &event.DocumentPut{Kind: kind, Name: name, Refs: d.refs, Claims: d.claims, By: "x"}
		if kind == "User" {
			spec, err := proto.Marshal(&event.UserSpec{
				FullName: rapid.SampledFrom([]string{"", "N"}).Draw(t, "full"), UserType: drawName.Draw(t, "type"),
				Groups: rapid.SliceOfN(drawName, 0, 3).Draw(t, "groups"),
			})
			if err != nil {
				t.Fatal(err)
			}
			put.Spec = spec
		} else {
			put.Spec = rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(t, "spec")
		}
		d.spec = string(put.Spec)
		after[key] = d
		versions[key]++
		parts = append(parts, put)
	}
	key := drawKind.Draw(t, "kind") + "/" + drawName.Draw(t, "name")
	_, existed := m.docs[key]
	version := m.versions[key]
	if !existed {
		version = 0
	}
	_, exists := after[key]
	switch rapid.IntRange(0, 5).Draw(t, "expectation") {
	case 0:
		parts, ok = append(parts, expect{event.Expectation_ABSENT, key, 0}), ok && !existed
	case 1:
		parts, ok = append(parts, expect{event.Expectation_EXISTS, key, 0}), ok && (existed || exists)
	case 2:
		v := version + rapid.Uint64Range(0, 1).Draw(t, "off")
		parts, ok = append(parts, expect{event.Expectation_VERSION, key, v}), ok && v == version
	}
	holders := map[string]string{}
	for k, d := range after {
		for _, ref := range d.refs {
			_, there := after[ref]
			ok = ok && there
		}
		for _, claim := range d.claims {
			other, held := holders[claim]
			ok = ok && (!held || other == k)
			holders[claim] = k
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "staged") == 0 {
		m.stage(t, parts, ok)
	} else {
		m.expect(t, parts, ok)
	}
	if ok {
		maps.DeleteFunc(m.reserved, func(_ uint64, r naiveReservation) bool {
			_, was := m.docs["User/"+r.user]
			_, is := after["User/"+r.user]
			return was && !is
		})
		m.docs, m.versions = after, versions
	}
}

// stage proposes parts in pieces.
func (m *machine) stage(t *rapid.T, parts []any, ok bool) {
	id := rapid.Uint64().Draw(t, "stage")
	for i, part := range parts {
		piece := &event.Staged{Stage: id, Piece: uint32(i)}
		if x, isExpectation := part.(expect); isExpectation {
			piece.Expect = append(piece.Expect, &event.Expectation{Kind: x.kind, Key: x.key, Value: x.value})
		} else {
			body, err := proto.Marshal(part.(proto.Message))
			if err != nil {
				t.Fatal(err)
			}
			piece.Events = append(piece.Events, &event.Event{Type: uint32(event.TypeOf(part.(proto.Message))), Class: 1, Body: body})
		}
		m.must(piece)
	}
	before := m.Digest()
	if r := m.propose(&event.StageCommitted{Stage: id, Pieces: uint32(len(parts))}); (r.Code == 0) != ok {
		t.Fatalf("stage: %+v, want success %v", r, ok)
	}
	if !ok {
		if m.Digest() != before {
			t.Fatal("a void commit changed rows")
		}
		m.must(&event.StageAbandoned{Stage: id})
	}
	if m.StagedPieces(id) != 0 || m.Counts().Stages != 0 {
		t.Fatal("pieces are left")
	}
}

func (m *machine) expect(t *rapid.T, parts []any, ok bool) {
	before := m.Digest()
	r := m.propose(parts...)
	if (r.Code == 0) != ok {
		t.Fatalf("%+v, want success %v for %v", r, ok, parts)
	}
	if !ok && m.Digest() != before {
		t.Fatal("a void proposal changed rows")
	}
}

func (m *machine) password(t *rapid.T) {
	name := drawName.Draw(t, "name")
	d, ok := m.docs["User/"+name]
	if rapid.Bool().Draw(t, "remove") {
		m.expect(t, []any{&event.PasswordRemoved{User: name}}, ok)
		d.password = ""
	} else {
		d.password = rapid.StringN(1, 3, -1).Draw(t, "password")
		m.expect(t, []any{&event.PasswordSet{User: name, Argon2Id: []byte(d.password)}}, ok)
	}
	if ok {
		d.credential++
		m.docs["User/"+name] = d
	}
}

func (m *machine) account(t *rapid.T) {
	name := drawSess.Draw(t, "session")
	v := record(rapid.SampledFrom([]uint32{1, 2, 3, 3}).Draw(t, "status"), name, time.Duration(rapid.IntRange(0, 5).Draw(t, "at"))*time.Second)
	v.User = []byte(drawUser.Draw(t, "user"))
	v.InputOctets = rapid.Uint64Range(0, 9).Draw(t, "octets")
	v.StaleAfter = 20
	if rapid.Bool().Draw(t, "login") {
		v.Login = drawLogin.Draw(t, "login")
	}
	now, happened := m.at.Time.Unix(), v.EventUnix
	live, ended := m.live[name], m.ended[name]
	s := live
	if s == nil {
		s = ended
	}
	if s != nil && slices.Contains(s.keys, v.Key) {
		m.void(event.CodeDuplicate, "", v)
		return
	}
	m.must(v)
	delete(m.reserved, v.Login)
	reopen := ended != nil && happened > ended.happened && (v.Status == event.StatusStart || v.Status == event.StatusInterim && ended.swept)
	if s == nil {
		s = &naiveSession{}
	}
	keys := append([]uint64{v.Key}, s.keys...)
	if s.keys = keys; len(keys) > 8 { // the last seven and the first
		s.keys = append(keys[:7:7], keys[8])
	}
	switch {
	case ended != nil && !reopen:
	case v.Status == event.StatusStop:
		delete(m.live, name)
		s.happened, s.recorded, s.swept = happened, now, false
		m.ended[name] = s
	default:
		if live == nil {
			s = &naiveSession{keys: s.keys}
		}
		delete(m.ended, name)
		s.user, s.seen, s.octets = string(v.User), now, max(s.octets, v.InputOctets)
		m.live[name] = s
	}
}

func (m *machine) reserve(t *rapid.T) {
	user, login := drawUser.Draw(t, "user"), drawLogin.Draw(t, "login")
	limit := rapid.Uint64Range(1, 3).Draw(t, "limit")
	now := m.at.Time.Unix()
	for _, x := range m.sessions() {
		if x.Login == login {
			t.Skip("its session has started")
		}
	}
	ok := uint64(m.count(user, now, login)) < limit
	notAfter := now + 8
	m.expect(t, []any{
		expect{event.Expectation_SESSIONS_BELOW, user, limit},
		&event.SessionReserved{User: user, Login: login, Client: "wlan", NotAfterUnix: notAfter},
	}, ok)
	if _, had := m.reserved[login]; ok && !had {
		m.reserved[login] = naiveReservation{user, notAfter}
	}
}

func (m *machine) count(user string, now int64, except uint64) (n int) {
	for _, s := range m.live {
		if s.user == user && now <= s.seen+20 {
			n++
		}
	}
	for login, r := range m.reserved {
		if r.user == user && login != except && now <= r.notAfter {
			n++
		}
	}
	return n
}

func (m *machine) consume(t *rapid.T) {
	key, now := drawName.Draw(t, "key"), m.at.Time.Unix()
	notAfter := now + rapid.Int64Range(-2, 30).Draw(t, "term")
	_, used := m.consumed[key]
	ok := !used && notAfter >= now
	m.expect(t, []any{expect{event.Expectation_UNCONSUMED, key, 0}, &event.Consumed{Key: key, NotAfterUnix: notAfter}}, ok)
	if ok {
		m.consumed[key] = notAfter
	}
}

func (m *machine) sweep(t *rapid.T) {
	now := m.at.Time.Unix()
	stale := m.StaleSessions(m.at.Time, 100)
	want := 0
	for name, s := range m.live {
		if now > s.seen+20 {
			want++
			delete(m.live, name)
			s.swept, s.recorded, s.happened = true, now, s.seen
			m.ended[name] = s
		}
	}
	if len(stale) != want {
		t.Fatalf("%d stale sessions, want %d", len(stale), want)
	}
	// Sessions that are not stale stay, whatever the event says.
	for _, x := range m.sessions() {
		if !x.Stale(m.at.Time) {
			stale = append(stale, x.ID)
		}
	}
	m.must(&event.SessionsExpired{Sessions: stale, SeenBeforeUnix: now + 1})
	before := m.at.Time.Unix() - rapid.Int64Range(0, 20).Draw(t, "age")
	m.must(&event.TombstonesSwept{BeforeUnix: before})
	maps.DeleteFunc(m.ended, func(_ string, s *naiveSession) bool { return s.recorded < before })
	maps.DeleteFunc(m.reserved, func(_ uint64, r naiveReservation) bool { return r.notAfter < before })
	maps.DeleteFunc(m.consumed, func(_ string, notAfter int64) bool { return notAfter < before })
}

func (m *machine) device(t *rapid.T) {
	v := record(rapid.SampledFrom([]uint32{7, 8}).Draw(t, "status"), "", time.Duration(rapid.IntRange(0, 1000).Draw(t, "at"))*time.Second)
	v.FramedIP, v.FramedIPv6Prefix, v.User = nil, nil, nil
	starts := map[uint64]uint32{}
	for _, x := range m.sessions() {
		starts[x.ID] = x.Started
	}
	r := m.propose(v)
	if r.Code != 0 {
		if r.Code != event.CodeDuplicate {
			t.Fatalf("%+v", r)
		}
		return
	}
	for name, s := range m.live {
		if int64(starts[sessionID(name)]) <= v.EventUnix {
			delete(m.live, name)
			s.happened, s.recorded, s.swept = v.EventUnix, m.at.Time.Unix()-1, false
			m.ended[name] = s
		}
	}
}

func (m *machine) sessions() []state.Session {
	page, after := m.Sessions(state.SessionQuery{Limit: 2})
	for after != 0 {
		var more []state.Session
		more, after = m.Sessions(state.SessionQuery{Limit: 2, After: after})
		page = append(page, more...)
	}
	return page
}

// check compares everything that readers see with the model.
func (m *machine) check(t *rapid.T) {
	for _, kind := range []string{"User", "Group"} {
		var names []string
		for _, name := range []string{"a", "b", "c", "d"} {
			key := kind + "/" + name
			want, ok := m.docs[key]
			got, found := m.Document(kind, name)
			if found != ok || ok && (got.Version != m.versions[key] || string(got.Spec) != want.spec || !slices.Equal(got.Refs, want.refs)) {
				t.Fatalf("%s is %+v, want %+v version %d", key, got, want, m.versions[key])
			}
			if v := m.LastVersion(kind, name); v != m.versions[key] {
				t.Fatalf("%s had version %d, want %d", key, v, m.versions[key])
			}
			if ok {
				names = append(names, name)
			}
			refs := 0
			for _, d := range m.docs {
				if slices.Contains(d.refs, key) {
					refs++
				}
			}
			if n := m.References(kind, name); n != refs {
				t.Fatalf("%d references to %s, want %d", n, key, refs)
			}
			var u state.User
			if kind == "User" && ok && (!m.UserNamed(&u, name) || u.CredentialVersion != want.credential || string(u.Argon2id) != want.password) {
				t.Fatalf("password of %s is %d, %q", name, u.CredentialVersion, []byte(u.Argon2id))
			}
		}
		var listed []string
		for after := ""; ; {
			page := m.Documents(kind, after, 1)
			if len(page) == 0 {
				break
			}
			after = page[0].Name
			listed = append(listed, after)
		}
		if !slices.Equal(listed, names) || m.Count(kind) != len(names) {
			t.Fatalf("%s lists %v, counts %d, want %v", kind, listed, m.Count(kind), names)
		}
	}
	for _, claim := range []string{"login/a", "login/b", "login/x", "p"} {
		want := ""
		for key, d := range m.docs {
			if slices.Contains(d.claims, claim) {
				want = key
			}
		}
		if got, _ := m.Holder(claim); got != want {
			t.Fatalf("%s is held by %q, want %q", claim, got, want)
		}
		var u state.User
		found := m.User(&u, []byte(claim[min(len(claim), 6):]))
		if name, ok := m.UserName(nil, []byte(claim[min(len(claim), 6):])); ok != found || ok && string(name) != string(u.Name) {
			t.Fatalf("%s is the name of %q, but finds %s", claim, name, u.Name)
		}
		if claim != "p" && found != (len(want) > 4 && want[:4] == "User") || found && "User/"+string(u.Name) != want {
			t.Fatalf("%s finds %v %s, want %s", claim, found, u.Name, want)
		}
	}
	if c := m.Counts(); c.Sessions != len(m.live) || c.Tombstones != len(m.ended) || c.Reservations != len(m.reserved) || c.Consumed != len(m.consumed) {
		t.Fatalf("%+v, want %d live, %d ended, %d reserved, %d consumed", c, len(m.live), len(m.ended), len(m.reserved), len(m.consumed))
	}
	for name, want := range m.live {
		var x state.Session
		if !m.Session(&x, sessionID(name)) || string(x.User) != want.user || int64(x.Seen) != want.seen || x.InputOctets != want.octets {
			t.Fatalf("session %s is %+v, want %+v", name, x, want)
		}
	}
	all := m.sessions()
	for _, user := range []string{"a", "b"} {
		want := m.count(user, m.at.Time.Unix(), 0)
		if got := m.CountSessions(user, m.at.Time); got != want {
			t.Fatalf("%s has %d sessions, want %d", user, got, want)
		}
		mine := 0
		for _, x := range all {
			if string(x.User) == user {
				mine++
			}
		}
		if page, _ := m.Sessions(state.SessionQuery{User: user}); len(page) != mine {
			t.Fatalf("%d sessions of %s found, want %d", len(page), user, mine)
		}
	}
	if len(all) != len(m.live) {
		t.Fatalf("%d sessions listed, want %d", len(all), len(m.live))
	}
}

// copies checks that the rows, and the facts, make the same State.
func (m *machine) copies(t *rapid.T) {
	type row struct{ k, v []byte }
	var list []row
	f := m.Freeze()
	if err := f.Rows(true, func(k, v []byte) error {
		list = append(list, row{slices.Clone(k), slices.Clone(v)})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	f.Release(false)
	loaded := state.New()
	i := 0
	if err := loaded.Load(func() (k, v []byte, ok bool, err error) {
		if i == len(list) {
			return nil, nil, false, nil
		}
		i++
		return list[i-1].k, list[i-1].v, true, nil
	}); err != nil {
		t.Fatal(err)
	}
	replayed := state.New()
	for _, fact := range m.facts {
		replayed.ApplyFact(fact.at, fact.data)
	}
	for name, other := range map[string]*state.State{"loaded": loaded, "replayed": replayed} {
		if other.Digest() != m.Digest() || other.ConfigIndex() != m.ConfigIndex() {
			t.Fatalf("%s state differs: config index %d and %d\n%s\n%s", name, other.ConfigIndex(), m.ConfigIndex(), dump(other), dump(m.State))
		}
	}
	// From here on the loaded one goes on in place of the first.
	m.State = loaded
}

func dump(s *state.State) string {
	var lines []string
	f := s.Freeze()
	defer f.Release(false)
	_ = f.Rows(true, func(k, v []byte) error {
		lines = append(lines, fmt.Sprintf("%q=%q", k, v))
		return nil
	})
	slices.Sort(lines)
	return fmt.Sprint(lines)
}

func TestStateIsTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		t.Repeat(map[string]func(*rapid.T){
			"documents": m.documents, "more documents": m.documents, "password": m.password, "account": m.account, "more accounting": m.account,
			"reserve": m.reserve, "consume": m.consume, "sweep": m.sweep, "device": m.device, "copies": m.copies, "": m.check,
			"wait": func(t *rapid.T) {
				m.at.Time = m.at.Time.Add(time.Duration(rapid.IntRange(1, 15).Draw(t, "seconds")) * time.Second)
			},
		})
	})
}
