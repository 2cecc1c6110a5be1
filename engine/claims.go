package engine

import (
	"context"
	"time"

	"trine/engine/attribute"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/trace"
)

// ClaimsRequest asks what a service provider may know of a person now.
type ClaimsRequest struct {
	Asking
	User    string
	Factors login.Set // by which he has logged in
	Index   uint64    // of the log, from which on he can be found as he was; 0: whatever is known
	// Quiet leaves an answer that lets something be known unrecorded, where it is part of a decision that is recorded by itself. What is refused is recorded always.
	Quiet bool
	// Brief asks for no attributes, but only whether the person may still come in, and under which name.
	Brief bool
}

// Claims is what a service provider may know of a person.
type Claims struct {
	ID       uint64 // of the decision; 0: none was recorded
	User     string
	UserID   uint64
	Name     string // the user name that the service provider is told
	Released []attribute.Released
	Roles    []string // that count for the person now, as NAME@SYSTEM

	request *Request
	engine  *Engine
}

// Close gives back what Released is in. It need not be called; Released is not to be read after it.
func (c *Claims) Close() {
	if r := c.request; r != nil {
		c.request, c.Released = nil, nil
		r.claims, r.token = nil, false
		c.engine.pages.requests.Put(r)
	}
}

// claims is a request for claims while it is decided.
type claims struct {
	of   *ClaimsRequest
	done chan struct{}
	r    *Request
}

// silent reports whether the outcome is not recorded.
func (c *claims) silent() bool { return c.of.Quiet && c.r.Decision.Verdict == event.Accept }

// Decided implements Delivery.
func (c *claims) Decided(*Request) { close(c.done) }

// Claims says what a service provider may know of a person now: the attributes that policies release to it, and the name that it is told. It refuses, with the reason and the decision's
// id, where the person is gone or switched off, or may not use the service provider any more. It waits for scripts where what is released needs them.
func (e *Engine) Claims(ctx context.Context, x *ClaimsRequest) (Claims, trace.Reason) {
	r := e.inquire(&x.Asking, x.User)
	c := &claims{of: x, done: make(chan struct{}), r: r}
	r.claims, r.Done, r.Deadline = c, c, time.Time{}
	if deadline, ok := ctx.Deadline(); ok {
		r.Deadline = deadline
	}
	r.work.traced = false
	r.Decision.User = nil
	if !e.claim(ctx, r) {
		e.settleLate(r)
	}
	<-c.done
	d := &r.Decision
	out := Claims{ID: d.ID, engine: e}
	if c.silent() {
		out.ID = 0
	}
	if d.Verdict != event.Accept {
		reason := d.Reason
		r.claims, r.token = nil, false
		e.pages.requests.Put(r)
		return out, reason
	}
	out.User, out.UserID, out.Name, out.Released, out.request = string(d.User), d.UserID, string(d.UID), d.Released, r
	if out.Name == "" {
		out.Name = out.User
	}
	for _, role := range r.person.Roles() {
		out.Roles = append(out.Roles, string(role))
	}
	return out, trace.OK
}

// claim decides it. It returns true if the request waits for a script.
func (e *Engine) claim(ctx context.Context, r *Request) (waits bool) {
	x := r.claims.of
	switch {
	case r.Client.Issuer == nil:
		r.trace.Add(trace.IssuerNone, r.Client.Name, "")
		return e.refused(r, trace.IssuerMissing)
	case r.Client.Broken != nil:
		r.trace.Add(trace.ClientIsBad, r.Client.Name, r.Client.Broken.Error())
		return e.refused(r, trace.ConfigBroken)
	case x.Index > 0 && !e.reaches(ctx, x.Index):
		return e.refused(r, trace.LogBehind)
	case !e.config.People.User(&r.user, r.Name):
		r.trace.AddName(trace.UserNotFound, r.Name, "")
		return e.refused(r, trace.UserUnknown)
	}
	r.trace.AddBytes(trace.UserFound, r.user.Name, r.Name)
	r.Decision.User, r.Decision.UserID = r.user.Name, r.user.ID
	if r.user.Inactive {
		r.trace.AddName(trace.UserIsOff, r.user.Name, "")
		return e.refused(r, trace.UserInactive)
	}
	r.meet(e.now())
	if reason := e.kind(r, r.Cache.UserType(r.user.UserType)); reason != trace.OK {
		return e.refused(r, reason)
	}
	r.work.proved = x.Factors
	return e.entitled(r)
}

// disclose lets it be known.
func (e *Engine) disclose(r *Request) {
	d := &r.Decision
	d.Verdict, d.Reason = event.Accept, trace.OK
	if r.work.traced = !r.claims.silent() && e.traces(); r.work.traced && !r.claims.of.Brief {
		e.release(r, &r.trace)
	}
}
