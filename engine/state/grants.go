package state

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"trine/engine/event"
	"trine/engine/event/field"
	"trine/engine/state/rows"
)

// The bounds of grants.
const (
	// MaxGrants is how many grants are kept of a person, beside those of the last minute and a half and up to an eighth more: the ones that are worth least make room for others.
	MaxGrants = 512
	// MaxGrantsAtOnce is how many a person may have with those of the last minute and a half: no more begin.
	MaxGrantsAtOnce = 8 * MaxGrants
	// MaxGrantScopes and MaxGrantDetail are how long the scopes of a grant together, and what a protocol keeps with it, may be, in bytes.
	MaxGrantScopes = 1024
	MaxGrantDetail = 4096
	// maxGrantText is how long its other texts may be.
	maxGrantText = 512
)

// How long what is over is remembered, in seconds, so that a token of it can be told from one that never was. A code or refresh token that is presented once more is
// told by its grant.
const (
	grantRemembered = 10 * 60
	// youngGrant is for how long a grant stays whatever comes: its code, which is good for a minute, could be redeemed once more without it.
	youngGrant      = 90
	endRemembered   = 24 * 60 * 60
	tokenRemembered = 60
	// VoidedFor is how long it is remembered, in seconds, that everything of a client or a person was made void. No token is good for longer.
	VoidedFor = 400 * 24 * 60 * 60
)

// RefreshHash is the SHA-256 of the secret in a refresh token.
type RefreshHash [32]byte

// Grant is what a person has let a client have.
type Grant struct {
	Number        uint64
	User          string
	Client        string // service provider
	Issuer        string // identity provider by which the person logged in
	Scopes        string // with a blank between two
	Detail        []byte // what the protocol keeps with it
	Session       uint64 // number of the session of single sign-on that it came of; 0: none
	Offline       bool   // it outlives the person's logging out
	Started       int64  // unix seconds
	Used          int64  // unix seconds, when it was refreshed last, or started
	NotAfter      int64  // unix seconds, from which on it is over
	Generation    uint32 // of the newest refresh token
	Refresh       RefreshHash
	HasRefresh    bool
	Factors       uint32 // login.Set
	Authenticated int64  // unix seconds, when the person proved them
	Class         string // authentication context
	Login         uint64 // decision id of the login that it came of
	EndedAt       int64  // unix seconds; 0: it has not ended
	End           event.GrantEnd
	EndedBy       string

	index uint64 // of the record that began it
}

// Live reports whether the grant counts at a time in unix seconds.
func (g *Grant) Live(now int64) bool { return g.EndedAt == 0 && now < g.NotAfter }

// Why returns why the grant does not count at a time in unix seconds; GrantLive if it does.
func (g *Grant) Why(now int64) event.GrantEnd {
	if g.EndedAt == 0 && now >= g.NotAfter {
		return event.GrantOverLifetime
	}
	return g.End
}

// forgotten reports whether nobody needs to know the grant any more.
func (g *Grant) forgotten(now int64) bool {
	return now > g.NotAfter+grantRemembered || g.EndedAt != 0 && now > g.EndedAt+endRemembered
}

// Grant returns the grant of that number, also one that is over and is remembered.
func (s *State) Grant(number uint64) (Grant, bool) {
	var key [8]byte
	row, ok := s.grants.Get(nil, idKey2(&key, number))
	if !ok {
		return Grant{}, false
	}
	return s.readGrant(number, row), true
}

// GrantsOf returns the grants of a user, those that are over and are remembered too, the one that was used last first.
func (s *State) GrantsOf(user string) []Grant {
	var all []Grant
	name := event.FoldName(user)
	for _, ref := range s.grantsOf.Append(nil, hashUser(name), 1<<31) {
		s.grants.View(ref, func(key, row []byte) {
			if g := s.readGrant(binary.BigEndian.Uint64(key), bytes.Clone(row)); event.FoldName(g.User) == name {
				all = append(all, g)
			}
		})
	}
	slices.SortFunc(all, func(a, b Grant) int { return cmp.Or(cmp.Compare(b.Used, a.Used), cmp.Compare(a.Number, b.Number)) })
	return all
}

// GrantsPage returns up to limit grants, behind that of a number and in the order of numbers, of one client where it is named, and those that are over at a time in
// unix seconds only where they are asked for. It takes time for all grants.
func (s *State) GrantsPage(after uint64, limit int, client string, over bool, now int64) []Grant {
	var page []Grant
	lowest := func() {
		slices.SortFunc(page, func(a, b Grant) int { return cmp.Compare(a.Number, b.Number) })
		page = page[:min(len(page), limit)]
	}
	s.grants.Scan(0, func(_ rows.Ref, key, row []byte) bool {
		number := binary.BigEndian.Uint64(key)
		if number <= after {
			return true
		}
		if g := s.readGrant(number, bytes.Clone(row)); (client == "" || g.Client == client) && (over || g.Live(now)) {
			if page = append(page, g); len(page) >= 4*limit {
				lowest()
			}
		}
		return true
	})
	lowest()
	return page
}

