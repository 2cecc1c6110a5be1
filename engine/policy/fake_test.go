package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"trine/engine/document"
	"trine/engine/secret"
	"trine/engine/state"
)

// memory is a State in a map.
type memory struct {
	mu      sync.RWMutex
	docs    map[state.Key]state.Document
	version uint64
	index   uint64
	told    []func(uint64, []state.Key)
}

func newMemory() *memory { return &memory{docs: map[state.Key]state.Document{}} }

func (m *memory) Document(kind, name string) (state.Document, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	s, ok := m.docs[state.Key{Kind: kind, Name: name}]
	return s, ok
}

func (m *memory) Documents(kind, after string, limit int) []state.Document {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out []state.Document
	for k, s := range m.docs {
		if k.Kind == kind && k.Name > after {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b state.Document) int { return strings.Compare(a.Name, b.Name) })
	return out[:min(len(out), limit)]
}

func (m *memory) ConfigIndex() uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.index
}

func (m *memory) OnConfig(f func(uint64, []state.Key)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = append(m.told, f)
}

// put stores documents and deletes keys in one record, and returns its index.
func (m *memory) put(docs []*document.Document, deleted ...string) uint64 {
	m.mu.Lock()
	m.index++
	index := m.index
	var keys []state.Key
	for _, d := range docs {
		spec, err := d.Stored()
		if err != nil {
			m.mu.Unlock()
			panic(err)
		}
		m.version++
		m.docs[state.Key{Kind: d.Kind, Name: d.Name}] = state.Document{Kind: d.Kind, Name: d.Name, Version: m.version, Spec: spec}
		keys = append(keys, state.Key{Kind: d.Kind, Name: d.Name})
	}
	for _, key := range deleted {
		kind, name, _ := strings.Cut(key, "/")
		delete(m.docs, state.Key{Kind: kind, Name: name})
		keys = append(keys, state.Key{Kind: kind, Name: name})
	}
	told := m.told
	m.mu.Unlock()
	for _, f := range told {
		f(index, keys)
	}
	return index
}

// wire is a protocol that understands "Name = value" and knows some names. It counts what it is asked.
type wire struct {
	mu      sync.Mutex
	clients []string // the clear secrets of each service provider that was compiled
}

func (w *wire) Client(sp *document.ServiceProvider) (any, error) {
	var secrets []string
	for i := range sp.Radius.Secrets {
		clear, err := sp.Radius.Secrets[i].Value.Open(nil, nil, nil)
		if err != nil {
			return nil, err
		}
		if string(clear) == "bad" {
			return nil, errors.New("radius.secrets: too weak")
		}
		secrets = append(secrets, string(clear))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clients = append(w.clients, strings.Join(secrets, ","))
	return strings.Join(secrets, ","), nil
}

// tacacsWire is TACACS+ without its codec.
type tacacsWire struct{ Arguments }

func (tacacsWire) Client(sp *document.ServiceProvider) (any, error) {
	clear, err := sp.Tacacs.Secrets[0].Value.Open(nil, nil, nil)
	return string(clear), err
}

type template struct{ lines []string }

func (w *wire) Reply(lines []string) (any, error) {
	for i, l := range lines {
		if strings.HasPrefix(l, "No-") {
			return nil, fmt.Errorf("the reply: %w", &lineError{fmt.Errorf("there is no attribute in %q", l), i + 1})
		}
	}
	return &template{lines}, nil
}

type lineError struct {
	error
	line int
}

func (e *lineError) Line() int     { return e.line }
func (e *lineError) Unwrap() error { return e.error }

func (w *wire) Asked(name, value string) (any, string, error) {
	if strings.HasPrefix(name, "No-") {
		return nil, "", fmt.Errorf("there is no attribute %q", name)
	}
	return name, value, nil
}

func (w *wire) Attribute(id string) (any, error) {
	if strings.HasPrefix(id, "No-") {
		return nil, fmt.Errorf("there is no attribute %q", id)
	}
	return id, nil
}

// rig is a compiler over a memory state.
type rig struct {
	state    *memory
	wire     *wire
	keyring  *secret.Keyring
	compiler *Compiler
	users    map[string]*document.User
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{state: newMemory(), wire: new(wire), keyring: secret.NewKeyring(), users: map[string]*document.User{}}
	if err := r.keyring.Add(1, secret.NewClusterKey()); err != nil {
		t.Fatal(err)
	}
	var err error
	r.compiler, err = NewCompiler(Config{State: r.state, Wires: map[string]Wire{document.TypeRadius: r.wire, document.TypeTacacs: tacacsWire{}}, Keyring: r.keyring})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// parse reads documents; users are kept aside.
func (r *rig) parse(text string) ([]*document.Document, error) {
	docs, err := document.Parse("scenario.yaml", strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(docs, func(d *document.Document) bool {
		u, ok := d.Spec.(*document.User)
		if ok {
			r.users[d.Name] = u
		}
		return ok
	}), nil
}

// seal seals the secrets of documents, as whoever stores them does.
func (r *rig) seal(t testing.TB, docs []*document.Document) {
	t.Helper()
	for _, d := range docs {
		d.EachSecret(func(_ string, text *secret.Text) {
			sealed, err := text.Seal(r.keyring, d.SecretContext())
			if err != nil {
				t.Fatal(err)
			}
			*text = sealed
		})
	}
}

// apply stores documents and compiles.
func (r *rig) apply(t testing.TB, text string, deleted ...string) {
	t.Helper()
	docs, err := r.parse(text)
	if err != nil {
		t.Fatal(err)
	}
	r.seal(t, docs)
	r.state.put(docs, deleted...)
	r.compiler.compile()
}

func (r *rig) cache() *Cache { return r.compiler.Holder().Load() }

// person returns a user document as state holds it.
func person(name string, u *document.User) *state.User {
	out := &state.User{
		Name: []byte(name), FirstName: []byte(u.FirstName), LastName: []byte(u.LastName), FullName: []byte(u.FullName), ShortName: []byte(u.ShortName),
		Mail: []byte(u.Mail), MailDomain: []byte(u.MailDomain), UserType: []byte(u.UserType), PrimaryGroup: []byte(u.PrimaryGroup),
	}
	memberOf(out, u.Groups...)
	for i := range u.Roles {
		from, until := u.Roles[i].Unix()
		out.Roles = append(out.Roles, state.RoleGrant{Role: []byte(u.Roles[i].Role), NotBefore: from, NotAfter: until})
	}
	var attributes []state.Attribute
	for _, n := range slices.Sorted(maps.Keys(u.Attributes)) {
		attributes = append(attributes, state.Attribute{Name: []byte(n), Values: texts(u.Attributes[n])})
	}
	out.SetAttributes(attributes)
	return out
}

// memberOf gives a user groups beside the primary one.
func memberOf(u *state.User, groups ...string) {
	u.Symbols, u.Groups = state.NewSymbols(groups...), nil
	for i := range groups {
		u.Groups = append(u.Groups, state.NewSymbolList(uint32(i))...)
	}
}

// personOf returns what a cache makes of a user in the year 2001.
func personOf(c *Cache, u *state.User) *Person {
	p := new(Person)
	c.Person(p, u, 1_000_000_000)
	return p
}

func texts(values []string) [][]byte {
	var out [][]byte
	for _, v := range values {
		out = append(out, []byte(v))
	}
	return out
}
