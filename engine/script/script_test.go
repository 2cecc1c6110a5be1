package script

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// inline runs jobs at once.
type inline struct{ host *Host }

func (r inline) Submit(j *Job) error {
	b, err := j.Encode()
	if err != nil {
		j.Err = err
	} else {
		began := time.Now()
		j.Settle(r.host.Run(b, func() time.Duration { return time.Since(began) }))
	}
	if j.Done != nil {
		j.Done.ScriptDone(j)
	}
	return nil
}

// run compiles and runs a script over the test's values.
func run(t *testing.T, source string, result Type, change func(*Job)) *Job {
	t.Helper()
	s, err := world().Script(source, result)
	if err != nil {
		t.Fatal(err)
	}
	j := &Job{Script: s, Values: values(), Timeout: 20 * time.Second}
	if change != nil {
		change(j)
	}
	if err := (inline{NewHost()}).Submit(j); err != nil {
		t.Fatal(err)
	}
	return j
}

func TestScriptsRunAsTheyAreWritten(t *testing.T) {
	for _, c := range []struct {
		name, source string
		result       Type
		texts        []string
		yes          bool
	}{
		{name: "return at the top", source: `return fullName.toUpperCase();`, result: Text, texts: []string{"JOSÉ WEISS"}},
		{name: "value of the last statement", source: `var x = fullName; x.toUpperCase()`, result: Text, texts: []string{"JOSÉ WEISS"}},
		{name: "value of a branch", source: `if (newDevice) { "yes" } else { "no" }`, result: Text, texts: []string{"yes"}},
		{name: "a return that is not reached", source: "if (!newDevice) return 'no';\n'yes'", result: Text, texts: []string{"yes"}},
		{name: "a return in a function only", source: `function f(v) { return v + "!" } f(userName)`, result: Text, texts: []string{"jose!"}},
		{name: "attribute", source: `return attributes{"company"}`, result: Text, texts: []string{"ACME"}},
		{name: "attribute with several values", source: `return attributes{"phones"}`, result: Texts, texts: []string{"1", "2"}},
		{name: "attribute that is not there", source: `return attributes{"none"} == null || attributes{"none"}.isEmpty() ? "Soffid" : attributes{"none"}`, result: Text, texts: []string{"Soffid"}},
		{name: "attribute that is blank", source: `return attributes{"blank"} == null || attributes{"blank"}.isEmpty() ? "Soffid" : attributes{"blank"}`, result: Text, texts: []string{"Soffid"}},
		{name: "no attribute is made up", source: `return ["constructor", "toString", "__proto__", "hasOwnProperty"].some(function (n) { return attributes[n] !== undefined })`, result: Bool},
		{name: "accounts", source: `for (account: serverService.getUserAccounts(id, "ad")) { return account{"attributes"}{"ou"}; } return null;`, result: Text, texts: []string{"Sales"}},
		{name: "no account", source: `for (account: serverService.getUserAccounts(id, "hr")) { return account{"name"}; } return null;`, result: Text},
		{name: "accounts as a variable", source: `accounts.length`, result: Bool},
		{name: "declared name in a loop", source: `var n = ""; for (var g : groups) { n += g } return n`, result: Text, texts: []string{"staffwlan"}},
		{name: "methods of lists", source: `return !groups.isEmpty() && groups.size() == 2 && groups.get(0).equals("staff") && !groups.get(1).equals("x")`, result: Bool, yes: true},
		{name: "methods of attributes", source: `attributes.put("x", "y"); return attributes.get("x") == "y" && attributes.get("z") == null && attributes.size() == 4 && !attributes.isEmpty()`, result: Bool, yes: true},
		{name: "methods of texts", source: `i = fullName.indexOf(" "); return fullName.substring(0, i) + "|" + fullName.substring(i+1)`, result: Text, texts: []string{"José|Weiß"}},
		{name: "numbers and truths", source: `return hour == 7 && failuresRatio == 0.5 && newDevice && id.equals(7)`, result: Bool, yes: true},
		{name: "fields of the user", source: `return user{"userName"} == userName && user.get("id") == id && user.attributes{"cardnumber"} == "17"`, result: Bool, yes: true},
		{name: "no clock but now", source: `return new Date().getTime() == now.getTime() && Date.now() == now.getTime() && now.getUTCHours() == 12`, result: Bool, yes: true},
		{name: "nothing", source: `return`, result: Texts},
		{name: "undefined", source: `var x = 1`, result: Texts},
		{name: "modern JavaScript", source: "const f = ({a}) => `${a}-${[1, 2].map(x => { return x })}`; class A { m() { return 1 } } f({a: new A().m()})", result: Text, texts: []string{"1-1,2"}},
		{name: "no word of a source map is read", source: "\"x\"\n//# sourceMappingURL=/proc/self/environ", result: Text, texts: []string{"x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := run(t, c.source, c.result, nil)
			if c.name == "accounts as a variable" { // a number is no truth
				if !errors.Is(j.Err, ErrWrongType) {
					t.Error(j.Err)
				}
				return
			}
			if j.Err != nil || j.Value.Bool != c.yes || !slices.Equal(j.Value.Texts, c.texts) {
				t.Errorf("%+v, %v", j.Value, j.Err)
			}
		})
	}
}

