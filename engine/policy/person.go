package policy

import (
	"encoding/binary"
	"slices"
	"sync/atomic"

	"trine/engine/state"
)

// Person is what the configuration in force makes of somebody, or of a device, at one moment: his groups and his roles, looked up once
// for all that a decision asks. [Cache.Person] fills it; its buffers are kept, so that filling it again does not allocate.
type Person struct {
	tables *tables
	user   *state.User
	giving []*Group // his groups that give anything: the primary one first, each once
	member numbers  // of all his groups, those above included; see In
	known  bool     // whether member is filled in

	roles []*Role // his own, then those of his groups in their order; each once
	names [][]byte
	held  numbers
}

// Person fills p with the groups of u that exist, and with the roles that u has at a time, in unix seconds: his own, and those of his
// groups and of the groups above them. What a group gives was put together when it was compiled, and groups that give nothing cost next
// to nothing. A role that does not exist is had by nobody. It does not allocate once p's buffers have grown. Until p is filled again, u must stay as
// it is.
func (c *Cache) Person(p *Person, u *state.User, now int64) {
	clear(p.giving)
	p.tables, p.user, p.giving = &c.tables, u, p.giving[:0]
	p.member.clear()
	p.known = false
	if c.tables.members != nil {
		p.meet(c.tables.members)
	}
	clear(p.roles)
	p.roles, p.names = p.roles[:0], p.names[:0]
	p.held.clear()
	if len(c.tables.roles) == 0 {
		return
	}
	for i := range u.Roles {
		if g := &u.Roles[i]; g.NotBefore <= now && (g.NotAfter == 0 || now < g.NotAfter) {
			p.hold(c.Role(g.Role))
		}
	}
	for _, group := range p.giving {
		for i := range group.roles {
			if g := &group.roles[i]; !p.held.has(g.role) && g.counts(now) {
				p.hold(c.tables.numberedRole(g.role))
			}
		}
	}
}

// meet fills in the groups that give anything.
func (p *Person) meet(m *members) {
	u := p.user
	known := m.table.Of(u.Symbols)
	primary := m.primary(known, u)
	if primary&plain == 0 {
		p.giving = append(p.giving, m.group(primary))
	}
	numbers, groups := known.Known(), u.Groups
	for at := passPlain(groups, 0, numbers); at < len(groups); at = passPlain(groups, at, numbers) {
		symbol, number := uint32(0), uint32(0)
		symbol, at = groups.At(at)
		if uint64(symbol) < uint64(len(numbers)) {
			number = numbers[symbol].Load()
		}
		if number&plain != 0 { // as most are
			continue
		}
		if number == 0 {
			number = known.At(symbol)
		}
		if number&plain == 0 && number != primary { // which may be among them
			p.giving = append(p.giving, m.group(number))
		}
	}
}

func (p *Person) hold(r *Role) {
	if r != nil && p.held.add(r.number) {
		p.roles, p.names = append(p.roles, r), append(p.names, r.name)
	}
}

// Roles returns the names of the roles, ROLE@SYSTEM: the person's own in their order, then those of his groups in theirs, each once. It
// is valid until p is filled again.
func (p *Person) Roles() [][]byte { return p.names }

// RequiredRole returns the first of the roles that the client requires which the person has; nil if he has none of them.
func (p *Person) RequiredRole(client *Client) *Role {
	for _, n := range client.requiredRoles {
		if !p.held.has(n) {
			continue
		}
		for _, r := range p.roles {
			if r.number == n {
				return r
			}
		}
	}
	return nil
}

// HasRole reports whether the person has the role of that number; see attribute.RequestNames.
func (p *Person) HasRole(role uint32) bool { return p.held.has(role) }

// In reports whether the person belongs to the group of that number, or to one below it.
func (p *Person) In(group uint32) bool {
	if !p.known {
		p.known = true
		if u, m := p.user, p.tables.members; m != nil {
			known := m.table.Of(u.Symbols)
			p.join(m.group(m.primary(known, u)))
			for n, at := uint32(0), 0; at < len(u.Groups); {
				n, at = u.Groups.At(at)
				p.join(m.group(known.At(n)))
			}
		}
	}
	return p.member.has(group)
}

