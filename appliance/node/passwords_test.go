package node

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"trine/appliance/probe"
	"trine/protocols/radius/dictionary"
)

// ask tries a login, or a change of password, as a device does.
func (n *interop) ask(l probe.Login) *probe.Answer {
	n.t.Helper()
	names, err := dictionary.Standard()
	if err != nil {
		n.t.Fatal(err)
	}
	l.Server, l.Secret, l.Timeout, l.Tries = n.addr.RadiusAuthentication[0], "testing123", 5*time.Second, 1
	a, err := probe.Try(n.t.Context(), l, names)
	if err != nil {
		n.t.Fatal(err)
	}
	return a
}

const changeable = `
kind: UserType
name: default
spec: {password: {keep: [argon2id, nt], allowChange: true, minLength: 8, history: 2}}
`

// mustChange sets a password that has to be changed.
func (n *interop) mustChange(user, password string) {
	n.t.Helper()
	if err := n.admin.SetPassword(n.t.Context(), user, password, true); err != nil {
		n.t.Fatal(err)
	}
}

// TestPasswordIsChangedOverMSCHAP2 has a client that knows RFC 2759 by another library go through a change of password: it is told to, is
// refused a bad one, changes to a good one, and logs in with it.
func TestPasswordIsChangedOverMSCHAP2(t *testing.T) {
	t.Parallel()
	n := startInterop(t, changeable)
	n.mustChange("alice", "temporary-1")

	told := n.ask(probe.Login{User: "alice", Password: "temporary-1", Method: probe.MethodMSCHAP2})
	text := attribute(told, "MS-CHAP-Error")
	if told.Accepted || !strings.Contains(text, "E=648 R=0 C=") || !strings.Contains(text, " V=3 M=") {
		t.Fatalf("%s with %q", told.Code, text)
	}
	_, rest, _ := strings.Cut(text, " C=")
	if challenge, err := hex.DecodeString(rest[:min(32, len(rest))]); err != nil || len(challenge) != 16 {
		t.Errorf("the challenge is %q", rest)
	}
	if a := n.ask(probe.Login{User: "alice", Password: "temporary-1"}); a.Accepted {
		t.Error("a password that must be changed is accepted by PAP")
	}
	for _, bad := range []struct{ old, next string }{
		{"temporary-1", "short"}, {"temporary-1", "temporary-1"}, {"another one", "looking-glass"},
	} {
		a := n.ask(probe.Login{User: "alice", Password: bad.old, NewPassword: bad.next, Method: probe.MethodMSCHAP2})
		if a.Accepted || !strings.Contains(attribute(a, "MS-CHAP-Error"), "E=709 R=0 ") {
			t.Errorf("from %s to %s: %s with %q", bad.old, bad.next, a.Code, attribute(a, "MS-CHAP-Error"))
		}
	}
	stranger := n.ask(probe.Login{User: "nobody", Password: "x", NewPassword: "looking-glass", Method: probe.MethodMSCHAP2})
	if stranger.Accepted || !strings.Contains(attribute(stranger, "MS-CHAP-Error"), "E=709 R=0 ") {
		t.Errorf("a stranger is told %q", attribute(stranger, "MS-CHAP-Error"))
	}

	changed := n.ask(probe.Login{User: "alice", Password: "temporary-1", NewPassword: "looking-glass", Method: probe.MethodMSCHAP2})
	if !changed.Accepted || !changed.ServerProven {
		t.Fatalf("%s, the server has proved itself %v", changed.Code, changed.ServerProven)
	}
	for _, key := range []string{"MS-MPPE-Send-Key", "MS-MPPE-Recv-Key"} {
		if attribute(changed, key) == "" {
			t.Errorf("no %s", key)
		}
	}
	for _, method := range []string{probe.MethodPAP, probe.MethodMSCHAP2} {
		if a := n.ask(probe.Login{User: "alice", Password: "looking-glass", Method: method}); !a.Accepted {
			t.Errorf("the new password by %s: %s", method, a.Code)
		}
		if a := n.ask(probe.Login{User: "alice", Password: "temporary-1", Method: method}); a.Accepted {
			t.Errorf("the old password is accepted by %s", method)
		}
	}
}

func attribute(a *probe.Answer, name string) string {
	for _, x := range a.Attributes {
		if x.Name == name {
			return x.Value
		}
	}
	return ""
}

func TestLockoutIsToldToNobodyButTheAdministrator(t *testing.T) {
	t.Parallel()
	n := startInterop(t, "kind: UserType\nname: default\nspec: {password: {keep: [argon2id, nt], lockout: {attempts: 2}}}\n")
	var told []string
	for range 4 {
		a := n.ask(probe.Login{User: "alice", Password: "rabbit", Method: probe.MethodMSCHAP2})
		text, _, _ := strings.Cut(attribute(a, "MS-CHAP-Error"), " C=")
		told = append(told, fmt.Sprint(a.Accepted, text[1:]))
	}
	for _, words := range told[1:] {
		if words[strings.Index(words, "E="):] != told[0][strings.Index(told[0], "E="):] {
			t.Errorf("the device is told %q", told)
		}
	}
	list, err := n.admin.LoginFailures(t.Context(), "alice")
	if err != nil || len(list.Failures) != 1 || len(list.Failures[0].Sources) != 1 || list.Failures[0].Sources[0].LockedUntil == nil {
		t.Fatalf("%+v, %v", list, err)
	}
	if a := n.ask(probe.Login{User: "alice", Password: "wonderland"}); a.Accepted {
		t.Error("a name that is locked out logs in")
	}
	if err := n.admin.Unlock(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(200 * time.Millisecond) { // what the node saw itself counts for a moment more
		if a := n.ask(probe.Login{User: "alice", Password: "wonderland"}); a.Accepted {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the lock is not lifted")
		}
	}
	if err := n.admin.Unlock(t.Context(), "alice"); err == nil || !strings.Contains(err.Error(), "no failed logins") {
		t.Errorf("what is not locked is unlocked: %v", err)
	}
}
