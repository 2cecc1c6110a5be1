package policy

import (
	"sync/atomic"

	"trine/engine/state"
)

// members finds groups by the symbols that users have of them, which costs a tenth of finding them by name. It is made anew whenever groups
// change, and filled in as their members log in. Like a client's view of the sharing policies it is written after publication; what one
// reader writes is what every other would.
type members struct{ known atomic.Pointer[knownGroups] }

type knownGroups struct {
	of     *state.Symbols
	groups []knownGroup // by symbol
}

// knownGroup is what is known of the group that a symbol names.
type knownGroup struct {
	group atomic.Pointer[Group] // noGroup: there is none; nil: not looked up yet
	plain atomic.Bool           // it gives its members nothing, or there is none
}

// noGroup stands for a group that does not exist.
var noGroup = new(Group)

// of returns what is known of groups by the symbols that a user has of them. It is nil if those are not the ones of everybody, as of
// a drafted user: his groups are found by name.
func (m *members) of(y *state.Symbols) *knownGroups {
	known := m.known.Load()
	if known == nil || known.of == y && len(known.groups) < y.Len() {
		known = m.grow(known, y)
	}
	if known.of != y {
		return nil
	}
	return known
}

// grow publishes a table with room for all symbols that there are, and some more. What another reader finds at the same time may be lost
// with it, and is then found again.
func (m *members) grow(known *knownGroups, y *state.Symbols) *knownGroups {
	n := y.Len()
	next := &knownGroups{of: y, groups: make([]knownGroup, n+n/4+16)}
	if known != nil {
		for i := range known.groups {
			k := &known.groups[i]
			next.groups[i].plain.Store(k.plain.Load())
			next.groups[i].group.Store(k.group.Load())
		}
	}
	m.known.Store(next)
	return next
}

// group returns the group that a symbol names; nil if there is none.
func (t *tables) group(known *knownGroups, y *state.Symbols, n uint32) *Group {
	if known == nil {
		return t.groups[string(y.Text(n))]
	}
	k := &known.groups[n]
	g := k.group.Load()
	if g == nil {
		if g = t.groups[string(y.Text(n))]; g == nil {
			g = noGroup
		}
		k.group.Store(g)
		k.plain.Store(!g.gives())
	}
	if g == noGroup {
		return nil
	}
	return g
}

// gives reports whether the group, or one above it, makes any difference to a member but by being asked for.
func (g *Group) gives() bool {
	return len(g.roles) > 0 || g.replying != nil || g.limit != 0 || g.broken != nil
}
