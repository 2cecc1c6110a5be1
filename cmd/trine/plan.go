package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
)

// planCommand is trine plan.
func (c *cli) planCommand() *cobra.Command {
	var paths []string
	cmd := &cobra.Command{
		Use:   "plan -f FILE|DIR|-",
		Short: "Show what an apply of documents would change",
		Long: "Show, document by document and field by field, what an apply would change. Nothing is changed.\n" +
			"Exit code 3 says that the node would refuse the documents.",
		Example: "  trine plan -f site.yaml\n  trine plan -f ./config",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			files, err := c.readDocuments(paths)
			if err != nil {
				return err
			}
			node, err := c.client(cmd)
			if err != nil {
				return err
			}
			defer node.Close()
			plan, err := node.Plan(cmd.Context(), files)
			if err != nil {
				return err
			}
			return c.showPlan(plan)
		},
	}
	fileFlag(cmd, &paths)
	return cmd
}

// applyCommand is trine apply.
func (c *cli) applyCommand() *cobra.Command {
	var paths []string
	var dryRun, yes bool
	var comment string
	cmd := &cobra.Command{
		Use:   "apply -f FILE|DIR|-",
		Short: "Put documents in force, all of them or none",
		Long: "Put documents in force. All documents of all files take effect together, or none does.\n" +
			"On a terminal the differences are shown and confirmed first; if anything changes in between, the apply is refused\n" +
			"(exit code 3). A document that says its version is refused unless that version is still in force.",
		Example: "  trine apply -f site.yaml\n  trine export | trine apply -f -",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			files, err := c.readDocuments(paths)
			if err != nil {
				return err
			}
			node, err := c.client(cmd)
			if err != nil {
				return err
			}
			defer node.Close()
			o := client.ApplyOptions{Comment: comment}
			confirm := !yes && isTerminal(c.in) && isTerminal(c.out)
			if dryRun || confirm {
				plan, err := node.Plan(cmd.Context(), files)
				if err != nil {
					return err
				}
				if dryRun || !plan.Pending() {
					return c.showPlan(plan)
				}
				if err := c.showPlan(plan); err != nil {
					return err
				}
				if !c.confirm("Put this in force?") {
					return errors.New("nothing was changed")
				}
				o.Fingerprint = plan.Fingerprint
			}
			plan, err := node.Apply(cmd.Context(), files, o)
			if err != nil {
				return err
			}
			if confirm && c.output == "table" {
				_, err = fmt.Fprintf(c.out, "%s\n", inForce(plan))
				return err
			}
			return c.showPlan(plan)
		},
	}
	fileFlag(cmd, &paths)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would change and change nothing")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	commentFlag(cmd, &comment)
	return cmd
}

func fileFlag(cmd *cobra.Command, paths *[]string) {
	cmd.Flags().StringArrayVarP(paths, "file", "f", nil, "file of documents, directory of such files, or - for standard input; can be given more than once")
	if err := cmd.MarkFlagFilename("file", "yaml", "yml", "json"); err != nil {
		panic("complete flag file: " + err.Error())
	}
}

func commentFlag(cmd *cobra.Command, comment *string) {
	cmd.Flags().StringVarP(comment, "comment", "m", "", "why, for the history")
}

// readDocuments reads the files that -f names. A directory stands for the .yaml, .yml and .json files in it and below.
func (c *cli) readDocuments(paths []string) ([]client.File, error) {
	if len(paths) == 0 {
		return nil, usagef("say which documents with -f FILE, -f DIR or -f -")
	}
	var files []client.File
	for _, path := range paths {
		if path == "-" {
			data, err := io.ReadAll(c.in)
			if err != nil {
				return nil, fmt.Errorf("read standard input: %w", err)
			}
			files = append(files, client.File{Name: "stdin", Data: data})
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("read documents: %w", err)
		}
		found := []string{path}
		if info.IsDir() {
			if found, err = documentFiles(path); err != nil {
				return nil, err
			}
		}
		for _, name := range found {
			data, err := os.ReadFile(name)
			if err != nil {
				return nil, fmt.Errorf("read documents: %w", err)
			}
			files = append(files, client.File{Name: name, Data: data})
		}
	}
	return files, nil
}

// documentFiles lists the files of documents in a directory and below, in the order of their names; hidden ones are left out.
func documentFiles(dir string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path != dir && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return nil
		}
		switch strings.ToLower(filepath.Ext(path)) {
		case ".yaml", ".yml", ".json":
			found = append(found, path)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read documents: %w", err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("directory %s holds no .yaml, .yml or .json files", dir)
	}
	return found, nil
}

// showPlan writes a plan, unchanged documents only in numbers.
func (c *cli) showPlan(p *api.Plan) error {
	if c.output != "table" {
		return c.show(p, nil)
	}
	var b strings.Builder
	for i := range p.Documents {
		c.planned(&b, &p.Documents[i])
	}
	for i := range p.Warnings {
		fmt.Fprintf(&b, "%s %s\n", c.paint(yellow, "warning:"), printable(p.Warnings[i].String()))
	}
	if p.Applied {
		fmt.Fprintln(&b, inForce(p))
	} else {
		fmt.Fprintf(&b, "Plan: %d to create, %d to update, %d to delete, %d unchanged.\n", p.Creates, p.Updates, p.Deletes, p.Unchanged)
	}
	_, err := io.WriteString(c.out, b.String())
	return err
}

func (c *cli) planned(b *strings.Builder, d *api.PlannedDocument) {
	name := printable(d.Kind) + " " + printable(d.Name)
	switch d.Action {
	case api.Create:
		fmt.Fprintf(b, "%s %s (new)\n", c.paint(green, "+"), name)
	case api.Update:
		fmt.Fprintf(b, "%s %s (version %d to %d)\n", c.paint(yellow, "~"), name, d.Version, d.Result)
	case api.Delete:
		fmt.Fprintf(b, "%s %s (version %d)\n", c.paint(red, "-"), name, d.Version)
	default:
		return
	}
	c.changes(b, "    ", d.Changes)
}

// changes writes a difference, a field a line.
func (c *cli) changes(b *strings.Builder, indent string, changes []api.Change) {
	for _, ch := range changes {
		path := printable(ch.Path)
		switch {
		case ch.Old == "":
			fmt.Fprintf(b, "%s%s\n", indent, c.paint(green, "+ "+path+": "+printable(ch.New)))
		case ch.New == "":
			fmt.Fprintf(b, "%s%s\n", indent, c.paint(red, "- "+path+": "+printable(ch.Old)))
		default:
			fmt.Fprintf(b, "%s%s\n", indent, c.paint(yellow, "~ "+path+": "+printable(ch.Old)+" -> "+printable(ch.New)))
		}
	}
}

// inForce says what an apply did.
func inForce(p *api.Plan) string {
	if !p.Pending() {
		return fmt.Sprintf("Nothing to change: %s already so.", counted(p.Unchanged, "document is", "documents are"))
	}
	return fmt.Sprintf("In force at index %d: %d created, %d updated, %d deleted, %d unchanged.", p.Index, p.Creates, p.Updates, p.Deletes, p.Unchanged)
}

// confirm asks a question on the terminal; only yes is yes.
func (c *cli) confirm(question string) bool {
	fmt.Fprintf(c.out, "%s [y/N] ", question)
	var answer string
	if _, err := fmt.Fscanln(c.in, &answer); err != nil {
		return false
	}
	answer = strings.ToLower(answer)
	return answer == "y" || answer == "yes"
}
