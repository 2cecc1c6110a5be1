package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/state"
	"trine/engine/trace"
)

// asking is a request of the service provider wlan.
func (r *rig) asking() Asking {
	return Asking{Protocol: "oidc", Client: r.compiler.Holder().Load().Client("wlan"), Source: r.request("", "").Source}
}

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// coded is the start of a grant of Alice by a code that is good for a minute.
func (r *rig) coded(code uint64) *GrantStart {
	now := r.engine.TermFrom()
	return &GrantStart{
		Asking: r.asking(), Code: code, CodeNotAfter: now.Add(time.Minute), User: "Alice", Scopes: []string{"openid", "profile"}, Detail: []byte("nonce"), Refresh: true,
		NotAfter: now.Add(time.Hour), Factors: login.SetOf(login.Password), Authenticated: now, Class: "basic", Login: 7, Token: 9,
	}
}

func (r *rig) granted(g *GrantStart) *Granted {
	r.t.Helper()
	out, err := r.engine.StartGrant(soon(r.t), g)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func (r *rig) refreshed(token string) (*Granted, error) {
	return r.engine.RefreshGrant(soon(r.t), &Refresh{Asking: r.asking(), Token: token, NotAfter: r.engine.TermFrom().Add(time.Hour), Access: 11})
}

// refusedFor checks why something was refused, and that the decision is recorded and says it.
func (r *rig) refusedFor(err error, sentinel error, reason trace.Reason) {
	r.t.Helper()
	var no *Refused
	if !errors.As(err, &no) || !errors.Is(err, sentinel) || no.Reason != reason {
		r.t.Fatalf("%v, want %v (%s)", err, sentinel, reason)
	}
	r.engine.Flush()
	for _, d := range r.log.decisions(r.t) {
		if d.ID == no.ID {
			if string(d.Reason) != string(reason) || d.Kind != event.DecidedToken || len(d.Steps) == 0 {
				r.t.Errorf("recorded is %s, kind %s, with %d steps", d.Reason, d.Kind, len(d.Steps))
			}
			return
		}
	}
	r.t.Errorf("the refusal %s (%s) is not recorded", event.FormatID(no.ID), reason)
}

// live says whether a grant counts here.
func (r *rig) live(number uint64) bool {
	g, ok := r.people.Grant(number)
	return ok && g.Live(r.clock.Now().Unix())
}

// grantRig returns a rig that can seal.
func grantRig(t testing.TB) *rig {
	t.Helper()
	r := newRig(t, nil)
	r.engine.config.Keyring = r.ring
	return r
}

func TestCodeIsRedeemedOnce(t *testing.T) {
	r := grantRig(t)
	first := r.granted(r.coded(42))
	g, ok := r.people.Grant(42)
	if !ok || g.User != "Alice" || g.Client != "wlan" || g.Issuer != "local" || g.Scopes != "openid profile" || string(g.Detail) != "nonce" || g.Class != "basic" ||
		g.Factors != uint32(login.SetOf(login.Password)) || g.Login != 7 || first.Number != 42 {
		t.Fatalf("%+v", g)
	}
	_, err := r.engine.StartGrant(soon(t), r.coded(42))
	r.refusedFor(err, ErrUsed, trace.OIDCCodeUsed)
	if g, _ := r.people.Grant(42); g.End != event.GrantCodeReused || g.Live(r.clock.Now().Unix()) {
		t.Errorf("after the code came once more the grant is %s", g.End)
	}
	_, err = r.refreshed(first.Refresh)
	r.refusedFor(err, ErrGrantOver, trace.OIDCGrantOver)
	r.explainedAccept(first.Decision, trace.GrantBegun)
}

// explainedAccept checks that an accept is recorded with a step.
func (r *rig) explainedAccept(id uint64, step trace.StepCode) {
	r.t.Helper()
	for _, d := range r.log.decisions(r.t) {
		if d.ID == id {
			if d.Verdict != event.Accept || !slices.ContainsFunc(d.Steps, func(s event.StepView) bool { return s.Code == uint32(step) }) {
				r.t.Errorf("%s with %d steps", d.Verdict, len(d.Steps))
			}
			return
		}
	}
	r.t.Errorf("no decision %s", event.FormatID(id))
}

func TestCodeAtTwoNodesAtOnceIsRedeemedByOne(t *testing.T) {
	r := grantRig(t)
	b := &browser{rig: r}
	other := b.node(r.log.join(0, true))
	for code := uint64(1); code <= 50; code++ {
		var wait sync.WaitGroup
		results := make([]error, 2)
		for i, at := range []*rig{r, other.rig} {
			wait.Go(func() { _, results[i] = at.engine.StartGrant(soon(t), at.coded(code)) })
		}
		wait.Wait()
		if failed := errors.Join(results...); failed == nil || results[0] != nil && results[1] != nil || !errors.Is(failed, ErrUsed) {
			t.Fatalf("code %d: %v", code, results)
		}
		if r.live(code) || other.live(code) {
			t.Fatalf("the grant of code %d, which came twice, counts", code)
		}
	}
}

func TestLateCodeIsRefused(t *testing.T) {
	r := grantRig(t)
	g := r.coded(42)
	r.clock.move(61 * time.Second)
	_, err := r.engine.StartGrant(soon(t), g)
	r.refusedFor(err, ErrDenied, trace.OIDCCodeExpired)
}

func TestRefreshTokenIsRotatedAndAnOlderOneEndsTheFamily(t *testing.T) {
	r := grantRig(t)
	first := r.granted(r.coded(42))
	second, err := r.refreshed(first.Refresh)
	if err != nil || second.Generation != 1 || second.Refresh == first.Refresh {
		t.Fatalf("%+v, %v", second, err)
	}
	r.explainedAccept(second.Decision, trace.GrantGoesOn)
	third, err := r.refreshed(second.Refresh)
	if err != nil || third.Generation != 2 {
		t.Fatalf("%+v, %v", third, err)
	}
	_, err = r.refreshed(first.Refresh)
	r.refusedFor(err, ErrReused, trace.OIDCRefreshReused)
	if g, _ := r.people.Grant(42); g.End != event.GrantTokenReused {
		t.Errorf("the grant is %s", g.End)
	}
	_, err = r.refreshed(third.Refresh)
	r.refusedFor(err, ErrGrantOver, trace.OIDCGrantOver)
}

func TestRefreshTokenAtTwoNodesAtOnceIsUsedByOneAtMost(t *testing.T) {
	r := grantRig(t)
	b := &browser{rig: r}
	other := b.node(r.log.join(0, true))
	for code := uint64(1); code <= 50; code++ {
		token := r.granted(r.coded(code)).Refresh
		var wait sync.WaitGroup
		results := make([]error, 2)
		for i, at := range []*rig{r, other.rig} {
			wait.Go(func() { _, results[i] = at.refreshed(token) })
		}
		wait.Wait()
		if failed := errors.Join(results...); failed == nil || results[0] != nil && results[1] != nil || !errors.Is(failed, ErrReused) {
			t.Fatalf("grant %d: %v", code, results)
		}
		if r.live(code) || other.live(code) {
			t.Fatalf("grant %d, whose refresh token came twice, counts", code)
		}
	}
}

func TestForgedAndForeignRefreshTokensEndNothing(t *testing.T) {
	r := grantRig(t)
	r.apply("{kind: ServiceProvider, name: lan, spec: {type: radius, radius: {sourceIPs: [11.0.0.0/8], secret: two}}}")
	first := r.granted(r.coded(42))
	second, err := r.refreshed(first.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	changed := []byte(second.Refresh)
	changed[len(changed)/2] ^= 1
	for _, forged := range []string{"", "x", string(changed), strings.Repeat("A", 1<<16), second.Refresh[1:]} {
		_, err := r.refreshed(forged)
		r.refusedFor(err, ErrNoGrant, trace.OIDCRefresh)
	}
	for _, token := range []string{first.Refresh, second.Refresh} { // what another client has got hold of
		other := r.asking()
		other.Client = r.compiler.Holder().Load().Client("lan")
		_, err = r.engine.RefreshGrant(soon(t), &Refresh{Asking: other, Token: token, NotAfter: r.clock.Now().Add(time.Hour)})
		r.refusedFor(err, ErrNoGrant, trace.OIDCRefresh)
	}
	if !r.live(42) {
		t.Fatal("a token that was made up, or is another's, has ended the grant")
	}
	if _, err := r.refreshed(second.Refresh); err != nil {
		t.Error(err)
	}
}

func TestRefreshIsRefusedWhereTheProtocolFindsItWanting(t *testing.T) {
	r := grantRig(t)
	first := r.granted(r.coded(42))
	x := &Refresh{Asking: r.asking(), Token: first.Refresh, NotAfter: r.clock.Now().Add(time.Hour), Check: func(g *state.Grant) (trace.Reason, string) {
		if g.Number != 42 {
			t.Errorf("asked about %d", g.Number)
		}
		return trace.OIDCConsentRequired, "the scope is another"
	}}
	_, err := r.engine.RefreshGrant(soon(t), x)
	r.refusedFor(err, ErrDenied, trace.OIDCConsentRequired)
	if _, err := r.refreshed(first.Refresh); err != nil { // it was not used up
		t.Error(err)
	}
}

func TestGrantOutlastsNoOneWhoMayNotComeIn(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(r *rig)
		reason trace.Reason // of a refresh
		claims trace.Reason
		start  trace.Reason
	}{
		{"switched off", func(r *rig) { r.apply("{kind: User, name: Alice, spec: {active: false}}") }, trace.UserInactive, trace.UserInactive, trace.UserInactive},
		{"deleted", func(r *rig) { r.delete("User", "Alice") }, trace.OIDCGrantUnknown, trace.UserUnknown, trace.UserUnknown},
		{"without a role that is required", func(r *rig) {
			r.apply("{kind: InformationSystem, name: erp}\n---\n{kind: Role, name: clerk@erp}\n---\n" + requiring("requiredRoles: [clerk@erp]"))
		}, trace.OK, trace.RoleMissing, trace.OK},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := grantRig(t)
			first := r.granted(r.coded(42))
			c.change(r)
			_, err := r.refreshed(first.Refresh)
			if c.reason == trace.OK {
				if err != nil {
					t.Fatal(err)
				}
			} else if no := new(Refused); !errors.As(err, &no) || no.Reason != c.reason {
				t.Errorf("a refresh: %v, want %s", err, c.reason)
			}
			claims, reason := r.engine.Claims(soon(t), &ClaimsRequest{Asking: r.asking(), User: "Alice", Quiet: true})
			if reason != c.claims || claims.ID == 0 {
				t.Errorf("claims: %s, decision %d, want %s", reason, claims.ID, c.claims)
			}
			_, err = r.engine.StartGrant(soon(t), r.coded(43))
			if no := new(Refused); c.start != trace.OK && (!errors.As(err, &no) || no.Reason != c.start) {
				t.Errorf("a grant: %v, want %s", err, c.start)
			}
		})
	}
}

