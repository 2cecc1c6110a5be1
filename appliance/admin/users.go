package admin

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"trine/appliance/admin/api"
	"trine/engine/document"
	"trine/engine/event"
)

func (s *Server) registerUsers(a huma.API) {
	const tag = "Users"
	scopes := []string{ScopeUsers, ScopeWrite, scopeDocuments + document.KindUser}
	register(a, operation{
		id: "setPassword", method: http.MethodPost, path: "/users/{name}/password", tag: tag, summary: "Set a user's password",
		about: "Only the forms that the user type keeps are stored. It takes effect with the next login.", status: http.StatusNoContent, scopes: scopes,
	}, s.setPassword)
	register(a, operation{
		id: "importUsers", method: http.MethodPost, path: "/users/import", tag: tag, summary: "Take in users from a CSV file",
		about:  "The first row names the columns. All rows are taken in together, or none; rows that are refused are in the job's findings. The answer is a job that goes on.",
		status: http.StatusAccepted, scopes: scopes, large: true, body: map[string]string{"text/csv": "Users, a row each (RFC 4180, UTF-8)"},
	}, s.importUsers)
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
