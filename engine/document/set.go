package document

import (
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Lookup reads the documents in force, for ValidateAll.
type Lookup interface {
	// Document returns the document with a key such as "Group/staff" as it is in force, or nil.
	Document(key string) *Document
	// Holder returns the key of the document that holds a claim.
	Holder(claim string) (key string, held bool)
	// Referrers yields the keys of documents that refer to a key.
	Referrers(key string) iter.Seq[string]
}

// ValidateAll reports what is wrong with changes that are to take effect together: what Validate reports of each, references
// to what does not exist, claims that another document holds, circles among groups and among identity providers, documents
// that are given twice, and deletions of what is still referred to. Deleted holds keys.
func ValidateAll(changed []*Document, deleted []string, look Lookup) Problems {
	s := &set{look: look, changed: make(map[string]*Document, len(changed)), deleted: make(map[string]bool, len(deleted)), stored: map[string]*Document{}}
	for _, d := range changed {
		key := d.Key()
		if first, twice := s.changed[key]; twice {
			where := ""
			if first.Source.Line > 0 {
				where = fmt.Sprintf(", first at %s:%d", first.Source.File, first.Source.Line)
			}
			s.fail(d, "", "", "the document is given twice%s", where)
			continue
		}
		s.changed[key] = d
	}
	for _, key := range deleted {
		s.deleted[key] = true
	}
	s.claimed = make(map[string]string, len(changed))
	referred := map[string]bool{} // keys that changed documents refer to and that are deleted
	for _, d := range changed {
		if s.changed[d.Key()] != d {
			continue
		}
		s.problems = append(s.problems, Validate(d)...)
		r := d.relations()
		s.references(d, r, referred)
		s.claims(d, r)
		s.circles(d)
		s.password(d)
		s.site(d)
	}
	for _, d := range changed { // what the others claim is known by now
		if s.changed[d.Key()] == d {
			s.places(d)
		}
	}
	for _, key := range deleted {
		s.deletion(key, referred)
	}
	return bounded(s.problems)
}

// set is changes together with what they change.
type set struct {
	look     Lookup
	changed  map[string]*Document
	deleted  map[string]bool
	stored   map[string]*Document // what look said
	claimed  map[string]string    // claim -> key of the changed document that makes it
	problems Problems
}

func (s *set) fail(d *Document, path, suggestion, format string, args ...any) {
	s.problems = append(s.problems, d.problem(path, fmt.Sprintf(format, args...), suggestion))
}

// find returns the document that a key names once the changes are in effect, or nil.
func (s *set) find(key string) *Document {
	if d, ok := s.changed[key]; ok {
		return d
	}
	if s.deleted[key] {
		return nil
	}
	d, known := s.stored[key]
	if !known {
		d = s.look.Document(key)
		s.stored[key] = d
	}
	return d
}

func (s *set) references(d *Document, r *relations, referred map[string]bool) {
	told := map[string]bool{}
	for _, ref := range r.refs {
		if s.find(ref.key) != nil || told[ref.key+ref.path] {
			continue
		}
		told[ref.key+ref.path] = true
		kind, name, _ := strings.Cut(ref.key, "/")
		if s.deleted[ref.key] {
			referred[ref.key] = true
			s.fail(d, ref.path, "", "the %s %q is deleted by the same change", kind, name)
			continue
		}
		s.fail(d, ref.path, s.suggestName(kind, name), "there is no %s named %q", kind, name)
	}
}

// suggestName looks for a near name among what is applied together.
func (s *set) suggestName(kind, name string) string {
	if len(s.changed) > 10_000 {
		return ""
	}
	var names []string
	for _, d := range s.changed {
		if d.Kind == kind {
			names = append(names, d.Name)
		}
	}
	slices.Sort(names)
	return suggest(name, names)
}

// holder returns who holds a claim once the changes are in effect, as far as they were looked at. What is changed claims anew, and what is deleted claims nothing.
func (s *set) holder(claim string) (key string, held bool) {
	if key, held = s.claimed[claim]; held {
		return key, true
	}
	if key, held = s.look.Holder(claim); held {
		_, anew := s.changed[key]
		held = !anew && !s.deleted[key]
	}
	return key, held
}

func (s *set) claims(d *Document, r *relations) {
	key := d.Key()
	for _, c := range r.claims {
		holder, held := s.holder(c.key)
		if _, known := s.claimed[c.key]; !known {
			s.claimed[c.key] = key
		}
		if held && holder != key {
			kind, name, _ := strings.Cut(holder, "/")
			s.fail(d, c.path, "", "%s is held by %s %s", claimWords(c.key), kind, name)
		}
	}
}

// claimWords says in words what a claim is of.
func claimWords(claim string) string {
	what, value, _ := strings.Cut(claim, "/")
	switch what {
	case "login":
		return fmt.Sprintf("the login name %q", value)
	case "publicID":
		return fmt.Sprintf("the public id %q", value)
	case "prefix":
		_, prefix, _ := strings.Cut(value, "/")
		return "the source prefix " + prefix
	case "site":
		host, prefix, _ := strings.Cut(value, "/")
		return fmt.Sprintf("the place %s/%s on the web front", host, prefix)
	case "messages":
		return "the delivery by " + value
	}
	return fmt.Sprintf("the %s %q", what, value)
}

// circles follows parents. A circle that the changes make has a changed document in it.
func (s *set) circles(d *Document) {
	parentOf := func(d *Document) string {
		switch spec := d.Spec.(type) {
		case *Group:
			return spec.Parent
		case *IdentityProvider:
			return spec.Parent
		}
		return ""
	}
	way, seen := []string{d.Name}, map[string]bool{d.Name: true}
	for at := d; ; {
		parent := parentOf(at)
		if parent == "" || parent == d.Name && len(way) == 1 { // its own parent: Validate has said so
			break
		}
		way = append(way, parent)
		if parent == d.Name {
			s.fail(d, "spec.parent", "", "the parents run in a circle: %s", strings.Join(way, " > "))
			return
		}
		if seen[parent] { // a circle that this one only leads to
			return
		}
		seen[parent] = true
		if at = s.find(at.Kind + "/" + parent); at == nil {
			return
		}
	}
	if d.Kind == KindIdentityProvider && len(way) > 2 {
		s.fail(d, "spec.parent", "name "+way[len(way)-1], "the parent %q is virtual itself", way[1])
	}
}

// password holds a new password against the policy of its user type.
func (s *set) password(d *Document) {
	u, ok := d.Spec.(*User)
	if !ok || !u.Password.IsPlain() {
		return
	}
	name := u.UserType
	if name == "" {
		name = "default"
	}
	t := s.find(KindUserType + "/" + name)
	if t == nil {
		return
	}
	password, err := u.Password.Open(nil, nil, nil)
	if err != nil {
		return
	}
	if reason := t.Spec.(*UserType).Password.Check(password); reason != "" {
		s.fail(d, "spec.password", "", "%s (user type %s)", reason, name)
	}
	clear(password)
}

func (s *set) deletion(key string, referred map[string]bool) {
	kind, name, _ := strings.Cut(key, "/")
	one := Problem{Kind: kind, Name: name}
	if _, also := s.changed[key]; also {
		one.Reason = "the document is both written and deleted"
		s.problems = append(s.problems, one)
		return
	}
	if referred[key] {
		return
	}
	var by []string
	more := false
	for r := range s.look.Referrers(key) {
		if _, anew := s.changed[r]; anew || s.deleted[r] {
			continue
		}
		if len(by) == 3 {
			more = true
			break
		}
		by = append(by, strings.Replace(r, "/", " ", 1))
	}
	if len(by) == 0 {
		return
	}
	one.Reason = "it is still referred to by " + strings.Join(by, ", ")
	if more {
		one.Reason += " and others"
	}
	one.Suggestion = "change or delete those first"
	s.problems = append(s.problems, one)
}
