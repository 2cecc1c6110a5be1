package state

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/zeebo/xxh3"
	"google.golang.org/protobuf/proto"

	"trine/engine/event"
	"trine/engine/event/field"
	"trine/engine/state/rows"
)

// Standing says how a person's accounts in a system stand.
type Standing uint8

// The standings.
const (
	NoAccount Standing = iota
	AccountDisabled
	AccountEnabled // one of them at least
)

// Account returns how the accounts stand that a user has in a system. It takes time for these accounts alone, and does not allocate
// for up to 16 of them and names that are ASCII.
func (s *State) Account(owner []byte, system string) Standing {
	var room [16]rows.Ref
	standing := NoAccount
	for _, ref := range s.accountsIn.Append(room[:0], hashOwner(owner, system), 1<<31) {
		s.accounts.View(ref, func(name, row []byte) {
			var r docRow
			var a ownedSpec
			if r.decode(row) != nil || !a.decode(accountFields, r.spec) || string(systemOf(name)) != system || !sameName(a.owner, owner) {
				return
			}
			standing = max(standing, AccountDisabled)
			if !a.disabled {
				standing = AccountEnabled
			}
		})
		if standing == AccountEnabled {
			break
		}
	}
	return standing
}

// OwnedAccount is an account as expressions and scripts see it.
type OwnedAccount struct {
	System     string
	Name       string // within the system
	Enabled    bool
	Attributes map[string][]string
}

// OwnedAccounts returns the accounts that a user has, by system and name. It takes time for these accounts alone.
func (s *State) OwnedAccounts(owner []byte) []OwnedAccount {
	var list []OwnedAccount
	for _, ref := range s.accountsOf.Append(nil, hashUser(owner), 1<<31) {
		s.accounts.View(ref, func(name, row []byte) {
			var r docRow
			var o ownedSpec
			if r.decode(row) != nil || !o.decode(accountFields, r.spec) || !sameName(o.owner, owner) {
				return
			}
			var spec event.AccountSpec
			if err := proto.Unmarshal(r.spec, &spec); err != nil {
				violated("a readable account row", "%s: %v", name, err)
			}
			system := systemOf(name)
			a := OwnedAccount{
				System: string(system), Name: string(name[:max(len(name)-len(system)-1, 0)]), Enabled: !spec.Disabled, Attributes: map[string][]string{},
			}
			for _, one := range spec.Attributes {
				a.Attributes[one.Name] = one.Values
			}
			list = append(list, a)
		})
	}
	slices.SortFunc(list, func(a, b OwnedAccount) int {
		return cmp.Or(strings.Compare(a.System, b.System), strings.Compare(a.Name, b.Name))
	})
	return list
}

