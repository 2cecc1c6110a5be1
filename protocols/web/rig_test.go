package web

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"html"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"trine/engine"
	"trine/engine/credential"
	"trine/engine/credential/otp"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/policy"
	"trine/engine/state"
	"trine/protocols/internal/enginetest"
)

// house are the documents of most tests; PORT is that of the front.
const house = `{kind: UserType, name: default, spec: {password: {keep: [keyed, nt], allowChange: true, minLength: 8}}}
---
{kind: User, name: alice, spec: {fullName: Alice Liddell, mail: alice@example.org}}
---
{kind: User, name: bob, spec: {}}
---
{kind: IdentityProvider, name: home, spec: {type: local, name: Home, network: {hostName: localhost, ports: [{port: PORT}]}, profiles: {radius: {enabled: true}},
  authentication: {matrix: [{first: Password}], trustedDevices: {}}, advanced: {rememberLastUser: true}}}
---
{kind: IdentityProvider, name: strict, spec: {type: local, parent: home, pathPrefix: /strict, profiles: {radius: {enabled: true}}, authentication: {matrix: [{first: Password, second: OTP, trustedDevice: true}]}}}
---
{kind: ServiceProvider, name: shop, spec: {type: radius, name: The Shop, identityProvider: home, radius: {sourceIPs: [192.0.2.1], secret: abcdefgh}}}
---
{kind: ServiceProvider, name: bank, spec: {type: radius, name: The Bank, identityProvider: strict, radius: {sourceIPs: [192.0.2.2], secret: abcdefgh}}}
---
{kind: ServiceProvider, name: asks, spec: {type: radius, name: Nosy, identityProvider: home, consent: true, radius: {sourceIPs: [192.0.2.3], secret: abcdefgh}}}
`

// wire lets service providers of type radius stand for those of a browser protocol.
type wire struct{}

func (wire) Client(*document.ServiceProvider) (any, error) { return nil, nil }
func (wire) Reply([]string) (any, error)                   { return nil, nil }
func (wire) Attribute(id string) (any, error)              { return id, nil }
func (wire) Asked(name, value string) (any, string, error) { return name, value, nil }

// protocol is a browser protocol of tests: /go?sp=NAME asks for a login and answers with what came of it.
type protocol struct {
	front   *Front
	mu      sync.Mutex
	outcome []*Outcome
	frame   string
	call    func(context.Context) error
}

func (p *protocol) Name() string { return "radius" }

func (p *protocol) Endpoint(_ *policy.Issuer, path string) func(*Exchange) {
	switch path {
	case "/go":
		return p.login
	case "/fast":
		return func(x *Exchange) { _, _ = x.W.Write([]byte(x.Source.Addr().String())) }
	case "/bye":
		return func(x *Exchange) {
			p.front.Logout(x, &Logout{Confirm: x.R.URL.Query().Get("confirm") != "", Redirect: x.R.URL.Query().Get("to")})
		}
	}
	return nil
}

func (p *protocol) login(x *Exchange) {
	if err := x.R.ParseForm(); err != nil {
		return
	}
	q := x.R.Form
	l := &Login{Client: x.Cache.Client(q.Get("sp")), Request: []byte("request " + q.Get("id")), Hint: q.Get("hint"), SelectAccount: q.Get("select") != "", Reference: []byte("ref")}
	l.Demand.Passive, l.Demand.Force = q.Get("passive") != "", q.Get("force") != ""
	if s := q.Get("locale"); s != "" {
		l.Locales = []string{s}
	}
	if q.Get("long") != "" {
		l.Request = make([]byte, MaxRequest+1)
	}
	p.front.Login(x, l)
}

func (p *protocol) Continue(x *Exchange, request []byte, o *Outcome) {
	p.mu.Lock()
	p.outcome = append(p.outcome, o)
	p.mu.Unlock()
	_, _ = io.WriteString(x.W, "done "+string(request)+" "+o.Step.User)
}

func (p *protocol) LoggedOut(*policy.Cache, *state.SSO, *state.SSOVisit) (string, func(context.Context) error) {
	return p.frame, p.call
}

func (p *protocol) Returns(_ *policy.Cache, _ *policy.Issuer, to string) bool {
	return to == "https://shop.example.org/back"
}

func (p *protocol) last(t *testing.T) *Outcome {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.outcome) == 0 {
		t.Fatal("nothing came of it")
	}
	return p.outcome[len(p.outcome)-1]
}

