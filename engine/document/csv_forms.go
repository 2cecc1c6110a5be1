package document

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"trine/engine/secret"
)

// ofUser makes a column of what changes a user.
func ofUser(set func(u *User, value string) string) csvColumn {
	return func(d *Document, value string) string { return set(d.Spec.(*User), value) }
}

// userForm has a column for each field of a user. Those with several values separate them by semicolons; a semicolon in a value is
// written \;.
func userForm() csvForm {
	text := func(field func(*User) *string) csvColumn {
		return ofUser(func(u *User, v string) string { *field(u) = v; return "" })
	}
	list := func(field func(*User) *[]string) csvColumn {
		return ofUser(func(u *User, v string) string { *field(u) = splitValues(v); return "" })
	}
	return csvForm{kind: KindUser, name: "userName", attributes: true, columns: map[string]csvColumn{
		"firstName":          text(func(u *User) *string { return &u.FirstName }),
		"lastName":           text(func(u *User) *string { return &u.LastName }),
		"fullName":           text(func(u *User) *string { return &u.FullName }),
		"shortName":          text(func(u *User) *string { return &u.ShortName }),
		"mail":               text(func(u *User) *string { return &u.Mail }),
		"mailDomain":         text(func(u *User) *string { return &u.MailDomain }),
		"mobile":             text(func(u *User) *string { return &u.Mobile }),
		"aliases":            list(func(u *User) *[]string { return &u.Aliases }),
		"directoryDN":        text(func(u *User) *string { return &u.DirectoryDN }),
		"userType":           text(func(u *User) *string { return &u.UserType }),
		"primaryGroup":       text(func(u *User) *string { return &u.PrimaryGroup }),
		"groups":             list(func(u *User) *[]string { return &u.Groups }),
		"roles":              ofUser(csvRoles),
		"active":             ofUser(func(u *User, v string) string { return csvBool(&u.Active, v) }),
		"password":           ofUser(func(u *User, v string) string { return csvSecret(&u.Password, v) }),
		"passwordHash":       ofUser(func(u *User, v string) string { return csvSecret(&u.PasswordHash, v) }),
		"passwordMustChange": ofUser(func(u *User, v string) string { return csvBool(&u.PasswordMustChange, v) }),
	}}
}

