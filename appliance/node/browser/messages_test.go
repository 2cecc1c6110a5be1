package browser

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"trine/appliance/admin/api"
	"trine/engine/credential/push"
)

// post carries what the node sends to people: mail by a server of SMTP, text messages and challenges by a gateway over HTTP.
type post struct {
	smtp    net.Listener
	gateway *httptest.Server

	mu   sync.Mutex
	came map[string][]string // what came to an address, oldest first
}

// pushed is what the gateway brings to a device.
type pushed struct {
	Device    string
	Challenge []byte
	Ticket    []byte
}

func newPost() (*post, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &post{smtp: l, came: make(map[string][]string)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(conn)
		}
	}()
	p.gateway = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m struct{ To, Device, Body string }
		text, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
		if err != nil || json.Unmarshal(text, &m) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if m.Device != "" {
			p.put(m.Device, string(text))
			return
		}
		p.put(m.To, m.Body)
	}))
	return p, nil
}

func (p *post) close() {
	p.smtp.Close()
	p.gateway.Close()
}

func (p *post) put(to, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.came[to] = append(p.came[to], text)
}

// next waits for the n-th message to an address, counted from 1.
func (p *post) next(t *testing.T, to string, n int) string {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		p.mu.Lock()
		list := p.came[to]
		p.mu.Unlock()
		if len(list) >= n {
			return list[n-1]
		}
	}
	t.Fatalf("nothing came to %s", to)
	return ""
}

// serve takes mail, as much of RFC 5321 as the node speaks.
func (p *post) serve(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(conn)
	say := func(line string) { fmt.Fprintf(conn, "%s\r\n", line) }
	say("220 tests")
	to := ""
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch strings.ToUpper(verb) {
		case "RCPT":
			_, address, _ := strings.Cut(rest, "<")
			to, _, _ = strings.Cut(address, ">")
			say("250 yes")
		case "DATA":
			say("354 go on")
			var text bytes.Buffer
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				text.WriteString(strings.TrimPrefix(line, "."))
			}
			p.put(to, body(text.Bytes()))
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 yes")
		}
	}
}

// body returns the first readable text of a mail.
func body(text []byte) string {
	m, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		return string(text)
	}
	reader := m.Body
	if kind, _, err := mime.ParseMediaType(m.Header.Get("Content-Type")); err == nil && kind == "text/plain" && strings.EqualFold(m.Header.Get("Content-Transfer-Encoding"), "quoted-printable") {
		reader = quotedprintable.NewReader(reader)
	}
	out, err := io.ReadAll(reader)
	if err != nil {
		return string(text)
	}
	return string(out)
}

// telephone is a device with an app: it has a key that is enrolled for its person.
type telephone struct {
	s    *site
	key  ed25519.PrivateKey
	name string
	web  *http.Client
}

// telephone enrols a device for a user.
func (s *site) telephone(user string) *telephone {
	s.t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		s.t.Fatal(err)
	}
	p := &telephone{s: s, key: private, name: "device-of-" + user, web: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}}
	s.t.Cleanup(p.web.CloseIdleConnections)
	if _, err := s.admin.AddFactor(s.t.Context(), user, api.FactorRequest{
		Kind: "push", Label: "telephone", PublicKey: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), Address: p.name,
	}); err != nil {
		s.t.Fatal(err)
	}
	return p
}

// says answers the n-th challenge that came to it.
func (p *telephone) says(n int, approve bool, number uint8) {
	p.s.t.Helper()
	var m pushed
	if err := json.Unmarshal([]byte(p.s.post.next(p.s.t, p.name, n)), &m); err != nil {
		p.s.t.Fatal(err)
	}
	c, err := push.ParseChallenge(m.Challenge)
	if err != nil {
		p.s.t.Fatal(err)
	}
	text, err := json.Marshal(api.PushAnswer{
		Challenge: m.Challenge, Ticket: m.Ticket, Approve: approve, Number: number, Signature: ed25519.Sign(p.key, c.Message(approve, number)),
	})
	if err != nil {
		p.s.t.Fatal(err)
	}
	resp, err := p.web.Post("https://"+p.s.management+"/api/v1/push/answers", "application/json", bytes.NewReader(text))
	if err != nil {
		p.s.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		p.s.t.Fatalf("the answer of the device was answered %s", resp.Status)
	}
}
