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
	"trine/engine/secret"
)

// maxRecord is how long one record of a CSV file may be. An open quote swallows what follows it: this is where it ends.
const maxRecord = 1 << 20

// CSVOptions says how to read a CSV file of users.
type CSVOptions struct {
	// File goes into problems.
	File string
	// Comma separates columns; 0 means a comma.
	Comma rune
	// Columns gives header names the meaning of columns; an empty meaning leaves the column out. Headers that are not in it
	// mean what they say.
	Columns map[string]string
}

// Row is one record of a CSV file: a document, or what is wrong with it.
type Row struct {
	Number   int // of the record, from 1, the header not counted
	Line     int
	Document *Document
	Problems Problems
}

// csvColumns are the columns that are not attributes. Those with several values separate them by semicolons; a semicolon in a
// value is written \;.
var csvColumns = map[string]func(d *Document, u *User, value string) string{
	"userName":           func(d *Document, _ *User, v string) string { d.Name = v; return "" },
	"firstName":          func(_ *Document, u *User, v string) string { u.FirstName = v; return "" },
	"lastName":           func(_ *Document, u *User, v string) string { u.LastName = v; return "" },
	"fullName":           func(_ *Document, u *User, v string) string { u.FullName = v; return "" },
	"shortName":          func(_ *Document, u *User, v string) string { u.ShortName = v; return "" },
	"mail":               func(_ *Document, u *User, v string) string { u.Mail = v; return "" },
	"mailDomain":         func(_ *Document, u *User, v string) string { u.MailDomain = v; return "" },
	"mobile":             func(_ *Document, u *User, v string) string { u.Mobile = v; return "" },
	"aliases":            func(_ *Document, u *User, v string) string { u.Aliases = splitValues(v); return "" },
	"directoryDN":        func(_ *Document, u *User, v string) string { u.DirectoryDN = v; return "" },
	"userType":           func(_ *Document, u *User, v string) string { u.UserType = v; return "" },
	"primaryGroup":       func(_ *Document, u *User, v string) string { u.PrimaryGroup = v; return "" },
	"groups":             func(_ *Document, u *User, v string) string { u.Groups = splitValues(v); return "" },
	"roles":              csvRoles,
	"active":             func(_ *Document, u *User, v string) string { return csvBool(&u.Active, v) },
	"password":           func(_ *Document, u *User, v string) string { return csvSecret(&u.Password, v) },
	"passwordHash":       func(_ *Document, u *User, v string) string { return csvSecret(&u.PasswordHash, v) },
	"passwordMustChange": func(_ *Document, u *User, v string) string { return csvBool(&u.PasswordMustChange, v) },
}

func csvRoles(_ *Document, u *User, v string) string {
	for _, text := range splitValues(v) {
		g, reason := parseGrant(text)
		if reason != "" {
			return reason
		}
		u.Roles = append(u.Roles, g)
	}
	return ""
}

func csvSecret(to *secret.Text, v string) string {
	if err := to.UnmarshalText([]byte(v)); err != nil {
		return err.Error()
	}
	return ""
}

func csvBool(to *bool, v string) string {
	switch strings.ToLower(v) {
	case "true", "yes", "1":
		*to = true
	case "false", "no", "0":
		*to = false
	default:
		return "expected true or false, found something else" // not what: where columns are mixed up, it could be a password
	}
	return ""
}

