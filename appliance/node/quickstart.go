package node

import (
	"context"
	"fmt"
	"io/fs"

	"trine/appliance/admin"
	"trine/docs/examples"
	"trine/engine/document"
)

// quickstart applies the example documents to a log that holds none yet, by the same way as an administrator.
func (n *Node) quickstart(ctx context.Context) error {
	if n.views.ConfigIndex() != 0 {
		return nil
	}
	for _, kind := range document.Kinds() {
		if n.views.Count(kind.Name) > 0 {
			return nil
		}
	}
	names, err := fs.Glob(examples.Quickstart(), "*.yaml")
	if err != nil {
		return fmt.Errorf("list the quickstart's documents: %w", err)
	}
	var files []admin.File
	for _, name := range names {
		text, err := fs.ReadFile(examples.Quickstart(), name)
		if err != nil {
			return fmt.Errorf("read the quickstart's documents: %w", err)
		}
		files = append(files, admin.File{Name: "quickstart/" + name, Data: text})
	}
	if _, err := n.admin.Apply(ctx, "quickstart", files, "quickstart"); err != nil {
		return fmt.Errorf("apply the quickstart's documents: %w", err)
	}
	n.logger.Info("applied the quickstart's documents: client 127.0.0.0/8 with secret testing123 over RADIUS and TACACS+, users alice and bob")
	return nil
}
