package otp

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"math"
	"math/bits"
	"time"

	"trine/engine/trace"
)

// State is what is kept of a secret's use. The zero State is that of a device that was never used.
type State struct {
	// Next is the lowest counter whose code is still good: one more than the last that was accepted. For HOTP it is the moving
	// factor (RFC 4226 section 5.1), for TOTP the number of periods since 1970 (RFC 6238 section 4.2).
	Next uint64
	// Drift is by how many periods the device's clock is ahead of ours, as Resync found it (RFC 6238 section 6). TOTP only.
	Drift int32
}

// Window says how far a device may be off. Values beyond the bounds are taken as the bounds, so that no policy can turn a login into
// a search.
type Window struct {
	Drift     int // TOTP: periods before and after, up to MaxDrift
	LookAhead int // HOTP: codes that may have been shown and not used, up to MaxLookAhead
}

// The bounds of windows.
const (
	MaxDrift     = 10
	MaxLookAhead = 50
	MaxResync    = 1000
)

// DefaultWindow is one period before and after (RFC 6238 section 5.2), and ten codes that were shown and not used.
func DefaultWindow() Window { return Window{Drift: 1, LookAhead: 10} }

// Verify verifies a code at a time, in a time that depends on neither code nor key, and without allocating. With [trace.OK] it
// returns the state after: whoever records it makes sure that Next only grows, and so that no counter is accepted twice. Otherwise
// the state is returned as it came, with
//
//   - [trace.OTPWrong]: the code is of no counter within the window, or not made of Digits digits;
//   - [trace.OTPReplayed]: the code is good, but it or a later one was used before;
//   - [trace.OTPClock]: the code is good, and a code was used that is later than now allows: this clock, or the one that saw the
//     other code, is wrong. TOTP only.
//
// Of several counters with the same code, the lowest that was not used is taken.
func (s *Secret) Verify(code []byte, now time.Time, state State, w Window) (State, trace.Reason) {
	number, ok := s.number(code)
	if !ok {
		return state, trace.OTPWrong
	}
	r := s.window(now, state, w)
	var found choice
	for i := range r.count {
		found.offer(r.first+i, equal(s.code(r.first+i), number), state.Next)
	}
	if found.fresh != 0 {
		return State{Next: found.counter + 1, Drift: state.Drift}, trace.OK
	}
	return state, s.refusal(r, state, found)
}

// Resync finds a device that is further off than Verify allows by two codes that it shows one after the other (RFC 4226 section
// 7.4, RFC 6238 section 6), within window codes ahead, or window periods before and after now, up to MaxResync. Both codes are
// used up. The outcome is as Verify's; it takes up to some milliseconds.
func (s *Secret) Resync(first, second []byte, now time.Time, state State, window int) (State, trace.Reason) {
	a, okA := s.number(first)
	b, okB := s.number(second)
	if !okA || !okB {
		return state, trace.OTPWrong
	}
	window = min(max(window, 0), MaxResync)
	r := span(state.Next, 0, window)
	if s.params.Kind == TOTP {
		r = span(s.Counter(now), window, window)
	}
	var found choice
	hit := equal(s.code(r.first), a)
	for i := range r.count {
		next := s.code(r.first + i + 1)
		found.offer(r.first+i, hit&equal(next, b), state.Next)
		hit = equal(next, a)
	}
	if found.fresh == 0 {
		return state, s.refusal(r, state, found)
	}
	after := State{Next: found.counter + 2}
	if s.params.Kind == TOTP {
		after.Drift = int32(int64(found.counter+1) - int64(s.Counter(now))) // the second code is the one that is shown now
	}
	return after, trace.OK
}

// Record adds to a trace what Verify or Resync found: the state and the reason that it returned.
func (s *Secret) Record(t *trace.Trace, state State, reason trace.Reason) {
	kind := s.params.Kind.String()
	switch reason {
	case trace.OK:
		t.AddNumber(trace.OTPChecked, kind, state.Next-1)
	case trace.OTPReplayed:
		t.AddNumber(trace.OTPUsed, kind, state.Next)
	case trace.OTPClock:
		t.AddNumber(trace.OTPAhead, kind, state.Next)
	default:
		t.Add(trace.OTPDiffers, kind, "")
	}
}

// Counter returns the number of whole periods from 1970 to a time (RFC 6238 section 4.2), 0 for times before; 0 for HOTP, whose
// counter the device counts.
func (s *Secret) Counter(now time.Time) uint64 {
	if s.params.Kind != TOTP || now.Unix() < 0 {
		return 0
	}
	return uint64(now.Unix()) / uint64(s.params.Period/time.Second)
}

