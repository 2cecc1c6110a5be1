package api

import "time"

// Grant is what a person has let a client have.
type Grant struct {
	ID               string     `json:"id" doc:"Its number, by which events and this API know it"`
	User             string     `json:"user"`
	Client           string     `json:"client" doc:"Service provider"`
	IdentityProvider string     `json:"identityProvider" doc:"By which the person logged in"`
	Scopes           []string   `json:"scopes" nullable:"false"`
	Session          string     `json:"session,omitempty" doc:"Number of the session of single sign-on that it came of"`
	Offline          bool       `json:"offline,omitempty" doc:"It outlives the person's logging out"`
	RefreshToken     bool       `json:"refreshToken,omitempty" doc:"It can be refreshed"`
	Refreshed        uint32     `json:"refreshed" doc:"How often it was refreshed"`
	Started          time.Time  `json:"started"`
	LastUsed         time.Time  `json:"lastUsed" doc:"When it was refreshed last, or began"`
	NotAfter         time.Time  `json:"notAfter" doc:"When it is over unless it is refreshed"`
	Authenticated    *time.Time `json:"authenticated,omitempty" doc:"When the person proved who he is"`
	Login            string     `json:"login" doc:"Decision id of the login that it came of, for explain"`
	Ended            *time.Time `json:"ended,omitempty"`
	Cause            string     `json:"cause,omitempty" doc:"Why it ended" enum:"client,person,administrator,code-reused,token-reused,logout,consent-revoked,expired,voided,session-closed"`
	By               string     `json:"by,omitempty" doc:"The administrator who ended it"`
}

// GrantList is a page of grants.
type GrantList struct {
	Grants []Grant `json:"grants" nullable:"false"`
	Next   string  `json:"next,omitempty" doc:"Cursor of the next page"`
}

// Consent is what a person lets a service provider know.
type Consent struct {
	User             string    `json:"user"`
	Client           string    `json:"client" doc:"Service provider"`
	Scopes           []string  `json:"scopes" nullable:"false"`
	Claims           []string  `json:"claims" nullable:"false"`
	Given            time.Time `json:"given" doc:"When it was given last"`
	IdentityProvider string    `json:"identityProvider" doc:"By which the person was asked last"`
	Login            string    `json:"login,omitempty" doc:"Decision id of the login at which it was asked, for explain"`
}

// ConsentList is a page of consents.
type ConsentList struct {
	Consents []Consent `json:"consents" nullable:"false"`
	Next     string    `json:"next,omitempty" doc:"Cursor of the next page"`
}

// SigningKey is a key by which an identity provider signs tokens. Its private half is in no answer.
type SigningKey struct {
	IdentityProvider string     `json:"identityProvider"`
	ID               string     `json:"id" doc:"kid"`
	Algorithm        string     `json:"algorithm"`
	State            string     `json:"state" enum:"coming,signing,former" doc:"coming: it is published and does not sign yet; former: it is published so that what it has signed can be verified"`
	Created          time.Time  `json:"created"`
	CreatedBy        string     `json:"createdBy,omitempty" doc:"The administrator; nothing where it was made by need or by age"`
	Active           time.Time  `json:"active" doc:"From then on it signs"`
	Gone             *time.Time `json:"gone,omitempty" doc:"From then on it is not published"`
}

// SigningKeyList is the signing keys of identity providers.
type SigningKeyList struct {
	Keys []SigningKey `json:"keys" nullable:"false"`
}

// KeyRotation says how keys are rotated.
type KeyRotation struct {
	Algorithms []string `json:"algorithms,omitempty" doc:"ES256, RS256 or EdDSA; empty: all that it has keys of" maxItems:"8"`
	AtOnce     bool     `json:"atOnce,omitempty" doc:"The new keys sign at once and the present ones go at once, as where one was stolen: what they signed is good no longer"`
}
