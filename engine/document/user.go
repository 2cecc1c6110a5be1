package document

import "trine/engine/secret"

// User is a person who logs in. The document's name is the login name; it is compared without regard to case.
type User struct {
	// FirstName is the given name.
	FirstName string `json:"firstName"`
	// LastName is the family name.
	LastName string `json:"lastName"`
	// FullName is the name as it is shown.
	FullName string `json:"fullName"`
	// ShortName is a short form of the name, such as initials.
	ShortName string `json:"shortName"`
	// Mail is the mail address, or the part of it before the @ where mailDomain is given.
	Mail string `json:"mail"`
	// MailDomain is the part of the mail address after the @.
	MailDomain string `json:"mailDomain"`
	// Mobile is the number of the mobile telephone, in quotes.
	Mobile string `json:"mobile"`
	// Aliases are further login names. No two users may share a login name.
	Aliases []string `json:"aliases"`
	// DirectoryDN is the distinguished name of the person in a directory.
	DirectoryDN string `json:"directoryDN"`
	// UserType names the UserType; without one the UserType named default applies.
	UserType string `json:"userType" ref:"UserType"`
	// PrimaryGroup names the Group whose reply attributes come before those of the others.
	PrimaryGroup string `json:"primaryGroup" ref:"Group"`
	// Groups names the Groups that the person belongs to.
	Groups []string `json:"groups" ref:"Group"`
	// Roles lists the roles that the person has beside those of his groups.
	Roles []Grant `json:"roles"`
	// Active says whether the person may log in.
	Active bool `json:"active" default:"true"`
	// Attributes are values of any other attribute, each a text or a list of texts.
	Attributes map[string]Values `json:"attributes"`
	// Password sets a new password. It is never shown and may be left out to keep the present one.
	Password secret.Text `json:"password"`
	// PasswordHash sets the password to the one of which another system made this hash. The first good login replaces it by the forms that the user type keeps. It is never shown.
	PasswordHash secret.Text `json:"passwordHash"`
	// PasswordMustChange asks for a new password at the next login. It counts only together with password or passwordHash.
	PasswordMustChange bool `json:"passwordMustChange"`
}

// Values are the values of one attribute. A document may write one value as a plain text.
type Values []string

func (*User) kind() string { return KindUser }

func (u *User) normalise() {}
