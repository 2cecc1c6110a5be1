package admin

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/protobuf/proto"

	"trine/appliance/admin/api"
	"trine/engine/credential"
	"trine/engine/document"
	"trine/engine/event"
)

// passwordTime bounds how long one password may take to be turned into its stored forms, its wait for a place included.
const passwordTime = 30 * time.Second

// queueWait is how long a password waits before it asks for a place in the hasher's queue again.
const queueWait = 50 * time.Millisecond

// apply puts a plan in force: one proposal, which expects every document of the plan at the version that the plan was made of.
// It returns when the policy cache in force contains the change.
func (s *Server) apply(ctx context.Context, caller *Caller, p *plan) (api.Plan, error) {
	v := p.view()
	if !v.Pending() {
		v.Applied = true
		return v, nil
	}
	w := newWriter(s, caller.By, p.comment)
	w.types = p.types
	for i := range p.steps {
		if err := w.add(ctx, &p.steps[i]); err != nil {
			w.abandon(ctx)
			return v, err
		}
	}
	out, err := w.finish(ctx)
	if err != nil {
		return v, err
	}
	v.Applied, v.Index = true, out.Index
	return v, s.published(ctx, out.Index)
}

// writer turns steps into one proposal. A proposal that outgrows a record goes out in stages, a piece at a time, and takes effect
// with its last one: so an apply of any size needs little memory here, and still is all or nothing.
type writer struct {
	server  *Server
	by      string
	comment string
	types   map[string]*document.UserType // user types that the same proposal writes

	plain  event.Builder // the proposal, while it fits into one record
	config piece         // events of class config
	people piece         // events of class identity
	events int

	stage  uint64 // 0 until the first piece goes out
	pieces uint32
	// passwords is how many passwords were set; building are those whose forms are being made, in the order of their events.
	passwords int
	building  []*building
}

// building is a password that is being turned into its stored forms.
type building struct {
	must   bool
	set    *event.PasswordSet
	err    error
	done   chan struct{} // closed when set or err is there
	cancel context.CancelFunc
}

// piece is a part of a staged proposal: events of one class, for retention, with the streams that they are found under.
type piece struct {
	class   event.Class
	staged  event.Staged
	streams map[uint64]struct{}
	size    int
}

// pieceRoom is what of a record is left free for the envelopes of a piece.
const pieceRoom = 8 << 10

func newWriter(s *Server, by, comment string) *writer {
	return &writer{
		server: s, by: by, comment: comment,
		config: piece{class: event.ClassConfig, streams: map[uint64]struct{}{}},
		people: piece{class: event.ClassIdentity, streams: map[uint64]struct{}{}},
	}
}

// add adds what a step changes, and what it expects.
func (w *writer) add(ctx context.Context, st *step) error {
	class := event.ClassOf(st.kind)
	if err := w.expect(ctx, class, event.Expectation_VERSION, documentKey(st.kind, st.name), st.version); err != nil {
		return err
	}
	switch {
	case st.action == api.Delete:
		return w.event(ctx, event.TypeDocumentDeleted, class, documentStreams(st.kind, st.name), &event.DocumentDeleted{Kind: st.kind, Name: st.name, By: w.by, Comment: w.comment})
	case st.writes:
		spec, err := st.after.Stored()
		if err != nil {
			return err
		}
		put := &event.DocumentPut{
			Kind: st.kind, Name: st.name, Version: st.result, Spec: spec, Refs: st.after.Refs(), Claims: st.after.Claims(), By: w.by, Comment: w.commentOf(st.after),
		}
		if err := w.event(ctx, event.TypeDocumentPut, class, documentStreams(st.kind, st.name), put); err != nil {
			return err
		}
	}
	if st.password == nil {
		return nil
	}
	return w.password(ctx, st)
}

// commentOf returns a document's own comment, or else that of the whole apply.
func (w *writer) commentOf(d *document.Document) string {
	if d.Comment != "" {
		return d.Comment
	}
	return w.comment
}

