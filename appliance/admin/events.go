package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"trine/appliance/admin/api"
	"trine/engine/event"
)

// String prints the position as "index.offset".
func (p Position) String() string {
	return strconv.FormatUint(p.Index, 10) + "." + strconv.FormatUint(uint64(p.Offset), 10)
}

// parsePosition reads what String prints; the offset may be left out.
func parsePosition(text string) (Position, error) {
	index, offset, dotted := strings.Cut(text, ".")
	i, err := strconv.ParseUint(index, 10, 64)
	var o uint64
	if err == nil && dotted {
		o, err = strconv.ParseUint(offset, 10, 32)
	}
	if err != nil {
		return Position{}, fmt.Errorf("%q is not a position such as 4711.0", text)
	}
	return Position{Index: i, Offset: uint32(o)}, nil
}

func (s *Server) registerEvents(a huma.API) {
	const tag = "Events"
	scopes := []string{ScopeRead, ScopeEvents}
	register(a, operation{
		id: "listEvents", method: http.MethodGet, path: "/events", tag: tag, summary: "Read the log, a page at a time",
		about: "Secrets are left out. What was staged for a large apply stands where it was staged, and took effect where its stage was committed; read by stream, its events appear one by one, and only if it was.", scopes: scopes,
	}, s.listEvents)
	register(a, operation{
		id: "followEvents", method: http.MethodGet, path: "/events/follow", tag: tag, summary: "Follow the log as server-sent events", stream: true,
		about:    "Each message has the position as its id and an Event as its data. A message of type failed ends the stream with a Problem. Last-Event-ID goes on behind that position; without it and without since or from, the stream begins now.",
		produces: "text/event-stream", scopes: scopes,
	}, s.followEvents)
	register(a, operation{
		id: "explainDecision", method: http.MethodGet, path: "/explain/{id}", tag: tag, summary: "Say why a login was decided as it was", scopes: scopes,
	}, s.explain)
}

// EventFilter is the query parameters of the operations that read events.
type EventFilter struct {
	Class   []string `query:"class,explode" maxItems:"8" doc:"Only these classes: config, identity, session, accounting, decision, system"`
	Stream  string   `query:"stream" maxLength:"512" doc:"Only this stream: a namespace and a name, such as user/alice or document/Group/staff"`
	Since   string   `query:"since" maxLength:"64" doc:"Not before this time (RFC 3339)"`
	Until   string   `query:"until" maxLength:"64" doc:"Before this time (RFC 3339)"`
	From    string   `query:"from" maxLength:"40" doc:"From this position on"`
	Reverse bool     `query:"reverse" doc:"Newest first"`
}

func (f *EventFilter) query() (EventQuery, error) {
	q := EventQuery{Reverse: f.Reverse}
	var err error
	for _, name := range f.Class {
		c, ok := event.ParseClass(name)
		if !ok {
			return q, badParameter("class", "there is no class %q; classes are config, identity, session, accounting, decision and system", name)
		}
		q.Classes = append(q.Classes, c)
	}
	if q.Since, err = parseTime("since", f.Since); err != nil {
		return q, err
	}
	if q.Until, err = parseTime("until", f.Until); err != nil {
		return q, err
	}
	if f.From != "" {
		if q.From, err = parsePosition(f.From); err != nil {
			return q, badParameter("from", "%v", err)
		}
	}
	if f.Stream != "" {
		if q.Stream, err = parseStream(f.Stream); err != nil {
			return q, badParameter("stream", "%v", err)
		}
	}
	return q, nil
}

func parseTime(name, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return t, badParameter(name, "%q is not a time such as 2006-01-31T15:04:05Z", text)
	}
	return t, nil
}

// parseStream returns the key of a stream such as "user/alice", with the name in the form in which it is recorded.
func parseStream(text string) (uint64, error) {
	namespace, name, ok := strings.Cut(text, "/")
	if !ok || name == "" {
		return 0, fmt.Errorf("a stream is a namespace and a name, such as user/alice")
	}
	switch namespace {
	case event.StreamUser, event.StreamMAC:
		name = event.FoldName(name)
	case event.StreamDocument:
		kind, of, _ := strings.Cut(name, "/")
		name = event.Key(kind, of)
	case event.StreamDecision, event.StreamStage, event.StreamSSO, event.StreamGrant:
		id, err := event.ParseID(name)
		if err != nil {
			return 0, err
		}
		name = event.FormatID(id)
	case event.StreamSession:
		// A session id is shown like other ids, and recorded in hexadecimal.
		if id, err := event.ParseID(name); err == nil {
			name = sessionStream(id)
		}
	case event.StreamClient, event.StreamNAS:
	default:
		return 0, fmt.Errorf("there is no stream namespace %q; there are document, user, session, client, decision, nas, mac, stage, sso and grant", namespace)
	}
	return event.StreamKey(namespace, name), nil
}

type listEventsInput struct {
	Call
	EventFilter
	Limit int `query:"limit" minimum:"1" maximum:"1000" default:"200"`
}

func (s *Server) listEvents(ctx context.Context, in *listEventsInput) (*answer[api.EventList], error) {
	q, err := in.query()
	if err != nil {
		return nil, err
	}
	list := api.EventList{Events: []api.Event{}}
	if from := s.cfg.Events.Complete(); from > 1 {
		list.CompleteFrom = from
	}
	for item, err := range s.cfg.Events.Read(ctx, q) {
		if err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
		if len(list.Events) >= in.Limit {
			list.Next = item.Position.String()
			break
		}
		events, err := s.eventViews(ctx, &item, q.Stream)
		if err != nil {
			return nil, err
		}
		list.Events = append(list.Events, events...)
	}
	return &answer[api.EventList]{Body: list}, nil
}

