package radius

import (
	"net/netip"
	"time"

	"trine/engine"
	"trine/engine/credential"
	"trine/engine/credential/chap"
	"trine/engine/event"
	"trine/engine/trace"
	"trine/protocols/loop"
	"trine/protocols/radius/wire"
)

// protocol is what requests and their records say they came by.
const protocol = "radius"

// login is one Access-Request under way. Its packet and buffers stay as they are until the decision is delivered.
type login struct {
	engine.Request
	handler *handler
	packet  []byte
	socket  *loop.Socket
	from    netip.AddrPort
	own     *Client
	key     *wire.Secret
	ref     ref
	eap     bool // the request is EAP's, so the reject carries an EAP-Failure
	ident   byte // of an MS-CHAP response, repeated in success and error

	first    [16]byte // the key of the first bytes of User-Password, if it is known
	hasFirst bool
	scratch  []byte    // of values that conditions ask for
	password [128]byte // what hid in User-Password
	changed  [516]byte // the pieces of MS-CHAP-NT-Enc-PW
	revealed int       // bytes of password that were used
	joined   int       // bytes of changed that were used
}

// Decided implements engine.Delivery.
func (l *login) Decided(*engine.Request) { l.handler.decided.Put(l) }

// authenticate begins a login that was not seen before.
func (h *handler) authenticate(a *arrival, id dupKey) {
	if h.loginCount >= h.logins {
		h.ignore(a.socket, a.from, causeLogins, a.client)
		return
	}
	r, ok := h.remember(a, id)
	if !ok {
		h.ignore(a.socket, a.from, causeDuplicates, a.client)
		return
	}
	l := h.newLogin()
	l.socket, l.ref = a.socket, r
	now := h.loop.Now()
	l.ask(a, now)
	l.Deadline = now.Add(h.deadline)
	if a.check >= 0 {
		l.first, l.hasFirst = h.checks.Password(a.check)
	}
	if v := &a.view; h.decide(l, v) {
		h.finish(l, v)
	}
}

// ask fills the engine's request from a packet that arrived. The request must outlive the datagram: from here on the view is over a copy.
func (l *login) ask(a *arrival, now time.Time) {
	v := &a.view
	l.from, l.own, l.key = a.from, a.own, a.key
	l.packet = append(l.packet[:0], v.Bytes()...)
	v.Move(l.packet)
	q := &l.Request
	q.Protocol, q.Cache, q.Client, q.Source = protocol, a.cache, a.client, a.from
	q.Arrived, q.Deadline = now, time.Time{}
	q.Done, q.Attributes = l, l
	q.Name, _ = v.First(wire.UserName)
	q.NAS = nasOf(v)
	q.Calling, _ = v.First(wire.CallingStationID)
	q.Called, _ = v.First(wire.CalledStationID)
	q.NASPort, _ = v.Uint32(wire.NASPort)
	q.State, _ = v.First(wire.State)
	q.Continues, q.Appends = a.own.continues, a.own.appends
	l.hasFirst = false
}

// decide has the engine decide; it returns what engine.Lane.Authenticate does.
func (h *handler) decide(l *login, v *wire.View) (decided bool) {
	if reason := l.prove(v); reason != trace.OK {
		return h.lane.Refuse(&l.Request, reason)
	}
	return h.lane.Authenticate(&l.Request)
}

// nasOf returns what tells one device behind a service provider from another.
func nasOf(v *wire.View) []byte {
	for _, t := range [...]wire.Type{wire.NASIdentifier, wire.NASIPAddress, wire.NASIPv6Address} {
		if id, ok := v.First(t); ok && len(id) > 0 {
			return id
		}
	}
	return nil
}

// The values of Service-Type (RFC 2865 section 5.6, RFC 5176 section 3.2) that ask for something without a password.
const (
	serviceCallCheck     = 10
	serviceAuthorizeOnly = 17
)

