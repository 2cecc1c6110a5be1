package state

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/zeebo/xxh3"
	"google.golang.org/protobuf/encoding/protowire"

	"trine/engine/event/field"
	"trine/engine/state/rows"
)

// Session is a live network session. All slices belong to it and are overwritten when it is filled again.
type Session struct {
	ID               uint64
	Login            uint64 // decision id of the login, 0 if unknown
	Client           []byte // service provider
	NAS              []byte // NAS-Identifier or packed address
	AcctSessionID    []byte
	User             []byte // resolved user, or empty
	UserName         []byte // as it came
	FramedIP         []byte // 4 bytes, or empty
	FramedIPv6Prefix []byte // as on the wire, or 16 bytes of an address, or empty
	Calling          []byte
	Called           []byte
	NASPortID        []byte
	Class            []byte
	Source           []byte // packed source address
	NASPort          uint32
	Started          uint32 // unix seconds, by the NAS's word
	Seen             uint32 // unix seconds of the last record about it, by record time
	StaleAfter       uint32 // seconds without news after which it is stale; 0: never
	SessionTime      uint32 // seconds
	InputOctets      uint64
	OutputOctets     uint64
	InputPackets     uint64
	OutputPackets    uint64

	ring ring
	buf  []byte
}

// Stale reports whether the session was not heard of for longer than its NAS promised.
func (x *Session) Stale(now time.Time) bool { return stale(x.Seen, x.StaleAfter, now.Unix()) }

func stale(seen, after uint32, now int64) bool {
	return after != 0 && now > int64(seen)+int64(after)
}

// ring holds the idempotence keys of accounting records, newest first: of the last seven, and at its end of the first; 0 is none. A record that its NAS sent to
// another node as well may come late, from a node that stood still or was cut off.
type ring [8]uint64

func (r *ring) has(key uint64) bool {
	return key != 0 && (r[0] == key || r[1] == key || r[2] == key || r[3] == key || r[4] == key || r[5] == key || r[6] == key || r[7] == key)
}

func (r *ring) push(key uint64) {
	if r[7] == 0 {
		copy(r[1:], r[:7])
	} else {
		copy(r[1:7], r[:6]) // the first record's stays
	}
	r[0] = key
}

const ringSize = 64

func (r *ring) append(dst []byte) []byte {
	for _, k := range r {
		dst = binary.LittleEndian.AppendUint64(dst, k)
	}
	return dst
}

