package credential

import (
	"crypto/subtle"
	"math/bits"
	"sync"
)

// tag is an HMAC under the boot key, cut to 128 bits, of who and which password.
type tag [16]byte

// The cache is cut into shards, each with a lock of its own, and those into sets of ways.
const (
	cacheShards = 64
	cacheWays   = 8
)

// cache remembers which passwords were verified: one a user, at most its size altogether, in entries without pointers. A set
// that is full gives up the entry that was not used since the hand last passed it.
type cache struct {
	shards [cacheShards]cacheShard
	mask   uint64 // sets a shard - 1
}

type cacheShard struct {
	mu           sync.Mutex
	sets         []cacheSet
	hits, misses uint64
	evicted      uint64
	used         int
	_            [64]byte // shards do not share cache lines
}

type cacheSet struct {
	users [cacheWays]uint64 // 0: free
	tags  [cacheWays]tag
	used  [cacheWays]bool
	hand  uint8
}

func newCache(size int) *cache {
	sets := max(1, (size+cacheShards*cacheWays-1)/(cacheShards*cacheWays))
	sets = 1 << bits.Len(uint(sets-1))
	c := &cache{mask: uint64(sets - 1)}
	for i := range c.shards {
		c.shards[i].sets = make([]cacheSet, sets)
	}
	return c
}

// locate spreads consecutive ids over shards and sets.
func (c *cache) locate(user uint64) (*cacheShard, uint64) {
	h := user * 0x9e3779b97f4a7c15
	h ^= h >> 32
	return &c.shards[h%cacheShards], h / cacheShards & c.mask
}

// has reports whether the user's password with this tag was verified.
func (c *cache) has(user uint64, t *tag) bool {
	shard, i := c.locate(user)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	set := &shard.sets[i]
	for w := range set.users {
		if set.users[w] == user && user != 0 && subtle.ConstantTimeCompare(set.tags[w][:], t[:]) == 1 {
			set.used[w] = true
			shard.hits++
			return true
		}
	}
	shard.misses++
	return false
}

// holds is has for one who only looks: it neither counts nor counts as use.
func (c *cache) holds(user uint64, t *tag) bool {
	shard, i := c.locate(user)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	set := &shard.sets[i]
	for w := range set.users {
		if set.users[w] == user && user != 0 && subtle.ConstantTimeCompare(set.tags[w][:], t[:]) == 1 {
			return true
		}
	}
	return false
}

// put remembers a verified password in place of the user's former one.
func (c *cache) put(user uint64, t *tag) {
	shard, i := c.locate(user)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	set := &shard.sets[i]
	w := set.place(user)
	switch set.users[w] {
	case user:
	case 0:
		shard.used++
	default:
		shard.evicted++
	}
	// A new entry has to be used to outlive a round of the hand: people who come once do not drive out those who come often.
	set.users[w], set.tags[w], set.used[w] = user, *t, set.users[w] == user
}

// place returns the user's way, else a free one, else the first after the hand that was not used since.
func (s *cacheSet) place(user uint64) int {
	free := -1
	for w, u := range s.users {
		if u == user {
			return w
		}
		if u == 0 && free < 0 {
			free = w
		}
	}
	if free >= 0 {
		return free
	}
	for {
		w := int(s.hand)
		s.hand = (s.hand + 1) % cacheWays
		if !s.used[w] {
			return w
		}
		s.used[w] = false
	}
}

func (c *cache) stats(s *Stats) {
	for i := range c.shards {
		shard := &c.shards[i]
		shard.mu.Lock()
		s.CacheHits += shard.hits
		s.CacheMisses += shard.misses
		s.CacheEvictions += shard.evicted
		s.CacheEntries += shard.used
		s.CacheSize += len(shard.sets) * cacheWays
		shard.mu.Unlock()
	}
}
