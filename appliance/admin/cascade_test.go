package admin_test

import (
	"fmt"
	"strings"
	"testing"

	"trine/appliance/admin/api"
	"trine/engine/state"
)

// people are documents that refer to each other in every way that roles, accounts and endpoints can.
const people = `
kind: InformationSystem
name: erp
---
kind: Role
name: admin@erp
---
kind: Group
name: office
spec: {roles: [{role: admin@erp}]}
---
kind: User
name: Alice
spec: {primaryGroup: office, roles: [{role: admin@erp, notAfter: "2030-01-01"}], password: wonderland}
---
kind: Account
name: alice@erp
spec: {owner: alice}
---
kind: Endpoint
name: 00:10:a4:23:19:c0
spec: {group: office, owner: ALICE}
---
kind: Endpoint
name: 00:10:a4:23:19:c1
spec: {group: office}
`

func TestWhatIsReferredToStaysAndSaysToWhom(t *testing.T) {
	n, c := start(t)
	mustApply(t, c, people)
	before := n.Views.Digest()
	for _, d := range []struct{ kind, name, words string }{
		{"Group", "office", "it is still referred to by User alice, Endpoint 00-10-A4-23-19-C0, Endpoint 00-10-A4-23-19-C1; change or delete those first"},
		{"Role", "admin@erp", "it is still referred to by Group office, User alice; change or delete those first"},
		{"InformationSystem", "erp", "it is still referred to by Role admin@erp, Account alice@erp; change or delete those first"},
	} {
		p := refusedFor(t, c.DeleteDocument(t.Context(), d.kind, d.name, 0, ""), api.ReasonInvalid)
		if len(p.Errors) != 1 || p.Errors[0].Reason+"; "+p.Errors[0].Suggestion != d.words {
			t.Errorf("%s %s: %+v", d.kind, d.name, p.Errors)
		}
	}
	if n.Views.Digest() != before {
		t.Error("something was changed")
	}
	var many strings.Builder
	for i := range 5 {
		fmt.Fprintf(&many, "---\nkind: User\nname: u%d\nspec: {roles: [{role: admin@erp}]}\n", i)
	}
	mustApply(t, c, many.String())
	p := refusedFor(t, c.DeleteDocument(t.Context(), "Role", "admin@erp", 0, ""), api.ReasonInvalid)
	if !strings.Contains(p.Errors[0].Reason, "Group office, User alice, User u0 and others") {
		t.Error(p.Errors)
	}
}

func TestUserTakesWhatIsHisWithHim(t *testing.T) {
	n, c := start(t)
	mustApply(t, c, people)
	if err := c.DeleteDocument(t.Context(), "user", "ALICE", 0, "left"); err != nil {
		t.Fatal(err)
	}
	var u state.User
	for _, key := range []string{"User/alice", "Account/alice@erp", "Endpoint/00-10-A4-23-19-C0"} {
		kind, name, _ := strings.Cut(key, "/")
		if _, ok := n.Views.Document(kind, name); ok {
			t.Errorf("%s is left", key)
		}
	}
	if n.Views.UserNamed(&u, "alice") {
		t.Error("his password is left")
	}
	if _, ok := n.Views.Document("Endpoint", "00-10-A4-23-19-C1"); !ok {
		t.Error("an endpoint that is nobody's is gone")
	}
	for _, d := range [][2]string{{"Endpoint", "0010a42319c1"}, {"Group", "office"}, {"Role", "admin@erp"}, {"InformationSystem", "erp"}} {
		if err := c.DeleteDocument(t.Context(), d[0], d[1], 0, ""); err != nil {
			t.Errorf("%s %s, to which nothing refers any more: %v", d[0], d[1], err)
		}
	}
}

func TestUserIsShownWithHisNumberAndWhoMadeHim(t *testing.T) {
	_, c := start(t)
	mustApply(t, c, people)
	mustApply(t, c, strings.Replace(people, "primaryGroup: office", "groups: [office]", 1))
	d, err := c.Document(t.Context(), "User", "alice")
	if err != nil {
		t.Fatal(err)
	}
	if d.ID != 1 || d.Version != 2 || d.CreatedAt == nil || d.CreatedBy == "" || d.ModifiedAt == nil || d.ModifiedBy == "" {
		t.Errorf("%+v", d)
	}
	if g, err := c.Document(t.Context(), "Group", "office"); err != nil || g.ID != 0 || g.CreatedBy == "" {
		t.Errorf("%+v, %v", g, err)
	}
}
