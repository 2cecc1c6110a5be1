package admin

import (
	"hash/maphash"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"trine/appliance/admin/api"
)

// What strangers may ask of operations that are open to them: as much as tens of thousands of devices need, and little enough that the node
// does not notice. Behind a proxy, all of them come from one address.
const (
	maxStranger        = 8 << 10 // bytes of a body
	strangersPerSecond = 200
	strangersAtOnce    = 400
	strangerPerSecond  = 50
	strangerAtOnce     = 100
	strangerSlots      = 1024
)

// strangers bounds the requests of callers whom nobody knows: of all of them together, and of those whose addresses fall into one of a fixed
// number of slots, so that one address cannot keep the others out.
type strangers struct {
	clock func() time.Time
	all   *rate.Limiter
	seed  maphash.Seed

	mu    sync.Mutex
	slots [strangerSlots]time.Time // when each will be full again
}

func newStrangers(clock func() time.Time) *strangers {
	return &strangers{clock: clock, all: rate.NewLimiter(strangersPerSecond, strangersAtOnce), seed: maphash.MakeSeed()}
}

// admit returns nil if a request may go on, else a *api.Problem.
func (s *strangers) admit(r *http.Request) error {
	now := s.clock()
	if !s.takes(origin(r), now) || !s.all.AllowN(now, 1) {
		return api.NewProblem(http.StatusTooManyRequests, api.ReasonLimited, "too many requests; try again in a moment")
	}
	return nil
}

// takes takes a token of the slot of an address. A bucket is kept as the time at which it will be full again.
func (s *strangers) takes(from netip.Addr, now time.Time) bool {
	if from.Is6() { // who has one address of a network has all of them
		if p, err := from.Prefix(64); err == nil {
			from = p.Addr()
		}
	}
	slot := &s.slots[maphash.Comparable(s.seed, from)%strangerSlots]
	s.mu.Lock()
	defer s.mu.Unlock()
	full := *slot
	if full.Before(now) {
		full = now
	}
	full = full.Add(time.Second / strangerPerSecond)
	if full.Sub(now) > strangerAtOnce*time.Second/strangerPerSecond {
		return false
	}
	*slot = full
	return true
}

// origin returns the address that a request comes from; the zero Addr on the node's socket.
func origin(r *http.Request) netip.Addr {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return from.Addr().Unmap().WithZone("")
}
