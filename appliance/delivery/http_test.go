package delivery

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"trine/engine/message"
)

// sms is an HTTP gateway that remembers what it was asked.
type sms struct {
	*httptest.Server
	mu       sync.Mutex
	requests []request
	answer   http.HandlerFunc
}

type request struct {
	*http.Request
	body string
}

func startSMS(t *testing.T, answer http.HandlerFunc) *sms {
	t.Helper()
	s := &sms{answer: answer}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		s.requests = append(s.requests, request{r, string(body)})
		s.mu.Unlock()
		if s.answer != nil {
			s.answer(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *sms) seen() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// gateway returns a document for the server with the given fields.
func (s *sms) gateway(fields string) string {
	authority := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	text := "kind: MessageGateway\nname: sms\nspec:\n  type: http\n  http:\n    url: " + s.URL + "/send?v=1\n    authorities: " + block(authority, 6) + "\n"
	for line := range strings.Lines(fields) {
		text += "    " + line
	}
	return text + "\n"
}

func TestTextMessageGoesOutAsTheGatewayWantsIt(t *testing.T) {
	const text = "493117 is your code for VPN \"A&B\", good for 5 minutes. Do not pass it on."
	for _, test := range []struct {
		name, fields string
		check        func(t *testing.T, r *request)
	}{
		{
			"form, basic", "form: {to: '{{.To}}', text: 'Trine: {{.Text}}', id: '{{.ID}}'}\nauth: basic\nuserName: trine\nsecret: 'pa:ss wörd'\nheaders: {Accept: application/json}",
			func(t *testing.T, r *request) {
				form, err := url.ParseQuery(r.body)
				user, password, ok := r.BasicAuth()
				if err != nil || form.Get("to") != "+491701234567" || form.Get("text") != "Trine: "+text || len(form.Get("id")) < 20 ||
					!ok || user != "trine" || password != "pa:ss wörd" || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || r.Header.Get("Accept") != "application/json" {
					t.Errorf("%v %v %q", err, r.Header, r.body)
				}
			},
		},
		{
			"json, bearer", `json: '{"messages": [{"to": ["{{.To}}"], "text": "{{.Text}}", "flash": false, "priority": 1.50}]}'` + "\nauth: bearer\nsecret: token-hunter2",
			func(t *testing.T, r *request) {
				var body struct {
					Messages []struct {
						To       []string
						Text     string
						Flash    *bool
						Priority json.Number
					}
				}
				err := json.Unmarshal([]byte(r.body), &body)
				if err != nil || len(body.Messages) != 1 || body.Messages[0].Text != text || body.Messages[0].To[0] != "+491701234567" || body.Messages[0].Flash == nil || body.Messages[0].Priority != "1.50" ||
					r.Header.Get("Authorization") != "Bearer token-hunter2" || r.Header.Get("Content-Type") != "application/json" {
					t.Errorf("%v %v %q", err, r.Header, r.body)
				}
			},
		},
		{
			"query, secret in it", "method: GET\nquery: {to: '{{.To}}', text: '{{.Text}}', key: '{{.Secret}}'}\nauth: template\nsecret: 'key&hunter2'",
			func(t *testing.T, r *request) {
				q := r.URL.Query()
				if r.Method != "GET" || q.Get("v") != "1" || q.Get("text") != text || q.Get("key") != "key&hunter2" || r.body != "" {
					t.Errorf("%s %s %q", r.Method, r.URL, r.body)
				}
			},
		},
		{
			"header", "method: PUT\nform: {to: '{{.To}}', text: '{{.Text}}'}\nauth: header\nheader: x-api-key\nsecret: hunter2",
			func(t *testing.T, r *request) {
				if r.Method != "PUT" || r.Header.Get("X-Api-Key") != "hunter2" {
					t.Errorf("%s %v", r.Method, r.Header)
				}
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := startSMS(t, nil)
			s, log := newSite(t, server.gateway(test.fields)).start(Config{})
			m := code(message.SMS, "+49 170 1234567")
			m.Values.Service = "VPN \"A&B\"\r\n"
			if m = send(t, s, m); m.Err != nil || m.Attempts != 1 || m.Gateway != "sms" {
				t.Fatalf("%v after %d attempts", m.Err, m.Attempts)
			}
			seen := server.seen()
			if len(seen) != 1 {
				t.Fatalf("%d requests", len(seen))
			}
			test.check(t, &seen[0])
			if strings.Contains(log.String(), theCode) || strings.Contains(log.String(), "hunter2") {
				t.Errorf("the log shows a secret:\n%s", log)
			}
		})
	}
}

func TestGatewayThatRefusesIsNotAskedAgain(t *testing.T) {
	const fields = "form: {to: '{{.To}}', text: '{{.Text}}'}\n"
	for _, test := range []struct {
		name, fields string
		answer       http.HandlerFunc
		want         string
	}{
		{"unknown recipient", "", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, "the gateway answered 404"},
		{
			"response does not match", "response: '^OK'",
			func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "ERROR: %s", r.FormValue("text")) }, `answered 200, and its response does not match "^OK"`,
		},
		{"another status", "statuses: [202]", nil, "the gateway answered 200"},
		{
			"redirect", "", func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
			},
			"the gateway answered 307",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := startSMS(t, test.answer)
			s, log := newSite(t, server.gateway(fields+test.fields)).start(Config{})
			m := send(t, s, code(message.SMS, "+491701234567"))
			if !errors.Is(m.Err, message.ErrRefused) || !strings.Contains(m.Err.Error(), test.want) || len(server.seen()) != 1 {
				t.Errorf("%v after %d requests", m.Err, len(server.seen()))
			}
			if strings.Contains(log.String(), theCode) {
				t.Errorf("the log shows the code:\n%s", log)
			}
		})
	}
}

