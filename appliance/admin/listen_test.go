package admin_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"trine/appliance/admin"
	"trine/appliance/admin/admintest"
	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
	"trine/engine/event"
)

func TestSocketIsForItsOwnerOnly(t *testing.T) {
	n, err := admintest.Start(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, client.SocketName)
	// What a dead process left is replaced.
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.Admin.ServeSocket(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := n.Admin.ServeSocket(path); err == nil || !strings.Contains(err.Error(), "another process answers there") {
		t.Errorf("a second listener: %v", err)
	}
	if err := n.Admin.ServeSocket(filepath.Join(dir, strings.Repeat("x", 110))); err == nil || !strings.Contains(err.Error(), "shorter data directory") {
		t.Errorf("a path that is too long: %v", err)
	}
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// serveTLS lets the node answer HTTPS, and returns its URL and the file with its certificate.
func serveTLS(t *testing.T, n *admintest.Node) (url, ca string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.Admin.Serve(ln, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}})
	return "https://" + ln.Addr().String(), ca
}

func TestManagementListenerTakesKeysOverTLS(t *testing.T) {
	n, local := start(t)
	mustApply(t, local, site)
	url, ca := serveTLS(t, n)
	k := key(t, local, "read")
	c, err := client.New(client.Options{Server: url, Key: k.Secret, CA: ca})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	d, err := c.Document(t.Context(), "group", "staff")
	if err != nil || d.Version != 1 {
		t.Fatalf("document %+v, %v", d, err)
	}
	_, err = c.Apply(t.Context(), files("kind: Group\nname: x\n"), client.ApplyOptions{})
	refusedFor(t, err, api.ReasonForbidden)

	stranger, err := client.New(client.Options{Server: url, Key: "trine_x_y", CA: ca})
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	_, err = stranger.Status(t.Context())
	refusedFor(t, err, api.ReasonUnauthorized)

	unchecked, err := client.New(client.Options{Server: url, Key: k.Secret})
	if err != nil {
		t.Fatal(err)
	}
	defer unchecked.Close()
	if _, err := unchecked.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
}

