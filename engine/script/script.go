package script

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dop251/goja"
	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/parser"
)

// DefaultTimeout is how much processor time a script has where its job says nothing else.
const DefaultTimeout = 50 * time.Millisecond

// Script is a script that was read and found to be JavaScript. It is immutable and safe for concurrent use. It is run by a [Runner].
type Script struct {
	env      *Environment
	result   Type
	source   string // as written
	code     string // as run
	edits    []edit
	rewrites []Rewrite
	uses     []int // variables that may occur in it
}

// Script reads a script whose result has the given type: Text, Texts or Bool. The error is a *SyntaxError. What is not known
// before it runs, such as a name that does not exist or the type of the result, is an error of the job.
//
// The result is what `return` says; without one, the value of the last statement. null and undefined are an empty text or list. A handbook
// script is read as it is written: see Rewrites.
func (e *Environment) Script(source string, result Type) (*Script, error) {
	switch {
	case len(source) > maxScript:
		return nil, &SyntaxError{Line: 1, Column: 1, Text: fmt.Sprintf("the script is longer than %d bytes", maxScript)}
	case !utf8.ValidString(source):
		return nil, &SyntaxError{Line: 1, Column: 1, Text: "the script is not UTF-8"}
	case strings.TrimSpace(source) == "":
		return nil, &SyntaxError{Line: 1, Column: 1, Text: "the script is empty"}
	}
	edits, rewrites, err := rewrite(source)
	if err != nil {
		return nil, err
	}
	s := &Script{env: e, result: result, source: source}
	if s.compile(nil) != nil { // what is JavaScript as it stands is not touched
		if err := s.compile(edits); err != nil {
			return nil, err
		}
		s.rewrites = rewrites
	}
	for i, v := range e.variables {
		root, _ := v.root()
		if strings.Contains(source, root) || v.Bare && strings.Contains(source, v.last()) || v.Type == Accounts && strings.Contains(source, service) {
			s.uses = append(s.uses, i)
		} else if v.Name == serviceID && strings.Contains(source, service) {
			s.uses = append(s.uses, i)
		}
	}
	return s, nil
}

// Rewrites returns the forms that are no JavaScript and that the script is read without, each once.
func (s *Script) Rewrites() []Rewrite { return s.rewrites }

// Warnings words the rewrites for people, with their places.
func (s *Script) Warnings() (out []string) {
	for _, r := range s.rewrites {
		out = append(out, fmt.Sprintf("line %d, column %d: %s; an expression would say it plainly", r.Line, r.Column, r.Text))
	}
	return out
}

// compile makes the code of the source with the edits.
func (s *Script) compile(edits []edit) error {
	s.edits = edits
	s.code = apply(s.source, edits)
	_, err := parse(s.code)
	if err == nil {
		_, err = compile(s.code)
		return s.syntax(err)
	}
	if !returns(err) {
		return s.syntax(err)
	}
	// There is a return outside of a function, so the script is the body of one.
	s.edits = append(append([]edit{{0, 0, "(function () { "}}, edits...), edit{len(s.source), len(s.source), "\n})()"})
	s.code = apply(s.source, s.edits)
	program, err := parse(s.code)
	if err != nil {
		return s.syntax(err)
	}
	if at, ok := lastExpression(program); ok {
		s.edits = insert(s.edits, edit{original(s.edits, at), original(s.edits, at), "return "})
		s.code = apply(s.source, s.edits)
	}
	_, err = compile(s.code)
	return s.syntax(err)
}

// insert puts an edit among others, in order.
func insert(edits []edit, e edit) []edit {
	out := make([]edit, 0, len(edits)+1)
	done := false
	for i, other := range edits {
		if !done && i > 0 && other.start >= e.start {
			out, done = append(out, e), true
		}
		out = append(out, other)
	}
	return out
}

// parse reads code without looking for a source map, which the parser would fetch from where a comment says.
func parse(code string) (program *ast.Program, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the parser gave up: %v", r)
		}
	}()
	return parser.ParseFile(nil, "", code, 0, parser.WithDisableSourceMaps)
}

// compile makes a program of code.
func compile(code string) (program *goja.Program, err error) {
	tree, err := parse(code)
	if err != nil {
		return nil, err
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the compiler gave up: %v", r)
		}
	}()
	return goja.CompileAST(tree, false)
}

// returns reports whether an error is that of a return outside of a function.
func returns(err error) bool {
	var list parser.ErrorList
	if !errors.As(err, &list) {
		return false
	}
	for _, e := range list {
		if e.Message == "Illegal return statement" {
			return true
		}
	}
	return false
}

