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
	TestExpression               Test = "expression"               // Value is CEL that yields true
	TestScript                   Test = "script"                   // Value is a script that yields true

	// Those that only authorization policies have.
	TestSSID             Test = "ssid"             // the SSID behind the MAC address in Called-Station-Id
	TestRequestAttribute Test = "requestAttribute" // one of the values of Name, an attribute of the protocol
	TestDeviceLabel      Test = "deviceLabel"      // one of the values of Name, a label of the service provider
	TestGroup            Test = "group"            // the person belongs to Group, or to one below it
	TestRole             Test = "role"             // the person has the role Group now
	TestUserType         Test = "userType"         // the person's user type is Group
	TestEndpointGroup    Test = "endpointGroup"    // the device is an endpoint in Group, or in one below it
	TestTime             Test = "time"             // Hours
)

// Tests returns every test in the order of the documentation.
func Tests() []Test {
	return []Test{
		TestAny, TestAnd, TestOr, TestNot, TestAttributeRequester, TestAttributeIssuer, TestPrincipalName, TestAuthenticationMethod, TestAttributeValue,
		TestRequesterInGroup, TestIssuerInGroup, TestIssuerNameIDFormat, TestRequesterNameIDFormat, TestIssuerEntityAttribute, TestRequesterEntityAttribute,
		TestExpression, TestScript,
		TestSSID, TestRequestAttribute, TestDeviceLabel, TestGroup, TestRole, TestUserType, TestEndpointGroup, TestTime,
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
//	expression: TEXT
//	script: TEXT
//	requestAttribute: {attribute: NAME, value: TEXT}
//	group: GROUP
//	time: {from: "08:00", until: "18:00", days: [monday], zone: Europe/Madrid}
type Condition struct {
	Test Test
	// Terms are the conditions of and, or (one or more) and not (exactly one).
	Terms []*Condition
	// Name is the attribute of attributeValue and of the entity attribute tests.
	Name string
	// Group is the document that a test names which takes nothing else: see Test.names.
	Group string
	// Hours are those of TestTime.
	Hours *Hours
	// Value is the exact value to compare with, where Regex is empty; the text of TestExpression and TestScript.
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
	case TestAttributeValue, TestRequestAttribute:
		return "attribute"
	case TestIssuerEntityAttribute, TestRequesterEntityAttribute, TestDeviceLabel:
		return "name"
	}
	return ""
}

// names returns the kind of document that a test names and takes nothing else; empty for other tests.
func (t Test) names() string {
	switch t {
	case TestRequesterInGroup, TestIssuerInGroup:
		return KindEntityGroup
	case TestGroup, TestEndpointGroup:
		return KindGroup
	case TestRole:
		return KindRole
	case TestUserType:
		return KindUserType
	}
	return ""
}

// computed reports whether the test is an expression or a script.
func (t Test) computed() bool { return t == TestExpression || t == TestScript }

// ofRequest reports whether only authorization policies have the test.
func (t Test) ofRequest() bool {
	switch t {
	case TestSSID, TestRequestAttribute, TestDeviceLabel, TestGroup, TestRole, TestUserType, TestEndpointGroup, TestTime:
		return true
	}
	return false
}

func (t Test) known() bool { return slices.Contains(Tests(), t) }
