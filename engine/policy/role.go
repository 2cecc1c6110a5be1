package policy

import (
	"maps"
	"math"
	"slices"

	"trine/engine/attribute"
	"trine/engine/document"
)

// Role is what somebody may do in an information system, with what it adds to replies.
type Role struct {
	Name   string
	Reply  any   // nil if it has none
	Broken error // why it could not be compiled; every login of whoever has it is then rejected with reason config.broken
	// System is the information system that it is of, and Level the privilege level that it gives there; -1 if it gives none.
	System string
	Level  int8
	// Commands is its list of commands; empty if it has none.
	Commands Commands

	services []service
	name     []byte
	number   uint32
}

// roleObject is a role as it was compiled.
type roleObject struct {
	version uint64
	role    *Role
}

// grant is a role, by its number, for the unix seconds from <= now < until.
type grant struct {
	role        uint32
	from, until int64
}

func (g *grant) counts(now int64) bool { return g.from <= now && now < g.until }

// numbering gives names small numbers that they keep for ever, whether there is something of that name or not. So what refers to
// something by its number stays right whatever becomes of it, and nothing has to be linked anew.
type numbering struct {
	names map[string]uint32
	own   bool // the map belongs to the model that is being made, and may be written to
}

func (n *numbering) of(name string) uint32 {
	number, known := n.names[name]
	if known {
		return number
	}
	if !n.own {
		if n.names = maps.Clone(n.names); n.names == nil {
			n.names = map[string]uint32{}
		}
		n.own = true
	}
	number = uint32(len(n.names))
	n.names[name] = number
	return number
}

// numbers is a set of numbers.
type numbers []uint64

func (s numbers) has(n uint32) bool {
	word := int(n / 64)
	return word < len(s) && s[word]>>(n%64)&1 != 0
}

// add adds a number, and reports whether it was missing.
func (s *numbers) add(n uint32) bool {
	word, bit := int(n/64), uint64(1)<<(n%64)
	for word >= len(*s) {
		*s = append(*s, 0)
	}
	if (*s)[word]&bit != 0 {
		return false
	}
	(*s)[word] |= bit
	return true
}

// clear empties the set; its memory is kept.
func (s *numbers) clear() {
	clear(*s)
	*s = (*s)[:0]
}

// applyRoles compiles roles. What grants or asks for one does so by its number, and needs no work.
func (m *model) applyRoles(env *environment, changes []change, w *work) {
	if len(changes) == 0 {
		return
	}
	m.roles, m.tables.roles = maps.Clone(m.roles), maps.Clone(m.tables.roles)
	m.tables.numberedRoles = slices.Clone(m.tables.numberedRoles)
	for _, c := range changes {
		number := m.roleNumbers.of(c.name)
		for int(number) >= len(m.tables.numberedRoles) {
			m.tables.numberedRoles = append(m.tables.numberedRoles, nil)
		}
		m.tables.numberedRoles[number] = nil
		delete(m.roles, c.name)
		delete(m.tables.roles, c.name)
		if c.doc == nil && c.err == nil {
			continue
		}
		w.compiled++
		role := env.role(c)
		role.number = number
		m.roles[c.name] = &roleObject{version: c.version, role: role}
		m.tables.roles[c.name] = role
		m.tables.numberedRoles[number] = role
	}
}

// role compiles a role's own document.
func (env *environment) role(c change) *Role {
	r := &Role{Name: c.name, name: []byte(c.name), Broken: c.err, System: document.SystemOf(c.name), Level: int8(document.Level(c.name))}
	if c.err != nil {
		return r
	}
	spec := c.doc.Spec.(*document.Role)
	var problems []error
	var err error
	if len(spec.Reply) > 0 {
		if r.Reply, err = env.reply(document.TypeRadius, spec.Reply); err != nil {
			r.Reply, problems = nil, append(problems, attribute.InField("reply", err))
		}
	}
	if r.Commands, err = newCommands("commands", spec.Commands); err != nil {
		problems = append(problems, err)
	}
	if r.services, err = newServices(spec.Services); err != nil {
		problems = append(problems, err)
	}
	r.Broken = joined(problems...)
	return r
}

// grants compiles a group's roles.
func (m *model) grants(list []document.Grant) []grant {
	var out []grant
	for i := range list {
		from, until := list[i].Unix()
		if until == 0 {
			until = math.MaxInt64
		}
		out = append(out, grant{role: m.roleNumbers.of(list[i].Role), from: from, until: until})
	}
	return out
}

// inherited returns the roles of a group with those of the groups above it, each once, its own first.
func inherited(own, above []grant) []grant {
	switch {
	case len(own) == 0:
		return above
	case len(above) == 0:
		return own
	}
	all := slices.Clone(own)
	for _, g := range above {
		if !slices.Contains(own, g) {
			all = append(all, g)
		}
	}
	return all
}

// Role returns the role with that name, or nil. It does not allocate.
func (c *Cache) Role(name []byte) *Role { return c.tables.roles[string(name)] }

func (t *tables) numberedRole(n uint32) *Role {
	if int(n) < len(t.numberedRoles) {
		return t.numberedRoles[n]
	}
	return nil
}

// requirements compiles what a service provider requires of people.
func (m *model) requirements(spec *document.ServiceProvider) (roles []uint32) {
	for _, name := range spec.RequiredRoles {
		roles = append(roles, m.roleNumbers.of(name))
	}
	return roles
}
