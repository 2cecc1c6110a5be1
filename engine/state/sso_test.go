package state_test

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"trine/engine/event"
	"trine/engine/state"
)

func hashed(id string) state.SSOHash { return sha256.Sum256([]byte(id)) }

// began returns the event with which a session of a user begins, under an id, for an hour and a quarter of it without use.
func began(l *log, number uint64, user, id string) *event.SsoStarted {
	hash := hashed(id)
	return &event.SsoStarted{
		Session: number, Hash: hash[:], User: user, Scope: "cookie/sso@", IdentityProvider: "home", Idle: 900, NotAfterUnix: l.at.Time.Unix() + 3600,
		Proofs: []*event.SsoStarted_Proof{{Factor: 1, AtUnix: l.at.Time.Unix(), Login: 5}}, Login: 5,
	}
}

// rotated returns the event with which it goes on under another id.
func rotated(l *log, number uint64, user, old, id string) *event.SsoStarted {
	e, hash := began(l, number, user, id), hashed(old)
	e.Replaces = hash[:]
	return e
}

func used(number uint64, id, client string) *event.SsoUsed {
	hash := hashed(id)
	return &event.SsoUsed{Session: number, Hash: hash[:], Client: client, IdentityProvider: "home", Protocol: "oidc", Reference: []byte("sid")}
}

func inactive(name string) *event.DocumentPut {
	d := user(name)
	var spec event.UserSpec
	if err := proto.Unmarshal(d.Spec, &spec); err != nil {
		panic(err)
	}
	spec.Inactive = true
	d.Spec = message(&spec)
	return d
}

// end fails unless the session has ended so, or is live for event.SSOLive, and is found by its id only then.
func (l *log) end(number uint64, id string, want event.SSOEnd) {
	l.t.Helper()
	x, ok := l.SSONumbered(number)
	if !ok || x.End != want || (x.EndedAt != 0) != (want != event.SSOLive) {
		l.t.Fatalf("session %d: %+v, %v, want %s", number, x, ok, want)
	}
	if _, found := l.SSO(hashed(id)); found != (want == event.SSOLive) {
		l.t.Fatalf("session %d is found by its id: %v", number, found)
	}
}

func TestSessionIsKnownByTheHashOfItsIDAlone(t *testing.T) {
	l := newLog(t)
	l.must(user("Alice"))
	l.must(began(l, 7, "alice", "one"))
	x, ok := l.SSO(hashed("one"))
	if !ok || x.Number != 7 || x.User != "alice" || x.Scope != "cookie/sso@" || len(x.Proofs) != 1 || x.Proofs[0].Factor != 1 {
		t.Fatalf("%+v, %v", x, ok)
	}
	if _, ok := l.SSO(hashed("two")); ok {
		t.Error("another id finds it")
	}
	l.void(event.CodeConflict, "exists already", began(l, 7, "alice", "two"))
	l.void(event.CodeConflict, "cannot have that id", began(l, 8, "alice", "one"))
	l.void(event.CodeMissing, "does not exist", began(l, 8, "bob", "two"))
}

func TestOldIDIsVoidOnceTheSessionHasAnother(t *testing.T) {
	l := newLog(t)
	l.must(user("alice"))
	l.must(user("bob"))
	l.must(began(l, 7, "alice", "one"))
	l.must(used(7, "one", "wiki"))
	l.must(rotated(l, 7, "Alice", "one", "two"))
	if _, ok := l.SSO(hashed("one")); ok {
		t.Error("the old id still finds the session")
	}
	x, ok := l.SSO(hashed("two"))
	if !ok || len(x.Visits) != 1 || x.Visits[0].Client != "wiki" {
		t.Errorf("what it visited is lost: %+v, %v", x, ok)
	}
	l.void(event.CodeMissing, "another id by now", used(7, "one", "shop"))
	l.void(event.CodeConflict, "another id by now", rotated(l, 7, "alice", "one", "three"))
	l.void(event.CodeConflict, "another person's", rotated(l, 7, "bob", "two", "three"))
	l.void(event.CodeConflict, "is over", rotated(l, 8, "alice", "two", "three"))
}

func TestSessionIsOverWithoutUseAndAfterItsLongestTime(t *testing.T) {
	l := newLog(t)
	l.must(user("alice"))
	l.must(began(l, 7, "alice", "one"))
	x, _ := l.SSO(hashed("one"))
	begin := x.Used
	grain := int64(state.SSOGrain(900))
	if x.Ends() != begin+900+grain || !x.Live(begin+900+grain-1) || x.Live(begin+900+grain) {
		t.Errorf("it ends at %d, having begun at %d", x.Ends(), begin)
	}
	// A record before the time counts it anew, and one after it is void.
	l.at.Time = time.Unix(x.Ends()-1, 0)
	l.must(used(7, "one", ""))
	if x, _ = l.SSO(hashed("one")); x.Ends() != min(x.NotAfter, x.Used+900+grain) || len(x.Visits) != 0 {
		t.Errorf("%+v", x)
	}
	l.at.Time = time.Unix(x.Ends(), 0)
	l.void(event.CodeMissing, "is over", used(7, "one", ""))
	l.void(event.CodeConflict, "is over", rotated(l, 7, "alice", "one", "two"))

	l.must(began(l, 8, "alice", "three"))
	for i := 0; ; i++ { // used all the time
		x, _ = l.SSO(hashed("three"))
		if !x.Live(l.at.Time.Unix() + 600) {
			break
		}
		l.at.Time = l.at.Time.Add(10 * time.Minute)
		l.must(used(8, "three", ""))
		if i > 10 {
			t.Fatal("a session that is used never ends")
		}
	}
	if x.Ends() != x.NotAfter {
		t.Errorf("it ends at %d, not at %d", x.Ends(), x.NotAfter)
	}
}

