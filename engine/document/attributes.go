package document

// AttributeDefinition is an attribute of people with the name that it has in each protocol.
type AttributeDefinition struct {
	// Description is free text.
	Description string `json:"description"`
	// Source is where the values come from: the name of a built-in source such as fullName, or of one of the user's own attributes. Without it, the source has the document's name.
	Source string `json:"source"`
	// ShortName is the name in SAML 2.0, without blanks.
	ShortName string `json:"shortName"`
	// OID is the object identifier for SAML 1.1 and 2.0.
	OID string `json:"oid"`
	// OpenIDName is the name of the claim in OpenID Connect.
	OpenIDName string `json:"openidName"`
	// RadiusID is the dictionary name of the RADIUS attribute, such as Filter-Id.
	RadiusID string `json:"radiusID"`
	// ClaimURI is the claim type in WS-Federation.
	ClaimURI string `json:"claimURI"`
	// CASName is the name in CAS.
	CASName string `json:"casName"`
	// Scoped adds the scope to each value: value@scope.
	Scoped bool `json:"scoped" later:"SAML"`
	// Expression computes the values instead of a source: CEL that yields a text or a list of texts. See docs/guides/scripts.md.
	Expression string `json:"expression"`
	// Script computes the values, where there is no expression: JavaScript, or a script of the handbook as it is written.
	Script string `json:"script"`
}

func (*AttributeDefinition) kind() string { return KindAttributeDefinition }

func (a *AttributeDefinition) normalise() {}

// AttributePolicy says which attributes are released to whom. Without any policy nothing is released.
type AttributePolicy struct {
	// Description is free text.
	Description string `json:"description"`
	// Condition says when the policy counts; `any` means always.
	Condition *Condition `json:"condition" required:"true"`
	// Attributes lists the rules.
	Attributes []AttributeRule `json:"attributes"`
}

// AttributeRule releases or hides one attribute.
type AttributeRule struct {
	// Attribute names the AttributeDefinition.
	Attribute string `json:"attribute" ref:"AttributeDefinition" required:"true"`
	// Allow releases the attribute where the conditions hold. With false it is hidden wherever the policy's condition holds, whatever another policy allows; the condition of the rule then has no part.
	Allow bool `json:"allow" default:"true"`
	// Condition says when the rule counts; without one it always does.
	Condition *Condition `json:"condition"`
}

func (*AttributePolicy) kind() string { return KindAttributePolicy }

func (a *AttributePolicy) normalise() {}
