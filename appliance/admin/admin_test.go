package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trine/appliance/admin/admintest"
	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
)

// site is a small but whole configuration.
const site = `
kind: UserType
name: default
spec: {password: {keep: [argon2id]}}
---
kind: IdentityProvider
name: local
spec: {type: local, publicID: "https://id.example.com", profiles: {radius: {enabled: true}}}
---
kind: Group
name: staff
spec: {description: people}
---
kind: User
name: alice
spec: {groups: [staff], password: wonderland}
---
kind: ServiceProvider
name: core
spec: {type: radius, radius: {sourceIPs: [10.0.0.0/8], secret: s3cret-s3cret}}
`

// start starts a node in memory and returns it with a client on its socket.
func start(t testing.TB) (*admintest.Node, *client.Client) {
	t.Helper()
	n, err := admintest.Start(slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := n.Admin.ServeSocket(filepath.Join(dir, client.SocketName)); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(client.Options{Data: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := n.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return n, c
}

func files(texts ...string) []client.File {
	var list []client.File
	for i, text := range texts {
		list = append(list, client.File{Name: string(rune('a'+i)) + ".yaml", Data: []byte(text)})
	}
	return list
}

func mustApply(t testing.TB, c *client.Client, text string) *api.Plan {
	t.Helper()
	p, err := c.Apply(t.Context(), files(text), client.ApplyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// wire is the management listener, spoken to without the client.
type wire struct {
	t   testing.TB
	h   http.Handler
	key string
}

// key makes an API key with the given scopes.
func key(t testing.TB, c *client.Client, scopes ...string) *api.NewKey {
	t.Helper()
	k, err := c.CreateKey(t.Context(), api.KeyRequest{Description: "test", Scopes: scopes})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (w *wire) do(method, path, body string, header ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	r := httptest.NewRequestWithContext(w.t.Context(), method, path, in)
	if w.key != "" {
		r.Header.Set("Authorization", "Bearer "+w.key)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	w.h.ServeHTTP(rec, r)
	return rec
}

// problem decodes a problem and checks its form.
func problem(t testing.TB, rec *httptest.ResponseRecorder, status int, reason string) *api.Problem {
	t.Helper()
	var p api.Problem
	if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil {
		t.Fatalf("%d %s: %v", rec.Code, rec.Body, err)
	}
	if rec.Code != status || p.Status != status || p.Reason != reason {
		t.Fatalf("answered %d %s, want %d %s: %s", rec.Code, p.Reason, status, reason, rec.Body)
	}
	if got := rec.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type %q", got)
	}
	if p.Detail == "" || p.Reference == "" || p.Reference != rec.Header().Get("Trine-Reference") {
		t.Errorf("problem without detail or reference: %+v", p)
	}
	return &p
}

func TestCallersDoWhatTheirScopesSay(t *testing.T) {
	n, c := start(t)
	mustApply(t, c, site)
	h := n.Admin.Handler()
	group := `{"spec": {"description": "changed"}}`
	for _, tc := range []struct {
		name               string
		scopes             []string
		method, path, body string
		status             int
	}{
		{"read reads documents", []string{"read"}, "GET", "/api/v1/documents/Group/staff", "", 200},
		{"read changes nothing", []string{"read"}, "PUT", "/api/v1/documents/Group/staff", group, 403},
		{"read lists no keys", []string{"read"}, "GET", "/api/v1/apikeys", "", 403},
		{"write changes documents", []string{"write"}, "PUT", "/api/v1/documents/Group/staff", group, 200},
		{"write makes no keys", []string{"write"}, "POST", "/api/v1/apikeys", `{"description": "x", "scopes": ["write"]}`, 403},
		{"a kind's scope changes that kind", []string{"documents:Group"}, "PUT", "/api/v1/documents/Group/staff", group, 200},
		{"a kind's scope changes no other", []string{"documents:Group"}, "DELETE", "/api/v1/documents/User/alice", "", 403},
		{"a kind's scope reads no other", []string{"documents:Group"}, "GET", "/api/v1/documents/User/alice", "", 403},
		{"users sets passwords", []string{"users"}, "POST", "/api/v1/users/alice/password", `{"password": "something"}`, 204},
		{"a kind's scope sets no passwords", []string{"documents:Group"}, "POST", "/api/v1/users/alice/password", `{"password": "something"}`, 403},
		{"users changes no groups", []string{"users"}, "PUT", "/api/v1/documents/Group/staff", group, 403},
		{"a revert is a change", []string{"documents:User"}, "POST", "/api/v1/documents/Group/staff/revert", `{"version": 1}`, 403},
		{"sessions reads sessions", []string{"sessions"}, "GET", "/api/v1/sessions", "", 200},
		{"sessions reads no events", []string{"sessions"}, "GET", "/api/v1/events", "", 403},
		{"events reads events", []string{"events"}, "GET", "/api/v1/events", "", 200},
		{"apikeys lists keys", []string{"apikeys"}, "GET", "/api/v1/apikeys", "", 200},
		{"apikeys gives away what it has", []string{"apikeys"}, "POST", "/api/v1/apikeys", `{"description": "x", "scopes": ["apikeys"]}`, 201},
		{"apikeys gives away nothing else", []string{"apikeys"}, "POST", "/api/v1/apikeys", `{"description": "x", "scopes": ["read"]}`, 403},
		{"apikeys cannot make itself all-powerful", []string{"apikeys"}, "POST", "/api/v1/apikeys", `{"description": "x", "scopes": ["*"]}`, 403},
		{"metrics reads no documents", []string{"metrics"}, "GET", "/api/v1/documents/Group", "", 403},
		{"anybody with a key may ask for the version", []string{"metrics"}, "GET", "/api/v1/version", "", 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := wire{t, h, key(t, c, tc.scopes...).Secret}
			rec := w.do(tc.method, tc.path, tc.body)
			if rec.Code != tc.status {
				t.Fatalf("answered %d, want %d: %s", rec.Code, tc.status, rec.Body)
			}
			if tc.status == 403 {
				problem(t, rec, 403, api.ReasonForbidden)
			}
		})
	}
}

func TestApplyOfAForbiddenKindChangesNothingAtAll(t *testing.T) {
	n, c := start(t)
	w := wire{t, n.Admin.Handler(), key(t, c, "documents:Group").Secret}
	rec := w.do("POST", "/api/v1/apply", "kind: Group\nname: g\n---\nkind: EntityGroup\nname: e\n", "Content-Type", "application/yaml")
	p := problem(t, rec, 403, api.ReasonForbidden)
	if len(p.Errors) != 1 || p.Errors[0].Kind != "EntityGroup" {
		t.Errorf("findings %+v", p.Errors)
	}
	if n.Views.Count("Group") != 0 {
		t.Error("the permitted half took effect")
	}
}

func TestKeysEndWhenTheyExpireOrAreRevoked(t *testing.T) {
	n, c := start(t)
	now := time.Now()
	n.Now = func() time.Time { return now }
	k := key(t, c, "read")
	w := wire{t, n.Admin.Handler(), k.Secret}
	if rec := w.do("GET", "/api/v1/kinds", ""); rec.Code != 200 {
		t.Fatalf("a fresh key: %d %s", rec.Code, rec.Body)
	}
	for name, secret := range map[string]string{
		"none":                "",
		"another secret":      k.Secret[:len(k.Secret)-1] + "x",
		"without its prefix":  strings.TrimPrefix(k.Secret, "trine_"),
		"id alone":            "trine_" + k.ID,
		"id and empty secret": "trine_" + k.ID + "_",
		"another id":          "trine_0000000000000_" + k.Secret[len("trine_")+14:],
	} {
		bad := wire{t, w.h, secret}
		rec := bad.do("GET", "/api/v1/kinds", "")
		if problem(t, rec, 401, api.ReasonUnauthorized); rec.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no WWW-Authenticate", name)
		}
	}
	now = now.Add(90*24*time.Hour - 2*time.Second)
	if rec := w.do("GET", "/api/v1/kinds", ""); rec.Code != 200 {
		t.Errorf("before its term: %d", rec.Code)
	}
	now = now.Add(4 * time.Second)
	problem(t, w.do("GET", "/api/v1/kinds", ""), 401, api.ReasonUnauthorized)

	other := key(t, c, "read")
	w.key = other.Secret
	if err := c.RevokeKey(t.Context(), other.ID); err != nil {
		t.Fatal(err)
	}
	problem(t, w.do("GET", "/api/v1/kinds", ""), 401, api.ReasonUnauthorized)
	list, err := c.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Keys) != 1 || !list.Keys[0].Expired {
		t.Errorf("keys %+v", list.Keys)
	}
	data, err := json.Marshal(list)
	if err != nil || bytes.Contains(data, []byte(k.Secret[20:])) {
		t.Errorf("the list shows a secret: %s %v", data, err)
	}
}

func TestKeyMakesNoneThatOutlivesIt(t *testing.T) {
	n, c := start(t)
	now := time.Now()
	n.Now = func() time.Time { return now }
	w := wire{t, n.Admin.Handler(), key(t, c, "apikeys").Secret} // for 90 days
	for _, tc := range []struct {
		name, body string
		status     int
	}{
		{"as long as itself by default", `{"description": "x", "scopes": ["apikeys"]}`, 201},
		{"for less", `{"description": "x", "scopes": ["apikeys"], "days": 1}`, 201},
		{"for longer", `{"description": "x", "scopes": ["apikeys"], "days": 91}`, 403},
		{"for ever", `{"description": "x", "scopes": ["apikeys"], "never": true}`, 403},
	} {
		now = now.Add(time.Hour)
		rec := w.do("POST", "/api/v1/apikeys", tc.body)
		if rec.Code != tc.status {
			t.Errorf("%s: answered %d, want %d: %s", tc.name, rec.Code, tc.status, rec.Body)
		}
	}
	now = now.Add(90*24*time.Hour - 4*time.Hour + time.Second)
	list, err := c.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range list.Keys {
		if !k.Expired {
			t.Errorf("key %s outlives the one that made it: %v", k.ID, k.Expires)
		}
	}
}

func TestPreconditionsAreHeld(t *testing.T) {
	n, c := start(t)
	mustApply(t, c, site)
	w := wire{t, n.Admin.Handler(), key(t, c, "*").Secret}
	const path, body = "/api/v1/documents/Group/staff", `{"spec": {"description": "x"}}`
	rec := w.do("GET", path, "")
	if tag := rec.Header().Get("ETag"); tag != `"1"` {
		t.Fatalf("ETag %s", tag)
	}
	problem(t, w.do("PUT", path, body, "If-Match", `"2"`), 412, api.ReasonPrecondition)
	problem(t, w.do("PUT", path, body, "If-None-Match", `*`), 412, api.ReasonPrecondition)
	problem(t, w.do("PUT", "/api/v1/documents/Group/none", body, "If-Match", `*`), 412, api.ReasonPrecondition)
	problem(t, w.do("PUT", path, body, "If-Match", `1`), 422, api.ReasonMalformed)
	problem(t, w.do("DELETE", path, "", "If-Match", `"7"`), 412, api.ReasonPrecondition)
	if rec := w.do("PUT", path, body, "If-Match", `"1"`); rec.Code != 200 || rec.Header().Get("ETag") != `"2"` {
		t.Errorf("PUT answered %d, ETag %s: %s", rec.Code, rec.Header().Get("ETag"), rec.Body)
	}
	if rec := w.do("PUT", "/api/v1/documents/Group/new", body, "If-None-Match", `*`); rec.Code != 200 {
		t.Errorf("PUT of a new one answered %d: %s", rec.Code, rec.Body)
	}
	if rec := w.do("DELETE", "/api/v1/documents/Group/new", "", "If-Match", `"1"`); rec.Code != 204 {
		t.Errorf("DELETE answered %d: %s", rec.Code, rec.Body)
	}
	problem(t, w.do("PUT", path, `{"spec": {"descripton": "x"}}`), 422, api.ReasonInvalid)
}

func TestRequestWithTheSameIdempotencyKeyIsDoneOnce(t *testing.T) {
	n, c := start(t)
	w := wire{t, n.Admin.Handler(), key(t, c, "*").Secret}
	const body = `{"description": "once", "scopes": ["read"]}`
	first := w.do("POST", "/api/v1/apikeys", body, "Idempotency-Key", "k1")
	again := w.do("POST", "/api/v1/apikeys", body, "Idempotency-Key", "k1")
	if first.Code != 201 || again.Code != 201 || !bytes.Equal(first.Body.Bytes(), again.Body.Bytes()) {
		t.Fatalf("first %d %s, again %d %s", first.Code, first.Body, again.Code, again.Body)
	}
	if again.Header().Get("Idempotency-Replayed") != "true" || len(n.Views.APIKeys()) != 2 {
		t.Errorf("done twice: %d keys", len(n.Views.APIKeys()))
	}
	problem(t, w.do("POST", "/api/v1/apikeys", strings.Replace(body, "once", "other", 1), "Idempotency-Key", "k1"), 422, api.ReasonIdempotency)
	other := wire{t, w.h, key(t, c, "*").Secret}
	if rec := other.do("POST", "/api/v1/apikeys", body, "Idempotency-Key", "k1"); rec.Code != 201 || rec.Header().Get("Idempotency-Replayed") != "" {
		t.Errorf("another caller's key: %d", rec.Code)
	}
	// A failure of the node is not kept: the same request may be tried again.
	n.Fail = io.ErrUnexpectedEOF
	problem(t, w.do("POST", "/api/v1/apikeys", body, "Idempotency-Key", "k2"), 500, api.ReasonInternal)
	n.Fail = nil
	if rec := w.do("POST", "/api/v1/apikeys", body, "Idempotency-Key", "k2"); rec.Code != 201 {
		t.Errorf("after the failure: %d %s", rec.Code, rec.Body)
	}
}

func TestMalformedRequestsAreNamed(t *testing.T) {
	n, c := start(t)
	w := wire{t, n.Admin.Handler(), key(t, c, "*").Secret}
	problem(t, w.do("GET", "/api/v1/nothing", ""), 404, api.ReasonNotFound)
	rec := w.do("PATCH", "/api/v1/apikeys", "{}")
	if problem(t, rec, 405, api.ReasonNotFound); rec.Header().Get("Allow") != "GET, POST" {
		t.Errorf("Allow %q", rec.Header().Get("Allow"))
	}
	p := problem(t, w.do("POST", "/api/v1/apikeys", `{"description": 5, "scopes": []}`), 422, api.ReasonMalformed)
	if len(p.Errors) == 0 || p.Errors[0].Field == "" {
		t.Errorf("findings %+v", p.Errors)
	}
	problem(t, w.do("GET", "/api/v1/sessions?nonsense=1", ""), 422, api.ReasonMalformed)
	problem(t, w.do("GET", "/api/v1/documents/Group?limit=0", ""), 422, api.ReasonMalformed)
	problem(t, w.do("POST", "/api/v1/apikeys", `{"description": "`+strings.Repeat("x", 2<<20)+`"}`), 413, api.ReasonTooLarge)
	problem(t, w.do("POST", "/api/v1/apply", "x", "Content-Type", "image/png"), 415, api.ReasonMalformed)
	problem(t, w.do("POST", "/api/v1/apply", "", "Content-Type", "application/yaml"), 422, api.ReasonInvalid)
}

func TestAnswersCarrySecurityHeaders(t *testing.T) {
	n, c := start(t)
	w := wire{t, n.Admin.Handler(), key(t, c, "read").Secret}
	for _, path := range []string{"/api/v1/kinds", "/api/v1/nothing", "/healthz", "/openapi.json"} {
		rec := w.do("GET", path, "", "Origin", "https://evil.example")
		for name, want := range map[string]string{
			"X-Content-Type-Options":      "nosniff",
			"Referrer-Policy":             "no-referrer",
			"Access-Control-Allow-Origin": "",
		} {
			if got := rec.Header().Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
		if !strings.Contains(rec.Header().Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s has no strict Content-Security-Policy", path)
		}
	}
}

func TestLogThatTakesNothingIsAProblemOfItsOwn(t *testing.T) {
	n, c := start(t)
	mustApply(t, c, site)
	w := wire{t, n.Admin.Handler(), key(t, c, "*").Secret}
	for _, tc := range failures {
		n.Fail = tc.err
		rec := w.do("PUT", "/api/v1/documents/Group/staff", `{"spec": {"description": "`+tc.reason+`"}}`)
		problem(t, rec, tc.status, tc.reason)
	}
}
