package admin_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"trine/appliance/admin"
	"trine/appliance/admin/admintest"
	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
	"trine/engine/event"
)

const granting = `
{kind: User, name: Alice}
---
{kind: User, name: bob}
---
{kind: IdentityProvider, name: home, spec: {type: local, profiles: {radius: {enabled: true}}}}
---
{kind: ServiceProvider, name: wiki, spec: {type: radius, identityProvider: home, radius: {sourceIPs: [10.0.0.0/8], secret: one}}}
---
{kind: ServiceProvider, name: shop, spec: {type: radius, identityProvider: home, radius: {sourceIPs: [11.0.0.0/8], secret: two}}}
`

// startGranted returns a node where Alice has grants 1, 2 and 3, of which 3 is to the shop, and Bob has 4.
func startGranted(t *testing.T) (*admintest.Node, *client.Client) {
	t.Helper()
	n, c := start(t)
	mustApply(t, c, granting)
	for i, g := range [][2]string{{"Alice", "wiki"}, {"Alice", "wiki"}, {"Alice", "shop"}, {"bob", "wiki"}} {
		if err := n.Granted(uint64(i+1), g[0], g[1]); err != nil {
			t.Fatal(err)
		}
	}
	return n, c
}

func listed(t *testing.T, c *client.Client, q client.GrantQuery, want ...uint64) *api.GrantList {
	t.Helper()
	got, err := c.Grants(t.Context(), q)
	if err != nil || len(got.Grants) != len(want) {
		t.Fatalf("%+v, %v; want %d", got, err, want)
	}
	for _, number := range want {
		found := false
		for i := range got.Grants {
			found = found || got.Grants[i].ID == event.FormatID(number)
		}
		if !found {
			t.Errorf("the grant %s is not among %+v", event.FormatID(number), got.Grants)
		}
	}
	return got
}

func TestGrantsAreListedAndEnded(t *testing.T) {
	n, c := startGranted(t)
	page := listed(t, c, client.GrantQuery{Limit: 3}, 1, 2, 3)
	if page.Next != event.FormatID(3) {
		t.Errorf("the next page is behind %q", page.Next)
	}
	if last := listed(t, c, client.GrantQuery{Limit: 3, After: page.Next}, 4); last.Next != "" {
		t.Errorf("behind the last page is %q", last.Next)
	}
	first := page.Grants[0]
	if first.User != "Alice" || first.Client != "wiki" || first.IdentityProvider != "home" || strings.Join(first.Scopes, " ") != "openid email" || !first.RefreshToken || first.Offline ||
		first.Ended != nil || first.NotAfter.Sub(first.Started) > time.Hour || first.Login != event.FormatID(5) || first.Authenticated == nil || first.Session != "" {
		t.Errorf("%+v", first)
	}
	listed(t, c, client.GrantQuery{User: "ALICE"}, 1, 2, 3)
	listed(t, c, client.GrantQuery{User: "alice", Client: "shop"}, 3)
	listed(t, c, client.GrantQuery{Client: "wiki"}, 1, 2, 4)
	listed(t, c, client.GrantQuery{User: "nobody"})

	if err := c.RevokeGrant(t.Context(), event.FormatID(1)); err != nil {
		t.Fatal(err)
	}
	listed(t, c, client.GrantQuery{User: "alice"}, 2, 3)
	for _, g := range listed(t, c, client.GrantQuery{User: "alice", Ended: true}, 1, 2, 3).Grants {
		if over := g.ID == event.FormatID(1); over != (g.Ended != nil) || over && (g.Cause != event.GrantClosed.String() || g.By == "" || g.RefreshToken) {
			t.Errorf("%+v", g)
		}
	}
	refusedWith(t, c.RevokeGrant(t.Context(), event.FormatID(1)), http.StatusNotFound)
	refusedWith(t, c.RevokeGrant(t.Context(), event.FormatID(4711)), http.StatusNotFound)
	refusedWith(t, c.RevokeGrant(t.Context(), "not-an-id"), http.StatusUnprocessableEntity)
	_, err := c.Grants(t.Context(), client.GrantQuery{After: "not-an-id"})
	refusedWith(t, err, http.StatusUnprocessableEntity)

	// A grant whose time is over is no grant.
	n.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	listed(t, c, client.GrantQuery{})
	if g := listed(t, c, client.GrantQuery{User: "bob", Ended: true}, 4).Grants[0]; g.Cause != event.GrantOverLifetime.String() || g.Ended == nil || !g.Ended.Equal(g.NotAfter) {
		t.Errorf("%+v", g)
	}
	refusedWith(t, c.RevokeGrant(t.Context(), event.FormatID(4)), http.StatusNotFound)
}

