package state_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"trine/engine/event"
	"trine/engine/state"
)

func message(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

// account is an account of a user; its system is not kept as a document in these tests.
func account(name, owner string, disabled bool) *event.DocumentPut {
	return &event.DocumentPut{
		Kind: "Account", Name: name, Spec: message(&event.AccountSpec{Owner: owner, Disabled: disabled}), Refs: []string{event.Key("User", owner)},
	}
}

func endpoint(name string, spec *event.EndpointSpec) *event.DocumentPut {
	put := &event.DocumentPut{Kind: "Endpoint", Name: name, Spec: message(spec)}
	if spec.Owner != "" {
		put.Refs = []string{event.Key("User", spec.Owner)}
	}
	return put
}

func TestAccountIsFoundByOwnerAndSystem(t *testing.T) {
	l := newLog(t)
	l.must(user("Alice"), user("bob"))
	l.must(account("a@erp", "alice", true), account("adm@x@erp", "ALICE", false), account("a@mail", "Alice", true), account("b@erp", "bob", true))
	check := func(when string) {
		t.Helper()
		for _, c := range []struct {
			owner, system string
			want          state.Standing
		}{
			{"alice", "erp", state.AccountEnabled},
			{"Alice", "mail", state.AccountDisabled},
			{"bob", "erp", state.AccountDisabled},
			{"bob", "mail", state.NoAccount},
			{"alice", "x@erp", state.NoAccount},
			{"nobody", "erp", state.NoAccount},
			{"alice", "", state.NoAccount},
		} {
			if got := l.Account([]byte(c.owner), c.system); got != c.want {
				t.Errorf("%s: account of %s in %q: %d, want %d", when, c.owner, c.system, got, c.want)
			}
		}
	}
	check("as made")
	l.State = l.reloaded()
	check("after a load")
	if l.must(account("a@erp", "alice", true)).Value != 2 {
		t.Error("no new version")
	}
	check("after a change")
	l.must(account("a@erp", "bob", false))
	if l.Account([]byte("bob"), "erp") != state.AccountEnabled || fmt.Sprint(l.Owned("ALICE")) != "[Account/a@mail Account/adm@x@erp]" {
		t.Errorf("an account that changed hands: %v", l.Owned("alice"))
	}
	l.must(&event.DocumentDeleted{Kind: "Account", Name: "adm@x@erp"})
	if l.Account([]byte("alice"), "erp") != state.NoAccount {
		t.Error("a deleted account is found")
	}
}

// reloaded returns a state that was loaded from the rows of l.
func (l *log) reloaded() *state.State {
	l.t.Helper()
	f := l.Freeze()
	defer f.Release(true)
	var rows [][2][]byte
	if err := f.Rows(true, func(k, v []byte) error {
		rows = append(rows, [2][]byte{slices.Clone(k), slices.Clone(v)})
		return nil
	}); err != nil {
		l.t.Fatal(err)
	}
	s := state.New()
	i := 0
	if err := s.Load(func() (k, v []byte, ok bool, err error) {
		if i == len(rows) {
			return nil, nil, false, nil
		}
		i++
		return rows[i-1][0], rows[i-1][1], true, nil
	}); err != nil {
		l.t.Fatal(err)
	}
	if s.Digest() != l.Digest() {
		l.t.Fatal("the loaded state differs")
	}
	return s
}

func TestEndpointIsFoundInAnyNotation(t *testing.T) {
	l := newLog(t)
	l.must(user("alice"), group("printers"))
	l.must(endpoint("0010.a423.19c0", &event.EndpointSpec{
		Group: "printers", Owner: "Alice", NotAfterUnix: 100, Attributes: []*event.UserSpec_Attribute{{Name: "serial", Values: []string{"1", "2"}}},
	}))
	var e state.Endpoint
	for range 2 {
		mac, _ := event.ParseMAC("00:10:A4:23:19:C0")
		if !l.Endpoint(&e, mac) || string(e.Name) != "00-10-A4-23-19-C0" || string(e.Group) != "printers" || string(e.Owner) != "Alice" ||
			len(e.Attributes) != 1 || string(e.Attributes[0].Name) != "serial" || fmt.Sprintf("%s", e.Attributes[0].Values) != "[1 2]" {
			t.Fatalf("%+v", e)
		}
		l.State = l.reloaded()
	}
	if e.Over(99) || !e.Over(100) || (&state.Endpoint{}).Over(1<<60) {
		t.Error("an endpoint ends at its time, and one without a time never")
	}
	if d, ok := l.Document("Endpoint", "0010A42319C0"); !ok || d.Name != "0010.a423.19c0" || d.Version != 1 {
		t.Errorf("%+v", d)
	}
	if got := l.must(endpoint("00-10-A4-23-19-C0", &event.EndpointSpec{})); got.Value != 2 || l.Count("Endpoint") != 1 {
		t.Errorf("version %d of %d documents", got.Value, l.Count("Endpoint"))
	}
	if owned := l.Owned("alice"); len(owned) > 0 {
		t.Errorf("it still belongs to %v", owned)
	}
	if l.Endpoint(&e, event.MAC{1}) {
		t.Error("an unknown address is found")
	}
}

func TestUserGoesOnlyWithWhatIsHis(t *testing.T) {
	l := newLog(t)
	l.must(user("alice"), account("a@erp", "alice", false), endpoint("001122334455", &event.EndpointSpec{Owner: "alice"}))
	gone := func(kind, name string) *event.DocumentDeleted { return &event.DocumentDeleted{Kind: kind, Name: name} }
	l.void(event.CodeConflict, "User/alice cannot be deleted: 2 documents refer to it", gone("User", "Alice"))
	l.void(event.CodeConflict, "1 document refers to it", gone("User", "Alice"), gone("Account", "a@erp"))
	if got := fmt.Sprint(l.Owned("alice")); got != "[Account/a@erp Endpoint/00-11-22-33-44-55]" {
		t.Fatal(got)
	}
	l.must(gone("User", "Alice"), gone("Account", "a@erp"), gone("Endpoint", "00:11:22:33:44:55"))
	if l.Count("Account")+l.Count("Endpoint")+l.Count("User") != 0 || len(l.Owned("alice")) != 0 {
		t.Error("something is left")
	}
}

func TestPeoplesDocumentsAreNoConfiguration(t *testing.T) {
	l := newLog(t)
	l.OnConfig(func(_ uint64, keys []state.Key) {
		for _, k := range keys {
			if k.Kind != "Role" {
				t.Errorf("told of %s", k)
			}
		}
	})
	l.must(user("alice"), account("a@erp", "alice", false), endpoint("001122334455", &event.EndpointSpec{}))
	l.must(&event.DocumentDeleted{Kind: "Endpoint", Name: "001122334455"})
	if l.ConfigIndex() != 0 {
		t.Error("it counts as a change of the configuration")
	}
	if l.must(&event.DocumentPut{Kind: "Role", Name: "r@erp", Spec: []byte("{}")}); l.ConfigIndex() == 0 {
		t.Error("a role does not count as a change of the configuration")
	}
}

func TestLookingForAccountsAndEndpointsAllocatesNothing(t *testing.T) {
	l := newLog(t)
	l.must(user("alice"), account("a@erp", "alice", true), account("b@erp", "alice", false), endpoint("001122334455", &event.EndpointSpec{Owner: "alice"}))
	var e state.Endpoint
	owner, mac := []byte("Alice"), event.MAC{0, 0x11, 0x22, 0x33, 0x44, 0x55}
	l.Endpoint(&e, mac)
	if n := testing.AllocsPerRun(100, func() {
		if l.Account(owner, "erp") != state.AccountEnabled || l.Account(owner, "mail") != state.NoAccount || !l.Endpoint(&e, mac) {
			t.Fatal("not found")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestOwnersAreFollowedThroughEveryChange compares the indexes by owner with a look at every document.
func TestOwnersAreFollowedThroughEveryChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLog(t)
		l.must(user("a"), user("b"))
		have := map[string][2]string{} // key -> owner, "off" for a disabled account
		names := []string{"Account/x@s", "Account/y@s", "Account/y@t", "Endpoint/00-00-00-00-00-01", "Endpoint/00-00-00-00-00-02"}
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			key := rapid.SampledFrom(names).Draw(t, "document")
			kind, name, _ := strings.Cut(key, "/")
			owner := rapid.SampledFrom([]string{"a", "B", "b"}).Draw(t, "owner")
			switch _, there := have[key]; {
			case there && rapid.IntRange(0, 2).Draw(t, "delete") == 0:
				l.must(&event.DocumentDeleted{Kind: kind, Name: name})
				delete(have, key)
			case kind == "Account":
				off := rapid.Bool().Draw(t, "disabled")
				l.must(account(name, owner, off))
				have[key] = [2]string{owner, map[bool]string{true: "off"}[off]}
			case rapid.Bool().Draw(t, "nobody's"):
				l.must(endpoint(name, &event.EndpointSpec{}))
				have[key] = [2]string{}
			default:
				l.must(endpoint(name, &event.EndpointSpec{Owner: owner}))
				have[key] = [2]string{owner}
			}
			if rapid.IntRange(0, 9).Draw(t, "load") == 0 {
				l.State = l.reloaded()
			}
			for _, owner := range []string{"a", "b"} {
				var want []string
				standing := map[string]state.Standing{}
				for _, key := range names {
					if !strings.EqualFold(have[key][0], owner) {
						continue
					}
					want = append(want, key)
					if system, ok := strings.CutPrefix(key[strings.Index(key, "/"):], "/x@"); ok || strings.HasPrefix(key, "Account/y@") {
						if !ok {
							system = strings.TrimPrefix(key, "Account/y@")
						}
						if have[key][1] == "" {
							standing[system] = state.AccountEnabled
						} else {
							standing[system] = max(standing[system], state.AccountDisabled)
						}
					}
				}
				if got := strings.Trim(fmt.Sprint(l.Owned(owner)), "[]"); got != strings.Join(want, " ") {
					t.Fatalf("%s owns %s, want %v", owner, got, want)
				}
				for _, system := range []string{"s", "t"} {
					if got := l.Account([]byte(owner), system); got != standing[system] {
						t.Fatalf("accounts of %s in %s: %d, want %d", owner, system, got, standing[system])
					}
				}
			}
		}
	})
}

func TestSessionsOutliveTheirUserAndReservationsDoNot(t *testing.T) {
	l := newLog(t)
	l.must(user("Alice"), user("bob"))
	record := func(status uint32, key uint64) *event.AccountedView {
		return &event.AccountedView{
			Client: []byte("wlan"), NAS: []byte("ap"), SessionID: []byte("s"), Status: status, UserName: []byte("alice"), User: []byte("Alice"),
			EventUnix: l.at.Time.Unix(), Key: key,
		}
	}
	l.must(record(event.StatusStart, 1))
	far := start.Unix() + 1000
	l.must(
		&event.SessionReserved{User: "Alice", Login: 1, Client: "wlan", NotAfterUnix: far}, &event.SessionReserved{User: "bob", Login: 2, Client: "wlan", NotAfterUnix: far},
		&event.SessionReserved{User: "Alice", Login: 3, Client: "wlan", NotAfterUnix: far},
	)
	l.must(&event.DocumentDeleted{Kind: "User", Name: "ALICE"})
	if c := l.Counts(); c.Sessions != 1 || c.Reservations != 1 || l.CountSessions("bob", l.at.Time) != 1 || l.CountSessions("alice", l.at.Time) != 1 {
		t.Fatalf("%+v", c)
	}
	l.must(record(event.StatusStop, 2))
	if c := l.Counts(); c.Sessions != 0 || c.Tombstones != 1 {
		t.Errorf("the end of the session was lost: %+v", c)
	}
}

func TestAccountsOfAUserAreToldWhole(t *testing.T) {
	l := newLog(t)
	l.must(user("Alice"), user("bob"))
	put := account("adm@x@erp", "ALICE", false)
	put.Spec = message(&event.AccountSpec{Owner: "ALICE", Attributes: []*event.UserSpec_Attribute{{Name: "ou", Values: []string{"a", "b"}}}})
	l.must(account("b@mail", "alice", true), account("a@mail", "Alice", false), put, account("b@erp", "bob", false))
	got := fmt.Sprintf("%+v", l.OwnedAccounts([]byte("aLICE")))
	want := "[{System:erp Name:adm@x Enabled:true Attributes:map[ou:[a b]]} {System:mail Name:a Enabled:true Attributes:map[]} {System:mail Name:b Enabled:false Attributes:map[]}]"
	if got != want {
		t.Errorf("%s", got)
	}
	if list := l.OwnedAccounts([]byte("nobody")); len(list) > 0 {
		t.Errorf("nobody has %+v", list)
	}
}
