package document

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
)

func rows(t *testing.T, text string, o CSVOptions) []Row {
	t.Helper()
	seq, err := UsersFromCSV(strings.NewReader(text), o)
	if err != nil {
		t.Fatal(err)
	}
	var out []Row
	for r := range seq {
		out = append(out, r)
	}
	return out
}

func TestUsersAreReadFromCSV(t *testing.T) {
	got := rows(t, "\ufeffuserName,firstName,groups,attributes.phone,Department,active,password\n"+
		"alice,Alice,staff; night,\"1;2\\;3\",R&D,,wonderland\n"+
		"bob,\"Bob\nthe Builder\",,,,no,\n", CSVOptions{Columns: map[string]string{"Department": "attributes.department"}})
	if len(got) != 2 || got[0].Problems != nil || got[1].Problems != nil {
		t.Fatalf("%+v", got)
	}
	u := got[0].Document.Spec.(*User)
	if got[0].Document.Name != "alice" || fmt.Sprint(u.Groups) != "[staff night]" || fmt.Sprintf("%q", u.Attributes) != `map["department":["R&D"] "phone":["1" "2;3"]]` || !u.Active || !u.Password.IsPlain() {
		t.Errorf("%+v", u)
	}
	if u := got[1].Document.Spec.(*User); u.Active || got[1].Line != 3 || got[1].Number != 2 || u.Attributes != nil || !u.Password.IsZero() {
		t.Errorf("%+v %+v", got[1], u)
	}
}

func TestBadRowsAreNamedAndGoodOnesKept(t *testing.T) {
	got := rows(t, "userName,aliases,active,password\n"+
		"a,,,\n"+ // 2
		",,,\n"+ // 3: no name
		"b,x\n"+ // 4: too few columns
		"A,,,\n"+ // 5: name of line 2
		"c,a,,\n"+ // 6: alias is the name of line 2
		"d,,hunter2,\n"+ // 7: not true or false
		"e\"e,,,\n"+ // 8: not CSV
		"f\xff,,,\n"+ // 9: not UTF-8
		"g,,,sealed:hunter2\n"+ // 10: not a sealed secret
		"h,,,hunter2\n", // 11
		CSVOptions{File: "u.csv"})
	var good, bad []string
	for _, r := range got {
		if r.Document != nil {
			good = append(good, r.Document.Name)
			continue
		}
		bad = append(bad, r.Problems.Error())
	}
	if fmt.Sprint(good) != "[a h]" {
		t.Error(good)
	}
	want := []string{
		"u.csv:3: User: name: the name is empty",
		"u.csv:4: User: the row has 2 columns, the header 4",
		`u.csv:5: User A: userName: the login name "A" is on line 2 already`,
		`u.csv:6: User c: userName: the login name "a" is on line 2 already`,
		"u.csv:7: User d: active: expected true or false, found something else",
		`u.csv:8:2: this is not CSV: bare " in non-quoted-field`,
		"u.csv:9: User: userName: the cell is not UTF-8",
		`u.csv:10: User g: password: a text that begins with "sealed:" must be a sealed secret as it was exported`,
	}
	if strings.Join(bad, "\n") != strings.Join(want, "\n") {
		t.Errorf("have:\n%s\nwant:\n%s", strings.Join(bad, "\n"), strings.Join(want, "\n"))
	}
}

func TestCSVHeaderIsChecked(t *testing.T) {
	for header, want := range map[string]string{
		"":                         "the file is empty",
		"firstName":                "there is no column userName",
		"userName,frstName":        "did you mean firstName?",
		"userName,mail,mail":       "two columns mean mail",
		"userName,attributes.":     "the name of the attribute is empty",
		"userName,attributes.a/b":  "the name of the attribute has '/'",
		"userName,\"open\nquote\n": "this is not CSV",
	} {
		_, err := UsersFromCSV(strings.NewReader(header), CSVOptions{})
		var p Problems
		if !errors.As(err, &p) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", header, err)
		}
	}
	got := rows(t, "userName;secret\na;x\n", CSVOptions{Comma: ';', Columns: map[string]string{"secret": ""}})
	if len(got) != 1 || got[0].Document == nil || !got[0].Document.Spec.(*User).Password.IsZero() {
		t.Error(got)
	}
}

// endless is a CSV file of users that never ends, or, with a quote, a record that never ends.
type endless struct {
	n     int
	quote bool
}

func (e *endless) Read(p []byte) (int, error) {
	e.n++
	if e.n == 1 {
		return copy(p, "userName,fullName\n"), nil
	}
	if e.quote {
		if e.n == 2 {
			return copy(p, `a,"`), nil
		}
		return copy(p, strings.Repeat("x", min(len(p), 4096))), nil
	}
	return copy(p, fmt.Sprintf("u%d,somebody with a rather long name so that it counts\n", e.n)), nil
}

func TestRecordThatNeverEndsIsEnded(t *testing.T) {
	seq, err := UsersFromCSV(&endless{quote: true}, CSVOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for r := range seq {
		if n++; r.Problems == nil || !strings.Contains(r.Problems.Error(), "is a quote left open?") {
			t.Error(r.Problems)
		}
	}
	if n != 1 {
		t.Error(n)
	}
}

func TestCSVImportHoldsOneRowAtATime(t *testing.T) {
	seq, err := UsersFromCSV(io.LimitReader(&endless{}, 8<<20), CSVOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	n := 0
	for range seq {
		if n++; n == 100_000 {
			runtime.GC()
			runtime.ReadMemStats(&after)
			break
		}
	}
	if n != 100_000 {
		t.Fatal(n)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
		t.Errorf("%d bytes held after %d rows", grown, n)
	}
}
