package engine

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/state"
	"trine/engine/trace"
)

// keepSession has the session recorded that a login leads to: a new one, the browser's under another id where anything was proved, or that the browser's was
// used. It returns true if the round waits for that.
func (e *Engine) keepSession(r *Request) (waits bool) {
	d, now := r.dialogue, e.now()
	if d.round.NoSession {
		e.grant(r)
		return false
	}
	b := &r.work.builder
	b.Reset()
	var err error
	switch {
	case d.session == nil || d.alone || !e.goesOn(r):
		err = e.beginSession(r)
	case r.work.challengeless(d):
		if !d.due(r, now.Unix()) {
			d.grant = SessionGrant{Number: d.session.Number, NotAfter: time.Unix(d.session.NotAfter, 0)}
			r.trace.Add(trace.SSOVisited, event.FormatID(d.session.Number), r.Client.Name)
			e.grant(r)
			return false
		}
		d.grant = SessionGrant{Number: d.session.Number, NotAfter: time.Unix(d.session.NotAfter, 0)}
		err = e.addVisit(r, d.session.Number, d.hash)
	default:
		err = e.rotateSession(r)
	}
	if err == nil {
		err = e.addTrusted(r)
	}
	if err == nil {
		r.work.stage = atSession
		err = e.waiting.propose(b.Bytes(), r)
	}
	if err != nil {
		e.unrecorded(r, err)
		return false
	}
	return true
}

// challengeless reports whether a login was done by what the session had, and no factor was proved or stood for since it began.
func (w *work) challengeless(d *dialogue) bool {
	return len(d.state.Proved) == 0 && w.proof.asked == login.NoFactor && d.standing.Device == login.NoFactor
}

// goesOn reports whether the session of the browser is that of the person who has logged in.
func (e *Engine) goesOn(r *Request) bool {
	return event.FoldName(r.dialogue.session.User) == event.FoldName(string(r.user.Name))
}

// due reports whether there is anything to record of a session that was used and nothing more: what it visits anew, or that it is in use.
func (d *dialogue) due(r *Request, now int64) bool {
	x := d.session
	for _, v := range x.Visits {
		if v.Client == r.Client.Name && v.Issuer == r.Client.Issuer.Name && v.Protocol == r.Protocol && string(v.Reference) == string(d.round.Reference) {
			return now >= x.Used+int64(state.SSOGrain(x.Idle))
		}
	}
	return true
}

// beginSession proposes a new session, and the end of that of another person which the browser had.
func (e *Engine) beginSession(r *Request) error {
	d, b := r.dialogue, &r.work.builder
	number := rand.Uint64() | 1
	d.grant = SessionGrant{Number: number, NotAfter: e.TermFrom().Add(r.Client.Issuer.SSO.Absolute).Truncate(time.Second), Began: true}
	r.trace.Add(trace.SSOBegun, event.FormatID(number), "")
	if err := e.addSession(r, nil); err != nil {
		return err
	}
	if d.session != nil && !d.alone {
		return b.Add(event.TypeSSOEnded, event.ClassSession, []uint64{ssoKey(d.session.Number), event.StreamKey(event.StreamUser, event.FoldName(d.session.User))},
			&event.SsoEnded{Sessions: []uint64{d.session.Number}, Cause: uint32(event.SSOLoggedOut)})
	}
	return nil
}

// rotateSession proposes that the session goes on under another id. A login with every factor anew makes it last as long again.
func (e *Engine) rotateSession(r *Request) error {
	d := r.dialogue
	d.grant = SessionGrant{Number: d.session.Number, NotAfter: time.Unix(d.session.NotAfter, 0)}
	if d.standing.Fresh {
		d.grant.NotAfter = e.TermFrom().Add(r.Client.Issuer.SSO.Absolute).Truncate(time.Second)
	}
	r.trace.Add(trace.SSOGoesOn, event.FormatID(d.session.Number), "")
	return e.addSession(r, d.hash[:])
}

func ssoKey(number uint64) uint64 { return event.StreamKey(event.StreamSSO, event.FormatID(number)) }

