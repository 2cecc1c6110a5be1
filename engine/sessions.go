package engine

import (
	"errors"
	"strconv"
	"time"

	"trine/engine/event"
	"trine/engine/policy"
	"trine/engine/trace"
)

// reservationTerm is how long a place under a simultaneous-use limit is held for a session whose accounting has not started.
const reservationTerm = 2 * time.Minute

// place holds a place under the simultaneous-use limit, if there is one, and then goes on. Whether there is a place is decided where the
// log is applied, since two nodes may let the same person in at the same time; what this node counts decides only while there
// is no leader, and then only against the login.
func (e *Engine) place(r *Request, userType *policy.UserType) (waits bool) {
	limit := r.person.SessionLimit(userType)
	if limit == 0 {
		return e.proceed(r)
	}
	r.work.limit = limit
	now := e.now()
	user := string(r.user.Name)
	used := e.config.People.CountSessions(user, now)
	count, most := strconv.Itoa(used), strconv.Itoa(limit)
	if e.config.Log.HasLeader() {
		r.trace.Add(trace.SessionsCounted, count, most)
		return e.reserve(r, user, now)
	}
	if used >= limit {
		r.trace.Add(trace.SessionsFull, count, most)
		r.reject(trace.SessionLimit)
		return false
	}
	r.trace.Add(trace.SessionsCounted, count, most)
	r.discard(trace.LogNoLeader)
	return false
}

// reserve proposes the reservation of a place. It returns false if the login is decided, because the log did not take it.
func (e *Engine) reserve(r *Request, user string, now time.Time) (waits bool) {
	b := &r.work.builder
	b.Reset()
	b.Expect(event.Expectation_SESSIONS_BELOW, user, uint64(r.work.limit))
	streams := []uint64{
		event.StreamKey(event.StreamUser, event.FoldName(user)),
		event.StreamKey(event.StreamClient, r.Client.Name),
		decisionKey(r.Decision.ID),
	}
	err := b.Add(event.TypeSessionReserved, event.ClassSession, streams, &event.SessionReserved{
		User: user, Login: r.Decision.ID, Client: r.Client.Name, NotAfterUnix: now.Add(reservationTerm).Unix(),
	})
	if err == nil {
		r.work.stage = atReservation
		err = e.waiting.propose(b.Bytes(), r)
	}
	if err != nil {
		e.unrecorded(r, err)
		return false
	}
	return true
}

// reserved goes on once a reservation is committed or not. It returns true if the request waits once more.
func (e *Engine) reserved(r *Request, o Outcome) (waits bool) {
	limit := strconv.Itoa(r.work.limit)
	switch {
	case o.Err == nil && o.Code == event.CodeLimit:
		r.trace.Add(trace.SessionsFull, o.Detail, limit)
		r.reject(trace.SessionLimit)
	case o.failure() != nil:
		e.unrecorded(r, o.failure())
	default:
		r.trace.Add(trace.SessionReserved, limit, "")
		if !e.tooLate(r) {
			return e.proceed(r)
		}
	}
	return false
}

// unrecorded decides a login whose record the log did not take: the device gets no answer and tries another node.
func (e *Engine) unrecorded(r *Request, err error) {
	r.trace.Add(trace.RecordRefused, err.Error(), "")
	reason := trace.LogNotRecorded
	if errors.Is(err, ErrUnavailable) && !e.config.Log.HasLeader() {
		reason = trace.LogNoLeader
	}
	r.discard(reason)
}
