package state_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"trine/engine/event"
	"trine/engine/state"
)

func TestVoidProposalsSayWhy(t *testing.T) {
	l := newLog(t)
	l.must(group("staff"), group("guests"))
	l.must(user("alice", "staff"))
	bob := user("Bob")
	bob.Claims = append(bob.Claims, "login/alice")
	conflict := event.CodeConflict
	for _, c := range []struct {
		name, words string
		code        uint32
		parts       []any
	}{
		{"absent", "Group/staff: expected that it does not exist", conflict, []any{expect{event.Expectation_ABSENT, "Group/staff", 0}, group("x")}},
		{"exists", "Group/none: expected that it exists", conflict, []any{expect{event.Expectation_EXISTS, "Group/none", 0}, group("x")}},
		{"version", "Group/staff: expected version 7, but it has version 1", conflict, []any{expect{event.Expectation_VERSION, "Group/staff", 7}, group("staff")}},
		{"folded key", "User/alice: expected that it does not exist, but it has version 1", conflict, []any{expect{event.Expectation_VERSION, "User/ALICE", 0}, user("Alice")}},
		{"unreferenced", "Group/staff: expected that nothing refers to it, but 1 document does", conflict, []any{expect{event.Expectation_UNREFERENCED, "Group/staff", 0}}},
		{"claim", "User/bob claims login/alice, which User/alice holds", conflict, []any{bob}},
		{"dangling", "User/bob refers to Group/none, which does not exist", conflict, []any{user("Bob", "none")}},
		{"referenced", "Group/staff cannot be deleted: 1 document refers to it", conflict, []any{&event.DocumentDeleted{Kind: "Group", Name: "staff"}}},
		{"twice", "Group/x is changed twice", conflict, []any{group("x"), group("x")}},
		{"gone", "Group/none does not exist", event.CodeMissing, []any{&event.DocumentDeleted{Kind: "Group", Name: "none"}}},
		{"password", "user carol does not exist", event.CodeMissing, []any{&event.PasswordSet{User: "carol"}}},
		{"password too early", "user carol does not exist", event.CodeMissing, []any{&event.PasswordRemoved{User: "carol"}, user("carol")}},
		{"session", "is not live", event.CodeMissing, []any{&event.SessionClosed{Session: 1}}},
		{"api key", "API key k does not exist", event.CodeMissing, []any{&event.ApiKeyRevoked{Id: "k"}}},
		{"stage", "is unknown", event.CodeStage, []any{&event.StageCommitted{Stage: 4, Pieces: 1}}},
		{"abandon", "is unknown", event.CodeStage, []any{&event.StageAbandoned{Stage: 4}}},
		{"piece", "past the last possible", event.CodeStage, []any{&event.Staged{Stage: 4, Piece: 1 << 16}}},
		{"all or nothing", "already", conflict, []any{group("new"), &event.ApiKeyCreated{Id: "taken"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "all or nothing" {
				l.must(&event.ApiKeyCreated{Id: "taken", Hash: []byte("h"), Scopes: []string{"read"}})
			}
			l.void(c.code, c.words, c.parts...)
		})
	}
	if _, ok := l.Document("Group", "new"); ok {
		t.Error("half of a proposal took effect")
	}
}

func TestVersionsGoOnAfterADeletion(t *testing.T) {
	l := newLog(t)
	l.must(group("g"))
	if r := l.must(group("g")); r.Value != 2 {
		t.Fatalf("version %d, want 2", r.Value)
	}
	l.must(&event.DocumentDeleted{Kind: "Group", Name: "g"})
	l.void(event.CodeConflict, "does not exist", expect{event.Expectation_VERSION, "Group/g", 2}, group("g"))
	if r := l.must(expect{event.Expectation_VERSION, "Group/g", 0}, group("g")); r.Value != 3 {
		t.Fatalf("version %d, want 3", r.Value)
	}
}

func TestUserIDsAreNotUsedAgain(t *testing.T) {
	l := newLog(t)
	l.must(user("alice"))
	l.must(&event.PasswordSet{User: "alice", Argon2Id: []byte("x")})
	l.must(&event.DocumentDeleted{Kind: "User", Name: "ALICE"})
	var u state.User
	if l.User(&u, []byte("alice")) || l.UserByID(&u, 1) {
		t.Fatal("a deleted user is found")
	}
	l.must(user("alice"))
	if !l.User(&u, []byte("alice")) || u.ID != 2 || u.HasPassword() || u.CredentialVersion != 0 {
		t.Fatalf("user has id %d, password %v", u.ID, u.HasPassword())
	}
}

func TestClaimsMoveWithinAProposal(t *testing.T) {
	l := newLog(t)
	a, b := group("a"), group("b")
	a.Claims, b.Claims = []string{"p/1"}, []string{"p/2"}
	l.must(a, b)
	a, b = group("a"), group("b")
	a.Claims, b.Claims = []string{"p/2"}, []string{"p/1"}
	l.must(a, b)
	if x, _ := l.Holder("p/1"); x != "Group/b" {
		t.Errorf("p/1 is held by %s", x)
	}
	c := group("c")
	c.Claims = []string{"p/1"}
	l.must(c, &event.DocumentDeleted{Kind: "Group", Name: "b"})
	if x, _ := l.Holder("p/1"); x != "Group/c" {
		t.Errorf("p/1 is held by %q", x)
	}
}

func TestReservationBecomesTheSession(t *testing.T) {
	l := newLog(t)
	reserve := func(login uint64, limit uint64) []any {
		return []any{
			expect{event.Expectation_SESSIONS_BELOW, "Alice", limit},
			&event.SessionReserved{User: "alice", Login: login, Client: "wlan", NotAfterUnix: l.at.Time.Unix() + 60},
		}
	}
	l.must(reserve(1, 1)...)
	l.must(reserve(1, 1)...) // proposed again after a lost answer
	l.void(event.CodeLimit, "Alice has 1 simultaneous sessions", reserve(2, 1)...)
	v := record(event.StatusStart, "s1", 0)
	v.Login = 1
	l.must(v)
	if n := l.CountSessions("alice", l.at.Time); n != 1 || l.Counts().Reservations != 0 {
		t.Fatalf("%d sessions and reservations, %d reservations", n, l.Counts().Reservations)
	}
	l.must(reserve(1, 1)...)
	if l.Counts().Reservations != 0 {
		t.Fatal("a login whose session started holds a place besides")
	}
	l.void(event.CodeLimit, "", reserve(2, 1)...)
	l.at.Time = l.at.Time.Add(time.Hour) // the session is stale: it counts no more, without a sweep
	l.must(reserve(2, 1)...)
	l.at.Time = l.at.Time.Add(time.Hour) // and so is the reservation
	l.must(reserve(3, 1)...)
}

func TestReservationIsGivenUpToItsOwnClientOnly(t *testing.T) {
	l := newLog(t)
	l.must(&event.SessionReserved{User: "alice", Login: 1, Client: "wlan", NotAfterUnix: l.at.Time.Unix() + 60})
	for _, status := range []uint32{event.StatusStart, event.StatusInterim, event.StatusStop, event.StatusOn} {
		v := record(status, "s1", 0)
		v.Client, v.User, v.Login = []byte("guests"), nil, 1
		v.Key = event.AccountingKey(v, true)
		l.must(v)
		if l.Counts().Reservations != 1 {
			t.Fatalf("another client's record of status %d gave up the place", status)
		}
	}
	l.void(event.CodeLimit, "", expect{event.Expectation_SESSIONS_BELOW, "alice", 1},
		&event.SessionReserved{User: "alice", Login: 2, Client: "wlan", NotAfterUnix: l.at.Time.Unix() + 60})
	v := record(event.StatusStart, "s1", 0)
	v.Login = 1
	l.must(v)
	if l.Counts().Reservations != 0 {
		t.Error("the session of the login does not take its place")
	}

	// Nor does another client's session that came before, with a number that it guessed.
	early := record(event.StatusStart, "s2", 0)
	early.Client, early.Login = []byte("guests"), 3
	early.Key = event.AccountingKey(early, true)
	l.must(early)
	l.must(&event.SessionReserved{User: "alice", Login: 3, Client: "wlan", NotAfterUnix: l.at.Time.Unix() + 60})
	if l.Counts().Reservations != 1 {
		t.Error("another client's session took the place of a login")
	}
}

func TestAccountingOnEndsTheSessionsOfItsNASOnly(t *testing.T) {
	l := newLog(t)
	other := record(event.StatusStart, "s1", 0)
	other.NAS = []byte("ap2")
	other.Key = event.AccountingKey(other, true)
	elsewhere := record(event.StatusStart, "s1", 0)
	elsewhere.Client = []byte("lan")
	elsewhere.Key = event.AccountingKey(elsewhere, true)
	later := record(event.StatusStart, "s2", 10*time.Second)
	l.must(record(event.StatusStart, "s1", 0))
	l.must(other)
	l.must(elsewhere)
	l.must(later)
	on := record(event.StatusOn, "", 5*time.Second)
	l.must(on)
	l.void(event.CodeDuplicate, "", on)
	var x state.Session
	if l.Session(&x, sessionID("s1")) || !l.Session(&x, sessionID("s2")) || l.Counts().Sessions != 3 {
		t.Fatalf("%d sessions are left", l.Counts().Sessions)
	}
	// An interim record of before the restart does not bring the session back, a start after it does.
	l.must(record(event.StatusInterim, "s1", 6*time.Second))
	if l.Session(&x, sessionID("s1")) {
		t.Fatal("an interim record reopened a session")
	}
	l.must(record(event.StatusStart, "s1", 7*time.Second))
	if !l.Session(&x, sessionID("s1")) || x.Started != uint32(start.Add(7*time.Second).Unix()) {
		t.Fatal("a session id that the NAS uses again has no session")
	}
}

func TestUnsetClockOfANASDoesNotCount(t *testing.T) {
	l := newLog(t)
	l.must(record(event.StatusStart, "s1", 0))
	on := record(event.StatusOn, "", 0)
	on.EventUnix = 12 // 1970: the NAS has just booted
	on.Key = event.AccountingKey(on, true)
	l.must(on)
	if n := l.Counts().Sessions; n != 0 {
		t.Fatalf("%d sessions survive their NAS's restart", n)
	}
}

func TestOneShotIsConsumedOnce(t *testing.T) {
	l := newLog(t)
	use := &event.Consumed{Key: "code/1", NotAfterUnix: start.Unix() + 100}
	l.must(use, group("bought"))
	l.void(event.CodeConflict, "code/1 was consumed before", use, group("again"))
	l.void(event.CodeConflict, "code/1: expected that it was not consumed", expect{event.Expectation_UNCONSUMED, "code/1", 0})
	twice := &event.Consumed{Key: "code/2"}
	l.void(event.CodeConflict, "consumed before", twice, twice)
	l.at.Time = start.Add(101 * time.Second)
	l.must(&event.TombstonesSwept{BeforeUnix: l.at.Time.Unix()})
	if l.Counts().Consumed != 0 {
		t.Fatal("a key past its term is kept")
	}
	l.void(event.CodeConflict, "past its term", use)
}

func TestStageTakesEffectWhole(t *testing.T) {
	l := newLog(t)
	piece := func(stage uint64, number uint32, m proto.Message, expects ...*event.Expectation) *event.Staged {
		body, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return &event.Staged{
			Stage: stage, Piece: number, Expect: expects,
			Events: []*event.Event{{Type: uint32(event.TypeOf(m)), Class: 1, Body: body}},
		}
	}
	// The second piece makes what the first refers to.
	l.must(piece(1, 0, user("alice", "staff")))
	l.must(piece(1, 0, user("alice", "staff"))) // sent twice
	l.void(event.CodeStage, "has 1 of 2 pieces", &event.StageCommitted{Stage: 1, Pieces: 2})
	l.must(piece(1, 1, group("staff"), &event.Expectation{Kind: event.Expectation_ABSENT, Key: "Group/staff"}))
	if l.Count("User") != 0 {
		t.Fatal("a stage took effect before its commit")
	}
	l.must(&event.StageCommitted{Stage: 1, Pieces: 2})
	if l.Count("User") != 1 || l.Count("Group") != 1 || l.Counts().Stages != 0 {
		t.Fatal("the stage did not take effect")
	}
	l.must(piece(2, 0, group("staff"), &event.Expectation{Kind: event.Expectation_ABSENT, Key: "Group/staff"}))
	l.void(event.CodeConflict, "Group/staff", &event.StageCommitted{Stage: 2, Pieces: 1})
	l.must(piece(3, 0, &event.StageCommitted{Stage: 2, Pieces: 1}))
	l.void(event.CodeStage, "cannot commit another", &event.StageCommitted{Stage: 3, Pieces: 1})
	l.at.Time = l.at.Time.Add(2 * time.Hour)
	l.must(&event.TombstonesSwept{})
	if n := l.Counts().Stages; n != 0 {
		t.Fatalf("%d rows of old stages are left", n)
	}
}

func TestConfigHookNamesWhatChanged(t *testing.T) {
	l := newLog(t)
	var calls []string
	l.OnConfig(func(index uint64, changed []state.Key) { calls = append(calls, fmt.Sprint(index, changed)) })
	l.must(group("a"), &event.DocumentPut{Kind: "ServiceProvider", Name: "sp/1"})
	l.must(user("alice", "a"))
	l.must(&event.DocumentDeleted{Kind: "ServiceProvider", Name: "sp/1"})
	l.void(event.CodeMissing, "", group("b"), &event.DocumentDeleted{Kind: "ServiceProvider", Name: "sp/1"})
	if want := []string{"1 [Group/a ServiceProvider/sp/1]", "3 [ServiceProvider/sp/1]"}; !slices.Equal(calls, want) || l.ConfigIndex() != 3 {
		t.Fatalf("calls %q, index %d; want %q", calls, l.ConfigIndex(), want)
	}
	if kinds := l.Kinds(); !slices.Equal(kinds, []string{"Group", "User"}) {
		t.Errorf("kinds %v", kinds)
	}
}

func TestKeysAreKept(t *testing.T) {
	l := newLog(t)
	l.must(&event.ApiKeyCreated{Id: "k1", Description: "d", Hash: []byte("h"), Scopes: []string{"read", "write"}, ExpiresUnix: start.Unix() + 60, By: "admin"})
	k, ok := l.APIKey("k1")
	if !ok || string(k.Hash) != "h" || !slices.Equal(k.Scopes, []string{"read", "write"}) || k.CreatedBy != "admin" || !k.CreatedAt.Equal(start) {
		t.Fatalf("key %+v", k)
	}
	if k.Expired(start.Add(60*time.Second)) || !k.Expired(start.Add(61*time.Second)) {
		t.Error("the key's term is not what it was made with")
	}
	l.must(&event.ApiKeyRevoked{Id: "k1"})
	if len(l.APIKeys()) != 0 {
		t.Error("a revoked key is there")
	}
	wrap := func(node uint64, b string) *event.ClusterKeyAdded_Wrap {
		return &event.ClusterKeyAdded_Wrap{Node: node, Wrapped: []byte(b)}
	}
	l.must(&event.ClusterKeyAdded{Id: 2, Wraps: []*event.ClusterKeyAdded_Wrap{wrap(9, "nine")}})
	l.must(&event.ClusterKeyAdded{Id: 1, Wraps: []*event.ClusterKeyAdded_Wrap{wrap(1, "one")}})
	l.must(&event.ClusterKeyAdded{Id: 2, Wraps: []*event.ClusterKeyAdded_Wrap{wrap(3, "three"), wrap(9, "new")}})
	keys := l.ClusterKeys()
	if len(keys) != 2 || keys[1].ID != 2 || len(keys[1].Wraps) != 2 || keys[1].Wraps[0].Node != 3 || string(keys[1].Wraps[1].Wrapped) != "new" {
		t.Fatalf("keys %v", keys)
	}
}

func TestPagesFollowTheNames(t *testing.T) {
	l := newLog(t)
	var parts []any
	var want []string
	for i := range 300 {
		name := fmt.Sprintf("User%03d", i*7%300)
		parts = append(parts, user(name))
		want = append(want, name)
	}
	l.must(parts...)
	slices.Sort(want)
	list := func(from string) (got []string) {
		for {
			page := l.Documents("User", from, 70)
			for _, d := range page {
				got = append(got, d.Name)
			}
			if len(page) < 70 {
				return got
			}
			from = page[len(page)-1].Name
		}
	}
	if got := list(""); !slices.Equal(got, want) {
		t.Fatalf("listed %v", got)
	}
	l.must(&event.DocumentDeleted{Kind: "User", Name: "user007"}, user("user0065"), user("aaa"))
	want = slices.Delete(want, 7, 8)
	want = slices.Insert(want, 7, "user0065")
	want = slices.Insert(want, 0, "aaa")
	if got := list(""); !slices.Equal(got, want) {
		t.Fatalf("after changes: %v", got[:12])
	}
	if got := list("USER290"); !slices.Equal(got, want[len(want)-9:]) {
		t.Fatalf("from user290: %v", got)
	}
}

func TestRecordsThatCannotBeReadEndTheProcess(t *testing.T) {
	for name, proposal := range map[string][]byte{
		"proposal":   {0xff},
		"event":      {0x12, 1, 0xff},
		"type":       {0x12, 3, 8, 0xe7, 7},
		"accounted":  {0x12, 7, 8, 30, 0x10, 4, 0x22, 1, 0xff},
		"password":   {0x12, 7, 8, 10, 0x10, 4, 0x22, 1, 0xff},
		"document":   {0x12, 7, 8, 1, 0x10, 4, 0x22, 1, 0xff},
		"expect":     {0x0a, 2, 8, 99},
		"user field": append([]byte{0x12, 20, 8, 1, 0x10, 2, 0x22, 14}, "\x0a\x04User\x12\x01u\x22\x03\x80\x01\x01"...),
		"user role":  append([]byte{0x12, 19, 8, 1, 0x10, 2, 0x22, 13}, "\x0a\x04User\x12\x01u\x22\x02\x78\x01"...),
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("it was skipped")
				}
			}()
			state.New().Apply(state.Stamp{Index: 1, Time: start}, proposal)
		})
	}
}
