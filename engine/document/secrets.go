package document

import (
	"reflect"
	"slices"

	"trine/engine/secret"
)

// SecretContext is what the document's secrets are sealed with beside their key: the document's own key. A sealed secret that
// is copied into another document does not open there; within its document it may move, as when one of two expires.
func (d *Document) SecretContext() []byte { return []byte(d.Key()) }

// EachSecret calls f with each secret that the document has and with its path, in the order of the fields. What f writes
// through the pointer stays. A user's password is among them, although it is never stored in the document.
func (d *Document) EachSecret(f func(path string, t *secret.Text)) {
	eachSecret(reflect.ValueOf(d.Spec).Elem(), "spec", f)
}

func eachSecret(v reflect.Value, path string, f func(path string, t *secret.Text)) {
	for _, field := range schemas[v.Type()] {
		at, where := v.FieldByIndex(field.index), join(path, field.name)
		if at.Type() == typeText {
			if t := at.Addr().Interface().(*secret.Text); !t.IsZero() {
				f(where, t)
			}
			continue
		}
		eachStruct(at, where, func(v reflect.Value, path string) { eachSecret(v, path, f) })
	}
}

// Inherit puts the secrets of the version in force where the document has the mark of an unchanged one. Old is nil where there
// is no such version. A mark that stands for no secret, or for one that cannot be told from others, is a problem. Afterwards
// the document has no marks left, but those with a problem.
func (d *Document) Inherit(old *Document) Problems {
	var problems Problems
	if u, ok := d.Spec.(*User); ok {
		for _, t := range []*secret.Text{&u.Password, &u.PasswordHash} {
			if t.IsRedacted() {
				*t = secret.Text{}
			}
		}
		return nil
	}
	have := map[string]secret.Text{}
	if old != nil {
		old.EachSecret(func(path string, t *secret.Text) { have[path] = *t })
	}
	d.inheritRadius(old)
	d.EachSecret(func(path string, t *secret.Text) {
		if !t.IsRedacted() {
			return
		}
		if present, ok := have[path]; ok && !listed(path) {
			*t = present
			return
		}
		reason := "the mark " + secret.Mark + " stands for the secret in force, and there is none"
		if listed(path) && len(have) > 0 {
			reason = "the mark " + secret.Mark + " stands for one of the secrets in force, and it cannot be told which"
		}
		problems = append(problems, d.problem(path, reason, "write the secret"))
	})
	return problems
}

func listed(path string) bool { return path[len(path)-1] == ']' || slices.Contains([]byte(path), '[') }

// inheritRadius tells which of several shared secrets a mark stands for: the one with the same time of validity where just one
// has it; else, where as many marks are left as secrets in force, they stand for each other in order.
func (d *Document) inheritRadius(old *Document) {
	sp, ok := d.Spec.(*ServiceProvider)
	if !ok || sp.Radius == nil || old == nil {
		return
	}
	before, ok := old.Spec.(*ServiceProvider)
	if !ok || before.Radius == nil {
		return
	}
	same := func(a, b *RadiusSecret) bool { return a.NotBefore.Equal(b.NotBefore) && a.NotAfter.Equal(b.NotAfter) }
	count := func(list []RadiusSecret, like *RadiusSecret, marks bool) int {
		n := 0
		for i := range list {
			if same(&list[i], like) && (!marks || list[i].Value.IsRedacted()) {
				n++
			}
		}
		return n
	}
	mine, theirs := sp.Radius.Secrets, before.Radius.Secrets
	taken := make([]bool, len(theirs))
	first := slices.Clone(mine)
	for i := range mine {
		if !first[i].Value.IsRedacted() || count(first, &first[i], true) != 1 || count(theirs, &first[i], false) != 1 {
			continue
		}
		for j := range theirs {
			if same(&theirs[j], &mine[i]) {
				mine[i].Value, taken[j] = theirs[j].Value, true
			}
		}
	}
	var marks, left []int
	for i := range mine {
		if mine[i].Value.IsRedacted() {
			marks = append(marks, i)
		}
	}
	for j := range theirs {
		if !taken[j] {
			left = append(left, j)
		}
	}
	if len(marks) == len(left) {
		for k, i := range marks {
			mine[i].Value = theirs[left[k]].Value
		}
	}
}

// Warnings names the fields that are stored but take effect only with a capability that this release does not have.
func (d *Document) Warnings() Problems {
	var out Problems
	d.warn(reflect.ValueOf(d.Spec).Elem(), "spec", &out)
	return out
}

func (d *Document) warn(v reflect.Value, path string, out *Problems) {
	e := &encoder{secret: redact}
	for _, f := range schemas[v.Type()] {
		at, where := v.FieldByIndex(f.index), join(path, f.name)
		if f.later == "" {
			eachStruct(at, where, func(v reflect.Value, path string) { d.warn(v, path, out) })
			continue
		}
		n := e.field(&f, at)
		if n == nil {
			continue
		}
		for _, leaf := range leaves(n, where, nil) {
			*out = append(*out, d.problem(leaf.path, "the field takes effect with "+f.later+", which this release does not have yet", ""))
		}
	}
}
