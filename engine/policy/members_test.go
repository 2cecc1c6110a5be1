package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

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

// TestGroupsAreFoundWhateverTheirSymbols gives people many groups, with symbols of one to three bytes, some of which give something, and compares
// with the same people whose groups are found by name.
func TestGroupsAreFoundWhateverTheirSymbols(t *testing.T) {
	const groups = 300
	r := newRig(t)
	var docs []string
	names := make([]string, groups)
	for i := range names {
		names[i] = fmt.Sprint("g", i)
		limit := 0
		if i%7 == 3 {
			limit = i
		}
		if i%5 > 0 { // the others do not exist
			docs = append(docs, fmt.Sprintf("{kind: Group, name: g%d, spec: {sessions: {limit: %d}}}\n", i, limit))
		}
	}
	r.apply(t, strings.Join(docs, "---\n"))
	texts := make([]string, 17_000)
	for i := range texts {
		texts[i] = fmt.Sprint("other", i)
	}
	symbolOf := func(group uint32) uint32 { // a third has symbols of each length
		return [...]uint32{0, 200, 16_500}[group/(groups/3)] + group%(groups/3)
	}
	for i, name := range names {
		texts[symbolOf(uint32(i))] = name
	}
	symbols, others := state.NewSymbols(texts...), state.NewSymbols(texts...)
	giving := func(u *state.User) (list []string) {
		for _, g := range personOf(r.cache(), u).giving {
			list = append(list, g.Name)
		}
		return list
	}
	giving(&state.User{Symbols: symbols})
	rapid.Check(t, func(t *rapid.T) {
		which := rapid.Permutation(rapid.SliceOfNDistinct(rapid.Uint32Range(0, groups-1), 0, 60, rapid.ID[uint32]).Draw(t, "groups")).Draw(t, "order")
		if bytes := rapid.Uint32Range(0, 5).Draw(t, "bytes"); bytes < 3 { // all of one length
			which = slices.DeleteFunc(which, func(n uint32) bool { return n/(groups/3) != bytes })
		}
		var list []uint32
		for _, n := range which {
			list = append(list, symbolOf(n))
		}
		u := &state.User{Symbols: symbols, Groups: state.NewSymbolList(list...)}
		other := &state.User{Symbols: others, Groups: u.Groups}
		primary := uint32(groups)
		if len(which) > 0 && rapid.Bool().Draw(t, "primary") {
			primary = rapid.SampledFrom(which).Draw(t, "which")
			u.PrimaryGroup, u.PrimarySymbol = []byte(names[primary]), symbolOf(primary)+1
			other.PrimaryGroup = u.PrimaryGroup
		}
		var want []string
		add := func(n uint32) {
			if n%5 > 0 && n%7 == 3 && !slices.Contains(want, names[n]) {
				want = append(want, names[n])
			}
		}
		if primary < groups {
			add(primary)
		}
		for _, n := range which {
			add(n)
		}
		for range 2 { // found, then known
			if got := giving(u); !slices.Equal(got, want) {
				t.Fatalf("%v give something, want %v", got, want)
			}
			if got := giving(other); !slices.Equal(got, want) {
				t.Fatalf("by name %v give something, want %v", got, want)
			}
		}
		p := personOf(r.cache(), u)
		for n := range uint32(groups) {
			if g := r.cache().Group([]byte(names[n])); g != nil && p.In(g.number) != slices.Contains(which, n) {
				t.Fatalf("in %s: %v", names[n], p.In(g.number))
			}
		}
	})
}
