package engine

import (
	"net/netip"

	"trine/engine/attribute"
	"trine/engine/credential"
	"trine/engine/event"
	"trine/engine/trace"
)

// Reset makes r ready for the next login. Buffers are kept.
func (r *Request) Reset() {
	r.Cache, r.Client, r.Name, r.NAS, r.Calling, r.Called, r.Done = nil, nil, nil, nil, nil, nil, nil
	r.Proof = credential.Proof{}
	r.NASPort, r.Token = 0, 0
	r.Decision.reset()
}

func (d *Decision) reset() {
	d.ID, d.UserID, d.User = 0, 0, nil
	d.Verdict, d.Reason = 0, ""
	d.MustChangePassword = false
	d.reply()
}

// reply empties what only an accept carries.
func (d *Decision) reply() {
	clear(d.Replies)
	clear(d.Released)
	d.Replies, d.Released = d.Replies[:0], d.Released[:0]
}

func (r *Request) reject(reason trace.Reason) {
	d := &r.Decision
	d.reply()
	d.Verdict, d.Reason = event.Reject, reason
}

// authentication is how conditions call the method (AttributePolicy, authenticationMethod).
func authentication(m credential.Method) attribute.Authentication {
	if m == credential.NoProof {
		return attribute.Unauthenticated
	}
	return attribute.Password
}

// describe fills d with what is recorded of a decision, and returns the streams under which it is found. All of it belongs to r.
func (e *Engine) describe(r *Request, d *event.DecidedView) []uint64 {
	text := r.work.text[:0]
	put := func(s string) []byte {
		from := len(text)
		text = append(text, s...)
		return text[from:len(text):len(text)]
	}
	*d = event.DecidedView{
		ID: r.Decision.ID, Verdict: r.Decision.Verdict, Reason: put(string(r.Decision.Reason)), Client: put(r.Client.Name),
		Protocol: put(r.Protocol), UserName: r.Name, User: r.Decision.User, Method: uint32(r.Proof.Method), NAS: r.NAS,
		Calling: r.Calling, Called: r.Called, NASPort: r.NASPort, AtUnixNano: r.Arrived.UnixNano(), PolicyIndex: r.Cache.Index,
	}
	from := len(text)
	text = appendAddr(text, r.Source.Addr())
	d.Source = text[from:]
	r.work.text = text
	if took := e.clock().Sub(r.Arrived).Microseconds(); took > 0 {
		d.TookMicros = uint32(min(took, 1<<32-1))
	}
	if r.work.traced || r.Decision.Verdict != event.Accept {
		steps := r.work.steps[:0]
		for i := range r.trace.Len() {
			s := r.trace.Step(i)
			steps = append(steps, event.StepView{Code: uint32(s.Code), Subject: s.Subject, Detail: s.Detail, TookNanos: s.Took})
		}
		d.Steps = steps
	}
	streams := append(r.work.streams[:0], event.StreamKey(event.StreamClient, r.Client.Name), decisionKey(d.ID))
	if len(d.User) > 0 {
		streams = append(streams, event.StreamKey(event.StreamUser, d.User))
	} else if len(d.UserName) > 0 {
		streams = append(streams, event.StreamKey(event.StreamUser, d.UserName))
	}
	if len(d.Calling) > 0 {
		streams = append(streams, event.StreamKey(event.StreamMAC, d.Calling))
	}
	return streams
}

func decisionKey(id uint64) uint64 {
	var b [13]byte
	return event.StreamKey(event.StreamDecision, event.AppendID(b[:0], id))
}

// appendAddr appends the 4 or 16 bytes of an address; nothing for none.
func appendAddr(dst []byte, a netip.Addr) []byte {
	switch a = a.Unmap(); {
	case a.Is4():
		b := a.As4()
		return append(dst, b[:]...)
	case a.Is6():
		b := a.As16()
		return append(dst, b[:]...)
	}
	return dst
}
