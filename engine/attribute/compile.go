package attribute

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"trine/engine/document"
	"trine/engine/script"
)

// maxDepth bounds the nesting of a condition, so that evaluating one cannot exhaust a stack.
const maxDepth = 64

// Values names what makes the values of a definition. Those for which it is the same have the same values.
func Values(name string, spec *document.AttributeDefinition) string {
	if spec.Expression != "" || spec.Script != "" {
		return "definition " + name
	}
	from := spec.Source
	if from == "" {
		from = name
	}
	if b, ok := BuiltinFor(from); ok && b.Source != Custom {
		return "definition " + name
	}
	return "custom " + from
}

// NewDefinition compiles a definition. Slot is a small number that is another for each definition of a set of policies, unless they have the same
// [Values].
func NewDefinition(name string, spec *document.AttributeDefinition, slot int) *Definition {
	from := spec.Source
	if from == "" {
		from = name
	}
	d := &Definition{
		Name: name, ShortName: spec.ShortName, OID: spec.OID, OpenIDName: spec.OpenIDName, RadiusID: spec.RadiusID,
		ClaimURI: spec.ClaimURI, CASName: spec.CASName, slot: slot, custom: from,
	}
	if b, ok := BuiltinFor(from); ok {
		d.source = b.Source
	}
	if spec.Expression != "" || spec.Script != "" {
		var err error
		if d.computation, err = NewComputation("AttributeDefinition "+name, spec.Expression, spec.Script, script.Texts); err != nil {
			field := "expression"
			if spec.Expression == "" {
				field = "script"
			}
			d.Broken = InField(field, err)
		}
	}
	return d
}

// Slot returns the number that the definition was compiled with.
func (d *Definition) Slot() int { return d.slot }

// NewPolicy compiles a policy. Lookup returns the definition with a name, or nil. Where something cannot be compiled, the policy
// has Broken set and hides its attributes.
func NewPolicy(name string, spec *document.AttributePolicy, lookup func(name string) *Definition) *Policy {
	p := &Policy{Name: name}
	var problems []error
	condition, err := NewCondition(document.KindAttributePolicy+" "+name, spec.Condition, lookup)
	if err != nil {
		problems = append(problems, InField("condition", err))
	}
	p.Condition = condition
	for i, r := range spec.Attributes {
		d := lookup(r.Attribute)
		if d == nil {
			problems = append(problems, InField(fmt.Sprintf("attributes[%d].attribute", i), fmt.Errorf("there is no AttributeDefinition %q", r.Attribute)))
			continue
		}
		rule := Rule{Attribute: d, Allow: r.Allow}
		if r.Allow {
			if rule.Condition, err = NewCondition(document.KindAttributePolicy+" "+name, r.Condition, lookup); err != nil {
				problems = append(problems, InField(fmt.Sprintf("attributes[%d].condition", i), err))
			}
		}
		p.Rules = append(p.Rules, rule)
	}
	if p.Broken = errors.Join(problems...); p.Broken != nil {
		p.Condition = nil
		for i := range p.Rules {
			p.Rules[i].Allow, p.Rules[i].Condition = false, nil
		}
	}
	return p
}

// References returns the names of the definitions that a policy needs, by its rules and its conditions.
func References(spec *document.AttributePolicy) []string {
	var names []string
	visit := func(c *document.Condition) {
		if c.Test == document.TestAttributeValue {
			names = append(names, c.Name)
		}
	}
	spec.Condition.Walk(visit)
	for _, r := range spec.Attributes {
		names = append(names, r.Attribute)
		r.Condition.Walk(visit)
	}
	return names
}

// NewCondition compiles a condition tree of a document, which traces name so: AttributePolicy staff. A nil one always holds. Errors name what a test
// lacks or what is wrong with its regular expression, expression or script.
func NewCondition(of string, spec *document.Condition, lookup func(name string) *Definition) (*Condition, error) {
	return NewRequestCondition(of, spec, lookup, nil)
}

// RequestNames resolves what the conditions of an authorization policy name.
type RequestNames struct {
	// Group and Role return the numbers under which the request is asked for groups and roles.
	Group, Role func(name string) uint32
	// Attribute resolves an attribute of the protocol; what it returns comes back in Request.AppendValues. A value that it is to be
	// compared with comes back in the form in which AppendValues has it; an empty one is none.
	Attribute func(name, value string) (attribute any, text string, err error)
}

