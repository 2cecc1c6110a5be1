package policy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"trine/engine/attribute"
	"trine/engine/document"
	"trine/engine/secret"
	"trine/engine/state"
)

const home = `
kind: IdentityProvider
name: home
spec: {type: local, profiles: {radius: {enabled: true}}}
`

// network returns n service providers named sp-00000 and so on, each with a prefix of its own.
func network(n int, secretText string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "---\nkind: ServiceProvider\nname: sp-%05d\nspec: {type: radius, radius: {sourceIPs: [10.%d.%d.0/24], secret: %s}}\n", i, i/256, i%256, secretText)
	}
	return b.String()
}

func TestOneChangeAmong10000CompilesOneObject(t *testing.T) {
	r := newRig(t)
	r.apply(t, home+network(10_000, "s"))
	before, old := r.compiler.Stats(), r.cache()
	if before.Broken != 0 || len(old.tables.clients) != 10_000 {
		t.Fatalf("%d clients, %d broken", len(old.tables.clients), before.Broken)
	}
	calls := len(r.wire.clients)
	r.apply(t, "kind: ServiceProvider\nname: sp-00777\nspec: {type: radius, radius: {sourceIPs: [10.3.9.0/24, 192.0.2.0/24], secret: new}}\n")
	after, now := r.compiler.Stats(), r.cache()
	if n := after.Compiled - before.Compiled; n != 1 {
		t.Errorf("%d objects compiled, want 1", n)
	}
	if n := after.Relinked - before.Relinked; n != 0 {
		t.Errorf("%d objects linked anew, want 0", n)
	}
	if n := len(r.wire.clients) - calls; n != 1 {
		t.Errorf("the wire compiled %d clients, want 1", n)
	}
	for name, c := range old.tables.clients {
		if same := now.Client(name) == c; same != (name != "sp-00777") {
			t.Fatalf("%s: same object: %v", name, same)
		}
	}
	addr := netip.MustParseAddr("10.3.9.1")
	if got := old.ClientFor("radius", addr).Wire; got != "s" {
		t.Errorf("the cache before has secret %v", got)
	}
	if got := now.ClientFor("radius", addr).Wire; got != "new" {
		t.Errorf("the cache has secret %v", got)
	}
	if old.ClientFor("radius", netip.MustParseAddr("192.0.2.1")) != nil {
		t.Error("a published cache has changed")
	}
	for _, untouched := range []struct {
		name string
		same bool
	}{
		{"groups", fmt.Sprintf("%p", old.tables.groups) == fmt.Sprintf("%p", now.tables.groups)},
		{"user types", fmt.Sprintf("%p", old.tables.userTypes) == fmt.Sprintf("%p", now.tables.userTypes)},
		{"policies", old.tables.sharing == now.tables.sharing},
	} {
		if !untouched.same {
			t.Errorf("the table of %s was made anew", untouched.name)
		}
	}
}

func TestManyChangesAtOnceMakeTheSameTable(t *testing.T) {
	r := newRig(t)
	r.apply(t, home+network(2*rebuildAbove, "s"))
	r.apply(t, network(2*rebuildAbove, "t"))
	for i := range 2 * rebuildAbove {
		addr := netip.AddrFrom4([4]byte{10, byte(i / 256), byte(i % 256), 1})
		if c := r.cache().ClientFor("radius", addr); c == nil || c.Name != fmt.Sprintf("sp-%05d", i) || c.Wire != "t" {
			t.Fatalf("%s belongs to %v", addr, c)
		}
	}
}

func TestAPolicyChangeCompilesNoClient(t *testing.T) {
	r := newRig(t)
	r.apply(t, home+network(100, "s")+"---\nkind: AttributeDefinition\nname: uid\nspec: {radiusID: User-Name}\n")
	before, client := r.compiler.Stats(), r.cache().Client("sp-00001")
	r.apply(t, "kind: AttributePolicy\nname: p\nspec: {condition: any, attributes: [{attribute: uid}]}\n")
	if n := r.compiler.Stats().Compiled - before.Compiled; n != 1 {
		t.Errorf("%d objects compiled, want 1", n)
	}
	if r.cache().Client("sp-00001") != client {
		t.Error("a client was made anew")
	}
}