func (r *ring) decode(b []byte) bool {
	if len(b) < ringSize {
		return false
	}
	for i := range r {
		r[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return true
}

// figuresSize is the length of a session row's first field, which has fixed places so that an interim record does not change the
// row's length, and that a sweep reads nothing else: seen, stale after, started, session time, then octets and packets in and out.
const figuresSize = 4*4 + 4*8

// append appends the encoded row; client is the symbol of the client.
func (x *Session) append(dst []byte, client uint64) []byte {
	dst = protowire.AppendTag(dst, 1, protowire.BytesType)
	dst = append(dst, figuresSize)
	for _, v := range [...]uint32{x.Seen, x.StaleAfter, x.Started, x.SessionTime} {
		dst = binary.LittleEndian.AppendUint32(dst, v)
	}
	for _, v := range [...]uint64{x.InputOctets, x.OutputOctets, x.InputPackets, x.OutputPackets} {
		dst = binary.LittleEndian.AppendUint64(dst, v)
	}
	dst = protowire.AppendTag(dst, 2, protowire.BytesType)
	dst = append(dst, ringSize)
	dst = x.ring.append(dst)
	dst = field.AppendFixed(dst, 3, x.Login)
	dst = field.AppendNumber(dst, 4, client+1)
	dst = field.AppendBytes(dst, 5, x.NAS)
	dst = field.AppendBytes(dst, 6, x.AcctSessionID)
	dst = field.AppendBytes(dst, 7, x.User)
	if !bytes.Equal(x.UserName, x.User) {
		dst = field.AppendBytes(dst, 8, x.UserName)
		dst = field.AppendFlag(dst, 17, len(x.UserName) == 0)
	}
	dst = field.AppendBytes(dst, 9, x.FramedIP)
	dst = field.AppendBytes(dst, 10, x.FramedIPv6Prefix)
	dst = field.AppendBytes(dst, 11, x.Calling)
	dst = field.AppendBytes(dst, 12, x.Called)
	dst = field.AppendBytes(dst, 13, x.NASPortID)
	dst = field.AppendNumber(dst, 14, uint64(x.NASPort))
	dst = field.AppendBytes(dst, 15, x.Class)
	return field.AppendBytes(dst, 16, x.Source)
}

// decode fills the session from a row without copying it.
func (x *Session) decode(id uint64, b []byte, y *Symbols) error {
	*x = Session{ID: id, buf: x.buf}
	same := true
	for len(b) > 0 {
		f, rest, ok := field.Next(b)
		if !ok {
			return fmt.Errorf("read session row: %w", errRow)
		}
		b = rest
		switch f.Num {
		case 1:
			if len(f.Data) < figuresSize {
				return fmt.Errorf("read figures of session row: %w", errRow)
			}
			le := binary.LittleEndian
			x.Seen, x.StaleAfter = le.Uint32(f.Data), le.Uint32(f.Data[4:])
			x.Started, x.SessionTime = le.Uint32(f.Data[8:]), le.Uint32(f.Data[12:])
			x.InputOctets, x.OutputOctets = le.Uint64(f.Data[16:]), le.Uint64(f.Data[24:])
			x.InputPackets, x.OutputPackets = le.Uint64(f.Data[32:]), le.Uint64(f.Data[40:])
		case 2:
			if !x.ring.decode(f.Data) {
				return fmt.Errorf("read keys of session row: %w", errRow)
			}
		case 3:
			x.Login = f.Value
		case 4:
			x.Client = y.optional(f.Value)
		case 5:
			x.NAS = f.Data
		case 6:
			x.AcctSessionID = f.Data
		case 7:
			x.User = f.Data
		case 8:
			x.UserName, same = f.Data, false
		case 9:
			x.FramedIP = f.Data
		case 10:
			x.FramedIPv6Prefix = f.Data
		case 11:
			x.Calling = f.Data
		case 12:
			x.Called = f.Data
		case 13:
			x.NASPortID = f.Data
		case 14:
			x.NASPort = uint32(f.Value)
		case 15:
			x.Class = f.Data
		case 16:
			x.Source = f.Data
		case 17:
			same = false
		}
	}
	if same {
		x.UserName = x.User
	}
	return nil
}

// figures reads what a sweep needs of a session row.
func figures(row []byte) (seen, after uint32, ok bool) {
	f, _, ok := field.Next(row)
	if !ok || f.Num != 1 || len(f.Data) < figuresSize {
		return 0, 0, false
	}
	return binary.LittleEndian.Uint32(f.Data), binary.LittleEndian.Uint32(f.Data[4:]), true
}

// Session fills dst with the live session of that id (see event.SessionID) and reports whether there is one. It does not allocate
// once dst's buffer has grown.
func (s *State) Session(dst *Session, id uint64) bool {
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], id)
	var ok bool
	dst.buf, ok = s.sessions.Get(dst.buf[:0], key[:])
	if !ok {
		return false
	}
	if err := dst.decode(id, dst.buf, &s.symbols); err != nil {
		violated("a readable session row", "%x: %v", id, err)
	}
	return true
}

// SessionQuery selects live sessions, stale ones included. A session must meet all fields that are set.
type SessionQuery struct {
	ID            uint64
	User          string     // resolved user or, where there is none, the name as it came; in any case
	Client        string     // service provider
	NAS           string     // NAS-Identifier or address
	Addr          netip.Addr // framed address, or one within the framed IPv6 prefix
	Calling       string     // calling station; a MAC address in any notation
	AcctSessionID string
	After         uint64 // the id of the last session of the page before
	Limit         int    // at most so many; 0: 100
}

// Sessions returns the sessions that a query selects, in an order that never changes but means nothing, and what to set After to
// for the next page, which is 0 at the end. A session that comes or goes between pages may be missed; all others come exactly once.
// A page takes time for as many sessions as the index finds or, without one, for those that it looks through.
func (s *State) Sessions(q SessionQuery) (page []Session, after uint64) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	m := newMatcher(&q)
	if q.ID != 0 {
		var x Session
		if s.Session(&x, q.ID) && m.matches(&x) && q.After == 0 {
			page = append(page, x)
		}
		return page, 0
	}
	var from uint64
	var key [8]byte
	if q.After != 0 {
		from = rows.Hash(idKey2(&key, q.After)) + 1
	}
	var places []place
	if refs, indexed := s.candidates(&q, m); indexed {
		for _, ref := range refs {
			s.sessions.View(ref, func(key, _ []byte) { places = addPlace(places, ref, key, from) })
		}
		return s.pick(m, page, places)
	}
	for shard := s.sessions.ShardOf(from); shard < s.sessions.Shards(); shard++ {
		places = places[:0]
		s.sessions.ScanShard(shard, func(ref rows.Ref, key, _ []byte) bool {
			places = addPlace(places, ref, key, from)
			return true
		})
		if page, after = s.pick(m, page, places); after != 0 {
			return page, after
		}
	}
	return page, 0
}

