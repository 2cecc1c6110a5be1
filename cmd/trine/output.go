package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// show writes a value as --output says; table writes it for people.
func (c *cli) show(v any, table func(w io.Writer) error) error {
	switch c.output {
	case "json":
		return writeJSON(c.out, v, "  ")
	case "yaml":
		return writeYAML(c.out, v)
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	if err := table(w); err != nil {
		return err
	}
	return w.Flush()
}

// showLine writes one of many values, each on a line of its own in JSON and a document of its own in YAML.
func (c *cli) showLine(v any, text func(w io.Writer)) error {
	switch c.output {
	case "json":
		return writeJSON(c.out, v, "")
	case "yaml":
		if _, err := io.WriteString(c.out, "---\n"); err != nil {
			return err
		}
		return writeYAML(c.out, v)
	}
	var b bytes.Buffer
	text(&b)
	_, err := c.out.Write(b.Bytes())
	return err
}

// showLines shows each of a list on a line of its own.
func showLines[T any](c *cli, list []T) error {
	for i := range list {
		if err := c.showLine(&list[i], nil); err != nil {
			return err
		}
	}
	return nil
}

// writeJSON writes a value as JSON, with what cannot be seen escaped.
func writeJSON(w io.Writer, v any, indent string) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode output: %w", err)
	}
	_, err := w.Write(escaped(b.Bytes(), func(dst []byte, r rune) []byte {
		high, low := utf16.EncodeRune(r)
		return fmt.Appendf(dst, `\u%04x\u%04x`, high, low)
	}))
	return err
}

// escaped escapes what cannot be seen: encoding/json leaves the control characters above ASCII and those that turn the direction of text as
// they are, and a terminal would obey them. All of them stand in strings. JSON and YAML differ in what is beyond \uffff.
func escaped(data []byte, beyond func(dst []byte, r rune) []byte) []byte {
	out := make([]byte, 0, len(data))
	for _, r := range string(data) {
		switch {
		case r < 0x7f || unicode.IsPrint(r):
			out = utf8.AppendRune(out, r)
		case r <= 0xffff:
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			out = beyond(out, r)
		}
	}
	return out
}

// writeYAML writes a value as YAML with the field names and the order that its JSON has.
func writeYAML(w io.Writer, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode output: %w", err)
	}
	// JSON is YAML but for the control characters that YAML does not take as they are.
	data = escaped(data, func(dst []byte, r rune) []byte { return fmt.Appendf(dst, `\U%08x`, r) })
	var node yaml.Node
	if err := yaml.Unmarshal(data, &node); err != nil {
		return fmt.Errorf("encode output: %w", err)
	}
	blockStyle(&node)
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(&node); err != nil {
		return fmt.Errorf("encode output: %w", err)
	}
	return enc.Close()
}

// blockStyle takes JSON's brackets and quotes away where YAML does not need them.
func blockStyle(n *yaml.Node) {
	n.Style = 0
	if (n.Kind == yaml.SequenceNode || n.Kind == yaml.MappingNode) && len(n.Content) == 0 {
		n.Style = yaml.FlowStyle
	}
	for _, child := range n.Content {
		blockStyle(child)
	}
}

// row writes the cells of a table's row.
func row(w io.Writer, cells ...string) {
	for i, cell := range cells {
		if cell == "" {
			cell = "-"
		}
		cells[i] = printable(cell)
	}
	fmt.Fprintln(w, strings.Join(cells, "\t"))
}

// printable returns text without what could disturb a terminal: text from outside that holds anything but printable characters
// and spaces is quoted.
func printable(text string) string {
	if utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return text
	}
	return strconv.Quote(text)
}

// when formats a time for a table.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

func whenOr(t *time.Time) string {
	if t == nil {
		return ""
	}
	return when(*t)
}

// size formats a number of bytes.
func size(n uint64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return strconv.FormatUint(n, 10) + " B"
	}
	v, i := float64(n)/1024, 0
	for ; v >= 1024 && i < len(units)-1; i++ {
		v /= 1024
	}
	return fmt.Sprintf("%.1f %ciB", v, units[i])
}

// paint colours text on a terminal, unless NO_COLOR is set or the terminal is a dumb one.
func (c *cli) paint(code, text string) string {
	if !c.colourful() {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

const (
	green  = "32"
	red    = "31"
	yellow = "33"
)

func (c *cli) colourful() bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(c.out)
}

// counted says how many there are of something.
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}
