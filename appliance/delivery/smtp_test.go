package delivery

import (
	"errors"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"strings"
	"testing"
	"time"

	"trine/engine/message"
	"trine/engine/trace"
)

func TestCodeArrivesByVerifiedSTARTTLS(t *testing.T) {
	a := newAuthority(t)
	e := startExim(t, a, eximOptions{login: true})
	s, log := newSite(t, mailGateway(e.address, a.pem, "    userName: trine\n    password: s3cret s3cret\n")).start(Config{})
	m := code(message.Mail, "alice@example.com")
	m.Language = "de-AT"
	m.Values.Service = "VPN Zürich"
	if m = send(t, s, m); m.Err != nil || m.Gateway != "mail" || m.Attempts != 1 {
		t.Fatalf("%v after %d attempts", m.Err, m.Attempts)
	}
	got := e.inbox("alice")
	body, err := io.ReadAll(quotedprintable.NewReader(got.Body))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(got.Header.Get("Subject"))
	if err != nil || subject != "Ihr Code für VPN Zürich" {
		t.Errorf("subject %q, %v", subject, err)
	}
	for _, want := range []string{"Guten Tag Alice,", theCode, "innerhalb von 5 Minuten"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("the mail has no %q:\n%s", want, body)
		}
	}
	for name, want := range map[string]string{
		"From": `"Example IT" <it@example.com>`, "To": "<alice@example.com>", "Auto-Submitted": "auto-generated",
	} {
		if got.Header.Get(name) != want {
			t.Errorf("%s: %s", name, got.Header.Get(name))
		}
	}
	if received := got.Header.Get("Received"); !strings.Contains(received, "esmtpsa") || !strings.Contains(received, "TLS1.3") {
		t.Errorf("not over TLS with a login: %s", received)
	}
	if text := log.String(); strings.Contains(text, theCode) || strings.Contains(text, "s3cret") {
		t.Errorf("the log shows a secret:\n%s", text)
	}
}

func TestMailArrivesByImplicitTLS(t *testing.T) {
	a := newAuthority(t)
	e := startExim(t, a, eximOptions{implicitTLS: true, login: true})
	s, _ := newSite(t, mailGateway(e.address, a.pem, "    security: tls\n    userName: trine\n    password: s3cret s3cret\n")).start(Config{})
	if m := send(t, s, code(message.Mail, "alice@example.com")); m.Err != nil {
		t.Fatal(m.Err)
	}
	if received := e.inbox("alice").Header.Get("Received"); !strings.Contains(received, "esmtpsa") {
		t.Error(received)
	}
}

// Where the connection cannot be protected, nothing is sent unless that was asked for.
func TestMailIsNotSentInTheClearUnasked(t *testing.T) {
	a := newAuthority(t)
	plain := startExim(t, a, eximOptions{noTLS: true})
	protected := startExim(t, a, eximOptions{})
	for _, test := range []struct {
		name, gateway string
		wantErr       string
		want          string // in Received
	}{
		{"no STARTTLS", mailGateway(plain.address, a.pem, ""), "does not support STARTTLS", ""},
		{"stranger's certificate", mailGateway(protected.address, newAuthority(t).pem, ""), "certificate signed by unknown authority", ""},
		{"opportunistic without", mailGateway(plain.address, "", "    security: opportunistic\n"), "", "with esmtp "},
		{"none", mailGateway(protected.address, "", "    security: none\n"), "", "with esmtp "},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, _ := newSite(t, test.gateway).start(Config{})
			m := code(message.Mail, strings.ReplaceAll(test.name, " ", "-")+"@example.com")
			if test.wantErr == "" {
				m = send(t, s, m)
				if m.Err != nil {
					t.Fatal(m.Err)
				}
				e := plain
				if test.name == "none" {
					e = protected
				}
				if received := e.inbox(strings.ReplaceAll(test.name, " ", "-")).Header.Get("Received"); !strings.Contains(received, test.want) {
					t.Error(received)
				}
				return
			}
			m.Expires = time.Now().Add(firstRetry) // one attempt and no more
			m = send(t, s, m)
			if !errors.Is(m.Err, message.ErrFailed) || !strings.Contains(m.Err.Error(), test.wantErr) {
				t.Error(m.Err)
			}
		})
	}
}

func TestRefusedMailIsNotTriedAgain(t *testing.T) {
	a := newAuthority(t)
	e := startExim(t, a, eximOptions{})
	more := "  texts: [{message: code, language: en, subject: refused, text: '{{.Code}}'}]\n"
	for _, test := range []struct{ name, to, more, want string }{
		{"recipient unknown", "nobody@example.com", "", `550 "no such user here"`},
		{"relaying", "alice@elsewhere.example", "", `550 "relaying is not offered"`},
		{"content", "alice@example.com", more, `550 "this looks bad: «redacted»`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, log := newSite(t, mailGateway(e.address, a.pem, test.more)).start(Config{})
			m := send(t, s, code(message.Mail, test.to))
			if !errors.Is(m.Err, message.ErrRefused) || m.Attempts != 1 || !strings.Contains(m.Err.Error(), test.want) || message.Reason(m.Err) != trace.DeliveryRefused {
				t.Errorf("%v after %d attempts", m.Err, m.Attempts)
			}
			if s.Stats()[0].Refused != 1 || !strings.Contains(log.String(), "a message was not delivered") || strings.Contains(log.String(), theCode) {
				t.Errorf("%+v\n%s", s.Stats()[0], log)
			}
		})
	}
}

