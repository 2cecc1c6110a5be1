package event

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// redacted stands where a secret was, sealed or hashed ones included.
const redacted = "«redacted»"

// JSON prints an encoded event for people: {"type": ..., "class": ..., "event": {...}}, with the body's fields in the order of
// their numbers under their names in event.proto. Ids of decisions, sessions and stages are as FormatID prints them, times are
// RFC 3339 under the field's name without its unit, addresses are text, other bytes text where they are printable and else
// hexadecimal. Passwords, hashes and wrapped keys are left out. Its errors are those of [Decode].
func JSON(data []byte) ([]byte, error) {
	e, err := ParseEvent(data)
	if err != nil {
		return nil, err
	}
	m, err := e.Message()
	if err != nil {
		return nil, err
	}
	var w jsonWriter
	w.name("{", "type")
	w.text(e.Type.String())
	w.name(",", "class")
	w.text(e.Class.String())
	w.name(",", "event")
	if err := w.message(m.ProtoReflect()); err != nil {
		return nil, fmt.Errorf("print %s: %w", e.Type, err)
	}
	w.WriteByte('}')
	return w.Bytes(), nil
}

// shape says how a field is printed that is not printed by its type alone.
type shape uint8

const (
	plainShape   shape = iota
	secretShape        // not at all
	idShape            // FormatID
	hexShape           // 16 hexadecimal digits
	addressShape       // IP address or IPv6 prefix
	secondsShape       // unix seconds
	nanosShape         // unix nanoseconds
	verdictShape       // Verdict
	kindShape          // DecisionKind
	levelShape         // one more than the number
	specShape          // a document
	eventShape         // an event
	roleShape          // NodeRole
)

// shapeOf returns the shape of a field.
func shapeOf(fd protoreflect.FieldDescriptor) shape {
	switch fd.FullName() {
	case "trine.event.v1.PasswordSet.argon2id", "trine.event.v1.PasswordSet.keyed", "trine.event.v1.PasswordSet.nt",
		"trine.event.v1.PasswordSet.clear", "trine.event.v1.PasswordSet.past", "trine.event.v1.PasswordSet.imported", "trine.event.v1.ApiKeyCreated.hash", "trine.event.v1.ClusterKeyAdded.Wrap.wrapped",
		"trine.event.v1.FactorPut.data", "trine.event.v1.ClusterFounded.key", "trine.event.v1.JoinTokenMade.hash",
		"trine.event.v1.SsoStarted.hash", "trine.event.v1.SsoStarted.replaces", "trine.event.v1.SsoUsed.hash", "trine.event.v1.DeviceTrusted.hash",
		"trine.event.v1.GrantStarted.refresh", "trine.event.v1.GrantRefreshed.replaces", "trine.event.v1.GrantRefreshed.refresh", "trine.event.v1.SigningKeysMade.Key.private":
		return secretShape
	case "trine.event.v1.Decided.id", "trine.event.v1.SessionClosed.session", "trine.event.v1.SessionsExpired.sessions",
		"trine.event.v1.SessionReserved.login", "trine.event.v1.Accounted.login", "trine.event.v1.Staged.stage",
		"trine.event.v1.StageCommitted.stage", "trine.event.v1.StageAbandoned.stage", "trine.event.v1.LoginFailed.login",
		"trine.event.v1.FailuresCleared.login", "trine.event.v1.PushAnswered.challenge",
		"trine.event.v1.SsoStarted.session", "trine.event.v1.SsoStarted.login", "trine.event.v1.SsoStarted.Proof.login", "trine.event.v1.SsoUsed.session",
		"trine.event.v1.SsoUsed.login", "trine.event.v1.SsoEnded.sessions", "trine.event.v1.DeviceTrusted.login",
		"trine.event.v1.GrantStarted.grant", "trine.event.v1.GrantStarted.session", "trine.event.v1.GrantStarted.login", "trine.event.v1.GrantStarted.token",
		"trine.event.v1.GrantStarted.decision", "trine.event.v1.GrantRefreshed.grant", "trine.event.v1.GrantRefreshed.token", "trine.event.v1.GrantRefreshed.decision",
		"trine.event.v1.GrantsEnded.grants", "trine.event.v1.TokenRevoked.token", "trine.event.v1.ConsentGiven.login",
		"trine.event.v1.GrantsSwept.grants", "trine.event.v1.GrantsSwept.tokens":
		return idShape
	case "trine.event.v1.Accounted.key", "trine.event.v1.NodeStarted.node", "trine.event.v1.ClusterKeyAdded.Wrap.node",
		"trine.event.v1.LoginFailed.source", "trine.event.v1.FailuresCleared.source",
		"trine.event.v1.NodeJoined.node", "trine.event.v1.NodeChanged.node", "trine.event.v1.NodeRemoved.node":
		return hexShape
	case "trine.event.v1.NodeJoined.role", "trine.event.v1.NodeChanged.role", "trine.event.v1.JoinTokenMade.role":
		return roleShape
	case "trine.event.v1.Accounted.framed_ip", "trine.event.v1.Accounted.framed_ipv6_prefix", "trine.event.v1.Accounted.source",
		"trine.event.v1.Decided.source", "trine.event.v1.PushAnswered.source", "trine.event.v1.SsoStarted.source",
		"trine.event.v1.DeviceTrusted.source":
		return addressShape
	case "trine.event.v1.Decided.verdict":
		return verdictShape
	case "trine.event.v1.Decided.kind":
		return kindShape
	case "trine.event.v1.Decided.level", "trine.event.v1.Decided.privilege":
		return levelShape
	case "trine.event.v1.DocumentPut.spec":
		return specShape
	case "trine.event.v1.Staged.events":
		return eventShape
	}
	switch name := string(fd.Name()); {
	case strings.HasSuffix(name, "_unix"):
		return secondsShape
	case strings.HasSuffix(name, "_unix_nano"):
		return nanosShape
	}
	return plainShape
}