func TestAllThatWasIssuedIsMadeVoid(t *testing.T) {
	n, c := startGranted(t)
	refusedWith(t, c.RevokeGrants(t.Context(), "", ""), http.StatusUnprocessableEntity)
	refusedWith(t, c.RevokeGrants(t.Context(), "alice", "wiki"), http.StatusUnprocessableEntity)
	refusedWith(t, c.RevokeGrants(t.Context(), "nobody", ""), http.StatusNotFound)
	refusedWith(t, c.RevokeGrants(t.Context(), "", "nowhere"), http.StatusNotFound)
	if err := c.RevokeGrants(t.Context(), "", "wiki"); err != nil {
		t.Fatal(err)
	}
	listed(t, c, client.GrantQuery{}, 3)
	if v := n.Views.VoidedClient("wiki"); v.At == 0 || v.By == "" {
		t.Errorf("%+v", v)
	}
	if err := c.RevokeGrants(t.Context(), "ALICE", ""); err != nil {
		t.Fatal(err)
	}
	listed(t, c, client.GrantQuery{})
	if g := listed(t, c, client.GrantQuery{Client: "shop", Ended: true}, 3).Grants[0]; g.Cause != event.GrantTokensVoided.String() || g.By == "" {
		t.Errorf("%+v", g)
	}
	// What is granted from then on counts.
	if err := n.Granted(5, "Alice", "wiki"); err != nil {
		t.Fatal(err)
	}
	listed(t, c, client.GrantQuery{}, 5)
}

func TestConsentsAreListedAndTakenBack(t *testing.T) {
	_, c := startGranted(t)
	list := func(q client.ConsentQuery, want ...string) *api.ConsentList {
		t.Helper()
		got, err := c.Consents(t.Context(), q)
		if err != nil || len(got.Consents) != len(want) {
			t.Fatalf("%+v, %v; want %s", got, err, want)
		}
		for i := range want {
			if have := got.Consents[i].User + "/" + got.Consents[i].Client; have != want[i] {
				t.Errorf("%d. consent %s, want %s", i, have, want[i])
			}
		}
		return got
	}
	page := list(client.ConsentQuery{Limit: 2}, "Alice/shop", "Alice/wiki")
	if x := page.Consents[0]; strings.Join(x.Scopes, " ") != "email openid" || x.IdentityProvider != "home" || x.Login != event.FormatID(5) || x.Given.IsZero() {
		t.Errorf("%+v", x)
	}
	if last := list(client.ConsentQuery{Limit: 2, After: page.Next}, "bob/wiki"); last.Next != "" {
		t.Errorf("behind the last page is %q", last.Next)
	}
	list(client.ConsentQuery{User: "alice", Client: "wiki"}, "Alice/wiki")
	list(client.ConsentQuery{Client: "wiki"}, "Alice/wiki", "bob/wiki")
	_, err := c.Consents(t.Context(), client.ConsentQuery{User: "nobody"})
	refusedWith(t, err, http.StatusNotFound)
	_, err = c.Consents(t.Context(), client.ConsentQuery{After: "not an id"})
	refusedWith(t, err, http.StatusUnprocessableEntity)

	if err := c.RevokeConsent(t.Context(), "alice", "wiki"); err != nil {
		t.Fatal(err)
	}
	list(client.ConsentQuery{User: "alice"}, "Alice/shop")
	listed(t, c, client.GrantQuery{}, 3, 4) // what rested on it has ended
	refusedWith(t, c.RevokeConsent(t.Context(), "alice", "wiki"), http.StatusNotFound)
	refusedWith(t, c.RevokeConsent(t.Context(), "alice", "nowhere"), http.StatusNotFound)
	refusedWith(t, c.RevokeConsent(t.Context(), "nobody", "wiki"), http.StatusNotFound)
	if err := c.RevokeConsent(t.Context(), "alice", ""); err != nil {
		t.Fatal(err)
	}
	list(client.ConsentQuery{}, "bob/wiki")
	refusedWith(t, c.RevokeConsent(t.Context(), "alice", ""), http.StatusNotFound)
}

