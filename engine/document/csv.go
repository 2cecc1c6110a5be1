package document

import (
	"encoding/csv"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"trine/engine/event"
)

// maxRecord is how long one record of a CSV file may be. An open quote swallows what follows it: this is where it ends.
const maxRecord = 1 << 20

// Choice says what a row asks to be done with its document.
type Choice string

// The choices. A row that makes none leaves it to whoever imports.
const (
	ChoiceNone   Choice = ""
	ChoiceCreate Choice = "create" // refused where the document exists
	ChoiceUpdate Choice = "update" // refused where it does not
	ChoiceSkip   Choice = "skip"   // the row is left out
)

// ParseChoice returns the choice that a word names.
func ParseChoice(word string) (Choice, bool) {
	c := Choice(strings.ToLower(word))
	return c, slices.Contains([]Choice{ChoiceNone, ChoiceCreate, ChoiceUpdate, ChoiceSkip}, c)
}

// CSVOptions says how to read a CSV file.
type CSVOptions struct {
	// File goes into problems.
	File string
	// Comma separates columns; 0 means a comma.
	Comma rune
	// Columns gives header names the meaning of columns; an empty meaning leaves the column out. Headers that are not in it
	// mean what they say.
	Columns map[string]string
	// Choices are made for rows by their number, and count more than the file's.
	Choices map[int]Choice
}

// Row is a document of a CSV file, or what is wrong with it. A policy takes as many records as it has rules.
type Row struct {
	Number   int // of its first record, from 1, the header not counted
	Line     int // of its first record
	Records  int
	Name     string // as far as it could be read
	Choice   Choice
	Document *Document // nil where there are problems, or the row is to be skipped
	Problems Problems
}

// csvAction is the column with a row's choice.
const csvAction = "action"

// csvForm says how documents of a kind stand in a CSV file.
type csvForm struct {
	kind    string
	name    string               // the column with the document's name
	columns map[string]csvColumn // the others
	order   []string             // of an export; nil: there is none
	// attributes has columns attributes.NAME, too.
	attributes bool
	// joined makes one document of records with the same name that follow each other.
	joined bool
}

// csvColumn puts the value of a cell that is not empty into a document, or says what is wrong with it.
type csvColumn func(d *Document, value string) (reason string)

// csvForms returns the form of each kind that is read from CSV files.
func csvForms() []csvForm {
	return []csvForm{userForm(), definitionForm(), policyForm()}
}

func csvFormOf(kind string) (csvForm, bool) {
	for _, f := range csvForms() {
		if f.kind == kind {
			return f, true
		}
	}
	return csvForm{}, false
}

// CSVKinds returns the kinds that can be read from CSV files.
func CSVKinds() []string {
	var kinds []string
	for _, f := range csvForms() {
		kinds = append(kinds, f.kind)
	}
	return kinds
}

// CSVColumns returns the columns of a kind's CSV files in the order of the documentation, the one with the name first; nil for a kind
// that has none.
func CSVColumns(kind string) []string {
	f, ok := csvFormOf(kind)
	if !ok {
		return nil
	}
	order := f.order
	if order == nil {
		order = append([]string{f.name}, slices.Sorted(maps.Keys(f.columns))...)
	}
	return order
}

// ReadCSV reads documents of a kind from a CSV file (RFC 4180, UTF-8) whose first record names the columns: those of CSVColumns, of
// which the one with the name must be there, and action with a Choice; for users, attributes.NAME too. It returns Problems where the header is
// wrong. The sequence yields a row at a time and holds no more than that, but for a number for each claim: what an earlier row claims,
// such as a login name, is a problem of the later one. An empty cell stands for a field that is not given. The sequence can be walked once;
// after a record that cannot be read at all it ends with that row.
func ReadCSV(kind string, r io.Reader, o CSVOptions) (iter.Seq[Row], error) {
	form, ok := csvFormOf(kind)
	if !ok {
		return nil, Problems{{File: o.File, Kind: kind, Reason: "documents of this kind are not read from CSV files; there are " + strings.Join(CSVKinds(), ", ")}}
	}
	bound := &recordBound{r: r}
	in := csv.NewReader(bound)
	in.ReuseRecord = true
	in.FieldsPerRecord = -1
	if o.Comma != 0 {
		in.Comma = o.Comma
	}
	header, err := in.Read()
	if errors.Is(err, io.EOF) {
		return nil, Problems{{File: o.File, Line: 1, Reason: "the file is empty; its first record must name the columns"}}
	}
	if err != nil {
		return nil, Problems{csvProblem(o.File, err)}
	}
	c := &csvReader{form: form, options: o, in: in, bound: bound, seed: maphash.MakeSeed(), claims: map[uint64]int{}}
	if problems := c.header(header); len(problems) > 0 {
		return nil, problems
	}
	return c.rows, nil
}

