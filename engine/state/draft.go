package state

import "time"

// Draft is a State with some of its users as they would be. Everything else is read from the State as it is.
type Draft struct {
	*State
	users *State // the drafted users, and nothing else
}

// Drafted is a user of a draft: the events that would make him what he is to be, encoded.
type Drafted struct {
	Document []byte // a DocumentPut
	Password []byte // a PasswordSet; empty: he keeps the password that he has
}

// Draft returns the State with users laid over its own.
func (s *State) Draft(users []Drafted) *Draft {
	d := &Draft{State: s, users: New()}
	d.users.symbols.aside = true
	// Facts and not a proposal: what the documents refer to is in the State below, where whoever drafted them has looked.
	at := Stamp{Index: 1, Time: time.Unix(0, 0)}
	for _, u := range users {
		d.users.ApplyFact(at, u.Document)
		if len(u.Password) > 0 {
			d.users.ApplyFact(at, u.Password)
		}
	}
	return d
}

// User is [State.User] with the drafted users in the place of those that they would replace. It allocates.
func (d *Draft) User(dst *User, login []byte) bool {
	if d.users.User(dst, login) {
		d.complete(dst)
		return true
	}
	// Whoever is drafted has the aliases of the draft, and no longer those that he has in the State.
	return d.State.User(dst, login) && !d.users.users.Has(appendFolded(nil, dst.Name))
}

// UserName is [State.UserName] in the same way.
func (d *Draft) UserName(dst, login []byte) ([]byte, bool) {
	var u User
	if !d.User(&u, login) {
		return dst, false
	}
	return append(dst, u.Name...), true
}

// drafted is set in the ids and credential versions of drafted users that nobody has yet, so that what is remembered of a password by them
// says nothing of a drafted one.
const drafted = 1 << 63

// complete gives a drafted user what the present one has and no document says: his id, and his password unless that is drafted too.
func (d *Draft) complete(u *User) {
	row, exists := d.State.users.Get(nil, appendFolded(nil, u.Name))
	if !exists {
		u.ID |= drafted
		return
	}
	var present docRow
	if err := present.decode(row); err != nil {
		violated("a readable user row", "%s: %v", u.Name, err)
	}
	u.ID, u.CreatedAt = present.id, present.createdAt
	if u.HasPassword() {
		u.CredentialVersion |= drafted
		return
	}
	if err := u.decodeCredential(present.credential); err != nil {
		violated("a readable user row", "%s: %v", u.Name, err)
	}
}
