package state

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"trine/engine/event"
	"trine/engine/event/field"
	"trine/engine/state/rows"
)

// How a session ended, as its tombstone has it.
const (
	endedByStop   = 1 // Accounting-Request with status Stop
	endedByNAS    = 2 // Accounting-On or -Off
	endedBySweep  = 3 // nothing was heard of it
	endedByWord   = 4 // an administrator closed it
	tombstoneSize = 4 + 4 + 1 + ringSize
)

// tombstone is the row of a session that ended, kept so that late and repeated records about it are known for what they are.
type tombstone struct {
	recorded uint32 // unix seconds by record time
	happened uint32 // unix seconds by the NAS's word
	cause    byte
	ring     ring
}

func (t *tombstone) append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, t.recorded)
	dst = binary.LittleEndian.AppendUint32(dst, t.happened)
	dst = append(dst, t.cause)
	return t.ring.append(dst)
}

func (t *tombstone) decode(b []byte) error {
	if len(b) < tombstoneSize {
		return fmt.Errorf("read tombstone row: %w", errRow)
	}
	t.recorded, t.happened, t.cause = binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]), b[8]
	t.ring.decode(b[9:])
	return nil
}

// reopens reports whether a record of that status and time shows that the session, or another with its id, is live again: a Start
// after the end does, and news of a session that was only thought to have ended.
func (t *tombstone) reopens(status, happened uint32) bool {
	if happened <= t.happened {
		return false
	}
	return status == event.StatusStart || status == event.StatusInterim && t.cause == endedBySweep
}

// view decodes accounting record i, once for checking and folding.
func (s *State) view(at Stamp, i int) *event.AccountedView {
	w := &s.work
	if w.decodedAt != i {
		if err := w.accounted.Decode(w.events[i].Body); err != nil {
			unreadable("accounting record", at, err)
		}
		w.decodedAt = i
	}
	return &w.accounted
}

// checkAccounted finds repeats: records whose key is among the last ones of their session or, for On and Off, of their NAS.
func (s *State) checkAccounted(at Stamp, i int) Result {
	v := s.view(at, i)
	w := &s.work
	if !v.OfSession() && !v.OfDevice() { // there is nothing to know it again by
		return Result{}
	}
	if slices.Contains(w.keys, v.Key) && v.Key != 0 || s.repeated(v) {
		return Result{Code: event.CodeDuplicate, Detail: "recorded before"}
	}
	w.keys = append(w.keys, v.Key)
	return Result{}
}

func (s *State) repeated(v *event.AccountedView) bool {
	w := &s.work
	if v.OfDevice() {
		var keys ring
		value, _, ok := s.devices.Peek(idKey(&w.key, deviceID(v)))
		return ok && len(value) >= 4 && keys.decode(value[4:]) && keys.has(v.Key)
	}
	key := idKey(&w.key, event.SessionID(v.Client, v.NAS, v.SessionID))
	if row, _, ok := s.sessions.Peek(key); ok {
		keys := sessionRing(row)
		return keys.has(v.Key)
	}
	if row, _, ok := s.ended.Peek(key); ok {
		var t tombstone
		return t.decode(row) == nil && t.ring.has(v.Key)
	}
	return false
}

// sessionRing returns the keys in a session row.
func sessionRing(row []byte) (keys ring) {
	if _, rest, ok := field.Next(row); ok {
		if f, _, ok := field.Next(rest); ok && f.Num == 2 {
			keys.decode(f.Data)
		}
	}
	return keys
}

func deviceID(v *event.AccountedView) uint64 { return event.SessionID(v.Client, v.NAS, nil) }

// foldAccounted applies an accounting record that is no repeat.
func (s *State) foldAccounted(at Stamp, i int) {
	v := s.view(at, i)
	if v.Login != 0 {
		s.claimReservation(v.Login, v.Client)
	}
	switch {
	case v.OfDevice():
		s.foldDevice(at, v)
	case v.OfSession():
		s.foldSession(at, v)
	}
	// Other statuses (RFC 2866 section 5.1 leaves room for them), and single commands, are recorded and change no session.
}

