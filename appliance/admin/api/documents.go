package api

import (
	"encoding/json"
	"time"
)

// Document is a configuration document or a user as the API shows it. Secrets are redacted; a redacted secret that comes
// back means "unchanged".
type Document struct {
	Kind       string          `json:"kind" doc:"Kind of the document, such as ServiceProvider"`
	Name       string          `json:"name" doc:"Name, unique within its kind"`
	ID         uint64          `json:"id,omitempty" doc:"Number of a user, which no other user ever gets; other kinds have none"`
	Version    uint64          `json:"version,omitempty" doc:"Version, counted from 1; the ETag"`
	Spec       json.RawMessage `json:"spec" doc:"The fields of the kind; see the configuration reference"`
	CreatedAt  *time.Time      `json:"createdAt,omitempty" doc:"When the document was created"`
	CreatedBy  string          `json:"createdBy,omitempty" doc:"Who created it"`
	ModifiedAt *time.Time      `json:"modifiedAt,omitempty" doc:"When the document was last changed"`
	ModifiedBy string          `json:"modifiedBy,omitempty" doc:"Who changed it last"`
}

// DocumentList is a page of documents in the order of their names.
type DocumentList struct {
	Documents []Document `json:"documents" nullable:"false"`
	Next      string     `json:"next,omitempty" doc:"Cursor of the next page; absent on the last one"`
	Total     int        `json:"total" doc:"Number of documents of the kind"`
}

// Action says what an apply does to a document.
type Action string

// The actions.
const (
	Create    Action = "create"
	Update    Action = "update"
	Delete    Action = "delete"
	Unchanged Action = "unchanged"
)

// Change is one field that differs. Secrets show only that they change.
type Change struct {
	Path string `json:"path" doc:"Path of the field, such as spec.radius.sourceIPs[0]"`
	Old  string `json:"old,omitempty" doc:"Value in force; absent if the field is new"`
	New  string `json:"new,omitempty" doc:"Value wanted; absent if the field goes away"`
}

// PlannedDocument is what an apply would do, or did, to one document.
type PlannedDocument struct {
	Kind    string   `json:"kind"`
	Name    string   `json:"name"`
	Action  Action   `json:"action" enum:"create,update,delete,unchanged"`
	Version uint64   `json:"version" doc:"Version in force when the plan was made, 0 if there is none"`
	Result  uint64   `json:"result" doc:"Version after the apply, 0 after a delete"`
	Changes []Change `json:"changes,omitempty" doc:"Field by field, in the order of the fields"`
}

// Plan is the difference between documents and what is in force.
type Plan struct {
	Documents   []PlannedDocument `json:"documents" nullable:"false" doc:"Every document of the request, unchanged ones included"`
	Creates     int               `json:"creates"`
	Updates     int               `json:"updates"`
	Deletes     int               `json:"deletes"`
	Unchanged   int               `json:"unchanged"`
	Warnings    []Finding         `json:"warnings,omitempty" doc:"What is accepted but does less than it says"`
	Fingerprint string            `json:"fingerprint" doc:"Hand it to apply as query parameter plan, and apply refuses if the plan would be another one by then"`
	Applied     bool              `json:"applied" doc:"True in the answer of apply: the changes are in force"`
	Index       uint64            `json:"index,omitempty" doc:"Log index at which the changes took effect; 0 if nothing changed"`
}

// Pending reports whether the plan changes anything.
func (p *Plan) Pending() bool { return p.Creates+p.Updates+p.Deletes > 0 }

// Revision is one version in the history of a document.
type Revision struct {
	Version  uint64          `json:"version" doc:"Version of the document; a deletion has the version that it ended"`
	Position string          `json:"position" doc:"Place in the log, index.offset"`
	At       time.Time       `json:"at"`
	By       string          `json:"by,omitempty" doc:"Who made the change"`
	Comment  string          `json:"comment,omitempty"`
	Deleted  bool            `json:"deleted,omitempty" doc:"True if the document was deleted here"`
	Changes  []Change        `json:"changes,omitempty" doc:"Difference from the version before"`
	Spec     json.RawMessage `json:"spec,omitempty" doc:"The document as it stood then, only if asked for"`
}

// History is the revisions of a document, newest first.
type History struct {
	Kind      string     `json:"kind"`
	Name      string     `json:"name"`
	Revisions []Revision `json:"revisions" nullable:"false"`
}

// RevertRequest asks for an earlier version of a document to be put in force again, as a new version.
type RevertRequest struct {
	Version uint64 `json:"version" minimum:"1" doc:"Version to go back to"`
	Comment string `json:"comment,omitempty" maxLength:"1024"`
}

// Finding is one thing that is wrong, or doubtful, in a document or a request.
type Finding struct {
	File       string `json:"file,omitempty" doc:"File that holds the document"`
	Line       int    `json:"line,omitempty" doc:"Line in the file, counted from 1"`
	Column     int    `json:"column,omitempty" doc:"Column in the line, counted from 1"`
	Kind       string `json:"kind,omitempty"`
	Name       string `json:"name,omitempty"`
	Field      string `json:"field,omitempty" doc:"Path of the field"`
	Reason     string `json:"reason" doc:"What is wrong, in plain words"`
	Suggestion string `json:"suggestion,omitempty" doc:"What to do about it"`
}

// Kind is a kind of document.
type Kind struct {
	Name    string   `json:"name"`
	Plural  string   `json:"plural"`
	Aliases []string `json:"aliases,omitempty"`
	Summary string   `json:"summary"`
	Count   int      `json:"count" doc:"Number of documents of the kind"`
}

// KindList is the kinds of documents.
type KindList struct {
	Kinds []Kind `json:"kinds" nullable:"false"`
}

// PutRequest is the body that replaces one document.
type PutRequest struct {
	Spec    json.RawMessage `json:"spec" doc:"The fields of the kind"`
	Comment string          `json:"comment,omitempty" maxLength:"1024" doc:"Why, for the history"`
}
