package document

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// condition reads a condition; see Condition for how it is written. It returns nil where it reported a problem.
func (d *decoder) condition(n *yaml.Node, path string, depth int) *Condition {
	if n = d.enter(n, path, depth); n == nil {
		return nil
	}
	d.mark(path, n)
	if n.Kind == yaml.ScalarNode && strings.EqualFold(n.Value, string(TestAny)) {
		return &Condition{Test: TestAny}
	}
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "", "expected the word any, or a map with one test such as attributeRequester, found %s", found(n))
		return nil
	}
	entries := d.pairs(n, path)
	if len(entries) != 1 {
		d.fail(n, path, "combine tests as and: [...] or or: [...]", "a condition is one test, found %d", len(entries))
		return nil
	}
	key, value := entries[0].key, entries[0].value
	test, ok := testNamed(key.Value)
	if !ok {
		names := make([]string, 0, 16)
		for _, t := range Tests() {
			names = append(names, string(t))
		}
		d.fail(key, join(path, key.Value), suggest(key.Value, names), "unknown test")
		return nil
	}
	at := join(path, string(test))
	if value = d.enter(value, at, depth+1); value == nil {
		return nil
	}
	d.mark(at, value)
	c := &Condition{Test: test}
	switch {
	case test == TestAny:
		if !isNull(value) && (value.Kind != yaml.MappingNode || len(value.Content) > 0) {
			d.fail(value, at, "write condition: any", "the test any takes nothing, found %s", found(value))
			return nil
		}
	case test == TestAnd || test == TestOr:
		return d.terms(c, value, at, depth+1)
	case test == TestNot:
		term := d.condition(value, at, depth+1)
		if term == nil {
			return nil
		}
		c.Terms = []*Condition{term}
	case test.names() != "":
		s, ok := d.text(value, at)
		if !ok {
			return nil
		}
		if c.Group = s; s == "" {
			d.fail(value, at, "", "the name is empty")
			return nil
		}
	case test.computed():
		s, ok := d.text(value, at)
		if !ok {
			return nil
		}
		if c.Value = s; s == "" {
			d.fail(value, at, "", "the %s is empty", test)
			return nil
		}
	case test == TestTime:
		return d.hours(c, value, at, depth+1)
	default:
		return d.match(c, value, at)
	}
	return c
}

func (d *decoder) terms(c *Condition, n *yaml.Node, path string, depth int) *Condition {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		d.fail(n, path, "", "expected a list of one or more conditions, found %s", found(n))
		return nil
	}
	whole := true
	for i, e := range n.Content {
		term := d.condition(e, element(path, i), depth+1)
		whole = whole && term != nil
		c.Terms = append(c.Terms, term)
	}
	if !whole {
		return nil
	}
	return c
}

// match reads what a test compares with: a text, or a map of value or regex, ignoreCase, and the name where the test has one.
func (d *decoder) match(c *Condition, n *yaml.Node, path string) *Condition {
	nameKey := c.Test.nameKey()
	if n.Kind == yaml.ScalarNode && nameKey == "" {
		s, ok := d.text(n, path)
		c.Value = s
		if !ok {
			return nil
		}
		return c
	}
	if n.Kind != yaml.MappingNode {
		what := "a text, or a map with value or regex"
		if nameKey != "" {
			what = "a map with " + nameKey + " and value or regex"
		}
		d.fail(n, path, "", "expected %s, found %s", what, found(n))
		return nil
	}
	allowed := []string{"value", "regex", "ignoreCase"}
	if nameKey != "" {
		allowed = append(allowed, nameKey)
	}
	good, given := true, map[string]bool{}
	for _, p := range d.pairs(n, path) {
		at := join(path, p.key.Value)
		value := p.value
		if !slices.Contains(allowed, p.key.Value) {
			d.fail(p.key, at, suggest(p.key.Value, allowed), "unknown field")
			good = false
			continue
		}
		if value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		given[p.key.Value] = true
		ok := true
		switch p.key.Value {
		case "value":
			c.Value, ok = d.text(value, at)
		case "regex":
			c.Regex, ok = d.text(value, at)
		case "ignoreCase":
			if ok = value.Kind == yaml.ScalarNode && value.Tag == "!!bool"; !ok {
				d.fail(value, at, "", "expected true or false, found %s", found(value))
			}
			c.IgnoreCase = strings.EqualFold(value.Value, "true")
		default:
			c.Name, ok = d.text(value, at)
		}
		d.mark(at, value)
		good = good && ok
	}
	if given["value"] == given["regex"] {
		d.fail(n, path, "", "expected either value or regex")
		good = false
	}
	if given["regex"] && c.Regex == "" && good {
		d.fail(n, join(path, "regex"), "", "the regular expression is empty")
		good = false
	}
	if nameKey != "" && c.Name == "" {
		d.fail(n, join(path, nameKey), "", "the field is required")
		good = false
	}
	if !good {
		return nil
	}
	return c
}

func testNamed(word string) (Test, bool) {
	switch word {
	case "ANY", "AND", "OR", "NOT":
		word = strings.ToLower(word)
	}
	t := Test(word)
	return t, t.known()
}
