package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
	"trine/appliance/probe"
)

// wall moves a reading's time of day and leaves its monotonic part, which is what happens to readings when somebody sets the
// clock. Package time has no other way to make one: the seconds stand above the 30 bits of nanoseconds in a Time's first word.
func wall(reading time.Time, by time.Duration) time.Time {
	*(*uint64)(unsafe.Pointer(&reading)) += uint64(by/time.Second) << 30
	return reading
}

// TestClockThatJumpsLosesAndResurrectsNothing moves a node's clock by days, forth and back, while devices send accounting.
func TestClockThatJumpsLosesAndResurrectsNothing(t *testing.T) {
	t.Parallel()
	var offset atomic.Int64
	clock := func() time.Time { return wall(time.Now(), time.Duration(offset.Load())) }
	if now, moved := time.Now(), -30*time.Hour; wall(now, moved).Sub(now) != 0 || wall(now, moved).Round(0).Sub(now.Round(0)) != moved {
		t.Fatal("this release of Go keeps readings of the clock in another way")
	}
	s := DefaultSettings()
	s.Data, s.Quickstart, s.NodeName = filepath.Join(t.TempDir(), "data"), true, "test"
	s.TacacsListen, s.WebListen = nil, nil
	s.RadiusAuthentication, s.RadiusAccounting, s.ManagementListen, s.RadiusLoops = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}, "127.0.0.1:0", 1
	logger := slog.New(slog.DiscardHandler)
	node, err := startAt(t.Context(), s, logger, clock)
	if err != nil {
		t.Fatal(err)
	}
	halt := func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
		defer cancel()
		if err := node.Stop(ctx); err != nil {
			t.Error(err)
		}
	}
	n := &interop{t: t, addr: node.Addresses()}
	if n.admin, err = client.New(client.Options{Data: s.Data}); err != nil {
		t.Fatal(err)
	}
	defer n.admin.Close()
	auth := n.addr.RadiusAuthentication[0]
	n.apply(clientDocument("secrets: [{value: testing123}, {value: for-an-hour, notAfter: "+clock().Add(time.Hour).UTC().Format(time.RFC3339)+"}]", "127.0.0.0/8"))
	key, err := n.admin.CreateKey(t.Context(), api.KeyRequest{Description: "for a day", Scopes: []string{"read"}, Days: 1})
	if err != nil {
		t.Fatal(err)
	}
	remote, err := client.New(client.Options{Server: "https://" + n.addr.Management, Key: key.Secret, Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	defer remote.Close()
	keyWorks := func(want bool) {
		t.Helper()
		_, err := remote.Status(t.Context())
		var p *api.Problem
		switch {
		case want && err != nil:
			t.Errorf("the key is refused: %v", err)
		case !want && (!errors.As(err, &p) || p.Reason != api.ReasonUnauthorized):
			t.Errorf("the key that expired is answered with %v", err)
		}
	}
	n.accepts(auth, "for-an-hour", "alice", "wonderland", true)
	keyWorks(true)

	device := newNAS(t, "nas-quiet", netip.MustParseAddrPort(n.addr.RadiusAccounting[0]), "testing123")
	if ok, err := device.account(record{"quiet", "start", 0}, "bob", nil); !ok || err != nil {
		t.Fatalf("%v, %v", ok, err)
	}
	quiet := func() int {
		list, err := n.admin.Sessions(t.Context(), client.SessionQuery{NAS: "nas-quiet"})
		if err != nil {
			t.Fatal(err)
		}
		return len(list.Sessions)
	}
	if quiet() != 1 {
		t.Fatal("the session did not begin")
	}

	stop := make(chan struct{})
	acked, devices := load(t, netip.MustParseAddrPort(n.addr.RadiusAccounting[0]), "testing123", 4, stop)
	onward := func() {
		t.Helper()
		before := len(acked.snapshot())
		for deadline := time.Now().Add(20 * time.Second); len(acked.snapshot()) < before+50; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("accounting stands still at a clock that is %v ahead", time.Duration(offset.Load()))
			}
		}
		n.accepts(auth, "testing123", "alice", "wonderland", true)
		n.accepts(auth, "testing123", "alice", "looking-glass", false)
	}
	onward()
	for step, days := range []int{3, 0, -2, 5, 0} {
		offset.Store(int64(time.Duration(days) * 24 * time.Hour))
		onward()
		n.apply(fmt.Sprintf("kind: Group\nname: written\nspec:\n  description: step %d\n", step))
		if days > 0 {
			keyWorks(false)
			if _, err := n.login(auth, "for-an-hour", "alice", "wonderland", probe.MethodPAP); !errors.Is(err, probe.ErrNoAnswer) {
				t.Errorf("a secret that expired is answered: %v", err)
			}
			for deadline := time.Now().Add(20 * time.Second); quiet() > 0; time.Sleep(50 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("a session of days ago lives on")
				}
			}
		}
		if step > 0 && quiet() > 0 {
			t.Error("a session that ended came back with the clock")
		}
	}
	close(stop)
	devices.Wait()
	book := ledger{records: map[record]int{}}
	check := func() {
		t.Helper()
		book.read(t, n.admin)
		book.check(t, acked.snapshot(), 5)
	}
	check()
	halt()
	if node, err = startAt(t.Context(), s, logger, clock); err != nil {
		t.Fatal(err)
	}
	book = ledger{records: map[record]int{}}
	check()
	if quiet() > 0 {
		t.Error("a session that ended came back with the restart")
	}
	halt()
	replayed(t, s.Data)
}
