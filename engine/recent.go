package engine

import (
	"sync"
	"time"

	"github.com/zeebo/xxh3"
)

// recent counts failed logins of the last hour by address and by name, as adaptive rules ask, and how many of the node's logins of the last
// minutes failed. It is this node's own knowledge, of fixed size, and lost at a restart: what must hold in the cluster is lockout.
type recent struct {
	mu    sync.Mutex
	table []tally // by hash; who collides takes the place of who was there
	ring  [ratioMinutes]struct{ minute, all, failed int64 }
}

// tally is the failures of one address or name.
type tally struct {
	key   uint64
	count int
	first int64 // unix seconds; the hour begins with it
	last  int64
}

const (
	recentTallies = 1 << 14
	recentSpan    = int64(time.Hour / time.Second)
	ratioMinutes  = 5
)

func newRecent() *recent { return &recent{table: make([]tally, recentTallies)} }

// key hashes an address or a name.
func (*recent) key(of []byte) uint64 { return xxh3.Hash(of) }

// decided counts a login, and its failure under the given keys if it failed.
func (c *recent) decided(now time.Time, failed bool, keys ...uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	unix := now.Unix()
	slot := &c.ring[unix/60%ratioMinutes]
	if slot.minute != unix/60 {
		slot.minute, slot.all, slot.failed = unix/60, 0, 0
	}
	slot.all++
	if !failed {
		return
	}
	slot.failed++
	for _, k := range keys {
		t := &c.table[k%recentTallies]
		if t.key != k || unix-t.first >= recentSpan {
			*t = tally{key: k, first: unix}
		}
		t.count++
		t.last = unix
	}
}

// failures returns how often an address or name failed within the hour, and when last.
func (c *recent) failures(now time.Time, key uint64) (count int, last time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.table[key%recentTallies]
	if t.key != key || t.count == 0 {
		return 0, time.Time{}
	}
	last = time.Unix(t.last, 0)
	if now.Unix()-t.first >= recentSpan {
		return 0, last
	}
	return t.count, last
}

// ratio returns the share of the last minutes' logins that failed.
func (c *recent) ratio(now time.Time) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all, failed int64
	for _, slot := range c.ring {
		if now.Unix()/60-slot.minute < ratioMinutes {
			all, failed = all+slot.all, failed+slot.failed
		}
	}
	if all == 0 {
		return 0
	}
	return float64(failed) / float64(all)
}