func TestClaimsAreWhatPoliciesRelease(t *testing.T) {
	r := grantRig(t)
	claims, reason := r.engine.Claims(soon(t), &ClaimsRequest{Asking: r.asking(), User: "alice", Factors: login.SetOf(login.Password)})
	if reason != trace.OK || claims.User != "Alice" || claims.Name != "Alice" || claims.UserID == 0 || claims.ID == 0 || len(claims.Released) != 1 ||
		claims.Released[0].Attribute.Name != "room" || len(claims.Released[0].Values) != 2 {
		t.Fatalf("%s: %+v", reason, claims)
	}
	claims.Close()
	brief, reason := r.engine.Claims(soon(t), &ClaimsRequest{Asking: r.asking(), User: "Alice", Brief: true, Quiet: true})
	if reason != trace.OK || len(brief.Released) != 0 || brief.ID != 0 || brief.Name != "Alice" {
		t.Errorf("%s: %+v", reason, brief)
	}
	r.engine.Flush()
	if all := r.log.decisions(t); len(all) != 1 || all[0].ID != claims.ID || all[0].Verdict != event.Accept {
		t.Errorf("%d decisions are recorded", len(all))
	}
}

func TestTokensCountUntilTheyAreOverOrVoid(t *testing.T) {
	r := grantRig(t)
	now := r.clock.Now()
	r.granted(r.coded(42))
	token := &Token{ID: 9, Grant: 42, Client: "wlan", User: "Alice", Issued: now.Unix(), NotAfter: now.Add(time.Hour).Unix()}
	own := &Token{ID: 10, Client: "wlan", Issued: now.Unix(), NotAfter: now.Add(time.Hour).Unix()}
	counts := func(x *Token, want trace.Reason) {
		t.Helper()
		if _, reason := r.engine.Counts(soon(t), x); reason != want {
			t.Errorf("token %d: %s, want %s", x.ID, reason, want)
		}
	}
	counts(token, trace.OK)
	counts(own, trace.OK)
	counts(&Token{ID: 1, Grant: 42, Client: "another", NotAfter: token.NotAfter}, trace.OIDCGrantUnknown)
	counts(&Token{ID: 1, Grant: 4711, Client: "wlan", NotAfter: token.NotAfter}, trace.OIDCGrantUnknown)
	if err := r.engine.RevokeToken(soon(t), token, ""); err != nil {
		t.Fatal(err)
	}
	counts(token, trace.OIDCTokenRevoked)
	counts(&Token{ID: 12, Grant: 42, Client: "wlan", Issued: token.Issued, NotAfter: token.NotAfter}, trace.OK) // another of the grant
	if err := r.engine.VoidTokens(soon(t), "wlan", "", "admin"); err != nil {
		t.Fatal(err)
	}
	counts(own, trace.OIDCTokenRevoked)
	counts(&Token{ID: 12, Grant: 42, Client: "wlan", NotAfter: token.NotAfter}, trace.OIDCGrantOver)
	r.clock.move(time.Second)
	later := r.clock.Now()
	counts(&Token{ID: 13, Client: "wlan", Issued: later.Unix(), NotAfter: later.Add(time.Hour).Unix()}, trace.OK)
	again := r.granted(r.coded(43))
	if !r.live(again.Number) {
		t.Error("what was granted after everything was made void does not count")
	}
	r.clock.move(2 * time.Hour)
	counts(&Token{ID: 14, Grant: 43, Client: "wlan", NotAfter: later.Unix()}, trace.OIDCTokenExpired)
	counts(&Token{ID: 14, Grant: 43, Client: "wlan", NotAfter: r.clock.Now().Add(time.Hour).Unix()}, trace.OIDCGrantExpired)
}