// passPlain returns the place behind those groups from a place on that give nothing, as most do: eight at a time where their symbols are a byte
// each, four where they are two, else one by one. It stops in front of a group that gives something or is not known yet, and eight bytes from the end.
func passPlain(groups state.SymbolList, at int, numbers []atomic.Uint32) int {
	if len(numbers) < 0x80 {
		return at
	}
	short := (*[0x80]atomic.Uint32)(numbers)
	of := func(symbol uint64) uint32 { // below 128
		return short[symbol%0x80].Load()
	}
	ofLong := func(symbol uint64) uint32 {
		if symbol < uint64(len(numbers)) {
			return numbers[symbol].Load()
		}
		return 0
	}
	for len(groups)-at >= 8 {
		s, all, size := binary.LittleEndian.Uint64(groups[at:]), uint32(0), 8
		switch more := s & 0x8080808080808080; { // in each byte, whether the symbol goes on behind it
		case more == 0:
			all = of(s) & of(s>>8) & of(s>>16) & of(s>>24) & of(s>>32) & of(s>>40) & of(s>>48) & of(s>>56)
		case more == 0x0080008000800080:
			s = s&0x007f007f007f007f | s&0x7f007f007f007f00>>1
			all = ofLong(s&0xffff) & ofLong(s>>16&0xffff) & ofLong(s>>32&0xffff) & ofLong(s>>48)
		case more&0x80 == 0:
			all, size = of(s), 1
		case more&0x8000 == 0:
			all, size = ofLong(s&0x7f|s>>1&0x3f80), 2
		case more&0x800000 == 0:
			all, size = ofLong(s&0x7f|s>>1&0x3f80|s>>2&0x1fc000), 3
		}
		if all&plain == 0 {
			return at
		}
		at += size
	}
	return at
}

// join makes the person a member of a group and of those above it.
func (p *Person) join(g *Group) {
	for ; g != nil && p.member.add(g.number); g = g.Parent {
	}
}

// Replies appends the reply templates that an accepted login gets, in the order of their precedence, so that an attribute set
// by one is not set again by a later one unless its line says +=:
//
//  1. that of the rule that decided, if there is one;
//  2. the client's own;
//  3. those of the roles, in their order;
//  4. those of the primary group, of the other groups in their order, and of the groups above each;
//  5. but a group that is above another one of them always after it.
//
// Each role and each group counts once. It does not allocate for people in up to 32 groups with replies.
func (p *Person) Replies(dst []any, client *Client, rule *Rule) []any {
	if rule != nil && rule.Reply != nil {
		dst = append(dst, rule.Reply)
	}
	if client != nil && client.Reply != nil {
		dst = append(dst, client.Reply)
	}
	for _, r := range p.roles {
		if r.Reply != nil {
			dst = append(dst, r.Reply)
		}
	}
	var room [32]*Group
	found := room[:0]
	for _, g := range p.giving {
		found = withReplies(found, g)
	}
	for len(found) > 1 {
		next := 0
		for slices.ContainsFunc(found[next+1:], found[next].isAbove) {
			next++
		}
		dst = append(dst, found[next].Reply)
		found = slices.Delete(found, next, next+1)
	}
	if len(found) > 0 {
		dst = append(dst, found[0].Reply)
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

// SessionLimit returns how many network sessions the person may have at a time: the smallest limit of the user type, his groups and
// the groups above them; 0 means none.
func (p *Person) SessionLimit(userType *UserType) int {
	limit := 0
	if userType != nil {
		limit = userType.Sessions
	}
	for _, g := range p.giving {
		limit = smaller(limit, g)
	}
	return limit
}

func smaller(limit int, g *Group) int {
	if g.limit == 0 || limit != 0 && limit <= g.limit {
		return limit
	}
	return g.limit
}

// BrokenGroup returns the first of the person's groups, or of the groups above them, that could not be compiled; nil if all are
// sound. A login of such a person is rejected with reason config.broken.
func (p *Person) BrokenGroup() *Group {
	for _, g := range p.giving {
		if g.broken != nil {
			return g.broken
		}
	}
	return nil
}

// BrokenRole returns the first of the person's roles that could not be compiled; nil if all are sound.
func (p *Person) BrokenRole() *Role {
	for _, r := range p.roles {
		if r.Broken != nil {
			return r
		}
	}
	return nil
}
