package admin

import (
	"iter"
	"net/netip"
	"time"

	"trine/engine/state"
)

// Views returns the state of a node as the administration reads it: it only translates between the two packages' types.
func Views(views *state.State) State { return stateReader{views} }

type stateReader struct{ views *state.State }

// documentsPage is how many documents are read at a time.
const documentsPage = 500

// Document implements State.
func (s stateReader) Document(kind, name string) (Stored, bool) {
	d, ok := s.views.Document(kind, name)
	return storedOf(&d), ok
}

// Documents implements State.
func (s stateReader) Documents(kind, after string) iter.Seq[Stored] {
	return func(yield func(Stored) bool) {
		for {
			page := s.views.Documents(kind, after, documentsPage)
			for i := range page {
				if !yield(storedOf(&page[i])) {
					return
				}
				after = page[i].Name
			}
			if len(page) < documentsPage {
				return
			}
		}
	}
}

func storedOf(d *state.Document) Stored {
	return Stored{
		ID: d.ID, Kind: d.Kind, Name: d.Name, Version: d.Version, Spec: d.Spec, Refs: d.Refs,
		CreatedAt: d.CreatedAt, CreatedBy: d.CreatedBy, ModifiedAt: d.ModifiedAt, ModifiedBy: d.ModifiedBy,
	}
}

// Count implements State.
func (s stateReader) Count(kind string) int { return s.views.Count(kind) }

// Holder implements State.
func (s stateReader) Holder(claim string) (string, bool) { return s.views.Holder(claim) }

// References implements State.
func (s stateReader) References(kind, name string) int { return s.views.References(kind, name) }

// Owned implements State.
func (s stateReader) Owned(user string) []string {
	keys := s.views.Owned(user)
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = k.String()
	}
	return out
}

// LastVersion implements State.
func (s stateReader) LastVersion(kind, name string) uint64 { return s.views.LastVersion(kind, name) }

// PushAnswer implements State.
func (s stateReader) PushAnswer(challenge uint64) (state.PushAnswer, bool) {
	return s.views.PushAnswer(challenge)
}

// Factors implements State.
func (s stateReader) Factors(user string) ([]state.Factor, bool) {
	var u state.User
	if !s.views.UserNamed(&u, user) {
		return nil, false
	}
	var f state.Factors
	s.views.Factors(&f, u.ID)
	return f.List, true
}

// Password implements State.
func (s stateReader) Password(user string) (StoredPassword, bool) {
	var u state.User
	if !s.views.UserNamed(&u, user) || !u.HasPassword() {
		return StoredPassword{}, false
	}
	return StoredPassword{
		User: string(u.Name), Argon2id: u.Argon2id, Keyed: u.Keyed, NT: u.NT, Clear: u.Clear, Import: u.Imported, MustChange: u.MustChange,
	}, true
}

// LoginFailures implements State.
func (s stateReader) LoginFailures(login string) []state.LoginFailures {
	return s.views.LoginFailures(login)
}

// Sessions implements State.
func (s stateReader) Sessions(q SessionQuery) ([]Session, uint64) {
	query := state.SessionQuery{
		ID: q.ID, User: q.User, Client: q.Client, NAS: q.NAS, Calling: q.Calling, AcctSessionID: q.AcctSessionID, After: q.After, Limit: q.Limit,
	}
	if q.Address != "" {
		address, err := netip.ParseAddr(q.Address)
		if err != nil {
			return nil, 0
		}
		query.Addr = address
	}
	page, next := s.views.Sessions(query)
	out := make([]Session, len(page))
	for i := range page {
		out[i] = sessionOf(&page[i])
	}
	return out, next
}

