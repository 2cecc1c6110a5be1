package webauthn

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"
)

// The bounds of a configuration and of what people have.
const (
	MinTimeout     = 30 * time.Second
	MaxTimeout     = 10 * time.Minute
	MaxCredentials = 32 // of one person
	MinHandle      = 16 // bytes of a user handle, which is random and says nothing about the person
	MaxHandle      = 64
)

// Verification says whether a second factor must verify its user, by PIN or biometrics, besides that somebody touches it.
type Verification uint8

// The requirements.
const (
	Preferred   Verification = iota // where the authenticator can
	Required                        // always
	Discouraged                     // only touched; for those that would ask each time
)

func (v Verification) requirement() protocol.UserVerificationRequirement {
	switch v {
	case Required:
		return protocol.VerificationRequired
	case Discouraged:
		return protocol.VerificationDiscouraged
	}
	return protocol.VerificationPreferred
}

// Attestation says which authenticators may be registered. The zero Attestation asks for none, and takes all.
type Attestation struct {
	// Roots are the certificates that the attestation of an authenticator must lead to. With them, an authenticator that attests
	// nothing, or only itself, is refused.
	Roots *x509.CertPool
	// AAGUIDs are the models that may be registered; none: all that Roots vouch for. They need Roots: without, anything can name any model.
	AAGUIDs []uuid.UUID
}

// Config says who the relying party is and what it asks for.
type Config struct {
	ID           string        // a domain, such as "example.org": credentials are bound to it for ever
	Name         string        // what people are shown
	Origins      []string      // where pages are served, such as "https://sso.example.org": https at ID or below it, or http://localhost
	Verification Verification  // of second factors; a passkey that logs in alone always verifies its user
	Attestation  Attestation   // of new authenticators
	Timeout      time.Duration // for a person to answer; 0: five minutes
}

var (
	// ErrConfig means that a configuration cannot work or would be unsafe.
	ErrConfig = errors.New("WebAuthn is not set up right")
	// ErrPerson means that a ceremony cannot begin for a person: a bad user handle, too many credentials, or none to log in with.
	ErrPerson = errors.New("no WebAuthn ceremony can begin for this person")
)

// RelyingParty begins and verifies ceremonies. It is immutable and safe for concurrent use.
type RelyingParty struct {
	library     *webauthn.WebAuthn
	config      Config
	credentials []protocol.CredentialParameter
}

