package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"trine/appliance/admin/client"
)

// historyCommand is trine history.
func (c *cli) historyCommand() *cobra.Command {
	var diff bool
	cmd := &cobra.Command{
		Use:               "history KIND NAME",
		Short:             "Show the versions of a document, newest first",
		Long:              "Show who changed a document, when and why, newest first. It works for deleted documents too.",
		Args:              args(cobra.ExactArgs(2)),
		ValidArgsFunction: c.completeKind(true),
		RunE: c.onNode(func(cmd *cobra.Command, node *client.Client, words []string) error {
			h, err := node.History(cmd.Context(), words[0], words[1], c.output != "table")
			if err != nil {
				return err
			}
			if diff && c.output == "table" {
				var b strings.Builder
				for i := range h.Revisions {
					r := &h.Revisions[i]
					fmt.Fprintf(&b, "version %d, %s, by %s%s%s\n", r.Version, when(r.At), printable(r.By), ifTrue(r.Deleted, ", deleted"), ifTrue(r.Comment != "", ": "+printable(r.Comment)))
					c.changes(&b, "    ", r.Changes)
				}
				_, err := io.WriteString(c.out, b.String())
				return err
			}
			return c.show(h, func(w io.Writer) error {
				fmt.Fprintln(w, "VERSION\tWHEN\tBY\tCHANGES\tCOMMENT")
				for i := range h.Revisions {
					r := &h.Revisions[i]
					changes := counted(len(r.Changes), "field", "fields")
					if r.Deleted {
						changes = "deleted"
					}
					row(w, strconv.FormatUint(r.Version, 10), when(r.At), r.By, changes, r.Comment)
				}
				return nil
			})
		}),
	}
	cmd.Flags().BoolVar(&diff, "diff", false, "show what each version changed, field by field")
	return cmd
}

// revertCommand is trine revert.
func (c *cli) revertCommand() *cobra.Command {
	var to uint64
	var comment string
	cmd := &cobra.Command{
		Use:               "revert KIND NAME --to VERSION",
		Short:             "Put an earlier version of a document in force again",
		Long:              "Put an earlier version of a document in force again, as a new version: history is never rewritten. A deleted document\ncomes back.",
		Args:              args(cobra.ExactArgs(2)),
		ValidArgsFunction: c.completeKind(true),
		RunE: func(cmd *cobra.Command, words []string) error {
			if to == 0 {
				return usagef("say which version with --to VERSION; trine history %s %s lists them", words[0], words[1])
			}
			node, err := c.client(cmd)
			if err != nil {
				return err
			}
			defer node.Close()
			plan, err := node.Revert(cmd.Context(), words[0], words[1], to, comment)
			if err != nil {
				return err
			}
			return c.showPlan(plan)
		},
	}
	cmd.Flags().Uint64Var(&to, "to", 0, "version to go back to")
	commentFlag(cmd, &comment)
	return cmd
}

func ifTrue(condition bool, text string) string {
	if condition {
		return text
	}
	return ""
}
