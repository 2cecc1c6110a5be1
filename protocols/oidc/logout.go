package oidc

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"trine/engine/policy"
	"trine/engine/state"
	"trine/engine/trace"
	"trine/protocols/web"
)

// Name implements web.Protocol.
func (p *Provider) Name() string { return "oidc" }

// logout is the logout endpoint (OpenID Connect RP-Initiated Logout 1.0).
func (p *Provider) logout(x *web.Exchange) {
	q, ok, err := readRequest(x)
	if !ok {
		return
	}
	if err == nil && q.twice != "" {
		err = errParams
	}
	if err != nil {
		p.page(x, nil, refuse("invalid_request", trace.OIDCHintInvalid, "%s", err))
		return
	}
	l, client, wrong := p.readLogout(x, &q)
	if wrong != nil {
		p.page(x, client, wrong)
		return
	}
	p.front.Logout(x, l)
}

// readLogout reads a request for a logout. The hint is verified, however old it is; without one the person is asked, as anybody could have made the request.
func (p *Provider) readLogout(x *web.Exchange, q *params) (*web.Logout, *policy.Client, *refusal) {
	l := &web.Logout{Confirm: true, Locales: words(q.get("ui_locales"))}
	id := q.get("client_id")
	if hint := q.get("id_token_hint"); hint != "" {
		told, err := p.readHint(x.R.Context(), x.Issuer, hint)
		if err != nil {
			return nil, nil, refuse("invalid_request", trace.OIDCHintInvalid, "the id_token_hint is no ID token that this identity provider made")
		}
		switch {
		case id == "" && told.Party != "":
			id = told.Party
		case id == "" && len(told.Audience) == 1:
			id = told.Audience[0]
		case !slices.Contains(told.Audience, id):
			return nil, nil, refuse("invalid_request", trace.OIDCHintInvalid, "the id_token_hint was made for another client")
		}
		if client := x.Cache.OpenIDClient([]byte(id)); client != nil {
			l.Confirm = false
			sid := told.Session
			l.Of = func(s *state.SSO) bool { return sid == "" || sid == p.sid(s.Number, client) }
		}
	}
	var client *policy.Client
	if id != "" {
		if client = x.Cache.OpenIDClient([]byte(id)); client == nil || client.Issuer == nil || client.Issuer.Name != x.Issuer.Name {
			return nil, nil, refuse("invalid_client", trace.OIDCClientUnknown, "this identity provider has no client %q", short(id))
		}
		l.Client = client
	}
	to := q.get("post_logout_redirect_uri")
	if to == "" {
		return l, client, nil
	}
	if client == nil {
		return nil, nil, refuse("invalid_request", trace.OIDCHintInvalid, "where to go after the logout needs a client: id_token_hint or client_id")
	}
	wire := wireOf(client)
	if wire == nil || !slices.Contains(wire.spec.PostLogoutURLs, to) {
		return nil, client, refuse("invalid_request", trace.OIDCRedirectInvalid, "%q is none of the client's postLogoutURLs", short(to))
	}
	if state := q.get("state"); state != "" {
		sep := "?"
		if strings.Contains(to, "?") {
			sep = "&"
		}
		to += sep + "state=" + url.QueryEscape(state)
	}
	l.Redirect = to
	return l, client, nil
}

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// logoutLife is how long a logout token is good (OpenID Connect Back-Channel Logout 1.0 section 2.4).
const logoutLife = 2 * time.Minute

// LoggedOut implements web.Protocol: a frame for the client's front channel, and a call by its back channel.
func (p *Provider) LoggedOut(c *policy.Cache, s *state.SSO, v *state.SSOVisit) (frame string, call func(context.Context) error) {
	client := c.Client(v.Client)
	if client == nil || client.Issuer == nil || client.Issuer.Name != v.Issuer || client.Broken != nil {
		return "", nil
	}
	wire := wireOf(client)
	if wire == nil {
		return "", nil
	}
	if address := wire.spec.FrontChannelLogoutURL; address != "" {
		frame = address
		if wire.spec.FrontChannelSession {
			sep := "?"
			if strings.Contains(address, "?") {
				sep = "&"
			}
			frame += sep + url.Values{"iss": {client.Issuer.URL}, "sid": {p.sid(s.Number, client)}}.Encode()
		}
	}
	if address := wire.spec.BackChannelLogoutURL; address != "" {
		number, user := s.Number, s.User
		call = func(ctx context.Context) error { return p.tellLogout(ctx, client, wire, number, user, address) }
	}
	return frame, call
}

// tellLogout tells a client by its back channel that a session has ended, and tries again where the client cannot be reached.
func (p *Provider) tellLogout(ctx context.Context, client *policy.Client, wire *Client, session uint64, user, address string) error {
	var err error
	for try := range backChannelTries {
		if try > 0 {
			select {
			case <-ctx.Done():
				return err
			case <-time.After(time.Duration(try) * time.Second):
			}
		}
		var token string
		if token, err = p.logoutToken(ctx, client, wire, session, user); err != nil {
			return err
		}
		if err = p.out.post(ctx, address, url.Values{"logout_token": {token}}); err == nil {
			return nil
		}
	}
	return err
}

const backChannelTries = 3

// logoutToken makes a logout token (OpenID Connect Back-Channel Logout 1.0 section 2.4).
func (p *Provider) logoutToken(ctx context.Context, client *policy.Client, wire *Client, session uint64, user string) (string, error) {
	now := p.now()
	o := newObject(make([]byte, 0, 512))
	o.text("iss", client.Issuer.URL)
	if wire.spec.SubjectType != "pairwise" && client.UID == nil {
		o.text("sub", user)
	}
	o.text("aud", client.ClientID)
	o.number("iat", now.Unix())
	o.number("exp", now.Add(logoutLife).Unix())
	o.text("jti", randomText(16))
	o.text("sid", p.sid(session, client))
	o.raw("events", []byte(`{"`+logoutEvent+`":{}}`))
	s, err := p.signer(ctx, client.Issuer, wire.spec.IDTokenAlgorithm)
	if err != nil {
		return "", err
	}
	token, err := s.sign(nil, typeLogout, o.end())
	if err != nil || wire.spec.IDTokenEncryption == nil {
		return string(token), err
	}
	set, err := p.keySet(ctx, wire)
	if err != nil {
		return "", err
	}
	return encrypt(wire.spec.IDTokenEncryption, set, string(token), "JWT")
}
