package state

import (
	"encoding/binary"
	"fmt"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"

	"trine/engine/event"
	"trine/engine/event/field"
	"trine/engine/state/rows"
)

// User is a person as logins need him. All slices belong to it and are overwritten when it is filled again; to fill it costs no
// allocation once its buffers have grown. His attributes, which are most of many a row, are read when they are asked for.
type User struct {
	ID          uint64
	Version     uint64 // of the document
	CreatedAt   int64  // unix seconds
	ModifiedAt  int64  // unix seconds
	Name        []byte // as written
	FirstName   []byte
	LastName    []byte
	FullName    []byte
	ShortName   []byte
	Mail        []byte // the part before the @, or the whole address where MailDomain is empty
	MailDomain  []byte
	Mobile      []byte
	DirectoryDN []byte
	UserType    []byte
	Inactive    bool

	PrimaryGroup  []byte
	PrimarySymbol uint32      // of its name, plus one; 0 where that is not known
	Groups        SymbolList  // of their names, which AppendGroups has
	Symbols       *Symbols    // of the groups
	Roles         []RoleGrant // his own, without those of his groups
	Aliases       [][]byte

	// The password's forms; each is empty if it is not kept. CredentialVersion counts the changes of the password, its removal
	// included, and is 0 if the user never had one.
	CredentialVersion uint64
	Argon2id          Form
	Keyed             Form
	NT                Form
	Clear             Form
	Imported          Form // a hash that another system made
	MustChange        bool
	PasswordSetAt     int64  // unix seconds
	Former            []Form // of former passwords, the last one first: each a tag (FormerKeyed, FormerArgon2id) and a form

	past       Form // by which the present password is remembered when it is a former one; empty if another form serves
	ownName    bool // he claims it as a login name
	buf        []byte
	attributes attributes
}

// RoleGrant is a role for a time. NotBefore and NotAfter are unix seconds; 0 is from the first, and for ever.
type RoleGrant struct {
	Role                []byte
	NotBefore, NotAfter int64
}

// Form is one form of a password. It prints as «redacted».
type Form []byte

// String implements fmt.Stringer.
func (Form) String() string { return "«redacted»" }

// Format implements fmt.Formatter for every verb.
func (Form) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("«redacted»")) }

// MarshalText implements encoding.TextMarshaler, and with it JSON and slog.
func (Form) MarshalText() ([]byte, error) { return []byte("«redacted»"), nil }

// HasPassword reports whether any form of a password is kept.
func (u *User) HasPassword() bool {
	return len(u.Argon2id) > 0 || len(u.Keyed) > 0 || len(u.NT) > 0 || len(u.Clear) > 0 || len(u.Imported) > 0
}

// AppendGroups appends the names of the groups, without the primary one.
func (u *User) AppendGroups(dst [][]byte) [][]byte {
	for n, at := uint32(0), 0; at < len(u.Groups); {
		n, at = u.Groups.At(at)
		dst = append(dst, u.Symbols.Text(n))
	}
	return dst
}

// User fills dst with the user who has that login name, which is his name or an alias, in any case. It reports whether there is
// one. It does not allocate for ASCII names of up to 240 bytes.
func (s *State) User(dst *User, login []byte) bool {
	var buf [256]byte
	return s.claimant(dst, appendFolded(append(buf[:0], loginClaim...), login))
}

// WarmUsers reads what User will read for some login names, at most 64 of them, so that the processor waits for it once and not name by name; see
// [rows.Table.Warm].
func (s *State) WarmUsers(logins [][]byte) {
	var buf [256]byte
	var hashes [64]uint64
	logins = logins[:min(len(logins), len(hashes))]
	for i, login := range logins {
		hashes[i] = rows.Hash(appendFolded(buf[:0], login))
	}
	s.users.Warm(hashes[:len(logins)])
}

// UserLogin is User for a login name that is a string.
func (s *State) UserLogin(dst *User, login string) bool {
	var buf [256]byte
	return s.claimant(dst, appendFolded(append(buf[:0], loginClaim...), login))
}

