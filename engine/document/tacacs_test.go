package document

import (
	"errors"
	"strings"
	"testing"

	"trine/engine/secret"
)

func TestTacacsProviderBringsItsSystemAndRoles(t *testing.T) {
	for _, c := range []struct{ name, spec, system string }{
		{"core", "{type: tacacs, tacacs: {sourceIPs: [10.0.0.1], secret: s}}", "core"},
		{"core", "{type: tacacs, tacacs: {sourceIPs: [10.0.0.1], secret: s, system: campus}}", "campus"},
	} {
		d := parseOne(t, "{kind: ServiceProvider, name: "+c.name+", spec: "+c.spec+"}")
		brought := d.Brings()
		if len(brought) != 17 || brought[0].Key() != "InformationSystem/"+c.system {
			t.Fatalf("%d documents", len(brought))
		}
		for level, b := range brought[1:] {
			if b.Key() != "Role/"+LevelRole(level, c.system) || Level(b.Name) != level {
				t.Errorf("%s for level %d", b.Key(), level)
			}
		}
		if all := append(brought, d); len(ValidateAll(all, nil, noDocuments{})) > 0 {
			t.Error(ValidateAll(all, nil, noDocuments{}))
		}
		if p := ValidateAll([]*Document{d}, nil, noDocuments{}); len(p) != 1 || p[0].Field != "spec.tacacs.system" {
			t.Errorf("without its system: %v", p)
		}
	}
	if d := parseOne(t, "{kind: ServiceProvider, name: wlan, spec: {type: radius, radius: {sourceIPs: [10.0.0.1], secret: s}}}"); d.Brings() != nil {
		t.Error("a RADIUS service provider brings something")
	}
}

func TestRFC8907_10_5_2_ThereIsAlwaysASecret(t *testing.T) {
	for spec, field := range map[string]string{
		"sourceIPs: [10.0.0.1]":                                              "spec.tacacs.secrets",
		"sourceIPs: [10.0.0.1], secrets: []":                                 "spec.tacacs.secrets",
		`sourceIPs: [10.0.0.1], secret: ""`:                                  "spec.tacacs.secrets",
		`sourceIPs: [10.0.0.1], secrets: [{value: ""}]`:                      "spec.tacacs.secrets[0].value",
		"sourceIPs: [10.0.0.1], secrets: [{notAfter: 2030-01-01T00:00:00Z}]": "spec.tacacs.secrets[0].value",
		"sourceIPs: [10.0.0.1], secret: testing123":                          "",
	} {
		_, err := Parse("test.yaml", strings.NewReader("{kind: ServiceProvider, name: core, spec: {type: tacacs, tacacs: {"+spec+"}}}"))
		var problems Problems
		if err != nil && !errors.As(err, &problems) {
			t.Fatal(err)
		}
		if field == "" && len(problems) > 0 || field != "" && (len(problems) != 1 || problems[0].Field != field) {
			t.Errorf("%s: %v", spec, problems)
		}
	}
}

func TestLevelsAreWrittenInOneWay(t *testing.T) {
	for role, want := range map[string]int{"0@s": 0, "15@s": 15, "7@a@b": -1, "16@s": -1, "-1@s": -1, "07@s": -1, "+1@s": -1, "@s": -1, "7": -1, "root@s": -1} {
		if got := Level(role); got != want {
			t.Errorf("%s gives %d, want %d", role, got, want)
		}
	}
}

// RFC 8907 section 6.1: an argument is parsed to its first separator, and all that follows is the value.
func TestRFC8907ArgumentsAreCutAtTheFirstSeparator(t *testing.T) {
	for _, c := range []struct {
		arg, name, value string
		mandatory, ok    bool
	}{
		{"cmd=", "cmd", "", true, true},
		{"cmd*", "cmd", "", false, true},
		{"a=b=c*d", "a", "b=c*d", true, true},
		{"a*b=c", "a", "b=c", false, true},
		{"=x", "", "x", true, false},
		{"*", "", "", false, false},
		{"plain", "plain", "", false, false},
		{"", "", "", false, false},
	} {
		name, value, mandatory, ok := CutArgument(c.arg)
		if name != c.name || value != c.value || mandatory != c.mandatory || ok != c.ok {
			t.Errorf("%q: %q %q %v %v", c.arg, name, value, mandatory, ok)
		}
	}
}

func FuzzCutArgument(f *testing.F) {
	f.Add([]byte("cmd-arg=a*b"))
	f.Fuzz(func(t *testing.T, arg []byte) {
		name, value, mandatory, ok := CutArgument(arg)
		again := string(name)
		if len(name) < len(arg) {
			again += map[bool]string{true: "=", false: "*"}[mandatory]
		}
		if again += string(value); again != string(arg) || ok && len(name) == 0 || strings.ContainsAny(string(name), "=*") {
			t.Errorf("%q is cut into %q and %q", arg, name, value)
		}
	})
}

func TestMarksOfSharedSecretsAreResolvedForTacacs(t *testing.T) {
	before := parseOne(t, "{kind: ServiceProvider, name: core, spec: {type: tacacs, tacacs: {sourceIPs: [10.0.0.1], secret: one}}}")
	after := parseOne(t, "{kind: ServiceProvider, name: core, spec: {type: tacacs, tacacs: {sourceIPs: [10.0.0.2], secret: "+secret.Mark+"}}}")
	if p := after.Inherit(before); len(p) > 0 {
		t.Fatal(p)
	}
	text, err := after.Spec.(*ServiceProvider).Tacacs.Secrets[0].Value.Open(nil, nil, nil)
	if err != nil || string(text) != "one" {
		t.Errorf("%q, %v", text, err)
	}
}
