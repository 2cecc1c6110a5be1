package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"trine/bench/https"
	"trine/bench/packets"
	"trine/bench/server"
)

const (
	webVisitors = 64  // connections of the closed loop
	webQueue    = 256 // connections of the open loop, so that what waits is counted
	webPeople   = 2000
	webPromise  = 20 * time.Millisecond // p99 at 70% of the top rate
	stormy      = 50 * time.Millisecond // p99 during a storm of password logins
	webCallback = "https://app.example.com/callback"
	webSecret   = "a-long-client-secret"
)

// webDocuments are an identity provider on a port, and its clients.
const webDocuments = `kind: UserType
name: default
spec:
  password: {keep: [%[2]s]}
---
kind: IdentityProvider
name: local
spec:
  type: local
  publicID: https://trine.example.com
  network: {hostName: localhost, ports: [{port: %[1]d}]}
  session: {timeout: 8h}
  profiles: {openid: {enabled: true}}
---
kind: ServiceProvider
name: machine-jwt
spec:
  type: oidc
  oidc: {clientSecret: ` + webSecret + `, flows: {clientCredentials: true}, accessToken: jwt, accessTokenAlgorithm: ES256, allowedScopes: [read]}
---
kind: ServiceProvider
name: machine-opaque
spec:
  type: oidc
  oidc: {clientSecret: ` + webSecret + `, flows: {clientCredentials: true}, allowedScopes: [read]}
---
kind: ServiceProvider
name: app
spec:
  type: oidc
  entityGroup: apps
  oidc:
    clientSecret: ` + webSecret + `
    flows: {authorizationCode: true}
    responseURLs: ["` + webCallback + `"]
    allowedScopes: [openid, profile, email, offline_access]
    idTokenAlgorithm: ES256
---
kind: EntityGroup
name: apps
---
kind: AttributeDefinition
name: givenName
spec: {source: givenName, openidName: given_name}
---
kind: AttributeDefinition
name: sn
spec: {source: sn, openidName: family_name}
---
kind: AttributeDefinition
name: mail
spec: {source: email, openidName: email}
---
kind: AttributePolicy
name: apps
spec:
  condition: {attributeRequesterInGroup: apps}
  attributes: [{attribute: mail}, {attribute: sn}, {attribute: givenName}]
`

// webScenario is one kind of load of an OpenID provider.
type webScenario struct {
	name     string
	want     float64 // a second
	recorded bool    // the server records something, so seals happen
	visitor  func(w *webBench, i int) (https.Visitor, error)
}

// Those that record nothing come first: a seal of what others recorded would take their core.
var webScenarios = []webScenario{
	{"Introspection", 15_000, false, (*webBench).introspector},
	{"User information", 15_000, false, (*webBench).reader},
	{"Discovery and keys", 30_000, false, func(w *webBench, _ int) (https.Visitor, error) { return w.curious(), nil }},
	{"Client credentials (JWT)", 5000, true, func(w *webBench, _ int) (https.Visitor, error) { return w.machine("machine-jwt"), nil }},
	{"Client credentials (opaque)", 8000, true, func(w *webBench, _ int) (https.Visitor, error) { return w.machine("machine-opaque"), nil }},
	{"Refresh", 3000, true, (*webBench).refresher},
	{"Authorize and token", 1500, true, (*webBench).browserOf},
}

// webBench is the measurement of the web front under way.
type webBench struct {
	*settings
	node    *server.Trine
	host    string // for Host
	people  []*person
	samples map[string][]*sample // by server and scenario
	storms  map[string][]*sample // by scenario
	shapes  map[string][]shape   // of the exchanges of one thing, by scenario
}

// shape is one exchange as a bare server can repeat it.
type shape struct {
	request []byte
	answer  int
}

// measureWeb measures our node and a bare HTTPS server in turn.
func measureWeb(ctx context.Context, s *settings, r *report) error {
	if err := needs("taskset"); err != nil {
		return err
	}
	w := &webBench{settings: s, samples: map[string][]*sample{}, storms: map[string][]*sample{}, shapes: map[string][]shape{}}
	r.progress("preparing %d people whose passwords are kept as argon2id", webPeople)
	if err := w.prepare(ctx, "web", webPeople, ""); err != nil {
		return err
	}
	version := w.node.Version()
	for turn := range s.turns {
		r.progress("turn %d of %d: Trine", turn+1, s.turns)
		if err := w.turn(ctx, r); err != nil {
			return fmt.Errorf("turn %d: %w", turn+1, err)
		}
		r.progress("turn %d of %d: a bare HTTPS server", turn+1, s.turns)
		if err := w.bare(ctx, r); err != nil {
			return fmt.Errorf("turn %d, bare server: %w", turn+1, err)
		}
	}
	w.write(r, version)
	return nil
}

