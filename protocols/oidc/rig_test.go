package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"trine/engine"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/policy"
	"trine/engine/secret"
	"trine/engine/trace"
	"trine/protocols/internal/enginetest"
	"trine/protocols/web"
)

const houseDocuments = `
kind: UserType
name: default
spec: {password: {keep: [keyed, nt, clear], minLength: 6}}
---
kind: InformationSystem
name: soffid
---
kind: Role
name: TestRole@soffid
---
kind: Role
name: TestRole2@soffid
---
kind: User
name: alice
spec:
  firstName: Alice
  lastName: Liddell
  mail: alice@example.org
  mobile: "+34600000000"
  roles: [{role: TestRole2@soffid}, {role: TestRole@soffid}]
  attributes: {verified: ["true"], street: ["1 Rabbit Hole"], born: ["1852-05-04"]}
---
kind: User
name: bob
---
kind: User
name: eve
spec: {active: true}
---
kind: AttributeDefinition
name: surname
spec: {openidName: surname}
---
kind: AttributeDefinition
name: givenName
spec: {openidName: given_name}
---
kind: AttributeDefinition
name: lastName
spec: {openidName: family_name, source: lastName}
---
kind: AttributeDefinition
name: fullName
spec: {openidName: name}
---
kind: AttributeDefinition
name: email
spec: {openidName: email}
---
kind: AttributeDefinition
name: verified
spec: {openidName: email_verified}
---
kind: AttributeDefinition
name: phone
spec: {openidName: phone_number}
---
kind: AttributeDefinition
name: street
spec: {openidName: address}
---
kind: AttributeDefinition
name: born
spec: {openidName: birthdate}
---
kind: AttributeDefinition
name: member_of
spec: {openidName: member_of}
---
kind: AttributePolicy
name: everybody
spec:
  condition: any
  attributes:
  - {attribute: surname, allow: true, condition: any}
  - {attribute: givenName, allow: true, condition: any}
  - {attribute: lastName, allow: true, condition: {attributeRequester: {regex: "(web|DR_.*)"}}}
  - {attribute: fullName, allow: true, condition: {attributeRequester: {regex: "(web|DR_.*)"}}}
  - {attribute: email, allow: true, condition: {attributeRequester: {regex: "(web|DR_.*)"}}}
  - {attribute: verified, allow: true, condition: {attributeRequester: {regex: "(web|DR_.*)"}}}
  - {attribute: phone, allow: true, condition: {attributeRequester: {regex: "(web|DR_.*)"}}}
  - {attribute: street, allow: true, condition: {attributeRequester: {regex: "(web|DR_.*)"}}}
  - {attribute: born, allow: true, condition: {attributeRequester: {regex: "(web|DR_.*)"}}}
  - {attribute: member_of, allow: true, condition: any}
---
kind: IdentityProvider
name: corp
spec:
  type: local
  network: {hostName: 127.0.0.1, ports: [{port: PORT}]}
  session: {ssoCookieName: cookien, ssoCookieDomain: cookied, oauthTimeout: 11998s}
  profiles: {openid: {enabled: true}, impersonation: {enabled: true}}
---
kind: ServiceProvider
name: web
spec:
  type: oidc
  oidc:
    clientSecret: builder-of-webs
    flows: {authorizationCode: true, implicit: true, clientCredentials: true, passwordWithClientCredentials: true}
    responseURLs: ["https://app.example.com/cb", "https://app.example.com/cb?x=1", "http://127.0.0.1/cb"]
    postLogoutURLs: ["https://app.example.com/bye"]
    allowedScopes: [openid, profile, email, address, phone, offline_access, api]
    requestObjectAlgorithms: [ES256, RS256, none]
    claimsByScope: true
    idTokenClaims: false
    corsOrigins: ["https://app.example.com"]
---
kind: ServiceProvider
name: handbook
spec:
  type: oidc
  oidc:
    clientID: test
    clientSecret: test
    flows: {authorizationCode: true, passwordWithClientCredentials: true}
    responseURLs: ["https://serviceprovider/response", "https://serviceprovider/response/"]
    allowedScopes: [openid, test, other]
    echoNonce: true
---
kind: ServiceProvider
name: spa
spec:
  type: oidc
  oidc:
    flows: {authorizationCode: true}
    responseURLs: ["https://spa.example.com/cb"]
    accessToken: jwt
    corsOrigins: ["https://spa.example.com"]
`

