package delivery

import (
	"hash/maphash"
	"sync"
	"time"

	"trine/engine/document"
)

// maxRecipients bounds the recipients that are remembered. Where as many were sent messages lately, new ones have to wait.
const maxRecipients = 1 << 16

// limiter holds to the limits of one channel. Each recipient has a bucket of tokens, and so have all together; a message takes one of
// each. A bucket is kept as the time at which it will be full again (the generic cell rate algorithm), so a full one needs no memory.
type limiter struct {
	seed maphash.Seed

	mu    sync.Mutex
	total time.Time
	full  map[uint64]time.Time // by recipient
	swept time.Time
}

func newLimiter() *limiter {
	return &limiter{seed: maphash.MakeSeed(), full: map[uint64]time.Time{}}
}

// limited says which limit a message ran into.
type limited uint8

const (
	unlimited   limited = iota
	byRecipient         // this one was sent too many
	byTotal             // all together were
)

// take takes the tokens of one message to a recipient, or none and says why.
func (l *limiter) take(recipient string, limits *document.MessageLimits, now time.Time) limited {
	return l.ask(recipient, limits, now, true)
}

// look says what take would, and takes nothing.
func (l *limiter) look(recipient string, limits *document.MessageLimits, now time.Time) limited {
	return l.ask(recipient, limits, now, false)
}

func (l *limiter) ask(recipient string, limits *document.MessageLimits, now time.Time, taking bool) limited {
	key := maphash.String(l.seed, recipient)
	l.mu.Lock()
	defer l.mu.Unlock()
	one, ok := fill(l.full[key], now, limits.RecipientEvery, limits.RecipientBurst)
	if !ok {
		return byRecipient
	}
	all, ok := fill(l.total, now, time.Minute/time.Duration(limits.TotalPerMinute), limits.TotalPerMinute)
	if !ok {
		return byTotal
	}
	if _, known := l.full[key]; !known && len(l.full) >= maxRecipients && !l.sweep(now) {
		return byTotal
	}
	if taking {
		l.full[key], l.total = one, all
	}
	return unlimited
}

// fill returns when a bucket will be full again after one more token was taken out of it; false if it is empty.
func fill(full, now time.Time, every time.Duration, burst int) (time.Time, bool) {
	if full.Before(now) {
		full = now
	}
	full = full.Add(every)
	return full, full.Sub(now) <= every*time.Duration(burst)
}

// sweepEvery is how often full buckets are looked for at most; looking takes about a millisecond.
const sweepEvery = time.Second

// sweep forgets the buckets that are full again, and reports whether there were any.
func (l *limiter) sweep(now time.Time) bool {
	if now.Sub(l.swept) < sweepEvery {
		return false
	}
	l.swept = now
	before := len(l.full)
	for key, at := range l.full {
		if !at.After(now) {
			delete(l.full, key)
		}
	}
	return len(l.full) < before
}