// New returns a relying party, or ErrConfig, wrapped with what is wrong.
func New(c Config) (*RelyingParty, error) {
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Minute
	}
	switch {
	case c.Name == "":
		return nil, fmt.Errorf("%w: it has no name to show", ErrConfig)
	case c.Verification > Discouraged:
		return nil, fmt.Errorf("%w: the requirement of user verification is unknown", ErrConfig)
	case c.Timeout < MinTimeout || c.Timeout > MaxTimeout:
		return nil, fmt.Errorf("%w: a timeout of %v, not %v to %v", ErrConfig, c.Timeout, MinTimeout, MaxTimeout)
	case len(c.Attestation.AAGUIDs) > 0 && c.Attestation.Roots == nil:
		return nil, fmt.Errorf("%w: models are listed, but no root certificates that would prove them", ErrConfig)
	}
	for _, origin := range c.Origins {
		if !sound(origin, c.ID) {
			return nil, fmt.Errorf("%w: the origin %q is not https://HOST, with a host that is %s or below it, and nothing after it", ErrConfig, origin, c.ID)
		}
	}
	c.Origins = slices.Clone(c.Origins)
	c.Attestation.AAGUIDs = slices.Clone(c.Attestation.AAGUIDs)
	timeout := webauthn.TimeoutConfig{Timeout: c.Timeout, TimeoutUVD: c.Timeout} // shown to browsers; ours is in the session
	library, err := webauthn.New(&webauthn.Config{
		RPID: c.ID, RPDisplayName: c.Name, RPOrigins: c.Origins,
		Timeouts: webauthn.TimeoutsConfig{Login: timeout, Registration: timeout},
		// No extension is asked for and no output is read. Some password managers send some all the same.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
	if err == nil {
		err = protocol.ValidateRPID(c.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	rp := &RelyingParty{library: library, config: c}
	for _, a := range [...]webauthncose.COSEAlgorithmIdentifier{webauthncose.AlgES256, webauthncose.AlgEdDSA, webauthncose.AlgRS256} {
		rp.credentials = append(rp.credentials, protocol.CredentialParameter{Type: protocol.PublicKeyCredentialType, Algorithm: a})
	}
	return rp, nil
}

// sound reports whether credentials of a domain can be used at an origin (WebAuthn section 5.1.3, step 8).
func sound(origin, domain string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme+"://"+u.Host != origin || domain == "" {
		return false
	}
	host := u.Hostname()
	return (host == domain || strings.HasSuffix(host, "."+domain)) && (u.Scheme == "https" || u.Scheme == "http" && host == "localhost")
}

// User is whom a registration is for.
type User struct {
	Handle []byte // MinHandle to MaxHandle random bytes that stand for the person in authenticators, for ever
	Name   string // the login name, to be shown
	Full   string // the full name, to be shown; empty: the login name
}

// BeginRegistration returns the options that the page passes to navigator.credentials.create, as JSON, and the session to finish it
// with. Existing are the person's credentials: an authenticator that has one of them refuses. With passkey, the credential will be able to log in
// alone: it is discoverable and verifies its user. Errors are ErrPerson.
func (rp *RelyingParty) BeginRegistration(user User, existing []Credential, passkey bool, now time.Time) (options []byte, s Session, err error) {
	if err := check(user.Handle, len(existing)+1); err != nil {
		return nil, Session{}, err
	}
	if user.Name == "" {
		return nil, Session{}, fmt.Errorf("%w: no name to show", ErrPerson)
	}
	selection := protocol.AuthenticatorSelection{
		ResidentKey: protocol.ResidentKeyRequirementDiscouraged, RequireResidentKey: protocol.ResidentKeyNotRequired(),
		UserVerification: rp.config.Verification.requirement(),
	}
	if passkey {
		selection.ResidentKey, selection.RequireResidentKey = protocol.ResidentKeyRequirementRequired, protocol.ResidentKeyRequired()
		selection.UserVerification = protocol.VerificationRequired
	}
	conveyance := protocol.PreferNoAttestation
	if rp.config.Attestation.Roots != nil {
		conveyance = protocol.PreferDirectAttestation
	}
	creation, session, err := rp.library.BeginRegistration(&person{user: user},
		webauthn.WithCredentialParameters(rp.credentials), webauthn.WithAuthenticatorSelection(selection),
		webauthn.WithConveyancePreference(conveyance), webauthn.WithExclusions(descriptors(existing)))
	if err != nil {
		return nil, Session{}, fmt.Errorf("begin WebAuthn registration: %w", err)
	}
	return rp.begun(registration, creation, session, user.Handle, nil, now)
}

// BeginLogin returns the options that the page passes to navigator.credentials.get, as JSON, and the session to finish it with, for a
// person who is known already: any of his credentials is a second factor. Errors are ErrPerson.
func (rp *RelyingParty) BeginLogin(handle []byte, credentials []Credential, now time.Time) (options []byte, s Session, err error) {
	if err := check(handle, len(credentials)); err != nil {
		return nil, Session{}, err
	}
	if len(credentials) == 0 {
		return nil, Session{}, fmt.Errorf("%w: none is registered", ErrPerson)
	}
	p := &person{user: User{Handle: handle}}
	allowed := make([][]byte, len(credentials))
	for i := range credentials {
		p.credentials = append(p.credentials, credentials[i].library())
		allowed[i] = credentials[i].ID
	}
	assertion, session, err := rp.library.BeginLogin(p, webauthn.WithUserVerification(rp.config.Verification.requirement()))
	if err != nil {
		return nil, Session{}, fmt.Errorf("begin WebAuthn login: %w", err)
	}
	return rp.begun(login, assertion, session, handle, allowed, now)
}

// BeginPasskey is BeginLogin for a person who is not known yet: a passkey says who he is, and verifies him.
func (rp *RelyingParty) BeginPasskey(now time.Time) (options []byte, s Session, err error) {
	assertion, session, err := rp.library.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, Session{}, fmt.Errorf("begin WebAuthn login with a passkey: %w", err)
	}
	return rp.begun(passkey, assertion, session, nil, nil, now)
}

// check bounds what a ceremony is begun with.
func check(handle []byte, credentials int) error {
	switch {
	case len(handle) < MinHandle || len(handle) > MaxHandle:
		return fmt.Errorf("%w: the user handle has %d bytes, not %d to %d", ErrPerson, len(handle), MinHandle, MaxHandle)
	case credentials > MaxCredentials:
		return fmt.Errorf("%w: more than %d credentials", ErrPerson, MaxCredentials)
	}
	return nil
}

// begun makes our session of the library's, and the JSON of its options.
func (rp *RelyingParty) begun(c ceremony, options any, library *webauthn.SessionData, handle []byte, allowed [][]byte, now time.Time) ([]byte, Session, error) {
	encoded, err := json.Marshal(options)
	if err != nil {
		return nil, Session{}, fmt.Errorf("encode WebAuthn options: %w", err)
	}
	s := Session{
		ceremony: c, verify: library.UserVerification == protocol.VerificationRequired,
		notAfter: time.Unix(now.Add(rp.config.Timeout).Unix(), 0), handle: slices.Clone(handle), allowed: allowed,
	}
	if err := s.setChallenge(library.Challenge); err != nil {
		return nil, Session{}, err
	}
	return encoded, s, nil
}

// person is a user as the library sees one.
type person struct {
	user        User
	credentials []webauthn.Credential
}

func (p *person) WebAuthnID() []byte   { return p.user.Handle }
func (p *person) WebAuthnName() string { return p.user.Name }

func (p *person) WebAuthnDisplayName() string {
	if p.user.Full == "" {
		return p.user.Name
	}
	return p.user.Full
}

func (p *person) WebAuthnCredentials() []webauthn.Credential { return p.credentials }

func descriptors(credentials []Credential) []protocol.CredentialDescriptor {
	out := make([]protocol.CredentialDescriptor, len(credentials))
	for i := range credentials {
		c := credentials[i].library()
		out[i] = c.Descriptor()
	}
	return out
}
