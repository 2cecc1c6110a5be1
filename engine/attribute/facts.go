package attribute

import (
	"time"

	"trine/engine/state"
	"trine/engine/trace"
)

// Subject is a person whose attributes are asked for. Its methods must not allocate: they append what the caller holds.
type Subject interface {
	// Number returns the person's id; 0 for somebody who has none.
	Number() uint64
	// Field returns a field with one value; empty where the person has none. It is called with UserName, ShortName, FullName,
	// FirstName, LastName, Mobile, DirectoryDN, UserType, PrimaryGroup, Mail and MailDomain.
	Field(f Field) []byte
	// AppendNames appends the values of a field with many: Groups (all but the primary one), Aliases, or Custom: the names of the custom
	// attributes.
	AppendNames(dst [][]byte, f Field) [][]byte
	// AppendCustoms appends the values of all custom attributes that are asked for, and sets their spans; see [state.User.AppendAttributes].
	AppendCustoms(values [][]byte, spans []state.Span, mark uint32, asked *state.SymbolTable) [][]byte
	// AppendCustom appends the values of the custom attribute of that name.
	AppendCustom(dst [][]byte, name string) [][]byte
}

// Field names what a Subject is asked for.
type Field uint8

// The fields.
const (
	FieldUserName Field = iota
	FieldShortName
	FieldFullName
	FieldFirstName
	FieldLastName
	FieldMail
	FieldMailDomain
	FieldMobile
	FieldDirectoryDN
	FieldUserType
	FieldPrimaryGroup
	FieldGroups
	FieldAliases
	FieldCustom
)

// Party is what conditions may ask of a service provider or an identity provider. It is immutable.
type Party struct {
	PublicID string
	Group    string // the entity group; empty if none
	// NameIDFormats and EntityAttributes come from SAML metadata; packet protocols have none.
	NameIDFormats    []string
	EntityAttributes []EntityAttribute
	Labels           []EntityAttribute // of the service provider, one for each value
}

// EntityAttribute is one value of an attribute in an entity's metadata.
type EntityAttribute struct{ Name, Value string }

// Request is the request that is decided, as the conditions of an authorization policy ask about it. Its methods must not allocate.
type Request interface {
	// At returns when it is decided.
	At() time.Time
	// SSID returns the SSID that the device names; empty if it names none.
	SSID() []byte
	// UserType returns the name of the person's user type.
	UserType() []byte
	// InGroup reports whether the person belongs to the group of that number, or to one below it.
	InGroup(number uint32) bool
	// HasRole reports whether the person has the role of that number.
	HasRole(number uint32) bool
	// EndpointInGroup reports whether the device is an endpoint that belongs to the group of that number, or to one below it.
	EndpointInGroup(number uint32) bool
	// AppendValues appends the values that the request has of an attribute, which RequestNames.Attribute resolved, as text.
	AppendValues(dst [][]byte, attribute any) [][]byte
}

// Facts is what one decision knows when attributes are released. A protocol keeps one for each request and makes it ready
// with Reset; what Release returned is valid until then.
type Facts struct {
	Subject        Subject // nil for nobody: every attribute is empty
	Principal      []byte  // the principal name: the name of the resolved user
	Authentication Authentication
	Requester      *Party       // the service provider
	Issuer         *Party       // the identity provider
	Request        Request      // what the conditions of authorization policies ask; nil: they are false
	Roles          [][]byte     // names of the subject's roles, ROLE@SYSTEM
	Accounts       Accounts     // finds the subject's accounts; nil: he has none
	Customs        *Customs     // what the definitions that are asked about ask for; nil: custom attributes are looked for one by one
	Now            time.Time    // when it is decided
	Trace          *trace.Trace // where the rules that decided are recorded; nil: nowhere

	generation uint32
	spans      []state.Span // of values, by Definition.slot; those of this generation count
	values     [][]byte
	customs    uint32 // the generation in which the custom attributes were read
	arena      []byte // text that is made of several fields
	allow      []uint64
	deny       []uint64

	computed []computed   // what computations yielded, also before the last Renew
	pending  *Computation // a script that has to be run first
	failing  *Computation
	failure  error
}

// Reset makes f ready for the next request. Its buffers are kept.
func (f *Facts) Reset() {
	clear(f.computed)
	f.computed = f.computed[:0]
	f.Renew()
}

// Renew makes f ready to be filled and asked anew about the same person and the same request: it keeps what was computed.
func (f *Facts) Renew() {
	f.pending, f.failing, f.failure = nil, nil, nil
	f.Subject, f.Principal, f.Authentication = nil, nil, Unauthenticated
	f.Requester, f.Issuer, f.Request, f.Roles, f.Accounts, f.Customs, f.Trace = nil, nil, nil, nil, nil, nil, nil
	f.generation++
	if f.generation == 0 { // wrapped: an old span could look like a new one
		clear(f.spans)
		f.generation, f.customs = 1, 0
	}
	clear(f.values)
	f.values = f.values[:0]
	f.arena = f.arena[:0]
}