// foldSession applies a Start, Interim or Stop.
func (s *State) foldSession(at Stamp, v *event.AccountedView) {
	w := &s.work
	id := event.SessionID(v.Client, v.NAS, v.SessionID)
	happened := happenedAt(at, v)
	key := idKey(&w.key, id)
	row, ref, live := s.sessions.Peek(key)
	x := &w.session
	var old hashes
	if live {
		if err := x.decode(id, row, &s.symbols); err != nil {
			violated("a readable session row", "%x: %v", id, err)
		}
		if v.Status == event.StatusStop {
			x.ring.push(v.Key)
			s.end(at, key, ref, x, endedByStop, happened)
			return
		}
		old = x.hashes()
		s.countPrefix(x.FramedIPv6Prefix, -1)
	} else {
		*x = Session{ID: id}
		if s.late(at, key, v, happened) {
			return
		}
	}
	x.merge(at, v, happened)
	w.row = x.append(w.row[:0], s.symbol(x.Client))
	now := x.hashes()
	s.countPrefix(x.FramedIPv6Prefix, 1)
	ref, _ = s.sessions.Put(key, w.row)
	s.reindex(ref, old, now)
}

// late handles a record about a session that is not live: it reports true if there is nothing to open.
func (s *State) late(at Stamp, key []byte, v *event.AccountedView, happened uint32) bool {
	w := &s.work
	var t tombstone
	row, _, ended := s.ended.Peek(key)
	if ended {
		if err := t.decode(row); err != nil {
			violated("a readable tombstone row", "%x: %v", key, err)
		}
		if t.reopens(v.Status, happened) {
			w.session.ring = t.ring
			s.ended.Delete(key)
			return false
		}
	} else if v.Status != event.StatusStop {
		return false
	} else {
		t = tombstone{recorded: clamp(at.unix()), happened: happened, cause: endedByStop}
	}
	t.ring.push(v.Key)
	w.row = t.append(w.row[:0])
	ref, created := s.ended.Put(key, w.row)
	if created {
		s.endings.push(t.recorded, ref)
	}
	return true
}

// merge takes over what a record says about the session. Counters never go back, as records can come out of order.
func (x *Session) merge(at Stamp, v *event.AccountedView, happened uint32) {
	x.ring.push(v.Key)
	x.Seen = max(x.Seen, clamp(at.unix()))
	if v.StaleAfter != 0 {
		x.StaleAfter = v.StaleAfter
	}
	started := happened
	if v.Status == event.StatusInterim {
		started -= min(started, v.SessionTime)
	}
	if x.Started == 0 || started < x.Started || v.Status == event.StatusStart {
		x.Started = started
	}
	x.SessionTime = max(x.SessionTime, v.SessionTime)
	x.InputOctets = max(x.InputOctets, v.InputOctets)
	x.OutputOctets = max(x.OutputOctets, v.OutputOctets)
	x.InputPackets = max(x.InputPackets, v.InputPackets)
	x.OutputPackets = max(x.OutputPackets, v.OutputPackets)
	x.Client, x.NAS, x.AcctSessionID = v.Client, v.NAS, v.SessionID
	if v.Login != 0 {
		x.Login = v.Login
	}
	if v.NASPort != 0 {
		x.NASPort = v.NASPort
	}
	take(&x.User, v.User)
	take(&x.UserName, v.UserName)
	take(&x.FramedIP, v.FramedIP)
	take(&x.FramedIPv6Prefix, v.FramedIPv6Prefix)
	take(&x.Calling, v.Calling)
	take(&x.Called, v.Called)
	take(&x.NASPortID, v.NASPortID)
	take(&x.Class, v.Class)
	take(&x.Source, v.Source)
}

func take(dst *[]byte, v []byte) {
	if len(v) > 0 {
		*dst = v
	}
}

// end makes a live session a tombstone. The session is decoded from the row that key and ref name.
func (s *State) end(at Stamp, key []byte, ref rows.Ref, x *Session, cause byte, happened uint32) {
	t := tombstone{recorded: clamp(at.unix()), happened: happened, cause: cause, ring: x.ring}
	s.reindex(ref, x.hashes(), hashes{})
	s.countPrefix(x.FramedIPv6Prefix, -1)
	s.sessions.Delete(key)
	s.work.row = t.append(s.work.row[:0])
	grave, _ := s.ended.Put(key, s.work.row)
	s.endings.push(t.recorded, grave)
}

