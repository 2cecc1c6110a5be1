package timer

import "time"

const (
	// Tick is what a wheel rounds up to.
	Tick = 10 * time.Millisecond
	// Never is a due time that does not come, in nanoseconds.
	Never = int64(1<<63 - 1)

	wheelSlots = 1024
)

// Wheel is a hashed timer wheel. It allocates only while a slot grows past what it ever held. It is not safe for concurrent use.
type Wheel struct {
	slots [wheelSlots][]entry
	count int
	done  int64 // ticks up to and with this one have been fired
	next  int64 // no timer is due before this tick; Never if there is none
}

type entry struct {
	tick  int64
	token uint64
}

// NewWheel returns a wheel with nothing scheduled.
func NewWheel() *Wheel { return &Wheel{next: Never} }

// Schedule makes token due at the given time since the wheel's start, rounded up to the next tick.
func (w *Wheel) Schedule(at time.Duration, token uint64) {
	tick := max(int64((at+Tick-1)/Tick), w.done+1)
	slot := &w.slots[tick%wheelSlots]
	*slot = append(*slot, entry{tick, token})
	w.count++
	w.next = min(w.next, tick)
}

// Due returns when Expire should be called next, as time since the wheel's start; ok is false if nothing is scheduled.
func (w *Wheel) Due() (at time.Duration, ok bool) {
	return time.Duration(w.next) * Tick, w.next != Never
}

// Expire calls fire for every timer due at or before now, earliest tick first. Fire may schedule.
func (w *Wheel) Expire(now time.Duration, fire func(token uint64)) {
	last := int64(now / Tick)
	if last < w.next {
		w.done = max(w.done, last)
		return
	}
	for tick := max(w.next, last-wheelSlots+1); tick <= last && w.count > 0; tick++ {
		w.done = tick
		slot := &w.slots[tick%wheelSlots]
		for i := 0; i < len(*slot); {
			t := (*slot)[i]
			if t.tick > last {
				i++
				continue
			}
			end := len(*slot) - 1
			(*slot)[i] = (*slot)[end]
			*slot = (*slot)[:end]
			w.count--
			fire(t.token)
		}
	}
	w.done = last
	w.next = w.find(last + 1)
}

// find returns the earliest tick from the given one on with a timer in it, or Never.
func (w *Wheel) find(from int64) int64 {
	if w.count == 0 {
		return Never
	}
	best := Never
	for i := int64(0); i < wheelSlots; i++ {
		for _, t := range w.slots[(from+i)%wheelSlots] {
			best = min(best, t.tick)
		}
		if best <= from+i {
			break
		}
	}
	return best
}