func TestNothingOfADeletedClientCountsForAnotherOfItsName(t *testing.T) {
	r := grantRig(t)
	now := r.clock.Now()
	first := r.granted(r.coded(42))
	if err := r.engine.GiveConsent(soon(t), &ConsentGiven{User: "Alice", Client: r.asking().Client, Scopes: []string{"openid"}}); err != nil {
		t.Fatal(err)
	}
	id := r.userID("Alice")
	r.delete("ServiceProvider", "wlan")
	r.apply(house)
	if _, ok := r.engine.Consent(id, "wlan"); ok || len(r.engine.Consents(id)) != 0 {
		t.Error("the consent counts")
	}
	_, err := r.refreshed(first.Refresh)
	r.refusedFor(err, ErrGrantOver, trace.OIDCGrantOver)
	if _, reason := r.engine.Counts(soon(t), &Token{ID: 1, Client: "wlan", Issued: now.Unix(), NotAfter: now.Add(time.Hour).Unix()}); reason != trace.OIDCTokenRevoked {
		t.Error(reason)
	}
}

func (r *rig) userID(name string) uint64 {
	r.t.Helper()
	var u state.User
	if !r.people.User(&u, []byte(name)) {
		r.t.Fatalf("no user %s", name)
	}
	return u.ID
}

