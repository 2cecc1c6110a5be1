package admin

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"trine/appliance/admin/api"
	"trine/engine/event"
)

// Bounds of requests and their times.
const (
	maxBody      = 1 << 20   // of a request whose body is one JSON object
	maxDocuments = 128 << 20 // of a plan, apply or import
	// slowestUpload is how many bytes of such a body have to come in a second.
	slowestUpload = 64 << 10
	readTime      = 30 * time.Second
	idleTime      = 2 * time.Minute
	answerTime    = 5 * time.Minute // for work and answer, streams apart
)

// An operation says in its metadata what the gate has to know.
const (
	metaScopes = "scopes" // []string: the caller holds one of them
	metaLarge  = "large"  // true: the handler reads the body itself, up to maxDocuments
	metaStream = "stream" // true: the answer has no bounded time
	metaPublic = "public" // true: strangers may call it, within bounds of their own
)

// authenticator finds out who makes a request. The error is a *api.Problem.
type authenticator interface {
	authenticate(r *http.Request) (Caller, error)
}

// gate is the way from net/http into an operation: it adds security headers, times and bounds, finds the caller and checks
// the operation's scope, replays what an Idempotency-Key already did, and turns a panic into a problem. It implements
// huma.Adapter.
type gate struct {
	mux    *http.ServeMux
	server *Server
	who    authenticator
}

var _ huma.Adapter = (*gate)(nil)

// ServeHTTP implements http.Handler.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	reference := newReference()
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	h.Set("Trine-Reference", reference)
	defer func() {
		if v := recover(); v != nil {
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v)
			}
			g.server.log.Error("administration request failed", "reference", reference, "method", r.Method, "path", r.URL.Path,
				"panic", v, "stack", string(debug.Stack()))
			writeProblem(w, api.NewProblem(http.StatusInternalServerError, api.ReasonInternal,
				"the node failed to handle the request; its log has more under reference %s", reference))
		}
	}()
	if _, pattern := g.mux.Handler(r); pattern == "" {
		g.unmatched(w, r)
		return
	}
	g.mux.ServeHTTP(w, r)
}

// unmatched answers what no operation takes.
func (g *gate) unmatched(w http.ResponseWriter, r *http.Request) {
	probe := *r
	var allowed []string
	for _, m := range []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete} {
		probe.Method = m
		if _, pattern := g.mux.Handler(&probe); pattern != "" {
			allowed = append(allowed, m)
		}
	}
	if len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		writeProblem(w, api.NewProblem(http.StatusMethodNotAllowed, api.ReasonNotFound, "%s takes no %s; it takes %s",
			r.URL.Path, r.Method, strings.Join(allowed, ", ")))
		return
	}
	writeProblem(w, api.NewProblem(http.StatusNotFound, api.ReasonNotFound, "there is nothing at %s; /openapi.json says what there is", r.URL.Path))
}

// anyOf lists scopes for people; those of many kinds of documents become one.
func anyOf(scopes []string) string {
	ofKind := func(scope string) bool { return strings.HasPrefix(scope, scopeDocuments) }
	words := slices.DeleteFunc(slices.Clone(scopes), ofKind)
	switch kinds := len(scopes) - len(words); {
	case kinds == 1:
		words = scopes
	case kinds > 1:
		words = append(words, scopeDocuments+"KIND")
	}
	return strings.Join(words, " or ")
}

// Handle implements huma.Adapter.
func (g *gate) Handle(op *huma.Operation, handler func(huma.Context)) {
	scopes, _ := op.Metadata[metaScopes].([]string)
	large, _ := op.Metadata[metaLarge].(bool)
	stream, _ := op.Metadata[metaStream].(bool)
	public, _ := op.Metadata[metaPublic].(bool)
	g.mux.HandleFunc(op.Method+" "+op.Path, func(w http.ResponseWriter, r *http.Request) {
		var caller Caller
		var err error
		most := int64(maxBody)
		if public {
			most, err = maxStranger, g.server.strangers.admit(r)
		} else {
			caller, err = g.who.authenticate(r)
		}
		if err != nil {
			writeProblem(w, err)
			return
		}
		if len(scopes) > 0 && !caller.has(scopes...) {
			writeProblem(w, api.NewProblem(http.StatusForbidden, api.ReasonForbidden, "%s may not do this: it takes the scope %s",
				caller.By, anyOf(scopes)))
			return
		}
		rc := http.NewResponseController(w)
		if large {
			r.Body = http.MaxBytesReader(w, &patientBody{body: r.Body, rc: rc}, maxDocuments)
		} else if err := bufferBody(w, r, rc, most); err != nil {
			writeProblem(w, err)
			return
		}
		if !stream {
			// A connection whose deadlines cannot be set (a recorder in a test) has none.
			_ = rc.SetWriteDeadline(time.Now().Add(answerTime))
		}
		key := r.Header.Get("Idempotency-Key")
		if key == "" || op.Method != http.MethodPost || public {
			handler(&callContext{operationContext: humago.NewContext(op, r, w), caller: caller})
			return
		}
		g.server.replays.serve(w, r, caller, key, func(w http.ResponseWriter) {
			handler(&callContext{operationContext: humago.NewContext(op, r, w), caller: caller})
		})
	})
}