// UserName appends the name, as it is written, of the user whom User finds, and reports whether there is one. It reads no more of him.
func (s *State) UserName(dst, login []byte) ([]byte, bool) {
	var buf [256]byte
	claim := appendFolded(append(buf[:0], loginClaim...), login)
	name := dst
	own, found := false, false
	key := claim[len(loginClaim):]
	s.users.Look(key, func(row []byte) { name, _, own = appendName(dst, key, row) })
	if own {
		return name, true
	}
	id, ok := s.claimantID(claim)
	if !ok {
		return dst, false
	}
	if ref, ok := s.ids.get(id); ok {
		s.users.View(ref, func(key, row []byte) {
			var his uint64
			name, his, _ = appendName(dst, key, row)
			found = his == id
		})
	}
	if !found {
		return dst, false
	}
	return name, true
}

// appendName appends the name in a user's row, and returns his id and whether he claims his name as a login name.
func appendName(dst, key, row []byte) (_ []byte, id uint64, own bool) {
	name := key
	for f, rest, ok := field.Next(row); ok && f.Num <= 9; f, rest, ok = field.Next(rest) {
		switch f.Num {
		case 1:
			id = f.Value
		case 7:
			name = f.Data
		case 9:
			own = holds(f.Data, nil)
		}
	}
	return append(dst, name...), id, own
}

// UserNamed fills dst with the user of that name, in any case; aliases do not count.
func (s *State) UserNamed(dst *User, name string) bool {
	var buf [256]byte
	ref, ok := s.users.Find(appendFolded(buf[:0], name))
	return ok && s.userAt(dst, ref)
}

// UserByID fills dst with the user of that id.
func (s *State) UserByID(dst *User, id uint64) bool {
	ref, ok := s.ids.get(id)
	return ok && s.userAt(dst, ref) && dst.ID == id
}

// claimant fills dst with the user who claims a login name. People claim their own name, under which their row stands, and most log in
// by it: for them one look into one table is enough.
func (s *State) claimant(dst *User, claim []byte) bool {
	name := claim[len(loginClaim):]
	if row, ok := s.users.Get(dst.buf[:0], name); ok {
		if dst.read(append(row, name...), len(row), &s.symbols); dst.ownName {
			return true
		}
	}
	id, ok := s.claimantID(claim)
	return ok && s.UserByID(dst, id)
}

// claimantID returns the id of the user who claims a login name.
func (s *State) claimantID(claim []byte) (id uint64, ok bool) {
	var buf [16]byte
	owner, ok := s.claims.Get(buf[:0], claim)
	if !ok || len(owner) == 0 || owner[0] != ownerUser {
		return 0, false
	}
	id, _ = binary.Uvarint(owner[1:])
	return id, true
}

// userAt fills dst with the user whose row ref names now. The row's key is copied behind its value, as the name may be it.
func (s *State) userAt(dst *User, ref rows.Ref) bool {
	row, size := dst.buf[:0], 0
	ok := s.users.View(ref, func(key, value []byte) {
		row = append(append(row, value...), key...)
		size = len(value)
	})
	if ok {
		dst.read(row, size, &s.symbols)
	}
	return ok
}

// read fills the user from a buffer that becomes his: a row of the given size with its key behind it.
func (u *User) read(buf []byte, size int, y *Symbols) {
	u.buf = buf
	if err := u.decode(buf[:size], buf[size:], y); err != nil {
		violated("a readable user row", "%s: %v", buf[size:], err)
	}
}

// decode fills the user from a row and its key, without copying them.
func (u *User) decode(row, key []byte, y *Symbols) error {
	*u = User{Former: u.Former[:0], buf: u.buf, Roles: u.Roles[:0], Aliases: u.Aliases[:0], attributes: attributes{made: u.attributes.made[:0]}}
	var r docRow
	if err := r.decode(row); err != nil {
		return err
	}
	u.ID, u.Version, u.CreatedAt, u.ModifiedAt, u.Name = r.id, r.version, r.createdAt, r.modifiedAt, r.name
	if len(u.Name) == 0 {
		u.Name = key
	}
	u.ownName = holds(r.claims, nil)
	if err := u.decodeSpec(r.spec, y); err != nil {
		return err
	}
	return u.decodeCredential(r.credential)
}

