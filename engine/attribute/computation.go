package attribute

import (
	"slices"
	"sync"

	"trine/engine/script"
	"trine/engine/state"
)

// Computation is the compiled expression or script by which a document makes a value of a person, or tests him. It is immutable.
type Computation struct {
	// Document is the document, as traces name it: AttributeDefinition ou.
	Document string

	expression *script.Expression
	script     *script.Script
	err        error // why it could not be compiled, as every evaluation says it
}

// NewComputation compiles an expression or, where there is none, a script. The error is a *script.SyntaxError; the computation that comes
// with it fails whenever its value is asked for.
func NewComputation(document, expression, source string, result script.Type) (*Computation, error) {
	c := &Computation{Document: document}
	var err error
	cause := script.ErrExpression
	if expression != "" {
		c.expression, err = variables().Expression(expression, result)
	} else {
		c.script, err = variables().Script(source, result)
		cause = script.ErrThrown
	}
	if err != nil {
		c.err = &script.Error{Cause: cause, Text: "it does not compile: " + err.Error()}
	}
	return c, err
}

// Warnings says which forms of the handbook's language a script is read without.
func (c *Computation) Warnings() []string {
	if c.script == nil {
		return nil
	}
	return c.script.Warnings()
}

// variables are what expressions and scripts about a person see.
var variables = sync.OnceValue(func() *script.Environment {
	return script.NewEnvironment(append(script.Person(),
		script.Variable{Name: "attributes", Type: script.Attributes},
		script.Variable{Name: "roles", Type: script.Texts},
		script.Variable{Name: "accounts", Type: script.Accounts},
		script.Variable{Name: "serviceProvider", Type: script.Text},
		script.Variable{Name: "identityProvider", Type: script.Text},
		script.Variable{Name: "authenticationMethod", Type: script.Text},
		script.Variable{Name: "now", Type: script.Time},
	)...)
})

// Accounts finds the accounts of a person.
type Accounts interface {
	// OwnedAccounts returns the accounts that a user has, by system and name.
	OwnedAccounts(owner []byte) []state.OwnedAccount
}

// computed is what a computation yielded.
type computed struct {
	by     *Computation
	holds  bool
	values [][]byte
}

// Compute returns the values that a computation makes of the subject, computed at most once between two Resets. Where it is a script,
// there are none until [Facts.Provide] has said what it yields; see [Facts.Pending]. Where it fails, there are none, and [Facts.Failure]
// says why: whoever decides by the facts then refuses.
func (f *Facts) Compute(c *Computation) [][]byte {
	if m := f.evaluate(c); m != nil {
		return m.values
	}
	return nil
}

// Holds returns what a computation of type Bool yields for the subject, as Compute returns values: false where that is not known.
func (f *Facts) Holds(c *Computation) bool {
	m := f.evaluate(c)
	return m != nil && m.holds
}

// evaluate returns what a computation yielded; nil where that is not known, or not yet.
func (f *Facts) evaluate(c *Computation) *computed {
	for i := range f.computed {
		if f.computed[i].by == c {
			return &f.computed[i]
		}
	}
	if f.pending != nil || f.failure != nil {
		return nil // what was asked before is not known, so this may not have to be
	}
	switch {
	case c.err != nil:
		f.fail(c, c.err)
	case c.script != nil:
		f.pending = c
	default:
		v, err := c.expression.Eval((*values)(f))
		if err != nil {
			f.fail(c, err)
			return nil
		}
		f.keep(c, v)
		return &f.computed[len(f.computed)-1]
	}
	return nil
}

func (f *Facts) fail(c *Computation, err error) { f.failing, f.failure = c, err }

func (f *Facts) keep(c *Computation, v script.Value) {
	m := computed{by: c, holds: v.Bool, values: make([][]byte, len(v.Texts))}
	for i, t := range v.Texts {
		m.values[i] = []byte(t)
	}
	f.computed = append(f.computed, m)
}

