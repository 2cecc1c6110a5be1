package script

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// world is the environment of the tests.
func world() *Environment {
	return NewEnvironment(append(Person(),
		Variable{Name: "attributes", Type: Attributes},
		Variable{Name: "accounts", Type: Accounts},
		Variable{Name: "hour", Type: Int},
		Variable{Name: "failuresRatio", Type: Float},
		Variable{Name: "newDevice", Type: Bool},
		Variable{Name: "now", Type: Time},
	)...)
}

func values() Map {
	return Map{
		"user.id": int64(7), "user.userName": "jose", "user.firstName": "José", "user.fullName": "José Weiß",
		"user.groups":     []string{"staff", "wlan"},
		"user.attributes": map[string][]string{"cardnumber": {"17"}},
		"attributes":      map[string][]string{"company": {"ACME"}, "phones": {"1", "2"}, "blank": {""}},
		"accounts": []Account{
			{System: "unix", Name: "jw"},
			{System: "ad", Name: "jweiss", Enabled: true, Attributes: map[string][]string{"ou": {"Sales"}}},
		},
		"hour": int64(7), "failuresRatio": 0.5, "newDevice": true,
		"now": time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC),
	}
}

func TestExpressionsEvaluate(t *testing.T) {
	env := world()
	for _, c := range []struct {
		source string
		result Type
		texts  []string
		yes    bool
	}{
		{source: `fullName.upper()`, result: Text, texts: []string{"JOSÉ WEISS"}},
		{source: `user.fullName.lower()`, result: Text, texts: []string{"josé weiß"}},
		{source: `fullName == user.fullName`, result: Bool, yes: true},
		{source: `attributes.first("company").orElse("Soffid")`, result: Text, texts: []string{"ACME"}},
		{source: `attributes.first("blank").orElse("Soffid")`, result: Texts, texts: []string{"Soffid"}},
		{source: `attributes.first("none").orElse("Soffid")`, result: Text, texts: []string{"Soffid"}},
		{source: `attributes.values("phones")`, result: Texts, texts: []string{"1", "2"}},
		{source: `attributes.values("none")`, result: Texts},
		{source: `"phones" in attributes`, result: Bool, yes: true},
		{source: `user.attributes.first("cardnumber")`, result: Text, texts: []string{"17"}},
		{source: `accounts.filter(a, a.system == "ad").map(a, a.attributes.first("ou")).first()`, result: Text, texts: []string{"Sales"}},
		{source: `accounts.exists(a, a.system == "ad" && a.enabled)`, result: Bool, yes: true},
		{source: `groups.filter(g, g.startsWith("w"))`, result: Texts, texts: []string{"wlan"}},
		{source: `["", "a", ""]`, result: Texts, texts: []string{"a"}},
		{source: `hour >= 6 && hour < 8 && newDevice && failuresRatio > 0.4`, result: Bool, yes: true},
		{source: `now.getHours() == 12 && now > timestamp("2026-01-01T00:00:00Z")`, result: Bool, yes: true},
		{source: `"staff" in groups && id == 7`, result: Bool, yes: true},
		{source: `userName.matches("^j.*e$")`, result: Bool, yes: true},
		{source: `cidr("10.0.0.0/8").containsIP("10.1.2.3")`, result: Bool, yes: true},
		{source: `mail == "" && aliases.size() == 0`, result: Bool, yes: true},
	} {
		t.Run(c.source, func(t *testing.T) {
			x, err := env.Expression(c.source, c.result)
			if err != nil {
				t.Fatal(err)
			}
			v, err := x.Eval(values())
			if err != nil || v.Bool != c.yes || !slices.Equal(v.Texts, c.texts) {
				t.Errorf("%+v, %v", v, err)
			}
		})
	}
}

func TestExpressionsThatDoNotCompileAreRefusedWithTheirPlace(t *testing.T) {
	env := world()
	for _, c := range []struct {
		name, source string
		result       Type
		line, column int
		text         string
	}{
		{"unknown name", `fullNam.upper()`, Text, 1, 1, "undeclared reference to 'fullNam'"},
		{"unknown field", "hour > 3 &&\n  user.nosuch == ''", Bool, 2, 3, "user has no field of that name"},
		{"unknown field of an account", `accounts.exists(a, a.ou == "x")`, Bool, 1, 21, "ou"},
		{"syntax", "hour >\n  3 +", Bool, 2, 6, "mismatched input"},
		{"wrong operand", `hour + "x"`, Text, 1, 6, "no matching overload"},
		{"a number for a text", `hour`, Text, 1, 1, "the expression yields int, and a text is needed"},
		{"a list for a text", `groups`, Text, 1, 1, "list(string)"},
		{"a text for a truth", `userName`, Bool, 1, 1, "a true or false is needed"},
		{"a list of numbers", `[1]`, Texts, 1, 1, "list(int)"},
		{"something unknown", `dyn("x")`, Text, 1, 1, "dyn"},
		{"regular expression", `userName.matches("(")`, Bool, 1, 0, "missing closing"},
		{"nothing", ``, Bool, 1, 1, ""},
		{"too long", strings.Repeat("(", 9000), Bool, 1, 1, "longer than"},
		{"too deep", strings.Repeat("(", 3000), Bool, 1, 0, ""},
		{"too deep, lists", strings.Repeat("[", 3000) + strings.Repeat("]", 3000), Bool, 1, 0, ""},
		{"too deep, conditions", strings.Repeat("true?true:", 800) + "true", Bool, 1, 0, ""},
		{"too many terms", "1" + strings.Repeat("+1", 4000) + "==1", Bool, 1, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := env.Expression(c.source, c.result)
			var bad *SyntaxError
			if !errors.As(err, &bad) {
				t.Fatalf("%v", err)
			}
			if bad.Line != c.line || c.column != 0 && bad.Column != c.column || !strings.Contains(bad.Text, c.text) {
				t.Errorf("%d:%d %s", bad.Line, bad.Column, bad.Text)
			}
		})
	}
}

