// Package webauthn is the relying party's side of Web Authentication (W3C WebAuthn Level 3): it begins and verifies the registration of a
// passkey or security key, and logins with one, as a second factor or alone. It keeps nothing: sessions and credentials are values with a
// compact form, and that a session is answered once and a credential belongs to one person is for whoever records that. The protocol's
// formats and signatures are github.com/go-webauthn/webauthn's; the pages are the web front's.
package webauthn
