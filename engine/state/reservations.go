package state

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"trine/engine/event"
	"trine/engine/event/field"
	"trine/engine/state/rows"
)

// reservation is the row of a place that is held under a simultaneous-use limit, in the memory of the row.
type reservation struct {
	user     []byte
	client   uint64 // symbol, plus one
	notAfter int64  // unix seconds; it counts no longer after it
}

func (r *reservation) append(dst []byte) []byte {
	dst = field.AppendBytes(dst, 1, r.user)
	dst = field.AppendNumber(dst, 2, r.client)
	return field.AppendNumber(dst, 3, uint64(r.notAfter))
}

func decodeReservation(b []byte) (r reservation, err error) {
	for len(b) > 0 {
		f, rest, ok := field.Next(b)
		if !ok {
			return r, fmt.Errorf("read reservation row: %w", errRow)
		}
		b = rest
		switch f.Num {
		case 1:
			r.user = f.Data
		case 2:
			r.client = f.Value
		case 3:
			r.notAfter = int64(f.Value)
		}
	}
	return r, nil
}

// foldReserved holds a place for a login. A repeat changes nothing, also when the login's session has started meanwhile.
func (s *State) foldReserved(m *event.SessionReserved) {
	w := &s.work
	key := idKey(&w.key, m.Login)
	client := s.symbol([]byte(m.Client)) + 1
	if s.reservations.Has(key) || s.sessionOf(m.User, client, m.Login) {
		return
	}
	r := reservation{user: []byte(m.User), client: client, notAfter: m.NotAfterUnix}
	ref, _ := s.reservations.Put(key, r.append(nil))
	s.reservedBy.Add(hashUser(m.User), ref)
}

// sessionOf reports whether a user has a live session that a login led to, by the client that the login came by.
func (s *State) sessionOf(user string, client, login uint64) bool {
	w := &s.work
	w.refs = s.byField[fieldUser].Append(w.refs[:0], hashUser(user), 1<<31)
	for _, ref := range w.refs {
		if _, row, ok := s.sessions.PeekAt(ref); ok {
			if _, by, l := sessionOwner(row); l == login && by == client {
				return true
			}
		}
	}
	return false
}

// claimReservation gives up the place of a login, because a client says that the login's session has started or ended. Only the
// client that the login came by may say so: what ties a record to a login is no secret, and others could have seen it.
func (s *State) claimReservation(login uint64, client []byte) {
	row, _, ok := s.reservations.Peek(idKey(&s.work.key, login))
	if !ok {
		return
	}
	r := s.readReservation(login, row)
	if r.client != 0 && bytes.Equal(s.symbols.text(r.client-1), client) {
		s.dropReservation(login)
	}
}

// dropReservation gives up the place of a login.
func (s *State) dropReservation(login uint64) {
	key := idKey(&s.work.key, login)
	row, ref, ok := s.reservations.Peek(key)
	if !ok {
		return
	}
	r := s.readReservation(login, row)
	s.reservedBy.Remove(hashUser(r.user), ref)
	s.reservations.Delete(key)
}

// dropReservationsOf gives up the places of a user who is no more. His sessions stay: only their devices know when they end.
func (s *State) dropReservationsOf(user []byte) {
	for _, ref := range s.reservedBy.Append(nil, hashUser(user), 1<<31) {
		if key, row, ok := s.reservations.PeekAt(ref); ok {
			login := binary.BigEndian.Uint64(key)
			if r := s.readReservation(login, row); sameName(r.user, user) {
				s.dropReservation(login)
			}
		}
	}
}

func (s *State) readReservation(login uint64, row []byte) reservation {
	r, err := decodeReservation(row)
	if err != nil {
		violated("a readable reservation row", "%x: %v", login, err)
	}
	return r
}

// sessionsBefore counts a user's sessions and reservations before the proposal, up to enough of them. Those of the logins that the
// proposal reserves for do not count: it was proposed before.
func (s *State) sessionsBefore(at Stamp, user []byte, enough uint64) uint64 {
	w := &s.work
	var logins []uint64
	for i := range w.events {
		if e := &w.events[i]; e.Type == event.TypeSessionReserved {
			logins = append(logins, read[*event.SessionReserved](e, at).Login)
		}
	}
	return s.countSessions(w.refs, at.unix(), user, enough, logins)
}

// foldConsumed remembers a one-shot key.
func (s *State) foldConsumed(m *event.Consumed) {
	s.consumed.Put([]byte(m.Key), field.AppendNumber(nil, 1, uint64(m.NotAfterUnix)))
}

// foldSwept forgets ended sessions, reservations, one-shot keys, join tokens and answers of devices whose term was over before a time, failures that no longer count,
// sessions of single sign-on that ended and trusted devices that were over,
// and stages that were left for longer than stageLife.
func (s *State) foldSwept(at Stamp, before int64) {
	for {
		e, ok := s.endings.pop(clamp(before))
		if !ok {
			break
		}
		var t tombstone
		key, row, ok := s.ended.PeekAt(e.ref)
		if ok && t.decode(row) == nil && t.recorded < clamp(before) {
			s.ended.Delete(slices.Clone(key))
		}
	}
	for _, key := range expired(s.reservations, func(row []byte) bool {
		r, err := decodeReservation(row)
		return err == nil && r.notAfter < before
	}) {
		s.dropReservation(binary.BigEndian.Uint64(key))
	}
	for _, key := range expired(s.consumed, func(row []byte) bool {
		f, _, ok := field.Next(row)
		return ok && int64(f.Value) < before
	}) {
		s.consumed.Delete(key)
	}
	for _, key := range expired(s.pushes, func(row []byte) bool {
		a, err := decodePushAnswer(row)
		return err == nil && a.notAfter < before
	}) {
		s.pushes.Delete(key)
	}
	s.sweepTokens(before)
	s.sweepSSO(before)
	s.sweepTrusted(before)
	s.sweepFailures(at.unix())
	for _, id := range s.oldStages(at.unix() - stageLife) {
		s.dropStage(id)
	}
}

// expired returns the keys of the rows that are over.
func expired(t *rows.Table, over func(row []byte) bool) (keys [][]byte) {
	t.Scan(0, func(_ rows.Ref, key, row []byte) bool {
		if over(row) {
			keys = append(keys, slices.Clone(key))
		}
		return true
	})
	return keys
}

// loadReservations builds the index of reservations anew.
func (s *State) loadReservations() error {
	s.reservedBy.Reset(s.reservations, 0)
	var bad error
	s.reservations.Scan(0, func(ref rows.Ref, _, row []byte) bool {
		var r reservation
		if r, bad = decodeReservation(row); bad != nil {
			return false
		}
		s.reservedBy.Add(hashUser(r.user), ref)
		return true
	})
	return bad
}
