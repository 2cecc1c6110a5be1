package document

import (
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
)

// inForce is a Lookup into documents.
type inForce map[string]*Document

func newInForce(docs []*Document) inForce {
	in := inForce{}
	for _, d := range docs {
		in[d.Key()] = d
	}
	return in
}

func (in inForce) Document(key string) *Document { return in[key] }

func (in inForce) Holder(claim string) (string, bool) {
	for key, d := range in {
		if slices.Contains(d.Claims(), claim) {
			return key, true
		}
	}
	return "", false
}

func (in inForce) Referrers(key string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, k := range slices.Sorted(maps.Keys(in)) {
			if slices.Contains(in[k].Refs(), key) && !yield(k) {
				return
			}
		}
	}
}

const stored = `
{kind: Group, name: staff}
---
{kind: Group, name: night, spec: {parent: staff}}
---
{kind: User, name: alice, spec: {aliases: [al], groups: [staff]}}
---
{kind: User, name: bob, spec: {groups: [night]}}
---
{kind: IdentityProvider, name: local, spec: {type: local, publicID: idp}}
---
{kind: IdentityProvider, name: guests, spec: {type: local, parent: local}}
---
{kind: ServiceProvider, name: core, spec: {type: radius, radius: {sourceIPs: [10.0.0.0/8], secret: s}}}
---
{kind: UserType, name: default, spec: {password: {minLength: 8}}}
`

func TestChangesAreCheckedAgainstWhatIsInForce(t *testing.T) {
	for _, c := range []struct {
		name    string
		changed string
		deleted []string
		want    []string // a part of each problem
	}{
		{name: "nothing"},
		{name: "reference to what is in force", changed: "{kind: User, name: carol, spec: {groups: [staff, night]}}"},
		{name: "reference to what comes with it", changed: "{kind: User, name: carol, spec: {groups: [new]}}\n---\n{kind: Group, name: new}"},
		{
			name: "reference to nothing", changed: "{kind: User, name: carol, spec: {primaryGroup: nigth, groups: [stuff], userType: x}}\n---\n{kind: Group, name: stufe}",
			want: []string{`spec.userType: there is no UserType named "x"`, `in.yaml:1:48: User carol: spec.primaryGroup: there is no Group named "nigth"`, `spec.groups[0]: there is no Group named "stuff"; did you mean stufe?`},
		},
		{name: "reference to what is deleted", changed: "{kind: User, name: bob}\n---\n{kind: User, name: carol, spec: {groups: [night]}}", deleted: []string{"Group/night"}, want: []string{`the Group "night" is deleted by the same change`}},
		{name: "deletion of what is referred to", deleted: []string{"Group/staff"}, want: []string{"Group staff: it is still referred to by Group night, User alice"}},
		{name: "deletion with those that refer to it", changed: "{kind: User, name: alice}", deleted: []string{"Group/staff", "Group/night", "User/bob"}},
		{name: "both written and deleted", changed: "{kind: Group, name: night}", deleted: []string{"Group/night"}, want: []string{"both written and deleted"}},
		{name: "alias that is a name", changed: "{kind: User, name: carol, spec: {aliases: [BOB, c]}}", want: []string{`spec.aliases[0]: the login name "bob" is held by User bob`}},
		{name: "name that is an alias", changed: "{kind: User, name: AL}", want: []string{`name: the login name "al" is held by User alice`}},
		{name: "alias that moves", changed: "{kind: User, name: alice}\n---\n{kind: User, name: bob, spec: {aliases: [al]}}"},
		{name: "alias of who is deleted", changed: "{kind: User, name: bob, spec: {aliases: [al]}}", deleted: []string{"User/alice"}},
		{name: "alias given twice", changed: "{kind: User, name: x, spec: {aliases: [z]}}\n---\n{kind: User, name: y, spec: {aliases: [Z]}}", want: []string{`User y: spec.aliases[0]: the login name "z" is held by User x`}},
		{name: "the same prefix", changed: "{kind: ServiceProvider, name: edge, spec: {type: radius, radius: {sourceIPs: [192.0.2.1, 10.0.0.0-10.255.255.255], secret: s}}}", want: []string{"spec.radius.sourceIPs[1]: the source prefix 10.0.0.0/8 is held by ServiceProvider core"}},
		{name: "a nested prefix", changed: "{kind: ServiceProvider, name: edge, spec: {type: radius, radius: {sourceIPs: [10.1.0.0/16], secret: s}}}"},
		{name: "a public id", changed: "{kind: ServiceProvider, name: idp, spec: {type: radius, radius: {sourceIPs: [10.1.0.0/16], secret: s}}}", want: []string{`name: the public id "idp" is held by IdentityProvider local`}},
		{name: "circle of groups", changed: "{kind: Group, name: staff, spec: {parent: night}}", want: []string{"spec.parent: the parents run in a circle: staff > night > staff"}},
		{name: "circle within the change", changed: "{kind: Group, name: a, spec: {parent: b}}\n---\n{kind: Group, name: b, spec: {parent: a}}", want: []string{"a > b > a", "b > a > b"}},
		{name: "group below a circle", changed: "{kind: Group, name: a, spec: {parent: b}}\n---\n{kind: Group, name: b, spec: {parent: b}}", want: []string{"the group is its own parent"}},
		{name: "circle of identity providers", changed: "{kind: IdentityProvider, name: local, spec: {type: local, parent: guests}}", want: []string{"local > guests > local"}},
		{name: "virtual below virtual", changed: "{kind: IdentityProvider, name: v, spec: {type: local, parent: guests}}", want: []string{`the parent "guests" is virtual itself; name local`}},
		{name: "password below the policy", changed: "{kind: User, name: carol, spec: {password: hunter2}}", want: []string{"spec.password: the password is shorter than 8 characters (user type default)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var changed []*Document
			if c.changed != "" {
				// Each alone, so that what is wrong in one does not keep the others out.
				for _, text := range strings.Split(c.changed, "\n---\n") {
					docs, err := Parse("in.yaml", strings.NewReader(text))
					if err != nil && len(docs) == 0 {
						d := New(KindGroup, "b")
						d.Spec.(*Group).Parent = "b"
						docs = []*Document{d}
					}
					changed = append(changed, docs...)
				}
			}
			problems := ValidateAll(changed, c.deleted, newInForce(parse(t, stored)))
			if len(problems) != len(c.want) {
				t.Fatalf("%d problems:\n%v", len(problems), problems)
			}
			for i, want := range c.want {
				if !strings.Contains(problems[i].String(), want) {
					t.Errorf("have %s\nwant %s", problems[i], want)
				}
			}
			if strings.Contains(problems.Error(), "hunter2") {
				t.Error("a problem shows a password")
			}
		})
	}
}

