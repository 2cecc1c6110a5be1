package state

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"trine/engine/event"
	"trine/engine/event/field"
	"trine/engine/state/rows"
)

// The bounds of sessions of single sign-on.
const (
	// MaxSSO is how many live sessions a person may have: the one that was used least recently makes room for another.
	MaxSSO = 100
	// MaxSSOVisits is how many service providers a session may visit.
	MaxSSOVisits = 500
)

// SSOHash is the SHA-256 of the id that a browser has of its session, or of the secret of a trusted device.
type SSOHash [32]byte

// SSO is a session of single sign-on.
type SSO struct {
	Number   uint64 // by which it is known; it says nothing of the id
	Hash     SSOHash
	User     string
	Scope    string // which identity providers share it
	Issuer   string // the identity provider by which the person logged in last
	Started  int64  // unix seconds
	Used     int64  // unix seconds; it may have been used up to SSOGrain later
	Idle     uint32 // seconds
	NotAfter int64  // unix seconds
	Source   []byte // packed address of the last login
	Login    uint64 // decision id of the last login
	Proofs   []SSOProof
	Visits   []SSOVisit
	EndedAt  int64 // unix seconds; 0: it has not ended
	End      event.SSOEnd
	EndedBy  string
}

// SSOProof is a factor that counts in a session.
type SSOProof struct {
	Factor uint32 // login.Factor
	At     int64  // unix seconds
	Login  uint64 // decision id
	Device bool   // a trusted device stood for it
}

// SSOVisit is a service provider that a session has visited.
type SSOVisit struct {
	Client    string
	Issuer    string // by which
	Protocol  string
	Reference []byte // what the protocol needs to tell the service provider of the end
	At        int64  // unix seconds, of the last visit
	Login     uint64 // decision id
}

// SSOGrain is how many seconds a session may be used without that being recorded: an eighth of the time after which it would be over, at most five
// minutes. That time is counted from behind them, so no session ends for want of a record.
func SSOGrain(idle uint32) uint32 { return min(idle/8, 300) }

// Ends returns the unix second from which on the session is over if it is not used.
func (x *SSO) Ends() int64 {
	if x.Idle == 0 {
		return x.NotAfter
	}
	return min(x.NotAfter, x.Used+int64(x.Idle)+int64(SSOGrain(x.Idle)))
}

// Live reports whether the session counts at a time in unix seconds.
func (x *SSO) Live(now int64) bool { return x.EndedAt == 0 && now < x.Ends() }

// SSO returns the session of which a browser has the id with that hash. It is false where there is none, where the session has another id by now, and
// where it has ended; whether it is over by the clock is for SSO.Live to say.
func (s *State) SSO(hash SSOHash) (SSO, bool) {
	var buf [8]byte
	key, ok := s.ssoIDs.Get(buf[:0], hash[:])
	if !ok || len(key) != 8 {
		return SSO{}, false
	}
	x, ok := s.SSONumbered(binary.BigEndian.Uint64(key))
	return x, ok && x.EndedAt == 0 && x.Hash == hash
}

// SSONumbered returns the session of that number, also one that has ended and is remembered.
func (s *State) SSONumbered(number uint64) (SSO, bool) {
	var key [8]byte
	row, ok := s.sso.Get(nil, idKey2(&key, number))
	if !ok {
		return SSO{}, false
	}
	return readSSO(number, row), true
}

// SSOOf returns the sessions of a user, those that have ended and are remembered too, the one that was used last first.
func (s *State) SSOOf(user string) []SSO {
	var all []SSO
	name := event.FoldName(user)
	for _, ref := range s.ssoOf.Append(nil, hashUser(name), 1<<31) {
		s.sso.View(ref, func(key, row []byte) {
			if x := readSSO(binary.BigEndian.Uint64(key), bytes.Clone(row)); event.FoldName(x.User) == name {
				all = append(all, x)
			}
		})
	}
	slices.SortFunc(all, func(a, b SSO) int { return cmp.Or(cmp.Compare(b.Used, a.Used), cmp.Compare(a.Number, b.Number)) })
	return all
}

// SSOPage returns up to limit sessions, behind that of a number and in the order of numbers, and those that have ended only where they are asked for.
// It takes time for all sessions.
func (s *State) SSOPage(after uint64, limit int, ended bool) []SSO {
	var page []SSO
	s.sso.Scan(0, func(_ rows.Ref, key, row []byte) bool {
		number := binary.BigEndian.Uint64(key)
		if number <= after || len(page) >= 2*limit && number > page[limit-1].Number {
			return true
		}
		x := readSSO(number, bytes.Clone(row))
		if x.EndedAt != 0 && !ended {
			return true
		}
		if page = append(page, x); len(page) >= 4*limit {
			page = lowest(page, limit)
		}
		return true
	})
	return lowest(page, limit)
}

