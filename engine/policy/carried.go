package policy

import (
	"fmt"
	"maps"
	"slices"

	"trine/engine/document"
	"trine/engine/login"
	"trine/engine/state"
)

// carried returns the factors that a login can prove which an identity provider decides and devices ask for over a wire. It begins with a password. What
// comes after it comes as clear text: behind the password, or in the answer to a challenge, which TACACS+ has in ASCII logins alone.
func carried(i *Issuer, wire string, appends, challenges bool) login.Set {
	m := i.Accepts(wire)
	s := login.SetOf(login.Password)
	if appends && m.Clear() {
		s |= login.SetOf(login.OTP)
	}
	if challenges && (m.ASCII || m.PAP && wire == document.TypeRadius) {
		s |= login.Askable()
	}
	return s
}

// carriedBy returns what the devices of a service provider carry.
func carriedBy(i *Issuer, sp *document.ServiceProvider) login.Set {
	switch {
	case sp.Radius != nil:
		return carried(i, sp.Type, sp.Radius.Appends(), sp.Radius.Challenges())
	case sp.Tacacs != nil:
		return carried(i, sp.Type, sp.Tacacs.Appends(), sp.Tacacs.Challenges())
	}
	return 0
}

// closed returns which of the matrices of an identity provider refuse every login by what is carried: the default one, and those of the rules.
func closed(p *login.Policy, carried login.Set) (byDefault bool, rules []int) {
	for i := range p.Rules {
		if !p.Rules[i].Matrix.Open(login.Password, carried) {
			rules = append(rules, i)
		}
	}
	return !p.Default.Open(login.Password, carried), rules
}

// closedWarnings tells of matrices that nobody can satisfy: in the identity providers of a change, by what any of their service providers carries; and of
// the service providers that cannot satisfy what others can, where the change touches them or their identity provider.
func (m *model) closedWarnings(touched map[state.Key]*document.Document) (out []problem) {
	concerned := false
	for k := range touched {
		concerned = concerned || k.Kind == document.KindIdentityProvider || k.Kind == document.KindServiceProvider
	}
	if !concerned {
		return nil
	}
	asking := map[*Issuer][]*Client{}
	for _, name := range slices.Sorted(maps.Keys(m.tables.clients)) {
		if c := m.tables.clients[name]; c.Issuer != nil && c.Broken == nil && carriedBy(c.Issuer, c.Spec) != 0 {
			asking[c.Issuer] = append(asking[c.Issuer], c)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.issuers)) {
		o := m.issuers[name]
		doc := touched[state.Key{Kind: document.KindIdentityProvider, Name: name}]
		if o.err != nil || !o.issuer.speaks(document.TypeRadius) && !o.issuer.speaks(document.TypeTacacs) {
			continue
		}
		i := o.issuer
		all := login.Set(0)
		for _, c := range asking[i] {
			all |= carriedBy(i, c.Spec)
		}
		if all == 0 { // nobody asks yet, so anybody may
			for _, wire := range packetWires() {
				if i.speaks(wire) {
					all |= carried(i, wire, true, true)
				}
			}
		}
		byDefault, rules := closed(i.Login, all)
		if doc != nil {
			out = append(out, closedMatrices(doc, i, byDefault, rules, all)...)
		}
		for _, c := range asking[i] {
			own := touched[state.Key{Kind: document.KindServiceProvider, Name: c.Name}]
			if own == nil && doc == nil {
				continue
			}
			has := carriedBy(i, c.Spec)
			if shut, others := closed(i.Login, has); shut && len(others) == len(i.Login.Rules) && !(byDefault && len(rules) == len(others)) {
				out = append(out, problem{
					Problem: document.Problem{
						Kind: document.KindServiceProvider, Name: c.Name, Field: "spec." + c.Spec.Type + ".secondFactor",
						Reason: fmt.Sprintf("every login will be rejected: its devices carry %s, and the IdentityProvider %q has no way of these", has, i.Name),
					},
					off: true,
				}.at(own))
			}
		}
	}
	return out
}

// closedMatrices words the matrices of a document that refuse every login.
func closedMatrices(doc *document.Document, issuer *Issuer, byDefault bool, rules []int, carried login.Set) (out []problem) {
	spec := doc.Spec.(*document.IdentityProvider)
	warn := func(field, reason string) {
		out = append(out, problem{document.Problem{Kind: doc.Kind, Name: doc.Name, Field: field, Reason: reason}, true}.at(doc))
	}
	why := fmt.Sprintf("nobody can satisfy the matrix: a login begins with Password, and what its service providers carry is %s", carried)
	if !issuer.Radius.Clear() && !issuer.Tacacs.Clear() {
		why += "; a second factor comes by PAP, which is switched off"
	}
	if byDefault {
		warn("spec.authentication.matrix", why)
	}
	for _, i := range rules {
		field := fmt.Sprintf("spec.authentication.adaptiveRules[%d].matrix", i)
		if len(spec.Authentication.AdaptiveRules[i].Matrix) == 0 {
			warn(field, "the matrix has no way: where the rule is true, every login is refused")
			continue
		}
		warn(field, why)
	}
	return out
}
