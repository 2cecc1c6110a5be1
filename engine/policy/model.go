package policy

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	"trine/engine/attribute"
	"trine/engine/document"
)

// model is what a cache was compiled from, with what each document was compiled to. Like a cache it is never changed: apply
// returns another model that shares what did not change.
type model struct {
	index        uint64
	issuers      map[string]*issuerObject
	clients      map[string]*clientObject
	groups       map[string]*groupObject
	roles        map[string]*roleObject
	userTypes    map[string]*userTypeObject
	systems      map[string]*systemObject
	definitions  map[string]*definitionObject
	policies     map[string]*policyObject
	slots        numbering // by attribute.Values
	roleNumbers  numbering
	groupNumbers numbering
	fallbacks    map[string]fallback // by wire
	tables       tables
}

// change is what became of one document. A nil doc with a nil err means that it was deleted; err that it cannot be read.
type change struct {
	kind, name string
	version    uint64
	doc        *document.Document
	err        error
}

// work counts what one compilation did.
type work struct {
	compiled int // documents compiled
	relinked int // objects that only point to what was compiled, copied
}

// newModel returns the model of no documents at all.
func newModel(wires []string) *model {
	m := &model{
		issuers: map[string]*issuerObject{}, clients: map[string]*clientObject{}, groups: map[string]*groupObject{}, roles: map[string]*roleObject{},
		userTypes: map[string]*userTypeObject{}, systems: map[string]*systemObject{}, definitions: map[string]*definitionObject{}, policies: map[string]*policyObject{},
	}
	m.tables = tables{
		clients: map[string]*Client{}, openID: map[string]*Client{}, registrars: map[string]*Client{}, groups: map[string]*Group{}, roles: map[string]*Role{}, userTypes: map[string]*UserType{}, systems: map[string]*System{}, sharing: &sharing{},
	}
	for _, w := range wires {
		m.tables.sources = append(m.tables.sources, newSources(w))
	}
	m.fallbacks = m.chooseFallbacks()
	return m
}

// apply returns the model after the changes, of which there is at most one a document, and what it took.
func (m *model) apply(env *environment, changes []change) (*model, work) {
	next := *m
	next.slots.own, next.roleNumbers.own, next.groupNumbers.own = false, false, false
	var w work
	byKind := map[string][]change{}
	for _, c := range changes {
		byKind[c.kind] = append(byKind[c.kind], c)
	}
	for _, list := range byKind {
		slices.SortFunc(list, func(a, b change) int { return strings.Compare(a.name, b.name) })
	}
	// What others point to comes first.
	next.applySystems(env, byKind[document.KindInformationSystem], &w)
	next.applyRoles(env, byKind[document.KindRole], &w)
	next.applyDefinitions(env, byKind[document.KindAttributeDefinition], &w)
	next.applyIssuers(env, byKind[document.KindIdentityProvider], &w)
	next.applyClients(env, byKind[document.KindServiceProvider], len(byKind[document.KindIdentityProvider]) > 0, byKind[document.KindAttributeDefinition], &w)
	next.applyGroups(env, byKind[document.KindGroup], &w)
	next.applyUserTypes(byKind[document.KindUserType], &w)
	next.applyPolicies(byKind[document.KindAttributePolicy], byKind[document.KindAttributeDefinition], &w)
	return &next, w
}

// applyUserTypes compiles user types.
func (m *model) applyUserTypes(changes []change, w *work) {
	if len(changes) == 0 {
		return
	}
	m.userTypes, m.tables.userTypes = maps.Clone(m.userTypes), maps.Clone(m.tables.userTypes)
	for _, c := range changes {
		delete(m.userTypes, c.name)
		delete(m.tables.userTypes, c.name)
		if c.doc == nil && c.err == nil {
			continue
		}
		w.compiled++
		t := &UserType{Name: c.name}
		if c.err == nil {
			t.Spec = c.doc.Spec.(*document.UserType)
			t.Sessions = t.Spec.Sessions.Limit
		} else {
			t.Spec, t.Broken = document.DefaultUserType(), c.err
		}
		m.userTypes[c.name] = &userTypeObject{version: c.version, userType: t}
		m.tables.userTypes[c.name] = t
	}
}

// systemObject is an information system as it was compiled.
type systemObject struct {
	version uint64
	system  *System
}

