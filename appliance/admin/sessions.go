package admin

import (
	"context"
	"encoding/hex"
	"net/http"
	"net/netip"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"trine/appliance/admin/api"
	"trine/engine/event"
)

func (s *Server) registerSessions(a huma.API) {
	register(a, operation{
		id: "listSessions", method: http.MethodGet, path: "/sessions", tag: "Sessions", summary: "List live network sessions",
		scopes: []string{ScopeRead, ScopeSessions},
	}, s.listSessions)
	register(a, operation{
		id: "endSession", method: http.MethodDelete, path: "/sessions/{id}", tag: "Sessions", summary: "End a session in the books",
		about: "For a session that its device forgot to end. The device is not told.", scopes: []string{ScopeSessions},
	}, s.endSession)
}

type listSessionsInput struct {
	Call
	User          string `query:"user" maxLength:"256"`
	Client        string `query:"client" maxLength:"256" doc:"Service provider"`
	NAS           string `query:"nas" maxLength:"256" doc:"NAS-Identifier or address"`
	Address       string `query:"address" maxLength:"64" doc:"Framed address"`
	Calling       string `query:"calling" maxLength:"256" doc:"Calling station"`
	AcctSessionID string `query:"acctSessionId" maxLength:"256"`
	ID            string `query:"id" maxLength:"13"`
	After         string `query:"after" maxLength:"13" doc:"Cursor: next of the page before"`
	Limit         int    `query:"limit" minimum:"1" maximum:"1000" default:"200"`
}

func (s *Server) listSessions(_ context.Context, in *listSessionsInput) (*answer[api.SessionList], error) {
	q := SessionQuery{User: in.User, Client: in.Client, NAS: in.NAS, Calling: in.Calling, AcctSessionID: in.AcctSessionID, Limit: in.Limit}
	var err error
	if q.ID, err = optionalID("id", in.ID); err != nil {
		return nil, err
	}
	if q.After, err = optionalID("after", in.After); err != nil {
		return nil, err
	}
	if in.Address != "" {
		addr, err := netip.ParseAddr(in.Address)
		if err != nil {
			return nil, badParameter("address", "%q is not an IP address", in.Address)
		}
		q.Address = addr.Unmap().String()
	}
	found, next := s.cfg.State.Sessions(q)
	list := api.SessionList{Sessions: make([]api.Session, 0, len(found))}
	if next != 0 {
		list.Next = event.FormatID(next)
	}
	for i := range found {
		list.Sessions = append(list.Sessions, sessionView(&found[i]))
	}
	return &answer[api.SessionList]{Body: list}, nil
}

func sessionView(s *Session) api.Session {
	v := api.Session{
		ID: event.FormatID(s.ID), User: s.User, Client: s.Client, NAS: wireText(s.NAS), NASPort: s.NASPort, AcctSessionID: wireText(s.AcctSessionID),
		Calling: wireText(s.Calling), Called: wireText(s.Called), Addresses: s.Addresses, Started: s.Started.UTC(), LastSeen: s.LastSeen.UTC(),
		Seconds: s.Seconds, InputOctets: s.InputOctets, OutputOctets: s.OutputOctets, StaleAt: optionalTime(s.StaleAt),
	}
	if s.Login != 0 {
		v.Login = event.FormatID(s.Login)
	}
	return v
}

type sessionInput struct {
	Call
	ID string `path:"id" maxLength:"13"`
}

func (s *Server) endSession(ctx context.Context, in *sessionInput) (*nothing, error) {
	id, err := event.ParseID(in.ID)
	if err != nil {
		return nil, badParameter("id", "%v", err)
	}
	if !s.cfg.State.Session(id) {
		return nil, api.NewProblem(http.StatusNotFound, api.ReasonNotFound, "there is no live session %s", in.ID)
	}
	streams := []uint64{event.StreamKey(event.StreamSession, sessionStream(id))}
	return &nothing{}, s.record(ctx, event.TypeSessionClosed, event.ClassSession, streams, &event.SessionClosed{Session: id, By: in.caller.By})
}

// sessionStream is a session's id as the stream namespace has it: 16 hexadecimal digits.
func sessionStream(id uint64) string {
	const digits = "0123456789abcdef"
	var b [16]byte
	for i := range b {
		b[i] = digits[id>>uint(60-4*i)&15]
	}
	return string(b[:])
}

// wireText shows bytes of a wire: text as text, packed addresses as addresses, anything else in hexadecimal.
func wireText(b []byte) string {
	if text := string(b); isText(text) {
		return text
	}
	if addr := addressText(b); addr != "" {
		return addr
	}
	return "0x" + hex.EncodeToString(b)
}

func optionalID(parameter, text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	id, err := event.ParseID(text)
	if err != nil {
		return 0, badParameter(parameter, "%v", err)
	}
	return id, nil
}

func optionalTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// badParameter is the problem of a parameter that cannot be read.
func badParameter(name, format string, args ...any) error {
	p := api.NewProblem(http.StatusUnprocessableEntity, api.ReasonMalformed, format, args...)
	return p.With(api.Finding{Field: name, Reason: p.Detail})
}
