package policy

import (
	"fmt"
	"strings"
	"testing"

	"trine/engine/state"
)

// TestGroupChangeReachesEveryMember changes the top of 50 nested groups among 10,000. What a member has is read from his groups when he
// logs in, so the change has reached everybody, however many there are, once these 50 are linked: the work is asserted, and no time.
func TestGroupChangeReachesEveryMember(t *testing.T) {
	const chains, depth = 200, 50
	var docs strings.Builder
	docs.WriteString("kind: Role\nname: new@erp\n")
	for i := range 20 {
		fmt.Fprintf(&docs, "---\nkind: Role\nname: r%d@erp\n", i)
	}
	for chain := range chains {
		for level := range depth {
			parent := ""
			if level > 0 {
				parent = fmt.Sprintf("parent: g%d-%d, ", chain, level-1)
			}
			fmt.Fprintf(&docs, "---\nkind: Group\nname: g%d-%d\nspec: {%sroles: [{role: r%d@erp}]}\n", chain, level, parent, level%20)
		}
	}
	r := newRig(t)
	r.apply(t, docs.String())
	member := &state.User{Name: []byte("alice"), PrimaryGroup: []byte("g7-49")}
	var groups []string
	for level := range depth {
		groups = append(groups, fmt.Sprintf("g7-%d", level), fmt.Sprintf("g8-%d", level))
	}
	memberOf(member, groups...)
	if p := personOf(r.cache(), member); len(p.giving) != 100 || len(p.Roles()) != 20 {
		t.Fatalf("%d groups, %d roles", len(p.giving), len(p.Roles()))
	}
	before := r.compiler.Stats()
	r.apply(t, "kind: Group\nname: g7-0\nspec: {roles: [{role: new@erp}]}\n")
	after := r.compiler.Stats()
	if compiled, relinked := after.Compiled-before.Compiled, after.Relinked-before.Relinked; compiled != 1 || relinked != depth-1 {
		t.Errorf("%d compiled, %d relinked, want 1 and %d", compiled, relinked, depth-1)
	}
	t.Logf("the change of a group among %d took %s", chains*depth, after.Last)
	for _, c := range []struct {
		group string
		has   bool
	}{{"g7-0", true}, {"g7-49", true}, {"g8-49", false}} {
		p := personOf(r.cache(), &state.User{PrimaryGroup: []byte(c.group)})
		if has := strings.Contains(fmt.Sprintf("%s", p.Roles()), "new@erp"); has != c.has {
			t.Errorf("a member of %s has the new role: %v", c.group, has)
		}
	}
	var p Person
	c := r.cache()
	c.Person(&p, member, 0)
	if n := testing.AllocsPerRun(100, func() { c.Person(&p, member, 0) }); n != 0 {
		t.Errorf("%v allocations for a member of 100 groups", n)
	}
}

func BenchmarkPersonIn50Groups(b *testing.B) {
	for _, roles := range []int{0, 20} {
		b.Run(fmt.Sprintf("%d roles", roles), func(b *testing.B) {
			var docs strings.Builder
			for i := range roles {
				fmt.Fprintf(&docs, "kind: Role\nname: r%d@erp\n---\n", i)
			}
			u := &state.User{PrimaryGroup: []byte("group-0")}
			var groups []string
			for i := range 50 {
				list := ""
				if roles > 0 {
					list = fmt.Sprintf("spec: {roles: [{role: r%d@erp}]}", i%roles)
				}
				fmt.Fprintf(&docs, "kind: Group\nname: group-%d\n%s\n---\n", i, list)
				groups = append(groups, fmt.Sprintf("group-%d", i))
			}
			memberOf(u, groups...)
			r := newRig(b)
			r.apply(b, strings.TrimSuffix(docs.String(), "---\n"))
			c := r.cache()
			var p Person
			b.ReportAllocs()
			for b.Loop() {
				c.Person(&p, u, 0)
			}
		})
	}
}
