package state

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"trine/engine/event"
	"trine/engine/event/field"
	"trine/engine/state/rows"
)

// MaxFactors is how many factors a user may have enrolled.
const MaxFactors = 32

// RecoveryCodes is the kind of a factor that is a set of recovery codes; all other kinds are login.Factor's numbers.
const RecoveryCodes = 64

// Factors are a user's factors beside the password. To fill it costs no allocation once its buffers have grown.
type Factors struct {
	List []Factor // in the order in which they were enrolled
	buf  []byte
}

// Factor is one factor of a user. Its slices belong to the Factors that it is in.
type Factor struct {
	ID    []byte
	Kind  uint32
	Label []byte
	Data  Form // sealed or keyed; package login knows what it is of each kind
	// Next is the lowest time step or counter that was not used; of recovery codes, a bit for each that was.
	Next      uint64
	Drift     int32 // time steps by which the device's clock is ahead
	CreatedAt int64 // unix seconds
	UsedAt    int64 // unix seconds, 0: never
}

// Factors fills dst with the factors of the user of that id.
func (s *State) Factors(dst *Factors, user uint64) {
	dst.List = dst.List[:0]
	var key [8]byte
	row, ok := s.factors.Get(dst.buf[:0], idKey2(&key, user))
	if !ok {
		return
	}
	dst.buf = row
	if err := dst.decode(row); err != nil {
		violated("a readable row of factors", "user %d: %v", user, err)
	}
}

// decode fills dst from a row without copying it.
func (dst *Factors) decode(row []byte) error {
	dst.List = dst.List[:0]
	for len(row) > 0 {
		f, rest, ok := field.Next(row)
		if !ok {
			return fmt.Errorf("read factors: %w", errRow)
		}
		row = rest
		var one Factor
		if err := one.decode(f.Data); err != nil {
			return err
		}
		dst.List = append(dst.List, one)
	}
	return nil
}

func (o *Factor) decode(b []byte) error {
	for len(b) > 0 {
		f, rest, ok := field.Next(b)
		if !ok {
			return fmt.Errorf("read factor: %w", errRow)
		}
		b = rest
		switch f.Num {
		case 1:
			o.ID = f.Data
		case 2:
			o.Kind = uint32(f.Value)
		case 3:
			o.Label = f.Data
		case 4:
			o.Data = f.Data
		case 5:
			o.Next = f.Value
		case 6:
			o.CreatedAt = int64(f.Value)
		case 7:
			o.UsedAt = int64(f.Value)
		case 8:
			o.Drift = int32(protowire.DecodeZigZag(f.Value))
		}
	}
	return nil
}

func (o *Factor) append(dst []byte) []byte {
	b := field.AppendBytes(nil, 1, o.ID)
	b = field.AppendNumber(b, 2, uint64(o.Kind))
	b = field.AppendBytes(b, 3, o.Label)
	b = field.AppendBytes(b, 4, o.Data)
	b = field.AppendNumber(b, 5, o.Next)
	b = field.AppendNumber(b, 6, uint64(o.CreatedAt))
	b = field.AppendNumber(b, 7, uint64(o.UsedAt))
	b = field.AppendNumber(b, 8, protowire.EncodeZigZag(int64(o.Drift)))
	dst = protowire.AppendTag(dst, 1, protowire.BytesType)
	return protowire.AppendBytes(dst, b)
}

// unused reports whether a counter of the factor was not used yet.
func (o *Factor) unused(counter uint64) bool {
	if o.Kind == RecoveryCodes {
		return counter < 64 && o.Next&(1<<counter) == 0
	}
	return counter >= o.Next && counter < 1<<64-1
}

func (dst *Factors) find(id string) *Factor {
	for i := range dst.List {
		if string(dst.List[i].ID) == id {
			return &dst.List[i]
		}
	}
	return nil
}

