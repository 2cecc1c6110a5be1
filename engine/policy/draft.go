package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"trine/engine/attribute"
	"trine/engine/document"
	"trine/engine/state"
)

// maxOthers is how many objects that a change would break a draft names, beside the changed ones.
const maxOthers = 50

// Draft is what a change to documents would do to the cache.
type Draft struct {
	// Problems are the objects that would be broken by the change: the changed documents that cannot be compiled, and others
	// that would no longer work.
	Problems document.Problems
	// Warnings name what in the changed documents has no effect, the matrices that nobody can satisfy, and the service providers whose logins would
	// all be rejected, because their identity provider is switched off or asks for what they do not carry: that can be what is wanted.
	Warnings document.Problems
	// Cache is what would be in force, with what is broken in it; its Index is that of the cache below.
	Cache *Cache
}

// Compiles reports whether documents of a kind are compiled into a cache. Those of other kinds are rows in state.
func Compiles(kind string) bool { return slices.Contains(kinds[:], kind) }

// Draft compiles the given documents, without those whose keys ("Kind/name") are deleted, on top of what is published, and
// tells what would come of it. Secrets may be clear text or sealed, but not the mark of an unchanged one. Nothing is published.
func (c *Compiler) Draft(changed []*document.Document, deleted []string) Draft {
	base := c.current.Load()
	touched := make(map[state.Key]*document.Document, len(changed))
	changes := map[state.Key]change{}
	for _, key := range deleted {
		kind, name, _ := strings.Cut(key, "/")
		k := state.Key{Kind: kind, Name: name}
		if _, compiled := base.version(k); compiled {
			changes[k] = change{kind: kind, name: name}
		}
	}
	var d Draft
	for _, doc := range changed {
		k := state.Key{Kind: doc.Kind, Name: doc.Name}
		touched[k] = doc
		d.Warnings = append(d.Warnings, warnings(doc)...)
		if slices.Contains(kinds[:], doc.Kind) {
			changes[k] = change{kind: doc.Kind, name: doc.Name, doc: doc}
		}
	}
	list := make([]change, 0, len(changes))
	for _, ch := range changes {
		list = append(list, ch)
	}
	next, _ := base.apply(&c.env, list)
	d.Cache = &Cache{Index: base.index, Built: c.clock(), tables: next.tables}
	d.Cache.tables.members = new(members) // drafted users have symbols of their own

	before := map[state.Key]bool{}
	for _, b := range base.broken() {
		before[state.Key{Kind: b.Kind, Name: b.Name}] = true
	}
	var broken, off int // objects that the change does not touch
	add := func(p problem) {
		into, others := &d.Problems, &broken
		if p.off {
			into, others = &d.Warnings, &off
		}
		if touched[state.Key{Kind: p.Kind, Name: p.Name}] == nil {
			if *others++; *others > maxOthers {
				return
			}
		}
		*into = append(*into, p.Problem)
	}
	for _, b := range next.broken() {
		k := state.Key{Kind: b.Kind, Name: b.Name}
		doc := touched[k]
		if doc == nil && before[k] {
			continue // not this change's doing
		}
		for _, p := range problems(b, doc) {
			add(p)
		}
	}
	for _, p := range next.closedWarnings(touched) {
		add(p)
	}
	d.Warnings = append(d.Warnings, next.changeWarnings(touched)...)
	refused, doubtful := c.env.sharedSecrets(base, next, touched, c.clock())
	d.Problems, d.Warnings = append(d.Problems, refused...), append(d.Warnings, doubtful...)
	if more := broken - maxOthers; more > 0 {
		d.Problems = append(d.Problems, document.Problem{Reason: fmt.Sprintf("%d more objects would no longer work", more)})
	}
	if more := off - maxOthers; more > 0 {
		d.Warnings = append(d.Warnings, document.Problem{Reason: fmt.Sprintf("every login through %d more service providers will be rejected", more)})
	}
	return d
}

// problem is a problem, or a warning where logins would all be rejected: that can be what is wanted.
type problem struct {
	document.Problem
	off bool
}

// at says where in a document the problem is; nowhere if that is nil.
func (p problem) at(doc *document.Document) problem {
	if doc != nil {
		at := doc.At(p.Field)
		p.File, p.Line, p.Column = at.File, at.Line, at.Column
	}
	return p
}

// lined is an error about one line of a reply template, counted from 1.
type lined interface {
	error
	Line() int
	Unwrap() error
}

