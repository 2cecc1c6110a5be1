package delivery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"trine/engine/document"
	"trine/engine/message"
)

func TestNumbersAreBroughtIntoOneForm(t *testing.T) {
	german := &document.HTTPGateway{CountryCode: "49"}
	bare := &document.HTTPGateway{}
	fenced := &document.HTTPGateway{CountryCode: "49", Prefixes: []string{"+4915", "+43"}}
	for _, test := range []struct {
		text string
		g    *document.HTTPGateway
		want string
	}{
		{"+49 170 1234567", bare, "+491701234567"},
		{"+49 (0)170/123-45.67", bare, "+491701234567"},
		{"0049 170 1234567", bare, "+491701234567"},
		{"0170 1234567", german, "+491701234567"},
		{"0170 1234567", bare, ""},
		{"170 1234567", german, ""},
		{"", german, ""},
		{"+", german, ""},
		{"+0170123456", german, ""},
		{"+49170", german, ""},
		{"+4917012345678901", german, ""},
		{"+49170123456x", german, ""},
		{"+49170１２３４５６", german, ""},
		{"+491701234567\r\nX: y", german, ""},
		{"+49170;1234567", german, ""},
		{"0151 1234567", fenced, "+491511234567"},
		{"+43 660 1234567", fenced, "+436601234567"},
		{"+49 170 1234567", fenced, ""},
		{"+882 16 1234567", fenced, ""},
	} {
		if got, ok := phoneNumber(test.text, test.g); got != test.want || ok != (test.want != "") {
			t.Errorf("%q: %q, %v", test.text, got, ok)
		}
	}
}

func TestRecipientIsNotFlooded(t *testing.T) {
	limits := &document.MessageLimits{RecipientBurst: 3, RecipientEvery: time.Minute, TotalPerMinute: 10}
	now := time.Unix(1e9, 0)
	l := newLimiter()
	for i := range 3 {
		if got := l.take("a", limits, now); got != unlimited {
			t.Fatalf("message %d: %d", i, got)
		}
	}
	if l.take("a", limits, now) != byRecipient || l.take("a", limits, now.Add(59*time.Second)) != byRecipient {
		t.Error("a fourth one was let through")
	}
	if l.take("b", limits, now) != unlimited {
		t.Error("one recipient's limit holds for another")
	}
	if at := now.Add(time.Minute); l.take("a", limits, at) != unlimited || l.take("a", limits, at) != byRecipient {
		t.Error("after a minute there is one more, and one only")
	}
	for i := 0; l.take(fmt.Sprint(i), limits, now.Add(time.Minute)) == unlimited; i++ {
		if i > 10 {
			t.Fatal("all together have no limit")
		}
	}
	if got := l.take("z", limits, now.Add(time.Minute)); got != byTotal {
		t.Error(got)
	}
}

// Whatever happens, a recipient gets at most burst messages and one more for each time that has passed.
func TestLimitHoldsOverAnyTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := &document.MessageLimits{
			RecipientBurst: rapid.IntRange(1, 5).Draw(t, "burst"), RecipientEvery: time.Duration(rapid.IntRange(1, 60).Draw(t, "every")) * time.Second, TotalPerMinute: 100_000,
		}
		l, start := newLimiter(), time.Unix(1e9, 0)
		now, let := start, 0
		for range rapid.IntRange(1, 60).Draw(t, "messages") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(t, "pause")) * time.Millisecond)
			if l.take("a", limits, now) == unlimited {
				let++
			}
			if most := limits.RecipientBurst + int(now.Sub(start)/limits.RecipientEvery); let > most {
				t.Fatalf("%d messages after %v", let, now.Sub(start))
			}
		}
	})
}

func TestLimiterStaysSmall(t *testing.T) {
	limits := &document.MessageLimits{RecipientBurst: 1, RecipientEvery: time.Hour, TotalPerMinute: 100_000}
	now := time.Unix(1e9, 0)
	l := newLimiter()
	for i := range maxRecipients {
		if i%1000 == 0 {
			now = now.Add(time.Second)
		}
		if got := l.take(fmt.Sprint(i), limits, now); got != unlimited {
			t.Fatal(i, got)
		}
	}
	if got := l.take("one more", limits, now); got != byTotal || len(l.full) != maxRecipients {
		t.Error(got, len(l.full))
	}
	if got := l.take("one more", limits, now.Add(time.Hour)); got != unlimited || len(l.full) > maxRecipients/2 {
		t.Error(got, len(l.full))
	}
}

