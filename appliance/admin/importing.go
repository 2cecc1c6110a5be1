package admin

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"

	"trine/appliance/admin/api"
	"trine/engine/document"
)

type importInput struct {
	Call
	DryRun      bool   `query:"dryRun" doc:"Check the rows and change nothing"`
	SkipBadRows bool   `query:"skipBadRows" doc:"Take the good rows although others are refused"`
	Existing    string `query:"existing" enum:"refuse,update,keep" default:"refuse" doc:"Users that exist: refuse their rows, update them, or keep them as they are"`
	Comment     string `query:"comment" maxLength:"1024" doc:"Why, for the history"`
	File        string `query:"file" maxLength:"1024" doc:"Name of the file, for findings"`
}

type jobAnswer struct {
	Location string `header:"Location" doc:"Where the job says how far it is"`
	Body     api.Job
}

// importUsers keeps the upload in a file and starts the job that takes it in.
func (s *Server) importUsers(ctx context.Context, in *importInput) (*jobAnswer, error) {
	if !in.caller.mayWrite(document.KindUser) {
		return nil, permitted(&in.caller, &wish{deletes: []deletion{{kind: document.KindUser}}})
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	f, err := os.CreateTemp(s.cfg.Scratch, "import-*.csv")
	if err != nil {
		return nil, fmt.Errorf("keep the upload: %w", err)
	}
	// The file has no name from here on, so that nothing is left of it however the node ends.
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("keep the upload: %w", err)
	}
	if _, err := io.Copy(f, in.http.Body); err != nil {
		_ = f.Close()
		return nil, bodyProblem(err)
	}
	im := &importer{server: s, file: f, options: *in, by: in.caller.By, look: lookup{server: s, cache: map[string]*document.Document{}}}
	j, err := s.jobs.start("users.import", in.caller.By, im.run)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	v := j.snapshot()
	return &jobAnswer{Location: apiPath + "/jobs/" + v.ID, Body: v}, nil
}

// importer takes in one file of users. It walks the file twice, a row at a time: first it checks every row, then it writes
// those that are good into one staged proposal. So memory stays the same whatever the file's size, and nothing takes effect
// before everything is known to be right.
type importer struct {
	server  *Server
	file    *os.File
	options importInput
	by      string
	look    lookup

	bad    map[int]struct{} // numbers of rows that are refused
	counts api.Imported
}

// progressRows is after how many rows a job says how far it is.
const progressRows = 100

// run is the job.
func (im *importer) run(ctx context.Context, j *job) error {
	defer im.file.Close()
	im.bad = map[int]struct{}{}
	if err := im.check(ctx, j); err != nil {
		return err
	}
	if im.counts.Bad > 0 && !im.options.SkipBadRows {
		j.update(func(v *api.Job) { im.show(v) })
		return api.NewProblem(http.StatusUnprocessableEntity, api.ReasonInvalid, "%d of %d rows are refused; nothing was changed; skipBadRows (--skip-bad-rows) takes the good rows alone", im.counts.Bad, im.counts.Rows)
	}
	if err := im.write(ctx, j); err != nil {
		return err
	}
	j.update(func(v *api.Job) { im.show(v); v.Done = im.counts.Rows })
	return nil
}

func (im *importer) show(v *api.Job) {
	counts := im.counts
	v.Import = &counts
}

// rows walks the file from its beginning.
func (im *importer) rows() (iter.Seq[document.Row], error) {
	if _, err := im.file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read the upload: %w", err)
	}
	rows, err := document.UsersFromCSV(im.file, document.CSVOptions{File: im.options.File})
	if err != nil {
		return nil, parseProblem(err)
	}
	return rows, nil
}

// check finds the rows that cannot be taken in.
func (im *importer) check(ctx context.Context, j *job) error {
	rows, err := im.rows()
	if err != nil {
		return err
	}
	j.update(func(v *api.Job) { v.Phase = "checking" })
	for row := range rows {
		im.counts.Rows++
		if im.counts.Rows%progressRows == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			j.update(func(v *api.Job) { v.Done = im.counts.Rows; im.show(v) })
		}
		problems := row.Problems
		if row.Document != nil {
			problems = im.checkRow(row.Document)
			if im.look.err != nil {
				return im.look.err
			}
		}
		if len(problems) == 0 {
			continue
		}
		im.bad[row.Number] = struct{}{}
		im.counts.Bad++
		for _, p := range problems {
			if p.Line == 0 {
				p.File, p.Line = im.options.File, row.Line
			}
			j.found(api.Finding(p))
		}
	}
	j.update(func(v *api.Job) { v.Total = im.counts.Rows; im.show(v) })
	return ctx.Err()
}

// checkRow says what is wrong with a row beside what the row itself shows.
func (im *importer) checkRow(d *document.Document) document.Problems {
	if im.options.Existing != "update" {
		if _, exists := im.server.cfg.State.Document(d.Kind, d.Name); exists {
			if im.options.Existing == "keep" {
				return nil
			}
			return document.Problems{at(d, "userName", "the user exists already")}
		}
	}
	return document.ValidateAll([]*document.Document{d}, nil, &im.look)
}

// write proposes the good rows, or only counts them for a dry run.
func (im *importer) write(ctx context.Context, j *job) error {
	rows, err := im.rows()
	if err != nil {
		return err
	}
	w := newWriter(im.server, im.by, im.options.Comment)
	j.update(func(v *api.Job) { v.Phase, v.Done = "writing", 0 })
	done := 0
	for row := range rows {
		if done++; done%progressRows == 0 {
			j.update(func(v *api.Job) { v.Done = done; im.show(v) })
		}
		if err = ctx.Err(); err != nil {
			break
		}
		if _, refused := im.bad[row.Number]; refused || row.Document == nil {
			continue
		}
		if err = im.writeRow(ctx, w, row.Document); err != nil {
			break
		}
	}
	if err != nil {
		w.abandon(ctx)
		return err
	}
	im.counts.Passwords = w.passwords
	if im.options.DryRun || w.empty() {
		return nil
	}
	out, err := w.finish(ctx)
	im.counts.Index = out.Index
	return err
}

// writeRow adds what a row changes.
func (im *importer) writeRow(ctx context.Context, w *writer, d *document.Document) error {
	if im.options.Existing == "keep" {
		if _, exists := im.server.cfg.State.Document(d.Kind, d.Name); exists {
			im.counts.Kept++
			return nil
		}
	}
	var problems, conflicts document.Problems
	st, err := im.server.planPut(ctx, d, &problems, &conflicts)
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		return refusal(problems)
	}
	switch {
	case st.action == api.Unchanged:
		im.counts.Unchanged++
		return nil
	case st.version == 0:
		im.counts.Created++
	default:
		im.counts.Updated++
	}
	if im.options.DryRun {
		if st.password != nil {
			w.passwords++
		}
		return nil
	}
	return w.add(ctx, &st)
}
