// Package examples carries the example documents, so that `trine serve --quickstart` can apply them to an empty log. They are
// ordinary documents: nothing in Trine knows their names.
package examples

import (
	"embed"
	"io/fs"
)

//go:embed quickstart/*.yaml
var files embed.FS

// Quickstart returns the documents of the quickstart: YAML files, to be applied together.
func Quickstart() fs.FS {
	sub, err := fs.Sub(files, "quickstart")
	if err != nil {
		panic("examples: " + err.Error()) // the name is a constant
	}
	return sub
}