// readGrant reads a row; what it returns may share its memory. A grant from before everything of its client or person was made void has ended by that.
func (s *State) readGrant(number uint64, row []byte) Grant {
	g := Grant{Number: number}
	if err := g.decode(&s.symbols, row); err != nil {
		violated("a readable row of a grant", "%s: %v", event.FormatID(number), err)
	}
	if g.EndedAt == 0 && s.voided.Len() > 0 {
		for _, v := range [...]Voided{s.VoidedClient(g.Client), s.VoidedUser(g.User)} {
			if v.index >= g.index && g.EndedAt == 0 && v.index != 0 {
				g.EndedAt, g.End, g.EndedBy = v.At, event.GrantTokensVoided, v.By
			}
		}
	}
	return g
}

func (g *Grant) decode(y *Symbols, row []byte) error {
	text := func(n uint64) string {
		if n == 0 {
			return ""
		}
		return string(y.text(n - 1))
	}
	for len(row) > 0 {
		f, rest, ok := field.Next(row)
		if !ok {
			return fmt.Errorf("read grant: %w", errRow)
		}
		row = rest
		switch f.Num {
		case 1:
			g.NotAfter = int64(f.Value)
		case 2:
			g.EndedAt = int64(f.Value)
		case 3:
			g.End = event.GrantEnd(f.Value)
		case 4:
			g.EndedBy = text(f.Value)
		case 5:
			g.User = string(f.Data)
		case 6:
			g.Client = text(f.Value)
		case 7:
			g.Issuer = text(f.Value)
		case 8:
			g.Scopes = string(f.Data)
		case 9:
			g.Detail = f.Data
		case 10:
			g.Session = f.Value
		case 11:
			g.Offline = f.Value != 0
		case 12:
			g.Started = int64(f.Value)
		case 13:
			g.Used = g.Started + int64(f.Value)
		case 14:
			g.Generation = uint32(f.Value)
		case 15:
			g.HasRefresh = copy(g.Refresh[:], f.Data) == len(g.Refresh)
		case 16:
			g.Factors = uint32(f.Value)
		case 17:
			g.Authenticated = int64(f.Value)
		case 18:
			g.Class = string(f.Data)
		case 19:
			g.Login = f.Value
		case 20:
			g.index = f.Value
		}
	}
	if g.Used == 0 {
		g.Used = g.Started
	}
	return nil
}

// putGrant stores a grant. The index by user holds it from its first row to its last.
func (s *State) putGrant(g *Grant) {
	symbol := func(text string) uint64 {
		if text == "" {
			return 0
		}
		return s.symbol([]byte(text)) + 1
	}
	b := field.AppendNumber(nil, 1, uint64(g.NotAfter))
	b = field.AppendNumber(b, 2, uint64(g.EndedAt))
	b = field.AppendNumber(b, 3, uint64(g.End))
	b = field.AppendNumber(b, 4, symbol(g.EndedBy))
	b = field.AppendBytes(b, 5, []byte(g.User))
	b = field.AppendNumber(b, 6, symbol(g.Client))
	b = field.AppendNumber(b, 7, symbol(g.Issuer))
	b = field.AppendBytes(b, 8, []byte(g.Scopes))
	b = field.AppendBytes(b, 9, g.Detail)
	b = field.AppendFixed(b, 10, g.Session)
	b = field.AppendFlag(b, 11, g.Offline)
	b = field.AppendNumber(b, 12, uint64(g.Started))
	b = field.AppendNumber(b, 13, uint64(max(0, g.Used-g.Started)))
	b = field.AppendNumber(b, 14, uint64(g.Generation))
	if g.HasRefresh {
		b = field.AppendBytes(b, 15, g.Refresh[:])
	}
	b = field.AppendNumber(b, 16, uint64(g.Factors))
	b = field.AppendNumber(b, 17, uint64(g.Authenticated))
	b = field.AppendBytes(b, 18, []byte(g.Class))
	b = field.AppendFixed(b, 19, g.Login)
	b = field.AppendNumber(b, 20, g.index)
	ref, created := s.grants.Put(idKey(&s.work.key, g.Number), b)
	if created {
		user := hashUser(event.FoldName(g.User))
		s.grantsOf.Add(user, ref)
		s.countGrants(user, 1)
	}
}

