package policy

import (
	"strings"

	"trine/engine/document"
)

// State is where documents come from. Its methods may be called while records are applied.
type State interface {
	// Document returns a document as it is stored.
	Document(kind, name string) (Stored, bool)
	// Documents returns documents of a kind whose names come after the given one, by name, at most limit of them.
	Documents(kind, after string, limit int) []Stored
	// ConfigIndex returns the log index of the last record that changed a document of the kinds that a cache is compiled from.
	ConfigIndex() uint64
	// OnConfig has f called from within Apply after each such record with the keys ("Kind/name") of what it changed.
	OnConfig(f func(index uint64, changed []string))
}

// Stored is a document as state keeps it.
type Stored struct {
	Name    string
	Version uint64
	Spec    []byte
	Index   uint64 // log index of the record that wrote it
}

// page is how many documents are read at a time.
const page = 1000

func (c *Compiler) subscribe() {
	c.state.OnConfig(func(index uint64, changed []string) {
		keys := make([]documentKey, 0, len(changed))
		for _, k := range changed {
			kind, name, _ := strings.Cut(k, "/")
			keys = append(keys, documentKey{kind, name})
		}
		c.changed(index, keys)
	})
}

// read returns what became of the named documents since old was compiled, and the newest index of one.
func (c *Compiler) read(old *model, keys map[documentKey]struct{}) (changes []change, newest uint64) {
	for k := range keys {
		was, compiled := old.version(k)
		if compiled == unknownKind {
			continue
		}
		stored, ok := c.state.Document(k.kind, k.name)
		newest = max(newest, stored.Index)
		switch {
		case ok && (compiled == absent || was != stored.Version):
			changes = append(changes, decode(k.kind, stored))
		case !ok && compiled == present:
			changes = append(changes, change{kind: k.kind, name: k.name})
		}
	}
	return changes, newest
}

// readAll returns what became of all documents since old was compiled, and the newest index of one. Documents that could not be
// compiled count as changed.
func (c *Compiler) readAll(old *model) (changes []change, newest uint64) {
	again := map[documentKey]bool{}
	for _, b := range old.broken() {
		again[documentKey{b.Kind, b.Name}] = true
	}
	for _, kind := range kinds {
		seen := map[string]bool{}
		for after, more := "", true; more; {
			list := c.state.Documents(kind, after, page)
			for _, stored := range list {
				after = stored.Name
				seen[stored.Name] = true
				newest = max(newest, stored.Index)
				k := documentKey{kind, stored.Name}
				if was, compiled := old.version(k); compiled != present || was != stored.Version || again[k] {
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
	return changes, newest
}

func decode(kind string, s Stored) change {
	d, err := document.FromStored(kind, s.Name, s.Spec)
	return change{kind: kind, name: s.Name, version: s.Version, doc: d, err: err}
}

// presence says what a model knows of a document.
type presence uint8

const (
	unknownKind presence = iota // not of a kind that is compiled
	absent
	present
)

// version returns the version of a document that was compiled.
func (m *model) version(k documentKey) (uint64, presence) {
	switch k.kind {
	case document.KindIdentityProvider:
		if o := m.issuers[k.name]; o != nil {
			return o.version, present
		}
	case document.KindServiceProvider:
		if o := m.clients[k.name]; o != nil {
			return o.version, present
		}
	case document.KindGroup:
		if o := m.groups[k.name]; o != nil {
			return o.version, present
		}
	case document.KindUserType:
		if o := m.userTypes[k.name]; o != nil {
			return o.version, present
		}
	case document.KindAttributeDefinition:
		if o := m.definitions[k.name]; o != nil {
			return o.version, present
		}
	case document.KindAttributePolicy:
		if o := m.policies[k.name]; o != nil {
			return o.version, present
		}
	default:
		return 0, unknownKind
	}
	return 0, absent
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
	case document.KindUserType:
		return keysOf(m.userTypes)
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
