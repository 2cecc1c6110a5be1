package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"trine/engine/credential"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/state"
	"trine/engine/trace"
)

const (
	// maxRehashes bounds the passwords that are being re-hashed or wait for it.
	maxRehashes = 256
	// rehashTime bounds how long the forms of one password may take.
	rehashTime = 30 * time.Second
	// rehashedBy stands in the record in place of who changed the password.
	rehashedBy = "first login"
)

// rehashes are imported passwords that were seen in a good login and are to be kept in the forms of their user types from then on.
type rehashes struct {
	engine *Engine
	to     Proposer
	queue  chan rehash // has room for all users of the set, so that putting one there never waits

	mu    sync.Mutex
	users map[uint64]struct{} // ids: those in the queue, and that whose record is under way

	done, failed atomic.Uint64
}

// rehash is one of them. The password is its own copy.
type rehash struct {
	name     string
	id       uint64
	version  uint64 // of the password that was verified
	document uint64 // version of the user's document, which says which forms to keep
	password []byte
	keep     credential.Keep
	params   credential.Params
}

func newRehashes(e *Engine) *rehashes {
	h := &rehashes{engine: e, queue: make(chan rehash, maxRehashes), users: map[uint64]struct{}{}}
	h.to = e.config.Log.Proposer(h)
	return h
}

// offer has a password re-hashed that was imported and is now known to be right. The login does not wait for it, and nothing is lost if
// it cannot be done now: as long as the imported hash is there, every good login tries.
func (h *rehashes) offer(r *Request, outcome credential.Outcome) {
	if len(r.user.Imported) == 0 || !r.Proof.Method.Clear() || outcome.Assumed || !h.engine.config.Log.HasLeader() {
		return
	}
	if !h.enter(r.user.ID) {
		r.trace.AddName(trace.RehashPutOff, r.user.Name, "")
		return
	}
	item := rehash{name: string(r.user.Name), id: r.user.ID, version: r.user.CredentialVersion, document: r.user.Version}
	item.password = append([]byte(nil), r.Proof.Password...)
	item.keep, item.params = KeepOf(nil)
	if t := r.Cache.UserType(r.user.UserType); t != nil {
		item.keep, item.params = KeepOf(t.Spec)
	}
	h.queue <- item
	r.trace.AddName(trace.RehashBegun, r.user.Name, "")
}

// enter takes a place for a user, unless he has one or there is none.
func (h *rehashes) enter(id uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, already := h.users[id]; already || len(h.users) >= maxRehashes {
		return false
	}
	h.users[id] = struct{}{}
	return true
}

func (h *rehashes) leave(id uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.users, id)
}

// Rehash replaces imported passwords by the forms that user types keep, one at a time, as logins show them, until ctx ends. The node runs it
// beside its loops; the hashing itself is the worker's.
func (e *Engine) Rehash(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case item := <-e.rehashes.queue:
			e.rehashes.do(ctx, item)
		}
	}
}

// do makes the forms and proposes them. A password that was changed meanwhile stays as it was changed: the proposal expects the version that
// was verified, and the user's document as it said which forms to keep.
func (h *rehashes) do(ctx context.Context, item rehash) {
	defer clear(item.password)
	var user state.User
	known := h.engine.config.People.User(&user, []byte(item.name))
	if !known || user.ID != item.id || user.CredentialVersion != item.version || user.Version != item.document {
		h.leave(item.id)
		return
	}
	set, err := h.forms(ctx, item)
	if err == nil {
		set.MustChange, set.SamePassword, set.By = user.MustChange, true, rehashedBy
		err = h.propose(set, &user)
	}
	if err != nil {
		h.leave(item.id)
		h.failed.Add(1)
		if ctx.Err() == nil && !errors.Is(err, credential.ErrQueueFull) { // logins come first, and the next one tries again
			h.engine.config.Logger.Warn("an imported password could not be re-hashed; the next login tries again", "user", item.name, "error", err)
		}
	}
}

// forms makes the forms that are kept. A password that has no NT hash is kept in the others.
func (h *rehashes) forms(ctx context.Context, item rehash) (*event.PasswordSet, error) {
	ctx, cancel := context.WithTimeout(ctx, rehashTime)
	defer cancel()
	set, err := h.engine.config.Verifier.BuildForms(ctx, item.name, item.password, item.keep, item.params)
	if errors.Is(err, credential.ErrPasswordText) && (item.keep.Argon2id || item.keep.Keyed || item.keep.Clear) {
		item.keep.NT = false
		set, err = h.engine.config.Verifier.BuildForms(ctx, item.name, item.password, item.keep, item.params)
	}
	return set, err
}

func (h *rehashes) propose(set *event.PasswordSet, user *state.User) error {
	var b event.Builder
	b.Expect(event.Expectation_CREDENTIAL, set.User, user.CredentialVersion)
	b.Expect(event.Expectation_VERSION, event.Key(document.KindUser, set.User), user.Version)
	streams := []uint64{
		event.StreamKey(event.StreamDocument, event.Key(document.KindUser, set.User)),
		event.StreamKey(event.StreamUser, event.FoldName(set.User)),
	}
	if err := b.Add(event.TypePasswordSet, event.ClassIdentity, streams, set); err != nil {
		return fmt.Errorf("record the password: %w", err)
	}
	if err := h.to.Propose(b.Bytes(), user.ID); err != nil {
		return fmt.Errorf("record the password: %w", err)
	}
	return nil
}

// Committed implements Completion. A proposal that was void met a change of the password or the user, which counts for more.
func (h *rehashes) Committed(id uint64, o Outcome) {
	h.leave(id)
	switch o.failure() {
	case nil:
		h.done.Add(1)
	case ErrRefused:
	default:
		h.failed.Add(1)
	}
}
