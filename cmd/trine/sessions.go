package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
)

// sessionsCommand is trine sessions.
func (c *cli) sessionsCommand() *cobra.Command {
	var q client.SessionQuery
	var limit int
	cmd := &cobra.Command{
		Use:     "sessions",
		Short:   "Show live network sessions",
		Example: "  trine sessions --user alice\n  trine sessions --calling 00-11-22-33-44-55",
		Args:    args(cobra.NoArgs),
		RunE: c.onNode(func(cmd *cobra.Command, node *client.Client, _ []string) error {
			return inPages(limit, func(size int, first bool) (int, bool, error) {
				q.Limit = size
				list, err := node.Sessions(cmd.Context(), q)
				if err != nil {
					return 0, false, err
				}
				q.After = list.Next
				return len(list.Sessions), q.After != "", c.showSessions(list.Sessions, first)
			})
		}),
	}
	f := cmd.Flags()
	f.StringVar(&q.User, "user", "", "only sessions of this user")
	f.StringVar(&q.Client, "client", "", "only sessions through this service provider")
	f.StringVar(&q.NAS, "nas", "", "only sessions of the NAS with this identifier or address")
	f.StringVar(&q.Address, "address", "", "only the session with this framed address")
	f.StringVar(&q.Calling, "calling", "", "only sessions with this calling station")
	f.StringVar(&q.AcctSessionID, "acct-session-id", "", "only sessions with this Acct-Session-Id")
	f.StringVar(&q.ID, "id", "", "only the session with this id")
	limitFlag(cmd, &limit, "at most so many sessions (default all)")
	mustRegister(cmd, "user", c.completeDocument("User"))
	mustRegister(cmd, "client", c.completeDocument("ServiceProvider"))
	cmd.AddCommand(c.endSessionCommand())
	return cmd
}

func (c *cli) showSessions(sessions []api.Session, first bool) error {
	if c.output != "table" {
		return showLines(c, sessions)
	}
	return c.show(nil, func(w io.Writer) error {
		if first {
			fmt.Fprintln(w, "ID\tUSER\tCLIENT\tNAS\tADDRESS\tCALLING\tSTARTED\tLAST SEEN\tIN\tOUT")
		}
		for i := range sessions {
			s := &sessions[i]
			row(w, s.ID, s.User, s.Client, s.NAS, strings.Join(s.Addresses, " "), s.Calling, when(s.Started), when(s.LastSeen), size(s.InputOctets), size(s.OutputOctets))
		}
		return nil
	})
}

// endSessionCommand is trine sessions end.
func (c *cli) endSessionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "end ID",
		Short: "End a session in the node's books",
		Long:  "End a session in the node's books, for one that its device forgot to end. The device is not told.",
		Args:  args(cobra.ExactArgs(1)),
		RunE: c.onNode(func(cmd *cobra.Command, node *client.Client, words []string) error {
			if err := node.EndSession(cmd.Context(), words[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.out, "Ended session %s.\n", printable(words[0]))
			return err
		}),
	}
}
