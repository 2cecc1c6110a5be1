package script

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/dop251/goja"
	"github.com/dop251/goja/parser"
)

// service is the global through which handbook scripts ask for accounts, and serviceID the user that they ask about.
const (
	service   = "serverService"
	serviceID = "user.id"
)

// Bounds of a host.
const (
	maxPrograms = 256  // compiled programs that are kept
	maxCalls    = 2000 // calls within each other
)

// Host runs scripts: it is the inside of the process that a [Runner] keeps for them. It bounds the time, but not the memory: that is the
// process's to do, and some of what a script can do is not to be interrupted but by ending it. A Host is not safe for concurrent use.
type Host struct {
	programs map[string]*goja.Program
	prelude  *goja.Program
}

// NewHost returns a host.
func NewHost() *Host {
	return &Host{programs: map[string]*goja.Program{}, prelude: goja.MustCompile("prelude", prelude, false)}
}

// prelude is what the language of the handbook has and JavaScript has not. It yields the prototype of attributes and accounts, which has
// nothing of its own but these methods, so that no attribute seems to exist that does not.
const prelude = `(function () {
	function add(to, methods) {
		for (const name of Object.keys(methods)) {
			Object.defineProperty(to, name, {value: methods[name], writable: true, configurable: true});
		}
		return to;
	}
	const same = {equals(other) { return this.valueOf() === other; }};
	add(Number.prototype, same);
	add(Boolean.prototype, same);
	add(String.prototype, same);
	add(String.prototype, {isEmpty() { return this.length === 0; }});
	add(Array.prototype, {
		size() { return this.length; },
		isEmpty() { return this.length === 0; },
		get(i) { return this[i]; },
	});
	return add(Object.create(null), {
		size() { return Object.keys(this).length; },
		isEmpty() { return Object.keys(this).length === 0; },
		get(name) { return Object.prototype.hasOwnProperty.call(this, name) ? this[name] : null; },
		put(name, value) { const old = this.get(name); this[name] = value; return old; },
		remove(name) { const old = this.get(name); delete this[name]; return old; },
		containsKey(name) { return Object.prototype.hasOwnProperty.call(this, name); },
		equals(other) { return this === other; },
	});
})()`

// Run runs the job that b encodes and returns the answer, which fits MaxAnswer. Spent returns how much processor time was spent
// so far, from whenever; it is asked from another goroutine.
func (h *Host) Run(b []byte, spent func() time.Duration) []byte {
	a := h.run(b, spent)
	encoded, err := json.Marshal(&a)
	if err != nil || len(encoded) > MaxAnswer {
		a = answer{Failed: wrongType, Text: "the result is too large"}
		encoded, _ = json.Marshal(&a)
	}
	return encoded
}

func (h *Host) run(b []byte, spent func() time.Duration) (a answer) {
	r, err := decode[request](b)
	if err != nil {
		return answer{Failed: thrown, Text: "the request cannot be read: " + shorten(err.Error())}
	}
	program, err := h.program(r.Code)
	if err != nil {
		return answer{Failed: thrown, Text: shorten(err.Error())}
	}
	vm := goja.New()
	vm.SetParserOptions(parser.WithDisableSourceMaps)
	vm.SetMaxCallStackSize(maxCalls)
	x := &execution{vm: vm, request: &r}

	done := make(chan struct{})
	ended := make(chan struct{})
	began := spent()
	go func() {
		defer close(ended)
		tick := time.NewTicker(max(r.Timeout/10, time.Millisecond))
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if spent()-began >= r.Timeout {
					vm.Interrupt(errInterrupted)
				}
			}
		}
	}()
	// All that may run what the script wrote, getters and conversions to text too, happens while the time is watched.
	defer func() {
		close(done)
		<-ended
	}()
	return guard(func() answer { return x.run(h.prelude, program) })
}

// guard calls f, and makes an answer of what a script throws where nobody expects it, such as from a getter.
func guard(f func() answer) (a answer) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case error:
			a = guard(func() answer { return failure(r) })
		default:
			a = answer{Failed: thrown, Text: "the script threw something that cannot be told"}
		}
	}()
	return f()
}

