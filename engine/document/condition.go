package document

import "slices"

// Test names what a node of a condition tests. The names are those that documents use.
type Test string

// The nodes of conditions. Documents may write the first four in capitals too.
const (
	TestAny Test = "any" // always true
	TestAnd Test = "and" // every one of Terms
	TestOr  Test = "or"  // one of Terms
	TestNot Test = "not" // not Terms[0]

	TestAttributeRequester       Test = "attributeRequester"        // publicID of the service provider
	TestAttributeIssuer          Test = "attributeIssuer"           // publicID of the identity provider
	TestPrincipalName            Test = "principalName"             // the user's name
	TestAuthenticationMethod     Test = "authenticationMethod"      // SAML class URI or letter code
	TestAttributeValue           Test = "attributeValue"            // one of the values of Name, an attribute definition
	TestRequesterInGroup         Test = "attributeRequesterInGroup" // Group is an entity group
	TestIssuerInGroup            Test = "attributeIssuerInGroup"    // Group is an entity group
	TestIssuerNameIDFormat       Test = "issuerNameIDFormat"
	TestRequesterNameIDFormat    Test = "requesterNameIDFormat"
	TestIssuerEntityAttribute    Test = "issuerEntityAttribute"    // Name is the entity attribute
	TestRequesterEntityAttribute Test = "requesterEntityAttribute" // Name is the entity attribute
)

// Tests returns every test in the order of the documentation.
func Tests() []Test {
	return []Test{
		TestAny, TestAnd, TestOr, TestNot, TestAttributeRequester, TestAttributeIssuer, TestPrincipalName, TestAuthenticationMethod, TestAttributeValue,
		TestRequesterInGroup, TestIssuerInGroup, TestIssuerNameIDFormat, TestRequesterNameIDFormat, TestIssuerEntityAttribute, TestRequesterEntityAttribute,
	}
}

// Condition is a node of a condition tree. In a document it is the word `any`, or a map with one key, the test:
//
//	and: [CONDITION, ...]    or: [CONDITION, ...]    not: CONDITION
//	attributeRequester: {value: TEXT, ignoreCase: true}
//	attributeRequester: {regex: EXPRESSION}
//	attributeRequester: TEXT                  (short for {value: TEXT})
//	attributeValue: {attribute: NAME, value: TEXT}
//	attributeRequesterInGroup: GROUP
//	requesterEntityAttribute: {name: NAME, value: TEXT}
type Condition struct {
	Test Test
	// Terms are the conditions of and, or (one or more) and not (exactly one).
	Terms []*Condition
	// Name is the attribute of attributeValue and of the entity attribute tests.
	Name string
	// Group is the entity group of the InGroup tests.
	Group string
	// Value is the exact value to compare with, where Regex is empty.
	Value string
	// Regex is a regular expression (RE2 syntax) that must match the whole value.
	Regex string
	// IgnoreCase compares Value or Regex without regard to case.
	IgnoreCase bool
}

// Pattern returns the regular expression to compile for Regex: anchored at both ends, and without regard to case where asked.
func (c *Condition) Pattern() string {
	if c.IgnoreCase {
		return `(?i)\A(?:` + c.Regex + `)\z`
	}
	return `\A(?:` + c.Regex + `)\z`
}

// Walk calls f with the condition and every condition below it.
func (c *Condition) Walk(f func(*Condition)) {
	if c == nil {
		return
	}
	f(c)
	for _, t := range c.Terms {
		t.Walk(f)
	}
}

// nameKey is the field of a test's map that holds its Name, or empty where the test has none.
func (t Test) nameKey() string {
	switch t {
	case TestAttributeValue:
		return "attribute"
	case TestIssuerEntityAttribute, TestRequesterEntityAttribute:
		return "name"
	}
	return ""
}

func (t Test) inGroup() bool { return t == TestRequesterInGroup || t == TestIssuerInGroup }

func (t Test) known() bool { return slices.Contains(Tests(), t) }
