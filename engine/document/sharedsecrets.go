package document

import (
	"net/netip"
	"slices"
	"time"

	"trine/engine/secret"
)

// SharedSecrets are the secrets that a service provider of a packet protocol shares with this cluster.
type SharedSecrets struct {
	// Secret is the shared secret, where there is only one. It is another way to write a list of one in secrets.
	Secret secret.Text `json:"secret"`
	// Secrets lists the shared secrets, at most two of them at a time, so that a secret can be changed without an outage.
	Secrets []SharedSecret `json:"secrets"`
}

// SharedSecret is one shared secret with the time in which it is good.
type SharedSecret struct {
	// Value is the secret.
	Value secret.Text `json:"value" required:"true"`
	// NotBefore is when it begins to be good; without it, at once.
	NotBefore time.Time `json:"notBefore"`
	// NotAfter is when it ends to be good; without it, never.
	NotAfter time.Time `json:"notAfter"`
}

// Active reports whether the secret is good at the given time.
func (s *SharedSecret) Active(at time.Time) bool {
	return !at.Before(s.NotBefore) && (s.NotAfter.IsZero() || at.Before(s.NotAfter))
}

// shared returns the secrets of the service provider, by the names of the blocks that they stand in.
func (s *ServiceProvider) shared() map[string]*SharedSecrets {
	blocks := map[string]*SharedSecrets{}
	if s.Radius != nil {
		blocks[TypeRadius] = &s.Radius.SharedSecrets
	}
	if s.Tacacs != nil {
		blocks[TypeTacacs] = &s.Tacacs.SharedSecrets
	}
	return blocks
}

// normalise makes a list of one secret.
func (s *SharedSecrets) normalise() {
	if !s.Secret.IsZero() && len(s.Secrets) == 0 {
		s.Secrets = []SharedSecret{{Value: s.Secret}}
		s.Secret = secret.Text{}
	}
}

// check refuses more than two secrets that are good at one time: each costs a check of every packet.
func (s *SharedSecrets) check(c *checker, block string) {
	path := join(block, "secrets")
	switch {
	case !s.Secret.IsZero():
		c.fail(join(block, "secret"), "", "give either secret or secrets")
	case len(s.Secrets) == 0:
		c.fail(path, "", "a secret is required")
	}
	if len(s.Secrets) > maxSecrets {
		c.fail(path, "take out those that are no longer good", "there are more than %d secrets", maxSecrets)
		return
	}
	told := false
	for i := range s.Secrets {
		one, at := &s.Secrets[i], element(path, i)
		if !one.NotAfter.IsZero() && !one.NotBefore.Before(one.NotAfter) {
			c.fail(at+".notAfter", "", "the secret ends to be good before it begins")
			continue
		}
		together := 0
		for j := range s.Secrets {
			if s.Secrets[j].Active(one.NotBefore) {
				together++
			}
		}
		if together > 2 {
			if !told {
				c.fail(at, "", "more than two secrets are good at a time")
			}
			told = true
		}
	}
}

// inherit tells which of several shared secrets a mark stands for: the one with the same time of validity where just one has it; else, where as many
// marks are left as secrets in force, they stand for each other in order.
func (s *SharedSecrets) inherit(before *SharedSecrets) {
	same := func(a, b *SharedSecret) bool { return a.NotBefore.Equal(b.NotBefore) && a.NotAfter.Equal(b.NotAfter) }
	count := func(list []SharedSecret, like *SharedSecret, marks bool) int {
		n := 0
		for i := range list {
			if same(&list[i], like) && (!marks || list[i].Value.IsRedacted()) {
				n++
			}
		}
		return n
	}
	mine, theirs := s.Secrets, before.Secrets
	taken := make([]bool, len(theirs))
	first := slices.Clone(mine)
	for i := range mine {
		if !first[i].Value.IsRedacted() || count(first, &first[i], true) != 1 || count(theirs, &first[i], false) != 1 {
			continue
		}
		for j := range theirs {
			if same(&theirs[j], &mine[i]) {
				mine[i].Value, taken[j] = theirs[j].Value, true
			}
		}
	}
	var marks, left []int
	for i := range mine {
		if mine[i].Value.IsRedacted() {
			marks = append(marks, i)
		}
	}
	for j := range theirs {
		if !taken[j] {
			left = append(left, j)
		}
	}
	if len(marks) == len(left) {
		for k, i := range marks {
			mine[i].Value = theirs[left[k]].Value
		}
	}
}

// sources checks that no source prefix is given twice.
func (c *checker) sources(path string, list []AddressRange) {
	holder := map[netip.Prefix]int{}
	for i, a := range list {
		for _, p := range a.Prefixes() {
			if first, twice := holder[p]; twice {
				c.fail(element(path, i), "", "%s is in %s too", p, list[first])
				break
			}
			holder[p] = i
		}
	}
}

// claimSources claims the source prefixes of a service provider.
func (r *relations) claimSources(wire string, list []AddressRange) {
	for i, a := range list {
		for _, p := range a.Prefixes() {
			r.claim("prefix/"+wire+"/"+p.String(), element("spec."+wire+".sourceIPs", i))
		}
	}
}

func prefixes(list []AddressRange) (out []netip.Prefix) {
	for _, a := range list {
		out = a.appendPrefixes(out)
	}
	return out
}