// applySystems compiles information systems. What has to do with one looks it up by its name.
func (m *model) applySystems(env *environment, changes []change, w *work) {
	if len(changes) == 0 {
		return
	}
	m.systems, m.tables.systems = maps.Clone(m.systems), maps.Clone(m.tables.systems)
	for _, c := range changes {
		delete(m.systems, c.name)
		delete(m.tables.systems, c.name)
		if c.doc == nil && c.err == nil {
			continue
		}
		w.compiled++
		s := env.system(c)
		m.systems[c.name] = &systemObject{version: c.version, system: s}
		m.tables.systems[c.name] = s
	}
}

// system compiles an information system. Of its secret a digest is kept.
func (env *environment) system(c change) *System {
	s := &System{Name: c.name, Broken: c.err}
	if c.err != nil {
		return s
	}
	sealed := c.doc.Spec.(*document.InformationSystem).EnableSecret
	if sealed.IsZero() {
		return s
	}
	open, err := sealed.Open(nil, env.keyring, c.doc.SecretContext())
	if err != nil {
		s.Broken = attribute.InField("enableSecret", fmt.Errorf("open secret: %w", err))
		return s
	}
	s.enable, s.has = sha256.Sum256(open), true
	clear(open)
	return s
}

type userTypeObject struct {
	version  uint64
	userType *UserType
}

// definitionObject is an attribute definition with what it was compiled to.
type definitionObject struct {
	version    uint64
	spec       *document.AttributeDefinition
	definition *attribute.Definition
}

// applyDefinitions compiles attribute definitions. One that is compiled anew keeps its slot unless its values are others.
func (m *model) applyDefinitions(env *environment, changes []change, w *work) {
	if len(changes) == 0 {
		return
	}
	m.definitions = maps.Clone(m.definitions)
	for _, c := range changes {
		delete(m.definitions, c.name)
		if c.doc == nil && c.err == nil {
			continue
		}
		w.compiled++
		o := &definitionObject{version: c.version}
		if c.err == nil {
			o.spec = c.doc.Spec.(*document.AttributeDefinition)
			o.definition = env.definition(c.name, o.spec, m.slot(c.name, o.spec))
		} else {
			none := new(document.AttributeDefinition)
			o.definition = attribute.NewDefinition(c.name, none, m.slot(c.name, none))
			o.definition.Broken = c.err
		}
		m.definitions[c.name] = o
	}
	m.tables.customs = attribute.NewCustoms(func(yield func(*attribute.Definition) bool) {
		for _, o := range m.definitions {
			if !yield(o.definition) {
				return
			}
		}
	})
}

func (m *model) slot(name string, spec *document.AttributeDefinition) int {
	return int(m.slots.of(attribute.Values(name, spec)))
}

// policyObject is a sharing policy with what it was compiled to.
type policyObject struct {
	version uint64
	spec    *document.AttributePolicy // nil where the document cannot be read
	needs   []string                  // names of definitions
	policy  *attribute.Policy
}

// applyPolicies compiles policies: those that changed, and those that need a definition that changed.
func (m *model) applyPolicies(changes, definitions []change, w *work) {
	if len(changes) == 0 && len(definitions) == 0 {
		return
	}
	m.policies = maps.Clone(m.policies)
	for _, c := range changes {
		switch {
		case c.err != nil:
			w.compiled++
			o := &policyObject{version: c.version, policy: &attribute.Policy{Name: c.name, Broken: c.err}}
			if old := m.policies[c.name]; old != nil { // what it may have been meant to hide stays hidden
				o.needs = old.needs
				for _, r := range old.policy.Rules {
					o.policy.Rules = append(o.policy.Rules, attribute.Rule{Attribute: r.Attribute})
				}
			}
			m.policies[c.name] = o
		case c.doc == nil:
			delete(m.policies, c.name)
		default:
			spec := c.doc.Spec.(*document.AttributePolicy)
			m.policies[c.name] = &policyObject{version: c.version, spec: spec, needs: attribute.References(spec)}
		}
	}
	changed := make(map[string]bool, len(definitions))
	for _, d := range definitions {
		changed[d.name] = true
	}
	set := &sharing{policies: make([]*attribute.Policy, 0, len(m.policies))}
	for _, name := range slices.Sorted(maps.Keys(m.policies)) {
		o := m.policies[name]
		if o.spec != nil && (o.policy == nil || slices.ContainsFunc(o.needs, func(n string) bool { return changed[n] })) {
			w.compiled++
			o = &policyObject{version: o.version, spec: o.spec, needs: o.needs, policy: attribute.NewPolicy(name, o.spec, m.definition)}
			m.policies[name] = o
		}
		set.policies = append(set.policies, o.policy)
	}
	m.tables.sharing = set
}

func (m *model) definition(name string) *attribute.Definition {
	if o := m.definitions[name]; o != nil {
		return o.definition
	}
	return nil
}
