package tacacs

import (
	"time"

	"trine/engine/credential"
	"trine/engine/trace"
	"trine/protocols/tacacs/wire"
)

// question is what a login waits for a person to answer.
type question uint8

const (
	askedNothing  question = iota
	askedName              // GETUSER
	askedPassword          // GETPASS
	askedFactor            // GETDATA: a second factor
	askedOld               // GETDATA: the password that is to be changed
	askedNew               // GETPASS: the new one
	askedAgain             // GETPASS: the new one once more
)

// dialogue is what an authentication holds between its packets.
type dialogue struct {
	start    wire.AuthenStart // its texts are parts of session.packet
	asked    question
	changes  bool   // it is about a new password
	greeted  bool   // the banner was shown
	nameless int    // how often he gave no name
	refused  int    // how many new passwords were
	name     []byte // as the person typed it, or as the device said
	password []byte
	fresh    []byte // the new password
	state    []byte // the challenge that a second factor answers
}

const (
	// maxName is how long a login name is that somebody types, in bytes: as long as the other messages of the protocol could carry it.
	maxName = 255
	// maxNameless is how often somebody is asked for a name, as RFC 8907 section 5.4.2.1 recommends.
	maxNameless = 3
	// maxRefused is how many new passwords somebody may try in one session.
	maxRefused = 3
)

// What people read who change their passwords.
const (
	askOld     = "Old password: "
	askNew     = "New password: "
	askAgain   = "New password again: "
	mustChange = "Your password has to be changed.\n"
	differ     = "The passwords differ.\n"
)

// begin takes over what a START says, whose texts are parts of the session's packet.
func (s *session) begin(start *wire.AuthenStart) {
	s.start = *start
	s.asked, s.changes, s.greeted, s.nameless, s.refused = askedNothing, s.start.Action == wire.ChangePassword, false, 0, 0
	s.name = append(s.name[:0], username(s.start.User)...)
	s.password, s.fresh, s.state = s.password[:0], s.fresh[:0], s.state[:0]
}

// forget wipes what must not stay in memory.
func (d *dialogue) forget() {
	clear(d.password[:cap(d.password)])
	clear(d.fresh[:cap(d.fresh)])
	d.start = wire.AuthenStart{}
	d.asked = askedNothing
	d.name, d.password, d.fresh, d.state = d.name[:0], d.password[:0], d.fresh[:0], d.state[:0]
}

// typed reports whether a person types the password, so that he can be asked for more.
func (d *dialogue) typed() bool {
	return d.start.Type == wire.TypeASCII || d.start.Type == wire.TypeNotSet
}

// started goes on after the START of an authentication.
func (h *handler) started(s *session) {
	switch {
	case s.start.Action == wire.SendAuth:
		h.refuse(s, trace.TacacsActionUnsupported, "SENDAUTH")
	case !s.typed():
		h.prove(s)
	case len(s.name) == 0:
		h.ask(s, wire.AuthenGetUser, askedName, s.greeting(s.own.askUserFirst, s.own.askUser))
	default:
		h.named(s)
	}
}

// greeting returns the text of a first question, or of one after it.
func (s *session) greeting(first, later string) string {
	if s.greeted {
		return later
	}
	s.greeted = true
	return first
}

// named goes on once it is known who it is.
func (h *handler) named(s *session) {
	switch {
	case s.changes:
		h.ask(s, wire.AuthenGetData, askedOld, s.greeting(s.own.askPasswordFirst[:len(s.own.askPasswordFirst)-len(s.own.askPassword)], "")+askOld)
	case s.own.passwordInStart && len(s.start.Data) > 0:
		s.password = append(s.password[:0], s.start.Data...)
		h.submit(s)
	default:
		h.ask(s, wire.AuthenGetPass, askedPassword, s.greeting(s.own.askPasswordFirst, s.own.askPassword))
	}
}

