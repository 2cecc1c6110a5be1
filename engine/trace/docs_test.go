package trace

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

//go:generate go test -run TestReasonsPageIsCurrent -update .

var update = flag.Bool("update", false, "write docs/reasons.md anew")

// TestReasonsPageIsCurrent holds docs/reasons.md to the table of reasons: go generate writes it anew.
func TestReasonsPageIsCurrent(t *testing.T) {
	const path = "../../docs/reasons.md"
	want := reasonsPage()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != want {
		t.Error("docs/reasons.md does not say what the table in engine/trace/reason.go says: run go generate ./engine/trace")
	}
}

// TestEveryReasonHasItsEntryOnThePage keeps the page from losing a reason on its way from the table.
func TestEveryReasonHasItsEntryOnThePage(t *testing.T) {
	page := reasonsPage()
	for name, code := range declaredReasons(t) {
		info, _ := code.Info()
		if n := strings.Count(page, "\n"+heading(code)+"\n\n"+info.Meaning+"\n"); n != 1 {
			t.Errorf("%s (%s) has %d entries", name, code, n)
		}
	}
}

func heading(code Reason) string { return "### `" + string(code) + "`" }

// reasonsPage tells every reason, class by class, in the order of their codes, which keeps those of one prefix together.
func reasonsPage() string {
	var b strings.Builder
	b.WriteString("<!-- Made of the table in engine/trace/reason.go by go generate ./engine/trace. Do not edit. -->\n\n" +
		`# Why a login came out as it did

Every decision carries one of these codes. It stands in the decision's event and in ` + "`trine explain ID`" + `, which also tells the steps that
led to it; ` + "`trine simulate`" + ` says which one a login would get. Codes never change their meaning. What a person or a device is told never
depends on the code: a wrong password and an unknown name look alike from outside.

Codes are grouped by whose doing they are. That is their class, and the label ` + "`reason_class`" + ` of metrics.
`)
	for c := ClassOK; c < classes; c++ {
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n", c, sentence(classInfos[c].about))
		for _, i := range All() {
			if i.Class != c {
				continue
			}
			fmt.Fprintf(&b, "\n%s\n\n%s\n", heading(i.Code), i.Meaning)
			if i.Remedy != "" {
				fmt.Fprintf(&b, "\nWhat to do: %s\n", i.Remedy)
			}
		}
	}
	return b.String()
}

// sentence returns text with its first letter in upper case.
func sentence(text string) string {
	first, n := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[n:]
}
