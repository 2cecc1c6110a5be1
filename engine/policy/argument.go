package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"trine/engine/attribute"
	"trine/engine/document"
)

// Argument is an argument of an answer to an authorization (RFC 8907 section 6.1).
type Argument struct {
	Text      []byte // as it is sent
	Name      []byte
	Value     []byte
	Mandatory bool
}

// NewArgument returns the argument that a text is; ok is false if it has no separator, or nothing before it. It shares the text's memory.
func NewArgument(text []byte) (a Argument, ok bool) {
	a.Text = text
	a.Name, a.Value, a.Mandatory, ok = document.CutArgument(text)
	return a, ok
}

// Reply is the arguments of a reply.
type Reply []Argument

func newReply(lines []string) (Reply, error) {
	reply := make(Reply, len(lines))
	for i, line := range lines {
		if err := document.CheckArgument(line); err != nil {
			return nil, &argumentError{i + 1, err}
		}
		reply[i], _ = NewArgument([]byte(line))
	}
	return reply, nil
}

// argumentError is an error about one line of a reply.
type argumentError struct {
	line int
	err  error
}

func (e *argumentError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }
func (e *argumentError) Line() int     { return e.line }
func (e *argumentError) Unwrap() error { return e.err }

// Asked is what a condition asks for in a request of a device over TACACS+: the name of an argument such as `service` or `protocol`, or one of AskedPort and
// AskedRemoteAddress.
type Asked string

// What of a request of a device over TACACS+ is no argument.
const (
	AskedPort          Asked = "port"
	AskedRemoteAddress Asked = "remote-address"
)

// Arguments is the part of a Wire for TACACS+ that has to do with arguments, which decide about commands and so are no affair of the protocol's
// alone. The protocol's wire embeds it, and adds Client.
type Arguments struct{}

// Reply implements Wire.
func (Arguments) Reply(lines []string) (any, error) { return newReply(lines) }

// Attribute implements Wire: nothing that is released travels over TACACS+.
func (Arguments) Attribute(string) (any, error) {
	return nil, errors.New("TACACS+ carries no attributes of people")
}

// Asked implements Wire.
func (Arguments) Asked(name, value string) (any, string, error) {
	if err := document.CheckArgument(name + "="); err != nil {
		return nil, "", fmt.Errorf("%q is no name of an argument such as service, protocol or cmd, and neither %s nor %s", name, AskedPort, AskedRemoteAddress)
	}
	return Asked(name), value, nil
}

// service is what a role has for a service.
type service struct {
	name  string
	reply Reply
}

func newServices(all map[string]document.Values) ([]service, error) {
	var out []service
	for _, name := range slices.Sorted(maps.Keys(all)) {
		reply, err := newReply(all[name])
		if err != nil {
			return nil, attribute.InField("services."+name, err)
		}
		out = append(out, service{name, reply})
	}
	return out, nil
}

// Service returns what the role has for a service; ok is false if it does not list it. It does not allocate.
func (r *Role) Service(name []byte) (reply Reply, ok bool) {
	for i := range r.services {
		if r.services[i].name == string(name) {
			return r.services[i].reply, true
		}
	}
	return nil, false
}

// Privilege returns the highest of the privilege levels that the person's roles give in an information system; -1 if none gives one.
func (p *Person) Privilege(system string) int8 {
	level := int8(-1)
	for _, r := range p.roles {
		if r.Level > level && r.System == system {
			level = r.Level
		}
	}
	return level
}

// RolesIn appends the person's roles in an information system: those that give a privilege level first, the highest of them before the others, then the
// rest in their order. It does not allocate beyond dst.
func (p *Person) RolesIn(dst []*Role, system string) []*Role {
	from := len(dst)
	for _, r := range p.roles {
		if r.System != system {
			continue
		}
		at := len(dst)
		for at > from && dst[at-1].Level < r.Level {
			at--
		}
		dst = slices.Insert(dst, at, r)
	}
	return dst
}