// lowest returns the sessions with the lowest numbers, in their order.
func lowest(page []SSO, limit int) []SSO {
	slices.SortFunc(page, func(a, b SSO) int { return cmp.Compare(a.Number, b.Number) })
	return page[:min(len(page), limit)]
}

// OverSSO returns the numbers of up to limit sessions that have not ended and are over at a time in unix seconds.
func (s *State) OverSSO(now int64, limit int) (numbers []uint64) {
	s.sso.Scan(0, func(_ rows.Ref, key, row []byte) bool {
		number := binary.BigEndian.Uint64(key)
		if x := readSSO(number, row); x.EndedAt == 0 && !x.Live(now) {
			numbers = append(numbers, number)
		}
		return len(numbers) < limit
	})
	return numbers
}

// readSSO reads a row; what it returns may share its memory.
func readSSO(number uint64, row []byte) SSO {
	x := SSO{Number: number}
	if err := x.decode(row); err != nil {
		violated("a readable row of a session of single sign-on", "%s: %v", event.FormatID(number), err)
	}
	return x
}

func (x *SSO) decode(row []byte) error {
	for len(row) > 0 {
		f, rest, ok := field.Next(row)
		if !ok {
			return fmt.Errorf("read session of single sign-on: %w", errRow)
		}
		row = rest
		switch f.Num {
		case 1:
			copy(x.Hash[:], f.Data)
		case 2:
			x.User = string(f.Data)
		case 3:
			x.Scope = string(f.Data)
		case 4:
			x.Issuer = string(f.Data)
		case 5:
			x.Started = int64(f.Value)
		case 6:
			x.Used = int64(f.Value)
		case 7:
			x.Idle = uint32(f.Value)
		case 8:
			x.NotAfter = int64(f.Value)
		case 9:
			x.Source = f.Data
		case 10:
			x.Login = f.Value
		case 11:
			var p SSOProof
			if err := p.decode(f.Data); err != nil {
				return err
			}
			x.Proofs = append(x.Proofs, p)
		case 12:
			var v SSOVisit
			if err := v.decode(f.Data); err != nil {
				return err
			}
			x.Visits = append(x.Visits, v)
		case 13:
			x.EndedAt = int64(f.Value)
		case 14:
			x.End = event.SSOEnd(f.Value)
		case 15:
			x.EndedBy = string(f.Data)
		}
	}
	return nil
}

func (x *SSO) append(dst []byte) []byte {
	dst = field.AppendBytes(dst, 1, x.Hash[:])
	dst = field.AppendBytes(dst, 2, []byte(x.User))
	dst = field.AppendBytes(dst, 3, []byte(x.Scope))
	dst = field.AppendBytes(dst, 4, []byte(x.Issuer))
	dst = field.AppendNumber(dst, 5, uint64(x.Started))
	dst = field.AppendNumber(dst, 6, uint64(x.Used))
	dst = field.AppendNumber(dst, 7, uint64(x.Idle))
	dst = field.AppendNumber(dst, 8, uint64(x.NotAfter))
	dst = field.AppendBytes(dst, 9, x.Source)
	dst = field.AppendNumber(dst, 10, x.Login)
	for _, p := range x.Proofs {
		b := field.AppendNumber(nil, 1, uint64(p.Factor))
		b = field.AppendNumber(b, 2, uint64(p.At))
		b = field.AppendNumber(b, 3, p.Login)
		dst = appendPart(dst, 11, field.AppendFlag(b, 4, p.Device))
	}
	for _, v := range x.Visits {
		b := field.AppendBytes(nil, 1, []byte(v.Client))
		b = field.AppendBytes(b, 2, []byte(v.Issuer))
		b = field.AppendBytes(b, 3, []byte(v.Protocol))
		b = field.AppendBytes(b, 4, v.Reference)
		b = field.AppendNumber(b, 5, uint64(v.At))
		dst = appendPart(dst, 12, field.AppendNumber(b, 6, v.Login))
	}
	dst = field.AppendNumber(dst, 13, uint64(x.EndedAt))
	dst = field.AppendNumber(dst, 14, uint64(x.End))
	return field.AppendBytes(dst, 15, []byte(x.EndedBy))
}

// appendPart appends a message within a row, also an empty one.
func appendPart(dst []byte, num protowire.Number, part []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, num, protowire.BytesType), part)
}

func (p *SSOProof) decode(b []byte) error {
	for len(b) > 0 {
		f, rest, ok := field.Next(b)
		if !ok {
			return fmt.Errorf("read proof of a session: %w", errRow)
		}
		b = rest
		switch f.Num {
		case 1:
			p.Factor = uint32(f.Value)
		case 2:
			p.At = int64(f.Value)
		case 3:
			p.Login = f.Value
		case 4:
			p.Device = f.Value != 0
		}
	}
	return nil
}

