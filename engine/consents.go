package engine

import (
	"context"
	"errors"

	"trine/engine/event"
	"trine/engine/policy"
	"trine/engine/state"
)

// Consent returns what a person lets a service provider know; false if he was never asked, or took it back.
func (e *Engine) Consent(user uint64, client string) (state.Consent, bool) {
	return e.config.People.Consent(user, client)
}

// Consents returns what a person lets service providers know, by their names.
func (e *Engine) Consents(user uint64) []state.Consent { return e.config.People.ConsentsOf(user) }

// ConsentGiven is what a person lets a service provider know from now on, beside what he let it know before.
type ConsentGiven struct {
	User           string
	Client         *policy.Client
	Scopes, Claims []string
	Login          uint64 // decision id of the login that it was asked at
}

// GiveConsent keeps what a person lets a service provider know, and returns once that is committed. What was consented to before adds nothing and is not recorded.
func (e *Engine) GiveConsent(ctx context.Context, c *ConsentGiven) error {
	var u state.User
	if e.config.People.User(&u, []byte(c.User)) {
		if kept, ok := e.config.People.Consent(u.ID, c.Client.Name); ok && kept.Covers(c.Scopes, c.Claims) {
			return nil
		}
	}
	m := &event.ConsentGiven{User: c.User, Client: c.Client.Name, Scopes: c.Scopes, Claims: c.Claims, Login: c.Login}
	if c.Client.Issuer != nil {
		m.IdentityProvider = c.Client.Issuer.Name
	}
	streams := grantStreams(c.User, c.Client.Name)
	if c.Login != 0 {
		streams = append(streams, decisionKey(c.Login))
	}
	return e.proposeOne(ctx, event.TypeConsentGiven, event.ClassIdentity, streams, m, ErrDenied)
}

// ErrNoConsent means that there is no consent to revoke.
var ErrNoConsent = errors.New("engine: the person has given no such consent")

// RevokeConsent takes consent to a service provider back, or all of it where none is named, and ends the grants that rest on it; it returns once that is committed. By is the
// administrator who wants it, empty for the person himself.
func (e *Engine) RevokeConsent(ctx context.Context, user, client, by string) error {
	streams := []uint64{userKey(user)}
	if client != "" {
		streams = append(streams, event.StreamKey(event.StreamClient, client))
	}
	return e.proposeOne(ctx, event.TypeConsentRevoked, event.ClassIdentity, streams, &event.ConsentRevoked{User: user, Client: client, By: by}, ErrNoConsent)
}
