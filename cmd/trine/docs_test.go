package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// reference is the file that TestCommandReferenceIsFresh holds to the commands.
const reference = "../../docs/cli.md"

func TestCommandReferenceIsFresh(t *testing.T) {
	t.Setenv("TRINE_DATA", "elsewhere")
	c := &cli{in: strings.NewReader(""), out: io.Discard, err: io.Discard}
	var b bytes.Buffer
	b.WriteString("# The command line\n\nMade from the commands themselves: `go test ./cmd/trine -run Reference -update` writes it anew.\n")
	document(&b, c.rootCommand())
	if *update {
		if err := os.WriteFile(reference, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, b.Bytes()) {
		t.Error("docs/cli.md does not say what the commands say; write it anew with: go test ./cmd/trine -run Reference -update")
	}
	if bytes.Contains(have, []byte("elsewhere")) {
		t.Error("docs/cli.md holds a value of the environment that it was made in")
	}
}

// document describes a command and those below it.
func document(b *bytes.Buffer, cmd *cobra.Command) {
	if cmd.Hidden || cmd.Name() == "help" || cmd.Name() == "completion" {
		return
	}
	fmt.Fprintf(b, "\n## %s\n\n", cmd.CommandPath())
	about := cmd.Long
	if about == "" {
		about = cmd.Short + "."
	}
	b.WriteString(about + "\n")
	if cmd.Runnable() && cmd.HasParent() {
		fmt.Fprintf(b, "\n    %s\n", cmd.UseLine())
	}
	if cmd.Example != "" {
		fmt.Fprintf(b, "\nExamples:\n\n%s\n", indent(cmd.Example))
	}
	flags(b, cmd)
	for _, child := range cmd.Commands() {
		document(b, child)
	}
}

// flags lists the flags that a command has of its own.
func flags(b *bytes.Buffer, cmd *cobra.Command) {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	first := true
	set := cmd.LocalFlags()
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		if first {
			b.WriteString("\n| flag | default | meaning |\n|---|---|---|\n")
			first = false
		}
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		kind, usage := pflag.UnquoteUsage(f)
		if kind != "" {
			name += " " + kind
		}
		value := f.DefValue
		switch {
		case value == "[]" || value == "0" || value == "0s" || value == "false":
			value = ""
		case value == host && host != "":
			value = "the host's name"
		}
		if value != "" && value != "the host's name" {
			value = "`" + value + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, value, strings.ReplaceAll(usage, "|", `\|`))
	})
}

func indent(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = "    " + strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}