// prepare makes a node with people and documents, stopped, whose web listener keeps its port.
func (w *webBench) prepare(ctx context.Context, name string, people int, documents string) error {
	t, err := server.PrepareTrine(ctx, w.trine, filepath.Join(w.dir, name), secret, server.People{N: people, Forms: "argon2id"})
	if err != nil {
		return err
	}
	if t.Web, err = server.FreePort(); err != nil {
		return err
	}
	w.node, w.host = t, fmt.Sprintf("localhost:%d", t.Web.Port())
	if err := t.Start(ctx, w.serverCore); err != nil {
		return err
	}
	defer t.Kill()
	if err := t.Command(ctx, fmt.Sprintf(webDocuments, t.Web.Port(), "argon2id")+documents, "apply", "-f", "-", "--yes"); err != nil {
		return err
	}
	return t.Stop()
}

// config trusts whoever answers: it is a process of ours on loopback.
func config() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", MinVersion: tls.VersionTLS13}
}

// turn starts the node anew and measures it in all scenarios, then while people log in.
func (w *webBench) turn(ctx context.Context, r *report) error {
	if err := w.node.Start(ctx, w.serverCore); err != nil {
		return err
	}
	defer w.node.Process.Kill()
	w.people = nil
	for i := range webQueue {
		p, err := logIn(ctx, w.node.Web, w.host, i)
		if err != nil {
			return fmt.Errorf("log %s in: %w", packets.User(i), err)
		}
		w.people = append(w.people, p)
	}
	rates := map[string]float64{}
	for i := range webScenarios {
		sc := &webScenarios[i]
		if !w.wants(sc.name) {
			continue
		}
		visitors, err := w.visitors(sc)
		if err != nil {
			return fmt.Errorf("%s: %w", sc.name, err)
		}
		x, err := w.sample(ctx, w.node.Process, w.node.Web, sc, visitors, 0, w.node.Metrics)
		if err != nil {
			return fmt.Errorf("%s: %w", sc.name, err)
		}
		rates[sc.name] = x.rate
		w.add(w.samples, "Trine/"+sc.name, x, r)
	}
	if err := w.storm(ctx, rates, r); err != nil {
		return err
	}
	return w.node.Process.Stop()
}

