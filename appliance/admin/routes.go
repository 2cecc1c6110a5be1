package admin

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"trine/appliance/admin/api"
)

// apiPath is where the API begins. A change that breaks clients gets another one.
const apiPath = "/api/v1"

// answer is the output of an operation with a JSON body.
type answer[T any] struct{ Body T }

// nothing is the output of an operation without a body.
type nothing struct{}

// operation describes one operation of the API.
type operation struct {
	id, method, path, tag, summary, about string

	status int      // of success; 0: 200, or 204 without a body
	scopes []string // the caller holds one of them; none: every known caller
	public bool     // strangers may call it too: the gate bounds how often and how much
	large  bool     // the handler reads the body itself
	stream bool
	// body describes a body that the handler reads itself, by media type.
	body map[string]string
	// produces describes an answer that the handler writes itself.
	produces string
}

// register adds an operation to the API.
func register[I, O any](a huma.API, o operation, handler func(context.Context, *I) (*O, error)) {
	registry := a.OpenAPI().Components.Schemas
	op := huma.Operation{
		OperationID: o.id, Method: o.method, Path: apiPath + o.path, Summary: o.summary, Description: o.about, Tags: []string{o.tag},
		DefaultStatus: o.status, MaxBodyBytes: -1, BodyReadTimeout: -1, // the gate bounds both
		RejectUnknownQueryParameters: true,
		Metadata:                     map[string]any{metaScopes: o.scopes, metaLarge: o.large, metaStream: o.stream, metaPublic: o.public},
		Responses: map[string]*huma.Response{"default": {
			Description: "A problem (RFC 9457)",
			Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: registry.Schema(problemType, true, "Problem")}},
		}},
	}
	if len(o.scopes) > 0 {
		op.Description = strings.TrimSpace(op.Description + "\n\nScope: " + strings.Join(o.scopes, " or ") + ".")
	}
	if o.produces != "" {
		op.Responses["200"] = &huma.Response{Description: "Success", Content: map[string]*huma.MediaType{o.produces: {}}}
	}
	switch {
	case o.public:
		op.Security = []map[string][]string{{}}
	case o.method == http.MethodPost:
		op.Parameters = append(op.Parameters, &huma.Param{
			Name: "Idempotency-Key", In: "header", Schema: &huma.Schema{Type: "string"},
			Description: "A request that is sent again with the same key is not done again: it gets the answer of the first one.",
		})
	}
	huma.Register(a, op, handler)
	if o.body != nil {
		// Described after the registration, so that nobody but the handler reads the body.
		content := map[string]*huma.MediaType{}
		for media, about := range o.body {
			content[media] = &huma.MediaType{Schema: &huma.Schema{Type: "string", Description: about}}
			if media == "multipart/form-data" {
				content[media] = &huma.MediaType{Schema: &huma.Schema{Type: "object", Properties: map[string]*huma.Schema{
					"documents": {Type: "array", Description: about, Items: &huma.Schema{Type: "string", Format: "binary"}},
				}}}
			}
		}
		described := a.OpenAPI().Paths[op.Path]
		described.Post.RequestBody = &huma.RequestBody{Required: true, Content: content}
	}
}

// newAPI builds the API behind a gate.
func (s *Server) newAPI(g *gate) huma.API {
	config := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:       "Trine administration",
				Version:     "1",
				Description: "Everything that the command line and the console do. Changes are documents: plan shows what an apply would do, apply does all of it or nothing.",
			},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"apiKey": {Type: "http", Scheme: "bearer", Description: "An API key. On the node's socket nothing is needed: whoever can open it is an administrator."},
				},
			},
			Security: []map[string][]string{{"apiKey": {}}},
		},
		Formats:       map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{transformErrors},
	}
	a := huma.NewAPI(config, g)
	s.registerDocuments(a)
	s.registerPlans(a)
	s.registerHistory(a)
	s.registerUsers(a)
	s.registerFactors(a)
	s.registerPush(a)
	s.registerImports(a)
	s.registerJobs(a)
	s.registerSessions(a)
	s.registerSSO(a)
	s.registerGrants(a)
	s.registerEvents(a)
	s.registerSimulation(a)
	s.registerKeys(a)
	s.registerDelivery(a)
	s.registerBackup(a)
	s.registerNode(a)
	s.registerCluster(a)
	// The model of huma's own errors is never sent: transformErrors makes problems of them.
	delete(a.OpenAPI().Components.Schemas.Map(), "ErrorModel")
	delete(a.OpenAPI().Components.Schemas.Map(), "ErrorDetail")
	return a
}

