package attribute

import "strings"

// Source says where the values of a definition come from.
type Source uint8

// The sources.
const (
	Custom       Source = iota // the person's custom attribute of the definition's name
	UserName                   // the user name
	ShortName                  // the short name
	FullName                   // the full name; where it is empty, first and last name
	FirstName                  // the first name
	LastName                   // the last name
	Email                      // mail@mailDomain
	Mobile                     // the mobile telephone number
	Aliases                    // the other names of the login
	DirectoryDN                // the distinguished name in the directory that the person came from
	UserType                   // the user type
	PrimaryGroup               // the primary group
	Groups                     // the primary group and all others, without the groups above them
	Roles                      // the roles, as ROLE@SYSTEM
	Principal                  // userName@mailDomain
	Coming                     // a built-in attribute whose data does not exist yet: no values
)

// Builtin is a row of the table of built-in attributes.
type Builtin struct {
	Source  Source
	Names   []string // names of definitions that have this source, the first is the preferred one
	Many    bool     // can have several values
	Meaning string
	Needs   string // for Coming: the capability that it waits for
}

// builtins is the table. It is read only.
var builtins = [...]Builtin{
	{Source: UserName, Names: []string{"uid", "userName", "preferredUsername"}, Meaning: "The user name."},
	{Source: ShortName, Names: []string{"shortName", "nickname"}, Meaning: "The short name."},
	{Source: FullName, Names: []string{"fullName", "displayName", "cn", "commonName", "name"}, Meaning: "The full name; where it is empty, first and last name with a blank between."},
	{Source: FirstName, Names: []string{"givenName", "firstName"}, Meaning: "The first name."},
	{Source: LastName, Names: []string{"surname", "sn", "lastName", "familyName"}, Meaning: "The last name."},
	{Source: Email, Names: []string{"email", "mail", "emailAddress"}, Meaning: "The mail address: `mail@mailDomain`, or `mail` alone where there is no domain."},
	{Source: Mobile, Names: []string{"phone", "mobile", "phoneNumber", "telephoneNumber"}, Meaning: "The mobile telephone number."},
	{Source: Aliases, Names: []string{"aliases"}, Many: true, Meaning: "The other names under which the person may log in."},
	{Source: DirectoryDN, Names: []string{"directoryDN", "distinguishedName", "dn"}, Meaning: "The distinguished name in the directory that the person came from."},
	{Source: UserType, Names: []string{"userType"}, Meaning: "The user type; `default` where none is set."},
	{Source: PrimaryGroup, Names: []string{"primaryGroup"}, Meaning: "The primary group."},
	{Source: Groups, Names: []string{"groups", "group"}, Many: true, Meaning: "The primary group, then the other groups; groups above them are left out."},
	{Source: Principal, Names: []string{"eduPersonPrincipalName", "userPrincipalName", "upn"}, Meaning: "`userName@mailDomain`; no value where there is no domain."},
	{Source: Roles, Names: []string{"member_of", "roles"}, Many: true, Meaning: "The roles that the person has now, his own and those of his groups, as `role@system`."},
	{Source: Coming, Names: []string{"subject-id"}, Meaning: "SAML subject-id: an identifier that is never reassigned, with a scope.", Needs: "the SAML front"},
	{Source: Coming, Names: []string{"pairwise-id", "eduPersonTargetedID"}, Meaning: "SAML pairwise-id: an identifier that differs from one service provider to the next.", Needs: "the SAML front"},
	{Source: Coming, Names: []string{"immutableID"}, Meaning: "The source anchor of the person in his directory.", Needs: "directory synchronization"},
	{Source: Coming, Names: []string{"objectSID", "sid"}, Meaning: "The security identifier of the person in Active Directory.", Needs: "directory synchronization"},
	{Source: Custom, Names: []string{"eduPersonAffiliation", "eduPersonScopedAffiliation", "eduPersonEntitlement", "eduPersonAssurance", "eduPersonOrcid"}, Many: true, Meaning: "The person's custom attribute of that name."},
}

// Builtins returns the table of built-in attributes in the order of the documentation.
func Builtins() []Builtin { return append([]Builtin(nil), builtins[:]...) }

// BuiltinFor returns the row for a definition's name. Case, blanks, `_` and `-` do not count: given_name is givenName. A name
// that is not in the table means the person's custom attribute of exactly that name, and ok is false.
func BuiltinFor(name string) (b Builtin, ok bool) {
	plain := plainName(name)
	for _, b := range builtins {
		for _, n := range b.Names {
			if strings.EqualFold(plainName(n), plain) {
				return b, true
			}
		}
	}
	return Builtin{Source: Custom, Many: true}, false
}

// plainName strips what does not count when names of definitions are compared.
func plainName(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == ' ' {
			return -1
		}
		return r
	}, name)
}
