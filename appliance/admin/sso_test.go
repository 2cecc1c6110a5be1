package admin_test

import (
	"bytes"
	"errors"
	"net/http"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
	"trine/engine/event"
)

func TestSessionsOfSingleSignOnAreListedAndEnded(t *testing.T) {
	n, c := start(t)
	mustApply(t, c, "{kind: User, name: Alice}\n---\n{kind: User, name: bob}\n")
	record := func(typ event.Type, m proto.Message) {
		t.Helper()
		var b event.Builder
		if err := b.Add(typ, event.ClassSession, nil, m); err != nil {
			t.Fatal(err)
		}
		if err := n.Record(&b); err != nil {
			t.Fatal(err)
		}
	}
	until := time.Now().Add(time.Hour).Unix()
	for i, user := range []string{"Alice", "Alice", "Alice", "bob"} {
		record(event.TypeSSOStarted, &event.SsoStarted{
			Session: uint64(i + 1), Hash: bytes.Repeat([]byte{byte(i + 1)}, 32), User: user, Scope: "issuer/home", IdentityProvider: "home", Idle: 600, NotAfterUnix: until,
			Proofs: []*event.SsoStarted_Proof{{Factor: 1, AtUnix: 1772366400, Login: 5}, {Factor: 4, AtUnix: 1772366400, Login: 5, Device: true}}, Login: 5,
		})
	}
	record(event.TypeSSOUsed, &event.SsoUsed{Session: 1, Hash: bytes.Repeat([]byte{1}, 32), Client: "wiki", IdentityProvider: "home", Protocol: "oidc"})
	list := func(q client.SSOQuery, want ...uint64) *api.SSOSessionList {
		t.Helper()
		got, err := c.SSOSessions(t.Context(), q)
		if err != nil || len(got.Sessions) != len(want) {
			t.Fatalf("%+v, %v; want %d", got, err, want)
		}
		for i, number := range want {
			if got.Sessions[i].ID != event.FormatID(number) {
				t.Errorf("%d. session %s, want %s", i, got.Sessions[i].ID, event.FormatID(number))
			}
		}
		return got
	}
	page := list(client.SSOQuery{Limit: 3}, 1, 2, 3)
	list(client.SSOQuery{Limit: 3, After: page.Next}, 4)
	first := page.Sessions[0]
	if len(first.Visits) != 1 || first.Visits[0].Client != "wiki" || len(first.Factors) != 2 || first.Factors[0].Factor != "Password" || !first.Factors[1].TrustedDevice {
		t.Errorf("%+v", first)
	}
	if err := c.EndSSOSession(t.Context(), event.FormatID(4)); err != nil {
		t.Fatal(err)
	}
	list(client.SSOQuery{User: "bob"})
	ended := list(client.SSOQuery{User: "bob", Ended: true}, 4).Sessions[0]
	if ended.Ended == nil || ended.Cause != "administrator" || ended.By == "" {
		t.Errorf("%+v", ended)
	}
	refusedWith(t, c.EndSSOSession(t.Context(), event.FormatID(4)), http.StatusNotFound)
	if done, err := c.EndSSOSessionsOf(t.Context(), "alice", event.FormatID(2)); err != nil || done.Ended != 2 {
		t.Fatalf("%+v, %v", done, err)
	}
	list(client.SSOQuery{User: "ALICE"}, 2)
	if done, err := c.EndSSOSessionsOf(t.Context(), "alice", ""); err != nil || done.Ended != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	if done, err := c.EndSSOSessionsOf(t.Context(), "alice", ""); err != nil || done.Ended != 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	_, err := c.EndSSOSessionsOf(t.Context(), "nobody", "")
	refusedWith(t, err, http.StatusNotFound)
}

func TestTrustedDevicesAreListedAndRevoked(t *testing.T) {
	n, c := start(t)
	mustApply(t, c, "{kind: User, name: Alice}\n")
	for _, id := range []string{"D1", "D2", "D3"} {
		var b event.Builder
		err := b.Add(event.TypeDeviceTrusted, event.ClassIdentity, nil, &event.DeviceTrusted{
			User: "Alice", Id: id, Hash: bytes.Repeat([]byte{7}, 32), Label: "laptop " + id, NotAfterUnix: time.Now().Add(time.Hour).Unix(), Limit: 10, Login: 5,
		})
		if err == nil {
			err = n.Record(&b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	devices := func(want int) []api.TrustedDevice {
		t.Helper()
		list, err := c.TrustedDevices(t.Context(), "alice")
		if err != nil || len(list.Devices) != want {
			t.Fatalf("%+v, %v", list, err)
		}
		return list.Devices
	}
	if d := devices(3)[0]; d.ID != "D1" || d.Label != "laptop D1" || d.Used != nil {
		t.Errorf("%+v", d)
	}
	if err := c.RevokeTrustedDevice(t.Context(), "alice", "D2"); err != nil {
		t.Fatal(err)
	}
	devices(2)
	refusedWith(t, c.RevokeTrustedDevice(t.Context(), "alice", "D2"), http.StatusNotFound)
	if err := c.RevokeTrustedDevice(t.Context(), "alice", ""); err != nil {
		t.Fatal(err)
	}
	devices(0)
	refusedWith(t, c.RevokeTrustedDevice(t.Context(), "nobody", ""), http.StatusNotFound)
}

// refusedWith fails unless an error is a problem with that status.
func refusedWith(t *testing.T, err error, status int) {
	t.Helper()
	var p *api.Problem
	if !errors.As(err, &p) || p.Status != status {
		t.Errorf("%v, want status %d", err, status)
	}
}