// Pending returns the script on whose value it depends how what was asked so far is to be answered; nil if there is none. Whoever
// decides has it run, says what came of it by Provide, and asks everything anew.
func (f *Facts) Pending() *Computation { return f.pending }

// Job fills in the job that runs the pending script. The facts must stay as they are until it is submitted.
func (f *Facts) Job(j *script.Job) { j.Script, j.Values = f.pending.script, (*values)(f) }

// Provide says what the pending script yielded, or why it yielded nothing.
func (f *Facts) Provide(v script.Value, err error) {
	c := f.pending
	f.Renew()
	if err != nil {
		f.fail(c, err)
		return
	}
	f.keep(c, v)
}

// Failure returns the first computation that failed, and why, or nils. With an error, nothing that was asked of the facts is to be
// believed.
func (f *Facts) Failure() (*Computation, error) { return f.failing, f.failure }

// Deny makes a computation fail whose value will not do, for a reason in words.
func (f *Facts) Deny(c *Computation, why string) {
	cause := script.ErrExpression
	if c.script != nil {
		cause = script.ErrWrongType
	}
	f.fail(c, &script.Error{Cause: cause, Text: why})
}

// values gives expressions and scripts the facts.
type values Facts

// Value implements script.Values.
func (v *values) Value(name string) any {
	f := (*Facts)(v)
	switch name {
	case "now":
		return f.Now
	case "serviceProvider":
		return f.Requester.id()
	case "identityProvider":
		return f.Issuer.id()
	case "authenticationMethod":
		return f.Authentication.Code()
	case "roles":
		return stringsOf(f.Roles)
	}
	if f.Subject == nil {
		return nil
	}
	switch name {
	case "attributes", "user.attributes":
		return custom{f.Subject}
	case "accounts":
		if f.Accounts == nil {
			return nil
		}
		var list []script.Account
		for _, a := range f.Accounts.OwnedAccounts(f.Subject.Field(FieldUserName)) {
			list = append(list, script.Account(a))
		}
		return list
	case "user.id":
		return int64(f.Subject.Number())
	case "user.fullName":
		return f.first(FullName)
	case "user.userType":
		return f.first(UserType)
	case "user.groups":
		return stringsOf(f.Subject.AppendNames(nil, FieldGroups))
	case "user.aliases":
		return stringsOf(f.Subject.AppendNames(nil, FieldAliases))
	}
	if i := slices.IndexFunc(fields[:], func(one field) bool { return one.variable == name }); i >= 0 {
		return string(f.Subject.Field(fields[i].of))
	}
	return nil
}

// custom is the subject's own attributes.
type custom struct{ of Subject }

// Names implements script.Lookup.
func (c custom) Names() []string { return stringsOf(c.of.AppendNames(nil, FieldCustom)) }

// Values implements script.Lookup.
func (c custom) Values(name string) ([]string, bool) {
	values := c.of.AppendCustom(nil, name)
	return stringsOf(values), len(values) > 0
}

// field is a variable that is a field of the subject as it is.
type field struct {
	variable string
	of       Field
}

var fields = [...]field{
	{"user.userName", FieldUserName},
	{"user.shortName", FieldShortName},
	{"user.firstName", FieldFirstName},
	{"user.lastName", FieldLastName},
	{"user.mail", FieldMail},
	{"user.mailDomain", FieldMailDomain},
	{"user.mobile", FieldMobile},
	{"user.directoryDN", FieldDirectoryDN},
	{"user.primaryGroup", FieldPrimaryGroup},
}

// first returns the first value that a built-in source has, empty if it has none. It leaves nothing behind in the facts.
func (f *Facts) first(of Source) string {
	from, arena := len(f.values), len(f.arena)
	f.append(of)
	text := ""
	if len(f.values) > from {
		text = string(f.values[from])
	}
	f.values, f.arena = f.values[:from], f.arena[:arena]
	return text
}

func stringsOf(values [][]byte) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

func (p *Party) id() string {
	if p == nil {
		return ""
	}
	return p.PublicID
}
