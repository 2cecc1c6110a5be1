package raftstore

import (
	"fmt"
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

func (s *Store) watchLeader() {
	for {
		select {
		case now := <-s.notify:
			s.stats.leaderChanges.Add(1)
			s.leading.set(now)
			s.batcher.poke()
		case <-s.closed:
			return
		}
	}
}

// handOver asks raft to give leadership to another voter, if there is one.
func (s *Store) handOver() {
	if !s.IsLeader() {
		return
	}
	members := s.raft.GetConfiguration()
	if members.Error() != nil {
		return
	}
	for _, m := range members.Configuration().Servers {
		if m.Suffrage == raft.Voter && m.ID != serverID(s.node) {
			go func() {
				if err := s.raft.LeadershipTransfer().Error(); err != nil {
					s.cfg.Logger.Warn("leadership stays here", "error", err)
				}
			}()
			return
		}
	}
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
