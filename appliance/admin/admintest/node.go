// Package admintest runs the administration of a node that has no log, no listeners for logins and no disk: the real state and
// policy compiler, fed by proposals that are applied at once. It is for tests of the API and of the command line.
package admintest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"trine/appliance/admin"
	"trine/appliance/admin/api"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/message"
	"trine/engine/policy"
	"trine/engine/secret"
	"trine/engine/state"
)

// Node is a node in memory.
type Node struct {
	Views    *state.State
	Keyring  *secret.Keyring
	Policies *policy.Compiler
	Admin    *admin.Server
	// Clock is the time of records; it moves on a millisecond with each, unless Now is set.
	Now func() time.Time
	// CompleteFrom is from which index on no event is missing; 0: from the first.
	CompleteFrom uint64
	// Fail is returned by the next proposals while it is set.
	Fail error
	// Simulated is the last login that was to be tried out; Told is what the next ones get.
	Simulated admin.Simulation
	Told      admin.Simulated
	// Before is called before each proposal of the API that stages something.
	Before func()
	// Hashing is called before a password is turned into its stored form; its error is why that cannot be done.
	Hashing func() error

	stop context.CancelFunc
	done sync.WaitGroup

	mu    sync.Mutex
	grown *sync.Cond
	index uint64
	items []item
}

// item is one event that took effect.
type item struct {
	admin.Item
	class   event.Class
	streams []uint64
}

// Start makes a node and its administration, which answers nothing yet: see [admin.Server.ServeSocket] and
// [admin.Server.Handler].
func Start(logger *slog.Logger) (*Node, error) {
	n := &Node{Views: state.New(), Keyring: secret.NewKeyring(), Now: time.Now}
	n.grown = sync.NewCond(&n.mu)
	if err := n.Keyring.Add(1, secret.NewClusterKey()); err != nil {
		return nil, err
	}
	var err error
	if n.Policies, err = policy.NewCompiler(policy.Config{
		State: n.Views, Wires: map[string]policy.Wire{document.TypeRadius: Wire{}, document.TypeTacacs: tacacsWire{}}, Keyring: n.Keyring, Logger: logger,
	}); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.stop = cancel
	n.done.Go(func() { _ = n.Policies.Run(ctx) }) // ends with ctx
	n.Admin = admin.New(admin.Config{
		State: admin.Views(n.Views), Log: n, Events: n, Policy: n.Policies, Keys: keys{n}, Passwords: Passwords{n}, PasswordsAtOnce: PasswordsAtOnce, Messenger: &Messenger{}, Simulator: n, Keyring: n.Keyring,
		Status: func() api.Status { return api.Status{Node: "test", Version: "test", Ready: true} },
		Ready:  func() error { return nil },
		Metrics: admin.NewMetrics(admin.MetricSources{
			Version: "test", Started: n.Now(), Ready: func() bool { return true }, State: n.Views.Counts, Policy: n.Policies.Stats,
		}),
		Version: "test", Logger: logger, Clock: func() time.Time { return n.Now() },
	})
	return n, nil
}

// Stop ends the node.
func (n *Node) Stop(ctx context.Context) error {
	err := n.Admin.Shutdown(ctx)
	n.stop()
	n.done.Wait()
	return err
}

