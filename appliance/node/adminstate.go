package node

import (
	"iter"
	"net/netip"
	"time"

	"trine/appliance/admin"
	"trine/engine/state"
)

// adminState lets the administration read the views: it only translates between the two packages' types.
type adminState struct{ views *state.State }

var _ admin.State = adminState{}

// documentsPage is how many documents are read at a time.
const documentsPage = 500

// Document implements admin.State.
func (s adminState) Document(kind, name string) (admin.Stored, bool) {
	d, ok := s.views.Document(kind, name)
	return stored(&d), ok
}

// Documents implements admin.State.
func (s adminState) Documents(kind, after string) iter.Seq[admin.Stored] {
	return func(yield func(admin.Stored) bool) {
		for {
			page := s.views.Documents(kind, after, documentsPage)
			for i := range page {
				if !yield(stored(&page[i])) {
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

func stored(d *state.Document) admin.Stored {
	return admin.Stored{
		Kind: d.Kind, Name: d.Name, Version: d.Version, Spec: d.Spec,
		CreatedAt: d.CreatedAt, CreatedBy: d.CreatedBy, ModifiedAt: d.ModifiedAt, ModifiedBy: d.ModifiedBy,
	}
}

// Count implements admin.State.
func (s adminState) Count(kind string) int { return s.views.Count(kind) }

// Holder implements admin.State.
func (s adminState) Holder(claim string) (string, bool) { return s.views.Holder(claim) }

// LastVersion implements admin.State.
func (s adminState) LastVersion(kind, name string) uint64 { return s.views.LastVersion(kind, name) }

// Password implements admin.State.
func (s adminState) Password(user string) (admin.StoredPassword, bool) {
	var u state.User
	if !s.views.UserNamed(&u, user) || !u.HasPassword() {
		return admin.StoredPassword{}, false
	}
	return admin.StoredPassword{
		User: string(u.Name), Argon2id: u.Argon2id, Keyed: u.Keyed, NT: u.NT, Clear: u.Clear, MustChange: u.MustChange,
	}, true
}

// Sessions implements admin.State.
func (s adminState) Sessions(q admin.SessionQuery) ([]admin.Session, uint64) {
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
	out := make([]admin.Session, len(page))
	for i := range page {
		out[i] = session(&page[i])
	}
	return out, next
}

func session(x *state.Session) admin.Session {
	s := admin.Session{
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

// Session implements admin.State.
func (s adminState) Session(id uint64) bool {
	var x state.Session
	return s.views.Session(&x, id)
}

// APIKey implements admin.State.
func (s adminState) APIKey(id string) (admin.APIKey, bool) {
	k, ok := s.views.APIKey(id)
	return apiKey(&k), ok
}

// APIKeys implements admin.State.
func (s adminState) APIKeys() []admin.APIKey {
	keys := s.views.APIKeys()
	out := make([]admin.APIKey, len(keys))
	for i := range keys {
		out[i] = apiKey(&keys[i])
	}
	return out
}

func apiKey(k *state.APIKey) admin.APIKey {
	return admin.APIKey{
		ID: k.ID, Description: k.Description, Hash: k.Hash, Scopes: k.Scopes, Expires: k.Expires, CreatedAt: k.CreatedAt, CreatedBy: k.CreatedBy,
	}
}