// NewRequestCondition compiles a condition of an authorization policy, as NewCondition does one of a sharing policy.
func NewRequestCondition(of string, spec *document.Condition, lookup func(name string) *Definition, names *RequestNames) (*Condition, error) {
	if spec == nil {
		return nil, nil
	}
	return (&conditions{of, lookup, names}).compile(spec, 0)
}

// conditions compiles those of one document.
type conditions struct {
	of     string
	lookup func(name string) *Definition
	names  *RequestNames // nil for sharing policies
}

func (n *conditions) compile(spec *document.Condition, depth int) (*Condition, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("conditions are nested more than %d deep", maxDepth)
	}
	o, ok := opOf(spec.Test)
	if !ok || o >= opSSID && n.names == nil {
		return nil, fmt.Errorf("there is no test %q", spec.Test)
	}
	c := &Condition{op: o, name: spec.Name}
	if n.names != nil {
		c.text = Words(spec)
	}
	switch o {
	case opAny:
		return c, nil
	case opAnd, opOr, opNot:
		if len(spec.Terms) == 0 || o == opNot && len(spec.Terms) != 1 {
			return nil, fmt.Errorf("%s has %d terms", spec.Test, len(spec.Terms))
		}
		for i, term := range spec.Terms {
			if term == nil {
				return nil, fmt.Errorf("%s has an empty term", spec.Test)
			}
			child, err := n.compile(term, depth+1)
			if err != nil {
				where := string(spec.Test)
				if o != opNot {
					where = fmt.Sprintf("%s[%d]", spec.Test, i)
				}
				return nil, InField(where, err)
			}
			c.children = append(c.children, child)
		}
		return c, nil
	case opRequesterGroup, opIssuerGroup:
		c.match = matcher{text: spec.Group}
		return c, nil
	case opGroup, opEndpointGroup:
		c.number = n.names.Group(spec.Group)
		return c, nil
	case opRole:
		c.number = n.names.Role(spec.Group)
		return c, nil
	case opUserType:
		c.match = matcher{text: spec.Group}
		return c, nil
	case opComputed:
		var err error
		if c.computed, err = newTest(n.of, spec); err != nil {
			return nil, InField(string(spec.Test), err)
		}
		return c, nil
	case opHours:
		var err error
		c.hours = spec.Hours
		if c.zone, err = spec.Hours.Location(); err != nil {
			return nil, InField(string(spec.Test), err)
		}
		return c, nil
	case opAsked:
		exact := *spec
		var err error
		if c.asked, exact.Value, err = n.names.Attribute(spec.Name, spec.Value); err != nil {
			return nil, InField(string(spec.Test), err)
		}
		spec = &exact
	case opValue:
		if c.def = n.lookup(spec.Name); c.def == nil {
			return nil, InField(string(spec.Test), fmt.Errorf("there is no AttributeDefinition %q", spec.Name))
		}
	}
	var err error
	if c.match, err = newMatcher(spec); err != nil {
		return nil, InField(string(spec.Test), err)
	}
	return c, nil
}

// opOf returns the node for a test.
func opOf(t document.Test) (op, bool) {
	switch t {
	case document.TestAny:
		return opAny, true
	case document.TestAnd:
		return opAnd, true
	case document.TestOr:
		return opOr, true
	case document.TestNot:
		return opNot, true
	case document.TestAttributeRequester:
		return opRequester, true
	case document.TestAttributeIssuer:
		return opIssuer, true
	case document.TestPrincipalName:
		return opPrincipal, true
	case document.TestAuthenticationMethod:
		return opAuthentication, true
	case document.TestAttributeValue:
		return opValue, true
	case document.TestRequesterInGroup:
		return opRequesterGroup, true
	case document.TestIssuerInGroup:
		return opIssuerGroup, true
	case document.TestIssuerNameIDFormat:
		return opIssuerNameID, true
	case document.TestRequesterNameIDFormat:
		return opRequesterNameID, true
	case document.TestIssuerEntityAttribute:
		return opIssuerEntity, true
	case document.TestRequesterEntityAttribute:
		return opRequesterEntity, true
	case document.TestExpression, document.TestScript:
		return opComputed, true
	case document.TestSSID:
		return opSSID, true
	case document.TestRequestAttribute:
		return opAsked, true
	case document.TestDeviceLabel:
		return opLabel, true
	case document.TestGroup:
		return opGroup, true
	case document.TestRole:
		return opRole, true
	case document.TestUserType:
		return opUserType, true
	case document.TestEndpointGroup:
		return opEndpointGroup, true
	case document.TestTime:
		return opHours, true
	}
	return 0, false
}