// recordBound ends a record that never ends.
type recordBound struct {
	r    io.Reader
	read int
}

var errRecordTooLong = fmt.Errorf("the record is longer than %d bytes", maxRecord)

func (b *recordBound) Read(p []byte) (int, error) {
	if b.read > maxRecord {
		return 0, errRecordTooLong
	}
	n, err := b.r.Read(p)
	b.read += n
	return n, err
}

// csvReader reads one file.
type csvReader struct {
	form    csvForm
	options CSVOptions
	in      *csv.Reader
	bound   *recordBound
	columns []string // what each column means
	seed    maphash.Seed
	claims  map[uint64]int // hashes of claims, with the line of their row
}

// header finds out what each column means.
func (c *csvReader) header(header []string) Problems {
	known := append(slices.Sorted(maps.Keys(c.form.columns)), c.form.name, csvAction)
	slices.Sort(known)
	var problems Problems
	c.columns = make([]string, len(header))
	for i, h := range header {
		h = strings.TrimSpace(h)
		if i == 0 {
			h = strings.TrimPrefix(h, "\ufeff")
		}
		meaning, mapped := c.options.Columns[h]
		if !mapped {
			meaning = h
		}
		attribute, isAttribute := strings.CutPrefix(meaning, "attributes.")
		one := Problem{File: c.options.File, Line: 1, Column: i + 1, Field: h}
		switch {
		case mapped && meaning == "":
		case slices.Contains(c.columns[:i], meaning):
			one.Reason = fmt.Sprintf("two columns mean %s", meaning)
		case isAttribute && c.form.attributes:
			if reason := nameProblem(attribute); reason != "" {
				one.Reason = "the name of the attribute " + reason
			}
		case !slices.Contains(known, meaning):
			one.Reason = fmt.Sprintf("there is no column %q; there are %s", meaning, strings.Join(known, ", "))
			if c.form.attributes {
				one.Reason += " and attributes.NAME"
			}
			one.Suggestion = suggest(meaning, known)
		}
		if one.Reason != "" {
			problems = append(problems, one)
		}
		c.columns[i] = meaning
	}
	for _, h := range slices.Sorted(maps.Keys(c.options.Columns)) {
		if !slices.ContainsFunc(header, func(have string) bool { return strings.TrimPrefix(strings.TrimSpace(have), "\ufeff") == h }) {
			problems = append(problems, Problem{File: c.options.File, Line: 1, Reason: fmt.Sprintf("there is no column %q to be mapped", h), Suggestion: suggest(h, header)})
		}
	}
	if !slices.Contains(c.columns, c.form.name) {
		problems = append(problems, Problem{File: c.options.File, Line: 1, Reason: "there is no column " + c.form.name})
	}
	return problems
}

func (c *csvReader) rows(yield func(Row) bool) {
	var open *Row // a joined document whose next record may follow
	flush := func() bool {
		if open == nil {
			return true
		}
		row := *open
		open = nil
		c.finish(&row)
		return yield(row)
	}
	for number := 1; ; number++ {
		c.bound.read = 0
		record, err := c.in.Read()
		if errors.Is(err, io.EOF) {
			flush()
			return
		}
		var parse *csv.ParseError
		if err != nil {
			one := csvProblem(c.options.File, err)
			more := flush() && yield(Row{Number: number, Line: one.Line, Records: 1, Problems: Problems{one}})
			if !more || !errors.As(err, &parse) || errors.Is(err, errRecordTooLong) {
				return
			}
			continue
		}
		row := c.row(number, record)
		if c.form.joined && open != nil && row.Name == open.Name && row.Name != "" {
			c.join(open, &row)
			continue
		}
		if !flush() {
			return
		}
		open = &row
		if !c.form.joined && !flush() {
			return
		}
	}
}

// row reads one record.
func (c *csvReader) row(number int, record []string) Row {
	line, _ := c.in.FieldPos(0)
	d := New(c.form.kind, "")
	d.Source = Source{File: c.options.File, Line: line}
	row := Row{Number: number, Line: line, Records: 1, Document: d}
	if len(record) != len(c.columns) {
		row.fail("", "the row has %d columns, the header %d", len(record), len(c.columns))
		return row
	}
	if i := slices.Index(c.columns, c.form.name); utf8.ValidString(record[i]) {
		d.Name = strings.Clone(record[i])
		row.Name = d.Name
	}
	for i, column := range c.columns {
		if record[i] == "" || column == "" {
			continue
		}
		if !utf8.ValidString(record[i]) {
			row.fail(column, "the cell is not UTF-8")
			continue
		}
		value := strings.Clone(record[i]) // the record's memory is the whole line
		attribute, isAttribute := strings.CutPrefix(column, "attributes.")
		switch {
		case column == c.form.name:
		case column == csvAction:
			choice, ok := ParseChoice(value)
			if !ok {
				row.fail(column, "expected create, update or skip, found something else")
			}
			row.Choice = choice
		case isAttribute:
			u := d.Spec.(*User)
			if u.Attributes == nil {
				u.Attributes = map[string]Values{}
			}
			u.Attributes[attribute] = splitValues(value)
		default:
			if reason := c.form.columns[column](d, value); reason != "" {
				row.fail(column, "%s", reason)
			}
		}
	}
	return row
}