// Values returns the subject's values of d, made at most once between two Resets.
func (f *Facts) Values(d *Definition) [][]byte {
	f.grow(d.slot + 1)
	if f.spans[d.slot].Mark != f.generation {
		f.find(d)
	}
	s := &f.spans[d.slot]
	return f.values[s.From:s.To:s.To]
}

// grow makes room for so many spans.
func (f *Facts) grow(slots int) {
	if f.generation == 0 { // as the mark of a span that was never set
		f.generation = 1
	}
	if slots > len(f.spans) {
		f.spans = append(f.spans, make([]state.Span, slots-len(f.spans))...)
	}
}

// find makes the values of d, for which there is room, and says where they stand.
func (f *Facts) find(d *Definition) {
	if d.source == Custom && d.computation == nil && f.Customs != nil && f.Subject != nil {
		f.readCustoms()
		if f.spans[d.slot].Mark == f.generation {
			return
		}
	}
	from := len(f.values)
	f.compute(d)
	f.spans[d.slot] = state.Span{Mark: f.generation, From: int32(from), To: int32(len(f.values))}
}

// compute appends the values of d to f.values.
func (f *Facts) compute(d *Definition) {
	switch {
	case f.Subject == nil:
	case d.computation != nil:
		f.values = append(f.values, f.Compute(d.computation)...)
	case d.source == Custom:
		if f.Customs == nil {
			f.values = f.Subject.AppendCustom(f.values, d.custom)
		}
	default:
		f.append(d.source)
	}
}

// append appends the values of a built-in source to f.values.
func (f *Facts) append(from Source) {
	switch from {
	case UserName:
		f.one(FieldUserName)
	case ShortName:
		f.one(FieldShortName)
	case FullName:
		if full := f.Subject.Field(FieldFullName); len(full) > 0 {
			f.values = append(f.values, full)
			return
		}
		f.joined(FieldFirstName, ' ', FieldLastName, false)
	case FirstName:
		f.one(FieldFirstName)
	case LastName:
		f.one(FieldLastName)
	case Email:
		if len(f.Subject.Field(FieldMail)) > 0 {
			f.joined(FieldMail, '@', FieldMailDomain, false)
		}
	case Mobile:
		f.one(FieldMobile)
	case Aliases:
		f.values = f.Subject.AppendNames(f.values, FieldAliases)
	case DirectoryDN:
		f.one(FieldDirectoryDN)
	case UserType:
		if len(f.Subject.Field(FieldUserType)) == 0 {
			f.made("default")
			return
		}
		f.one(FieldUserType)
	case PrimaryGroup:
		f.one(FieldPrimaryGroup)
	case Groups:
		f.groups()
	case Roles:
		f.values = append(f.values, f.Roles...)
	case Principal:
		f.joined(FieldUserName, '@', FieldMailDomain, true)
	case Custom, Coming:
	}
}

// one appends a field that has one value.
func (f *Facts) one(field Field) {
	if v := f.Subject.Field(field); len(v) > 0 {
		f.values = append(f.values, v)
	}
}

// joined appends two fields with a separator between; where one is empty the other alone, unless both are needed.
func (f *Facts) joined(first Field, separator byte, second Field, both bool) {
	a, b := f.Subject.Field(first), f.Subject.Field(second)
	switch {
	case len(a) > 0 && len(b) > 0:
		from := len(f.arena)
		f.arena = append(f.arena, a...)
		f.arena = append(f.arena, separator)
		f.arena = append(f.arena, b...)
		f.values = append(f.values, f.arena[from:len(f.arena):len(f.arena)])
	case both:
	case len(a) > 0:
		f.values = append(f.values, a)
	case len(b) > 0:
		f.values = append(f.values, b)
	}
}

// made appends a text that is not the subject's.
func (f *Facts) made(text string) {
	from := len(f.arena)
	f.arena = append(f.arena, text...)
	f.values = append(f.values, f.arena[from:len(f.arena):len(f.arena)])
}

// groups appends the primary group and then the others, each once.
func (f *Facts) groups() {
	primary := f.Subject.Field(FieldPrimaryGroup)
	f.one(FieldPrimaryGroup)
	from := len(f.values)
	f.values = f.Subject.AppendNames(f.values, FieldGroups)
	if len(primary) == 0 {
		return
	}
	kept := from
	for _, g := range f.values[from:] {
		if string(g) != string(primary) {
			f.values[kept] = g
			kept++
		}
	}
	f.values = f.values[:kept]
}
