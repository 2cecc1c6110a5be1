package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/policy"
	"trine/engine/state"
	"trine/engine/trace"
)

// Asking is a request of a client that is no login: for tokens, or by one.
type Asking struct {
	Protocol string        // "oidc"
	Cache    *policy.Cache // loaded once for the request; nil: the one in force
	Client   *policy.Client
	Source   netip.AddrPort
	Arrived  time.Time // zero: now
}

// GrantStart is a grant that begins.
type GrantStart struct {
	Asking
	// Code is the number of the code that is redeemed, which the grant gets, and CodeNotAfter when the code is over, which was counted from TermFrom; 0: there is none.
	Code         uint64
	CodeNotAfter time.Time

	User          string
	Scopes        []string
	Detail        []byte    // what the protocol keeps with it, up to state.MaxGrantDetail
	Session       uint64    // number of the session of single sign-on that it comes of; 0: none
	Offline       bool      // it outlives the person's logging out
	Refresh       bool      // there is a refresh token
	NotAfter      time.Time // counted from TermFrom
	Factors       login.Set // that the person has proved
	Authenticated time.Time // when
	Class         string    // authentication context
	Login         uint64    // decision id of the login
	Token         uint64    // id of the access token that goes with it; 0: none
}

// Granted is a grant that has begun or goes on.
type Granted struct {
	state.Grant
	Refresh  string // the refresh token; empty: there is none
	Index    uint64 // of the log: a node that has applied it knows the grant
	Decision uint64 // id, for `trine explain`
}

// What grants, tokens and consents are refused for, beside the errors of the log. Refused has them, and the reason.
var (
	ErrUsed      = errors.New("engine: it was used before")
	ErrReused    = errors.New("engine: the refresh token was used before")
	ErrNoGrant   = errors.New("engine: no such grant is live")
	ErrGrantOver = errors.New("engine: the grant is over")
	ErrDenied    = errors.New("engine: refused")
)

// Refused says why something was not granted. Err is one of the errors above, or of the log.
type Refused struct {
	Reason trace.Reason
	ID     uint64 // of the decision that is recorded; 0: none is
	Err    error
}

// Error implements error.
func (r *Refused) Error() string { return fmt.Sprintf("%v (%s)", r.Err, r.Reason) }

// Unwrap returns Err.
func (r *Refused) Unwrap() error { return r.Err }

// Unavailable reports whether it was refused for what passes by, such as that there is no leader: the client may try again.
func (r *Refused) Unavailable() bool {
	switch r.Reason {
	case trace.LogNoLeader, trace.LogNotRecorded, trace.LogBehind, trace.OIDCKeys:
		return true
	}
	return unanswerable(r.Reason)
}

// NewID returns an id for a decision, grant or token, which is never 0. It says nothing and is no secret.
func (e *Engine) NewID() uint64 { return e.pages.newID() }

// AppliedIndex returns the log index up to which this node has applied the log.
func (e *Engine) AppliedIndex() uint64 { return e.config.People.AppliedIndex() }

// Reaches waits, a short time, until this node has applied the log as far as an index, and reports whether it has.
func (e *Engine) Reaches(ctx context.Context, index uint64) bool { return e.reaches(ctx, index) }

// inquire makes the request that a decision about a client is recorded by. It goes back by told.
func (e *Engine) inquire(a *Asking, user string) *Request {
	r := e.pages.requests.Get().(*Request)
	r.Reset()
	r.Protocol, r.Cache, r.Client, r.Source, r.Arrived = a.Protocol, a.Cache, a.Client, a.Source, a.Arrived
	if r.Arrived.IsZero() {
		r.Arrived = e.clock()
	}
	if r.Client == nil {
		r.Client = new(policy.Client)
	}
	e.begin(r, e.pages.newID())
	r.token, r.work.late, r.work.traced = true, true, true
	if r.Client.Name != "" {
		e.admitClient(r)
	}
	if user != "" {
		r.Name = []byte(user)
		r.Decision.User = r.Name
	}
	return r
}