func TestSigningKeysAreListedAndRotated(t *testing.T) {
	n, c := startGranted(t)
	now := time.Now()
	n.Now = func() time.Time { return now }
	keys := func(got *api.SigningKeyList, err error, want ...string) {
		t.Helper()
		if err != nil || len(got.Keys) != len(want) {
			t.Fatalf("%+v, %v; want %s", got, err, want)
		}
		for i := range want {
			if have := got.Keys[i].ID + " " + got.Keys[i].State; have != want[i] {
				t.Errorf("%d. key %s, want %s", i, have, want[i])
			}
		}
	}
	rotate := func(how api.KeyRotation, want ...string) {
		t.Helper()
		got, err := c.RotateSigningKeys(t.Context(), "home", how)
		keys(got, err, want...)
	}
	all := func(issuer string, want ...string) {
		t.Helper()
		got, err := c.SigningKeys(t.Context(), issuer)
		keys(got, err, want...)
	}
	all("")
	all("home")
	rotate(api.KeyRotation{}, "ES256-1 signing", "RS256-1 signing")
	rotate(api.KeyRotation{Algorithms: []string{"ES256"}}, "ES256-1 signing", "RS256-1 signing", "ES256-2 coming")
	got, err := c.SigningKeys(t.Context(), "home")
	if err != nil || got.Keys[0].Gone == nil || got.Keys[2].Gone != nil || got.Keys[2].CreatedBy == "" || !got.Keys[2].Active.After(now) {
		t.Errorf("%+v, %v", got, err)
	}
	now = now.Add(90 * time.Minute)
	all("home", "ES256-1 former", "RS256-1 signing", "ES256-2 signing")
	now = now.Add(48 * time.Hour)
	all("home", "RS256-1 signing", "ES256-2 signing")
	rotate(api.KeyRotation{AtOnce: true}, "ES256-3 signing", "RS256-3 signing")
	all("", "ES256-3 signing", "RS256-3 signing")

	_, err = c.SigningKeys(t.Context(), "nowhere")
	refusedWith(t, err, http.StatusNotFound)
	_, err = c.RotateSigningKeys(t.Context(), "nowhere", api.KeyRotation{})
	refusedWith(t, err, http.StatusNotFound)
	_, err = c.RotateSigningKeys(t.Context(), "home", api.KeyRotation{Algorithms: []string{"HS256"}})
	refusedWith(t, err, http.StatusUnprocessableEntity)
	n.Fail = admin.ErrNoLeader
	_, err = c.RotateSigningKeys(t.Context(), "home", api.KeyRotation{})
	refusedWith(t, err, http.StatusServiceUnavailable)
	var p *api.Problem
	if err := c.RevokeGrant(t.Context(), event.FormatID(1)); !errors.As(err, &p) || p.Status != http.StatusNotFound && p.Status != http.StatusServiceUnavailable {
		t.Errorf("without a leader: %v", err)
	}
}