// place is a session found and its place in the order of all, which is that of the hashes of their ids: it can be told from a
// session's id when the session is gone.
type place struct {
	hash uint64
	ref  rows.Ref
}

func addPlace(places []place, ref rows.Ref, key []byte, from uint64) []place {
	if hash := rows.Hash(key); hash >= from {
		return append(places, place{hash, ref})
	}
	return places
}

// pick adds the sessions that match to the page, in order; after is 0 unless the page is full.
func (s *State) pick(m *matcher, page []Session, places []place) (_ []Session, after uint64) {
	slices.SortFunc(places, func(a, b place) int { return cmp.Compare(a.hash, b.hash) })
	for _, p := range slices.Compact(places) {
		var x Session
		if s.sessionAt(&x, p.ref) && m.matches(&x) {
			if page = append(page, x); len(page) == m.Limit {
				return page, x.ID
			}
		}
	}
	return page, 0
}

// CountSessions returns how many live sessions that are not stale and unexpired reservations a user has. The name is in any case.
func (s *State) CountSessions(user string, now time.Time) int {
	var buf [16]rows.Ref
	return int(s.countSessions(buf[:0], now.Unix(), []byte(user), 1<<62, nil))
}

// countSessions counts a user's sessions and reservations, up to enough of them. Those of the logins in except do not count.
func (s *State) countSessions(refs []rows.Ref, now int64, user []byte, enough uint64, except []uint64) (n uint64) {
	hash := hashUser(user)
	for _, ref := range s.byField[fieldUser].Append(refs[:0], hash, 1<<31) {
		if n >= enough {
			return n
		}
		s.sessions.View(ref, func(_, row []byte) {
			seen, after, ok := figures(row)
			if !ok || stale(seen, after, now) {
				return
			}
			if owner, _, login := sessionOwner(row); sameName(owner, user) && !slices.Contains(except, login) {
				n++
			}
		})
	}
	for _, ref := range s.reservedBy.Append(refs[:0], hash, 1<<31) {
		if n >= enough {
			return n
		}
		s.reservations.View(ref, func(key, row []byte) {
			r, err := decodeReservation(row)
			if err != nil || r.notAfter < now || !sameName(r.user, user) {
				return
			}
			if !slices.Contains(except, binary.BigEndian.Uint64(key)) {
				n++
			}
		})
	}
	return n
}

// sessionOwner returns the resolved user of a session row, the symbol of its client, plus one, and the login that led to it.
func sessionOwner(row []byte) (user []byte, client, login uint64) {
	for len(row) > 0 {
		f, rest, ok := field.Next(row)
		if !ok || f.Num > 7 {
			break
		}
		switch f.Num {
		case 3:
			login = f.Value
		case 4:
			client = f.Value
		case 7:
			user = f.Data
		}
		row = rest
	}
	return user, client, login
}

// StaleSessions returns the ids of up to limit sessions that are stale, for the leader to expire.
func (s *State) StaleSessions(now time.Time, limit int) []uint64 {
	var stales []uint64
	unix := now.Unix()
	s.sessions.Scan(0, func(_ rows.Ref, key, row []byte) bool {
		if seen, after, ok := figures(row); ok && stale(seen, after, unix) && len(stales) < limit {
			stales = append(stales, binary.BigEndian.Uint64(key))
		}
		return len(stales) < limit
	})
	return stales
}

func (s *State) sessionAt(dst *Session, ref rows.Ref) bool {
	var id uint64
	ok := s.sessions.View(ref, func(key, row []byte) {
		id = binary.BigEndian.Uint64(key)
		dst.buf = append(dst.buf[:0], row...)
	})
	if !ok {
		return false
	}
	if err := dst.decode(id, dst.buf, &s.symbols); err != nil {
		violated("a readable session row", "%x: %v", id, err)
	}
	return true
}

// idKey writes an id as a row key into the buffer that dst points to.
func idKey(dst *[]byte, id uint64) []byte {
	*dst = binary.BigEndian.AppendUint64((*dst)[:0], id)
	return *dst
}

func idKey2(dst *[8]byte, id uint64) []byte {
	binary.BigEndian.PutUint64(dst[:], id)
	return dst[:]
}

