package state

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"trine/engine/event"
	"trine/engine/state/rows"
)

type rowRef = rows.Ref

// Document is a document as it stands. A user's Spec is an encoded event.UserSpec, any other what its DocumentPut held. Refs are in
// the order of the DocumentPut.
type Document struct {
	ID         uint64 // of a user; 0 for other kinds
	Kind       string
	Name       string // as written
	Version    uint64
	Spec       []byte
	Refs       []string // "Kind/name"
	CreatedBy  string
	CreatedAt  time.Time // whole seconds
	ModifiedBy string
	ModifiedAt time.Time
}

// Document returns the document with that kind and name.
func (s *State) Document(kind, name string) (Document, bool) {
	var d Document
	table, key := s.place(appendKey(nil, []byte(kind), []byte(name)))
	row, ok := table.Get(nil, key)
	if !ok {
		return d, false
	}
	var r docRow
	if err := r.decode(row); err != nil {
		violated("a readable document row", "%s/%s: %v", kind, name, err)
	}
	if len(r.name) == 0 {
		_, r.name, _ = bytes.Cut(appendKey(nil, []byte(kind), []byte(name)), []byte("/"))
	}
	d = Document{
		ID: r.id, Kind: kind, Name: string(r.name), Version: r.version, Spec: r.spec,
		CreatedBy: s.person(r.createdBy), CreatedAt: time.Unix(r.createdAt, 0).UTC(),
		ModifiedBy: s.person(r.modifiedBy), ModifiedAt: time.Unix(r.modifiedAt, 0).UTC(),
	}
	for n, rest, more := nextSymbol(r.refs); more; n, rest, more = nextSymbol(rest) {
		d.Refs = append(d.Refs, string(s.symbols.text(n)))
	}
	if kind == kindUser {
		spec, err := proto.MarshalOptions{Deterministic: true}.Marshal(s.userSpec(r.spec))
		if err != nil {
			violated("a user that can be encoded", "%s: %v", name, err)
		}
		d.Spec = spec
	}
	return d, true
}

// Documents returns up to limit documents of a kind in the order of their canonical names, from the first name behind after
// (empty: from the first). A page takes time for its own length and for what changed since the last page of that kind; the first
// page of all takes time for the whole kind.
func (s *State) Documents(kind, after string, limit int) []Document {
	after = event.CanonicalName(kind, after)
	o := s.order(kind)
	var docs []Document
	for len(docs) < limit {
		names := o.page(after, limit-len(docs), func(yield func(name []byte)) { s.scanNames(kind, yield) })
		if len(names) == 0 {
			break
		}
		for _, name := range names {
			if d, ok := s.Document(kind, name); ok {
				docs = append(docs, d)
			}
		}
		after = names[len(names)-1]
	}
	return docs
}

// Count returns the number of documents of a kind.
func (s *State) Count(kind string) int { return int(s.order(kind).count.Load()) }

