package admin_test

import (
	"slices"
	"strings"
	"testing"

	"trine/appliance/admin/api"
)

const routers = `
kind: IdentityProvider
name: local
spec: {type: local, profiles: {tacacs: {enabled: true}}}
---
kind: ServiceProvider
name: core
spec: {type: tacacs, tacacs: {sourceIPs: [10.0.0.0/8], secret: s3cret-s3cret}}
`

func actions(p *api.Plan) map[string]api.Action {
	m := map[string]api.Action{}
	for _, d := range p.Documents {
		m[d.Kind+"/"+d.Name] = d.Action
	}
	return m
}

func TestTacacsProviderIsPlannedWithItsSystemAndRoles(t *testing.T) {
	n, c := start(t)
	before := n.Views.Digest()
	planned, err := c.Plan(t.Context(), files(routers))
	if err != nil {
		t.Fatal(err)
	}
	if n.Views.Digest() != before {
		t.Error("the plan changed something")
	}
	what := actions(planned)
	for _, key := range []string{"ServiceProvider/core", "InformationSystem/core", "Role/0@core", "Role/1@core", "Role/15@core"} {
		if what[key] != api.Create {
			t.Errorf("%s: %q", key, what[key])
		}
	}
	if len(what) != 19 || planned.Creates != 19 {
		t.Errorf("%d documents, %d of them new", len(what), planned.Creates)
	}
	applied := mustApply(t, c, routers)
	if applied.Fingerprint != planned.Fingerprint {
		t.Error("what was applied is not what was planned")
	}
	if again := mustApply(t, c, routers); again.Pending() {
		t.Errorf("the second time: %v", actions(again))
	}
	history, err := c.Document(t.Context(), "Role", "15@core")
	if err != nil || history.Version != 1 {
		t.Errorf("%+v, %v", history, err)
	}
}

func TestWhatIsThereAlreadyIsNotBroughtAnew(t *testing.T) {
	_, c := start(t)
	mustApply(t, c, "{kind: InformationSystem, name: campus, spec: {description: mine}}\n---\n{kind: Role, name: 15@campus, spec: {commands: [{permit: \"*\"}]}}\n")
	p := mustApply(t, c, strings.Replace(routers, "secret:", "system: campus, secret:", 1)+"---\n{kind: Role, name: 1@campus, spec: {description: given}}\n")
	what := actions(p)
	if _, brought := what["InformationSystem/campus"]; brought || what["Role/15@campus"] != "" || what["Role/1@campus"] != api.Create || what["Role/7@campus"] != api.Create || p.Creates != 2+15 {
		t.Errorf("%d: %v", p.Creates, what)
	}
	if d, err := c.Document(t.Context(), "Role", "1@campus"); err != nil || !strings.Contains(string(d.Spec), "given") {
		t.Errorf("%s, %v", d.Spec, err)
	}
	// A role that was deleted since stays deleted when the service provider changes.
	if err := c.DeleteDocument(t.Context(), "Role", "7@campus", 0, ""); err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(routers, "secret:", "singleConnect: false, system: campus, secret:", 1)
	if p := mustApply(t, c, changed); p.Creates != 0 || p.Updates != 1 {
		t.Errorf("%v", actions(p))
	}
	// Another system is a new one.
	if p := mustApply(t, c, strings.Replace(routers, "secret:", "system: lab, secret:", 1)); p.Creates != 17 {
		t.Errorf("%v", actions(p))
	}
}

func TestSystemStaysWhenItsProviderGoesAndTheProviderComesBack(t *testing.T) {
	_, c := start(t)
	mustApply(t, c, routers)
	p := refusedFor(t, c.DeleteDocument(t.Context(), "InformationSystem", "core", 0, ""), api.ReasonInvalid)
	if len(p.Errors) != 1 || !strings.Contains(p.Errors[0].Reason, "it is still referred to by") {
		t.Errorf("%+v", p.Errors)
	}
	if err := c.DeleteDocument(t.Context(), "ServiceProvider", "core", 0, ""); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"InformationSystem/core", "Role/0@core", "Role/15@core"} {
		kind, name, _ := strings.Cut(key, "/")
		if _, err := c.Document(t.Context(), kind, name); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	back, err := c.Revert(t.Context(), "ServiceProvider", "core", 1, "")
	if err != nil || back.Creates != 1 || len(back.Documents) != 1 {
		t.Fatalf("%+v, %v", back, err)
	}
	// Back also where its system and its roles are gone.
	if err := c.DeleteDocument(t.Context(), "ServiceProvider", "core", 0, ""); err != nil {
		t.Fatal(err)
	}
	for level := range 16 {
		if err := c.DeleteDocument(t.Context(), "Role", strings.Split("0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15", " ")[level]+"@core", 0, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.DeleteDocument(t.Context(), "InformationSystem", "core", 0, ""); err != nil {
		t.Fatal(err)
	}
	back, err = c.Revert(t.Context(), "ServiceProvider", "core", 1, "")
	if err != nil || back.Creates != 18 || back.Documents[0].Name != "core" || back.Documents[0].Kind != "ServiceProvider" {
		t.Errorf("%+v, %v", back, err)
	}
	if _, err := c.Document(t.Context(), "Role", "7@core"); err != nil {
		t.Error(err)
	}
}

func TestSystemThatWasDeletedComesBackAsANewVersion(t *testing.T) {
	_, c := start(t)
	mustApply(t, c, "{kind: InformationSystem, name: core}\n")
	if err := c.DeleteDocument(t.Context(), "InformationSystem", "core", 0, ""); err != nil {
		t.Fatal(err)
	}
	p := mustApply(t, c, routers)
	if i := slices.IndexFunc(p.Documents, func(d api.PlannedDocument) bool { return d.Kind == "InformationSystem" }); i < 0 || p.Documents[i].Result != 2 {
		t.Errorf("%+v", p.Documents)
	}
}
