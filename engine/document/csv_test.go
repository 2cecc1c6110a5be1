package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func rows(t *testing.T, text string, o CSVOptions) []Row {
	t.Helper()
	seq, err := ReadCSV(KindUser, strings.NewReader(text), o)
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
		_, err := ReadCSV(KindUser, strings.NewReader(header), CSVOptions{})
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
	seq, err := ReadCSV(KindUser, &endless{quote: true}, CSVOptions{})
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
	seq, err := ReadCSV(KindUser, io.LimitReader(&endless{}, 8<<20), CSVOptions{})
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

func readCSV(t *testing.T, kind, text string, o CSVOptions) []Row {
	t.Helper()
	seq, err := ReadCSV(kind, strings.NewReader(text), o)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(seq)
}

// said returns what is wrong with rows, a line each.
func said(rows []Row) string {
	var out []string
	for _, r := range rows {
		if len(r.Problems) > 0 {
			out = append(out, r.Problems.Error())
		}
	}
	return strings.Join(out, "\n")
}

func TestEveryFieldOfADefinitionHasItsColumn(t *testing.T) {
	columns := CSVColumns(KindAttributeDefinition)
	for _, f := range schemas[reflect.TypeFor[AttributeDefinition]()] {
		if !slices.Contains(columns, f.name) {
			t.Errorf("%s cannot stand in a CSV file", f.name)
		}
	}
}

func TestDefinitionsAreReadFromCSV(t *testing.T) {
	got := readCSV(t, KindAttributeDefinition, "Name,radiusID,oid,scoped,Remark,action\n"+
		"mail,Filter-Id,0.9.2342.19200300.100.1.3,,x,\n"+
		"uid,,,true,,update\n"+
		"old,not an attribute,,,,skip\n", CSVOptions{Columns: map[string]string{"Name": "name", "Remark": ""}})
	if s := said(got); s != "" || len(got) != 3 {
		t.Fatal(s, got)
	}
	mail := got[0].Document.Spec.(*AttributeDefinition)
	if got[0].Document.Name != "mail" || mail.RadiusID != "Filter-Id" || mail.OID != "0.9.2342.19200300.100.1.3" || mail.Scoped || got[0].Choice != ChoiceNone {
		t.Errorf("%+v", mail)
	}
	if !got[1].Document.Spec.(*AttributeDefinition).Scoped || got[1].Choice != ChoiceUpdate {
		t.Errorf("%+v", got[1])
	}
	if got[2].Document != nil || got[2].Choice != ChoiceSkip || got[2].Name != "old" {
		t.Errorf("a row that is to be skipped: %+v", got[2])
	}
}

func TestBadDefinitionsAreNamed(t *testing.T) {
	got := readCSV(t, KindAttributeDefinition, "name,radiusID,oid,scoped,action\n"+
		"a,Filter-Id,,,\n"+
		"b,filter-id,,,\n"+
		"a,,,,\n"+
		"c,,x,,\n"+
		"d,,,maybe,\n"+
		"e,,,,hunter2\n"+
		",,,,\n", CSVOptions{File: "d.csv"})
	want := `d.csv:3: AttributeDefinition b: radiusID: the radiusID "filter-id" is on line 2 already
d.csv:4: AttributeDefinition a: name: the AttributeDefinition "a" is on line 2 already
d.csv:5: AttributeDefinition c: spec.oid: "x" is not an object identifier such as 2.5.4.42
d.csv:6: AttributeDefinition d: scoped: expected true or false, found something else
d.csv:7: AttributeDefinition e: action: expected create, update or skip, found something else
d.csv:8: AttributeDefinition: name: the name is empty`
	if have := said(got); have != want {
		t.Errorf("have:\n%s\nwant:\n%s", have, want)
	}
}

func TestRowsOfAPolicyAreOneDocument(t *testing.T) {
	got := readCSV(t, KindAttributePolicy, "name,description,condition,attribute,allow,attributeCondition\n"+
		"staff,for staff,{attributeRequesterInGroup: intern},mail,,\n"+
		"staff,,,phone,no,\n"+
		"staff,for staff,\"{\"\"attributeRequesterInGroup\"\":\"\"intern\"\"}\",uid,true,\"{not: {principalName: {regex: 'x.*', ignoreCase: true}}}\"\n"+
		"empty,,any,,,\n"+
		"last,,ANY,uid,,any\n", CSVOptions{})
	if s := said(got); s != "" || len(got) != 3 {
		t.Fatal(s, len(got))
	}
	p := got[0].Document.Spec.(*AttributePolicy)
	if got[0].Records != 3 || got[0].Number != 1 || got[1].Number != 4 || got[1].Line != 5 || p.Description != "for staff" || p.Condition.Group != "intern" || len(p.Attributes) != 3 {
		t.Fatalf("%+v %+v", got, p)
	}
	if r := p.Attributes; !r[0].Allow || r[1].Allow || r[1].Attribute != "phone" || r[2].Condition.Terms[0].Regex != "x.*" || r[0].Condition != nil {
		t.Errorf("%+v", r)
	}
	if p := got[1].Document.Spec.(*AttributePolicy); len(p.Attributes) != 0 || p.Condition.Test != TestAny {
		t.Errorf("%+v", p)
	}
}

func TestBadPoliciesAreNamed(t *testing.T) {
	got := readCSV(t, KindAttributePolicy, "name,description,condition,attribute,allow,attributeCondition,action\n"+
		"a,,any,mail,,,\n"+
		"a,,principalName: x,uid,,,\n"+
		"b,,,mail,,,\n"+
		"c,,any,mail,,{nothing: x},\n"+
		"d,,any,,false,,\n"+
		"e,,any,mail,,,\n"+
		"e,,,mail,,,\n"+
		"f,,\"{\"\"principalName\"\":\"\"x\"\"} more\",mail,,,\n"+
		"g,,\"{principalName: {regex: '('}}\",mail,,,\n"+
		"h,,any,mail,,,create\n"+
		"h,,,uid,,,update\n"+
		"i,,any,,,,\n"+
		"i,,any,mail,,,\n"+
		"a,,any,uid,,,\n", CSVOptions{File: "p.csv"})
	want := `p.csv:3: AttributePolicy a: the condition differs from that of the policy's first row
p.csv:4: AttributePolicy b: the column condition is empty; any means always
p.csv:5: AttributePolicy c: attributeCondition: nothing: unknown test
p.csv:6: AttributePolicy d: a row has allow or attributeCondition and no attribute
p.csv:7: AttributePolicy e: spec.attributes[1].attribute: the policy has a rule for mail already; combine the two conditions with or
p.csv:9: AttributePolicy f: condition: the condition is neither JSON nor YAML, such as any or {attributeRequester: "https://sp.example.com"}
p.csv:10: AttributePolicy g: spec.condition.principalName.regex: the regular expression does not compile: missing closing ): ` + "`(`" + `
p.csv:12: AttributePolicy h: action: another row of "h" says create
p.csv:14: AttributePolicy i: a policy of several rows has an attribute in each`
	if have := said(got); have != want {
		t.Errorf("have:\n%s\nwant:\n%s", have, want)
	}
}

func TestChoicesOfTheCallerCountMore(t *testing.T) {
	got := readCSV(t, KindAttributePolicy, "name,condition,attribute,action\na,any,x,create\na,,y,\nb,any,x,\nc,broken: [,x,\n", CSVOptions{Choices: map[int]Choice{2: ChoiceUpdate, 3: ChoiceSkip, 4: ChoiceSkip}})
	if s := said(got); s != "" || got[0].Choice != ChoiceUpdate || got[1].Choice != ChoiceSkip || got[2].Document != nil {
		t.Errorf("%s %+v", s, got)
	}
}

func TestMappedColumnsMustExist(t *testing.T) {
	_, err := ReadCSV(KindUser, strings.NewReader("userName,Vorname\n"), CSVOptions{Columns: map[string]string{"Vornamen": "firstName"}})
	if err == nil || !strings.Contains(err.Error(), `there is no column "Vornamen" to be mapped; did you mean Vorname?`) {
		t.Error(err)
	}
	if _, err := ReadCSV(KindGroup, strings.NewReader("name\n"), CSVOptions{}); err == nil || !strings.Contains(err.Error(), "not read from CSV") {
		t.Error(err)
	}
	if _, err := NewCSVWriter(io.Discard, KindUser); err == nil {
		t.Error("users are written as CSV")
	}
}

// drawCondition draws a condition that documents may hold.
func drawCondition(t *rapid.T, depth int) *Condition {
	text := rapid.StringMatching(`[ -~äß\x{1F600}\t\r\n]{0,8}`)
	name := rapid.StringMatching(`[a-z#:'"]{1,8}`)
	c := &Condition{Test: rapid.SampledFrom(slices.DeleteFunc(Tests(), Test.ofRequest)).Draw(t, "test")}
	if depth == 0 && (c.Test == TestAnd || c.Test == TestOr || c.Test == TestNot) {
		c.Test = TestAny
	}
	switch {
	case c.Test == TestAny:
	case c.Test == TestNot:
		c.Terms = []*Condition{drawCondition(t, depth-1)}
	case c.Test == TestAnd || c.Test == TestOr:
		for range rapid.IntRange(1, 3).Draw(t, "terms") {
			c.Terms = append(c.Terms, drawCondition(t, depth-1))
		}
	case c.Test.names() != "":
		c.Group = name.Draw(t, "group")
	case c.Test.computed():
		c.Value = text.Filter(func(s string) bool { return s != "" }).Draw(t, "value")
	default:
		if c.Test.nameKey() != "" {
			c.Name = name.Draw(t, "name")
		}
		if rapid.Bool().Draw(t, "regex") {
			c.Regex = rapid.StringMatching(`[a-z.*\[\]\\(){}"',;]{1,8}`).Filter(func(s string) bool {
				_, err := regexp.Compile(s)
				_, anchored := regexp.Compile((&Condition{Regex: s}).Pattern())
				return err == nil && anchored == nil
			}).Draw(t, "expression")
		} else {
			c.Value = text.Draw(t, "value")
		}
		c.IgnoreCase = rapid.Bool().Draw(t, "ignoreCase")
	}
	return c
}

// TestWhatIsExportedReadsBackTheSame holds CSVWriter to ReadCSV for definitions and policies of every form.
func TestWhatIsExportedReadsBackTheSame(t *testing.T) {
	text := rapid.StringMatching(`([ -~äß\x{1F600}]|\r\n|[\t\r\n,;"])*`)
	name := rapid.StringMatching(`[a-zä"',;#]([a-z 0-9"',;]{0,8}[a-z"',;])?`)
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]string{KindAttributeDefinition, KindAttributePolicy}).Draw(t, "kind")
		var docs []*Document
		for i, n := range rapid.SliceOfNDistinct(name, 0, 4, rapid.ID[string]).Draw(t, "names") {
			d := New(kind, n)
			switch s := d.Spec.(type) {
			case *AttributeDefinition:
				s.Description, s.Source = text.Draw(t, "description"), text.Draw(t, "source")
				if rapid.Bool().Draw(t, "claims") {
					s.ShortName, s.OID, s.RadiusID = fmt.Sprintf("short%d", i), fmt.Sprintf("1.2.%d", i), fmt.Sprintf("Attr-%d", i)
				}
				s.CASName, s.Scoped = fmt.Sprintf("%d%s", i, text.Draw(t, "casName")), rapid.Bool().Draw(t, "scoped")
			case *AttributePolicy:
				s.Description, s.Condition = text.Draw(t, "description"), drawCondition(t, 3)
				for _, a := range rapid.SliceOfNDistinct(name, 0, 4, rapid.ID[string]).Draw(t, "attributes") {
					r := AttributeRule{Attribute: a, Allow: rapid.Bool().Draw(t, "allow")}
					if rapid.Bool().Draw(t, "conditional") {
						r.Condition = drawCondition(t, 2)
					}
					s.Attributes = append(s.Attributes, r)
				}
			}
			if len(Validate(d)) > 0 {
				t.Skip("no sound document")
			}
			docs = append(docs, d)
		}
		var b bytes.Buffer
		w, err := NewCSVWriter(&b, kind)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range docs {
			if err := w.Write(d); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		seq, err := ReadCSV(kind, bytes.NewReader(b.Bytes()), CSVOptions{})
		if err != nil {
			t.Fatal(err)
		}
		i := 0
		for row := range seq {
			if len(row.Problems) > 0 || i >= len(docs) {
				t.Fatalf("%v\n%s", row.Problems, b.Bytes())
			}
			have, err := row.Document.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			want, err := docs[i].MarshalJSON()
			if err != nil || !bytes.Equal(have, want) {
				t.Fatalf("%v\nhave %s\nwant %s\n%q", err, have, want, b.Bytes())
			}
			i++
		}
		if i != len(docs) {
			t.Fatalf("%d of %d documents\n%s", i, len(docs), b.Bytes())
		}
	})
}
