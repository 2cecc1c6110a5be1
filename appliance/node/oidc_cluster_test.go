package node

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
)

const clusterOpenID = `
kind: IdentityProvider
name: local
spec:
  type: local
  network: {hostName: sso.example.org, ports: [{port: 443}]}
  profiles: {radius: {enabled: true}, openid: {enabled: true}}
---
kind: ServiceProvider
name: rp
spec:
  type: oidc
  oidc:
    clientSecret: the-secret-of-the-relying-party
    flows: {authorizationCode: true, refresh: true}
    responseURLs: ["https://rp.example.com/callback"]
    allowedScopes: [openid]
`

// door asks one node for what is at https://sso.example.org, as a load balancer would.
type door struct {
	*clusterNode
	http *http.Client
}

func newDoor(t *testing.T, n *clusterNode, jar http.CookieJar) *door {
	t.Helper()
	to := n.addresses.Web[0]
	browser, transport := relyingBrowser(t, jar)
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, to)
	}
	return &door{n, browser}
}

const clusterIssuer = "https://sso.example.org"

// code returns a code for Alice, who logs in where she has no session yet.
func (d *door) code(t *testing.T) string {
	t.Helper()
	q := url.Values{"client_id": {"rp"}, "redirect_uri": {"https://rp.example.com/callback"}, "response_type": {"code"}, "scope": {"openid"}, "state": {"s"}}
	answer, body := visit(t, d.http, clusterIssuer+"/authorization?"+q.Encode())
	if answer.StatusCode == http.StatusOK {
		answer, body = signIn(t, d.http, answer, body)
	}
	back, err := answer.Location()
	if err != nil || back.Query().Get("code") == "" {
		t.Fatalf("node %s gives no code: %d %v %s", d.name, answer.StatusCode, back, body)
	}
	return back.Query().Get("code")
}

// tokens is what the token endpoint answers.
type tokens struct {
	status           int
	Access           string `json:"access_token"`
	Refresh          string `json:"refresh_token"`
	Error            string `json:"error"`
	ErrorDescription string `json:"error_description"`
}

func (d *door) token(t *testing.T, parameters ...string) (got tokens) {
	t.Helper()
	form := url.Values{"redirect_uri": {"https://rp.example.com/callback"}}
	for i := 0; i < len(parameters); i += 2 {
		form.Set(parameters[i], parameters[i+1])
	}
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, clusterIssuer+"/token", strings.NewReader(form.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth("rp", "the-secret-of-the-relying-party")
	answer, err := d.http.Do(request)
	if err != nil {
		t.Error(err)
		return got
	}
	defer func() { _ = answer.Body.Close() }()
	if err := json.NewDecoder(answer.Body).Decode(&got); err != nil {
		t.Error(err)
	}
	got.status = answer.StatusCode
	return got
}

// userinfo returns the status with which a node answers an access token.
func (d *door) userinfo(t *testing.T, token string) int {
	t.Helper()
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, clusterIssuer+"/userinfo", nil)
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := d.http.Do(request)
	if err != nil {
		t.Error(err)
		return 0
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// race presents the same to some nodes at once. It checks that one of them gives tokens and the others refuse, and that what was given is void by then at every node: at those that
// refused at once, at the others as soon as they have applied the log as far.
func race(t *testing.T, all, at []*door, parameters ...string) {
	t.Helper()
	answers := make([]tokens, len(at))
	begin := make(chan struct{})
	var wait sync.WaitGroup
	for i, d := range at {
		wait.Go(func() {
			<-begin
			answers[i] = d.token(t, parameters...)
		})
	}
	close(begin)
	wait.Wait()
	var given tokens
	good := 0
	for _, a := range answers {
		switch {
		case a.status == http.StatusOK:
			given = a
			good++
		case a.status != http.StatusBadRequest || a.Error != "invalid_grant":
			t.Errorf("refused by %d %s: %s", a.status, a.Error, a.ErrorDescription)
		}
	}
	if good != 1 {
		t.Fatalf("%d of %d nodes gave tokens: %+v", good, len(at), answers)
	}
	for i, d := range at {
		if answers[i].status != http.StatusOK {
			if status := d.userinfo(t, given.Access); status != http.StatusUnauthorized {
				t.Errorf("node %s, which has refused, takes the access token: %d", d.name, status)
			}
		}
	}
	for _, d := range all {
		status := 0
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if status = d.userinfo(t, given.Access); status == http.StatusUnauthorized {
				break
			}
		}
		if status != http.StatusUnauthorized {
			t.Errorf("node %s takes the access token of a grant that was given twice: %d", d.name, status)
		}
		if again := d.token(t, "grant_type", "refresh_token", "refresh_token", given.Refresh); again.status != http.StatusBadRequest || again.Error != "invalid_grant" {
			t.Errorf("node %s takes the refresh token of such a grant: %d %s", d.name, again.status, again.Error)
		}
	}
}

// TestCodeAndRefreshTokenAtSeveralNodesAtOnceAreUsedByOne presents codes and refresh tokens to two and three nodes of a cluster at the same time (RFC 6749 sections 4.1.2 and 10.4).
func TestCodeAndRefreshTokenAtSeveralNodesAtOnceAreUsedByOne(t *testing.T) {
	a, b, c := threeVoters(t)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.admin.Apply(t.Context(), []client.File{{Name: "openid.yaml", Data: []byte(clusterOpenID)}}, client.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	var all []*door
	for _, n := range []*clusterNode{a, b, c} {
		n.until(t, "the relying party", func(*api.Cluster) bool {
			_, err := n.admin.Document(t.Context(), "ServiceProvider", "rp")
			return err == nil
		})
		all = append(all, newDoor(t, n, jar))
	}
	pairs := [][]*door{{all[0], all[1]}, {all[1], all[2]}, {all[2], all[0]}, all}
	for i := range 20 {
		race(t, all, pairs[i%len(pairs)], "grant_type", "authorization_code", "code", all[i%len(all)].code(t))
	}
	for i := range 20 {
		first := all[(i+1)%len(all)].token(t, "grant_type", "authorization_code", "code", all[i%len(all)].code(t))
		if first.status != http.StatusOK || first.Refresh == "" {
			t.Fatalf("%+v", first)
		}
		race(t, all, pairs[i%len(pairs)], "grant_type", "refresh_token", "refresh_token", first.Refresh)
	}
	last := all[0].token(t, "grant_type", "authorization_code", "code", all[0].code(t)) // what comes once is good everywhere
	for _, d := range all {
		if status := d.userinfo(t, last.Access); status != http.StatusOK {
			t.Errorf("node %s: %d", d.name, status)
		}
	}
}