func csvRoles(u *User, v string) string {
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

// definitionForm has a column for each field of an attribute definition, which are texts and truth values.
func definitionForm() csvForm {
	f := csvForm{kind: KindAttributeDefinition, name: "name", order: []string{"name"}, columns: map[string]csvColumn{}}
	for _, field := range schemas[reflect.TypeFor[AttributeDefinition]()] {
		if !inCell(&field) {
			continue
		}
		f.order = append(f.order, field.name)
		f.columns[field.name] = func(d *Document, value string) string {
			at := reflect.ValueOf(d.Spec).Elem().FieldByIndex(field.index)
			if at.Kind() == reflect.Bool {
				return csvBool(at.Addr().Interface().(*bool), value)
			}
			at.SetString(value)
			return ""
		}
	}
	return f
}

// inCell reports whether the value of a field can stand in a cell: a text of the writer's choice, or a truth value.
func inCell(f *field) bool {
	return f.typ.Kind() == reflect.Bool || f.typ.Kind() == reflect.String && len(f.enum) == 0
}

// The columns of policies. A record is one rule, and the records of a policy follow each other; its own fields stand in the first of them,
// or in each.
const (
	policyName               = "name"
	policyDescription        = "description"
	policyCondition          = "condition"
	policyAttribute          = "attribute"
	policyAllow              = "allow"
	policyAttributeCondition = "attributeCondition"
)

func policyForm() csvForm {
	policy := func(set func(p *AttributePolicy, value string) string) csvColumn {
		return func(d *Document, value string) string { return set(d.Spec.(*AttributePolicy), value) }
	}
	rule := func(p *AttributePolicy) *AttributeRule {
		if len(p.Attributes) == 0 {
			r := AttributeRule{}
			applyDefaultsTo(reflect.ValueOf(&r).Elem())
			p.Attributes = append(p.Attributes, r)
		}
		return &p.Attributes[0]
	}
	return csvForm{
		kind: KindAttributePolicy, name: policyName, joined: true,
		order: []string{policyName, policyDescription, policyCondition, policyAttribute, policyAllow, policyAttributeCondition},
		columns: map[string]csvColumn{
			policyDescription: policy(func(p *AttributePolicy, v string) string { p.Description = v; return "" }),
			policyCondition:   policy(func(p *AttributePolicy, v string) string { return csvCondition(&p.Condition, v) }),
			policyAttribute:   policy(func(p *AttributePolicy, v string) string { rule(p).Attribute = v; return "" }),
			policyAllow:       policy(func(p *AttributePolicy, v string) string { return csvBool(&rule(p).Allow, v) }),
			policyAttributeCondition: policy(func(p *AttributePolicy, v string) string {
				return csvCondition(&rule(p).Condition, v)
			}),
		},
	}
}

// csvCondition reads a condition as documents have it, in one cell: `any`, or JSON, or YAML in its flow style.
func csvCondition(to **Condition, cell string) string {
	in := newJSONReader(strings.NewReader(cell))
	node, err := in.value()
	if _, more := in.dec.Token(); err != nil || !errors.Is(more, io.EOF) {
		var root, more yaml.Node
		in := yaml.NewDecoder(strings.NewReader(cell))
		if err := in.Decode(&root); err != nil || len(root.Content) != 1 || !errors.Is(in.Decode(&more), io.EOF) {
			return "the condition is neither JSON nor YAML, such as any or {attributeRequester: \"https://sp.example.com\"}"
		}
		node = root.Content[0]
	}
	d := &decoder{doc: new(Document)}
	*to = d.condition(node, "", 1)
	if len(d.problems) == 0 {
		return ""
	}
	p := d.problems[0]
	reason := p.Reason
	if p.Field != "" {
		reason = p.Field + ": " + reason
	}
	if p.Suggestion != "" {
		reason += "; " + p.Suggestion
	}
	return reason
}

// joinPolicy adds the rule of a further record to a policy.
func joinPolicy(p, more *AttributePolicy) (reason string) {
	for _, f := range []struct {
		column     string
		have, also string
	}{
		{policyDescription, p.Description, more.Description},
		{policyCondition, conditionText(p.Condition), conditionText(more.Condition)},
	} {
		if f.also != "" && f.also != f.have {
			return fmt.Sprintf("the %s differs from that of the policy's first row", f.column)
		}
	}
	if len(p.Attributes) == 0 || len(more.Attributes) == 0 {
		return "a policy of several rows has an attribute in each"
	}
	p.Attributes = append(p.Attributes, more.Attributes...)
	return ""
}

// finishPolicy says what a policy lacks that documents must have.
func finishPolicy(d *Document) (reason string) {
	p, ok := d.Spec.(*AttributePolicy)
	if !ok {
		return ""
	}
	if p.Condition == nil {
		return "the column condition is empty; any means always"
	}
	for _, r := range p.Attributes {
		if r.Attribute == "" {
			return "a row has allow or attributeCondition and no attribute"
		}
	}
	return ""
}

func conditionText(c *Condition) string {
	if c == nil {
		return ""
	}
	if c.Test == TestAny {
		return string(TestAny)
	}
	return string(appendJSON(nil, c.node()))
}

// CSVWriter writes documents as ReadCSV reads them: what it writes reads back the same.
type CSVWriter struct {
	form csvForm
	out  *csv.Writer
}

// NewCSVWriter writes the header of a kind. It fails for a kind that is not written as CSV.
func NewCSVWriter(w io.Writer, kind string) (*CSVWriter, error) {
	form, ok := csvFormOf(kind)
	if !ok || form.order == nil {
		return nil, fmt.Errorf("documents of kind %s are not written as CSV", kind)
	}
	c := &CSVWriter{form: form, out: csv.NewWriter(w)}
	return c, c.write(form.order)
}

// CSVWritten reports whether documents of a kind can be written as CSV.
func CSVWritten(kind string) bool {
	f, ok := csvFormOf(kind)
	return ok && f.order != nil
}

// Write writes a document.
func (c *CSVWriter) Write(d *Document) error {
	if p, ok := d.Spec.(*AttributePolicy); ok {
		return c.policy(d.Name, p)
	}
	record := []string{d.Name}
	for _, field := range schemas[reflect.TypeOf(d.Spec).Elem()] {
		if !slices.Contains(c.form.order[1:], field.name) {
			continue
		}
		at := reflect.ValueOf(d.Spec).Elem().FieldByIndex(field.index)
		switch {
		case at.Equal(field.def):
			record = append(record, "")
		case at.Kind() == reflect.Bool:
			record = append(record, strconv.FormatBool(at.Bool()))
		default:
			record = append(record, at.String())
		}
	}
	return c.write(record)
}

func (c *CSVWriter) policy(name string, p *AttributePolicy) error {
	own := []string{name, p.Description, conditionText(p.Condition)}
	if len(p.Attributes) == 0 {
		return c.write(append(own, "", "", ""))
	}
	for _, r := range p.Attributes {
		if err := c.write(append(slices.Clone(own), r.Attribute, strconv.FormatBool(r.Allow), conditionText(r.Condition))); err != nil {
			return err
		}
	}
	return nil
}

// write writes a record. Readers of CSV take a carriage return before a line feed away; one more keeps it.
func (c *CSVWriter) write(record []string) error {
	for i := range record {
		record[i] = strings.ReplaceAll(record[i], "\r\n", "\r\r\n")
	}
	return c.out.Write(record)
}

// Close writes what is left.
func (c *CSVWriter) Close() error {
	c.out.Flush()
	return c.out.Error()
}
