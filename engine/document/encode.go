package document

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"

	"trine/engine/event"
	"trine/engine/secret"
)

// tagSecret marks a node that holds a secret.
const tagSecret = "!secret"

// encoder turns a spec into nodes: fields in the order of the type, map keys sorted, what equals its default left out. That
// form is canonical: equal specs have equal nodes.
type encoder struct {
	// secret says what to write for a secret.
	secret func(secret.Text) (string, error)
	// defaults writes fields with a default tag even where they equal it.
	defaults bool
	err      error
}

func redact(t secret.Text) (string, error) { return t.String(), nil }

func (e *encoder) structure(v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, f := range schemas[v.Type()] {
		at := v.FieldByIndex(f.index)
		if value := e.field(&f, at); value != nil {
			n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: f.name}, value)
		}
	}
	return n
}

// field returns nil for a field that is left out.
func (e *encoder) field(f *field, v reflect.Value) *yaml.Node {
	switch v.Kind() {
	case reflect.Slice:
		if f.tagged && slicesEqual(v, f.def) && !e.defaults || !f.tagged && v.Len() == 0 {
			return nil
		}
	case reflect.Map:
		if v.Len() == 0 {
			return nil
		}
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
	case reflect.Struct:
		if _, ok := schemas[v.Type()]; ok {
			n := e.structure(v)
			if len(n.Content) == 0 {
				return nil
			}
			return n
		}
		if v.IsZero() {
			return nil
		}
	default:
		if v.Equal(f.def) && !(e.defaults && f.tagged) {
			return nil
		}
	}
	return e.value(v)
}

func (e *encoder) value(v reflect.Value) *yaml.Node {
	switch {
	case v.Type() == typeText:
		s, err := e.secret(v.Interface().(secret.Text))
		if err != nil && e.err == nil {
			e.err = err
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tagSecret, Value: s}
	case v.Type() == typeCondition:
		return v.Interface().(*Condition).node()
	case v.Type() == typeValues:
		values := v.Interface().(Values)
		if len(values) == 1 {
			return textNode(values[0])
		}
		return textsNode(values)
	case v.Type() == typeRange:
		return textNode(v.Interface().(AddressRange).String())
	case v.Type() == typeTime:
		return textNode(v.Interface().(time.Time).UTC().Format(time.RFC3339Nano))
	case v.Type() == typeDuration:
		return textNode(formatDuration(time.Duration(v.Int())))
	}
	switch v.Kind() {
	case reflect.Bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v.Bool())}
	case reflect.Int:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatInt(v.Int(), 10)}
	case reflect.String:
		return textNode(v.String())
	case reflect.Pointer:
		return e.structure(v.Elem())
	case reflect.Struct:
		return e.structure(v)
	case reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for i := range v.Len() {
			n.Content = append(n.Content, e.value(v.Index(i)))
		}
		return n
	case reflect.Map:
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		m := v.Interface().(map[string]Values)
		for _, k := range slices.Sorted(maps.Keys(m)) {
			n.Content = append(n.Content, textNode(k), e.value(reflect.ValueOf(m[k])))
		}
		return n
	}
	panic(fmt.Sprintf("document: no encoder for %s", v.Type()))
}

func slicesEqual(a, b reflect.Value) bool {
	if a.Len() != b.Len() {
		return false
	}
	for i := range a.Len() {
		if !a.Index(i).Equal(b.Index(i)) {
			return false
		}
	}
	return true
}

func textNode(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
}

func textsNode(list []string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for _, s := range list {
		n.Content = append(n.Content, textNode(s))
	}
	return n
}

// node writes a condition in its shortest form.
func (c *Condition) node() *yaml.Node {
	if c.Test == TestAny {
		return textNode(string(TestAny))
	}
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	var value *yaml.Node
	switch {
	case c.Test == TestNot:
		value = c.Terms[0].node()
	case c.Test == TestAnd || c.Test == TestOr:
		value = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for _, t := range c.Terms {
			value.Content = append(value.Content, t.node())
		}
	case c.Test.names() != "":
		value = textNode(c.Group)
	case c.Test == TestTime:
		value = c.Hours.node()
	case c.Test.nameKey() == "" && c.Regex == "" && !c.IgnoreCase:
		value = textNode(c.Value)
	default:
		value = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		if key := c.Test.nameKey(); key != "" {
			value.Content = append(value.Content, textNode(key), textNode(c.Name))
		}
		if c.Regex != "" {
			value.Content = append(value.Content, textNode("regex"), textNode(c.Regex))
		} else {
			value.Content = append(value.Content, textNode("value"), textNode(c.Value))
		}
		if c.IgnoreCase {
			value.Content = append(value.Content, textNode("ignoreCase"), &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "true"})
		}
	}
	n.Content = append(n.Content, textNode(string(c.Test)), value)
	return n
}

// appendJSON writes nodes as JSON without blanks.
func appendJSON(b []byte, n *yaml.Node) []byte {
	switch n.Kind {
	case yaml.MappingNode:
		b = append(b, '{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendQuoted(b, n.Content[i].Value)
			b = append(b, ':')
			b = appendJSON(b, n.Content[i+1])
		}
		return append(b, '}')
	case yaml.SequenceNode:
		b = append(b, '[')
		for i, e := range n.Content {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, e)
		}
		return append(b, ']')
	}
	if n.Tag == "!!bool" || n.Tag == "!!int" {
		return append(b, n.Value...)
	}
	return appendQuoted(b, n.Value)
}

func appendQuoted(b []byte, s string) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic(fmt.Sprintf("document: encode text: %v", err)) // a string always encodes
	}
	return append(b, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
}

