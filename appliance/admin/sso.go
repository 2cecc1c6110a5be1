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
	"trine/engine/login"
	"trine/engine/state"
)

func (s *Server) registerSSO(a huma.API) {
	const tag = "Single sign-on"
	register(a, operation{
		id: "listSSOSessions", method: http.MethodGet, path: "/sso/sessions", tag: tag, summary: "List sessions of single sign-on",
		scopes: []string{ScopeRead, ScopeSessions},
	}, s.listSSO)
	register(a, operation{
		id: "endSSOSession", method: http.MethodDelete, path: "/sso/sessions/{id}", tag: tag, summary: "End a session of single sign-on",
		about: "Its browser is asked to log in again, wherever it asks next.", scopes: []string{ScopeSessions},
	}, s.endSSO)
	register(a, operation{
		id: "endUsersSSOSessions", method: http.MethodDelete, path: "/users/{name}/sso/sessions", tag: tag, summary: "End all sessions of single sign-on of a user",
		about: "With except, all others.", status: http.StatusOK, scopes: []string{ScopeSessions},
	}, s.endUsersSSO)
	read := []string{ScopeUsers, ScopeWrite, ScopeRead, scopeDocuments + document.KindUser}
	write := []string{ScopeUsers, ScopeWrite, scopeDocuments + document.KindUser}
	register(a, operation{
		id: "listTrustedDevices", method: http.MethodGet, path: "/users/{name}/devices", tag: tag, summary: "List the devices that can stand for a user's second factor", scopes: read,
	}, s.listTrusted)
	register(a, operation{
		id: "revokeTrustedDevice", method: http.MethodDelete, path: "/users/{name}/devices/{id}", tag: tag, summary: "Trust a user's device no longer", scopes: write,
	}, s.revokeTrusted)
	register(a, operation{
		id: "revokeTrustedDevices", method: http.MethodDelete, path: "/users/{name}/devices", tag: tag, summary: "Trust none of a user's devices any longer", scopes: write,
	}, s.revokeAllTrusted)
}

