package delivery

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/text/language"

	"trine/engine/document"
	"trine/engine/message"
	"trine/engine/secret"
)

// gateway is a MessageGateway document made ready.
type gateway struct {
	name     string
	version  uint64
	spec     *document.MessageGateway
	timeout  time.Duration // of one attempt
	attempts int           // at most; 0: as long as the message is of use
	texts    map[message.Kind]*texts
	// open returns a new way to the gateway, for one worker.
	open func() (carrier, error)
}

// carrier is one worker's way to a gateway; it may keep a connection.
type carrier interface {
	// carry hands a message over. An error that is a *refusal says that trying again would not help.
	carry(ctx context.Context, p *parcel) error
	// close gives up what is kept.
	close()
}

// parcel is a message as it goes out.
type parcel struct {
	id, to        string
	subject, body string
	challenge     string // and ticket: what a device gets beside the text
	ticket        string
	code          string // must be in no error
	verbose       bool   // whether errors may quote what the other side said
}

// refusal is an error after which the message is not tried again.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func refused(format string, args ...any) error { return &refusal{fmt.Errorf(format, args...)} }

// texts are the texts of one kind of message.
type texts struct {
	matcher language.Matcher
	texts   []text // in the matcher's order
}

type text struct {
	subject, body message.Template[message.Values]
}

// newGateway makes a document ready. Secrets are opened only when they are needed.
func newGateway(d *document.Document, keyring *secret.Keyring, host string) (*gateway, error) {
	spec := d.Spec.(*document.MessageGateway)
	g := &gateway{name: d.Name, spec: spec, texts: map[message.Kind]*texts{}}
	var err error
	for _, kind := range message.Kinds(spec.Channel()) {
		if g.texts[kind], err = newTexts(spec, kind); err != nil {
			return nil, err
		}
	}
	// A secret is opened for as long as a way to the gateway is open.
	open := func(t secret.Text) (string, error) {
		clear, err := t.Open(nil, keyring, d.SecretContext())
		if err != nil {
			return "", fmt.Errorf("open the secret of %s: %w", d.Key(), err)
		}
		return string(clear), nil
	}
	switch spec.Type {
	case document.TypeSMTP:
		g.timeout = spec.SMTP.Timeout
		g.open, err = newSMTP(spec.SMTP, open, host)
	case document.TypeHTTP, document.TypePush:
		g.timeout, g.attempts = spec.HTTP.Timeout, maxHTTPAttempts
		g.open, err = newHTTP(spec.HTTP, open)
	default:
		err = fmt.Errorf("there is no type %q", spec.Type)
	}
	return g, err
}

// newTexts gathers the texts of a kind: the document's own, and the built-in ones of other languages. The gateway's language comes first,
// which makes it the one for everybody else.
func newTexts(spec *document.MessageGateway, kind message.Kind) (*texts, error) {
	var all []message.Text
	own := map[string]bool{}
	for _, t := range spec.Texts {
		if t.Message == kind {
			all = append(all, message.Text{Language: t.Language, Subject: t.Subject, Body: t.Text})
			own[strings.ToLower(t.Language)] = true
		}
	}
	for _, t := range message.Texts() {
		if t.Channel == spec.Channel() && t.Kind == kind && !own[t.Language] {
			all = append(all, t)
		}
	}
	out := &texts{}
	tags := make([]language.Tag, len(all))
	for i, t := range all {
		var err error
		if tags[i], err = language.Parse(t.Language); err != nil {
			return nil, fmt.Errorf("the language %q: %w", t.Language, err)
		}
	}
	want, err := language.Parse(spec.Language)
	if err != nil {
		return nil, fmt.Errorf("the language %q: %w", spec.Language, err)
	}
	_, first, _ := language.NewMatcher(tags).Match(want)
	all[0], all[first] = all[first], all[0]
	tags[0], tags[first] = tags[first], tags[0]
	out.matcher = language.NewMatcher(tags)
	for _, t := range all {
		subject, err := message.Parse[message.Values](t.Subject)
		if err != nil {
			return nil, err
		}
		body, err := message.Parse[message.Values](t.Body)
		if err != nil {
			return nil, err
		}
		out.texts = append(out.texts, text{subject, body})
	}
	return out, nil
}

// fill returns subject and body of a message as they are at a time.
func (g *gateway) fill(m *message.Message, now time.Time) (subject, body string, err error) {
	t := g.texts[m.Kind]
	if t == nil {
		return "", "", fmt.Errorf("there is no text for messages of kind %q", m.Kind)
	}
	which := 0
	if tag, err := language.Parse(m.Language); err == nil {
		_, which, _ = t.matcher.Match(tag)
	}
	values := m.Values.Clean()
	values.Minutes = max(1, int(m.Expires.Sub(now)/time.Minute))
	if subject, err = t.texts[which].subject.Execute(values); err != nil {
		return "", "", err
	}
	body, err = t.texts[which].body.Execute(values)
	return subject, body, err
}

// scrub takes the code out of what somebody else said, in case he repeats it.
func (p *parcel) scrub(text string) string {
	if p.code != "" {
		text = strings.ReplaceAll(text, p.code, secret.Mark)
	}
	return printable(text)
}

// printable cuts a text to one short line.
func printable(text string) string {
	const most = 200
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\ufffd' }), " ")
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "…"
	}
	return text
}
