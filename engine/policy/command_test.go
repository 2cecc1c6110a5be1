package policy

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"trine/engine/document"
)

func rulesOf(patterns ...string) []document.CommandRule {
	var list []document.CommandRule
	for _, p := range patterns {
		verb, pattern, _ := strings.Cut(p, " ")
		r := document.CommandRule{Form: "glob"}
		if pattern, ok := strings.CutPrefix(pattern, "~"); ok {
			r.Form = "regex"
			r.Permit = pattern
		} else {
			r.Permit = pattern
		}
		if verb == "deny" {
			r.Permit, r.Deny = "", r.Permit
		}
		list = append(list, r)
	}
	return list
}

func TestFirstPatternThatMatchesDecides(t *testing.T) {
	list, err := newCommands("commands", rulesOf("deny show run*", "permit show *", "permit ~(ping|traceroute) [0-9.]+", "deny ~(?i)RELOAD.*", `permit wr\*t?`, "permit ~^end$", "permit ~a$|b"))
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"show version": "permit show *", "show running-config": "deny show run*", "show": "", "shows x": "", " show x": "",
		"ping 10.0.0.1": "permit ~(ping|traceroute) [0-9.]+", "ping 10.0.0.1 repeat": "", "xping 1": "",
		"reload": "deny (?i)RELOAD.*", "reload\nnow": "deny (?i)RELOAD.*", "wr*té": `permit wr\*t?`, "write": "", "wr*t": "",
		"end": "permit ^end$", "endx": "", "a": "permit a$|b", "b": "permit a$|b", "bb": "", "": "",
	} {
		got := ""
		if c := list.Match([]byte(line)); c != nil {
			got = map[bool]string{true: "permit ", false: "deny "}[c.Permit] + c.Pattern
		}
		if want := strings.Replace(want, "~", "", 1); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// TestGlobsMatchWhatTheirRegularExpressionsDo holds the matcher to RE2 over texts and patterns of few letters, in which much matches.
func TestGlobsMatchWhatTheirRegularExpressionsDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "é", "*", "?", `\*`, `\?`, `\a`}), 0, 10).Draw(t, "pattern"), "")
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "é", "*", "?"}), 0, 12).Draw(t, "text"), "")
		re := `(?s)\A`
		for i := 0; i < len(pattern); i++ {
			switch c := pattern[i]; c {
			case '*':
				re += ".*"
			case '?':
				re += "."
			case '\\':
				i++
				re += regexp.QuoteMeta(pattern[i : i+1])
			default:
				re += pattern[i : i+1]
			}
		}
		if want := regexp.MustCompile(re + `\z`).MatchString(text); globMatches([]byte(pattern), []byte(text)) != want {
			t.Fatalf("%q against %q: want %v", pattern, text, want)
		}
	})
}

