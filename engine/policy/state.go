package policy

import (
	"trine/engine/document"
	"trine/engine/state"
)

// State is where documents come from. Its methods may be called while records are applied.
type State interface {
	// Document returns a document as it is stored.
	Document(kind, name string) (state.Document, bool)
	// Documents returns documents of a kind whose names come after the given one, by name, at most limit of them.
	Documents(kind, after string, limit int) []state.Document
	// ConfigIndex returns the log index of the last record that changed a document other than a user.
	ConfigIndex() uint64
	// OnConfig has f called from within Apply after each such record with what it changed.
	OnConfig(f func(index uint64, changed []state.Key))
}

var _ State = (*state.State)(nil)

// page is how many documents are read at a time.
const page = 1000

// pendingChanges returns what of the pending documents is not compiled yet.
func pendingChanges(old *model, documents map[state.Key]pendingDocument) []change {
	var changes []change
	for k, d := range documents {
		version, compiled := old.version(k)
		switch {
		case d.exists && !(compiled && version == d.stored.Version):
			changes = append(changes, decode(k.Kind, d.stored))
		case !d.exists && compiled:
			changes = append(changes, change{kind: k.Kind, name: k.Name})
		}
	}
	return changes
}

// readAll returns what became of all documents since old was compiled. Documents that could not be compiled count as changed.
func (c *Compiler) readAll(old *model) []change {
	again := map[state.Key]bool{}
	for _, b := range old.broken() {
		again[state.Key{Kind: b.Kind, Name: b.Name}] = true
	}
	var changes []change
	for _, kind := range kinds {
		seen := map[string]bool{}
		for after, more := "", true; more; {
			list := c.state.Documents(kind, after, page)
			for _, stored := range list {
				after = stored.Name
				seen[stored.Name] = true
				k := state.Key{Kind: kind, Name: stored.Name}
				if version, compiled := old.version(k); !compiled || version != stored.Version || again[k] {
					changes = append(changes, decode(kind, stored))
				}
			}
			more = len(list) == page
		}
		for _, name := range old.names(kind) {
			if !seen[name] {
				changes = append(changes, change{kind: kind, name: name})
			}
		}
	}
	return changes
}

func decode(kind string, s state.Document) change {
	d, err := document.FromStored(kind, s.Name, s.Spec)
	return change{kind: kind, name: s.Name, version: s.Version, doc: d, err: err}
}

// version returns the version of a document that was compiled.
func (m *model) version(k state.Key) (version uint64, compiled bool) {
	switch k.Kind {
	case document.KindIdentityProvider:
		if o := m.issuers[k.Name]; o != nil {
			return o.version, true
		}
	case document.KindServiceProvider:
		if o := m.clients[k.Name]; o != nil {
			return o.version, true
		}
	case document.KindGroup:
		if o := m.groups[k.Name]; o != nil {
			return o.version, true
		}
	case document.KindRole:
		if o := m.roles[k.Name]; o != nil {
			return o.version, true
		}
	case document.KindUserType:
		if o := m.userTypes[k.Name]; o != nil {
			return o.version, true
		}
	case document.KindInformationSystem:
		if o := m.systems[k.Name]; o != nil {
			return o.version, true
		}
	case document.KindAttributeDefinition:
		if o := m.definitions[k.Name]; o != nil {
			return o.version, true
		}
	case document.KindAttributePolicy:
		if o := m.policies[k.Name]; o != nil {
			return o.version, true
		}
	}
	return 0, false
}

// names returns the names of the compiled documents of a kind.
func (m *model) names(kind string) []string {
	switch kind {
	case document.KindIdentityProvider:
		return keysOf(m.issuers)
	case document.KindServiceProvider:
		return keysOf(m.clients)
	case document.KindGroup:
		return keysOf(m.groups)
	case document.KindRole:
		return keysOf(m.roles)
	case document.KindUserType:
		return keysOf(m.userTypes)
	case document.KindInformationSystem:
		return keysOf(m.systems)
	case document.KindAttributeDefinition:
		return keysOf(m.definitions)
	case document.KindAttributePolicy:
		return keysOf(m.policies)
	}
	return nil
}

func keysOf[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	return names
}