func (s *State) dropGrant(number uint64) {
	var key [8]byte
	row, ref, ok := s.grants.Peek(idKey2(&key, number))
	if !ok {
		return
	}
	g := s.readGrant(number, row)
	user := hashUser(event.FoldName(g.User))
	s.grantsOf.Remove(user, ref)
	s.countGrants(user, -1)
	s.grants.Delete(key[:])
}

// checkGrantStarted checks that a grant may begin, and that its code was not redeemed before.
func (s *State) checkGrantStarted(at Stamp, m *event.GrantStarted) Result {
	conflict := func(why string) Result {
		return Result{Code: event.CodeConflict, Detail: "grant " + event.FormatID(m.Grant) + " " + why}
	}
	var key [8]byte
	if s.grants.Has(idKey2(&key, m.Grant)) {
		return conflict("has begun already")
	}
	if m.CodeNotAfterUnix != 0 && at.unix() >= m.CodeNotAfterUnix {
		return conflict("cannot begin any more: the time of its code is over")
	}
	if r := s.activeUser(m.User); r.Code != 0 {
		return r
	}
	if s.grantsFull(at, m.User) {
		return Result{Code: event.CodeLimit, Detail: fmt.Sprintf("%s has %d grants, most of them of the last minute and a half, and no more may begin at once", m.User, MaxGrantsAtOnce)}
	}
	if !s.exists(appendKey(nil, []byte(kindServiceProvider), []byte(m.Client))) {
		return Result{Code: event.CodeMissing, Detail: "service provider " + m.Client + " does not exist"}
	}
	if x, known := s.SSONumbered(m.Session); m.Session != 0 && known && !m.Offline && x.End.LogsOut() {
		return conflict("cannot begin: its session of single sign-on has ended")
	}
	size := len(m.Scopes)
	for _, scope := range m.Scopes {
		if strings.ContainsAny(scope, " \x00") || scope == "" {
			return conflict(fmt.Sprintf("has %q among its scopes, which is none", scope))
		}
		size += len(scope)
	}
	for _, b := range []struct {
		what      string
		len, most int
	}{
		{"scopes", size, MaxGrantScopes},
		{"detail", len(m.Detail), MaxGrantDetail},
		{"authentication context", len(m.Class), maxGrantText},
		{"refresh token's hash", len(m.Refresh), len(RefreshHash{})},
	} {
		if b.len > b.most {
			return Result{Code: event.CodeLimit, Detail: fmt.Sprintf("the %s of grant %s take %d bytes, and %d are the most", b.what, event.FormatID(m.Grant), b.len, b.most)}
		}
	}
	return Result{}
}

func (s *State) foldGrantStarted(at Stamp, m *event.GrantStarted) {
	g := Grant{
		Number: m.Grant, User: m.User, Client: m.Client, Issuer: m.IdentityProvider, Scopes: strings.Join(m.Scopes, " "), Detail: m.Detail, Session: m.Session,
		Offline: m.Offline, Started: at.unix(), Used: at.unix(), NotAfter: m.NotAfterUnix, Factors: m.Factors, Authenticated: m.AuthenticatedUnix, Class: m.Class,
		Login: m.Login, index: at.Index,
	}
	g.HasRefresh = len(m.Refresh) > 0
	copy(g.Refresh[:], m.Refresh)
	s.crowdOutGrants(at, m.User)
	s.putGrant(&g)
}

// checkGrantRefreshed checks that the grant counts, and has the refresh token still that is used up.
func (s *State) checkGrantRefreshed(at Stamp, m *event.GrantRefreshed) Result {
	g, known := s.Grant(m.Grant)
	switch {
	case !known || !g.Live(at.unix()):
		return Result{Code: event.CodeMissing, Detail: "grant " + event.FormatID(m.Grant) + " is over"}
	case !g.HasRefresh || g.Generation+1 != m.Generation || !bytes.Equal(g.Refresh[:], m.Replaces) || len(m.Refresh) != len(g.Refresh):
		return Result{Code: event.CodeConflict, Detail: "grant " + event.FormatID(m.Grant) + " has another refresh token by now"}
	}
	return s.activeUser(g.User)
}

func (s *State) foldGrantRefreshed(at Stamp, m *event.GrantRefreshed) {
	g, known := s.Grant(m.Grant)
	if !known || g.EndedAt != 0 {
		return
	}
	g.Generation, g.Used, g.NotAfter = m.Generation, at.unix(), m.NotAfterUnix
	copy(g.Refresh[:], m.Refresh)
	s.putGrant(&g)
}