func TestMatchingCommandsAllocatesNothing(t *testing.T) {
	var patterns []string
	for i := range 10 {
		patterns = append(patterns, fmt.Sprintf("permit a%d *", i), fmt.Sprintf("deny ~(x|y)%d .*", i))
	}
	list, err := newCommands("commands", rulesOf(append(patterns, "permit show *")...))
	if err != nil {
		t.Fatal(err)
	}
	line := []byte("show running-config interface ethernet 1/0/1")
	if n := testing.AllocsPerRun(1000, func() {
		if list.Match(line) == nil {
			t.Fatal("no match")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

const campus = `
kind: IdentityProvider
name: local
spec: {type: local, profiles: {tacacs: {enabled: true, chap: false}}}
---
kind: InformationSystem
name: campus
spec: {enableSecret: sesame}
---
kind: InformationSystem
name: core
---
kind: ServiceProvider
name: core
spec: {type: tacacs, tacacs: {sourceIPs: [10.0.0.0/8], secret: one}}
---
kind: ServiceProvider
name: access
spec: {type: tacacs, tacacs: {sourceIPs: [10.1.0.0/16], secret: two, system: campus}}
---
{kind: Role, name: 1@core}
---
{kind: Role, name: 15@core}
---
{kind: Role, name: 7@campus}
---
{kind: Role, name: ops@core, spec: {services: {junos-exec: [local-user-name=ops], ppp: []}}}
---
kind: Group
name: night
spec: {roles: [{role: 15@core, notBefore: "2027-01-01"}]}
`

func TestPrivilegeIsTheHighestRoleOfTheSystem(t *testing.T) {
	r := newRig(t)
	r.apply(t, campus)
	c := r.cache()
	u := person("alice", &document.User{Groups: []string{"night"}, Roles: []document.Grant{{Role: "ops@core"}, {Role: "1@core"}, {Role: "7@campus"}}})
	for _, want := range []struct {
		day    string
		levels map[string]int8
		roles  string
	}{
		{"2026-12-31", map[string]int8{"core": 1, "campus": 7, "nowhere": -1}, "1@core ops@core"},
		{"2027-01-01", map[string]int8{"core": 15, "campus": 7, "nowhere": -1}, "15@core 1@core ops@core"},
	} {
		now, err := time.Parse(time.DateOnly, want.day)
		if err != nil {
			t.Fatal(err)
		}
		var p Person
		c.Person(&p, u, now.Unix())
		for system, level := range want.levels {
			if got := p.Privilege(system); got != level {
				t.Errorf("%s: %d in %s, want %d", want.day, got, system, level)
			}
		}
		var names []string
		for _, role := range p.RolesIn(nil, "core") {
			names = append(names, role.Name)
		}
		if got := strings.Join(names, " "); got != want.roles {
			t.Errorf("%s: %s, want %s", want.day, got, want.roles)
		}
	}
	ops := c.Role([]byte("ops@core"))
	if reply, ok := ops.Service([]byte("junos-exec")); !ok || len(reply) != 1 || string(reply[0].Name) != "local-user-name" || string(reply[0].Value) != "ops" || !reply[0].Mandatory {
		t.Errorf("%+v", reply)
	}
	if reply, ok := ops.Service([]byte("ppp")); !ok || len(reply) != 0 {
		t.Error("a service with an empty list is not listed")
	}
	if _, ok := ops.Service([]byte("shell")); ok {
		t.Error("a service that is not listed")
	}
}

func TestTacacsClientsAreFoundByLongestPrefix(t *testing.T) {
	r := newRig(t)
	r.apply(t, campus)
	c := r.cache()
	for addr, want := range map[string][3]string{"10.2.0.1": {"core", "core", "one"}, "10.1.0.1": {"access", "campus", "two"}} {
		cl := c.ClientFor(document.TypeTacacs, netip.MustParseAddr(addr))
		if cl == nil || cl.Broken != nil || cl.Name != want[0] || cl.System != want[1] || cl.Wire != want[2] || cl.Issuer.Name != "local" {
			t.Errorf("%s: %+v", addr, cl)
		}
		if c.ClientFor(document.TypeRadius, netip.MustParseAddr(addr)) != nil {
			t.Errorf("%s is a RADIUS client too", addr)
		}
	}
	if i := c.Client("core").Issuer; i.Tacacs != (Methods{ASCII: true, PAP: true, MSCHAPv2: true}) || i.Radius != (Methods{}) {
		t.Errorf("%+v", i)
	}
}

func TestEnableSecretIsKeptAsADigest(t *testing.T) {
	r := newRig(t)
	r.apply(t, campus)
	s := r.cache().System("campus")
	if !s.HasEnableSecret() || !s.Enables([]byte("sesame")) || s.Enables([]byte("sesam")) || s.Enables(nil) || strings.Contains(fmt.Sprintf("%+v", s), "sesame") {
		t.Errorf("%+v", s)
	}
	if s := r.cache().System("core"); s.HasEnableSecret() || s.Enables(nil) {
		t.Errorf("%+v", s)
	}
	if n := testing.AllocsPerRun(100, func() { s.Enables([]byte("sesame")) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	r.apply(t, "{kind: InformationSystem, name: campus}")
	if r.cache().System("campus").HasEnableSecret() {
		t.Error("the secret stays when it is taken out")
	}
	r.apply(t, "", "InformationSystem/campus")
	if r.cache().System("campus") != nil {
		t.Error("the system stays when it is deleted")
	}
}

// TestRFC8907_10_5_1_SecretsAreHeldAgainstAPolicyAndEachOther drafts secrets that are too short, of too few classes, good for ever, or another's.
func TestRFC8907_10_5_1_SecretsAreHeldAgainstAPolicyAndEachOther(t *testing.T) {
	r := newRig(t)
	idp := func(secrets string) string {
		return "{kind: IdentityProvider, name: home, spec: {type: local, profiles: {tacacs: {enabled: true, secrets: {" + secrets + "}}}}}"
	}
	sp := func(name, source, secrets string) string {
		return "{kind: ServiceProvider, name: " + name + ", spec: {type: tacacs, tacacs: {sourceIPs: [" + source + "], secrets: [" + secrets + "]}}}"
	}
	r.apply(t, idp(""))
	r.apply(t, sp("old", "10.0.0.1", "{value: short}"))
	draft := func(text string) (problems, warnings string) {
		t.Helper()
		docs, err := r.parse(text)
		if err != nil {
			t.Fatal(err)
		}
		d := r.compiler.Draft(docs, nil)
		return d.Problems.Error(), d.Warnings.Error()
	}
	for _, tc := range []struct{ policy, secrets, problem, warning string }{
		{"", "{value: x}", "", ""},
		{"", "{value: short}", "", "spec.tacacs.secrets[0].value: the ServiceProvider old has the same secret"},
		{"minLength: 16", "{value: 123456789012345}", "spec.tacacs.secrets[0].value: the secret is shorter than 16 characters", ""},
		{"minLength: 16", "{value: 1234567890123456}", "", ""},
		{"classes: 3", "{value: abcdefgh1}", "the secret uses fewer than 3 of lower case", ""},
		{"classes: 3", "{value: Abcdefgh1}", "", ""},
		{"classes: 3", "{value: Abcdefgh1, notAfter: 2030-01-01T00:00:00Z}, {value: abc}", "spec.tacacs.secrets[1].value: the secret uses fewer", ""},
		{"maxAge: 8760h", "{value: Abcdefgh1}", "the secret would be good for more than 8760h", ""},
		{"maxAge: 8760h", "{value: Abcdefgh1, notBefore: 2030-01-01T00:00:00Z, notAfter: 2031-01-02T00:00:00Z}", "the secret would be good for more than 8760h", ""},
		{"maxAge: 8760h", "{value: Abcdefgh1, notBefore: 2030-01-01T00:00:00Z, notAfter: 2031-01-01T00:00:00Z}", "", ""},
	} {
		r.apply(t, idp(tc.policy))
		problems, warnings := draft(sp("new", "10.0.0.2", tc.secrets))
		if !strings.Contains(problems, tc.problem) || (problems == "") != (tc.problem == "") || !strings.Contains(warnings, tc.warning) || (warnings == "") != (tc.warning == "") {
			t.Errorf("%s, %s: %q, %q", tc.policy, tc.secrets, problems, warnings)
		}
	}
	r.apply(t, idp(""))
	if problems, warnings := draft(idp("minLength: 16")); problems != "" || !strings.Contains(warnings, "ServiceProvider/old") && !strings.Contains(warnings, "ServiceProvider old") || !strings.Contains(warnings, "shorter than 16") {
		t.Errorf("a new policy: %q, %q", problems, warnings)
	}
	r.apply(t, idp("minLength: 16"))
	if problems, warnings := draft(sp("old", "10.0.0.1, 10.0.0.3", "{value: short}")); problems != "" || !strings.Contains(warnings, "shorter than 16") {
		t.Errorf("the same secret again: %q, %q", problems, warnings)
	}
	if problems, _ := draft(sp("old", "10.0.0.1", "{value: other}")); !strings.Contains(problems, "shorter than 16") {
		t.Errorf("another short secret: %q", problems)
	}
}

func TestSecondFactorThatTacacsCannotCarryIsWarnedOf(t *testing.T) {
	r := newRig(t)
	for factor, want := range map[string]string{
		"none":      "spec.tacacs.secondFactor",
		"challenge": "",
		"appended":  "spec.tacacs.secondFactor", // a PIN does not follow the password
	} {
		docs, err := r.parse(strings.Replace(campus, "secret: two,", "secret: two, secondFactor: "+factor+",", 1))
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range docs {
			if p, ok := d.Spec.(*document.IdentityProvider); ok {
				p.Authentication.Matrix = []document.Way{{First: "Password", Second: "PIN"}}
			}
		}
		draft := r.compiler.Draft(docs, nil)
		got := ""
		for _, w := range draft.Warnings {
			got += w.Field
		}
		if len(draft.Problems) > 0 || got != want {
			t.Errorf("%s: %v, %v", factor, draft.Problems, draft.Warnings)
		}
	}
}

// Pages and ASCII logins change passwords whatever form is kept, so only where RADIUS could change them by MS-CHAPv2 is there anything to say.
func TestPasswordsThatDevicesCannotChangeAreWarnedOf(t *testing.T) {
	r := newRig(t)
	draft := func(keep, change string) string {
		t.Helper()
		docs, err := r.parse("{kind: UserType, name: default, spec: {password: {keep: [" + keep + "], allowChange: " + change + "}}}")
		if err != nil {
			t.Fatal(err)
		}
		d := r.compiler.Draft(docs, nil)
		if len(d.Problems) > 0 {
			t.Errorf("%s: %v", keep, d.Problems)
		}
		return d.Warnings.Error()
	}
	const pages = "{kind: IdentityProvider, name: home, spec: {type: local, network: {hostName: sso.example.org}, profiles: {openid: {enabled: true}, tacacs: {enabled: true}}}}"
	r.apply(t, pages)
	if got := draft("argon2id", "true"); got != "" {
		t.Errorf("where pages alone change passwords: %s", got)
	}
	wlan := func(methods string) string {
		return "{kind: IdentityProvider, name: home, spec: {type: local, profiles: {radius: {enabled: true" + methods + "}}}}\n---\n" +
			"{kind: ServiceProvider, name: wlan, spec: {type: radius, radius: {sourceIPs: [10.0.0.0/8], secret: one}}}"
	}
	r.apply(t, wlan(", mschapv2: false"))
	if got := draft("argon2id", "true"); got != "" {
		t.Errorf("where RADIUS has no MS-CHAPv2: %s", got)
	}
	r.apply(t, wlan(""))
	if got := draft("argon2id", "true"); !strings.Contains(got, `spec.password.allowChange: nobody can change his password at devices of the ServiceProvider "wlan"`) || !strings.Contains(got, "add nt") {
		t.Errorf("where RADIUS has MS-CHAPv2: %q", got)
	}
	for _, keep := range []string{"argon2id, nt", "clear"} {
		if got := draft(keep, "true"); got != "" {
			t.Errorf("%s: %s", keep, got)
		}
	}
	if got := draft("argon2id", "false"); got != "" {
		t.Errorf("where nobody changes passwords: %s", got)
	}
}
