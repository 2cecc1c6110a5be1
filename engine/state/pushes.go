package state

import (
	"fmt"

	"trine/engine/event"
	"trine/engine/event/field"
)

// PushTerm is for how many seconds after the end of a push challenge an answer is still recorded: what was denied or came too late is worth
// knowing. Answers are remembered for longer than that, so that none is recorded twice.
const PushTerm = 3600

// PushAnswer is what a device said to a push challenge.
type PushAnswer struct {
	Outcome  event.PushOutcome
	Factor   string // id of the device among the user's factors
	notAfter int64
}

// PushAnswer returns what was answered to the challenge that was made for the login of that id, and false if nothing was.
func (s *State) PushAnswer(challenge uint64) (PushAnswer, bool) {
	var key [8]byte
	row, ok := s.pushes.Get(nil, idKey2(&key, challenge))
	if !ok {
		return PushAnswer{}, false
	}
	a, err := decodePushAnswer(row)
	if err != nil {
		violated("a readable row of a push challenge", "%s: %v", event.FormatID(challenge), err)
	}
	return a, true
}

func decodePushAnswer(row []byte) (a PushAnswer, err error) {
	for len(row) > 0 {
		f, rest, ok := field.Next(row)
		if !ok {
			return a, fmt.Errorf("read answer of a device: %w", errRow)
		}
		switch row = rest; f.Num {
		case 1:
			a.Outcome = event.PushOutcome(f.Value)
		case 2:
			a.notAfter = int64(f.Value)
		case 3:
			a.Factor = string(f.Data)
		}
	}
	return a, nil
}

// checkPushAnswered checks that the device is enrolled, and that the challenge was not answered before and is not long over.
func (s *State) checkPushAnswered(at Stamp, m *event.PushAnswered) Result {
	if r := s.checkFactor(m.User, m.Factor, false, 0); r.Code != 0 {
		return r
	}
	switch {
	case s.pushes.Has(idKey(&s.work.key, m.Challenge)):
		return Result{Code: event.CodeConflict, Detail: "the challenge of " + event.FormatID(m.Challenge) + " was answered before"}
	case at.unix() >= m.NotAfterUnix+PushTerm:
		return Result{Code: event.CodeMissing, Detail: "the challenge of " + event.FormatID(m.Challenge) + " has long been over"}
	}
	return Result{}
}

// foldPushAnswered keeps what the device said, and when it was last heard of.
func (s *State) foldPushAnswered(at Stamp, m *event.PushAnswered) {
	key := idKey(&s.work.key, m.Challenge)
	if s.pushes.Has(key) { // by an event before it in the same proposal
		return
	}
	outcome := event.PushOutcome(m.Outcome)
	if outcome == event.PushApproved && at.unix() >= m.NotAfterUnix {
		outcome = event.PushLate
	}
	row := field.AppendNumber(nil, 1, uint64(outcome))
	row = field.AppendNumber(row, 2, uint64(m.NotAfterUnix))
	s.pushes.Put(key, field.AppendBytes(row, 3, []byte(m.Factor)))
	id, list := s.factorsOf(m.User)
	if f := list.find(m.Factor); f != nil {
		f.UsedAt = at.unix()
		s.putFactors(id, &list)
	}
}