// bufferBody reads a small body as a whole, so that a slow sender holds nothing but his connection.
func bufferBody(w http.ResponseWriter, r *http.Request, rc *http.ResponseController, most int64) error {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	_ = rc.SetReadDeadline(time.Now().Add(readTime))
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	// A read deadline that stays set would cancel the request while it is worked on.
	_ = rc.SetReadDeadline(time.Time{})
	if err != nil {
		return bodyProblem(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(data))
	r.ContentLength = int64(len(data))
	return nil
}

// bodyProblem says why a body could not be read.
func bodyProblem(err error) *api.Problem {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return api.NewProblem(http.StatusRequestEntityTooLarge, api.ReasonTooLarge, "the body is larger than %d bytes", tooLarge.Limit)
	}
	return api.NewProblem(http.StatusBadRequest, api.ReasonMalformed, "the body could not be read: %v", err)
}

// patientBody gives each read of a large body its own deadline, and takes the deadline away at the end. A sender who is slower than
// slowestUpload altogether is cut off: drop by drop he could hold one of the few places for ever.
type patientBody struct {
	body  io.ReadCloser
	rc    *http.ResponseController
	began time.Time
	read  int64
}

// Read implements io.Reader.
func (b *patientBody) Read(p []byte) (int, error) {
	now := time.Now()
	if b.read == 0 {
		b.began = now
	}
	deadline := b.began.Add(readTime + time.Duration(b.read/slowestUpload)*time.Second)
	if each := now.Add(readTime); each.Before(deadline) {
		deadline = each
	}
	_ = b.rc.SetReadDeadline(deadline)
	n, err := b.body.Read(p)
	b.read += int64(n)
	if err != nil {
		_ = b.rc.SetReadDeadline(time.Time{})
	}
	return n, err
}

// Close implements io.Closer.
func (b *patientBody) Close() error {
	_ = b.rc.SetReadDeadline(time.Time{})
	return b.body.Close()
}

// operationContext is huma.Context under a name that does not hide its method Context when it is embedded.
type operationContext = huma.Context

// callContext carries the caller to the operation's input.
type callContext struct {
	operationContext
	caller Caller
}

// Unwrap implements what humago.Unwrap looks for.
func (c *callContext) Unwrap() huma.Context { return c.operationContext }

// Call is the part of an operation's input that the gate fills in.
type Call struct {
	caller Caller
	http   *http.Request
	writer http.ResponseWriter
}

// Resolve implements huma.Resolver.
func (c *Call) Resolve(ctx huma.Context) []error {
	c.http, c.writer = humago.Unwrap(ctx)
	for {
		switch x := ctx.(type) {
		case *callContext:
			c.caller = x.caller
			return nil
		case interface{ Unwrap() huma.Context }:
			ctx = x.Unwrap()
		default:
			return []error{errors.New("request did not come through the gate")}
		}
	}
}

// writeProblem answers with a problem; any other error becomes one.
func writeProblem(w http.ResponseWriter, err error) {
	p := problemOf(err)
	p.Reference = w.Header().Get("Trine-Reference")
	w.Header().Set("Content-Type", p.ContentType(""))
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="trine"`)
	}
	w.WriteHeader(p.Status)
	// The caller may be gone; then nobody needs the answer.
	_ = json.NewEncoder(w).Encode(p)
}

// problemOf returns the problem in err, or one that says that the node failed.
func problemOf(err error) *api.Problem {
	var p *api.Problem
	if errors.As(err, &p) {
		return p
	}
	return api.NewProblem(http.StatusInternalServerError, api.ReasonInternal, "%v", err)
}

// transformErrors makes problems of huma's own errors and adds the reference to every problem. It is a huma.Transformer.
func transformErrors(ctx huma.Context, _ string, v any) (any, error) {
	var p *api.Problem
	switch e := v.(type) {
	case *huma.ErrorModel:
		reason := api.ReasonMalformed
		if e.Status >= http.StatusInternalServerError {
			reason = api.ReasonInternal
		}
		p = api.NewProblem(e.Status, reason, "%s", e.Detail)
		for _, d := range e.Errors {
			p.Errors = append(p.Errors, api.Finding{Field: d.Location, Reason: d.Message})
		}
	case *api.Problem:
		p = e
	default:
		return v, nil
	}
	_, w := humago.Unwrap(ctx)
	p.Reference = w.Header().Get("Trine-Reference")
	return p, nil
}

// newReference makes the reference of a request.
func newReference() string {
	var b [8]byte
	// crypto/rand.Read never fails: it ends the process instead.
	_, _ = rand.Read(b[:])
	return event.FormatID(binary.BigEndian.Uint64(b[:]))
}