// password turns a step's password into the forms that the user type keeps. As many are made at a time as the node works on at once; their
// events follow when they are done, after the documents that they belong to.
func (w *writer) password(ctx context.Context, st *step) error {
	u, ok := specOf[*document.User](st.after)
	if !ok {
		return fmt.Errorf("set a password of %s, which is no user", documentKey(st.kind, st.name))
	}
	t, err := w.server.userType(u.UserType, w.types)
	if err != nil {
		return err
	}
	w.passwords++
	name, password := st.name, st.password
	if st.isHash {
		defer clear(password)
		set, err := w.server.cfg.Passwords.Import(name, string(password), t)
		if err != nil {
			return passwordProblem(name, st.passwordField(), err)
		}
		return w.setPassword(ctx, set, st.must)
	}
	if len(w.building) >= w.server.cfg.PasswordsAtOnce {
		if err := w.built(ctx); err != nil {
			return err
		}
	}
	making, cancel := context.WithCancel(ctx)
	b := &building{must: st.must, done: make(chan struct{}), cancel: cancel}
	w.building = append(w.building, b)
	go func() {
		defer close(b.done)
		defer clear(password)
		b.set, b.err = w.server.forms(making, name, password, t)
	}()
	return nil
}

// built waits for the first password that is being made, and adds its event.
func (w *writer) built(ctx context.Context) error {
	b := w.building[0]
	w.building = w.building[1:]
	<-b.done // it ends with ctx
	b.cancel()
	if b.err != nil {
		return b.err
	}
	return w.setPassword(ctx, b.set, b.must)
}

func (w *writer) setPassword(ctx context.Context, set *event.PasswordSet, must bool) error {
	set.MustChange, set.By = must, w.by
	return w.event(ctx, event.TypePasswordSet, event.ClassIdentity, documentStreams(document.KindUser, set.User), set)
}

// empty reports whether there is nothing to propose.
func (w *writer) empty() bool { return w.events == 0 && len(w.building) == 0 }

// forms makes the stored forms of a password.
func (s *Server) forms(ctx context.Context, name string, password []byte, t *document.UserType) (*event.PasswordSet, error) {
	ctx, cancel := context.WithTimeout(ctx, passwordTime)
	defer cancel()
	set, err := s.cfg.Passwords.Build(ctx, name, password, t)
	for errors.Is(err, credential.ErrQueueFull) { // logins come first; an import waits for a place
		select {
		case <-time.After(queueWait):
			set, err = s.cfg.Passwords.Build(ctx, name, password, t)
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		return nil, passwordProblem(name, "spec.password", err)
	}
	return set, nil
}

func passwordProblem(name, field string, err error) *api.Problem {
	return api.NewProblem(http.StatusUnprocessableEntity, api.ReasonPasswordFailed, "the password of %s could not be set: %v; nothing was changed", name, err).
		With(api.Finding{Kind: document.KindUser, Name: name, Field: field, Reason: err.Error()})
}

// userType returns the user type of that name, out of the same apply if it is in there.
func (s *Server) userType(name string, changed map[string]*document.UserType) (*document.UserType, error) {
	if name == "" {
		name = "default"
	}
	if t, ok := changed[name]; ok {
		return t, nil
	}
	d, _, err := s.read(document.KindUserType, name)
	if err != nil {
		return nil, err
	}
	if t, ok := specOf[*document.UserType](d); ok {
		return t, nil
	}
	return document.DefaultUserType(), nil
}

// documentStreams returns the streams under which events of a document are found.
func documentStreams(kind, name string) []uint64 {
	streams := []uint64{event.StreamKey(event.StreamDocument, documentKey(kind, name))}
	if kind == document.KindUser {
		streams = append(streams, event.StreamKey(event.StreamUser, event.FoldName(name)))
	}
	return streams
}

func (w *writer) expect(ctx context.Context, class event.Class, kind event.Expectation_Kind, key string, value uint64) error {
	if w.stage == 0 {
		w.plain.Expect(kind, key, value)
	}
	pc := w.pieceOf(class)
	x := &event.Expectation{Kind: kind, Key: key, Value: value}
	pc.staged.Expect = append(pc.staged.Expect, x)
	pc.size += proto.Size(x) + 4
	return w.flushFull(ctx, pc)
}

func (w *writer) event(ctx context.Context, t event.Type, class event.Class, streams []uint64, m proto.Message) error {
	if w.stage == 0 {
		if err := w.plain.Add(t, class, streams, m); err != nil {
			return err
		}
	}
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode %s: %w", t, err)
	}
	e := &event.Event{Type: uint32(t), Class: uint32(class), Streams: streams, Body: body}
	size := proto.Size(e)
	if size+pieceRoom > w.server.cfg.MaxRecord {
		return api.NewProblem(http.StatusUnprocessableEntity, api.ReasonInvalid, "a document is too large: %d bytes, and %d fit into a record; nothing was changed", size, w.server.cfg.MaxRecord-pieceRoom)
	}
	pc := w.pieceOf(class)
	if pc.size+size+8*len(streams)+pieceRoom > w.server.cfg.MaxRecord {
		if err := w.flush(ctx, pc); err != nil {
			return err
		}
	}
	w.events++
	pc.staged.Events = append(pc.staged.Events, e)
	for _, s := range streams {
		pc.streams[s] = struct{}{}
	}
	pc.size += size + 8*len(streams) + 8
	return nil
}

