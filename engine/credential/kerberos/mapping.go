package kerberos

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	// ErrRealm means that a principal is of a realm that is not mapped.
	ErrRealm = errors.New("the realm is not one whose principals are users here")
	// ErrUnmapped means that a principal names no user.
	ErrUnmapped = errors.New("the principal names no user")
)

// Mapping says which user a principal names. Realms and principals are case-sensitive, as in Kerberos; users are not, so a KDC in which alice and
// Alice are two people must not be mapped by its realm.
type Mapping struct {
	// Principals names the users of single principals, such as "alice/admin@EXAMPLE.COM", whatever their realm.
	Principals map[string]string
	// Realms says what becomes of all others. The principals of a realm that is not listed name nobody: realms trust each other for more
	// than for logins here.
	Realms map[string]Realm
}

// Realm says what becomes of the principals of a realm. The zero Realm takes the realm off: alice@EXAMPLE.COM is the user alice.
type Realm struct {
	Keep bool   // the realm stays: alice@EXAMPLE.COM
	As   string // another takes its place: with corp.example, alice@corp.example
}

// user returns the name by which the principal's user is to be looked up. It returns ErrRealm for a realm that is not listed, and ErrUnmapped for
// an anonymous principal, and for one that could be taken for another: with separators or characters that do not print in a component.
func (m *Mapping) user(p *principal) (string, error) {
	if user, ok := m.Principals[p.String()]; ok {
		return user, nil
	}
	if strings.HasPrefix(p.realm, "WELLKNOWN:") || p.name[0] == "WELLKNOWN" { // RFC 6111, RFC 8062
		return "", fmt.Errorf("%w: %s is nobody in particular", ErrUnmapped, p)
	}
	realm, ok := m.Realms[p.realm]
	if !ok {
		return "", fmt.Errorf("%w: %s", ErrRealm, p.realm)
	}
	for _, component := range p.name {
		if component == "" || !utf8.ValidString(component) || strings.ContainsFunc(component, func(r rune) bool {
			return strings.ContainsRune(`/@\`, r) || !unicode.IsPrint(r)
		}) {
			return "", fmt.Errorf("%w: %s could be taken for another", ErrUnmapped, p)
		}
	}
	user := strings.Join(p.name, "/")
	switch {
	case realm.As != "":
		user += "@" + realm.As
	case realm.Keep:
		user += "@" + p.realm
	}
	if len(user) > maxUser {
		return "", fmt.Errorf("%w: longer than %d bytes", ErrUnmapped, maxUser)
	}
	return user, nil
}

// maxUser is the number of bytes that a user's name may have.
const maxUser = 256
