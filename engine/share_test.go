package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

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
// it is opened; an estate of none has the house's one group, policy and attribute. Where there are others, whose groups came first, the symbols of
// Alice's groups and attributes take two bytes each.
func BenchmarkEstate(b *testing.B) {
	b.Run("alone", func(b *testing.B) { benchmarkEstate(b, 0) })
	b.Run("among 400 others", func(b *testing.B) { benchmarkEstate(b, 400) })
}

// benchmarkEstate measures both in turn, a few milliseconds at a time, as the speed of the machine changes within a run: times is the median of how many
// times longer the one took than the other beside it. The nanoseconds are of the tenth that were least disturbed.
func benchmarkEstate(b *testing.B, others int) {
	const chunk = 1000
	estates := [...]func(r *rig){
		func(r *rig) {
			r.apply("{kind: User, name: Alice}")
			r.delete("AttributePolicy", "rooms")
		},
		(*rig).estate,
	}
	var requests [len(estates)]*Request
	var lanes [len(estates)]*Lane
	for i, arrange := range estates {
		r := newRig(b, nil)
		for n := range others {
			r.apply(fmt.Sprintf("{kind: Group, name: other-%d}\n---\n{kind: User, name: other-%d, spec: {groups: [other-%d]}}", n, n, n))
		}
		arrange(r)
		r.quiet()
		requests[i], lanes[i] = r.alice(), r.lane
	}
	var times [len(estates)][]time.Duration
	b.ReportAllocs()
	for b.Loop() {
		for i, q := range requests {
			begun := time.Now()
			for range chunk {
				if !lanes[i].Authenticate(q) || q.Decision.Verdict != event.Accept {
					b.Fatal(q.Decision)
				}
			}
			times[i] = append(times[i], time.Since(begun))
		}
	}
	ratios := make([]float64, len(times[0]))
	for i := range ratios {
		ratios[i] = float64(times[1][i]) / float64(times[0][i])
	}
	slices.Sort(ratios)
	var least [len(estates)]float64
	for i := range times {
		slices.Sort(times[i])
		least[i] = float64(times[i][len(times[i])/10]) / chunk
	}
	b.ReportMetric(least[0], "none-ns")
	b.ReportMetric(least[1], "estate-ns")
	b.ReportMetric(ratios[len(ratios)/2], "times")
}