// prove finds out how the request proves its password. It returns OK, or why that cannot be verified, with a remark for the trace.
func (l *login) prove(v *wire.View) trace.Reason {
	l.eap, l.ident, l.Remark = v.Has(wire.EAPMessage), 0, ""
	if l.eap {
		l.Remark = "EAP"
		return trace.RadiusEAPUnsupported
	}
	pap, isPAP := v.First(wire.UserPassword)
	chapValue, isCHAP := v.First(wire.CHAPPassword)
	var ms microsoft
	ms.read(v)
	service, _ := v.Uint32(wire.ServiceType)
	switch {
	case service == serviceCallCheck:
		if ms.response != nil || ms.response2 != nil || ms.change != nil || isPAP && isCHAP {
			return l.malformed("Call-Check with a proof of a password other than User-Password or CHAP-Password")
		}
		return l.proveDevice(pap, isPAP, chapValue, isCHAP, v)
	case count(isPAP, isCHAP, ms.response != nil, ms.response2 != nil, ms.change != nil) > 1:
		// RFC 2865 section 4.1: never both.
		return l.malformed("more than one of User-Password, CHAP-Password, MS-CHAP-Response, MS-CHAP2-Response and MS-CHAP2-CPW")
	case isPAP:
		if reason := l.provePAP(pap, v); reason != trace.OK || !l.own.devices || len(l.State) > 0 || !sameAddress(l.Name, l.Proof.Password) {
			return reason
		}
		return l.provenDevice()
	case isCHAP:
		if reason := l.proveCHAP(chapValue, v); reason != trace.OK || !l.own.devices || len(l.State) > 0 || !l.answersWithAddress() {
			return reason
		}
		return l.provenDevice()
	case ms.response != nil:
		return l.proveMSCHAP(&ms)
	case ms.response2 != nil:
		return l.proveMSCHAP2(&ms)
	case ms.change != nil:
		return l.proveChange(&ms, v)
	}
	if service == serviceAuthorizeOnly {
		l.Remark = "Authorize-Only"
		return trace.RadiusServiceUnsupported
	}
	return trace.OK // no proof at all: the engine says so
}

// proveDevice reads a request for Call-Check, RFC 2865 section 5.6: the login name says which device it is, and nothing proves it. Devices
// that repeat the address in User-Password or CHAP-Password must mean the same one.
func (l *login) proveDevice(hidden []byte, isPAP bool, chapValue []byte, isCHAP bool, v *wire.View) trace.Reason {
	if isPAP {
		if reason := l.provePAP(hidden, v); reason != trace.OK {
			return reason
		}
		if password := l.Proof.Password; len(password) > 0 && !sameAddress(l.Name, password) {
			return l.otherDevice("Call-Check: User-Name and User-Password are not the same MAC address")
		}
	}
	if isCHAP {
		if reason := l.proveCHAP(chapValue, v); reason != trace.OK {
			return reason
		}
		if !l.answersWithAddress() {
			return l.otherDevice("Call-Check: CHAP-Password is not made of the MAC address as User-Name has it")
		}
	}
	return l.provenDevice()
}

// provenDevice makes the proof that of a device by its address.
func (l *login) provenDevice() trace.Reason {
	l.Proof = credential.Proof{Method: credential.MAC}
	return trace.OK
}

// otherDevice refuses a request whose addresses differ, and says in the trace which ones.
func (l *login) otherDevice(what string) trace.Reason {
	l.Remark, l.Proof.Password = what, nil
	return trace.EndpointMismatch
}

// answersWithAddress reports whether the login name is a MAC address and the CHAP response is made of the same text: a device's switch has
// nothing else to make it of. Another notation of the address is another text, and does not do.
func (l *login) answersWithAddress() bool {
	p := &l.Proof
	_, ok := event.ParseMAC(l.Name)
	return ok && chap.Verify(p.Identifier, l.Name, p.Challenge, p.Response)
}

// sameAddress reports whether two texts are one MAC address, in whichever notations.
func sameAddress(a, b []byte) bool {
	x, ok := event.ParseMAC(a)
	if !ok {
		return false
	}
	y, ok := event.ParseMAC(b)
	return ok && x == y
}

func count(is ...bool) (n int) {
	for _, b := range is {
		if b {
			n++
		}
	}
	return n
}

// malformed refuses a proof and says in the trace what is wrong with it.
func (l *login) malformed(what string) trace.Reason {
	l.Remark = what
	return trace.ProofMalformed
}