func TestAnOldCacheGoesOnReleasingWhatItDid(t *testing.T) {
	r := newRig(t)
	r.apply(t, home+network(1, "s")+"---\nkind: AttributeDefinition\nname: uid\nspec: {radiusID: User-Name}\n")
	old, client := r.cache(), r.cache().Client("sp-00000")
	r.apply(t, "kind: AttributePolicy\nname: p\nspec: {condition: any, attributes: [{attribute: uid}]}\n")
	released := func(c *Cache) int {
		f := attribute.Facts{Subject: attribute.OfUser(person("alice", new(document.User)))}
		return len(c.Release(nil, client, &f))
	}
	for range 3 {
		if n := released(old); n != 0 {
			t.Errorf("the old cache releases %d attributes", n)
		}
		if n := released(r.cache()); n != 1 {
			t.Errorf("the new cache releases %d attributes", n)
		}
	}
}

func TestClientsCarryNoClearSecret(t *testing.T) {
	r := newRig(t)
	r.apply(t, home+network(1, "hunter2"))
	c := r.cache().Client("sp-00000")
	if c.Wire != "hunter2" {
		t.Fatalf("the wire got %v", c.Wire)
	}
	if v := c.Spec.Radius.Secrets[0].Value; !v.IsSealed() {
		t.Error("the document that a client carries is not sealed")
	}
}

func TestASecretWithoutItsKeyBreaksItsClientUntilTheKeyArrives(t *testing.T) {
	r := newRig(t)
	docs, err := r.parse(home + network(1, "s"))
	if err != nil {
		t.Fatal(err)
	}
	r.seal(t, docs)
	r.state.put(docs)
	ring, full := secret.NewKeyring(), r.compiler.env.keyring
	r.compiler.env.keyring = ring
	r.compiler.compile()
	if c := r.cache().Client("sp-00000"); c.Broken == nil || !errors.Is(c.Broken, secret.ErrNoKey) {
		t.Fatalf("broken: %v", c.Broken)
	}
	r.compiler.env.keyring = full
	r.compiler.Recompile()
	if c := r.cache().Client("sp-00000"); c.Broken != nil {
		t.Errorf("still broken: %v", c.Broken)
	}
}

func TestAStoredDocumentThatCannotBeReadBreaksItselfOnly(t *testing.T) {
	r := newRig(t)
	r.apply(t, home+network(2, "s")+`---
kind: AttributeDefinition
name: uid
spec: {radiusID: User-Name}
---
kind: AttributePolicy
name: p
spec: {condition: any, attributes: [{attribute: uid}]}
---
kind: Group
name: staff
---
kind: UserType
name: default
`)
	for _, key := range []state.Key{
		{Kind: document.KindServiceProvider, Name: "sp-00000"},
		{Kind: document.KindAttributeDefinition, Name: "uid"},
		{Kind: document.KindAttributePolicy, Name: "p"},
		{Kind: document.KindGroup, Name: "staff"},
		{Kind: document.KindUserType, Name: "default"},
	} {
		s := r.state.docs[key]
		s.Spec, s.Version = []byte(`{"fromTheFuture":1}`), s.Version+1000
		r.state.docs[key] = s
	}
	r.compiler.Recompile()
	if n := len(r.compiler.Broken()); n != 5 {
		t.Errorf("%d objects broken, want 5: %v", n, r.compiler.Broken())
	}
	c := r.cache()
	if cl := c.ClientFor("radius", netip.MustParseAddr("10.0.0.1")); cl == nil || cl.Broken == nil {
		t.Errorf("the client is %v; want it broken, not a stranger", cl)
	}
	if cl := c.ClientFor("radius", netip.MustParseAddr("10.0.1.1")); cl == nil || cl.Broken != nil {
		t.Errorf("the other client is %v", cl)
	}
	f := attribute.Facts{Subject: attribute.OfUser(person("alice", new(document.User)))}
	if got := c.Release(nil, c.Client("sp-00001"), &f); len(got) != 0 {
		t.Errorf("released %v under a policy that cannot be read", got)
	}
	for _, key := range []state.Key{{Kind: document.KindIdentityProvider, Name: "home"}} {
		s := r.state.docs[key]
		s.Spec, s.Version = []byte(`{`), s.Version+1000
		r.state.docs[key] = s
	}
	r.compiler.Recompile()
	if cl := r.cache().Client("sp-00001"); cl.Broken == nil {
		t.Error("a client is sound whose identity provider cannot be read")
	}
}

func TestChangesThatComeTogetherAreCompiledTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ctx, cancel := context.WithCancel(t.Context())
		docs, err := r.parse(home + network(20, "s"))
		if err != nil {
			t.Fatal(err)
		}
		r.seal(t, docs)
		before := r.compiler.Stats().Compilations
		var last uint64
		for i := range docs { // 21 records before the compiler gets to run
			last = r.state.put(docs[i : i+1])
		}
		done := make(chan error)
		go func() { done <- r.compiler.Run(ctx) }()
		if err := r.compiler.WaitPublished(ctx, last); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := r.compiler.Stats().Compilations - before; n != 1 {
			t.Errorf("%d compilations, want 1", n)
		}
		if got := r.cache().Index; got != last {
			t.Errorf("published index %d, want %d", got, last)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
	})
}

func TestWaitPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.apply(t, home)
		if err := r.compiler.WaitPublished(t.Context(), 1000); err != nil { // a record that changed no configuration
			t.Error(err)
		}
		docs, err := r.parse(home)
		if err != nil {
			t.Fatal(err)
		}
		index := r.state.put(docs)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.compiler.WaitPublished(ctx, index); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without Run: %v", err)
		}
		waited := make(chan error)
		go func() { waited <- r.compiler.WaitPublished(t.Context(), index) }()
		synctest.Wait()
		r.compiler.compile()
		if err := <-waited; err != nil {
			t.Error(err)
		}
	})
}

// TestAProposalIsSeenWholeOrNotAtAll stores a later proposal half-way while an earlier one waits to be compiled.
func TestAProposalIsSeenWholeOrNotAtAll(t *testing.T) {
	r := newRig(t)
	r.apply(t, home+network(1, "s"))
	docs, err := r.parse(network(1, "t"))
	if err != nil {
		t.Fatal(err)
	}
	r.seal(t, docs)
	index := r.state.put(docs)
	// The next proposal moves the service provider to an identity provider that it also makes; only half is stored yet.
	key := state.Key{Kind: document.KindServiceProvider, Name: "sp-00000"}
	s := r.state.docs[key]
	s.Version++
	s.Spec = []byte(strings.Replace(string(s.Spec), `{`, `{"identityProvider":"other",`, 1))
	r.state.docs[key] = s
	r.compiler.compile()
	c := r.cache()
	if cl := c.Client("sp-00000"); c.Index != index || cl.Broken != nil || cl.Wire != "t" {
		t.Errorf("index %d, secret %v, broken: %v", c.Index, cl.Wire, cl.Broken)
	}
	docs, err = r.parse(strings.ReplaceAll(home, "name: home", "name: other"))
	if err != nil {
		t.Fatal(err)
	}
	index = r.state.put(docs)
	r.compiler.changed(index, []state.Key{key})
	r.compiler.compile()
	if cl := r.cache().Client("sp-00000"); cl.Broken != nil || cl.Issuer.Name != "other" {
		t.Errorf("broken: %v", cl.Broken)
	}
}

func TestReadersNeverSeeAnUnfinishedCache(t *testing.T) {
	r := newRig(t)
	r.apply(t, home+network(50, "s")+`---
kind: AttributeDefinition
name: uid
spec: {radiusID: User-Name}
---
kind: AttributePolicy
name: p
spec: {condition: {principalName: alice}, attributes: [{attribute: uid}]}
---
kind: Group
name: staff
spec: {reply: ["A = 1"]}
`)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = r.compiler.Run(ctx) })
	stop := make(chan struct{})
	for range 2 {
		running.Go(func() {
			var f attribute.Facts
			var index uint64
			for {
				select {
				case <-stop:
					return
				default:
				}
				c := r.compiler.Holder().Load()
				if c.Index < index {
					t.Errorf("the index went back from %d to %d", index, c.Index)
				}
				index = c.Index
				cl := c.ClientFor("radius", netip.MustParseAddr("10.0.7.1"))
				if cl == nil || cl.Broken != nil || cl.Issuer == nil {
					t.Errorf("client %v", cl)
					return
				}
				f.Reset()
				f.Subject, f.Principal = attribute.OfUser(person("alice", new(document.User))), []byte("alice")
				if got := c.Release(nil, cl, &f); len(got) != 1 {
					t.Errorf("released %v", got)
				}
				if got := personOf(c, &state.User{PrimaryGroup: []byte("staff")}).Replies(nil, cl, nil); len(got) != 1 {
					t.Errorf("replies %v", got)
				}
			}
		})
	}
	for i := range 60 {
		var text string
		switch i % 4 {
		case 0:
			text = network(8, fmt.Sprint("s", i))
		case 1:
			text = home
		case 2:
			text = fmt.Sprintf("kind: Group\nname: staff\nspec: {reply: [\"A = %d\"]}\n", i)
		case 3:
			text = fmt.Sprintf("kind: AttributePolicy\nname: p\nspec: {condition: {principalName: {regex: \"alice|x%d\"}}, attributes: [{attribute: uid}]}\n", i)
		}
		docs, err := r.parse(text)
		if err != nil {
			t.Fatal(err)
		}
		r.seal(t, docs)
		if err := r.compiler.WaitPublished(t.Context(), r.state.put(docs)); err != nil {
			t.Fatal(err)
		}
		r.compiler.Draft(docs, []string{"Group/staff"})
	}
	close(stop)
	cancel()
	running.Wait()
}

