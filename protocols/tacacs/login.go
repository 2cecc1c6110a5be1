package tacacs

import (
	"bytes"

	"trine/engine"
	"trine/engine/credential"
	"trine/engine/credential/chap"
	"trine/engine/event"
	"trine/engine/trace"
	"trine/protocols/tacacs/wire"
)

// login is a decision about an authentication under way. What it is about stays in its session until it is delivered.
type login struct {
	engine.Request
	session *session
	handler *handler
}

// Decided implements engine.Delivery.
func (l *login) Decided(*engine.Request) { l.handler.decided.Put(l) }

// prove reads how a START proves the password: PAP, CHAP, MS-CHAP and MS-CHAPv2, RFC 8907 sections 5.4.2.2 to 5.4.2.5.
func (h *handler) prove(s *session) {
	p := credential.Proof{Method: s.method()}
	if p.Method == credential.PAP {
		s.password = append(s.password[:0], s.start.Data...)
		p.Password = s.password
		h.login(s, p)
		return
	}
	id, challenge, response, f := s.start.Challenge()
	if f != wire.OK {
		h.refuse(s, trace.ProofMalformed, f.Error())
		return
	}
	p.Identifier, p.Challenge = id, challenge
	switch p.Method {
	case credential.CHAP:
		p.Response = response
	case credential.MSCHAPv1:
		const useNT = 1
		if response[48] != useNT {
			h.refuse(s, trace.ProofMalformed, "the MS-CHAP response holds no NT response")
			return
		}
		p.Response = response[24:48]
	default:
		p.PeerChallenge, p.Response, p.HashName = response[:16], response[24:48], chap.WithoutDomain(s.start.User) // as it was hashed
	}
	h.login(s, p)
}

// request returns a decision to be made about a session, filled in but for its proof; nil if as many are being made as may.
func (h *handler) request(s *session) *login {
	if h.decisions >= h.logins {
		h.fail(s.peer, &s.header, causeLogins)
		return nil
	}
	h.decisions++
	var l *login
	if n := len(h.freeLogins); n > 0 {
		l = h.freeLogins[n-1]
		h.freeLogins = h.freeLogins[:n-1]
	} else {
		l = &login{handler: h}
	}
	l.session = s
	s.busy = true
	q := &l.Request
	q.Reset()
	q.Protocol, q.Cache, q.Client, q.Source, q.Name = protocol, s.cache, s.client, s.peer.remote, s.name
	q.Calling, q.Port = s.address(s.start.RemAddr), s.start.Port
	q.Arrived, q.Deadline, q.Done = s.arrived, s.arrived.Add(h.deadline), l
	q.State, q.Continues, q.Appends = s.state, s.own.continues && s.typed(), s.own.appends
	q.Changes = s.changes
	if s.start.Service == wire.ServiceEnable {
		q.Enable = int8(s.start.PrivLvl)
	}
	return l
}

// address returns the remote address as it counts: some devices put text behind it.
func (s *session) address(text []byte) []byte {
	if s.own.addressText {
		if i := bytes.IndexByte(text, ' '); i >= 0 {
			return text[:i]
		}
	}
	return text
}

// login has the engine decide.
func (h *handler) login(s *session, p credential.Proof) {
	l := h.request(s)
	if l == nil {
		return
	}
	l.Proof = p
	h.unflushed = true
	if h.lane.Authenticate(&l.Request) {
		h.finish(l)
	}
}

// refuse rejects what is found wanting here, so that it is recorded and explained like every other login.
func (h *handler) refuse(s *session, reason trace.Reason, remark string) {
	l := h.request(s)
	if l == nil {
		return
	}
	l.Proof.Method, l.Remark = s.method(), remark
	l.State = nil
	h.unflushed = true
	if h.lane.Refuse(&l.Request, reason) {
		h.finish(l)
	}
}

// finish answers a login that is decided.
func (h *handler) finish(l *login) {
	s, d := l.session, &l.Decision
	s.busy = false
	switch {
	case s.peer == nil: // nobody waits
		h.release(s)
	case d.Verdict == event.Accept:
		h.conclude(s, wire.AuthenPass, outcomePass, "")
	case d.Verdict == event.Challenge:
		s.state = append(s.state[:0], d.State...)
		h.ask(s, wire.AuthenGetData, askedFactor, prompt(d.Message))
	case d.Verdict == event.Discard:
		h.fail(s.peer, &s.header, causeDiscarded)
	case d.MustChangePassword && s.typed() && len(s.fresh) == 0 && len(s.state) == 0:
		h.ask(s, wire.AuthenGetPass, askedNew, mustChange+askNew)
	case (d.Reason == trace.PasswordPolicy || d.Reason == trace.PasswordReused) && len(s.fresh) > 0 && s.refused < maxRefused:
		s.fresh = s.fresh[:0]
		h.askNewPassword(s, "Not taken: "+d.Message+".\n")
	case d.Reason == trace.TacacsMethodDisabled && s.typed(): // RFC 8907 section 5.4.3: another type of authentication may do; to one of a single START there is no such answer (sections 5.4.2.2 to 5.4.2.5)
		h.stats.rejects[d.Reason.Class()].Add(1)
		h.conclude(s, wire.AuthenRestart, outcomeRestart, "")
	default:
		h.stats.rejects[d.Reason.Class()].Add(1)
		h.conclude(s, wire.AuthenFail, outcomeFail, d.Message)
	}
	l.Request.Reset()
	l.session = nil
	h.decisions--
	h.freeLogins = append(h.freeLogins, l)
}

// prompt returns a challenge's text as a prompt.
func prompt(message string) string {
	if message == "" {
		return "Code: "
	}
	return message + " "
}