// handler builds everything that a listener answers. With openMetrics, /metrics needs no key.
func (s *Server) handler(who authenticator, openMetrics bool) http.Handler {
	g := &gate{mux: http.NewServeMux(), server: s, who: who}
	a := s.newAPI(g)
	g.serveSpec(a)
	g.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok") })
	g.mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.cfg.Ready(); err != nil {
			plain(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		plain(w, http.StatusOK, "ready")
	})
	if s.cfg.Metrics != nil {
		g.mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) { g.metrics(w, r, openMetrics) })
	}
	return g
}

// Handler returns what the management listener answers, for tests and embedders. Metrics need a key.
func (s *Server) Handler() http.Handler { return s.handler(&keyAuthenticator{server: s}, false) }

// OpenAPI returns the OpenAPI 3.1 document of the API, as JSON.
func (s *Server) OpenAPI() ([]byte, error) {
	a := s.newAPI(&gate{mux: http.NewServeMux(), server: s, who: peerAuthenticator{}})
	return json.MarshalIndent(a.OpenAPI(), "", "  ")
}

// serveSpec answers the OpenAPI document, made once; it holds nothing that callers may not know.
func (g *gate) serveSpec(a huma.API) {
	asJSON, err := json.Marshal(a.OpenAPI())
	if err != nil {
		panic("encode the OpenAPI document: " + err.Error())
	}
	asYAML, err := a.OpenAPI().YAML()
	if err != nil {
		panic("encode the OpenAPI document: " + err.Error())
	}
	for path, spec := range map[string]struct {
		kind string
		data []byte
	}{"/openapi.json": {"application/openapi+json", asJSON}, "/openapi.yaml": {"application/openapi+yaml", asYAML}} {
		sum := sha256.Sum256(spec.data)
		tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
		g.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "no-cache")
			w.Header().Set("ETag", tag)
			if slices.Contains(strings.Split(r.Header.Get("If-None-Match"), ", "), tag) {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			w.Header().Set("Content-Type", spec.kind)
			_, _ = w.Write(spec.data) // the caller may be gone
		})
	}
}

// metrics answers /metrics to a caller with the scope. A listener that only this machine can reach answers everybody whose
// request names it by a loopback name; the check of the name keeps web pages from reading it by way of DNS.
func (g *gate) metrics(w http.ResponseWriter, r *http.Request, open bool) {
	if !open || !loopbackHost(r.Host) || r.Header.Get("Authorization") != "" {
		caller, err := g.who.authenticate(r)
		if err != nil {
			writeProblem(w, err)
			return
		}
		if !caller.has(ScopeMetrics, ScopeRead) {
			writeProblem(w, api.NewProblem(http.StatusForbidden, api.ReasonForbidden, "%s may not do this: it takes scope %s or %s", caller.By, ScopeMetrics, ScopeRead))
			return
		}
	}
	g.server.cfg.Metrics.ServeHTTP(w, r)
}

func loopbackHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // the caller may be gone
}

func (s *Server) registerNode(a huma.API) {
	register(a, operation{id: "getStatus", method: http.MethodGet, path: "/status", tag: "Node", summary: "Say how the node is", scopes: []string{ScopeRead, ScopeMetrics}},
		func(context.Context, *Call) (*answer[api.Status], error) {
			status := s.cfg.Status()
			if status.Documents == nil {
				status.Documents = make(map[string]int, len(s.names))
				for _, kind := range s.names {
					status.Documents[kind] = s.cfg.State.Count(kind)
				}
			}
			return &answer[api.Status]{Body: status}, nil
		})
	register(a, operation{id: "getVersion", method: http.MethodGet, path: "/version", tag: "Node", summary: "Say what runs"},
		func(context.Context, *Call) (*answer[api.Version], error) {
			return &answer[api.Version]{Body: api.Version{Version: s.cfg.Version, Go: runtime.Version(), API: "1"}}, nil
		})
}

func itoa(n int) string { return strconv.Itoa(n) }