func (v *SSOVisit) decode(b []byte) error {
	for len(b) > 0 {
		f, rest, ok := field.Next(b)
		if !ok {
			return fmt.Errorf("read visit of a session: %w", errRow)
		}
		b = rest
		switch f.Num {
		case 1:
			v.Client = string(f.Data)
		case 2:
			v.Issuer = string(f.Data)
		case 3:
			v.Protocol = string(f.Data)
		case 4:
			v.Reference = f.Data
		case 5:
			v.At = int64(f.Value)
		case 6:
			v.Login = f.Value
		}
	}
	return nil
}

// putSSO stores a session. The index by user holds it from its first row to its last.
func (s *State) putSSO(x *SSO) {
	ref, created := s.sso.Put(idKey(&s.work.key, x.Number), x.append(nil))
	if created {
		s.ssoOf.Add(hashUser(event.FoldName(x.User)), ref)
	}
}

// activeUser checks that a user exists and may log in, before the proposal.
func (s *State) activeUser(name string) Result {
	w := &s.work
	w.key = appendFolded(w.key[:0], name)
	value, _, ok := s.users.Peek(w.key)
	if !ok {
		return Result{Code: event.CodeMissing, Detail: "user " + name + " does not exist"}
	}
	var r docRow
	if err := r.decode(value); err != nil {
		violated("a readable user row", "%s: %v", name, err)
	}
	if isInactive(r.spec) {
		return Result{Code: event.CodeConflict, Detail: "user " + name + " is not active"}
	}
	return Result{}
}

// isInactive reports whether a user is switched off, by the encoded event.UserSpec or what a row has of it: the field has one number in both.
func isInactive(spec []byte) bool {
	for len(spec) > 0 {
		f, rest, ok := field.Next(spec)
		if !ok {
			return false
		}
		if spec = rest; f.Num == 13 {
			return f.Value != 0
		}
	}
	return false
}

// checkSSOStarted checks that a session may begin, or go on under another id.
func (s *State) checkSSOStarted(at Stamp, m *event.SsoStarted) Result {
	if r := s.activeUser(m.User); r.Code != 0 {
		return r
	}
	conflict := func(why string) Result {
		return Result{Code: event.CodeConflict, Detail: "session " + event.FormatID(m.Session) + " of single sign-on " + why}
	}
	if len(m.Hash) != len(SSOHash{}) || s.ssoIDs.Has(m.Hash) {
		return conflict("cannot have that id")
	}
	x, known := s.SSONumbered(m.Session)
	switch {
	case len(m.Replaces) == 0 && known:
		return conflict("exists already")
	case len(m.Replaces) == 0:
		return Result{}
	case !known || !x.Live(at.unix()):
		return conflict("is over")
	case !bytes.Equal(x.Hash[:], m.Replaces):
		return conflict("has another id by now")
	case event.FoldName(x.User) != event.FoldName(m.User) || x.Scope != m.Scope:
		return conflict("is another person's, or of other identity providers")
	}
	return Result{}
}

func (s *State) foldSSOStarted(at Stamp, m *event.SsoStarted) {
	x, known := s.SSONumbered(m.Session)
	if known {
		s.ssoIDs.Delete(bytes.Clone(x.Hash[:]))
	} else {
		x = SSO{Number: m.Session, User: m.User, Scope: m.Scope, Started: at.unix()}
	}
	x.Hash = SSOHash(m.Hash)
	x.Issuer, x.Used, x.Idle, x.NotAfter, x.Source, x.Login = m.IdentityProvider, at.unix(), m.Idle, m.NotAfterUnix, m.Source, m.Login
	x.Proofs = x.Proofs[:0]
	for _, p := range m.Proofs {
		x.Proofs = append(x.Proofs, SSOProof{Factor: p.Factor, At: p.AtUnix, Login: p.Login, Device: p.Device})
	}
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], m.Session)
	s.ssoIDs.Put(x.Hash[:], number[:])
	s.putSSO(&x)
	if m.Device != "" {
		s.useTrusted(at, m.User, m.Device)
	}
	if !known {
		s.crowdOutSSO(at, m.User, m.Session)
	}
}

// crowdOutSSO ends those of a person's sessions that are one too many, never the one that has just begun.
func (s *State) crowdOutSSO(at Stamp, user string, begun uint64) {
	live := s.SSOOf(user)
	live = slices.DeleteFunc(live, func(x SSO) bool { return x.EndedAt != 0 || x.Number == begun })
	for i := MaxSSO - 1; i < len(live); i++ {
		s.endSSO(at, &live[i], event.SSOCrowdedOut, "")
	}
}

