package state

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"trine/engine/event"
	"trine/engine/event/field"
	"trine/engine/state/rows"
)

// What is remembered of failed logins is bounded: so many names in all, and of each so many sources.
const (
	maxFailures  = 1 << 17
	maxSources   = 8
	maxLoginName = 256 // bytes; longer names share what is remembered of their beginning
)

// longestLock bounds in seconds what progressive locks double to, where the user type's own duration is shorter.
const longestLock = 24 * 60 * 60

// ClockSkew is how far a lock may begin ahead of a reader's clock. Where it begins later, the log's time was stamped by a clock that
// was wrong, or the reader's is, so that nobody can tell by them when the lock ends.
const ClockSkew = time.Minute

// AppendLoginName appends a login name in the form under which its failures are remembered: folded, and cut to a length that no
// user's name exceeds by much. It allocates only for names that are not ASCII.
func AppendLoginName(dst, login []byte) []byte {
	start := len(dst)
	dst = appendFolded(dst, login)
	return dst[:min(len(dst), start+maxLoginName)]
}

// Lock is a time in which logins are refused, by record time: from its first second to its last, in unix seconds. The zero Lock is
// none.
type Lock struct{ Since, Until int64 }

// Holds reports whether the lock is on. One that begins ahead of now, by more than clocks may differ, does not hold: it cannot be told
// when it would end.
func (l Lock) Holds(now time.Time) bool {
	return l.Until != 0 && now.Unix() <= l.Until && now.Add(ClockSkew).Unix() >= l.Since
}

// LoginLocks is what keeps logins under a name from being looked at. Whether a lock holds now is the caller's to ask.
type LoginLocks struct {
	Here       Lock // from this source
	Everywhere Lock // from all sources
	Remembered bool // failures or locks of this source are
}

// LoginLocks returns the locks of a login name, in the form of AppendLoginName, for logins from a source. Apart is the factor whose
// failures count by themselves, else 0. It does not allocate.
func (s *State) LoginLocks(name []byte, apart uint32, source uint64) (l LoginLocks) {
	if s.failures.Len() == 0 {
		return l
	}
	var buf [maxLoginName + 8]byte
	s.failures.Look(appendFailureKey(buf[:0], name, apart), func(row []byte) {
		var f failures
		if f.decode(row) != nil {
			return // Apply ends the process over it
		}
		l.Everywhere = f.all.lock
		if i := f.find(source); i >= 0 {
			l.Here, l.Remembered = f.sources[i].lock, true
		}
	})
	return l
}

// LoginFailures is what is remembered of the failures of one login name.
type LoginFailures struct {
	Apart   uint32 // the factor whose failures count by themselves; 0: those that count together
	Count   int    // that count towards the lock everywhere
	Lock    Lock   // everywhere; it may be over
	Last    time.Time
	Sources []SourceFailures // at most 8
}

// SourceFailures is what is remembered of the failures from one source.
type SourceFailures struct {
	Source uint64 // its hash, as in the event LoginFailed
	Count  int
	Lock   Lock // it may be over
	Last   time.Time
}

// LoginFailures returns what is remembered of a login name, in any case: first of the failures that count together.
func (s *State) LoginFailures(login string) (list []LoginFailures) {
	name := AppendLoginName(nil, []byte(login))
	for apart := range uint32(maxApart) {
		row, ok := s.failures.Get(nil, appendFailureKey(nil, name, apart))
		if !ok {
			continue
		}
		var f failures
		if err := f.decode(row); err != nil {
			violated("a readable row of failures", "%s: %v", name, err)
		}
		l := LoginFailures{Apart: apart, Count: int(f.all.count), Lock: f.all.lock, Last: time.Unix(f.last(), 0).UTC()}
		for i := range f.n {
			x := &f.sources[i]
			l.Sources = append(l.Sources, SourceFailures{Source: x.source, Count: int(x.count), Lock: x.lock, Last: time.Unix(x.last, 0).UTC()})
		}
		list = append(list, l)
	}
	return list
}

