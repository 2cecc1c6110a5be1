package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
)

// failuresCommand is trine user failures.
func (c *cli) failuresCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "failures NAME",
		Short: "Show the failed logins that count against a name, and what they lock",
		Long: "Show the failed logins under a name that count towards a lock, and which locks hold. The name may be one that no user\n" +
			"has. Where the failures came from is in trine events --stream user/NAME.",
		Args:              args(cobra.ExactArgs(1)),
		ValidArgsFunction: c.completeUser,
		RunE: c.onNode(func(cmd *cobra.Command, node *client.Client, words []string) error {
			list, err := node.LoginFailures(cmd.Context(), words[0])
			if err != nil {
				return err
			}
			return c.show(list, func(w io.Writer) error {
				fmt.Fprintln(w, "SOURCE\tFACTOR\tFAILURES\tLAST\tLOCKED UNTIL")
				for i := range list.Failures {
					f := &list.Failures[i]
					row(w, "all", f.Factor, fmt.Sprint(f.Count), when(f.Last), whenOr(f.LockedUntil))
					for _, x := range f.Sources {
						row(w, x.Source, f.Factor, fmt.Sprint(x.Count), when(x.Last), whenOr(x.LockedUntil))
					}
				}
				return nil
			})
		}),
	}
}

// unlockCommand is trine user unlock.
func (c *cli) unlockCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "unlock NAME",
		Short:             "Lift the locks of a name and forget its failed logins",
		Long:              "Lift the locks of a name, everywhere and from each source, and forget its failed logins, those of a PIN too.",
		Args:              args(cobra.ExactArgs(1)),
		ValidArgsFunction: c.completeUser,
		RunE: c.onNode(func(cmd *cobra.Command, node *client.Client, words []string) error {
			if err := node.Unlock(cmd.Context(), words[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.out, "Failed logins of %s forgotten; nothing locks it out.\n", printable(words[0]))
			return err
		}),
	}
}

// noteLocks writes the locks of a user as comments, so that what follows can still be edited and applied.
func (c *cli) noteLocks(ctx context.Context, node *client.Client, d *api.Document) error {
	if d.Kind != "User" {
		return nil
	}
	list, err := node.LoginFailures(ctx, d.Name)
	if err != nil {
		return err
	}
	note := func(until *time.Time, factor, from string) {
		if factor != "" {
			factor = " (" + factor + ")"
		}
		if until != nil {
			fmt.Fprintf(c.out, "# locked out %s until %s%s: trine user unlock\n", from, when(*until), factor)
		}
	}
	for i := range list.Failures {
		f := &list.Failures[i]
		note(f.LockedUntil, f.Factor, "everywhere")
		for _, x := range f.Sources {
			note(x.LockedUntil, f.Factor, "from the source "+x.Source)
		}
	}
	return nil
}