func (w *writer) pieceOf(class event.Class) *piece {
	if class == event.ClassIdentity {
		return &w.people
	}
	return &w.config
}

// flushFull sends a piece that expectations alone have filled.
func (w *writer) flushFull(ctx context.Context, pc *piece) error {
	if pc.size+pieceRoom <= w.server.cfg.MaxRecord {
		return nil
	}
	return w.flush(ctx, pc)
}

// flush sends a piece on its way.
func (w *writer) flush(ctx context.Context, pc *piece) error {
	if len(pc.staged.Events)+len(pc.staged.Expect) == 0 {
		return nil
	}
	if w.stage == 0 {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails: it ends the process instead
		w.stage = binary.BigEndian.Uint64(b[:]) | 1
		w.plain = event.Builder{}
	}
	pc.staged.Stage, pc.staged.Piece = w.stage, w.pieces
	streams := make([]uint64, 0, len(pc.streams)+1)
	streams = append(streams, event.StreamKey(event.StreamStage, event.FormatID(w.stage)))
	for s := range pc.streams {
		streams = append(streams, s)
	}
	var b event.Builder
	if err := b.Add(event.TypeStaged, pc.class, streams, &pc.staged); err != nil {
		return err
	}
	w.pieces++
	pc.staged.Reset()
	clear(pc.streams)
	pc.size = 0
	_, err := w.server.propose(ctx, b.Bytes())
	return err
}

// finish makes everything take effect.
func (w *writer) finish(ctx context.Context) (Outcome, error) {
	for len(w.building) > 0 {
		if err := w.built(ctx); err != nil {
			w.abandon(ctx)
			return Outcome{}, err
		}
	}
	if w.stage == 0 && w.plain.Len() <= w.server.cfg.MaxRecord {
		return w.server.propose(ctx, w.plain.Bytes())
	}
	for _, pc := range []*piece{&w.config, &w.people} {
		if err := w.flush(ctx, pc); err != nil {
			w.abandon(ctx)
			return Outcome{}, err
		}
	}
	var b event.Builder
	commit := &event.StageCommitted{Stage: w.stage, Pieces: w.pieces, By: w.by}
	if err := b.Add(event.TypeStageCommitted, event.ClassSystem, w.stageStream(), commit); err != nil {
		return Outcome{}, err
	}
	out, err := w.server.propose(ctx, b.Bytes())
	if err != nil {
		w.abandon(ctx)
	}
	return out, err
}

func (w *writer) stageStream() []uint64 {
	return []uint64{event.StreamKey(event.StreamStage, event.FormatID(w.stage))}
}

// abandonTime bounds the farewell to a stage that will not be committed.
const abandonTime = 5 * time.Second

// abandon drops what was staged. A stage that cannot be dropped now is swept after an hour; it has no effect either way.
func (w *writer) abandon(ctx context.Context) {
	for _, b := range w.building {
		b.cancel()
	}
	w.building = nil
	if w.stage == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTime)
	defer cancel()
	var b event.Builder
	err := b.Add(event.TypeStageAbandoned, event.ClassSystem, w.stageStream(), &event.StageAbandoned{Stage: w.stage})
	if err == nil {
		_, err = w.server.cfg.Log.Propose(ctx, b.Bytes())
	}
	if err != nil {
		w.server.log.Warn("staged proposal could not be dropped; it will be swept", "stage", event.FormatID(w.stage), "error", err)
	}
}