// foldLoginFailed counts a failure. What is decided while a lock of its source holds was on its way before the lock was known, and does not count; while the name is locked everywhere, a failure counts
// for its source alone, which may be one where that lock does not hold.
func (s *State) foldLoginFailed(at Stamp, m *event.LoginFailed) {
	apart := uint32(0)
	if m.Apart {
		apart = m.Factor
	}
	var f failures
	key := s.failuresOf(&f, at, m.Name, apart)
	here := f.enter(m.Source, at.unix())
	if here.locked(at.unix()) {
		return
	}
	everywhere := f.all.locked(at.unix())
	if f.all.count == 0 {
		for i := range f.n {
			f.sources[i].given = 0
		}
	}
	// One source gives at most its own limit to the lock everywhere, so that no device alone can lock a person out of all others.
	if !everywhere && here.given < m.Attempts {
		here.given++
		f.all.fail(at.unix(), m.Total, m)
	}
	here.fail(at.unix(), m.Attempts, m)
	here.last = at.unix()
	f.known = s.users.Has(m.Name)
	s.putFailures(key, &f)
	if apart == 0 && !everywhere && f.all.locked(at.unix()) {
		s.endSSOOf(at, string(m.Name), event.SSOLocked)
	}
	for s.failures.Len() > s.maxFailures {
		s.dropLeast()
	}
}

// foldFailuresCleared forgets what came from the source of a good login, or everything by an administrator's word.
func (s *State) foldFailuresCleared(at Stamp, m *event.FailuresCleared) {
	if m.By != "" {
		for apart := range uint32(maxApart) {
			s.failures.Delete(appendFailureKey(nil, m.Name, apart))
		}
		return
	}
	var f failures
	key := s.failuresOf(&f, at, m.Name, m.Apart)
	if i := f.find(m.Source); i >= 0 {
		if f.all.count -= min(f.all.count, f.sources[i].given); f.all.count == 0 {
			f.all.window = 0
		}
		f.remove(i)
	}
	s.putFailures(key, &f)
}

// failuresOf reads the row of a name, without what is over, and returns its key.
func (s *State) failuresOf(f *failures, at Stamp, name []byte, apart uint32) []byte {
	w := &s.work
	w.key = appendFailureKey(w.key[:0], name, apart)
	if row, _, ok := s.failures.Peek(w.key); ok {
		if err := f.decode(row); err != nil {
			violated("a readable row of failures", "%s: %v", name, err)
		}
	}
	f.age(at.unix())
	return w.key
}

// putFailures writes a row, or removes it where nothing is left to remember.
func (s *State) putFailures(key []byte, f *failures) {
	if f.n == 0 && f.all == (tally{}) {
		s.failures.Delete(key)
		return
	}
	s.work.row = f.append(s.work.row[:0])
	ref, _ := s.failures.Put(key, s.work.row)
	s.leasts.push(least{worth: f.worth(), hash: rows.Hash(key), ref: ref})
	if s.leasts.len() > mostLeasts(s.failures.Len()) {
		s.listLeasts()
	}
}

// maxApart is above every factor's number.
const maxApart = 64

// appendFailureKey appends the key of a row: the factor that counts by itself, or 0, and the name.
func appendFailureKey(dst, name []byte, apart uint32) []byte {
	return append(append(dst, byte(apart%maxApart)), name...)
}

// tally counts failures towards one lock. Times are unix seconds by record time.
type tally struct {
	count  uint32
	window int64 // last second in which count counts
	locks  uint32
	lock   Lock  // the last of so many locks in a row
	calm   int64 // last second in which the next lock is one more in that row
}

// age forgets what is over.
func (y *tally) age(now int64) {
	if y.window < now {
		y.count, y.window = 0, 0
	}
	if y.calm < now {
		y.locks, y.lock, y.calm = 0, Lock{}, 0
	}
}

func (y *tally) locked(now int64) bool { return y.lock.Until >= now && y.lock.Until != 0 }

// over returns the last second in which there is anything to remember.
func (y *tally) over() int64 { return max(y.window, y.calm) }

// fail counts a failure, and locks at the limit.
func (y *tally) fail(now int64, limit uint32, m *event.LoginFailed) {
	if y.count == 0 {
		y.window = now + int64(m.Window)
	}
	y.count++
	if y.count < limit {
		return
	}
	length := int64(m.Duration)
	if m.Progressive {
		most := max(length, longestLock)
		for range min(y.locks, 32) {
			length = min(2*length, most)
		}
	}
	y.count, y.window = 0, 0
	y.locks++
	y.lock = Lock{Since: now, Until: now + length}
	y.calm = y.lock.Until + max(length, int64(m.Window))
}

