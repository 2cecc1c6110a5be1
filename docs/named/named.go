// Package named holds the pages of docs against the tests that they name: a page that says which test shows what it promises must not outlive the test.
package named

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	declared = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Z]\w*)\(`)
	mention  = regexp.MustCompile("\\b((?:Test|Fuzz)[A-Z]\\w*)`?(?: \\(([a-z0-9/]+)\\))?")
)

// Tests fails unless each test that a page of docs names is declared in the repository at root: in the folder that stands behind its name in parentheses, else in one of home. It
// returns the names, and the folders of every test of the repository by its name. Folders are below root, with slashes.
func Tests(t testing.TB, root, page string, home ...string) (names map[string]bool, folders map[string][]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	folders = map[string][]string{}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		for _, m := range declared.FindAllSubmatch(source, -1) {
			folders[string(m[1])] = append(folders[string(m[1])], filepath.ToSlash(folder))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	names = map[string]bool{}
	for _, m := range mention.FindAllStringSubmatch(string(text), -1) {
		names[m[1]] = true
		want := home
		if m[2] != "" {
			want = []string{m[2]}
		}
		if !meet(folders[m[1]], want) {
			t.Errorf("docs/%s names %s of %s; it is in %v", page, m[1], strings.Join(want, ", "), folders[m[1]])
		}
	}
	return names, folders
}

func meet(a, b []string) bool {
	for _, x := range a {
		for _, y := range b {
			if x == y {
				return true
			}
		}
	}
	return false
}
