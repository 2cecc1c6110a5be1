package script

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/decls"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"
	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// budget is what one evaluation may cost, in CEL's units: about one for each name and call, more for each piece of text or list
// that is walked over. Common expressions cost less than 100. An expression that spends all of it takes about a millisecond.
const budget = 10_000

// Expression is a compiled expression. It is immutable and safe for concurrent use.
type Expression struct {
	env     *Environment
	program cel.Program
	ast     *cel.Ast
	result  Type
}

// Expression compiles an expression whose result has the given type: Text, Texts or Bool. The error is a *SyntaxError.
func (e *Environment) Expression(source string, result Type) (*Expression, error) {
	if len(source) > maxExpression {
		return nil, &SyntaxError{Line: 1, Column: 1, Text: fmt.Sprintf("the expression is longer than %d bytes", maxExpression)}
	}
	ast, issues := e.cel.Compile(source)
	if errs := issues.Errors(); len(errs) > 0 {
		first := errs[0]
		for _, other := range errs[1:] {
			if l, f := other.Location, first.Location; l.Line() < f.Line() || l.Line() == f.Line() && l.Column() < f.Column() {
				first = other
			}
		}
		return nil, &SyntaxError{
			Line: max(1, first.Location.Line()), Column: max(1, first.Location.Column()+1), Text: shorten(e.plain(first.Message)),
		}
	}
	if !fits(ast.OutputType(), result) {
		return nil, &SyntaxError{Line: 1, Column: 1, Text: fmt.Sprintf("the expression yields %s, and a %s is needed", ast.OutputType(), result)}
	}
	program, err := e.cel.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(budget))
	if err != nil { // such as a regular expression that does not compile
		x := &Expression{ast: ast}
		line, column := x.place(err)
		return nil, &SyntaxError{Line: line, Column: column, Text: shorten(err.Error())}
	}
	return &Expression{env: e, program: program, ast: ast, result: result}, nil
}

// undeclared is how CEL says that it does not know a name.
var undeclared = regexp.MustCompile(`^undeclared reference to '([^']*)'`)

// plain says what the compiler says as its reader needs it.
func (e *Environment) plain(message string) string {
	if m := undeclared.FindStringSubmatch(message); m != nil {
		for _, v := range e.variables {
			if root, more := v.root(); more && root == m[1] {
				return fmt.Sprintf("%s has no field of that name", root)
			}
		}
	}
	return strings.TrimPrefix(message, "Syntax error: ")
}

// fits reports whether an expression of a type may stand where a result is needed.
func fits(t *cel.Type, result Type) bool {
	switch result {
	case Text:
		return t.IsExactType(cel.StringType)
	case Texts:
		return t.IsExactType(cel.StringType) || t.IsExactType(cel.ListType(cel.StringType))
	case Bool:
		return t.IsExactType(cel.BoolType)
	}
	return false
}

// Eval evaluates the expression. The error is an *Error. It may run on a packet loop: it neither blocks nor runs long.
func (x *Expression) Eval(values Values) (Value, error) {
	out, _, err := x.program.Eval(&activation{env: x.env, values: values})
	if err != nil {
		line, column := x.place(err)
		return Value{}, &Error{Cause: ErrExpression, Line: line, Column: column, Text: shorten(err.Error())}
	}
	switch out := out.(type) {
	case types.Bool:
		return Value{Bool: bool(out)}, nil
	case types.String:
		return x.texts([]string{string(out)})
	case traits.Lister:
		var texts []string
		for it := out.Iterator(); it.HasNext() == types.True; {
			text, ok := it.Next().(types.String)
			if !ok {
				return Value{}, &Error{Cause: ErrExpression, Line: 1, Column: 1, Text: "the list has something other than texts in it"}
			}
			texts = append(texts, string(text))
		}
		return x.texts(texts)
	}
	return Value{}, &Error{Cause: ErrExpression, Line: 1, Column: 1, Text: fmt.Sprintf("the result is no %s", x.result)}
}

func (x *Expression) texts(list []string) (Value, error) {
	list, err := bounded(list)
	if err != nil {
		return Value{}, &Error{Cause: ErrExpression, Line: 1, Column: 1, Text: err.Error()}
	}
	return Value{Texts: list}, nil
}

