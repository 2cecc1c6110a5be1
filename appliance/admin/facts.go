package admin

import (
	"context"
	"iter"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"trine/engine/event"
)

// fact is one event of the log, decoded.
type fact struct {
	at    Position
	time  time.Time
	class event.Class
	kind  event.Type
	body  proto.Message
}

// facts yields the events of one stream that took effect. Events that were staged appear one by one where their stage was
// committed; those of a stage that was not committed do not appear. Memory of a yielded fact is the receiver's.
func (s *Server) facts(ctx context.Context, stream uint64, classes ...event.Class) iter.Seq2[fact, error] {
	return func(yield func(fact, error) bool) {
		for item, err := range s.cfg.Events.Read(ctx, EventQuery{Stream: stream, Classes: classes}) {
			if err != nil {
				yield(fact{}, err)
				return
			}
			f, err := decode(&item)
			if err != nil {
				yield(fact{}, err)
				return
			}
			staged, ok := f.body.(*event.Staged)
			if !ok {
				if !yield(f, nil) {
					return
				}
				continue
			}
			commit, ok, err := s.committed(ctx, staged.Stage)
			if err != nil {
				yield(fact{}, err)
				return
			}
			if !ok {
				continue
			}
			for _, e := range staged.Events {
				if !slices.Contains(e.Streams, stream) {
					continue
				}
				inner, err := unstage(e, &commit)
				if !yield(inner, err) || err != nil {
					return
				}
			}
		}
	}
}

// committed returns where a stage took effect.
func (s *Server) committed(ctx context.Context, stage uint64) (fact, bool, error) {
	for item, err := range s.cfg.Events.Read(ctx, EventQuery{Stream: event.StreamKey(event.StreamStage, event.FormatID(stage)), Classes: []event.Class{event.ClassSystem}}) {
		if err != nil {
			return fact{}, false, err
		}
		f, err := decode(&item)
		if err != nil {
			return fact{}, false, err
		}
		if c, ok := f.body.(*event.StageCommitted); ok && c.Stage == stage {
			return f, true, nil
		}
	}
	return fact{}, false, nil
}

// unstage decodes an event of a stage that was committed.
func unstage(e *event.Event, commit *fact) (fact, error) {
	envelope := event.Envelope{Type: event.Type(e.Type), Class: event.Class(e.Class), Body: e.Body}
	body, err := envelope.Message()
	return fact{at: commit.at, time: commit.time, class: envelope.Class, kind: envelope.Type, body: body}, err
}

// decode decodes an item of the log.
func decode(item *Item) (fact, error) {
	envelope, err := event.ParseEvent(item.Data)
	if err != nil {
		return fact{}, err
	}
	body, err := envelope.Message()
	return fact{at: item.Position, time: item.Time.UTC(), class: envelope.Class, kind: envelope.Type, body: body}, err
}
