package api

import "time"

// Factor is a factor of a user beside the password, without what verifies it.
type Factor struct {
	ID      string     `json:"id"`
	Kind    string     `json:"kind" enum:"otp,pin,recovery,push" doc:"otp: a device that shows one-time passwords; pin: a PIN; recovery: a set of one-time codes for when the device is lost; push: a device on which logins are approved"`
	Label   string     `json:"label,omitempty" doc:"What the person calls it"`
	Created time.Time  `json:"created"`
	Used    *time.Time `json:"used,omitempty" doc:"When it last proved something"`
	Left    *int       `json:"left,omitempty" doc:"Recovery codes that were not used"`
}

// FactorList is a user's factors in the order in which they were enrolled.
type FactorList struct {
	Factors []Factor `json:"factors" nullable:"false"`
}

// FactorRequest enrols a factor.
type FactorRequest struct {
	Kind  string `json:"kind" enum:"otp,pin,recovery,push"`
	Label string `json:"label,omitempty" maxLength:"64" doc:"What the person calls it"`

	Type      string `json:"type,omitempty" enum:"totp,hotp" doc:"Of otp: by time (totp, also where it is left out) or by a counter"`
	Algorithm string `json:"algorithm,omitempty" enum:"SHA1,SHA256,SHA512" doc:"Of otp; SHA1 where it is left out, which is what every device computes"`
	Digits    int    `json:"digits,omitempty" enum:"6,8" doc:"Of otp; 6 where it is left out"`
	Period    int    `json:"period,omitempty" minimum:"10" maximum:"300" doc:"Of totp, in seconds; 30 where it is left out"`
	Secret    string `json:"secret,omitempty" maxLength:"300" writeOnly:"true" doc:"Of otp: the key that a device has already, in base32, or in hexadecimal digits behind hex:; one is made where it is left out"`
	Counter   uint64 `json:"counter,omitempty" doc:"Of hotp: where the device's counter stands"`

	PIN string `json:"pin,omitempty" maxLength:"64" writeOnly:"true" doc:"Of pin"`

	PublicKey string `json:"publicKey,omitempty" maxLength:"1024" doc:"Of push: the device's public key in PEM (SubjectPublicKeyInfo, RFC 7468 section 13), Ed25519 or ECDSA with P-256"`
	Address   string `json:"address,omitempty" maxLength:"1024" doc:"Of push: by which the MessageGateway of type push finds the device, such as a registration token"`
}

// Enrolment is a factor that was enrolled, with what the person needs and nobody is shown again.
type Enrolment struct {
	Factor Factor `json:"factor"`
	URI    string `json:"uri,omitempty" doc:"Of otp: the key in the form that authenticator apps read from a QR code"`
	Secret string `json:"secret,omitempty" doc:"Of otp: the key in base32, for people who type it in"`
	QR     string `json:"qr,omitempty" doc:"Of otp: the QR code as a PNG image, in base64"`
	// Terminal is for the command line, which does not make QR codes itself.
	Terminal string   `json:"terminal,omitempty" doc:"Of otp: the QR code as lines of text for a terminal with a dark background"`
	Codes    []string `json:"codes,omitempty" doc:"Of recovery: the codes"`
}

// ResyncRequest finds a device again whose clock or counter has run away.
type ResyncRequest struct {
	First  string `json:"first" minLength:"6" maxLength:"8" doc:"A code that the device shows"`
	Second string `json:"second" minLength:"6" maxLength:"8" doc:"The one that it shows next"`
}
