package engine

import (
	"trine/engine/attribute"
	"trine/engine/script"
	"trine/engine/trace"
)

// entitled goes on once it is proved who it is: with what the identity provider and the service provider ask of whoever it is, then
// with what the service provider is told of him. All of it is known before anything is proposed. It returns true if the request waits.
func (e *Engine) entitled(r *Request) (waits bool) {
	r.facts.Reset()
	return e.determine(r)
}

// determine asks who may come in and what is told. Where that depends on a script that has not run yet, it has it run and asks anew
// when that is done: each script is needed for certain then, and none runs that is not.
func (e *Engine) determine(r *Request) (waits bool) {
	f, begun := &r.facts, r.trace.Len()
	reason := e.authorize(r)
	if reason == trace.OK && !unsettled(f) {
		e.release(r, nil)
	}
	if f.Pending() != nil {
		r.trace.Cut(begun)
		return e.run(r)
	}
	if failed, _ := f.Failure(); failed != nil {
		e.uncomputed(r)
		return false
	}
	if reason != trace.OK {
		r.reject(reason)
		return false
	}
	switch {
	case r.work.action != nil:
		return e.judge(r)
	case r.claims != nil:
		e.disclose(r)
		return false
	case r.dialogue != nil:
		return e.end(r)
	case r.enabling(): // the place is that of the login before
		e.grant(r)
		return false
	case r.Changes:
		return e.proceed(r)
	case r.work.device:
		return e.place(r, nil)
	}
	return e.place(r, r.Cache.UserType(r.user.UserType))
}

// unsettled reports whether something that was asked of the facts is not known.
func unsettled(f *attribute.Facts) bool {
	failed, _ := f.Failure()
	return failed != nil || f.Pending() != nil
}

// release computes what the service provider is told: the attributes, and the user name if it is another one. With t, it tells the trace
// about it, which an accept does that is traced; what was computed is not computed again. Over TACACS+ nothing is released.
func (e *Engine) release(r *Request, t *trace.Trace) {
	if r.Client.System != "" {
		return
	}
	f, d := &r.facts, &r.Decision
	r.establish(f)
	if r.claims == nil || !r.claims.of.Brief {
		f.Trace = t
		d.Released = r.Cache.Release(d.Released[:0], r.Client, f)
		f.Trace = nil
	}
	if r.Client.UID == nil || unsettled(f) {
		return
	}
	names := f.Compute(r.Client.UID)
	switch {
	case unsettled(f):
	case len(names) == 0:
		f.Deny(r.Client.UID, "there is no user name for the service provider in it")
	default:
		d.UID = names[0]
		if t != nil {
			t.AddName(trace.UIDMade, d.UID, r.Client.Name)
		}
	}
}

// run has the worker run the script that is needed. It returns false if the login is decided, because the worker did not take it.
func (e *Engine) run(r *Request) (waits bool) {
	r.Decision.deny(0, "")
	j := &r.work.script
	*j = script.Job{Deadline: r.Deadline, Done: r}
	r.facts.Job(j)
	r.trace.Add(trace.ScriptSent, r.facts.Pending().Document, "")
	err := e.submit(j)
	if err == nil {
		return true // r may be anybody's by now
	}
	r.facts.Provide(script.Value{}, err)
	e.uncomputed(r)
	return false
}

// submit hands a script to the worker. Without an error, the request that it is for may be anybody's.
func (e *Engine) submit(j *script.Job) error {
	if e.config.Scripts == nil {
		return script.ErrUnavailable
	}
	return e.config.Scripts.Submit(j)
}

// ScriptDone implements script.JobDone.
func (r *Request) ScriptDone(j *script.Job) {
	e := r.work.engine
	r.work.late = true
	step := e.computed
	switch r.work.stage {
	case atRule:
		step = e.weighed
	case atAuthorization:
		step = e.consulted
	}
	if !step(r, j) {
		e.settleLate(r)
	}
}

// computed goes on with what a script yielded that makes a value.
func (e *Engine) computed(r *Request, j *script.Job) (waits bool) {
	f := &r.facts
	if j.Err == nil {
		r.trace.Add(trace.ScriptRun, f.Pending().Document, "")
	}
	f.Provide(j.Value, j.Err)
	switch failed, _ := f.Failure(); {
	case failed != nil:
		e.uncomputed(r)
		return false
	case e.tooLate(r):
		return false
	}
	return e.determine(r)
}

// uncomputed decides a login for which something could not be computed: it is rejected, or left without an answer where that is this
// node's doing.
func (e *Engine) uncomputed(r *Request) {
	failed, err := r.facts.Failure()
	reason := trace.Reason(script.Code(err))
	r.trace.Add(trace.ComputationFailed, failed.Document, err.Error())
	if unanswerable(reason) {
		r.discard(reason)
	} else {
		r.reject(reason)
	}
}

var _ script.JobDone = (*Request)(nil)
