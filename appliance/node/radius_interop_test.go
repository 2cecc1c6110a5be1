package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trine/appliance/admin/client"
	"trine/appliance/probe"
	"trine/protocols/radius/dictionary"
	"trine/protocols/radius/wire"
)

// interop is a running node with its administration, for tests with other people's clients.
type interop struct {
	t     *testing.T
	addr  Addresses
	admin *client.Client
}

// startInterop starts this test binary as a node with the quickstart's documents, on both families.
func startInterop(t *testing.T, documents ...string) *interop {
	t.Helper()
	data := t.TempDir()
	command := exec.Command(os.Args[0], "--data", data, "--node-name", "interop", "--quickstart", "--log-level", "warn",
		"--radius-authentication", "127.0.0.1:0,[::1]:0", "--radius-accounting", "127.0.0.1:0,[::1]:0", "--tacacs-listen", "127.0.0.1:0", "--web-listen", "127.0.0.1:0", "--management-listen", "127.0.0.1:0")
	command.Env = append(os.Environ(), asNode+"=serve")
	log := new(bytes.Buffer)
	command.Stderr = log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- command.Wait() }()
	t.Cleanup(func() {
		if err := command.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
		select {
		case err := <-exited:
			if err != nil {
				t.Errorf("the node did not stop in order: %v\n%s", err, log)
			}
		case <-time.After(20 * time.Second):
			_ = command.Process.Kill()
			<-exited
			t.Errorf("the node did not stop\n%s", log)
		}
		if t.Failed() {
			t.Logf("the node's log:\n%s", log)
		}
	})
	n := &interop{t: t}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if text, err := os.ReadFile(filepath.Join(data, addressesName)); err == nil {
			if err := json.Unmarshal(text, &n.addr); err != nil {
				t.Fatal(err)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the node did not start:\n%s", log)
		}
	}
	var err error
	if n.admin, err = client.New(client.Options{Data: data}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.admin.Close)
	for _, d := range documents {
		n.apply(d)
	}
	return n
}

func (n *interop) apply(text string) {
	n.t.Helper()
	if _, err := n.admin.Apply(n.t.Context(), []client.File{{Name: "test.yaml", Data: []byte(text)}}, client.ApplyOptions{Comment: "test"}); err != nil {
		n.t.Fatal(err)
	}
}

// radclient sends a request with Debian's radclient and returns what it says. Attributes are its own syntax, one a line.
func (n *interop) radclient(to, kind, secret string, attributes ...string) string {
	n.t.Helper()
	path, err := exec.LookPath("radclient")
	if err != nil {
		n.t.Skip("radclient is not installed (Debian: freeradius-utils)")
	}
	arguments := []string{"-x", "-t", "2", "-r", "1"}
	if strings.HasPrefix(to, "[") {
		arguments = append(arguments, "-6")
	}
	command := exec.CommandContext(n.t.Context(), path, append(arguments, to, kind, secret)...)
	command.Stdin = strings.NewReader(strings.Join(attributes, "\n") + "\n")
	out, err := command.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		n.t.Fatal(err)
	}
	return string(out)
}

const signed = "Message-Authenticator = 0x00"

// mschap1 switches MS-CHAP version 1 on, which the quickstart leaves off.
const mschap1 = `
kind: IdentityProvider
name: local
spec: {type: local, publicID: "https://trine.example.com", profiles: {radius: {enabled: true, mschapv1: true}}}
`