// checkSSOUsed checks that the session counts at the record's time, under the id that it was used by.
func (s *State) checkSSOUsed(at Stamp, i int, m *event.SsoUsed) Result {
	for k := range i { // the proposal begins it, or goes on with it under the id
		if e := &s.work.events[k]; e.Type == event.TypeSSOStarted {
			if b := read[*event.SsoStarted](e, at); b.Session == m.Session && bytes.Equal(b.Hash, m.Hash) {
				return Result{}
			}
		}
	}
	x, known := s.SSONumbered(m.Session)
	if !known || !x.Live(at.unix()) || !bytes.Equal(x.Hash[:], m.Hash) {
		return Result{Code: event.CodeMissing, Detail: "session " + event.FormatID(m.Session) + " of single sign-on is over, or has another id by now"}
	}
	if m.Client != "" && len(x.Visits) >= MaxSSOVisits && x.visit(m) < 0 {
		return Result{Code: event.CodeLimit, Detail: fmt.Sprintf("session %s of single sign-on has visited %d service providers, which is the most that one may", event.FormatID(m.Session), MaxSSOVisits)}
	}
	return Result{}
}

// visit returns the place of the visit that an event repeats; -1 if it is a new one.
func (x *SSO) visit(m *event.SsoUsed) int {
	return slices.IndexFunc(x.Visits, func(v SSOVisit) bool {
		return v.Client == m.Client && v.Issuer == m.IdentityProvider && v.Protocol == m.Protocol
	})
}

func (s *State) foldSSOUsed(at Stamp, m *event.SsoUsed) {
	x, known := s.SSONumbered(m.Session)
	if !known {
		return
	}
	x.Used = at.unix()
	if m.Client != "" {
		v := SSOVisit{Client: m.Client, Issuer: m.IdentityProvider, Protocol: m.Protocol, Reference: m.Reference, At: at.unix(), Login: m.Login}
		if i := x.visit(m); i >= 0 {
			x.Visits[i] = v
		} else {
			x.Visits = append(x.Visits, v)
		}
	}
	s.putSSO(&x)
}

// checkSSOEnded checks that one of the sessions at least has not ended.
func (s *State) checkSSOEnded(m *event.SsoEnded) Result {
	if event.SSOEnd(m.Cause) == event.SSOExpired {
		return Result{}
	}
	for _, number := range m.Sessions {
		if x, known := s.SSONumbered(number); known && x.EndedAt == 0 {
			return Result{}
		}
	}
	return Result{Code: event.CodeMissing, Detail: "none of the sessions of single sign-on is live"}
}

func (s *State) foldSSOEnded(at Stamp, m *event.SsoEnded) {
	for _, number := range m.Sessions {
		x, known := s.SSONumbered(number)
		if !known || x.EndedAt != 0 || event.SSOEnd(m.Cause) == event.SSOExpired && x.Live(at.unix()) {
			continue
		}
		s.endSSO(at, &x, event.SSOEnd(m.Cause), m.By)
	}
}

// endSSO ends a session. Its row stays for a while, so that whoever tells service providers of the end knows which.
func (s *State) endSSO(at Stamp, x *SSO, end event.SSOEnd, by string) {
	s.ssoIDs.Delete(bytes.Clone(x.Hash[:]))
	x.EndedAt, x.End, x.EndedBy = at.unix(), end, by
	s.putSSO(x)
	if end.LogsOut() {
		s.endGrantsOfSession(at, x)
	}
	if s.onSSOEnded != nil {
		s.work.ended = append(s.work.ended, *x)
	}
}

// endSSOOf ends all sessions of a user.
func (s *State) endSSOOf(at Stamp, user string, end event.SSOEnd) {
	if s.sso.Len() == 0 {
		return
	}
	for _, x := range s.SSOOf(user) {
		if x.EndedAt == 0 {
			s.endSSO(at, &x, end, "")
		}
	}
}

// sweepSSO forgets the sessions that ended before a time, and ends nothing.
func (s *State) sweepSSO(before int64) {
	for _, key := range expired(s.sso, func(row []byte) bool {
		x := readSSO(0, row)
		return x.EndedAt != 0 && x.EndedAt < before
	}) {
		row, ref, ok := s.sso.Peek(key)
		if !ok {
			continue
		}
		s.ssoOf.Remove(hashUser(event.FoldName(readSSO(0, row).User)), ref)
		s.sso.Delete(key)
	}
}

// loadSSO builds the index of sessions by user anew.
func (s *State) loadSSO() error {
	s.ssoOf.Reset(s.sso, 0)
	var bad error
	s.sso.Scan(0, func(ref rows.Ref, _, row []byte) bool {
		var x SSO
		if bad = x.decode(row); bad != nil {
			return false
		}
		s.ssoOf.Add(hashUser(event.FoldName(x.User)), ref)
		return true
	})
	return bad
}