func TestHandbookFormsAreRewrittenByToken(t *testing.T) {
	for _, c := range []struct{ name, source, code, forms string }{
		{"index", `x{"k"}`, `x["k"]`, "index"},
		{"index with a blank", `x {"k"}`, `x ["k"]`, "index"},
		{"index of an index", `x{"a"}{"b"}.c{d{"e"}}`, `x["a"]["b"].c[d["e"]]`, "index"},
		{"index of a call", `f(x){"k"} + a[0]{"k"} + (y){"k"} + this{"k"}`, `f(x)["k"] + a[0]["k"] + (y)["k"] + this["k"]`, "index"},
		{"loop", `for (v : list) { v }`, `for (v  of  list) { v }`, "loop"},
		{"loop without blanks", `for(v:list)v`, `for(v of list)v`, "loop"},
		{"loop with a declaration", `for (var v : f(a ? b : c)) v`, `for (var v  of  f(a ? b : c)) v`, "loop"},
		{"both", `for (v : x{"k"}) v{"z"}`, `for (v  of  x["k"]) v["z"]`, "loop index"},
		{"blocks stay", `if (a) {"k"} while (b) {x{"k"}} function f(a) {"k"} (function () {})`, `if (a) {"k"} while (b) {x["k"]} function f(a) {"k"} (function () {})`, "index"},
		{"blocks of others stay", `try {a{1}} catch (e) {1} finally {2} do {3} while (0); switch (a) {case 1: {4}} else_: {5}`, `try {a[1]} catch (e) {1} finally {2} do {3} while (0); switch (a) {case 1: {4}} else_: {5}`, "index"},
		{"objects stay", `a = {b: 1}; f({c: x{"k"}}); (y) => {z}`, `a = {b: 1}; f({c: x["k"]}); (y) => {z}`, "index"},
		{"a block on the next line stays", "x\n{ y{1} }", "x\n{ y[1] }", "index"},
		{"texts stay", `a{"k"} + "x{'k'} for (v : l)" + 'y{"k"}'`, `a["k"] + "x{'k'} for (v : l)" + 'y{"k"}'`, "index"},
		{"comments stay", "a{1} // x{1}\n/* for (v : l) x{1} */", "a[1] // x{1}\n/* for (v : l) x{1} */", "index"},
		{"templates stay", "a{1} + `x{1} ${b{2} + `${c{3}}`} y{2}`", "a[1] + `x{1} ${b[2] + `${c[3]}`} y{2}`", "index"},
		{"regular expressions stay", `a{1}; /x{2}[/]y{3}/.test(b{1}); c{1} / d{2} / e`, `a[1]; /x{2}[/]y{3}/.test(b[1]); c[1] / d[2] / e`, "index"},
		{"words behind a dot are names", `a.class{1} + b.for{2}`, `a.class[1] + b.for[2]`, "index"},
		{"conditions stay", `for (i = a ? b : c; i < 1; i++) x{1}`, `for (i = a ? b : c; i < 1; i++) x[1]`, "index"},
		{"JavaScript stays", "class A { m(x) {\"k\"} }\nfor (x of {a: 1}.b) {1}", "class A { m(x) {\"k\"} }\nfor (x of {a: 1}.b) {1}", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := world().Script(c.source, Texts)
			if err != nil {
				t.Fatal(err)
			}
			if s.code != c.code {
				t.Errorf("\n%s instead of\n%s", s.code, c.code)
			}
			var forms []string
			for _, r := range s.Rewrites() {
				forms = append(forms, map[string]string{indexForm: "index", loopForm: "loop"}[r.Text])
			}
			if got := strings.Join(forms, " "); got != c.forms {
				t.Errorf("told of %q", got)
			}
		})
	}
}

