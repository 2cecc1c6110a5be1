package attribute

// Authentication is how a person was authenticated, as conditions see it: one of the letter codes of OpenID Connect service
// providers and the SAML class of its strongest factor. The zero value is a person who was not authenticated.
type Authentication uint8

// The ways of authentication. Email, SMS, push and PIN count as a one-time password, FIDO as a certificate.
const (
	Unauthenticated Authentication = iota
	Password
	PasswordOTP
	PasswordCertificate
	PasswordExternal
	Kerberos
	KerberosOTP
	KerberosCertificate
	KerberosExternal
	External
	ExternalOTP
	ExternalCertificate
	OTP
	OTPCertificate
	Certificate
)

const samlClass = "urn:oasis:names:tc:SAML:2.0:ac:classes:"

// authentications holds the code and class of each way at its number. It is read only.
var authentications = [...]struct{ code, class string }{
	Unauthenticated:     {},
	Password:            {"P", samlClass + "PasswordProtectedTransport"},
	PasswordOTP:         {"PO", samlClass + "TimeSyncToken"},
	PasswordCertificate: {"PC", samlClass + "X509"},
	PasswordExternal:    {"PE", samlClass + "PasswordProtectedTransport"},
	Kerberos:            {"K", samlClass + "Kerberos"},
	KerberosOTP:         {"KO", samlClass + "TimeSyncToken"},
	KerberosCertificate: {"KC", samlClass + "X509"},
	KerberosExternal:    {"KE", samlClass + "Kerberos"},
	External:            {"E", samlClass + "unspecified"},
	ExternalOTP:         {"EO", samlClass + "TimeSyncToken"},
	ExternalCertificate: {"EC", samlClass + "X509"},
	OTP:                 {"O", samlClass + "TimeSyncToken"},
	OTPCertificate:      {"OC", samlClass + "X509"},
	Certificate:         {"C", samlClass + "X509"},
}

// Code returns the letter code, such as "PO"; empty for Unauthenticated and for numbers without meaning.
func (a Authentication) Code() string {
	if int(a) < len(authentications) {
		return authentications[a].code
	}
	return ""
}

// Class returns the URI of the SAML authentication context class of the strongest factor (SAML 2.0 Authentication Context,
// section 3.4); empty for Unauthenticated and for numbers without meaning.
func (a Authentication) Class() string {
	if int(a) < len(authentications) {
		return authentications[a].class
	}
	return ""
}