type rig struct {
	t        *testing.T
	house    *enginetest.House
	front    *Front
	protocol *protocol
	origin   string
	mu       sync.Mutex
	offset   time.Duration
	steps    []engine.Step     // of the rounds that were made
	hasher   credential.Hasher // of slow passwords
	engine   engine.Config
	config   Config
}

// Submit implements credential.Hasher.
func (r *rig) Submit(j *credential.Job) error {
	r.mu.Lock()
	h := r.hasher
	r.mu.Unlock()
	return h.Submit(j)
}

// watch is an engine of which the steps are kept.
type watch struct {
	*engine.Engine
	rig *rig
}

// Converse implements Engine.
func (w watch) Converse(ctx context.Context, round *engine.Round) engine.Step {
	if deadline, ok := ctx.Deadline(); ok { // by the clock of the rig
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(context.WithoutCancel(ctx), deadline.Add(time.Until(w.rig.now())))
		defer cancel()
	}
	s := w.Engine.Converse(ctx, round)
	w.rig.mu.Lock()
	defer w.rig.mu.Unlock()
	w.rig.steps = append(w.rig.steps, s)
	return s
}

func (r *rig) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Add(r.offset)
}

func (r *rig) move(by time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.offset += by
}

// newRig serves documents, in which PORT stands for the port of the front.
func newRig(t *testing.T, documents string, change ...func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, protocol: new(protocol), hasher: hasher{}}
	hold, err := net.Listen("tcp", "127.0.0.1:0") // a port for the documents, which must name it
	if err != nil {
		t.Fatal(err)
	}
	address := hold.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	_ = hold.Close()
	r.house = enginetest.New(t, map[string]policy.Wire{"radius": wire{}}, strings.ReplaceAll(documents, "PORT", port), r.now, func(c *engine.Config) {
		verifier, err := credential.New(credential.Config{Keyring: c.Keyring, Hasher: r})
		if err != nil {
			t.Fatal(err)
		}
		c.Verifier = verifier
		c.SessionsEnded = func(list []state.SSO) { r.front.Ended(list) }
		c.Messenger = post{}
		r.engine = *c
	})
	r.house.People.OnSSOEnded(func(_ state.Stamp, ended []state.SSO) { r.house.Engine.SessionsEnded(ended) })
	for user, password := range map[string]string{"alice": "wonderland", "bob": "builder-bob"} {
		r.house.Password(user, password)
	}
	c := Config{
		Listen: []string{address}, Engine: watch{r.house.Engine, r}, People: r.house.People, Policies: r.house.Policies.Holder(), Keyring: r.house.Keys, Protocols: []Protocol{r.protocol}, Clock: r.now,
		Certificate: selfSigned(t),
	}
	for _, f := range change {
		f(&c)
	}
	r.config = c
	r.front = r.start(c)
	r.protocol.front = r.front
	r.origin = "https://localhost:" + port
	return r
}

// start starts a front.
func (r *rig) start(c Config) *Front {
	r.t.Helper()
	f, err := New(c)
	if err == nil {
		err = f.Start()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = f.Stop(ctx)
	})
	return f
}

// another returns what another node of the cluster is: a front and an engine of its own over the same log. Browsers reach it by the origin that it returns.
func (r *rig) another() (origin string) {
	c := r.config
	c.Listen, c.Engine = []string{"127.0.0.1:0"}, watch{engine.New(r.engine), r}
	p := &protocol{}
	c.Protocols = []Protocol{p}
	p.front = r.start(c)
	_, port, _ := net.SplitHostPort(p.front.Addrs()[0].String())
	return "https://localhost:" + port
}

// to returns the browser as it is sent to another node.
func (b *browser) to(origin string) *browser {
	c := *b
	c.sends = append(c.sends[:len(c.sends):len(c.sends)], "Origin", b.origin)
	c.origin = origin
	return &c
}

func selfSigned(t testing.TB) func() *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "node"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pair := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return func() *tls.Certificate { return pair }
}

// enrol gives somebody a one-time password device.
func (r *rig) enrol(user string) *otp.Secret {
	r.t.Helper()
	device, err := otp.New(otp.DefaultParams())
	if err != nil {
		r.t.Fatal(err)
	}
	put := &event.FactorPut{User: user, Id: "device", Kind: uint32(login.OTP), Label: "device"}
	if put.Data, err = login.SealOTP(r.house.Keys, user, put.Id, &device); err != nil {
		r.t.Fatal(err)
	}
	if err := r.house.Engine.EnrolFactor(r.t.Context(), put); err != nil {
		r.t.Fatal(err)
	}
	return &device
}

func (r *rig) code(d *otp.Secret) string { return d.Code(d.Counter(r.now())) }