// run runs the program to its end.
func (x *execution) run(prelude, program *goja.Program) answer {
	if err := x.prepare(prelude); err != nil {
		return failure(err)
	}
	value, err := x.vm.RunProgram(program)
	if err != nil {
		return failure(err)
	}
	a, err := x.answer(value)
	if err != nil {
		return failure(err)
	}
	return a
}

var errInterrupted = errors.New("the script had no more time")

// program returns the compiled code.
func (h *Host) program(code string) (*goja.Program, error) {
	if p := h.programs[code]; p != nil {
		return p, nil
	}
	p, err := compile(code)
	if err != nil {
		return nil, err
	}
	if len(h.programs) >= maxPrograms {
		clear(h.programs)
	}
	h.programs[code] = p
	return p, nil
}

// typeError is a result or a field of the wrong type.
type typeError struct{ text string }

func (e *typeError) Error() string { return e.text }

// failure returns the answer that tells an error.
func failure(err error) answer {
	var (
		interrupted *goja.InterruptedError
		deep        *goja.StackOverflowError
		exception   *goja.Exception
		wrong       *typeError
	)
	a := answer{Failed: thrown, Text: shorten(err.Error())}
	var stack []goja.StackFrame
	switch {
	case errors.As(err, &wrong):
		a.Failed = wrongType
	case errors.As(err, &interrupted):
		a.Failed, a.Text = timedOut, "the script took too long"
		stack = interrupted.Stack()
	case errors.As(err, &deep):
		a.Text = "the script calls itself without end"
		stack = deep.Stack()
	case errors.As(err, &exception):
		a.Text = shorten(exception.Value().String())
		stack = exception.Stack()
	}
	for _, frame := range stack {
		if p := frame.Position(); p.Line > 0 && p.Filename == "" {
			a.Line, a.Column = p.Line, p.Column
			break
		}
	}
	return a
}

// execution is one run.
type execution struct {
	vm        *goja.Runtime
	request   *request
	prototype *goja.Object
	roots     map[string]*goja.Object // such as user
	given     map[string]goja.Value   // the fields of these, by the names of their variables
}

// prepare gives the script its globals.
func (x *execution) prepare(prelude *goja.Program) error {
	made, err := x.vm.RunProgram(prelude)
	if err != nil {
		return err
	}
	x.prototype = made.ToObject(x.vm)
	x.roots, x.given = map[string]*goja.Object{}, map[string]goja.Value{}
	global := x.vm.GlobalObject()
	define := func(o *goja.Object, name string, v goja.Value) error {
		return o.DefineDataProperty(name, v, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_TRUE)
	}
	now := time.Unix(0, 0)
	for _, v := range x.request.Variables {
		if v.Type == Time && v.Name == "now" {
			ms, err := decode[int64](v.Value)
			if err != nil {
				return err
			}
			now = time.UnixMilli(ms)
		}
	}
	x.vm.SetTimeSource(func() time.Time { return now })
	for _, v := range x.request.Variables {
		declared := Variable{Name: v.Name, Type: v.Type, Bare: v.Bare}
		value, err := x.value(declared, v.Value)
		if err != nil {
			return fmt.Errorf("read %s: %w", v.Name, err)
		}
		root, more := declared.root()
		if !more {
			if err := define(global, root, value); err != nil {
				return err
			}
			continue
		}
		o := x.roots[root]
		if o == nil {
			o = x.vm.CreateObject(x.prototype)
			x.roots[root] = o
			if err := define(global, root, o); err != nil {
				return err
			}
		}
		field := declared.last()
		x.given[v.Name] = value
		if err := define(o, field, value); err != nil {
			return err
		}
		if v.Bare {
			get := x.vm.ToValue(func(goja.FunctionCall) goja.Value { return o.Get(field) })
			set := x.vm.ToValue(func(c goja.FunctionCall) goja.Value {
				if err := o.Set(field, c.Argument(0)); err != nil {
					panic(err)
				}
				return goja.Undefined()
			})
			if err := global.DefineAccessorProperty(field, get, set, goja.FLAG_TRUE, goja.FLAG_TRUE); err != nil {
				return err
			}
		}
	}
	return nil
}

