package admin

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"trine/appliance/admin/api"
	"trine/engine/document"
)

const (
	// previewRows is how many rows one preview shows at most.
	previewRows = 1000
	// maxCompiled is how many rows of a kind that policies are compiled from one file may have: they are checked together.
	maxCompiled = 10_000
)

func (s *Server) registerImports(a huma.API) {
	const tag = "CSV"
	register(a, operation{
		id: "importDocuments", method: http.MethodPost, path: "/import/{kind}", tag: tag, summary: "Take in documents from a CSV file",
		about: "Of the kinds " + strings.Join(document.CSVKinds(), ", ") + ". The first row names the columns. All rows are taken in together, or none; rows that are refused are in the job's findings. " +
			"The answer is a job that goes on.",
		status: http.StatusAccepted, scopes: s.writeScopes(), large: true, body: map[string]string{"text/csv": "Documents, a row each; of policies a row for each rule (RFC 4180, UTF-8)"},
	}, s.importDocuments)
	register(a, operation{
		id: "exportCSV", method: http.MethodGet, path: "/export/{kind}", tag: tag, summary: "Stream the documents of a kind as CSV", stream: true,
		about: "Of the kinds AttributeDefinition and AttributePolicy. An import of the export changes nothing.", produces: "text/csv", scopes: s.readScopes(),
	}, s.exportCSV)
}

type importInput struct {
	Call
	Kind        string   `path:"kind" maxLength:"64"`
	DryRun      bool     `query:"dryRun" doc:"Check the rows and change nothing"`
	Preview     int      `query:"preview" minimum:"0" doc:"Show what becomes of each row from this number on, of at most 1000 rows; 0: of none"`
	SkipBadRows bool     `query:"skipBadRows" doc:"Take the good rows although others are refused"`
	Existing    string   `query:"existing" enum:"refuse,update,keep" default:"refuse" doc:"Rows of documents that exist and that make no choice: refuse them, update the document, or keep it as it is"`
	Choices     []string `query:"choice,explode" maxItems:"1000" doc:"ROW=create, ROW=update or ROW=skip: what to do with a row, by its number; counts more than the column action"`
	Columns     []string `query:"column,explode" maxItems:"256" doc:"HEADER=COLUMN: what a column of the file means; with nothing behind the = it is left out"`
	Comma       string   `query:"comma" maxLength:"1" doc:"What separates columns; a comma unless given"`
	Comment     string   `query:"comment" maxLength:"1024" doc:"Why, for the history"`
	File        string   `query:"file" maxLength:"1024" doc:"Name of the file, for findings"`
}

// options returns how the file is to be read.
func (in *importInput) options() (document.CSVOptions, error) {
	o := document.CSVOptions{File: in.File, Columns: map[string]string{}, Choices: map[int]document.Choice{}}
	if in.Comma != "" {
		o.Comma, _ = utf8.DecodeRuneInString(in.Comma)
		if o.Comma == '"' || o.Comma == '\r' || o.Comma == '\n' || o.Comma == utf8.RuneError {
			return o, badParameter("query.comma", "%q cannot separate columns", in.Comma)
		}
	}
	for _, text := range in.Columns {
		header, meaning, ok := strings.Cut(text, "=")
		if _, twice := o.Columns[header]; !ok || twice {
			return o, badParameter("query.column", "expected HEADER=COLUMN once for each header, found %q", text)
		}
		o.Columns[header] = meaning
	}
	for _, text := range in.Choices {
		row, word, _ := strings.Cut(text, "=")
		number, err := strconv.Atoi(row)
		choice, ok := document.ParseChoice(word)
		if err != nil || number < 1 || !ok || choice == document.ChoiceNone {
			return o, badParameter("query.choice", "expected ROW=create, ROW=update or ROW=skip, found %q", text)
		}
		o.Choices[number] = choice
	}
	return o, nil
}

type jobAnswer struct {
	Location string `header:"Location" doc:"Where the job says how far it is"`
	Body     api.Job
}

