package policy

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/gaissmai/bart"

	"trine/engine/attribute"
	"trine/engine/document"
	"trine/engine/login"
	"trine/engine/script"
	"trine/engine/secret"
)

// environment is what compiling a document needs beside the document.
type environment struct {
	wires   map[string]Wire
	keyring *secret.Keyring

	revoked *login.Revoked
}

// clientObject is a service provider with what its own document was compiled to, before it is linked to its identity provider.
type clientObject struct {
	version  uint64
	document *document.Document // nil where it cannot be read
	prefixes []netip.Prefix
	wire     any
	reply    any
	replies  []any    // of the rules of its authorization policy
	needs    []string // names of definitions
	uid      *attribute.Computation
	script   *AuthorizationScript
	err      error
}

// client compiles a service provider's own document. An unreadable one keeps the addresses of the version before, so that its
// devices are rejected with a reason rather than taken for strangers.
func (env *environment) client(c change, old *clientObject) *clientObject {
	o := &clientObject{version: c.version, err: c.err}
	if c.err != nil {
		if old != nil {
			o.document, o.prefixes = old.document, old.prefixes
		}
		return o
	}
	o.document = c.doc
	spec := c.doc.Spec.(*document.ServiceProvider)
	wire := env.wires[spec.Type]
	if wire == nil {
		o.err = attribute.InField("type", fmt.Errorf("this node does not speak %q", spec.Type))
		return o
	}
	var problems []error
	o.needs = ruleNeeds(spec)
	var err error
	if o.replies, err = env.ruleReplies(spec); err != nil {
		problems = append(problems, err)
	}
	if o.uid, err = uid(c.name, spec); err != nil {
		problems = append(problems, err)
	}
	if opened, err := env.open(c.doc); err != nil {
		problems = append(problems, err)
	} else if o.wire, err = wire.Client(opened); err != nil {
		problems, o.wire = append(problems, err), nil
	}
	if r := spec.Radius; r != nil {
		o.prefixes = r.Prefixes()
		if len(r.Reply) > 0 {
			if o.reply, err = env.reply(spec.Type, r.Reply); err != nil {
				problems, o.reply = append(problems, attribute.InField("radius.reply", err)), nil
			}
		}
	}
	if t := spec.Tacacs; t != nil {
		o.prefixes = t.Prefixes()
		if t.AuthorizationRules != "" {
			if o.script, err = newAuthorizationScript(c.name, t.AuthorizationRules); err != nil {
				problems = append(problems, attribute.InField("tacacs.authorizationRules", err))
			}
		}
	}
	o.err = joined(problems...)
	return o
}

// uid compiles what makes the user name that a service provider sees, if anything does.
func uid(name string, spec *document.ServiceProvider) (*attribute.Computation, error) {
	if spec.UIDExpression == "" && spec.UIDScript == "" {
		return nil, nil
	}
	c, err := attribute.NewComputation(document.KindServiceProvider+" "+name, spec.UIDExpression, spec.UIDScript, script.Text)
	switch {
	case err != nil && spec.UIDExpression != "":
		err = attribute.InField("uidExpression", err)
	case err != nil:
		err = attribute.InField("uidScript", err)
	}
	return c, err
}

// open returns a copy of a service provider whose secrets are clear text. Only the wire sees it, and the document that clients
// carry keeps its secrets sealed.
func (env *environment) open(d *document.Document) (*document.ServiceProvider, error) {
	spec := *d.Spec.(*document.ServiceProvider)
	var err error
	if spec.Radius != nil {
		radius := *spec.Radius
		spec.Radius = &radius
		if radius.Secrets, err = env.opened(d, "radius", radius.Secrets); err != nil {
			return nil, err
		}
	}
	if spec.Tacacs != nil {
		tacacs := *spec.Tacacs
		spec.Tacacs = &tacacs
		if tacacs.Secrets, err = env.opened(d, "tacacs", tacacs.Secrets); err != nil {
			return nil, err
		}
	}
	if spec.OIDC != nil {
		oidc := *spec.OIDC
		spec.OIDC = &oidc
		if err = env.openOne(d, "oidc.clientSecret", &oidc.ClientSecret); err != nil {
			return nil, err
		}
		if oidc.Registration != nil {
			registration := *oidc.Registration
			oidc.Registration = &registration
			if err = env.openOne(d, "oidc.registration.accessToken", &registration.AccessToken); err != nil {
				return nil, err
			}
		}
	}
	if spec.OIDCDynamic != nil {
		dynamic := *spec.OIDCDynamic
		spec.OIDCDynamic = &dynamic
		if err = env.openOne(d, "oidc-dynamic.registrationToken.token", &dynamic.RegistrationToken.Token); err != nil {
			return nil, err
		}
	}
	return &spec, nil
}

