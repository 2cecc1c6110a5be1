package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"trine/engine"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/policy"
	"trine/engine/state"
	"trine/engine/trace"
	"trine/protocols/web"
)

// Engine is what the provider asks of the engine. What it grants is committed when its calls return.
type Engine interface {
	NewID() uint64
	AppliedIndex() uint64
	TermFrom() time.Time
	StartGrant(ctx context.Context, g *engine.GrantStart) (*engine.Granted, error)
	RefreshGrant(ctx context.Context, x *engine.Refresh) (*engine.Granted, error)
	GrantOfRefresh(ctx context.Context, token string) (*state.Grant, trace.Reason)
	Grant(number uint64) (state.Grant, bool)
	EndGrants(ctx context.Context, numbers []uint64, cause event.GrantEnd, by string) error
	Counts(ctx context.Context, t *engine.Token) (state.Grant, trace.Reason)
	RecordToken(ctx context.Context, x *engine.TokenRecord) (decision, index uint64, err error)
	RevokeToken(ctx context.Context, t *engine.Token, by string) error
	UseOnce(ctx context.Context, key string, notAfter time.Time) error
	Claims(ctx context.Context, x *engine.ClaimsRequest) (engine.Claims, trace.Reason)
	Keys(ctx context.Context, issuer string, algorithms ...string) (*engine.KeySet, error)
	PasswordGrant(ctx context.Context, round *engine.Round) engine.Step
	SessionFor(ctx context.Context, a *engine.Asking, g *state.Grant) (engine.SessionGrant, error)
	Session(id string) (state.SSO, bool)
	EndSessions(ctx context.Context, user string, numbers []uint64, by string) error
	Refuse(x *engine.Refusal) uint64
}

const protocol = "oidc"

func asking(x *web.Exchange, client *policy.Client) engine.Asking {
	return engine.Asking{Protocol: protocol, Cache: x.Cache, Client: client, Source: x.Source}
}

// issuerKeys are the keys of an identity provider as its endpoints need them, made once for each change of them.
type issuerKeys struct {
	set      *engine.KeySet
	until    time.Time // by then one of the keys signs no more, or is published no more
	public   *jose.JSONWebKeySet
	document []byte             // of the JWKS endpoint
	signers  map[string]*signer // by algorithm
}

// issuerKeys returns the keys of an identity provider. It makes none but those that every identity provider has.
func (p *Provider) issuerKeys(ctx context.Context, i *policy.Issuer, algorithms ...string) (*issuerKeys, error) {
	set, err := p.engine.Keys(ctx, i.Name, algorithms...)
	if err != nil {
		return nil, fmt.Errorf("get the keys of %s: %w", i.Name, err)
	}
	now := p.now()
	value, _ := p.signing.Load(i.Name)
	if kept, _ := value.(*issuerKeys); kept != nil && kept.set == set && now.Before(kept.until) {
		return kept, nil
	}
	keys, err := prepareKeys(set, now)
	if err != nil {
		return nil, err
	}
	p.signing.Store(i.Name, keys)
	return keys, nil
}

func prepareKeys(set *engine.KeySet, now time.Time) (*issuerKeys, error) {
	k := &issuerKeys{set: set, until: now.Add(time.Hour), public: new(jose.JSONWebKeySet), signers: map[string]*signer{}}
	for _, key := range set.Published(now) {
		for _, at := range []time.Time{key.Active, key.Gone} {
			if at.After(now) && at.Before(k.until) {
				k.until = at
			}
		}
		public := jose.JSONWebKey{Key: key.Public, KeyID: key.ID, Use: "sig"}
		if key.Algorithm != engine.RS256 { // an RSA key signs PS256, too
			public.Algorithm = key.Algorithm
		}
		k.public.Keys = append(k.public.Keys, public)
	}
	for _, algorithm := range []string{engine.ES256, engine.RS256, engine.EdDSA} {
		if key := set.At(algorithm, now); key != nil {
			k.signers[algorithm] = newSigner(algorithm, key.ID, key.Signer())
			if algorithm == engine.RS256 {
				k.signers["PS256"] = newSigner("PS256", key.ID, key.Signer())
			}
		}
	}
	var err error
	if k.document, err = json.Marshal(k.public); err != nil {
		return nil, fmt.Errorf("encode public keys: %w", err)
	}
	return k, nil
}

