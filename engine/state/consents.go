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

// The bounds of consents.
const (
	// MaxConsents is how many service providers a person may have consented to.
	MaxConsents = 500
	// MaxConsentText is how long the scopes, and the claims, of a consent may be together, in bytes.
	MaxConsentText = 4096
)

// Consent is what a person lets a service provider know.
type Consent struct {
	UserID uint64
	Client string
	Scopes []string // in order
	Claims []string // in order
	At     int64    // unix seconds, when it was given last
	Issuer string   // identity provider by which he was asked last
	Login  uint64   // decision id
}

// Covers reports whether all the scopes and claims are among those of the consent.
func (c *Consent) Covers(scopes, claims []string) bool {
	return within(c.Scopes, scopes) && within(c.Claims, claims)
}

func within(all, some []string) bool {
	for _, one := range some {
		if _, ok := slices.BinarySearch(all, one); !ok {
			return false
		}
	}
	return true
}

// Consent returns what a person, by his id, lets a service provider know; false if he was never asked, or took it back.
func (s *State) Consent(user uint64, client string) (Consent, bool) {
	key := consentKey(user, client)
	row, ok := s.consents.Get(nil, key)
	if !ok || s.consentVoid(key, row) {
		return Consent{}, false
	}
	return s.readConsent(key, row), true
}

// ConsentsOf returns what a person, by his id, lets service providers know, by their names.
func (s *State) ConsentsOf(user uint64) []Consent {
	var all []Consent
	for _, ref := range s.consentsOf.Append(nil, hashID(user), 1<<31) {
		s.consents.View(ref, func(key, row []byte) {
			if binary.BigEndian.Uint64(key) == user && !s.consentVoid(key, row) {
				all = append(all, s.readConsent(key, bytes.Clone(row)))
			}
		})
	}
	slices.SortFunc(all, func(a, b Consent) int { return cmp.Compare(a.Client, b.Client) })
	return all
}

// ConsentsPage returns up to limit consents, those behind that of a user's id and a service provider, by these, and of one service provider alone where it is named. It
// takes time for all consents.
func (s *State) ConsentsPage(user uint64, behind string, limit int, client string) []Consent {
	var page []Consent
	order := func(a, b Consent) int {
		return cmp.Or(cmp.Compare(a.UserID, b.UserID), cmp.Compare(a.Client, b.Client))
	}
	last := Consent{UserID: user, Client: behind}
	lowest := func() {
		slices.SortFunc(page, order)
		page = page[:min(len(page), limit)]
	}
	s.consents.Scan(0, func(_ rows.Ref, key, row []byte) bool {
		if binary.BigEndian.Uint64(key) < user || s.consentVoid(key, row) {
			return true
		}
		if c := s.readConsent(key, bytes.Clone(row)); order(c, last) > 0 && (client == "" || c.Client == client) {
			if page = append(page, c); len(page) >= 4*limit {
				lowest()
			}
		}
		return true
	})
	lowest()
	return page
}

// consentKey returns the key of a row: the user's id and the service provider's name.
func consentKey(user uint64, client string) []byte {
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, 64), user), client...)
}

func hashID(id uint64) uint64 {
	var key [8]byte
	return rows.Hash(idKey2(&key, id))
}

func (s *State) readConsent(key, row []byte) Consent {
	c := Consent{UserID: binary.BigEndian.Uint64(key), Client: string(key[8:])}
	for len(row) > 0 {
		f, rest, ok := field.Next(row)
		if !ok {
			violated("a readable row of a consent", "%x", key)
		}
		row = rest
		switch f.Num {
		case 1:
			c.Scopes = append(c.Scopes, string(f.Data))
		case 2:
			c.Claims = append(c.Claims, string(f.Data))
		case 3:
			c.At = int64(f.Value)
		case 4:
			c.Issuer = s.person(f.Value)
		case 5:
			c.Login = f.Value
		}
	}
	return c
}

// consentVoid reports whether the service provider of a consent was deleted since, or everything of it was made void.
func (s *State) consentVoid(key, row []byte) bool {
	if s.voided.Len() == 0 {
		return false
	}
	v := s.VoidedClient(string(key[8:]))
	if v.index == 0 {
		return false
	}
	for len(row) > 0 {
		f, rest, ok := field.Next(row)
		if !ok {
			break
		}
		if row = rest; f.Num == 6 {
			return f.Value <= v.index
		}
	}
	return true
}

