package radius

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"trine/engine"
	"trine/engine/event"
	"trine/engine/trace"
	"trine/protocols/loop"
	"trine/protocols/radius/wire"
)

func TestRejectWaitsForItsTimeCountedFromArrival(t *testing.T) {
	r := newRig(t)
	r.lane.decide = waiting
	p := r.request(wire.AccessRequest, pap("a", "wrong"))
	r.give(r.auth, p)
	r.pass(400 * time.Millisecond) // verifying takes its time
	q := r.lane.last
	q.Decision.Verdict, q.Decision.Reason = event.Reject, trace.PasswordWrong
	q.Done.Decided(q)
	r.wake()
	r.give(r.auth, p) // a retransmission meanwhile
	r.pass(500 * time.Millisecond)
	r.silent(causePending)
	if r.h.Pending() != 1 {
		t.Errorf("%d pending", r.h.Pending())
	}
	r.pass(100 * time.Millisecond)
	if v := r.answer(p); v.Code() != wire.AccessReject {
		t.Fatal(v.Code())
	}
	if r.h.Pending() != 0 {
		t.Errorf("%d pending", r.h.Pending())
	}
	// Where verifying took longer than the delay, nothing is added.
	p = r.request(wire.AccessRequest, pap("a", "wrong"))
	r.give(r.auth, p)
	r.pass(2 * time.Second)
	q = r.lane.last
	q.Decision.Verdict, q.Decision.Reason = event.Reject, trace.PasswordWrong
	q.Done.Decided(q)
	r.wake()
	r.answer(p)
}

func TestRetransmissionGetsTheSameBytes(t *testing.T) {
	r := newRig(t)
	p := r.request(wire.AccessRequest, pap("alice", "x"))
	r.give(r.auth, p)
	first := bytes.Clone(r.port.sent[0].data)
	r.answer(p)
	for _, wait := range []time.Duration{time.Second, 8 * time.Second} {
		r.pass(wait)
		r.give(r.auth, p)
		if len(r.port.sent) != 1 || !bytes.Equal(r.port.sent[0].data, first) {
			t.Fatalf("after %v another answer came", wait)
		}
		r.port.sent = nil
	}
	if r.lane.requests != 1 || r.h.stats.resent.Load() != 2 {
		t.Fatalf("the engine was asked %d times", r.lane.requests)
	}
	r.pass(2 * time.Second)
	r.give(r.auth, p)
	r.answer(p)
	if r.lane.requests != 2 {
		t.Error("an answer outlived its life")
	}
}

func TestRetransmissionWhilePendingIsSilentAndJoins(t *testing.T) {
	r := newRig(t)
	r.lane.decide = waiting
	p := r.request(wire.AccessRequest, pap("alice", "x"))
	r.give(r.auth, p)
	r.give(r.auth, p)
	r.silent(causePending)
	q := r.lane.last
	q.Decision.Verdict, q.Decision.Reason = event.Accept, trace.OK
	q.Done.Decided(q)
	r.wake()
	r.answer(p)
	if r.lane.requests != 1 {
		t.Errorf("the engine was asked %d times", r.lane.requests)
	}
}

func TestDuplicatesAreToldApartByTheirKey(t *testing.T) {
	r := newRig(t)
	p := r.request(wire.AccessRequest, pap("alice", "x"))
	for _, change := range []func(){
		func() {},
		func() { r.from = netip.AddrPortFrom(r.from.Addr(), 50001) },
		func() { r.from = netip.MustParseAddrPort("192.0.2.8:50001") },
		func() { r.auth = &loop.Socket{Listener: 0, Index: 2} },
	} {
		change()
		r.give(r.auth, p)
		r.answer(p)
	}
	if r.lane.requests != 4 {
		t.Fatalf("the engine was asked %d times", r.lane.requests)
	}
}