// told gives a request back.
func (e *Engine) told(r *Request) {
	if r.claims == nil {
		r.token = false
		e.pages.requests.Put(r)
	}
}

// deny records that nothing is granted, and says so.
func (e *Engine) deny(ctx context.Context, r *Request, reason trace.Reason, err error) *Refused {
	defer e.told(r)
	out := &Refused{Reason: reason, ID: r.Decision.ID, Err: err}
	if out.Unavailable() {
		r.discard(reason)
	} else {
		r.reject(reason)
	}
	if !r.waitsForRecord() {
		e.recordLate(r)
		return out
	}
	var b event.Builder
	var d event.DecidedView
	e.describe(r, &d)
	b.AddDecided(&d)
	if _, err := e.commit(ctx, &b); err != nil {
		e.missing.add(1, r.Arrived, r.Arrived, err)
		out.Reason, out.Err, out.ID = e.unable(err), err, 0
	}
	return out
}

// commit proposes a record and waits until it has taken effect.
func (e *Engine) commit(ctx context.Context, b *event.Builder) (Outcome, error) {
	o, err := e.pages.calls.propose(ctx, b.Bytes())
	if err == nil {
		err = o.failure()
	}
	return o, err
}

// unable returns the reason of an error of the log.
func (e *Engine) unable(err error) trace.Reason {
	if errors.Is(err, ErrUnavailable) && !e.config.Log.HasLeader() {
		return trace.LogNoLeader
	}
	return trace.LogNotRecorded
}

// accept adds the decision that something is granted to a record.
func (e *Engine) accept(r *Request, b *event.Builder) {
	r.Decision.Verdict, r.Decision.Reason = event.Accept, trace.OK
	var d event.DecidedView
	e.describe(r, &d)
	b.AddDecided(&d)
}

func grantKey(number uint64) uint64 {
	return event.StreamKey(event.StreamGrant, event.FormatID(number))
}

func userKey(name string) uint64 { return event.StreamKey(event.StreamUser, event.FoldName(name)) }

func grantStreams(user, client string, numbers ...uint64) []uint64 {
	streams := []uint64{userKey(user), event.StreamKey(event.StreamClient, client)}
	for _, n := range numbers {
		streams = append(streams, grantKey(n))
	}
	return streams
}