// TestPlacesAreOfOneIdentityProvider has two virtual identity providers, or a virtual one and a main one, claim the same host and path in each way in which a document can say it.
func TestPlacesAreOfOneIdentityProvider(t *testing.T) {
	const inForceHere = `
{kind: IdentityProvider, name: main, spec: {type: local, network: {hostName: sso.example.org}}}
---
{kind: IdentityProvider, name: second, spec: {type: local, network: {hostName: second.example.org}}}
---
{kind: IdentityProvider, name: partners, spec: {type: local, parent: main, pathPrefix: /partners}}
---
{kind: IdentityProvider, name: away, spec: {type: local, parent: main, hostName: away.example.org, pathPrefix: /a}}
---
{kind: IdentityProvider, name: upper, spec: {type: local, parent: main, hostName: upper.example.org}}
`
	virtual := func(name, spec string) string {
		return "{kind: IdentityProvider, name: " + name + ", spec: {type: local, " + spec + "}}"
	}
	for _, c := range []struct {
		name    string
		changed string
		deleted []string
		want    []string
	}{
		{"another path", virtual("x", "parent: main, pathPrefix: /others"), nil, nil},
		{"the same path below another", virtual("x", "parent: second, pathPrefix: /partners"), nil, nil},
		{"itself once more", virtual("partners", "parent: main, pathPrefix: /partners"), nil, nil},
		{"itself, with the host said", virtual("partners", "parent: main, hostName: sso.example.org, pathPrefix: /partners"), nil, nil},
		{"the same path", virtual("x", "parent: main, pathPrefix: /partners"), nil, []string{"IdentityProvider x: spec.pathPrefix: the place below main/partners/ on the web front is held by IdentityProvider partners"}},
		{
			"the same path, with the host said", virtual("x", "parent: main, hostName: SSO.example.org, pathPrefix: /partners"), nil,
			[]string{"IdentityProvider x: spec.hostName: the place sso.example.org/partners/ on the web front is held by IdentityProvider partners"},
		},
		{
			"the same path, with the host of another's said", virtual("x", "parent: second, hostName: sso.example.org, pathPrefix: /partners"), nil,
			[]string{"IdentityProvider x: spec.hostName: the place sso.example.org/partners/ on the web front is held by IdentityProvider partners"},
		},
		{"in place of the other", virtual("x", "parent: second, hostName: sso.example.org, pathPrefix: /partners"), []string{"IdentityProvider/partners"}, nil},
		{
			"two at once", virtual("x", "parent: main, pathPrefix: /new") + "\n---\n" + virtual("y", "parent: second, hostName: sso.example.org, pathPrefix: /new"), nil,
			[]string{"IdentityProvider y: spec.hostName: the place sso.example.org/new/ on the web front is held by IdentityProvider x"},
		},
		{
			"two at once, the other way round", virtual("y", "parent: main, pathPrefix: /new") + "\n---\n" + virtual("x", "parent: second, hostName: sso.example.org, pathPrefix: /new"), nil,
			[]string{"IdentityProvider y: spec.pathPrefix: the place sso.example.org/new/ on the web front is held by IdentityProvider x"},
		},
		{"two that change places", virtual("partners", "parent: main, pathPrefix: /b") + "\n---\n" + virtual("x", "parent: main, pathPrefix: /partners"), nil, nil},
		{"the host of the main one", virtual("x", "parent: second, hostName: sso.example.org"), nil, []string{"IdentityProvider x: spec.hostName: the place sso.example.org/ on the web front is held by IdentityProvider main"}},
		{"the host of a virtual one", virtual("x", "parent: second, hostName: upper.example.org"), nil, []string{"IdentityProvider x: spec.hostName: the place upper.example.org/ on the web front is held by IdentityProvider upper"}},
		{"another main one of the same host", virtual("x", "network: {hostName: sso.example.org}"), nil, []string{"IdentityProvider x: spec.network.hostName: the place sso.example.org/ on the web front is held by IdentityProvider main"}},
		{
			"a path below the host of a virtual one", virtual("x", "parent: main, hostName: upper.example.org, pathPrefix: /partners"), nil, nil,
		},
		{
			"a main one that moves to where another is", virtual("second", "network: {hostName: away.example.org}") + "\n---\n" + virtual("x", "parent: second, pathPrefix: /a"), nil,
			[]string{"IdentityProvider x: spec.pathPrefix: the place away.example.org/a/ on the web front is held by IdentityProvider away"},
		},
		{
			"a main one that takes those below it there", virtual("main", "network: {hostName: away.example.org}") + "\n---\n" + virtual("away", "parent: second, hostName: away.example.org, pathPrefix: /partners"), nil,
			[]string{"IdentityProvider away: spec.hostName: the place away.example.org/partners/ on the web front is held by IdentityProvider partners"},
		},
		{
			"a main one that takes those below it to where one is that stays", virtual("main", "network: {hostName: elsewhere.example.org}"), nil, nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			problems := ValidateAll(parse(t, c.changed), c.deleted, newInForce(parse(t, inForceHere)))
			if len(problems) != len(c.want) {
				t.Fatalf("%d problems:\n%v", len(problems), problems)
			}
			for i, want := range c.want {
				if !strings.Contains(problems[i].String(), want) {
					t.Errorf("have %s\nwant %s", problems[i], want)
				}
			}
		})
	}
	if _, err := Parse("in.yaml", strings.NewReader(virtual("x", "parent: main, pathPrefix: /.well-known/x"))); err == nil || !strings.Contains(err.Error(), "what identity providers say of themselves is below /.well-known") {
		t.Errorf("%v", err)
	}
	moved := virtual("main", "network: {hostName: away.example.org}")
	stays := strings.Replace(inForceHere, "pathPrefix: /a}", "pathPrefix: /partners}", 1)
	problems := ValidateAll(parse(t, moved), nil, newInForce(parse(t, stays)))
	if len(problems) != 1 || !strings.Contains(problems[0].String(), "spec.network.hostName: the place away.example.org/partners/ on the web front is held by IdentityProvider away, and would be that of IdentityProvider partners") {
		t.Errorf("%v", problems)
	}
}

func TestDocumentGivenTwiceIsRefused(t *testing.T) {
	changed := append(parse(t, "{kind: Group, name: a}"), parse(t, "{kind: Group, name: a}")...)
	if p := ValidateAll(changed, nil, noDocuments{}); len(p) != 1 || !strings.Contains(p[0].Reason, "given twice, first at in.yaml:1") {
		t.Error(p)
	}
}
