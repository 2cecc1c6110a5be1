package dictionary

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"

	"trine/protocols/radius/wire"
)

// ErrTemplate is returned, wrapped, for a reply list that cannot be read or
// compiled.
var ErrTemplate = errors.New("reply list is not valid")

// LineError is what is wrong with one line of a reply list.
type LineError struct {
	line int
	err  error
}

// AtLine returns err as a *LineError. Lines count from 1.
func AtLine(line int, err error) error { return &LineError{line, err} }

// Error returns line and reason.
func (e *LineError) Error() string { return "line " + strconv.Itoa(e.line) + ": " + e.err.Error() }

// Line returns the number of the line, from 1.
func (e *LineError) Line() int { return e.line }

// Unwrap returns the reason.
func (e *LineError) Unwrap() error { return e.err }

// Item is one line of a reply list. It holds its value in clear: do not print
// the value of an attribute that is Secret.
type Item struct {
	Name  string
	Tag   uint8 // 0 is none
	Add   bool  // operator +=: one more of the same attribute
	Value string
	Line  int // from 1; 0 if the item is not from a text
}

// ParseItems reads a reply list: "Name = value" or "Name:tag += value", separated
// by line ends or commas. A value is bare, or quoted "with \" and \n escapes" or
// 'as it is'; a bare one ends at a comma, and at a # behind white space, which
// begins a comment.
func ParseItems(text string) ([]Item, error) {
	var items []Item
	number := 0
	for line := range strings.Lines(text) {
		number++
		rest := strings.TrimSpace(line)
		for rest != "" && rest[0] != '#' {
			item, tail, err := parseItem(rest)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrTemplate, AtLine(number, err))
			}
			item.Line = number
			items = append(items, item)
			rest = tail
		}
	}
	return items, nil
}

func parseItem(text string) (item Item, rest string, err error) {
	end := strings.IndexAny(text, "=+ \t:")
	if end <= 0 {
		return item, "", errors.New("expected: attribute = value")
	}
	item.Name, rest = text[:end], text[end:]
	if rest[0] == ':' && !strings.HasPrefix(rest, ":=") {
		end = strings.IndexAny(rest, "=+ \t")
		if end < 0 {
			return item, "", fmt.Errorf("%s: expected = or += and a value", item.Name)
		}
		tag, err := strconv.ParseUint(rest[1:end], 10, 8)
		if err != nil || tag > MaxTag {
			return item, "", fmt.Errorf("%s: %q is not a tag (0 to %d)", item.Name, rest[1:end], MaxTag)
		}
		item.Tag, rest = uint8(tag), rest[end:]
	}
	rest = strings.TrimLeft(rest, " \t")
	switch {
	case strings.HasPrefix(rest, "+="):
		item.Add, rest = true, rest[2:]
	case strings.HasPrefix(rest, "="):
		rest = rest[1:]
	default:
		return item, "", fmt.Errorf("%s: expected = or += and a value", item.Name)
	}
	item.Value, rest, err = parseText(strings.TrimLeft(rest, " \t"))
	if err != nil {
		return item, "", fmt.Errorf("%s: %w", item.Name, err)
	}
	return item, rest, nil
}

// parseText reads one value and what separates it from the next item.
func parseText(text string) (value, rest string, err error) {
	if text == "" {
		return "", "", errors.New(`value is missing: write "" for an empty one`)
	}
	switch text[0] {
	case '"':
		quoted, err := strconv.QuotedPrefix(text)
		if err != nil {
			return "", "", errors.New("quotation is not closed, or has an unknown escape")
		}
		if value, err = strconv.Unquote(quoted); err != nil {
			return "", "", errors.New("quotation has an unknown escape")
		}
		rest = text[len(quoted):]
	case '\'':
		end := strings.IndexByte(text[1:], '\'')
		if end < 0 {
			return "", "", errors.New("quotation is not closed")
		}
		value, rest = text[1:1+end], text[2+end:]
	default:
		value = text
		if comma := strings.IndexByte(text, ','); comma >= 0 {
			value, rest = text[:comma], text[comma:]
		}
		for _, mark := range []string{" #", "\t#"} {
			if comment := strings.Index(value, mark); comment >= 0 {
				value, rest = value[:comment], ""
			}
		}
		if value = strings.TrimSpace(value); value == "" {
			return "", "", errors.New(`value is missing: write "" for an empty one`)
		}
	}
	rest = strings.TrimLeft(rest, " \t\r\n")
	switch {
	case rest == "" || rest[0] == '#':
		return value, "", nil
	case rest[0] == ',':
		return value, strings.TrimLeft(rest[1:], " \t\r\n"), nil
	}
	return "", "", errors.New("expected a comma or the end of the line behind the value")
}

// Template is a reply list made ready: bytes that only need copying, and values
// that are encrypted for each reply. It is immutable, safe for concurrent use,
// and prints with its secrets redacted.
type Template struct {
	parts func() []part // out of fmt's reach
	text  string
	size  int
}

type part struct {
	ready  []byte // attributes, or the front of one whose rest is hidden
	hiding wire.Hiding
	secret []byte
}

// ParseTemplate is ParseItems and Compile.
func (d *Dictionary) ParseTemplate(text string) (*Template, error) {
	items, err := ParseItems(text)
	if err != nil {
		return nil, err
	}
	return d.Compile(items)
}