// UsersFromCSV reads users from a CSV file (RFC 4180, UTF-8) whose first record names the columns: userName, which must be
// there, the fields of User, and attributes.NAME for others. It returns Problems where the header is wrong. The sequence
// yields a row at a time and holds no more than that, but for a number for each login name: a name that an earlier row has
// is a problem of the later one. An empty cell stands for a field that is not given. The sequence can be walked once; after
// a record that cannot be read at all it ends with that row.
func UsersFromCSV(r io.Reader, o CSVOptions) (iter.Seq[Row], error) {
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
	columns, problems := csvHeader(header, o)
	if len(problems) > 0 {
		return nil, problems
	}
	c := &csvUsers{file: o.File, in: in, bound: bound, columns: columns, seed: maphash.MakeSeed(), names: map[uint64]int{}}
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

// csvHeader returns what each column means.
func csvHeader(header []string, o CSVOptions) ([]string, Problems) {
	known := slices.Sorted(maps.Keys(csvColumns))
	var problems Problems
	columns := make([]string, len(header))
	for i, h := range header {
		h = strings.TrimSpace(h)
		if i == 0 {
			h = strings.TrimPrefix(h, "\ufeff")
		}
		meaning, mapped := o.Columns[h]
		if !mapped {
			meaning = h
		}
		attribute, isAttribute := strings.CutPrefix(meaning, "attributes.")
		one := Problem{File: o.File, Line: 1, Column: i + 1, Field: h}
		switch {
		case mapped && meaning == "":
		case slices.Contains(columns[:i], meaning):
			one.Reason = fmt.Sprintf("two columns mean %s", meaning)
		case isAttribute:
			if reason := nameProblem(attribute); reason != "" {
				one.Reason = "the name of the attribute " + reason
			}
		case csvColumns[meaning] == nil:
			one.Reason = fmt.Sprintf("there is no column %q; there are %s and attributes.NAME", meaning, strings.Join(known, ", "))
			one.Suggestion = suggest(meaning, known)
		}
		if one.Reason != "" {
			problems = append(problems, one)
		}
		columns[i] = meaning
	}
	if !slices.Contains(columns, "userName") {
		problems = append(problems, Problem{File: o.File, Line: 1, Reason: "there is no column userName"})
	}
	return columns, problems
}

type csvUsers struct {
	file    string
	in      *csv.Reader
	bound   *recordBound
	columns []string
	seed    maphash.Seed
	names   map[uint64]int // hashes of folded login names, with the line of their row
}

func (c *csvUsers) rows(yield func(Row) bool) {
	for number := 1; ; number++ {
		c.bound.read = 0
		record, err := c.in.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		var parse *csv.ParseError
		if err != nil {
			one := csvProblem(c.file, err)
			more := yield(Row{Number: number, Line: one.Line, Problems: Problems{one}})
			if !more || !errors.As(err, &parse) || errors.Is(err, errRecordTooLong) {
				return
			}
			continue
		}
		if !yield(c.row(number, record)) {
			return
		}
	}
}

func (c *csvUsers) row(number int, record []string) Row {
	line, _ := c.in.FieldPos(0)
	d := New(KindUser, "")
	d.Source = Source{File: c.file, Line: line}
	u := d.Spec.(*User)
	row := Row{Number: number, Line: line}
	fail := func(column, format string, args ...any) {
		row.Problems = append(row.Problems, Problem{File: c.file, Line: line, Kind: KindUser, Name: d.Name, Field: column, Reason: fmt.Sprintf(format, args...)})
	}
	if len(record) != len(c.columns) {
		fail("", "the row has %d columns, the header %d", len(record), len(c.columns))
		return row
	}
	if i := slices.Index(c.columns, "userName"); utf8.ValidString(record[i]) {
		d.Name = strings.Clone(record[i])
	}
	for i, column := range c.columns {
		if record[i] == "" || column == "" {
			continue
		}
		if !utf8.ValidString(record[i]) {
			fail(column, "the cell is not UTF-8")
			continue
		}
		value := strings.Clone(record[i]) // the record's memory is the whole line
		if attribute, ok := strings.CutPrefix(column, "attributes."); ok {
			if u.Attributes == nil {
				u.Attributes = map[string]Values{}
			}
			u.Attributes[attribute] = splitValues(value)
		} else if reason := csvColumns[column](d, u, value); reason != "" {
			fail(column, "%s", reason)
		}
	}
	if len(row.Problems) == 0 {
		row.Problems = Validate(d)
	}
	for _, name := range append([]string{d.Name}, u.Aliases...) {
		hash := maphash.String(c.seed, event.FoldName(name))
		if first, twice := c.names[hash]; twice && name != "" && len(row.Problems) == 0 {
			fail("userName", "the login name %q is on line %d already", name, first)
		}
		if len(row.Problems) == 0 {
			c.names[hash] = line
		}
	}
	if len(row.Problems) == 0 {
		row.Document = d
	}
	return row
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
