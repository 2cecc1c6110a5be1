package api

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// The reasons of problems. They are stable: programs may compare them.
const (
	ReasonMalformed      = "request.malformed"       // the request cannot be read
	ReasonTooLarge       = "request.too-large"       // a body over its bound
	ReasonUnauthorized   = "caller.unknown"          // no key, or one that is wrong, expired or revoked
	ReasonForbidden      = "caller.forbidden"        // a key without the scope
	ReasonNotFound       = "object.missing"          // what the path names does not exist
	ReasonInvalid        = "document.invalid"        // documents that are refused; findings say why
	ReasonConflict       = "version.conflict"        // something changed in between
	ReasonPrecondition   = "version.precondition"    // If-Match does not hold
	ReasonIdempotency    = "idempotency.mismatch"    // an Idempotency-Key used again for another request
	ReasonInProgress     = "idempotency.in-progress" // a request with the same Idempotency-Key is under way
	ReasonNoLeader       = "log.no-leader"           // no node takes changes now
	ReasonBusy           = "log.busy"                // the log's queue is full
	ReasonDiskFull       = "log.disk-full"           // too little free space to take changes
	ReasonUncertain      = "log.uncertain"           // the outcome is not known
	ReasonNotPublished   = "policy.not-published"    // committed, but not in force on this node in time
	ReasonJobsFull       = "job.too-many"            // too many jobs under way
	ReasonPasswordFailed = "password.not-built"      // the password could not be turned into its stored forms
	ReasonLimited        = "request.limited"         // too many requests of strangers
	ReasonPushRefused    = "push.refused"            // what came in a device's name does not count; it is not said why
	ReasonPushAnswered   = "push.answered"           // the challenge was answered before
	ReasonPushExpired    = "push.expired"            // the device came too late
	ReasonCluster        = "cluster.refused"         // the cluster would not stand it, or there is none
	ReasonInternal       = "node.failed"             // a defect; the node's log has the reference
)

// Problem is an error as the API answers it: problem details of RFC 9457, with the stable reason, the reference under which
// the node's log has more, and what was found document by document.
type Problem struct {
	Type      string    `json:"type" doc:"URI reference of the problem type; its fragment is the reason"`
	Title     string    `json:"title" doc:"Short summary, the same for all problems of a status"`
	Status    int       `json:"status" doc:"HTTP status code"`
	Detail    string    `json:"detail" doc:"What went wrong this time, in plain words"`
	Reason    string    `json:"reason" doc:"Stable reason code"`
	Reference string    `json:"reference,omitempty" doc:"Reference of this request in the node's log"`
	Errors    []Finding `json:"errors,omitempty" doc:"What is wrong, document by document and field by field"`
}

// NewProblem returns a problem with a formatted detail.
func NewProblem(status int, reason, format string, args ...any) *Problem {
	return &Problem{
		Type:   "/api/v1/problems#" + reason,
		Title:  http.StatusText(status),
		Status: status,
		Detail: fmt.Sprintf(format, args...),
		Reason: reason,
	}
}

// With returns the problem with the findings added.
func (p *Problem) With(findings ...Finding) *Problem {
	p.Errors = append(p.Errors, findings...)
	return p
}

// Error implements error. It holds the findings too, one a line.
func (p *Problem) Error() string {
	if len(p.Errors) == 0 {
		return p.Detail
	}
	var b strings.Builder
	b.WriteString(p.Detail)
	for i := range p.Errors {
		b.WriteString("\n  ")
		b.WriteString(p.Errors[i].String())
	}
	return b.String()
}

// GetStatus returns the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType names the media type of RFC 9457.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// String prints a finding as one line: where, what, what to do.
func (f *Finding) String() string {
	var b strings.Builder
	if f.File != "" {
		b.WriteString(f.File)
		if f.Line > 0 {
			b.WriteString(":" + strconv.Itoa(f.Line))
			if f.Column > 0 {
				b.WriteString(":" + strconv.Itoa(f.Column))
			}
		}
		b.WriteString(": ")
	} else if f.Line > 0 {
		b.WriteString("line " + strconv.Itoa(f.Line) + ": ")
	}
	if f.Kind != "" {
		b.WriteString(f.Kind)
		if f.Name != "" {
			b.WriteString(" " + f.Name)
		}
		b.WriteString(": ")
	}
	if f.Field != "" {
		b.WriteString(f.Field + ": ")
	}
	b.WriteString(f.Reason)
	if f.Suggestion != "" {
		b.WriteString(" (" + f.Suggestion + ")")
	}
	return b.String()
}
