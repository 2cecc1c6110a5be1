package credential

import "time"

// Limits bound the slow verifications that one user and one source can cause. Failures are what is limited: each takes a token
// from a bucket that fills up again with time, and an empty bucket lets nothing through. Good passwords take none, so that many people may
// log in at once through one device when the cache is cold. Until an outcome is known, the number under way is limited instead.
type Limits struct {
	UserBurst       int     // failures in a row
	UserPerMinute   float64 // tokens that come back
	UserUnderWay    int     // verifications at once
	SourceBurst     int
	SourcePerMinute float64
	SourceUnderWay  int
}

// DefaultLimits suits a node whose worker does some tens of verifications a second. Whoever does nothing but fail has it work for three
// seconds at first, and then for a tenth of the time; more than 64 at once would be past their deadline before it comes to them.
func DefaultLimits() Limits {
	return Limits{
		UserBurst: 10, UserPerMinute: 6, UserUnderWay: 4,
		SourceBurst: 50, SourcePerMinute: 120, SourceUnderWay: 64,
	}
}

const (
	limitSets = 2048
	limitWays = 8
)

// buckets is a bounded table of token buckets. It is guarded by its owner's lock.
type buckets struct {
	sets      [limitSets][limitWays]bucket
	burst     float32
	perSecond float32
	underWay  uint16
}

type bucket struct {
	key      uint64 // 0: free
	at       int64  // nanoseconds, when tokens was right
	tokens   float32
	underWay uint16
}

// verdicts of enter.
type entry uint8

const (
	entered   entry = iota
	exhausted       // too many failures
	crowded         // too many under way
)

func (b *buckets) init(burst int, perMinute float64, underWay int) {
	b.burst, b.perSecond = float32(burst), float32(perMinute/60)
	b.underWay = uint16(min(max(underWay, 0), 1<<15))
}

// enter lets one verification through, or says why not. One that is let through must leave.
func (b *buckets) enter(key uint64, now time.Time) entry {
	k := b.bucket(key, now)
	switch {
	case k == nil || k.underWay >= b.underWay:
		return crowded
	case k.tokens < 1:
		return exhausted
	}
	k.underWay++
	return entered
}

// leave ends one that was let through, and takes a token if it failed.
func (b *buckets) leave(key uint64, now time.Time, failed bool) {
	k := b.bucket(key, now)
	if k == nil {
		return
	}
	if k.underWay > 0 {
		k.underWay--
	}
	if failed {
		k.tokens = max(k.tokens-1, -b.burst)
	}
}

// spent reports whether a key has too many failures now. It changes nothing.
func (b *buckets) spent(key uint64, now time.Time) bool {
	if key == 0 {
		key = 1
	}
	for _, k := range &b.sets[key%limitSets] {
		if k.key == key {
			past := max(now.UnixNano()-k.at, 0)
			return min(b.burst, k.tokens+float32(past)/1e9*b.perSecond) < 1
		}
	}
	return false
}

// bucket returns the key's bucket, filled up to now; a new one takes the place of the fullest with nothing under way. It
// returns nil if all places have something under way.
func (b *buckets) bucket(key uint64, now time.Time) *bucket {
	if key == 0 {
		key = 1
	}
	set := &b.sets[key%limitSets]
	nanos := now.UnixNano()
	var victim *bucket
	for i := range set {
		k := &set[i]
		if k.key != 0 {
			if past := nanos - k.at; past > 0 {
				k.tokens = min(b.burst, k.tokens+float32(past)/1e9*b.perSecond)
				k.at = nanos
			}
			if k.key == key {
				return k
			}
		}
		if k.underWay == 0 && (victim == nil || victim.key != 0 && (k.key == 0 || k.tokens > victim.tokens)) {
			victim = k
		}
	}
	if victim != nil {
		*victim = bucket{key: key, at: nanos, tokens: b.burst}
	}
	return victim
}