func (r *Row) fail(column, format string, args ...any) {
	d := r.Document
	r.Problems = append(r.Problems, Problem{File: d.Source.File, Line: d.Source.Line, Kind: d.Kind, Name: r.Name, Field: column, Reason: fmt.Sprintf(format, args...)})
}

// join adds a record of the same document.
func (c *csvReader) join(open, more *Row) {
	open.Records++
	open.Problems = append(open.Problems, more.Problems...)
	if len(more.Problems) > 0 {
		return
	}
	if more.Choice != ChoiceNone {
		if open.Choice != ChoiceNone && open.Choice != more.Choice {
			more.fail(csvAction, "another row of %q says %s", open.Name, open.Choice)
		}
		open.Choice = more.Choice
	}
	if reason := joinPolicy(open.Document.Spec.(*AttributePolicy), more.Document.Spec.(*AttributePolicy)); reason != "" {
		more.fail("", "%s", reason)
	}
	open.Problems = append(open.Problems, more.Problems...)
}

// finish checks a row whose records are all there.
func (c *csvReader) finish(row *Row) {
	d := row.Document
	for n := row.Number; n < row.Number+row.Records; n++ {
		if choice, made := c.options.Choices[n]; made {
			row.Choice = choice
		}
	}
	if row.Choice == ChoiceSkip {
		row.Document, row.Problems = nil, nil
		return
	}
	if len(row.Problems) == 0 {
		if reason := finishPolicy(d); reason != "" {
			row.fail("", "%s", reason)
		}
	}
	if len(row.Problems) == 0 {
		row.Problems = Validate(d)
		for i := range row.Problems {
			row.Problems[i].Line = row.Line
		}
	}
	for _, claim := range c.claimed(d) {
		hash := maphash.String(c.seed, claim.key)
		if first, twice := c.claims[hash]; twice && len(row.Problems) == 0 {
			row.fail(claim.field, "%s is on line %d already", claim.words(), first)
		}
		if len(row.Problems) == 0 {
			c.claims[hash] = row.Line
		}
	}
	if len(row.Problems) > 0 {
		row.Document = nil
	}
}

// csvClaim is what only one row of a file may have.
type csvClaim struct {
	key, field string
	name       string // of the document, or the login name; empty: the key is a claim of documents
	what       string // name is of
}

// words says in words what is claimed.
func (c *csvClaim) words() string {
	if c.name != "" {
		return fmt.Sprintf("the %s %q", c.what, c.name)
	}
	return claimWords(strings.TrimPrefix(c.key, "/"))
}

// claimed returns what a document claims: the login names of a user, or its name and its claims.
func (c *csvReader) claimed(d *Document) []csvClaim {
	var out []csvClaim
	if u, ok := d.Spec.(*User); ok {
		for _, name := range append([]string{d.Name}, u.Aliases...) {
			if name != "" {
				out = append(out, csvClaim{key: event.FoldName(name), field: "userName", name: name, what: "login name"})
			}
		}
		return out
	}
	out = append(out, csvClaim{key: d.Name, field: c.form.name, name: d.Name, what: d.Kind})
	for _, r := range d.relations().claims {
		out = append(out, csvClaim{key: "/" + r.key, field: strings.TrimPrefix(r.path, "spec.")})
	}
	return out
}

// splitValues splits a cell at semicolons, but not at \;. Blanks around values do not count.
func splitValues(cell string) []string {
	var out []string
	var b strings.Builder
	flush := func() {
		if v := strings.TrimSpace(b.String()); v != "" {
			out = append(out, v)
		}
		b.Reset()
	}
	for i := 0; i < len(cell); i++ {
		switch {
		case cell[i] == '\\' && i+1 < len(cell) && cell[i+1] == ';':
			b.WriteByte(';')
			i++
		case cell[i] == ';':
			flush()
		default:
			b.WriteByte(cell[i])
		}
	}
	flush()
	return out
}

func csvProblem(file string, err error) Problem {
	one := Problem{File: file, Reason: err.Error()}
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		one.Line, one.Column, one.Reason = parse.StartLine, parse.Column, "this is not CSV: "+parse.Err.Error()
	}
	if errors.Is(err, errRecordTooLong) {
		one.Suggestion = "is a quote left open?"
	}
	return one
}
