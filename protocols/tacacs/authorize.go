package tacacs

import (
	"trine/engine"
	"trine/engine/event"
	"trine/protocols/tacacs/wire"
)

// authorization is a decision about a service or a command under way.
type authorization struct {
	engine.Authorization
	session *session
	handler *handler
	args    [][]byte
}

// Authorized implements engine.AuthorizationDelivery.
func (a *authorization) Authorized(*engine.Authorization) { a.handler.authorized.Put(a) }

// authorize has the engine decide an authorization REQUEST, RFC 8907 section 6.
func (h *handler) authorize(s *session) {
	if h.decisions >= h.logins {
		h.fail(s.peer, &s.header, causeLogins)
		return
	}
	h.decisions++
	var a *authorization
	if n := len(h.freeAuthor); n > 0 {
		a = h.freeAuthor[n-1]
		h.freeAuthor = h.freeAuthor[:n-1]
	} else {
		a = &authorization{handler: h}
	}
	a.session = s
	s.busy = true
	r := &h.author
	a.args = a.args[:0]
	for text := range r.Args.Raw() {
		a.args = append(a.args, text)
	}
	q := &a.Authorization
	q.Protocol, q.Cache, q.Client, q.Source, q.Name = protocol, s.cache, s.client, s.peer.remote, username(r.User)
	q.Level, q.Args, q.Port, q.RemoteAddress = int8(r.PrivLvl), a.args, r.Port, s.address(r.RemAddr)
	q.Arrived, q.Deadline, q.Done = s.arrived, s.arrived.Add(h.deadline), a
	h.unflushed = true
	if h.lane.Authorize(q) {
		h.answer(a)
	}
}

// answer answers an authorization that is decided.
func (h *handler) answer(a *authorization) {
	s, d := a.session, &a.Decision
	s.busy = false
	switch {
	case s.peer == nil: // nobody waits
		h.release(s)
	case d.Verdict == event.Discard:
		h.fail(s.peer, &s.header, causeDiscarded)
	default:
		h.respond(s, d)
	}
	a.session, a.Cache, a.Client = nil, nil, nil
	h.decisions--
	h.freeAuthor = append(h.freeAuthor, a)
}

// respond sends an authorization RESPONSE, RFC 8907 section 6.2.
func (h *handler) respond(s *session, d *engine.Decision) {
	status, o := wire.AuthorFail, outcomeDenied
	switch {
	case d.Verdict != event.Accept:
		h.stats.rejects[d.Reason.Class()].Add(1)
	case d.Replace:
		status, o = wire.AuthorPassRepl, outcomePermitted
	default:
		status, o = wire.AuthorPassAdd, outcomePermitted
	}
	buf, header := h.reply(s)
	b := &h.departures.builder
	b.AuthorResponse(buf, header, status)
	if o == outcomePermitted {
		for _, text := range d.Args {
			b.Arg(text)
		}
	}
	if f := h.depart(s.peer, authorizationLatency, s.arrived); f != wire.OK {
		h.unrendered(s, f)
		return
	}
	h.stats.answers[o].Add(1)
	h.end(s)
}
