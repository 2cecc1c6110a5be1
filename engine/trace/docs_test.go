package trace

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/reasons.md")

const reasonsFile = "../../docs/reasons.md"

func reasonsDocument() string {
	var b strings.Builder
	b.WriteString(`<!-- Generated from engine/trace by: go test ./engine/trace -update. Do not edit. -->

# Why a login came out as it did

Every decision carries one of these codes. It stands in the decision's event, in ` + "`trine explain ID`" + `, which also tells the steps that
led to it, and its class is the label ` + "`reason_class`" + ` of metrics. Codes never change their meaning. What a person or a device
is told never depends on the code: a wrong password and an unknown name look alike from outside.

The class says whose doing it is:

| class | meaning |
|---|---|
| ok | nothing is wrong |
| user | the person: wrong name, wrong password, a limit reached |
| client | the device: what it sent cannot be used |
| config | the configuration: an administrator has to change something |
| overload | more work than the node takes on |
| system | the node or the cluster |

## The codes

| code | class | what it means | what to do |
|---|---|---|---|
`)
	for _, i := range All() {
		remedy := i.Remedy
		if remedy == "" {
			remedy = "-"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", i.Code, i.Class, i.Meaning, remedy)
	}
	return b.String()
}

func TestReasonsAreDocumented(t *testing.T) {
	want := reasonsDocument()
	if *update {
		if err := os.WriteFile(reasonsFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(reasonsFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/reasons.md is stale: run go test ./engine/trace -update")
	}
}
