package document

import (
	"strings"

	"trine/engine/event"
)

// Document is one configuration document: a kind, a name that is unique within the kind, and what the kind has to say.
type Document struct {
	Kind string
	Name string
	Spec Spec
	// Comment says why the document was written; it is recorded with the change.
	Comment string
	// Version is the version that the author expects to replace, or 0 where he does not care.
	Version uint64
	// Source is where the document was read.
	Source Source

	marks []mark
}

// Source is a place in a file. Line and Column count from 1; 0 means unknown.
type Source struct {
	File   string
	Line   int
	Column int
}

// Spec is the part of a document that depends on its kind: a pointer to one of the types named in Kinds.
type Spec interface {
	// kind is the kind's name.
	kind() string
	// normalise brings different ways of writing the same thing into one form. It runs after decoding.
	normalise()
	// check reports what is wrong within the spec alone.
	check(c *checker)
	// relations reports the documents that the spec refers to and the keys that it claims.
	relations(name string, r *relations)
}

var (
	_ Spec = (*User)(nil)
	_ Spec = (*Group)(nil)
	_ Spec = (*UserType)(nil)
	_ Spec = (*EntityGroup)(nil)
	_ Spec = (*IdentityProvider)(nil)
	_ Spec = (*ServiceProvider)(nil)
	_ Spec = (*AttributeDefinition)(nil)
	_ Spec = (*AttributePolicy)(nil)
	_ Spec = (*InformationSystem)(nil)
	_ Spec = (*Role)(nil)
	_ Spec = (*Account)(nil)
	_ Spec = (*Endpoint)(nil)
	_ Spec = (*MessageGateway)(nil)
)

// The names of the kinds.
const (
	KindUser                = "User"
	KindGroup               = "Group"
	KindUserType            = "UserType"
	KindEntityGroup         = "EntityGroup"
	KindIdentityProvider    = "IdentityProvider"
	KindServiceProvider     = "ServiceProvider"
	KindAttributeDefinition = "AttributeDefinition"
	KindAttributePolicy     = "AttributePolicy"
	KindInformationSystem   = "InformationSystem"
	KindRole                = "Role"
	KindAccount             = "Account"
	KindEndpoint            = "Endpoint"
	KindMessageGateway      = "MessageGateway"
)

// Kind describes one kind of document.
type Kind struct {
	// Name is the kind as documents write it, such as "ServiceProvider".
	Name string
	// Plural is the word for many of them, such as "service-providers".
	Plural string
	// Aliases are further words that commands take for it.
	Aliases []string
	// Summary is one sentence for listings.
	Summary string
	// Class is the class of events in which changes are recorded.
	Class event.Class

	blank func() Spec
}

// New returns a spec of the kind with every field at its default.
func (k Kind) New() Spec {
	s := k.blank()
	applyDefaults(s)
	return s
}

// Kinds returns every kind, those that others refer to first.
func Kinds() []Kind {
	return []Kind{
		{KindUserType, "user-types", []string{"user-type", "usertypes", "ut"}, "A kind of people and their password policy.", event.ClassOf(KindUserType), func() Spec { return new(UserType) }},
		{KindInformationSystem, "information-systems", []string{"information-system", "informationsystems", "systems", "system"}, "A system in which people have accounts and roles.", event.ClassOf(KindInformationSystem), func() Spec { return new(InformationSystem) }},
		{KindRole, "roles", nil, "What somebody may do in an information system.", event.ClassOf(KindRole), func() Spec { return new(Role) }},
		{KindGroup, "groups", []string{"g"}, "A group of people and what it adds to replies.", event.ClassOf(KindGroup), func() Spec { return new(Group) }},
		{KindUser, "users", []string{"u"}, "A person who logs in.", event.ClassOf(KindUser), func() Spec { return new(User) }},
		{KindAccount, "accounts", []string{"acc"}, "An account that a person has in an information system.", event.ClassOf(KindAccount), func() Spec { return new(Account) }},
		{KindEndpoint, "endpoints", []string{"ep"}, "A device that is known by its MAC address.", event.ClassOf(KindEndpoint), func() Spec { return new(Endpoint) }},
		{KindEntityGroup, "entity-groups", []string{"entity-group", "entitygroups", "eg"}, "A group of identity providers and service providers.", event.ClassOf(KindEntityGroup), func() Spec { return new(EntityGroup) }},
		{KindIdentityProvider, "identity-providers", []string{"identity-provider", "identityproviders", "idp"}, "Who decides about logins, and over which protocols.", event.ClassOf(KindIdentityProvider), func() Spec { return new(IdentityProvider) }},
		{KindServiceProvider, "service-providers", []string{"service-provider", "serviceproviders", "sp"}, "Who asks for logins: a NAS, a network of them, an application.", event.ClassOf(KindServiceProvider), func() Spec { return new(ServiceProvider) }},
		{KindAttributeDefinition, "attribute-definitions", []string{"attribute-definition", "attributedefinitions", "attributes", "attr"}, "An attribute of people and its name in each protocol.", event.ClassOf(KindAttributeDefinition), func() Spec { return new(AttributeDefinition) }},
		{KindAttributePolicy, "attribute-policies", []string{"attribute-policy", "attributepolicies", "policies", "policy"}, "Which attributes are released to whom.", event.ClassOf(KindAttributePolicy), func() Spec { return new(AttributePolicy) }},
		{KindMessageGateway, "message-gateways", []string{"message-gateway", "messagegateways", "gateways", "gateway", "mg"}, "Who carries codes and notices to people, by mail or text message.", event.ClassOf(KindMessageGateway), func() Spec { return new(MessageGateway) }},
	}
}

// KindNamed returns the kind that a word names: its name, its plural or an alias, without regard to case.
func KindNamed(word string) (Kind, bool) {
	for _, k := range Kinds() {
		if strings.EqualFold(word, k.Name) || strings.EqualFold(word, k.Plural) {
			return k, true
		}
		for _, a := range k.Aliases {
			if strings.EqualFold(word, a) {
				return k, true
			}
		}
	}
	return Kind{}, false
}

// New returns a document with a spec whose fields are at their defaults. It returns nil for a kind that does not exist.
func New(kind, name string) *Document {
	k, ok := kindExactly(kind)
	if !ok {
		return nil
	}
	d := &Document{Kind: k.Name, Name: name, Spec: k.New()}
	d.nameCanonically()
	return d
}

// nameCanonically brings the name into the one form that it has, where people write it in several. A user's name stays as it is
// written.
func (d *Document) nameCanonically() {
	if d.Kind != KindUser {
		d.Name = event.CanonicalName(d.Kind, d.Name)
	}
}

// Key names the document in expectations, references and claims.
func (d *Document) Key() string { return event.Key(d.Kind, d.Name) }

// PublicID is the name under which other parties know an identity provider or service provider: its publicID, or the
// document's name where it has none. It is empty for other kinds.
func (d *Document) PublicID() string {
	var id string
	switch s := d.Spec.(type) {
	case *IdentityProvider:
		id = s.PublicID
	case *ServiceProvider:
		id = s.PublicID
	default:
		return ""
	}
	if id == "" {
		return d.Name
	}
	return id
}

func kindExactly(name string) (Kind, bool) {
	for _, k := range Kinds() {
		if k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}