func TestAnotherAuthenticatorEvicts(t *testing.T) {
	r := newRig(t)
	r.lane.decide = waiting
	old := r.request(wire.AccessRequest, pap("alice", "x"))
	r.give(r.auth, old)
	late := r.lane.last
	r.nextID-- // the device reuses the identifier
	fresh := r.request(wire.AccessRequest, pap("alice", "y"))
	r.lane.decide = nil
	r.give(r.auth, fresh)
	r.answer(fresh)
	late.Decision.Verdict, late.Decision.Reason = event.Accept, trace.OK
	late.Done.Decided(late)
	r.wake()
	r.silent(causeSuperseded)
	r.give(r.auth, fresh)
	r.answer(fresh)
	if r.lane.requests != 2 {
		t.Errorf("the engine was asked %d times", r.lane.requests)
	}
}

func TestForgedPacketDoesNotEvict(t *testing.T) {
	r := newRig(t)
	p := r.request(wire.AccessRequest, pap("alice", "x"))
	r.give(r.auth, p)
	r.answer(p)
	forged := bytes.Clone(p)
	forged[4] ^= 1
	r.give(r.auth, forged)
	r.silent(cause(wire.SignatureMismatch))
	r.give(r.auth, p)
	r.answer(p)
	if r.lane.requests != 1 {
		t.Error("the forged packet evicted the answer")
	}
}

func TestDiscardedLoginIsTriedAgain(t *testing.T) {
	r := newRig(t)
	r.lane.decide = func(q *engine.Request) bool {
		q.Decision.Verdict, q.Decision.Reason = event.Discard, trace.LogNoLeader
		return true
	}
	p := r.request(wire.AccessRequest, pap("alice", "x"))
	r.give(r.auth, p)
	r.silent(causeDiscarded)
	r.lane.decide = nil
	r.give(r.auth, p)
	r.answer(p)
}

func TestOverloadDropsTheNewestAndCounts(t *testing.T) {
	r := newRig(t)
	r.lane.decide = waiting
	for i := range 70 {
		r.from = netip.AddrPortFrom(r.from.Addr(), uint16(1000+i))
		r.give(r.auth, r.request(wire.AccessRequest, pap("a", "b")))
	}
	if n := r.h.stats.dropped[causeLogins].Load(); n != 6 || r.lane.requests != 64 {
		t.Errorf("%d dropped, %d taken", n, r.lane.requests)
	}
	// Accounting has room of its own.
	for i := range 70 {
		r.from = netip.AddrPortFrom(r.from.Addr(), uint16(2000+i))
		r.give(r.acct, r.request(wire.AccountingRequest, func(b *wire.Builder) { b.Accounting(1, "s") }))
	}
	if n := r.h.stats.dropped[causeRecords].Load(); n != 6 || len(r.lane.accounts) != 64 {
		t.Errorf("%d dropped, %d taken", n, len(r.lane.accounts))
	}
}

func TestDrainTakesNothingNewAndFinishes(t *testing.T) {
	r := newRig(t)
	r.lane.decide = waiting
	p := r.request(wire.AccessRequest, pap("alice", "x"))
	r.give(r.auth, p)
	r.h.Drain()
	r.give(r.auth, r.request(wire.AccessRequest, pap("bob", "x")))
	r.silent(causeDraining)
	if r.h.Pending() != 1 {
		t.Fatalf("%d pending", r.h.Pending())
	}
	q := r.lane.last
	q.Decision.Verdict, q.Decision.Reason = event.Accept, trace.OK
	q.Done.Decided(q)
	r.wake()
	r.answer(p)
	if r.h.Pending() != 0 {
		t.Fatalf("%d pending", r.h.Pending())
	}
}

func TestComplaintsAreLimited(t *testing.T) {
	r := newRig(t)
	r.key = mustKey(t, "other")
	p := r.request(wire.AccessRequest, pap("a", "b"))
	for range 100 {
		r.give(r.auth, p)
	}
	if n := strings.Count(r.logs.String(), "\n"); n != 1 {
		t.Fatalf("%d lines for one wrong secret", n)
	}
	r.pass(11 * time.Second)
	r.give(r.auth, p)
	if !strings.Contains(r.logs.String(), "suppressed=99") || !strings.Contains(r.logs.String(), "secret differs?") {
		t.Errorf("log is %s", r.logs)
	}
	if strings.Contains(r.logs.String(), "testing123") {
		t.Error("the log holds a secret")
	}
}
