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
		return (*state.User)(p).AppendAttributeNames(dst)
	}
	return dst
}

// AppendCustoms implements Subject.
func (p *Person) AppendCustoms(values [][]byte, spans []state.Span, mark uint32, asked *state.SymbolTable) [][]byte {
	return (*state.User)(p).AppendAttributes(values, spans, mark, asked)
}

// AppendCustom implements Subject.
func (p *Person) AppendCustom(dst [][]byte, name string) [][]byte {
	return (*state.User)(p).AppendAttribute(dst, name)
}