// checkGrantsEnded checks that one of the grants at least has not ended.
func (s *State) checkGrantsEnded(m *event.GrantsEnded) Result {
	for _, number := range m.Grants {
		if g, known := s.Grant(number); known && g.EndedAt == 0 {
			return Result{}
		}
	}
	return Result{Code: event.CodeMissing, Detail: "none of the grants is live"}
}

// endGrant ends a grant. Its row stays for a while, so that whoever presents something of it learns why that is refused.
func (s *State) endGrant(at Stamp, g *Grant, end event.GrantEnd, by string) {
	if g.EndedAt != 0 {
		return
	}
	g.EndedAt, g.End, g.EndedBy = at.unix(), end, by
	g.Detail, g.HasRefresh = nil, false
	s.putGrant(g)
}

// endGrantsWhere ends those grants of a user that are chosen.
func (s *State) endGrantsWhere(at Stamp, user string, end event.GrantEnd, by string, chosen func(*Grant) bool) {
	if s.grants.Len() == 0 {
		return
	}
	for _, g := range s.GrantsOf(user) {
		if chosen(&g) {
			s.endGrant(at, &g, end, by)
		}
	}
}

// endGrantsOfSession ends what came of a session that the person, or an administrator, ended, but for what outlives that.
func (s *State) endGrantsOfSession(at Stamp, x *SSO) {
	end := event.GrantLoggedOut
	if x.End == event.SSOClosed {
		end = event.GrantSessionClosed
	}
	s.endGrantsWhere(at, x.User, end, x.EndedBy, func(g *Grant) bool { return g.Session == x.Number && !g.Offline })
}

// TokenRevoked reports whether the access token of that id was revoked by itself, as far as that is remembered: until it would have been over.
func (s *State) TokenRevoked(id uint64) bool {
	if s.revoked.Len() == 0 {
		return false
	}
	var key [8]byte
	return s.revoked.Has(idKey2(&key, id))
}

func (s *State) foldTokenRevoked(at Stamp, m *event.TokenRevoked) {
	if m.NotAfterUnix > at.unix() {
		s.revoked.Put(idKey(&s.work.key, m.Token), field.AppendNumber(nil, 1, uint64(m.NotAfterUnix)))
	}
}

// Voided says when everything of a client or a person was made void: what was issued at that time or before does not count. Its zero value says that nothing was.
type Voided struct {
	At int64 // unix seconds, of the record
	By string

	index uint64 // of the record
}

// Covers reports whether it makes void what exists from an index of the log on or, where that is 0, what was issued at a time in unix seconds.
func (v *Voided) Covers(index uint64, issued int64) bool {
	if index != 0 {
		return v.index >= index
	}
	return v.At != 0 && v.At >= issued
}

// VoidedClient returns when everything that was issued to a service provider was made void, by an administrator or as its document was deleted.
func (s *State) VoidedClient(client string) Voided { return s.voidedBy("c/" + client) }

// VoidedUser returns when everything that was issued for a user was made void.
func (s *State) VoidedUser(user string) Voided { return s.voidedBy("u/" + event.FoldName(user)) }

func (s *State) voidedBy(key string) (v Voided) {
	if s.voided.Len() == 0 {
		return v
	}
	row, ok := s.voided.Get(nil, []byte(key))
	if !ok {
		return v
	}
	for len(row) > 0 {
		f, rest, ok := field.Next(row)
		if !ok {
			violated("a readable row of what was made void", "%s", key)
		}
		row = rest
		switch f.Num {
		case 1:
			v.At = int64(f.Value)
		case 2:
			v.By = s.person(f.Value)
		case 3:
			v.index = f.Value
		}
	}
	return v
}

// void makes void what was issued until now to a client, or for a user where none is named.
func (s *State) void(at Stamp, client, user, by string) {
	key := "c/" + client
	if client == "" {
		key = "u/" + event.FoldName(user)
	}
	b := field.AppendNumber(nil, 1, uint64(at.unix()))
	if by != "" {
		b = field.AppendNumber(b, 2, s.symbol([]byte(by))+1)
	}
	s.voided.Put([]byte(key), field.AppendNumber(b, 3, at.Index))
}

// checkTokensVoided checks that there is whom it is about.
func (s *State) checkTokensVoided(m *event.TokensVoided) Result {
	kind, name := kindServiceProvider, m.Client
	if m.Client == "" {
		kind, name = kindUser, m.User
	}
	if key := appendKey(nil, []byte(kind), []byte(name)); !s.exists(key) {
		return Result{Code: event.CodeMissing, Detail: fmt.Sprintf("%s does not exist", key)}
	}
	return Result{}
}