// packed is a spec of which there are so many that the log holds it as a message and not as JSON.
type packed interface {
	Spec
	stored() proto.Message
	fromStored(b []byte) error
}

var (
	_ packed = (*User)(nil)
	_ packed = (*Account)(nil)
	_ packed = (*Endpoint)(nil)
)

// Stored returns the spec for the log: an event.UserSpec, AccountSpec or EndpointSpec for these, else canonical JSON with sealed
// secrets. It fails with secret.ErrNotSealed where a secret has not been sealed. A user's password is no part of it.
func (d *Document) Stored() ([]byte, error) {
	if p, ok := d.Spec.(packed); ok {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(p.stored())
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", d.Key(), err)
		}
		return b, nil
	}
	e := &encoder{secret: secret.Text.Stored}
	n := e.structure(reflect.ValueOf(d.Spec).Elem())
	if e.err != nil {
		return nil, fmt.Errorf("encode %s: %w", d.Key(), e.err)
	}
	return appendJSON(nil, n), nil
}

func (u *User) stored() proto.Message {
	return &event.UserSpec{
		FirstName: u.FirstName, LastName: u.LastName, FullName: u.FullName, ShortName: u.ShortName,
		Mail: u.Mail, MailDomain: u.MailDomain, Mobile: u.Mobile, Aliases: u.Aliases, DirectoryDn: u.DirectoryDN,
		UserType: u.UserType, PrimaryGroup: u.PrimaryGroup, Groups: u.Groups, Inactive: !u.Active,
		Attributes: storedAttributes(u.Attributes), Roles: storedGrants(u.Roles),
	}
}

func (u *User) fromStored(b []byte) error {
	var s event.UserSpec
	if err := proto.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("decode user: %w", err)
	}
	*u = User{
		FirstName: s.FirstName, LastName: s.LastName, FullName: s.FullName, ShortName: s.ShortName,
		Mail: s.Mail, MailDomain: s.MailDomain, Mobile: s.Mobile, Aliases: s.Aliases, DirectoryDN: s.DirectoryDn,
		UserType: s.UserType, PrimaryGroup: s.PrimaryGroup, Groups: s.Groups, Active: !s.Inactive,
		Attributes: attributesOf(s.Attributes), Roles: grantsOf(s.Roles),
	}
	return nil
}

func (a *Account) stored() proto.Message {
	return &event.AccountSpec{Description: a.Description, Owner: a.Owner, Disabled: !a.Enabled, Attributes: storedAttributes(a.Attributes)}
}

func (a *Account) fromStored(b []byte) error {
	var s event.AccountSpec
	if err := proto.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("decode account: %w", err)
	}
	*a = Account{Description: s.Description, Owner: s.Owner, Enabled: !s.Disabled, Attributes: attributesOf(s.Attributes)}
	return nil
}

func (e *Endpoint) stored() proto.Message {
	return &event.EndpointSpec{
		Description: e.Description, Group: e.Group, Owner: e.Owner, NotAfterUnix: unixOf(e.NotAfter), Attributes: storedAttributes(e.Attributes),
	}
}

func (e *Endpoint) fromStored(b []byte) error {
	var s event.EndpointSpec
	if err := proto.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("decode endpoint: %w", err)
	}
	*e = Endpoint{Description: s.Description, Group: s.Group, Owner: s.Owner, NotAfter: ofUnix(s.NotAfterUnix), Attributes: attributesOf(s.Attributes)}
	return nil
}

func storedAttributes(attributes map[string]Values) []*event.UserSpec_Attribute {
	var out []*event.UserSpec_Attribute
	for _, k := range slices.Sorted(maps.Keys(attributes)) {
		out = append(out, &event.UserSpec_Attribute{Name: k, Values: attributes[k]})
	}
	return out
}

func attributesOf(list []*event.UserSpec_Attribute) map[string]Values {
	if len(list) == 0 {
		return nil
	}
	out := make(map[string]Values, len(list))
	for _, a := range list {
		out[a.GetName()] = append(out[a.GetName()], a.GetValues()...)
	}
	return out
}

// nodes returns the whole document with its secrets as the mark.
func (d *Document) nodes() *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	n.Content = append(n.Content, textNode("kind"), textNode(d.Kind), textNode("name"), textNode(d.Name))
	if d.Version > 0 {
		n.Content = append(n.Content, textNode("version"), &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatUint(d.Version, 10)})
	}
	if d.Comment != "" {
		n.Content = append(n.Content, textNode("comment"), textNode(d.Comment))
	}
	e := &encoder{secret: redact}
	n.Content = append(n.Content, textNode("spec"), e.structure(reflect.ValueOf(d.Spec).Elem()))
	return n
}

// YAML returns the document as one YAML document, without a separator. Secrets are the mark, which an apply takes as
// "unchanged": applying what was exported changes nothing.
func (d *Document) YAML() ([]byte, error) {
	n := d.nodes()
	plainTags(n)
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(n); err != nil {
		return nil, fmt.Errorf("encode %s: %w", d.Key(), err)
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("encode %s: %w", d.Key(), err)
	}
	return b.Bytes(), nil
}

// MarshalJSON returns the document as JSON, with secrets as in YAML.
func (d *Document) MarshalJSON() ([]byte, error) { return appendJSON(nil, d.nodes()), nil }

func plainTags(n *yaml.Node) {
	if n.Tag == tagSecret {
		n.Tag = "!!str"
	}
	for _, c := range n.Content {
		plainTags(c)
	}
}
