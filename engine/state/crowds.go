package state

import (
	"cmp"
	"encoding/binary"
	"slices"

	"trine/engine/event"
)

// crowd is kept of a person who has many grants, so that they need not be counted for each that begins. It follows from the rows.
type crowd struct {
	grants    int
	fullUntil int64 // unix seconds up to which all have just begun, as was found when there were MaxGrantsAtOnce
}

// manyGrants is from how many on a person has a crowd, and for how many more room is made at a time.
const manyGrants = MaxGrants / 8

// crowdOf returns the crowd of a person by hash; nil where there are fewer than manyGrants.
func (s *State) crowdOf(user uint64) *crowd {
	if c := s.crowds[user]; c != nil {
		return c
	}
	if s.work.refs = s.grantsOf.Append(s.work.refs[:0], user, manyGrants); len(s.work.refs) < manyGrants {
		return nil
	}
	s.work.refs = s.grantsOf.Append(s.work.refs[:0], user, 1<<31)
	if s.crowds == nil {
		s.crowds = map[uint64]*crowd{}
	}
	c := &crowd{grants: len(s.work.refs)}
	s.crowds[user] = c
	return c
}

// countGrants follows that a person has so many grants more.
func (s *State) countGrants(user uint64, more int) {
	if c := s.crowds[user]; c != nil {
		if c.grants += more; c.grants < manyGrants {
			delete(s.crowds, user)
		}
	}
}

// eachGrantOf visits the grants that the index has of a person by hash, for the writer only; their memory is the table's.
func (s *State) eachGrantOf(user uint64, visit func(g *Grant)) {
	s.work.refs = s.grantsOf.Append(s.work.refs[:0], user, 1<<31)
	for _, ref := range s.work.refs {
		if key, row, ok := s.grants.PeekAt(ref); ok {
			g := s.readGrant(binary.BigEndian.Uint64(key), row)
			visit(&g)
		}
	}
}

// grantsFull reports whether a person has MaxGrantsAtOnce grants that have all just begun.
func (s *State) grantsFull(at Stamp, user string) bool {
	hash := hashUser(event.FoldName(user))
	c := s.crowdOf(hash)
	if c == nil || c.grants < MaxGrantsAtOnce {
		return false
	}
	if at.unix() < c.fullUntil { // those that have come since are younger
		return true
	}
	oldest := at.unix()
	s.eachGrantOf(hash, func(g *Grant) { oldest = min(oldest, g.Started) })
	c.fullUntil = oldest + youngGrant
	return at.unix() < c.fullUntil
}

// crowdOutGrants makes room for more grants of a person, for manyGrants at a time: those that are over go first, then those that cannot be refreshed, then those that were used
// least recently. Those that have just begun stay, whether they are over or not.
func (s *State) crowdOutGrants(at Stamp, user string) {
	name := event.FoldName(user)
	c := s.crowdOf(hashUser(name))
	if c == nil || c.grants < MaxGrants || c.grants%manyGrants != 0 {
		return
	}
	type aged struct {
		worth  int
		used   int64
		number uint64
	}
	all, own := make([]aged, 0, c.grants), 0
	s.eachGrantOf(hashUser(name), func(g *Grant) {
		if event.FoldName(g.User) != name {
			return
		}
		own++
		if at.unix()-g.Started < youngGrant {
			return
		}
		worth := 0
		if g.Live(at.unix()) {
			worth = 1
			if g.HasRefresh {
				worth = 2
			}
		}
		all = append(all, aged{worth, g.Used, g.Number})
	})
	slices.SortFunc(all, func(a, b aged) int {
		return cmp.Or(cmp.Compare(a.worth, b.worth), cmp.Compare(a.used, b.used), cmp.Compare(a.number, b.number))
	})
	for _, a := range all[:min(len(all), max(0, own-(MaxGrants-manyGrants)))] {
		s.dropGrant(a.number)
	}
}