// place returns where in the text an error arose: at its beginning if it is of the whole.
func (x *Expression) place(err error) (line, column int) {
	var e *types.Err
	if !errors.As(err, &e) || e.NodeID() == 0 {
		return 1, 1
	}
	l := x.ast.NativeRep().SourceInfo().GetStartLocation(e.NodeID())
	return l.Line(), l.Column() + 1
}

// activation gives CEL the values of one evaluation.
type activation struct {
	env    *Environment
	values Values
}

// ResolveName implements cel.Activation.
func (a *activation) ResolveName(name string) (any, bool) {
	i, ok := a.env.names[name]
	if !ok {
		return nil, false
	}
	v := &a.env.variables[i]
	return v.value(a.values.Value(v.Name)), true
}

// Parent implements cel.Activation.
func (*activation) Parent() cel.Activation { return nil }

// value returns what CEL makes of a variable's value. What is missing has the zero value of its type.
func (v *Variable) value(given any) any {
	switch v.Type {
	case Text:
		s, _ := given.(string)
		return types.String(s)
	case Bool:
		b, _ := given.(bool)
		return types.Bool(b)
	case Int:
		n, _ := given.(int64)
		return types.Int(n)
	case Float:
		f, _ := given.(float64)
		return types.Double(f)
	case Time:
		t, _ := given.(time.Time)
		return types.Timestamp{Time: t}
	case Texts:
		list, _ := given.([]string)
		return list
	case Attributes:
		if l, ok := given.(Lookup); ok {
			return &lookup{Lookup: l}
		}
		return attributesOf(given)
	case Accounts:
		list, _ := given.([]Account)
		return list
	}
	return nil
}

// celTypes holds CEL's type for each of ours.
var celTypes = map[Type]*cel.Type{
	Text: cel.StringType, Bool: cel.BoolType, Int: cel.IntType, Float: cel.DoubleType, Time: cel.TimestampType,
	Texts:      cel.ListType(cel.StringType),
	Attributes: cel.MapType(cel.StringType, cel.ListType(cel.StringType)),
	Accounts:   cel.ListType(cel.ObjectType("Account")),
}

// newCEL returns CEL with the environment's variables, the extensions for texts, lists, sets, numbers and addresses, and the functions of
// this package.
func newCEL(e *Environment) *cel.Env {
	options := []cel.EnvOption{
		cel.Types(cel.NativeTypeFor[Account](cel.NativeTypeAlias("Account"), types.ParseStructTag("cel"))),
		cel.ParserExpressionSizeLimit(maxExpression), cel.ExpressionNodeLimit(4000), cel.ExpressionNestingDepthLimit(64), cel.ParserRecursionLimit(64),
		cel.RegexProgramSizeLimit(2000),
		ext.Strings(), ext.Lists(ext.ListsMaxRangeSize(maxTexts)), ext.Sets(), ext.Math(), ext.Network(),
		cel.CrossTypeNumericComparisons(true), cel.DefaultUTCTimeZone(true),
	}
	options = append(options, functions()...)
	for name, i := range e.names {
		options = append(options, cel.Variable(name, celTypes[e.variables[i].Type]))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		panic(fmt.Sprintf("script: declare variables: %v", err))
	}
	return env
}

// functions are what this package adds to CEL:
//
//	text.upper(), text.lower()      in upper or lower case, in every alphabet
//	text.orElse(other)              other, if the text is empty
//	texts.first()                   the first of a list, or the empty text
//	attributes.first(name)          the first value of an attribute, or the empty text
//	attributes.values(name)         its values, a list that can be empty
func functions() []cel.EnvOption {
	// The compiler has checked the types. The guards that CEL puts in front of functions would read a whole map to find the type of its values.
	unguarded := decls.DisableTypeGuards(true)
	texts, attributes := celTypes[Texts], celTypes[Attributes]
	return []cel.EnvOption{
		cel.Function("upper", unguarded, cel.MemberOverload("text_upper", []*cel.Type{cel.StringType}, cel.StringType, cel.UnaryBinding(recased(cases.Upper)))),
		cel.Function("lower", unguarded, cel.MemberOverload("text_lower", []*cel.Type{cel.StringType}, cel.StringType, cel.UnaryBinding(recased(cases.Lower)))),
		cel.Function("orElse", unguarded, cel.MemberOverload("text_or_else", []*cel.Type{cel.StringType, cel.StringType}, cel.StringType,
			cel.BinaryBinding(func(v, other ref.Val) ref.Val {
				if v == types.String("") {
					return other
				}
				return v
			}))),
		cel.Function("first", unguarded,
			cel.MemberOverload("texts_first", []*cel.Type{texts}, cel.StringType, cel.UnaryBinding(firstOf)),
			cel.MemberOverload("attributes_first", []*cel.Type{attributes, cel.StringType}, cel.StringType,
				cel.BinaryBinding(func(v, name ref.Val) ref.Val { return firstOf(valuesOf(v, name)) }))),
		cel.Function("values", unguarded, cel.MemberOverload("attributes_values", []*cel.Type{attributes, cel.StringType}, texts,
			cel.BinaryBinding(valuesOf))),
		cel.CostModel(walk("text_upper"), walk("text_lower")),
	}
}

