package engine

import (
	"time"

	"trine/engine/event"
	"trine/engine/policy"
	"trine/engine/trace"
)

// admitDevice decides the login of a device that says its MAC address and nothing else. From here on it is to the decision what a person is:
// a name, a group, attributes. It returns true if the request waits for a commit.
func (e *Engine) admitDevice(r *Request, reason trace.Reason) (waits bool) {
	r.work.device, r.work.found.looked = true, r.Name
	if reason == trace.OK {
		reason = e.device(r)
	}
	if reason == trace.OK {
		r.meet(e.now())
		reason = e.membership(r)
	}
	if reason != trace.OK {
		r.reject(reason)
		return false
	}
	return e.entitled(r)
}

// device finds the endpoint that a request is of.
func (e *Engine) device(r *Request) trace.Reason {
	if !r.Client.MACAuthentication {
		r.trace.Add(trace.EndpointsOff, r.Client.Name, "")
		return trace.EndpointNotAllowed
	}
	mac, ok := event.ParseMAC(r.Name)
	if !ok || !e.config.People.Endpoint(&r.endpoint, mac) {
		r.trace.AddName(trace.EndpointNotFound, r.Name, "")
		return trace.EndpointUnknown
	}
	r.endpoint.AsUser(&r.user)
	r.Decision.User = r.user.Name
	r.trace.AddBytes(trace.EndpointFound, r.user.Name, r.Name)
	if calling, ok := event.ParseMAC(r.Calling); ok && calling != mac {
		r.trace.AddBytes(trace.EndpointUnlike, r.user.Name, r.Calling)
		return trace.EndpointMismatch
	}
	if r.endpoint.Over(e.now().Unix()) {
		var room [len(time.RFC3339)]byte
		r.trace.AddBytes(trace.EndpointIsOver, r.user.Name, time.Unix(r.endpoint.NotAfter, 0).UTC().AppendFormat(room[:0], time.RFC3339))
		return trace.EndpointExpired
	}
	return trace.OK
}

// endpointName appends the name of the endpoint that a login name means to a client that lets devices in; ok is false if there is none.
func (e *Engine) endpointName(dst []byte, client *policy.Client, name []byte) (_ []byte, ok bool) {
	if !client.MACAuthentication {
		return dst, false
	}
	mac, ok := event.ParseMAC(name)
	if !ok || !e.config.People.HasEndpoint(mac) {
		return dst, false
	}
	return mac.AppendText(dst), true
}