// continued goes on with what a person has answered.
func (h *handler) continued(s *session, header *wire.Header) {
	s.header = *header
	s.meet(s.peer, h.loop.Now())
	asked := s.asked
	s.asked = askedNothing
	if h.proceed.Abort { // RFC 8907 section 5.4.3: there is no answer to it
		h.stats.dropped[causeAborted].Add(1)
		h.end(s)
		return
	}
	said := h.proceed.UserMsg
	if asked != askedName { // what is longer is no password, and needs no more room to be refused
		said = said[:min(len(said), credential.MaxPassword+1)]
	}
	switch asked {
	case askedName:
		switch {
		case len(said) > maxName:
			h.refuse(s, trace.ProofMalformed, "a login name of more than 255 bytes")
		case len(said) == 0:
			if s.nameless++; s.nameless == maxNameless {
				h.refuse(s, trace.UserMissing, "no name, though it was asked for three times")
				return
			}
			h.ask(s, wire.AuthenGetUser, askedName, s.own.askUser)
		default:
			s.name = append(s.name[:0], username(said)...)
			h.named(s)
		}
	case askedPassword, askedFactor:
		s.password = append(s.password[:0], said...)
		h.submit(s)
	case askedOld:
		s.password = append(s.password[:0], said...)
		h.ask(s, wire.AuthenGetPass, askedNew, askNew)
	case askedNew:
		if len(said) == 0 {
			h.askNewPassword(s, "")
			return
		}
		s.fresh = append(s.fresh[:0], said...)
		h.ask(s, wire.AuthenGetPass, askedAgain, askAgain)
	case askedAgain:
		if string(s.fresh) != string(said) {
			h.askNewPassword(s, differ)
			return
		}
		h.submit(s)
	}
}

// askNewPassword asks for a new password, unless the person has tried too often.
func (h *handler) askNewPassword(s *session, why string) {
	if s.refused++; s.refused > maxRefused {
		h.refuse(s, trace.PasswordPolicy, "more new passwords than may be tried at a time")
		return
	}
	h.ask(s, wire.AuthenGetPass, askedNew, why+askNew)
}

// submit has the engine decide by the password that somebody typed.
func (h *handler) submit(s *session) {
	p := credential.Proof{Method: credential.ASCII, Password: s.password}
	if len(s.fresh) > 0 {
		p.NewPassword = s.fresh
	}
	h.login(s, p)
}

// ask asks the person something. What is typed is not shown but for a name.
func (h *handler) ask(s *session, status wire.AuthenStatus, q question, text string) {
	if s.seq.Final() { // RFC 8907 section 4.1: numbers do not wrap, so it begins anew
		h.conclude(s, wire.AuthenRestart, outcomeRestart, "")
		return
	}
	buf, header := h.reply(s)
	b := &h.departures.builder
	b.AuthenReply(buf, header, status, q != askedName)
	b.ServerMsg(text)
	if f := h.depart(s.peer, -1, time.Time{}); f != wire.OK {
		h.unrendered(s, f)
		return
	}
	h.stats.answers[outcomeAsk].Add(1)
	s.asked = q
	s.question++
	h.loop.After(h.patience, uint64(s.question)<<32|uint64(s.index))
}

// conclude gives an authentication its last answer.
func (h *handler) conclude(s *session, status wire.AuthenStatus, o outcome, text string) {
	buf, header := h.reply(s)
	b := &h.departures.builder
	b.AuthenReply(buf, header, status, false)
	if text != "" {
		b.ServerMsg(text)
	}
	if f := h.depart(s.peer, int(s.method()), s.arrived); f != wire.OK {
		h.unrendered(s, f)
		return
	}
	h.stats.answers[o].Add(1)
	h.end(s)
}

// method returns how the password is proved, for counting.
func (s *session) method() credential.Method {
	switch s.start.Type {
	case wire.TypePAP:
		return credential.PAP
	case wire.TypeCHAP:
		return credential.CHAP
	case wire.TypeMSCHAP:
		return credential.MSCHAPv1
	case wire.TypeMSCHAPv2:
		return credential.MSCHAPv2
	}
	return credential.ASCII
}
