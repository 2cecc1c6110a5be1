package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
)

// ssoCommand is trine sso.
func (c *cli) ssoCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "sso", Short: "Show and end sessions of single sign-on", Args: cobra.ArbitraryArgs, RunE: parent}
	cmd.AddCommand(c.ssoListCommand(), c.ssoEndCommand())
	return cmd
}

func (c *cli) ssoListCommand() *cobra.Command {
	var q client.SSOQuery
	var limit int
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List sessions of single sign-on",
		Example: "  trine sso list --user alice",
		Args:    args(cobra.NoArgs),
		RunE: c.onNode(func(cmd *cobra.Command, node *client.Client, _ []string) error {
			return inPages(limit, func(size int, first bool) (int, bool, error) {
				q.Limit = size
				list, err := node.SSOSessions(cmd.Context(), q)
				if err != nil {
					return 0, false, err
				}
				q.After = list.Next
				return len(list.Sessions), q.After != "", c.showSSO(list.Sessions, first)
			})
		}),
	}
	f := cmd.Flags()
	f.StringVar(&q.User, "user", "", "only sessions of this user")
	f.BoolVar(&q.Ended, "ended", false, "those too that have ended within the last day")
	limitFlag(cmd, &limit, "at most so many sessions (default all)")
	mustRegister(cmd, "user", c.completeDocument("User"))
	return cmd
}

func (c *cli) showSSO(sessions []api.SSOSession, first bool) error {
	if c.output != "table" {
		return showLines(c, sessions)
	}
	return c.show(nil, func(w io.Writer) error {
		if first {
			fmt.Fprintln(w, "ID\tUSER\tIDENTITY PROVIDER\tFACTORS\tVISITED\tSTARTED\tLAST USED\tENDS")
		}
		for i := range sessions {
			s := &sessions[i]
			var factors, visited []string
			for _, f := range s.Factors {
				factors = append(factors, f.Factor)
			}
			for _, v := range s.Visits {
				visited = append(visited, v.Client)
			}
			ends := when(s.Ends)
			if s.Ended != nil {
				ends = s.Cause + " " + when(*s.Ended)
			}
			row(w, s.ID, s.User, s.IdentityProvider, strings.Join(factors, "+"), strings.Join(visited, " "), when(s.Started), when(s.LastUsed), ends)
		}
		return nil
	})
}

func (c *cli) ssoEndCommand() *cobra.Command {
	var user, except string
	cmd := &cobra.Command{
		Use:   "end [ID]",
		Short: "End a session of single sign-on, or those of a user",
		Long:  "End a session of single sign-on, or with --user all sessions of a user, or with --except all others of his. Their browsers are asked to log in again, wherever they ask next.",
		Args:  args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, words []string) error {
			switch {
			case len(words) == 1 && (user != "" || except != ""):
				return usageError{errors.New("give either the id of a session or --user")}
			case len(words) == 0 && user == "":
				return usageError{errors.New("give the id of a session, or --user; `trine sso list` shows what there is")}
			}
			node, err := c.client(cmd)
			if err != nil {
				return err
			}
			defer node.Close()
			if len(words) == 1 {
				if err := node.EndSSOSession(cmd.Context(), words[0]); err != nil {
					return err
				}
				_, err = fmt.Fprintf(c.out, "Ended session %s.\n", printable(words[0]))
				return err
			}
			done, err := node.EndSSOSessionsOf(cmd.Context(), user, except)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.out, "Ended %d of %s.\n", done.Ended, printable(user))
			return err
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "end all sessions of this user")
	cmd.Flags().StringVar(&except, "except", "", "with --user: the `id` of the session that stays")
	mustRegister(cmd, "user", c.completeDocument("User"))
	return cmd
}

// deviceCommand is trine user device.
func (c *cli) deviceCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "device", Short: "List and revoke the devices that can stand for a user's second factor", Args: cobra.ArbitraryArgs, RunE: parent}
	cmd.AddCommand(c.deviceListCommand(), c.deviceRevokeCommand())
	return cmd
}

func (c *cli) deviceListCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "list NAME",
		Short:             "List a user's trusted devices",
		Args:              args(cobra.ExactArgs(1)),
		ValidArgsFunction: c.completeUser,
		RunE: c.onNode(func(cmd *cobra.Command, node *client.Client, words []string) error {
			list, err := node.TrustedDevices(cmd.Context(), words[0])
			if err != nil {
				return err
			}
			return c.show(list, func(w io.Writer) error {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				fmt.Fprintln(t, "ID\tLABEL\tTRUSTED SINCE\tLAST USED\tUNTIL")
				for _, d := range list.Devices {
					used := "never"
					if d.Used != nil {
						used = d.Used.Format(time.RFC3339)
					}
					fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", d.ID, printable(d.Label), d.Created.Format(time.RFC3339), used, d.NotAfter.Format(time.RFC3339))
				}
				return t.Flush()
			})
		}),
	}
}

func (c *cli) deviceRevokeCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:               "revoke NAME [ID]",
		Short:             "Trust a user's device no longer, or with --all none of them",
		Args:              args(cobra.RangeArgs(1, 2)),
		ValidArgsFunction: c.completeUser,
		RunE: func(cmd *cobra.Command, words []string) error {
			if all == (len(words) == 2) {
				return usageError{errors.New("give either the id of a device or --all")}
			}
			node, err := c.client(cmd)
			if err != nil {
				return err
			}
			defer node.Close()
			id, what := "", "all trusted devices"
			if !all {
				id, what = words[1], "the trusted device "+printable(words[1])
			}
			if err := node.RevokeTrustedDevice(cmd.Context(), words[0], id); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.out, "Revoked %s of %s.\n", what, printable(words[0]))
			return err
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "revoke all of them")
	return cmd
}