// factorsOf reads the factors of a user as Apply needs them; id is 0 if there is no such user.
func (s *State) factorsOf(name string) (id uint64, list Factors) {
	w := &s.work
	w.key = appendFolded(w.key[:0], name)
	value, _, ok := s.users.Peek(w.key)
	if !ok {
		return 0, list
	}
	f, _, ok := field.Next(value) // the id is a row's first field
	if !ok || f.Num != 1 {
		violated("a readable user row", "%s has no id", name)
	}
	s.Factors(&list, f.Value)
	return f.Value, list
}

func (s *State) putFactors(id uint64, list *Factors) {
	w := &s.work
	w.row = w.row[:0]
	for i := range list.List {
		w.row = list.List[i].append(w.row)
	}
	key := idKey(&w.key, id)
	if len(w.row) == 0 {
		s.factors.Delete(key)
		return
	}
	s.factors.Put(key, w.row)
}

// checkFactorPut checks that a user exists before the proposal and has room for a factor.
func (s *State) checkFactorPut(m *event.FactorPut) Result {
	id, list := s.factorsOf(m.User)
	switch {
	case id == 0:
		return Result{Code: event.CodeMissing, Detail: "user " + m.User + " does not exist"}
	case list.find(m.Id) == nil && len(list.List) >= MaxFactors:
		return Result{Code: event.CodeLimit, Detail: fmt.Sprintf("user %s has %d factors, which is the most that one may have", m.User, MaxFactors)}
	}
	return Result{}
}

// checkFactor checks that a user has the factor and, where it is used, that it was not used so before.
func (s *State) checkFactor(user, id string, used bool, counter uint64) Result {
	_, list := s.factorsOf(user)
	f := list.find(id)
	switch {
	case f == nil:
		return Result{Code: event.CodeMissing, Detail: fmt.Sprintf("user %s has no factor %s", user, id)}
	case used && !f.unused(counter):
		return Result{Code: event.CodeConflict, Detail: fmt.Sprintf("what factor %s of user %s proved with was used before", id, user)}
	}
	return Result{}
}

func (s *State) foldFactorPut(at Stamp, m *event.FactorPut) {
	id, list := s.factorsOf(m.User)
	put := Factor{ID: []byte(m.Id), Kind: m.Kind, Label: []byte(m.Label), Data: m.Data, CreatedAt: at.unix()}
	if f := list.find(m.Id); f != nil {
		*f = put
	} else {
		list.List = append(list.List, put)
	}
	s.putFactors(id, &list)
}

func (s *State) foldFactorRemoved(m *event.FactorRemoved) {
	id, list := s.factorsOf(m.User)
	for i := range list.List {
		if string(list.List[i].ID) == m.Id {
			list.List = append(list.List[:i], list.List[i+1:]...)
			break
		}
	}
	s.putFactors(id, &list)
}

func (s *State) foldFactorUsed(at Stamp, m *event.FactorUsed) {
	id, list := s.factorsOf(m.User)
	f := list.find(m.Id)
	if f == nil { // taken away by an event before it in the same proposal
		return
	}
	if f.UsedAt = at.unix(); f.Kind == RecoveryCodes {
		f.Next |= 1 << m.Counter
	} else {
		f.Next, f.Drift = m.Counter+1, m.Drift
	}
	s.putFactors(id, &list)
}

// LastLogin is what is remembered of a user's accepted logins where adaptive rules ask for it.
type LastLogin struct {
	At        int64 // unix seconds of the last one, 0: none is remembered
	Country   []byte
	Located   bool
	Latitude  int32 // in 1/1000 degree
	Longitude int32
	Hosts     []KnownHost // the newest last
	ByFactor  [16]int64   // unix seconds of the last login with each factor, by login.Factor's number
	buf       []byte
}

// KnownHost is a device or address that a user has logged in from.
type KnownHost struct {
	Hash []byte // 8 bytes
	At   int64  // unix seconds
}

