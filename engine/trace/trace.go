package trace

import (
	"math"
	"strconv"
	"time"
)

// What one trace can hold. What is more is counted, not kept.
const (
	MaxSteps = 32
	MaxText  = 1024 // bytes of all subjects and details together
	maxField = 200  // bytes of one subject or detail
)

// Trace records the steps of one decision in place; recording allocates nothing. Steps that end the lookup of the user, the
// verification, a reservation or a wait carry the time since the last such step. The zero Trace records after Start. It is not safe for
// concurrent use.
type Trace struct {
	started time.Time
	last    uint32 // nanoseconds from started to the latest timed step
	lost    uint32
	steps   [MaxSteps]step
	text    [MaxText]byte
	used    uint16 // bytes of text
	n       uint8
}

type step struct {
	code    StepCode
	at      uint16 // where its subject begins in text; the detail follows
	subject uint8
	detail  uint8
	took    uint32 // nanoseconds since the step before
}

// Step is one recorded step. Subject and Detail point into the trace.
type Step struct {
	Code    StepCode
	Subject []byte
	Detail  []byte
	Took    uint32 // nanoseconds since the last timed step, at most some 4.2 s; 0 if the step is not a timed one
}

// Start empties the trace and begins to count time from now, which should have a monotonic reading.
func (t *Trace) Start(now time.Time) {
	t.started, t.last, t.lost, t.used, t.n = now, 0, 0, 0, 0
}

// Add records a step.
func (t *Trace) Add(code StepCode, subject, detail string) { add(t, code, subject, detail) }

// AddBytes records a step about bytes, which it copies.
func (t *Trace) AddBytes(code StepCode, subject, detail []byte) { add(t, code, subject, detail) }

// AddName records a step about bytes, which it copies, with a detail.
func (t *Trace) AddName(code StepCode, subject []byte, detail string) { add(t, code, subject, detail) }

// AddNumber records a step whose detail is a number.
func (t *Trace) AddNumber(code StepCode, subject string, number uint64) {
	var digits [20]byte
	add(t, code, subject, strconv.AppendUint(digits[:0], number, 10))
}

// Len returns the number of recorded steps.
func (t *Trace) Len() int { return int(t.n) }

// Lost returns the number of steps that had no room.
func (t *Trace) Lost() int { return int(t.lost) }

// Cut takes back all steps from the i-th on, 0 <= i <= Len, and those that had no room.
func (t *Trace) Cut(i int) {
	if i < int(t.n) {
		t.n, t.used, t.lost = uint8(i), t.steps[i].at, 0
	}
}

// Step returns the i-th recorded step, 0 <= i < Len.
func (t *Trace) Step(i int) Step {
	s := &t.steps[:t.n][i]
	middle := s.at + uint16(s.subject)
	return Step{
		Code:    s.code,
		Subject: t.text[s.at:middle:middle],
		Detail:  t.text[middle : middle+uint16(s.detail) : middle+uint16(s.detail)],
		Took:    s.took,
	}
}

func add[S, D string | []byte](t *Trace, code StepCode, subject S, detail D) {
	if t.n == MaxSteps {
		t.lost++
		return
	}
	s := &t.steps[t.n]
	s.code, s.at, s.took = code, t.used, 0
	if code.timed() {
		now := clamp(time.Since(t.started))
		s.took, t.last = now-min(t.last, now), now
	}
	s.subject = put(t, subject)
	s.detail = put(t, detail)
	t.n++
}

// timed reports whether the step ends a piece of work whose time is worth knowing. Reading the clock costs four times what the rest of
// recording a step costs, and what lies between the other steps is less than that.
func (c StepCode) timed() bool {
	return c >= PasswordFromCache && c <= SessionReserved || c >= RecordWanted && c <= DeadlinePassed ||
		c >= CertificateChained && c <= RevocationExcused || c == UserFound || c == UserNotFound || c == ScriptRun || c == RuleScriptRun || c == NothingReleased || c == ReplyIsBad
}

// put copies what has room, cut off at the start of a character.
func put[S string | []byte](t *Trace, text S) uint8 {
	n := min(len(text), maxField, MaxText-int(t.used))
	if n < len(text) {
		for n > 0 && text[n]&0xc0 == 0x80 {
			n--
		}
	}
	copy(t.text[t.used:], text[:n])
	t.used += uint16(n)
	return uint8(n)
}

func clamp(d time.Duration) uint32 { return uint32(min(max(d, 0), math.MaxUint32)) }
