package login

import (
	"net/netip"
	"time"
)

// Facts are what adaptive rules can ask of a login: the variables of the handbook. A rule's condition reads them when it needs them.
type Facts struct {
	Now              time.Time // in the node's time zone: dayOfWeek, hour and minute are of it
	User             string
	ServiceProvider  string // public id
	IdentityProvider string // public id
	Address          netip.Addr
	Host             string // what the device calls itself (Calling-Station-Id), else the address

	// What is known of the login before.
	NewDevice    bool // no login from this host is remembered
	LastLogin    time.Time
	LastFromHost time.Time
	LastByFactor [factors]time.Time // zero: none is remembered

	// Where it comes from, as far as the geo database knows.
	Country      string // ISO 3166 code
	LastCountry  string
	Place        string        // words for people: city, region, country
	Displacement float64       // kilometres from the login before; 0 where either place is unknown
	Since        time.Duration // the login before, for the speed of displacement

	// Failures within the last hour.
	FailuresOfAddress int
	FailuresOfUser    int
	FailuresRatio     float64 // of all logins of this node in the last minutes, 0 to 1
	LastFailure       time.Time

	Has               Set // factors that the user has enrolled
	HasTOTP, HasHOTP  bool
	DeviceCertificate bool
}

// Speed returns the displacement speed in kilometres an hour; 0 where it is unknown.
func (f *Facts) Speed() float64 {
	if f.Displacement == 0 || f.Since <= 0 {
		return 0
	}
	return f.Displacement / f.Since.Hours()
}

// Days returns the whole days from a time until now, or -1 for a time that is not known.
func (f *Facts) Days(from time.Time) int64 {
	if from.IsZero() {
		return -1
	}
	return int64(f.Now.Sub(from) / (24 * time.Hour))
}
