package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/protobuf/proto"

	"trine/appliance/admin/api"
	"trine/engine/event"
)

// publishTime bounds how long an answer waits for its change to be in force.
const publishTime = 30 * time.Second

// propose proposes and turns what can go wrong into problems. Void proposals are conflicts.
func (s *Server) propose(ctx context.Context, proposal []byte) (Outcome, error) {
	out, err := s.cfg.Log.Propose(ctx, proposal)
	if err != nil {
		return out, logProblem(err)
	}
	return out, voidProblem(out)
}

// record proposes one event by itself.
func (s *Server) record(ctx context.Context, t event.Type, class event.Class, streams []uint64, m proto.Message) error {
	var b event.Builder
	if err := b.Add(t, class, streams, m); err != nil {
		return err
	}
	_, err := s.propose(ctx, b.Bytes())
	return err
}

// voidProblem returns nil for an outcome that took effect.
func voidProblem(out Outcome) error {
	switch out.Code {
	case 0:
		return nil
	case event.CodeMissing:
		return api.NewProblem(http.StatusNotFound, api.ReasonNotFound, "%s", out.Detail)
	}
	return api.NewProblem(http.StatusConflict, api.ReasonConflict, "something changed in between (%s); nothing was changed; look at the new plan and try again", out.Detail)
}

// logProblem says why the log took no proposal.
func logProblem(err error) error {
	switch {
	case errors.Is(err, ErrNoLeader):
		return api.NewProblem(http.StatusServiceUnavailable, api.ReasonNoLeader, "%v; nothing was changed", err)
	case errors.Is(err, ErrBusy):
		return api.NewProblem(http.StatusServiceUnavailable, api.ReasonBusy, "%v; nothing was changed; try again", err)
	case errors.Is(err, ErrDiskFull):
		return api.NewProblem(http.StatusInsufficientStorage, api.ReasonDiskFull, "%v; nothing was changed; logins go on", err)
	case errors.Is(err, ErrUncertain), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return api.NewProblem(http.StatusServiceUnavailable, api.ReasonUncertain, "%v; look before you try again", ErrUncertain)
	}
	return fmt.Errorf("propose: %w", err)
}

// published waits until the change at the index decides logins on this node.
func (s *Server) published(ctx context.Context, index uint64) error {
	ctx, cancel := context.WithTimeout(ctx, publishTime)
	defer cancel()
	if err := s.cfg.Policy.WaitPublished(ctx, index); err != nil {
		return api.NewProblem(http.StatusServiceUnavailable, api.ReasonNotPublished,
			"the change is recorded at index %d, but this node did not put it in force in time: %v", index, err)
	}
	return nil
}
