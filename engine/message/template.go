package message

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
	"unicode"
)

// MaxTemplate is the length in bytes of the longest template.
const MaxTemplate = 8 << 10

// maxValue is how many characters of one value a text shows.
const maxValue = 200

// Values are what texts can show, as {{.Code}} and so on.
type Values struct {
	Code    string // the one-time code
	Service string // what the code is for: the service provider as people know it
	Name    string // how to address the person
	Detail  string // of a notice: what happened, such as the device's name
	Minutes int    // until the code ends, at least 1; whoever delivers fills it in
}

// Clean returns the values on one line each and without characters that cannot be seen, cut to a bearable length: names are chosen by
// people, and must not turn a message into another one.
func (v Values) Clean() Values {
	for _, text := range []*string{&v.Code, &v.Service, &v.Name, &v.Detail} {
		*text = clean(*text)
	}
	return v
}

func clean(text string) string {
	var b strings.Builder
	n, blank := 0, false
	for _, r := range text {
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			blank = b.Len() > 0
			continue
		}
		if !unicode.IsPrint(r) {
			continue
		}
		if n++; n > maxValue {
			break
		}
		if blank {
			b.WriteByte(' ')
			blank = false
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Template is a text with the fields of V in it. It knows fields and conditions and nothing that could run long or grow large.
type Template[V any] struct{ parsed *template.Template }

// functions are what a template may call.
var functions = []string{"and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge"}

// Parse reads a template: text with {{.Field}} and {{if .Field}} ... {{else}} ... {{end}}, in the syntax of Go's text/template. What else that
// syntax has is refused. The error says what is wrong and on which line.
func Parse[V any](text string) (Template[V], error) {
	if len(text) > MaxTemplate {
		return Template[V]{}, fmt.Errorf("the template is longer than %d bytes", MaxTemplate)
	}
	parsed, err := template.New("line").Parse(text)
	if err != nil {
		return Template[V]{}, fmt.Errorf("the template cannot be read: %s", strings.Replace(strings.TrimPrefix(err.Error(), "template: "), "line:", "line ", 1))
	}
	if len(parsed.Templates()) > 1 || len(parsed.Templates()) == 1 && parsed.Tree == nil {
		return Template[V]{}, fmt.Errorf("the template cannot be read: {{define}} and {{block}} are not supported")
	}
	if parsed.Tree != nil && parsed.Root != nil {
		if err := checkNode(parsed.Root, reflect.TypeFor[V]()); err != nil {
			return Template[V]{}, err
		}
	}
	return Template[V]{parsed}, nil
}

// Execute fills a template in.
func (t Template[V]) Execute(values V) (string, error) {
	var b strings.Builder
	if t.parsed == nil || t.parsed.Tree == nil {
		return "", nil
	}
	if err := t.parsed.Execute(&b, values); err != nil {
		return "", fmt.Errorf("fill in the template: %w", err)
	}
	return b.String(), nil
}

func checkNode(n parse.Node, values reflect.Type) error {
	var below []parse.Node
	switch n := n.(type) {
	case *parse.ListNode:
		if n != nil {
			below = n.Nodes
		}
	case *parse.ActionNode:
		below = []parse.Node{n.Pipe}
	case *parse.IfNode:
		below = []parse.Node{n.Pipe, n.List, n.ElseList}
	case *parse.PipeNode:
		if len(n.Decl) > 0 {
			return fmt.Errorf("variables are not supported: {{%s}}", n)
		}
		for _, c := range n.Cmds {
			below = append(below, c)
		}
	case *parse.CommandNode:
		below = n.Args
	case *parse.FieldNode:
		if field, ok := values.FieldByName(n.Ident[0]); !ok || len(n.Ident) > 1 || !field.IsExported() {
			return fmt.Errorf("there is no field {{%s}}; there are %s", n, fieldNames(values))
		}
	case *parse.IdentifierNode:
		if !slices.Contains(functions, n.Ident) {
			return fmt.Errorf("the function %s is not supported; there are %s", n.Ident, strings.Join(functions, ", "))
		}
	case *parse.TextNode, *parse.CommentNode, *parse.StringNode, *parse.NumberNode, *parse.BoolNode:
	default:
		return fmt.Errorf("%s is not supported: a template has fields such as {{.%s}}, and {{if}}", n, values.Field(0).Name)
	}
	for _, one := range below {
		if err := checkNode(one, values); err != nil {
			return err
		}
	}
	return nil
}

func fieldNames(values reflect.Type) string {
	names := make([]string, 0, values.NumField())
	for i := range values.NumField() {
		names = append(names, "{{."+values.Field(i).Name+"}}")
	}
	return strings.Join(names, ", ")
}
