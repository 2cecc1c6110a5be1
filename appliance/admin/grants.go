package admin

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"trine/appliance/admin/api"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/state"
)

// Keys rotates the keys by which identity providers sign.
type Keys interface {
	// Rotate gives an identity provider new keys. Its errors wrap those of a [Log] where one of them is the reason.
	Rotate(ctx context.Context, issuer string, algorithms []string, atOnce bool, by string) error
}

func (s *Server) registerGrants(a huma.API) {
	const tag = "Grants and keys"
	read := []string{ScopeRead, ScopeSessions}
	register(a, operation{
		id: "listGrants", method: http.MethodGet, path: "/grants", tag: tag, summary: "List what people have let clients have", scopes: read,
	}, s.listGrants)
	register(a, operation{
		id: "revokeGrant", method: http.MethodDelete, path: "/grants/{id}", tag: tag, summary: "End a grant",
		about: "None of its tokens is good from then on.", scopes: []string{ScopeSessions},
	}, s.revokeGrant)
	register(a, operation{
		id: "revokeGrants", method: http.MethodDelete, path: "/grants", tag: tag, summary: "Make void all that was issued to a service provider, or for a user",
		about: "Tokens that clients have got for themselves are among that.", scopes: []string{ScopeSessions},
	}, s.voidGrants)
	register(a, operation{
		id: "listConsents", method: http.MethodGet, path: "/consents", tag: tag, summary: "List what people let service providers know", scopes: read,
	}, s.listConsents)
	register(a, operation{
		id: "revokeConsents", method: http.MethodDelete, path: "/users/{name}/consents", tag: tag, summary: "Take back what a user lets a service provider know",
		about: "The grants that rest on it end. Without a client, all of his.", scopes: []string{ScopeSessions, ScopeUsers, ScopeWrite},
	}, s.revokeConsents)
	register(a, operation{
		id: "listSigningKeys", method: http.MethodGet, path: "/signing-keys", tag: tag, summary: "List the keys by which identity providers sign tokens",
		scopes: []string{ScopeRead, ScopeWrite, scopeDocuments + document.KindIdentityProvider},
	}, s.listSigningKeys)
	register(a, operation{
		id: "rotateSigningKeys", method: http.MethodPost, path: "/signing-keys/{identityProvider}/rotate", tag: tag, summary: "Give an identity provider new signing keys",
		about:  "They are published at once and sign an hour later; those before them stay published until what they signed is over.",
		status: http.StatusOK, scopes: []string{ScopeWrite, scopeDocuments + document.KindIdentityProvider},
	}, s.rotateSigningKeys)
}

type listGrantsInput struct {
	Call
	User   string `query:"user" maxLength:"512"`
	Client string `query:"client" maxLength:"512" doc:"Service provider"`
	Ended  bool   `query:"ended" doc:"Those too that are over and are remembered, which is for a day at most"`
	After  string `query:"after" maxLength:"13" doc:"Cursor: next of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"200"`
}

func (s *Server) listGrants(_ context.Context, in *listGrantsInput) (*answer[api.GrantList], error) {
	after, err := optionalID("after", in.After)
	if err != nil {
		return nil, err
	}
	now := s.now().Unix()
	out := &answer[api.GrantList]{Body: api.GrantList{Grants: []api.Grant{}}}
	var found []state.Grant
	if in.User != "" { // there are few, and all are told
		for _, g := range s.cfg.State.GrantsOf(in.User) {
			if (in.Client == "" || g.Client == in.Client) && (in.Ended || g.Live(now)) {
				found = append(found, g)
			}
		}
	} else if found = s.cfg.State.GrantsPage(after, in.Limit, in.Client, in.Ended, now); len(found) == in.Limit {
		out.Body.Next = event.FormatID(found[len(found)-1].Number)
	}
	for i := range found {
		out.Body.Grants = append(out.Body.Grants, grantView(&found[i], now))
	}
	return out, nil
}