func TestMetricsAreOpenOnLoopbackNamesOnly(t *testing.T) {
	n, local := start(t)
	url, _ := serveTLS(t, n)
	insecure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer insecure.CloseIdleConnections()
	get := func(path, host, secret string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if host != "" {
			r.Host = host
		}
		if secret != "" {
			r.Header.Set("Authorization", "Bearer "+secret)
		}
		resp, err := insecure.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	if code, body := get("/metrics", "", ""); code != 200 || !strings.Contains(body, "trine_build_info{") || !strings.Contains(body, "trine_sessions_active 0") {
		t.Errorf("by address: %d %s", code, body)
	}
	if code, _ := get("/metrics", "localhost:1444", ""); code != 200 {
		t.Errorf("by localhost: %d", code)
	}
	if code, _ := get("/metrics", "evil.example", ""); code != 401 {
		t.Errorf("by another name: %d", code)
	}
	if code, _ := get("/metrics", "evil.example", key(t, local, "metrics").Secret); code != 200 {
		t.Errorf("by another name with a key: %d", code)
	}
	if code, _ := get("/metrics", "", key(t, local, "sessions").Secret); code != 403 {
		t.Errorf("with a key without the scope: %d", code)
	}
	if code, body := get("/healthz", "", ""); code != 200 || body != "ok\n" {
		t.Errorf("health: %d %s", code, body)
	}
	if code, body := get("/readyz", "", ""); code != 200 || body != "ready\n" {
		t.Errorf("readiness: %d %s", code, body)
	}
}

func TestFollowSeesWhatHappensFromNowOn(t *testing.T) {
	_, c := start(t)
	mustApply(t, c, site)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	// Each round writes until the reader, which begins at its own moment, has seen one.
	seen := make(chan api.Event, 1)
	failed := make(chan error, 1)
	go func() {
		for ev, err := range c.Follow(ctx, client.EventQuery{Classes: []string{"identity"}, Stream: "document/Group/live"}) {
			if err != nil {
				failed <- err
				return
			}
			seen <- ev
			return
		}
	}()
	for i := 0; ; i++ {
		mustApply(t, c, "kind: Group\nname: live\nspec: {description: "+strings.Repeat("x", i+1)+"}\n")
		select {
		case ev := <-seen:
			if ev.Type != "DocumentPut" || ev.Position == "" {
				t.Errorf("saw %+v", ev)
			}
			return
		case err := <-failed:
			t.Fatal(err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestStreamsEndWithTheirKey(t *testing.T) {
	n, c := start(t)
	var ahead atomic.Int64
	n.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	mustApply(t, c, site)
	for name, end := range map[string]func(id string) error{
		"revoked": func(id string) error { return c.RevokeKey(t.Context(), id) },
		"expired": func(string) error {
			ahead.Add(int64(91 * 24 * time.Hour))
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := key(t, c, "events")
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			r := httptest.NewRequestWithContext(ctx, "GET", "/api/v1/events/follow?from=1", nil)
			r.Header.Set("Authorization", "Bearer "+k.Secret)
			pr, pw := io.Pipe()
			go func() {
				n.Admin.Handler().ServeHTTP(&pipeRecorder{ResponseRecorder: httptest.NewRecorder(), w: pw}, r)
				pw.Close()
			}()
			lines := bufio.NewScanner(pr)
			if !lines.Scan() {
				t.Fatal("the stream did not begin")
			}
			if err := end(k.ID); err != nil {
				t.Fatal(err)
			}
			mustApply(t, c, "kind: Group\nname: "+name+"\n")
			last := ""
			for lines.Scan() {
				if strings.Contains(lines.Text(), `"name":"`+name+`"`) {
					t.Fatalf("a stream whose key is over goes on: %s", lines.Text())
				}
				if lines.Text() != "" {
					last = lines.Text()
				}
			}
			if ctx.Err() != nil || !strings.Contains(last, api.ReasonUnauthorized) {
				t.Errorf("the stream ended with %q", last)
			}
		})
	}
}

// pipeRecorder hands on what is written to it at once.
type pipeRecorder struct {
	*httptest.ResponseRecorder
	w io.Writer
}

func (r *pipeRecorder) Write(b []byte) (int, error) { return r.w.Write(b) }

func (r *pipeRecorder) WriteString(s string) (int, error) { return io.WriteString(r.w, s) }

func TestStreamsEndWhenTheNodeStops(t *testing.T) {
	n, err := admintest.Start(slog.New(slog.DiscardHandler))
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
	defer c.Close()
	mustApply(t, c, site)
	ended := make(chan error, 1)
	opened := make(chan struct{})
	go func() {
		first := true
		for _, err := range c.Follow(t.Context(), client.EventQuery{From: "1"}) {
			if first {
				first = false
				close(opened)
			}
			if err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	<-opened
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "stopping") {
		t.Errorf("the stream ended with %v", err)
	}
}

func TestPagesTogetherAreTheWhole(t *testing.T) {
	_, c := start(t)
	mustApply(t, c, site+large(25))
	var names []string
	page := client.Page{Limit: 10}
	for {
		list, err := c.Documents(t.Context(), "users", page)
		if err != nil {
			t.Fatal(err)
		}
		for i := range list.Documents {
			names = append(names, list.Documents[i].Name)
		}
		if page.After = list.Next; page.After == "" {
			break
		}
	}
	if len(names) != 26 || names[0] != "alice" || names[25] != "user00024" {
		t.Errorf("%d names: %v", len(names), names)
	}
	list, err := c.Documents(t.Context(), "users", client.Page{Prefix: "USER0002"})
	if err != nil || len(list.Documents) != 5 {
		t.Errorf("by prefix: %d, %v", len(list.Documents), err)
	}

	var positions []string
	q := client.EventQuery{Limit: 7}
	for {
		list, err := c.Events(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for i := range list.Events {
			positions = append(positions, list.Events[i].Position)
		}
		if q.From = list.Next; q.From == "" {
			break
		}
	}
	if len(positions) != 31 { // 30 documents and a password
		t.Errorf("%d events: %v", len(positions), positions)
	}
}

func TestNoEventShowsASecret(t *testing.T) {
	n, c := start(t)
	mustApply(t, c, site)
	secret := []byte("do-not-show-me")
	var b event.Builder
	for _, add := range []error{
		b.Add(event.TypePasswordSet, event.ClassIdentity, nil, &event.PasswordSet{User: "alice", Argon2Id: secret, Keyed: secret, Nt: secret, Clear: secret}),
		b.Add(event.TypeAPIKeyCreated, event.ClassSystem, nil, &event.ApiKeyCreated{Id: "x", Hash: secret, Scopes: []string{"read"}}),
		b.Add(event.TypeClusterKeyAdded, event.ClassSystem, nil, &event.ClusterKeyAdded{Id: 2, Wraps: []*event.ClusterKeyAdded_Wrap{{Node: 1, Wrapped: secret}}}),
		b.Add(event.TypeClusterFounded, event.ClassSystem, nil, &event.ClusterFounded{Cluster: "c", Authority: secret, Key: secret}),
		b.Add(event.TypeJoinTokenMade, event.ClassSystem, nil, &event.JoinTokenMade{Id: "t", Hash: secret, Role: 1}),
		b.Add(event.TypeNodeJoined, event.ClassSystem, nil, &event.NodeJoined{Node: 2, Name: "two", Role: 1, Public: secret, Serial: []byte{1}}),
	} {
		if add != nil {
			t.Fatal(add)
		}
	}
	if err := n.Record(&b); err != nil {
		t.Fatal(err)
	}
	list, err := c.Events(t.Context(), client.EventQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range list.Events {
		body := string(ev.Body)
		if strings.Contains(body, string(secret)) || strings.Contains(body, "ZG8tbm90LXNob3ctbWU") || strings.Contains(body, "sealed:") {
			t.Errorf("%s shows a secret: %s", ev.Type, body)
		}
	}
	if len(list.Events) != 12 {
		t.Errorf("%d events", len(list.Events))
	}
}

var _ admin.Events = (*admintest.Node)(nil)