// signer returns what signs with an algorithm for an identity provider. A key for EdDSA is made when one is first asked for.
func (p *Provider) signer(ctx context.Context, i *policy.Issuer, algorithm string) (*signer, error) {
	var extra []string
	if algorithm == engine.EdDSA {
		extra = []string{engine.ES256, engine.RS256, engine.EdDSA}
	}
	keys, err := p.issuerKeys(ctx, i, extra...)
	if err != nil {
		return nil, err
	}
	if s := keys.signers[algorithm]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("sign a token: the identity provider %s has no key for %s", i.Name, algorithm)
}

func (p *Provider) grantOf(number uint64) (state.Grant, bool) { return p.engine.Grant(number) }

func (a *access) asToken() engine.Token {
	return engine.Token{ID: a.token, Grant: a.grant, Client: a.client, User: a.user, Issued: a.issued, NotAfter: a.notAfter, Index: a.index}
}

// alive says why an access token does not count now. It keeps what its grant holds for the protocol.
func (p *Provider) alive(x *web.Exchange, a *access) *refusal {
	t := a.asToken()
	g, reason := p.engine.Counts(x.R.Context(), &t)
	if reason != trace.OK {
		return unusable(reason)
	}
	a.kept = &g
	return nil
}

// unusable makes a refusal of a reason for which an access token does not count.
func unusable(reason trace.Reason) *refusal {
	r := &refusal{code: "invalid_token", reason: reason, words: "the access token does not count any more", status: http.StatusUnauthorized}
	if reason == trace.LogBehind {
		r.code, r.words, r.status = "temporarily_unavailable", "this node cannot tell yet whether the access token counts", http.StatusServiceUnavailable
	}
	return r
}

// known asks the engine what a client may know of a person.
func (p *Provider) known(x *web.Exchange, client *policy.Client, user string, factors uint32, index uint64, brief bool) (facts, *refusal) {
	c, reason := p.engine.Claims(x.R.Context(), &engine.ClaimsRequest{
		Asking: asking(x, client), User: user, Factors: login.Set(factors), Index: index, Quiet: true, Brief: brief,
	})
	if reason != trace.OK {
		r := invalidGrant(reason, "the person may not use the client any more")
		r.id = c.ID
		if reason == trace.LogBehind {
			r.code, r.words, r.status = "temporarily_unavailable", "this node has not seen the login yet", http.StatusServiceUnavailable
		}
		return facts{}, r
	}
	f := facts{userID: c.UserID, name: c.Name, released: c.Released, claims: c}
	if brief {
		f.done()
	}
	return f, nil
}

// facts returns what a client may know of a person who has logged in.
func (p *Provider) facts(x *web.Exchange, client *policy.Client, who *person, index uint64) (facts, *refusal) {
	return p.known(x, client, who.user, who.factors, index, false)
}

// factsOf returns what the client of an access token may know of its person.
func (p *Provider) factsOf(x *web.Exchange, client *policy.Client, a *access) (f facts, kept detail, wrong *refusal) {
	_ = kept.decode(a.kept.Detail)
	f, wrong = p.known(x, client, a.user, a.kept.Factors, 0, false)
	return f, kept, wrong
}

// briefly returns under which name the client of an access token knows its person, and nothing more.
func (p *Provider) briefly(x *web.Exchange, client *policy.Client, a *access) (facts, *refusal) {
	return p.known(x, client, a.user, a.kept.Factors, 0, true)
}

// ungranted makes a refusal of what the engine refused.
func (p *Provider) ungranted(x *web.Exchange, err error) *refusal {
	var refused *engine.Refused
	if !errors.As(err, &refused) {
		return p.broken(x, "record what it grants", err)
	}
	r := &refusal{reason: refused.Reason, id: refused.ID, recorded: true}
	switch {
	case errors.Is(err, engine.ErrUsed):
		r.code, r.words = "invalid_grant", "the code was redeemed before, and what it led to is void now"
	case errors.Is(err, engine.ErrReused):
		r.code, r.words = "invalid_grant", "the refresh token was used before, and what it led to is void now"
	case refused.Unavailable():
		r.code, r.words, r.status = "temporarily_unavailable", "the identity provider cannot record what it grants now; try again", http.StatusServiceUnavailable
	case refused.Reason == trace.OIDCLimit:
		r.code, r.words = "invalid_request", "the request asks for more than can be recorded"
	default:
		r.code, r.words = "invalid_grant", "what the request presents does not count any more"
	}
	return r
}

