package script

import (
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

func TestProvisioningExampleOfTheHandbook(t *testing.T) {
	archive, err := txtar.ParseFile("../../docs/examples/scripts/provisioning.txtar")
	if err != nil {
		t.Fatal(err)
	}
	env := NewEnvironment(append(Person(), Variable{Name: "attributes", Type: Attributes})...)
	var handbook *Script
	expressions := map[string]*Expression{}
	for _, f := range archive.Files {
		if field, ok := strings.CutSuffix(f.Name, ".cel"); ok {
			expressions[field], err = env.Expression(string(f.Data), Text)
		} else {
			handbook, err = env.Script(string(f.Data), Text)
		}
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
	}
	if len(expressions) != 3 || len(handbook.Rewrites()) != 1 {
		t.Fatal(len(expressions), handbook.Rewrites())
	}
	for _, c := range []struct{ screen, first, last string }{
		{"José van der Weiß", "José", "van der Weiß"},
		{"jweiss", "?", "jweiss"},
		{" jweiss", "?", " jweiss"},
	} {
		given := Map{"user.firstName": "before", "user.lastName": "before", "attributes": map[string][]string{"screen_name": {c.screen}, "name": {"jweiss"}}}
		j := &Job{Script: handbook, Values: given, Timeout: 1 << 40}
		if err := (inline{NewHost()}).Submit(j); err != nil || j.Err != nil {
			t.Fatal(err, j.Err)
		}
		got := map[string]string{"userName": j.Value.Text(), "firstName": j.Assigned["user.firstName"].(string), "lastName": j.Assigned["user.lastName"].(string)}
		for field, want := range map[string]string{"userName": "jweiss", "firstName": c.first, "lastName": c.last} {
			v, err := expressions[field].Eval(given)
			if err != nil || v.Text() != want || got[field] != want {
				t.Errorf("%q: %s is %q by the script and %q by the expression, %v", c.screen, field, got[field], v.Text(), err)
			}
		}
	}
}