// value makes a variable's value.
func (x *execution) value(v Variable, b json.RawMessage) (goja.Value, error) {
	switch v.Type {
	case Text:
		s, err := decode[string](b)
		return x.vm.ToValue(s), err
	case Texts:
		list, err := decode[[]string](b)
		return x.list(list), err
	case Bool:
		y, err := decode[bool](b)
		return x.vm.ToValue(y), err
	case Int:
		n, err := decode[int64](b)
		return x.vm.ToValue(n), err
	case Float:
		f, err := decode[float64](b)
		return x.vm.ToValue(f), err
	case Time:
		ms, err := decode[int64](b)
		if err != nil {
			return nil, err
		}
		return x.vm.New(x.vm.Get("Date"), x.vm.ToValue(ms))
	case Attributes:
		m, err := decode[map[string][]string](b)
		return x.attributes(m), err
	case Accounts:
		list, err := decode[[]Account](b)
		if err != nil {
			return nil, err
		}
		return x.accounts(list)
	}
	return nil, fmt.Errorf("there is no type %d", v.Type)
}

func (x *execution) list(texts []string) goja.Value {
	values := make([]any, len(texts))
	for i, t := range texts {
		values[i] = t
	}
	return x.vm.NewArray(values...)
}

// attributes makes an object of attributes: one with one value is a text, others are lists.
func (x *execution) attributes(m map[string][]string) *goja.Object {
	o := x.vm.CreateObject(x.prototype)
	for _, name := range sortedKeys(m) {
		v := x.list(m[name])
		if len(m[name]) == 1 {
			v = x.vm.ToValue(m[name][0])
		}
		_ = o.DefineDataProperty(name, v, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_TRUE)
	}
	return o
}

func sortedKeys(m map[string][]string) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// accounts makes a list of accounts, and the service through which handbook scripts ask for them.
func (x *execution) accounts(list []Account) (goja.Value, error) {
	objects := make([]any, len(list))
	for i, a := range list {
		o := x.vm.CreateObject(x.prototype)
		for _, field := range []struct {
			name  string
			value goja.Value
		}{
			{"system", x.vm.ToValue(a.System)},
			{"name", x.vm.ToValue(a.Name)},
			{"enabled", x.vm.ToValue(a.Enabled)},
			{"attributes", x.attributes(a.Attributes)},
		} {
			if err := o.DefineDataProperty(field.name, field.value, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_TRUE); err != nil {
				return nil, err
			}
		}
		objects[i] = o
	}
	s := x.vm.NewObject()
	err := s.Set("getUserAccounts", func(c goja.FunctionCall) goja.Value {
		if own := x.own(); own == nil || !c.Argument(0).StrictEquals(own) {
			panic(x.vm.NewTypeError("getUserAccounts: only the accounts of the user himself are known: pass his id"))
		}
		found := []any{}
		for i, a := range list {
			if strings.EqualFold(a.System, c.Argument(1).String()) {
				found = append(found, objects[i])
			}
		}
		return x.vm.NewArray(found...)
	})
	if err != nil {
		return nil, err
	}
	if err := x.vm.Set(service, s); err != nil {
		return nil, err
	}
	return x.vm.NewArray(objects...), nil
}

// own returns the user's id as it was handed over.
func (x *execution) own() goja.Value {
	for _, v := range x.request.Variables {
		if v.Name == serviceID {
			if id, err := decode[int64](v.Value); err == nil {
				return x.vm.ToValue(id)
			}
		}
	}
	return nil
}

// answer reads what the script returned and assigned.
func (x *execution) answer(value goja.Value) (a answer, err error) {
	if x.request.Result == Bool {
		if a.Bool, err = x.bool(value); err != nil {
			return a, err
		}
	} else if a.Texts, err = x.texts(value, x.request.Result == Texts); err != nil {
		return a, err
	}
	for _, v := range x.request.Variables {
		declared := Variable{Name: v.Name, Type: v.Type, Changes: v.Changes}
		if !declared.changes() {
			continue
		}
		from := x.vm.GlobalObject()
		if root, more := declared.root(); more {
			from = x.roots[root]
		}
		value := from.Get(declared.last())
		switch v.Type {
		case Float, Time, Accounts:
			if value != x.given[v.Name] {
				return a, &typeError{v.Name + " cannot be assigned"}
			}
			continue
		}
		now, err := x.export(declared, value)
		if err != nil {
			return a, err
		}
		if !bytes.Equal(now, v.Value) {
			if a.Assigned == nil {
				a.Assigned = map[string]json.RawMessage{}
			}
			a.Assigned[v.Name] = now
		}
	}
	return a, x.unknown()
}