// lastExpression returns where the last statement of the wrapped script begins, if it is an expression.
func lastExpression(program *ast.Program) (offset int, ok bool) {
	if len(program.Body) != 1 {
		return 0, false
	}
	statement, _ := program.Body[0].(*ast.ExpressionStatement)
	if statement == nil {
		return 0, false
	}
	call, _ := statement.Expression.(*ast.CallExpression)
	if call == nil {
		return 0, false
	}
	function, _ := call.Callee.(*ast.FunctionLiteral)
	if function == nil || len(function.Body.List) == 0 {
		return 0, false
	}
	last, _ := function.Body.List[len(function.Body.List)-1].(*ast.ExpressionStatement)
	if last == nil {
		return 0, false
	}
	return int(last.Idx0()) - 1, true
}

// syntax returns an error of the parser or the compiler as the author reads it.
func (s *Script) syntax(err error) error {
	if err == nil {
		return nil
	}
	bad := &SyntaxError{Line: 1, Column: 1, Text: shorten(err.Error())}
	var list parser.ErrorList
	var compiler *goja.CompilerSyntaxError
	switch {
	case errors.As(err, &list) && len(list) > 0:
		bad.Line, bad.Column = s.place(list[0].Position.Line, list[0].Position.Column)
		bad.Text = shorten(list[0].Message)
	case errors.As(err, &compiler):
		bad.Text = shorten(compiler.Message)
		if compiler.File != nil {
			p := compiler.File.Position(compiler.Offset)
			bad.Line, bad.Column = s.place(p.Line, p.Column)
		}
	}
	return bad
}

// place returns where in the script as it was written a place in its code is; zeroes for zeroes.
func (s *Script) place(line, column int) (int, int) {
	if line == 0 {
		return 0, 0
	}
	return place(s.source, original(s.edits, offsetOf(s.code, line, column)))
}

// Runner runs scripts where they disturb nobody. The appliance's worker implements it.
type Runner interface {
	// Submit queues a job and never blocks. An error (ErrQueueFull, ErrUnavailable) means that it was not queued; otherwise
	// job.Done.ScriptDone(job) is called exactly once, on any goroutine. The job is the runner's until then; its Values are
	// asked before Submit returns.
	Submit(job *Job) error
}

// Job is one run of a script.
type Job struct {
	Script   *Script
	Values   Values
	Timeout  time.Duration // of the processor; 0: DefaultTimeout
	Deadline time.Time     // past it the job need not be run; zero: none
	Done     JobDone

	// The outcome. With Err, an *Error, the others mean nothing.
	Value Value
	// Assigned holds the declared fields, such as user.firstName, and the variables that it may change, to which the script has given another value.
	Assigned Map
	Err      error
}

// JobDone learns that a job is done. ScriptDone must not block.
type JobDone interface {
	ScriptDone(job *Job)
}

// The wire between a runner and its [Host].
type (
	request struct {
		Code      string        `json:"code"`
		Result    Type          `json:"result"`
		Timeout   time.Duration `json:"timeout"`
		Variables []argument    `json:"variables,omitempty"`
	}
	argument struct {
		Name    string          `json:"name"`
		Type    Type            `json:"type"`
		Bare    bool            `json:"bare,omitempty"`
		Changes bool            `json:"changes,omitempty"` // what becomes of it is answered, though it is no field
		Value   json.RawMessage `json:"value"`
	}
	answer struct {
		Bool     bool                       `json:"bool,omitempty"`
		Texts    []string                   `json:"texts,omitempty"`
		Assigned map[string]json.RawMessage `json:"assigned,omitempty"`

		Failed status `json:"failed,omitempty"`
		Line   int    `json:"line,omitempty"`
		Column int    `json:"column,omitempty"`
		Text   string `json:"text,omitempty"`
	}
	status byte
)

const (
	thrown    status = 1
	timedOut  status = 2
	wrongType status = 3
)

// MaxRequest and MaxAnswer bound what Encode and Host.Run return, in bytes.
const (
	MaxRequest = 1 << 20
	MaxAnswer  = 1 << 20
)

