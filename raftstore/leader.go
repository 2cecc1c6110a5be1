package raftstore

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// leading tells who asks whether this node leads.
type leading struct {
	mu    sync.Mutex
	now   bool
	moved chan struct{} // closed at the next change
	subs  []chan bool
}

func newLeading() *leading { return &leading{moved: make(chan struct{})} }

func (l *leading) set(now bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = now
	close(l.moved)
	l.moved = make(chan struct{})
	for _, c := range l.subs {
		// Only the newest state matters.
		select {
		case <-c:
		default:
		}
		c <- now
	}
}

// move says that another node leads, or that none does.
func (l *leading) move() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.moved)
	l.moved = make(chan struct{})
}

// changed returns a channel that is closed when another node leads, or none.
func (l *leading) changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.moved
}

func (l *leading) subscribe() <-chan bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := make(chan bool, 1)
	c <- l.now
	l.subs = append(l.subs, c)
	return c
}

// LeaderChanges returns a channel of its own for each caller that says whether this node leads, now and at each change. A
// reader that is late sees only the newest. It is never closed.
func (s *Store) LeaderChanges() <-chan bool { return s.leading.subscribe() }

// sawHeartbeat says, once, that a member is away or back, as raft observes it. It reports false for what is no such observation.
func (s *Store) sawHeartbeat(o any, away map[raft.ServerID]bool) bool {
	switch o := o.(type) {
	case raft.FailedHeartbeatObservation:
		if !away[o.PeerID] {
			away[o.PeerID] = true
			s.cfg.Logger.Warn("a node is away", "node", o.PeerID, "last_contact", o.LastContact)
		}
	case raft.ResumedHeartbeatObservation:
		if away[o.PeerID] {
			delete(away, o.PeerID)
			s.cfg.Logger.Info("a node is back", "node", o.PeerID)
		}
	default:
		return false
	}
	return true
}

func (s *Store) watchLeader() {
	away := map[raft.ServerID]bool{}
	for {
		select {
		case now := <-s.notify:
			s.stats.leaderChanges.Add(1)
			s.leading.set(now)
			s.batcher.poke()
		case o := <-s.observed:
			if s.sawHeartbeat(o.Data, away) {
				continue
			}
			if leader, ok := s.leader(); ok && s.peers != nil {
				s.peers.keep(leader) // what others were asked to append is asked again
			}
			s.leading.move()
			s.batcher.poke()
		case <-s.closed:
			return
		}
	}
}

// handOver gives leadership to another voter, if there is one, and waits until that has been done or failed.
func (s *Store) handOver(ctx context.Context) {
	if !s.IsLeader() {
		return
	}
	others := slices.ContainsFunc(s.Members(), func(m Member) bool { return m.Voter && m.Node != s.node })
	if !others {
		return
	}
	done := make(chan error, 1)
	go func() { done <- s.raft.LeadershipTransfer().Error() }()
	select {
	case err := <-done:
		if err != nil {
			s.cfg.Logger.Warn("leadership stays here", "error", err)
		}
	case <-ctx.Done():
	}
}

// giveUpLead hands leadership over, and does not wait.
func (s *Store) giveUpLead() {
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), leaderWait)
		defer cancel()
		s.handOver(ctx)
	}()
}

// Jumps of the clock that are more than correction of drift.
const (
	behindLimit = 5 * time.Second
	aheadLimit  = time.Minute
)

// clockWatch makes record times that do not go back, and notices when the clock jumps. One goroutine uses it.
type clockWatch struct {
	wall, mono time.Time
	stamped    int64
	behind     bool
}

// now returns the time to stamp, Unix nanoseconds, and what is wrong with the clock, once for each time that it goes wrong.
// Last is the time of the last applied entry.
func (c *clockWatch) now(wall time.Time, last int64) (stamp int64, stepped string) {
	mono := time.Now()
	last = max(last, c.stamped)
	behind := time.Duration(last - wall.UnixNano())
	switch {
	case behind > behindLimit:
		if !c.behind {
			stepped = fmt.Sprintf("%s behind the last record", behind.Round(time.Millisecond))
		}
		c.behind = true
	default:
		c.behind = false
		if !c.wall.IsZero() {
			if jump := wall.Round(0).Sub(c.wall.Round(0)) - mono.Sub(c.mono); jump > aheadLimit {
				stepped = fmt.Sprintf("%s ahead", jump.Round(time.Millisecond))
			}
		}
	}
	c.wall, c.mono = wall, mono
	c.stamped = max(last, wall.UnixNano())
	return c.stamped, stepped
}
