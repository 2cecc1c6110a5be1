package loop

import "time"

const (
	wheelSlots = 1024
	wheelTick  = 10 * time.Millisecond
	never      = int64(1<<63 - 1)
)

// wheel is a hashed timer wheel. It allocates only while a slot grows past what it ever held.
type wheel struct {
	slots [wheelSlots][]timer
	count int
	done  int64 // ticks up to and with this one have been fired
	next  int64 // no timer is due before this tick; never if there is none
}

type timer struct {
	tick  int64
	token uint64
}

func newWheel() *wheel { return &wheel{next: never} }

// schedule makes token due at the given time since the wheel's start, rounded up to the next tick.
func (w *wheel) schedule(at time.Duration, token uint64) {
	tick := max(int64((at+wheelTick-1)/wheelTick), w.done+1)
	slot := &w.slots[tick%wheelSlots]
	*slot = append(*slot, timer{tick, token})
	w.count++
	w.next = min(w.next, tick)
}

// due returns when expire should be called next, as time since the wheel's start; ok is false if nothing is scheduled.
func (w *wheel) due() (at time.Duration, ok bool) {
	return time.Duration(w.next) * wheelTick, w.next != never
}

// expire calls fire for every timer due at or before now, earliest tick first. Fire may schedule.
func (w *wheel) expire(now time.Duration, fire func(token uint64)) {
	last := int64(now / wheelTick)
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

// find returns the earliest tick from the given one on with a timer in it, or never.
func (w *wheel) find(from int64) int64 {
	if w.count == 0 {
		return never
	}
	best := never
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
