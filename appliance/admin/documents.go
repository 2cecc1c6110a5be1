package admin

import (
	"context"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"trine/appliance/admin/api"
	"trine/engine/document"
	"trine/engine/event"
)

var problemType = reflect.TypeFor[api.Problem]()

// The scopes of operations on documents. Which kinds a caller may read or change is looked at document by document.
func (s *Server) readScopes() []string { return append(s.writeScopes(), ScopeRead) }

func (s *Server) writeScopes() []string {
	scopes := []string{ScopeWrite, ScopeUsers}
	for _, kind := range s.names {
		scopes = append(scopes, scopeDocuments+kind)
	}
	return scopes
}

func (s *Server) registerDocuments(a huma.API) {
	const tag = "Documents"
	register(a, operation{id: "listKinds", method: http.MethodGet, path: "/kinds", tag: tag, summary: "List the kinds of documents", scopes: s.readScopes()}, s.listKinds)
	register(a, operation{
		id: "listDocuments", method: http.MethodGet, path: "/documents/{kind}", tag: tag, summary: "List the documents of a kind, a page at a time",
		about: "The kind may be written as documents do, in the plural, or short.", scopes: s.readScopes(),
	}, s.listDocuments)
	register(a, operation{id: "getDocument", method: http.MethodGet, path: "/documents/{kind}/{name}", tag: tag, summary: "Get a document", scopes: s.readScopes()}, s.getDocument)
	register(a, operation{
		id: "putDocument", method: http.MethodPut, path: "/documents/{kind}/{name}", tag: tag, summary: "Create or replace a document",
		about:  "With If-Match the version in force must be that one; with If-None-Match: * there must be none.",
		scopes: s.writeScopes(),
	}, s.putDocument)
	register(a, operation{
		id: "deleteDocument", method: http.MethodDelete, path: "/documents/{kind}/{name}", tag: tag, summary: "Delete a document",
		about: "Refused while another document refers to it. With a User go his Accounts and Endpoints. With If-Match the version in force must be that one.", scopes: s.writeScopes(),
	}, s.deleteDocument)
	register(a, operation{
		id: "exportDocuments", method: http.MethodGet, path: "/export", tag: tag, summary: "Stream all documents as YAML", stream: true,
		about: "Those that others refer to come first. Secrets are redacted, so that applying the export to the same node changes nothing. " +
			"A last line \"# end of the export\" says that it is whole.",
		produces: "application/yaml", scopes: s.readScopes(),
	}, s.export)
}

func (s *Server) listKinds(_ context.Context, in *Call) (*answer[api.KindList], error) {
	var list api.KindList
	for _, k := range s.kinds {
		if in.caller.mayRead(k.Name) {
			list.Kinds = append(list.Kinds, api.Kind{Name: k.Name, Plural: k.Plural, Aliases: k.Aliases, Summary: k.Summary, Count: s.cfg.State.Count(k.Name)})
		}
	}
	return &answer[api.KindList]{Body: list}, nil
}

// readable returns the kind that a word names, if the caller may read it.
func (s *Server) readable(caller *Caller, word string) (document.Kind, error) {
	k, err := s.kind(word)
	if err == nil && !caller.mayRead(k.Name) {
		err = api.NewProblem(http.StatusForbidden, api.ReasonForbidden, "%s may not read documents of kind %s", caller.By, k.Name)
	}
	return k, err
}

type listDocumentsInput struct {
	Call
	Kind   string `path:"kind" maxLength:"64"`
	After  string `query:"after" maxLength:"512" doc:"Cursor: next of the page before"`
	Prefix string `query:"prefix" maxLength:"256" doc:"Only names that begin so"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"200"`
}

func (s *Server) listDocuments(_ context.Context, in *listDocumentsInput) (*answer[api.DocumentList], error) {
	k, err := s.readable(&in.caller, in.Kind)
	if err != nil {
		return nil, err
	}
	list := api.DocumentList{Documents: []api.Document{}, Total: s.cfg.State.Count(k.Name)}
	fold := func(name string) string { return event.CanonicalName(k.Name, name) }
	prefix := fold(in.Prefix)
	after := in.After
	if after == "" && prefix != "" {
		// Names after the prefix, and the prefix itself if it is one.
		if stored, ok := s.cfg.State.Document(k.Name, prefix); ok {
			v, err := view(&stored)
			if err != nil {
				return nil, err
			}
			list.Documents = append(list.Documents, v)
		}
		after = prefix
	}
	for stored := range s.cfg.State.Documents(k.Name, after) {
		if !strings.HasPrefix(fold(stored.Name), prefix) {
			break
		}
		if len(list.Documents) == in.Limit {
			list.Next = list.Documents[in.Limit-1].Name
			break
		}
		v, err := view(&stored)
		if err != nil {
			return nil, err
		}
		list.Documents = append(list.Documents, v)
	}
	return &answer[api.DocumentList]{Body: list}, nil
}

