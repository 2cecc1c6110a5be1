package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"trine/engine/attribute"
	"trine/engine/document"
	"trine/engine/login"
)

// issuerObject is an identity provider with what it was compiled to.
type issuerObject struct {
	version uint64
	issuer  *Issuer
	access  []access // its own
	above   error    // why nobody knows who may use the one above it
	err     error    // why the document cannot be read
}

// fallback is the identity provider of clients that are bound to none, or why there is none.
type fallback struct {
	issuer *Issuer
	err    error
}

// offError says that nobody decides for a client because the identity provider that would is switched off.
type offError struct{ text string }

func (e *offError) Error() string { return e.text }

// applyIssuers compiles identity providers.
func (m *model) applyIssuers(env *environment, changes []change, w *work) {
	if len(changes) == 0 {
		return
	}
	m.issuers = maps.Clone(m.issuers)
	for _, c := range changes {
		if c.doc == nil && c.err == nil {
			delete(m.issuers, c.name)
			continue
		}
		w.compiled++
		o := &issuerObject{version: c.version, err: c.err}
		if c.err == nil {
			o.issuer, o.err = env.issuer(c.doc)
			o.access = m.access(c.name, o.issuer.Spec.Access)
		} else {
			o.issuer = &Issuer{Name: c.name, PublicID: c.name, Spec: new(document.IdentityProvider), party: &attribute.Party{PublicID: c.name}}
		}
		m.issuers[c.name] = o
	}
	m.inheritAccess(changes)
	m.tables.issuers, m.tables.sites = m.issuers, newSites(m.issuers)
	m.fallbacks = m.chooseFallbacks()
}

// inheritAccess has what limits the use of an identity provider limit that of the virtual ones below it, which also have its sessions, certificates and
// trusted devices where they say nothing else. What is published is not
// changed: a virtual one whose parent changed is made anew.
func (m *model) inheritAccess(changes []change) {
	changed := make(map[string]bool, len(changes))
	for _, c := range changes {
		changed[c.name] = true
	}
	for name, o := range m.issuers {
		parent := o.issuer.Spec.Parent
		switch {
		case changed[name]:
			o.issuer.access = o.access
		case parent != "" && changed[parent]:
			again := *o.issuer
			again.access = o.access
			o = &issuerObject{version: o.version, issuer: &again, access: o.access, err: o.err}
			m.issuers[name] = o
		default:
			continue
		}
		o.issuer.inherit(nil)
		if parent == "" {
			continue
		}
		switch above := m.issuers[parent]; {
		case above == nil:
			o.above = fmt.Errorf("there is no IdentityProvider %q above it", parent)
		case above.err != nil:
			o.above = fmt.Errorf("the IdentityProvider %q above it is broken: %w", parent, above.err)
		default:
			o.issuer.inherit(above.issuer)
			o.issuer.access = append(slices.Clip(o.access), above.access...)
		}
	}
}

// issuer compiles an identity provider. Where its rules cannot be compiled, the error says why, and the issuer is good for its name only.
func (env *environment) issuer(d *document.Document) (*Issuer, error) {
	spec := d.Spec.(*document.IdentityProvider)
	i := &Issuer{Name: d.Name, PublicID: d.PublicID(), Spec: spec}
	i.party = &attribute.Party{PublicID: i.PublicID, Group: spec.EntityGroup}
	if r := spec.Profiles.Radius; r != nil && r.Enabled {
		i.Radius = Methods{PAP: r.PAP, CHAP: r.CHAP, MSCHAPv1: r.MSCHAPv1, MSCHAPv2: r.MSCHAPv2}
	}
	if t := spec.Profiles.Tacacs; t != nil && t.Enabled {
		i.Tacacs = Methods{ASCII: t.ASCII, PAP: t.PAP, CHAP: t.CHAP, MSCHAPv1: t.MSCHAPv1, MSCHAPv2: t.MSCHAPv2}
	}
	var err error
	i.Login, err = newLogin(&spec.Authentication)
	own, wrong := newOwn(d.Name, spec, env.revoked)
	i.own = own
	web := env.web(d, spec, &i.own)
	i.inherit(nil)
	return i, joined(joined(err, wrong), web)
}

