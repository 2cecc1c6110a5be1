package trace

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// declared returns the values of the constants of a type in the package, as they are written, by name.
func declared(t *testing.T, typ string) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if name, ok := spec.Type.(*ast.Ident); ok && name.Name == typ && len(spec.Values) == 1 {
				if value, ok := spec.Values[0].(*ast.BasicLit); ok {
					found[spec.Names[0].Name] = value.Value
				}
			}
			return true
		})
	}
	if len(found) == 0 {
		t.Fatalf("the package declares no %s", typ)
	}
	return found
}

// declaredReasons returns the reasons that have a constant, by its name.
func declaredReasons(t *testing.T) map[string]Reason {
	t.Helper()
	reasons := map[string]Reason{}
	for name, quoted := range declared(t, "Reason") {
		code, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatal(err)
		}
		reasons[name] = Reason(code)
	}
	return reasons
}

func TestEveryReasonHasMeaningAndRemedy(t *testing.T) {
	all := All()
	if !slices.IsSortedFunc(all, func(a, b Info) int { return strings.Compare(string(a.Code), string(b.Code)) }) {
		t.Error("the table is not sorted by code, so codes are not found")
	}
	meanings := map[string]Reason{}
	for _, i := range all {
		if other, twice := meanings[i.Meaning]; twice {
			t.Errorf("%s and %s mean the same", other, i.Code)
		}
		meanings[i.Meaning] = i.Code
	}
	codes := declaredReasons(t)
	if len(codes) != len(all) {
		t.Errorf("%d codes are declared, %d explained", len(codes), len(all))
	}
	for name, code := range codes {
		info, ok := code.Info()
		if !ok {
			t.Errorf("%s (%s) has no entry in the table of reasons", name, code)
			continue
		}
		if info.Class == ClassUnknown || info.Class >= classes || code.Class() != info.Class {
			t.Errorf("%s has the class %v", code, info.Class)
		}
		if !strings.HasSuffix(info.Meaning, ".") || strings.Count(info.Meaning, ". ") != 0 {
			t.Errorf("%s: its meaning %q is not one sentence", code, info.Meaning)
		}
		if (info.Remedy == "") != (code == OK) {
			t.Errorf("%s: nothing is said about what to do", code)
		}
	}
	if _, ok := Reason("no.such").Info(); ok || Reason("no.such").Class() != ClassUnknown {
		t.Error("a code that does not exist is explained")
	}
}

func TestEveryStepHasWords(t *testing.T) {
	codes := declared(t, "StepCode")
	seen := map[int]string{}
	for name, text := range codes {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[n]; ok {
			t.Errorf("%s and %s have the same number", name, other)
		}
		seen[n] = name
		if n == int(StepNone) {
			continue
		}
		if words := StepCode(n).Words("SUBJECT", "DETAIL"); strings.Contains(words, "does not know") || strings.ContainsAny(words, "{}") {
			t.Errorf("%s: %s", name, words)
		}
	}
	if words := StepCode(9999).Words("s", "d"); words != "A step that this release does not know: s d." {
		t.Error(words)
	}
	if words := UserNotFound.Words("{d}", "secret"); strings.Contains(words, "secret") {
		t.Errorf("what is filled in is read as a template: %s", words)
	}
}

func TestTraceKeepsWhatHasRoomAndCountsTheRest(t *testing.T) {
	var tr Trace
	tr.Start(time.Now())
	name := []byte("alice")
	tr.AddBytes(UserFound, name, []byte("Alice"))
	copy(name, "XXXXX") // the trace has its own copy
	tr.Add(TypeFound, "default", "")
	tr.AddName(Throttled, []byte("bob"), "limit")
	for _, want := range []Step{
		{Code: UserFound, Subject: []byte("alice"), Detail: []byte("Alice")},
		{Code: TypeFound, Subject: []byte("default")},
		{Code: Throttled, Subject: []byte("bob"), Detail: []byte("limit")},
	} {
		i := slices.IndexFunc([]StepCode{UserFound, TypeFound, Throttled}, func(c StepCode) bool { return c == want.Code })
		got := tr.Step(i)
		if got.Code != want.Code || !bytes.Equal(got.Subject, want.Subject) || !bytes.Equal(got.Detail, want.Detail) {
			t.Errorf("step %d: %d %q %q", i, got.Code, got.Subject, got.Detail)
		}
	}
	long := strings.Repeat("é", 500)
	for range 2 * MaxSteps {
		tr.Add(NameCame, long, long)
	}
	if tr.Len() != MaxSteps || tr.Lost() != 3+MaxSteps {
		t.Errorf("%d steps, %d lost", tr.Len(), tr.Lost())
	}
	text := 0
	for i := range tr.Len() {
		s := tr.Step(i)
		text += len(s.Subject) + len(s.Detail)
		if !utf8.Valid(s.Subject) || !utf8.Valid(s.Detail) || len(s.Subject) > maxField {
			t.Errorf("step %d was cut within a character: %q", i, s.Subject)
		}
	}
	if text > MaxText || text < MaxText-1 {
		t.Errorf("%d bytes of text", text)
	}
	tr.Start(time.Now())
	if tr.Len() != 0 || tr.Lost() != 0 {
		t.Error("Start does not empty the trace")
	}
}

