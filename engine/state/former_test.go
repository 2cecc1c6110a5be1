package state_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"trine/engine/event"
	"trine/engine/state"
)

func TestFormerPasswordsAreRememberedByTheirBestForm(t *testing.T) {
	l := newLog(t)
	l.must(user("alice"))
	former := func() (list []string) {
		var u state.User
		if !l.UserNamed(&u, "alice") {
			t.Fatal("no alice")
		}
		for _, f := range u.Former {
			list = append(list, fmt.Sprint(f[0], " ", string(f[1:])))
		}
		if text := fmt.Sprint(u.Former); strings.Contains(text, "keyed") {
			t.Errorf("a former password prints as %s", text)
		}
		return list
	}
	set := func(history uint32, p *event.PasswordSet) {
		t.Helper()
		p.User, p.History = "alice", history
		l.must(p)
	}
	set(3, &event.PasswordSet{Keyed: []byte("keyed 1"), Argon2Id: []byte("argon2id 1"), Nt: []byte("nt 1")})
	set(3, &event.PasswordSet{Argon2Id: []byte("argon2id 2"), Nt: []byte("nt 2")})
	set(3, &event.PasswordSet{Nt: []byte("nt 3"), Past: []byte("keyed 3")})
	set(3, &event.PasswordSet{Nt: []byte("nt 4")}) // set before there was a history: nothing to remember it by
	if got, want := former(), []string{"1 keyed 3", "2 argon2id 2", "1 keyed 1"}; !slices.Equal(got, want) {
		t.Fatalf("found %q, want %q", got, want)
	}
	set(3, &event.PasswordSet{Keyed: []byte("keyed 5")})
	l.must(&event.PasswordRemoved{User: "alice"})
	if got, want := former(), []string{"1 keyed 5", "1 keyed 3", "2 argon2id 2", "1 keyed 1"}; !slices.Equal(got, want) {
		t.Fatalf("after removal found %q, want %q", got, want)
	}
	set(2, &event.PasswordSet{Keyed: []byte("keyed 6")})
	if got, want := former(), []string{"1 keyed 5", "1 keyed 3"}; !slices.Equal(got, want) {
		t.Fatalf("with a shorter history found %q, want %q", got, want)
	}
	set(0, &event.PasswordSet{Keyed: []byte("keyed 7")})
	if got := former(); len(got) != 0 {
		t.Fatalf("without a history found %q", got)
	}
	for i := range 2 * state.MaxFormer {
		set(1<<31, &event.PasswordSet{Keyed: fmt.Append(nil, "keyed ", i)})
	}
	if n := len(former()); n != state.MaxFormer {
		t.Errorf("%d former passwords are remembered", n)
	}
}
