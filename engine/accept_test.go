package engine

import (
	"fmt"
	"testing"
	"time"

	"trine/engine/credential"
	"trine/engine/event"
	"trine/engine/trace"
)

func TestEachMethodIsAccepted(t *testing.T) {
	for _, m := range []credential.Method{credential.PAP, credential.CHAP, credential.MSCHAPv1, credential.MSCHAPv2} {
		for _, name := range []string{"Alice", "ALICE", "ally"} {
			t.Run(fmt.Sprintf("%s as %s", m, name), func(t *testing.T) {
				r := newRig(t, nil)
				q := prove(t, r.request(name, ""), m, "wonderland")
				d := r.accept(q)
				if string(d.User) != "Alice" || d.UserID == 0 || d.ID == 0 {
					t.Errorf("the user is %s (%d), the decision %d", d.User, d.UserID, d.ID)
				}
				if q.Proof.HasKeys != (m == credential.MSCHAPv1 || m == credential.MSCHAPv2) {
					t.Errorf("has keys: %v", q.Proof.HasKeys)
				}
				rec := r.recorded(q)
				if rec.Verdict != event.Accept || rec.Method != uint32(m) || string(rec.User) != "Alice" || string(rec.UserName) != name {
					t.Errorf("recorded %+v", rec.DecidedView)
				}
				wrong := prove(t, r.request(name, ""), m, "rabbit")
				r.deny(wrong, event.Reject, trace.PasswordWrong)
				if wrong.Proof.HasKeys {
					t.Error("a wrong password yields keys")
				}
			})
		}
	}
}

func TestAcceptCarriesRepliesAndReleasedAttributes(t *testing.T) {
	r := newRig(t, nil)
	d := r.accept(r.request("alice", "wonderland"))
	if len(d.Replies) != 2 || d.Replies[0] != "Idle-Timeout = 60" || d.Replies[1] != "Session-Timeout = 3600" {
		t.Errorf("replies %v", d.Replies)
	}
	if len(d.Released) != 1 || d.Released[0].Attribute.Name != "room" || len(d.Released[0].Values) != 2 || string(d.Released[0].Values[1]) != "B2" {
		t.Errorf("released %v", d.Released)
	}
	// A request is used again and again: nothing of one login may be seen in the next.
	q := r.request("alice", "wonderland")
	r.accept(q)
	q.Name, q.Proof = []byte("nobody"), credential.Proof{Method: credential.PAP, Password: []byte("wonderland")}
	r.deny(q, event.Reject, trace.UserUnknown)
	if len(q.Decision.User) > 0 || q.Decision.UserID != 0 {
		t.Errorf("a stranger is %s", q.Decision.User)
	}
}

func TestSlowPasswordIsDeliveredLater(t *testing.T) {
	r := newRig(t, nil)
	r.bench.set(func(b *bench) { b.hold = true })
	q := r.request("bob", "builder")
	if r.lane.Authenticate(q) {
		t.Fatalf("decided at once: %+v", q.Decision)
	}
	if n := r.inbox.decided(q); n != 0 {
		t.Fatalf("delivered %d times before the hasher was done", n)
	}
	r.bench.work()
	r.once(q, false, 0)
	if q.Decision.Verdict != event.Accept {
		t.Fatalf("%+v", q.Decision)
	}
	if rec := r.recorded(q); rec.Verdict != event.Accept || len(rec.Steps) != 0 {
		t.Errorf("recorded %s", rec.words())
	}
	q = r.request("bob", "builder")
	if !r.lane.Authenticate(q) || q.Decision.Verdict != event.Accept {
		t.Errorf("a password that was verified before is not decided at once: %+v", q.Decision)
	}
	wrong := r.request("bob", "destroyer")
	if rec := r.deny(wrong, event.Reject, trace.PasswordWrong); rec.step(trace.WorkerAnswered) == nil {
		t.Errorf("the trace does not tell of the worker: %s", rec.words())
	}
}

func TestEqualLoginsShareOneVerificationAndAreDeliveredEach(t *testing.T) {
	r := newRig(t, nil)
	r.bench.set(func(b *bench) { b.hold = true })
	var logins []*Request
	for range 20 {
		q := r.request("bob", "builder")
		logins = append(logins, q)
		if r.lane.Authenticate(q) {
			t.Fatal("decided at once")
		}
	}
	if n := len(r.bench.jobs); n != 1 {
		t.Errorf("%d jobs", n)
	}
	r.bench.work()
	for _, q := range logins {
		r.once(q, false, 0)
		if q.Decision.Verdict != event.Accept {
			t.Errorf("%+v", q.Decision)
		}
	}
}

func TestDecisionIdsAreUnlike(t *testing.T) {
	r := newRig(t, nil)
	seen := map[uint64]bool{}
	other := r.engine.NewLane()
	for range 100 {
		for _, l := range []*Lane{r.lane, other} {
			id := l.newID()
			if id == 0 || seen[id] {
				t.Fatalf("id %d came twice or is 0", id)
			}
			seen[id] = true
		}
	}
	l := &Lane{next: 1<<40 - 1}
	if id := l.newID(); id != 1 {
		t.Errorf("after the last count of lane 0 comes %d; 0 means no decision", id)
	}
}

func TestNoCacheMeansTheOneInForce(t *testing.T) {
	r := newRig(t, nil)
	q := r.request("alice", "wonderland")
	q.Cache = nil
	r.accept(q)
	if q.Cache != r.compiler.Holder().Load() {
		t.Error("another cache")
	}
}

func TestResetForgetsTheLogin(t *testing.T) {
	r := newRig(t, nil)
	q := r.request("alice", "wonderland")
	q.Remark, q.Token = "remark", 9
	r.accept(q)
	q.Reset()
	if q.Protocol != "" || q.Cache != nil || q.Client != nil || q.Name != nil || q.Proof.Password != nil || q.Done != nil || q.Remark != "" ||
		q.Token != 0 || !q.Arrived.IsZero() || !q.Deadline.IsZero() || q.Source.IsValid() {
		t.Errorf("%+v", q)
	}
	if d := &q.Decision; d.ID != 0 || d.Verdict != 0 || d.Reason != "" || d.User != nil || len(d.Replies) != 0 || d.Replies[:1][0] != nil {
		t.Errorf("%+v", d)
	}
}

func TestRejectAfterTheDeadlineStaysAReject(t *testing.T) {
	r := newRig(t, nil)
	r.bench.set(func(b *bench) { b.hold = true })
	q := r.request("bob", "wrong")
	if r.lane.Authenticate(q) {
		t.Fatal("decided at once")
	}
	r.clock.move(time.Minute)
	r.bench.work()
	if q.Decision.Reason != trace.PasswordWrong {
		t.Errorf("%+v", q.Decision)
	}
}