// The indexes of sessions.
const (
	fieldUser = iota
	fieldNAS
	fieldIPv4
	fieldIPv6
	fieldCalling
	fieldAcctSessionID
	sessionFields
)

// hashes holds a session's hash in each index; 0 means that it is not in it.
type hashes [sessionFields]uint64

func (x *Session) hashes() hashes {
	k := sessionKeys{
		nas: x.NAS, acctSessionID: x.AcctSessionID, user: x.User, userName: x.UserName, framedIP: x.FramedIP,
		framedIPv6Prefix: x.FramedIPv6Prefix, calling: x.Calling,
	}
	return k.hashes()
}

// sessionKeys are the fields of a session by which it is found.
type sessionKeys struct {
	nas, acctSessionID, user, userName, framedIP, framedIPv6Prefix, calling []byte
}

// decode reads them, and nothing else, of a session row.
func (k *sessionKeys) decode(row []byte) error {
	for len(row) > 0 {
		f, rest, ok := field.Next(row)
		if !ok {
			return fmt.Errorf("read session row: %w", errRow)
		}
		row = rest
		switch f.Num {
		case 5:
			k.nas = f.Data
		case 6:
			k.acctSessionID = f.Data
		case 7:
			k.user = f.Data
		case 8:
			k.userName = f.Data
		case 9:
			k.framedIP = f.Data
		case 10:
			k.framedIPv6Prefix = f.Data
		case 11:
			k.calling = f.Data
		}
	}
	return nil
}

func (k *sessionKeys) hashes() (h hashes) {
	switch {
	case len(k.user) > 0:
		h[fieldUser] = hashUser(k.user)
	case len(k.userName) > 0:
		h[fieldUser] = hashUser(k.userName)
	}
	h[fieldNAS] = hashField(k.nas)
	h[fieldIPv4] = hashField(k.framedIP)
	if prefix, ok := parsePrefix(k.framedIPv6Prefix); ok {
		h[fieldIPv6] = hashPrefix(prefix)
	}
	h[fieldCalling] = hashStation(k.calling)
	h[fieldAcctSessionID] = hashField(k.acctSessionID)
	return h
}

func hashField(b []byte) uint64 {
	if len(b) == 0 {
		return 0
	}
	return max(1, xxh3.Hash(b))
}

func hashUser[T ~string | ~[]byte](name T) uint64 {
	var buf [256]byte
	return hashField(appendFolded(buf[:0], name))
}

func hashStation[T ~string | ~[]byte](station T) uint64 {
	var buf [256]byte
	return hashField(appendStation(buf[:0], station))
}

// appendStation appends a calling station in the form in which stations are compared: the twelve digits of a MAC address
// without separators, anything else folded.
func appendStation[T ~string | ~[]byte](dst []byte, station T) []byte {
	start := len(dst)
	for i := 0; i < len(station); i++ {
		c := station[i]
		switch {
		case 'A' <= c && c <= 'F':
			c += 'a' - 'A'
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f':
		case c == '-' || c == ':' || c == '.':
			continue
		default:
			return appendFolded(dst[:start], station)
		}
		dst = append(dst, c)
	}
	if len(dst)-start != 12 {
		return appendFolded(dst[:start], station)
	}
	return dst
}

// parsePrefix reads a framed IPv6 prefix: the 16 bytes of an address, or a zero byte, the prefix length and as many bytes as are
// not zero (RFC 3162 section 2.3).
func parsePrefix(b []byte) (netip.Prefix, bool) {
	var addr [16]byte
	if len(b) == 16 && (b[0] != 0 || b[1] <= 96 || b[1] > 128) {
		return netip.PrefixFrom(netip.AddrFrom16([16]byte(b)), 128), true
	}
	if len(b) < 2 || len(b) > 18 || b[0] != 0 || b[1] > 128 {
		return netip.Prefix{}, false
	}
	copy(addr[:], b[2:])
	return netip.PrefixFrom(netip.AddrFrom16(addr), int(b[1])).Masked(), true
}

func hashPrefix(p netip.Prefix) uint64 {
	var buf [17]byte
	addr := p.Addr().As16()
	copy(buf[:], addr[:])
	buf[16] = byte(p.Bits())
	return hashField(buf[:])
}

// reindex moves a session from one set of hashes to another.
func (s *State) reindex(ref rows.Ref, old, now hashes) {
	for i := range old {
		if old[i] == now[i] {
			continue
		}
		if old[i] != 0 {
			s.byField[i].Remove(old[i], ref)
		}
		if now[i] != 0 {
			s.byField[i].Add(now[i], ref)
		}
	}
}