// start begins a grant, with its code redeemed where there is one.
func (p *Provider) start(x *web.Exchange, i *issuance) *refusal {
	i.token = p.engine.NewID()
	life := i.wire.accessLife(x.Issuer)
	if i.refresh {
		life = max(life, min(i.wire.spec.RefreshTimeout, i.wire.spec.AbsoluteTimeout))
	}
	g := &engine.GrantStart{
		Asking: asking(x, i.client), User: i.person.user, Scopes: i.scopes, Detail: i.detail.append(nil), Session: i.person.session, Offline: hasScope(i.scopes, "offline_access"),
		Refresh: i.refresh, NotAfter: p.engine.TermFrom().Add(life), Factors: login.Set(i.person.factors), Class: i.person.class, Login: i.person.login, Token: i.token,
	}
	if i.person.at != 0 {
		g.Authenticated = time.Unix(i.person.at, 0)
	}
	if i.codeNotAfter != 0 {
		g.Code, g.CodeNotAfter = i.number, time.Unix(i.codeNotAfter, 0)
	}
	granted, err := p.engine.StartGrant(x.R.Context(), g)
	if err != nil {
		return p.ungranted(x, err)
	}
	i.number, i.index, i.secret = granted.Number, granted.Index, granted.Refresh
	return nil
}

func hasScope(scopes []string, one string) bool {
	for _, s := range scopes {
		if s == one {
			return true
		}
	}
	return false
}

// renew uses a refresh token up. What the client may know of the person, and the scopes that it asks for, are looked at before that.
func (p *Provider) renew(x *web.Exchange, i *issuance, text string, asked []string) *refusal {
	var wrong *refusal
	i.token = p.engine.NewID()
	r := &engine.Refresh{Asking: asking(x, i.client), Token: text, Access: i.token}
	r.Check = func(g *state.Grant) (trace.Reason, string) {
		granted := words(g.Scopes)
		for _, s := range asked {
			if !hasScope(granted, s) {
				wrong = refuse("invalid_scope", trace.OIDCScopeInvalid, "the scope %q is none that was granted", short(s))
				return wrong.reason, wrong.words
			}
		}
		r.NotAfter = p.engine.TermFrom().Add(max(i.wire.spec.RefreshTimeout, i.wire.accessLife(x.Issuer)))
		if end := time.Unix(g.Started, 0).Add(i.wire.spec.AbsoluteTimeout); r.NotAfter.After(end) {
			r.NotAfter = end
		}
		if i.facts, wrong = p.known(x, i.client, g.User, g.Factors, 0, false); wrong != nil {
			return wrong.reason, wrong.words
		}
		return trace.OK, ""
	}
	granted, err := p.engine.RefreshGrant(x.R.Context(), r)
	if err != nil {
		if wrong != nil {
			var refused *engine.Refused
			if errors.As(err, &refused) {
				wrong.id, wrong.recorded = refused.ID, true
			}
			return wrong
		}
		return p.ungranted(x, err)
	}
	i.number, i.index, i.secret = granted.Number, granted.Index, granted.Refresh
	i.scopes = words(granted.Scopes)
	i.person = personOf(&granted.Grant)
	if err := i.detail.decode(granted.Detail); err != nil {
		return p.broken(x, "read what the grant keeps", err)
	}
	return nil
}

func personOf(g *state.Grant) person {
	return person{user: g.User, session: g.Session, factors: g.Factors, at: g.Authenticated, class: g.Class, login: g.Login}
}

// record records a token that has no grant of its own.
func (p *Provider) record(x *web.Exchange, i *issuance) *refusal {
	i.token = p.engine.NewID()
	_, index, err := p.engine.RecordToken(x.R.Context(), &engine.TokenRecord{
		Asking: asking(x, i.client), User: i.person.user, Token: i.token, Scopes: i.scopes, NotAfter: p.now().Add(i.wire.accessLife(x.Issuer)),
	})
	if err != nil {
		return p.ungranted(x, err)
	}
	i.index = index
	return nil
}

