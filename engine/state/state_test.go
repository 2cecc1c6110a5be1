package state_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"trine/engine/event"
	"trine/engine/state"
)

// start is the record time of every test's first proposal.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// log is a State with the proposals that made it.
type log struct {
	*state.State
	t     failer
	at    state.Stamp
	b     event.Builder
	facts []fact
}

type fact struct {
	at   state.Stamp
	data []byte
}

// failer is a test, or a step of a property.
type failer interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func newLog(t failer) *log {
	return &log{State: state.New(), t: t, at: state.Stamp{Index: 1, Time: start, Node: 1}}
}

// propose applies one proposal made of events and expectations, and moves the log on.
func (l *log) propose(parts ...any) state.Result {
	l.t.Helper()
	l.b.Reset()
	for _, part := range parts {
		switch m := part.(type) {
		case expect:
			l.b.Expect(m.kind, m.key, m.value)
		case *event.AccountedView:
			l.b.AddAccounted(m)
		case proto.Message:
			if err := l.b.Add(event.TypeOf(m), event.ClassSystem, []uint64{7}, m); err != nil {
				l.t.Fatal(err)
			}
		default:
			l.t.Fatalf("not a part of a proposal: %T", part)
		}
	}
	before := l.Digest()
	foretold := l.Check(l.at, l.b.Bytes())
	if l.Digest() != before {
		l.t.Fatal("Check changed something")
	}
	r := l.Apply(l.at, l.b.Bytes())
	if foretold.Code != r.Code || foretold.Detail != r.Detail {
		l.t.Fatalf("Check foretold %+v, Apply returned %+v", foretold, r)
	}
	n := 0
	state.Facts(l.b.Bytes(), func(_ uint8, streams []uint64, data []byte) {
		n++
		if !slices.Equal(state.Streams(nil, data), streams) {
			l.t.Fatalf("event %d has streams %x, Streams gives %x", n, streams, state.Streams(nil, data))
		}
		if r.Code == 0 {
			l.facts = append(l.facts, fact{l.at, append([]byte(nil), data...)})
		}
	})
	if got := state.CountFacts(l.b.Bytes()); got != n {
		l.t.Fatalf("CountFacts gives %d for %d events", got, n)
	}
	l.at.Index++
	l.at.Time = l.at.Time.Add(time.Second)
	return r
}

// must is propose for a proposal that takes effect.
func (l *log) must(parts ...any) state.Result {
	l.t.Helper()
	r := l.propose(parts...)
	if r.Code != 0 {
		l.t.Fatalf("proposal is void: %+v", r)
	}
	return r
}

// void is propose for a proposal that must change nothing and get the code, with all the words in its detail.
func (l *log) void(code uint32, words string, parts ...any) {
	l.t.Helper()
	before := l.Digest()
	r := l.propose(parts...)
	if r.Code != code || !strings.Contains(r.Detail, words) {
		l.t.Fatalf("result %+v, want code %d and %q", r, code, words)
	}
	if l.Digest() != before {
		l.t.Fatal("a void proposal changed rows")
	}
}

type expect struct {
	kind  event.Expectation_Kind
	key   string
	value uint64
}

func group(name string) *event.DocumentPut {
	return &event.DocumentPut{Kind: "Group", Name: name, Spec: []byte(`{"name":"` + name + `"}`), By: "admin"}
}

func user(name string, groups ...string) *event.DocumentPut {
	spec, err := proto.Marshal(&event.UserSpec{
		FirstName: "F " + name, Groups: groups, MailDomain: "example.org", Mail: name,
		Attributes: []*event.UserSpec_Attribute{{Name: "room", Values: []string{"1", "2"}}, {Name: "empty"}},
	})
	if err != nil {
		panic(err)
	}
	put := &event.DocumentPut{Kind: "User", Name: name, Spec: spec, By: "admin", Claims: []string{"login/" + event.FoldName(name)}}
	for _, g := range groups {
		put.Refs = append(put.Refs, "Group/"+g)
	}
	return put
}

