package attribute

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trine/engine/document"
	"trine/engine/script"
	"trine/engine/state"
	"trine/engine/trace"
)

// cabinet knows everybody's accounts.
type cabinet struct{}

func (cabinet) OwnedAccounts(owner []byte) []state.OwnedAccount {
	if string(owner) != "alice" {
		return nil
	}
	return []state.OwnedAccount{
		{System: "ad", Name: "aliddell", Enabled: true, Attributes: map[string][]string{"ou": {"Tea"}}},
		{System: "unix", Name: "alice", Attributes: map[string][]string{"ou": {"none"}}},
	}
}

// aliceFacts are facts about Alice.
func aliceFacts() *Facts {
	return &Facts{
		Subject: alice(), Principal: []byte("alice"), Authentication: Password, Accounts: cabinet{}, Roles: texts("reader@erp"),
		Requester: &Party{PublicID: "wlan"}, Issuer: &Party{PublicID: "home"}, Now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
}

// settle runs pending scripts in this process and asks anew, until ask needs none any more.
func settle(t *testing.T, f *Facts, ask func()) {
	t.Helper()
	host := script.NewHost()
	for range 10 {
		ask()
		if f.Pending() == nil {
			return
		}
		j := &script.Job{Timeout: time.Minute}
		f.Job(j)
		b, err := j.Encode()
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		j.Settle(host.Run(b, func() time.Duration { return time.Since(began) }))
		was := *f
		f.Provide(j.Value, j.Err)
		if _, err := f.Failure(); err != nil {
			return
		}
		f.Subject, f.Principal, f.Authentication, f.Accounts = was.Subject, was.Principal, was.Authentication, was.Accounts
		f.Roles, f.Requester, f.Issuer, f.Now = was.Roles, was.Requester, was.Issuer, was.Now
	}
	t.Fatal("it never ends")
}

func TestEveryVariableHasItsValue(t *testing.T) {
	for _, c := range []struct{ expression, want string }{
		{`string(id)`, "7"},
		{`userName + "|" + user.userName`, "alice|alice"},
		{`shortName`, "al"},
		{`firstName + "|" + lastName`, "Alice|Liddell"},
		{`fullName`, "Alice Liddell"},
		{`mail + "@" + mailDomain`, "alice@example.org"},
		{`mobile`, "+4412345"},
		{`directoryDN`, "cn=alice"},
		{`userType`, "internal"},
		{`primaryGroup`, "staff"},
		{`groups`, "it|staff|vpn"},
		{`aliases`, "al@x"},
		{`attributes.values("company")`, "Wonder Ltd|Tea Party"},
		{`user.attributes.first("floor")`, "3"},
		{`roles`, "reader@erp"},
		{`accounts.map(a, a.system + "/" + a.name + "/" + string(a.enabled))`, "ad/aliddell/true|unix/alice/false"},
		{`serviceProvider + "|" + identityProvider + "|" + authenticationMethod`, "wlan|home|P"},
		{`string(now)`, "2026-03-01T12:00:00Z"},
	} {
		t.Run(c.expression, func(t *testing.T) {
			d := NewDefinition("x", &document.AttributeDefinition{Expression: c.expression}, 0)
			f := aliceFacts()
			got := joinValues(f.Values(d))
			if _, err := f.Failure(); d.Broken != nil || err != nil || got != c.want {
				t.Errorf("%q, %v, %v", got, d.Broken, err)
			}
		})
	}
	f := &Facts{}
	if got := f.Values(NewDefinition("x", &document.AttributeDefinition{Expression: `userName + serviceProvider + attributes.first("x")`}, 0)); len(got) > 0 {
		t.Errorf("nobody has %q", got)
	}
}

func TestAttributeExamplesOfTheHandbook(t *testing.T) {
	files, err := filepath.Glob("../../docs/examples/scripts/*.yaml")
	if err != nil || len(files) != 3 {
		t.Fatal(files, err)
	}
	nobody := &person{fields: map[Field][]byte{FieldUserName: []byte("bob"), FieldFullName: []byte("Bob Weiß")}, custom: map[string][][]byte{"company": texts("")}}
	want := map[string][2]string{
		"full-name-upper": {"ALICE LIDDELL", "BOB WEISS"},
		"company":         {"Wonder Ltd|Tea Party", "Soffid"},
		"ou":              {"Tea", ""},
	}
	for _, file := range files {
		text, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		docs, err := document.Parse(file, text)
		if text.Close(); err != nil || len(docs) != 2 {
			t.Fatalf("%s: %d documents, %v", file, len(docs), err)
		}
		for _, doc := range docs {
			d := NewDefinition(doc.Name, doc.Spec.(*document.AttributeDefinition), 0)
			if d.Broken != nil {
				t.Fatalf("%s: %v", doc.Name, d.Broken)
			}
			name, handbook := strings.CutSuffix(doc.Name, "-handbook")
			for i, subject := range []*person{alice(), nobody} {
				f := aliceFacts()
				f.Subject = subject
				got := ""
				settle(t, f, func() { got = joinValues(f.Values(d)) })
				expected := want[name][i]
				if name == "company" && !handbook && i == 0 {
					expected = "Wonder Ltd" // the first
				}
				if _, err := f.Failure(); err != nil || got != expected {
					t.Errorf("%s: %q instead of %q, %v", doc.Name, got, expected, err)
				}
			}
		}
	}
}

func TestOnlyScriptsThatAreNeededRun(t *testing.T) {
	yes := NewDefinition("yes", &document.AttributeDefinition{Script: `return "x"`}, 0)
	bad := NewDefinition("bad", &document.AttributeDefinition{Script: `throw "never needed"`}, 1)
	after := NewDefinition("after", &document.AttributeDefinition{Script: `return "y"`}, 2)
	lookup := func(name string) *Definition {
		return map[string]*Definition{"yes": yes, "bad": bad, "after": after}[name]
	}
	is := func(name, value string) *document.Condition {
		return &document.Condition{Test: document.TestAttributeValue, Name: name, Value: value}
	}
	// yes is x, so bad does not count; but a value that is not known yet is not x.
	condition, err := NewCondition("AttributePolicy p", &document.Condition{Test: document.TestOr, Terms: []*document.Condition{
		{Test: document.TestAnd, Terms: []*document.Condition{{Test: document.TestNot, Terms: []*document.Condition{is("yes", "x")}}, is("bad", "z")}},
		is("after", "y"),
	}}, lookup)
	if err != nil {
		t.Fatal(err)
	}
	f, holds, asked := aliceFacts(), false, 0
	settle(t, f, func() { holds = condition.Eval(f); asked++ })
	if _, err := f.Failure(); err != nil || !holds || asked != 3 {
		t.Errorf("%v, %v, asked %d times", holds, err, asked)
	}
}

func TestValueThatCannotBeComputedIsAFailure(t *testing.T) {
	for _, c := range []struct {
		name string
		spec document.AttributeDefinition
		code string
		text string
	}{
		{"expression", document.AttributeDefinition{Expression: "true\n ? groups[17] : ''"}, "expression.failed", "line 2, column "},
		{"script", document.AttributeDefinition{Script: "\n\nthrow 'no'"}, "script.failed", "line 3, column 1: no"},
		{"wrong type", document.AttributeDefinition{Script: "return 1"}, "script.wrong-type", "a number"},
		{"expression that does not compile", document.AttributeDefinition{Expression: "nosuch"}, "expression.failed", "it does not compile: line 1, column 1"},
		{"script that does not compile", document.AttributeDefinition{Script: "return +"}, "script.failed", "it does not compile: line 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := NewDefinition("x", &c.spec, 0)
			if (d.Broken != nil) != strings.Contains(c.name, "not compile") {
				t.Fatal(d.Broken)
			}
			f := aliceFacts()
			settle(t, f, func() {
				if got := f.Values(d); len(got) > 0 {
					t.Errorf("%q", got)
				}
			})
			failed, err := f.Failure()
			if failed == nil || failed.Document != "AttributeDefinition x" || script.Code(err) != c.code || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%v: %s, %v", failed, script.Code(err), err)
			}
			if f.Reset(); f.Pending() != nil {
				t.Error("it is pending after all")
			}
			if _, err := f.Failure(); err != nil {
				t.Error("the next request fails with it")
			}
		})
	}
}