func TestRadclientIsAnswered(t *testing.T) {
	t.Parallel()
	n := startInterop(t, mschap1)
	auth, auth6, acct, acct6 := n.addr.RadiusAuthentication[0], n.addr.RadiusAuthentication[1], n.addr.RadiusAccounting[0], n.addr.RadiusAccounting[1]
	alice := func(proof string) []string { return []string{"User-Name = alice", proof, signed} }
	account := func(status string, more ...string) []string {
		return append([]string{"User-Name = alice", "Acct-Session-Id = s-1", "NAS-Identifier = nas-1", "Acct-Status-Type = " + status}, more...)
	}
	const silence = "No reply from server"
	for _, tc := range []struct {
		name       string
		to, kind   string
		secret     string // empty: the right one
		attributes []string
		want       []string
		not        string
	}{
		{name: "accept", to: auth, kind: "auth", attributes: alice("User-Password = wonderland"), want: []string{
			"Received Access-Accept", `Tunnel-Private-Group-Id:1 = "20"`, `Filter-Id = "employees"`, "Class = 0x54", "Message-Authenticator = 0x",
		}},
		{name: "accept over IPv6", to: auth6, kind: "auth", attributes: alice("User-Password = wonderland"), want: []string{"Received Access-Accept"}},
		{name: "reject", to: auth, kind: "auth", attributes: alice("User-Password = looking-glass"), want: []string{"Received Access-Reject", "Message-Authenticator = 0x"}, not: "Reply-Message"},
		{name: "unknown user", to: auth, kind: "auth", attributes: []string{"User-Name = mallory", "User-Password = x", signed}, want: []string{"Received Access-Reject"}},
		{name: "CHAP", to: auth, kind: "auth", attributes: alice("CHAP-Password = wonderland"), want: []string{"Received Access-Accept"}},
		{name: "CHAP reject", to: auth, kind: "auth", attributes: alice("CHAP-Password = looking-glass"), want: []string{"Received Access-Reject"}},
		{name: "MS-CHAP", to: auth, kind: "auth", attributes: alice("MS-CHAP-Password = wonderland"), want: []string{"Received Access-Accept", "MS-CHAP-MPPE-Keys = 0x", "MS-MPPE-Encryption-Policy"}},
		{name: "MS-CHAP reject", to: auth, kind: "auth", attributes: alice("MS-CHAP-Password = looking-glass"), want: []string{"Received Access-Reject", "E=691"}},
		{name: "Proxy-State", to: auth, kind: "auth", attributes: append(alice("User-Password = wonderland"), "Proxy-State = 0x0102", "Proxy-State = 0x03"), want: []string{"Proxy-State = 0x0102\n\tProxy-State = 0x03"}},
		{name: "Status-Server on authentication", to: auth, kind: "status", attributes: []string{signed}, want: []string{"Received Access-Accept"}},
		{name: "Status-Server on accounting", to: acct, kind: "status", attributes: []string{signed}, want: []string{"Received Accounting-Response"}},
		{name: "wrong secret", to: auth, kind: "auth", secret: "wrong", attributes: alice("User-Password = wonderland"), want: []string{silence}},
		{name: "wrong secret of accounting", to: acct, kind: "acct", secret: "wrong", attributes: account("Start"), want: []string{silence}},
		{name: "no Message-Authenticator", to: auth, kind: "auth", attributes: []string{"User-Name = alice", "User-Password = wonderland"}, want: []string{silence}},
		{name: "Accounting-On", to: acct, kind: "acct", attributes: []string{"NAS-Identifier = nas-1", "Acct-Status-Type = Accounting-On"}, want: []string{"Received Accounting-Response"}},
		{name: "start", to: acct, kind: "acct", attributes: account("Start"), want: []string{"Received Accounting-Response"}},
		{name: "interim", to: acct6, kind: "acct", attributes: account("Interim-Update", "Acct-Session-Time = 60", "Acct-Input-Octets = 1000", "Acct-Input-Gigawords = 1"), want: []string{"Received Accounting-Response"}},
		{name: "another session", to: acct, kind: "acct", attributes: []string{"User-Name = bob", "Acct-Session-Id = s-2", "NAS-Identifier = nas-1", "Acct-Status-Type = Start"}, want: []string{"Received Accounting-Response"}},
		{name: "stop", to: acct, kind: "acct", attributes: account("Stop", "Acct-Session-Time = 70", "Acct-Terminate-Cause = User-Request"), want: []string{"Received Accounting-Response"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n.t = t
			secret := tc.secret
			if secret == "" {
				secret = "testing123"
			}
			out := n.radclient(tc.to, tc.kind, secret, tc.attributes...)
			for _, want := range tc.want {
				if !strings.Contains(out, want) {
					t.Errorf("radclient does not say %q:\n%s", want, out)
				}
			}
			if tc.not != "" && strings.Contains(out, tc.not) {
				t.Errorf("radclient says %q:\n%s", tc.not, out)
			}
		})
	}
	n.t = t
	sessions := func(want ...string) {
		t.Helper()
		list, err := n.admin.Sessions(t.Context(), client.SessionQuery{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range list.Sessions {
			got = append(got, s.User)
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("sessions of %v, want %v", got, want)
		}
	}
	sessions("bob")
	if out := n.radclient(acct, "acct", "testing123", "NAS-Identifier = nas-1", "Acct-Status-Type = Accounting-Off"); !strings.Contains(out, "Received Accounting-Response") {
		t.Errorf("Accounting-Off: %s", out)
	}
	sessions()
}

// login tries a login with the client behind `trine radius test`.
func (n *interop) login(to, secret, user, password, method string) (*probe.Answer, error) {
	n.t.Helper()
	names, err := dictionary.Standard()
	if err != nil {
		n.t.Fatal(err)
	}
	return probe.Try(n.t.Context(), probe.Login{
		Server: to, Secret: secret, User: user, Password: password, Method: method, Timeout: 2 * time.Second, Tries: 1, // a reject takes one
	}, names)
}

func (n *interop) accepts(to, secret, user, password string, want bool) {
	n.t.Helper()
	a, err := n.login(to, secret, user, password, probe.MethodPAP)
	if err != nil {
		n.t.Fatalf("%s with secret %s: %v", user, secret, err)
	}
	if a.Accepted != want {
		n.t.Errorf("%s: %s", user, a.Code)
	}
}

func TestEveryMethodOfTheOtherLibraryIsAnswered(t *testing.T) {
	t.Parallel()
	n := startInterop(t)
	for _, to := range n.addr.RadiusAuthentication {
		for _, method := range probe.Methods() {
			a, err := n.login(to, "testing123", "alice", "wonderland", method)
			if err != nil || !a.Accepted || a.ServerProven != (method == probe.MethodMSCHAP2) {
				t.Fatalf("%s: %+v, %v", method, a, err)
			}
			if !strings.Contains(fmt.Sprint(a.Attributes), "{Tunnel-Private-Group-Id:1 20}") {
				t.Errorf("%s: %v", method, a.Attributes)
			}
			a, err = n.login(to, "testing123", "alice", "looking-glass", method)
			if err != nil || a.Code != "Access-Reject" {
				t.Fatalf("%s with a wrong password: %+v, %v", method, a, err)
			}
		}
	}
}

func TestUnknownClientGetsSilence(t *testing.T) {
	t.Parallel()
	n := startInterop(t, clientDocument("secret: testing123", "127.0.0.2"))
	if a, err := n.login(n.addr.RadiusAuthentication[0], "testing123", "alice", "wonderland", probe.MethodPAP); !errors.Is(err, probe.ErrNoAnswer) {
		t.Fatalf("%+v, %v", a, err)
	}
	n.apply(clientDocument("secret: testing123", "127.0.0.0/8"))
	n.accepts(n.addr.RadiusAuthentication[0], "testing123", "alice", "wonderland", true)
}

// clientDocument is the quickstart's client with other secrets or another source.
func clientDocument(secrets, source string) string {
	return "kind: ServiceProvider\nname: loopback\nspec:\n  type: radius\n  publicID: loopback\n  entityGroup: network\n" +
		"  radius: {sourceIPs: [" + source + "], " + secrets + "}\n"
}

func TestRetransmissionIsAnsweredWithTheSameBytes(t *testing.T) {
	t.Parallel()
	n := startInterop(t)
	to, err := netip.ParseAddrPort(n.addr.RadiusAuthentication[0])
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	key, err := wire.NewSecret([]byte("testing123"))
	if err != nil {
		t.Fatal(err)
	}
	for _, password := range []string{"wonderland", "looking-glass"} {
		var b wire.Builder
		b.Request(make([]byte, 0, wire.MaxPacket), wire.AccessRequest, password[0], key)
		b.PAP("alice", password)
		p, fault := b.Finish()
		if fault != wire.OK {
			t.Fatal(fault)
		}
		var first []byte
		for try := range 3 {
			if _, err := conn.Write(p); err != nil {
				t.Fatal(err)
			}
			if try == 0 { // joins the first, and gets no answer of its own
				if _, err := conn.Write(p); err != nil {
					t.Fatal(err)
				}
			}
			_ = conn.SetReadDeadline(time.Now().Add(3 * time.Second))
			buf := make([]byte, wire.MaxPacket)
			size, err := conn.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = buf[:size]
				drainLate(conn)
			}
			if !bytes.Equal(first, buf[:size]) {
				t.Errorf("try %d got other bytes", try)
			}
		}
	}
	page, err := n.admin.Events(t.Context(), client.EventQuery{Classes: []string{"decision"}, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Events) != 2 {
		t.Errorf("%d decisions were recorded for two logins", len(page.Events))
	}
}

// drainLate reads the second answer to a request that was sent twice, if the first was answered before the second came.
func drainLate(conn *net.UDPConn) {
	_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	var buf [wire.MaxPacket]byte
	_, _ = conn.Read(buf[:])
}

func TestBothSecretsWorkDuringARotation(t *testing.T) {
	t.Parallel()
	n := startInterop(t)
	to := n.addr.RadiusAuthentication[0]
	works := func(secret string, want bool) {
		t.Helper()
		_, err := n.login(to, secret, "alice", "wonderland", probe.MethodCHAP)
		if want && err != nil || !want && !errors.Is(err, probe.ErrNoAnswer) {
			t.Errorf("secret %s: %v", secret, err)
		}
	}
	works("testing123", true)
	works("fresh", false)
	n.apply(clientDocument("secrets: [{value: testing123}, {value: fresh}]", "127.0.0.0/8"))
	works("testing123", true)
	works("fresh", true)
	n.apply(clientDocument("secrets: [{value: fresh}]", "127.0.0.0/8"))
	works("testing123", false)
	works("fresh", true)
}

// TestChangesTakeEffectUnderLoadWithoutALostReply changes secrets, a password and a reply while devices log in all the time.
func TestChangesTakeEffectUnderLoadWithoutALostReply(t *testing.T) {
	t.Parallel()
	n := startInterop(t)
	to := n.addr.RadiusAuthentication[0]
	n.accepts(to, "testing123", "bob", "builder", true)
	names, err := dictionary.Standard()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var replies, lost atomic.Int64
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			login := probe.Login{Server: to, Secret: "testing123", User: "bob", Password: "builder", Timeout: 2 * time.Second, Tries: 1}
			for ctx.Err() == nil {
				a, err := probe.Try(context.Background(), login, names)
				if err != nil || !a.Accepted {
					lost.Add(1)
					t.Errorf("under load: %+v, %v", a, err)
					return
				}
				replies.Add(1)
			}
		})
	}
	for round := range 3 {
		password, before := fmt.Sprintf("password-%d", round), fmt.Sprintf("password-%d", round-1)
		if err := n.admin.SetPassword(t.Context(), "alice", password, false); err != nil {
			t.Fatal(err)
		}
		n.accepts(to, "testing123", "alice", password, true)
		n.accepts(to, "testing123", "alice", before, false)

		n.apply(fmt.Sprintf("kind: Group\nname: staff\nspec:\n  reply: [\"Tunnel-Private-Group-Id:1 = %d\"]\n", 100+round))
		a, err := n.login(to, "testing123", "alice", password, probe.MethodPAP)
		if err != nil || !strings.Contains(fmt.Sprint(a.Attributes), fmt.Sprintf("{Tunnel-Private-Group-Id:1 %d}", 100+round)) {
			t.Errorf("the new reply is not sent: %+v, %v", a, err)
		}

		second := fmt.Sprintf("second-%d", round)
		n.apply(clientDocument("secrets: [{value: testing123}, {value: "+second+"}]", "127.0.0.0/8"))
		n.accepts(to, second, "alice", password, true)
		if round > 0 {
			if a, err := n.login(to, fmt.Sprintf("second-%d", round-1), "alice", password, probe.MethodPAP); !errors.Is(err, probe.ErrNoAnswer) {
				t.Errorf("the old secret is still good: %+v, %v", a, err)
			}
		}
	}
	stop()
	group.Wait()
	if lost.Load() != 0 || replies.Load() < 20 {
		t.Errorf("%d replies lost, %d came", lost.Load(), replies.Load())
	}
	t.Logf("%d logins while nine changes were made", replies.Load())
}