// visitors are those of a scenario; the first of them has told what his exchanges look like.
func (w *webBench) visitors(sc *webScenario) ([]https.Visitor, error) {
	var list []https.Visitor
	for i := range webQueue {
		v, err := sc.visitor(w, i)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	if w.shapes[sc.name] != nil {
		return list, nil
	}
	c, err := https.Dial(context.Background(), w.node.Web, 0, config())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	c.Seen = func(request []byte, a *https.Answer) {
		w.shapes[sc.name] = append(w.shapes[sc.name], shape{bytes.Clone(request), len(a.Body)})
	}
	return list, list[0].Do(c)
}

// sample measures one scenario: a warm-up, the rate in the closed loop, then latencies in the open loop at a rate, or, where it is 0, at 70% of the one before.
func (w *webBench) sample(ctx context.Context, p *server.Process, to netip.AddrPort, sc *webScenario, visitors []https.Visitor, calmRate float64, metrics func(context.Context) (server.Metrics, error)) (*sample, error) {
	o := https.Options{Duration: time.Second, TLS: config()}
	if _, err := https.Run(ctx, to, visitors[:webVisitors], o); err != nil {
		return nil, err
	}
	total := https.NewResult()
	x, err := w.windows(ctx, subject{metrics: metrics}, p, sc.recorded, func(d time.Duration) (tally, error) {
		o.Duration = d
		result, err := https.Run(ctx, to, visitors[:webVisitors], o)
		if err == nil {
			total.Add(result)
		}
		return tally{done: total.Done, elapsed: total.Elapsed, latency: total.Latency}, err
	})
	if err != nil {
		return nil, err
	}
	if x.calm = calmRate; x.calm == 0 {
		x.calm = 0.7 * x.rate
	}
	o.Duration, o.Rate = w.latency/2, x.calm // what the closed loop left to do is not of this rate's making
	if _, err := https.Run(ctx, to, visitors, o); err != nil {
		return nil, err
	}
	o.Duration = w.latency
	var calm *https.Result
	if x.company, err = watched(p, func() (err error) { calm, err = https.Run(ctx, to, visitors, o); return err }); err != nil {
		return nil, err
	}
	x.late, x.calm50, x.calm99 = calm.Late, time.Duration(calm.Latency.ValueAtQuantile(50)), time.Duration(calm.Latency.ValueAtQuantile(99))
	return x, nil
}

// storm measures every scenario at a fifth of its rate while more people log in by password than can be hashed.
func (w *webBench) storm(ctx context.Context, rates map[string]float64, r *report) error {
	stop, err := beside(ctx, "storm", w.node.Web.String(), w.host)
	if err != nil {
		return err
	}
	defer stop()
	time.Sleep(2 * time.Second)
	for i := range webScenarios {
		sc := &webScenarios[i]
		if rates[sc.name] == 0 {
			continue
		}
		visitors, err := w.visitors(sc)
		if err != nil {
			return fmt.Errorf("%s, in the storm: %w", sc.name, err)
		}
		calm, err := https.Run(ctx, w.node.Web, visitors, https.Options{Duration: w.latency, Rate: rates[sc.name] / 5, TLS: config()})
		if err != nil {
			return fmt.Errorf("%s, in the storm: %w", sc.name, err)
		}
		x := &sample{late: calm.Late}
		x.rate, x.calm99 = calm.Rate(), time.Duration(calm.Latency.ValueAtQuantile(99))
		w.storms[sc.name] = append(w.storms[sc.name], x)
		r.progress("  %-28s %9.0f/s in a storm of logins: p99 %v", sc.name, x.rate, short(x.calm99))
	}
	return nil
}

// bare measures a server that does nothing, with what the scenarios sent and as many bytes back; its latencies at the rate at which the node's were measured.
func (w *webBench) bare(ctx context.Context, r *report) error {
	b, err := server.StartBare(ctx, w.serverCore, os.Args[0], "bare")
	if err != nil {
		return err
	}
	defer b.Process.Kill()
	for i := range webScenarios {
		sc := &webScenarios[i]
		shapes := w.shapes[sc.name]
		if !w.wants(sc.name) || shapes == nil {
			continue
		}
		var visitors []https.Visitor
		for range webQueue {
			visitors = append(visitors, repeated(shapes))
		}
		ours := w.samples["Trine/"+sc.name]
		x, err := w.sample(ctx, b.Process, b.Addr, sc, visitors, ours[len(ours)-1].calm, nil)
		if err != nil {
			return fmt.Errorf("%s: %w", sc.name, err)
		}
		w.add(w.samples, "Bare/"+sc.name, x, r)
	}
	return nil
}

// mirrored sends what was sent to the node, and checks that as many bytes come back.
type mirrored []shape

func repeated(shapes []shape) mirrored {
	var m mirrored
	for _, s := range shapes {
		head, body, _ := bytes.Cut(s.request, []byte("\r\n\r\n"))
		m = append(m, shape{fmt.Appendf(nil, "%s\r\n%s: %d\r\n\r\n%s", head, server.BareSize, s.answer, body), s.answer})
	}
	return m
}

// Do implements https.Visitor.
func (m mirrored) Do(c *https.Conn) error {
	for i := range m {
		a, err := c.Exchange(m[i].request)
		if err != nil {
			return err
		}
		if a.Status != 200 || len(a.Body) != m[i].answer {
			return fmt.Errorf("the bare server answers %d with %d bytes", a.Status, len(a.Body))
		}
	}
	return nil
}

func (w *webBench) add(to map[string][]*sample, name string, x *sample, r *report) {
	to[name] = append(to[name], x)
	r.progress("  %-28s %9.0f/s  %6.2f us of processor time  p50 %v p99 %v, at 70%% p99 %v", name, x.rate, x.cpu.Seconds()*1e6, short(x.p50), short(x.p99), short(x.calm99))
}

// form is a POST of a form by a client that proves itself with its secret.
func (w *webBench) form(path, client string, fields ...string) []byte {
	values := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		values.Set(fields[i], fields[i+1])
	}
	body := values.Encode()
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Basic %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
		path, w.host, base64.StdEncoding.EncodeToString([]byte(client+":"+webSecret)), len(body), body)
}

// fixed sends the same requests again and again.
type fixed struct {
	requests [][]byte
	next     int
	holds    []string // what an answer holds
}

