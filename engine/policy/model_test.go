package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"trine/engine/attribute"
	"trine/engine/document"
	"trine/engine/state"
)

// TestStepByStepAndAtOnceCompileTheSame stores and deletes documents at random, and compares the cache that grew change by change
// with one that is compiled from the documents as they are in the end.
func TestStepByStepAndAtOnceCompileTheSame(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		grown := newRig(t)
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			var docs []string
			var deleted []string
			for range rapid.IntRange(1, 4).Draw(rt, "changes") {
				kind := rapid.SampledFrom(kinds[:]).Draw(rt, "kind")
				n := rapid.IntRange(0, 3).Draw(rt, "name")
				name := fmt.Sprint(strings.ToLower(kind[:1]), n)
				if kind == document.KindRole {
					name += "@x"
				}
				if slices.Contains(deleted, kind+"/"+name) || slices.ContainsFunc(docs, func(d string) bool {
					return strings.Contains(d, fmt.Sprintf("kind: %s\nname: %s\n", kind, name))
				}) {
					continue
				}
				if rapid.IntRange(0, 3).Draw(rt, "delete") == 0 {
					deleted = append(deleted, kind+"/"+name)
					continue
				}
				docs = append(docs, fmt.Sprintf("kind: %s\nname: %s\nspec: %s\n", kind, name, drawSpec(rt, kind, n)))
			}
			grown.apply(t, strings.Join(docs, "---\n"), deleted...)
		}
		fresh, err := NewCompiler(Config{State: grown.state, Wires: grown.compiler.env.wires, Keyring: grown.keyring})
		if err != nil {
			rt.Fatal(err)
		}
		if got, want := describe(grown.compiler), describe(fresh); got != want {
			rt.Fatalf("grown:\n%s\nfresh:\n%s", got, want)
		}
	})
}

func drawSpec(t *rapid.T, kind string, n int) string {
	pick := func(options ...string) string { return rapid.SampledFrom(options).Draw(t, "option") }
	switch kind {
	case document.KindIdentityProvider:
		parent := ""
		if n > 1 {
			parent = pick("", "parent: i0, ")
		}
		return fmt.Sprintf("{type: local, %sprofiles: {radius: {enabled: %s}, tacacs: {enabled: %s}}}", parent, pick("true", "true", "false"), pick("true", "false"))
	case document.KindServiceProvider:
		// Prefixes are of this service provider alone, as state guarantees; they nest.
		prefixes := pick("10.%d.0.0/16", "10.%d.1.0/24, 10.%[1]d.2.0/24", "10.%d.0.0/16, 192.0.2.%[1]d-192.0.2.%[1]d")
		return fmt.Sprintf("{type: %[1]s, %[2]s%[1]s: {sourceIPs: [%[3]s], secret: %[4]s}}", pick("radius", "radius", "tacacs"), pick("", "identityProvider: i1, ", "identityProvider: i2, "), fmt.Sprintf(prefixes, n), pick("s", "t", "bad"))
	case document.KindGroup:
		parent := pick("", "", "parent: g0, ", "parent: g1, ")
		if strings.Contains(parent, fmt.Sprint("g", n)) {
			parent = ""
		}
		return fmt.Sprintf("{%sroles: [{role: r%d@x}, {role: r%d@x, notAfter: %s}], reply: [%q], sessions: {limit: %d}}", parent,
			rapid.IntRange(0, 1).Draw(t, "role"), rapid.IntRange(2, 3).Draw(t, "role"), pick("2020-01-01", "1999-01-01"), pick("A = 1", "B = 2", "No-Such = 1"), rapid.IntRange(0, 2).Draw(t, "limit"))
	case document.KindRole:
		return fmt.Sprintf("{reply: [%q], commands: [{permit: %s}]}", pick("A = 1", "B = 2", "No-Such = 1"), pick("a*", "b"))
	case document.KindInformationSystem:
		return pick("{}", "{enableSecret: one}", "{enableSecret: two}")
	case document.KindAttributeDefinition:
		return fmt.Sprintf("{source: %s, radiusID: %s}", pick("uid", "room"), pick("R-", "No-")+fmt.Sprint(n))
	case document.KindAttributePolicy:
		return fmt.Sprintf("{condition: %s, attributes: [{attribute: a%s, allow: %s}, {attribute: a%s, condition: {attributeValue: {attribute: a%s, value: alice}}}]}",
			pick("any", "{principalName: alice}", "{attributeRequester: s1}"), pick("0", "1"), pick("true", "true", "false"), pick("2", "3"), pick("0", "1"))
	}
	return fmt.Sprintf("{sessions: {limit: %d}}", rapid.IntRange(0, 2).Draw(t, "limit"))
}

// describe tells what a cache answers.
func describe(c *Compiler) string {
	var b strings.Builder
	cache := c.Holder().Load()
	for _, o := range c.Broken() {
		fmt.Fprintf(&b, "broken %s %s: %v\n", o.Kind, o.Name, o.Err)
	}
	alice := attribute.OfUser(person("alice", &document.User{Attributes: map[string]document.Values{"room": {"1"}}}))
	for n := range 4 {
		system := cache.System(fmt.Sprint("i", n))
		fmt.Fprintf(&b, "system %d: %v\n", n, system != nil && system.Enables([]byte("one")))
		if role := cache.Role([]byte(fmt.Sprintf("r%d@x", n))); role != nil {
			fmt.Fprintf(&b, "role %d: %v\n", n, role.Commands.Match([]byte("a1")) != nil)
		}
		if cl := cache.ClientFor(document.TypeTacacs, netip.AddrFrom4([4]byte{10, byte(n), 1, 1})); cl != nil {
			fmt.Fprintf(&b, "tacacs %d: %s in %s, %v, %v\n", n, cl.Name, cl.System, cl.Wire, cl.Broken)
		}
		for _, pattern := range []string{"10.%d.0.1", "10.%d.1.1", "10.%d.2.1", "192.0.2.%d"} {
			addr := netip.MustParseAddr(fmt.Sprintf(pattern, n))
			cl := cache.ClientFor(document.TypeRadius, addr)
			if cl == nil {
				continue
			}
			fmt.Fprintf(&b, "%s: %s, secret %v, broken %v", addr, cl.Name, cl.Wire, cl.Broken)
			if cl.Issuer != nil {
				fmt.Fprintf(&b, ", issuer %s", cl.Issuer.Name)
			}
			f := attribute.Facts{Subject: alice, Principal: []byte("alice")}
			release := func() (text string) {
				for _, r := range cache.Release(nil, cl, &f) {
					text += fmt.Sprintf(", %s %s", r.Attribute.Wire, r.Values)
				}
				return text
			}
			one := release()
			f = attribute.Facts{Subject: alice, Principal: []byte("alice"), Customs: cache.Customs()}
			together := release()
			if b.WriteString(together); one != together {
				fmt.Fprintf(&b, ", but attribute by attribute%s", one)
			}
			b.WriteByte('\n')
		}
		group := []byte(fmt.Sprint("g", n))
		member := personOf(cache, &state.User{PrimaryGroup: group})
		fmt.Fprintf(&b, "%s: limit %d, roles %s", group, member.SessionLimit(cache.UserType([]byte(fmt.Sprint("u", n)))), member.Roles())
		for _, r := range member.Replies(nil, nil, nil) {
			fmt.Fprintf(&b, ", %v", r.(*template).lines)
		}
		if g := member.BrokenGroup(); g != nil {
			fmt.Fprintf(&b, ", broken %s", g.Name)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