// Owned returns the keys of the documents that belong to a user and go with him: his accounts and endpoints, in order. It takes time
// for these documents alone.
func (s *State) Owned(owner string) []Key {
	var keys []Key
	for _, of := range []struct {
		kind  string
		table *rows.Table
		index *rows.Index
		at    ownedFields
	}{{kindAccount, s.accounts, &s.accountsOf, accountFields}, {kindEndpoint, s.endpoints, &s.endpointsOf, endpointFields}} {
		from := len(keys)
		for _, ref := range of.index.Append(nil, hashUser(owner), 1<<31) {
			of.table.View(ref, func(name, row []byte) {
				var r docRow
				var o ownedSpec
				if r.decode(row) == nil && o.decode(of.at, r.spec) && sameName(o.owner, []byte(owner)) {
					keys = append(keys, Key{Kind: of.kind, Name: string(name)})
				}
			})
		}
		slices.SortFunc(keys[from:], func(a, b Key) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	}
	return keys
}

// Endpoint is a device as its MAC authentication needs it. All slices belong to it and are overwritten when it is filled again; to
// fill it costs no allocation once its buffers have grown.
type Endpoint struct {
	Name       []byte // as event.MAC prints it
	Group      []byte // empty if none
	Owner      []byte // empty if none
	NotAfter   int64  // unix seconds, from which on it does not count; 0: never
	Attributes []Attribute

	buf    []byte
	values [][]byte
}

// Over reports whether the endpoint has expired at a time in unix seconds.
func (e *Endpoint) Over(now int64) bool { return e.NotAfter != 0 && now >= e.NotAfter }

// Endpoint fills dst with the endpoint of that address, and reports whether there is one.
func (s *State) Endpoint(dst *Endpoint, mac event.MAC) bool {
	var buf [event.MACLen]byte
	name := mac.AppendText(buf[:0])
	row, ok := s.endpoints.Get(dst.buf[:0], name)
	if !ok {
		return false
	}
	size := len(row)
	dst.buf = append(row, name...)
	if err := dst.decode(dst.buf[:size], dst.buf[size:]); err != nil {
		violated("a readable endpoint row", "%s: %v", mac, err)
	}
	return true
}

// HasEndpoint reports whether there is an endpoint of that address, expired or not.
func (s *State) HasEndpoint(mac event.MAC) bool {
	var buf [event.MACLen]byte
	return s.endpoints.Has(mac.AppendText(buf[:0]))
}

// AsUser makes u what a device is to a decision: a name, a group, attributes, and nothing else. It shares the memory of e.
func (e *Endpoint) AsUser(u *User) {
	*u = User{
		buf: u.buf, Roles: u.Roles[:0], Aliases: u.Aliases[:0], Name: e.Name, PrimaryGroup: e.Group,
		attributes: attributes{made: append(u.attributes.made[:0], e.Attributes...)},
	}
}

// decode fills the endpoint from a row and its key, without copying them.
func (e *Endpoint) decode(row, key []byte) error {
	*e = Endpoint{Name: key, Attributes: e.Attributes[:0], buf: e.buf, values: e.values[:0]}
	var r docRow
	if err := r.decode(row); err != nil {
		return err
	}
	for b := r.spec; len(b) > 0; {
		f, rest, ok := field.Next(b)
		if !ok {
			return fmt.Errorf("read endpoint row: %w", errRow)
		}
		switch b = rest; f.Num {
		case 2:
			e.Group = f.Data
		case 3:
			e.Owner = f.Data
		case 4:
			e.NotAfter = int64(f.Value)
		case 5:
			if err := e.attribute(f.Data); err != nil {
				return err
			}
		}
	}
	return nil
}

// attribute reads an encoded event.UserSpec_Attribute.
func (e *Endpoint) attribute(b []byte) error {
	var name []byte
	start := len(e.values)
	for len(b) > 0 {
		f, rest, ok := field.Next(b)
		if !ok {
			return fmt.Errorf("read attribute of endpoint row: %w", errRow)
		}
		switch b = rest; f.Num {
		case 1:
			name = f.Data
		case 2:
			e.values = append(e.values, f.Data)
		}
	}
	e.Attributes = append(e.Attributes, Attribute{Name: name, Values: e.values[start:len(e.values):len(e.values)]})
	return nil
}

// ownedFields says where the spec of a kind has what an index needs of it; 0: nowhere.
type ownedFields struct{ owner, disabled int }

var (
	accountFields  = ownedFields{owner: 2, disabled: 3}
	endpointFields = ownedFields{owner: 3}
)

// ownedSpec is what the indexes need of an event.AccountSpec or EndpointSpec, in the memory of the row.
type ownedSpec struct {
	owner    []byte
	disabled bool
}

func (o *ownedSpec) decode(at ownedFields, spec []byte) bool {
	*o = ownedSpec{}
	for len(spec) > 0 {
		f, rest, ok := field.Next(spec)
		if !ok {
			return false
		}
		switch spec = rest; int(f.Num) {
		case at.owner:
			o.owner = f.Data
		case at.disabled:
			o.disabled = f.Value != 0
		}
	}
	return true
}

// owners is under which hashes a row is found by its owner; 0: not at all.
type owners struct{ all, in uint64 }

// ownerHashes returns under which hashes an account or endpoint with that name and spec is found. For other tables it is none.
func (s *State) ownerHashes(table *rows.Table, name, spec []byte) owners {
	var o ownedSpec
	switch table {
	case s.accounts:
		if o.decode(accountFields, spec) && len(o.owner) > 0 {
			return owners{hashUser(o.owner), hashOwner(o.owner, systemOf(name))}
		}
	case s.endpoints:
		if o.decode(endpointFields, spec) && len(o.owner) > 0 {
			return owners{all: hashUser(o.owner)}
		}
	}
	return owners{}
}

// reown moves a row from the hashes of its former owner to those of its present one.
func (s *State) reown(table *rows.Table, ref rows.Ref, before, now owners) {
	move := func(index *rows.Index, from, to uint64) {
		if from == to {
			return
		}
		if from != 0 {
			index.Remove(from, ref)
		}
		if to != 0 {
			index.Add(to, ref)
		}
	}
	all := &s.accountsOf
	if table == s.endpoints {
		all = &s.endpointsOf
	}
	move(all, before.all, now.all)
	move(&s.accountsIn, before.in, now.in)
}

// systemOf returns the system of an account's name: what follows the last @.
func systemOf(name []byte) []byte { return name[bytes.LastIndexByte(name, '@')+1:] }

// hashOwner hashes a user name and a system.
func hashOwner[S ~string | ~[]byte](owner []byte, system S) uint64 {
	var buf [512]byte
	b := append(appendFolded(buf[:0], owner), 0)
	return max(1, xxh3.Hash(append(b, system...)))
}

// loadOwned enters accounts and endpoints under their owners.
func (s *State) loadOwned() error {
	s.accountsOf.Reset(s.accounts, s.accounts.Len())
	s.accountsIn.Reset(s.accounts, s.accounts.Len())
	s.endpointsOf.Reset(s.endpoints, 0)
	var bad error
	for _, table := range []*rows.Table{s.accounts, s.endpoints} {
		table.Scan(0, func(ref rows.Ref, name, row []byte) bool {
			var r docRow
			if err := r.decode(row); err != nil {
				bad = fmt.Errorf("load %q: %w", name, err)
				return false
			}
			s.reown(table, ref, owners{}, s.ownerHashes(table, name, r.spec))
			return true
		})
	}
	return bad
}