// rig is a provider with the real engine behind it, and a front that takes names and passwords from a header.
type rig struct {
	t        testing.TB
	house    *enginetest.House
	provider *Provider
	server   *httptest.Server
	url      string
	clock    *clock
	docs     *documents
	style    style // of authorization requests
	mu       sync.Mutex
	ended    []*web.Logout
	frames   []string
	calls    sync.WaitGroup
}

type clock struct {
	mu sync.Mutex
	by time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.by)
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by += d
}

func newRig(t testing.TB, more ...string) *rig {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	r := &rig{t: t, clock: new(clock)}
	text := strings.ReplaceAll(strings.Join(append([]string{houseDocuments}, more...), "\n---\n"), "PORT", fmt.Sprint(port))
	r.house = enginetest.New(t, map[string]policy.Wire{document.TypeOIDC: Wire{}, document.TypeOIDCDynamic: Wire{}}, text, r.clock.now)
	for user, password := range map[string]string{"alice": "wonderland", "bob": "builder"} {
		r.house.Password(user, password)
	}
	r.docs = &documents{house: r.house}
	r.provider, err = New(Config{
		Engine: r.house.Engine, Keyring: r.house.Keys, Clock: r.clock.now, Logger: slog.New(slog.NewTextHandler(testWriter{t}, nil)), Documents: r.docs,
		Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.provider.Attach(r)
	r.server = httptest.NewUnstartedServer(r)
	_ = r.server.Listener.Close()
	r.server.Listener = listener
	r.server.StartTLS()
	t.Cleanup(func() {
		r.calls.Wait()
		r.server.Close()
	})
	r.url = fmt.Sprintf("https://127.0.0.1:%d", port)
	r.provider.out.client.Transport.(*http.Transport).TLSClientConfig.RootCAs = r.server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	return r
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// ServeHTTP implements http.Handler.
func (r *rig) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	cache := r.house.Policies.Holder().Load()
	issuer, path, ok := cache.IssuerAt("127.0.0.1", q.URL.Path)
	if !ok {
		http.NotFound(w, q)
		return
	}
	x := &web.Exchange{W: w, R: q, Cache: cache, Issuer: issuer, Path: path}
	x.Source, _ = netip.ParseAddrPort(q.RemoteAddr)
	if e := r.provider.Endpoint(issuer, path); e != nil {
		e(x)
		return
	}
	http.NotFound(w, q)
}

// Login implements Front. The browser sends name and password in the header Test-Login, and yes or no to consent in Test-Consent.
func (r *rig) Login(x *web.Exchange, l *web.Login) {
	ctx := x.R.Context()
	round := &engine.Round{Protocol: "oidc", Cache: x.Cache, Client: l.Client, Source: x.Source, Demand: l.Demand, Reference: l.Reference}
	if c, err := x.R.Cookie("cookien"); err == nil {
		round.Session = c.Value
	}
	step := r.house.Engine.Converse(ctx, round)
	name, password, given := strings.Cut(x.R.Header.Get("Test-Login"), ":")
	if step.Verdict == event.Challenge && given {
		next := *round
		next.State, next.Name, next.Factor, next.Proof = step.State, []byte(name), login.Password, engine.Proof{Typed: []byte(password)}
		step = r.house.Engine.Converse(ctx, &next)
	}
	o := &web.Outcome{Step: step}
	switch {
	case step.Verdict == event.Accept:
		if step.Session.ID != "" {
			http.SetCookie(x.W, &http.Cookie{Name: "cookien", Value: step.Session.ID, Path: "/", Secure: true, HttpOnly: true})
		}
		if l.Consent != nil {
			switch answer := x.R.Header.Get("Test-Consent"); {
			case l.Demand.Passive && answer == "":
				o.Refused = web.ConsentRequired
			case answer == "no":
				o.Refused = web.AccessDenied
			case answer == "":
				r.page(x, "consent: "+strings.Join(l.Consent.Scopes, " "))
				return
			}
		}
	case step.Reason == trace.LoginRequired:
		o.Refused = web.LoginRequired
	case step.Reason == trace.StepUpRequired:
		o.Refused = web.InteractionRequired
	case step.Verdict == event.Challenge:
		r.page(x, "login for "+l.Client.Name+" hint "+l.Hint)
		return
	case step.Verdict == event.Discard:
		o.Refused = web.Unavailable
	default:
		o.Refused = web.AccessDenied
	}
	r.provider.Continue(x, l.Request, o)
}

func (r *rig) page(x *web.Exchange, text string) {
	x.W.Header().Set("Test-Page", text)
	_, _ = io.WriteString(x.W, text)
}

// Logout implements Front.
func (r *rig) Logout(x *web.Exchange, l *web.Logout) {
	r.mu.Lock()
	r.ended = append(r.ended, l)
	r.mu.Unlock()
	c, err := x.R.Cookie("cookien")
	if err == nil {
		s, ok := r.house.Engine.Session(c.Value)
		if ok && (l.Confirm || l.Of != nil && !l.Of(&s)) && x.R.Header.Get("Test-Confirm") == "" {
			r.page(x, "confirm the logout")
			return
		}
		if ok {
			if err := r.house.Engine.EndSessions(x.R.Context(), s.User, []uint64{s.Number}, ""); err != nil {
				r.t.Error(err)
			}
			r.provider.SessionGone(x)
			for i := range s.Visits {
				frame, call := r.provider.LoggedOut(x.Cache, &s, &s.Visits[i])
				if frame != "" {
					r.mu.Lock()
					r.frames = append(r.frames, frame)
					r.mu.Unlock()
				}
				if call != nil {
					r.calls.Go(func() {
						ctx, cancel := context.WithTimeout(context.Background(), time.Second)
						defer cancel()
						_ = call(ctx)
					})
				}
			}
		}
	}
	if l.Redirect != "" {
		x.W.Header().Set("Location", l.Redirect)
		x.W.WriteHeader(http.StatusSeeOther)
		return
	}
	r.page(x, "logged out")
}

// Error implements Front.
func (r *rig) Error(x *web.Exchange, status int, reason trace.Reason, id uint64) {
	x.W.Header().Set("Test-Page", "error "+string(reason))
	x.W.WriteHeader(status)
	_, _ = fmt.Fprintf(x.W, "error %s reference %s", reason, event.FormatID(id))
}

// documents changes the configuration of a house.
type documents struct {
	house *enginetest.House
	mu    sync.Mutex
}

func (d *documents) put(doc *document.Document) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var b event.Builder
	var err error
	doc.EachSecret(func(_ string, s *secret.Text) {
		if sealed, e := s.Seal(d.house.Keys, doc.SecretContext()); e != nil {
			err = e
		} else {
			*s = sealed
		}
	})
	if err != nil {
		return err
	}
	spec, err := doc.Stored()
	if err != nil {
		return err
	}
	if err := b.Add(event.TypeDocumentPut, event.ClassOf(doc.Kind), nil, &event.DocumentPut{Kind: doc.Kind, Name: doc.Name, Spec: spec, Refs: doc.Refs(), Claims: doc.Claims()}); err != nil {
		return err
	}
	if r := d.house.Commit(b.Bytes()); r.Code != 0 {
		return fmt.Errorf("%w: %s", ErrTaken, r.Detail)
	}
	return d.house.Policies.WaitPublished(context.Background(), 1<<62)
}

func (d *documents) Create(_ context.Context, doc *document.Document, _ string) error {
	return d.put(doc)
}

func (d *documents) Replace(_ context.Context, doc *document.Document, _ string) error {
	return d.put(doc)
}

func (d *documents) Delete(_ context.Context, kind, name, _ string) error {
	var b event.Builder
	if err := b.Add(event.TypeDocumentDeleted, event.ClassOf(kind), nil, &event.DocumentDeleted{Kind: kind, Name: name}); err != nil {
		return err
	}
	if r := d.house.Commit(b.Bytes()); r.Code != 0 {
		return fmt.Errorf("delete: %s", r.Detail)
	}
	return d.house.Policies.WaitPublished(context.Background(), 1<<62)
}

func (d *documents) Read(kind, name string) (*document.Document, error) {
	stored, ok := d.house.People.Document(kind, name)
	if !ok {
		return nil, fmt.Errorf("no %s %s", kind, name)
	}
	doc, err := document.FromStored(kind, name, stored.Spec)
	if err != nil {
		return nil, err
	}
	doc.EachSecret(func(_ string, s *secret.Text) {
		clear, e := s.Open(nil, d.house.Keys, doc.SecretContext())
		if e != nil {
			err = e
		}
		*s = secret.Plain(string(clear))
	})
	return doc, err
}

var _ Documents = (*documents)(nil)

// browser is a browser of a person.
type browser struct {
	rig    *rig
	client *http.Client
	login  string
	yes    string // to consent
}

func (r *rig) browser(login string) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return &browser{rig: r, login: login, client: &http.Client{
		Jar: jar, Transport: r.server.Client().Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// formTo is where the page of the response mode form_post sends its form.
var formTo = regexp.MustCompile(`<form method="post" action="([^"]*)">`)

type answer struct {
	status   int
	header   http.Header
	body     string
	page     string
	location *url.URL
	values   url.Values // of the query or fragment of the location, or of the form
}

func (b *browser) do(q *http.Request) *answer {
	b.rig.t.Helper()
	if b.login != "" {
		q.Header.Set("Test-Login", b.login)
	}
	if b.yes != "" {
		q.Header.Set("Test-Consent", b.yes)
	}
	response, err := b.client.Do(q)
	if err != nil {
		b.rig.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.rig.t.Fatal(err)
	}
	a := &answer{status: response.StatusCode, header: response.Header, body: string(body), page: response.Header.Get("Test-Page")}
	if to := response.Header.Get("Location"); to != "" {
		if a.location, err = url.Parse(to); err != nil {
			b.rig.t.Fatal(err)
		}
		a.values = a.location.Query()
		if f := a.location.EscapedFragment(); f != "" {
			if a.values, err = url.ParseQuery(f); err != nil {
				b.rig.t.Fatal(err)
			}
		}
	}
	if action := formTo.FindStringSubmatch(a.body); action != nil { // which its script sends
		if a.location, err = url.Parse(html.UnescapeString(action[1])); err != nil {
			b.rig.t.Fatal(err)
		}
		a.values = formValues(a.body)
	}
	return a
}

func (b *browser) get(path string, q url.Values) *answer {
	b.rig.t.Helper()
	request, err := http.NewRequest(http.MethodGet, b.rig.url+path+"?"+q.Encode(), nil)
	if err != nil {
		b.rig.t.Fatal(err)
	}
	return b.do(request)
}

func (b *browser) post(path string, q url.Values) *answer {
	b.rig.t.Helper()
	request, err := http.NewRequest(http.MethodPost, b.rig.url+path, strings.NewReader(q.Encode()))
	if err != nil {
		b.rig.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(request)
}

// authorize sends an authorization request of the client web, or of another, with changes to the usual one.
func (b *browser) authorize(change ...string) *answer {
	b.rig.t.Helper()
	return b.get("/authorization", b.usual(change...))
}

// usual returns the parameters of an authorization request; changes are names and values in turn, and an empty value leaves a parameter out.
func usual(change ...string) url.Values {
	q := url.Values{"client_id": {"web"}, "redirect_uri": {"https://app.example.com/cb"}, "response_type": {"code"}, "scope": {"openid"}, "state": {"s1"}, "nonce": {"n1"}}
	for i := 0; i < len(change); i += 2 {
		if change[i+1] == "" {
			q.Del(change[i])
			continue
		}
		q.Set(change[i], change[i+1])
	}
	return q
}

// machine is a client at the endpoints for machines.
type machine struct {
	rig        *rig
	id, secret string
}

func (r *rig) machine(id, secret string) *machine { return &machine{r, id, secret} }

type reply struct {
	status int
	header http.Header
	body   string
	json   map[string]any
}

func (r *reply) text(name string) string { s, _ := r.json[name].(string); return s }

func (r *rig) call(q *http.Request) *reply {
	r.t.Helper()
	response, err := r.server.Client().Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	out := &reply{status: response.StatusCode, header: response.Header, body: string(body)}
	if strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") {
		if strings.HasPrefix(out.body, "{") {
			if err := json.Unmarshal(body, &out.json); err != nil {
				r.t.Fatalf("%s: %v", body, err)
			}
		}
	}
	return out
}

func (m *machine) post(path string, form ...string) *reply {
	m.rig.t.Helper()
	q := url.Values{}
	for i := 0; i < len(form); i += 2 {
		q.Add(form[i], form[i+1])
	}
	if m.secret == "" && m.id != "" {
		q.Set("client_id", m.id)
	}
	request, err := http.NewRequest(http.MethodPost, m.rig.url+path, strings.NewReader(q.Encode()))
	if err != nil {
		m.rig.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if m.secret != "" {
		request.SetBasicAuth(url.QueryEscape(m.id), url.QueryEscape(m.secret))
	}
	return m.rig.call(request)
}

func (r *rig) bearer(method, path, token string, form ...string) *reply {
	r.t.Helper()
	var body io.Reader
	q := url.Values{}
	for i := 0; i < len(form); i += 2 {
		q.Add(form[i], form[i+1])
	}
	if len(form) > 0 {
		body = strings.NewReader(q.Encode())
	}
	request, err := http.NewRequest(method, r.url+path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	if len(form) > 0 {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return r.call(request)
}

// claims verifies a token of the identity provider by its published keys and returns what it says.
func (r *rig) claims(token string) map[string]any {
	r.t.Helper()
	set := r.keys()
	signed, err := jose.ParseSignedCompact(token, jwsAlgorithms[:])
	if err != nil {
		r.t.Fatalf("%q: %v", token, err)
	}
	keys := set.Key(signed.Signatures[0].Header.KeyID)
	if len(keys) != 1 {
		r.t.Fatalf("there are %d keys %q", len(keys), signed.Signatures[0].Header.KeyID)
	}
	payload, err := signed.Verify(keys[0].Key)
	if err != nil {
		r.t.Fatal(err)
	}
	out := map[string]any{}
	if err := json.Unmarshal(payload, &out); err != nil {
		r.t.Fatal(err)
	}
	return out
}

func (r *rig) keys() *jose.JSONWebKeySet {
	r.t.Helper()
	request, err := http.NewRequest(http.MethodGet, r.url+"/.well-known/jwks.json", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	got := r.call(request)
	set := new(jose.JSONWebKeySet)
	if err := json.Unmarshal([]byte(got.body), set); err != nil {
		r.t.Fatalf("%s: %v", got.body, err)
	}
	return set
}

// code logs a browser in and returns the code.
func (b *browser) code(change ...string) string {
	b.rig.t.Helper()
	a := b.authorize(change...)
	if a.values.Get("code") == "" {
		b.rig.t.Fatalf("no code: %d %s %v %s", a.status, a.page, a.location, a.body)
	}
	return a.values.Get("code")
}

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