// StartGrant begins a grant, with its code redeemed where there is one, and returns once that is committed. The error is a *Refused: ErrUsed where the code was redeemed
// before, and the grant that it led to has ended by then.
func (e *Engine) StartGrant(ctx context.Context, g *GrantStart) (*Granted, error) {
	r := e.inquire(&g.Asking, g.User)
	number := g.Code
	if number == 0 {
		number = e.pages.newID()
	}
	if g.Code != 0 {
		if _, used := e.config.People.Grant(g.Code); used {
			return nil, e.codeReused(ctx, r, g)
		}
		if !e.now().Before(g.CodeNotAfter) {
			return nil, e.deny(ctx, r, trace.OIDCCodeExpired, ErrDenied)
		}
	}
	var secret []byte
	m := &event.GrantStarted{
		Grant: number, User: g.User, Client: r.Client.Name, Scopes: g.Scopes, Detail: g.Detail, Session: g.Session, Offline: g.Offline, NotAfterUnix: g.NotAfter.Unix(),
		Factors: uint32(g.Factors), AuthenticatedUnix: unix(g.Authenticated), Class: g.Class, Login: g.Login, Token: g.Token, Decision: r.Decision.ID,
	}
	if g.Code != 0 {
		m.CodeNotAfterUnix = g.CodeNotAfter.Unix()
	}
	if r.Client.Issuer != nil {
		m.IdentityProvider = r.Client.Issuer.Name
	}
	if g.Refresh {
		secret = random()
		hash := sha256.Sum256(secret)
		m.Refresh = hash[:]
	}
	r.trace.Add(trace.GrantBegun, event.FormatID(number), strings.Join(g.Scopes, " "))
	if g.Token != 0 {
		r.trace.Add(trace.TokenIssued, event.FormatID(g.Token), r.Client.Name)
	}
	var b event.Builder
	if err := b.Add(event.TypeGrantStarted, event.ClassSession, append(grantStreams(g.User, r.Client.Name, number), decisionKey(r.Decision.ID)), m); err != nil {
		return nil, e.deny(ctx, r, trace.OIDCLimit, fmt.Errorf("start a grant: %w", err))
	}
	e.accept(r, &b)
	o, err := e.pages.calls.propose(ctx, b.Bytes())
	switch {
	case err != nil || o.Err != nil:
		return nil, e.unstarted(ctx, r, errors.Join(err, o.Err))
	case o.Code != 0:
		return nil, e.notStarted(ctx, r, g, o)
	}
	begun := e.TermFrom().Unix()
	out := &Granted{
		Grant: state.Grant{
			Number: number, User: g.User, Client: m.Client, Issuer: m.IdentityProvider, Scopes: strings.Join(g.Scopes, " "), Detail: g.Detail, Session: g.Session,
			Offline: g.Offline, Started: begun, Used: begun, NotAfter: m.NotAfterUnix, Factors: m.Factors, Authenticated: m.AuthenticatedUnix,
			Class: g.Class, Login: g.Login, HasRefresh: g.Refresh,
		},
		Index: o.Index, Decision: r.Decision.ID,
	}
	e.told(r)
	if g.Refresh {
		if out.Refresh, err = e.sealRefresh(&refreshToken{index: o.Index, grant: number, secret: secret}); err != nil {
			return nil, &Refused{Reason: trace.OIDCKeys, Err: err}
		}
	}
	return out, nil
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// unstarted tells that the log did not take something.
func (e *Engine) unstarted(ctx context.Context, r *Request, err error) *Refused {
	r.trace.Add(trace.RecordRefused, err.Error(), "")
	return e.deny(ctx, r, e.unable(err), err)
}

// notStarted tells why the views found a grant void.
func (e *Engine) notStarted(ctx context.Context, r *Request, g *GrantStart, o Outcome) *Refused {
	r.trace.Cut(r.trace.Len() - 1)
	r.trace.Add(trace.RecordRefused, o.Detail, "")
	var u state.User
	_, begun := e.config.People.Grant(g.Code)
	switch {
	case g.Code != 0 && begun:
		return e.codeReused(ctx, r, g)
	case o.Code == event.CodeLimit:
		return e.deny(ctx, r, trace.OIDCLimit, ErrDenied)
	case !e.config.People.User(&u, []byte(g.User)):
		return e.deny(ctx, r, trace.UserUnknown, ErrDenied)
	case u.Inactive:
		return e.deny(ctx, r, trace.UserInactive, ErrDenied)
	case g.Code != 0 && !later(e.now(), e.config.People.Time()).Before(g.CodeNotAfter):
		return e.deny(ctx, r, trace.OIDCCodeExpired, ErrDenied)
	case o.Code == event.CodeMissing:
		return e.deny(ctx, r, trace.ClientUnknown, ErrDenied)
	}
	return e.deny(ctx, r, trace.OIDCSessionEnded, ErrDenied)
}

// codeReused ends the grant that a code led to which is presented once more (RFC 6749 section 4.1.2).
func (e *Engine) codeReused(ctx context.Context, r *Request, g *GrantStart) *Refused {
	return e.reused(ctx, r, g.Code, event.GrantCodeReused, trace.OIDCCodeUsed, ErrUsed)
}

// reused ends a grant of which something was presented that had been used up. That is committed before anybody is told.
func (e *Engine) reused(ctx context.Context, r *Request, number uint64, cause event.GrantEnd, reason trace.Reason, sentinel error) *Refused {
	err := e.EndGrants(ctx, []uint64{number}, cause, "")
	if err != nil && !errors.Is(err, ErrNoGrant) {
		return e.unstarted(ctx, r, err)
	}
	r.trace.Add(trace.GrantEnded, event.FormatID(number), cause.String())
	return e.deny(ctx, r, reason, sentinel)
}

// over returns why a grant does not count, which it does not.
func (e *Engine) over(r *Request, g *state.Grant) trace.Reason {
	why := g.Why(e.now().Unix())
	words := why.String()
	if g.EndedBy != "" {
		words += ", by " + g.EndedBy
	}
	if r != nil {
		r.trace.Add(trace.GrantVoid, event.FormatID(g.Number), words)
	}
	if why == event.GrantOverLifetime {
		return trace.OIDCGrantExpired
	}
	return trace.OIDCGrantOver
}

// Grant returns the grant of that number, also one that is over and is remembered.
func (e *Engine) Grant(number uint64) (state.Grant, bool) { return e.config.People.Grant(number) }

// Grants returns the grants of a user, those that are over and are remembered too, the one that was used last first.
func (e *Engine) Grants(user string) []state.Grant { return e.config.People.GrantsOf(user) }

// GrantsOf returns up to limit grants that count of a service provider, behind that of a number and in the order of numbers. It takes time for all grants.
func (e *Engine) GrantsOf(client string, after uint64, limit int) []state.Grant {
	return e.config.People.GrantsPage(after, limit, client, false, e.now().Unix())
}

// EndGrants ends grants, and returns once that is committed: no token of theirs is good from then on, wherever it is presented. By is the administrator who wants it, empty for
// everybody else, whom the cause names. ErrNoGrant: none of them is live.
func (e *Engine) EndGrants(ctx context.Context, numbers []uint64, cause event.GrantEnd, by string) error {
	var streams []uint64
	for _, n := range numbers {
		streams = append(streams, grantKey(n))
		if g, ok := e.config.People.Grant(n); ok {
			for _, key := range grantStreams(g.User, g.Client) {
				if !slices.Contains(streams, key) {
					streams = append(streams, key)
				}
			}
		}
	}
	return e.proposeOne(ctx, event.TypeGrantsEnded, event.ClassSession, streams, &event.GrantsEnded{Grants: numbers, Cause: uint32(cause), By: by}, ErrNoGrant)
}

// Token is an access token as far as the engine asks whether it counts.
type Token struct {
	ID       uint64
	Grant    uint64 // 0: the client's own
	Client   string // service provider
	User     string // empty: the client's own
	Issued   int64  // unix seconds, by the clock
	NotAfter int64  // unix seconds, by the clock
	Index    uint64 // of the log, at which it exists, and from which on its grant can be found; 0: it is not known
}

// Counts returns the grant of an access token, and trace.OK where the token counts now: it has not expired, was not revoked, its grant is live, and nobody has made void what was
// issued to its client or for its person. Whether the person is active, and may still come in, Claims says.
func (e *Engine) Counts(ctx context.Context, t *Token) (g state.Grant, reason trace.Reason) {
	people, now := e.config.People, e.now().Unix()
	if now >= t.NotAfter {
		return g, trace.OIDCTokenExpired
	}
	if t.Grant > 0 && t.Index > 0 && people.AppliedIndex() < t.Index && !e.reaches(ctx, t.Index) {
		return g, trace.LogBehind
	}
	if people.TokenRevoked(t.ID) {
		return g, trace.OIDCTokenRevoked
	}
	if t.Grant == 0 {
		if v := people.VoidedClient(t.Client); v.Covers(t.Index, t.Issued) {
			return g, trace.OIDCTokenRevoked
		}
		return g, trace.OK
	}
	g, known := people.Grant(t.Grant)
	switch {
	case !known || g.Client != t.Client:
		return g, trace.OIDCGrantUnknown
	case !g.Live(now):
		return g, e.over(nil, &g)
	}
	return g, trace.OK
}

// TokenRecord is tokens without a grant of their own that are issued: a client's own, or others of a grant that there is.
type TokenRecord struct {
	Asking
	User     string // empty: the client's own
	Grant    uint64 // 0: the client's own
	Token    uint64
	Scopes   []string
	NotAfter time.Time
}

// RecordToken records that a token is issued which no other method records, and returns the id of the decision, and the index of the log at which the token exists, once that is
// committed. The error is a *Refused.
func (e *Engine) RecordToken(ctx context.Context, x *TokenRecord) (decision, index uint64, err error) {
	r := e.inquire(&x.Asking, x.User)
	if x.NotAfter.Sub(e.clock()) > state.VoidedFor*time.Second {
		return 0, 0, e.deny(ctx, r, trace.OIDCLimit, fmt.Errorf("%w: a token cannot be good for more than %d days", ErrDenied, state.VoidedFor/86400))
	}
	if x.Grant != 0 {
		r.trace.Add(trace.GrantGoesOn, event.FormatID(x.Grant), "0")
	}
	r.trace.Add(trace.ScopesGranted, strings.Join(x.Scopes, " "), r.Client.Name)
	r.trace.Add(trace.TokenIssued, event.FormatID(x.Token), r.Client.Name)
	var b event.Builder
	e.accept(r, &b)
	o, err := e.commit(ctx, &b)
	if err != nil {
		return 0, 0, e.unstarted(ctx, r, err)
	}
	decision = r.Decision.ID
	e.told(r)
	return decision, o.Index, nil
}

// RevokeToken makes one access token void, and returns once that is committed. By is the administrator who wants it, empty for the client.
func (e *Engine) RevokeToken(ctx context.Context, t *Token, by string) error {
	streams := []uint64{event.StreamKey(event.StreamClient, t.Client)}
	if t.User != "" {
		streams = append(streams, userKey(t.User))
	}
	if t.Grant != 0 {
		streams = append(streams, grantKey(t.Grant))
	}
	ahead := e.TermFrom().Sub(e.now()) // the token ends by the clock, and what is remembered of it by the time of the log
	return e.proposeOne(ctx, event.TypeTokenRevoked, event.ClassSession, streams, &event.TokenRevoked{
		Token: t.ID, NotAfterUnix: t.NotAfter + int64((ahead+time.Second-1)/time.Second), Client: t.Client, User: t.User, By: by,
	}, ErrNoGrant)
}

// VoidTokens makes void all that was issued until now to a service provider or, where none is named, for a user.
func (e *Engine) VoidTokens(ctx context.Context, client, user, by string) error {
	key := event.StreamKey(event.StreamClient, client)
	if client == "" {
		key = userKey(user)
	}
	return e.proposeOne(ctx, event.TypeTokensVoided, event.ClassSession, []uint64{key}, &event.TokensVoided{Client: client, User: user, By: by}, ErrNoGrant)
}

// UseOnce uses up something that is good once until a time, such as the id of an assertion, and returns once that is committed. ErrUsed: it was used before, or its time is over.
// Keys begin with what they are about and a slash.
func (e *Engine) UseOnce(ctx context.Context, key string, notAfter time.Time) error {
	var b event.Builder
	if err := b.Add(event.TypeConsumed, event.ClassSession, nil, &event.Consumed{Key: key, NotAfterUnix: notAfter.Unix()}); err != nil {
		return err
	}
	o, err := e.pages.calls.propose(ctx, b.Bytes())
	switch {
	case err != nil:
		return err
	case o.Code != 0:
		return fmt.Errorf("%w: %s", ErrUsed, o.Detail)
	}
	return o.Err
}

// Refusal is a request that a protocol refused by itself.
type Refusal struct {
	Asking
	ClientID string // as it came, where there is no Client
	User     string // as far as he is known
	Name     []byte // the login name as it came
	Reason   trace.Reason
	What     string // in words for the trace: what was looked at, and what is wrong with it
	Wrong    string
}

// Refuse records a refusal that a protocol made, so that it is explained like every other decision, and returns the decision's id. It does not wait.
func (e *Engine) Refuse(x *Refusal) uint64 {
	r := e.inquire(&x.Asking, x.User)
	if len(x.Name) > 0 {
		r.Name = x.Name
	}
	if x.Client == nil && x.ClientID != "" {
		r.trace.Add(trace.ProtocolFound, "client_id", shown(x.ClientID, 100))
	}
	if x.What != "" || x.Wrong != "" {
		r.trace.Add(trace.ProtocolFound, x.What, x.Wrong)
	}
	r.reject(x.Reason)
	id := r.Decision.ID
	e.recordLate(r)
	e.told(r)
	return id
}

// PasswordGrant decides a login by a name and a password alone, for a client that has asked the person for both (RFC 6749 section 4.3): there is no session, and nobody who could be
// asked for another factor, so where one is needed the login is refused.
func (e *Engine) PasswordGrant(ctx context.Context, round *Round) Step {
	own := *round
	own.Factor, own.NoSession = login.Password, true
	s := e.Converse(ctx, &own)
	if s.Verdict == event.Challenge {
		if s.Verdict, s.State = event.Reject, nil; s.Reason == trace.OK {
			s.Reason = trace.FactorNeeded
		}
	}
	return s
}

// SessionFor begins a session of single sign-on for a browser on the strength of a grant, as if the person had logged in there by the factors of the grant. The error is a *Refused.
func (e *Engine) SessionFor(ctx context.Context, a *Asking, g *state.Grant) (SessionGrant, error) {
	r := e.inquire(a, g.User)
	issuer := r.Client.Issuer
	if issuer == nil || issuer.SSO == nil {
		return SessionGrant{}, e.deny(ctx, r, trace.ConfigBroken, ErrDenied)
	}
	now := e.now()
	if !g.Live(now.Unix()) {
		return SessionGrant{}, e.deny(ctx, r, e.over(r, g), ErrGrantOver)
	}
	id, number := random(), e.pages.newID()
	hash := sha256.Sum256(id)
	until := e.TermFrom().Add(issuer.SSO.Absolute).Truncate(time.Second)
	m := &event.SsoStarted{
		Session: number, Hash: hash[:], User: g.User, Scope: issuer.SSO.Scope, IdentityProvider: issuer.Name, Idle: uint32(issuer.SSO.Idle / time.Second),
		NotAfterUnix: until.Unix(), Source: AppendAddr(nil, a.Source.Addr()), Login: g.Login,
	}
	for f := login.Password; f <= login.Push; f++ {
		if login.Set(g.Factors).Has(f) {
			m.Proofs = append(m.Proofs, &event.SsoStarted_Proof{Factor: uint32(f), AtUnix: g.Authenticated, Login: g.Login})
		}
	}
	r.trace.Add(trace.SSOBegun, event.FormatID(number), "")
	var b event.Builder
	streams := append(grantStreams(g.User, g.Client, g.Number), ssoKey(number), decisionKey(r.Decision.ID))
	if err := b.Add(event.TypeSSOStarted, event.ClassSession, streams, m); err != nil {
		return SessionGrant{}, e.deny(ctx, r, trace.ConfigBroken, err)
	}
	e.accept(r, &b)
	o, err := e.pages.calls.propose(ctx, b.Bytes())
	switch {
	case err != nil || o.Err != nil:
		return SessionGrant{}, e.unstarted(ctx, r, errors.Join(err, o.Err))
	case o.Code != 0:
		r.trace.Add(trace.RecordRefused, o.Detail, "")
		return SessionGrant{}, e.deny(ctx, r, trace.UserInactive, ErrDenied)
	}
	e.told(r)
	return SessionGrant{Number: number, ID: formatSessionID(o.Index, id), NotAfter: until, Began: true}, nil
}

// proposeOne proposes one event by itself, and returns once it has taken effect. Missing is returned where what it is about is not there.
func (e *Engine) proposeOne(ctx context.Context, t event.Type, class event.Class, streams []uint64, m proto.Message, missing error) error {
	var b event.Builder
	if err := b.Add(t, class, streams, m); err != nil {
		return err
	}
	o, err := e.pages.calls.propose(ctx, b.Bytes())
	switch {
	case err != nil:
		return err
	case o.Code == event.CodeMissing:
		return fmt.Errorf("%w: %s", missing, o.Detail)
	case o.Code != 0:
		return fmt.Errorf("%w: %s", ErrDenied, o.Detail)
	}
	return o.Err
}