// What the gateway says is quoted of test messages only: it may repeat the code in a form that cannot be recognised.
func TestAnswerOfTheGatewayIsToldOfTests(t *testing.T) {
	server := startSMS(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, "account hunter2 is\nsuspended")
	})
	s, _ := newSite(t, server.gateway("form: {to: '{{.To}}', text: '{{.Text}}'}\nauth: bearer\nsecret: hunter2")).start(Config{})
	m := code(message.SMS, "+491701234567")
	m.Kind, m.Values = message.Test, message.Values{Service: "Trine"}
	if m = send(t, s, m); !strings.Contains(m.Err.Error(), "403: account «redacted» is suspended") {
		t.Error(m.Err)
	}
}

func TestGatewayThatIsNotReadyIsAskedAgain(t *testing.T) {
	var server *sms
	server = startSMS(t, func(w http.ResponseWriter, _ *http.Request) {
		if len(server.seen()) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	s, _ := newSite(t, server.gateway("form: {to: '{{.To}}', text: '{{.Text}}', id: '{{.ID}}'}")).start(Config{})
	m := send(t, s, code(message.SMS, "+491701234567"))
	seen := server.seen()
	if m.Err != nil || m.Attempts != 2 || len(seen) != 2 || s.Stats()[1].Retried != 1 {
		t.Fatalf("%v after %d attempts, %+v", m.Err, m.Attempts, s.Stats()[1])
	}
	if seen[0].body != seen[1].body {
		t.Error("the identifier of the message changed between attempts")
	}
}

func TestGatewayThatHangsOrFloodsIsGivenUp(t *testing.T) {
	release := make(chan struct{})
	for name, answer := range map[string]http.HandlerFunc{
		"hangs": func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		},
		"floods": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := startSMS(t, answer)
			s, _ := newSite(t, server.gateway("timeout: 1s\nform: {to: '{{.To}}', text: '{{.Text}}'}\nresponse: OK")).start(Config{})
			m := code(message.SMS, "+491701234567")
			m.Expires = time.Now().Add(time.Second + firstRetry)
			want := message.ErrFailed
			if name == "floods" {
				want = message.ErrRefused // the first 64 KiB are read, and do not match
			}
			if m = send(t, s, m); !errors.Is(m.Err, want) || m.Attempts != 1 {
				t.Errorf("%v after %d attempts", m.Err, m.Attempts)
			}
		})
	}
	close(release)
}