// newLogin compiles the matrix and the adaptive rules.
func newLogin(a *document.Authentication) (*login.Policy, error) {
	p := &login.Policy{Default: login.PasswordSuffices()}
	if len(a.Matrix) > 0 {
		p.Default = newMatrix(a.Matrix)
	}
	var problems []error
	for i, r := range a.AdaptiveRules {
		name := r.Description
		if name == "" {
			name = fmt.Sprint(i + 1)
		}
		rule, err := login.NewRule(name, r.Expression, r.Script, newMatrix(r.Matrix))
		if err != nil {
			field := "expression"
			if r.Expression == "" {
				field = "script"
			}
			problems = append(problems, attribute.InField(fmt.Sprintf("authentication.adaptiveRules[%d].%s", i, field), err))
			continue
		}
		p.Rules = append(p.Rules, rule)
	}
	return p, errors.Join(problems...)
}

func newMatrix(ways []document.Way) *login.Matrix {
	list := make([]login.Way, len(ways))
	for i, w := range ways {
		// The document was checked: both name factors.
		list[i].First, _ = login.ParseFactor(w.First)
		list[i].Second, _ = login.ParseFactor(w.Second)
	}
	m := login.NewMatrix(list...)
	for i, w := range ways {
		if w.TrustedDevice {
			m.Trust(list[i])
		}
	}
	return m
}

// packetWires returns the protocols of devices.
func packetWires() [2]string { return [...]string{document.TypeRadius, document.TypeTacacs} }

// speaks reports whether the identity provider has the profile of a wire switched on.
func (i *Issuer) speaks(wire string) bool {
	switch p := &i.Spec.Profiles; wire {
	case document.TypeRadius:
		return p.Radius != nil && p.Radius.Enabled
	case document.TypeTacacs:
		return p.Tacacs != nil && p.Tacacs.Enabled
	case document.TypeOIDC, document.TypeOIDCDynamic:
		return p.OpenID != nil && p.OpenID.Enabled
	}
	return false
}

// profileOf returns the name of the profile of a wire.
func profileOf(wire string) string {
	if wire == document.TypeOIDC || wire == document.TypeOIDCDynamic {
		return "openid"
	}
	return wire
}

// Accepts returns the methods that the identity provider accepts over a wire.
func (i *Issuer) Accepts(wire string) Methods {
	if wire == document.TypeTacacs {
		return i.Tacacs
	}
	return i.Radius
}

// chooseFallbacks returns for each wire the one identity provider that is not virtual and speaks it.
func (m *model) chooseFallbacks() map[string]fallback {
	all := map[string]fallback{}
	for _, wire := range packetWires() {
		all[wire] = m.chooseFallback(wire)
	}
	for _, wire := range [...]string{document.TypeOIDC, document.TypeOIDCDynamic} {
		all[wire] = m.chooseFallback(wire)
	}
	return all
}

func (m *model) chooseFallback(wire string) fallback {
	var found []string
	for name, o := range m.issuers {
		if o.issuer.Spec.Parent == "" && o.issuer.speaks(wire) {
			found = append(found, name)
		}
	}
	switch len(found) {
	case 0:
		return fallback{err: &offError{fmt.Sprintf("no local IdentityProvider has its %s profile switched on", profileOf(wire))}}
	case 1:
		return fallback{issuer: m.issuers[found[0]].issuer}
	}
	slices.Sort(found)
	return fallback{err: fmt.Errorf("several local IdentityProviders have their %s profile switched on (%s): name one in identityProvider", profileOf(wire), strings.Join(found, ", "))}
}

// issuerFor returns the identity provider that decides for a service provider.
func (m *model) issuerFor(spec *document.ServiceProvider) (*Issuer, error) {
	if spec.IdentityProvider == "" {
		f := m.fallbacks[spec.Type]
		return f.issuer, f.err
	}
	o := m.issuers[spec.IdentityProvider]
	switch {
	case o == nil:
		return nil, fmt.Errorf("there is no IdentityProvider %q", spec.IdentityProvider)
	case o.err != nil:
		return o.issuer, fmt.Errorf("the IdentityProvider %q is broken: %w", spec.IdentityProvider, o.err)
	case o.above != nil:
		return o.issuer, fmt.Errorf("the IdentityProvider %q cannot be used: %w", spec.IdentityProvider, o.above)
	case !o.issuer.speaks(spec.Type):
		return o.issuer, &offError{fmt.Sprintf("the IdentityProvider %q has its %s profile switched off", spec.IdentityProvider, profileOf(spec.Type))}
	}
	return o.issuer, nil
}