// newTest compiles a condition that is an expression or a script.
func newTest(of string, spec *document.Condition) (*Computation, error) {
	if spec.Test == document.TestExpression {
		return NewComputation(of, spec.Value, "", script.Bool)
	}
	return NewComputation(of, "", spec.Value, script.Bool)
}

// maxWords bounds the text of a condition for people.
const maxWords = 160

// Words tells a condition in words.
func Words(c *document.Condition) string {
	terms := func(between string) string {
		var b strings.Builder
		for i, t := range c.Terms {
			if i > 0 {
				b.WriteString(between)
			}
			if b.Len() > maxWords {
				break
			}
			b.WriteString(Words(t))
		}
		return "(" + b.String() + ")"
	}
	var text string
	switch {
	case c.Test == document.TestAny:
		return "any"
	case c.Test == document.TestAnd:
		text = terms(" and ")
	case c.Test == document.TestOr:
		text = terms(" or ")
	case c.Test == document.TestNot:
		text = "not " + Words(c.Terms[0])
	case c.Hours != nil:
		text = string(c.Test) + " " + c.Hours.String()
	case c.Test == document.TestExpression || c.Test == document.TestScript:
		text = string(c.Test) + " " + c.Value
	case c.Group != "":
		text = string(c.Test) + " " + c.Group
	default:
		if text = string(c.Test); c.Name != "" {
			text += " " + c.Name
		}
		if c.Regex != "" {
			text += " matches " + c.Regex
		} else {
			text += " is " + c.Value
		}
	}
	if len(text) > maxWords {
		return strings.ToValidUTF8(text[:maxWords], "") + "..."
	}
	return text
}

func newMatcher(spec *document.Condition) (matcher, error) {
	if spec.Regex == "" {
		return matcher{text: spec.Value, raw: []byte(spec.Value), fold: spec.IgnoreCase}, nil
	}
	re, err := regexp.Compile(spec.Pattern())
	if err != nil {
		return matcher{}, fmt.Errorf("compile regular expression %q: %w", spec.Regex, err)
	}
	return matcher{re: re}, nil
}

// Warnings says what of a definition has no effect yet, and which forms of the handbook's language its script is read without. Each names
// the field.
func (d *Definition) Warnings() (out []Warning) {
	if d.computation != nil {
		for _, text := range d.computation.Warnings() {
			out = append(out, Warning{Field: "spec.script", Text: text})
		}
		return out
	}
	b, ok := BuiltinFor(d.custom)
	if !ok || b.Source != Coming {
		return nil
	}
	return []Warning{{Field: "spec.source", Text: fmt.Sprintf("the built-in attribute %s has no values yet: it comes with %s", b.Names[0], b.Needs)}}
}

// ConditionWarnings says which forms of the handbook's language the scripts of a condition are read without.
func ConditionWarnings(spec *document.Condition) (out []string) {
	spec.Walk(func(c *document.Condition) {
		if c.Test != document.TestScript {
			return
		}
		if test, err := newTest("", c); err == nil {
			out = append(out, test.Warnings()...)
		}
	})
	return out
}

// PolicyWarnings says what of a policy has no effect: tests of metadata that nobody has yet, and conditions that are never
// evaluated; and what ConditionWarnings says. Each names the field.
func PolicyWarnings(spec *document.AttributePolicy) []Warning {
	var out []Warning
	look := func(field string, c *document.Condition) {
		for _, text := range ConditionWarnings(c) {
			out = append(out, Warning{Field: field, Text: text})
		}
		seen := map[document.Test]bool{}
		c.Walk(func(c *document.Condition) {
			switch c.Test {
			case document.TestIssuerNameIDFormat, document.TestRequesterNameIDFormat, document.TestIssuerEntityAttribute, document.TestRequesterEntityAttribute:
				if !seen[c.Test] {
					seen[c.Test] = true
					out = append(out, Warning{Field: field, Text: fmt.Sprintf("%s is always false until SAML metadata exists", c.Test)})
				}
			}
		})
	}
	look("spec.condition", spec.Condition)
	for i, r := range spec.Attributes {
		field := fmt.Sprintf("spec.attributes[%d].condition", i)
		if !r.Allow && r.Condition != nil {
			out = append(out, Warning{Field: field, Text: "the condition of an attribute with allow: false is not evaluated: the attribute is hidden wherever the policy's condition holds"})
			continue
		}
		look(field, r.Condition)
	}
	return out
}

// Warning is something in a document that has no effect.
type Warning struct{ Field, Text string }
