package admin

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"trine/appliance/admin/api"
	"trine/engine/document"
	"trine/engine/event"
)

func (s *Server) registerHistory(a huma.API) {
	const tag = "Documents"
	register(a, operation{
		id: "getHistory", method: http.MethodGet, path: "/documents/{kind}/{name}/history", tag: tag, summary: "List the versions of a document, newest first",
		about: "Works for deleted documents too. Passwords have no versions here.", scopes: s.readScopes(),
	}, s.history)
	register(a, operation{
		id: "revertDocument", method: http.MethodPost, path: "/documents/{kind}/{name}/revert", tag: tag, summary: "Put an earlier version in force again",
		about: "As a new version: history is never rewritten. A deleted document comes back.", scopes: s.writeScopes(),
	}, s.revert)
}

// revision is one version of a document, decoded; document is nil for a deletion.
type revision struct {
	fact
	version  uint64
	by       string
	comment  string
	document *document.Document
}

// revisions returns the versions of a document, oldest first. Apply counts versions up by one with every write, and goes on above
// the old ones after a deletion; so they are counted here, from the first one that history still has.
func (s *Server) revisions(ctx context.Context, kind, name string) ([]revision, error) {
	key := documentKey(kind, name)
	var list []revision
	for f, err := range s.facts(ctx, event.StreamKey(event.StreamDocument, key), event.ClassOf(kind)) {
		if err != nil {
			return nil, err
		}
		r := revision{fact: f}
		switch body := f.body.(type) {
		case *event.DocumentPut:
			if documentKey(body.Kind, body.Name) != key {
				continue // two streams can share a hash
			}
			if r.version = body.Version; len(list) > 0 {
				r.version = list[len(list)-1].version + 1
			}
			r.by, r.comment = body.By, body.Comment
			if r.document, err = document.FromStored(body.Kind, body.Name, body.Spec); err != nil {
				return nil, err
			}
		case *event.DocumentDeleted:
			if documentKey(body.Kind, body.Name) != key {
				continue
			}
			if len(list) > 0 {
				r.version = list[len(list)-1].version
			}
			r.by, r.comment = body.By, body.Comment
		default:
			continue
		}
		list = append(list, r)
	}
	return list, nil
}

type historyInput struct {
	DocumentInput
	Specs bool `query:"specs" doc:"Whether each revision carries the document as it stood"`
	Limit int  `query:"limit" minimum:"1" maximum:"1000" default:"200"`
}

func (s *Server) history(ctx context.Context, in *historyInput) (*answer[api.History], error) {
	k, err := s.readable(&in.caller, in.Kind)
	if err != nil {
		return nil, err
	}
	list, err := s.revisions(ctx, k.Name, in.Name)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, missing(k.Name, in.Name)
	}
	h := api.History{Kind: k.Name, Name: in.Name, Revisions: make([]api.Revision, 0, min(len(list), in.Limit))}
	for i, r := range slices.Backward(list) {
		if len(h.Revisions) == in.Limit {
			break
		}
		v := api.Revision{Version: r.version, Position: r.at.String(), At: r.time, By: r.by, Comment: r.comment, Deleted: r.document == nil}
		var before *document.Document
		if i > 0 {
			before = list[i-1].document
		}
		v.Changes = changesView(document.Diff(before, r.document))
		if in.Specs && r.document != nil {
			if v.Spec, err = specJSON(r.document); err != nil {
				return nil, err
			}
		}
		h.Revisions = append(h.Revisions, v)
	}
	return &answer[api.History]{Body: h}, nil
}

type revertInput struct {
	DocumentInput
	Body api.RevertRequest
}

func (s *Server) revert(ctx context.Context, in *revertInput) (*answer[api.Plan], error) {
	k, err := s.kind(in.Kind)
	if err != nil {
		return nil, err
	}
	if !in.caller.mayWrite(k.Name) {
		return nil, permitted(&in.caller, &wish{deletes: []deletion{{kind: k.Name}}})
	}
	list, err := s.revisions(ctx, k.Name, in.Name)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, missing(k.Name, in.Name)
	}
	for _, r := range list {
		if r.version != in.Body.Version || r.document == nil {
			continue
		}
		comment := in.Body.Comment
		if comment == "" {
			comment = "revert to version " + itoa(int(r.version))
		}
		v, err := s.planAndApply(ctx, &in.caller, wish{documents: []*document.Document{r.document}, comment: comment}, "")
		if err != nil {
			return nil, err
		}
		if k.Name == document.KindUser && v.Creates > 0 {
			v.Warnings = append(v.Warnings, api.Finding{
				Kind: k.Name, Name: v.Documents[0].Name, Field: "spec.password", Reason: "the user is back without a password: passwords have no history", Suggestion: "set a new one",
			})
		}
		return &answer[api.Plan]{Body: v}, nil
	}
	return nil, api.NewProblem(http.StatusNotFound, api.ReasonNotFound, "%s %s has no version %d in its history, which goes from %d to %d",
		k.Name, in.Name, in.Body.Version, list[0].version, list[len(list)-1].version)
}