func grantView(g *state.Grant, now int64) api.Grant {
	v := api.Grant{
		ID: event.FormatID(g.Number), User: g.User, Client: g.Client, IdentityProvider: g.Issuer, Scopes: strings.Fields(g.Scopes), Offline: g.Offline,
		RefreshToken: g.HasRefresh, Refreshed: g.Generation, Started: secondsTime(g.Started), LastUsed: secondsTime(g.Used), NotAfter: secondsTime(g.NotAfter),
		Authenticated: optionalTime(secondsTime(g.Authenticated)), Login: event.FormatID(g.Login), By: g.EndedBy,
	}
	if g.Session != 0 {
		v.Session = event.FormatID(g.Session)
	}
	switch {
	case g.EndedAt != 0:
		v.Ended, v.Cause = optionalTime(secondsTime(g.EndedAt)), g.End.String()
	case !g.Live(now):
		v.Ended, v.Cause = optionalTime(secondsTime(g.NotAfter)), g.Why(now).String()
	}
	return v
}

type grantInput struct {
	Call
	ID string `path:"id" maxLength:"13"`
}

func (s *Server) revokeGrant(ctx context.Context, in *grantInput) (*nothing, error) {
	number, err := event.ParseID(in.ID)
	if err != nil {
		return nil, badParameter("id", "%v", err)
	}
	g, ok := s.cfg.State.Grant(number)
	if !ok || !g.Live(s.now().Unix()) {
		return nil, api.NewProblem(http.StatusNotFound, api.ReasonNotFound, "there is no live grant %s", in.ID)
	}
	streams := []uint64{
		event.StreamKey(event.StreamGrant, event.FormatID(number)), event.StreamKey(event.StreamUser, event.FoldName(g.User)), event.StreamKey(event.StreamClient, g.Client),
	}
	return &nothing{}, s.record(ctx, event.TypeGrantsEnded, event.ClassSession, streams, &event.GrantsEnded{Grants: []uint64{number}, Cause: uint32(event.GrantClosed), By: in.caller.By})
}

type voidGrantsInput struct {
	Call
	User   string `query:"user" maxLength:"512"`
	Client string `query:"client" maxLength:"512" doc:"Service provider"`
}

func (s *Server) voidGrants(ctx context.Context, in *voidGrantsInput) (*nothing, error) {
	if (in.User == "") == (in.Client == "") {
		return nil, badParameter("client", "expected either client or user, found both or neither")
	}
	kind, name, namespace, key := document.KindServiceProvider, in.Client, event.StreamClient, in.Client
	if in.Client == "" {
		kind, name, namespace, key = document.KindUser, in.User, event.StreamUser, event.FoldName(in.User)
	}
	if _, err := s.stored(kind, name); err != nil {
		return nil, err
	}
	return &nothing{}, s.record(ctx, event.TypeTokensVoided, event.ClassSession, []uint64{event.StreamKey(namespace, key)}, &event.TokensVoided{Client: in.Client, User: in.User, By: in.caller.By})
}

type listConsentsInput struct {
	Call
	User   string `query:"user" maxLength:"512"`
	Client string `query:"client" maxLength:"512" doc:"Service provider"`
	After  string `query:"after" maxLength:"600" doc:"Cursor: next of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"200"`
}

func (s *Server) listConsents(_ context.Context, in *listConsentsInput) (*answer[api.ConsentList], error) {
	out := &answer[api.ConsentList]{Body: api.ConsentList{Consents: []api.Consent{}}}
	var found []state.Consent
	if in.User != "" { // there are few, and all are told
		stored, err := s.stored(document.KindUser, in.User)
		if err != nil {
			return nil, err
		}
		for _, c := range s.cfg.State.ConsentsOf(stored.ID) {
			if in.Client == "" || c.Client == in.Client {
				found = append(found, c)
			}
		}
	} else {
		user, client, _ := strings.Cut(in.After, "/")
		after, err := optionalID("after", user)
		if err != nil {
			return nil, err
		}
		if found = s.cfg.State.ConsentsPage(after, client, in.Limit, in.Client); len(found) == in.Limit {
			last := &found[len(found)-1]
			out.Body.Next = event.FormatID(last.UserID) + "/" + last.Client
		}
	}
	for _, c := range found {
		v := api.Consent{
			User: s.cfg.State.UserName(c.UserID), Client: c.Client, Scopes: append([]string{}, c.Scopes...), Claims: append([]string{}, c.Claims...), Given: secondsTime(c.At), IdentityProvider: c.Issuer,
		}
		if c.Login != 0 {
			v.Login = event.FormatID(c.Login)
		}
		out.Body.Consents = append(out.Body.Consents, v)
	}
	return out, nil
}

