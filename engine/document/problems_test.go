package document

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// TestProblemsSayWhereWhatAndWhatInstead holds the problems of Parse to golden files: each archive has one input and the
// problems that it must give, a line each.
func TestProblemsSayWhereWhatAndWhatInstead(t *testing.T) {
	archives, err := filepath.Glob("testdata/problems/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatal(archives, err)
	}
	for _, path := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			in := archive.Files[0]
			_, err = Parse(in.Name, bytes.NewReader(in.Data))
			have := "none"
			var problems Problems
			if errors.As(err, &problems) {
				have = problems.Error()
			} else if err != nil {
				t.Fatal(err)
			}
			have += "\n"
			if strings.Contains(have, "hunter2") {
				t.Error("a problem shows a secret")
			}
			if *update {
				archive.Files = []txtar.File{in, {Name: "problems", Data: []byte(have)}}
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if len(archive.Files) != 2 || string(archive.Files[1].Data) != have {
				t.Errorf("have:\n%swant:\n%s", have, archive.Files[len(archive.Files)-1].Data)
			}
		})
	}
}