// importDocuments keeps the upload in a file and starts the job that takes it in.
func (s *Server) importDocuments(ctx context.Context, in *importInput) (*jobAnswer, error) {
	k, err := s.csvKind(in.Kind)
	if err != nil {
		return nil, err
	}
	if !in.caller.mayWrite(k.Name) {
		return nil, permitted(&in.caller, &wish{deletes: []deletion{{kind: k.Name}}})
	}
	options, err := in.options()
	if err != nil {
		return nil, err
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
	im := &importer{server: s, kind: k.Name, file: f, input: *in, options: options, by: in.caller.By, look: lookup{server: s, cache: map[string]*document.Document{}}}
	j, err := s.jobs.start(k.Plural+".import", in.caller.By, im.run)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	v := j.snapshot()
	return &jobAnswer{Location: apiPath + "/jobs/" + v.ID, Body: v}, nil
}

// csvKind returns the kind that a word names, if its documents are read from CSV files.
func (s *Server) csvKind(word string) (document.Kind, error) {
	k, err := s.kind(word)
	if err == nil && document.CSVColumns(k.Name) == nil {
		err = api.NewProblem(http.StatusNotFound, api.ReasonNotFound, "documents of kind %s are not read from CSV files; those of %s are", k.Name, strings.Join(document.CSVKinds(), ", "))
	}
	return k, err
}

// importer takes in one file of documents. It walks the file twice, a row at a time: first it checks every row, then it writes
// those that are good into one staged proposal. So memory stays the same whatever the file's size, and nothing takes effect
// before everything is known to be right. Documents other than users are few and are checked together, too: what one row says may be wrong
// only beside another.
type importer struct {
	server  *Server
	kind    string
	file    *os.File
	input   importInput
	options document.CSVOptions
	by      string
	look    lookup

	bad      map[int]struct{} // numbers of rows that are refused
	together []*document.Document
	rowAt    map[int]*document.Row // by their lines, those in together
	counts   api.Imported
}

// progressRows is after how many rows a job says how far it is.
const progressRows = 100

// run is the job.
func (im *importer) run(ctx context.Context, j *job) error {
	defer im.file.Close()
	im.bad, im.rowAt = map[int]struct{}{}, map[int]*document.Row{}
	if err := im.check(ctx, j); err != nil {
		return err
	}
	refused := im.counts.Bad > 0 && !im.input.SkipBadRows
	if refused {
		im.input.DryRun = true // what would become of the others is worth knowing
	}
	if !refused || im.input.Preview > 0 {
		if err := im.write(ctx, j); err != nil {
			return err
		}
	}
	slices.SortFunc(im.counts.Preview, func(a, b api.ImportedRow) int { return a.Row - b.Row })
	j.update(func(v *api.Job) { im.show(v) })
	if refused {
		return api.NewProblem(http.StatusUnprocessableEntity, api.ReasonInvalid, "%d of %d rows are refused; nothing was changed; skipBadRows (--skip-bad-rows) takes the good rows alone", im.counts.Bad, im.counts.Rows)
	}
	j.update(func(v *api.Job) { v.Done = im.counts.Rows })
	return nil
}

func (im *importer) show(v *api.Job) {
	counts := im.counts
	v.Import = &counts
}

// preview keeps what becomes of a row for those who asked.
func (im *importer) preview(row *document.Row, action string, changes []document.Change, problems document.Problems) {
	first := im.input.Preview
	if first == 0 || row.Number < first || len(im.counts.Preview) == previewRows {
		return
	}
	im.counts.Preview = append(im.counts.Preview, api.ImportedRow{
		Row: row.Number, Line: row.Line, Records: row.Records, Name: row.Name, Action: action, Changes: changesView(changes), Findings: findings(problems),
	})
}

// rows walks the file from its beginning.
func (im *importer) rows() (iter.Seq[document.Row], error) {
	if _, err := im.file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read the upload: %w", err)
	}
	rows, err := document.ReadCSV(im.kind, im.file, im.options)
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
		if row.Choice == document.ChoiceSkip {
			im.counts.Skipped++
			im.preview(&row, api.RowSkip, nil, nil)
			continue
		}
		problems := row.Problems
		if row.Document != nil {
			problems = im.checkRow(&row)
			if im.look.err != nil {
				return im.look.err
			}
		}
		if len(im.together) > maxCompiled {
			return api.NewProblem(http.StatusUnprocessableEntity, api.ReasonInvalid, "the file has more than %d documents; nothing was changed; split it", maxCompiled)
		}
		im.refuse(j, row.Number, row.Line, problems)
		if len(problems) > 0 {
			im.preview(&row, api.RowRefuse, nil, problems)
		}
	}
	if err := im.checkTogether(j); err != nil {
		return err
	}
	j.update(func(v *api.Job) { v.Total = im.counts.Rows; im.show(v) })
	return ctx.Err()
}

// refuse records what is wrong with a row, if anything is.
func (im *importer) refuse(j *job, number, line int, problems document.Problems) {
	if len(problems) == 0 {
		return
	}
	if _, known := im.bad[number]; !known {
		im.bad[number] = struct{}{}
		im.counts.Bad++
	}
	for _, p := range problems {
		if p.Line == 0 {
			p.File, p.Line = im.options.File, line
		}
		j.found(api.Finding(p))
	}
}

// keeps reports whether a row leaves the document as it is because that exists; a problem says that it may not exist, or must.
func (im *importer) keeps(row *document.Row) (bool, document.Problems) {
	d := row.Document
	_, exists := im.server.cfg.State.Document(d.Kind, d.Name)
	choice := row.Choice
	if choice == document.ChoiceNone && im.input.Existing == "refuse" {
		choice = document.ChoiceCreate
	}
	column, what := document.CSVColumns(d.Kind)[0], d.Kind
	if d.Kind == document.KindUser {
		what = "user"
	}
	switch {
	case choice == document.ChoiceCreate && exists:
		return false, document.Problems{at(d, column, fmt.Sprintf("the %s exists already", what))}
	case choice == document.ChoiceUpdate && !exists:
		return false, document.Problems{at(d, column, fmt.Sprintf("there is no such %s to update", what))}
	}
	return choice == document.ChoiceNone && exists && im.input.Existing == "keep", nil
}