func record(status uint32, session string, at time.Duration) *event.AccountedView {
	v := &event.AccountedView{
		Client: []byte("wlan"), NAS: []byte("ap1"), SessionID: []byte(session), Status: status, UserName: []byte("ALICE"),
		User: []byte("alice"), FramedIP: []byte{10, 0, 0, 1}, FramedIPv6Prefix: []byte{0, 56, 0x20, 1, 0xd, 0xb8, 0, 1, 2},
		Calling: []byte("AA-BB-CC-DD-EE-FF"), EventUnix: start.Add(at).Unix(), StaleAfter: 600,
	}
	v.Key = event.AccountingKey(v, true)
	return v
}

func sessionID(session string) uint64 { return event.SessionID("wlan", []byte("ap1"), []byte(session)) }

func TestUserIsFoundByLoginName(t *testing.T) {
	l := newLog(t)
	l.must(group("staff"), group("wlan"))
	put := user("Alice", "staff", "wlan")
	put.Claims = append(put.Claims, "login/ally", "login/ärztin")
	l.must(put)
	l.must(&event.PasswordSet{User: "ALICE", Argon2Id: []byte("hash"), Nt: []byte("nt"), MustChange: true})
	var u state.User
	for _, login := range []string{"alice", "ALICE", "ally", "Ärztin"} {
		if !l.User(&u, []byte(login)) || string(u.Name) != "Alice" || u.ID != 1 || u.Version != 1 {
			t.Fatalf("%s: %+v", login, u)
		}
	}
	if groups := u.AppendGroups(nil); len(groups) != 2 || string(groups[1]) != "wlan" || string(u.AppendAttribute(nil, "room")[1]) != "2" || len(u.AppendAttributeNames(nil)) != 2 {
		t.Errorf("groups %s, attributes %s", groups, u.AppendAttributeNames(nil))
	}
	if u.CredentialVersion != 1 || string(u.Argon2id) != "hash" || string(u.NT) != "nt" || !u.MustChange || u.PasswordSetAt != start.Unix()+2 {
		t.Errorf("password %d %v %q", u.CredentialVersion, u.MustChange, []byte(u.Argon2id))
	}
	if got := fmt.Sprintf("%v %+v %x %s", u.NT, u.NT, u.NT, u.NT); strings.Count(got, "redacted") != 4 {
		t.Errorf("a password's form prints as %s", got)
	}
	if l.User(&u, []byte("bob")) || l.User(&u, []byte("")) || l.UserNamed(&u, "ally") || !l.UserNamed(&u, "aliCE") {
		t.Error("a name finds whom it should not")
	}
	d, ok := l.Document("User", "aLICE")
	var spec event.UserSpec
	if err := proto.Unmarshal(d.Spec, &spec); err != nil || !ok || d.Name != "Alice" || d.CreatedBy != "admin" || len(d.Refs) != 2 {
		t.Fatalf("document %+v, %v", d, err)
	}
	var want event.UserSpec
	if err := proto.Unmarshal(put.Spec, &want); err != nil || !proto.Equal(&want, &spec) {
		t.Errorf("spec is %v, want %v", &spec, &want)
	}
}

func TestAnImportedPasswordKeepsItsAgeWhenItsFormsChange(t *testing.T) {
	l := newLog(t)
	l.must(user("alice"))
	l.must(&event.PasswordSet{User: "alice", Imported: []byte("hash")})
	var u state.User
	if !l.UserNamed(&u, "alice") || !u.HasPassword() || string(u.Imported) != "hash" || u.PasswordSetAt == 0 {
		t.Fatalf("%+v", u)
	}
	if got := fmt.Sprintf("%v %x", u.Imported, u.Imported); strings.Count(got, "redacted") != 2 {
		t.Errorf("an imported hash prints as %s", got)
	}
	set := u.PasswordSetAt
	l.must(expect{event.Expectation_CREDENTIAL, "Alice", 1}, &event.PasswordSet{User: "Alice", Argon2Id: []byte("form"), SamePassword: true})
	if !l.UserNamed(&u, "alice") || len(u.Imported) != 0 || string(u.Argon2id) != "form" || u.PasswordSetAt != set || u.CredentialVersion != 2 {
		t.Errorf("set at %d, before at %d: %+v", u.PasswordSetAt, set, u)
	}
	l.void(event.CodeConflict, "", expect{event.Expectation_CREDENTIAL, "alice", 1}, &event.PasswordSet{User: "alice"})
	l.must(&event.PasswordSet{User: "alice", Argon2Id: []byte("form"), SamePassword: false})
	if !l.UserNamed(&u, "alice") || u.PasswordSetAt <= set {
		t.Errorf("a new password was set at %d", u.PasswordSetAt)
	}
	l.must(&event.PasswordSet{User: "alice", Argon2Id: []byte("new"), History: 3})
	l.must(&event.PasswordSet{User: "alice", Keyed: []byte("keyed"), History: 3, SamePassword: true})
	if !l.UserNamed(&u, "alice") || len(u.Former) != 1 || string(u.Former[0][1:]) != "form" {
		t.Errorf("%d former passwords, though it stayed the same: %q", len(u.Former), u.Former)
	}
	set = u.PasswordSetAt
	l.must(&event.PasswordRemoved{User: "alice"})
	l.must(&event.PasswordSet{User: "alice", Argon2Id: []byte("form"), SamePassword: true})
	if !l.UserNamed(&u, "alice") || u.PasswordSetAt <= set {
		t.Errorf("the same as none was set at %d", u.PasswordSetAt)
	}
}