func TestCertificateOfTheGatewayIsChecked(t *testing.T) {
	server := startSMS(t, nil)
	doc := newAuthority(t)
	text := "kind: MessageGateway\nname: sms\nspec:\n  type: http\n  http:\n    url: " + server.URL + "\n    query: {key: '{{.Secret}}', to: '{{.To}}', text: '{{.Text}}'}\n    auth: template\n    secret: hunter2\n    authorities: " + block(doc.pem, 6) + "\n"
	s, log := newSite(t, text).start(Config{})
	m := code(message.SMS, "+491701234567")
	m.Expires = time.Now().Add(firstRetry)
	if m = send(t, s, m); !errors.Is(m.Err, message.ErrFailed) || !strings.Contains(m.Err.Error(), "certificate") || len(server.seen()) != 0 {
		t.Error(m.Err)
	}
	if shown := log.String() + m.Err.Error(); strings.Contains(shown, "hunter2") || strings.Contains(shown, theCode) {
		t.Errorf("a secret of the URL is shown: %s", shown)
	}
}

func TestSecretThatCouldEndAHeaderIsNotSent(t *testing.T) {
	server := startSMS(t, nil)
	s, _ := newSite(t, server.gateway("form: {to: '{{.To}}', text: '{{.Text}}'}\nauth: bearer\nsecret: \"a\\r\\nX-Other: b\"")).start(Config{})
	if m := send(t, s, code(message.SMS, "+491701234567")); !errors.Is(m.Err, message.ErrRefused) || len(server.seen()) != 0 {
		t.Error(m.Err, len(server.seen()))
	}
}

func TestChallengeGoesToTheDeviceWhole(t *testing.T) {
	server := startSMS(t, nil)
	document := strings.Replace(server.gateway("json: '{\"to\": \"{{.To}}\", \"alert\": \"{{.Text}}\", \"c\": \"{{.Challenge}}\", \"t\": \"{{.Ticket}}\"}'"), "type: http", "type: push", 1)
	s, log := newSite(t, document).start(Config{})
	challenge, ticket := strings.Repeat("QUJD", 400), strings.Repeat("REVG", 100) // longer than what texts show of a value
	push := func(to string) *message.Message {
		m := code(message.Push, to)
		m.Kind, m.Challenge, m.Ticket = message.Approval, challenge, ticket
		return m
	}
	if m := send(t, s, push("fGx7:APA91b")); m.Err != nil || m.Attempts != 1 {
		t.Fatalf("%v after %d attempts", m.Err, m.Attempts)
	}
	var got struct{ To, Alert, C, T string }
	if err := json.Unmarshal([]byte(server.seen()[0].body), &got); err != nil {
		t.Fatal(err)
	}
	if got.To != "fGx7:APA91b" || got.C != challenge || got.T != ticket || !strings.Contains(got.Alert, "VPN") || !strings.Contains(got.Alert, "Alice") {
		t.Errorf("the gateway got %+v", got)
	}
	for _, to := range []string{"", "two words", "a\r\nb", "gerät", strings.Repeat("x", 1025)} {
		if err := s.Submit(push(to)); !errors.Is(err, message.ErrAddress) {
			t.Errorf("to %.20q: %v", to, err)
		}
	}
	for range 4 {
		send(t, s, push("fGx7:APA91b"))
	}
	if err := s.Submit(push("fGx7:APA91b")); !errors.Is(err, message.ErrLimited) {
		t.Errorf("a sixth challenge in a row: %v", err)
	}
	if strings.Contains(log.String(), "QUJD") || strings.Contains(log.String(), "REVG") {
		t.Errorf("the log shows a challenge:\n%s", log)
	}
}