// checkRow says what is wrong with a row beside what the row itself shows.
func (im *importer) checkRow(row *document.Row) document.Problems {
	kept, problems := im.keeps(row)
	if kept || len(problems) > 0 {
		return problems
	}
	if im.kind != document.KindUser {
		im.together = append(im.together, row.Document)
		im.rowAt[row.Line] = row
		return nil
	}
	return document.ValidateAll([]*document.Document{row.Document}, nil, &im.look)
}

// checkTogether holds the documents other than users against each other and what is in force, and has the policies compiled with them.
func (im *importer) checkTogether(j *job) error {
	if len(im.together) == 0 {
		return nil
	}
	blame := func(problems document.Problems) error {
		byRow := map[*document.Row]document.Problems{}
		for _, p := range problems {
			row, ok := im.rowAt[p.Line]
			if !ok { // nobody's in particular, or that of a document that is not in the file
				return refusal(problems)
			}
			byRow[row] = append(byRow[row], p)
		}
		for row, list := range byRow {
			im.refuse(j, row.Number, row.Line, list)
			im.preview(row, api.RowRefuse, nil, list)
		}
		return nil
	}
	problems := document.ValidateAll(im.together, nil, &im.look)
	if im.look.err != nil {
		return im.look.err
	}
	if err := blame(problems); err != nil {
		return err
	}
	good := slices.DeleteFunc(slices.Clone(im.together), func(d *document.Document) bool {
		_, refused := im.bad[im.rowAt[d.Source.Line].Number]
		return refused
	})
	draft := im.server.cfg.Policy.Draft(good, nil)
	j.update(func(v *api.Job) { v.Warnings = findings(draft.Warnings) })
	return blame(draft.Problems)
}

// write proposes the good rows, or only counts them for a dry run.
func (im *importer) write(ctx context.Context, j *job) error {
	rows, err := im.rows()
	if err != nil {
		return err
	}
	w := newWriter(im.server, im.by, im.input.Comment)
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
		if err = im.writeRow(ctx, w, &row); err != nil {
			break
		}
	}
	if err != nil {
		w.abandon(ctx)
		return err
	}
	im.counts.Passwords = w.passwords
	if im.input.DryRun || w.empty() {
		return nil
	}
	out, err := w.finish(ctx)
	im.counts.Index = out.Index
	if err == nil && im.kind != document.KindUser {
		err = im.server.published(ctx, out.Index)
	}
	return err
}

// writeRow adds what a row changes.
func (im *importer) writeRow(ctx context.Context, w *writer, row *document.Row) error {
	kept, problems := im.keeps(row)
	if len(problems) > 0 { // it was created or deleted since it was checked
		return refusal(problems)
	}
	if kept {
		im.counts.Kept++
		im.preview(row, api.RowKeep, nil, nil)
		return nil
	}
	var conflicts document.Problems
	st, err := im.server.planPut(ctx, row.Document, &problems, &conflicts)
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		return refusal(problems)
	}
	im.preview(row, string(st.action), st.changes, nil)
	switch {
	case st.action == api.Unchanged:
		im.counts.Unchanged++
		return nil
	case st.version == 0:
		im.counts.Created++
	default:
		im.counts.Updated++
	}
	if im.input.DryRun {
		if st.password != nil {
			w.passwords++
		}
		return nil
	}
	return w.add(ctx, &st)
}

type exportCSVInput struct {
	Call
	Kind string `path:"kind" maxLength:"64"`
}

func (s *Server) exportCSV(_ context.Context, in *exportCSVInput) (*huma.StreamResponse, error) {
	k, err := s.readable(&in.caller, in.Kind)
	if err != nil {
		return nil, err
	}
	if !document.CSVWritten(k.Name) {
		return nil, api.NewProblem(http.StatusNotFound, api.ReasonNotFound, "documents of kind %s are not written as CSV; /export writes every kind as YAML", k.Name)
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		ctx.SetHeader("Content-Type", "text/csv; charset=utf-8")
		ctx.SetStatus(http.StatusOK)
		if err := s.writeCSV(ctx.BodyWriter(), k.Name); err != nil {
			s.log.Warn("export ended early", "error", err)
			panic(http.ErrAbortHandler) // the reader must not take it for whole
		}
	}}, nil
}

func (s *Server) writeCSV(to io.Writer, kind string) error {
	w, err := document.NewCSVWriter(to, kind)
	if err != nil {
		return err
	}
	for stored := range s.cfg.State.Documents(kind, "") {
		d, err := document.FromStored(stored.Kind, stored.Name, stored.Spec)
		if err != nil {
			return err
		}
		if err := w.Write(d); err != nil {
			return err
		}
	}
	return w.Close()
}