func TestLogoutEndsGrantsWithoutOfflineAccess(t *testing.T) {
	var told []state.SSO
	b := pageRig(t, func(c *Config) { c.SessionsEnded = func(ended []state.SSO) { told = append(told, ended...) } })
	b.people.OnSSOEnded(func(_ state.Stamp, ended []state.SSO) { b.engine.SessionsEnded(ended) })
	s := b.accepted(b.ask("local", typed("alice", login.Password, "wonderland")))
	for code, offline := range map[uint64]bool{1: false, 2: true} {
		g := b.coded(code)
		g.Session, g.Offline = s.Session.Number, offline
		b.granted(g)
	}
	apart := b.coded(3)
	b.granted(apart)
	if err := b.engine.EndSessions(soon(t), "Alice", []uint64{s.Session.Number}, ""); err != nil {
		t.Fatal(err)
	}
	if b.live(1) || !b.live(2) || !b.live(3) {
		t.Errorf("of the session: %v, offline: %v, of none: %v", b.live(1), b.live(2), b.live(3))
	}
	if g, _ := b.people.Grant(1); g.End != event.GrantLoggedOut {
		t.Errorf("it ended by %s", g.End)
	}
	if len(told) != 1 || told[0].Number != s.Session.Number || told[0].End != event.SSOLoggedOut {
		t.Errorf("told of %+v", told)
	}
	// A code of that session comes too late, unless it is for offline access.
	late := b.coded(4)
	late.Session = s.Session.Number
	_, err := b.engine.StartGrant(soon(t), late)
	b.refusedFor(err, ErrDenied, trace.OIDCSessionEnded)
	late.Offline = true
	b.granted(late)
}

