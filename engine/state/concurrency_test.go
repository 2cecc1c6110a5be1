package state_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"trine/engine/event"
	"trine/engine/state"
)

func TestReadersSeeWholeRowsWhileApplyGoesOn(t *testing.T) {
	l := newLog(t)
	l.must(group("g0"), group("g1"))
	names := make([][]byte, 20)
	for i := range names {
		names[i] = fmt.Appendf(nil, "user%d", i)
		l.must(user(string(names[i]), fmt.Sprintf("g%d", i%2)))
	}
	alias := user("stays", "g0")
	alias.Claims = append(alias.Claims, "login/ally")
	l.must(alias)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	reader := func(read func(i int)) {
		readers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					read(i)
				}
			}
		})
	}
	var u state.User
	reader(func(i int) {
		name := names[i%len(names)]
		if l.User(&u, name) && (string(u.Name) != string(name) || !strings.HasSuffix(string(u.FirstName), string(name))) {
			t.Errorf("asked for %s, found %s, %s", name, u.Name, u.FirstName)
		}
	})
	var stays state.User
	reader(func(int) {
		if !l.User(&stays, []byte("ally")) || !l.UserNamed(&stays, "stays") {
			t.Error("a user who is only changed is not found")
		}
	})
	var x state.Session
	reader(func(i int) {
		id := sessionID(fmt.Sprint("s", i%10))
		if l.Session(&x, id) && (x.ID != id || x.InputOctets != x.OutputOctets || string(x.NAS) != "ap1") {
			t.Errorf("session %+v", x)
		}
		l.CountSessions("alice", start)
	})
	reader(func(int) {
		page, _ := l.Sessions(state.SessionQuery{User: "alice", Limit: 5})
		for i := range page {
			if string(page[i].User) != "alice" {
				t.Errorf("found %+v", page[i])
			}
		}
		for _, d := range l.Documents("User", "user1", 5) {
			if d.Kind != "User" {
				t.Errorf("listed %+v", d)
			}
		}
		l.StaleSessions(start, 5)
		l.Counts()
		l.Document("Group", "g1")
		l.Holder("login/user1")
	})
	for round := range 300 {
		name := string(names[round%len(names)])
		if round%3 == 0 && l.Version("User", name) != 0 {
			l.must(&event.DocumentDeleted{Kind: "User", Name: name})
		} else {
			l.must(user(name, "g1"), &event.PasswordSet{User: name, Argon2Id: []byte(name)})
		}
		l.must(alias, &event.PasswordSet{User: "stays"})
		v := record(uint32(1+round%3), fmt.Sprint("s", round%10), 0)
		v.EventUnix += int64(round)
		v.InputOctets, v.OutputOctets = uint64(round), uint64(round)
		v.Key = event.AccountingKey(v, true)
		l.propose(v)
		if round%20 == 0 {
			f, want := l.Freeze(), l.Digest()
			done := make(chan struct{})
			go func() {
				defer close(done)
				copied := state.New()
				var keys, values [][]byte
				if err := f.Rows(true, func(k, v []byte) error {
					keys, values = append(keys, append([]byte(nil), k...)), append(values, append([]byte{}, v...))
					return nil
				}); err != nil {
					t.Error(err)
				}
				i := 0
				err := copied.Load(func() (k, v []byte, ok bool, err error) {
					if i == len(keys) {
						return nil, nil, false, nil
					}
					i++
					return keys[i-1], values[i-1], true, nil
				})
				if err != nil || copied.Digest() != want || f.Digest() != want {
					t.Errorf("frozen rows make digest %x, %v; want %x", copied.Digest(), err, want)
				}
			}()
			for i := range 5 {
				l.must(group(fmt.Sprint("extra", i)), user(fmt.Sprint("user", i)))
			}
			<-done
			f.Release(true)
		}
	}
	close(stop)
	readers.Wait()
}
