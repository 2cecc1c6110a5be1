package policy

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"time"

	"trine/engine/document"
	"trine/engine/state"
)

// sharedSecrets holds the shared secrets of the service providers of type tacacs that a change touches against RFC 8907 section 10.5.1: each must be as its
// identity provider wants it, unless it was there before, and should be no other's. An identity provider that is touched has those that it decides for looked at.
func (env *environment) sharedSecrets(base, next *model, touched map[state.Key]*document.Document, now time.Time) (problems, warnings document.Problems) {
	var names []string
	for name, o := range next.clients {
		client := next.tables.clients[name]
		if o.document == nil || client == nil || client.Spec == nil || client.Spec.Tacacs == nil {
			continue
		}
		_, own := touched[state.Key{Kind: document.KindServiceProvider, Name: name}]
		if !own && client.Issuer != nil {
			_, own = touched[state.Key{Kind: document.KindIdentityProvider, Name: client.Issuer.Name}]
		}
		if own {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	slices.Sort(names)
	holders := env.holders(next)
	for _, name := range names {
		before := env.digests(base.clients[name])
		client, doc := next.tables.clients[name], touched[state.Key{Kind: document.KindServiceProvider, Name: name}]
		spec, err := env.open(next.clients[name].document)
		if err != nil {
			continue // which is a problem of its own
		}
		for i := range spec.Tacacs.Secrets {
			s := &spec.Tacacs.Secrets[i]
			clear, err := s.Value.Open(nil, nil, nil)
			if err != nil {
				continue
			}
			digest := sha256.Sum256(clear)
			p := document.Problem{Kind: document.KindServiceProvider, Name: name, Field: fmt.Sprintf("spec.tacacs.secrets[%d].value", i)}
			p = problem{Problem: p}.at(doc).Problem
			if client.Issuer != nil && client.Issuer.Spec.Profiles.Tacacs != nil {
				if p.Reason = client.Issuer.Spec.Profiles.Tacacs.Secrets.Check(s, clear, now); p.Reason != "" {
					if before[digest] {
						warnings = append(warnings, p)
					} else {
						problems = append(problems, p)
					}
				}
			}
			if doc == nil {
				continue
			}
			for _, other := range holders[digest] {
				if other != name {
					p.Reason = "the ServiceProvider " + other + " has the same secret: whoever learns it from a device of one reads what the devices of both send"
					warnings = append(warnings, p)
					break
				}
			}
		}
	}
	return problems, warnings
}

// holders returns the names of the service providers of type tacacs that have each secret, by its digest.
func (env *environment) holders(m *model) map[[sha256.Size]byte][]string {
	out := map[[sha256.Size]byte][]string{}
	for _, name := range slices.Sorted(maps.Keys(m.clients)) {
		for digest := range env.digests(m.clients[name]) {
			out[digest] = append(out[digest], name)
		}
	}
	return out
}

// digests returns the digests of a service provider's shared secrets over TACACS+.
func (env *environment) digests(o *clientObject) map[[sha256.Size]byte]bool {
	out := map[[sha256.Size]byte]bool{}
	if o == nil || o.document == nil || o.document.Spec.(*document.ServiceProvider).Tacacs == nil {
		return out
	}
	spec, err := env.open(o.document)
	if err != nil {
		return out
	}
	for i := range spec.Tacacs.Secrets {
		if clear, err := spec.Tacacs.Secrets[i].Value.Open(nil, nil, nil); err == nil {
			out[sha256.Sum256(clear)] = true
		}
	}
	return out
}