// problems tells an author each thing that is wrong with an object; doc is nil where he did not touch it.
func problems(b Broken, doc *document.Document) []problem {
	all := []error{b.Err}
	if many, ok := b.Err.(interface{ Unwrap() []error }); ok {
		all = many.Unwrap()
	}
	var out []problem
	for _, err := range all {
		var off *offError
		p := problem{Problem: document.Problem{Kind: b.Kind, Name: b.Name, Reason: err.Error()}, off: errors.As(err, &off)}
		var field *attribute.FieldError
		if errors.As(err, &field) {
			path, reason := field.Innermost()
			p.Field, p.Reason = "spec."+path, reason.Error()
			var one lined
			if errors.As(reason, &one) {
				p.Field, p.Reason = fmt.Sprintf("%s[%d]", p.Field, one.Line()-1), one.Unwrap().Error()
			}
		}
		p = p.at(doc)
		switch {
		case p.off:
			p.Reason = "every login will be rejected: " + p.Reason
		case doc == nil:
			p.Reason = "would no longer work: " + p.Reason
		}
		out = append(out, p)
	}
	return out
}

// changeWarnings tells of user types whose people may change their password and cannot at devices: MS-CHAPv2, by which RADIUS changes them, needs forms that are not kept. Where no service
// provider of type radius has an identity provider that takes MS-CHAPv2, nobody misses it.
func (m *model) changeWarnings(touched map[state.Key]*document.Document) (out document.Problems) {
	for _, doc := range touched {
		spec, ok := doc.Spec.(*document.UserType)
		if !ok || !spec.Password.AllowChange || spec.Password.Keeps(document.FormNT) || spec.Password.Keeps(document.FormClear) {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(m.tables.clients)) {
			c := m.tables.clients[name]
			if c.Spec == nil || c.Spec.Radius == nil || c.Issuer == nil || c.Broken != nil || !c.Issuer.Accepts(document.TypeRadius).MSCHAPv2 {
				continue
			}
			out = append(out, problem{Problem: document.Problem{
				Kind: doc.Kind, Name: doc.Name, Field: "spec.password.allowChange", Suggestion: "add nt to spec.password.keep if they are to",
				Reason: fmt.Sprintf("nobody can change his password at devices of the ServiceProvider %q, as MS-CHAPv2 needs the form nt or clear", name),
			}}.at(doc).Problem)
			break
		}
	}
	slices.SortFunc(out, func(a, b document.Problem) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// warnings says what in a document has no effect for reasons that only a cache knows. What a release does not have yet is
// told by the document itself.
func warnings(d *document.Document) document.Problems {
	var out document.Problems
	warn := func(field, text string) {
		at := d.At(field)
		out = append(out, document.Problem{
			File: at.File, Line: at.Line, Column: at.Column, Kind: d.Kind, Name: d.Name, Field: field, Reason: text,
		})
	}
	switch spec := d.Spec.(type) {
	case *document.AttributeDefinition:
		for _, w := range attribute.NewDefinition(d.Name, spec, 0).Warnings() {
			warn(w.Field, w.Text)
		}
	case *document.ServiceProvider:
		if c, err := uid(d.Name, spec); c != nil && err == nil {
			for _, text := range c.Warnings() {
				warn("spec.uidScript", text)
			}
		}
		if t := spec.Tacacs; t != nil && t.AuthorizationRules != "" {
			if a, err := newAuthorizationScript(d.Name, t.AuthorizationRules); err == nil {
				for _, text := range a.Warnings() {
					warn("spec.tacacs.authorizationRules", text)
				}
			}
		}
		for i := range spec.AuthorizationPolicy {
			for _, text := range attribute.ConditionWarnings(spec.AuthorizationPolicy[i].Condition) {
				warn(fmt.Sprintf("spec.authorizationPolicy[%d].condition", i), text)
			}
		}
	case *document.AttributePolicy:
		for _, w := range attribute.PolicyWarnings(spec) {
			warn(w.Field, w.Text)
		}
		if len(spec.Attributes) == 0 {
			warn("spec.attributes", "a policy without attributes releases and hides nothing")
		}
	case *document.IdentityProvider:
		if r := spec.Profiles.Radius; r != nil && r.Enabled && !r.PAP && !r.CHAP && !r.MSCHAPv1 && !r.MSCHAPv2 {
			warn("spec.profiles.radius", fmt.Sprintf("every method of %s is switched off: it rejects every login", d.Name))
		}
		if t := spec.Profiles.Tacacs; t != nil && t.Enabled && !t.ASCII && !t.PAP && !t.CHAP && !t.MSCHAPv1 && !t.MSCHAPv2 {
			warn("spec.profiles.tacacs", fmt.Sprintf("every method of %s is switched off: it rejects every login", d.Name))
		}
		if p, err := newLogin(&spec.Authentication); err == nil {
			for i := range p.Rules {
				for _, text := range p.Rules[i].Warnings() {
					warn(fmt.Sprintf("spec.authentication.adaptiveRules[%d].script", i), text)
				}
			}
		}
		if a := &spec.Authentication; len(a.Matrix) == 0 && d.Gives("spec.authentication.matrix") {
			warn("spec.authentication.matrix", "a matrix without ways counts as none: a password suffices")
		}
	}
	return out
}