func (l *login) provePAP(hidden []byte, v *wire.View) trace.Reason {
	var first *[16]byte
	if l.hasFirst {
		first = &l.first
	}
	clear, fault := l.key.RevealPassword(l.password[:0], hidden, v.Authenticator(), first)
	if fault != wire.OK {
		return l.malformed("User-Password is not 16, 32, ... or 128 bytes long")
	}
	l.revealed = len(hidden)
	l.Proof.Method, l.Proof.Password = credential.PAP, clear
	return trace.OK
}

// proveCHAP reads RFC 2865 section 5.3; without CHAP-Challenge the authenticator is the challenge.
func (l *login) proveCHAP(value []byte, v *wire.View) trace.Reason {
	if len(value) != 17 {
		return l.malformed("CHAP-Password is not 17 bytes long")
	}
	challenge, ok := v.First(wire.CHAPChallenge)
	if !ok {
		challenge = v.Authenticator()[:]
	}
	if len(challenge) == 0 {
		return l.malformed("CHAP-Challenge is empty")
	}
	p := &l.Proof
	p.Method, p.Identifier, p.Response, p.Challenge = credential.CHAP, value[0], value[1:], challenge
	return trace.OK
}

// microsoft holds the attributes of RFC 2548 that prove a password.
type microsoft struct {
	challenge, response, response2, change []byte
}

func (m *microsoft) read(v *wire.View) {
	if !v.Has(wire.VendorSpecific) {
		return
	}
	for sub := range v.EachVendor(wire.VendorMicrosoft, wire.StandardFormat()) {
		switch uint8(sub.Type) {
		case wire.MSCHAPChallenge:
			m.challenge = sub.Value
		case wire.MSCHAPResponse:
			m.response = sub.Value
		case wire.MSCHAP2Response:
			m.response2 = sub.Value
		case wire.MSCHAP2CPW:
			m.change = sub.Value
		}
	}
}

// proveMSCHAP reads RFC 2548 section 2.1.3. A response of the LAN manager's kind alone proves nothing that is kept.
func (l *login) proveMSCHAP(m *microsoft) trace.Reason {
	const useNT = 1
	switch {
	case len(m.response) != 50:
		return l.malformed("MS-CHAP-Response is not 50 bytes long")
	case len(m.challenge) != 8:
		return l.malformed("MS-CHAP-Challenge is missing or not the 8 bytes of MS-CHAPv1")
	case m.response[1] != useNT:
		return l.malformed("MS-CHAP-Response holds no NT response")
	}
	l.ident = m.response[0]
	p := &l.Proof
	p.Method, p.Identifier, p.Challenge, p.Response = credential.MSCHAPv1, l.ident, m.challenge, m.response[26:]
	return trace.OK
}

// proveMSCHAP2 reads RFC 2548 section 2.3.2.
func (l *login) proveMSCHAP2(m *microsoft) trace.Reason {
	switch {
	case len(m.response2) != 50:
		return l.malformed("MS-CHAP2-Response is not 50 bytes long")
	case len(m.challenge) != 16:
		return l.malformed("MS-CHAP-Challenge is missing or not the 16 bytes of MS-CHAPv2")
	}
	l.ident = m.response2[0]
	p := &l.Proof
	p.Method, p.Identifier, p.Challenge = credential.MSCHAPv2, l.ident, m.challenge
	p.PeerChallenge, p.Response = m.response2[2:18], m.response2[26:]
	p.HashName = chap.WithoutDomain(l.Name)
	return trace.OK
}

// proveChange reads a password change, RFC 2548 section 2.3.3, whose new password comes in pieces (section 2.1.4).
func (l *login) proveChange(m *microsoft, v *wire.View) trace.Reason {
	const code = 7
	c := m.change
	switch {
	case len(c) != 68 || c[0] != code:
		return l.malformed("MS-CHAP2-CPW is not 68 bytes long or not of code 7")
	case len(m.challenge) != 16:
		return l.malformed("MS-CHAP-Challenge is missing or not the 16 bytes of MS-CHAPv2")
	case !l.joinChange(v):
		return l.malformed("the pieces of MS-CHAP-NT-Enc-PW do not make one encrypted password")
	}
	l.ident = c[1]
	p := &l.Proof
	p.Method, p.Identifier, p.Challenge = credential.MSCHAPCPW, l.ident, m.challenge
	p.EncryptedHash, p.PeerChallenge, p.Response = c[2:18], c[18:34], c[42:66]
	p.EncryptedPassword = l.changed[:]
	p.HashName = chap.WithoutDomain(l.Name)
	return trace.OK
}