func TestAccountingMakesUpdatesAndEndsSessions(t *testing.T) {
	l := newLog(t)
	id := sessionID("s1")
	l.must(record(event.StatusStart, "s1", 0))
	l.void(event.CodeDuplicate, "", record(event.StatusStart, "s1", 0))
	later := record(event.StatusInterim, "s1", time.Minute)
	later.InputOctets, later.SessionTime = 1000, 60
	l.must(later)
	old := record(event.StatusInterim, "s1", 30*time.Second)
	old.InputOctets, old.SessionTime = 500, 30
	l.must(old)
	var x state.Session
	if !l.Session(&x, id) || x.InputOctets != 1000 || x.SessionTime != 60 || x.Started != uint32(start.Unix()) || string(x.User) != "alice" ||
		string(x.UserName) != "ALICE" || string(x.Client) != "wlan" {
		t.Fatalf("session %+v", x)
	}
	for name, q := range map[string]state.SessionQuery{
		"all": {}, "user": {User: "Alice"}, "NAS": {NAS: "ap1"}, "client": {Client: "wlan"}, "id": {ID: id},
		"address": {Addr: netip.MustParseAddr("10.0.0.1")}, "prefix": {Addr: netip.MustParseAddr("2001:db8:1:2ff::9")},
		"station": {Calling: "aabb.ccdd.eeff"}, "session": {AcctSessionID: "s1"},
	} {
		if page, cursor := l.Sessions(q); len(page) != 1 || page[0].ID != id || cursor != 0 {
			t.Errorf("%s finds %d, cursor %d", name, len(page), cursor)
		}
	}
	for name, q := range map[string]state.SessionQuery{
		"user": {User: "bob"}, "NAS": {NAS: "ap2"}, "client": {Client: "lan"}, "id": {ID: id + 1},
		"address": {Addr: netip.MustParseAddr("10.0.0.2")}, "prefix": {Addr: netip.MustParseAddr("2001:db8:1:300::9")},
		"station": {Calling: "aabb.ccdd.eefe"}, "session": {AcctSessionID: "s2"}, "two": {User: "alice", NAS: "ap2"},
	} {
		if page, _ := l.Sessions(q); len(page) != 0 {
			t.Errorf("%s finds %d", name, len(page))
		}
	}
	if n := l.CountSessions("ALICE", start); n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
	if n := l.CountSessions("ALICE", start.Add(time.Hour)); n != 0 {
		t.Errorf("%d sessions when stale, want 0", n)
	}
	l.must(record(event.StatusStop, "s1", 2*time.Minute))
	l.void(event.CodeDuplicate, "", record(event.StatusStop, "s1", 2*time.Minute))
	l.must(record(event.StatusInterim, "s1", 90*time.Second))
	l.void(event.CodeDuplicate, "", record(event.StatusInterim, "s1", 90*time.Second))
	if l.Session(&x, id) || l.Counts().Tombstones != 1 {
		t.Error("a late record reopened the session")
	}
	if page, _ := l.Sessions(state.SessionQuery{User: "alice"}); len(page) != 0 {
		t.Errorf("an ended session is found")
	}
}