// The fields of a user's spec in his row are those of event.UserSpec by number, but for texts that many users share, which are
// symbols, and for attributes, a symbol and the values, each with its length in front, and roles, a symbol and two times.
func (u *User) decodeSpec(b []byte, y *Symbols) error {
	u.Symbols = y
	spec := b
	for len(b) > 0 {
		at := len(spec) - len(b)
		if b[0] == attributeTag { // as most of a row is
			if size := sizeOfAttributes(b); size > 0 {
				u.attributes.add(spec, at, at+size)
				b = b[size:]
				continue
			}
		}
		f, rest, ok := field.Next(b)
		if !ok {
			return fmt.Errorf("read user row: %w", errRow)
		}
		b = rest
		switch f.Num {
		case 1:
			u.FirstName = f.Data
		case 2:
			u.LastName = f.Data
		case 3:
			u.FullName = f.Data
		case 4:
			u.ShortName = f.Data
		case 5:
			u.Mail = f.Data
		case 6:
			u.MailDomain = y.optional(f.Value)
		case 7:
			u.Mobile = f.Data
		case 8:
			u.Aliases = append(u.Aliases, f.Data)
		case 9:
			u.DirectoryDN = f.Data
		case 10:
			u.UserType = y.optional(f.Value)
		case 11:
			u.PrimaryGroup, u.PrimarySymbol = y.optional(f.Value), uint32(f.Value)
		case 12:
			u.Groups = SymbolList(f.Data)
		case 13:
			u.Inactive = f.Value != 0
		case attributeField:
			u.attributes.add(spec, at, len(spec)-len(rest))
		case 15:
			n, rest, ok := nextSymbol(f.Data)
			from, rest, ok2 := nextSymbol(rest)
			until, _, ok3 := nextSymbol(rest)
			if !ok || !ok2 || !ok3 {
				return fmt.Errorf("read role of user row: %w", errRow)
			}
			u.Roles = append(u.Roles, RoleGrant{Role: y.text(n), NotBefore: int64(from), NotAfter: int64(until)})
		}
	}
	return nil
}

func (u *User) decodeCredential(b []byte) error {
	for len(b) > 0 {
		f, rest, ok := field.Next(b)
		if !ok {
			return fmt.Errorf("read password of user row: %w", errRow)
		}
		b = rest
		switch f.Num {
		case 1:
			u.CredentialVersion = f.Value
		case 2:
			u.Argon2id = f.Data
		case 3:
			u.Keyed = f.Data
		case 4:
			u.NT = f.Data
		case 5:
			u.Clear = f.Data
		case 6:
			u.MustChange = f.Value != 0
		case 7:
			u.PasswordSetAt = int64(f.Value)
		case 8:
			u.Imported = f.Data
		case 9:
			u.past = f.Data
		case 10:
			u.Former = append(u.Former, f.Data)
		}
	}
	return nil
}

// optional returns the text of a symbol that is stored plus one.
func (y *Symbols) optional(n uint64) []byte {
	if n == 0 {
		return nil
	}
	return y.text(n - 1)
}

// appendUserSpec appends an encoded event.UserSpec as a user's row has it.
func (s *State) appendUserSpec(dst []byte, at Stamp, spec []byte) []byte {
	w := &s.work
	w.groupSyms = w.groupSyms[:0]
	for len(spec) > 0 {
		f, rest, ok := field.Next(spec)
		if !ok {
			unreadable("user", at, event.ErrFormat)
		}
		spec = rest
		switch f.Num {
		case 1, 2, 3, 4, 5, 7, 9:
			dst = field.AppendBytes(dst, f.Num, f.Data)
		case 8:
			dst = protowire.AppendTag(dst, f.Num, protowire.BytesType)
			dst = protowire.AppendBytes(dst, f.Data)
		case 6, 10, 11:
			if len(f.Data) > 0 {
				dst = field.AppendNumber(dst, f.Num, s.symbol(f.Data)+1)
			}
		case 12:
			w.groupSyms = protowire.AppendVarint(w.groupSyms, s.symbol(f.Data))
		case 13:
			dst = field.AppendFlag(dst, f.Num, f.Value != 0)
		case 14:
			dst = field.AppendBytes(dst, f.Num, s.attribute(at, f.Data))
		case 15:
			dst = field.AppendBytes(dst, f.Num, s.grant(at, f.Data))
		default:
			unreadable("user", at, fmt.Errorf("field %d: %w", f.Num, event.ErrFormat))
		}
	}
	return field.AppendBytes(dst, 12, w.groupSyms)
}