func (s *State) countPrefix(b []byte, by int32) {
	if p, ok := parsePrefix(b); ok {
		s.prefixes[p.Bits()].Add(by)
	}
}

// loadSessions builds the indexes of sessions anew.
func (s *State) loadSessions() error {
	n := s.sessions.Len()
	var entries [sessionFields][]rows.Entry
	for i := range s.byField {
		s.byField[i].Reset(s.sessions, n)
		entries[i] = make([]rows.Entry, 0, min(n, 512))
	}
	for i := range s.prefixes {
		s.prefixes[i].Store(0)
	}
	var bad error
	s.sessions.Scan(0, func(ref rows.Ref, key, row []byte) bool {
		var k sessionKeys
		if len(key) != 8 || k.decode(row) != nil {
			bad = fmt.Errorf("load session %x: %w", key, errRow)
			return false
		}
		for i, hash := range k.hashes() {
			if hash == 0 {
				continue
			}
			if entries[i] = append(entries[i], rows.Entry{Hash: hash, Ref: ref}); len(entries[i]) == cap(entries[i]) {
				s.byField[i].AddAll(entries[i])
				entries[i] = entries[i][:0]
			}
		}
		s.countPrefix(k.framedIPv6Prefix, 1)
		return true
	})
	for i := range s.byField {
		s.byField[i].AddAll(entries[i])
		s.byField[i].Fit()
	}
	return bad
}

func sameName(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y [256]byte
	return bytes.Equal(appendFolded(x[:0], a), appendFolded(y[:0], b))
}

// candidates returns the sessions that the most telling index finds for a query; indexed is false if none applies.
func (s *State) candidates(q *SessionQuery, m *matcher) (refs []rows.Ref, indexed bool) {
	const all = 1 << 31
	switch {
	case q.AcctSessionID != "":
		return s.byField[fieldAcctSessionID].Append(nil, hashField([]byte(q.AcctSessionID)), all), true
	case q.Addr.Is4() || q.Addr.Is4In6():
		a := q.Addr.Unmap().As4()
		return s.byField[fieldIPv4].Append(nil, hashField(a[:]), all), true
	case q.Addr.IsValid():
		for n := range s.prefixes {
			if p, err := q.Addr.WithZone("").Prefix(n); err == nil && s.prefixes[n].Load() > 0 {
				refs = s.byField[fieldIPv6].Append(refs, hashPrefix(p), all)
			}
		}
		return refs, true
	case q.Calling != "":
		return s.byField[fieldCalling].Append(nil, hashStation(q.Calling), all), true
	case q.User != "":
		return s.byField[fieldUser].Append(nil, hashUser(q.User), all), true
	case q.NAS != "":
		refs = s.byField[fieldNAS].Append(nil, hashField([]byte(q.NAS)), all)
		if len(m.nasAddr) > 0 {
			refs = s.byField[fieldNAS].Append(refs, hashField(m.nasAddr), all)
		}
		return refs, true
	}
	return nil, false
}

// matcher is a query made ready to be compared with sessions.
type matcher struct {
	*SessionQuery
	nasAddr []byte // NAS as a packed address, if it is one
	station []byte
}

func newMatcher(q *SessionQuery) *matcher {
	m := &matcher{SessionQuery: q, station: appendStation(nil, q.Calling)}
	if a, err := netip.ParseAddr(q.NAS); err == nil {
		m.nasAddr = a.Unmap().AsSlice()
	}
	return m
}

func (m *matcher) matches(x *Session) bool {
	user := x.User
	if len(user) == 0 {
		user = x.UserName
	}
	switch {
	case m.ID != 0 && m.ID != x.ID,
		m.User != "" && !sameName(user, []byte(m.User)),
		m.Client != "" && string(x.Client) != m.Client,
		m.NAS != "" && string(x.NAS) != m.NAS && (len(m.nasAddr) == 0 || !bytes.Equal(x.NAS, m.nasAddr)),
		m.Calling != "" && !bytes.Equal(appendStation(nil, x.Calling), m.station),
		m.AcctSessionID != "" && string(x.AcctSessionID) != m.AcctSessionID:
		return false
	}
	if !m.Addr.IsValid() {
		return true
	}
	if a, ok := netip.AddrFromSlice(x.FramedIP); ok && a == m.Addr.Unmap() {
		return true
	}
	p, ok := parsePrefix(x.FramedIPv6Prefix)
	return ok && p.Contains(m.Addr.WithZone(""))
}