// DocumentInput is the path of the operations on one document.
type DocumentInput struct {
	Call
	Kind string `path:"kind" maxLength:"64"`
	Name string `path:"name" maxLength:"512"`
}

type documentAnswer struct {
	ETag string `header:"ETag" doc:"The version, in quotes"`
	Body api.Document
}

func (s *Server) getDocument(_ context.Context, in *DocumentInput) (*documentAnswer, error) {
	k, err := s.readable(&in.caller, in.Kind)
	if err != nil {
		return nil, err
	}
	stored, ok := s.cfg.State.Document(k.Name, in.Name)
	if !ok {
		return nil, missing(k.Name, in.Name)
	}
	v, err := view(&stored)
	return &documentAnswer{ETag: etag(stored.Version), Body: v}, err
}

func etag(version uint64) string { return `"` + strconv.FormatUint(version, 10) + `"` }

type putDocumentInput struct {
	DocumentInput
	IfMatch     string `header:"If-Match" doc:"The version that must be in force, in quotes"`
	IfNoneMatch string `header:"If-None-Match" doc:"* if there must be none"`
	Body        api.PutRequest
}

func (s *Server) putDocument(ctx context.Context, in *putDocumentInput) (*documentAnswer, error) {
	k, err := s.kind(in.Kind)
	if err != nil {
		return nil, err
	}
	version, err := s.precondition(k.Name, in.Name, in.IfMatch, in.IfNoneMatch)
	if err != nil {
		return nil, err
	}
	whole := map[string]any{"kind": k.Name, "name": in.Name, "spec": in.Body.Spec}
	data, err := json.Marshal(whole)
	if err != nil {
		return nil, api.NewProblem(http.StatusBadRequest, api.ReasonMalformed, "the body is not JSON: %v", err)
	}
	documents, err := document.Parse("", strings.NewReader(string(data)))
	if err != nil {
		return nil, parseProblem(err)
	}
	for _, d := range documents {
		d.Version, d.Source = version, document.Source{}
	}
	if _, err := s.planAndApply(ctx, &in.caller, wish{documents: documents, fresh: in.IfNoneMatch != "", comment: in.Body.Comment}, ""); err != nil {
		return nil, err
	}
	return s.getDocument(ctx, &DocumentInput{Call: Call{caller: Caller{scopes: []string{ScopeRead}}}, Kind: k.Name, Name: in.Name})
}

// precondition evaluates If-Match and If-None-Match (RFC 9110 section 13) and returns the version to expect, 0 for any.
func (s *Server) precondition(kind, name, match, noneMatch string) (uint64, error) {
	stored, exists := s.cfg.State.Document(kind, name)
	failed := func(format string, args ...any) error {
		return api.NewProblem(http.StatusPreconditionFailed, api.ReasonPrecondition, format, args...)
	}
	if noneMatch != "" {
		if noneMatch != "*" {
			return 0, badParameter("If-None-Match", "If-None-Match can only be *")
		}
		if exists {
			return 0, failed("%s %s exists, at version %d", kind, name, stored.Version)
		}
	}
	switch match {
	case "":
		return 0, nil
	case "*":
		if !exists {
			return 0, failed("there is no %s named %q", kind, name)
		}
		return stored.Version, nil
	}
	text, quoted := strings.CutPrefix(match, `"`)
	text, closed := strings.CutSuffix(text, `"`)
	version, err := strconv.ParseUint(text, 10, 64)
	if err != nil || !quoted || !closed || version == 0 {
		return 0, badParameter("If-Match", "If-Match must be one version in quotes, as the ETag has it")
	}
	if !exists || stored.Version != version {
		return 0, failed("%s", versionReason(version, stored.Version))
	}
	return version, nil
}

type deleteDocumentInput struct {
	DocumentInput
	IfMatch string `header:"If-Match" doc:"The version that must be in force, in quotes"`
	Comment string `query:"comment" maxLength:"1024" doc:"Why, for the history"`
}

