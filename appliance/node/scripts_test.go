package node

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"trine/appliance/admin/client"
	"trine/appliance/probe"
	"trine/engine/trace"
)

// TestScriptsOfARunningNode has a node run what people bring along, in its worker, and lose the worker to what they bring along.
func TestScriptsOfARunningNode(t *testing.T) {
	n := startInterop(t)
	ou, err := os.ReadFile("../../docs/examples/scripts/ou.yaml")
	if err != nil {
		t.Fatal(err)
	}
	n.apply(string(ou))
	n.apply(`
kind: InformationSystem
name: ad
---
kind: Account
name: al@ad
spec: {owner: alice, attributes: {ou: Sales}}
---
kind: AttributeDefinition
name: ou-handbook
spec:
  radiusID: Reply-Message
  script: |
    for (account: serverService.getUserAccounts(id, "ad")) {
      return account{"attributes"}{"ou"};
    }
    return null;
---
kind: AttributePolicy
name: ou
spec: {condition: any, attributes: [{attribute: ou-handbook}]}
---
kind: ServiceProvider
name: loopback
spec:
  type: radius
  publicID: loopback
  entityGroup: network
  uidExpression: userName + "@" + mailDomain
  radius: {sourceIPs: [127.0.0.0/8, "::1"], secret: testing123}
`)
	login := func(user, password string) *probe.Answer {
		t.Helper()
		a, err := n.login(n.addr.RadiusAuthentication[0], "testing123", user, password, probe.MethodPAP)
		for range 2 { // devices send again, as while a worker that was ended is started anew
			if err == nil {
				break
			}
			a, err = n.login(n.addr.RadiusAuthentication[0], "testing123", user, password, probe.MethodPAP)
		}
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	value := func(a *probe.Answer, name string) string {
		i := slices.IndexFunc(a.Attributes, func(one probe.Attribute) bool { return one.Name == name })
		if i < 0 {
			return ""
		}
		return a.Attributes[i].Value
	}
	if a := login("alice", "wonderland"); !a.Accepted || value(a, "Reply-Message") != "Sales" || value(a, "User-Name") != "alice@example.com" {
		t.Errorf("%+v", a)
	}
	if a := login("bob", "builder"); !a.Accepted || value(a, "Reply-Message") != "" || value(a, "User-Name") != "bob@example.com" {
		t.Errorf("%+v", a)
	}
	decisions := func(reason trace.Reason) (count int) {
		t.Helper()
		page, err := n.admin.Events(t.Context(), client.EventQuery{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			if strings.Contains(string(e.Body), `"reason":"`+string(reason)+`"`) {
				count++
			}
		}
		return count
	}
	refused := func(what string, reason trace.Reason) {
		t.Helper()
		before := decisions(reason)
		if a := login("alice", "wonderland"); a.Accepted {
			t.Errorf("%s: %+v", what, a)
		}
		for deadline := time.Now().Add(20 * time.Second); decisions(reason) == before; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: no decision with the reason %s", what, reason)
			}
		}
	}
	broken := "kind: AttributeDefinition\nname: ou-handbook\nspec:\n  radiusID: Reply-Message\n  script: "
	for source, reason := range map[string]trace.Reason{
		`while (true) {}`: trace.ScriptTimeout, `throw "no"`: trace.ScriptFailed, `/^(?=a)(a+)+$/.test("a".repeat(60) + "b"); ""`: trace.ScriptTimeout,
	} {
		n.apply(broken + "'" + source + "'\n")
		refused(source, reason)
	}
	n.apply(broken + "'return userName'\n")
	if a := login("alice", "wonderland"); !a.Accepted || value(a, "Reply-Message") != "alice" {
		t.Errorf("%+v", a)
	}
	rule := func(script string) string {
		return "kind: IdentityProvider\nname: local\nspec:\n  type: local\n  publicID: \"https://trine.example.com\"\n  profiles: {radius: {enabled: true}}\n" +
			"  authentication: {adaptiveRules: [{matrix: [{first: Password}], script: '" + script + "'}]}\n"
	}
	n.apply(rule("while (true) {}"))
	refused("rule", trace.ScriptTimeout)
	n.apply(rule("return user == \"alice\" && !deviceCertificate"))
	if a := login("alice", "wonderland"); !a.Accepted {
		t.Errorf("%+v", a)
	}
	plan, err := n.admin.Plan(t.Context(), []client.File{{Name: "test.yaml", Data: []byte(broken + "'for (g : groups) { g{0} }'\n")}})
	if err != nil || len(plan.Warnings) != 2 {
		t.Errorf("%+v, %v", plan, err)
	}
	_, err = n.admin.Plan(t.Context(), []client.File{{Name: "test.yaml", Data: []byte(broken + "|\n    return 1 +;\n")}})
	if err == nil || !strings.Contains(err.Error(), "line 1, column 11") {
		t.Error(err)
	}
}
