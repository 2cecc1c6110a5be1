package document

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	goparser "go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

//go:generate go test -run TestConfigurationReferenceIsCurrent -update .

var update = flag.Bool("update", false, "write golden files and docs/configuration.md anew")

// TestConfigurationReferenceIsCurrent holds docs/configuration.md to the types: go generate writes it anew.
func TestConfigurationReferenceIsCurrent(t *testing.T) {
	const path = "../../docs/configuration.md"
	want := reference(t)
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Fatal("docs/configuration.md does not say what the types say: run go generate ./engine/document")
	}
}

// comments holds the doc comment of each struct type and of each of its fields, by "Type" and "Type.Field".
func comments(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := goparser.ParseFile(token.NewFileSet(), name, nil, goparser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	out := map[string]string{}
	for _, file := range files {
		for _, decl := range file.Decls {
			g, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range g.Specs {
				ts, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				out[ts.Name.Name] = oneLine(g.Doc.Text())
				st, ok := ts.Type.(*ast.StructType)
				if !ok {
					continue
				}
				for _, f := range st.Fields.List {
					for _, n := range f.Names {
						text := oneLine(f.Doc.Text())
						for _, prefix := range []string{n.Name + " ", "is ", "are "} {
							text = strings.TrimPrefix(text, prefix)
						}
						out[ts.Name.Name+"."+n.Name] = text
					}
				}
			}
		}
	}
	return out
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func reference(t *testing.T) []byte {
	docs := comments(t)
	var b bytes.Buffer
	b.WriteString(referenceHead)
	b.WriteString("| kind | words that commands take | what it is |\n|---|---|---|\n")
	for _, k := range Kinds() {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s |\n", k.Name, strings.ToLower(k.Name), strings.Join(append([]string{k.Plural}, k.Aliases...), ", "), k.Summary)
	}
	for _, k := range Kinds() {
		spec := reflect.TypeOf(k.blank()).Elem()
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", k.Name, docs[spec.Name()])
		example, err := os.ReadFile("testdata/examples/" + k.Name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "```yaml\n%s```\n\n", example)
		b.WriteString("| field below `spec` | type | default | meaning |\n|---|---|---|---|\n")
		referenceFields(t, &b, docs, spec, "")
		if k.Name == KindAttributePolicy {
			b.WriteString(referenceConditions)
		}
		if k.Name == KindServiceProvider {
			b.WriteString(referenceRules)
		}
		b.WriteString(referenceCSV(k.Name))
	}
	return b.Bytes()
}

// referenceCSV describes the CSV files of a kind.
func referenceCSV(kind string) string {
	columns := CSVColumns(kind)
	if columns == nil {
		return ""
	}
	text := fmt.Sprintf("\nA CSV file names its columns in the first line: `%s`", strings.Join(columns, "`, `"))
	switch kind {
	case KindUser:
		text += ", and `attributes.NAME` for each attribute. A cell with several values separates them by semicolons; a semicolon in a value is written `\\;`. " +
			"A role that counts for a time only has a blank and an interval behind it, of which either end may be missing: `admin@erp 2027-01-01/2027-07-01`."
	case KindAttributePolicy:
		text += ". A line is one rule; the lines of a policy follow each other, and its description and condition stand in the first of them or in each. A condition is written as in a document, on one line: `any`, " +
			"`{\"attributeRequester\":\"https://sp.example.com\"}`."
	default:
		text += "."
	}
	return text + " An empty cell stands for a field that is not given. A column `action` may say for each line what to do: `create`, `update` or `skip`.\n"
}

func referenceFields(t *testing.T, b *bytes.Buffer, docs map[string]string, typ reflect.Type, path string) {
	for _, f := range schemas[typ] {
		owner, sf := typ, typ.FieldByIndex(f.index)
		if len(f.index) > 1 {
			owner = typ.FieldByIndex(f.index[:len(f.index)-1]).Type
		}
		meaning := docs[owner.Name()+"."+sf.Name]
		if meaning == "" {
			t.Errorf("%s.%s has no comment", owner.Name(), sf.Name)
		}
		meaning = upperFirst(meaning)
		switch {
		case f.later != "":
			meaning += fmt.Sprintf(" *Stored, and takes effect with %s, which this release does not have yet.*", f.later)
		case len(f.planned) > 0:
			meaning += fmt.Sprintf(" Later releases add %s.", strings.Join(f.planned, ", "))
		}
		where := join(path, f.name)
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", where, referenceType(&f), referenceDefault(&f), strings.ReplaceAll(meaning, "|", `\|`))
		if below, ok := structUnder(f.typ); ok {
			if f.typ.Kind() == reflect.Slice {
				where += "[]"
			}
			referenceFields(t, b, docs, below, where)
		}
	}
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func referenceType(f *field) string {
	typ, many := f.typ, ""
	if typ.Kind() == reflect.Slice && typ != typeValues {
		typ, many = typ.Elem(), "list of "
	}
	plural := func(one, more string) string {
		if many != "" {
			return many + more
		}
		return one
	}
	switch {
	case f.ref != "":
		return plural("name of "+article(f.ref), "names of "+article(f.ref))
	case len(f.enum) > 0:
		return many + "`" + strings.Join(f.enum, "`, `") + "`"
	case typ == typeText:
		return "secret"
	case typ == typeCondition:
		return "condition"
	case typ == typeRange:
		return plural("address, prefix or range", "addresses, prefixes, ranges")
	case typ == typeTime:
		return "time"
	case typ == typeDuration:
		return "duration, " + f.min + " to " + f.max
	case typ.Kind() == reflect.Bool:
		return "true or false"
	case typ.Kind() == reflect.Int:
		return plural("number, ", "numbers, ") + f.min + " to " + f.max
	case typ.Kind() == reflect.String:
		return plural("text", "texts")
	case typ.Kind() == reflect.Map:
		return "map of names to a text or a list of texts"
	}
	return plural("block", "blocks")
}

func article(noun string) string {
	if strings.ContainsRune("AEIO", rune(noun[0])) {
		return "an " + noun
	}
	return "a " + noun
}

func referenceDefault(f *field) string {
	switch {
	case f.required:
		return "required"
	case f.typ == typeDuration:
		return "`" + formatDuration(reflectDuration(f.def)) + "`"
	case f.tagged:
		return "`" + fmt.Sprint(f.def.Interface()) + "`"
	case f.typ.Kind() == reflect.Bool:
		return "`false`"
	case f.typ.Kind() == reflect.Int:
		return "`0`"
	}
	return ""
}

const referenceHead = `<!-- Written by go generate ./engine/document from the Go types. Change those. -->

# Configuration reference

Everything that Trine is told, apart from the [settings](settings.md) of a node, is a document: a kind, a name, and a spec.

` + "```yaml" + `
kind: Group
name: staff
version: 3                 # optional: the version that this one replaces; a conflict is refused
comment: VLAN moved to 20  # optional: recorded with the change
spec:
  reply: ["Tunnel-Private-Group-Id:1 = 20"]
` + "```" + `

- A file holds YAML documents separated by ` + "`---`" + `, or JSON: an object, an array of objects, or a stream of them. An apply takes effect whole or not at all.
- Unknown fields, wrong types and fields given twice are refused, all of them at once, each with its line.
- A text that looks like a number or a truth value is put in quotes: ` + "`mobile: \"600000000\"`" + `. Secrets need none.
- A duration is written ` + "`30s`, `10m`, `1h30m`" + `, or as a number of seconds. A time is written ` + "`2027-01-31T12:00:00Z`" + `, or as a day, which begins at midnight UTC.
- A secret is sealed on the way in and shown as ` + "`«redacted»`" + ` ever after. Applied, ` + "`«redacted»`" + ` means the secret in force; so what was exported can be applied again.
- A name has up to 253 bytes, none of ` + "`/` and `\\`" + `, and no blank at its ends. Names of users and their aliases are compared without regard to case. A MAC address may be written in any notation.
- ` + "`trine get`" + ` shows beside these fields when and by whom a document was created and last changed, and a user's ` + "`id`" + `, a number that no other user ever gets. They cannot be
  written: applied, a document means the same with them and without.
- A field that belongs to a capability that this release does not have is stored and named in a warning.
- A reply attribute is written ` + "`Attribute = value`, `Attribute:tag = value` or `Attribute += value`" + `, with the names of the dictionaries.

A document that others refer to cannot be deleted: the refusal names the first of them. A User takes with him, in the same change, what is his alone: his password, his Accounts and
his Endpoints; to keep an endpoint, give it another owner first. Places that are reserved for him under a limit of sessions are given up; his network sessions stay until the device
ends them, so that no accounting is lost.

A ServiceProvider of type tacacs brings its InformationSystem and the Roles ` + "`0@SYSTEM` to `15@SYSTEM`" + ` with it, those of them that are not there yet, in the same change and shown by ` + "`plan`" + `.
They stay when it is deleted, with all that was granted; while it is there, its InformationSystem cannot be deleted. What is deleted of them later does not come back when it changes.

At most one document may hold each of: a login name (a user's name or alias), a public id (of an identity provider or a service provider), a source prefix, a name of an attribute in a protocol, and a channel of messages (mail or text messages).

`

const referenceRules = `
A condition of an authorization policy has the tests of [sharing policies](#attributepolicy), and these beside:

| test | is true where |
|---|---|
| ` + "`ssid: MATCH`" + ` | the SSID matches: what stands behind the MAC address and a colon in Called-Station-Id (RFC 3580) |
| ` + "`requestAttribute: {attribute: NAME, MATCH}`" + ` | one of the values matches that the request has of an attribute of the dictionary, such as NAS-Port-Type, Calling-Station-Id, NAS-Identifier or Cisco-AVPair. Text is compared as it came, numbers by the name of their value or in decimals, addresses as people write them |
| ` + "`deviceLabel: {name: NAME, MATCH}`" + ` | one of the values of that label of the service provider matches |
| ` + "`group: GROUP`" + ` | the person belongs to the Group, or to one below it |
| ` + "`role: ROLE@SYSTEM`" + ` | the person has the Role now |
| ` + "`userType: USERTYPE`" + ` | the person is of the UserType; people without one are of ` + "`default`" + ` |
| ` + "`endpointGroup: GROUP`" + ` | the device is an Endpoint, not expired, in the Group or in one below it: the one that logs in by its MAC address, else the one with the address in Calling-Station-Id |
| ` + "`time: {from: \"22:00\", until: \"06:00\", days: [friday], zone: Europe/Madrid}`" + ` | it is that time of the day, on the day on which it begins. Each part may be left out: without from or until, the day begins or ends; without days, every day counts; without a zone, hours are UTC |

What there is none of satisfies no test, so ` + "`not`" + ` of the test holds. Of all replies, that of the rule goes first, then those of the service provider, of the roles and of the groups.

` + "`trine explain`" + ` names the rule that decided, and of the first rule what of its condition did not hold.
`

const referenceConditions = `
A condition is the word ` + "`any`" + `, or a map with one test:

| test | is true where |
|---|---|
| ` + "`any`" + ` | always |
| ` + "`and: [CONDITION, ...]`" + ` | every one is true |
| ` + "`or: [CONDITION, ...]`" + ` | one of them is true |
| ` + "`not: CONDITION`" + ` | it is false |
| ` + "`attributeRequester: MATCH`" + ` | the public id of the service provider matches |
| ` + "`attributeIssuer: MATCH`" + ` | the public id of the identity provider matches |
| ` + "`principalName: MATCH`" + ` | the user's name matches |
| ` + "`authenticationMethod: MATCH`" + ` | the method of the login matches: a SAML class URI such as ` + "`urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport`, or a letter code such as `P`" + ` |
| ` + "`attributeValue: {attribute: NAME, MATCH}`" + ` | one of the values of an attribute definition matches |
| ` + "`attributeRequesterInGroup: GROUP`" + ` | the service provider is in that EntityGroup |
| ` + "`attributeIssuerInGroup: GROUP`" + ` | the identity provider is in that EntityGroup |
| ` + "`issuerNameIDFormat: MATCH`, `requesterNameIDFormat: MATCH`" + ` | the name identifier format of that party matches |
| ` + "`issuerEntityAttribute: {name: NAME, MATCH}`, `requesterEntityAttribute: {name: NAME, MATCH}`" + ` | an entity attribute of that party matches |
| ` + "`expression: TEXT`, `script: TEXT`" + ` | the expression, or the script, yields true: see [guides/scripts.md](guides/scripts.md) |

MATCH is ` + "`{value: TEXT}` or `{regex: EXPRESSION}`, each with `ignoreCase: true`" + ` where case does not count; alone, a text stands for ` + "`{value: TEXT}`" + `. A regular
expression (RE2) must match the whole value. ` + "`ANY`, `AND`, `OR` and `NOT`" + ` may be written in capitals.
`