type listSSOInput struct {
	Call
	User  string `query:"user" maxLength:"512"`
	Ended bool   `query:"ended" doc:"Those too that have ended and are remembered, which is for a day"`
	After string `query:"after" maxLength:"13" doc:"Cursor: next of the page before"`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"200"`
}

func (s *Server) listSSO(_ context.Context, in *listSSOInput) (*answer[api.SSOSessionList], error) {
	after, err := optionalID("after", in.After)
	if err != nil {
		return nil, err
	}
	var found []state.SSO
	list := api.SSOSessionList{Sessions: []api.SSOSession{}}
	if in.User != "" { // there are few, and all are told
		for _, x := range s.cfg.State.SSOOf(in.User) {
			if in.Ended || x.EndedAt == 0 {
				found = append(found, x)
			}
		}
	} else if found = s.cfg.State.SSOPage(after, in.Limit, in.Ended); len(found) == in.Limit {
		list.Next = event.FormatID(found[len(found)-1].Number)
	}
	now := s.now().Unix()
	for i := range found {
		if x := &found[i]; in.Ended || x.Live(now) {
			list.Sessions = append(list.Sessions, ssoView(x))
		}
	}
	return &answer[api.SSOSessionList]{Body: list}, nil
}

func ssoView(x *state.SSO) api.SSOSession {
	at := func(unix int64) time.Time { return time.Unix(unix, 0).UTC() }
	v := api.SSOSession{
		ID: event.FormatID(x.Number), User: x.User, IdentityProvider: x.Issuer, Scope: x.Scope, Started: at(x.Started), LastUsed: at(x.Used), Ends: at(x.Ends()),
		NotAfter: at(x.NotAfter), Source: addressText(x.Source), Login: event.FormatID(x.Login), Factors: []api.SSOFactor{}, Visits: []api.SSOVisit{}, By: x.EndedBy,
	}
	for _, p := range x.Proofs {
		v.Factors = append(v.Factors, api.SSOFactor{Factor: login.Factor(p.Factor).String(), Proved: at(p.At), TrustedDevice: p.Device})
	}
	for _, w := range x.Visits {
		v.Visits = append(v.Visits, api.SSOVisit{Client: w.Client, IdentityProvider: w.Issuer, Protocol: w.Protocol, Last: at(w.At)})
	}
	if x.EndedAt != 0 {
		v.Ended, v.Cause = optionalTime(at(x.EndedAt)), x.End.String()
	}
	return v
}

type ssoInput struct {
	Call
	ID string `path:"id" maxLength:"13"`
}

func (s *Server) endSSO(ctx context.Context, in *ssoInput) (*nothing, error) {
	number, err := event.ParseID(in.ID)
	if err != nil {
		return nil, badParameter("id", "%v", err)
	}
	x, ok := s.cfg.State.SSONumbered(number)
	if !ok || x.EndedAt != 0 {
		return nil, api.NewProblem(http.StatusNotFound, api.ReasonNotFound, "there is no live session %s of single sign-on", in.ID)
	}
	return &nothing{}, s.proposeEnd(ctx, x.User, []uint64{number}, in.caller.By)
}

// proposeEnd ends sessions of one user by an administrator's word.
func (s *Server) proposeEnd(ctx context.Context, user string, numbers []uint64, by string) error {
	streams := []uint64{event.StreamKey(event.StreamUser, event.FoldName(user))}
	for _, n := range numbers {
		streams = append(streams, event.StreamKey(event.StreamSSO, event.FormatID(n)))
	}
	return s.record(ctx, event.TypeSSOEnded, event.ClassSession, streams, &event.SsoEnded{Sessions: numbers, Cause: uint32(event.SSOClosed), By: by})
}

type endUsersSSOInput struct {
	Call
	Name   string `path:"name" maxLength:"512"`
	Except string `query:"except" maxLength:"13" doc:"The session that stays"`
}

func (s *Server) endUsersSSO(ctx context.Context, in *endUsersSSOInput) (*answer[api.SSOEnded], error) {
	except, err := optionalID("except", in.Except)
	if err != nil {
		return nil, err
	}
	if _, err := s.stored(document.KindUser, in.Name); err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, x := range s.cfg.State.SSOOf(in.Name) {
		if x.EndedAt == 0 && x.Number != except {
			numbers = append(numbers, x.Number)
		}
	}
	out := &answer[api.SSOEnded]{Body: api.SSOEnded{Ended: len(numbers)}}
	if len(numbers) == 0 {
		return out, nil
	}
	return out, s.proposeEnd(ctx, in.Name, numbers, in.caller.By)
}

type trustedInput struct {
	Call
	Name string `path:"name" maxLength:"512"`
}

func (s *Server) listTrusted(_ context.Context, in *trustedInput) (*answer[api.TrustedDeviceList], error) {
	devices, ok := s.cfg.State.TrustedDevices(in.Name)
	if !ok {
		return nil, missing(document.KindUser, in.Name)
	}
	out := &answer[api.TrustedDeviceList]{Body: api.TrustedDeviceList{Devices: []api.TrustedDevice{}}}
	for _, d := range devices {
		out.Body.Devices = append(out.Body.Devices, api.TrustedDevice{
			ID: d.ID, Label: d.Label, Created: secondsTime(d.CreatedAt), Used: optionalTime(secondsTime(d.UsedAt)), NotAfter: secondsTime(d.NotAfter),
			Source: addressText(d.Source), Login: event.FormatID(d.Login),
		})
	}
	return out, nil
}

type revokeTrustedInput struct {
	Call
	Name string `path:"name" maxLength:"512"`
	ID   string `path:"id" maxLength:"64" minLength:"1"`
}

func (s *Server) revokeTrusted(ctx context.Context, in *revokeTrustedInput) (*nothing, error) {
	return &nothing{}, s.distrust(ctx, in.Name, strings.ToUpper(in.ID), in.caller.By)
}

func (s *Server) revokeAllTrusted(ctx context.Context, in *trustedInput) (*nothing, error) {
	return &nothing{}, s.distrust(ctx, in.Name, "", in.caller.By)
}

// distrust takes a trusted device from a user; all of them where there is no id.
func (s *Server) distrust(ctx context.Context, name, id, by string) error {
	stored, err := s.stored(document.KindUser, name)
	if err != nil {
		return err
	}
	return s.record(ctx, event.TypeDeviceDistrusted, event.ClassIdentity, documentStreams(document.KindUser, stored.Name), &event.DeviceDistrusted{User: stored.Name, Id: id, By: by})
}