func sessionOf(x *state.Session) Session {
	s := Session{
		ID: x.ID, User: string(x.User), Client: string(x.Client), NAS: x.NAS, NASPort: x.NASPort, AcctSessionID: x.AcctSessionID,
		Calling: x.Calling, Called: x.Called, Login: x.Login, Started: moment(x.Started), LastSeen: moment(x.Seen), Seconds: x.SessionTime,
		InputOctets: x.InputOctets, OutputOctets: x.OutputOctets,
	}
	if s.User == "" {
		s.User = string(x.UserName)
	}
	if x.StaleAfter != 0 {
		s.StaleAt = s.LastSeen.Add(time.Duration(x.StaleAfter) * time.Second)
	}
	for _, framed := range [][]byte{x.FramedIP, x.FramedIPv6Prefix} {
		if text := framedText(framed); text != "" {
			s.Addresses = append(s.Addresses, text)
		}
	}
	return s
}

// framedText prints a framed address: 4 or 16 bytes, or an IPv6 prefix as it is on the wire (RFC 3162 section 2.3).
func framedText(b []byte) string {
	if address, ok := netip.AddrFromSlice(b); ok {
		return address.String()
	}
	if len(b) < 2 || len(b) > 18 || b[1] > 128 {
		return ""
	}
	var prefix [16]byte
	copy(prefix[:], b[2:])
	return netip.PrefixFrom(netip.AddrFrom16(prefix), int(b[1])).String()
}

func moment(unix uint32) time.Time { return time.Unix(int64(unix), 0).UTC() }

// Session implements State.
func (s stateReader) Session(id uint64) bool {
	var x state.Session
	return s.views.Session(&x, id)
}

// SSOPage implements State.
func (s stateReader) SSOPage(after uint64, limit int, ended bool) []state.SSO {
	return s.views.SSOPage(after, limit, ended)
}

// SSOOf implements State.
func (s stateReader) SSOOf(user string) []state.SSO { return s.views.SSOOf(user) }

// SSONumbered implements State.
func (s stateReader) SSONumbered(number uint64) (state.SSO, bool) { return s.views.SSONumbered(number) }

// Grant implements State.
func (s stateReader) Grant(number uint64) (state.Grant, bool) { return s.views.Grant(number) }

// GrantsOf implements State.
func (s stateReader) GrantsOf(user string) []state.Grant { return s.views.GrantsOf(user) }

// GrantsPage implements State.
func (s stateReader) GrantsPage(after uint64, limit int, client string, over bool, now int64) []state.Grant {
	return s.views.GrantsPage(after, limit, client, over, now)
}

// ConsentsOf implements State.
func (s stateReader) ConsentsOf(user uint64) []state.Consent { return s.views.ConsentsOf(user) }

// ConsentsPage implements State.
func (s stateReader) ConsentsPage(user uint64, behind string, limit int, client string) []state.Consent {
	return s.views.ConsentsPage(user, behind, limit, client)
}

// AllSigningKeys implements State.
func (s stateReader) AllSigningKeys() []state.SigningKeys { return s.views.AllSigningKeys() }

// UserName implements State.
func (s stateReader) UserName(id uint64) string {
	var u state.User
	if !s.views.UserByID(&u, id) {
		return ""
	}
	return string(u.Name)
}

// TrustedDevices implements State.
func (s stateReader) TrustedDevices(user string) ([]state.TrustedDevice, bool) {
	var u state.User
	if !s.views.UserNamed(&u, user) {
		return nil, false
	}
	return s.views.TrustedDevices(u.ID), true
}

// APIKey implements State.
func (s stateReader) APIKey(id string) (APIKey, bool) {
	k, ok := s.views.APIKey(id)
	return apiKeyOf(&k), ok
}

// APIKeys implements State.
func (s stateReader) APIKeys() []APIKey {
	keys := s.views.APIKeys()
	out := make([]APIKey, len(keys))
	for i := range keys {
		out[i] = apiKeyOf(&keys[i])
	}
	return out
}

func apiKeyOf(k *state.APIKey) APIKey {
	return APIKey{
		ID: k.ID, Description: k.Description, Hash: k.Hash, Scopes: k.Scopes, Expires: k.Expires, CreatedAt: k.CreatedAt, CreatedBy: k.CreatedBy,
	}
}