func (s *State) putConsent(at Stamp, c *Consent) {
	var b []byte
	for _, scope := range c.Scopes {
		b = appendPart(b, 1, []byte(scope))
	}
	for _, claim := range c.Claims {
		b = appendPart(b, 2, []byte(claim))
	}
	b = field.AppendNumber(b, 3, uint64(c.At))
	if c.Issuer != "" {
		b = field.AppendNumber(b, 4, s.symbol([]byte(c.Issuer))+1)
	}
	b = field.AppendFixed(b, 5, c.Login)
	b = field.AppendNumber(b, 6, at.Index)
	ref, created := s.consents.Put(consentKey(c.UserID, c.Client), b)
	if created {
		s.consentsOf.Add(hashID(c.UserID), ref)
	}
}

func (s *State) dropConsent(key []byte, ref rows.Ref) {
	s.consentsOf.Remove(hashID(binary.BigEndian.Uint64(key)), ref)
	s.consents.Delete(key)
}

// joint returns what is in one list or the other, in order.
func joint(a, b []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(a), b...))))
}

// consented returns a consent with what an event adds.
func (s *State) consented(id uint64, m *event.ConsentGiven) Consent {
	c, _ := s.Consent(id, m.Client)
	c.UserID, c.Client, c.Issuer, c.Login = id, m.Client, m.IdentityProvider, m.Login
	c.Scopes, c.Claims = joint(c.Scopes, m.Scopes), joint(c.Claims, m.Claims)
	return c
}

func (s *State) checkConsentGiven(m *event.ConsentGiven) Result {
	if r := s.activeUser(m.User); r.Code != 0 {
		return r
	}
	if !s.exists(appendKey(nil, []byte(kindServiceProvider), []byte(m.Client))) {
		return Result{Code: event.CodeMissing, Detail: "service provider " + m.Client + " does not exist"}
	}
	id, _ := s.factorsOf(m.User)
	c := s.consented(id, m)
	if n := len(strings.Join(c.Scopes, " ")) + len(strings.Join(c.Claims, " ")); n > MaxConsentText {
		return Result{Code: event.CodeLimit, Detail: fmt.Sprintf("what %s lets %s know takes %d bytes, and %d are the most", m.User, m.Client, n, MaxConsentText)}
	}
	if _, known := s.Consent(id, m.Client); !known && len(s.ConsentsOf(id)) >= MaxConsents {
		return Result{Code: event.CodeLimit, Detail: fmt.Sprintf("%s has consented to %d service providers, which is the most", m.User, MaxConsents)}
	}
	return Result{}
}

func (s *State) foldConsentGiven(at Stamp, m *event.ConsentGiven) {
	id, _ := s.factorsOf(m.User)
	if id == 0 {
		return
	}
	c := s.consented(id, m)
	c.At = at.unix()
	s.putConsent(at, &c)
}

func (s *State) checkConsentRevoked(m *event.ConsentRevoked) Result {
	id, _ := s.factorsOf(m.User)
	if all := s.ConsentsOf(id); id != 0 && slices.ContainsFunc(all, func(c Consent) bool { return m.Client == "" || c.Client == m.Client }) {
		return Result{}
	}
	return Result{Code: event.CodeMissing, Detail: strings.TrimSuffix(fmt.Sprintf("user %s has given no consent to %s", m.User, m.Client), " to ")}
}

// foldConsentRevoked takes consent back, and with it the grants that rest on it.
func (s *State) foldConsentRevoked(at Stamp, m *event.ConsentRevoked) {
	id, _ := s.factorsOf(m.User)
	gone := map[string]bool{}
	for _, c := range s.ConsentsOf(id) {
		if m.Client != "" && c.Client != m.Client {
			continue
		}
		gone[c.Client] = true
		key := consentKey(id, c.Client)
		if _, ref, ok := s.consents.Peek(key); ok {
			s.dropConsent(key, ref)
		}
	}
	s.endGrantsWhere(at, m.User, event.GrantConsentTaken, m.By, func(g *Grant) bool { return gone[g.Client] })
}

func (s *State) forgetConsents(user uint64) {
	if s.consents.Len() == 0 {
		return
	}
	for _, ref := range s.consentsOf.Append(nil, hashID(user), 1<<31) {
		if key, _, ok := s.consents.PeekAt(ref); ok && binary.BigEndian.Uint64(key) == user {
			s.dropConsent(bytes.Clone(key), ref)
		}
	}
}

func (s *State) loadConsents() error {
	s.consentsOf.Reset(s.consents, 0)
	var bad error
	s.consents.Scan(0, func(ref rows.Ref, key, _ []byte) bool {
		if len(key) <= 8 {
			bad = fmt.Errorf("load consents: key %x: %w", key, errRow)
			return false
		}
		s.consentsOf.Add(hashID(binary.BigEndian.Uint64(key)), ref)
		return true
	})
	return bad
}