// login logs a person in by name and password alone.
func (p *Provider) login(x *web.Exchange, i *issuance, name, password string) *refusal {
	step := p.engine.PasswordGrant(x.R.Context(), &engine.Round{
		Protocol: protocol, Cache: x.Cache, Client: i.client, Source: x.Source, Name: []byte(name), Proof: engine.Proof{Typed: []byte(password)},
	})
	switch step.Verdict {
	case event.Accept:
	case event.Discard:
		return &refusal{
			code: "temporarily_unavailable", reason: step.Reason, words: "the identity provider cannot decide now; try again", status: http.StatusServiceUnavailable, id: step.ID, recorded: true,
		}
	default: // the same words for all, so that they tell nothing of the person
		return &refusal{code: "invalid_grant", reason: step.Reason, words: "the name or the password is wrong, or the person may not log in in this way", id: step.ID, recorded: true}
	}
	var factors login.Set
	for _, proof := range step.Proofs {
		factors |= login.SetOf(proof.Factor)
	}
	i.person = person{user: step.User, factors: uint32(factors), at: step.Since.Unix(), class: step.Class, login: step.ID}
	i.detail.amr = methods(step.Proofs)
	i.facts = facts{userID: step.UserID, name: step.Name, released: step.Released}
	if i.facts.name == "" {
		i.facts.name = step.User
	}
	return nil
}

// useAssertion uses up the id of an assertion, so that it proves its client once in the cluster (RFC 7523 section 3).
func (p *Provider) useAssertion(ctx context.Context, who *caller) *refusal {
	if who.jti == "" {
		return nil
	}
	switch err := p.engine.UseOnce(ctx, "assertion/"+who.client.Name+"/"+who.jti, who.until); {
	case err == nil:
		return nil
	case errors.Is(err, engine.ErrUsed):
		return invalidClient(trace.OIDCClientAssertion, "the client_assertion was used before")
	}
	r := refuse("temporarily_unavailable", trace.LogNotRecorded, "the identity provider cannot record that the client_assertion is used; try again")
	r.status = http.StatusServiceUnavailable
	return r
}

// refused records a refusal, so that `trine explain` tells it, and returns its id.
func (p *Provider) refused(x *web.Exchange, client *policy.Client, user string, r *refusal) uint64 {
	if r.recorded || r.id != 0 {
		return r.id
	}
	refusal := &engine.Refusal{Asking: asking(x, client), User: user, Reason: r.reason, What: r.code, Wrong: r.words}
	if client == nil {
		refusal.ClientID = x.R.URL.Query().Get("client_id")
	}
	r.id, r.recorded = p.engine.Refuse(refusal), true
	return r.id
}

// refuseClient answers a refusal to a client that calls an endpoint.
func (p *Provider) refuseClient(x *web.Exchange, who *caller, user string, r *refusal) {
	p.openOrigin(x)
	answerError(x.W, r, p.refused(x, who.client, user, r), strings.HasPrefix(x.R.Header.Get("Authorization"), "Basic "))
}

// impersonated returns who a person is for another client than that of the access token.
func (p *Provider) impersonated(x *web.Exchange, client *policy.Client, a *access) (person, detail, *refusal) {
	var kept detail
	_ = kept.decode(a.kept.Detail)
	who := personOf(a.kept)
	if _, wrong := p.known(x, client, a.user, a.kept.Factors, 0, true); wrong != nil {
		return who, kept, refuse("access_denied", wrong.reason, "the person may not use the service")
	}
	return who, kept, nil
}

// introspectRefresh tells of a refresh token; nil where it is none that counts.
func (p *Provider) introspectRefresh(x *web.Exchange, who *caller, text string) []byte {
	g, reason := p.engine.GrantOfRefresh(x.R.Context(), text)
	if reason != trace.OK || g == nil || g.Issuer != x.Issuer.Name {
		return nil
	}
	client := x.Cache.Client(g.Client)
	if client == nil || !mayKnow(who.wire, who.client.ClientID, nil, client.ClientID) {
		return nil
	}
	o := newObject(make([]byte, 0, 256))
	o.flag("active", true)
	o.given("scope", g.Scopes)
	o.text("client_id", client.ClientID)
	o.text("token_type", "refresh_token")
	o.number("exp", g.NotAfter)
	o.text("iss", x.Issuer.URL)
	return o.end()
}

