package tacacs

import (
	"strings"
	"testing"

	"trine/docs/named"
)

// TestTableOfRulesNamesTestsThatExist holds docs/rfc8907.md against the tests of the repository: each that it names must be there, in the folder that it
// says, and each that is named after a section must be in it.
func TestTableOfRulesNamesTestsThatExist(t *testing.T) {
	names, folders := named.Tests(t, "../..", "rfc8907.md", "protocols/tacacs", "protocols/tacacs/wire")
	if len(names) < 80 {
		t.Errorf("the page names %d tests", len(names))
	}
	for name := range folders {
		if (strings.HasPrefix(name, "TestRFC8907") || strings.HasPrefix(name, "TestRFC9887")) && !names[name] {
			t.Errorf("the page does not name %s", name)
		}
	}
}
