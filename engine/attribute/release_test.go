package attribute

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"trine/engine/document"
	"trine/engine/state"
	"trine/engine/trace"
)

// person is a Subject made of plain values.
type person struct {
	fields map[Field][]byte
	names  map[Field][][]byte
	custom map[string][][]byte
}

func (p *person) Number() uint64 { return 7 }

func (p *person) Field(f Field) []byte { return p.fields[f] }

func (p *person) AppendNames(dst [][]byte, f Field) [][]byte {
	if f == FieldCustom {
		for name := range p.custom {
			dst = append(dst, []byte(name))
		}
		return dst
	}
	return append(dst, p.names[f]...)
}

func (p *person) AppendCustoms(values [][]byte, spans []state.Span, mark uint32, asked *state.SymbolTable) [][]byte {
	for name, list := range p.custom {
		if n := int(asked.Find([]byte(name))); n <= len(spans) {
			spans[n-1] = state.Span{Mark: mark, From: int32(len(values)), To: int32(len(values) + len(list))}
			values = append(values, list...)
		}
	}
	return values
}

func (p *person) AppendCustom(dst [][]byte, name string) [][]byte {
	return append(dst, p.custom[name]...)
}

func texts(values ...string) [][]byte {
	out := make([][]byte, len(values))
	for i, v := range values {
		out[i] = []byte(v)
	}
	return out
}

func alice() *person {
	return &person{
		fields: map[Field][]byte{
			FieldUserName: []byte("alice"), FieldFirstName: []byte("Alice"), FieldLastName: []byte("Liddell"), FieldShortName: []byte("al"),
			FieldMail: []byte("alice"), FieldMailDomain: []byte("example.org"), FieldMobile: []byte("+4412345"), FieldPrimaryGroup: []byte("staff"),
			FieldDirectoryDN: []byte("cn=alice"), FieldUserType: []byte("internal"),
		},
		names:  map[Field][][]byte{FieldGroups: texts("it", "staff", "vpn"), FieldAliases: texts("al@x")},
		custom: map[string][][]byte{"company": texts("Wonder Ltd", "Tea Party"), "floor": texts("3")},
	}
}

func definition(name string, slot int) *Definition {
	return NewDefinition(name, new(document.AttributeDefinition), slot)
}

func TestBuiltInSources(t *testing.T) {
	for _, test := range []struct{ name, want string }{
		{"uid", "alice"},
		{"userName", "alice"},
		{"user_name", "alice"},
		{"shortName", "al"},
		{"Full Name", "Alice Liddell"},
		{"given_name", "Alice"},
		{"surname", "Liddell"},
		{"email", "alice@example.org"},
		{"PHONE", "+4412345"},
		{"groups", "staff|it|vpn"},
		{"primaryGroup", "staff"},
		{"userType", "internal"},
		{"directoryDN", "cn=alice"},
		{"aliases", "al@x"},
		{"eduPersonPrincipalName", "alice@example.org"},
		{"company", "Wonder Ltd|Tea Party"},
		{"Company", ""}, // custom attributes are named exactly
		{"unheardOf", ""},
		{"member_of", "reader@erp|admin@net"},
		{"roles", "reader@erp|admin@net"},
		{"subject-id", ""}, // coming
	} {
		t.Run(test.name, func(t *testing.T) {
			var f Facts
			f.Subject, f.Roles = alice(), texts("reader@erp", "admin@net")
			if got := joinValues(f.Values(definition(test.name, 0))); got != test.want {
				t.Errorf("values %q, want %q", got, test.want)
			}
		})
	}
}

func TestBuiltInSourcesOfAPersonWhoHasNothing(t *testing.T) {
	for _, test := range []struct{ name, want string }{
		{"uid", ""}, {"fullName", ""}, {"email", ""}, {"groups", ""}, {"userType", "default"}, {"upn", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var f Facts
			f.Subject = &person{}
			if got := joinValues(f.Values(definition(test.name, 0))); got != test.want {
				t.Errorf("values %q, want %q", got, test.want)
			}
		})
	}
}