func gatewayTo(server, limits string) string {
	return mailGateway(server, "", "    timeout: 1s\n") + limits
}

func TestWhatCannotBeSentIsNotTaken(t *testing.T) {
	hangs := silent(t)
	site := newSite(t)
	s, _ := site.start(Config{Queue: 4})
	refuses := func(name string, m *message.Message, want error) {
		t.Helper()
		if err := s.Check(m); !errors.Is(err, want) || strings.Contains(err.Error(), theCode) { // and counts nowhere
			t.Errorf("%s: checked as %v", name, err)
		}
		if err := s.Submit(m); !errors.Is(err, want) || strings.Contains(err.Error(), theCode) {
			t.Errorf("%s: %v", name, err)
		}
	}
	refuses("no gateway", code(message.Mail, "a@example.com"), message.ErrUnconfigured)
	refuses("no such channel", code(9, "a@example.com"), message.ErrUnconfigured)
	site.apply(gatewayTo(hangs, "  limits: {recipientBurst: 2, totalPerMinute: 5}\n"))
	refuses("no gateway of that type", code(message.SMS, "+491701234567"), message.ErrUnconfigured)
	refuses("no address", code(message.Mail, ""), message.ErrAddress)
	for range 2 {
		for range 5 { // takes nothing of the limit of two
			if err := s.Check(code(message.Mail, "A@example.com")); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Submit(code(message.Mail, "A@example.com")); err != nil {
			t.Fatal(err)
		}
	}
	refuses("recipient's limit", code(message.Mail, "a@Example.com"), message.ErrLimited)
	for _, to := range []string{"b@example.com", "c@example.com"} {
		if err := s.Submit(code(message.Mail, to)); err != nil {
			t.Fatal(err)
		}
	}
	refuses("queue", code(message.Mail, "d@example.com"), message.ErrFull)
	got := s.Stats()
	mail, sms := got[0], got[1]
	if mail.Unconfigured != 1 || sms.Unconfigured != 1 || mail.Address != 1 || mail.LimitedRecipient != 1 || mail.Full != 1 || mail.Taken != 4 || mail.Waiting+mail.UnderWay != 4 {
		t.Errorf("%+v", got)
	}
}

func TestLimitOfAllTogether(t *testing.T) {
	s, _ := newSite(t, gatewayTo(silent(t), "  limits: {totalPerMinute: 2}\n")).start(Config{})
	for i := range 2 {
		if err := s.Submit(code(message.Mail, fmt.Sprintf("%d@example.com", i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Submit(code(message.Mail, "3@example.com")); !errors.Is(err, message.ErrLimited) || s.Stats()[0].LimitedTotal != 1 {
		t.Errorf("%v, %+v", err, s.Stats()[0])
	}
}

func TestNewDocumentCountsForTheNextMessage(t *testing.T) {
	a := newAuthority(t)
	e := startExim(t, a, eximOptions{})
	site := newSite(t, mailGateway(e.address, a.pem, ""))
	s, _ := site.start(Config{})
	if m := send(t, s, code(message.Mail, "nobody@example.com")); !errors.Is(m.Err, message.ErrRefused) {
		t.Fatal(m.Err)
	}
	site.apply(mailGateway(e.address, a.pem, "  language: de\n"))
	if m := send(t, s, code(message.Mail, "alice@example.com")); m.Err != nil {
		t.Fatal(m.Err)
	}
	if subject := e.inbox("alice").Header.Get("Subject"); !strings.Contains(subject, "Ihr_Code") {
		t.Error(subject)
	}
	site.mu.Lock()
	clear(site.stored)
	site.mu.Unlock()
	if err := s.Submit(code(message.Mail, "alice@example.com")); !errors.Is(err, message.ErrUnconfigured) {
		t.Error(err)
	}
}

func TestStopTellsOfEveryMessage(t *testing.T) {
	site := newSite(t, gatewayTo(silent(t), "  limits: {recipientBurst: 100}\n"))
	s := New(Config{Documents: site, Keyring: site.keyring})
	var sent []*message.Message
	for range 20 {
		m := code(message.Mail, "a@example.com")
		if err := s.Submit(m); err != nil {
			t.Fatal(err)
		}
		sent = append(sent, m)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	for i, m := range sent {
		select {
		case <-m.Done.(outcome):
			if !errors.Is(m.Err, message.ErrFailed) {
				t.Errorf("message %d: %v", i, m.Err)
			}
		default:
			t.Fatalf("nothing was told of message %d", i)
		}
	}
	if err := s.Submit(code(message.Mail, "a@example.com")); !errors.Is(err, message.ErrFull) {
		t.Error(err)
	}
}

func TestQueueHandsOutWhatIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(8)
		start := time.Now()
		for _, seconds := range []int{3, 1, 2} {
			if !q.reserve() || !q.put(&job{id: fmt.Sprint(seconds), due: start.Add(time.Duration(seconds) * time.Second)}) {
				t.Fatal("no room")
			}
		}
		for _, want := range []string{"1", "2", "3"} {
			j, open := q.next(time.Now, time.Hour)
			if !open || j == nil || j.id != want || time.Since(start) != j.due.Sub(start) {
				t.Fatalf("%+v at %v", j, time.Since(start))
			}
		}
		if j, open := q.next(time.Now, time.Minute); j != nil || !open {
			t.Error(j, open)
		}
		for range 5 {
			if !q.reserve() {
				t.Fatal("no room for what was taken out")
			}
		}
		if q.reserve() {
			t.Error("room for more than there is")
		}
		ended := make(chan bool)
		for range 3 {
			go func() {
				_, open := q.next(time.Now, time.Hour)
				ended <- open
			}()
		}
		synctest.Wait()
		q.close()
		for range 3 {
			if <-ended {
				t.Error("the queue is closed and still open")
			}
		}
	})
}

func TestExpiredMessageIsNotSent(t *testing.T) {
	server := startSMS(t, nil)
	s, _ := newSite(t, server.gateway("form: {to: '{{.To}}', text: '{{.Text}}'}")).start(Config{})
	m := code(message.SMS, "+491701234567")
	m.Expires = time.Now().Add(-time.Second)
	if m = send(t, s, m); !errors.Is(m.Err, message.ErrFailed) || len(server.seen()) != 0 {
		t.Error(m.Err, len(server.seen()))
	}
}

func TestLanguageIsTheNearestOne(t *testing.T) {
	spec := func(fields string) *gateway {
		docs, err := document.Parse("", strings.NewReader(gatewayTo("mail.example.com", fields)))
		if err != nil {
			t.Fatal(err)
		}
		g, err := newGateway(docs[0], nil, "node")
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	own := "  texts:\n    - {message: code, language: fr, subject: Code, text: 'Le code {{.Code}}, {{.Minutes}}'}\n    - {message: code, language: de, subject: Eigen, text: 'Eigener Text {{.Code}}'}\n"
	for _, test := range []struct{ fields, language, want string }{
		{"", "", "Your code for VPN"},
		{"", "de", "Ihr Code für VPN"},
		{"", "de-CH", "Ihr Code für VPN"},
		{"", "ja", "Your code for VPN"},
		{"", "not a language", "Your code for VPN"},
		{"  language: de\n", "", "Ihr Code für VPN"},
		{"  language: de\n", "en-US", "Your code for VPN"},
		{own, "fr-CA", "Code"},
		{own, "de", "Eigen"},
		{own, "en", "Your code for VPN"},
		{"  language: fr\n" + own, "ja", "Code"},
	} {
		m := code(message.Mail, "a@example.com")
		m.Language = test.language
		subject, body, err := spec(test.fields).fill(m, time.Now())
		if err != nil || subject != test.want || !strings.Contains(body, theCode) {
			t.Errorf("%q %q: %q, %v", test.fields, test.language, subject, err)
		}
	}
}
