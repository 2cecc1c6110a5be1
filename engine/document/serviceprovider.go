package document

import (
	"net/netip"
	"time"
)

// TypeRadius is the type of a service provider that speaks RADIUS.
const TypeRadius = "radius"

// ServiceProvider is who asks for logins. Type says over which protocol, and names the block with that protocol's fields.
type ServiceProvider struct {
	// Type is the protocol.
	Type string `json:"type" enum:"radius,tacacs,oidc,oidc-dynamic" planned:"saml,saml-api,cas,wsfed" required:"true"`
	// Description is free text.
	Description string `json:"description"`
	// PublicID is the unique name under which policies know the service provider; without one it is the document's name.
	PublicID string `json:"publicID"`
	// DisplayName is the name as people see it.
	DisplayName string `json:"name"`
	// EntityGroup names the EntityGroup that it belongs to.
	EntityGroup string `json:"entityGroup" ref:"EntityGroup"`
	// IdentityProvider names the IdentityProvider that decides its logins; without one it is the local identity provider.
	IdentityProvider string `json:"identityProvider" ref:"IdentityProvider"`
	// Audit says whether a login is answered before its decision is recorded (after) or only then (before-answer).
	Audit string `json:"audit" default:"after" enum:"after,before-answer"`
	// UIDExpression makes the user name that the service sees: CEL that yields a text. Type radius: the User-Name of the Access-Accept. Type oidc: the claim sub, unless subjectType is pairwise. See docs/guides/scripts.md.
	UIDExpression string `json:"uidExpression"`
	// UIDScript makes the user name, where there is no expression: JavaScript, or a script of the handbook as it is written.
	UIDScript string `json:"uidScript"`
	// Consent asks people before attributes are released.
	Consent bool `json:"consent"`
	// RequiredRoles lists Roles of which a person needs one to log in; any one of them suffices. It is looked at after the login is verified, and a person who has none is told no more than with a wrong password.
	RequiredRoles []string `json:"requiredRoles" ref:"Role"`
	// RequiredSystem names the InformationSystem in which a person needs an enabled Account to log in.
	RequiredSystem string `json:"requiredSystem" ref:"InformationSystem"`
	// AuthorizationPolicy lists rules over the request, the person and the time, looked at in their order after the login is verified and what is required of the person is found. The first whose condition holds decides; where none does, the login is accepted and nothing is added.
	AuthorizationPolicy []AuthorizationRule `json:"authorizationPolicy"`
	// Labels say what the devices behind the service provider are, such as `site: berlin`; the test deviceLabel asks for them.
	Labels map[string]Values `json:"labels"`
	// Impersonations lists target URLs at which the service may act for a person: what is asked for must be one of them, or lie below one that ends with a slash.
	Impersonations []string `json:"impersonations"`
	// Radius holds the fields of type radius.
	Radius *RadiusClient `json:"radius"`
	// Tacacs holds the fields of type tacacs.
	Tacacs *TacacsClient `json:"tacacs"`
	// OIDC holds the fields of type oidc.
	OIDC *OpenIDClient `json:"oidc"`
	// OIDCDynamic holds the fields of type oidc-dynamic.
	OIDCDynamic *OpenIDDynamic `json:"oidc-dynamic"`
}

// AuthorizationRule is one rule of an authorization policy. With neither reply nor reject it accepts and adds nothing, so that it makes an
// exception of what the rules behind it say.
type AuthorizationRule struct {
	// Name tells the rule apart in traces.
	Name string `json:"name" required:"true"`
	// Condition says when the rule decides; `any` means always.
	Condition *Condition `json:"condition" required:"true"`
	// Reply lists what the answer carries, and goes before every other reply. Type radius: attributes of the Access-Accept, as the field reply of Group. Type tacacs: arguments of the answer to a request for a service, as the field services of Role; the service then needs no role that lists it.
	Reply []string `json:"reply"`
	// Commands lists which commands may be run, and goes before the lists of roles; see the field commands of Role. Type tacacs only.
	Commands []CommandRule `json:"commands"`
	// Reject refuses the login.
	Reject bool `json:"reject"`
}