// openOne makes clear text of a secret.
func (env *environment) openOne(d *document.Document, field string, t *secret.Text) error {
	if t.IsPlain() || t.IsZero() {
		return nil
	}
	clear, err := t.Open(nil, env.keyring, d.SecretContext())
	if err != nil {
		return attribute.InField(field, fmt.Errorf("open secret: %w", err))
	}
	*t = secret.Plain(string(clear))
	return nil
}

// opened returns a copy of shared secrets as clear text.
func (env *environment) opened(d *document.Document, block string, sealed []document.SharedSecret) ([]document.SharedSecret, error) {
	secrets := slices.Clone(sealed)
	for i := range secrets {
		t := &secrets[i].Value
		if t.IsPlain() || t.IsZero() {
			continue
		}
		clear, err := t.Open(nil, env.keyring, d.SecretContext())
		if err != nil {
			return nil, attribute.InField(fmt.Sprintf("%s.secrets[%d].value", block, i), fmt.Errorf("open secret: %w", err))
		}
		*t = secret.Plain(string(clear))
	}
	return secrets, nil
}

// reply compiles a reply template for a wire.
func (env *environment) reply(wire string, lines []string) (any, error) {
	w := env.wires[wire]
	if w == nil {
		return nil, fmt.Errorf("this node does not speak %q", wire)
	}
	return w.Reply(lines)
}

// definition compiles an attribute definition.
func (env *environment) definition(name string, spec *document.AttributeDefinition, slot int) *attribute.Definition {
	d := attribute.NewDefinition(name, spec, slot)
	if spec.RadiusID == "" {
		return d
	}
	w := env.wires[document.TypeRadius]
	if w == nil {
		return d // nobody asks for it here
	}
	var err error
	if d.Wire, err = w.Attribute(spec.RadiusID); err != nil {
		d.Wire, d.Broken = nil, attribute.InField("radiusID", err)
	}
	return d
}

// applyClients compiles service providers, and links those anew whose identity provider is another object than before, or whose
// authorization policy needs a definition that changed.
func (m *model) applyClients(env *environment, changes []change, issuersChanged bool, definitions []change, w *work) {
	if len(changes) == 0 && !issuersChanged && len(definitions) == 0 {
		return
	}
	changed := make(map[string]bool, len(definitions))
	for _, d := range definitions {
		changed[d.name] = true
	}
	stale := func(o *clientObject) bool {
		return slices.ContainsFunc(o.needs, func(n string) bool { return changed[n] })
	}
	if len(changes) == 0 && !issuersChanged && !m.anyClient(stale) {
		return
	}
	m.clients, m.tables.clients = maps.Clone(m.clients), maps.Clone(m.tables.clients)
	m.tables.openID, m.tables.registrars = maps.Clone(m.tables.openID), maps.Clone(m.tables.registrars)
	var moves []move
	for _, c := range changes {
		old, was := m.clients[c.name], m.tables.clients[c.name]
		if old != nil {
			moves = append(moves, move{wire: was.wire, prefixes: old.prefixes, from: was})
		}
		delete(m.clients, c.name)
		m.tables.drop(c.name, was)
		if c.doc == nil && c.err == nil {
			continue
		}
		w.compiled++
		o := env.client(c, old)
		m.clients[c.name] = o
		client := m.link(env, c.name, o)
		m.tables.keep(client)
		moves = append(moves, move{wire: client.wire, prefixes: o.prefixes, to: client})
	}
	if issuersChanged || len(definitions) > 0 {
		just := make(map[string]bool, len(changes))
		for _, c := range changes {
			just[c.name] = true
		}
		for name, o := range m.clients {
			was := m.tables.clients[name]
			issuer, err := m.issuerOf(o)
			if just[name] || issuer == was.Issuer && message(err) == message(was.issuerErr) && !stale(o) {
				continue
			}
			w.relinked++
			client := m.link(env, name, o)
			m.tables.drop(name, was)
			m.tables.keep(client)
			moves = append(moves, move{wire: client.wire, prefixes: o.prefixes, from: was}, move{wire: client.wire, prefixes: o.prefixes, to: client})
		}
	}
	m.tables.sources = m.moved(moves)
}

func (m *model) anyClient(is func(*clientObject) bool) bool {
	for _, o := range m.clients {
		if is(o) {
			return true
		}
	}
	return false
}