// Code returns the code of a counter as the device shows it.
func (s *Secret) Code(counter uint64) string {
	digits := make([]byte, s.params.Digits)
	n := s.code(counter)
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = '0' + byte(n%10)
		n /= 10
	}
	return string(digits)
}

// counters are count counters from first on; first+count does not overflow.
type counters struct {
	first, count uint64
}

// window returns the counters to look at. For HOTP, as many are looked at behind as ahead, to tell a code that was used from a wrong
// one.
func (s *Secret) window(now time.Time, state State, w Window) counters {
	if s.params.Kind == HOTP {
		ahead := min(max(w.LookAhead, 0), MaxLookAhead)
		return span(state.Next, ahead, ahead)
	}
	drift := min(max(w.Drift, 0), MaxDrift)
	centre := int64(s.Counter(now)) + int64(state.Drift)
	return span(uint64(max(centre, 0)), drift, drift)
}

func span(centre uint64, behind, ahead int) counters {
	centre = min(centre, math.MaxInt64) // some 10^12 years of TOTP; HOTP devices count in 32 or 64 bits
	first := centre - min(centre, uint64(behind))
	return counters{first, centre - first + uint64(ahead) + 1}
}

// choice finds the lowest counter whose code came and that was not used, without branching on any: fresh and used are all ones once there
// is one that was not and one that was.
type choice struct {
	fresh, used, counter uint64
}

// offer takes note of a counter; hit is all ones if its code came, next the lowest that was not used.
func (c *choice) offer(counter, hit, next uint64) {
	old := below(counter, next)
	take := hit &^ old &^ c.fresh
	c.counter = c.counter&^take | counter&take
	c.fresh |= take
	c.used |= hit & old
}

// refusal says why no counter of r was accepted: its code did not come, or was used before.
func (s *Secret) refusal(r counters, state State, found choice) trace.Reason {
	switch {
	case found.used == 0:
		return trace.OTPWrong
	case s.params.Kind == TOTP && state.Next > r.first+r.count:
		return trace.OTPClock
	}
	return trace.OTPReplayed
}

// number reads a code. Whether it has the right length and only digits is known to whoever sent it.
func (s *Secret) number(code []byte) (uint32, bool) {
	if len(code) != s.params.Digits || s.size == 0 {
		return 0, false
	}
	n := uint32(0)
	for _, c := range code {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint32(c-'0')
	}
	return n, true
}

// code computes the code of a counter (RFC 4226 section 5.3). crypto/hmac would allocate for each; a key is never longer than a
// block here, so that HMAC (RFC 2104) is two calls of the hash.
func (s *Secret) code(counter uint64) uint32 {
	var inner [sha512.BlockSize + 8]byte
	var outer [sha512.BlockSize + sha512.Size]byte
	block := s.params.Algorithm.block()
	copy(inner[:], s.key[:s.size])
	copy(outer[:], s.key[:s.size])
	for i := range block {
		inner[i] ^= 0x36
		outer[i] ^= 0x5c
	}
	binary.BigEndian.PutUint64(inner[block:], counter)
	n := s.params.Algorithm.sum(outer[block:], inner[:block+8])
	var mac [sha512.Size]byte
	s.params.Algorithm.sum(mac[:], outer[:block+n])
	clear(inner[:])
	clear(outer[:])

	offset := mac[n-1] & 0x0f
	truncated := binary.BigEndian.Uint32(mac[offset:]) & math.MaxInt32
	if s.params.Digits == 8 {
		return truncated % 1e8
	}
	return truncated % 1e6
}

// size returns the length of the hash in bytes.
func (a Algorithm) size() int {
	switch a {
	case SHA256:
		return sha256.Size
	case SHA512:
		return sha512.Size
	}
	return sha1.Size
}

// block returns the block size of the hash in bytes.
func (a Algorithm) block() int {
	if a == SHA512 {
		return sha512.BlockSize
	}
	return sha1.BlockSize // SHA-256 has the same
}

// sum writes the hash of message to dst, which may not overlap it, and returns its length.
func (a Algorithm) sum(dst, message []byte) int {
	switch a {
	case SHA256:
		h := sha256.Sum256(message)
		return copy(dst, h[:])
	case SHA512:
		h := sha512.Sum512(message)
		return copy(dst, h[:])
	}
	h := sha1.Sum(message)
	return copy(dst, h[:])
}

// equal returns all ones if the codes are equal, in constant time.
func equal(a, b uint32) uint64 { return -uint64(subtle.ConstantTimeEq(int32(a), int32(b))) }

// below returns all ones if a < b, in constant time.
func below(a, b uint64) uint64 {
	_, borrow := bits.Sub64(a, b, 0)
	return -borrow
}
