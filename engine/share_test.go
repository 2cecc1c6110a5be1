package engine

import (
	"fmt"
	"strings"
	"testing"

	"trine/engine/event"
)

// estate gives Alice 50 nested groups and 10 attributes, and the service provider 20 sharing policies over them.
func (r *rig) estate() {
	var docs strings.Builder
	var groups, rules []string
	for i := range 50 {
		parent := ""
		if i%10 > 0 {
			parent = fmt.Sprintf("{parent: group-%d}", i-1)
		}
		fmt.Fprintf(&docs, "---\nkind: Group\nname: group-%d\nspec: %s\n", i, parent)
		groups = append(groups, fmt.Sprintf("group-%d", i))
	}
	var values []string
	for i := range 10 {
		fmt.Fprintf(&docs, "---\nkind: AttributeDefinition\nname: attribute-%d\nspec: {radiusID: Attribute-%d}\n", i, i)
		values = append(values, fmt.Sprintf("attribute-%d: value", i))
		rules = append(rules, fmt.Sprintf("{attribute: attribute-%d}", i))
	}
	for i := range 20 {
		condition := [...]string{"any", "{attributeRequester: wlan}", "{principalName: Alice}", "{attributeValue: {attribute: attribute-1, value: value}}"}[i%4]
		fmt.Fprintf(&docs, "---\nkind: AttributePolicy\nname: policy-%d\nspec: {condition: %s, attributes: [%s]}\n", i, condition, strings.Join(rules, ", "))
	}
	fmt.Fprintf(&docs, "---\nkind: User\nname: Alice\nspec: {primaryGroup: staff, groups: [%s], attributes: {%s}}\n", strings.Join(groups, ", "), strings.Join(values, ", "))
	r.apply(strings.TrimPrefix(docs.String(), "---\n"))
}

func TestLoginWithGroupsAndPoliciesAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector empties pools at random")
	}
	r := newRig(t, nil)
	r.estate()
	r.quiet()
	q := r.alice()
	q.Done = silent{}
	if n := testing.AllocsPerRun(2000, func() { r.lane.Authenticate(q) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if q.Decision.Verdict != event.Accept || len(q.Decision.Released) != 10 {
		t.Errorf("%+v", q.Decision)
	}
}

// BenchmarkEstate measures what 50 groups, 10 attributes and 20 sharing policies add to a PAP login. The clear password is compared after
// it is opened; an estate of none has the house's one group, policy and attribute.
func BenchmarkEstate(b *testing.B) {
	for _, c := range []struct {
		name    string
		arrange func(r *rig)
	}{
		{"none", func(r *rig) {
			r.apply("{kind: User, name: Alice}")
			r.delete("AttributePolicy", "rooms")
		}},
		{"50 groups, 10 attributes, 20 policies", (*rig).estate},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := newRig(b, nil)
			c.arrange(r)
			r.quiet()
			q := r.alice()
			b.ReportAllocs()
			for b.Loop() {
				if !r.lane.Authenticate(q) || q.Decision.Verdict != event.Accept {
					b.Fatal(q.Decision)
				}
			}
		})
	}
}