// Do implements https.Visitor.
func (f *fixed) Do(c *https.Conn) error {
	f.next = (f.next + 1) % len(f.requests)
	a, err := c.Exchange(f.requests[f.next])
	if err != nil {
		return err
	}
	return holds(a, 200, f.holds[f.next])
}

func holds(a *https.Answer, status int, text string) error {
	if a.Status != status || !bytes.Contains(a.Body, []byte(text)) {
		return fmt.Errorf("the answer is %d, %.300s; wanted %d with %s", a.Status, a.Body, status, text)
	}
	return nil
}

func (w *webBench) machine(client string) https.Visitor {
	return &fixed{requests: [][]byte{w.form("/token", client, "grant_type", "client_credentials", "scope", "read")}, holds: []string{`"access_token"`}}
}

func (w *webBench) curious() https.Visitor {
	get := func(path string) []byte {
		return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, w.host)
	}
	return &fixed{requests: [][]byte{get("/.well-known/openid-configuration"), get("/.well-known/jwks.json")}, holds: []string{`"issuer"`, `"keys"`}}
}

// tokens are what a person's client got.
type tokens struct{ access, refresh string }

// tokensOf asks for tokens of a person who is logged in.
func (w *webBench) tokensOf(i int) (tokens, error) {
	b, err := w.browserOf(i)
	if err != nil {
		return tokens{}, err
	}
	c, err := https.Dial(context.Background(), w.node.Web, i, config())
	if err != nil {
		return tokens{}, err
	}
	defer c.Close()
	if err := b.Do(c); err != nil {
		return tokens{}, err
	}
	got := b.(*authorization).got
	if got.access == "" || got.refresh == "" {
		return tokens{}, errors.New("the answer holds no access token and refresh token")
	}
	return got, nil
}

func (w *webBench) introspector(i int) (https.Visitor, error) {
	got, err := w.tokensOf(i)
	if err != nil {
		return nil, err
	}
	return &fixed{requests: [][]byte{w.form("/token_info", "app", "token", got.access)}, holds: []string{`"active":true`}}, nil
}

func (w *webBench) reader(i int) (https.Visitor, error) {
	got, err := w.tokensOf(i)
	if err != nil {
		return nil, err
	}
	request := fmt.Appendf(nil, "GET /userinfo HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", w.host, got.access)
	return &fixed{requests: [][]byte{request}, holds: []string{packets.User(i)}}, nil
}

// refreshing renews its tokens, each time with the newest refresh token.
type refreshing struct {
	w     *webBench
	token string
}

func (w *webBench) refresher(i int) (https.Visitor, error) {
	got, err := w.tokensOf(i)
	if err != nil {
		return nil, err
	}
	return &refreshing{w, got.refresh}, nil
}

// Do implements https.Visitor.
func (f *refreshing) Do(c *https.Conn) error {
	a, err := c.Exchange(f.w.form("/token", "app", "grant_type", "refresh_token", "refresh_token", f.token))
	if err != nil {
		return err
	}
	if err := holds(a, 200, `"refresh_token"`); err != nil {
		return err
	}
	f.token = textOf(a.Body, "refresh_token")
	return nil
}

// textOf returns the text of a member of a JSON object that holds no escapes.
func textOf(body []byte, name string) string {
	_, rest, _ := bytes.Cut(body, []byte(`"`+name+`":`))
	_, rest, _ = bytes.Cut(rest, []byte(`"`))
	text, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(text)
}

// authorization asks for a code with a person's session, and exchanges it for tokens.
type authorization struct {
	w         *webBench
	authorize []byte
	verifier  string
	got       tokens
}