func TestEachFormIsToldOfOnceWithItsPlace(t *testing.T) {
	s, err := world().Script("é = 1; a{1}; a{2}\n  for (v : l) {}\nfor (w : l) a{3}", Texts)
	if err != nil {
		t.Fatal(err)
	}
	want := []Rewrite{{1, 9, indexForm}, {2, 10, loopForm}}
	if !slices.Equal(s.Rewrites(), want) {
		t.Errorf("%v", s.Rewrites())
	}
}

func TestScriptsThatDoNotCompileAreRefusedWithTheirPlace(t *testing.T) {
	for _, c := range []struct {
		name, source string
		line, column int
		text         string
	}{
		{"syntax", "var a = 1;\n  a +;", 2, 6, "Unexpected token ;"},
		{"syntax behind a return", "return 1;\n  a +;", 2, 6, "Unexpected token ;"},
		{"syntax behind rewritten forms", `for (v : l) { a{"k"}{"l"} + é + ; } return 1`, 1, 34, "Unexpected token ;"},
		{"unfinished", "return attributes{\"a\"", 1, 0, ""},
		{"unfinished text", `return "a`, 1, 8, ""},
		{"declared twice", "let a = 1;\nlet a = 2", 2, 5, "already been declared"},
		{"nothing", " \n ", 1, 1, "empty"},
		{"too long", strings.Repeat(" ", maxScript) + "1", 1, 1, "longer than"},
		{"not UTF-8", "\xff", 1, 1, "UTF-8"},
		{"too deep", "1+" + strings.Repeat("(", 30000), 1, 3 + maxOpen, "brackets"},
		{"a type in a declaration", `String s = "x"; return s`, 1, 8, "Unexpected identifier"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := world().Script(c.source, Text)
			var bad *SyntaxError
			if !errors.As(err, &bad) {
				t.Fatal(err)
			}
			if bad.Line != c.line || c.column != 0 && bad.Column != c.column || !strings.Contains(bad.Text, c.text) {
				t.Errorf("%d:%d %s", bad.Line, bad.Column, bad.Text)
			}
		})
	}
}

func TestDeepScriptsExhaustNeitherStackNorTime(t *testing.T) {
	env := world()
	for _, c := range []struct{ open, close string }{
		{"!", ""},
		{"- ", ""},
		{"a=>", ""},
		{"if(1)", ""},
		{"a?", ":b"},
		{"a.b", ""},
		{"a=", ""},
		{"new ", ""},
		{"`${", "}`"},
		{"/*", "*/"},
		{"(", ")"},
		{"{", "}"},
		{"[", "]"},
		{"f(", ")"},
		{"a{", "}"},
		{"a:", ""},
		{"a: b:", ""},
		{"x{1}", ""},
		{"for(a:", ")"},
		{"for(a:b)", ""},
		{"?.", ""},
		{"async ", ""},
		{"(a=", ")=>0"},
		{"async(a=", ")=>0"},
		{"((a=", ")=>0)"},
		{"(a={b:", "})=>0"},
		{"[a=", "]=[]"},
		{"({a=", "}=0)"},
		{"()=>{", "}"},
		{"function a(){", "}"},
		{"switch(a){default:", "}"},
		{"a,", ""},
		{"class a extends ", ""},
		{"do ", "while(0)"},
		{"try{", "}finally{}"},
	} {
		for _, n := range []int{30, 190, maxScript / (len(c.open) + len(c.close))} {
			_, _ = env.Script(strings.Repeat(c.open, n), Text)
			_, _ = env.Script("return "+strings.Repeat(c.open, n-2)+"1"+strings.Repeat(c.close, n-2), Text)
		}
	}
}

