package engine

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"trine/engine/document"
	"trine/engine/state"
)

// guesses counts wrong guesses on this node alone, before the log has them. A failure takes a moment to be applied, and everything that
// comes in that moment would be verified although the name is about to be locked; without a leader, or while the log's time stands
// ahead of this node's clock, locks cannot be told at all. So by itself the node holds a name back for a moment once it has seen as many failures as lock;
// and for as long as a lock would last where the log does not say.
//
// It is a table of slots without chains: names that meet in one displace each other, so what it holds back can be too little,
// and practically never too much.
type guesses struct {
	made  time.Time
	seed  uint64 // so that nobody can choose names that meet
	slots [guessSlots]atomic.Uint64
}

func newGuesses(now time.Time) *guesses { return &guesses{made: now, seed: rand.Uint64()} }

// A slot is a tag of the key (24 bits), a count (16 bits) and when the last one came (24 bits of seconds since the engine was made).
const (
	guessSlots   = 1 << 14
	guessTagBits = 24
	guessMost    = 1<<16 - 1
	guessSecond  = 1<<24 - 1
)

// guessHold is how long guesses count by themselves while the log takes records, which is much longer than a record takes.
const guessHold = 2 * time.Second

type guess struct {
	tag, count, at uint64
}

func readGuess(slot uint64) guess {
	return guess{tag: slot >> 40, count: slot >> 24 & guessMost, at: slot & guessSecond}
}

func (g guess) slot() uint64 { return g.tag<<40 | min(g.count, guessMost)<<24 | g.at&guessSecond }

// since returns how long ago the last guess was. Seconds wrap around after 194 days, as if it had been later.
func (g guess) since(now uint64) time.Duration {
	return time.Duration((now-g.at)&guessSecond) * time.Second
}

func (s *guesses) slot(key uint64) (slot *atomic.Uint64, tag uint64) {
	return &s.slots[key%guessSlots], key >> (64 - guessTagBits)
}

// count counts one guess under a key. Those before count no more once there was none for a time.
func (s *guesses) count(key, now uint64, within time.Duration) {
	slot, tag := s.slot(key)
	for {
		old := slot.Load()
		g := readGuess(old)
		if g.tag != tag || g.since(now) > within {
			g = guess{tag: tag}
		}
		g.count, g.at = g.count+1, now
		if slot.CompareAndSwap(old, g.slot()) {
			return
		}
	}
}

// seen returns how many guesses came under a key, and how long ago the last one did.
func (s *guesses) seen(key, now uint64) (count int, since time.Duration) {
	slot, tag := s.slot(key)
	if g := readGuess(slot.Load()); g.tag == tag {
		return int(g.count), g.since(now)
	}
	return 0, 0
}

// forget forgets the guesses under a key.
func (s *guesses) forget(key uint64) {
	slot, tag := s.slot(key)
	if old := slot.Load(); old != 0 && readGuess(old).tag == tag {
		slot.CompareAndSwap(old, 0)
	}
}

// holdsBack reports whether as many guesses came under a key as lock, so that no more are looked at for now.
func (e *Engine) holdsBack(key uint64, limit int, rule *document.Lockout) bool {
	count, since := e.guesses.seen(key, e.uptime())
	return count >= limit && (since <= guessHold || since <= rule.Duration && !e.tellsLocks())
}

// counts counts one guess under a key: beside those that the log does not have yet, or where it records none, beside those of the window.
func (e *Engine) counts(key uint64, rule *document.Lockout) {
	if e.aside {
		return
	}
	within := guessHold
	if !e.tellsLocks() {
		within = rule.Window
	}
	e.guesses.count(key, e.uptime(), within)
}

// tellsLocks reports whether the log records failures now, at times that this node's clock can make sense of.
func (e *Engine) tellsLocks() bool {
	return e.config.Log.HasLeader() && !e.config.People.Time().After(e.clock().Add(state.ClockSkew))
}

// uptime returns the seconds since the engine was made, by the monotonic clock.
func (e *Engine) uptime() uint64 { return uint64(max(e.clock().Sub(e.guesses.made)/time.Second, 0)) }
