// Package otp verifies one-time passwords that a device computes: by time (TOTP, RFC 6238) and by counter (HOTP, RFC 4226). It
// makes and imports the secrets, shows them for enrolment (Key URI and QR code) and resynchronises a device whose clock or counter
// has run away. It keeps nothing: what was used comes in and goes out as a [State], and that a counter is accepted once in the
// whole cluster is for whoever records that state. Codes that are sent to people are the matter of package code.
package otp