// Compile makes a reply list ready. All items stay in order. It refuses unknown
// names, values that are none, attributes that the server computes itself, a
// second "=" of the same attribute and tag, and more than fits into a packet.
// Neighbouring items inside the same outer attribute go into one of it, until
// one repeats.
func (d *Dictionary) Compile(items []Item) (*Template, error) {
	c := compiler{seen: make(map[Item]bool)}
	for _, item := range items {
		if err := c.add(d, item); err != nil {
			if item.Line > 0 {
				err = AtLine(item.Line, err)
			}
			return nil, fmt.Errorf("%w: %w", ErrTemplate, err)
		}
	}
	if err := c.flush(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTemplate, err)
	}
	size := 0
	for _, p := range c.parts {
		size += len(p.ready)
		if p.hiding != wire.Clear {
			size += p.hiding.HiddenLen(len(p.secret))
		}
	}
	const room = wire.MaxPacket - 20 - 18 // header, Message-Authenticator
	if size > room {
		return nil, fmt.Errorf("%w: %d bytes of attributes, a packet has room for %d", ErrTemplate, size, room)
	}
	parts := c.parts
	return &Template{parts: func() []part { return parts }, text: strings.Join(c.text, "\n"), size: size}, nil
}

// AppendTo appends the list to a packet, without allocating. A packet that is
// full is the Builder's fault and shows there.
func (t *Template) AppendTo(b *wire.Builder) {
	if t == nil {
		return
	}
	for _, p := range t.parts() {
		if p.hiding == wire.Clear {
			b.Encoded(p.ready)
		} else {
			b.Hidden(p.hiding, p.ready, p.secret)
		}
	}
}

// Size returns the bytes that the list takes in a packet.
func (t *Template) Size() int { return t.size }

// String returns the list, an attribute a line, secrets redacted.
func (t *Template) String() string { return t.text }

// Format writes String under every verb.
func (t *Template) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, t.text) // fmt's own state does not fail
}

// LogValue returns String.
func (t *Template) LogValue() slog.Value { return slog.StringValue(t.text) }

// compiler gathers the parts of a template.
type compiler struct {
	parts []part
	text  []string
	seen  map[Item]bool
	outer *Attribute // the outer attribute whose body is being gathered
	body  []byte
	inner map[uint32]bool
}

func (c *compiler) add(d *Dictionary, item Item) error {
	a := d.Attribute(item.Name)
	if a == nil {
		return fmt.Errorf("unknown attribute %q%s", item.Name, didYouMean(d.Suggest(item.Name)))
	}
	if a.Vendor == nil && a.Parent == nil && computed(wire.Type(a.Number)) {
		return fmt.Errorf("%s is set by the server itself", a.Name)
	}
	id := Item{Name: a.Name, Tag: item.Tag}
	if c.seen[id] && !item.Add {
		return fmt.Errorf("%s is set twice: write += to send it more than once", a.Name)
	}
	c.seen[id] = true
	value := item.Value
	if a.Secret {
		value = redacted
	}
	c.text = append(c.text, Pair{Name: a.Name, Tag: item.Tag, Value: value}.String())

	top := a.top()
	if top != a && a.Hiding == wire.Clear {
		return c.gather(a, top, item)
	}
	if err := c.flush(); err != nil {
		return err
	}
	if a.Hiding != wire.Clear {
		front, secret, err := a.hidden(nil, nil, item.Value, item.Tag)
		if err != nil {
			return err
		}
		c.parts = append(c.parts, part{ready: front, hiding: a.Hiding, secret: secret})
		return nil
	}
	encoded, err := a.Encode(nil, item.Value, item.Tag)
	if err != nil {
		return err
	}
	c.ready(encoded)
	return nil
}

// gather puts an inner attribute into the outer one at hand, or a new one.
func (c *compiler) gather(a, top *Attribute, item Item) error {
	child := a
	for child.Parent != top {
		child = child.Parent
	}
	if c.outer != top || c.inner[child.Number] {
		if err := c.flush(); err != nil {
			return err
		}
		c.outer, c.inner = top, make(map[uint32]bool)
	}
	before := len(c.body)
	body, err := a.appendBody(c.body, item.Value, item.Tag)
	if err != nil {
		return err
	}
	if _, err := top.wrap(nil, body); err != nil && before > 0 { // full: begin another
		inner := append([]byte(nil), body[before:]...)
		c.body = body[:before]
		if err := c.flush(); err != nil {
			return err
		}
		c.outer, c.inner, body = top, make(map[uint32]bool), inner
	}
	c.body, c.inner[child.Number] = body, true
	return nil
}

func (c *compiler) flush() error {
	if c.outer == nil {
		return nil
	}
	encoded, err := c.outer.wrap(nil, c.body)
	if err != nil {
		return err
	}
	c.ready(encoded)
	c.outer, c.body, c.inner = nil, nil, nil
	return nil
}

func (c *compiler) ready(encoded []byte) {
	if n := len(c.parts); n > 0 && c.parts[n-1].hiding == wire.Clear {
		c.parts[n-1].ready = append(c.parts[n-1].ready, encoded...)
		return
	}
	c.parts = append(c.parts, part{ready: encoded})
}

// computed reports whether the server alone writes an attribute, or none may
// write it into a reply.
func computed(t wire.Type) bool {
	switch t {
	case wire.UserPassword, wire.CHAPPassword, wire.CHAPChallenge, wire.State, wire.VendorSpecific,
		wire.ProxyState, wire.EAPMessage, wire.MessageAuthenticator:
		return true
	}
	return false
}
