// Package enginetest has the real engine over real state and policies for the tests of protocols, with a log in memory that commits
// at once.
package enginetest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"trine/engine"
	"trine/engine/credential"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/policy"
	"trine/engine/secret"
	"trine/engine/state"
)

// House is an engine with all that it needs.
type House struct {
	Engine   *engine.Engine
	People   *state.State
	Policies *policy.Compiler
	Keys     *secret.Keyring
	Verifier *credential.Verifier // that is used unless the configuration was changed

	t      testing.TB
	mu     sync.Mutex
	index  uint64
	latest time.Time // of a record
	clock  func() time.Time
	hold   bool // proposals are not committed
	held   []func()
	seen   func(proposal []byte)
	void   bool // proposals do not take effect
}

// New returns a house with documents, whose clock is given; nil: time.Now. Change may change the engine's configuration.
func New(t testing.TB, wires map[string]policy.Wire, documents string, clock func() time.Time, change ...func(*engine.Config)) *House {
	t.Helper()
	if clock == nil {
		clock = time.Now
	}
	h := &House{t: t, People: state.New(), Keys: secret.NewKeyring(), clock: clock}
	if err := h.Keys.Add(1, secret.NewClusterKey()); err != nil {
		t.Fatal(err)
	}
	h.Put(documents)
	var err error
	h.Policies, err = policy.NewCompiler(policy.Config{State: h.People, Wires: wires, Keyring: h.Keys})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	go func() { _ = h.Policies.Run(ctx) }()
	if h.Verifier, err = credential.New(credential.Config{Keyring: h.Keys, Hasher: noHasher{}}); err != nil {
		t.Fatal(err)
	}
	config := engine.Config{People: h.People, Policies: h.Policies.Holder(), Log: h, Verifier: h.Verifier, Keyring: h.Keys, Clock: clock}
	for _, c := range change {
		c(&config)
	}
	h.Engine = engine.New(config)
	return h
}

// noHasher refuses slow work: nobody here keeps Argon2id.
type noHasher struct{}

// Submit implements credential.Hasher.
func (noHasher) Submit(*credential.Job) error { return credential.ErrQueueFull }

// Proposer implements engine.Log.
func (h *House) Proposer(c engine.Completion) engine.Proposer { return proposer{h, c} }

// HasLeader implements engine.Log.
func (h *House) HasLeader() bool { return true }

type proposer struct {
	h *House
	c engine.Completion
}

// Propose implements engine.Proposer.
func (p proposer) Propose(proposal []byte, token uint64) error {
	h := p.h
	h.mu.Lock()
	if h.seen != nil {
		h.seen(proposal)
	}
	if h.hold {
		text := append([]byte(nil), proposal...)
		h.held = append(h.held, func() { p.commit(text, token) })
		h.mu.Unlock()
		return nil
	}
	h.mu.Unlock()
	p.commit(proposal, token)
	return nil
}

func (p proposer) commit(proposal []byte, token uint64) {
	h := p.h
	h.mu.Lock()
	r, index := state.Result{}, h.index
	if !h.void {
		r, index = h.apply(proposal), h.index
	}
	h.mu.Unlock()
	p.c.Committed(token, engine.Outcome{Index: index, Code: r.Code, Value: r.Value, Detail: r.Detail})
}

func (h *House) apply(proposal []byte) state.Result {
	h.index++
	if now := h.clock(); now.After(h.latest) { // record time never goes backwards
		h.latest = now
	}
	return h.People.Apply(state.Stamp{Index: h.index, Time: h.latest, Node: 1}, proposal)
}

// Hold keeps proposals from being committed until Release.
func (h *House) Hold() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hold = true
}

// Release commits what was held, and what comes from now on. It returns how many proposals were held.
func (h *House) Release() int {
	h.mu.Lock()
	h.hold = false
	held := h.held
	h.held = nil
	h.mu.Unlock()
	for _, commit := range held {
		commit()
	}
	return len(held)
}

// Void makes proposals commit without taking effect, for tests that count allocations.
func (h *House) Void() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.void = true
}

// Watch calls f with each proposal, which it must not keep, one at a time.
func (h *House) Watch(f func(proposal []byte)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = f
}

// Put applies documents with what they bring that is not there yet, and waits until they are in force.
func (h *House) Put(text string) {
	h.t.Helper()
	docs, err := document.Parse("test.yaml", strings.NewReader(text))
	if err != nil {
		h.t.Fatal(err)
	}
	given := map[string]bool{}
	for _, d := range docs {
		given[d.Kind+"/"+d.Name] = true
	}
	for _, d := range docs {
		for _, b := range d.Brings() {
			key := b.Kind + "/" + b.Name
			if _, present := h.People.Document(b.Kind, b.Name); !present && !given[key] {
				given[key] = true
				docs = append(docs, b)
			}
		}
	}
	var b event.Builder
	for _, d := range docs {
		d.EachSecret(func(_ string, s *secret.Text) {
			if *s, err = s.Seal(h.Keys, d.SecretContext()); err != nil {
				h.t.Fatal(err)
			}
		})
		spec, err := d.Stored()
		if err != nil {
			h.t.Fatal(err)
		}
		put := &event.DocumentPut{Kind: d.Kind, Name: d.Name, Spec: spec, Refs: d.Refs(), Claims: d.Claims()}
		if err := b.Add(event.TypeDocumentPut, event.ClassOf(d.Kind), nil, put); err != nil {
			h.t.Fatal(err)
		}
	}
	index := h.commit(b.Bytes())
	if h.Policies != nil {
		if err := h.Policies.WaitPublished(context.Background(), index); err != nil {
			h.t.Fatal(err)
		}
	}
}

// Commit commits a proposal and applies it.
func (h *House) Commit(proposal []byte) state.Result {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.apply(proposal)
}

// commit is Commit for a proposal that must take effect; it returns the log index.
func (h *House) commit(proposal []byte) uint64 {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.apply(proposal); r.Code != 0 {
		h.t.Fatalf("void: %s", r.Detail)
	}
	return h.index
}

// Ahead has the time of the log be ahead of the clock, as after a leader's clock had jumped.
func (h *House) Ahead(by time.Duration) {
	h.mu.Lock()
	h.latest = h.clock().Add(by)
	h.mu.Unlock()
	h.Put("{kind: Group, name: later}")
}

// Latest returns the time of the latest record.
func (h *House) Latest() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.latest
}

// Password gives a user a password, kept in every form that is verified at once.
func (h *House) Password(user, password string) {
	h.t.Helper()
	h.setPassword(user, password, false)
}

// PasswordToChange gives a user a password that he has to change when he logs in.
func (h *House) PasswordToChange(user, password string) {
	h.t.Helper()
	h.setPassword(user, password, true)
}

func (h *House) setPassword(user, password string, mustChange bool) {
	h.t.Helper()
	set, err := credential.BuildForms(context.Background(), user, []byte(password), credential.Keep{Keyed: true, NT: true, Clear: true}, credential.Params{}, h.Keys, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	set.MustChange = mustChange
	var b event.Builder
	if err := b.Add(event.TypePasswordSet, event.ClassIdentity, nil, set); err != nil {
		h.t.Fatal(err)
	}
	h.commit(b.Bytes())
}