func TestAssignmentsToFieldsOfTheUserAreReturned(t *testing.T) {
	for _, c := range []struct {
		name, source string
		assigned     Map
	}{
		{"fields of user", `user.firstName = "A"; user{"lastName"} = "B"; return "x"`, Map{"user.firstName": "A", "user.lastName": "B"}},
		{"bare fields", `firstName = "A"; return firstName + user.firstName == "AA" ? "x" : "y"`, Map{"user.firstName": "A"}},
		{"by put", `user.put("mail", "m"); return "x"`, Map{"user.mail": "m"}},
		{"what stays is not told of", `user.firstName = user.firstName; user.userName = "jose"; return "x"`, nil},
		{"lists", `user.groups = ["a"]; return "x"`, Map{"user.groups": []string{"a"}}},
		{"lists in place", `user.aliases.push("a"); return "x"`, Map{"user.aliases": []string{"a"}}},
		{"attributes", `user.attributes{"b"} = "1"; user.attributes.c = ["2", "3"]; return "x"`, Map{"user.attributes": map[string][]string{"cardnumber": {"17"}, "b": {"1"}, "c": {"2", "3"}}}},
		{"numbers", `id = 8; return "x"`, Map{"user.id": int64(8)}},
		{"emptied", `user.firstName = null; return "x"`, Map{"user.firstName": ""}},
		{"attributes of somebody else are not the user's", `attributes{"company"} = "y"; user; return "x"`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := run(t, c.source, Text, nil)
			if j.Err != nil || j.Value.Text() != "x" {
				t.Fatalf("%+v, %v", j.Value, j.Err)
			}
			got, _ := json.Marshal(j.Assigned)
			want, _ := json.Marshal(c.assigned)
			if string(got) != string(want) || !slices.Equal(slices.Sorted(maps.Keys(j.Assigned)), slices.Sorted(maps.Keys(c.assigned))) {
				t.Errorf("%s instead of %s", got, want)
			}
		})
	}
}