// attribute returns an encoded event.UserSpec_Attribute as a user's row has it, in the work's row buffer.
func (s *State) attribute(at Stamp, b []byte) []byte {
	var name []byte
	for rest := b; len(rest) > 0; {
		f, more, ok := field.Next(rest)
		if !ok || f.Num > 2 {
			unreadable("attribute of user", at, event.ErrFormat)
		}
		if rest = more; f.Num == 1 {
			name = f.Data
		}
	}
	w := &s.work
	w.row = protowire.AppendVarint(w.row[:0], s.symbol(name))
	eachPart(b, 2, func(value []byte) bool {
		w.row = protowire.AppendBytes(w.row, value)
		return true
	})
	return w.row
}

// grant returns an encoded event.UserSpec_Grant as a user's row has it, in the work's row buffer.
func (s *State) grant(at Stamp, b []byte) []byte {
	var role []byte
	var times [2]uint64
	for len(b) > 0 {
		f, rest, ok := field.Next(b)
		if !ok || f.Num > 3 {
			unreadable("role of user", at, event.ErrFormat)
		}
		if b = rest; f.Num == 1 {
			role = f.Data
		} else {
			times[f.Num-2] = f.Value
		}
	}
	if len(role) == 0 {
		unreadable("role of user", at, event.ErrFormat)
	}
	w := &s.work
	w.row = protowire.AppendVarint(w.row[:0], s.symbol(role))
	w.row = protowire.AppendVarint(w.row, times[0])
	w.row = protowire.AppendVarint(w.row, times[1])
	return w.row
}

// userSpec returns the event.UserSpec that a user's row was made of.
func (s *State) userSpec(spec []byte) *event.UserSpec {
	var u User
	y := &s.symbols
	if err := u.decodeSpec(spec, y); err != nil {
		violated("a readable user row", "%v", err)
	}
	m := &event.UserSpec{
		FirstName: string(u.FirstName), LastName: string(u.LastName), FullName: string(u.FullName),
		ShortName: string(u.ShortName), Mail: string(u.Mail), MailDomain: string(u.MailDomain), Mobile: string(u.Mobile),
		DirectoryDn: string(u.DirectoryDN), UserType: string(u.UserType), PrimaryGroup: string(u.PrimaryGroup),
		Inactive: u.Inactive, Aliases: texts(u.Aliases), Groups: texts(u.AppendGroups(nil)),
	}
	for _, g := range u.Roles {
		m.Roles = append(m.Roles, &event.UserSpec_Grant{Role: string(g.Role), NotBeforeUnix: g.NotBefore, NotAfterUnix: g.NotAfter})
	}
	u.eachAttribute(func(name uint64, list []byte) (more, ok bool) {
		values, ok := appendTexts(nil, list)
		m.Attributes = append(m.Attributes, &event.UserSpec_Attribute{Name: string(y.text(name)), Values: texts(values)})
		return true, ok
	})
	return m
}

func texts(list [][]byte) []string {
	if len(list) == 0 {
		return nil
	}
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}

// foldPassword replaces a user's password, or removes it where p is nil, and returns the credential's version.
func (s *State) foldPassword(at Stamp, name string, p *event.PasswordSet) uint64 {
	w := &s.work
	w.key = appendFolded(w.key[:0], name)
	value, _, ok := s.users.Peek(w.key)
	if !ok {
		violated("a user whose password changes", "none named %s", name)
	}
	var r docRow
	var u User
	if err := r.decode(value); err != nil {
		violated("a readable user row", "%s: %v", name, err)
	}
	if err := u.decodeCredential(r.credential); err != nil {
		violated("a readable user row", "%s: %v", name, err)
	}
	version, setAt := u.CredentialVersion+1, at.unix()
	if p != nil && p.SamePassword && u.HasPassword() {
		setAt = u.PasswordSetAt
	}
	c := field.AppendNumber(nil, 1, version)
	if p != nil {
		c = field.AppendBytes(c, 2, p.Argon2Id)
		c = field.AppendBytes(c, 3, p.Keyed)
		c = field.AppendBytes(c, 4, p.Nt)
		c = field.AppendBytes(c, 5, p.Clear)
		c = field.AppendFlag(c, 6, p.MustChange)
		c = field.AppendNumber(c, 7, uint64(setAt))
		c = field.AppendBytes(c, 8, p.Imported)
	}
	switch {
	case p == nil:
		c = u.appendFormer(c, MaxFormer)
	case p.SamePassword:
		c = field.AppendBytes(c, 9, p.Past)
		c = u.appendPast(c, nil, int(p.History))
	default:
		c = field.AppendBytes(c, 9, p.Past)
		c = u.appendFormer(c, int(p.History))
	}
	r.credential = c
	w.row = r.append(w.row[:0])
	s.users.Put(w.key, w.row)
	return version
}

