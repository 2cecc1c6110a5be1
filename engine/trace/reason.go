package trace

import (
	"cmp"
	"slices"
)

// Reason is the stable code of why a decision came out as it did. Codes are recorded and never change their meaning.
type Reason string

// The reasons of this release. What each means and what to do about it stands in infos, of which go generate makes docs/reasons.md.
const (
	OK Reason = "ok"

	AccountDisabled Reason = "account.disabled"
	AccountMissing  Reason = "account.missing"

	AuthorizationDenied Reason = "authorization.denied"

	CertificateExpired           Reason = "certificate.expired"
	CertificateMalformed         Reason = "certificate.malformed"
	CertificateMissing           Reason = "certificate.missing"
	CertificateNotYetValid       Reason = "certificate.not-yet-valid"
	CertificateRevocationUnknown Reason = "certificate.revocation-unknown"
	CertificateRevoked           Reason = "certificate.revoked"
	CertificateUnmapped          Reason = "certificate.unmapped"
	CertificateUntrusted         Reason = "certificate.untrusted"
	CertificateUsage             Reason = "certificate.usage"

	ChallengeExpired Reason = "challenge.expired"
	ChallengeInvalid Reason = "challenge.invalid"
	ChallengeUsed    Reason = "challenge.used"

	ClientUnknown Reason = "client.unknown"

	CodeAttempts Reason = "code.attempts"
	CodeExpired  Reason = "code.expired"
	CodeWrong    Reason = "code.wrong"

	ConfigBroken Reason = "config.broken"

	ContextUnmet Reason = "context.unmet"

	DeliveryAddress      Reason = "delivery.address"
	DeliveryFailed       Reason = "delivery.failed"
	DeliveryFull         Reason = "delivery.full"
	DeliveryLimited      Reason = "delivery.limited"
	DeliveryRefused      Reason = "delivery.refused"
	DeliveryUnconfigured Reason = "delivery.unconfigured"

	EndpointExpired    Reason = "endpoint.expired"
	EndpointMismatch   Reason = "endpoint.mismatch"
	EndpointNotAllowed Reason = "endpoint.not-allowed"
	EndpointUnknown    Reason = "endpoint.unknown"

	ExpressionFailed Reason = "expression.failed"

	FactorMismatch    Reason = "factor.mismatch"
	FactorNeeded      Reason = "factor.needed"
	FactorNotEnrolled Reason = "factor.not-enrolled"
	FactorRefused     Reason = "factor.refused"
	FactorUnreadable  Reason = "factor.unreadable"

	IssuerMissing    Reason = "issuer.missing"
	IssuerNotAllowed Reason = "issuer.not-allowed"

	KerberosBinding     Reason = "kerberos.binding"
	KerberosExpired     Reason = "kerberos.expired"
	KerberosMalformed   Reason = "kerberos.malformed"
	KerberosMissing     Reason = "kerberos.missing"
	KerberosNoKey       Reason = "kerberos.no-key"
	KerberosNotUsed     Reason = "kerberos.not-used"
	KerberosNotYetValid Reason = "kerberos.not-yet-valid"
	KerberosRealm       Reason = "kerberos.realm"
	KerberosReplayFull  Reason = "kerberos.replay-full"
	KerberosReplayed    Reason = "kerberos.replayed"
	KerberosSkew        Reason = "kerberos.skew"
	KerberosUnmapped    Reason = "kerberos.unmapped"
	KerberosWeak        Reason = "kerberos.weak"
	KerberosWrongKey    Reason = "kerberos.wrong-key"

	LogBehind      Reason = "log.behind"
	LogNoLeader    Reason = "log.no-leader"
	LogNotRecorded Reason = "log.not-recorded"

	LoginRequired Reason = "login.required"

	OIDCClaimsInvalid       Reason = "oidc.claims-invalid"
	OIDCClientAssertion     Reason = "oidc.client-assertion"
	OIDCClientBlocked       Reason = "oidc.client-flow"
	OIDCClientMethod        Reason = "oidc.client-method"
	OIDCClientMissing       Reason = "oidc.client-missing"
	OIDCClientSecret        Reason = "oidc.client-secret"
	OIDCClientUnknown       Reason = "oidc.client-unknown"
	OIDCCodeExpired         Reason = "oidc.code-expired"
	OIDCCodeInvalid         Reason = "oidc.code-invalid"
	OIDCCodeMismatch        Reason = "oidc.code-mismatch"
	OIDCCodeUsed            Reason = "oidc.code-used"
	OIDCConsentDenied       Reason = "oidc.consent-denied"
	OIDCConsentRequired     Reason = "oidc.consent-required"
	OIDCGrantExpired        Reason = "oidc.grant-expired"
	OIDCGrantOver           Reason = "oidc.grant-over"
	OIDCGrantUnknown        Reason = "oidc.grant-unknown"
	OIDCHintInvalid         Reason = "oidc.hint-invalid"
	OIDCImpersonationDenied Reason = "oidc.impersonation-denied"
	OIDCKeys                Reason = "oidc.keys-missing"
	OIDCLimit               Reason = "oidc.limit"
	OIDCOnce                Reason = "oidc.used-before"
	OIDCPKCEMissing         Reason = "oidc.pkce-missing"
	OIDCPKCEWrong           Reason = "oidc.pkce-wrong"
	OIDCRedirectInvalid     Reason = "oidc.redirect-invalid"
	OIDCRefresh             Reason = "oidc.refresh-invalid"
	OIDCRefreshReused       Reason = "oidc.refresh-reused"
	OIDCRegistrationDenied  Reason = "oidc.registration-denied"
	OIDCRegistrationInvalid Reason = "oidc.registration-invalid"
	OIDCRequestInvalid      Reason = "oidc.request-invalid"
	OIDCRequestObject       Reason = "oidc.request-object"
	OIDCResponseUnsupported Reason = "oidc.response-unsupported"
	OIDCScopeInvalid        Reason = "oidc.scope-invalid"
	OIDCScopeMissing        Reason = "oidc.scope-missing"
	OIDCSessionEnded        Reason = "oidc.session-ended"
	OIDCTokenExpired        Reason = "oidc.token-expired"
	OIDCTokenInvalid        Reason = "oidc.token-invalid"
	OIDCTokenMissing        Reason = "oidc.token-missing"
	OIDCTokenRevoked        Reason = "oidc.token-revoked"

	OTPClock    Reason = "otp.clock"
	OTPReplayed Reason = "otp.replayed"
	OTPWrong    Reason = "otp.wrong"

	OverloadDeadline  Reason = "overload.deadline"
	OverloadQueueFull Reason = "overload.queue-full"
	OverloadThrottled Reason = "overload.throttled"

	PasswordChangeDenied  Reason = "password.change-denied"
	PasswordChangeInvalid Reason = "password.change-invalid"
	PasswordExpired       Reason = "password.expired"
	PasswordImported      Reason = "password.imported"
	PasswordMissing       Reason = "password.missing"
	PasswordMustChange    Reason = "password.must-change"
	PasswordPolicy        Reason = "password.policy"
	PasswordReused        Reason = "password.reused"
	PasswordTooYoung      Reason = "password.too-young"
	PasswordUnreadable    Reason = "password.unreadable"
	PasswordWrong         Reason = "password.wrong"

	PINWrong Reason = "pin.wrong"

	ProofMalformed Reason = "proof.malformed"
	ProofMissing   Reason = "proof.missing"

	PushDenied    Reason = "push.denied"
	PushEnrolment Reason = "push.enrolment"
	PushExpired   Reason = "push.expired"
	PushNumber    Reason = "push.number"
	PushSignature Reason = "push.signature"
	PushWaiting   Reason = "push.waiting"

	RadiusCHAPSecretNotKept  Reason = "radius.chap.secret-not-kept"
	RadiusEAPUnsupported     Reason = "radius.eap.unsupported"
	RadiusMethodDisabled     Reason = "radius.method.disabled"
	RadiusMSCHAPHashNotKept  Reason = "radius.mschap.hash-not-kept"
	RadiusReplyBroken        Reason = "radius.reply.broken"
	RadiusReplyTooLarge      Reason = "radius.reply.too-large"
	RadiusServiceUnsupported Reason = "radius.service.unsupported"

	RealmUnknown Reason = "realm.unknown"

	RecoveryUsed  Reason = "recovery.used"
	RecoveryWrong Reason = "recovery.wrong"

	RoleMissing Reason = "role.missing"

	RuleBroken Reason = "rule.failed"

	ScriptFailed    Reason = "script.failed"
	ScriptTimeout   Reason = "script.timeout"
	ScriptWrongType Reason = "script.wrong-type"

	SessionLimit Reason = "session.limit"

	TacacsActionUnsupported Reason = "tacacs.action.unsupported"
	TacacsArgumentMalformed Reason = "tacacs.argument.malformed"
	TacacsArgumentRefused   Reason = "tacacs.argument.refused"
	TacacsCommandDenied     Reason = "tacacs.command.denied"
	TacacsEnableLevel       Reason = "tacacs.enable.level"
	TacacsEnableSecret      Reason = "tacacs.enable.secret"
	TacacsMethodDisabled    Reason = "tacacs.method.disabled"
	TacacsPrivilegeNone     Reason = "tacacs.privilege.none"
	TacacsReplyTooLarge     Reason = "tacacs.reply.too-large"
	TacacsRulesDenied       Reason = "tacacs.rules.denied"
	TacacsServiceDenied     Reason = "tacacs.service.denied"
	TacacsServiceMissing    Reason = "tacacs.service.missing"

	StepUpRequired Reason = "step-up.required"

	UserInactive     Reason = "user.inactive"
	UserLocked       Reason = "user.locked"
	UserLockedSource Reason = "user.locked.source"
	UserMissing      Reason = "user.missing"
	UserTypeMissing  Reason = "user.type-missing"
	UserUnknown      Reason = "user.unknown"

	WebAuthnAttestation  Reason = "webauthn.attestation"
	WebAuthnChallenge    Reason = "webauthn.challenge"
	WebAuthnCounter      Reason = "webauthn.counter"
	WebAuthnCredential   Reason = "webauthn.credential"
	WebAuthnExpired      Reason = "webauthn.expired"
	WebAuthnMalformed    Reason = "webauthn.malformed"
	WebAuthnOrigin       Reason = "webauthn.origin"
	WebAuthnSignature    Reason = "webauthn.signature"
	WebAuthnVerification Reason = "webauthn.user-verification"

	WorkerFailed Reason = "worker.failed"
)