// addSession adds the session under a new id, and its visit.
func (e *Engine) addSession(r *Request, replaces []byte) error {
	d := r.dialogue
	d.id = random()
	hash := sha256.Sum256(d.id)
	m := &event.SsoStarted{
		Session: d.grant.Number, Hash: hash[:], Replaces: replaces, User: string(r.user.Name), Scope: r.Client.Issuer.SSO.Scope,
		IdentityProvider: r.Client.Issuer.Name, Idle: uint32(r.Client.Issuer.SSO.Idle / time.Second), NotAfterUnix: d.grant.NotAfter.Unix(),
		Source: AppendAddr(nil, r.Source.Addr()), Login: r.Decision.ID,
	}
	for _, p := range d.standing.Proofs {
		by := p.Login
		if by == 0 {
			by = r.Decision.ID
		}
		m.Proofs = append(m.Proofs, &event.SsoStarted_Proof{Factor: uint32(p.Factor), AtUnix: p.At.Unix(), Login: by, Device: p.Device})
	}
	if replaces != nil { // what this login did not count, such as for its age, still counts for others
		for _, p := range d.session.Proofs {
			if !slices.ContainsFunc(d.standing.Proofs, func(o login.Proven) bool { return uint32(o.Factor) == p.Factor }) {
				m.Proofs = append(m.Proofs, &event.SsoStarted_Proof{Factor: p.Factor, AtUnix: p.At, Login: p.Login, Device: p.Device})
			}
		}
	}
	if d.standing.Device != login.NoFactor {
		m.Device = d.trusted.ID
	}
	if err := r.work.builder.Add(event.TypeSSOStarted, event.ClassSession, e.sessionStreams(r), m); err != nil {
		return err
	}
	return e.addVisit(r, d.grant.Number, hash)
}

func (e *Engine) sessionStreams(r *Request) []uint64 {
	return []uint64{
		event.StreamKey(event.StreamUser, event.FoldName(string(r.user.Name))), event.StreamKey(event.StreamClient, r.Client.Name),
		decisionKey(r.Decision.ID), ssoKey(r.dialogue.grant.Number),
	}
}

// addVisit adds that the session visits the service provider.
func (e *Engine) addVisit(r *Request, number uint64, hash state.SSOHash) error {
	r.trace.Add(trace.SSOVisited, event.FormatID(number), r.Client.Name)
	return r.work.builder.Add(event.TypeSSOUsed, event.ClassSession, e.sessionStreams(r), &event.SsoUsed{
		Session: number, Hash: hash[:], Client: r.Client.Name, IdentityProvider: r.Client.Issuer.Name, Protocol: r.Protocol,
		Reference: r.dialogue.round.Reference, Login: r.Decision.ID,
	})
}

// addTrusted adds that the device is a trusted one from now on, where that was asked for and is allowed: after a second factor that the person has proved.
func (e *Engine) addTrusted(r *Request) error {
	d := r.dialogue
	if d.round.Trust == "" {
		return nil
	}
	rules := r.Client.Issuer.TrustedDevices
	why := ""
	switch {
	case rules == nil:
		why = "the identity provider does not allow it"
	case d.standing.Way.Len() < 2:
		why = "the login had no second factor"
	case d.stood():
		why = "a trusted device stood for the second factor"
	}
	if why != "" {
		r.trace.Add(trace.DeviceNotTrusted, why, "")
		return nil
	}
	d.secret = random()
	hash := sha256.Sum256(d.secret)
	until := e.TermFrom().Add(rules.Lifetime).Truncate(time.Second)
	d.device = DeviceGrant{ID: event.FormatID(rand.Uint64()), NotAfter: until}
	label := shown(d.round.Trust, 100)
	r.trace.Add(trace.DeviceTrusted, label, until.UTC().Format(time.DateTime))
	return r.work.builder.Add(event.TypeDeviceTrusted, event.ClassIdentity, e.sessionStreams(r), &event.DeviceTrusted{
		User: string(r.user.Name), Id: d.device.ID, Hash: hash[:], Label: label, NotAfterUnix: until.Unix(), Limit: uint32(rules.Limit),
		Source: AppendAddr(nil, r.Source.Addr()), Login: r.Decision.ID,
	})
}

// stood reports whether a trusted device stood for a factor of the way, now or when the session came to it.
func (d *dialogue) stood() bool {
	for _, p := range d.standing.Proofs {
		if p.Device && d.standing.Way.Has(p.Factor) {
			return true
		}
	}
	return false
}

