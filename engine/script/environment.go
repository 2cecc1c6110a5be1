package script

import (
	"fmt"
	"regexp"
	"strings"

	"cel.dev/cel-go/cel"
)

// Type is the type of a variable or of a result.
type Type uint8

// The types, with the Go type that [Values] give for each.
const (
	Text       Type = iota + 1 // string
	Texts                      // []string; as a result: a text or a list of texts
	Bool                       // bool
	Int                        // int64
	Float                      // float64
	Time                       // time.Time
	Attributes                 // map[string][]string: attributes by name, each with its values; or a Lookup
	Accounts                   // []Account
)

// String returns the type's name as errors tell it.
func (t Type) String() string {
	switch t {
	case Text:
		return "text"
	case Texts:
		return "text or list of texts"
	case Bool:
		return "true or false"
	case Int:
		return "whole number"
	case Float:
		return "number"
	case Time:
		return "time"
	case Attributes:
		return "attributes"
	case Accounts:
		return "list of accounts"
	}
	return "nothing"
}

// Variable declares a name that expressions and scripts see.
type Variable struct {
	// Name is a name, or several joined by dots: user.firstName is the field firstName of user.
	Name string
	Type Type
	// Bare says that the last part of the name alone means the variable too: firstName for user.firstName.
	Bare bool
	// Changes says that a script may change the variable, which has a name without dots; see Job.Assigned. The fields of an object may always be
	// changed.
	Changes bool
}

// changes reports whether a script may give the variable another value.
func (v Variable) changes() bool {
	_, field := v.root()
	return field || v.Changes
}

// Account is an account of a person in an information system.
type Account struct {
	System     string              `json:"system" cel:"system"`
	Name       string              `json:"name" cel:"name"`
	Enabled    bool                `json:"enabled" cel:"enabled"`
	Attributes map[string][]string `json:"attributes,omitempty" cel:"attributes"`
}

// Values gives the variables of one evaluation.
type Values interface {
	// Value returns what the declared variable of that name holds, in the Go type of its Type. It is asked only for what an
	// expression or a script uses, always by the declared name, never by the bare one.
	Value(name string) any
}

// Lookup is attributes that are looked up one by one, which spares making a map of all of them where an expression asks for one.
type Lookup interface {
	// Names returns the names of all attributes.
	Names() []string
	// Values returns the values of an attribute; false if there is none of that name.
	Values(name string) ([]string, bool)
}

// attributesOf returns what a variable of type Attributes holds as a map; an empty one for everything that is no attributes.
func attributesOf(given any) map[string][]string {
	if m, ok := given.(map[string][]string); ok && m != nil {
		return m
	}
	m := map[string][]string{}
	if l, ok := given.(Lookup); ok {
		for _, name := range l.Names() {
			m[name], _ = l.Values(name)
		}
	}
	return m
}

// Map holds the variables by name. What is not in it has the zero value of its type.
type Map map[string]any

// Value implements Values.
func (m Map) Value(name string) any { return m[name] }

// Person returns the variables that describe a user: his fields by the names of the User document, each also bare, and
// user.attributes, which has no bare name since attributes can be somebody else's.
func Person() []Variable {
	return []Variable{
		{Name: "user.id", Type: Int, Bare: true},
		{Name: "user.userName", Type: Text, Bare: true},
		{Name: "user.shortName", Type: Text, Bare: true},
		{Name: "user.firstName", Type: Text, Bare: true},
		{Name: "user.lastName", Type: Text, Bare: true},
		{Name: "user.fullName", Type: Text, Bare: true},
		{Name: "user.mail", Type: Text, Bare: true},
		{Name: "user.mailDomain", Type: Text, Bare: true},
		{Name: "user.mobile", Type: Text, Bare: true},
		{Name: "user.directoryDN", Type: Text, Bare: true},
		{Name: "user.userType", Type: Text, Bare: true},
		{Name: "user.primaryGroup", Type: Text, Bare: true},
		{Name: "user.groups", Type: Texts, Bare: true},
		{Name: "user.aliases", Type: Texts, Bare: true},
		{Name: "user.attributes", Type: Attributes},
	}
}

// Environment is a set of declared variables. It is immutable and safe for concurrent use. To make one takes about a millisecond,
// so that whoever compiles documents keeps one for each use.
type Environment struct {
	variables []Variable
	names     map[string]int // declared and bare names: the variable's place
	cel       *cel.Env
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$`)

// NewEnvironment returns the environment of the variables. What is declared is part of the program: a name that is not one, or that two
// variables have, is a mistake in it and panics.
func NewEnvironment(variables ...Variable) *Environment {
	e := &Environment{names: map[string]int{}}
	declare := func(name string, i int) {
		if _, twice := e.names[name]; twice || !variableName.MatchString(name) {
			panic(fmt.Sprintf("script: the variable %q is declared twice, or is no name", name))
		}
		e.names[name] = i
	}
	for i, v := range variables {
		e.variables = append(e.variables, v)
		declare(v.Name, i)
		if v.Bare {
			declare(v.last(), i)
		}
	}
	e.cel = newCEL(e)
	return e
}

// last returns the last part of the name.
func (v Variable) last() string { return v.Name[strings.LastIndexByte(v.Name, '.')+1:] }

// root returns the first part of the name, and whether there are more.
func (v Variable) root() (string, bool) {
	root, _, more := strings.Cut(v.Name, ".")
	return root, more
}

// Value is the result of an expression or a script. Of a Bool only Bool counts; of the others Texts, which has no empty text in
// it: an empty text is no value.
type Value struct {
	Bool  bool
	Texts []string
}

// Text returns the one text of a result of type Text; empty if there is none.
func (v Value) Text() string {
	if len(v.Texts) == 0 {
		return ""
	}
	return v.Texts[0]
}

// The bounds of what people write, and of what comes of it.
const (
	maxExpression = 8 << 10  // bytes of an expression
	maxScript     = 64 << 10 // bytes of a script
	maxTexts      = 1000     // texts of one result
	maxBytes      = 64 << 10 // bytes of the texts of one result
)

// bounded drops empty texts, and returns an error if there are too many or too long ones.
func bounded(texts []string) ([]string, error) {
	kept, size := texts[:0], 0
	for _, t := range texts {
		if size += len(t); t != "" {
			kept = append(kept, t)
		}
	}
	if len(kept) > maxTexts || size > maxBytes {
		return nil, fmt.Errorf("the result has %d texts of together %d bytes; at most %d of together %d are taken", len(kept), size, maxTexts, maxBytes)
	}
	return kept, nil
}
