package engine

import (
	"flag"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"trine/engine/credential"
	"trine/engine/event"
	"trine/engine/state"
	"trine/engine/trace"
)

// Each member is in so many groups, a fifth of which stand below one another: the change of one at the top concerns those below it.
const (
	memberGroups = 100
	memberDepth  = memberGroups / 5
)

// members makes so many people who are in 100 groups each, a service provider that requires a role which none of these gives, and a password
// for the first of them.
func (r *rig) members(people int) {
	r.t.Helper()
	docs := office + "---\n" + requiring("requiredRoles: [admin@erp]")
	m := &event.UserSpec{PrimaryGroup: "g-0"}
	put := &event.DocumentPut{Kind: "User"}
	for i := range memberGroups {
		parent := ""
		if i%memberDepth > 0 {
			parent = fmt.Sprintf("parent: g-%d, ", i-1)
		}
		docs += fmt.Sprintf("\n---\n{kind: Group, name: g-%d, spec: {%sroles: [{role: clerk@erp}]}}", i, parent)
		m.Groups = append(m.Groups, fmt.Sprintf("g-%d", i))
		put.Refs = append(put.Refs, fmt.Sprintf("Group/g-%d", i))
	}
	r.apply(docs)
	var err error
	if put.Spec, err = proto.Marshal(m); err != nil {
		r.t.Fatal(err)
	}
	const together = 1000
	for first := 0; first < people; first += together {
		var b event.Builder
		for i := first; i < min(first+together, people); i++ {
			put.Name = fmt.Sprintf("member-%d", i)
			put.Claims = []string{"login/" + put.Name}
			if err := b.Add(event.TypeDocumentPut, event.ClassIdentity, nil, put); err != nil {
				r.t.Fatal(err)
			}
		}
		r.log.at.Index++
		if res := r.people.Apply(r.log.at, b.Bytes()); res.Code != 0 {
			r.t.Fatalf("void: %s", res.Detail)
		}
	}
	r.password("member-0", "member", credential.Keep{Clear: true})
}

// promotion gives the role that the service provider requires to a group at the top, or takes it away.
func promotion(given bool) string {
	role := "clerk@erp"
	if given {
		role = "admin@erp"
	}
	return "{kind: Group, name: g-0, spec: {roles: [{role: " + role + "}]}}"
}

// TestChangeOfAGroupIsMetByTheNextLoginOfEveryMember counts what a change costs: the group and those below it are compiled or linked anew, and
// no person is touched, so that it costs the same whatever their number.
func TestChangeOfAGroupIsMetByTheNextLoginOfEveryMember(t *testing.T) {
	const people = 300
	r := newRig(t, nil)
	r.members(people)
	for i := range people {
		r.password(fmt.Sprintf("member-%d", i), "member", credential.Keep{Clear: true})
	}
	everybody := func(verdict event.Verdict, reason trace.Reason) {
		t.Helper()
		for i := range people {
			if d := r.decide(r.request(fmt.Sprintf("member-%d", i), "member")); d.Verdict != verdict || d.Reason != reason {
				t.Fatalf("member %d: %s %s", i, d.Verdict, d.Reason)
			}
		}
	}
	versions := func() (sum uint64) {
		var u state.User
		for i := range people {
			r.people.UserNamed(&u, fmt.Sprintf("member-%d", i))
			sum += u.Version
		}
		return sum
	}
	everybody(event.Reject, trace.RoleMissing)
	for _, given := range []bool{true, false, true} {
		before, touched := r.compiler.Stats(), versions()
		r.apply(promotion(given))
		after := r.compiler.Stats()
		if compiled, relinked := after.Compiled-before.Compiled, after.Relinked-before.Relinked; compiled != 1 || relinked != memberDepth-1 {
			t.Errorf("%d compiled, %d linked anew, want 1 and %d", compiled, relinked, memberDepth-1)
		}
		if versions() != touched {
			t.Error("the change has touched people")
		}
		if given {
			everybody(event.Accept, trace.OK)
		} else {
			everybody(event.Reject, trace.RoleMissing)
		}
	}
}

var members = flag.Int("members", 100_000, "people of BenchmarkChangeOfAGroup")

// BenchmarkChangeOfAGroup measures from the proposal of a change of a group until the login of a member that meets it is decided, with few
// people and with many. `-members 1000000` needs some gigabytes and a minute to prepare.
func BenchmarkChangeOfAGroup(b *testing.B) {
	for _, people := range []int{1000, *members} {
		b.Run(fmt.Sprintf("%d people", people), func(b *testing.B) {
			r := newRig(b, nil)
			r.members(people)
			given := false
			for b.Loop() {
				given = !given
				r.apply(promotion(given))
				if d := r.decide(r.request("member-0", "member")); (d.Verdict == event.Accept) != given {
					b.Fatalf("%s %s", d.Verdict, d.Reason)
				}
			}
		})
	}
}