// sourceTally is the tally of one source.
type sourceTally struct {
	tally
	source uint64
	given  uint32 // how many of its failures are in the count of the lock everywhere
	last   int64  // when its last failure was
}

// failures is the row of a login name.
type failures struct {
	known   bool // a user had the name at the last failure
	all     tally
	sources [maxSources]sourceTally
	n       int // of sources
}

func (f *failures) find(source uint64) int {
	for i := range f.n {
		if f.sources[i].source == source {
			return i
		}
	}
	return -1
}

// enter returns the tally of a source, which takes the place of the one that matters least where there is no room.
func (f *failures) enter(source uint64, now int64) *sourceTally {
	if i := f.find(source); i >= 0 {
		return &f.sources[i]
	}
	if f.n == maxSources {
		worst := 0
		for i := range f.n {
			if f.sources[i].less(&f.sources[worst], now) {
				worst = i
			}
		}
		f.remove(worst)
	}
	f.sources[f.n] = sourceTally{source: source}
	f.n++
	return &f.sources[f.n-1]
}

// less reports whether a source matters less than another: those that are not locked first, then those that were quiet for longest.
func (y *sourceTally) less(o *sourceTally, now int64) bool {
	if a, b := y.locked(now), o.locked(now); a != b {
		return b
	}
	if y.last != o.last {
		return y.last < o.last
	}
	return y.source < o.source
}

func (f *failures) remove(i int) {
	copy(f.sources[i:f.n], f.sources[i+1:f.n])
	f.n--
	f.sources[f.n] = sourceTally{}
}

func (f *failures) age(now int64) {
	f.all.age(now)
	for i := f.n - 1; i >= 0; i-- {
		if f.sources[i].age(now); f.sources[i].over() < now {
			f.remove(i)
		}
	}
}

func (f *failures) last() (last int64) {
	for i := range f.n {
		last = max(last, f.sources[i].last)
	}
	return last
}

// Worth orders rows: what is worth least goes first where there are too many. In the high bits: a name that nobody has, one of a
// user; whether it was locked. Below: until when there is anything to remember.
const (
	worthKnown  = 1 << 62
	worthLocked = 1 << 61
	worthTime   = worthLocked - 1
)

func (f *failures) worth() uint64 {
	over, locks := f.all.over(), f.all.locks
	for i := range f.n {
		over = max(over, f.sources[i].over())
		locks += f.sources[i].locks
	}
	worth := uint64(over) & worthTime
	if f.known {
		worth |= worthKnown
	}
	if locks > 0 {
		worth |= worthLocked
	}
	return worth
}

// append appends the encoded row, its worth in front.
func (f *failures) append(dst []byte) []byte {
	dst = field.AppendFixed(dst, 1, f.worth())
	dst = field.AppendFlag(dst, 2, f.known)
	var buf [96]byte
	dst = field.AppendBytes(dst, 3, f.all.append(buf[:0]))
	for i := range f.n {
		x := &f.sources[i]
		b := field.AppendFixed(buf[:0], 1, x.source)
		b = field.AppendNumber(b, 2, uint64(x.given))
		b = field.AppendNumber(b, 3, uint64(x.last))
		dst = protowire.AppendTag(dst, 4, protowire.BytesType)
		dst = protowire.AppendBytes(dst, x.tally.append(b))
	}
	return dst
}

func (y *tally) append(dst []byte) []byte {
	dst = field.AppendNumber(dst, 10, uint64(y.count))
	dst = field.AppendNumber(dst, 11, uint64(y.window))
	dst = field.AppendNumber(dst, 12, uint64(y.locks))
	dst = field.AppendNumber(dst, 13, uint64(y.lock.Since))
	dst = field.AppendNumber(dst, 14, uint64(y.lock.Until))
	return field.AppendNumber(dst, 15, uint64(y.calm))
}

func (f *failures) decode(b []byte) error {
	*f = failures{}
	for len(b) > 0 {
		x, rest, ok := field.Next(b)
		if !ok {
			return fmt.Errorf("read row of failures: %w", errRow)
		}
		b = rest
		switch x.Num {
		case 2:
			f.known = x.Value != 0
		case 3:
			ok = f.all.decode(x.Data, nil)
		case 4:
			if ok = f.n < maxSources; ok {
				ok = f.sources[f.n].tally.decode(x.Data, &f.sources[f.n])
				f.n++
			}
		}
		if !ok {
			return fmt.Errorf("read tally of row of failures: %w", errRow)
		}
	}
	return nil
}

