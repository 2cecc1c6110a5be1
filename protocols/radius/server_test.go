package radius

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"trine/engine"
	"trine/engine/event"
	"trine/engine/policy"
	"trine/engine/trace"
	"trine/protocols/loop"
	"trine/protocols/radius/wire"
)

// slowLane decides logins on another goroutine, and commits there.
type slowLane struct{ fakeLane }

func (l *slowLane) Authenticate(r *engine.Request) bool {
	go func() {
		r.Decision = engine.Decision{ID: 1, Verdict: event.Accept, Reason: trace.OK}
		if string(r.Proof.Password) != "wonderland" {
			r.Decision.Verdict, r.Decision.Reason = event.Reject, trace.PasswordWrong
		}
		r.Done.Decided(r)
	}()
	return false
}

func (l *slowLane) Account(a *engine.Accounting) {
	go a.Done.Accounted(a)
}

// start runs a server on loopback in front of slow lanes.
func start(t *testing.T) *Server {
	t.Helper()
	r := newRig(t)
	s, err := startShared(Config{
		Authentication: []string{"127.0.0.1:0", "[::1]:0"}, Accounting: []string{"127.0.0.1:0"}, Loops: 2,
		NewLane: func() Lane { return new(slowLane) },
	}, func(netip.Addr) (*policy.Cache, *policy.Client) { return new(policy.Cache), r.client })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

// exchange sends a request and returns the verified answer.
func exchange(t *testing.T, to netip.AddrPort, code wire.Code, fill func(*wire.Builder)) *wire.View {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	key := mustKey(t, "testing123")
	var b wire.Builder
	b.Request(make([]byte, 0, 4096), code, 9, key)
	if fill != nil {
		fill(&b)
	}
	p, fault := b.Finish()
	if fault != wire.OK {
		t.Fatal(fault)
	}
	if _, err := c.Write(p); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatalf("%v to %v: %v", code, to, err)
	}
	v := new(wire.View)
	if fault := wire.Parse(buf[:n], v); fault != wire.OK {
		t.Fatal(fault)
	}
	if fault := key.VerifyReply(v, 9, b.Authenticator(), v.Code() != wire.AccountingResponse); fault != wire.OK {
		t.Fatal(fault)
	}
	return v
}

func TestServerAnswersOverSockets(t *testing.T) {
	s := start(t)
	v4, v6, accounting := s.AuthenticationAddr(0), s.AuthenticationAddr(1), s.AccountingAddr(0)
	for _, tc := range []struct {
		name string
		to   netip.AddrPort
		code wire.Code
		fill func(*wire.Builder)
		want wire.Code
	}{
		{"accept", v4, wire.AccessRequest, pap("alice", "wonderland"), wire.AccessAccept},
		{"accept over IPv6", v6, wire.AccessRequest, pap("alice", "wonderland"), wire.AccessAccept},
		{"reject", v4, wire.AccessRequest, pap("alice", "looking-glass"), wire.AccessReject},
		{"accounting", accounting, wire.AccountingRequest, func(b *wire.Builder) { b.Accounting(1, "s") }, wire.AccountingResponse},
		{"status of authentication", v6, wire.StatusServer, nil, wire.AccessAccept},
		{"status of accounting", accounting, wire.StatusServer, nil, wire.AccountingResponse},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := time.Now()
			if v := exchange(t, tc.to, tc.code, tc.fill); v.Code() != tc.want {
				t.Errorf("answer is %v", v.Code())
			}
			if took := time.Since(before); tc.want == wire.AccessReject && took < time.Second {
				t.Errorf("the reject came after %v", took)
			}
		})
	}
	stats := s.Stats()
	want := map[string]uint64{"accept": 2, "reject": 1, "recorded": 1, "repeat": 0, "status": 2}
	for _, c := range stats.Answers {
		if c.Count != want[c.Label] {
			t.Errorf("%d answers %q", c.Count, c.Label)
		}
	}
	for _, l := range stats.Latencies {
		n := uint64(0)
		for _, b := range l.Buckets {
			n += b
		}
		if l.Method == "pap" && n != 3 || l.Kind == "accounting" && n != 1 {
			t.Errorf("%s %s: %d observed", l.Kind, l.Method, n)
		}
	}
}

func TestStopAnswersWhatIsUnderWay(t *testing.T) {
	r := newRig(t)
	s, err := startShared(Config{Authentication: []string{"127.0.0.1:0"}, NewLane: func() Lane { return new(slowLane) }},
		func(netip.Addr) (*policy.Cache, *policy.Client) { return new(policy.Cache), r.client })
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			if v := exchange(t, s.AuthenticationAddr(0), wire.AccessRequest, pap("alice", "wrong")); v.Code() != wire.AccessReject {
				t.Errorf("answer is %v", v.Code())
			}
		})
	}
	for s.Stats().Requests[kindAccess].Count < 10 {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil { // the rejects wait for their second
		t.Fatal(err)
	}
	group.Wait()
}

func TestSecondServerOnAPortIsRefusedByName(t *testing.T) {
	s := start(t)
	_, err := startShared(Config{Accounting: []string{s.AccountingAddr(0).String()}, NewLane: func() Lane { return new(slowLane) }}, nil)
	if !errors.Is(err, loop.ErrPortInUse) || !bytes.Contains([]byte(err.Error()), []byte("radius-accounting")) {
		t.Fatalf("error is %v", err)
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	for name, c := range map[string]Config{
		"nothing":        {},
		"no engine":      {Authentication: []string{"127.0.0.1:0"}},
		"life too short": {Authentication: []string{"127.0.0.1:0"}, NewLane: func() Lane { return nil }, Policies: new(policy.Holder), DuplicateLife: time.Second},
	} {
		if _, err := Start(c); err == nil {
			t.Errorf("%s: started", name)
		}
	}
}