// Propose implements admin.Log.
func (n *Node) Propose(_ context.Context, proposal []byte) (admin.Outcome, error) {
	if n.Before != nil && stages(proposal) {
		n.Before()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.Fail != nil {
		return admin.Outcome{}, n.Fail
	}
	n.index++
	at := state.Stamp{Index: n.index, Time: n.Now().UTC(), Node: 1}
	r := n.Views.Apply(at, proposal)
	if r.Code == 0 {
		offset := uint32(0)
		state.Facts(proposal, func(class uint8, streams []uint64, data []byte) {
			it := item{class: event.Class(class), streams: slices.Clone(streams)}
			it.Position, it.Time, it.Data = admin.Position{Index: n.index, Offset: offset}, at.Time, bytes.Clone(data)
			n.items = append(n.items, it)
			offset++
		})
		n.grown.Broadcast()
	}
	return admin.Outcome{Index: n.index, Code: r.Code, Value: r.Value, Detail: r.Detail}, nil
}

// stages reports whether a proposal stages a piece of a larger one.
func stages(proposal []byte) bool {
	found := false
	state.Facts(proposal, func(_ uint8, _ []uint64, data []byte) {
		e, err := event.ParseEvent(data)
		found = found || err == nil && e.Type == event.TypeStaged
	})
	return found
}

// Simulate implements admin.Simulator: no engine decides here.
func (n *Node) Simulate(_ context.Context, q admin.Simulation) (admin.Simulated, error) {
	if q.Client == "nowhere" {
		return admin.Simulated{}, fmt.Errorf("%w: there is no such service provider", admin.ErrSimulation)
	}
	n.Simulated = q
	told := n.Told
	if told.Decided == nil {
		at := q.At
		if at.IsZero() {
			at = n.Now()
		}
		told.Decided = &event.Decided{
			Verdict: uint32(event.Reject), Reason: "user.unknown", Protocol: "radius", Client: q.Client, UserName: []byte(q.User), Method: 1,
			AtUnixNano: at.UnixNano(), Steps: []*event.Decided_Step{{Code: 24, Subject: q.User}},
		}
		told.Answer, told.Attributes = "Access-Reject", []api.Attribute{{Name: "Reply-Message", Value: "no"}}
	}
	return told, nil
}

// Record proposes events that no administration proposes, such as decisions.
func (n *Node) Record(b *event.Builder) error {
	out, err := n.Propose(context.Background(), b.Bytes())
	if err == nil && out.Code != 0 {
		err = errors.New(out.Detail)
	}
	return err
}

// Read implements admin.Events.
func (n *Node) Read(_ context.Context, q admin.EventQuery) iter.Seq2[admin.Item, error] {
	return func(yield func(admin.Item, error) bool) {
		n.mu.Lock()
		items := slices.Clone(n.items)
		n.mu.Unlock()
		if q.Reverse {
			slices.Reverse(items)
		}
		for i := range items {
			if selects(&q, &items[i]) && !yield(items[i].Item, nil) {
				return
			}
		}
	}
}

// Follow implements admin.Events.
func (n *Node) Follow(ctx context.Context, q admin.EventQuery) iter.Seq2[admin.Item, error] {
	return func(yield func(admin.Item, error) bool) {
		wake := context.AfterFunc(ctx, func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.grown.Broadcast()
		})
		defer wake()
		for next := 0; ; next++ {
			n.mu.Lock()
			for next >= len(n.items) && ctx.Err() == nil {
				n.grown.Wait()
			}
			if ctx.Err() != nil {
				n.mu.Unlock()
				return
			}
			it := n.items[next]
			n.mu.Unlock()
			if selects(&q, &it) && !yield(it.Item, nil) {
				return
			}
		}
	}
}

// Complete implements admin.Events.
func (n *Node) Complete() uint64 { return n.CompleteFrom }

// Last implements admin.Events.
func (n *Node) Last() admin.Position {
	n.mu.Lock()
	defer n.mu.Unlock()
	return admin.Position{Index: n.index + 1}
}

func selects(q *admin.EventQuery, it *item) bool {
	before := it.Position.Index < q.From.Index || it.Position.Index == q.From.Index && it.Position.Offset < q.From.Offset
	switch {
	case len(q.Classes) > 0 && !slices.Contains(q.Classes, it.class),
		q.Stream != 0 && !slices.Contains(it.streams, q.Stream),
		!q.Since.IsZero() && it.Time.Before(q.Since),
		!q.Until.IsZero() && !it.Time.Before(q.Until):
		return false
	case q.Reverse:
		return q.From == (admin.Position{}) || before || it.Position == q.From
	}
	return !before
}

// keys makes keys that sign nothing, with the terms that an engine gives them.
type keys struct{ node *Node }

// keyOverlap is how long a key is published before it signs.
const keyOverlap = time.Hour

// Rotate implements admin.Keys.
func (k keys) Rotate(ctx context.Context, issuer string, algorithms []string, atOnce bool, by string) error {
	has, _ := k.node.Views.SigningKeys(issuer)
	if len(algorithms) == 0 {
		algorithms = []string{"ES256", "RS256"}
	}
	m := &event.SigningKeysMade{IdentityProvider: issuer, Serial: has.Serial, By: by}
	now := k.node.Now()
	for _, a := range algorithms {
		one := &event.SigningKeysMade_Key{
			Id: fmt.Sprintf("%s-%d", a, has.Serial+1), Algorithm: a, Private: []byte("sealed"), Public: []byte("public"), ActiveUnix: now.Add(keyOverlap).Unix(), FormerUnix: now.Add(26 * time.Hour).Unix(),
		}
		if atOnce || len(has.Keys) == 0 {
			one.ActiveUnix, one.FormerUnix = now.Unix(), 0
		}
		m.Keys = append(m.Keys, one)
	}
	var b event.Builder
	if err := b.Add(event.TypeSigningKeysMade, event.ClassSystem, nil, m); err != nil {
		return err
	}
	out, err := k.node.Propose(ctx, b.Bytes())
	if err == nil && out.Code != 0 {
		err = errors.New(out.Detail)
	}
	return err
}