// decode reads a tally, and what a source has beside it.
func (y *tally) decode(b []byte, of *sourceTally) bool {
	for len(b) > 0 {
		x, rest, ok := field.Next(b)
		if !ok || x.Num < 10 && of == nil {
			return false
		}
		b = rest
		switch x.Num {
		case 1:
			of.source = x.Value
		case 2:
			of.given = uint32(x.Value)
		case 3:
			of.last = int64(x.Value)
		case 10:
			y.count = uint32(x.Value)
		case 11:
			y.window = int64(x.Value)
		case 12:
			y.locks = uint32(x.Value)
		case 13:
			y.lock.Since = int64(x.Value)
		case 14:
			y.lock.Until = int64(x.Value)
		case 15:
			y.calm = int64(x.Value)
		}
	}
	return true
}

// least is the place of a row in the order of worth. It is out of date once the row has another worth or is gone.
type least struct {
	worth uint64
	hash  uint64 // of the row's key: the order must not depend on where rows lie, which differs between nodes
	ref   rows.Ref
}

func (a least) before(b least) bool {
	return a.worth < b.worth || a.worth == b.worth && a.hash < b.hash
}

// leasts is a heap of the rows, that which is worth least first. It holds a place for each row, and others that are out of date. It is the
// writer's.
type leasts struct{ heap []least }

const leastSize = 24

// mostLeasts is how many places there may be for so many rows.
func mostLeasts(rows int) int { return 2*rows + 1024 }

func (h *leasts) len() int { return len(h.heap) }

func (h *leasts) push(l least) {
	h.heap = append(h.heap, l)
	for i := len(h.heap) - 1; i > 0; {
		parent := (i - 1) / 2
		if !h.heap[i].before(h.heap[parent]) {
			break
		}
		h.heap[i], h.heap[parent] = h.heap[parent], h.heap[i]
		i = parent
	}
}

func (h *leasts) pop() (least, bool) {
	if len(h.heap) == 0 {
		return least{}, false
	}
	first, end := h.heap[0], len(h.heap)-1
	h.heap[0] = h.heap[end]
	h.heap = h.heap[:end]
	for i := 0; ; {
		next := 2*i + 1
		if next+1 < end && h.heap[next+1].before(h.heap[next]) {
			next++
		}
		if next >= end || !h.heap[next].before(h.heap[i]) {
			return first, true
		}
		h.heap[i], h.heap[next] = h.heap[next], h.heap[i]
		i = next
	}
}

// dropLeast forgets the row that is worth least.
func (s *State) dropLeast() {
	for {
		l, ok := s.leasts.pop()
		if !ok {
			violated("a place in the order for each row of failures", "none for %d", s.failures.Len())
		}
		key, row, ok := s.failures.PeekAt(l.ref)
		if ok && rows.Hash(key) == l.hash && worthOf(row) == l.worth {
			s.failures.Delete(slices.Clone(key))
			return
		}
	}
}

// worthOf returns the worth of a row, which stands in front.
func worthOf(row []byte) uint64 {
	const tag = 1<<3 | byte(protowire.Fixed64Type)
	if len(row) < 9 || row[0] != tag {
		return 0
	}
	return binary.LittleEndian.Uint64(row[1:])
}

// sweepFailures forgets the rows that are over.
func (s *State) sweepFailures(now int64) {
	for _, key := range expired(s.failures, func(row []byte) bool { return int64(worthOf(row)&worthTime) < now }) {
		s.failures.Delete(key)
	}
}

// listLeasts makes the order of the rows anew.
func (s *State) listLeasts() {
	s.leasts.heap = s.leasts.heap[:0]
	s.failures.Scan(0, func(ref rows.Ref, key, row []byte) bool {
		s.leasts.push(least{worth: worthOf(row), hash: rows.Hash(key), ref: ref})
		return true
	})
}

// loadFailures checks the rows and makes their order.
func (s *State) loadFailures() error {
	var bad error
	s.failures.Scan(0, func(_ rows.Ref, key, row []byte) bool {
		var f failures
		if err := f.decode(row); err != nil || len(key) == 0 {
			bad = fmt.Errorf("load failures of %q: %w", key, errRow)
		}
		return bad == nil
	})
	s.listLeasts()
	return bad
}
