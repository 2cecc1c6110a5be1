package node

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/protobuf/proto"

	"trine/engine"
	"trine/engine/event"
	"trine/engine/state"
	"trine/raftstore"
)

// Whoever looks at a session refuses one that is past its term, so sweeping only frees memory and tells history.
const (
	sweepEvery     = 5 * time.Second
	sweepBatch     = 512
	tombstoneAge   = 24 * time.Hour
	tombstoneEvery = 10 * time.Minute
	ssoEvery       = time.Minute // it looks at every session of single sign-on and every grant
	grantBatch     = 4096
)

// sweeper proposes the end of what is past its term. Only the leader's sweeper does.
type sweeper struct {
	views  *state.State
	store  *raftstore.Store
	engine *engine.Engine
	clock  func() time.Time
	logger *slog.Logger
}

func (s *sweeper) run(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	swept, looked := s.clock(), s.clock()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !s.store.IsLeader() {
			continue
		}
		now := s.clock()
		s.sweep(ctx, now)
		if now.Sub(looked) >= ssoEvery {
			looked = now
			s.sweepSSO(ctx, now)
			s.sweepGrants(ctx, now)
			s.rotateKeys(ctx, now)
		}
		if now.Sub(swept) >= tombstoneEvery && s.remembers() {
			swept = now
			s.propose(ctx, event.TypeTombstonesSwept, &event.TombstonesSwept{BeforeUnix: now.Add(-tombstoneAge).Unix()})
		}
	}
}

// remembers reports whether there is anything that a sweep could forget.
func (s *sweeper) remembers() bool {
	c := s.views.Counts()
	return c.Tombstones+c.Reservations+c.Consumed+c.Stages+c.Failures+c.Pushes+c.SSO+c.Trusted > 0
}

// sweep ends stale sessions, a batch at a time. Apply ends only those that are stale by the record's own time.
func (s *sweeper) sweep(ctx context.Context, now time.Time) {
	for ctx.Err() == nil {
		stale := s.views.StaleSessions(now, sweepBatch)
		if len(stale) == 0 {
			return
		}
		if !s.propose(ctx, event.TypeSessionsExpired, &event.SessionsExpired{Sessions: stale, SeenBeforeUnix: now.Unix()}) {
			return
		}
	}
}

// sweepSSO ends sessions of single sign-on that are over, a batch at a time. Apply ends only those that are by the record's own time.
func (s *sweeper) sweepSSO(ctx context.Context, now time.Time) {
	for ctx.Err() == nil {
		over := s.views.OverSSO(now.Unix(), sweepBatch)
		if len(over) == 0 {
			return
		}
		if !s.propose(ctx, event.TypeSSOEnded, &event.SsoEnded{Sessions: over, Cause: uint32(event.SSOExpired)}) {
			return
		}
		if len(over) < sweepBatch {
			return
		}
	}
}

// sweepGrants has grants, tokens, consents and keys forgotten that are over, a batch at a time. Apply forgets only those that are by the record's own time.
func (s *sweeper) sweepGrants(ctx context.Context, now time.Time) {
	for ctx.Err() == nil {
		over := s.views.Over(now.Unix(), grantBatch)
		if over == nil || !s.propose(ctx, event.TypeGrantsSwept, over) {
			return
		}
		if len(over.Grants)+len(over.Tokens)+len(over.Consents)+len(over.Voided)+len(over.Keys) < grantBatch {
			return
		}
	}
}

// rotateKeys gives identity providers new keys whose keys are older than their profile says.
func (s *sweeper) rotateKeys(ctx context.Context, now time.Time) {
	for _, keys := range s.views.AllSigningKeys() {
		due := s.engine.KeysDue(&keys, now)
		if len(due) == 0 {
			continue
		}
		if ctx.Err() != nil {
			return
		}
		if _, err := s.engine.RotateKeys(ctx, &engine.Rotation{Issuer: keys.Issuer, Algorithms: due}); err != nil {
			s.logger.Warn("the signing keys of an identity provider are due for new ones, which could not be made; the present ones sign on", "identityProvider", keys.Issuer, "error", err)
			continue
		}
		s.logger.Info("an identity provider has new signing keys, as those before them have become old", "identityProvider", keys.Issuer, "algorithms", due, "signFrom", now.Add(engine.KeyOverlap).UTC())
	}
}

func (s *sweeper) propose(ctx context.Context, t event.Type, body proto.Message) bool {
	var b event.Builder
	err := b.Add(t, event.ClassSession, nil, body)
	if err == nil {
		_, err = propose(ctx, s.store, b.Bytes())
	}
	if err != nil {
		if ctx.Err() == nil {
			s.logger.Warn("what is past its term could not be swept; it does not count all the same", "error", err)
		}
		return false
	}
	return true
}
