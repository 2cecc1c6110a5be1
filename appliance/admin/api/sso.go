package api

import "time"

// SSOSession is a session of single sign-on. The id that its browser has is in no answer.
type SSOSession struct {
	ID               string      `json:"id" doc:"Its number, by which events and this API know it"`
	User             string      `json:"user"`
	IdentityProvider string      `json:"identityProvider" doc:"By which the person logged in last"`
	Scope            string      `json:"scope" doc:"Identity providers with the same one share it"`
	Started          time.Time   `json:"started"`
	LastUsed         time.Time   `json:"lastUsed" doc:"As last recorded, which is once in a while"`
	Ends             time.Time   `json:"ends" doc:"When it is over unless it is used"`
	NotAfter         time.Time   `json:"notAfter" doc:"When it is over however much it is used"`
	Source           string      `json:"source,omitempty" doc:"Address of the last login"`
	Login            string      `json:"login" doc:"Decision id of the last login, for explain"`
	Factors          []SSOFactor `json:"factors" nullable:"false"`
	Visits           []SSOVisit  `json:"visits" nullable:"false" doc:"Service providers that it has visited"`
	Ended            *time.Time  `json:"ended,omitempty"`
	Cause            string      `json:"cause,omitempty" enum:"logout,administrator,expired,person-gone,person-locked,crowded-out" doc:"Why it ended"`
	By               string      `json:"by,omitempty" doc:"The administrator who ended it"`
}

// SSOFactor is a factor that counts in a session.
type SSOFactor struct {
	Factor        string    `json:"factor"`
	Proved        time.Time `json:"proved"`
	TrustedDevice bool      `json:"trustedDevice,omitempty" doc:"It was not proved: a trusted device stood for it"`
}

// SSOVisit is a service provider that a session has visited.
type SSOVisit struct {
	Client           string    `json:"client" doc:"Service provider"`
	IdentityProvider string    `json:"identityProvider"`
	Protocol         string    `json:"protocol"`
	Last             time.Time `json:"last"`
}

// SSOSessionList is a page of sessions of single sign-on.
type SSOSessionList struct {
	Sessions []SSOSession `json:"sessions" nullable:"false"`
	Next     string       `json:"next,omitempty" doc:"Cursor of the next page"`
}

// SSOEnded says how many sessions were ended.
type SSOEnded struct {
	Ended int `json:"ended"`
}

// TrustedDevice is a device that can stand for a user's second factor.
type TrustedDevice struct {
	ID       string     `json:"id"`
	Label    string     `json:"label" doc:"What the person calls it"`
	Created  time.Time  `json:"created"`
	Used     *time.Time `json:"used,omitempty" doc:"When it stood for a factor last"`
	NotAfter time.Time  `json:"notAfter" doc:"From when on it stands for nothing"`
	Source   string     `json:"source,omitempty" doc:"Address of the login at which it came to be trusted"`
	Login    string     `json:"login" doc:"Decision id of that login, for explain"`
}

// TrustedDeviceList is a user's trusted devices in the order in which they came to be trusted.
type TrustedDeviceList struct {
	Devices []TrustedDevice `json:"devices" nullable:"false"`
}
