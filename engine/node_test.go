package engine

import (
	"trine/engine/credential"
	"trine/engine/document"
	"trine/engine/login"
	"trine/engine/policy"
	"trine/engine/state"
)

// node returns a browser of the same person at another node of the cluster: what it knows came over the log, and the key of the cluster is all that it shares.
func (b *browser) node(people *state.State) *browser {
	b.t.Helper()
	compiler, err := policy.NewCompiler(policy.Config{
		State: people, Wires: map[string]policy.Wire{document.TypeRadius: fakeWire{}, document.TypeTacacs: tacacsWire{}}, Keyring: b.ring, Clock: b.clock.Now,
		Revoked: login.NewRevoked(nil),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	verifier, err := credential.New(credential.Config{Keyring: b.ring, Hasher: b.bench, Clock: b.clock.Now, CacheSize: 1024, Params: cheap()})
	if err != nil {
		b.t.Fatal(err)
	}
	r := *b.rig
	r.people, r.compiler, r.verifier = people, compiler, verifier
	r.engine = New(Config{People: people, Policies: compiler.Holder(), Log: b.log, Verifier: verifier, Clock: b.clock.Now, Keyring: b.ring})
	r.lane = r.engine.NewLane()
	return &browser{rig: &r, session: b.session, trusted: b.trusted, state: b.state}
}