// endSession ends the session of that id if it is live. With a time seenBefore, in unix seconds, it does so only if the session was
// last seen before it and is stale by record time: news may have come since it was found stale.
func (s *State) endSession(at Stamp, id uint64, cause byte, happened, seenBefore int64) {
	w := &s.work
	key := idKey(&w.key, id)
	row, ref, ok := s.sessions.Peek(key)
	if !ok {
		return
	}
	x := &w.session
	if err := x.decode(id, row, &s.symbols); err != nil {
		violated("a readable session row", "%x: %v", id, err)
	}
	if seenBefore != 0 {
		if int64(x.Seen) >= seenBefore || !x.Stale(at.Time) {
			return
		}
		happened = int64(x.Seen)
	}
	s.end(at, key, ref, x, cause, clamp(happened))
}

func (s *State) foldExpired(at Stamp, m *event.SessionsExpired) {
	if m.SeenBeforeUnix <= 0 {
		return
	}
	for _, id := range m.Sessions {
		s.endSession(at, id, endedBySweep, 0, m.SeenBeforeUnix)
	}
}

// foldDevice applies an Accounting-On or -Off: it ends the NAS's sessions that started no later. Between a session and an On of
// the same second, the order of the log decides.
func (s *State) foldDevice(at Stamp, v *event.AccountedView) {
	w := &s.work
	happened := happenedAt(at, v)
	w.refs = s.byField[fieldNAS].Append(w.refs[:0], hashField(v.NAS), 1<<31)
	slices.Sort(w.refs)
	for _, ref := range w.refs {
		key, row, ok := s.sessions.PeekAt(ref)
		if !ok {
			continue
		}
		x := &w.session
		if err := x.decode(binary.BigEndian.Uint64(key), row, &s.symbols); err != nil {
			violated("a readable session row", "%x: %v", key, err)
		}
		if !bytes.Equal(x.NAS, v.NAS) || !bytes.Equal(x.Client, v.Client) || x.Started > happened {
			continue
		}
		s.end(at, idKey(&w.key, x.ID), ref, x, endedByNAS, happened)
	}
	var keys ring
	key := idKey(&w.key, deviceID(v))
	if value, _, ok := s.devices.Peek(key); ok && len(value) >= 4 {
		keys.decode(value[4:])
	}
	keys.push(v.Key)
	w.row = binary.LittleEndian.AppendUint32(w.row[:0], clamp(at.unix()))
	w.row = keys.append(w.row)
	s.devices.Put(key, w.row)
}

// happenedAt returns when a record's event happened, in unix seconds. A NAS that has not set its clock, or is more than a day
// ahead, does not count as knowing.
func happenedAt(at Stamp, v *event.AccountedView) uint32 {
	const year2000, day = 946684800, 86400
	now := at.unix()
	if v.EventUnix < year2000 || v.EventUnix > now+day {
		return clamp(now)
	}
	return clamp(v.EventUnix)
}

// clamp fits unix seconds into 32 bits, which last until 2106.
func clamp(unix int64) uint32 { return uint32(min(max(unix, 0), 1<<32-1)) }

// endings lists tombstones in the order in which they were made, so that a sweep looks at no more than it removes.
type endings struct {
	mu    sync.Mutex // the queue is the writer's; its size is asked for by others
	queue []ending
	head  int
}

type ending struct {
	recorded uint32
	ref      rows.Ref
}

func (e *endings) push(recorded uint32, ref rows.Ref) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.head > 1024 && e.head > len(e.queue)/2 {
		e.queue = append(e.queue[:0], e.queue[e.head:]...)
		e.head = 0
	}
	e.queue = append(e.queue, ending{recorded, ref})
}

// pop returns the oldest tombstone if it was made before the time.
func (e *endings) pop(before uint32) (ending, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.head == len(e.queue) || e.queue[e.head].recorded >= before {
		return ending{}, false
	}
	e.head++
	return e.queue[e.head-1], true
}

func (e *endings) bytes() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return 8 * cap(e.queue)
}

// loadEndings lists the tombstones anew.
func (s *State) loadEndings() error {
	var queue []ending
	var bad error
	s.ended.Scan(0, func(ref rows.Ref, _, row []byte) bool {
		var t tombstone
		if bad = t.decode(row); bad != nil {
			return false
		}
		queue = append(queue, ending{t.recorded, ref})
		return true
	})
	slices.SortFunc(queue, func(a, b ending) int { return int(int64(a.recorded) - int64(b.recorded)) })
	s.endings.mu.Lock()
	defer s.endings.mu.Unlock()
	s.endings.queue, s.endings.head = queue, 0
	return bad
}
