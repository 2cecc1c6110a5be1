package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
)

// apiKeyCommand is trine apikey.
func (c *cli) apiKeyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "apikey", Short: "Make, list and revoke API keys", Args: cobra.ArbitraryArgs, RunE: parent}
	cmd.AddCommand(c.createKeyCommand(), c.listKeysCommand(), c.revokeKeyCommand())
	return cmd
}

func (c *cli) createKeyCommand() *cobra.Command {
	var k api.KeyRequest
	cmd := &cobra.Command{
		Use:   "create DESCRIPTION --scope SCOPE",
		Short: "Make an API key and show it once",
		Long: "Make an API key. It is shown this once; the node keeps only a hash of it. Scopes: read, write, users, sessions, events, simulate,\n" +
			"apikeys, metrics, cluster, documents:KIND, and * for everything.",
		Example: "  trine apikey create \"nightly import\" --scope users --days 30",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, words []string) error {
			k.Description = words[0]
			if len(k.Scopes) == 0 {
				return usagef("say what the key may do with --scope")
			}
			if k.Never && k.Days != 0 {
				return usagef("give either --days or --never-expires")
			}
			node, err := c.client(cmd)
			if err != nil {
				return err
			}
			defer node.Close()
			made, err := node.CreateKey(cmd.Context(), k)
			if err != nil {
				return err
			}
			return c.show(made, func(w io.Writer) error {
				expires := "never"
				if made.Expires != nil {
					expires = when(*made.Expires)
				}
				_, err := fmt.Fprintf(w, "%s\n", made.Secret)
				fmt.Fprintf(c.err, "Key %s for %s, expires %s. It cannot be shown again.\n", made.ID, strings.Join(made.Scopes, ", "), expires)
				return err
			})
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&k.Scopes, "scope", nil, "what the key may do; can be given more than once")
	f.IntVar(&k.Days, "days", 0, "days until it expires (default 90)")
	f.BoolVar(&k.Never, "never-expires", false, "make a key that does not expire")
	mustRegister(cmd, "scope", fixed("read", "write", "users", "sessions", "events", "simulate", "apikeys", "metrics", "cluster", "documents:", "*"))
	return cmd
}

func (c *cli) listKeysCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List API keys, without their secrets",
		Args:  args(cobra.NoArgs),
		RunE: c.onNode(func(cmd *cobra.Command, node *client.Client, _ []string) error {
			list, err := node.Keys(cmd.Context())
			if err != nil {
				return err
			}
			return c.show(list, func(w io.Writer) error {
				fmt.Fprintln(w, "ID\tDESCRIPTION\tSCOPES\tCREATED\tBY\tEXPIRES")
				for i := range list.Keys {
					k := &list.Keys[i]
					expires := "never"
					if k.Expires != nil {
						expires = when(*k.Expires)
					}
					if k.Expired {
						expires += " (expired)"
					}
					row(w, k.ID, k.Description, strings.Join(k.Scopes, " "), when(k.CreatedAt), k.CreatedBy, expires)
				}
				return nil
			})
		}),
	}
}

func (c *cli) revokeKeyCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "revoke ID",
		Short:             "End an API key at once",
		Args:              args(cobra.ExactArgs(1)),
		ValidArgsFunction: c.completeKey,
		RunE: c.onNode(func(cmd *cobra.Command, node *client.Client, words []string) error {
			if err := node.RevokeKey(cmd.Context(), words[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.out, "Revoked %s.\n", printable(words[0]))
			return err
		}),
	}
}
