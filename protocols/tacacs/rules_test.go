package tacacs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTableOfRulesNamesTestsThatExist holds docs/rfc8907.md against the tests of the repository: each that it names must be there, in the folder that it
// says, and each that is named after a section must be in it.
func TestTableOfRulesNamesTestsThatExist(t *testing.T) {
	const root = "../.."
	page := readFile(t, filepath.Join(root, "docs", "rfc8907.md"))
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	folders := map[string]map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		for _, m := range declared.FindAllStringSubmatch(string(text), -1) {
			if folders[m[1]] == nil {
				folders[m[1]] = map[string]bool{}
			}
			folders[m[1]][filepath.ToSlash(folder)] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("`(Test\\w+)`(?: \\(([a-z/]+)\\))?").FindAllStringSubmatch(page, -1) {
		name, folder := m[1], m[2]
		named[name] = true
		in := folders[name]
		switch {
		case len(in) == 0:
			t.Errorf("the page names %s, which there is not", name)
		case folder == "" && !in["protocols/tacacs"] && !in["protocols/tacacs/wire"], folder != "" && !in[folder]:
			t.Errorf("the page has %s in %q, and it is in %v", name, folder, in)
		}
	}
	if len(named) < 80 {
		t.Errorf("the page names %d tests", len(named))
	}
	for name := range folders {
		if (strings.HasPrefix(name, "TestRFC8907") || strings.HasPrefix(name, "TestRFC9887")) && !named[name] {
			t.Errorf("the page does not name %s", name)
		}
	}
}
