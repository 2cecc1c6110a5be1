package engine

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTableOfAuthenticationNamesTestsThatExist holds docs/authentication.md against the tests of the repository: each that it names must be there, in the folder
// that it says, and so must each scenario file.
func TestTableOfAuthenticationNamesTestsThatExist(t *testing.T) {
	const root = ".."
	page, err := os.ReadFile(filepath.Join(root, "docs", "authentication.md"))
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	there := map[string]bool{}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		for _, m := range declared.FindAllStringSubmatch(string(text), -1) {
			there[filepath.ToSlash(folder)+" "+m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, m := range regexp.MustCompile("`(Test\\w+)`(?: \\(([a-z0-9/]+)\\))?").FindAllStringSubmatch(string(page), -1) {
		folder := m[2]
		if folder == "" {
			folder = "engine"
		}
		if named++; !there[folder+" "+m[1]] {
			t.Errorf("the page has %s in %s, where it is not", m[1], folder)
		}
	}
	for _, m := range regexp.MustCompile("`(\\w+\\.txt)`").FindAllStringSubmatch(string(page), -1) {
		if _, err := os.Stat(filepath.Join("testdata", m[1])); err != nil {
			t.Error(err)
		}
	}
	if named < 80 {
		t.Errorf("the page names %d tests", named)
	}
}
