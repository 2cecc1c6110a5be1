package engine

import (
	"testing"
	"time"

	"trine/engine/credential"
	"trine/engine/event"
	"trine/engine/trace"
)

// quiet makes the log one that only copies what is proposed.
func (r *rig) quiet() { r.log.set(func(l *memoryLog) { l.copies = make([]byte, 0, 1<<20) }) }

func TestFastWaysAllocateNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector empties pools at random")
	}
	for _, c := range []struct {
		name    string
		arrange func(r *rig)
		request func(r *rig) *Request
		reason  trace.Reason
	}{
		{name: "PAP, clear kept"},
		{name: "PAP, verified before", request: func(r *rig) *Request { return r.request("bob", "builder") }},
		{name: "PAP, traced", arrange: func(r *rig) { r.engine.config.TraceAccepts = 1 }},
		{name: "PAP, recorded first", arrange: (*rig).recordFirst},
		{name: "CHAP", request: func(r *rig) *Request { return prove(t, r.alice(), credential.CHAP, "wonderland") }},
		{name: "MS-CHAPv1", request: func(r *rig) *Request { return prove(t, r.alice(), credential.MSCHAPv1, "wonderland") }},
		{name: "MS-CHAPv2", request: func(r *rig) *Request { return prove(t, r.alice(), credential.MSCHAPv2, "wonderland") }},
		{name: "wrong password", request: func(r *rig) *Request { return r.request("alice", "rabbit") }, reason: trace.PasswordWrong},
		{name: "CHAP of nobody", request: func(r *rig) *Request { return prove(t, r.request("nobody", ""), credential.CHAP, "x") }, reason: trace.UserUnknown},
		{name: "PAP, with lockout", arrange: func(r *rig) { r.lockout("{}") }},
		{name: "wrong password that counts", arrange: func(r *rig) {
			r.lockout("{attempts: 1000, total: 100000}")
			now := r.clock.Now()
			r.engine.clock = func() time.Time { now = now.Add(time.Second); return now } // so that no guess comes too soon after another
		}, request: func(r *rig) *Request { return r.request("alice", "rabbit") }, reason: trace.PasswordWrong},
		{name: "locked out", arrange: func(r *rig) {
			r.lockout("{attempts: 1}")
			r.decide(r.request("alice", "rabbit"))
			r.lane.Flush()
		}, request: func(r *rig) *Request { return r.request("alice", "wonderland") }, reason: trace.UserLockedSource},
		{name: "roles and an account required", arrange: func(r *rig) {
			r.apply(office + `---
{kind: Group, name: staff, spec: {roles: [{role: clerk@erp}], reply: ["Session-Timeout = 3600"]}}
---
{kind: Account, name: a@erp, spec: {owner: alice}}
---
` + requiring("requiredSystem: erp, requiredRoles: [admin@erp, clerk@erp]"))
		}},
		{name: "authorization policy", arrange: func(r *rig) {
			r.apply(office + `---
{kind: Endpoint, name: aabbccddeeff, spec: {group: staff}}
---
` + requiring(`labels: {site: [a, b]}, authorizationPolicy: [
  {name: one, condition: {requestAttribute: {attribute: X, value: a}}, reject: true},
  {name: two, condition: {and: [{endpointGroup: staff}, {group: staff}, {userType: default}, {not: {role: admin@erp}}, {ssid: x}]}, reject: true},
  {name: three, condition: {time: {from: "00:00", until: "01:00", zone: Europe/Madrid}}, reject: true},
  {name: four, condition: {and: [{deviceLabel: {name: site, value: b}}, {attributeValue: {attribute: room, value: B2}}, {endpointGroup: staff}]}, reply: [A = 1]}]`))
		}, request: func(r *rig) *Request {
			q := r.alice()
			q.Called, q.Attributes = []byte("00-11-22-33-44-55:corp"), attributes{"X": {[]byte("b")}}
			return q
		}},
		{name: "device by its MAC address", arrange: func(r *rig) {
			r.apply(`{kind: Endpoint, name: aabbccddeeff, spec: {group: staff, attributes: {room: [A1, B2]}}}
---
{kind: ServiceProvider, name: wlan, spec: {type: radius, radius: {sourceIPs: [10.0.0.0/8], secret: one, macAuthentication: true}}}`)
		}, request: func(r *rig) *Request { return prove(r.t, r.request("aabb.ccdd.eeff", ""), credential.MAC, "") }},
		{name: "role missing", arrange: func(r *rig) { r.apply(office + "---\n" + requiring("requiredRoles: [admin@erp]")) }, reason: trace.RoleMissing},
		{name: "realm stripped", arrange: func(r *rig) {
			r.apply(`{kind: ServiceProvider, name: wlan, spec: {type: radius, radius: {sourceIPs: [10.0.0.0/8], secret: one, realms: [{name: "*"}]}}}`)
		}, request: func(r *rig) *Request { return r.request("alice@example.org", "wonderland") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			if c.arrange != nil {
				c.arrange(r)
			}
			r.decide(r.request("bob", "builder"))
			r.quiet()
			q := r.alice()
			if c.request != nil {
				q = c.request(r)
			}
			q.Done = silent{}
			if c.reason == "" {
				c.reason = trace.OK
			}
			n := testing.AllocsPerRun(2000, func() { // enough to fill and hand over journals
				r.lane.Authenticate(q)
				if q.Decision.Reason != c.reason {
					t.Fatalf("%+v", q.Decision)
				}
			})
			if n != 0 {
				t.Errorf("%v allocations", n)
			}
			if c.reason == trace.OK && string(q.Decision.User) == "Alice" && (len(q.Decision.Released) != 1 || len(q.Decision.Replies) < 1) {
				t.Errorf("%+v", q.Decision)
			}
		})
	}
}

func TestAccountingAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector empties pools at random")
	}
	r := newRig(t, nil)
	r.quiet()
	a := r.record(event.StatusInterim, "s1")
	a.Done = silent{}
	if n := testing.AllocsPerRun(1000, func() { r.lane.Account(a) }); n != 0 || a.Err != nil {
		t.Errorf("%v allocations, %v", n, a.Err)
	}
}

// silent takes deliveries without a word.
type silent struct{}

func (silent) Decided(*Request)      {}
func (silent) Accounted(*Accounting) {}

func BenchmarkPAPAccept(b *testing.B) {
	for _, c := range []struct{ name, user, password string }{{"clear", "alice", "wonderland"}, {"cached", "bob", "builder"}} {
		b.Run(c.name, func(b *testing.B) {
			r := newRig(b, nil)
			r.decide(r.request("bob", "builder"))
			r.quiet()
			q := r.request(c.user, c.password)
			b.ReportAllocs()
			for b.Loop() {
				if !r.lane.Authenticate(q) || q.Decision.Verdict != event.Accept {
					b.Fatal(q.Decision)
				}
			}
		})
	}
}
