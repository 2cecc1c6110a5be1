package browser

import (
	"github.com/chromedp/cdproto/webauthn"
)

// authenticator plugs a security key into the tab: one that holds passkeys and knows its person, and says yes at once.
func (b *tab) authenticator() webauthn.AuthenticatorID {
	b.t.Helper()
	call(b, webauthn.Enable, webauthn.EnableParams{})
	return call(b, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true, HasUserVerification: true,
		AutomaticPresenceSimulation: true, IsUserVerified: true,
	}}).AuthenticatorID
}

// credentials returns how many credentials a security key holds.
func (b *tab) credentials(id webauthn.AuthenticatorID) int {
	b.t.Helper()
	return len(call(b, webauthn.GetCredentials, webauthn.GetCredentialsParams{AuthenticatorID: id}).Credentials)
}
