package policy

import (
	"testing"

	"trine/engine/state"
)

// TestGroupsAreFoundBySymbolsAsTheyAreNow changes groups below people who have logged in, and asks for people with symbols of their own.
func TestGroupsAreFoundBySymbolsAsTheyAreNow(t *testing.T) {
	r := newRig(t)
	r.apply(t, "{kind: Group, name: staff, spec: {sessions: {limit: 3}}}\n---\n{kind: Group, name: plain}\n")
	symbols := state.NewSymbols("plain", "staff", "later")
	alice := &state.User{Symbols: symbols, Groups: state.NewSymbolList(0, 1, 2)}
	drafted := &state.User{Symbols: state.NewSymbols("staff"), Groups: state.NewSymbolList(0)}
	check := func(what string, u *state.User, limit int, in ...string) {
		t.Helper()
		c := r.cache()
		for range 2 { // found, then known
			p := personOf(c, u)
			if got := p.SessionLimit(nil); got != limit {
				t.Errorf("%s: limit %d, want %d", what, got, limit)
			}
			for _, name := range []string{"plain", "staff", "later"} {
				want := false
				for _, one := range in {
					want = want || one == name
				}
				if g := c.Group([]byte(name)); g != nil && p.In(g.number) != want {
					t.Errorf("%s: member of %s: %v", what, name, !want)
				}
			}
		}
	}
	check("at first", alice, 3, "plain", "staff")
	check("symbols of his own", drafted, 3, "staff")
	r.apply(t, "{kind: Group, name: later, spec: {sessions: {limit: 2}}}\n")
	check("a group more", alice, 2, "plain", "staff", "later")
	r.apply(t, "{kind: Group, name: plain, spec: {sessions: {limit: 1}}}\n")
	check("a group that gives something now", alice, 1, "plain", "staff", "later")
	r.apply(t, "{kind: Group, name: staff, spec: {sessions: {limit: 9}}}\n", "Group/later", "Group/plain")
	check("groups less", alice, 9, "staff")
	check("symbols of his own, later", drafted, 9, "staff")

	*symbols = *state.NewSymbols(append(make([]string, 100), "staff")...)
	check("symbols that came later", &state.User{Symbols: symbols, Groups: state.NewSymbolList(100)}, 9, "staff")
}