func TestSessionThatTimesOutEndsNoGrant(t *testing.T) {
	b := pageRig(t, nil)
	s := b.accepted(b.ask("local", typed("alice", login.Password, "wonderland")))
	g := b.coded(1)
	g.Session, g.NotAfter = s.Session.Number, b.clock.Now().Add(48*time.Hour)
	b.granted(g)
	b.clock.move(13 * time.Hour)
	b.propose(&event.SsoEnded{Sessions: []uint64{s.Session.Number}, Cause: uint32(event.SSOExpired)})
	if x, _ := b.people.SSONumbered(s.Session.Number); x.End != event.SSOExpired || !b.live(1) {
		t.Errorf("the session is %s, and the grant counts: %v", x.End, b.live(1))
	}
}

func TestConsentAddsUpAndRevokingItEndsItsGrants(t *testing.T) {
	r := grantRig(t)
	r.apply("{kind: ServiceProvider, name: lan, spec: {type: radius, radius: {sourceIPs: [11.0.0.0/8], secret: two}}}")
	ctx, id := soon(t), r.userID("Alice")
	give := func(client string, scopes, claims []string) {
		t.Helper()
		c := &ConsentGiven{User: "Alice", Client: r.compiler.Holder().Load().Client(client), Scopes: scopes, Claims: claims, Login: 3}
		if err := r.engine.GiveConsent(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	give("wlan", []string{"profile", "openid"}, nil)
	give("wlan", []string{"email"}, []string{"phone"})
	give("lan", []string{"openid"}, nil)
	index := r.people.AppliedIndex()
	give("wlan", []string{"openid"}, []string{"phone"}) // nothing new
	if r.people.AppliedIndex() != index {
		t.Error("what was consented to before is recorded once more")
	}
	c, ok := r.engine.Consent(id, "wlan")
	if !ok || strings.Join(c.Scopes, " ") != "email openid profile" || !c.Covers([]string{"openid", "email"}, []string{"phone"}) || c.Covers([]string{"address"}, nil) || c.Covers(nil, []string{"x"}) {
		t.Fatalf("%+v", c)
	}
	r.granted(r.coded(1))
	other := r.coded(2)
	other.Client = r.compiler.Holder().Load().Client("lan")
	r.granted(other)
	if err := r.engine.RevokeConsent(ctx, "Alice", "wlan", "admin"); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.engine.Consent(id, "wlan"); ok || r.live(1) || !r.live(2) {
		t.Errorf("consent %v, its grant counts %v, the other's %v", ok, r.live(1), r.live(2))
	}
	if err := r.engine.RevokeConsent(ctx, "Alice", "wlan", "admin"); !errors.Is(err, ErrNoConsent) {
		t.Error(err)
	}
	if err := r.engine.RevokeConsent(ctx, "Alice", "", ""); err != nil || r.live(2) || len(r.engine.Consents(id)) != 0 {
		t.Errorf("%v; the grant counts %v", err, r.live(2))
	}
}

func TestClientsOwnTokenIsRecordedBeforeItIsIssued(t *testing.T) {
	r := grantRig(t)
	x := &TokenRecord{Asking: r.asking(), Token: 77, Scopes: []string{"read"}, NotAfter: r.clock.Now().Add(time.Hour)}
	id, index, err := r.engine.RecordToken(soon(t), x)
	if err != nil {
		t.Fatal(err)
	}
	r.explainedAccept(id, trace.TokenIssued)
	if index == 0 || index != r.people.AppliedIndex() {
		t.Errorf("it exists at index %d, and the log is at %d", index, r.people.AppliedIndex())
	}
	x.NotAfter = r.clock.Now().Add(state.VoidedFor*time.Second + time.Hour)
	_, _, err = r.engine.RecordToken(soon(t), x)
	r.refusedFor(err, ErrDenied, trace.OIDCLimit)
	r.log.set(func(l *memoryLog) { l.leaderless = true })
	x.NotAfter = r.clock.Now().Add(time.Hour)
	_, _, err = r.engine.RecordToken(soon(t), x)
	if no := new(Refused); !errors.As(err, &no) || no.Reason != trace.LogNoLeader || !no.Unavailable() {
		t.Errorf("without a leader: %v", err)
	}
	if _, err = r.engine.StartGrant(soon(t), r.coded(42)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without a leader: %v", err)
	}
}

func TestRefusalOfAProtocolIsExplained(t *testing.T) {
	r := grantRig(t)
	a := r.asking()
	a.Client = nil
	id := r.engine.Refuse(&Refusal{Asking: a, ClientID: "nobody", Reason: trace.ClientUnknown, What: "redirect_uri", Wrong: "it is none of the client's"})
	r.engine.Flush()
	all := r.log.decisions(t)
	if len(all) != 1 || all[0].ID != id || all[0].Verdict != event.Reject || string(all[0].Reason) != string(trace.ClientUnknown) || len(all[0].Steps) != 2 ||
		string(all[0].Steps[1].Detail) != "it is none of the client's" {
		t.Errorf("%+v", all)
	}
}

func TestWhatIsGoodOnceIsUsedOnce(t *testing.T) {
	r := grantRig(t)
	until := r.clock.Now().Add(time.Minute)
	if err := r.engine.UseOnce(soon(t), "assertion/x", until); err != nil {
		t.Fatal(err)
	}
	if err := r.engine.UseOnce(soon(t), "assertion/x", until); !errors.Is(err, ErrUsed) {
		t.Error(err)
	}
}

func TestPasswordGrantLeadsToNoSession(t *testing.T) {
	b := pageRig(t, nil)
	round := typed("alice", login.Password, "wonderland")
	round.Protocol, round.Client = "oidc", b.portal("local")
	s := b.engine.PasswordGrant(soon(t), &round)
	b.accepted(s)
	if s.Session.ID != "" || len(b.people.SSOOf("Alice")) != 0 || s.User != "Alice" || len(s.Proofs) != 1 {
		t.Errorf("%+v", s)
	}
	round.Client = b.portal("strict")
	if s := b.engine.PasswordGrant(soon(t), &round); s.Verdict != event.Reject || s.Reason != trace.FactorNeeded || s.State != nil {
		t.Errorf("where another factor is needed: %s %s", s.Verdict, s.Reason)
	}
	wrong := typed("alice", login.Password, "underland")
	wrong.Protocol, wrong.Client = "oidc", b.portal("local")
	if s := b.engine.PasswordGrant(soon(t), &wrong); s.Verdict != event.Reject || s.Reason != trace.PasswordWrong {
		t.Errorf("%s %s", s.Verdict, s.Reason)
	}
}

func TestGrantBecomesASessionOfItsFactors(t *testing.T) {
	b := pageRig(t, nil)
	granted := b.granted(b.coded(42))
	a := b.asking()
	s, err := b.engine.SessionFor(soon(t), &a, &granted.Grant)
	if err != nil {
		t.Fatal(err)
	}
	x, ok := b.engine.Session(s.ID)
	if !ok || x.User != "Alice" || len(x.Proofs) != 1 || login.Factor(x.Proofs[0].Factor) != login.Password || x.Proofs[0].At != granted.Authenticated {
		t.Fatalf("%+v", x)
	}
	if err := b.engine.EndGrants(soon(t), []uint64{42}, event.GrantRevoked, ""); err != nil {
		t.Fatal(err)
	}
	over, _ := b.engine.Grant(42)
	_, err = b.engine.SessionFor(soon(t), &a, &over)
	b.refusedFor(err, ErrGrantOver, trace.OIDCGrantOver)
	if err := b.engine.EndGrants(soon(t), []uint64{42}, event.GrantRevoked, ""); !errors.Is(err, ErrNoGrant) {
		t.Error(err)
	}
}

func TestTokenWaitsForTheLogOfTheNodeThatIssuedIt(t *testing.T) {
	r := grantRig(t)
	b := &browser{rig: r}
	first := r.granted(r.coded(42))
	behind := b.node(r.log.join(1, false))
	token := &Token{ID: 9, Grant: 42, Client: "wlan", NotAfter: r.clock.Now().Add(time.Hour).Unix(), Index: first.Index}
	if _, reason := behind.engine.Counts(soon(t), token); reason != trace.LogBehind {
		t.Errorf("a node that is behind says %s", reason)
	}
	if _, reason := r.engine.Counts(soon(t), token); reason != trace.OK {
		t.Error(reason)
	}
	_, err := behind.refreshed(first.Refresh)
	if no := new(Refused); !errors.As(err, &no) || no.Reason != trace.LogBehind || !no.Unavailable() {
		t.Errorf("a node that is behind says %v", err)
	}
}

// logAhead has the log's time be ahead of the clock, as after a leader's clock had jumped.
func (r *rig) logAhead(by time.Duration) {
	r.log.set(func(l *memoryLog) { l.at.Time = l.clock.Now().Add(by) })
	r.apply("{kind: Group, name: later}")
}

// After a leader's clock had jumped ahead, records are stamped with a time that is ahead, and Apply measures by it.
func TestGrantsLastTheirTermWhereTheLogIsAhead(t *testing.T) {
	r := grantRig(t)
	r.logAhead(30 * 24 * time.Hour)
	first := r.granted(r.coded(42))
	if g, _ := r.people.Grant(42); g.NotAfter-g.Started != 3600 || first.Started != g.Started {
		t.Errorf("it begins at %d and ends at %d; its client is told %d", g.Started, g.NotAfter, first.Started)
	}
	second, err := r.refreshed(first.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	if second, err = r.refreshed(second.Refresh); err != nil {
		t.Fatal(err)
	}
	if _, reason := r.engine.GrantOfRefresh(soon(t), second.Refresh); reason != trace.OK {
		t.Error(reason)
	}
	// The grant is not swept before its time, and is when it is over.
	if over := r.people.Over(r.people.Time().Unix()+3600, 10); over != nil {
		t.Errorf("swept are %v", over)
	}
	_, err = r.engine.StartGrant(soon(t), r.coded(42))
	r.refusedFor(err, ErrUsed, trace.OIDCCodeUsed)
	late := r.coded(43)
	r.clock.move(30*24*time.Hour + 2*time.Minute)
	_, err = r.engine.StartGrant(soon(t), late)
	r.refusedFor(err, ErrDenied, trace.OIDCCodeExpired)
}

func TestRevokedTokensStayRevokedWhereTheLogIsAhead(t *testing.T) {
	r := grantRig(t)
	r.logAhead(30 * 24 * time.Hour)
	now := r.clock.Now()
	r.granted(r.coded(42))
	token := &Token{ID: 9, Grant: 42, Client: "wlan", User: "Alice", Issued: now.Unix(), NotAfter: now.Add(time.Hour).Unix()}
	if err := r.engine.RevokeToken(soon(t), token, ""); err != nil {
		t.Fatal(err)
	}
	revoked := func(x *Token, want trace.Reason) {
		t.Helper()
		if _, reason := r.engine.Counts(soon(t), x); reason != want {
			t.Errorf("token %d: %s, want %s", x.ID, reason, want)
		}
	}
	revoked(token, trace.OIDCTokenRevoked)
	if over := r.people.Over(r.people.Time().Unix()+3600, 10); over != nil {
		t.Errorf("swept are %v, and the token would be good", over)
	}
	// Only what was issued before is made void.
	record := func(id uint64) *Token {
		t.Helper()
		until := now.Add(time.Hour)
		_, index, err := r.engine.RecordToken(soon(t), &TokenRecord{Asking: r.asking(), Token: id, NotAfter: until})
		if err != nil {
			t.Fatal(err)
		}
		return &Token{ID: id, Client: "wlan", Issued: now.Unix(), NotAfter: until.Unix(), Index: index}
	}
	before := record(10)
	revoked(before, trace.OK)
	if err := r.engine.VoidTokens(soon(t), "wlan", "", "admin"); err != nil {
		t.Fatal(err)
	}
	revoked(before, trace.OIDCTokenRevoked)
	revoked(record(11), trace.OK)
}

func TestLoginOfTwoFactorsGoesOnWhereTheLogIsAhead(t *testing.T) {
	b := pageRig(t, nil)
	device := b.rig.device("Alice", "f1")
	b.logAhead(30 * 24 * time.Hour)
	s := b.accepted(b.ask("strict", typedThen(b, "strict", "alice", "wonderland", b.code(device))))
	if x, ok := b.engine.Session(s.Session.ID); !ok || x.User != "Alice" {
		t.Errorf("%+v", x)
	}
}