func TestStepsAddUpToTheTimeThatPassed(t *testing.T) {
	var tr Trace
	started := time.Now()
	tr.Start(started)
	for range 10 {
		tr.Add(UserFound, "", "")
		tr.Add(TypeFound, "", "")
	}
	passed := time.Since(started)
	var sum time.Duration
	for i := range tr.Len() {
		sum += time.Duration(tr.Step(i).Took)
	}
	if sum > passed || sum == 0 {
		t.Errorf("the steps took %v of %v", sum, passed)
	}
	if got := tr.Step(1).Took; got != 0 {
		t.Errorf("a step that is not timed took %d ns", got)
	}
	tr.Start(started.Add(-time.Hour)) // longer than a step can say
	tr.Add(UserFound, "", "")
	if got := tr.Step(0).Took; got != 1<<32-1 {
		t.Errorf("an hour is %d ns", got)
	}
}

func TestRecordingAllocatesNothing(t *testing.T) {
	var tr Trace
	name, now := []byte("alice"), time.Now()
	if n := testing.AllocsPerRun(100, func() {
		tr.Start(now)
		tr.AddBytes(UserFound, name, name)
		tr.Add(TypeFound, "default", "")
		tr.AddName(Throttled, name, "limit")
		_ = tr.Step(1)
		_ = UserUnknown.Class()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestExplainTellsWhyAndWhatToDo(t *testing.T) {
	got := Explain(&Decision{
		ID: "01ARZ3NDEKTSV", Verdict: "reject", Reason: UserUnknown, Protocol: "radius", Method: "pap", Client: "core",
		UserName: "al\x1b[31mice", Source: "127.0.0.1", At: time.Unix(1e9, 5e8), Took: 1234567,
		Steps: []Told{
			{Code: ClientChosen, Subject: "core", Detail: "127.0.0.1", Took: 900},
			{Code: UserNotFound, Subject: "al\x1b[31mice", Took: 12345},
			{Code: DecoyChecked, Subject: "argon2id"},
		},
	})
	want := `user.unknown: No user has this login name.
What to do: Compare the name with the User documents and their aliases; the trace shows the name as it came and as it was looked up.

  Decision          01ARZ3NDEKTSV
  Verdict           reject
  When              2001-09-09 01:46:40.500 UTC
  Took              1.235ms
  Protocol          radius, pap
  Service provider  core
  Source            127.0.0.1
  Login name        "al\x1b[31mice"

Steps:
   1. The source 127.0.0.1 belongs to the service provider core. (900ns)
   2. Looked up "al\x1b[31mice": there is no such user. (12µs)
   3. Did the work of a known user all the same (argon2id form).
`
	if got != want {
		t.Errorf("got:\n%s", got)
	}
	if got := Explain(&Decision{Reason: "later.code"}); !strings.Contains(got, "does not know") || !strings.Contains(got, "No steps were kept") {
		t.Errorf("got:\n%s", got)
	}
}

func BenchmarkAdd(b *testing.B) {
	var tr Trace
	name := []byte("alice")
	for b.Loop() {
		tr.Start(time.Now())
		tr.AddBytes(UserFound, name, name)
		tr.AddBytes(PasswordFromCache, name, nil)
		for range 6 {
			tr.AddBytes(TypeFound, name, name)
		}
	}
}

func TestStepsThatAreTakenBackLeaveTheirRoom(t *testing.T) {
	var tr Trace
	tr.Start(time.Now())
	tr.Add(UserFound, "alice", "Alice")
	kept := tr.Len()
	for range MaxSteps {
		tr.Add(PolicyMatched, strings.Repeat("x", 100), "")
	}
	if tr.Lost() != 1 {
		t.Fatal(tr.Lost())
	}
	tr.Cut(kept)
	tr.Cut(kept)
	tr.Add(RoleHeld, "reader", "wlan")
	if s := tr.Step(1); tr.Len() != 2 || tr.Lost() != 0 || string(s.Subject) != "reader" || string(s.Detail) != "wlan" || string(tr.Step(0).Subject) != "alice" {
		t.Errorf("%d steps, %d lost, %q", tr.Len(), tr.Lost(), s.Subject)
	}
}