func TestExpiryEndsOnlyWhatIsOverByTheRecordsTime(t *testing.T) {
	l := newLog(t)
	l.must(user("alice"))
	l.must(began(l, 7, "alice", "one"))
	l.at.Time = l.at.Time.Add(10 * time.Minute)
	l.must(began(l, 8, "alice", "two"))
	late := l.at.Time.Add(time.Hour).Unix()
	if over := l.OverSSO(late, 10); len(over) != 2 {
		t.Fatalf("%d are over", len(over))
	}
	l.at.Time = l.at.Time.Add(8 * time.Minute)
	l.must(&event.SsoEnded{Sessions: []uint64{7, 8, 9}, Cause: uint32(event.SSOExpired)})
	l.end(7, "one", event.SSOExpired)
	l.end(8, "two", event.SSOLive)
}

func TestSessionsEndWithTheirPerson(t *testing.T) {
	for name, c := range map[string]struct {
		happens []proto.Message
		want    event.SSOEnd
	}{
		"deletion":     {[]proto.Message{&event.DocumentDeleted{Kind: "User", Name: "ALICE"}}, event.SSOPersonGone},
		"deactivation": {[]proto.Message{inactive("Alice")}, event.SSOPersonGone},
		"another change": {
			[]proto.Message{user("Alice")}, event.SSOLive,
		},
		"lock from one source": {[]proto.Message{failed("alice", 1, 0), failed("alice", 1, 0)}, event.SSOLive},
		"lock everywhere":      {[]proto.Message{failed("alice", 1, 0), failed("alice", 2, 0), failed("alice", 3, 0)}, event.SSOLocked},
		"lock of a factor":     {[]proto.Message{failed("alice", 1, 7), failed("alice", 2, 7), failed("alice", 3, 7)}, event.SSOLive},
		"logout":               {[]proto.Message{&event.SsoEnded{Sessions: []uint64{7}, Cause: uint32(event.SSOLoggedOut)}}, event.SSOLoggedOut},
		"administrator":        {[]proto.Message{&event.SsoEnded{Sessions: []uint64{7}, Cause: uint32(event.SSOClosed), By: "root"}}, event.SSOClosed},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLog(t)
			l.must(user("Alice"))
			l.must(user("bob"))
			l.must(began(l, 7, "alice", "one"))
			l.must(began(l, 8, "bob", "two"))
			l.must(used(7, "one", "wiki"))
			for _, m := range c.happens {
				l.must(m)
			}
			l.end(7, "one", c.want)
			l.end(8, "two", event.SSOLive)
			if c.want == event.SSOLive {
				return
			}
			if x, _ := l.SSONumbered(7); len(x.Visits) != 1 {
				t.Error("what it visited is forgotten before anybody could be told")
			}
			l.void(event.CodeMissing, "none of the sessions", &event.SsoEnded{Sessions: []uint64{7}, Cause: uint32(event.SSOLoggedOut)})
			l.at.Time = l.at.Time.Add(time.Minute)
			l.must(&event.TombstonesSwept{BeforeUnix: l.at.Time.Unix()})
			if _, ok := l.SSONumbered(7); ok || len(l.SSOOf("alice")) != 0 {
				t.Error("it is remembered for ever")
			}
		})
	}
}

// failed returns a failure of two that lock out a source, and three a name.
func failed(name string, source uint64, apart uint32) *event.LoginFailed {
	return &event.LoginFailed{Name: []byte(name), Source: source, Factor: apart, Apart: apart != 0, Attempts: 2, Total: 3, Window: 900, Duration: 600}
}

func TestNobodySwitchedOffGetsASession(t *testing.T) {
	l := newLog(t)
	l.must(inactive("alice"))
	l.void(event.CodeConflict, "is not active", began(l, 7, "alice", "one"))
	l.void(event.CodeConflict, "is not active", trusted(l, "alice", "d1", time.Hour))
}

func TestSessionUsedLeastRecentlyMakesRoom(t *testing.T) {
	l := newLog(t)
	l.must(user("alice"))
	for i := range uint64(state.MaxSSO) {
		l.must(began(l, i+1, "alice", fmt.Sprint(i+1)))
	}
	l.must(used(1, "1", ""))
	l.must(began(l, 1000, "alice", "another"))
	l.end(1, "1", event.SSOLive)
	l.end(2, "2", event.SSOCrowdedOut)
	l.end(3, "3", event.SSOLive)
	l.end(1000, "another", event.SSOLive)
}