// joinChange puts the pieces of MS-CHAP-NT-Enc-PW together, which are numbered from 1.
func (l *login) joinChange(v *wire.View) bool {
	const code, header = 6, 4
	n, next := 0, 1
	for sub := range v.EachVendor(wire.VendorMicrosoft, wire.StandardFormat()) {
		if uint8(sub.Type) != wire.MSCHAPNTEncPW {
			continue
		}
		piece := sub.Value
		if len(piece) < header || piece[0] != code || int(piece[2])<<8|int(piece[3]) != next || n+len(piece)-header > len(l.changed) {
			return false
		}
		n += copy(l.changed[n:], piece[header:])
		l.joined = n
		next++
	}
	return n == len(l.changed)
}

// render builds the answer of an accept. One that cannot be built becomes a reject.
func (h *handler) render(l *login, v *wire.View) {
	if l.Decision.Verdict != event.Accept {
		return
	}
	if reason, err := h.accept(l, v); reason != trace.OK {
		l.Remark = err.Error()
		h.lane.Overrule(&l.Request, reason)
		h.unrendered(l, reason, err)
	}
}

// finish answers a login that is decided.
func (h *handler) finish(l *login, v *wire.View) {
	d := &l.Decision
	h.render(l, v)
	leaves := false
	switch e := h.duplicates.get(l.ref); {
	case e == nil:
		h.stats.dropped[causeSuperseded].Add(1)
	case d.Verdict == event.Accept:
		leaves = h.leave(l, outcomeAccept, 0)
	case d.Verdict == event.Challenge:
		h.challengeLogin(l, v)
		leaves = h.leave(l, outcomeChallenge, 0)
	case d.Verdict == event.Reject:
		leaves = h.rejectLogin(l, v)
	default:
		h.duplicates.forget(l.ref)
		h.ignore(l.socket, l.from, causeDiscarded, l.Client)
	}
	if !leaves {
		h.stats.latencies[l.Proof.Method].Observe(h.loop.Time().Sub(l.Arrived))
	}
	h.freeLogin(l)
}

// leave lets the reply that was built go, or else nothing.
func (h *handler) leave(l *login, o outcome, wait time.Duration) bool {
	fault := h.depart(departure{
		socket: l.socket, to: l.from, ref: l.ref, outcome: o, latency: int(l.Proof.Method), arrived: l.Arrived, wait: wait,
	})
	if fault == wire.OK {
		return true
	}
	h.duplicates.forget(l.ref)
	h.ignore(l.socket, l.from, cause(fault), l.Client)
	return false
}

// rejectLogin answers with an Access-Reject, not before the service provider's delay has passed since the request came. Where the
// request's Proxy-States alone fill it, there is no room for any answer.
func (h *handler) rejectLogin(l *login, v *wire.View) bool {
	h.stats.rejects[l.Decision.Reason.Class()].Add(1)
	h.reject(l, v)
	return h.leave(l, outcomeReject, l.own.rejectDelay-h.loop.Now().Sub(l.Arrived))
}

func (h *handler) newLogin() *login {
	h.loginCount++
	if n := len(h.freeLogins); n > 0 {
		l := h.freeLogins[n-1]
		h.freeLogins = h.freeLogins[:n-1]
		return l
	}
	return &login{handler: h}
}

// freeLogin keeps a login for the next request, without what it knew.
func (h *handler) freeLogin(l *login) {
	clear(l.password[:l.revealed])
	clear(l.changed[:l.joined])
	l.revealed, l.joined = 0, 0
	l.Proof = credential.Proof{}
	l.Cache, l.Client, l.own, l.key, l.socket = nil, nil, nil, nil, nil
	h.loginCount--
	h.freeLogins = append(h.freeLogins, l)
}