// jsonWriter writes JSON piece by piece.
type jsonWriter struct{ bytes.Buffer }

func (w *jsonWriter) name(before, name string) {
	w.WriteString(before)
	w.text(name)
	w.WriteByte(':')
}

// text writes a string. A JSON encoder of strings alone cannot fail.
func (w *jsonWriter) text(s string) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic("event: a string that cannot be JSON: " + err.Error())
	}
	w.Write(bytes.TrimRight(b.Bytes(), "\n"))
}

func (w *jsonWriter) message(m protoreflect.Message) error {
	before := "{"
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if !m.Has(fd) {
			continue
		}
		s := shapeOf(fd)
		name := string(fd.Name())
		if s == secondsShape || s == nanosShape {
			name, _, _ = strings.Cut(name, "_unix")
		}
		w.name(before, name)
		before = ","
		v := m.Get(fd)
		if !fd.IsList() {
			if err := w.value(m, fd, s, v); err != nil {
				return err
			}
			continue
		}
		w.WriteByte('[')
		for j := range v.List().Len() {
			if j > 0 {
				w.WriteByte(',')
			}
			if err := w.value(m, fd, s, v.List().Get(j)); err != nil {
				return err
			}
		}
		w.WriteByte(']')
	}
	if before == "{" {
		w.WriteByte('{')
	}
	w.WriteByte('}')
	return nil
}