func TestSessionsAreListedInPages(t *testing.T) {
	l := newLog(t)
	l.must(user("alice"))
	l.must(user("bob"))
	for i := range uint64(50) {
		l.must(began(l, 1000-i, []string{"alice", "bob"}[i%2], fmt.Sprint(i)))
	}
	l.must(&event.SsoEnded{Sessions: []uint64{990}, Cause: uint32(event.SSOClosed)})
	for ended, want := range map[bool]int{false: 49, true: 50} {
		var numbers []uint64
		for after := uint64(0); ; {
			page := l.SSOPage(after, 7, ended)
			for i := range page {
				numbers = append(numbers, page[i].Number)
			}
			if len(page) < 7 {
				break
			}
			after = page[6].Number
		}
		for i := range numbers {
			if i > 0 && numbers[i] <= numbers[i-1] {
				t.Fatalf("page out of order: %d", numbers)
			}
		}
		if len(numbers) != want {
			t.Errorf("%d sessions in pages, want %d", len(numbers), want)
		}
	}
	if n := len(l.SSOOf("ALICE")); n != 25 {
		t.Errorf("alice has %d", n)
	}
}

func trusted(l *log, user, id string, life time.Duration) *event.DeviceTrusted {
	hash := hashed(id)
	return &event.DeviceTrusted{User: user, Id: id, Hash: hash[:], Label: "laptop", NotAfterUnix: l.at.Time.Add(life).Unix(), Limit: 3, Login: 5}
}

// devices returns the ids of a user's trusted devices.
func (l *log) devices(name string) (ids []string) {
	l.t.Helper()
	var u state.User
	if !l.User(&u, []byte(name)) {
		l.t.Fatal("no user")
	}
	for _, d := range l.TrustedDevices(u.ID) {
		ids = append(ids, d.ID)
	}
	return ids
}

func TestTrustedDevicesAreFewRevocableAndOverSomeDay(t *testing.T) {
	l := newLog(t)
	l.must(user("alice"))
	l.void(event.CodeConflict, "is over already", trusted(l, "alice", "d0", 0))
	l.void(event.CodeMissing, "does not exist", trusted(l, "bob", "d0", time.Hour))
	for _, id := range []string{"d1", "d2", "d3"} {
		l.must(trusted(l, "alice", id, time.Hour))
	}
	e := began(l, 7, "alice", "one")
	e.Device = "d1"
	l.must(e)
	l.must(trusted(l, "alice", "d4", time.Minute))
	if got := fmt.Sprint(l.devices("alice")); got != "[d1 d3 d4]" {
		t.Errorf("devices %s: the one that was used least recently makes room", got)
	}
	l.must(&event.DeviceDistrusted{User: "Alice", Id: "d3", By: "root"})
	l.void(event.CodeMissing, "no trusted device d3", &event.DeviceDistrusted{User: "alice", Id: "d3"})
	if got := fmt.Sprint(l.devices("alice")); got != "[d1 d4]" {
		t.Errorf("devices %s", got)
	}
	l.at.Time = l.at.Time.Add(10 * time.Minute)
	l.must(&event.TombstonesSwept{BeforeUnix: l.at.Time.Unix()})
	if got := fmt.Sprint(l.devices("alice")); got != "[d1]" {
		t.Errorf("devices %s: one of them is over", got)
	}
	l.must(&event.DeviceDistrusted{User: "alice"})
	if got := l.devices("alice"); len(got) != 0 {
		t.Errorf("devices %s", got)
	}
	l.must(trusted(l, "alice", "d5", time.Hour))
	l.must(&event.DocumentDeleted{Kind: "User", Name: "alice"})
	l.must(user("alice"))
	if got := l.devices("alice"); len(got) != 0 {
		t.Errorf("devices %s of somebody who is no more", got)
	}
}

func TestSessionsAreTheSameAfterALoadAndFromTheirFacts(t *testing.T) {
	l := newLog(t)
	l.must(user("alice"))
	l.must(began(l, 7, "alice", "one"))
	l.must(began(l, 8, "alice", "two"))
	l.must(used(7, "one", "wiki"))
	l.must(rotated(l, 7, "alice", "one", "three"))
	l.must(trusted(l, "alice", "d1", time.Hour))
	l.must(&event.SsoEnded{Sessions: []uint64{8}, Cause: uint32(event.SSOLoggedOut)})
	again := l.reloaded()
	if again.Digest() != l.Digest() || len(again.SSOOf("alice")) != 2 {
		t.Errorf("%d sessions after a load", len(again.SSOOf("alice")))
	}
	if x, ok := again.SSO(hashed("three")); !ok || x.Number != 7 {
		t.Errorf("%+v, %v", x, ok)
	}
	replayed := state.New()
	for _, f := range l.facts {
		replayed.ApplyFact(f.at, f.data)
	}
	if replayed.Digest() != l.Digest() {
		t.Error("the facts of the log give other rows")
	}
}
