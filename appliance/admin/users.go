package admin

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"trine/appliance/admin/api"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/state"
)

func (s *Server) registerUsers(a huma.API) {
	const tag = "Users"
	scopes := []string{ScopeUsers, ScopeWrite, scopeDocuments + document.KindUser}
	register(a, operation{
		id: "setPassword", method: http.MethodPost, path: "/users/{name}/password", tag: tag, summary: "Set a user's password",
		about: "Only the forms that the user type keeps are stored. It takes effect with the next login.", status: http.StatusNoContent, scopes: scopes,
	}, s.setPassword)
	register(a, operation{
		id: "getLoginFailures", method: http.MethodGet, path: "/users/{name}/failures", tag: tag, summary: "Say what is remembered of failed logins under a name, and what it locks",
		about:  "The name may be one that no user has. It is a user's own name, not an alias. Nothing is remembered for longer than it counts.",
		scopes: append(scopes, ScopeRead),
	}, s.loginFailures)
	register(a, operation{
		id: "unlockUser", method: http.MethodDelete, path: "/users/{name}/failures", tag: tag, summary: "Forget the failed logins under a name and lift its locks",
		status: http.StatusNoContent, scopes: scopes,
	}, s.unlock)
}

type loginNameInput struct {
	Call
	Name string `path:"name" maxLength:"512"`
}

func (s *Server) loginFailures(_ context.Context, in *loginNameInput) (*answer[api.LoginFailureList], error) {
	list := api.LoginFailureList{Failures: []api.LoginFailures{}}
	now := s.now()
	until := func(l state.Lock) *time.Time {
		if !l.Holds(now) {
			return nil
		}
		return optionalTime(time.Unix(l.Until, 0))
	}
	for _, f := range s.cfg.State.LoginFailures(in.Name) {
		v := api.LoginFailures{Count: f.Count, LockedUntil: until(f.Lock), Last: f.Last, Sources: []api.SourceFailures{}}
		if f.Apart != 0 {
			v.Factor = login.Factor(f.Apart).String()
		}
		for _, x := range f.Sources {
			v.Sources = append(v.Sources, api.SourceFailures{Source: fmt.Sprintf("%016x", x.Source), Count: x.Count, LockedUntil: until(x.Lock), Last: x.Last})
		}
		list.Failures = append(list.Failures, v)
	}
	return &answer[api.LoginFailureList]{Body: list}, nil
}

// unlock forgets the failures of a login name, and with them its locks.
func (s *Server) unlock(ctx context.Context, in *loginNameInput) (*nothing, error) {
	if len(s.cfg.State.LoginFailures(in.Name)) == 0 {
		return nil, api.NewProblem(http.StatusNotFound, api.ReasonNotFound, "no failed logins under the name %s are remembered, so nothing locks it out", in.Name)
	}
	name := state.AppendLoginName(nil, []byte(in.Name))
	streams := []uint64{event.StreamKey(event.StreamUser, name)}
	return &nothing{}, s.record(ctx, event.TypeFailuresCleared, event.ClassIdentity, streams, &event.FailuresCleared{Name: name, By: in.caller.By})
}

type passwordInput struct {
	Call
	Name string `path:"name" maxLength:"512"`
	Body api.PasswordRequest
}

func (s *Server) setPassword(ctx context.Context, in *passwordInput) (*nothing, error) {
	d, stored, err := s.read(document.KindUser, in.Name)
	if err != nil {
		return nil, err
	}
	u, ok := specOf[*document.User](d)
	if !ok {
		return nil, missing(document.KindUser, in.Name)
	}
	t, err := s.userType(u.UserType, nil)
	if err != nil {
		return nil, err
	}
	password := []byte(in.Body.Password)
	defer clear(password)
	if reason := t.Password.Check(password); reason != "" {
		return nil, refusal(document.Problems{{Kind: document.KindUser, Name: stored.Name, Field: "password", Reason: reason}})
	}
	set, err := s.forms(ctx, stored.Name, password, t)
	if err != nil {
		return nil, err
	}
	set.MustChange, set.By = in.Body.MustChange, in.caller.By
	var b event.Builder
	b.Expect(event.Expectation_EXISTS, documentKey(document.KindUser, stored.Name), 0)
	if err := b.Add(event.TypePasswordSet, event.ClassIdentity, documentStreams(document.KindUser, stored.Name), set); err != nil {
		return nil, err
	}
	_, err = s.propose(ctx, b.Bytes())
	return &nothing{}, err
}

func (s *Server) registerJobs(a huma.API) {
	const tag = "Jobs"
	scopes := []string{ScopeUsers, ScopeWrite, ScopeRead, scopeDocuments + document.KindUser}
	register(a, operation{id: "listJobs", method: http.MethodGet, path: "/jobs", tag: tag, summary: "List the jobs that the node remembers, newest first", scopes: scopes},
		func(context.Context, *Call) (*answer[api.JobList], error) {
			return &answer[api.JobList]{Body: api.JobList{Jobs: s.jobs.list()}}, nil
		})
	register(a, operation{id: "getJob", method: http.MethodGet, path: "/jobs/{id}", tag: tag, summary: "Say how far a job is", scopes: scopes},
		func(_ context.Context, in *jobInput) (*answer[api.Job], error) {
			j, err := s.jobs.get(in.ID)
			if err != nil {
				return nil, err
			}
			return &answer[api.Job]{Body: j.snapshot()}, nil
		})
	register(a, operation{
		id: "cancelJob", method: http.MethodDelete, path: "/jobs/{id}", tag: tag, summary: "Ask a job to stop",
		about: "A job that is stopped has changed nothing; one that has ended stays as it is.", scopes: []string{ScopeUsers, ScopeWrite, scopeDocuments + document.KindUser},
	}, func(_ context.Context, in *jobInput) (*nothing, error) {
		j, err := s.jobs.get(in.ID)
		if err != nil {
			return nil, err
		}
		j.cancel()
		return &nothing{}, nil
	})
}

type jobInput struct {
	Call
	ID string `path:"id" maxLength:"64"`
}