// Granted records that a user lets a service provider have something by a grant of that number, and has consented to it.
func (n *Node) Granted(number uint64, user, client string) error {
	now := n.Now()
	hash := sha256.Sum256([]byte(client))
	var b event.Builder
	err := errors.Join(
		b.Add(event.TypeGrantStarted, event.ClassSession, nil, &event.GrantStarted{
			Grant: number, User: user, Client: client, IdentityProvider: "home", Scopes: []string{"openid", "email"}, NotAfterUnix: now.Add(time.Hour).Unix(), Refresh: hash[:],
			Factors: 2, AuthenticatedUnix: now.Unix(), Login: 5,
		}),
		b.Add(event.TypeConsentGiven, event.ClassIdentity, nil, &event.ConsentGiven{User: user, Client: client, Scopes: []string{"openid", "email"}, IdentityProvider: "home", Login: 5}),
	)
	if err != nil {
		return err
	}
	return n.Record(&b)
}

// Passwords keeps a plain hash of passwords, which no node does: making it costs nothing.
type Passwords struct{ node *Node }

// PasswordsAtOnce is how many passwords of a request the node hashes at a time.
const PasswordsAtOnce = 4

// Build implements admin.Passwords.
func (p Passwords) Build(_ context.Context, user string, password []byte, _ *document.UserType) (*event.PasswordSet, error) {
	if p.node.Hashing != nil {
		if err := p.node.Hashing(); err != nil {
			return nil, err
		}
	}
	sum := sha256.Sum256(password)
	return &event.PasswordSet{User: user, Argon2Id: sum[:]}, nil
}

// Import implements admin.Passwords.
func (Passwords) Import(user, hash string, _ *document.UserType) (*event.PasswordSet, error) {
	return &event.PasswordSet{User: user, Imported: []byte(hash)}, nil
}

// Imported implements admin.Passwords.
func (Passwords) Imported(stored admin.StoredPassword, hash string, _ *document.UserType) bool {
	return string(stored.Import) == hash
}

// Verify implements admin.Passwords.
func (Passwords) Verify(_ context.Context, stored admin.StoredPassword, password []byte) (bool, error) {
	sum := sha256.Sum256(password)
	return bytes.Equal(sum[:], stored.Argon2id), nil
}

// Messenger delivers nothing: it takes messages, but for those to "limited@...", and refuses those to "nobody@...".
type Messenger struct{}

// Check implements message.Messenger.
func (*Messenger) Check(m *message.Message) error {
	if bytes.HasPrefix([]byte(m.To), []byte("limited@")) {
		return message.ErrLimited
	}
	return nil
}

// Submit implements message.Messenger.
func (n *Messenger) Submit(m *message.Message) error {
	if err := n.Check(m); err != nil {
		return err
	}
	m.Gateway, m.Attempts = m.Channel.String(), 1
	if bytes.HasPrefix([]byte(m.To), []byte("nobody@")) {
		m.Err = message.ErrRefused
	}
	go m.Done.Delivered(m)
	return nil
}

// Wire compiles nothing. A reply line that holds "broken" is refused.
type Wire struct{}

// tacacsWire is TACACS+ without its codec.
type tacacsWire struct{ policy.Arguments }

// Client implements policy.Wire.
func (tacacsWire) Client(*document.ServiceProvider) (any, error) { return struct{}{}, nil }

// Client implements policy.Wire.
func (Wire) Client(*document.ServiceProvider) (any, error) { return struct{}{}, nil }

// Reply implements policy.Wire.
func (Wire) Reply(lines []string) (any, error) {
	for _, line := range lines {
		if bytes.Contains([]byte(line), []byte("broken")) {
			return nil, errors.New("there is no attribute named Broken")
		}
	}
	return lines, nil
}

// Asked implements policy.Wire.
func (Wire) Asked(name, value string) (any, string, error) { return name, value, nil }

// Attribute implements policy.Wire.
func (Wire) Attribute(id string) (any, error) { return id, nil }
