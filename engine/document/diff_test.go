package document

import (
	"slices"
	"strings"
	"testing"

	"trine/engine/secret"
)

func TestDiffShowsFieldByField(t *testing.T) {
	sp := func(fields string) string {
		return "{kind: ServiceProvider, name: s, spec: {type: radius, radius: {" + fields + "}}}"
	}
	for _, c := range []struct {
		name, old, new string
		want           []string
	}{
		{"same", "{kind: Group, name: g, spec: {parent: a}}", "{kind: Group, name: g, spec: {parent: a}}", nil},
		{"new", "", "{kind: User, name: u, spec: {fullName: U, groups: [a, b], password: p}}", []string{`spec.fullName: + "U"`, `spec.groups[0]: + "a"`, `spec.groups[1]: + "b"`, `spec.password: + "(changed)"`}},
		{"deleted", "{kind: User, name: u, spec: {fullName: U, active: false}}", "", []string{`spec.fullName: - "U"`, `spec.active: - "false"`}},
		{"default left", sp("sourceIPs: [192.0.2.1], secret: s"), sp("sourceIPs: [192.0.2.1], secret: s, rejectDelay: 0s"), []string{`spec.radius.rejectDelay: "1s" -> "0s"`}},
		{"element removed", "{kind: User, name: u, spec: {groups: [a, b, c]}}", "{kind: User, name: u, spec: {groups: [b, c]}}", []string{`spec.groups[0]: - "a"`}},
		{"element replaced", "{kind: User, name: u, spec: {groups: [a, b, c]}}", "{kind: User, name: u, spec: {groups: [a, x, c, d]}}", []string{`spec.groups[1]: - "b"`, `spec.groups[1]: + "x"`, `spec.groups[3]: + "d"`}},
		{"block in a list", sp("sourceIPs: [192.0.2.1], secret: s, realms: [{name: a}, {name: b}]"), sp("sourceIPs: [192.0.2.1], secret: s, realms: [{name: a}, {name: b, strip: false}]"), []string{`spec.radius.realms[1].strip: "true" -> "false"`}},
		{"map", "{kind: User, name: u, spec: {attributes: {a: '1', b: '2', d: x}}}", "{kind: User, name: u, spec: {attributes: {b: '3', c: '4', d: [x, y]}}}", []string{`spec.attributes.a: - "1"`, `spec.attributes.b: "2" -> "3"`, `spec.attributes.c: + "4"`, `spec.attributes.d: - "x"`, `spec.attributes.d[0]: + "x"`, `spec.attributes.d[1]: + "y"`}},
		{"secret", sp("sourceIPs: [192.0.2.1], secret: hunter2"), sp("sourceIPs: [192.0.2.1], secret: hunter3"), []string{`spec.radius.secrets[0].value: "«redacted»" -> "(changed)"`}},
		{"secret added", sp("sourceIPs: [192.0.2.1], secret: hunter2"), sp("sourceIPs: [192.0.2.1], secrets: [{value: hunter2}, {value: hunter3}]"), []string{`spec.radius.secrets[1].value: + "(changed)"`}},
		{"secret removed", sp("sourceIPs: [192.0.2.1], secrets: [{value: hunter2}, {value: hunter3}]"), sp("sourceIPs: [192.0.2.1], secret: hunter3"), []string{`spec.radius.secrets[0].value: - "«redacted»"`}},
		{"secret unchanged", sp("sourceIPs: [192.0.2.1], secret: hunter2"), sp("sourceIPs: [192.0.2.1], secret: «redacted»"), nil},
		{"password unchanged", "{kind: User, name: u}", "{kind: User, name: u, spec: {password: «redacted»}}", nil},
		{"condition", "{kind: AttributePolicy, name: p, spec: {condition: any}}", "{kind: AttributePolicy, name: p, spec: {condition: {not: any}}}", []string{`spec.condition: - "any"`, `spec.condition.not: + "any"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after *Document
			if c.old != "" {
				before = parseOne(t, c.old)
			}
			if c.new != "" {
				after = parseOne(t, c.new)
			}
			var have []string
			for _, change := range Diff(before, after) {
				have = append(have, change.String())
			}
			if !slices.Equal(have, c.want) {
				t.Errorf("have %s\nwant %s", strings.Join(have, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestMarkStandsForTheSecretInForce(t *testing.T) {
	const ip = "sourceIPs: [192.0.2.1], "
	for _, c := range []struct {
		name, old, new string
		want           string // the secrets afterwards, by their first letters; "" where it cannot be told
	}{
		{"one", "secret: a", "secret: «redacted»", "a"},
		{"two in order", "secrets: [{value: a}, {value: b}]", "secrets: [{value: «redacted»}, {value: «redacted»}]", "ab"},
		{"first replaced", "secret: a", "secret: c", "c"},
		{"rotation begins", "secret: a", "secrets: [{value: «redacted», notAfter: 2027-01-01}, {value: c}]", "ac"},
		{"rotation ends", "secrets: [{value: a, notAfter: 2027-01-01}, {value: b}]", "secrets: [{value: «redacted»}]", "b"},
		{"order turned round", "secrets: [{value: a, notAfter: 2027-01-01}, {value: b}]", "secrets: [{value: «redacted»}, {value: «redacted», notAfter: 2027-01-01}]", "ba"},
		{"which of two", "secrets: [{value: a}, {value: b}]", "secrets: [{value: «redacted»}]", ""},
		{"more marks than secrets", "secret: a", "secrets: [{value: «redacted»}, {value: «redacted»}]", ""},
		{"none in force", "", "secret: «redacted»", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before *Document
			if c.old != "" {
				before = radius(t, "s", ip+c.old)
			}
			after := radius(t, "s", ip+c.new)
			problems := after.Inherit(before)
			have := ""
			after.EachSecret(func(path string, s *secret.Text) {
				b, err := s.Open(nil, nil, nil)
				if err != nil {
					b = nil
				}
				have += string(b)
			})
			if len(problems) > 0 {
				have = ""
			}
			if have != c.want || (c.want == "") != (len(problems) > 0) {
				t.Errorf("have %q, want %q: %v", have, c.want, problems)
			}
		})
	}
}

func TestSealedSecretMovesWithinItsDocumentOnly(t *testing.T) {
	k := keyring(t)
	d := radius(t, "s", "sourceIPs: [192.0.2.1], secrets: [{value: a}, {value: b}]")
	d.EachSecret(func(_ string, s *secret.Text) {
		sealed, err := s.Seal(k, d.SecretContext())
		if err != nil {
			t.Fatal(err)
		}
		*s = sealed
	})
	secrets := d.Spec.(*ServiceProvider).Radius.Secrets
	if b, err := secrets[1].Value.Open(nil, k, d.SecretContext()); err != nil || string(b) != "b" {
		t.Error(err)
	}
	if _, err := secrets[1].Value.Open(nil, k, New(KindServiceProvider, "other").SecretContext()); err == nil {
		t.Error("the secret opens in another document")
	}
}