// MaxFormer is how many former passwords of a user can be remembered.
const MaxFormer = 50

// The tags of the forms of former passwords.
const (
	FormerKeyed    = 1
	FormerArgon2id = 2
)

// appendFormer appends what a user's row remembers of former passwords once the present one is another, of at most so many.
func (u *User) appendFormer(dst []byte, most int) []byte {
	last := []byte(nil)
	switch {
	case len(u.Keyed) > 0:
		last = append(append(last, FormerKeyed), u.Keyed...)
	case len(u.Argon2id) > 0:
		last = append(append(last, FormerArgon2id), u.Argon2id...)
	case len(u.past) > 0:
		last = append(append(last, FormerKeyed), u.past...)
	}
	return u.appendPast(dst, last, most)
}

// appendPast appends the form of the last password, if there is one, and those before it, at most so many together.
func (u *User) appendPast(dst, last []byte, most int) []byte {
	most = min(most, MaxFormer)
	if len(last) > 0 && most > 0 {
		dst = field.AppendBytes(dst, 10, last)
		most--
	}
	for _, form := range u.Former[:min(len(u.Former), most)] {
		dst = field.AppendBytes(dst, 10, form)
	}
	return dst
}

// credentialVersion returns how many times a user's password was changed; 0 for somebody who has none or does not exist.
func (s *State) credentialVersion(name []byte) uint64 {
	s.work.key = appendFolded(s.work.key[:0], name)
	value, _, ok := s.users.Peek(s.work.key)
	if !ok {
		return 0
	}
	var r docRow
	var u User
	if r.decode(value) != nil || u.decodeCredential(r.credential) != nil {
		violated("a readable user row", "%s", name)
	}
	return u.CredentialVersion
}

// loadUsers finds the users' rows again.
func (s *State) loadUsers() error {
	room := s.users.Len()
	refs := make([]rows.Ref, 0, room+room/32)
	var bad error
	s.users.Scan(0, func(ref rows.Ref, key, value []byte) bool {
		f, _, ok := field.Next(value) // the id is a row's first field
		if !ok || f.Num != 1 || f.Value > s.nextUser {
			bad = fmt.Errorf("load user %q: %w", key, errRow)
			return false
		}
		refs = setRef(refs, f.Value, ref)
		return true
	})
	s.ids.replace(refs)
	return bad
}

// ids finds a user's row by his id. Ids are dense, so it is an array.
type ids struct {
	mu   sync.RWMutex
	refs []rows.Ref // by id, noUser where there is none
}

const noUser = rows.Ref(1<<32 - 1)

func (d *ids) get(id uint64) (rows.Ref, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if id >= uint64(len(d.refs)) || d.refs[id] == noUser {
		return 0, false
	}
	return d.refs[id], true
}

func (d *ids) set(id uint64, ref rows.Ref) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refs = setRef(d.refs, id, ref)
}

func setRef(refs []rows.Ref, id uint64, ref rows.Ref) []rows.Ref {
	for uint64(len(refs)) <= id {
		refs = append(refs, noUser)
	}
	refs[id] = ref
	return refs
}

func (d *ids) clear(id uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refs[id] = noUser
}

func (d *ids) replace(refs []rows.Ref) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refs = refs
}

func (d *ids) bytes() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return 4 * cap(d.refs)
}