// Class says whose doing a reason is. Its String labels metrics.
type Class uint8

// The classes of reasons.
const (
	ClassUnknown Class = iota
	ClassOK
	ClassUser
	ClassClient
	ClassConfig
	ClassOverload
	ClassSystem
	classes
)

// classInfos holds the name of each class, as metrics use it, and whose doing its reasons are.
var classInfos = [classes]struct{ name, about string }{
	ClassUnknown:  {"unknown", "a code that this release does not know"},
	ClassOK:       {"ok", "nothing is wrong"},
	ClassUser:     {"user", "the person: wrong name, wrong password, a limit reached"},
	ClassClient:   {"client", "the device: what it sent cannot be used"},
	ClassConfig:   {"config", "the configuration: an administrator has to change something"},
	ClassOverload: {"overload", "more work than the node takes on"},
	ClassSystem:   {"system", "the node or the cluster"},
}

// String returns the class's name as metrics use it.
func (c Class) String() string {
	if c < classes {
		return classInfos[c].name
	}
	return classInfos[ClassUnknown].name
}

// Info explains a reason.
type Info struct {
	Code    Reason
	Class   Class
	Meaning string // one plain sentence
	Remedy  string // what to do about it; empty for OK alone
}

// infos is sorted by code.
var infos = [...]Info{
	{AccountDisabled, ClassUser, "The service provider requires an enabled account in a system, and the user's accounts there are disabled.", "The trace names the system. Set `enabled: true` in the user's Account there, or take `requiredSystem` out of the ServiceProvider."},
	{AccountMissing, ClassUser, "The service provider requires an account in a system, and the user has none there.", "The trace names the system. Create an Account in it whose `owner` is the user, or take `requiredSystem` out of the ServiceProvider."},
	{AuthorizationDenied, ClassUser, "A rule of the service provider's authorization policy refuses the login.", "The trace names the rule, and what of the first rule's condition did not hold. Change the `authorizationPolicy` of the ServiceProvider if the login should be let in."},
	{CertificateExpired, ClassUser, "The client certificate, or one of an authority above it, has expired.", "Issue a new certificate. The trace names the one that has expired."},
	{CertificateMalformed, ClassClient, "What came as a client certificate cannot be read, is too large, or came twice.", "Compare what the proxy sends with the forms that are understood; the trace says what was wrong. A proxy must remove the header from what clients send."},
	{CertificateMissing, ClassUser, "A client certificate is needed, and none was presented.", "Install a certificate on the device and choose it when the browser asks. Behind a proxy, check that it asks for certificates and passes them on."},
	{CertificateNotYetValid, ClassUser, "The client certificate, or one of an authority above it, is not valid yet.", "Compare the clocks of this node and of the authority."},
	{CertificateRevocationUnknown, ClassSystem, "It could not be found out whether the client certificate was revoked, and what cannot be found out is refused.", "The trace says who was asked and what went wrong. Make the OCSP responder or the CRL reachable from this node; or accept certificates while neither is, which lets revoked ones in for as long."},
	{CertificateRevoked, ClassUser, "The client certificate, or one of an authority above it, was revoked.", "Issue a new certificate if the person should have one. The trace says when it was revoked and why."},
	{CertificateUnmapped, ClassConfig, "The client certificate is good, but names no user by the mapping that is configured.", "The trace says what is missing or there twice. Map another part of the certificate, or issue certificates that have it."},
	{CertificateUntrusted, ClassUser, "The client certificate does not lead to a trusted root.", "Use a certificate of an authority that is trusted here; or add its root to those that are trusted for client certificates, and authorities that clients leave out to the intermediates."},
	{CertificateUsage, ClassUser, "The client certificate is not meant for client authentication.", "Issue one with the extended key usage clientAuth."},
	{ChallengeExpired, ClassUser, "The answer to a challenge came too late, or the password was changed meanwhile.", "Log in again."},
	{ChallengeInvalid, ClassClient, "The request answers a challenge that this cluster did not make for this user and this device.", "Log in again. If it happens often, look at how the device keeps the State attribute; the trace says what does not fit."},
	{ChallengeUsed, ClassUser, "The challenge was answered before, right or wrong; each can be answered once.", "Log in again."},
	{ClientUnknown, ClassClient, "The request came from an address that no service provider claims.", "Add the address to the `sourceIPs` of the device's ServiceProvider document, or find out who sends from there."},
	{CodeAttempts, ClassUser, "The code that was sent was guessed wrong too often and is void.", "Log in anew, for a new code."},
	{CodeExpired, ClassUser, "The code that was sent came back too late.", "Log in anew, for a new code. If they keep coming late, look at how long mails or messages take."},
	{CodeWrong, ClassUser, "The code is not the one that was sent.", "Try again with the newest code; an older one is void."},
	{ConfigBroken, ClassConfig, "The service provider, or the type, a group or a role of the user, could not be compiled, so nothing is decided through it.", "`trine status` lists broken documents with what is wrong in them; correct the document and apply it."},
	{ContextUnmet, ClassConfig, "The service provider asks for an authentication context (`acr_values`, `RequestedAuthnContext`) that no way of the matrix can meet, even with one more factor.", "Compare what the service provider asks for, which the trace shows, with the classes that logins can have; add a way to the matrix of the IdentityProvider, or have it ask for another class."},
	{DeliveryAddress, ClassConfig, "The code could not be sent: the user has no mail address or telephone number, or one that cannot be used.", "Correct `mail` or `mobile` in the User document; a number needs its country code, or the gateway a `countryCode`."},
	{DeliveryFailed, ClassSystem, "The code could not be handed to the mail server or gateway while it was of use.", "The node's log says what went wrong; `trine delivery test` tries the gateway."},
	{DeliveryFull, ClassOverload, "The code could not be sent: as many messages wait as the node keeps, or it is stopping.", "The mail server or gateway is slow or down; `trine_delivery_waiting` shows the queue, and the node's log what fails."},
	{DeliveryLimited, ClassUser, "The code was not sent: the recipient, or everybody together, was sent as many as the gateway's limits allow.", "Wait a few minutes, or raise `limits` of the MessageGateway."},
	{DeliveryRefused, ClassUser, "The mail server or gateway refused the code for good: mostly it does not know the recipient.", "Compare the address or number in the User document; the node's log says what the other side answered."},
	{DeliveryUnconfigured, ClassConfig, "The code or challenge could not be sent: no MessageGateway document carries messages on this channel, or it cannot be used.", "Apply a MessageGateway of type `smtp` for mail, `http` for text messages or `push` for challenges to devices."},
	{EndpointExpired, ClassUser, "The device asked for MAC authentication, and its endpoint is past its `notAfter`.", "Set a later `notAfter` in the Endpoint document, or delete it."},
	{EndpointMismatch, ClassUser, "The device asked for MAC authentication, and the addresses in its request differ.", "The trace shows both. The login name, the password and the Calling-Station-Id of such a request must be the same MAC address."},
	{EndpointNotAllowed, ClassConfig, "The device asked for MAC authentication, which is switched off for this service provider.", "Set `radius.macAuthentication: true` in the ServiceProvider, or set the device to another way."},
	{EndpointUnknown, ClassUser, "The device asked for MAC authentication, and its address is not known.", "Create an Endpoint document with the address as its name, or let the device authenticate in another way."},
	{ExpressionFailed, ClassConfig, "An expression that the login needs failed: what it looked for is not there, or it cost more than it may.", "The trace names the document, the line and what is wrong. Let the expression say what happens where a value is missing, such as with `orElse`."},
	{FactorMismatch, ClassUser, "What proves the factor names another person than the one who logs in.", "Log in as the person that the certificate, ticket or external account is of, or use the right one; the trace names both."},
	{FactorNeeded, ClassUser, "Another factor is needed: the device was asked for it, or is rejected where it cannot be asked.", "Answer the challenge. Where the device cannot carry one, set `radius.secondFactor` of the ServiceProvider to what it can do."},
	{FactorNotEnrolled, ClassUser, "Another factor is needed, and the user has none enrolled of those that would do.", "Enrol one with `trine user factor add`; the trace says which would do."},
	{FactorRefused, ClassUser, "No way that the identity provider accepts begins with what was proved.", "Look at the matrix and the adaptive rules of the IdentityProvider; the trace names the rule that decided."},
	{FactorUnreadable, ClassSystem, "What is stored of a factor (a one-time password, a PIN, a code, a device or a key) cannot be opened: it is damaged, or this node lacks the cluster key that it was sealed with.", "`trine status` shows the keys that this node has. If they are all there, have the person enrol the factor anew."},
	{IssuerMissing, ClassConfig, "No identity provider decides for this service provider: it is bound to none, and no local one has the profile enabled.", "Enable the profile of the protocol (`radius` or `tacacs`) of a local IdentityProvider, or name one in the service provider's `identityProvider`."},
	{IssuerNotAllowed, ClassUser, "The identity provider is not for this user: `access` limits who may use it.", "The trace names the field that is not met. Give the user the group, user type or role, or change `access` in the IdentityProvider."},
	{KerberosBinding, ClassUser, "The Kerberos ticket is bound to another TLS connection than the one it came on, or to none where that is required.", "If a proxy ends TLS, give it the node's certificate or do not require bindings. Otherwise somebody may be between the client and the node."},
	{KerberosExpired, ClassUser, "The Kerberos ticket has expired.", "Log in to the domain again (`kinit`); look at the ticket with `klist`."},
	{KerberosMalformed, ClassClient, "What came as a Kerberos token cannot be read.", "The trace says what is wrong with it. Try another browser; a proxy may have cut the header short."},
	{KerberosMissing, ClassUser, "A Kerberos ticket is needed, and the client sent none.", "Log in to the domain (`kinit`), and let the browser use Kerberos for this site: it must be listed as an intranet or trusted site."},
	{KerberosNoKey, ClassConfig, "The keytab has no key for the service, the version or the encryption type of the ticket.", "The trace says which was asked for. Export the service's keys anew and put them into the keytab; tickets made before its keys were changed end by themselves."},
	{KerberosNotUsed, ClassUser, "The client negotiated something other than Kerberos, such as NTLM, which is not accepted.", "The client found no ticket for this site: register the service principal `HTTP/` and the site's host name in the domain, open the site by that name, and log in to the domain."},
	{KerberosNotYetValid, ClassUser, "The Kerberos ticket is not valid yet.", "Compare the clocks of this node and of the KDC; validate a postdated ticket with `kinit -v`."},
	{KerberosRealm, ClassConfig, "The ticket is of a Kerberos realm whose principals are not users here.", "Map the realm if its people should log in here. The trace names it."},
	{KerberosReplayFull, ClassOverload, "So many Kerberos tickets were used in the last minutes that no further use can be remembered.", "Spread logins over more nodes, or allow less clock skew, which is how long each use is remembered."},
	{KerberosReplayed, ClassUser, "The same Kerberos token was used before.", "Nothing, if a browser sent its request twice: it makes a new token for each. Otherwise somebody has copied one."},
	{KerberosSkew, ClassUser, "The client's clock is too far from this node's.", "Set the clock of the client, or of the node; both should follow a time server."},
	{KerberosUnmapped, ClassConfig, "The ticket is good, but its principal names no user by the mapping that is configured.", "Map the principal by name; the trace shows it. Anonymous tickets name nobody."},
	{KerberosWeak, ClassConfig, "The ticket, or the session's key in it, uses an encryption type that is not accepted.", "Give the service's account AES keys, export the keytab anew, and log in to the domain again."},
	{KerberosWrongKey, ClassConfig, "The keytab's key does not open the ticket, or the ticket is not that of the client who sent it.", "The service's key was changed without a new version, or the keytab is of another domain: export it anew."},
	{LogBehind, ClassSystem, "The login goes on from another node that has seen more of the log than this one.", "Nothing: the device tries again. If it stays so, `trine status` shows how far this node is behind."},
	{LogNoLeader, ClassSystem, "The login needs a record that only a leader can commit, and there is none now.", "`trine status` shows the cluster's state. The device should try another node meanwhile."},
	{LogNotRecorded, ClassSystem, "The login needs a record, and the log did not take it: its queue is full, its disk is full, or the node is stopping.", "`trine status` shows the queue and the disk; free space or remove load."},
	{LoginRequired, ClassUser, "The service provider asks not to disturb the person, and there is no session of single sign-on that counts.", "Nothing: the service provider asks again in the open. If people have to log in too often, look at `session` of the IdentityProvider."},
	{OIDCClaimsInvalid, ClassClient, "The `claims` parameter cannot be read.", "OpenID Connect Core section 5.5 has its form; look at what the client sends."},
	{OIDCClientAssertion, ClassClient, "The assertion by which the client proves who it is does not hold: its signature, its audience, its times, or it was used before.", "The trace says which. Compare the clocks, the keys in the ServiceProvider with those of the client, and the audience with the issuer."},
	{OIDCClientBlocked, ClassConfig, "The client asks for a flow, a grant type or a response type that is not open to it.", "Switch it on in `oidc.flows` of the ServiceProvider if the client should use it, or set the client to another one."},
	{OIDCClientMethod, ClassClient, "The client proves who it is in more than one way at a time.", "Set the client to one method, which is that of `oidc.tokenEndpointAuth` of the ServiceProvider."},
	{OIDCClientMissing, ClassClient, "The request does not say which client it comes from, or does not prove it.", "Look at the settings of the client: it has to send its client id, and its secret or assertion where it has one."},
	{OIDCClientSecret, ClassClient, "The client could not prove who it is: its secret is wrong, or it came in another way than the client's.", "Compare the secret and the method in the client with those in the ServiceProvider; mind characters that must be percent-encoded in the Authorization header (RFC 6749 section 2.3.1)."},
	{OIDCClientUnknown, ClassClient, "No service provider of this identity provider has that client id.", "Compare the client id in the client with `oidc.clientID` of the ServiceProvider, and its `identityProvider` with the one that was asked."},
	{OIDCCodeExpired, ClassClient, "The authorization code came back too late.", "Log in again. If it happens often, find out what holds the client up between the redirect and its request for tokens."},
	{OIDCCodeInvalid, ClassClient, "The code is none that was made here.", "Look at what the client sends as its code."},
	{OIDCCodeMismatch, ClassClient, "The code was made for another client, or for another `redirect_uri`, than the one that presents it.", "The trace says which. If it was another client, somebody may have stolen the code."},
	{OIDCCodeUsed, ClassClient, "The authorization code was redeemed before, so it may have been stolen, and all that was issued for it is void now.", "If the client sends its request twice, mend that. Otherwise find out who else sees its redirects."},
	{OIDCConsentDenied, ClassUser, "The person did not consent to what the client asks for.", "Nothing, if he meant it."},
	{OIDCConsentRequired, ClassUser, "The client asks not to disturb the person, who has not consented yet to what it asks for.", "Nothing: the client asks again in the open, and the person is asked."},
	{OIDCGrantExpired, ClassUser, "What the token is of is over, as nobody refreshed it in time.", "Log in again."},
	{OIDCGrantOver, ClassUser, "What the token is of has ended: it was revoked, the person logged out or took consent back, or an administrator ended it.", "The trace says why, and who did it. Log in again if the client should have access."},
	{OIDCGrantUnknown, ClassClient, "What the token is of is not known here: it ended long ago, or its user was deleted.", "Log in again."},
	{OIDCHintInvalid, ClassClient, "The ID token that came as a hint (`id_token_hint`) is none that this identity provider made for this client.", "Have the client send the ID token that it got last."},
	{OIDCImpersonationDenied, ClassConfig, "The client may not act for people at the service that it asks for, or that service did not let it in.", "The trace says what is missing: the target in `impersonations` of the ServiceProvider, or the profile `impersonation` of the IdentityProvider."},
	{OIDCKeys, ClassSystem, "There is no key to sign with: it could not be made or recorded now, or cannot be opened on this node.", "`trine key list` shows the keys, `trine status` whether there is a leader and which cluster keys this node has."},
	{OIDCLimit, ClassClient, "What the client asks for is more than is kept of a grant or consent, or of a person's grants.", "The trace says what the most is; have the client ask for fewer scopes or claims, or less often."},
	{OIDCPKCEMissing, ClassClient, "The client has to use PKCE (RFC 7636) and did not, or used it in one half of the login only.", "Switch PKCE with S256 on in the client."},
	{OIDCPKCEWrong, ClassClient, "The code verifier does not fit the code challenge.", "If the client does not mix its logins up, somebody may have stolen the code."},
	{OIDCRedirectInvalid, ClassClient, "The redirect URI is missing, or is none of the client's, so nobody is sent to it.", "The trace shows it. Add it to `oidc.responseURLs` (after a logout `oidc.postLogoutURLs`) of the ServiceProvider, exactly as the client sends it."},
	{OIDCRefresh, ClassClient, "The refresh token is none that was issued to this client, or cannot be read.", "Log in again. Look at what the client sends as its refresh token."},
	{OIDCRefreshReused, ClassClient, "The refresh token was used before, so it may have been stolen, and all that it could renew is void now.", "Log in again. If the client refreshes twice at a time, or forgets what it got, mend that; otherwise find out who has its tokens."},
	{OIDCRegistrationDenied, ClassClient, "Nobody may register a client, or read or change a registration, in this way: the token is missing or wrong, or as many clients are registered as may be.", "Look at `registrationToken` of the ServiceProvider of type `oidc-dynamic`."},
	{OIDCRegistrationInvalid, ClassClient, "What the client says about itself cannot be registered.", "The trace says what is wrong with it."},
	{OIDCRequestInvalid, ClassClient, "The request lacks a parameter, has one twice, or has one that cannot be read.", "The trace says which; look at the settings of the client."},
	{OIDCRequestObject, ClassClient, "The request object (`request`) cannot be read, is not signed as it has to be, or contradicts the request.", "The trace says which; compare the keys of the client and `oidc.requestObjectAlgorithms` of the ServiceProvider."},
	{OIDCResponseUnsupported, ClassClient, "The client asks for a response type or response mode that does not exist, or for two that do not go together.", "The trace shows it; look at the settings of the client."},
	{OIDCScopeInvalid, ClassClient, "The client asks for scopes or resource servers that it may not have, or that the grant does not have.", "Add the scope to `oidc.allowedScopes`, or the resource server to `oidc.audience`, of the ServiceProvider if the client should have it."},
	{OIDCScopeMissing, ClassClient, "The token lacks the scope that is needed here.", "Have the client ask for that scope when the person logs in; the trace names it."},
	{OIDCSessionEnded, ClassUser, "The person logged out between the login and the request for tokens.", "Log in again."},
	{OIDCTokenExpired, ClassClient, "The access token has expired.", "Refresh it, or log in again."},
	{OIDCTokenInvalid, ClassClient, "The access token is none that this identity provider issued, or not of the kind that is needed here.", "Look at what the client sends as its token."},
	{OIDCTokenMissing, ClassClient, "The request brings no access token.", "Have the client send it in the Authorization header (RFC 6750 section 2.1)."},
	{OIDCTokenRevoked, ClassClient, "The access token was revoked, or everything that was issued to its client or for its person was made void.", "Log in again if the client should have access; the event log says who did it."},
	{OIDCOnce, ClassClient, "What is good once was presented once more.", "If the client sends its requests twice, mend that. Otherwise somebody may have stolen what it sent."},
	{OK, ClassOK, "Everything that was asked for holds.", ""},
	{OTPClock, ClassSystem, "The one-time password is right, but one of a later time was used already: the clock of this node, or of the one that accepted the other, was wrong.", "Compare the nodes' clocks. If one had run ahead, have the person enrol the device anew, or wait until that time has come."},
	{OTPReplayed, ClassUser, "The one-time password is right, but it or a later one was used before.", "Wait for the next one. If nobody used it, somebody else has the device or its secret."},
	{OTPWrong, ClassUser, "The one-time password is wrong, or too old.", "Try the next one. If none fits, compare the device's clock, or resynchronise it with two codes in a row; else enrol it anew."},
	{OverloadDeadline, ClassOverload, "Verifying the password, or running a script, took longer than the device waits, so the work was dropped.", "Let user types keep the `keyed` form, which is fast from the start, or add cores or nodes. After a restart this passes by itself."},
	{OverloadQueueFull, ClassOverload, "Too many slow password verifications, or scripts, wait already, and the newest is refused.", "As for `overload.deadline`."},
	{OverloadThrottled, ClassOverload, "This user or this source had too many failed logins in a short time; the password was not looked at.", "Nothing, if somebody is guessing. Otherwise find the device that keeps sending an old password."},
	{PasswordChangeDenied, ClassUser, "The device asked to change the password, which the user's type does not allow.", "Set the password with `trine user passwd`, or switch on `password.allowChange` in the UserType."},
	{PasswordChangeInvalid, ClassUser, "The request to change the password does not fit the password that is stored, or cannot be decrypted with it.", "The old password was wrong, or the device made a mistake; try again, or set the password with `trine user passwd`."},
	{PasswordExpired, ClassUser, "The password is right, but older than the user's type allows.", "Change the password."},
	{PasswordImported, ClassConfig, "The method needs a form of the password that the user's type keeps, but the password was imported as the hash of another system, and no login has shown it yet.", "Let the person log in once with PAP, which makes all forms that the user's type keeps; or set the password anew with `trine user passwd`."},
	{PasswordMissing, ClassUser, "The user has no password.", "Set one with `trine user passwd`."},
	{PasswordMustChange, ClassUser, "The password is right, but must be changed before it can be used.", "Change the password by MS-CHAPv2 where the UserType allows it, or set one with `trine user passwd`."},
	{PasswordPolicy, ClassUser, "The new password does not meet the policy of the user's type.", "Choose another one; the UserType document says what is asked for."},
	{PasswordReused, ClassUser, "The new password is the present one, or one of the former ones that the user's type has remembered.", "Choose another one; the `password.history` of the UserType says how many it must differ from."},
	{PasswordTooYoung, ClassUser, "The password was set too recently to be changed by its person again.", "Wait until it is as old as the `password.minAge` of the UserType, or set one with `trine user passwd`."},
	{PasswordUnreadable, ClassSystem, "The stored password cannot be opened: it is damaged, or this node lacks the cluster key that it was sealed with.", "`trine status` shows the keys that this node has. If they are all there, set the password anew."},
	{PasswordWrong, ClassUser, "The password is wrong.", "Try again, or set a new one with `trine user passwd`. If every user of one device fails, compare that device's shared secret."},
	{PINWrong, ClassUser, "The PIN is wrong.", "Try again, or have the PIN set anew."},
	{ProofMalformed, ClassClient, "What should prove the password has the wrong length or form.", "Look at the device's release notes and settings; the trace says what was malformed."},
	{ProofMissing, ClassClient, "The request brings nothing that could prove a password.", "Set the device to PAP, CHAP, MS-CHAP or MS-CHAPv2."},
	{PushDenied, ClassUser, "The person denied the login on the enrolled device.", "If it was not he who logged in, somebody has his password: have it changed."},
	{PushEnrolment, ClassUser, "A device cannot be enrolled: its token is not the one that was shown, or belongs to somebody else, or its key is none.", "Begin the enrolment anew."},
	{PushExpired, ClassUser, "The device did not answer in time, or came too late to be enrolled.", "Try again. If it keeps happening, look at how the device gets its notifications."},
	{PushNumber, ClassUser, "The person approved with another number than the one that the login shows.", "Log in anew. If the person was not logging in, somebody else has his password: have it changed."},
	{PushSignature, ClassClient, "What came in the device's name is not signed with the device's key.", "Have the person enrol the device anew. If many of these come, somebody tries to answer for others."},
	{PushWaiting, ClassUser, "The person went on as often as he may before he had approved the login on his device.", "Log in anew, approve on the device first, and go on then."},
	{RadiusCHAPSecretNotKept, ClassConfig, "CHAP, over RADIUS as over TACACS+, needs the clear password, and the user's type does not keep it.", "Set the device to PAP or MS-CHAPv2, or over TACACS+ to ASCII; or add `clear` to `password.keep` of the UserType and have the password set anew."},
	{RadiusEAPUnsupported, ClassConfig, "The device speaks EAP, which this release does not.", "Set the device or the supplicant to PAP, CHAP or MS-CHAPv2."},
	{RadiusMethodDisabled, ClassConfig, "The identity provider's `radius` profile has this method switched off.", "Switch it on in `profiles.radius`, or set the device to one that is on."},
	{RadiusMSCHAPHashNotKept, ClassConfig, "MS-CHAP, over RADIUS as over TACACS+, needs the NT hash of the password, and the user's type does not keep it.", "Set the device to PAP, or over TACACS+ to ASCII; or add `nt` to `password.keep` of the UserType and have the password set anew."},
	{RadiusReplyBroken, ClassConfig, "The reply could not be built from its templates and released attributes.", "The trace names the template; correct the document and apply it."},
	{RadiusReplyTooLarge, ClassConfig, "The reply would exceed the 4,096 bytes that RADIUS allows.", "Shorten the reply templates, or release fewer attributes to this service provider."},
	{RadiusServiceUnsupported, ClassClient, "The device asked for a service that this release does not offer.", "The trace names the service; set the device to another one."},
	{RealmUnknown, ClassUser, "The login name has a realm or domain that the service provider does not list.", "Add it to the service provider's `realms`, or leave it out of the login name."},
	{RecoveryUsed, ClassUser, "The recovery code is right, but was used before.", "Use another one of the set. If nobody used it, somebody else has seen the set: have a new one made."},
	{RecoveryWrong, ClassUser, "The recovery code is none of the person's set.", "Compare it with the paper; a set that was replaced is void."},
	{RoleMissing, ClassUser, "The user has none of the roles of which the service provider requires one, or has them at another time only.", "The trace names the roles. Give the user, or one of his groups, one of them in `roles`, or correct its validity."},
	{RuleBroken, ClassConfig, "An adaptive rule of the identity provider could not be evaluated, so nobody knows which factors it would have asked for.", "The trace names the rule and what went wrong; correct the IdentityProvider document."},
	{ScriptFailed, ClassConfig, "A script that the login needs threw an error, or ended the process that ran it, such as by using too much memory.", "The trace names the document or the adaptive rule, the line and the error; correct the script, or write an expression instead."},
	{ScriptTimeout, ClassConfig, "A script that the login needs took more of the processor's time than it may.", "The trace names the document or the adaptive rule; correct the script, or write an expression instead."},
	{ScriptWrongType, ClassConfig, "A script that the login needs returned something else than its field takes, such as a number for a text.", "The trace names the document or the adaptive rule, and what came. A condition returns true or false, a value a text, or a list of texts where several values are possible."},
	{SessionLimit, ClassUser, "The user has as many sessions as he may have at once.", "`trine sessions` lists them. End one, raise the limit, or wait until stale ones expire."},
	{StepUpRequired, ClassUser, "The service provider asks not to disturb the person, whose session of single sign-on lacks a factor that is needed here, or has one that was proved too long ago.", "Nothing: the service provider asks again in the open, and the person is asked for what is missing."},
	{TacacsActionUnsupported, ClassClient, "The device asks for an action of TACACS+ that is not spoken: SENDAUTH, which would hand it a password, is deprecated.", "Set the device to log people in (LOGIN) instead."},
	{TacacsArgumentMalformed, ClassClient, "An argument of the authorization request cannot be read: it has no separator, no name, or a value that it cannot have.", "The trace shows it. Where a device leaves the separator out, or sends arguments without a single byte, set `tacacs.quirks.pairsWithoutSeparator` of its ServiceProvider."},
	{TacacsArgumentRefused, ClassConfig, "The device asks for a mandatory argument that nothing here handles, or with another value than the user gets; RFC 8907 section 6.1 has such a request refused.", "The trace shows the argument. List it, with the value that is granted, for the service in `services` of a Role; or let `tacacs.authorizationRules` decide."},
	{TacacsCommandDenied, ClassUser, "The command lists of the user's roles do not permit the command.", "The trace names the role and the pattern that denied it, or says that none matched. Change `commands` of the Role if the command should be permitted; mind that the first pattern that matches decides."},
	{TacacsEnableLevel, ClassUser, "The user asked for a higher privilege level than any of the roles gives.", "The trace shows both levels. Grant the role of that level, such as `15@SYSTEM`, if it should be given."},
	{TacacsEnableSecret, ClassUser, "The enable secret was wrong.", "The system has an `enableSecret` of its own, which is asked for in place of the user's password; the trace names the InformationSystem."},
	{TacacsMethodDisabled, ClassConfig, "The identity provider has switched the method off for TACACS+.", "Switch it on in `profiles.tacacs` of the IdentityProvider, or set the device to another method."},
	{TacacsPrivilegeNone, ClassUser, "The user has none of the roles 0 to 15 in the system of the service provider, so there is no privilege level to give.", "Grant one of the roles that the trace names, such as `1@SYSTEM` or `15@SYSTEM`, to the user or to a group."},
	{TacacsReplyTooLarge, ClassConfig, "The answer would have more arguments than TACACS+ carries.", "Shorten `services` of the user's roles; together they and what the device sends may have 255 arguments."},
	{TacacsRulesDenied, ClassUser, "The script in the service provider's `tacacs.authorizationRules` refuses the request.", "The trace says what was decided before the script was asked. Change the script if the request should be authorized."},
	{TacacsServiceDenied, ClassUser, "The device asks for a service that none of the user's roles lists.", "List the service in `services` of a Role of the user's in that system, be it with an empty list."},
	{TacacsServiceMissing, ClassClient, "The authorization request does not say for what: it has no argument service, or for the shell no argument cmd (RFC 8907 section 8.2).", "The device is at fault; look for a newer release of its software."},
	{UserInactive, ClassUser, "The user exists and is switched off.", "Set `active: true` in the User document."},
	{UserLocked, ClassUser, "Too many logins under this name failed, from all sources together, so it is locked out everywhere for a time, without looking at what a login proves.", "Wait, or lift the lock with `trine user unlock`; `trine events --stream user/NAME` shows where they came from."},
	{UserLockedSource, ClassUser, "Too many logins under this name failed from this device or address, so those from there are refused for a time without looking at what they prove.", "Wait, or lift the lock with `trine user unlock`. If it comes back, the device keeps sending an old password."},
	{UserMissing, ClassClient, "The request names no user.", "Look at the device's settings; the trace shows what it sent."},
	{UserTypeMissing, ClassConfig, "The user's type does not exist, so no rule says how he may log in.", "Create the UserType document, or give the user one that exists."},
	{UserUnknown, ClassUser, "No user has this login name.", "Compare the name with the User documents and their aliases; the trace shows the name as it came and as it was looked up."},
	{WebAuthnAttestation, ClassUser, "The security key or passkey is not one that may be registered: what its maker says of it does not hold, is missing, or names a model that is not allowed.", "Register one of the allowed models; or change what the identity provider asks for."},
	{WebAuthnChallenge, ClassClient, "What the security key or passkey signed answers another login or registration.", "Try again, in one window. If many of these come, somebody replays answers."},
	{WebAuthnCounter, ClassUser, "The security key has counted back or not on, so there may be a copy of it.", "Have the person register a new one and remove this one."},
	{WebAuthnCredential, ClassUser, "The security key or passkey is not registered, or not this person's.", "Use one that is registered, or register this one."},
	{WebAuthnExpired, ClassUser, "The security key or passkey answered too late.", "Try again."},
	{WebAuthnMalformed, ClassClient, "What the browser sent is no answer of a security key or passkey.", "The trace says what was wrong; try another browser or a newer one."},
	{WebAuthnOrigin, ClassClient, "The security key or passkey was used at another web site than this one.", "Compare the origins that are set up with the address in the browser. If it is none of yours, that site imitates it: find out who was lured there."},
	{WebAuthnSignature, ClassClient, "The signature of the security key or passkey does not hold.", "Try again; if it stays so, have it registered anew."},
	{WebAuthnVerification, ClassUser, "The security key or passkey was touched, but did not verify its user by PIN or biometrics.", "Set a PIN on the key, or use one that can; or do not require user verification."},
	{WorkerFailed, ClassSystem, "The process that verifies passwords died twice over this one, or the one that runs scripts is not there.", "The node's log says why it ended; the address-space limit may be too small for the Argon2id cost in the UserType."},
}

// All returns every reason of this release, sorted by code.
func All() []Info { return slices.Clone(infos[:]) }

// Info explains the reason; false if this release does not know it.
func (r Reason) Info() (Info, bool) {
	i, ok := slices.BinarySearchFunc(infos[:], r, func(i Info, r Reason) int { return cmp.Compare(i.Code, r) })
	if !ok {
		return Info{Code: r}, false
	}
	return infos[i], true
}

// Class returns whose doing the reason is. It does not allocate.
func (r Reason) Class() Class {
	i, ok := slices.BinarySearchFunc(infos[:], r, func(i Info, r Reason) int { return cmp.Compare(i.Code, r) })
	if !ok {
		return ClassUnknown
	}
	return infos[i].Class
}
