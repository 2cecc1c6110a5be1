package policy

import (
	"errors"
	"fmt"
	"maps"

	"trine/engine/attribute"
	"trine/engine/document"
)

// groupObject is a group with what its own document was compiled to, before it is linked to the group above.
type groupObject struct {
	version  uint64
	parent   string
	reply    any
	roles    []grant
	sessions int
	err      error
}

// applyGroups compiles groups, and links those anew that are below one.
func (m *model) applyGroups(env *environment, changes []change, w *work) {
	if len(changes) == 0 {
		return
	}
	m.groups = maps.Clone(m.groups)
	changed := make(map[string]bool, len(changes))
	for _, c := range changes {
		changed[c.name] = true
		if c.doc == nil && c.err == nil {
			delete(m.groups, c.name)
			continue
		}
		w.compiled++
		m.groups[c.name] = m.group(env, c)
	}
	linked := make(map[string]*Group, len(m.groups))
	for name := range m.groups {
		m.linkGroup(linked, name, changed, w)
	}
	m.tables.groups, m.tables.members = linked, newMembers(linked, len(m.groupNumbers.names))
}

// group compiles a group's own document.
func (m *model) group(env *environment, c change) *groupObject {
	o := &groupObject{version: c.version, err: c.err}
	if c.err != nil {
		return o
	}
	spec := c.doc.Spec.(*document.Group)
	o.parent, o.sessions, o.roles = spec.Parent, spec.Sessions.Limit, m.grants(spec.Roles)
	if len(spec.Reply) > 0 {
		if o.reply, o.err = env.reply(document.TypeRadius, spec.Reply); o.err != nil {
			o.reply, o.err = nil, attribute.InField("reply", o.err)
		}
	}
	return o
}

// maxNesting bounds how many groups can be above one another.
const maxNesting = 64

// linkGroup returns the group to publish under a name, linked to those above it; nil if there is none. Unless it or one above
// it changed, it is the one that is published already.
func (m *model) linkGroup(linked map[string]*Group, name string, changed map[string]bool, w *work) *Group {
	if g, ok := linked[name]; ok {
		return g
	}
	o := m.groups[name]
	if o == nil {
		return nil
	}
	stale, err := m.lineage(name, changed)
	if !stale {
		linked[name] = m.tables.groups[name]
		return linked[name]
	}
	if !changed[name] {
		w.relinked++
	}
	g := &Group{Name: name, Reply: o.reply, Sessions: o.sessions, Broken: o.err, roles: o.roles, number: m.groupNumbers.of(name)}
	if err == nil && o.parent != "" {
		if g.Parent = m.linkGroup(linked, o.parent, changed, w); g.Parent == nil {
			err = attribute.InField("parent", fmt.Errorf("there is no Group %q", o.parent))
		}
	}
	g.Broken = errors.Join(g.Broken, err)
	g.derive()
	linked[name] = g
	return g
}

// lineage walks from a group upwards: whether one on the way changed, and an error if the way has no end.
func (m *model) lineage(name string, changed map[string]bool) (stale bool, err error) {
	for range maxNesting {
		stale = stale || changed[name]
		o := m.groups[name]
		if o == nil || o.parent == "" {
			return stale, nil
		}
		name = o.parent
	}
	return stale, attribute.InField("parent", fmt.Errorf("the groups above run in a circle, or are more than %d", maxNesting))
}

// derive fills in what a group has from those above it.
func (g *Group) derive() {
	g.limit = g.Sessions
	switch {
	case g.Broken != nil:
		g.broken = g
	case g.Parent != nil:
		g.broken = g.Parent.broken
	}
	if p := g.Parent; p != nil {
		g.limit = smaller(g.limit, p)
		g.replying = p.replying
		g.roles = inherited(g.roles, p.roles)
	}
	if g.Reply != nil {
		g.replying = g
	}
}