// Over returns what Apply can forget at a time in unix seconds, up to limit of it; nil if there is nothing. It takes time for all grants.
func (s *State) Over(now int64, limit int) *event.GrantsSwept {
	m := new(event.GrantsSwept)
	left := limit
	more := func() bool { left--; return left > 0 }
	s.grants.Scan(0, func(_ rows.Ref, key, row []byte) bool {
		number := binary.BigEndian.Uint64(key)
		if !s.grantForgotten(number, row, now) {
			return true
		}
		m.Grants = append(m.Grants, number)
		return more()
	})
	s.revoked.Scan(0, func(_ rows.Ref, key, row []byte) bool {
		if left <= 0 || !revokedOver(row, now) {
			return left > 0
		}
		m.Tokens = append(m.Tokens, binary.BigEndian.Uint64(key))
		return more()
	})
	s.consents.Scan(0, func(_ rows.Ref, key, row []byte) bool {
		if left <= 0 || !s.consentVoid(key, row) {
			return left > 0
		}
		m.Consents = append(m.Consents, bytes.Clone(key))
		return more()
	})
	s.voided.Scan(0, func(_ rows.Ref, key, row []byte) bool {
		if left <= 0 || !voidedOver(row, now) {
			return left > 0
		}
		m.Voided = append(m.Voided, string(key))
		return more()
	})
	s.signing.Scan(0, func(_ rows.Ref, key, row []byte) bool {
		if left <= 0 || !s.signingOver(row, now) {
			return left > 0
		}
		m.Keys = append(m.Keys, string(key))
		return more()
	})
	if left == limit {
		return nil
	}
	return m
}

// grantForgotten is Grant.forgotten of a row, of which it looks at what it must alone.
func (s *State) grantForgotten(number uint64, row []byte, now int64) bool {
	if s.voided.Len() == 0 { // the first two fields say it
		var g Grant
		for b := row; len(b) > 0; {
			f, rest, ok := field.Next(b)
			if !ok || f.Num > 2 {
				break
			}
			if b = rest; f.Num == 1 {
				g.NotAfter = int64(f.Value)
			} else {
				g.EndedAt = int64(f.Value)
			}
		}
		return g.forgotten(now)
	}
	g := s.readGrant(number, row)
	return g.forgotten(now)
}

func revokedOver(row []byte, now int64) bool {
	f, _, ok := field.Next(row)
	return ok && now > int64(f.Value)+tokenRemembered
}

func voidedOver(row []byte, now int64) bool {
	f, _, ok := field.Next(row)
	return ok && now > int64(f.Value)+VoidedFor
}

// foldGrantsSwept forgets what is over by the record's time.
func (s *State) foldGrantsSwept(at Stamp, m *event.GrantsSwept) {
	var key [8]byte
	for _, number := range m.Grants {
		if row, _, ok := s.grants.Peek(idKey2(&key, number)); ok && s.grantForgotten(number, row, at.unix()) {
			s.dropGrant(number)
		}
	}
	for _, id := range m.Tokens {
		if row, _, ok := s.revoked.Peek(idKey2(&key, id)); ok && revokedOver(row, at.unix()) {
			s.revoked.Delete(key[:])
		}
	}
	for _, k := range m.Consents {
		if row, ref, ok := s.consents.Peek(k); ok && s.consentVoid(k, row) {
			s.dropConsent(bytes.Clone(k), ref)
		}
	}
	for _, k := range m.Voided {
		if row, _, ok := s.voided.Peek([]byte(k)); ok && voidedOver(row, at.unix()) {
			s.voided.Delete([]byte(k))
		}
	}
	for _, issuer := range m.Keys {
		s.dropPastKeys(issuer, at.unix())
	}
}

// forgetGrants forgets the grants and consents of a user who is deleted.
func (s *State) forgetGrants(user string, id uint64) {
	if s.grants.Len() > 0 {
		for _, g := range s.GrantsOf(user) {
			s.dropGrant(g.Number)
		}
	}
	s.forgetConsents(id)
}

// loadGrants builds the indexes of grants and consents by user anew.
func (s *State) loadGrants() error {
	s.crowds = nil
	s.grantsOf.Reset(s.grants, 0)
	var bad error
	s.grants.Scan(0, func(ref rows.Ref, _, row []byte) bool {
		var g Grant
		if bad = g.decode(&s.symbols, row); bad != nil {
			return false
		}
		s.grantsOf.Add(hashUser(event.FoldName(g.User)), ref)
		return true
	})
	if bad != nil {
		return bad
	}
	return s.loadConsents()
}
