package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
)

// written is a document as a file holds it, so that what get shows can be edited and applied. Its version makes that apply
// refuse if somebody else was faster.
type written struct {
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	Version uint64 `json:"version,omitempty"`
	shown
	Spec json.RawMessage `json:"spec"`
}

// shown is what is known of a document beside. An apply passes over it.
type shown struct {
	ID         uint64     `json:"id,omitempty"`
	CreatedAt  *time.Time `json:"createdAt,omitempty"`
	CreatedBy  string     `json:"createdBy,omitempty"`
	ModifiedAt *time.Time `json:"modifiedAt,omitempty"`
	ModifiedBy string     `json:"modifiedBy,omitempty"`
}

func writtenOf(d *api.Document) written {
	return written{
		Kind: d.Kind, Name: d.Name, Version: d.Version, Spec: d.Spec,
		shown: shown{ID: d.ID, CreatedAt: d.CreatedAt, CreatedBy: d.CreatedBy, ModifiedAt: d.ModifiedAt, ModifiedBy: d.ModifiedBy},
	}
}

// getCommand is trine get.
func (c *cli) getCommand() *cobra.Command {
	var limit int
	var prefix string
	cmd := &cobra.Command{
		Use:   "get KIND [NAME]",
		Short: "Show documents",
		Long: "Show the documents of a kind, or one of them as it can be edited and applied again. A kind can be written as\n" +
			"documents do (ServiceProvider), in the plural (service-providers) or short (sp). Secrets are redacted; applied\n" +
			"again, a redacted secret stays what it is.",
		Example:           "  trine get users\n  trine get sp core -o yaml > core.yaml",
		Args:              args(cobra.RangeArgs(1, 2)),
		ValidArgsFunction: c.completeKind(true),
		RunE: c.onNode(func(cmd *cobra.Command, node *client.Client, words []string) error {
			if len(words) == 2 {
				d, err := node.Document(cmd.Context(), words[0], words[1])
				if err != nil {
					return err
				}
				if c.output == "json" {
					return c.show(writtenOf(d), nil)
				}
				if err := c.noteLocks(cmd.Context(), node, d); err != nil {
					return err
				}
				return writeYAML(c.out, writtenOf(d))
			}
			return c.list(cmd, node, words[0], prefix, limit)
		}),
	}
	cmd.Flags().StringVar(&prefix, "prefix", "", "only names that begin so")
	limitFlag(cmd, &limit, "at most so many documents (default all)")
	return cmd
}

// list shows the documents of a kind page by page, so that a million of them need no memory.
func (c *cli) list(cmd *cobra.Command, node *client.Client, kind, prefix string, limit int) error {
	page := client.Page{Prefix: prefix}
	return inPages(limit, func(size int, first bool) (int, bool, error) {
		page.Limit = size
		list, err := node.Documents(cmd.Context(), kind, page)
		if err != nil {
			return 0, false, err
		}
		docs := list.Documents[:min(len(list.Documents), size)]
		page.After = list.Next
		return len(docs), page.After != "", c.listed(docs, first)
	})
}

// limitFlag declares --limit.
func limitFlag(cmd *cobra.Command, limit *int, what string) {
	cmd.Flags().Var((*count)(limit), "limit", what)
}

// count is a flag's number that is not negative.
type count int

// String implements pflag.Value.
func (n *count) String() string { return strconv.Itoa(int(*n)) }

// Type implements pflag.Value.
func (n *count) Type() string { return "int" }

// Set implements pflag.Value.
func (n *count) Set(text string) error {
	v, err := strconv.Atoi(text)
	if err != nil || v < 0 {
		return errors.New("expected a whole number that is not negative")
	}
	*n = count(v)
	return nil
}

// pageSize is the number of items that a node gives at once at most.
const pageSize = 1000

// inPages shows page after page, until there is no more or limit items were shown; a limit of 0 is none. Page shows at most size items, and returns how many it
// showed and whether more follow.
func inPages(limit int, page func(size int, first bool) (shown int, more bool, err error)) error {
	for shown := 0; ; {
		n, more, err := page(nextPage(limit, shown), shown == 0)
		if err != nil {
			return err
		}
		if shown += n; !more || limit > 0 && shown >= limit {
			return nil
		}
	}
}

// nextPage returns how many items to ask for when so many were shown; a limit of 0 is none.
func nextPage(limit, shown int) int {
	if limit <= 0 {
		return pageSize
	}
	return min(limit-shown, pageSize)
}

// listed shows a page of documents.
func (c *cli) listed(docs []api.Document, first bool) error {
	if c.output != "table" {
		for i := range docs {
			if err := c.showLine(writtenOf(&docs[i]), nil); err != nil {
				return err
			}
		}
		return nil
	}
	return c.show(nil, func(w io.Writer) error {
		if first {
			fmt.Fprintln(w, "NAME\tVERSION\tMODIFIED\tBY")
		}
		for i := range docs {
			d := &docs[i]
			row(w, d.Name, strconv.FormatUint(d.Version, 10), whenOr(d.ModifiedAt), d.ModifiedBy)
		}
		return nil
	})
}

// deleteCommand is trine delete.
func (c *cli) deleteCommand() *cobra.Command {
	var comment string
	var version uint64
	cmd := &cobra.Command{
		Use:               "delete KIND NAME",
		Short:             "Delete a document",
		Long:              "Delete a document. It is refused while another document refers to it. Its history stays, and revert brings it back.",
		Args:              args(cobra.ExactArgs(2)),
		ValidArgsFunction: c.completeKind(true),
		RunE: c.onNode(func(cmd *cobra.Command, node *client.Client, words []string) error {
			if err := node.DeleteDocument(cmd.Context(), words[0], words[1], version, comment); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.out, "Deleted %s %s.\n", words[0], words[1])
			return err
		}),
	}
	cmd.Flags().Uint64Var(&version, "version", 0, "refuse unless this version is in force")
	commentFlag(cmd, &comment)
	return cmd
}

// exportCommand is trine export.
func (c *cli) exportCommand() *cobra.Command {
	var kinds []string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write all documents as YAML",
		Long: "Write all documents as YAML, those that others refer to first. Secrets are redacted: applied to the same node the\n" +
			"export changes nothing; another node asks for the secrets. Passwords are not part of it.",
		Example: "  trine export > site.yaml\n  trine export --kind Group --kind User",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("output") && c.output != "yaml" {
				return usagef("export writes yaml")
			}
			node, err := c.client(cmd)
			if err != nil {
				return err
			}
			defer node.Close()
			stream, err := node.Export(cmd.Context(), kinds)
			if err != nil {
				return err
			}
			defer stream.Close()
			if _, err := io.Copy(c.out, stream); err != nil {
				return fmt.Errorf("read the export: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&kinds, "kind", nil, "only documents of this kind; can be given more than once")
	mustRegister(cmd, "kind", c.completeKind(false))
	return cmd
}
