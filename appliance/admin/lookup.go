package admin

import (
	"iter"
	"net/http"
	"slices"
	"strings"

	"trine/appliance/admin/api"
	"trine/engine/document"
)

// read returns a stored document decoded, or nil.
func (s *Server) read(kind, name string) (*document.Document, Stored, error) {
	stored, ok := s.cfg.State.Document(kind, name)
	if !ok {
		return nil, Stored{}, nil
	}
	d, err := document.FromStored(stored.Kind, stored.Name, stored.Spec)
	return d, stored, err
}

// view returns a stored document as the API shows it.
func view(stored *Stored) (api.Document, error) {
	d, err := document.FromStored(stored.Kind, stored.Name, stored.Spec)
	if err != nil {
		return api.Document{}, err
	}
	spec, err := specJSON(d)
	if err != nil {
		return api.Document{}, err
	}
	return api.Document{
		Kind: stored.Kind, Name: stored.Name, ID: stored.ID, Version: stored.Version, Spec: spec,
		CreatedAt: optionalTime(stored.CreatedAt), CreatedBy: stored.CreatedBy,
		ModifiedAt: optionalTime(stored.ModifiedAt), ModifiedBy: stored.ModifiedBy,
	}, nil
}

// kind returns the kind that a word of a request names.
func (s *Server) kind(word string) (document.Kind, error) {
	k, ok := document.KindNamed(word)
	if !ok {
		return k, api.NewProblem(http.StatusNotFound, api.ReasonNotFound, "there is no kind %q; kinds are %s", word, strings.Join(s.names, ", "))
	}
	return k, nil
}

// stored returns a document as it is stored, or the problem that there is none.
func (s *Server) stored(kind, name string) (Stored, error) {
	d, ok := s.cfg.State.Document(kind, name)
	if !ok {
		return d, missing(kind, name)
	}
	return d, nil
}

// missing is the problem of a document that does not exist.
func missing(kind, name string) *api.Problem {
	return api.NewProblem(http.StatusNotFound, api.ReasonNotFound, "there is no %s named %q", kind, name)
}

// lookup reads the documents in force for document.ValidateAll. It remembers a stored document that it cannot read: such a
// one is a defect and must not pass for one that is absent.
type lookup struct {
	server *Server
	err    error
	cache  map[string]*document.Document // of documents other than users; nil: none is kept
}

var _ document.Lookup = (*lookup)(nil)

// Document implements document.Lookup.
func (l *lookup) Document(key string) *document.Document {
	if d, known := l.cache[key]; known {
		return d
	}
	kind, name, _ := strings.Cut(key, "/")
	d, _, err := l.server.read(kind, name)
	if err != nil && l.err == nil {
		l.err = err
	}
	if l.cache != nil && kind != document.KindUser {
		l.cache[key] = d
	}
	return d
}

// Holder implements document.Lookup.
func (l *lookup) Holder(claim string) (string, bool) { return l.server.cfg.State.Holder(claim) }

// Referrers implements document.Lookup. Where there are any, it reads documents of all kinds until it has them; what refers to users
// is found without.
func (l *lookup) Referrers(key string) iter.Seq[string] {
	kind, name, _ := strings.Cut(key, "/")
	left := l.server.cfg.State.References(kind, name)
	return func(yield func(string) bool) {
		if kind == document.KindUser {
			if owned := l.server.cfg.State.Owned(name); len(owned) >= left {
				for _, by := range owned {
					if !yield(by) {
						return
					}
				}
				return
			}
		}
		for _, kind := range l.server.names {
			if left <= 0 {
				return
			}
			for stored := range l.server.cfg.State.Documents(kind, "") {
				if !slices.Contains(stored.Refs, key) {
					continue
				}
				if left--; !yield(documentKey(stored.Kind, stored.Name)) || left <= 0 {
					return
				}
			}
		}
	}
}
