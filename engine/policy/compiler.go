package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"trine/engine/document"
	"trine/engine/login"
	"trine/engine/secret"
	"trine/engine/state"
)

// Config is what a Compiler works with.
type Config struct {
	State State
	// Holder is where caches are published; nil: the compiler makes one.
	Holder *Holder
	// Wires compile what only a protocol understands, by the type of service provider, such as "radius".
	Wires map[string]Wire
	// Keyring opens the secrets of service providers before they are handed to Wire.Client.
	Keyring *secret.Keyring
	// Revoked is what the node knows of revoked certificates, and how it learns more; nil: nothing, and it does not.
	Revoked *login.Revoked
	Logger  *slog.Logger     // nil: nothing is logged
	Clock   func() time.Time // nil: time.Now
}

// Compiler keeps the policy cache in step with the documents in state.
//
//  1. NewCompiler compiles all documents and publishes the first cache.
//  2. Run compiles what changes, beside Apply, until its context ends. Changes that come while it works are compiled together.
//  3. WaitPublished lets an administrator's answer wait for the cache that holds his change; Draft says what a change would
//     break before it is proposed.
//
// Its methods may be called from any goroutine.
type Compiler struct {
	state  State
	holder *Holder
	env    environment
	logger *slog.Logger
	clock  func() time.Time

	current atomic.Pointer[model] // what the published cache was compiled from
	wake    chan struct{}         // holds one token while something waits in pending

	pending struct {
		sync.Mutex
		index     uint64
		documents map[state.Key]pendingDocument
	}
	published struct {
		sync.Mutex
		index   uint64
		changed chan struct{} // closed at the next publication
	}
	compiling sync.Mutex // held while a model is made out of the current one and published
	counters  counters
}

// pendingDocument is a document as the last record left it that state told of.
type pendingDocument struct {
	stored state.Document
	exists bool
}

// kinds are the kinds that a cache is compiled from. Users are rows in state, and an entity group is its name.
var kinds = [...]string{
	document.KindIdentityProvider, document.KindServiceProvider, document.KindGroup, document.KindRole, document.KindUserType,
	document.KindInformationSystem, document.KindAttributeDefinition, document.KindAttributePolicy,
}

// NewCompiler compiles the documents in state as they are and publishes the first cache before it returns. It subscribes to
// changes; call Run to have them compiled. Nothing may be applied while it runs.
func NewCompiler(cfg Config) (*Compiler, error) {
	if cfg.State == nil || len(cfg.Wires) == 0 {
		return nil, errors.New("make policy compiler: it needs a state and a wire")
	}
	c := &Compiler{state: cfg.State, holder: cfg.Holder, logger: cfg.Logger, clock: cfg.Clock, wake: make(chan struct{}, 1)}
	c.env = environment{wires: cfg.Wires, keyring: cfg.Keyring, revoked: cfg.Revoked}
	if c.env.revoked == nil {
		c.env.revoked = login.NewRevoked(nil)
	}
	if c.holder == nil {
		c.holder = new(Holder)
	}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	if c.clock == nil {
		c.clock = time.Now
	}
	if c.env.keyring == nil {
		c.env.keyring = secret.NewKeyring()
	}
	c.pending.documents = map[state.Key]pendingDocument{}
	c.published.changed = make(chan struct{})
	c.current.Store(newModel(slices.Sorted(maps.Keys(cfg.Wires))))
	c.state.OnConfig(c.changed)
	c.Recompile()
	return c, nil
}

// Holder returns where the compiler publishes.
func (c *Compiler) Holder() *Holder { return c.holder }

// Run compiles changes until ctx ends, and returns its error.
func (c *Compiler) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.wake:
			c.compile()
		}
	}
}

// Recompile compares every document with what was compiled, as after another state was loaded, compiles anew those that could
// not be compiled, as after a cluster key arrived, and publishes the cache before it returns. What is applied meanwhile may be
// seen half-way, until state has told of it.
func (c *Compiler) Recompile() {
	c.pending.Lock()
	c.pending.index = max(c.pending.index, c.state.ConfigIndex())
	c.pending.Unlock()
	c.compileWith(c.readAll)
}

