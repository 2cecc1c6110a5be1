package attribute

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"trine/engine/document"
)

// drawCondition makes a condition over a small vocabulary, so that tests are often true.
func drawCondition(t *rapid.T, depth int) *document.Condition {
	leaves := []*document.Condition{
		anyCase(), is(document.TestAttributeRequester, "sp"), is(document.TestAttributeRequester, "other"), is(document.TestAttributeIssuer, "idp"),
		{Test: document.TestRequesterInGroup, Group: "campus"},
		is(document.TestPrincipalName, "alice"), is(document.TestPrincipalName, "bob"),
		is(document.TestAuthenticationMethod, "P"), value("floor", "3"), value("groups", "nowhere"),
		{Test: document.TestExpression, Value: `userName == "alice"`},
		{Test: document.TestExpression, Value: `userName == "bob"`},
	}
	kind := 0
	if depth > 0 {
		kind = rapid.IntRange(0, 4).Draw(t, "kind")
	}
	switch kind {
	case 2:
		return not(drawCondition(t, depth-1))
	case 3, 4:
		var terms []*document.Condition
		for range rapid.IntRange(1, 3).Draw(t, "terms") {
			terms = append(terms, drawCondition(t, depth-1))
		}
		if kind == 3 {
			return and(terms...)
		}
		return or(terms...)
	}
	return rapid.SampledFrom(leaves).Draw(t, "leaf")
}

// TestAViewReleasesWhatThePoliciesSay compares with the rules of the specification taken word by word.
func TestAViewReleasesWhatThePoliciesSay(t *testing.T) {
	names := []string{"uid", "floor", "company", "email", "unheardOf"}
	rapid.Check(t, func(t *rapid.T) {
		w := world{}
		var specs []*document.AttributePolicy
		var policies []*Policy
		for i := range rapid.IntRange(0, 4).Draw(t, "policies") {
			spec := &document.AttributePolicy{Condition: drawCondition(t, 3)}
			for range rapid.IntRange(0, 4).Draw(t, "rules") {
				r := document.AttributeRule{Attribute: rapid.SampledFrom(names).Draw(t, "name"), Allow: rapid.IntRange(0, 3).Draw(t, "allow") > 0}
				if rapid.Bool().Draw(t, "conditional") {
					r.Condition = drawCondition(t, 2)
				}
				spec.Attributes = append(spec.Attributes, r)
			}
			specs = append(specs, spec)
			policies = append(policies, NewPolicy(fmt.Sprint("p", i), spec, w.definition))
		}
		sp, idp := &Party{PublicID: "sp", Group: "campus"}, &Party{PublicID: "idp"}
		f := Facts{Subject: alice(), Principal: []byte("alice"), Authentication: Password, Requester: sp, Issuer: idp}
		if rapid.Bool().Draw(t, "together") {
			for _, n := range names {
				w.definition(n)
			}
			f.Customs = NewCustoms(maps.Values(w))
		}
		holds := func(c *document.Condition) bool {
			compiled, err := NewCondition("AttributePolicy p", c, w.definition)
			if err != nil {
				t.Fatal(err)
			}
			return compiled.Eval(&f)
		}

		allowed, hidden := map[string]bool{}, map[string]bool{}
		for _, spec := range specs {
			if !holds(spec.Condition) {
				continue
			}
			for _, r := range spec.Attributes {
				if !r.Allow {
					hidden[r.Attribute] = true
				} else if holds(r.Condition) {
					allowed[r.Attribute] = true
				}
			}
		}
		var want []string
		for _, n := range names {
			if values := joinValues(f.Values(w.definition(n))); allowed[n] && !hidden[n] && values != "" {
				want = append(want, n+"="+values)
			}
		}
		slices.Sort(want)
		if got := released(NewView(policies, sp, idp, nil), &f); got != strings.Join(want, " ") {
			t.Fatalf("released %q, want %q", got, strings.Join(want, " "))
		}
	})
}
