package engine

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"trine/docs/named"
)

// TestTableOfAuthenticationNamesTestsThatExist holds docs/authentication.md against the tests of the repository: each that it names must be there, in the folder
// that it says, and so must each scenario file.
func TestTableOfAuthenticationNamesTestsThatExist(t *testing.T) {
	const root = ".."
	page, err := os.ReadFile(filepath.Join(root, "docs", "authentication.md"))
	if err != nil {
		t.Fatal(err)
	}
	names, _ := named.Tests(t, root, "authentication.md", "engine")
	for _, m := range regexp.MustCompile("`(\\w+\\.txt)`").FindAllStringSubmatch(string(page), -1) {
		if _, err := os.Stat(filepath.Join("testdata", m[1])); err != nil {
			t.Error(err)
		}
	}
	if len(names) < 80 {
		t.Errorf("the page names %d tests", len(names))
	}
}
