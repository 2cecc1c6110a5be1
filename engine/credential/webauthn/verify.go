package webauthn

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"

	"trine/engine/trace"
)

// maxResponse bounds what is parsed, in bytes. Attestations with long chains have some ten thousand.
const maxResponse = 64 << 10

// Outcome is what a verification came to.
type Outcome struct {
	Reason trace.Reason
	Detail string // more about it, for people; it holds no secret, and may hold what the client sent
}

// Record adds the outcome to a trace. Credential is what the person calls it, or its model.
func (o Outcome) Record(t *trace.Trace, credential string) {
	if o.Reason == trace.OK {
		t.Add(trace.WebAuthnChecked, credential, "")
		return
	}
	t.Add(trace.WebAuthnRefused, credential, o.Detail)
}

// FinishRegistration verifies what navigator.credentials.create returned, as the JSON of its toJSON, at a time. With [trace.OK] it
// returns the credential to keep: whoever records it makes sure that the session was not answered yet and that nobody has a credential with its
// id. The other reasons are
//
//   - [trace.WebAuthnMalformed]: the answer is none;
//   - [trace.WebAuthnExpired]: it came at the session's NotAfter or later;
//   - [trace.WebAuthnChallenge]: it answers another challenge, or another ceremony;
//   - [trace.WebAuthnOrigin]: it was made at another site, or for another relying party;
//   - [trace.WebAuthnVerification]: the authenticator did not verify its user, and should have;
//   - [trace.WebAuthnAttestation]: the attestation does not hold, or the authenticator is not one that may be registered.
func (rp *RelyingParty) FinishRegistration(s Session, response []byte, now time.Time) (Credential, Outcome) {
	if len(response) > maxResponse {
		return Credential{}, tooLong(response)
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(response)
	if err != nil {
		return Credential{}, Outcome{trace.WebAuthnMalformed, detail(err)}
	}
	client, object := &parsed.Response.CollectedClientData, &parsed.Response.AttestationObject
	if o := s.answered(registration, client, now); o.Reason != trace.OK {
		return Credential{}, o
	}
	credential, err := rp.library.CreateCredential(&person{user: User{Handle: s.handle}}, s.library(rp), parsed)
	if err != nil {
		return Credential{}, rp.refusal(&s, client, &object.AuthData, err)
	}
	if _, err := webauthncose.ParsePublicKey(credential.PublicKey); err != nil || len(credential.PublicKey) > maxKey || len(credential.ID) > maxID {
		return Credential{}, Outcome{trace.WebAuthnMalformed, "the public key or the id is none that can be kept"}
	}
	if o := rp.attested(object, now); o.Reason != trace.OK {
		return Credential{}, o
	}
	return fromLibrary(credential), Outcome{Reason: trace.OK}
}

// Assertion is what an authenticator answered to a login, not verified yet.
type Assertion struct {
	parsed *protocol.ParsedCredentialAssertionData
}

// ReadAssertion reads what navigator.credentials.get returned, as the JSON of its toJSON. The reason is [trace.OK] or
// [trace.WebAuthnMalformed].
func ReadAssertion(response []byte) (Assertion, Outcome) {
	if len(response) > maxResponse {
		return Assertion{}, tooLong(response)
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return Assertion{}, Outcome{trace.WebAuthnMalformed, detail(err)}
	}
	return Assertion{parsed}, Outcome{Reason: trace.OK}
}

// CredentialID returns the id of the credential that was used, by which whoever keeps credentials finds it. It proves nothing.
func (a Assertion) CredentialID() []byte { return a.parsed.RawID }

// Handle returns the user handle that a passkey keeps; others may return none. It proves nothing.
func (a Assertion) Handle() []byte { return a.parsed.Response.UserHandle }

// Login is a login that holds.
type Login struct {
	Credential Credential // as it is to be kept from now on: counter and flags have moved
	Verified   bool       // the authenticator verified its user: more than a touch, so that the login counts as two factors
}

// FinishLogin verifies an assertion at a time, against the credential with its id and the handle of the person who has registered it.
// With [trace.OK] it returns the login: whoever records it makes sure that the session was not answered yet. Besides the reasons of
// FinishRegistration, but for WebAuthnAttestation, there are
//
//   - [trace.WebAuthnCredential]: the credential is none that the session allows, or another person's;
//   - [trace.WebAuthnSignature]: the assertion is not signed by the credential's key;
//   - [trace.WebAuthnCounter]: it is, but the authenticator has counted back or not on: there may be a copy of it (WebAuthn section
//     6.1.1).
func (rp *RelyingParty) FinishLogin(s Session, a Assertion, credential Credential, handle []byte, now time.Time) (Login, Outcome) {
	client, data := &a.parsed.Response.CollectedClientData, &a.parsed.Response.AuthenticatorData
	want := login
	if s.ceremony == passkey {
		want = passkey
	}
	if o := s.answered(want, client, now); o.Reason != trace.OK {
		return Login{}, o
	}
	switch {
	case !bytes.Equal(credential.ID, a.parsed.RawID):
		return Login{}, Outcome{trace.WebAuthnCredential, "it is not known"}
	case s.ceremony == login && !bytes.Equal(handle, s.handle), len(a.Handle()) > 0 && !bytes.Equal(a.Handle(), handle):
		return Login{}, Outcome{trace.WebAuthnCredential, "it is another person's"}
	case s.ceremony == login && !slices.ContainsFunc(s.allowed, func(id []byte) bool { return bytes.Equal(id, credential.ID) }):
		return Login{}, Outcome{trace.WebAuthnCredential, "it was not asked for"}
	case s.ceremony == passkey && len(a.Handle()) == 0:
		return Login{}, Outcome{trace.WebAuthnCredential, "it does not say whose it is, so it is no passkey"}
	}
	p := &person{user: User{Handle: handle}, credentials: []webauthn.Credential{credential.library()}}
	var after *webauthn.Credential
	var err error
	if s.ceremony == passkey {
		_, after, err = rp.library.ValidatePasskeyLogin(func([]byte, []byte) (webauthn.User, error) { return p, nil }, s.library(rp), a.parsed)
	} else {
		after, err = rp.library.ValidateLogin(p, s.library(rp), a.parsed)
	}
	if err != nil {
		return Login{}, rp.refusal(&s, client, data, err)
	}
	if after.Authenticator.CloneWarning {
		return Login{}, Outcome{trace.WebAuthnCounter, fmt.Sprintf("it counts %d after %d", data.Counter, credential.Counter)}
	}
	credential.Counter, credential.Flags = after.Authenticator.SignCount, uint8(after.Flags.ProtocolValue())
	return Login{Credential: credential, Verified: data.Flags.HasUserVerified()}, Outcome{Reason: trace.OK}
}

// answered checks that client data answers the session, in time.
func (s *Session) answered(want ceremony, client *protocol.CollectedClientData, now time.Time) Outcome {
	typ := protocol.AssertCeremony
	if want == registration {
		typ = protocol.CreateCeremony
	}
	switch {
	case s.ceremony != want || client.Type != typ:
		return Outcome{trace.WebAuthnChallenge, "it answers another ceremony"}
	case subtle.ConstantTimeCompare([]byte(client.Challenge), []byte(s.encoded())) != 1:
		return Outcome{trace.WebAuthnChallenge, "it answers another challenge"}
	case !now.Before(s.notAfter):
		return Outcome{trace.WebAuthnExpired, "it was good until " + s.notAfter.UTC().Format(time.RFC3339)}
	}
	return Outcome{Reason: trace.OK}
}

// refusal says why the library refused. Its errors are for programmers, and several causes share a kind: so what can be seen is looked
// at first.
func (rp *RelyingParty) refusal(s *Session, client *protocol.CollectedClientData, data *protocol.AuthenticatorData, err error) Outcome {
	id := sha256.Sum256([]byte(rp.config.ID))
	switch {
	case !protocol.IsOriginInHaystack(client.Origin, rp.config.Origins):
		return Outcome{trace.WebAuthnOrigin, "it was made at " + client.Origin}
	case client.CrossOrigin:
		return Outcome{trace.WebAuthnOrigin, "it was made in a frame of " + client.TopOrigin}
	case !bytes.Equal(data.RPIDHash, id[:]):
		return Outcome{trace.WebAuthnOrigin, "it was made for another relying party"}
	case s.verify && !data.Flags.HasUserVerified():
		return Outcome{trace.WebAuthnVerification, "the authenticator did not verify its user"}
	}
	var e *protocol.Error
	if errors.As(err, &e) {
		switch e.Type {
		case protocol.ErrAssertionSignature.Type:
			return Outcome{trace.WebAuthnSignature, "its signature does not hold"}
		case protocol.ErrAttestation.Type, protocol.ErrInvalidAttestation.Type, protocol.ErrAttestationCertificate.Type:
			return Outcome{trace.WebAuthnAttestation, detail(err)}
		}
	}
	return Outcome{trace.WebAuthnMalformed, detail(err)}
}

// detail returns what may be told of a library's error. What it has for debugging may be long, and may quote what is to be verified.
func detail(err error) string {
	var e *protocol.Error
	if errors.As(err, &e) {
		return e.Details
	}
	return "it cannot be read"
}

func tooLong(response []byte) Outcome {
	return Outcome{trace.WebAuthnMalformed, fmt.Sprintf("it has %d bytes, more than %d", len(response), maxResponse)}
}

// subjectAltName is critical in the certificates of TPMs, whose subject is empty, and not read by crypto/x509 in their form.
var subjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// attested applies the policy to an attestation whose signature holds.
func (rp *RelyingParty) attested(object *protocol.AttestationObject, now time.Time) Outcome {
	policy := rp.config.Attestation
	if policy.Roots == nil {
		return Outcome{Reason: trace.OK}
	}
	var chain []*x509.Certificate
	list, _ := object.AttStatement["x5c"].([]any)
	for _, item := range list {
		der, _ := item.([]byte)
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return Outcome{trace.WebAuthnAttestation, "a certificate of the attestation cannot be read"}
		}
		chain = append(chain, certificate)
	}
	if len(chain) == 0 { // none, self-attestation, and the formats that bring their chain in another way
		return Outcome{trace.WebAuthnAttestation, fmt.Sprintf("the attestation (%s) has no certificate", object.Format)}
	}
	options := x509.VerifyOptions{
		Roots: policy.Roots, Intermediates: x509.NewCertPool(), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	for _, c := range chain[1:] {
		options.Intermediates.AddCert(c)
	}
	if object.Format == string(protocol.AttestationFormatTPM) {
		chain[0].UnhandledCriticalExtensions = slices.DeleteFunc(chain[0].UnhandledCriticalExtensions, subjectAltName.Equal)
	}
	if _, err := chain[0].Verify(options); err != nil {
		return Outcome{trace.WebAuthnAttestation, "its certificate leads to no root that is trusted: " + err.Error()}
	}
	model := fmt.Sprintf("%x", object.AuthData.AttData.AAGUID)
	for _, allowed := range policy.AAGUIDs {
		if bytes.Equal(allowed[:], object.AuthData.AttData.AAGUID) {
			return Outcome{Reason: trace.OK}
		}
	}
	if len(policy.AAGUIDs) > 0 {
		return Outcome{trace.WebAuthnAttestation, "the model " + model + " is not allowed"}
	}
	return Outcome{Reason: trace.OK}
}