func (s *Server) deleteDocument(ctx context.Context, in *deleteDocumentInput) (*nothing, error) {
	k, err := s.kind(in.Kind)
	if err != nil {
		return nil, err
	}
	version, err := s.precondition(k.Name, in.Name, in.IfMatch, "")
	if err != nil {
		return nil, err
	}
	_, err = s.planAndApply(ctx, &in.caller, wish{deletes: []deletion{{kind: k.Name, name: in.Name, version: version}}, comment: in.Comment}, "")
	return &nothing{}, err
}

type exportInput struct {
	Call
	Kinds []string `query:"kind,explode" maxItems:"16" doc:"Only these kinds"`
}

func (s *Server) export(_ context.Context, in *exportInput) (*huma.StreamResponse, error) {
	var kinds []string
	for _, word := range in.Kinds {
		k, err := s.readable(&in.caller, word)
		if err != nil {
			return nil, err
		}
		kinds = append(kinds, k.Name)
	}
	for _, k := range s.kinds {
		if len(in.Kinds) == 0 && in.caller.mayRead(k.Name) {
			kinds = append(kinds, k.Name)
		}
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		ctx.SetHeader("Content-Type", "application/yaml")
		ctx.SetStatus(http.StatusOK)
		if err := s.writeExport(ctx.Context(), http.NewResponseController(in.writer), ctx.BodyWriter(), kinds); err != nil {
			s.log.Warn("export ended early", "error", err)
			panic(http.ErrAbortHandler) // the reader must not take it for whole
		}
	}}, nil
}

// exportChunk is after how many documents a slow reader gets a new deadline.
const exportChunk = 256

func (s *Server) writeExport(ctx context.Context, rc *http.ResponseController, w io.Writer, kinds []string) error {
	n := 0
	for _, k := range s.kinds {
		if !contains(kinds, k.Name) {
			continue
		}
		for stored := range s.cfg.State.Documents(k.Name, "") {
			if n%exportChunk == 0 {
				if err := ctx.Err(); err != nil {
					return err
				}
				_ = rc.SetWriteDeadline(time.Now().Add(idleTime)) // a recorder in a test has none
			}
			n++
			d, err := document.FromStored(stored.Kind, stored.Name, stored.Spec)
			if err != nil {
				return err
			}
			data, err := d.YAML()
			if err != nil {
				return err
			}
			if _, err := io.WriteString(w, "---\n"); err != nil {
				return err
			}
			if _, err := w.Write(data); err != nil {
				return err
			}
		}
	}
	_, err := io.WriteString(w, "# end of the export\n")
	return err
}

func contains(list []string, word string) bool {
	for _, w := range list {
		if w == word {
			return true
		}
	}
	return false
}

func (s *Server) registerPlans(a huma.API) {
	const tag = "Plan and apply"
	body := map[string]string{
		"application/yaml":    "Documents, separated by ---",
		"application/json":    "A document, a list of documents, or a stream of them",
		"multipart/form-data": "Files of documents; their names stand in what is found",
	}
	register(a, operation{
		id: "planDocuments", method: http.MethodPost, path: "/plan", tag: tag, summary: "Say what an apply would change",
		about: "Checks the documents as apply does, and changes nothing.", scopes: s.writeScopes(), large: true, body: body,
	}, s.planDocuments)
	register(a, operation{
		id: "applyDocuments", method: http.MethodPost, path: "/apply", tag: tag, summary: "Put documents in force, all of them or none",
		about:  "Answers when the change decides logins on this node. Refused with 409 if a document that says its version is at another one by now, or if anything changed since the plan with the given fingerprint.",
		scopes: s.writeScopes(), large: true, body: body,
	}, s.applyDocuments)
}

// PlanInput is the input of a plan.
type PlanInput struct {
	Call
	ContentType string `header:"Content-Type"`
}

func (s *Server) planDocuments(ctx context.Context, in *PlanInput) (*answer[api.Plan], error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	documents, err := readDocuments(in.http, in.ContentType)
	if err != nil {
		return nil, err
	}
	p, err := s.plan(ctx, &in.caller, wish{documents: documents})
	if err != nil {
		return nil, err
	}
	return &answer[api.Plan]{Body: p.view()}, nil
}

type applyInput struct {
	PlanInput
	Plan    string `query:"plan" maxLength:"64" doc:"Fingerprint of the plan that was agreed to"`
	Comment string `query:"comment" maxLength:"1024" doc:"Why, for the history"`
}

