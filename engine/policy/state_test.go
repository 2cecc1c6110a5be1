package policy

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"trine/engine/attribute"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/secret"
	"trine/engine/state"
)

// TestRecordsTakeEffectOnTheNextPacket runs documents and a user through the real state.
func TestRecordsTakeEffectOnTheNextPacket(t *testing.T) {
	people, ring := state.New(), secret.NewKeyring()
	if err := ring.Add(1, secret.NewClusterKey()); err != nil {
		t.Fatal(err)
	}
	c, err := NewCompiler(Config{State: people, Wires: map[string]Wire{document.TypeRadius: new(wire)}, Keyring: ring})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = c.Run(t.Context()) }()
	var index uint64
	put := func(text string, deleted ...string) {
		t.Helper()
		docs, err := document.Parse("test.yaml", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		var b event.Builder
		for _, d := range docs {
			d.EachSecret(func(_ string, s *secret.Text) {
				if *s, err = s.Seal(ring, d.SecretContext()); err != nil {
					t.Fatal(err)
				}
			})
			spec, err := d.Stored()
			if err != nil {
				t.Fatal(err)
			}
			put := &event.DocumentPut{Kind: d.Kind, Name: d.Name, Spec: spec, Refs: d.Refs(), Claims: d.Claims()}
			if err := b.Add(event.TypeDocumentPut, event.ClassOf(d.Kind), nil, put); err != nil {
				t.Fatal(err)
			}
		}
		for _, key := range deleted {
			kind, name, _ := strings.Cut(key, "/")
			if err := b.Add(event.TypeDocumentDeleted, event.ClassOf(kind), nil, &event.DocumentDeleted{Kind: kind, Name: name}); err != nil {
				t.Fatal(err)
			}
		}
		index++
		if r := people.Apply(state.Stamp{Index: index, Time: time.Unix(int64(1_000_000+index), 0), Node: 1}, b.Bytes()); r.Code != 0 {
			t.Fatalf("void: %s", r.Detail)
		}
		if err := c.WaitPublished(t.Context(), index); err != nil {
			t.Fatal(err)
		}
	}
	ask := func() (client *Client, replies []any, released string) {
		cache := c.Holder().Load()
		client = cache.ClientFor(document.TypeRadius, netip.MustParseAddr("10.0.0.1"))
		var u state.User
		if client == nil || !people.User(&u, []byte("ALICE")) {
			return client, nil, ""
		}
		f := attribute.Facts{Subject: attribute.OfUser(&u), Principal: u.Name, Authentication: attribute.Password}
		for _, r := range cache.Release(nil, client, &f) {
			for _, v := range r.Values {
				released += r.Attribute.Name + "=" + string(v) + " "
			}
		}
		return client, personOf(cache, &u).Replies(nil, client, nil), released
	}

	if client, _, _ := ask(); client != nil {
		t.Errorf("an empty state has the client %s", client.Name)
	}
	put(home + `---
kind: ServiceProvider
name: core
spec: {type: radius, radius: {sourceIPs: [10.0.0.0/8], secret: one}}
---
kind: Group
name: staff
spec: {reply: ["A = 1"]}
---
kind: User
name: alice
spec: {mail: alice, mailDomain: example.org, primaryGroup: staff, attributes: {room: [A1, B2]}}
---
kind: AttributeDefinition
name: room
spec: {radiusID: Room}
---
kind: AttributeDefinition
name: email
spec: {radiusID: Mail}
---
kind: AttributePolicy
name: public
spec: {condition: any, attributes: [{attribute: room}, {attribute: email}]}
`)
	client, replies, released := ask()
	if client == nil || client.Broken != nil || client.Wire != "one" || len(replies) != 1 || released != "email=alice@example.org room=A1 room=B2 " {
		t.Fatalf("client %+v, replies %v, released %q", client, replies, released)
	}
	put("kind: ServiceProvider\nname: core\nspec: {type: radius, radius: {sourceIPs: [10.0.0.0/8], secret: two}}\n")
	if client, _, _ := ask(); client.Wire != "two" {
		t.Errorf("the secret is %v after a change", client.Wire)
	}
	put("kind: AttributePolicy\nname: private\nspec: {condition: any, attributes: [{attribute: room, allow: false}]}\n")
	if _, _, released := ask(); released != "email=alice@example.org " {
		t.Errorf("released %q after a change", released)
	}
	put("", "AttributePolicy/private", "AttributePolicy/public")
	if _, _, released := ask(); released != "" {
		t.Errorf("released %q without a policy", released)
	}
	put("kind: User\nname: bob\n") // changes no configuration: nobody waits
	put("", "ServiceProvider/core")
	if client, _, _ := ask(); client != nil {
		t.Errorf("a deleted client is %s", client.Name)
	}
	if n := c.Stats().Compiled; n != 6+2 {
		t.Errorf("%d objects compiled, want 8", n)
	}
}