type revokeConsentsInput struct {
	Call
	Name   string `path:"name" maxLength:"512"`
	Client string `query:"client" maxLength:"512" doc:"Service provider; nothing: all of them"`
}

func (s *Server) revokeConsents(ctx context.Context, in *revokeConsentsInput) (*nothing, error) {
	stored, err := s.stored(document.KindUser, in.Name)
	if err != nil {
		return nil, err
	}
	streams := documentStreams(document.KindUser, stored.Name)
	if in.Client != "" {
		streams = append(streams, event.StreamKey(event.StreamClient, in.Client))
	}
	return &nothing{}, s.record(ctx, event.TypeConsentRevoked, event.ClassIdentity, streams, &event.ConsentRevoked{User: stored.Name, Client: in.Client, By: in.caller.By})
}

type listKeysInput struct {
	Call
	IdentityProvider string `query:"identityProvider" maxLength:"512"`
}

func (s *Server) listSigningKeys(_ context.Context, in *listKeysInput) (*answer[api.SigningKeyList], error) {
	if in.IdentityProvider != "" {
		if _, err := s.stored(document.KindIdentityProvider, in.IdentityProvider); err != nil {
			return nil, err
		}
	}
	return &answer[api.SigningKeyList]{Body: s.signingKeys(in.IdentityProvider)}, nil
}

// signingKeys lists the keys of an identity provider, or of all.
func (s *Server) signingKeys(issuer string) api.SigningKeyList {
	list := api.SigningKeyList{Keys: []api.SigningKey{}}
	now := s.now()
	for _, set := range s.cfg.State.AllSigningKeys() {
		if issuer != "" && set.Issuer != issuer {
			continue
		}
		signs := map[string]string{} // by algorithm, the id of the key that signs now
		for _, k := range set.Keys { // in the order in which they were made
			if _, some := signs[k.Algorithm]; !some || !secondsTime(k.Active).After(now) {
				signs[k.Algorithm] = k.ID
			}
		}
		for _, k := range set.Keys {
			v := api.SigningKey{
				IdentityProvider: set.Issuer, ID: k.ID, Algorithm: k.Algorithm, State: "former", Created: secondsTime(k.Created), CreatedBy: k.CreatedBy,
				Active: secondsTime(k.Active), Gone: optionalTime(secondsTime(k.Gone)),
			}
			if v.Gone != nil && !v.Gone.After(now) {
				continue
			}
			switch {
			case signs[k.Algorithm] == k.ID:
				v.State = "signing"
			case v.Active.After(now):
				v.State = "coming"
			}
			list.Keys = append(list.Keys, v)
		}
	}
	return list
}

type rotateKeysInput struct {
	Call
	IdentityProvider string `path:"identityProvider" maxLength:"512"`
	Body             api.KeyRotation
}

// rotatingFor bounds how long it takes to make keys and record them.
const rotatingFor = 30 * time.Second

func (s *Server) rotateSigningKeys(ctx context.Context, in *rotateKeysInput) (*answer[api.SigningKeyList], error) {
	stored, err := s.stored(document.KindIdentityProvider, in.IdentityProvider)
	if err != nil {
		return nil, err
	}
	for _, a := range in.Body.Algorithms {
		switch a {
		case "ES256", "RS256", "EdDSA":
		default:
			return nil, badParameter("algorithms", "expected ES256, RS256 or EdDSA, found %q", a)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, rotatingFor)
	defer cancel()
	if err := s.cfg.Keys.Rotate(ctx, stored.Name, in.Body.Algorithms, in.Body.AtOnce, in.caller.By); err != nil {
		return nil, logProblem(err)
	}
	return &answer[api.SigningKeyList]{Body: s.signingKeys(stored.Name)}, nil
}