func (s *Server) applyDocuments(ctx context.Context, in *applyInput) (*answer[api.Plan], error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	documents, err := readDocuments(in.http, in.ContentType)
	if err != nil {
		return nil, err
	}
	v, err := s.planAndApply(ctx, &in.caller, wish{documents: documents, comment: in.Comment}, in.Plan)
	if err != nil {
		return nil, err
	}
	return &answer[api.Plan]{Body: v}, nil
}

// planAndApply makes a plan and puts it in force, unless it is another one than was agreed to.
func (s *Server) planAndApply(ctx context.Context, caller *Caller, w wish, agreed string) (api.Plan, error) {
	p, err := s.plan(ctx, caller, w)
	if err != nil {
		return api.Plan{}, err
	}
	if agreed != "" && p.fingerprint() != agreed {
		return api.Plan{}, api.NewProblem(http.StatusConflict, api.ReasonConflict, "the plan is another one than was agreed to: something changed in between; nothing was changed; look at the new plan and try again")
	}
	return s.apply(ctx, caller, p)
}

// File is a file of documents.
type File struct {
	Name string // as it stands in problems
	Data []byte
}

// Apply puts the documents of files in force, all of them or none, as the API's apply does. By names who does it.
func (s *Server) Apply(ctx context.Context, by string, files []File, comment string) (api.Plan, error) {
	documents, err := parseFiles(files)
	if err != nil {
		return api.Plan{}, err
	}
	caller := Caller{By: by, scopes: []string{ScopeAll}}
	return s.planAndApply(ctx, &caller, wish{documents: documents, comment: comment}, "")
}

// readDocuments reads the documents of a request's body.
func readDocuments(r *http.Request, contentType string) ([]*document.Document, error) {
	media, parameters, err := mime.ParseMediaType(contentType)
	if contentType == "" {
		media, err = "application/yaml", nil
	}
	if err != nil {
		return nil, api.NewProblem(http.StatusUnsupportedMediaType, api.ReasonMalformed, "the Content-Type %q cannot be read: %v", contentType, err)
	}
	switch media {
	case "application/yaml", "application/x-yaml", "text/yaml", "application/json", "text/plain":
		data, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, bodyProblem(err)
		}
		return parseFiles([]File{{Data: data}})
	case "multipart/form-data":
		files, err := readParts(multipart.NewReader(r.Body, parameters["boundary"]))
		if err != nil {
			return nil, bodyProblem(err)
		}
		return parseFiles(files)
	}
	return nil, api.NewProblem(http.StatusUnsupportedMediaType, api.ReasonMalformed, "the Content-Type must be application/yaml, application/json or multipart/form-data")
}

// maxParts bounds the files of a request.
const maxParts = 10_000

func readParts(parts *multipart.Reader) ([]File, error) {
	var files []File
	for {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if len(files) == maxParts {
			return nil, api.NewProblem(http.StatusRequestEntityTooLarge, api.ReasonTooLarge, "the body has more than %d files", maxParts)
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return nil, err
		}
		files = append(files, File{Name: fileName(part), Data: data})
	}
}

// fileName returns the whole name that the sender gave a file, folders included; multipart.Part would cut them off.
func fileName(part *multipart.Part) string {
	_, parameters, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	if err != nil {
		return ""
	}
	return parameters["filename"]
}

// parseFiles parses files of documents, and reports everything that is wrong with any of them.
func parseFiles(files []File) ([]*document.Document, error) {
	var all []*document.Document
	var problems document.Problems
	for _, f := range files {
		documents, err := document.Parse(f.Name, strings.NewReader(string(f.Data)))
		if err != nil {
			found, ok := err.(document.Problems)
			if !ok {
				return nil, bodyProblem(err)
			}
			problems = append(problems, found...)
		}
		all = append(all, documents...)
	}
	if len(problems) > 0 {
		return nil, refusal(problems)
	}
	if len(all) == 0 {
		return nil, api.NewProblem(http.StatusUnprocessableEntity, api.ReasonInvalid, "there are no documents in the request")
	}
	return all, nil
}

// parseProblem makes a problem of what document.Parse returns.
func parseProblem(err error) error {
	if found, ok := err.(document.Problems); ok {
		return refusal(found)
	}
	return err
}

// specJSON returns a document's spec alone, as JSON with redacted secrets.
func specJSON(d *document.Document) (json.RawMessage, error) {
	data, err := d.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var whole struct {
		Spec json.RawMessage `json:"spec"`
	}
	err = json.Unmarshal(data, &whole)
	return whole.Spec, err
}