// RadiusClient is what a service provider of type radius has of its own.
type RadiusClient struct {
	// SourceIPs lists where its packets come from: addresses, prefixes, or ranges `first-last`. Where several service providers match, the longest prefix wins; two may not claim the same prefix.
	SourceIPs []AddressRange `json:"sourceIPs" required:"true"`
	SharedSecrets
	// RequireMessageAuthenticator ignores an Access-Request without a Message-Authenticator (RFC 3579 section 3.2).
	RequireMessageAuthenticator bool `json:"requireMessageAuthenticator" default:"true"`
	// LimitProxyState ignores an Access-Request with Proxy-State but without Message-Authenticator.
	LimitProxyState bool `json:"limitProxyState" default:"true"`
	// Reply lists what each Access-Accept carries, a line an attribute: `Session-Timeout = 3600`. See the field reply of Group.
	Reply []string `json:"reply"`
	// Realms lists the realms of login names such as `user@realm` and `REALM\user`. A name is looked up as it came first; a realm that is not listed stays a part of it.
	Realms []Realm `json:"realms"`
	// SecondFactor says how its devices carry a second factor: challenge asks for it in an Access-Challenge, appended takes a one-time password that follows the password in the same field, either takes both, and none rejects logins that need one.
	SecondFactor string `json:"secondFactor" default:"challenge" enum:"challenge,appended,either,none"`
	// MACAuthentication lets in devices that are Endpoints by their MAC address: in requests for Call-Check (RFC 2865 section 5.6), and where the login name and the password are both the MAC address: in any notation, or by CHAP in one and the same. An address can be forged, so let such devices into no more than they need.
	MACAuthentication bool `json:"macAuthentication"`
	// InterimInterval is how often its devices send interim accounting.
	InterimInterval time.Duration `json:"interimInterval" default:"10m" min:"1m" max:"24h"`
	// StaleIntervals is after how many intervals without accounting a session counts as ended.
	StaleIntervals int `json:"staleIntervals" default:"3" min:"1" max:"1000"`
	// RejectDelay is the least time between a request and its Access-Reject; 0s turns it off.
	RejectDelay time.Duration `json:"rejectDelay" default:"1s" min:"0s" max:"5s"`
	// ChargeableUserIdentity answers a request for the Chargeable-User-Identity (RFC 4372).
	ChargeableUserIdentity bool `json:"chargeableUserIdentity"`
}

// Challenges reports whether its devices can be sent an Access-Challenge for a second factor.
func (r *RadiusClient) Challenges() bool {
	return r.SecondFactor == "challenge" || r.SecondFactor == "either"
}

// Appends reports whether its devices append one-time passwords to passwords.
func (r *RadiusClient) Appends() bool {
	return r.SecondFactor == "appended" || r.SecondFactor == "either"
}

// Realm says what to do with a realm in login names.
type Realm struct {
	// Name is the realm, compared without regard to case; `*` stands for every realm.
	Name string `json:"name" required:"true"`
	// Strip takes the realm off where the whole name is unknown.
	Strip bool `json:"strip" default:"true"`
}

// Prefixes returns the source prefixes, ranges split, in the order of the document.
func (r *RadiusClient) Prefixes() []netip.Prefix { return prefixes(r.SourceIPs) }

// StaleAfter is how long a session may go without accounting before it counts as ended.
func (r *RadiusClient) StaleAfter() time.Duration {
	return r.InterimInterval * time.Duration(r.StaleIntervals)
}

func (*ServiceProvider) kind() string { return KindServiceProvider }

func (s *ServiceProvider) normalise() {
	for _, shared := range s.shared() {
		shared.normalise()
	}
}
