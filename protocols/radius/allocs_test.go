package radius

import (
	"testing"
	"time"

	"trine/engine"
	"trine/engine/attribute"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/trace"
	"trine/protocols/radius/wire"
)

// TestPacketPathAllocatesNothing holds the promise of no heap allocation a packet, in all of the handler's own code.
func TestPacketPathAllocatesNothing(t *testing.T) {
	accept := func(q *engine.Request) bool {
		q.Decision.Verdict, q.Decision.Reason, q.Decision.UserID = event.Accept, trace.OK, 7
		q.Proof.HasKeys = true
		return true
	}
	template, group := compile(t, "Session-Timeout = 60\nTunnel-Password:1 = hush"), compile(t, "Tunnel-Type:1 = VLAN\nSession-Timeout = 5")
	filter := released(t, "Filter-Id", "staff", "it")
	replies, attributes := []any{template, group}, []attribute.Released{filter, released(t, "Tunnel-Private-Group-Id:1", "7")}
	rich := func(q *engine.Request) bool {
		q.Decision.Replies, q.Decision.Released = replies, attributes
		return accept(q)
	}
	reject := func(q *engine.Request) bool {
		q.Decision.Verdict, q.Decision.Reason = event.Reject, trace.PasswordWrong
		return true
	}
	proxied := func(fill func(*wire.Builder)) func(*wire.Builder) {
		return func(b *wire.Builder) {
			fill(b)
			b.Text(wire.NASIdentifier, "nas")
			b.Text(wire.ProxyState, "proxy")
		}
	}
	for _, tc := range []struct {
		name   string
		code   wire.Code
		fill   func(*wire.Builder)
		decide func(*engine.Request) bool
	}{
		{"PAP", wire.AccessRequest, proxied(pap("alice", "wonderland")), accept},
		{"PAP reject, at once", wire.AccessRequest, proxied(pap("alice", "wonderland")), reject},
		{"CHAP", wire.AccessRequest, func(b *wire.Builder) { b.CHAP("alice", 1, [16]byte{}, []byte("challenge")) }, accept},
		{"MS-CHAP", wire.AccessRequest, func(b *wire.Builder) { b.MSCHAP("alice", 1, [8]byte{}, [24]byte{}) }, accept},
		{"MS-CHAPv2", wire.AccessRequest, func(b *wire.Builder) { b.MSCHAP2("alice", 1, [16]byte{}, [16]byte{}, [24]byte{}) }, accept},
		{"MS-CHAPv2 reject", wire.AccessRequest, func(b *wire.Builder) { b.MSCHAP2("alice", 1, [16]byte{}, [16]byte{}, [24]byte{}) }, reject},
		{"with Chargeable-User-Identity", wire.AccessRequest, func(b *wire.Builder) { b.PAP("alice", "x"); b.Attr(wire.ChargeableUser, []byte{0}) }, accept},
		{"with templates and attributes", wire.AccessRequest, pap("alice", "x"), rich},
		{"accounting", wire.AccountingRequest, proxied(func(b *wire.Builder) { b.Accounting(3, "session"); b.Text(wire.UserName, "alice") }), nil},
		{"Status-Server", wire.StatusServer, nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, func(c *document.RadiusClient) { c.RejectDelay, c.ChargeableUserIdentity = 0, true })
			r.lane.decide, r.lane.commit, r.port.keep = tc.decide, true, false
			s := r.auth
			if tc.code == wire.AccountingRequest {
				s = r.acct
			}
			packets := make([][]byte, 256)
			for i := range packets {
				packets[i] = r.request(tc.code, tc.fill)
			}
			i := 0
			one := func() {
				r.packet(s, packets[i%len(packets)])
				r.h.Wake()
				r.port.now = r.port.now.Add(100 * time.Millisecond) // so that no answer is left when its packet comes again
				r.h.EndBatch(true)
				i++
			}
			for range packets {
				one() // grow the pools
			}
			before := r.port.count
			if n := testing.AllocsPerRun(1000, one); n != 0 {
				t.Errorf("%v allocations a packet", n)
			}
			if r.port.count-before != 1001 {
				t.Errorf("%d of 1001 packets were answered; log %s", r.port.count-before, r.logs)
			}
		})
	}
}

func TestRetransmissionAllocatesNothing(t *testing.T) {
	r := newRig(t)
	r.port.keep = false
	p := r.request(wire.AccessRequest, pap("alice", "x"))
	r.give(r.auth, p)
	if n := testing.AllocsPerRun(1000, func() { r.packet(r.auth, p) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