func TestMailIsTriedAgainWhereTheServerIsNotReadyYet(t *testing.T) {
	a := newAuthority(t)
	e := startExim(t, a, eximOptions{})
	s, log := newSite(t, mailGateway(e.address, a.pem, "")).start(Config{})
	m := code(message.Mail, "later@example.com")
	if err := s.Submit(m); err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(log.String(), "451") {
		time.Sleep(10 * time.Millisecond)
	}
	e.open()
	if m = m.Done.(outcome).wait(t); m.Err != nil || m.Attempts < 2 {
		t.Errorf("%v after %d attempts", m.Err, m.Attempts)
	}
	e.inbox("later")
}

func TestWrongPasswordOfTheGatewayIsTold(t *testing.T) {
	a := newAuthority(t)
	e := startExim(t, a, eximOptions{login: true})
	s, log := newSite(t, mailGateway(e.address, a.pem, "    userName: trine\n    password: wrong-hunter2\n")).start(Config{})
	m := code(message.Mail, "alice@example.com")
	m.Expires = time.Now().Add(firstRetry)
	m = send(t, s, m)
	if !errors.Is(m.Err, message.ErrFailed) || !strings.Contains(m.Err.Error(), "535") || strings.Contains(log.String(), "hunter2") {
		t.Errorf("%v\n%s", m.Err, log)
	}
}

func TestConnectionIsUsedAgain(t *testing.T) {
	a := newAuthority(t)
	e := startExim(t, a, eximOptions{})
	site := newSite(t, mailGateway(e.address, a.pem, ""))
	s, _ := site.start(Config{})
	g, err := s.gateway(message.Mail)
	if err != nil {
		t.Fatal(err)
	}
	c, err := g.open()
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for _, to := range []string{"one@example.com", "two@example.com"} {
		if err := c.carry(t.Context(), &parcel{id: to[:3], to: to, subject: "x", body: "y"}); err != nil {
			t.Fatal(err)
		}
	}
	if n := e.connections.Load(); n != 1 {
		t.Errorf("%d connections for two mails", n)
	}
	_ = c.(*smtpCarrier).conn.Close() // as a server that is tired of waiting does
	if err := c.carry(t.Context(), &parcel{id: "3", to: "three@example.com", subject: "x", body: "y"}); err != nil {
		t.Error(err)
	}
	if n := e.connections.Load(); n != 2 {
		t.Errorf("%d connections after the first was closed", n)
	}
}

// silent is a server that takes connections and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

func TestServerThatHangsIsGivenUp(t *testing.T) {
	a := newAuthority(t)
	e := startExim(t, a, eximOptions{})
	hangs := silent(t)

	s, _ := newSite(t, mailGateway(hangs, "", "    timeout: 1s\n")).start(Config{})
	m := code(message.Mail, "alice@example.com")
	m.Expires = time.Now().Add(time.Second + firstRetry)
	if m = send(t, s, m); !errors.Is(m.Err, message.ErrFailed) || m.Attempts != 1 {
		t.Errorf("%v after %d attempts", m.Err, m.Attempts)
	}

	// The next server has its turn within the same attempt.
	text := strings.Replace(mailGateway(e.address, a.pem, "    timeout: 4s\n"), "servers: [", "servers: ["+hangs+", ", 1)
	s, _ = newSite(t, text).start(Config{})
	if m := send(t, s, code(message.Mail, "bob@example.com")); m.Err != nil || m.Attempts != 1 {
		t.Errorf("%v after %d attempts", m.Err, m.Attempts)
	}
	e.inbox("bob")
}

func TestNothingEndsAHeaderField(t *testing.T) {
	a := newAuthority(t)
	e := startExim(t, a, eximOptions{})
	s, _ := newSite(t, mailGateway(e.address, a.pem, "")).start(Config{})
	m := code(message.Mail, "alice@example.com")
	m.Values.Service = "VPN\r\nBcc: mallory@example.com\r\n\r\nhello"
	m.Values.Name = "Alice\r\n.\r\nMAIL FROM:<x@example.com>"
	if m = send(t, s, m); m.Err != nil {
		t.Fatal(m.Err)
	}
	if got := e.inbox("alice"); got.Header.Get("Bcc") != "" || got.Header.Get("Subject") != "Your code for VPN Bcc: mallory@example.com hello" {
		t.Errorf("%v", got.Header)
	}
	for _, to := range []string{"alice@example.com\r\nRCPT TO:<x@example.com>", "alice@example.com>, <x@example.com", "A <alice@example.com>", "", "alice"} {
		if err := s.Submit(code(message.Mail, to)); !errors.Is(err, message.ErrAddress) {
			t.Errorf("%q: %v", to, err)
		}
	}
}