// changed is told by state, from within Apply, which documents a record changed. It only copies them: here they are as the
// record left them, all of its changes and none of a later one's, and Run compiles them.
func (c *Compiler) changed(index uint64, keys []state.Key) {
	c.pending.Lock()
	c.pending.index = max(c.pending.index, index)
	for _, k := range keys {
		if slices.Contains(kinds[:], k.Kind) {
			stored, ok := c.state.Document(k.Kind, k.Name)
			c.pending.documents[k] = pendingDocument{stored: stored, exists: ok}
		}
	}
	c.pending.Unlock()
	c.signal()
}

func (c *Compiler) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// compile compiles all that waits and publishes the cache.
func (c *Compiler) compile() { c.compileWith(nil) }

// compileWith compiles what a reader returns, or else all that waits, and publishes the cache.
func (c *Compiler) compileWith(read func(old *model) []change) {
	c.compiling.Lock()
	defer c.compiling.Unlock()
	c.pending.Lock()
	index, documents := c.pending.index, c.pending.documents
	c.pending.documents = map[state.Key]pendingDocument{}
	c.pending.Unlock()

	begun := c.clock()
	old := c.current.Load()
	var changes []change
	if read != nil { // what was pending is in it, or in what came since
		changes = read(old)
	} else {
		changes = pendingChanges(old, documents)
	}
	next, w := old.apply(&c.env, changes)
	next.index = max(old.index, index)
	c.current.Store(next)
	c.publish(next, begun, w)
	c.logBroken(next, changes)
}

func (c *Compiler) publish(m *model, begun time.Time, w work) {
	now := c.clock()
	c.holder.current.Store(&Cache{Index: m.index, Built: now, tables: m.tables})
	c.counters.add(w, now.Sub(begun), len(m.broken()))
	c.published.Lock()
	c.published.index = m.index
	close(c.published.changed)
	c.published.changed = make(chan struct{})
	c.published.Unlock()
}

// WaitPublished returns when the published cache contains every change up to a log index that this node has applied, or with an
// error when ctx ends first. A record that changed no configuration makes nobody wait.
func (c *Compiler) WaitPublished(ctx context.Context, index uint64) error {
	index = min(index, c.state.ConfigIndex())
	for {
		c.published.Lock()
		reached, changed := c.published.index >= index, c.published.changed
		c.published.Unlock()
		if reached {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the policy cache at index %d: %w", index, ctx.Err())
		case <-changed:
		}
	}
}

// logBroken names the objects that were just compiled and cannot be used.
func (c *Compiler) logBroken(m *model, changes []change) {
	touched := make(map[state.Key]bool, len(changes))
	for _, ch := range changes {
		touched[state.Key{Kind: ch.kind, Name: ch.name}] = true
	}
	for _, b := range m.broken() {
		if touched[state.Key{Kind: b.Kind, Name: b.Name}] {
			c.logger.Warn("configuration object cannot be used; what it decides is rejected", "kind", b.Kind, "name", b.Name, "error", b.Err)
		}
	}
}

// counters count since the compiler was made.
type counters struct {
	compilations, compiled, relinked atomic.Uint64
	broken, last                     atomic.Int64
}

func (c *counters) add(w work, took time.Duration, broken int) {
	c.compilations.Add(1)
	c.compiled.Add(uint64(w.compiled))
	c.relinked.Add(uint64(w.relinked))
	c.last.Store(int64(took))
	c.broken.Store(int64(broken))
}

// Stats are counts since the compiler was made, and the present state.
type Stats struct {
	Compilations uint64        // caches published
	Compiled     uint64        // documents compiled
	Relinked     uint64        // objects copied because one that they point to was compiled
	Broken       int           // objects that cannot be used now
	Last         time.Duration // how long the last compilation took
	Index        uint64        // log index of the last change that the published cache contains
}

// Stats returns the counts.
func (c *Compiler) Stats() Stats {
	return Stats{
		Compilations: c.counters.compilations.Load(), Compiled: c.counters.compiled.Load(), Relinked: c.counters.relinked.Load(),
		Broken: int(c.counters.broken.Load()), Last: time.Duration(c.counters.last.Load()), Index: c.current.Load().index,
	}
}
