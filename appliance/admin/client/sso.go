package client

import (
	"context"
	"net/http"
	"net/url"

	"trine/appliance/admin/api"
)

// SSOQuery selects sessions of single sign-on. Empty fields select all.
type SSOQuery struct {
	User  string
	Ended bool // those too that have ended and are remembered
	After string
	Limit int
}

// SSOSessions returns a page of sessions of single sign-on.
func (c *Client) SSOSessions(ctx context.Context, s SSOQuery) (*api.SSOSessionList, error) {
	q := url.Values{}
	set(q, "user", s.User)
	set(q, "after", s.After)
	if s.Ended {
		set(q, "ended", "true")
	}
	setInt(q, "limit", s.Limit)
	return get[api.SSOSessionList](ctx, c, "/sso/sessions", q)
}

// EndSSOSession ends a session of single sign-on.
func (c *Client) EndSSOSession(ctx context.Context, id string) error {
	return c.remove(ctx, at("sso", "sessions", id), nil)
}

// EndSSOSessionsOf ends all sessions of single sign-on of a user but one; empty: all.
func (c *Client) EndSSOSessionsOf(ctx context.Context, user, except string) (*api.SSOEnded, error) {
	q := url.Values{}
	set(q, "except", except)
	out := new(api.SSOEnded)
	_, err := c.do(ctx, request{method: http.MethodDelete, path: at("users", user, "sso", "sessions"), query: q}, out)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// TrustedDevices lists the devices that can stand for a user's second factor.
func (c *Client) TrustedDevices(ctx context.Context, user string) (*api.TrustedDeviceList, error) {
	return get[api.TrustedDeviceList](ctx, c, at("users", user, "devices"), nil)
}

// RevokeTrustedDevice trusts a user's device no longer; with an empty id, none of them.
func (c *Client) RevokeTrustedDevice(ctx context.Context, user, id string) error {
	path := at("users", user, "devices")
	if id != "" {
		path = at("users", user, "devices", id)
	}
	return c.remove(ctx, path, nil)
}