func TestWhatAScriptDoesWrongIsARefusal(t *testing.T) {
	short := func(j *Job) { j.Timeout = 50 * time.Millisecond }
	for _, c := range []struct {
		name, source string
		result       Type
		change       func(*Job)
		cause        error
		line         int
		text         string
	}{
		{"endless loop", "var a;\nwhile (true) {}", Text, short, ErrTimeout, 1, "too long"},
		{"endless loop, caught", "while (true) { try { while (true) {} } catch (e) {} finally { continue } }", Text, short, ErrTimeout, 1, ""},
		{"endless loop in a getter of the result", `user.__defineGetter__ ? 0 : Object.defineProperty(user, "firstName", {get() { while (true) {} }}); return "x"`, Text, short, ErrTimeout, 1, ""},
		{"endless loop in what is thrown", `throw {toString() { while (true) {} }}`, Text, short, ErrTimeout, 1, ""},
		{"endless promises", `function f() { Promise.resolve().then(f) } f(); return "x"`, Text, short, ErrTimeout, 1, ""},
		{"endless recursion", "function f() {\n return f() + 1 }\nreturn f()", Text, nil, ErrThrown, 2, "without end"},
		{"endless recursion over natives", "function f() { return [1].map(f) }\nreturn f()", Text, nil, ErrThrown, 1, "without end"},
		{"endless recursion over conversions", "var o = {toString() { return '' + o }}\nreturn '' + o", Text, nil, ErrThrown, 1, "without end"},
		{"throw", "var a = 1;\n  throw 'no ' + userName", Text, nil, ErrThrown, 2, "no jose"},
		{"throw an error", "throw new TypeError('odd')", Text, nil, ErrThrown, 1, "TypeError: odd"},
		{"throw what throws", `throw {get message() { throw 1 }, toString() { throw 2 }}`, Text, nil, ErrThrown, 1, ""},
		{"throw a symbol", `throw Symbol("x")`, Text, nil, ErrThrown, 1, ""},
		{"a name that is not there", "\n\nreturn nosuch", Text, nil, ErrThrown, 3, "nosuch is not defined"},
		{"behind rewritten forms", "for (g : groups) {\n if (g{0} == 's') nosuch() } return ''", Text, nil, ErrThrown, 2, "nosuch"},
		{"method of nothing", `return attributes{"none"}.isEmpty()`, Text, nil, ErrThrown, 1, ""},
		{"accounts of somebody else", `return serverService.getUserAccounts(8, "ad")`, Text, nil, ErrThrown, 1, "only the accounts of the user himself"},
		{"no files", `return require("fs").readFileSync("/etc/passwd")`, Text, nil, ErrThrown, 1, "require is not defined"},
		{"a number for a text", `return 1`, Text, nil, ErrWrongType, 0, "the result is a number, and a text is needed"},
		{"a list for a text", `return ["a"]`, Text, nil, ErrWrongType, 0, "class Array"},
		{"an object for a text", `return {toString() { return "x" }}`, Text, nil, ErrWrongType, 0, "class Object"},
		{"an object for texts", `return {length: 1, 0: "x"}`, Texts, nil, ErrWrongType, 0, "class Object"},
		{"a promise", `(async function () { return "x" })()`, Texts, nil, ErrWrongType, 0, "an object"},
		{"a number in a list", `return ["a", 1]`, Texts, nil, ErrWrongType, 0, "a number in it"},
		{"a hole in a list", `return ["a", , "b"]`, Texts, nil, ErrWrongType, 0, "undefined in it"},
		{"a text for a truth", `return "true"`, Bool, nil, ErrWrongType, 0, "true or false is needed"},
		{"nothing for a truth", `return null`, Bool, nil, ErrWrongType, 0, "null"},
		{"nothing at all for a truth", `var a = 1`, Bool, nil, ErrWrongType, 0, "undefined"},
		{"too many texts", `return new Array(1001).fill("x")`, Texts, nil, ErrWrongType, 0, "at most 1000"},
		{"too long a text", `return "x".repeat(70000)`, Text, nil, ErrWrongType, 0, "70000 bytes"},
		{"much too long a text", `return "x".repeat(2000000)`, Text, nil, ErrWrongType, 0, "too large"},
		{"a field of the wrong type", `user.firstName = 1; return ""`, Text, nil, ErrWrongType, 0, "user.firstName"},
		{"a field that is not there", `user.first = "a"; return ""`, Text, nil, ErrWrongType, 0, "user has no field first"},
		{"a fraction for a number", `user.id = 1.5; return ""`, Text, nil, ErrWrongType, 0, "user.id"},
		{"an object for a number", `user.id = {valueOf() { return 7 }}; return ""`, Text, nil, ErrWrongType, 0, "user.id"},
		{"attributes that are none", `user.attributes = "a"; return ""`, Text, nil, ErrWrongType, 0, "user.attributes"},
		{"a symbol", `return Symbol("x")`, Text, nil, ErrWrongType, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := run(t, c.source, c.result, c.change)
			var failed *Error
			if !errors.As(j.Err, &failed) || !errors.Is(j.Err, c.cause) {
				t.Fatalf("%+v, %v", j.Value, j.Err)
			}
			if failed.Line != c.line || !strings.Contains(failed.Text, c.text) || j.Value.Bool || j.Value.Texts != nil || j.Assigned != nil {
				t.Errorf("%+v: %d:%d %s", j.Value, failed.Line, failed.Column, failed.Text)
			}
			if code := Code(j.Err); !strings.HasPrefix(code, "script.") {
				t.Error(code)
			}
		})
	}
}

func TestRunsDoNotSeeEachOther(t *testing.T) {
	r := inline{NewHost()}
	s, err := world().Script(`if (typeof before != "undefined" || "".odd) throw "seen"; before = 1; String.prototype.odd = 1; userName = "x"; return userName`, Text)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		j := &Job{Script: s, Values: values(), Timeout: time.Minute}
		if _ = r.Submit(j); j.Err != nil || j.Value.Text() != "x" {
			t.Fatal(j.Value, j.Err)
		}
	}
}

func TestHostKeepsABoundedNumberOfPrograms(t *testing.T) {
	h := NewHost()
	for i := range 3 * maxPrograms {
		if _, err := h.program("1+" + strings.Repeat("1", i+1)); err != nil || len(h.programs) > maxPrograms {
			t.Fatal(len(h.programs), err)
		}
	}
}