func TestExpressionsThatFailYieldNothing(t *testing.T) {
	env := world()
	for _, c := range []struct {
		name, source string
		result       Type
		line         int
		text         string
	}{
		{"missing key", "true &&\nattributes[\"none\"][0] == 'x'", Bool, 2, "no such key"},
		{"index", `groups[5]`, Text, 1, "index"},
		{"division", `1 / (hour - 7) == 0`, Bool, 1, "division by zero"},
		{"not an address", `ip(userName).family() == 4`, Bool, 1, ""},
		{"regular expression of somebody's", `"x".matches(userName + "(")`, Bool, 1, "missing"},
		{"beyond the budget", `lists.range(900).exists(a, lists.range(900).exists(b, a + b < 0))`, Bool, 1, "cost limit"},
		{"too many texts", `lists.range(1000).map(a, "x") + ["x"]`, Texts, 1, "at most 1000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, err := env.Expression(c.source, c.result)
			if err != nil {
				t.Fatal(err)
			}
			v, err := x.Eval(values())
			var failed *Error
			if !errors.As(err, &failed) || !errors.Is(err, ErrExpression) || Code(err) != "expression.failed" {
				t.Fatalf("%+v, %v", v, err)
			}
			if failed.Line != c.line || !strings.Contains(failed.Text, c.text) || v.Bool || v.Texts != nil {
				t.Errorf("%+v: %d:%d %s", v, failed.Line, failed.Column, failed.Text)
			}
		})
	}
}

func TestMissingValuesAreEmpty(t *testing.T) {
	x, err := world().Expression(`userName == "" && groups.size() == 0 && !newDevice && hour == 0 && accounts.size() == 0 && attributes.size() == 0`, Bool)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := x.Eval(Map{}); err != nil || !v.Bool {
		t.Errorf("%v, %v", v, err)
	}
}

// cards is attributes that are looked up, and counts how often all of them are asked for.
type cards struct {
	of    map[string][]string
	whole int
}

func (c *cards) Names() []string {
	c.whole++
	return slices.Sorted(maps.Keys(c.of))
}

func (c *cards) Values(name string) ([]string, bool) {
	values, ok := c.of[name]
	return values, ok
}

func TestAttributesAreLookedUpOneByOne(t *testing.T) {
	for _, c := range []struct {
		source string
		want   string
		whole  int
	}{
		{`attributes.first("company")`, "ACME", 0},
		{`attributes.first("none").orElse("x")`, "x", 0},
		{`attributes.values("phones").size() == 2 ? "x" : ""`, "x", 0},
		{`"phones" in attributes && !("none" in attributes) ? "x" : ""`, "x", 0},
		{`attributes["company"][0]`, "ACME", 0},
		{`attributes.size() == 3 && attributes.exists(k, k == "blank") && attributes == attributes ? "x" : ""`, "x", 1},
	} {
		x, err := world().Expression(c.source, Text)
		if err != nil {
			t.Fatal(err)
		}
		all := &cards{of: values()["attributes"].(map[string][]string)}
		v, err := x.Eval(Map{"attributes": all})
		if err != nil || v.Text() != c.want || (all.whole > 0) != (c.whole > 0) {
			t.Errorf("%s: %v, %v; asked for all %d times", c.source, v, err, all.whole)
		}
	}
	x, err := world().Expression(`attributes["none"][0]`, Text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Eval(Map{"attributes": &cards{}}); err == nil || !strings.Contains(err.Error(), "no such key") {
		t.Error(err)
	}
	j := run(t, `return attributes{"company"} + attributes.size()`, Text, func(j *Job) {
		j.Values = Map{"attributes": &cards{of: map[string][]string{"company": {"ACME"}}}}
	})
	if j.Err != nil || j.Value.Text() != "ACME1" {
		t.Errorf("%v, %v", j.Value, j.Err)
	}
}

func TestWhatTheCompilerCouldNotCheckFails(t *testing.T) {
	for _, source := range []string{`dyn(1).upper()`, `dyn(1).first()`, `dyn(1).first("x")`, `dyn("x").values("x").first()`, `attributes.first(dyn(1))`, `dyn(1).orElse("x")`} {
		x, err := world().Expression(source, Text)
		if err != nil {
			continue
		}
		if v, err := x.Eval(values()); err == nil && v.Texts != nil {
			t.Errorf("%s yields %v", source, v)
		}
	}
}

func TestDeclaringANameTwicePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	NewEnvironment(Variable{Name: "user.id", Type: Int, Bare: true}, Variable{Name: "id", Type: Int})
}

func BenchmarkExpression(b *testing.B) {
	env := world()
	for _, source := range []string{`fullName.upper()`, `attributes.first("company").orElse("Soffid")`, `hour < 8 && newDevice && failuresRatio > 0.4 && "staff" in groups ? "x" : "y"`} {
		b.Run(source, func(b *testing.B) {
			x, err := env.Expression(source, Text)
			if err != nil {
				b.Fatal(err)
			}
			given := values()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := x.Eval(given); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
