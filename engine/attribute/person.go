package attribute

import "trine/engine/state"

// Person is a user as the subject of a release. Convert with [OfUser].
type Person state.User

var _ Subject = (*Person)(nil)

// OfUser returns u as a subject. It does not copy: what is released points into u.
func OfUser(u *state.User) *Person { return (*Person)(u) }

// Number implements Subject.
func (p *Person) Number() uint64 { return p.ID }

// Field implements Subject.
func (p *Person) Field(f Field) []byte {
	switch f {
	case FieldUserName:
		return p.Name
	case FieldShortName:
		return p.ShortName
	case FieldFullName:
		return p.FullName
	case FieldFirstName:
		return p.FirstName
	case FieldLastName:
		return p.LastName
	case FieldMail:
		return p.Mail
	case FieldMailDomain:
		return p.MailDomain
	case FieldMobile:
		return p.Mobile
	case FieldDirectoryDN:
		return p.DirectoryDN
	case FieldUserType:
		return p.UserType
	case FieldPrimaryGroup:
		return p.PrimaryGroup
	}
	return nil
}

// AppendNames implements Subject.
func (p *Person) AppendNames(dst [][]byte, f Field) [][]byte {
	switch f {
	case FieldGroups:
		return (*state.User)(p).AppendGroups(dst)
	case FieldAliases:
		return append(dst, p.Aliases...)
	case FieldCustom:
		for i := range p.Attributes {
			dst = append(dst, p.Attributes[i].Name)
		}
	}
	return dst
}

// Custom implements Subject.
func (p *Person) Custom(name string) [][]byte {
	return (*state.User)(p).Attribute(name)
}
