package state

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"trine/engine/event"
	"trine/engine/event/field"
	"trine/engine/state/rows"
)

// MaxSigningKeys is how many signing keys an identity provider may have at a time, those included that no longer sign and are published still.
const MaxSigningKeys = 16

// SigningKeys are the keys by which an identity provider signs tokens.
type SigningKeys struct {
	Issuer string
	Serial uint64 // one more with each change
	Keys   []SigningKey
}

// SigningKey is one of them.
type SigningKey struct {
	ID        string // kid
	Algorithm string // ES256, RS256, EdDSA
	Private   []byte // PKCS #8, sealed with a cluster key
	Public    []byte // SubjectPublicKeyInfo, DER
	Created   int64  // unix seconds
	Active    int64  // unix seconds, from which on it signs, until another one of its algorithm does
	Gone      int64  // unix seconds, from which on it is not published; 0: it is for as long as there is no newer one
	CreatedBy string // the administrator; empty: by need or by age
}

// SigningKeys returns the keys of an identity provider; false if it has none yet.
func (s *State) SigningKeys(issuer string) (SigningKeys, bool) {
	row, ok := s.signing.Get(nil, []byte(issuer))
	if !ok {
		return SigningKeys{}, false
	}
	return s.readSigning(issuer, row), true
}

// SigningChanges counts changes of signing keys, of any identity provider. It is read at once, by whoever has prepared keys and asks whether they are those still.
func (s *State) SigningChanges() uint64 { return s.signingChanges.Load() }

// AllSigningKeys returns the keys of all identity providers that have some, by their names.
func (s *State) AllSigningKeys() []SigningKeys {
	var all []SigningKeys
	s.signing.Scan(0, func(_ rows.Ref, key, row []byte) bool {
		all = append(all, s.readSigning(string(key), bytes.Clone(row)))
		return true
	})
	slices.SortFunc(all, func(a, b SigningKeys) int { return cmp.Compare(a.Issuer, b.Issuer) })
	return all
}

func (s *State) readSigning(issuer string, row []byte) SigningKeys {
	x := SigningKeys{Issuer: issuer}
	if err := x.decode(s, row); err != nil {
		violated("a readable row of signing keys", "%s: %v", issuer, err)
	}
	return x
}

func (x *SigningKeys) decode(s *State, row []byte) error {
	for len(row) > 0 {
		f, rest, ok := field.Next(row)
		if !ok {
			return fmt.Errorf("read signing keys: %w", errRow)
		}
		row = rest
		switch f.Num {
		case 1:
			x.Serial = f.Value
		case 2:
			var k SigningKey
			for b := f.Data; len(b) > 0; {
				f, rest, ok := field.Next(b)
				if !ok {
					return fmt.Errorf("read signing key: %w", errRow)
				}
				b = rest
				switch f.Num {
				case 1:
					k.ID = string(f.Data)
				case 2:
					k.Algorithm = string(f.Data)
				case 3:
					k.Private = f.Data
				case 4:
					k.Public = f.Data
				case 5:
					k.Created = int64(f.Value)
				case 6:
					k.Active = int64(f.Value)
				case 7:
					k.Gone = int64(f.Value)
				case 8:
					k.CreatedBy = s.person(f.Value)
				}
			}
			x.Keys = append(x.Keys, k)
		}
	}
	return nil
}

func (s *State) putSigning(x *SigningKeys) {
	s.signingChanges.Add(1)
	b := field.AppendNumber(nil, 1, x.Serial)
	for i := range x.Keys {
		k := &x.Keys[i]
		p := field.AppendBytes(nil, 1, []byte(k.ID))
		p = field.AppendBytes(p, 2, []byte(k.Algorithm))
		p = field.AppendBytes(p, 3, k.Private)
		p = field.AppendBytes(p, 4, k.Public)
		p = field.AppendNumber(p, 5, uint64(k.Created))
		p = field.AppendNumber(p, 6, uint64(k.Active))
		p = field.AppendNumber(p, 7, uint64(k.Gone))
		if k.CreatedBy != "" {
			p = field.AppendNumber(p, 8, s.symbol([]byte(k.CreatedBy))+1)
		}
		b = appendPart(b, 2, p)
	}
	s.signing.Put([]byte(x.Issuer), b)
}

// with returns the keys after an event: those of the algorithms that it brings become former ones, and what is past goes.
func (x SigningKeys) with(at Stamp, m *event.SigningKeysMade) SigningKeys {
	x.Issuer, x.Serial = m.IdentityProvider, x.Serial+1
	for _, k := range m.Keys {
		former := k.FormerUnix
		if former == 0 {
			former = at.unix()
		}
		for i := range x.Keys {
			if o := &x.Keys[i]; o.Algorithm == k.Algorithm && (o.Gone == 0 || o.Gone > former) {
				o.Gone = former
			}
		}
	}
	x.Keys = slices.DeleteFunc(x.Keys, func(k SigningKey) bool { return k.Gone != 0 && k.Gone <= at.unix() })
	for _, k := range m.Keys {
		x.Keys = append(x.Keys, SigningKey{
			ID: k.Id, Algorithm: k.Algorithm, Private: k.Private, Public: k.Public, Created: at.unix(), Active: k.ActiveUnix, CreatedBy: m.By,
		})
	}
	return x
}

func (s *State) checkSigningKeysMade(at Stamp, m *event.SigningKeysMade) Result {
	if !s.exists(appendKey(nil, []byte(kindIdentityProvider), []byte(m.IdentityProvider))) {
		return Result{Code: event.CodeMissing, Detail: "identity provider " + m.IdentityProvider + " does not exist"}
	}
	x, _ := s.SigningKeys(m.IdentityProvider)
	if x.Serial != m.Serial {
		return Result{Code: event.CodeConflict, Detail: "identity provider " + m.IdentityProvider + " has other signing keys by now"}
	}
	if x = x.with(at, m); len(x.Keys) > MaxSigningKeys {
		return Result{Code: event.CodeLimit, Detail: fmt.Sprintf("identity provider %s would have %d signing keys, former ones that are published still included, and %d are the most", m.IdentityProvider, len(x.Keys), MaxSigningKeys)}
	}
	return Result{}
}

func (s *State) foldSigningKeysMade(at Stamp, m *event.SigningKeysMade) {
	x, _ := s.SigningKeys(m.IdentityProvider)
	x = x.with(at, m)
	s.putSigning(&x)
}

func (s *State) signingOver(row []byte, now int64) bool {
	var x SigningKeys
	return x.decode(s, row) == nil && slices.ContainsFunc(x.Keys, func(k SigningKey) bool { return k.Gone != 0 && now >= k.Gone })
}

// dropPastKeys forgets the keys of an identity provider that are not published any more.
func (s *State) dropPastKeys(issuer string, now int64) {
	x, ok := s.SigningKeys(issuer)
	if !ok {
		return
	}
	n := len(x.Keys)
	if x.Keys = slices.DeleteFunc(x.Keys, func(k SigningKey) bool { return k.Gone != 0 && now >= k.Gone }); len(x.Keys) < n {
		x.Serial++
		s.putSigning(&x)
	}
}

// forgetSigning forgets the keys of an identity provider that is deleted.
func (s *State) forgetSigning(issuer string) {
	if s.signing.Delete([]byte(issuer)) {
		s.signingChanges.Add(1)
	}
}