// revokeAccess makes an access token void. It is done where the token is one of this identity provider, whoever asks; only that of the client who asks is made void.
func (p *Provider) revokeAccess(x *web.Exchange, who *caller, text string) (done bool, wrong *refusal) {
	a, ok := p.openAccess(x, text)
	if !ok {
		return false, nil
	}
	if a.client != who.client.Name || a.expired(p.now()) {
		return true, nil
	}
	t := a.asToken()
	if err := p.engine.RevokeToken(x.R.Context(), &t, ""); err != nil && !errors.Is(err, engine.ErrNoGrant) {
		return false, p.unrevoked(x, err)
	}
	return true, nil
}

// revokeRefresh ends the grant of a refresh token, and with it every access token of it (RFC 7009 section 2.1).
func (p *Provider) revokeRefresh(x *web.Exchange, who *caller, text string) (done bool, wrong *refusal) {
	g, _ := p.engine.GrantOfRefresh(x.R.Context(), text)
	if g == nil {
		return false, nil
	}
	if g.Client != who.client.Name {
		return true, nil
	}
	if err := p.engine.EndGrants(x.R.Context(), []uint64{g.Number}, event.GrantRevoked, ""); err != nil && !errors.Is(err, engine.ErrNoGrant) {
		return false, p.unrevoked(x, err)
	}
	return true, nil
}

func (p *Provider) unrevoked(x *web.Exchange, err error) *refusal {
	p.logger.Warn("OpenID Connect: a token could not be revoked", "identityProvider", x.Issuer.Name, "error", err)
	r := refuse("temporarily_unavailable", trace.LogNotRecorded, "the identity provider cannot record that the token is revoked; try again")
	r.status = http.StatusServiceUnavailable
	return r
}

// revokeSession ends the session of single sign-on of which a browser has that cookie, as the handbook has it.
func (p *Provider) revokeSession(x *web.Exchange, _ *caller, text string) (done bool, wrong *refusal) {
	s, ok := p.engine.Session(text)
	if !ok || x.Issuer.SSO == nil || s.Scope != x.Issuer.SSO.Scope {
		return false, nil
	}
	if err := p.engine.EndSessions(x.R.Context(), s.User, []uint64{s.Number}, ""); err != nil && !errors.Is(err, engine.ErrNoSession) {
		return false, p.unrevoked(x, err)
	}
	return true, nil
}

// sessionCookie gives a client a cookie with which the browser of its person is logged in (the handbook's /session_cookie).
func (p *Provider) sessionCookie(x *web.Exchange) {
	if p.preflight(x, "GET, POST") {
		return
	}
	if x.R.Method != http.MethodGet && x.R.Method != http.MethodPost {
		x.W.Header().Set("Allow", "GET, POST, OPTIONS")
		x.W.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	a, client, wire, ok := p.holder(x)
	if !ok {
		return
	}
	p.allowOrigin(x, wire)
	var wrong *refusal
	switch sso := x.Issuer.SSO; {
	case a.user == "" || a.kept == nil:
		wrong = refuse("invalid_request", trace.OIDCTokenInvalid, "the access token is the client's own, and of no person")
	case sso == nil || sso.CookieName == "":
		wrong = refuse("invalid_request", trace.ConfigBroken, "the identity provider names no cookie (session.ssoCookieName)")
	}
	if wrong == nil {
		_, wrong = p.known(x, client, a.user, a.kept.Factors, 0, true)
	}
	if wrong != nil {
		answerError(x.W, wrong, p.refused(x, client, a.user, wrong), false)
		return
	}
	who := asking(x, client)
	session, err := p.engine.SessionFor(x.R.Context(), &who, a.kept)
	if err != nil {
		answerError(x.W, p.ungranted(x, err), 0, false)
		return
	}
	o := newObject(make([]byte, 0, 256))
	o.text("cookie_domain", x.Issuer.SSO.CookieDomain)
	o.text("user", a.user)
	o.text("cookie_value", session.ID)
	o.text("cookie_name", x.Issuer.SSO.CookieName)
	answerJSON(x.W, http.StatusOK, o.end())
}