// issuerOf returns the identity provider of a client. An unreadable client has none.
func (m *model) issuerOf(o *clientObject) (*Issuer, error) {
	if o.document == nil {
		return nil, nil
	}
	return m.issuerFor(o.document.Spec.(*document.ServiceProvider))
}

// link makes the client to publish.
func (m *model) link(env *environment, name string, o *clientObject) *Client {
	c := &Client{Name: name, PublicID: name, Spec: new(document.ServiceProvider), Wire: o.wire, Reply: o.reply, UID: o.uid, Broken: o.err}
	if o.document != nil {
		c.PublicID = o.document.PublicID()
		c.Spec = o.document.Spec.(*document.ServiceProvider)
		c.wire = c.Spec.Type
		c.ClientID = o.document.ClientID()
	}
	c.requiredRoles, c.RequiredRoles = m.requirements(c.Spec), strings.Join(c.Spec.RequiredRoles, ", ")
	c.RequiredSystem = c.Spec.RequiredSystem
	c.RecordFirst = c.Spec.Audit == "before-answer"
	c.party = &attribute.Party{PublicID: c.PublicID, Group: c.Spec.EntityGroup, Labels: labels(c.Spec.Labels)}
	if r := c.Spec.Radius; r != nil {
		c.InterimInterval, c.StaleAfter, c.MACAuthentication = r.InterimInterval, r.StaleAfter(), r.MACAuthentication
	}
	if t := c.Spec.Tacacs; t != nil {
		c.StaleAfter = t.StaleAfter
	}
	c.System, c.Authorization = c.Spec.System(name), o.script
	if o.document != nil {
		var err error
		if c.rules, err = m.rules(env, o); err != nil {
			c.Broken = joined(c.Broken, err)
		}
	}
	if c.Issuer, c.issuerErr = m.issuerOf(o); c.issuerErr != nil {
		c.Broken = joined(c.Broken, c.issuerErr)
	}
	return c
}

// joined joins errors, those that are lists as their elements, so that each is told by itself.
func joined(errs ...error) error {
	var all []error
	for _, err := range errs {
		if many, ok := err.(interface{ Unwrap() []error }); ok {
			all = append(all, many.Unwrap()...)
		} else if err != nil {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

// labels returns labels as conditions ask for them.
func labels(all map[string]document.Values) (out []attribute.EntityAttribute) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		for _, v := range all[name] {
			out = append(out, attribute.EntityAttribute{Name: name, Value: v})
		}
	}
	return out
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// move takes prefixes away from a client (from) or gives them to one (to).
type move struct {
	wire     string
	prefixes []netip.Prefix
	from, to *Client
}

// rebuildAbove is the number of prefixes above which a table is built anew: moving one prefix copies the nodes on its way.
const rebuildAbove = 256

func newSources(wire string) sources { return sources{wire: wire, table: new(bart.Table[*Client])} }

// moved returns the tables of source addresses after the moves. All prefixes are taken away before any is given, so that one
// that changes hands within a proposal ends with its new holder.
func (m *model) moved(moves []move) []sources {
	out := slices.Clone(m.tables.sources)
	for i := range out {
		s := &out[i]
		count := 0
		for _, mv := range moves {
			if mv.wire == s.wire {
				count += len(mv.prefixes)
			}
		}
		switch {
		case count == 0:
		case count > rebuildAbove:
			s.table = m.rebuilt(s.wire)
		default:
			s.table = patched(*s, moves)
		}
	}
	return out
}

// patched returns a table that shares what the moves do not touch.
func patched(s sources, moves []move) *bart.Table[*Client] {
	table := s.table
	for _, mv := range moves {
		if mv.wire != s.wire || mv.from == nil {
			continue
		}
		for _, p := range mv.prefixes {
			if holder, ok := table.Get(p); ok && holder == mv.from {
				table = table.DeletePersist(p)
			}
		}
	}
	for _, mv := range moves {
		if mv.wire != s.wire || mv.to == nil {
			continue
		}
		for _, p := range mv.prefixes {
			if holder, ok := table.Get(p); !ok || mv.to.Name < holder.Name {
				table = table.InsertPersist(p, mv.to)
			}
		}
	}
	return table
}

// rebuilt returns a table of all clients of a wire.
func (m *model) rebuilt(wire string) *bart.Table[*Client] {
	table := new(bart.Table[*Client])
	for name, o := range m.clients {
		client := m.tables.clients[name]
		if client.wire != wire {
			continue
		}
		for _, p := range o.prefixes {
			if holder, ok := table.Get(p); !ok || name < holder.Name {
				table.Insert(p, client)
			}
		}
	}
	return table
}
