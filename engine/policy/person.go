package policy

import (
	"slices"

	"trine/engine/state"
)

// Replies appends the reply templates that an accepted login gets, in the order of their precedence, so that an attribute set
// by one is not set again by a later one unless its line says +=:
//
//  1. the client's own;
//  2. those of the primary group, of the other groups in their order, and of the groups above each;
//  3. but a group that is above another one of them always after it.
//
// Each group counts once. It does not allocate for people in up to 32 groups with replies.
func (c *Cache) Replies(dst []any, client *Client, u *state.User) []any {
	if client != nil && client.Reply != nil {
		dst = append(dst, client.Reply)
	}
	var room [32]*Group
	found := room[:0]
	if len(u.PrimaryGroup) > 0 {
		found = withReplies(found, c.Group(u.PrimaryGroup))
	}
	for _, name := range u.Groups {
		found = withReplies(found, c.Group(name))
	}
	for len(found) > 0 {
		next := 0
		for slices.ContainsFunc(found[next+1:], found[next].isAbove) {
			next++
		}
		dst = append(dst, found[next].Reply)
		found = slices.Delete(found, next, next+1)
	}
	return dst
}

// withReplies appends g and the groups above it that have a reply and are not in found yet.
func withReplies(found []*Group, g *Group) []*Group {
	for g != nil && g.replying != nil {
		g = g.replying
		if slices.Contains(found, g) {
			return found // and so are those above it
		}
		found = append(found, g)
		g = g.Parent
	}
	return found
}

// isAbove reports whether g is above other.
func (g *Group) isAbove(other *Group) bool {
	for p := other.Parent; p != nil; p = p.Parent {
		if p == g {
			return true
		}
	}
	return false
}

// SessionLimit returns how many network sessions a person may have at a time: the smallest limit of the user type, the primary
// group, the other groups and the groups above them; 0 means none. It does not allocate.
func (c *Cache) SessionLimit(userType *UserType, u *state.User) int {
	limit := 0
	if userType != nil {
		limit = userType.Sessions
	}
	if len(u.PrimaryGroup) > 0 {
		limit = smaller(limit, c.Group(u.PrimaryGroup))
	}
	for _, name := range u.Groups {
		limit = smaller(limit, c.Group(name))
	}
	return limit
}

func smaller(limit int, g *Group) int {
	if g == nil || g.limit == 0 || limit != 0 && limit <= g.limit {
		return limit
	}
	return g.limit
}

// BrokenGroup returns the first of a person's groups, or of the groups above them, that could not be compiled; nil if all are
// sound. A login of such a person is rejected with reason config.broken. It does not allocate.
func (c *Cache) BrokenGroup(u *state.User) *Group {
	if len(u.PrimaryGroup) > 0 {
		if g := c.Group(u.PrimaryGroup); g != nil && g.broken != nil {
			return g.broken
		}
	}
	for _, name := range u.Groups {
		if g := c.Group(name); g != nil && g.broken != nil {
			return g.broken
		}
	}
	return nil
}