func (w *jsonWriter) value(m protoreflect.Message, fd protoreflect.FieldDescriptor, s shape, v protoreflect.Value) error {
	switch s {
	case secretShape:
		w.text(redacted)
	case idShape:
		w.text(FormatID(v.Uint()))
	case hexShape:
		w.text(fmt.Sprintf("%016x", v.Uint()))
	case addressShape:
		w.text(addressText(v.Bytes()))
	case secondsShape:
		w.text(time.Unix(v.Int(), 0).UTC().Format(time.RFC3339))
	case nanosShape:
		w.text(time.Unix(0, v.Int()).UTC().Format(time.RFC3339Nano))
	case verdictShape:
		w.text(Verdict(v.Uint()).String())
	case roleShape:
		w.text(NodeRole(v.Uint()).String())
	case kindShape:
		w.text(DecisionKind(v.Uint()).String())
	case levelShape:
		w.WriteString(strconv.FormatUint(v.Uint()-1, 10)) // 0 is not written
	case specShape:
		put := m.Interface().(*DocumentPut)
		return w.spec(put.Kind, put.Spec)
	case eventShape:
		inner := v.Message().Interface().(*Event)
		data, err := JSON(appendEvent(nil, Type(inner.Type), Class(inner.Class), inner.Streams, inner.Body))
		w.Write(data)
		return err
	default:
		return w.plain(fd, v)
	}
	return nil
}

// plain writes a value by its type.
func (w *jsonWriter) plain(fd protoreflect.FieldDescriptor, v protoreflect.Value) error {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		w.WriteString(strconv.FormatBool(v.Bool()))
	case protoreflect.StringKind:
		w.text(v.String())
	case protoreflect.BytesKind:
		w.text(bytesText(v.Bytes()))
	case protoreflect.EnumKind:
		w.text(string(fd.Enum().Values().ByNumber(v.Enum()).Name()))
	case protoreflect.MessageKind:
		return w.message(v.Message())
	case protoreflect.Int64Kind, protoreflect.Sint32Kind:
		w.WriteString(strconv.FormatInt(v.Int(), 10))
	default:
		w.WriteString(strconv.FormatUint(v.Uint(), 10))
	}
	return nil
}

// spec writes a document: the fields of a user, account or endpoint, or the JSON that any other is, with sealed secrets left out.
func (w *jsonWriter) spec(kind string, spec []byte) error {
	var m proto.Message
	switch kind {
	case "User":
		m = new(UserSpec)
	case "Account":
		m = new(AccountSpec)
	case "Endpoint":
		m = new(EndpointSpec)
	}
	if m != nil {
		if err := proto.Unmarshal(spec, m); err != nil {
			return fmt.Errorf("read %s: %w: %v", kind, ErrFormat, err)
		}
		return w.message(m.ProtoReflect())
	}
	var doc any
	dec := json.NewDecoder(bytes.NewReader(spec))
	dec.UseNumber()
	if dec.Decode(&doc) != nil {
		w.text(bytesText(spec))
		return nil
	}
	enc := json.NewEncoder(&w.Buffer)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(redact(doc)); err != nil {
		return err
	}
	w.Truncate(w.Len() - 1) // the encoder's line end
	return nil
}

// redact replaces every sealed secret in a document.
func redact(v any) any {
	switch v := v.(type) {
	case string:
		if strings.HasPrefix(v, "sealed:") {
			return redacted
		}
	case []any:
		for i := range v {
			v[i] = redact(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = redact(v[k])
		}
	}
	return v
}

// bytesText returns bytes as text if all of them are printable, an address if they may be one, else hexadecimal digits.
func bytesText(b []byte) string {
	if utf8.Valid(b) && !strings.ContainsFunc(string(b), func(r rune) bool { return !unicode.IsPrint(r) }) {
		return string(b)
	}
	if a, ok := netip.AddrFromSlice(b); ok {
		return a.String()
	}
	return hex.EncodeToString(b)
}

// addressText returns a packed address, or an IPv6 prefix as RFC 3162 section 2.3 has it, as text.
func addressText(b []byte) string {
	if a, ok := netip.AddrFromSlice(b); ok {
		return a.String()
	}
	if len(b) >= 2 && len(b) <= 18 && b[0] == 0 && b[1] <= 128 {
		var addr [16]byte
		copy(addr[:], b[2:])
		return netip.PrefixFrom(netip.AddrFrom16(addr), int(b[1])).String()
	}
	return hex.EncodeToString(b)
}