// Encode returns the job as a [Host] reads it: the script with the values that it may use. It fails where these are too large.
func (j *Job) Encode() ([]byte, error) {
	s := j.Script
	r := request{Code: s.code, Result: s.result, Timeout: j.Timeout, Variables: make([]argument, 0, len(s.uses))}
	if r.Timeout <= 0 {
		r.Timeout = DefaultTimeout
	}
	for _, i := range s.uses {
		v := s.env.variables[i]
		value, err := v.encode(j.Values.Value(v.Name))
		if err != nil {
			return nil, &Error{Cause: ErrThrown, Line: 1, Column: 1, Text: fmt.Sprintf("the value of %s cannot be handed over: %v", v.Name, err)}
		}
		r.Variables = append(r.Variables, argument{Name: v.Name, Type: v.Type, Bare: v.Bare, Changes: v.Changes, Value: value})
	}
	b, err := json.Marshal(&r)
	if err == nil && len(b) > MaxRequest {
		err = fmt.Errorf("it has %d bytes, and at most %d can be handed over", len(b), MaxRequest)
	}
	if err != nil {
		return nil, &Error{Cause: ErrThrown, Line: 1, Column: 1, Text: fmt.Sprintf("the script with its values cannot be handed over: %v", err)}
	}
	return b, nil
}

// encode returns a value as JSON; what is missing or of another type is the zero value.
func (v Variable) encode(given any) (json.RawMessage, error) {
	switch v.Type {
	case Text:
		x, _ := given.(string)
		return json.Marshal(x)
	case Texts:
		x, _ := given.([]string)
		return json.Marshal(append([]string{}, x...))
	case Bool:
		x, _ := given.(bool)
		return json.Marshal(x)
	case Int:
		x, _ := given.(int64)
		return json.Marshal(x)
	case Float:
		x, _ := given.(float64)
		return json.Marshal(x)
	case Time:
		x, _ := given.(time.Time)
		return json.Marshal(x.UnixMilli())
	case Attributes:
		return json.Marshal(attributesOf(given))
	case Accounts:
		x, _ := given.([]Account)
		return json.Marshal(append([]Account{}, x...))
	}
	return nil, fmt.Errorf("there is no type %d", v.Type)
}

// decode is the reverse of encode, for what a script may assign.
func (v Variable) decode(b json.RawMessage) (value any, err error) {
	if !v.changes() {
		return nil, errors.New("the variable cannot be assigned")
	}
	switch v.Type {
	case Text:
		value, err = decode[string](b)
	case Texts:
		value, err = decode[[]string](b)
	case Bool:
		value, err = decode[bool](b)
	case Int:
		value, err = decode[int64](b)
	case Attributes:
		value, err = decode[map[string][]string](b)
	default:
		err = fmt.Errorf("a %s cannot be assigned", v.Type)
	}
	return value, err
}

func decode[T any](b json.RawMessage) (x T, err error) {
	err = json.Unmarshal(b, &x)
	return x, err
}

// Settle fills in the job's outcome from a host's answer. The answer comes from a process that ran what anybody wrote, so nothing in
// it is believed before it was looked at.
func (j *Job) Settle(b []byte) {
	j.Value, j.Assigned, j.Err = Value{}, nil, nil
	a, err := decode[answer](b)
	if err != nil {
		j.Err = &Error{Cause: ErrUnavailable, Text: "the answer of the process that runs scripts cannot be read: " + shorten(err.Error())}
		return
	}
	causes := map[status]error{thrown: ErrThrown, timedOut: ErrTimeout, wrongType: ErrWrongType}
	line, column := j.Script.place(a.Line, a.Column)
	switch cause, known := causes[a.Failed]; {
	case known:
		j.Err = &Error{Cause: cause, Line: line, Column: column, Text: shorten(a.Text)}
		return
	case a.Failed != 0:
		j.Err = &Error{Cause: ErrUnavailable, Text: fmt.Sprintf("the process that runs scripts answered %d", a.Failed)}
		return
	}
	if j.Script.result == Bool {
		j.Value.Bool = a.Bool
	} else if j.Value.Texts, err = bounded(a.Texts); err != nil {
		j.Err = &Error{Cause: ErrWrongType, Text: err.Error()}
	}
	for _, v := range j.Script.env.variables {
		b, ok := a.Assigned[v.Name]
		if !ok || j.Err != nil {
			continue
		}
		value, err := v.decode(b)
		if err != nil {
			j.Err = &Error{Cause: ErrWrongType, Text: v.Name + ": " + shorten(err.Error())}
			continue
		}
		if j.Assigned == nil {
			j.Assigned = Map{}
		}
		j.Assigned[v.Name] = value
	}
	if j.Err != nil {
		j.Value, j.Assigned = Value{}, nil
	}
}

// Fail fills in that the job has no value for one of the causes of [Error].
func (j *Job) Fail(cause error, text string) {
	j.Value, j.Assigned, j.Err = Value{}, nil, &Error{Cause: cause, Text: text}
}