// browser is a browser without scripts.
type browser struct {
	t      *testing.T
	origin string
	http   *http.Client
	status int
	header http.Header
	body   string
	at     *url.URL
	sends  []string // header fields that go with each request, as name, value, ...
}

func (r *rig) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true} //nolint:gosec // a test
	r.t.Cleanup(transport.CloseIdleConnections)
	return &browser{t: r.t, origin: r.origin, http: &http.Client{Jar: jar, Transport: transport, Timeout: 30 * time.Second}}
}

func (b *browser) do(q *http.Request) *browser {
	b.t.Helper()
	for i := 0; i+1 < len(b.sends); i += 2 {
		q.Header.Set(b.sends[i], b.sends[i+1])
	}
	answer, err := b.http.Do(q)
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	b.status, b.header, b.body, b.at = answer.StatusCode, answer.Header, string(text), answer.Request.URL
	return b
}

func (b *browser) get(path string) *browser {
	b.t.Helper()
	q, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.origin+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(q)
}

func (b *browser) post(path string, form url.Values, header ...string) *browser {
	b.t.Helper()
	q, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.origin+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	q.Header.Set("Origin", b.origin)
	for i := 0; i+1 < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	return b.do(q)
}

var (
	formTag  = regexp.MustCompile(`(?s)<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>`)
	inputTag = regexp.MustCompile(`(?s)<input[^>]*>`)
	nameAttr = regexp.MustCompile(`\sname="([^"]*)"`)
	valAttr  = regexp.MustCompile(`\svalue="([^"]*)"`)
)

// form returns where a form of the page goes, the n-th, and what it holds.
func (b *browser) form(n int) (path string, values url.Values) {
	b.t.Helper()
	all := formTag.FindAllStringSubmatch(b.body, -1)
	if len(all) <= n {
		b.t.Fatalf("the page of %s has no form %d:\n%s", b.at, n, b.body)
	}
	values = url.Values{}
	for _, input := range inputTag.FindAllString(all[n][2], -1) {
		name := nameAttr.FindStringSubmatch(input)
		value := valAttr.FindStringSubmatch(input)
		if name == nil || strings.Contains(input, `type="checkbox"`) {
			continue
		}
		v := ""
		if value != nil {
			v = html.UnescapeString(value[1])
		}
		values.Set(name[1], v)
	}
	return html.UnescapeString(all[n][1]), values
}

// fill sends the first form of the page, with some of its fields filled in.
func (b *browser) fill(fields ...string) *browser {
	b.t.Helper()
	path, values := b.form(0)
	for i := 0; i+1 < len(fields); i += 2 {
		values.Set(fields[i], fields[i+1])
	}
	return b.post(path, values)
}

func (b *browser) says(text string) *browser {
	b.t.Helper()
	if !strings.Contains(html.UnescapeString(b.body), text) {
		b.t.Fatalf("%d %s does not say %q:\n%s", b.status, b.at, text, b.body)
	}
	return b
}

func (b *browser) with(status int) *browser {
	b.t.Helper()
	if b.status != status {
		b.t.Fatalf("%s answers %d, not %d:\n%s", b.at, b.status, status, b.body)
	}
	return b
}

// signIn logs somebody in, at a page that asks for it.
func (b *browser) signIn(name, password string) *browser {
	b.t.Helper()
	return b.get("/go?sp=shop").fill("name", name, "secret", password).says("done request  " + name)
}

// token returns the token of the forms of a person's pages.
func (b *browser) token() string {
	b.t.Helper()
	_, values := b.form(0)
	if values.Get("token") == "" {
		b.t.Fatalf("%s has no form with a token:\n%s", b.at, b.body)
	}
	return values.Get("token")
}

// has gives the browser a cookie.
func (b *browser) has(name, value string) {
	u, _ := url.Parse(b.origin)
	b.http.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: true}})
}

func (b *browser) cookie(name string) string {
	u, _ := url.Parse(b.origin)
	for _, c := range b.http.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// emptyWith returns the browser's cookies without all but one.
func emptyWith(b *browser, name string) (*cookiejar.Jar, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	u, _ := url.Parse(b.origin)
	jar.SetCookies(u, []*http.Cookie{{Name: name, Value: b.cookie(name), Path: "/", Secure: true}})
	return jar, nil
}

// hasher finds that no password is that of nobody; all others are kept in quick forms.
type hasher struct{}

// Submit implements credential.Hasher.
func (hasher) Submit(j *credential.Job) error {
	go j.Done.Hashed(j)
	return nil
}