// eventViews shows an item. Of a staged piece that was asked for by a stream, it shows those of its events that are in the stream, at
// the piece's position and the commit's time, and nothing if the stage was not committed.
func (s *Server) eventViews(ctx context.Context, item *Item, stream uint64) ([]api.Event, error) {
	f, err := decode(item)
	if err != nil {
		return nil, err
	}
	staged, ok := f.body.(*event.Staged)
	if !ok || stream == 0 || stream == event.StreamKey(event.StreamStage, event.FormatID(staged.Stage)) {
		ev, err := s.eventView(item)
		return []api.Event{ev}, err
	}
	commit, ok, err := s.committed(ctx, staged.Stage)
	if err != nil || !ok {
		return nil, err
	}
	var events []api.Event
	for _, e := range staged.Events {
		if !slices.Contains(e.Streams, stream) {
			continue
		}
		inner, err := unstage(e, &commit)
		if err != nil {
			return nil, err
		}
		body, err := s.eventBody(inner.body)
		if err != nil {
			return nil, err
		}
		events = append(events, api.Event{Position: f.at.String(), At: inner.time, Class: inner.class.String(), Type: inner.kind.String(), Body: body})
	}
	return events, nil
}

func (s *Server) eventView(item *Item) (api.Event, error) {
	f, err := decode(item)
	if err != nil {
		return api.Event{}, err
	}
	body, err := s.eventBody(f.body)
	return api.Event{Position: f.at.String(), At: f.time, Class: f.class.String(), Type: f.kind.String(), Body: body}, err
}

type followInput struct {
	Call
	EventFilter
	LastEventID string `header:"Last-Event-ID" maxLength:"40" doc:"Position of the last event that was seen"`
	Limit       int    `query:"limit" minimum:"0" doc:"End after so many events; 0: never"`
}

// heartbeat is how often a stream without events says that it lives.
const heartbeat = 15 * time.Second

func (s *Server) followEvents(_ context.Context, in *followInput) (*huma.StreamResponse, error) {
	q, err := in.query()
	if err != nil {
		return nil, err
	}
	if q.Reverse {
		return nil, badParameter("reverse", "a stream that goes on cannot go backwards")
	}
	if in.LastEventID != "" {
		last, err := parsePosition(in.LastEventID)
		if err != nil {
			return nil, badParameter("Last-Event-ID", "%v", err)
		}
		q.From = Position{Index: last.Index, Offset: last.Offset + 1}
	}
	if q.From == (Position{}) && q.Since.IsZero() {
		q.From = s.cfg.Events.Last()
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", "text/event-stream")
		hc.SetHeader("X-Accel-Buffering", "no")
		hc.SetStatus(http.StatusOK)
		st := &eventStream{server: s, caller: &in.caller, rc: http.NewResponseController(in.writer), w: hc.BodyWriter()}
		st.run(hc.Context(), q, in.Limit)
	}}, nil
}

// eventStream writes server-sent events to one reader. The log is read in its own goroutine, so that a heartbeat goes out while
// there is nothing to read; a slow reader holds nothing but that goroutine. A stream ends with the key that it was asked for with: at
// the next event or heartbeat.
type eventStream struct {
	server *Server
	caller *Caller
	rc     *http.ResponseController
	w      io.Writer
}

func (st *eventStream) run(ctx context.Context, q EventQuery, limit int) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type read struct {
		ev  api.Event
		err error
	}
	reads := make(chan read)
	go func() {
		defer close(reads)
		for item, err := range st.server.cfg.Events.Follow(ctx, q) {
			r := read{err: err}
			if err == nil {
				r.ev, r.err = st.server.eventView(&item)
			}
			select {
			case reads <- r:
			case <-ctx.Done():
				return
			}
			if r.err != nil {
				return
			}
		}
	}()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	if st.write(": stream of events\n\n") != nil {
		return
	}
	for sent := 0; ; {
		select {
		case r, ok := <-reads:
			if !ok {
				return
			}
			if r.err != nil {
				st.fail(r.err)
				return
			}
			if !st.server.inForce(st.caller) {
				st.fail(errKeyOver())
				return
			}
			if st.send("event", r.ev.Position, r.ev) != nil {
				return
			}
			if sent++; limit > 0 && sent == limit {
				return
			}
		case <-beat.C:
			if !st.server.inForce(st.caller) {
				st.fail(errKeyOver())
				return
			}
			if st.write(": alive\n\n") != nil {
				return
			}
		case <-st.server.stop:
			st.fail(api.NewProblem(http.StatusServiceUnavailable, api.ReasonNoLeader, "the node is stopping"))
			return
		case <-ctx.Done():
			return
		}
	}
}

// fail ends the stream with a problem. The reader may be gone.
func (st *eventStream) fail(err error) {
	_ = st.send("failed", "", api.StreamFailed{Problem: *problemOf(err)})
}

func (st *eventStream) send(name, id string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if id != "" {
		fmt.Fprintf(&b, "id: %s\n", id)
	}
	fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", name, data)
	return st.write(b.String())
}

func (st *eventStream) write(text string) error {
	_ = st.rc.SetWriteDeadline(time.Now().Add(readTime)) // a recorder in a test has none
	if _, err := io.WriteString(st.w, text); err != nil {
		return err
	}
	return st.rc.Flush()
}