func TestNothingOfAnAnswerIsBelieved(t *testing.T) {
	s, err := world().Script("true", Bool)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, answer string
		cause        error
	}{
		{"no JSON", "true", ErrUnavailable},
		{"nothing", "", ErrUnavailable},
		{"a failure that does not exist", `{"bool":true,"failed":77}`, ErrUnavailable},
		{"true, but failed", `{"bool":true,"failed":1,"line":-5,"column":99999999}`, ErrThrown},
		{"a field of the wrong type", `{"bool":true,"assigned":{"user.id":"x"}}`, ErrWrongType},
		{"a field that cannot be assigned", `{"bool":true,"assigned":{"failuresRatio":1}}`, ErrWrongType},
		{"a variable that cannot be assigned", `{"bool":true,"assigned":{"hour":7}}`, ErrWrongType},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := &Job{Script: s}
			if j.Settle([]byte(c.answer)); !errors.Is(j.Err, c.cause) || j.Value.Bool || j.Assigned != nil {
				t.Errorf("%+v, %v", j.Value, j.Err)
			}
		})
	}
	big, _ := json.Marshal(answer{Texts: slices.Repeat([]string{"x"}, maxTexts+1)})
	s, _ = world().Script("''", Texts)
	j := &Job{Script: s}
	if j.Settle(big); !errors.Is(j.Err, ErrWrongType) {
		t.Error(j.Err)
	}
}

func TestVariablesThatMayChangeAreHandedBack(t *testing.T) {
	e := NewEnvironment(Variable{Name: "given", Type: Attributes, Changes: true}, Variable{Name: "level", Type: Int, Changes: true}, Variable{Name: "fixed", Type: Attributes})
	for _, c := range []struct{ name, source, want string }{
		{"nothing", "true", `null`},
		{"in place", "given.b = '2'; true", `{"given":{"a":["1"],"b":["2"]}}`},
		{"as the handbook does", `given.put("b", "2"); given.remove("a"); given.containsKey("a") == false && given.containsKey("b")`, `{"given":{"b":["2"]}}`},
		{"by another value", "given = {}; level = 3; true", `{"given":{},"level":3}`},
		{"back to what it was", "given.a = '2'; given.a = '1'; true", `null`},
		{"in a body", "given.a = ['x', 'y']; return true", `{"given":{"a":["x","y"]}}`},
		{"what may not change", "fixed.a = '2'; fixed = {}; true", `null`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := e.Script(c.source, Bool)
			if err != nil {
				t.Fatal(err)
			}
			one := map[string][]string{"a": {"1"}}
			j := &Job{Script: s, Values: Map{"given": one, "level": int64(1), "fixed": one}, Timeout: time.Minute}
			request, err := j.Encode()
			if err != nil {
				t.Fatal(err)
			}
			j.Settle(NewHost().Run(request, func() time.Duration { return 0 }))
			got, _ := json.Marshal(j.Assigned)
			if j.Err != nil || !j.Value.Bool || string(got) != c.want {
				t.Errorf("%s, %v %v; want %s", got, j.Value, j.Err, c.want)
			}
		})
	}
}

func TestValuesThatAreTooLargeAreNotHandedOver(t *testing.T) {
	j := run(t, "userName", Text, func(j *Job) { j.Values = Map{"user.userName": strings.Repeat("x", MaxRequest)} })
	if !errors.Is(j.Err, ErrThrown) || !strings.Contains(j.Err.Error(), "handed over") {
		t.Error(j.Err)
	}
}

func TestOnlyWhatAScriptMayUseIsHandedOver(t *testing.T) {
	s, err := world().Script("return hour > 3", Bool)
	if err != nil {
		t.Fatal(err)
	}
	b, err := (&Job{Script: s, Values: values()}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	r, err := decode[request](b)
	if err != nil || len(r.Variables) != 1 || r.Variables[0].Name != "hour" || r.Timeout != DefaultTimeout {
		t.Errorf("%s", b)
	}
}

func FuzzScript(f *testing.F) {
	seeds, _ := filepath.Glob("../../docs/examples/*/*.yaml")
	for _, file := range seeds {
		if text, err := os.ReadFile(file); err == nil {
			f.Add(string(text))
		}
	}
	f.Add("for (a : b) { x{`${y{1}}`} / 2 } return /[/]{2}/")
	env := NewEnvironment(Person()...)
	f.Fuzz(func(t *testing.T, source string) {
		s, err := env.Script(source, Texts)
		if err != nil {
			if !errors.As(err, new(*SyntaxError)) {
				t.Fatal(err)
			}
			return
		}
		for offset := range len(s.code) + 1 {
			if o := original(s.edits, offset); o < 0 || o > len(source) {
				t.Fatalf("offset %d of %q comes from %d of %q", offset, s.code, o, source)
			}
		}
	})
}