func TestFullNameIsTheOneThatIsSet(t *testing.T) {
	var f Facts
	p := alice()
	p.fields[FieldFullName] = []byte("A. Liddell")
	f.Subject = p
	if got := joinValues(f.Values(definition("fullName", 0))); got != "A. Liddell" {
		t.Errorf("values %q", got)
	}
}

func TestASourceMayHaveAnotherNameThanTheDefinition(t *testing.T) {
	var f Facts
	f.Subject = alice()
	d := NewDefinition("vlan", &document.AttributeDefinition{Source: "floor"}, 3)
	if got := joinValues(f.Values(d)); got != "3" {
		t.Errorf("values %q, want 3", got)
	}
	d = NewDefinition("vlan", &document.AttributeDefinition{Source: "uid"}, 4)
	if got := joinValues(f.Values(d)); got != "alice" {
		t.Errorf("values %q, want alice", got)
	}
}

func TestResetForgetsThePersonBefore(t *testing.T) {
	var f Facts
	d := definition("uid", 0)
	f.Subject = alice()
	f.Values(d)
	f.Reset()
	f.Subject = &person{fields: map[Field][]byte{FieldUserName: []byte("bob")}}
	if got := joinValues(f.Values(d)); got != "bob" {
		t.Errorf("values %q, want bob", got)
	}
	f.generation = ^uint32(0) // the count wraps
	f.spans[0].Mark = 1
	f.Reset()
	f.Subject = alice()
	if got := joinValues(f.Values(d)); got != "alice" {
		t.Errorf("values %q, want alice", got)
	}
}

func TestValuesOutliveTheGrowthOfBuffers(t *testing.T) {
	var f Facts
	f.Subject = alice()
	first := f.Values(definition("email", 0))
	for i := 1; i < 100; i++ {
		f.Values(definition("email", i))
	}
	if got := joinValues(first); got != "alice@example.org" {
		t.Errorf("values became %q", got)
	}
}

func joinValues(values [][]byte) string {
	var out []string
	for _, v := range values {
		out = append(out, string(v))
	}
	return strings.Join(out, "|")
}

// Shorthands for conditions.
func anyCase() *document.Condition { return &document.Condition{Test: document.TestAny} }

func not(c *document.Condition) *document.Condition {
	return &document.Condition{Test: document.TestNot, Terms: []*document.Condition{c}}
}

func and(terms ...*document.Condition) *document.Condition {
	return &document.Condition{Test: document.TestAnd, Terms: terms}
}

func or(terms ...*document.Condition) *document.Condition {
	return &document.Condition{Test: document.TestOr, Terms: terms}
}

func is(test document.Test, value string) *document.Condition {
	return &document.Condition{Test: test, Value: value}
}

func value(attribute, value string) *document.Condition {
	return &document.Condition{Test: document.TestAttributeValue, Name: attribute, Value: value}
}

// world is definitions with slots, looked up by name.
type world map[string]*Definition

func (w world) definition(name string) *Definition {
	if w[name] == nil {
		w[name] = definition(name, len(w))
	}
	return w[name]
}