// LastLogin fills dst with what is remembered of the user of that id.
func (s *State) LastLogin(dst *LastLogin, user uint64) {
	var key [8]byte
	row, ok := s.lastLogins.Get(dst.buf[:0], idKey2(&key, user))
	if !ok {
		row = dst.buf[:0]
	}
	if err := dst.decode(row); err != nil {
		violated("a readable row of a last login", "user %d: %v", user, err)
	}
}

func (l *LastLogin) decode(row []byte) error {
	*l = LastLogin{Hosts: l.Hosts[:0], buf: row}
	for len(row) > 0 {
		f, rest, ok := field.Next(row)
		if !ok {
			return fmt.Errorf("read last login: %w", errRow)
		}
		row = rest
		switch {
		case f.Num == 1:
			l.At = int64(f.Value)
		case f.Num == 2:
			l.Country = f.Data
		case f.Num == 3:
			l.Located = f.Value != 0
		case f.Num == 4:
			l.Latitude = int32(protowire.DecodeZigZag(f.Value))
		case f.Num == 5:
			l.Longitude = int32(protowire.DecodeZigZag(f.Value))
		case f.Num == 6 && len(f.Data) > 8:
			at, n := protowire.ConsumeVarint(f.Data[8:])
			if n < 0 {
				return fmt.Errorf("read host of last login: %w", errRow)
			}
			l.Hosts = append(l.Hosts, KnownHost{Hash: f.Data[:8], At: int64(at)})
		case f.Num >= 16 && f.Num < 16+16:
			l.ByFactor[f.Num-16] = int64(f.Value)
		}
	}
	return nil
}

func (l *LastLogin) append(dst []byte) []byte {
	dst = field.AppendNumber(dst, 1, uint64(l.At))
	dst = field.AppendBytes(dst, 2, l.Country)
	dst = field.AppendFlag(dst, 3, l.Located)
	dst = field.AppendNumber(dst, 4, protowire.EncodeZigZag(int64(l.Latitude)))
	dst = field.AppendNumber(dst, 5, protowire.EncodeZigZag(int64(l.Longitude)))
	for _, h := range l.Hosts {
		b := protowire.AppendVarint(bytes.Clone(h.Hash), uint64(h.At))
		dst = field.AppendBytes(dst, 6, b)
	}
	for i, at := range l.ByFactor {
		dst = field.AppendNumber(dst, protowire.Number(16+i), uint64(at))
	}
	return dst
}

// mostHosts bounds how many hosts of a user are remembered, whatever an event says.
const mostHosts = 64

// foldLoginRemembered keeps a login; it changes nothing for a user who is gone.
func (s *State) foldLoginRemembered(at Stamp, m *event.LoginRemembered) {
	w := &s.work
	id, _ := s.factorsOf(m.User)
	if id == 0 {
		return
	}
	var l LastLogin
	s.LastLogin(&l, id)
	l.At, l.Country, l.Located, l.Latitude, l.Longitude = at.unix(), []byte(m.Country), m.Located, m.Latitude, m.Longitude
	for i := range l.ByFactor {
		if m.Factors&(1<<i) != 0 {
			l.ByFactor[i] = at.unix()
		}
	}
	if len(m.Host) == 8 {
		for i := range l.Hosts {
			if bytes.Equal(l.Hosts[i].Hash, m.Host) {
				l.Hosts = append(l.Hosts[:i], l.Hosts[i+1:]...)
				break
			}
		}
		l.Hosts = append(l.Hosts, KnownHost{Hash: m.Host, At: at.unix()})
		if over := len(l.Hosts) - int(min(max(m.Limit, 1), mostHosts)); over > 0 {
			l.Hosts = l.Hosts[over:]
		}
	}
	w.row = l.append(w.row[:0])
	s.lastLogins.Put(idKey(&w.key, id), w.row)
}

// forgetPerson removes what is kept beside the row of a user who is deleted.
func (s *State) forgetPerson(id uint64) {
	for _, t := range [...]*rows.Table{s.factors, s.lastLogins, s.trusted} {
		t.Delete(idKey(&s.work.key, id))
	}
}