func TestBrokenDefinitionTellsFieldAndPlace(t *testing.T) {
	for field, spec := range map[string]*document.AttributeDefinition{
		"expression": {Expression: "userName ==\n nosuch ? 'a' : 'b'"}, "script": {Script: "return\n\t+;"},
	} {
		var in *FieldError
		var at *script.SyntaxError
		d := NewDefinition("x", spec, 0)
		if !errors.As(d.Broken, &in) || in.Field != field || !errors.As(d.Broken, &at) || at.Line != 2 {
			t.Errorf("%s: %v", field, d.Broken)
		}
	}
}

func TestScriptInTheHandbooksLanguageIsWarnedAbout(t *testing.T) {
	d := NewDefinition("x", &document.AttributeDefinition{Script: "for (a : groups) { a{0}; a{1} }"}, 0)
	w := d.Warnings()
	if len(w) != 2 || w[0].Field != "spec.script" || !strings.Contains(w[0].Text, "line 1, column 8: for (v : list)") || !strings.Contains(w[1].Text, `x{"k"}`) {
		t.Errorf("%v", w)
	}
	if w := NewDefinition("x", &document.AttributeDefinition{Script: "return 'x'"}, 0).Warnings(); len(w) > 0 {
		t.Errorf("%v", w)
	}
}

// TestCodesOfScriptsAreReasons holds package script, which knows no reasons, to the table of them.
func TestCodesOfScriptsAreReasons(t *testing.T) {
	for _, cause := range []error{
		script.ErrExpression, script.ErrThrown, script.ErrTimeout, script.ErrWrongType, script.ErrQueueFull, script.ErrDeadline, script.ErrUnavailable,
	} {
		code := script.Code(&script.Error{Cause: cause})
		if _, known := trace.Reason(code).Info(); !known {
			t.Errorf("%v has the code %s, which is no reason", cause, code)
		}
	}
}

func BenchmarkComputedAttribute(b *testing.B) {
	d := NewDefinition("x", &document.AttributeDefinition{Expression: `attributes.first("company").orElse("Soffid")`}, 0)
	f := aliceFacts()
	b.ReportAllocs()
	for b.Loop() {
		was := *f
		f.Reset()
		f.Subject, f.Requester, f.Issuer = was.Subject, was.Requester, was.Issuer
		if len(f.Values(d)) != 1 {
			b.Fatal(f.Failure())
		}
	}
}
