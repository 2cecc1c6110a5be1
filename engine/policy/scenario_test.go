package policy

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"trine/engine/attribute"
	"trine/engine/document"
	"trine/engine/state"
	"trine/engine/trace"
)

// TestScenarios runs testdata/*.txt: blocks of a command, its input, ---- and its output. Each file is a cluster of its own.
// `go test ./engine/policy -run Scenarios -rewrite` writes the outputs anew: review the difference.
//
//	apply                         documents: stores and compiles them
//	delete KEY...                 deletes documents
//	client ADDRESS                who asks from there
//	release CLIENT USER [METHOD]  what is released; with `trace` at the end also why
//	replies CLIENT USER           templates in the order of their precedence
//	roles USER DAY                the roles that a person has on a day
//	required CLIENT USER DAY      which of the roles that a client requires a person has on a day
//	limit USER                    how many sessions a person may have
//	draft [KEY...]                documents: what storing them, and deleting the keys, would break
//	broken                        what is broken
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		r := newRig(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			args := make([]string, len(d.CmdArgs))
			for i, a := range d.CmdArgs {
				args[i] = a.Key
			}
			if got := r.run(t, d.Cmd, args, d.Input); got != "" {
				return got
			}
			return "nothing"
		})
	})
}

func (r *rig) run(t *testing.T, command string, args []string, input string) string {
	t.Helper()
	switch command {
	case "apply":
		docs, err := r.parse(input)
		if err != nil {
			return err.Error()
		}
		r.seal(t, docs)
		return r.compiled(func() { r.state.put(docs) })
	case "delete":
		return r.compiled(func() { r.state.put(nil, args...) })
	case "client":
		c := r.cache().ClientFor(document.TypeRadius, netip.MustParseAddr(args[0]))
		switch {
		case c == nil:
			return "a stranger"
		case c.Broken != nil:
			return c.Name + " is broken: " + strings.ReplaceAll(c.Broken.Error(), "\n", "; ")
		}
		return fmt.Sprintf("%s, decided by %s, secrets %s", c.Name, c.Issuer.Name, c.Wire)
	case "release":
		return r.release(t, args)
	case "replies":
		p := personOf(r.cache(), r.person(t, args[1]))
		var lines []string
		for _, reply := range p.Replies(nil, r.cache().Client(args[0]), nil) {
			lines = append(lines, strings.Join(reply.(*template).lines, ", "))
		}
		if g := p.BrokenGroup(); g != nil {
			lines = append(lines, "broken group "+g.Name)
		}
		if role := p.BrokenRole(); role != nil {
			lines = append(lines, "broken role "+role.Name)
		}
		return strings.Join(lines, "\n")
	case "limit":
		u := r.person(t, args[0])
		c := r.cache()
		return fmt.Sprint(personOf(c, u).SessionLimit(c.UserType(u.UserType)))
	case "roles":
		now, err := time.Parse(time.DateOnly, args[1])
		if err != nil {
			t.Fatal(err)
		}
		var p Person
		r.cache().Person(&p, r.person(t, args[0]), now.Unix())
		return string(bytes.Join(p.Roles(), []byte(" ")))
	case "required":
		now, err := time.Parse(time.DateOnly, args[2])
		if err != nil {
			t.Fatal(err)
		}
		var p Person
		r.cache().Person(&p, r.person(t, args[1]), now.Unix())
		if role := p.RequiredRole(r.cache().Client(args[0])); role != nil {
			return "has " + role.Name
		}
		return "has none of " + r.cache().Client(args[0]).RequiredRoles
	case "draft":
		docs, err := r.parse(input)
		if err != nil {
			return err.Error()
		}
		index := r.cache().Index
		d := r.compiler.Draft(docs, args)
		if r.cache().Index != index {
			t.Error("a draft published something")
		}
		var b strings.Builder
		for _, p := range d.Problems {
			fmt.Fprintln(&b, p.String())
		}
		for _, p := range d.Warnings {
			fmt.Fprintln(&b, "warning:", p.String())
		}
		return b.String()
	case "broken":
		return r.broken()
	}
	t.Fatalf("unknown command %q", command)
	return ""
}

// compiled stores, compiles, and says what work it took and what is broken.
func (r *rig) compiled(store func()) string {
	before := r.compiler.Stats()
	store()
	r.compiler.compile()
	after := r.compiler.Stats()
	return fmt.Sprintf("compiled %d, relinked %d\n", after.Compiled-before.Compiled, after.Relinked-before.Relinked) + r.broken()
}

func (r *rig) broken() string {
	var b strings.Builder
	for _, o := range r.compiler.Broken() {
		fmt.Fprintf(&b, "broken %s %s: %s\n", o.Kind, o.Name, strings.ReplaceAll(o.Err.Error(), "\n", "; "))
	}
	return b.String()
}

func (r *rig) person(t *testing.T, name string) *state.User {
	t.Helper()
	u := r.users[name]
	if u == nil {
		t.Fatalf("there is no user %q", name)
	}
	return person(name, u)
}

func (r *rig) release(t *testing.T, args []string) string {
	t.Helper()
	u := r.person(t, args[1])
	client := r.cache().Client(args[0])
	if client == nil {
		t.Fatalf("there is no client %q", args[0])
	}
	f := attribute.Facts{Subject: attribute.OfUser(u), Principal: u.Name, Authentication: attribute.Password, Customs: r.cache().Customs()}
	var steps trace.Trace
	for _, a := range args[2:] {
		if a == "trace" {
			steps.Start(time.Now())
			f.Trace = &steps
			continue
		}
		for m := attribute.Unauthenticated; m <= attribute.Certificate; m++ {
			if m.Code() == a {
				f.Authentication = m
			}
		}
	}
	var lines []string
	for _, a := range r.cache().Release(nil, client, &f) {
		var values []string
		for _, v := range a.Values {
			values = append(values, string(v))
		}
		lines = append(lines, fmt.Sprintf("%s: %s", a.Attribute.Wire, strings.Join(values, ", ")))
	}
	for i := range steps.Len() {
		s := steps.Step(i)
		lines = append(lines, s.Code.Words(string(s.Subject), string(s.Detail)))
	}
	return strings.Join(lines, "\n")
}
