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
	d.inheritShared(old)
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

// inheritShared resolves the marks of shared secrets.
func (d *Document) inheritShared(old *Document) {
	sp, ok := d.Spec.(*ServiceProvider)
	if !ok || old == nil {
		return
	}
	if before, ok := old.Spec.(*ServiceProvider); ok {
		theirs := before.shared()
		for block, mine := range sp.shared() {
			if was := theirs[block]; was != nil {
				mine.inherit(was)
			}
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
