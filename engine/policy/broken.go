package policy

import (
	"slices"
	"strings"

	"trine/engine/document"
)

// Broken is an object that could not be compiled.
type Broken struct {
	Kind, Name string
	Err        error
}

// Broken returns the objects of the published cache that could not be compiled, by kind and name.
func (c *Compiler) Broken() []Broken { return c.current.Load().broken() }

func (m *model) broken() []Broken {
	var out []Broken
	for name, o := range m.issuers {
		if o.err != nil {
			out = append(out, Broken{document.KindIdentityProvider, name, o.err})
		}
	}
	for name, cl := range m.tables.clients {
		if cl.Broken != nil {
			out = append(out, Broken{document.KindServiceProvider, name, cl.Broken})
		}
	}
	for name, g := range m.tables.groups {
		if g.Broken != nil {
			out = append(out, Broken{document.KindGroup, name, g.Broken})
		}
	}
	for name, r := range m.tables.roles {
		if r.Broken != nil {
			out = append(out, Broken{document.KindRole, name, r.Broken})
		}
	}
	for name, t := range m.tables.userTypes {
		if t.Broken != nil {
			out = append(out, Broken{document.KindUserType, name, t.Broken})
		}
	}
	for name, o := range m.tables.systems {
		if o.Broken != nil {
			out = append(out, Broken{document.KindInformationSystem, name, o.Broken})
		}
	}
	for name, o := range m.definitions {
		if o.definition.Broken != nil {
			out = append(out, Broken{document.KindAttributeDefinition, name, o.definition.Broken})
		}
	}
	for name, o := range m.policies {
		if o.policy.Broken != nil {
			out = append(out, Broken{document.KindAttributePolicy, name, o.policy.Broken})
		}
	}
	slices.SortFunc(out, func(a, b Broken) int {
		if a.Kind != b.Kind {
			return strings.Compare(a.Kind, b.Kind)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}
