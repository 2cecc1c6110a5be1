package admin

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"trine/appliance/admin/api"
)

type backupInput struct {
	Call
	Body api.BackupRequest
}

func (s *Server) registerBackup(a huma.API) {
	register(a, operation{
		id: "makeBackup", method: http.MethodPost, path: "/backup", tag: "Node", summary: "Back up everything", stream: true,
		about: "Answers an archive of everything that the node holds, history and secrets included, as of one entry of the log, encrypted with the passphrase (age). The node goes on serving. " +
			"An answer that is cut off is no archive. `trine restore --check` reads one whole.",
		produces: "application/octet-stream", scopes: []string{ScopeBackup},
	}, s.makeBackup)
}

func (s *Server) makeBackup(_ context.Context, in *backupInput) (*huma.StreamResponse, error) {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		w := &patient{rc: http.NewResponseController(in.writer), w: ctx.BodyWriter(), begin: func() {
			ctx.SetHeader("Content-Type", "application/octet-stream")
			ctx.SetStatus(http.StatusOK)
		}}
		err := s.cfg.Backup(ctx.Context(), in.Body.Passphrase, w)
		switch {
		case err == nil:
		case w.begun:
			s.log.Warn("a backup ended early", "error", err)
			panic(http.ErrAbortHandler) // the reader must not take it for whole
		default:
			writeProblem(in.writer, api.NewProblem(http.StatusConflict, api.ReasonConflict, "%v", err))
		}
	}}, nil
}

// patient gives a slow reader a new deadline with each write, and begins the answer with the first.
type patient struct {
	rc    *http.ResponseController
	w     io.Writer
	begin func()
	begun bool
}

// Write implements io.Writer.
func (p *patient) Write(b []byte) (int, error) {
	if !p.begun {
		p.begun = true
		p.begin()
	}
	_ = p.rc.SetWriteDeadline(time.Now().Add(idleTime)) // a recorder in a test has none
	return p.w.Write(b)
}
