package secret

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	// Mark is what a secret prints as. In a document that comes in it means: leave the secret as it is.
	Mark = "«redacted»"
	// sealedPrefix begins the stored form of a sealed secret; base64 (RFC 4648 section 5, no padding) follows.
	sealedPrefix = "sealed:"
)

var (
	// ErrNotSealed means that a secret has no stored form: it is clear text, or only the mark.
	ErrNotSealed = errors.New("the secret is not sealed")
	// ErrUnchanged means that a document says to leave a secret as it is where there is none to leave.
	ErrUnchanged = errors.New("the secret is " + Mark + ", which stands for an unchanged one")
	// ErrSealedText means that a text begins like a sealed secret and is none.
	ErrSealedText = errors.New(`a text that begins with "` + sealedPrefix + `" must be a sealed secret as it was exported`)
)

type state uint8

const (
	absent state = iota
	plain
	sealed
	redacted
)

// Text is a secret in a document. The zero Text is no secret at all. It is clear text as it came in, or sealed (only the
// cluster's [Keyring] opens it), or the mark that stands for "unchanged". Whatever it is, every fmt verb, JSON, YAML, text
// encoders and slog show the mark; only [Text.Stored], [Text.ForStorage] and [Text.Open] give more. Texts compare with ==.
type Text struct {
	value   string // clear text, or the sealed bytes
	state   state
	storing bool
}

// Plain returns a secret that is clear text; an empty one is no secret.
func Plain(clear string) Text {
	if clear == "" {
		return Text{}
	}
	return Text{value: clear, state: plain}
}

// Redacted returns the mark that stands for an unchanged secret.
func Redacted() Text { return Text{state: redacted} }

// Sealed returns a secret that [Keyring.Seal] has sealed.
func Sealed(sealedBytes []byte) Text { return Text{value: string(sealedBytes), state: sealed} }

// Parse reads a secret as a document holds it: the mark, a stored form, or else clear text. It returns ErrSealedText for what
// begins like a stored form and is none.
func Parse(text string) (Text, error) {
	if text == Mark {
		return Redacted(), nil
	}
	encoded, ok := strings.CutPrefix(text, sealedPrefix)
	if !ok {
		return Plain(text), nil
	}
	value, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || len(value) < sealedOverhead || value[0] != sealedFormat || strings.ContainsAny(encoded, "\r\n") {
		return Text{}, ErrSealedText
	}
	return Text{value: string(value), state: sealed}, nil
}

// IsZero reports whether there is no secret; encoders leave such a field out.
func (t Text) IsZero() bool { return t.state == absent }

// IsPlain reports whether the secret is clear text, which must be sealed before it is stored.
func (t Text) IsPlain() bool { return t.state == plain }

// IsSealed reports whether the secret is sealed.
func (t Text) IsSealed() bool { return t.state == sealed }

// IsRedacted reports whether the text is only the mark of an unchanged secret.
func (t Text) IsRedacted() bool { return t.state == redacted }

// Seal returns the secret sealed for a context, which names where it stands, such as "ServiceProvider/core/secrets/0": it opens
// nowhere else. A sealed or absent secret is returned as it is; the mark is refused with ErrUnchanged.
func (t Text) Seal(k *Keyring, context []byte) (Text, error) {
	switch t.state {
	case plain:
		out, err := k.Seal(nil, []byte(t.value), context)
		if err != nil {
			return Text{}, fmt.Errorf("seal secret: %w", err)
		}
		return Sealed(out), nil
	case redacted:
		return Text{}, ErrUnchanged
	}
	return t, nil
}

// Open appends the clear text to dst. The context must be the one that the secret was sealed for. An absent secret appends
// nothing; the mark is refused with ErrUnchanged.
func (t Text) Open(dst []byte, k *Keyring, context []byte) ([]byte, error) {
	switch t.state {
	case plain:
		return append(dst, t.value...), nil
	case sealed:
		return k.Open(dst, []byte(t.value), context)
	case redacted:
		return dst, ErrUnchanged
	}
	return dst, nil
}

// Stored returns the form in which the secret is recorded: "sealed:" and base64. It returns ErrNotSealed for clear text and for
// the mark, and an empty form for no secret.
func (t Text) Stored() (string, error) {
	switch t.state {
	case sealed:
		return sealedPrefix + base64.RawURLEncoding.EncodeToString([]byte(t.value)), nil
	case absent:
		return "", nil
	}
	return "", ErrNotSealed
}

// ForStorage returns a copy that JSON encodes as [Text.Stored] has it, for the record of a document; formatters and slog go on
// showing the mark. Encoding one that is not sealed fails with ErrNotSealed.
func (t Text) ForStorage() Text {
	t.storing = true
	return t
}

// Format shows the mark under every verb; nothing for no secret.
func (t Text) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// String returns the mark, or nothing for no secret.
func (t Text) String() string {
	if t.state == absent {
		return ""
	}
	return Mark
}

// LogValue shows the mark in logs.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText encodes the mark.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// MarshalJSON encodes the mark, or the stored form after [Text.ForStorage].
func (t Text) MarshalJSON() ([]byte, error) {
	text := t.String()
	if t.storing {
		var err error
		if text, err = t.Stored(); err != nil {
			return nil, err
		}
	}
	return json.Marshal(text)
}

// MarshalYAML encodes the mark.
func (t Text) MarshalYAML() (any, error) { return t.String(), nil }

// UnmarshalText reads what Parse reads.
func (t *Text) UnmarshalText(b []byte) error {
	parsed, err := Parse(string(b))
	if err == nil {
		*t = parsed
	}
	return err
}

// UnmarshalJSON reads a string as Parse does; null is no secret.
func (t *Text) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return errors.New("a secret must be a string") // the decoder's error could quote the secret
	}
	return t.UnmarshalText([]byte(text))
}

// UnmarshalYAML reads a scalar as Parse does, as it is written: 0123 is the secret "0123". An empty scalar is no secret.
func (t *Text) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.ScalarNode || node.Tag == "!!binary" {
		return fmt.Errorf("line %d: a secret must be a string", node.Line)
	}
	if node.Tag == "!!null" {
		*t = Text{}
		return nil
	}
	if err := t.UnmarshalText([]byte(node.Value)); err != nil {
		return fmt.Errorf("line %d: %w", node.Line, err)
	}
	return nil
}

var (
	_ fmt.Formatter    = Text{}
	_ slog.LogValuer   = Text{}
	_ json.Marshaler   = Text{}
	_ yaml.Marshaler   = Text{}
	_ json.Unmarshaler = (*Text)(nil)
	_ yaml.Unmarshaler = (*Text)(nil)
)