func (w *webBench) browserOf(i int) (https.Visitor, error) {
	verifier := rand.Text() + rand.Text()
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{
		"client_id": {"app"}, "response_type": {"code"}, "redirect_uri": {webCallback}, "scope": {"openid profile email offline_access"}, "state": {rand.Text()}, "nonce": {rand.Text()},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	return &authorization{w: w, verifier: verifier, authorize: fmt.Appendf(nil, "GET /authorization?%s HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\nAccept: text/html\r\n\r\n", q.Encode(), w.host, w.people[i].cookies)}, nil
}

// Do implements https.Visitor.
func (v *authorization) Do(c *https.Conn) error {
	a, err := c.Exchange(v.authorize)
	if err != nil {
		return err
	}
	_, query, _ := strings.Cut(string(a.Location), "?")
	q, err := url.ParseQuery(query)
	if err != nil || q.Get("code") == "" {
		return fmt.Errorf("no code: %d to %q with %.300s", a.Status, a.Location, a.Body)
	}
	if a, err = c.Exchange(v.w.form("/token", "app", "grant_type", "authorization_code", "code", q.Get("code"), "redirect_uri", webCallback, "code_verifier", v.verifier)); err != nil {
		return err
	}
	if err := holds(a, 200, `"id_token"`); err != nil {
		return err
	}
	v.got = tokens{textOf(a.Body, "access_token"), textOf(a.Body, "refresh_token")}
	return nil
}

// write writes the tables.
func (w *webBench) write(r *report, version string) {
	r.section("OpenID Connect")
	r.text("Trine %s on one core, the generator on the other; HTTP/1.1 within TLS 1.3 on %d connections that stay open, one request at a time on each, every answer checked; %d connections at 70%% of the rate, the bare server at that of the node. "+
		"What is granted is committed with an fsync before the answer, and every decision is recorded. The bare server is net/http within TLS that reads the same requests and sends as many bytes back; \"authorize and token\" is two exchanges. "+
		"In the storm, %d people log in by password, whose hashes are Argon2id, as fast as they are let, and everything else goes on at a fifth of its rate.", version, webVisitors, webQueue, webPeople)
	r.table([]string{"promise", "wanted", "found in each turn", "reached"}, func(row func(...string)) {
		for _, t := range w.targets() {
			row(t.what, t.want, fmt.Sprint(t.found), t.reached())
		}
	})
	r.text("The turn with the median rate of each.")
	r.table([]string{
		"scenario", "server", "a second", "CPU each", "server busy", "generator busy", "p50", "p99", "p50 at 70%", "p99 at 70%", "begun too late", "stolen", "others", "resident", "window", "seals", "records/fsync",
	}, func(row func(...string)) {
		for i := range webScenarios {
			for _, who := range []string{"Trine", "Bare"} {
				list := w.samples[who+"/"+webScenarios[i].name]
				if len(list) == 0 {
					continue
				}
				x := median(list)
				row(webScenarios[i].name, who, fmt.Sprintf("%.0f", x.rate), fmt.Sprintf("%.1f us", x.cpu.Seconds()*1e6), percent(x.server), percent(x.busy), short(x.p50), short(x.p99),
					short(x.calm50), short(x.calm99), fmt.Sprint(x.late), fmt.Sprintf("%.1f%%", 100*x.company.stolen), fmt.Sprintf("%.1f%%", 100*x.company.others), megabytes(x.memory),
					fmt.Sprintf("%.0f s", x.elapsed.Seconds()), fmt.Sprint(x.seals), fmt.Sprintf("%.0f", x.recordsFsync))
			}
		}
	})
	var bars []bar
	for i := range webScenarios {
		for _, who := range []string{"Trine", "Bare"} {
			if list := w.samples[who+"/"+webScenarios[i].name]; len(list) > 0 {
				bars = append(bars, bar{webScenarios[i].name, who, median(list).rate})
			}
		}
	}
	r.chart("OpenID Connect: things a second, median of the turns", bars)
}

// targets compares the turns one by one.
func (w *webBench) targets() (list []*target) {
	for i := range webScenarios {
		sc := &webScenarios[i]
		ours := w.samples["Trine/"+sc.name]
		if len(ours) == 0 {
			continue
		}
		t := &target{what: sc.name, want: fmt.Sprintf("at least %.0f/s", sc.want)}
		share := &target{what: sc.name + ", share of a bare HTTPS server"}
		calm := &target{what: sc.name + ", p99 at 70% of the top rate", want: "under " + webPromise.String()}
		for turn, x := range ours {
			t.at(fmt.Sprintf("%.0f", x.rate), x.rate >= sc.want)
			calm.at(short(x.calm99), x.calm99 < webPromise)
			if theirs := w.samples["Bare/"+sc.name]; turn < len(theirs) {
				share.at(percent(x.rate/theirs[turn].rate), true)
			}
		}
		list = append(list, t, share, calm)
		if storm := w.storms[sc.name]; len(storm) > 0 {
			t := &target{what: sc.name + ", p99 in a storm of password logins", want: "under " + stormy.String()}
			for _, x := range storm {
				t.at(short(x.calm99), x.calm99 < stormy)
			}
			list = append(list, t)
		}
	}
	return list
}
