package policy

import (
	"trine/engine/state"
)

// members finds groups by the symbols that users have of them, which costs a tenth of finding them by name. It is made anew whenever groups
// change, and filled in as their members log in. Like a client's view of the sharing policies it is written after publication; what one
// reader writes is what every other would.
type members struct {
	table  *state.SymbolTable // of their numbers plus one, in front of the bit plain; 0 instead for a group that does not exist
	groups []*Group           // by their numbers; nil where there is none
}

// plain is a group that gives its members nothing, or one that does not exist.
const plain = 1

func newMembers(groups map[string]*Group, numbers int) *members {
	m := &members{groups: make([]*Group, numbers)}
	for _, g := range groups {
		m.groups[g.number] = g
	}
	m.table = state.NewSymbolTable(func(name []byte) uint32 {
		switch g := groups[string(name)]; {
		case g == nil:
			return plain
		case g.gives():
			return (g.number + 1) << 1
		default:
			return (g.number+1)<<1 | plain
		}
	})
	return m
}

// primary returns the number of a user's primary group.
func (m *members) primary(known *state.SymbolNumbers, u *state.User) uint32 {
	switch {
	case u.PrimarySymbol != 0:
		return known.At(u.PrimarySymbol - 1)
	case len(u.PrimaryGroup) > 0:
		return m.table.Find(u.PrimaryGroup)
	}
	return plain
}

// group returns the group of a number of the table; nil if there is none.
func (m *members) group(number uint32) *Group {
	if number >>= 1; number > 0 {
		return m.groups[number-1]
	}
	return nil
}

// gives reports whether the group, or one above it, makes any difference to a member but by being asked for.
func (g *Group) gives() bool {
	return len(g.roles) > 0 || g.replying != nil || g.limit != 0 || g.broken != nil
}
