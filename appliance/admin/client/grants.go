package client

import (
	"context"
	"net/url"

	"trine/appliance/admin/api"
)

// GrantQuery selects grants. Empty fields select all.
type GrantQuery struct {
	User   string
	Client string
	Ended  bool // those too that are over and are remembered
	After  string
	Limit  int
}

// Grants returns a page of grants.
func (c *Client) Grants(ctx context.Context, g GrantQuery) (*api.GrantList, error) {
	q := url.Values{}
	set(q, "user", g.User)
	set(q, "client", g.Client)
	set(q, "after", g.After)
	if g.Ended {
		set(q, "ended", "true")
	}
	setInt(q, "limit", g.Limit)
	return get[api.GrantList](ctx, c, "/grants", q)
}

// RevokeGrant ends a grant.
func (c *Client) RevokeGrant(ctx context.Context, id string) error {
	return c.remove(ctx, at("grants", id), nil)
}

// RevokeGrants makes void all that was issued to a service provider or, where none is named, for a user.
func (c *Client) RevokeGrants(ctx context.Context, user, service string) error {
	q := url.Values{}
	set(q, "user", user)
	set(q, "client", service)
	return c.remove(ctx, "/grants", q)
}

// ConsentQuery selects consents. Empty fields select all.
type ConsentQuery struct {
	User   string
	Client string
	After  string
	Limit  int
}

// Consents returns a page of consents.
func (c *Client) Consents(ctx context.Context, x ConsentQuery) (*api.ConsentList, error) {
	q := url.Values{}
	set(q, "user", x.User)
	set(q, "client", x.Client)
	set(q, "after", x.After)
	setInt(q, "limit", x.Limit)
	return get[api.ConsentList](ctx, c, "/consents", q)
}

// RevokeConsent takes back what a user lets a service provider know, or all of it where none is named.
func (c *Client) RevokeConsent(ctx context.Context, user, service string) error {
	q := url.Values{}
	set(q, "client", service)
	return c.remove(ctx, at("users", user, "consents"), q)
}

// SigningKeys returns the signing keys of an identity provider, or of all where none is named.
func (c *Client) SigningKeys(ctx context.Context, issuer string) (*api.SigningKeyList, error) {
	q := url.Values{}
	set(q, "identityProvider", issuer)
	return get[api.SigningKeyList](ctx, c, "/signing-keys", q)
}

// RotateSigningKeys gives an identity provider new signing keys.
func (c *Client) RotateSigningKeys(ctx context.Context, issuer string, how api.KeyRotation) (*api.SigningKeyList, error) {
	return post[api.SigningKeyList](ctx, c, at("signing-keys", issuer, "rotate"), how)
}
