package attribute

import (
	"errors"
	"fmt"
	"regexp"

	"trine/engine/document"
)

// maxDepth bounds the nesting of a condition, so that evaluating one cannot exhaust a stack.
const maxDepth = 64

// NewDefinition compiles a definition. Slot is a small number that no other definition of the same set of policies has.
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
	return d
}

// Slot returns the number that the definition was compiled with.
func (d *Definition) Slot() int { return d.slot }

// NewPolicy compiles a policy. Lookup returns the definition with a name, or nil. Where something cannot be compiled, the policy
// has Broken set and hides its attributes.
func NewPolicy(name string, spec *document.AttributePolicy, lookup func(name string) *Definition) *Policy {
	p := &Policy{Name: name}
	var problems []error
	condition, err := NewCondition(spec.Condition, lookup)
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
			if rule.Condition, err = NewCondition(r.Condition, lookup); err != nil {
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

// NewCondition compiles a condition tree; a nil one always holds. Errors name what a test lacks or what is wrong with its
// regular expression.
func NewCondition(spec *document.Condition, lookup func(name string) *Definition) (*Condition, error) {
	if spec == nil {
		return nil, nil
	}
	return newCondition(spec, lookup, 0)
}

func newCondition(spec *document.Condition, lookup func(name string) *Definition, depth int) (*Condition, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("conditions are nested more than %d deep", maxDepth)
	}
	o, ok := opOf(spec.Test)
	if !ok {
		return nil, fmt.Errorf("there is no test %q", spec.Test)
	}
	c := &Condition{op: o, name: spec.Name}
	switch o {
	case opAny:
		return c, nil
	case opAnd, opOr, opNot:
		if len(spec.Terms) == 0 || o == opNot && len(spec.Terms) != 1 {
			return nil, fmt.Errorf("%s has %d terms", spec.Test, len(spec.Terms))
		}
		for _, term := range spec.Terms {
			if term == nil {
				return nil, fmt.Errorf("%s has an empty term", spec.Test)
			}
			child, err := newCondition(term, lookup, depth+1)
			if err != nil {
				return nil, err
			}
			c.children = append(c.children, child)
		}
		return c, nil
	case opRequesterGroup, opIssuerGroup:
		c.match = matcher{text: spec.Group}
		return c, nil
	case opValue:
		if c.def = lookup(spec.Name); c.def == nil {
			return nil, fmt.Errorf("%s: there is no AttributeDefinition %q", spec.Test, spec.Name)
		}
	}
	var err error
	if c.match, err = newMatcher(spec); err != nil {
		return nil, fmt.Errorf("%s: %w", spec.Test, err)
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
	}
	return 0, false
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

// Warnings says what of a definition has no effect yet.
func (d *Definition) Warnings() []string {
	b, ok := BuiltinFor(d.custom)
	if !ok || b.Source != Coming {
		return nil
	}
	return []string{fmt.Sprintf("the built-in attribute %s has no values yet: it comes with %s", b.Names[0], b.Needs)}
}

// PolicyWarnings says what of a policy has no effect: tests of metadata that nobody has yet, and conditions that are never
// evaluated. Each names the field.
func PolicyWarnings(spec *document.AttributePolicy) []Warning {
	var out []Warning
	look := func(field string, c *document.Condition) {
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