// kept goes on once the session is recorded, or could not be. It returns true if the round waits once more.
func (e *Engine) kept(r *Request, o Outcome) (waits bool) {
	d := r.dialogue
	switch {
	case o.Err != nil:
		e.unrecorded(r, o.Err)
		return false
	case o.Code != 0 && d.session != nil && !d.alone && !r.work.challengeless(d): // it ended, or another login went on with it: what was proved stands
		r.trace.Add(trace.SSOVoid, o.Detail, "")
		d.alone = true
		return e.keepSession(r)
	case o.Code != 0 && d.session != nil && !d.alone:
		r.trace.Add(trace.SSOVoid, o.Detail, "")
		r.reject(trace.LoginRequired)
		return false
	case o.Code != 0:
		r.trace.Add(trace.RecordRefused, o.Detail, "")
		r.reject(trace.UserInactive)
		return false
	}
	if d.id != nil {
		d.grant.ID = formatSessionID(o.Index, d.id)
	}
	if d.secret != nil {
		d.device.Secret = base64.RawURLEncoding.EncodeToString(d.secret)
	}
	e.grant(r)
	r.work.traced = r.work.traced || d.renewed
	return false
}

// Session returns the session of single sign-on that counts, of which a browser has the id, and false if there is none. It is for what a front does beside
// logins, such as to log out.
func (e *Engine) Session(id string) (state.SSO, bool) {
	_, hash, ok := parseSessionID(id)
	if !ok {
		return state.SSO{}, false
	}
	x, ok := e.config.People.SSO(hash)
	return x, ok && x.Live(e.now().Unix())
}

// TouchSession says that a session is in use, without a login. It is recorded once in a while (state.SSOGrain), and nobody waits for it.
func (e *Engine) TouchSession(x *state.SSO) {
	if e.now().Unix() < x.Used+int64(state.SSOGrain(x.Idle)) {
		return
	}
	var b event.Builder
	streams := []uint64{event.StreamKey(event.StreamUser, event.FoldName(x.User)), ssoKey(x.Number)}
	if err := b.Add(event.TypeSSOUsed, event.ClassSession, streams, &event.SsoUsed{Session: x.Number, Hash: x.Hash[:]}); err != nil {
		violated("an event that can be encoded", "%v", err)
	}
	_ = e.pages.touches.Propose(b.Bytes(), 0) // what is not recorded now is at the next use
}

// ErrNoSession means that none of the sessions that were to end is live.
var ErrNoSession = errors.New("engine: no such session of single sign-on is live")

// EndSessions ends sessions of single sign-on of one person, and returns once that is committed: nobody can use them from then on, wherever he asks. By is the administrator who wants it,
// empty for the person himself.
func (e *Engine) EndSessions(ctx context.Context, user string, numbers []uint64, by string) error {
	cause := event.SSOLoggedOut
	if by != "" {
		cause = event.SSOClosed
	}
	streams := []uint64{event.StreamKey(event.StreamUser, event.FoldName(user))}
	for _, n := range numbers {
		streams = append(streams, ssoKey(n))
	}
	return e.proposeOne(ctx, event.TypeSSOEnded, event.ClassSession, streams, &event.SsoEnded{Sessions: numbers, Cause: uint32(cause), By: by}, ErrNoSession)
}

// SessionsEnded passes on that sessions of single sign-on have ended by a record of this node, whoever wanted it (state.State.OnSSOEnded).
func (e *Engine) SessionsEnded(ended []state.SSO) {
	if e.config.SessionsEnded != nil {
		e.config.SessionsEnded(ended)
	}
}

// calls are proposals that a goroutine waits for.
type calls struct {
	to    Proposer
	slots *slots[call]
}

type call struct{ done chan Outcome }

func newCalls(e *Engine) *calls {
	c := &calls{slots: newSlots[call](e.config.Waiting)}
	c.to = e.config.Log.Proposer(c)
	return c
}

// Committed implements Completion.
func (c *calls) Committed(token uint64, o Outcome) { c.slots.take(token).done <- o }

// propose proposes a record and waits for its outcome. Where the context ends before, it may have taken effect.
func (c *calls) propose(ctx context.Context, record []byte) (Outcome, error) {
	w := &call{done: make(chan Outcome, 1)}
	token, ok := c.slots.put(w)
	if !ok {
		return Outcome{}, ErrBusy
	}
	if err := c.to.Propose(record, token); err != nil {
		c.slots.take(token)
		return Outcome{}, err
	}
	select {
	case o := <-w.done:
		return o, nil
	case <-ctx.Done():
		return Outcome{}, ctx.Err()
	}
}