func TestLookupsDoNotAllocate(t *testing.T) {
	r := newRig(t)
	var groups strings.Builder
	for i := range 20 {
		fmt.Fprintf(&groups, "---\nkind: Group\nname: g%d\nspec: {reply: [\"A = %d\"], sessions: {limit: 9}}\n---\nkind: Group\nname: h%d\nspec: {parent: g%d}\n", i, i, i, i)
	}
	r.apply(t, home+network(100, "s")+groups.String()+`---
kind: AttributeDefinition
name: uid
spec: {radiusID: User-Name}
---
kind: AttributePolicy
name: p
spec: {condition: {principalName: alice}, attributes: [{attribute: uid}]}
`)
	c := r.cache()
	v4, v6 := netip.MustParseAddr("10.0.7.1"), netip.MustParseAddr("::ffff:10.0.7.1")
	names := make([]string, 50)
	for i := range names {
		names[i] = fmt.Sprintf("%c%d", "gh"[i%2], i%20)
	}
	primary := []byte("h3")
	user := &state.User{Name: []byte("alice"), PrimaryGroup: primary}
	memberOf(user, names...)
	var replies []any
	var p Person
	var released []attribute.Released
	var f attribute.Facts
	for _, test := range []struct {
		name string
		run  func()
	}{
		{"client by address", func() { c.ClientFor("radius", v4); c.ClientFor("radius", v6) }},
		{"group", func() { c.Group(primary) }},
		{"user type", func() { c.UserType(nil); c.UserType(primary) }},
		{"person", func() { c.Person(&p, user, 0) }},
		{"replies", func() { replies = p.Replies(replies[:0], c.Client("sp-00001"), nil) }},
		{"session limit", func() { p.SessionLimit(nil) }},
		{"broken group", func() { p.BrokenGroup() }},
		{"release", func() {
			f.Reset()
			f.Subject, f.Principal = attribute.OfUser(user), user.Name
			released = c.Release(released[:0], c.Client("sp-00001"), &f)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run()
			if n := testing.AllocsPerRun(100, test.run); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
	if len(replies) != 20 {
		t.Errorf("%d replies, want 20", len(replies))
	}
}

func TestTheZeroCacheKnowsNobodyAndReleasesNothing(t *testing.T) {
	c, u := new(Cache), new(state.User)
	if cl := c.ClientFor("radius", netip.MustParseAddr("10.0.0.1")); cl != nil {
		t.Errorf("client %v", cl)
	}
	f := attribute.Facts{Subject: attribute.OfUser(u)}
	if got := c.Release(nil, &Client{}, &f); len(got) != 0 {
		t.Errorf("released %v", got)
	}
	if got := personOf(c, u).Replies(nil, &Client{}, nil); len(got) != 0 {
		t.Errorf("replies %v", got)
	}
}

func TestACompilerNeedsAStateAndAWire(t *testing.T) {
	if _, err := NewCompiler(Config{}); err == nil {
		t.Error("made without a state")
	}
	if _, err := NewCompiler(Config{State: newMemory()}); err == nil {
		t.Error("made without a wire")
	}
}

func BenchmarkOneChangeAmong10000(b *testing.B) {
	r := newRig(b)
	r.apply(b, home+network(10_000, "s"))
	docs, err := r.parse(network(1, "t"))
	if err != nil {
		b.Fatal(err)
	}
	r.seal(b, docs)
	for b.Loop() {
		r.state.put(docs)
		r.compiler.compile()
	}
}