// unknown returns an error if the script has given user, or another object with declared fields, one that it does not have.
func (x *execution) unknown() error {
	for root, o := range x.roots {
		for _, field := range o.Keys() {
			name := root + "." + field
			if !slices.ContainsFunc(x.request.Variables, func(v argument) bool { return v.Name == name }) {
				return &typeError{fmt.Sprintf("%s has no field %s that could be assigned", root, shorten(field))}
			}
		}
	}
	return nil
}

// export returns the field's present value as Variable.encode would.
func (x *execution) export(v Variable, value goja.Value) (json.RawMessage, error) {
	given, err := any(nil), error(nil)
	switch v.Type {
	case Text:
		var list []string
		if list, err = x.texts(value, false); len(list) > 0 {
			given = list[0]
		}
	case Texts:
		given, err = x.texts(value, true)
	case Bool:
		given, err = x.bool(value)
	case Int:
		n := value.ToFloat()
		if !goja.IsNumber(value) || n != math.Trunc(n) || math.Abs(n) > 1<<53 {
			return nil, &typeError{fmt.Sprintf("%s is %s, and a whole number is needed", v.Name, kind(value))}
		}
		given = int64(n)
	case Attributes:
		given, err = x.mapping(value)
	}
	if err != nil {
		return nil, &typeError{v.Name + ": " + err.Error()}
	}
	return v.encode(given)
}

// mapping reads an object of attributes.
func (x *execution) mapping(value goja.Value) (map[string][]string, error) {
	o, ok := value.(*goja.Object)
	if !ok {
		return nil, &typeError{kind(value) + " instead of attributes"}
	}
	names := o.Keys()
	if len(names) > maxTexts {
		return nil, &typeError{fmt.Sprintf("%d attributes", len(names))}
	}
	m := make(map[string][]string, len(names))
	for _, name := range names {
		texts, err := x.texts(o.Get(name), true)
		if err != nil {
			return nil, err
		}
		m[name] = texts
	}
	return m, nil
}

func (x *execution) bool(value goja.Value) (bool, error) {
	if value != nil {
		if b, ok := value.Export().(bool); ok {
			return b, nil
		}
	}
	return false, &typeError{fmt.Sprintf("the result is %s, and true or false is needed", kind(value))}
}

// texts reads a text, or where many may be a list of them. Nothing is no text.
func (x *execution) texts(value goja.Value, many bool) ([]string, error) {
	if value == nil || goja.IsNull(value) || goja.IsUndefined(value) {
		return []string{}, nil
	}
	if goja.IsString(value) {
		return []string{value.String()}, nil
	}
	o, ok := value.(*goja.Object)
	if !ok || o.ClassName() != "Array" || !many {
		need := "a text"
		if many {
			need = "a text or a list of texts"
		}
		return nil, &typeError{fmt.Sprintf("the result is %s, and %s is needed", kind(value), need)}
	}
	n := o.Get("length").ToInteger()
	if n > maxTexts {
		return nil, &typeError{fmt.Sprintf("the list has %d texts, and at most %d are taken", n, maxTexts)}
	}
	texts := make([]string, 0, n)
	for i := range n {
		one := o.Get(fmt.Sprint(i))
		if one == nil || !goja.IsString(one) {
			return nil, &typeError{fmt.Sprintf("the list has %s in it, and texts are needed", kind(one))}
		}
		texts = append(texts, one.String())
	}
	return texts, nil
}

// kind says what a value is, without running anything of the script's.
func kind(value goja.Value) string {
	switch {
	case value == nil || goja.IsUndefined(value):
		return "undefined"
	case goja.IsNull(value):
		return "null"
	case goja.IsString(value):
		return "a text"
	case goja.IsNumber(value):
		return "a number"
	}
	if o, ok := value.(*goja.Object); ok {
		return "an object of the class " + o.ClassName()
	}
	if _, ok := value.Export().(bool); ok {
		return "true or false"
	}
	return "something else"
}
