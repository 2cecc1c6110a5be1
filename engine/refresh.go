package engine

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"trine/engine/event"
	"trine/engine/state"
	"trine/engine/trace"
)

// Refresh is a refresh token that is presented.
type Refresh struct {
	Asking
	Token    string    // the refresh token
	NotAfter time.Time // of the grant, from then on; counted from TermFrom
	Access   uint64    // id of the access token that goes with it
	// Check is asked before the token is used up, with the grant; what is not trace.OK refuses, with words for the trace. It may be nil.
	Check func(*state.Grant) (trace.Reason, string)
}

// RefreshGrant uses a refresh token up for another one, and returns once that is committed. The error is a *Refused: ErrReused where the token was used before, and the grant
// has ended by then; ErrGrantOver, ErrNoGrant.
func (e *Engine) RefreshGrant(ctx context.Context, x *Refresh) (*Granted, error) {
	r := e.inquire(&x.Asking, "")
	g, t, reason := e.openRefresh(ctx, r, x.Token)
	if g != nil {
		r.Name = []byte(g.User)
		r.Decision.User = r.Name
	}
	switch {
	case reason == trace.OIDCRefreshReused && g.Client == r.Client.Name:
		return nil, e.reused(ctx, r, g.Number, event.GrantTokenReused, reason, ErrReused)
	case g != nil && g.Client != r.Client.Name:
		r.trace.Add(trace.GrantVoid, event.FormatID(g.Number), "it is of the service provider "+g.Client)
		return nil, e.deny(ctx, r, trace.OIDCRefresh, ErrNoGrant)
	case reason == trace.OIDCGrantOver || reason == trace.OIDCGrantExpired:
		return nil, e.deny(ctx, r, reason, ErrGrantOver)
	case reason != trace.OK:
		return nil, e.deny(ctx, r, reason, ErrNoGrant)
	}
	if x.Check != nil {
		if reason, words := x.Check(g); reason != trace.OK {
			r.trace.Add(trace.GrantVoid, event.FormatID(g.Number), words)
			return nil, e.deny(ctx, r, reason, ErrDenied)
		}
	}
	secret := random()
	old, hash := sha256.Sum256(t.secret), sha256.Sum256(secret)
	m := &event.GrantRefreshed{
		Grant: g.Number, Generation: t.generation + 1, Replaces: old[:], Refresh: hash[:], NotAfterUnix: x.NotAfter.Unix(), Token: x.Access, Decision: r.Decision.ID,
	}
	r.trace.AddNumber(trace.GrantGoesOn, event.FormatID(g.Number), uint64(m.Generation))
	if x.Access != 0 {
		r.trace.Add(trace.TokenIssued, event.FormatID(x.Access), r.Client.Name)
	}
	var b event.Builder
	if err := b.Add(event.TypeGrantRefreshed, event.ClassSession, append(grantStreams(g.User, g.Client, g.Number), decisionKey(r.Decision.ID)), m); err != nil {
		return nil, e.deny(ctx, r, trace.OIDCLimit, err)
	}
	e.accept(r, &b)
	o, err := e.pages.calls.propose(ctx, b.Bytes())
	switch {
	case err != nil || o.Err != nil:
		return nil, e.unstarted(ctx, r, errors.Join(err, o.Err))
	case o.Code != 0:
		return nil, e.notRefreshed(ctx, r, g, o)
	}
	out := &Granted{Grant: *g, Index: o.Index, Decision: r.Decision.ID}
	out.Generation, out.NotAfter, out.Used = m.Generation, m.NotAfterUnix, e.TermFrom().Unix()
	e.told(r)
	if out.Refresh, err = e.sealRefresh(&refreshToken{index: o.Index, grant: g.Number, generation: m.Generation, secret: secret}); err != nil {
		return nil, &Refused{Reason: trace.OIDCKeys, Err: err}
	}
	return out, nil
}

// notRefreshed tells why the views found a refresh void.
func (e *Engine) notRefreshed(ctx context.Context, r *Request, g *state.Grant, o Outcome) *Refused {
	r.trace.Add(trace.RecordRefused, o.Detail, "")
	var u state.User
	now, known := e.config.People.Grant(g.Number)
	switch {
	case known && now.EndedAt == 0 && now.Generation != g.Generation: // somebody was faster with the same token
		return e.reused(ctx, r, g.Number, event.GrantTokenReused, trace.OIDCRefreshReused, ErrReused)
	case !e.config.People.User(&u, []byte(g.User)):
		return e.deny(ctx, r, trace.UserUnknown, ErrNoGrant)
	case u.Inactive:
		return e.deny(ctx, r, trace.UserInactive, ErrDenied)
	case !known:
		return e.deny(ctx, r, trace.OIDCGrantUnknown, ErrNoGrant)
	}
	return e.deny(ctx, r, e.over(r, &now), ErrGrantOver)
}

// refreshContext is what refresh tokens are bound to. It is for ever.
const refreshContext = "trine/refresh/1"

// refreshToken is what a refresh token says. It is sealed, so that nobody can make one of an older generation up and have a grant ended by it.
type refreshToken struct {
	index, grant uint64
	generation   uint32
	secret       []byte // 32 bytes
}

const refreshSize = 8 + 8 + 4 + 32

func (e *Engine) sealRefresh(t *refreshToken) (string, error) {
	plain := binary.BigEndian.AppendUint64(make([]byte, 0, refreshSize), t.index)
	plain = binary.BigEndian.AppendUint64(plain, t.grant)
	plain = append(binary.BigEndian.AppendUint32(plain, t.generation), t.secret...)
	sealed, err := e.config.Keyring.Seal(nil, plain, []byte(refreshContext))
	if err != nil {
		return "", fmt.Errorf("seal a refresh token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// openRefresh reads a refresh token and finds its grant, which is nil where there is none. The reason is OK for the newest token of a grant that counts.
func (e *Engine) openRefresh(ctx context.Context, r *Request, text string) (*state.Grant, *refreshToken, trace.Reason) {
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(text) > 256 {
		return nil, nil, trace.OIDCRefresh
	}
	plain, err := e.config.Keyring.Open(make([]byte, 0, refreshSize), sealed, []byte(refreshContext))
	if err != nil || len(plain) != refreshSize {
		return nil, nil, trace.OIDCRefresh
	}
	t := &refreshToken{
		index: binary.BigEndian.Uint64(plain), grant: binary.BigEndian.Uint64(plain[8:]), generation: binary.BigEndian.Uint32(plain[16:]), secret: plain[20:],
	}
	if !e.reaches(ctx, t.index) {
		return nil, nil, trace.LogBehind
	}
	g, known := e.config.People.Grant(t.grant)
	hash := sha256.Sum256(t.secret)
	switch {
	case !known:
		return nil, nil, trace.OIDCGrantUnknown
	case g.EndedAt != 0 || !g.Live(e.now().Unix()):
		return &g, t, e.over(r, &g)
	case !g.HasRefresh || t.generation > g.Generation:
		return nil, nil, trace.OIDCRefresh
	case t.generation < g.Generation:
		return &g, t, trace.OIDCRefreshReused
	case hash != g.Refresh:
		return nil, nil, trace.OIDCRefresh
	}
	return &g, t, trace.OK
}

// GrantOfRefresh returns the grant of a refresh token, for whoever tells of it or revokes it, and uses nothing up. The reason is trace.OK where the token is the newest one of a
// grant that counts; the grant is nil where there is none.
func (e *Engine) GrantOfRefresh(ctx context.Context, token string) (*state.Grant, trace.Reason) {
	g, _, reason := e.openRefresh(ctx, nil, token)
	return g, reason
}