func TestConditions(t *testing.T) {
	requester := &Party{
		PublicID: "https://sp.example.org", Group: "campus", NameIDFormats: []string{"persistent", "transient"},
		EntityAttributes: []EntityAttribute{{"category", "research"}, {"category", "library"}},
	}
	issuer := &Party{PublicID: "trine", Group: "home", NameIDFormats: []string{"transient"}, EntityAttributes: []EntityAttribute{{"loa", "high"}}}
	type c = document.Condition
	for _, test := range []struct {
		name string
		c    *document.Condition
		want bool
	}{
		{"no condition", nil, true},
		{"any", anyCase(), true},
		{"not any", not(anyCase()), false},
		{"and of true", and(anyCase(), anyCase()), true},
		{"and with one false", and(anyCase(), not(anyCase())), false},
		{"or with one true", or(not(anyCase()), anyCase()), true},
		{"or of false", or(not(anyCase()), not(anyCase())), false},
		{"not not", not(not(anyCase())), true},
		{"requester exact", is(document.TestAttributeRequester, "https://sp.example.org"), true},
		{"requester in another case", is(document.TestAttributeRequester, "https://SP.example.org"), false},
		{"requester ignoring case", &c{Test: document.TestAttributeRequester, Value: "https://SP.example.org", IgnoreCase: true}, true},
		{"requester regex", &c{Test: document.TestAttributeRequester, Regex: `https://.*\.example\.org`}, true},
		{"a regex matches the whole value", &c{Test: document.TestAttributeRequester, Regex: `example`}, false},
		{"a regex with alternatives matches the whole value", &c{Test: document.TestAttributeRequester, Regex: `https|sp`}, false},
		{"regex ignoring case", &c{Test: document.TestAttributeRequester, Regex: `HTTPS://.*`, IgnoreCase: true}, true},
		{"issuer exact", is(document.TestAttributeIssuer, "trine"), true},
		{"issuer is not the requester", is(document.TestAttributeIssuer, "https://sp.example.org"), false},
		{"issuer regex", &c{Test: document.TestAttributeIssuer, Regex: `tr.*`}, true},
		{"principal", is(document.TestPrincipalName, "alice"), true},
		{"principal ignoring case", &c{Test: document.TestPrincipalName, Value: "ALICE", IgnoreCase: true}, true},
		{"principal is somebody else", is(document.TestPrincipalName, "bob"), false},
		{"principal regex", &c{Test: document.TestPrincipalName, Regex: `a.*e`}, true},
		{"method by letter", is(document.TestAuthenticationMethod, "P"), true},
		{"method by class", is(document.TestAuthenticationMethod, "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"), true},
		{"another method", is(document.TestAuthenticationMethod, "PO"), false},
		{"method regex", &c{Test: document.TestAuthenticationMethod, Regex: `P.?`}, true},
		{"method regex on the class", &c{Test: document.TestAuthenticationMethod, Regex: `urn:.*:Password.*`}, true},
		{"value", value("uid", "alice"), true},
		{"value of a group", value("groups", "vpn"), true},
		{"any of many values", value("company", "Tea Party"), true},
		{"none of many values", value("company", "Tea"), false},
		{"value ignoring case", &c{Test: document.TestAttributeValue, Name: "company", Value: "TEA PARTY", IgnoreCase: true}, true},
		{"value regex", &c{Test: document.TestAttributeValue, Name: "company", Regex: `Tea.*`}, true},
		{"empty value matches no missing attribute", value("unheardOf", ""), false},
		{"requester in group", &c{Test: document.TestRequesterInGroup, Group: "campus"}, true},
		{"requester in another group", &c{Test: document.TestRequesterInGroup, Group: "home"}, false},
		{"issuer in group", &c{Test: document.TestIssuerInGroup, Group: "home"}, true},
		{"requester name id format", is(document.TestRequesterNameIDFormat, "persistent"), true},
		{"issuer name id format", is(document.TestIssuerNameIDFormat, "persistent"), false},
		{"requester entity attribute", &c{Test: document.TestRequesterEntityAttribute, Name: "category", Value: "library"}, true},
		{"requester entity attribute of another name", &c{Test: document.TestRequesterEntityAttribute, Name: "loa", Value: "library"}, false},
		{"issuer entity attribute regex", &c{Test: document.TestIssuerEntityAttribute, Name: "loa", Regex: `h.*`}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := world{}
			compiled, err := NewCondition("AttributePolicy p", test.c, w.definition)
			if err != nil {
				t.Fatal(err)
			}
			f := Facts{Subject: alice(), Principal: []byte("alice"), Authentication: Password, Requester: requester, Issuer: issuer}
			if got := compiled.Eval(&f); got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
			// Deciding beforehand what depends on the parties must not change the outcome.
			o, rest := compiled.reduce(requester, issuer)
			if got := o == always || o == open && rest.Eval(&f); got != test.want {
				t.Errorf("after reduction %v, want %v", got, test.want)
			}
		})
	}
}