// Kinds returns the kinds of which there are documents, in order.
func (s *State) Kinds() []string {
	s.ordersLock.RLock()
	defer s.ordersLock.RUnlock()
	var kinds []string
	for kind, o := range s.orders {
		if o.count.Load() > 0 {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return kinds
}

// Version returns the version of a document, or 0 if there is none.
func (s *State) Version(kind, name string) uint64 {
	return s.version(appendKey(nil, []byte(kind), []byte(name)))
}

// LastVersion returns the version of a document or, if it was deleted, the last that it had; 0 if there never was one.
func (s *State) LastVersion(kind, name string) uint64 {
	key := appendKey(nil, []byte(kind), []byte(name))
	if v := s.version(key); v != 0 {
		return v
	}
	value, _ := s.graves.Get(nil, key)
	v, _ := binary.Uvarint(value)
	return v
}

// Holder returns the key of the document that holds a claim.
func (s *State) Holder(claim string) (key string, ok bool) {
	value, ok := s.claims.Get(nil, []byte(claim))
	if !ok {
		return "", false
	}
	owner := s.appendOwner(nil, value)
	return string(owner), len(owner) > 0
}

// References returns how many documents refer to a document.
func (s *State) References(kind, name string) int {
	value, _ := s.refs.Get(nil, appendKey(nil, []byte(kind), []byte(name)))
	n, _ := binary.Uvarint(value)
	return int(n)
}

// place returns the table in which a document is a row, and the row's key.
func (s *State) place(key []byte) (*rows.Table, []byte) {
	kind, name, _ := bytes.Cut(key, []byte("/"))
	if table := s.personal(kind); table != nil {
		return table, name
	}
	return s.docs, key
}

// personal returns the table of a kind of documents that belong to people, of which there are as many as people; nil for other kinds,
// which are configuration.
func (s *State) personal(kind []byte) *rows.Table {
	switch string(kind) {
	case kindUser:
		return s.users
	case kindAccount:
		return s.accounts
	case kindEndpoint:
		return s.endpoints
	}
	return nil
}

func (s *State) exists(key []byte) bool {
	table, k := s.place(key)
	return table.Has(k)
}

func (s *State) version(key []byte) uint64 {
	table, k := s.place(key)
	var version uint64
	if ref, ok := table.Find(k); ok {
		table.View(ref, func(_, value []byte) {
			var r docRow
			if r.decode(value) == nil {
				version = r.version
			}
		})
	}
	return version
}

// foldDocumentPut makes or replaces a document and returns its version.
func (s *State) foldDocumentPut(at Stamp, body []byte) uint64 {
	w := &s.work
	c, err := parseChange(&event.Envelope{Type: event.TypeDocumentPut, Body: body})
	if err != nil {
		unreadable("document", at, err)
	}
	key := appendKey(nil, c.kind, c.name)
	table, k := s.place(key)
	isUser := table == s.users

	var old, r docRow
	value, _, existed := table.Peek(k)
	if existed {
		if err := old.decode(value); err != nil {
			violated("a readable document row", "%s: %v", key, err)
		}
	}
	by := s.symbol(c.by) + 1
	r = docRow{
		id: old.id, version: old.version + 1, credential: old.credential, spec: c.spec,
		createdAt: old.createdAt, createdBy: old.createdBy, modifiedAt: at.unix(), modifiedBy: by,
	}
	if !existed {
		r.createdAt, r.createdBy = r.modifiedAt, by
		r.version = s.exhume(key) + 1
		if isUser {
			s.nextUser++
			s.putMeta(metaUser, s.nextUser)
			r.id = s.nextUser
		}
	}
	if !bytes.HasSuffix(key, c.name) || len(key) != len(c.kind)+1+len(c.name) {
		r.name = c.name
	}
	w.refSyms = w.refSyms[:0]
	eachPart(body, putRefs, func(ref []byte) bool {
		ref = canonicalKey(ref)
		w.refSyms = protowire.AppendVarint(w.refSyms, s.symbol(ref))
		s.refer(ref, 1)
		return true
	})
	r.refs = w.refSyms
	s.unrefer(old.refs)

	var claims []byte
	owner := appendOwnerOf(nil, key, r.id)
	eachPart(body, putClaims, func(claim []byte) bool {
		s.claims.Put(claim, owner)
		if isUser && string(claim) == loginClaim+string(k) {
			claim = nil
		}
		claims = protowire.AppendBytes(claims, claim)
		return true
	})
	r.claims = claims
	// Only now, and only those that he no longer holds: a login by a name that stays must find him all the while.
	s.release(old.claims, claims, key, old.id)
	if isUser {
		w.user = s.appendUserSpec(w.user[:0], at, c.spec)
		r.spec = w.user
	}
	w.row = r.append(w.row[:0])
	before := s.ownerHashes(table, k, old.spec) // points into the row that Put replaces
	ref, _ := table.Put(k, w.row)
	if !existed {
		s.order(string(c.kind)).note(key[len(c.kind)+1:], false)
	}
	switch table {
	case s.users:
		s.ids.set(r.id, ref)
		if s.sso.Len() > 0 && isInactive(c.spec) {
			s.endSSOOf(at, string(k), event.SSOPersonGone)
		}
	case s.docs:
		w.changed = append(w.changed, Key{Kind: string(c.kind), Name: string(c.name)})
	default:
		s.reown(table, ref, before, s.ownerHashes(table, k, c.spec))
	}
	return r.version
}

// foldDocumentDeleted removes a document and remembers its version.
func (s *State) foldDocumentDeleted(at Stamp, body []byte) {
	c, err := parseChange(&event.Envelope{Type: event.TypeDocumentDeleted, Body: body})
	if err != nil {
		unreadable("document deletion", at, err)
	}
	key := appendKey(nil, c.kind, c.name)
	table, k := s.place(key)
	value, ref, ok := table.Peek(k)
	if !ok {
		violated("a document to delete", "none with key %s", key)
	}
	var old docRow
	if err := old.decode(value); err != nil {
		violated("a readable document row", "%s: %v", key, err)
	}
	s.unrefer(old.refs)
	s.release(old.claims, nil, key, old.id)
	s.graves.Put(key, protowire.AppendVarint(nil, old.version))
	switch table {
	case s.users:
		s.ids.clear(old.id)
		s.dropReservationsOf(k)
		s.forgetPerson(old.id)
		s.endSSOOf(at, string(k), event.SSOPersonGone)
		s.forgetGrants(string(k), old.id)
	case s.docs:
		switch string(c.kind) {
		case kindServiceProvider: // what was issued to it must not count for another of its name
			s.void(at, string(c.name), "", string(c.by))
		case kindIdentityProvider:
			s.forgetSigning(string(c.name))
		}
		s.work.changed = append(s.work.changed, Key{Kind: string(c.kind), Name: string(c.name)})
	default:
		s.reown(table, ref, s.ownerHashes(table, k, old.spec), owners{})
	}
	table.Delete(k)
	s.order(string(c.kind)).note(key[len(c.kind)+1:], true)
}

// exhume returns the last version of a document that was deleted, and forgets it.
func (s *State) exhume(key []byte) uint64 {
	value, _, ok := s.graves.Peek(key)
	if !ok {
		return 0
	}
	version, _ := binary.Uvarint(value)
	s.graves.Delete(key)
	return version
}

// refer changes the number of references to a document.
func (s *State) refer(key []byte, by int64) {
	n := int64(s.referenceCount(key)) + by
	switch {
	case n < 0:
		violated("a reference count", "%d for %s", n, key)
	case n == 0:
		s.refs.Delete(key)
	default:
		var buf [10]byte
		s.refs.Put(key, protowire.AppendVarint(buf[:0], uint64(n)))
	}
}

func (s *State) referenceCount(key []byte) uint64 {
	value, _, _ := s.refs.Peek(key)
	n, _ := binary.Uvarint(value)
	return n
}

func (s *State) unrefer(refs []byte) {
	for n, rest, ok := nextSymbol(refs); ok; n, rest, ok = nextSymbol(rest) {
		s.refer(s.symbols.text(n), -1)
	}
}

// eachReference calls visit for each reference that a document has now.
func (s *State) eachReference(key string, visit func(ref []byte)) {
	table, k := s.place([]byte(key))
	value, _, ok := table.Peek(k)
	var r docRow
	if !ok || r.decode(value) != nil {
		return
	}
	for n, rest, more := nextSymbol(r.refs); more; n, rest, more = nextSymbol(rest) {
		visit(s.symbols.text(n))
	}
}

// loginClaim is what stands in front of a folded login name in a claim.
const loginClaim = "login/"

// The forms of a claim's owner: a byte, then a user's id as a varint or another document's key.
const (
	ownerUser     = 1
	ownerDocument = 2
)

func appendOwnerOf(dst, key []byte, id uint64) []byte {
	if id != 0 {
		return protowire.AppendVarint(append(dst, ownerUser), id)
	}
	return append(append(dst, ownerDocument), key...)
}

// appendOwner appends the key of a claim's owner.
func (s *State) appendOwner(dst, value []byte) []byte {
	if len(value) == 0 {
		return dst
	}
	if value[0] == ownerDocument {
		return append(dst, value[1:]...)
	}
	id, _ := binary.Uvarint(value[1:])
	if ref, ok := s.ids.get(id); ok {
		s.users.View(ref, func(key, _ []byte) {
			dst = append(dst, userPrefix...)
			dst = append(dst, key...)
		})
	}
	return dst
}

// release frees the claims of a document but for those in keep. One that another document took in the same proposal stays that one's.
func (s *State) release(claims, keep, key []byte, id uint64) {
	if len(claims) == 0 {
		return
	}
	owner := appendOwnerOf(nil, key, id)
	for claim, rest, ok := nextText(claims); ok; claim, rest, ok = nextText(rest) {
		if holds(keep, claim) {
			continue
		}
		if len(claim) == 0 {
			claim = append([]byte(loginClaim), key[len(userPrefix):]...)
		}
		if value, _, held := s.claims.Peek(claim); held && bytes.Equal(value, owner) {
			s.claims.Delete(claim)
		}
	}
}

// holds reports whether a claim is in a row's list of claims.
func holds(claims, claim []byte) bool {
	for c, rest, ok := nextText(claims); ok; c, rest, ok = nextText(rest) {
		if bytes.Equal(c, claim) {
			return true
		}
	}
	return false
}

// person returns the text of a symbol that is stored plus one.
func (s *State) person(n uint64) string {
	if n == 0 {
		return ""
	}
	return string(s.symbols.text(n - 1))
}

// order returns the list of a kind's names.
func (s *State) order(kind string) *order {
	s.ordersLock.RLock()
	o := s.orders[kind]
	s.ordersLock.RUnlock()
	if o != nil {
		return o
	}
	s.ordersLock.Lock()
	defer s.ordersLock.Unlock()
	if o = s.orders[kind]; o == nil {
		o = &order{}
		s.orders[kind] = o
	}
	return o
}

// scanNames yields the canonical names of a kind in no order.
func (s *State) scanNames(kind string, yield func(name []byte)) {
	table, prefix := s.personal([]byte(kind)), []byte(nil)
	if table == nil {
		table, prefix = s.docs, []byte(kind+"/")
	}
	table.Scan(0, func(_ rowRef, key, _ []byte) bool {
		if name, ok := bytes.CutPrefix(key, prefix); ok {
			yield(name)
		}
		return true
	})
}

// loadOrders counts the documents of each kind; lists are made when asked for.
func (s *State) loadOrders() error {
	orders := map[string]*order{}
	for _, kind := range []string{kindUser, kindAccount, kindEndpoint} {
		orders[kind] = &order{}
		orders[kind].count.Store(int64(s.personal([]byte(kind)).Len()))
	}
	var bad error
	s.docs.Scan(0, func(_ rowRef, key, _ []byte) bool {
		kind, _, ok := bytes.Cut(key, []byte("/"))
		if !ok {
			bad = fmt.Errorf("load documents: key %q has no kind", key)
			return false
		}
		o := orders[string(kind)]
		if o == nil {
			o = &order{}
			orders[string(kind)] = o
		}
		o.count.Add(1)
		return true
	})
	s.ordersLock.Lock()
	defer s.ordersLock.Unlock()
	s.orders = orders
	return bad
}
