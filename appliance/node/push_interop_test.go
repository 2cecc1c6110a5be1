package node

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
	"trine/engine/credential/push"
)

// pushed is what the push gateway hands to a device.
type pushed struct {
	Device, Alert     string
	Challenge, Ticket []byte
}

// telephone is a device with an app: it has its key, and talks to the node over HTTPS.
type telephone struct {
	t    *testing.T
	key  ed25519.PrivateKey
	node string // base URL
	web  *http.Client
}

// says answers a challenge, and returns the node's status code.
func (p *telephone) says(m pushed, approve bool, number int) int {
	p.t.Helper()
	c, err := push.ParseChallenge(m.Challenge)
	if err != nil {
		p.t.Fatal(err)
	}
	text, err := json.Marshal(api.PushAnswer{
		Challenge: m.Challenge, Ticket: m.Ticket, Approve: approve, Number: uint8(number), Signature: ed25519.Sign(p.key, c.Message(approve, uint8(number))),
	})
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := p.web.Post(p.node+"/api/v1/push/answers", "application/json", bytes.NewReader(text))
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// TestRadclientWaitsForATelephone enrols a device, has the challenge sent through an HTTP gateway, and logs in with Debian's radclient while the
// device answers.
func TestRadclientWaitsForATelephone(t *testing.T) {
	t.Parallel()
	sent := make(chan pushed, 16)
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m pushed
		text, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
		if err != nil || json.Unmarshal(text, &m) != nil || r.Header.Get("Authorization") != "Bearer gateway-token" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		sent <- m
	}))
	defer gateway.Close()
	n := startInterop(t, strings.ReplaceAll(twoFactors, "second: OTP", "second: Push"), fmt.Sprintf(`
kind: MessageGateway
name: push
spec:
  type: push
  limits: {recipientBurst: 10}
  http:
    url: %s
    cleartext: true
    auth: bearer
    secret: gateway-token
    json: '{"device": "{{.To}}", "alert": "{{.Text}}", "challenge": "{{.Challenge}}", "ticket": "{{.Ticket}}"}'
`, gateway.URL))
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	e, err := n.admin.AddFactor(t.Context(), "alice", api.FactorRequest{
		Kind: "push", Label: "telephone", PublicKey: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), Address: "device-token",
	})
	if err != nil {
		t.Fatal(err)
	}
	phone := &telephone{t: t, key: private, node: "https://" + n.addr.Management, web: &http.Client{
		Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}}
	defer phone.web.CloseIdleConnections()

	to, shown, state := n.addr.RadiusAuthentication[0], regexp.MustCompile(`with the number ([1-9][0-9]), then`), regexp.MustCompile(`State = (0x[0-9a-f]+)`)
	var last string // the state of the last challenge
	challenged := func(out string) int {
		t.Helper()
		_, received, _ := strings.Cut(out, "Received ")
		number, token := shown.FindStringSubmatch(received), state.FindStringSubmatch(received)
		if !strings.Contains(out, "Received Access-Challenge") || number == nil || token == nil || token[1] == last {
			t.Fatalf("no fresh challenge with a number:\n%s", out)
		}
		last = token[1]
		n, err := strconv.Atoi(number[1])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	login := func() (int, pushed) {
		t.Helper()
		number := challenged(n.radclient(to, "auth", "testing123", "User-Name = alice", "User-Password = wonderland", signed))
		select {
		case m := <-sent:
			if m.Device != "device-token" || !strings.Contains(m.Alert, "alice") {
				t.Errorf("the device got %+v", m)
			}
			return number, m
		case <-time.After(30 * time.Second):
			t.Fatal("nothing came to the device")
			return 0, pushed{}
		}
	}
	enter := func(typed string) string {
		t.Helper()
		return n.radclient(to, "auth", "testing123", "User-Name = alice", "User-Password = \""+typed+"\"", "State = "+last, signed)
	}
	expect := func(what, out, want string) {
		t.Helper()
		if !strings.Contains(out, want) {
			t.Errorf("%s: no %s in\n%s", what, want, out)
		}
	}

	// Asked again, with the same number, until the device has approved; good once.
	number, m := login()
	if again := challenged(enter("ok")); again != number {
		t.Errorf("the number %d became %d", number, again)
	}
	if status := phone.says(m, true, number); status != http.StatusNoContent {
		t.Fatalf("the approval was answered %d", status)
	}
	expect("approved", enter(""), "Received Access-Accept")
	expect("approved, once more", enter(""), "Received Access-Reject")
	if status := phone.says(m, true, number); status != http.StatusConflict {
		t.Errorf("a replayed approval was answered %d", status)
	}

	// An approval is for its own login; a denial and a wrong number end theirs.
	_, other := login()
	expect("approved for another login", enter("ok"), "Received Access-Challenge")
	if status := phone.says(other, false, 0); status != http.StatusNoContent {
		t.Fatalf("the denial was answered %d", status)
	}
	number, m = login()
	if status := phone.says(m, true, 10+(number-9)%90); status != http.StatusNoContent {
		t.Fatalf("the wrong number was answered %d", status)
	}
	expect("another number", enter("ok"), "Received Access-Reject")
	_, m = login()
	if status := phone.says(m, false, 0); status != http.StatusNoContent {
		t.Fatalf("the denial was answered %d", status)
	}
	expect("denied", enter("ok"), "Received Access-Reject")

	// A device with another key says nothing.
	number, m = login()
	_, stolen, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	thief := *phone
	thief.key = stolen
	if status := thief.says(m, true, number); status != http.StatusForbidden {
		t.Errorf("another key's approval was answered %d", status)
	}
	expect("forged", enter("ok"), "Received Access-Challenge")

	recorded := func() string {
		events, err := n.admin.Events(t.Context(), client.EventQuery{Classes: []string{"decision"}})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(events.Events)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, want := range []string{"push.number", "push.denied", "challenge.used"} {
		for deadline := time.Now().Add(10 * time.Second); !strings.Contains(recorded(), `"reason":"`+want+`"`); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("no login is recorded as %s: %s", want, recorded())
			}
		}
	}
	list, err := n.admin.Factors(t.Context(), "alice")
	if err != nil || len(list.Factors) != 1 || list.Factors[0].ID != e.Factor.ID || list.Factors[0].Used == nil {
		t.Errorf("found %+v, %v", list, err)
	}

	// A simulation tells that a challenge would be sent, and sends none.
	s, err := n.simulate(api.SimulationRequest{User: "alice", Source: "127.0.0.1", Method: "pap", Password: "wonderland"})
	if err != nil || s.Answer != "Access-Challenge" || !strings.Contains(fmt.Sprint(s.Steps), "A challenge goes to the device telephone.") {
		t.Errorf("simulated as %+v, %v", s, err)
	}
	select {
	case m := <-sent:
		t.Errorf("the simulation sent %+v", m)
	default:
	}
}