func TestNobodySatisfiesNothing(t *testing.T) {
	for _, test := range []document.Test{
		document.TestAttributeRequester, document.TestAttributeIssuer, document.TestPrincipalName, document.TestAuthenticationMethod,
		document.TestRequesterInGroup, document.TestIssuerInGroup, document.TestIssuerNameIDFormat, document.TestRequesterNameIDFormat,
		document.TestIssuerEntityAttribute, document.TestRequesterEntityAttribute, document.TestAttributeValue,
	} {
		t.Run(string(test), func(t *testing.T) {
			for _, c := range []*document.Condition{{Test: test, Name: "uid"}, {Test: test, Name: "uid", Regex: ".*"}} {
				compiled, err := NewCondition("AttributePolicy p", c, world{}.definition)
				if err != nil {
					t.Fatal(err)
				}
				if compiled.Eval(new(Facts)) {
					t.Error("holds for nobody")
				}
			}
		})
	}
}

func TestAPartyWithoutAGroupIsInNoGroup(t *testing.T) {
	none := &Party{PublicID: "x"}
	for _, test := range []document.Test{document.TestRequesterInGroup, document.TestIssuerInGroup} {
		c, err := NewCondition("AttributePolicy p", &document.Condition{Test: test}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.Eval(&Facts{Requester: none, Issuer: none}) {
			t.Errorf("%s holds", test)
		}
	}
}

func TestAPolicyThatCanChangeNothingIsNotEvaluated(t *testing.T) {
	w := world{}
	sp := &Party{PublicID: "sp"}
	isAlice := is(document.TestPrincipalName, "alice")
	v := NewView([]*Policy{policy(w, "first", isAlice, allow("uid", nil)), policy(w, "second", isAlice, allow("uid", nil))}, sp, sp, nil)
	var steps trace.Trace
	steps.Start(time.Now())
	f := Facts{Subject: alice(), Principal: []byte("alice"), Trace: &steps}
	v.Release(nil, &f)
	for i := range steps.Len() {
		if s := steps.Step(i); s.Code == trace.PolicyMatched && string(s.Subject) != "first" {
			t.Errorf("%s was evaluated", s.Subject)
		}
	}
}

func TestBadConditionsAreRefused(t *testing.T) {
	deep := anyCase()
	for range maxDepth + 1 {
		deep = not(deep)
	}
	type c = document.Condition
	for _, test := range []struct {
		name string
		c    *document.Condition
		want string
	}{
		{"unknown test", &c{Test: "weather"}, `no test "weather"`},
		{"empty and", &c{Test: document.TestAnd}, "and has 0 terms"},
		{"not with two", &c{Test: document.TestNot, Terms: []*c{anyCase(), anyCase()}}, "not has 2 terms"},
		{"nil term", &c{Test: document.TestOr, Terms: []*c{nil}}, "empty term"},
		{"bad regex", &c{Test: document.TestPrincipalName, Regex: "a("}, `regular expression "a("`},
		{"unknown attribute", value("nothing", "x"), `no AttributeDefinition "nothing"`},
		{"too deep", deep, "nested more than"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := NewCondition("AttributePolicy p", test.c, func(string) *Definition { return nil })
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func policy(w world, name string, condition *document.Condition, rules ...document.AttributeRule) *Policy {
	return NewPolicy(name, &document.AttributePolicy{Condition: condition, Attributes: rules}, w.definition)
}

func allow(attribute string, c *document.Condition) document.AttributeRule {
	return document.AttributeRule{Attribute: attribute, Allow: true, Condition: c}
}

func deny(attribute string, c *document.Condition) document.AttributeRule {
	return document.AttributeRule{Attribute: attribute, Condition: c}
}

func released(v *View, f *Facts) string {
	var out []string
	for _, r := range v.Release(nil, f) {
		out = append(out, r.Attribute.Name+"="+joinValues(r.Values))
	}
	return strings.Join(out, " ")
}

func TestRelease(t *testing.T) {
	never := not(anyCase())
	isAlice, isBob := is(document.TestPrincipalName, "alice"), is(document.TestPrincipalName, "bob")
	forSP, forOther := is(document.TestAttributeRequester, "sp"), is(document.TestAttributeRequester, "other")
	w := world{}
	for _, test := range []struct {
		name     string
		policies []*Policy
		want     string
	}{
		{"no policy releases nothing", nil, ""},
		{"allowed", []*Policy{policy(w, "p", anyCase(), allow("uid", nil))}, "uid=alice"},
		{"in the order of names", []*Policy{policy(w, "p", anyCase(), allow("uid", nil), allow("company", nil), allow("floor", nil))}, "company=Wonder Ltd|Tea Party floor=3 uid=alice"},
		{"policies add up", []*Policy{policy(w, "p", anyCase(), allow("uid", nil)), policy(w, "q", isAlice, allow("floor", nil))}, "floor=3 uid=alice"},
		{"no rule, no release", []*Policy{policy(w, "p", anyCase())}, ""},
		{"the policy's condition is first", []*Policy{policy(w, "p", never, allow("uid", nil))}, ""},
		{"the policy's condition on the person", []*Policy{policy(w, "p", isBob, allow("uid", nil)), policy(w, "q", isAlice, allow("floor", nil))}, "floor=3"},
		{"the rule's condition on the requester", []*Policy{policy(w, "p", anyCase(), allow("uid", forOther), allow("floor", forSP))}, "floor=3"},
		{"the rule's condition on the person", []*Policy{policy(w, "p", anyCase(), allow("uid", isBob), allow("floor", isAlice))}, "floor=3"},
		{"both conditions must hold", []*Policy{policy(w, "p", isAlice, allow("uid", isBob))}, ""},
		{"hidden though allowed before", []*Policy{policy(w, "a", anyCase(), allow("uid", nil), allow("floor", nil)), policy(w, "b", anyCase(), deny("uid", nil))}, "floor=3"},
		{"hidden though allowed after", []*Policy{policy(w, "a", anyCase(), deny("uid", nil)), policy(w, "b", anyCase(), allow("uid", nil), allow("floor", nil))}, "floor=3"},
		{"hidden within one policy", []*Policy{policy(w, "a", anyCase(), allow("uid", nil), deny("uid", nil))}, ""},
		{"hidden for a person", []*Policy{policy(w, "a", anyCase(), allow("uid", nil)), policy(w, "b", isAlice, deny("uid", nil))}, ""},
		{"not hidden for another person", []*Policy{policy(w, "a", anyCase(), allow("uid", nil)), policy(w, "b", isBob, deny("uid", nil))}, "uid=alice"},
		{"not hidden for another requester", []*Policy{policy(w, "a", anyCase(), allow("uid", nil)), policy(w, "b", forOther, deny("uid", nil))}, "uid=alice"},
		{"hidden whatever the rule's own condition", []*Policy{policy(w, "a", anyCase(), allow("uid", nil)), policy(w, "b", anyCase(), deny("uid", never))}, ""},
		{"hidden for a person whatever the rule's own condition", []*Policy{policy(w, "a", isAlice, allow("uid", nil)), policy(w, "b", isAlice, deny("uid", isBob))}, ""},
		{"an empty attribute is not released", []*Policy{policy(w, "p", anyCase(), allow("unheardOf", nil), allow("uid", nil))}, "uid=alice"},
		{"released once by two policies", []*Policy{policy(w, "a", isAlice, allow("uid", nil)), policy(w, "b", isAlice, allow("uid", isAlice))}, "uid=alice"},
	} {
		t.Run(test.name, func(t *testing.T) {
			sp, idp := &Party{PublicID: "sp"}, &Party{PublicID: "idp"}
			f := Facts{Subject: alice(), Principal: []byte("alice"), Authentication: Password, Requester: sp, Issuer: idp}
			if got := released(NewView(test.policies, sp, idp, nil), &f); got != test.want {
				t.Errorf("released %q, want %q", got, test.want)
			}
			slices.Reverse(test.policies)
			f.Reset()
			f.Subject, f.Principal, f.Requester, f.Issuer = alice(), []byte("alice"), sp, idp
			if got := released(NewView(test.policies, sp, idp, nil), &f); got != test.want {
				t.Errorf("in reverse order released %q, want %q", got, test.want)
			}
		})
	}
}

func TestABrokenPolicyHidesItsAttributes(t *testing.T) {
	w := world{}
	sp := &Party{PublicID: "sp"}
	good := policy(w, "good", anyCase(), allow("uid", nil), allow("floor", nil))
	bad := policy(w, "bad", &document.Condition{Test: document.TestAttributeRequester, Regex: "a("}, allow("uid", nil))
	if bad.Broken == nil {
		t.Fatal("a policy with a bad regular expression is sound")
	}
	f := Facts{Subject: alice()}
	if got := released(NewView([]*Policy{good, bad}, sp, sp, nil), &f); got != "floor=3" {
		t.Errorf("released %q, want floor=3", got)
	}
}

func TestABrokenDefinitionIsReleasedToNobody(t *testing.T) {
	w := world{}
	w.definition("uid").Broken = fmt.Errorf("no such RADIUS attribute")
	sp := &Party{PublicID: "sp"}
	f := Facts{Subject: alice(), Principal: []byte("alice")}
	v := NewView([]*Policy{policy(w, "p", value("uid", "alice"), allow("uid", nil), allow("floor", nil))}, sp, sp, nil)
	if got := released(v, &f); got != "floor=3" {
		t.Errorf("released %q, want floor=3", got)
	}
}

func TestAttributesThatAreNotSentAreLeftOut(t *testing.T) {
	w := world{}
	sp := &Party{PublicID: "sp"}
	f := Facts{Subject: alice()}
	v := NewView([]*Policy{policy(w, "p", anyCase(), allow("uid", nil), allow("floor", nil))}, sp, sp, func(d *Definition) bool { return d.Name == "uid" })
	if got := released(v, &f); got != "uid=alice" {
		t.Errorf("released %q, want uid=alice", got)
	}
}

// TestPolicyThatCanAddNothingIsLeftOut has policies whose attributes are released whatever they say, and others that are not.
func TestPolicyThatCanAddNothingIsLeftOut(t *testing.T) {
	w := world{}
	sp := &Party{PublicID: "sp"}
	isAlice := is(document.TestPrincipalName, "alice")
	v := NewView([]*Policy{
		policy(w, "public", anyCase(), allow("uid", nil), allow("floor", nil)),
		policy(w, "again", isAlice, allow("uid", nil)),
		policy(w, "again, by rule", isAlice, allow("floor", isAlice)),
		policy(w, "more", isAlice, allow("uid", nil), allow("phone", nil)),
		policy(w, "more, by rule", isAlice, allow("uid", nil), allow("email", isAlice)),
		policy(w, "less", isAlice, deny("floor", nil)),
	}, sp, sp, nil)
	var left []string
	for _, p := range v.policies {
		left = append(left, p.policy.Name)
	}
	if got := strings.Join(left, "|"); got != "less|more|more, by rule" {
		t.Errorf("policies left: %s", got)
	}
}

func TestTheTraceNamesWhatDecided(t *testing.T) {
	w := world{}
	sp := &Party{PublicID: "sp"}
	isAlice := is(document.TestPrincipalName, "alice")
	v := NewView([]*Policy{
		policy(w, "public", anyCase(), allow("uid", nil), allow("floor", nil), allow("unheardOf", nil)),
		policy(w, "staff", isAlice, allow("company", nil), allow("email", isAlice)),
		policy(w, "privacy", isAlice, deny("floor", nil)),
		policy(w, "secrets", anyCase(), deny("phone", nil)),
	}, sp, sp, nil)
	var steps trace.Trace
	steps.Start(time.Now())
	f := Facts{Subject: alice(), Principal: []byte("alice"), Trace: &steps}
	v.Release(nil, &f)
	var got []string
	for i := range steps.Len() {
		s := steps.Step(i)
		got = append(got, s.Code.Words(string(s.Subject), string(s.Detail)))
	}
	want := []string{
		"The attribute phone is held back by secrets.",
		"The attribute floor is released by public.",
		"The attribute uid is released by public.",
		"The attribute unheardOf is released by public.",
		"The sharing policy privacy applies.",
		"The attribute floor is held back by privacy.",
		"The sharing policy staff applies.",
		"The attribute company is released by staff.",
		"The attribute email is released by staff.",
		"The attribute unheardOf has no value.",
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("steps:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestReleaseDoesNotAllocate has 20 policies, 10 attributes and a person in 50 groups.
func TestReleaseDoesNotAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes regular expressions allocate")
	}
	w := world{}
	var groups [][]byte
	for i := range 50 {
		groups = append(groups, fmt.Appendf(nil, "group-%d", i))
	}
	p := alice()
	p.names[FieldGroups] = groups
	names := []string{"uid", "email", "fullName", "groups", "phone", "company", "floor", "surname", "givenName", "primaryGroup"}
	var policies []*Policy
	for i := range 20 {
		var rules []document.AttributeRule
		for j, n := range names {
			switch {
			case i%7 == 3 && j == 2:
				rules = append(rules, deny(n, nil))
			case j%3 == 0:
				rules = append(rules, allow(n, &document.Condition{Test: document.TestAttributeValue, Name: "company", Regex: fmt.Sprintf("Tea (P.*y|%d)", i)}))
			default:
				rules = append(rules, allow(n, nil))
			}
		}
		policies = append(policies, policy(w, fmt.Sprint("p", i), and(value("groups", fmt.Sprintf("group-%d", i*2)), not(is(document.TestPrincipalName, "bob")), is(document.TestAttributeRequester, "sp")), rules...))
	}
	sp := &Party{PublicID: "sp"}
	v := NewView(policies, sp, sp, nil)
	var f Facts
	var steps trace.Trace
	steps.Start(time.Now())
	var dst []Released
	principal := []byte("alice")
	run := func() {
		f.Reset()
		f.Subject, f.Principal, f.Authentication, f.Trace = p, principal, Password, &steps
		dst = v.Release(dst[:0], &f)
	}
	run()
	if len(dst) != 9 {
		t.Fatalf("%d attributes released, want 9", len(dst))
	}
	if n := testing.AllocsPerRun(200, run); n != 0 {
		t.Errorf("%v allocations a release", n)
	}
}

func BenchmarkRelease(b *testing.B) {
	w := world{}
	var policies []*Policy
	for i := range 20 {
		policies = append(policies, policy(w, fmt.Sprint("p", i), and(value("groups", "vpn"), is(document.TestAttributeRequester, fmt.Sprint("sp", i%4))), allow("uid", nil), allow("groups", nil), allow("email", nil)))
	}
	sp := &Party{PublicID: "sp1"}
	v := NewView(policies, sp, sp, nil)
	var f Facts
	p := alice()
	var dst []Released
	b.ReportAllocs()
	for b.Loop() {
		f.Reset()
		f.Subject, f.Principal = p, p.fields[FieldUserName]
		dst = v.Release(dst[:0], &f)
	}
}
