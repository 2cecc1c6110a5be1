package admin_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"trine/appliance/admin"
	"trine/appliance/admin/admintest"
	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
	"trine/engine/credential/push"
	"trine/engine/event"
	"trine/engine/login"
)

// phone is an enrolled device and what belongs to it.
type phone struct {
	t       testing.TB
	node    *admintest.Node
	private ed25519.PrivateKey
	id      string // of the factor
	now     time.Time
}

// publicPEM returns a public key as devices give it.
func publicPEM(t testing.TB, public any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// newPhone enrols a device of alice. The node's clock stands from then on.
func newPhone(t testing.TB, n *admintest.Node, c *client.Client) *phone {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	e, err := c.AddFactor(t.Context(), "alice", api.FactorRequest{Kind: "push", Label: "telephone", PublicKey: publicPEM(t, public), Address: "device-token"})
	if err != nil {
		t.Fatal(err)
	}
	p := &phone{t: t, node: n, private: private, id: e.Factor.ID, now: time.Now().Truncate(time.Second)}
	n.Now = func() time.Time { return p.now }
	return p
}

// asked returns a challenge as a login has it sent to the device, its ticket, and the number that matches.
func (p *phone) asked(id uint64) (c push.Challenge, ticket []byte, number uint8) {
	p.t.Helper()
	c, number, err := push.New(push.DefaultPolicy(), id, "alice", "VPN from 192.0.2.1", p.now)
	if err != nil {
		p.t.Fatal(err)
	}
	ticket, err = (&login.Ticket{User: "alice", Factor: p.id, Number: number}).Seal(p.node.Keyring, c.Append(nil))
	if err != nil {
		p.t.Fatal(err)
	}
	return c, ticket, number
}

func (p *phone) answer(c *push.Challenge, ticket []byte, approve bool, number uint8) api.PushAnswer {
	return api.PushAnswer{Challenge: c.Append(nil), Ticket: ticket, Approve: approve, Number: number, Signature: ed25519.Sign(p.private, c.Message(approve, number))}
}

func body(t testing.TB, a api.PushAnswer) string {
	t.Helper()
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const answers = "/api/v1/push/answers"

func TestDeviceAnswersOnceWithItsSignatureAlone(t *testing.T) {
	n, c := start(t)
	mustApply(t, c, site)
	p, stranger := newPhone(t, n, c), wire{t: t, h: n.Admin.Handler()}
	other := newPhone(t, n, c)
	other.now = p.now
	n.Now = func() time.Time { return p.now }
	for i, tc := range []struct {
		name    string
		approve bool
		wrong   bool
		want    event.PushOutcome
	}{
		{"approved", true, false, event.PushApproved},
		{"denied", false, false, event.PushDenied},
		{"another number", true, true, event.PushOtherNumber},
	} {
		t.Run(tc.name, func(t *testing.T) {
			challenge, ticket, number := p.asked(uint64(100 + i))
			switch {
			case tc.wrong:
				number = 10 + (number-9)%90
			case !tc.approve:
				number = 0
			}
			good := p.answer(&challenge, ticket, tc.approve, number)

			// Whatever is wrong with an answer, it is refused in the same words, and the challenge stands.
			forged := p.answer(&challenge, ticket, tc.approve, number)
			forged.Signature = bytes.Clone(forged.Signature)
			forged.Signature[0] ^= 1
			flipped := good
			flipped.Approve = !tc.approve
			renumbered := good
			renumbered.Number ^= 1 // which has two digits as well
			moved, _, _ := p.asked(uint64(200 + i))
			changed := good
			changed.Challenge = moved.Append(nil)
			tickets := good
			tickets.Ticket = bytes.Clone(ticket)
			tickets.Ticket[len(ticket)-1] ^= 1
			elsewhere := good
			elsewhere.Signature = ed25519.Sign(other.private, challenge.Message(tc.approve, number))
			gone, err := (&login.Ticket{User: "alice", Factor: "none", Number: number}).Seal(n.Keyring, good.Challenge)
			if err != nil {
				t.Fatal(err)
			}
			removed := good
			removed.Ticket = gone
			cut, err := (&login.Ticket{User: "alice", Factor: p.id, Number: number}).Seal(n.Keyring, good.Challenge[:40])
			if err != nil {
				t.Fatal(err)
			}
			short := good
			short.Challenge, short.Ticket = good.Challenge[:40], cut
			nothing := api.PushAnswer{Challenge: []byte{0}, Ticket: []byte{0}, Signature: []byte{0}}
			words := ""
			for what, a := range map[string]api.PushAnswer{
				"signature": forged, "approval turned": flipped, "number changed": renumbered, "challenge": changed, "ticket": tickets, "another device's key": elsewhere,
				"no such device": removed, "no challenge": short, "nothing": nothing,
			} {
				rec := stranger.do(http.MethodPost, answers, body(t, a))
				detail := problem(t, rec, http.StatusForbidden, api.ReasonPushRefused).Detail
				if words == "" {
					words = detail
				}
				if detail != words {
					t.Errorf("%s: %q and not %q", what, detail, words)
				}
			}
			if _, ok := n.Views.PushAnswer(challenge.ID); ok {
				t.Fatal("what was refused was recorded")
			}

			if rec := stranger.do(http.MethodPost, answers, body(t, good)); rec.Code != http.StatusNoContent || rec.Body.Len() != 0 {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
			if a, ok := n.Views.PushAnswer(challenge.ID); !ok || a.Outcome != tc.want || a.Factor != p.id {
				t.Errorf("recorded %+v, %v", a, ok)
			}
			problem(t, stranger.do(http.MethodPost, answers, body(t, good)), http.StatusConflict, api.ReasonPushAnswered)
			problem(t, stranger.do(http.MethodPost, answers, body(t, p.answer(&challenge, ticket, !tc.approve, number))), http.StatusConflict, api.ReasonPushAnswered)
		})
	}
	events, err := c.Events(t.Context(), client.EventQuery{Stream: "user/alice"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(events)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"outcome":"approved"`, `"outcome":"denied"`, `"outcome":"approved with another number"`, `"source":"192.0.2.1"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the events do not tell %s: %s", want, text)
		}
	}
}

func TestDeviceThatComesTooLateIsToldSo(t *testing.T) {
	n, c := start(t)
	mustApply(t, c, site)
	p, stranger := newPhone(t, n, c), wire{t: t, h: n.Admin.Handler()}
	approved, ticket, number := p.asked(1)
	denied, ticket2, _ := p.asked(2)
	forgotten, ticket3, _ := p.asked(3)
	p.now = approved.NotAfter
	problem(t, stranger.do(http.MethodPost, answers, body(t, p.answer(&approved, ticket, true, number))), http.StatusGone, api.ReasonPushExpired)
	if a, ok := n.Views.PushAnswer(1); !ok || a.Outcome != event.PushLate {
		t.Errorf("recorded %+v, %v", a, ok)
	}
	if rec := stranger.do(http.MethodPost, answers, body(t, p.answer(&denied, ticket2, false, 0))); rec.Code != http.StatusNoContent {
		t.Errorf("a late alarm: %d %s", rec.Code, rec.Body)
	}
	p.now = p.now.Add(time.Hour)
	problem(t, stranger.do(http.MethodPost, answers, body(t, p.answer(&forgotten, ticket3, false, 0))), http.StatusGone, api.ReasonPushExpired)
	if _, ok := n.Views.PushAnswer(3); ok {
		t.Error("what came after an hour was recorded")
	}
}

func TestAnswerThatIsNotRecordedIsNotAcknowledged(t *testing.T) {
	n, c := start(t)
	mustApply(t, c, site)
	p, stranger := newPhone(t, n, c), wire{t: t, h: n.Admin.Handler()}
	challenge, ticket, number := p.asked(1)
	n.Fail = admin.ErrNoLeader
	problem(t, stranger.do(http.MethodPost, answers, body(t, p.answer(&challenge, ticket, true, number))), http.StatusServiceUnavailable, api.ReasonNoLeader)
	n.Fail = nil
	if rec := stranger.do(http.MethodPost, answers, body(t, p.answer(&challenge, ticket, true, number))); rec.Code != http.StatusNoContent {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestStrangersAreBounded(t *testing.T) {
	n, c := start(t)
	mustApply(t, c, site)
	newPhone(t, n, c) // the clock stands
	stranger := wire{t: t, h: n.Admin.Handler()}
	problem(t, stranger.do(http.MethodPost, answers, `{"challenge": "`+strings.Repeat("A", 9<<10)+`"}`), http.StatusRequestEntityTooLarge, api.ReasonTooLarge)
	limited := 0
	for range 150 {
		if rec := stranger.do(http.MethodPost, answers, body(t, api.PushAnswer{Challenge: []byte{0}, Ticket: []byte{0}, Signature: []byte{0}})); rec.Code == http.StatusTooManyRequests {
			limited++
			problem(t, rec, http.StatusTooManyRequests, api.ReasonLimited)
		}
	}
	if limited != 51 { // 100 at once, one of which was too large
		t.Errorf("%d of 150 requests were too many", limited)
	}
	if rec := (&wire{t: t, h: n.Admin.Handler(), key: key(t, c, "read").Secret}).do(http.MethodGet, "/api/v1/users/alice/factors", ""); rec.Code != http.StatusOK {
		t.Errorf("strangers keep out those who are known: %d", rec.Code)
	}
}

func TestDeviceIsEnrolledWithKeyAndAddress(t *testing.T) {
	_, c := start(t)
	mustApply(t, c, site)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := publicPEM(t, p256.Public())
	for _, tc := range []struct{ name, key, address, wrong string }{
		{"P-256", good, "fGx7:APA91b", ""},
		{"no key", "", "token", "publicKey"},
		{"no PEM", "MFkwEwYH", "token", "publicKey"},
		{"another curve", publicPEM(t, p384.Public()), "token", "publicKey"},
		{"RSA", publicPEM(t, weak.Public()), "token", "publicKey"},
		{"two keys", good + good, "token", "publicKey"},
		{"no address", good, "", "address"},
		{"address on two lines", good, "a\nb", "address"},
	} {
		_, err := c.AddFactor(t.Context(), "alice", api.FactorRequest{Kind: "push", PublicKey: tc.key, Address: tc.address})
		var refused *api.Problem
		switch {
		case tc.wrong == "" && err != nil:
			t.Errorf("%s: %v", tc.name, err)
		case tc.wrong != "" && (!errors.As(err, &refused) || refused.Reason != api.ReasonInvalid || len(refused.Errors) != 1 || refused.Errors[0].Field != tc.wrong):
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	list, err := c.Factors(t.Context(), "alice")
	if err != nil || len(list.Factors) != 1 || list.Factors[0].Kind != "push" {
		t.Errorf("%+v, %v", list, err)
	}
}
