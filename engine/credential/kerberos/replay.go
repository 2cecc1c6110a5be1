package kerberos

import (
	"errors"
	"sync"
	"time"
)

// errReplayFull means that no more authenticators can be remembered.
var errReplayFull = errors.New("as many tickets were accepted in the last minutes as can be remembered")

// replays remembers which authenticators were accepted, as long as they could be accepted again.
type replays struct {
	limit int

	mu    sync.Mutex
	seen  map[[32]byte]time.Time // until when each must be remembered
	sweep int                    // at how many to look for what is over
	past  time.Time              // what was over at this time is forgotten
}

// leastSweep is the number of entries below which nothing is looked for.
const leastSweep = 1024

// add remembers an authenticator; false if it is there already, or may have been: where the clock was set back behind what is forgotten.
func (r *replays) add(key [32]byte, until, at time.Time) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, seen := r.seen[key]; seen || until.Before(r.past) {
		return false, nil
	}
	if len(r.seen) >= min(max(r.sweep, leastSweep), r.limit) {
		for k, over := range r.seen {
			if over.Before(at) {
				delete(r.seen, k)
			}
		}
		if at.After(r.past) {
			r.past = at
		}
		r.sweep = 2 * len(r.seen)
		if len(r.seen) >= r.limit {
			return false, errReplayFull
		}
	}
	r.seen[key] = until
	return true, nil
}