// recased returns a function that changes the case as JavaScript does: it knows that ß is SS in upper case. A Caser has state, so each call
// has its own.
func recased(to func(language.Tag, ...cases.Option) cases.Caser) func(ref.Val) ref.Val {
	return func(v ref.Val) ref.Val {
		text, ok := v.(types.String)
		if !ok {
			return types.MaybeNoSuchOverloadErr(v)
		}
		return types.String(to(language.Und).String(string(text)))
	}
}

// walk is the cost of a function that reads all of a text and makes one of at most three times its size.
func walk(overload string) cost.OverloadModel {
	return cost.MemberOverload(overload,
		cost.EvalCost(cost.Sum(cost.Const(cost.CallCost), cost.StringScan(cost.Length(cost.Target())))),
		cost.ResultSize(cost.AtMost(cost.Mul(cost.Target(), cost.Const(3)))))
}

// firstOf returns the first text of a list, or the empty text.
func firstOf(v ref.Val) ref.Val {
	list, ok := v.(traits.Lister)
	if !ok {
		return types.MaybeNoSuchOverloadErr(v)
	}
	if list.Size() == types.IntZero {
		return types.String("")
	}
	return list.Get(types.IntZero)
}

// valuesOf returns the values of an attribute.
func valuesOf(v, name ref.Val) ref.Val {
	m, ok := v.(traits.Mapper)
	if _, text := name.(types.String); !ok || !text {
		return types.MaybeNoSuchOverloadErr(name)
	}
	if values, ok := m.Find(name); ok {
		return values
	}
	return types.DefaultTypeAdapter.NativeToValue([]string(nil))
}

// lookup is CEL's view of a Lookup. What is more than looking up an attribute is done by all of them as a map.
type lookup struct {
	Lookup
	traits.Mapper // nil until it is needed
}

func (l *lookup) whole() traits.Mapper {
	if l.Mapper == nil {
		l.Mapper = types.DefaultTypeAdapter.NativeToValue(attributesOf(l.Lookup)).(traits.Mapper)
	}
	return l.Mapper
}

// Find implements traits.Mapper.
func (l *lookup) Find(name ref.Val) (ref.Val, bool) {
	text, ok := name.(types.String)
	if !ok {
		return l.whole().Find(name)
	}
	values, ok := l.Lookup.Values(string(text))
	if !ok {
		return nil, false
	}
	return types.DefaultTypeAdapter.NativeToValue(values), true
}

// Contains implements traits.Container.
func (l *lookup) Contains(name ref.Val) ref.Val {
	_, ok := l.Find(name)
	return types.Bool(ok)
}

// Get implements traits.Indexer.
func (l *lookup) Get(name ref.Val) ref.Val {
	if v, ok := l.Find(name); ok {
		return v
	}
	return l.whole().Get(name) // which says what is wrong
}

// The rest of traits.Mapper.

func (l *lookup) Type() ref.Type { return types.MapType }

func (l *lookup) Value() any { return l.whole().Value() }

func (l *lookup) Iterator() traits.Iterator { return l.whole().Iterator() }

func (l *lookup) Size() ref.Val { return l.whole().Size() }

func (l *lookup) Equal(other ref.Val) ref.Val { return l.whole().Equal(other) }

func (l *lookup) ConvertToType(t ref.Type) ref.Val { return l.whole().ConvertToType(t) }

func (l *lookup) ConvertToNative(t reflect.Type) (any, error) { return l.whole().ConvertToNative(t) }
