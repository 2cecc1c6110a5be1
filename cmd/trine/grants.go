package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
)

// grantCommand is trine grant.
func (c *cli) grantCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "grant", Short: "Show and revoke what people have let clients have", Args: cobra.ArbitraryArgs, RunE: parent}
	cmd.AddCommand(c.grantListCommand(), c.grantRevokeCommand())
	return cmd
}

func (c *cli) grantListCommand() *cobra.Command {
	var q client.GrantQuery
	var limit int
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List grants: what people have let clients have",
		Example: "  trine grant list --user alice\n  trine grant list --client wiki --ended",
		Args:    args(cobra.NoArgs),
		RunE: c.onNode(func(cmd *cobra.Command, node *client.Client, _ []string) error {
			return inPages(limit, func(size int, first bool) (int, bool, error) {
				q.Limit = size
				list, err := node.Grants(cmd.Context(), q)
				if err != nil {
					return 0, false, err
				}
				q.After = list.Next
				return len(list.Grants), q.After != "", c.showGrants(list.Grants, first)
			})
		}),
	}
	f := cmd.Flags()
	f.StringVar(&q.User, "user", "", "only grants of this user")
	f.StringVar(&q.Client, "client", "", "only grants to this service provider")
	f.BoolVar(&q.Ended, "ended", false, "those too that are over, as far as they are remembered")
	limitFlag(cmd, &limit, "at most so many grants (default all)")
	mustRegister(cmd, "user", c.completeDocument("User"))
	mustRegister(cmd, "client", c.completeDocument("ServiceProvider"))
	return cmd
}

func (c *cli) showGrants(grants []api.Grant, first bool) error {
	if c.output != "table" {
		return showLines(c, grants)
	}
	return c.show(nil, func(w io.Writer) error {
		if first {
			fmt.Fprintln(w, "ID\tUSER\tCLIENT\tIDENTITY PROVIDER\tSCOPES\tREFRESHED\tSTARTED\tLAST USED\tENDS")
		}
		for i := range grants {
			g := &grants[i]
			ends := when(g.NotAfter)
			if g.Ended != nil {
				ends = g.Cause + " " + when(*g.Ended)
			}
			refreshed := "-"
			if g.RefreshToken || g.Refreshed > 0 {
				refreshed = strconv.FormatUint(uint64(g.Refreshed), 10)
			}
			row(w, g.ID, g.User, g.Client, g.IdentityProvider, strings.Join(g.Scopes, " "), refreshed, when(g.Started), when(g.LastUsed), ends)
		}
		return nil
	})
}

func (c *cli) grantRevokeCommand() *cobra.Command {
	var user, service string
	cmd := &cobra.Command{
		Use:   "revoke [ID]",
		Short: "Revoke a grant, or all that was issued to a client or for a user",
		Long: "Revoke a grant, or with --client all that was issued to a service provider, tokens of its own included, or with --user all that was issued for a user. " +
			"None of the tokens is good from then on, on any node.",
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, words []string) error {
			if n := len(words) + given(user) + given(service); n != 1 {
				return usageError{errors.New("give the id of a grant, --client or --user; `trine grant list` shows what there is")}
			}
			node, err := c.client(cmd)
			if err != nil {
				return err
			}
			defer node.Close()
			if len(words) == 1 {
				if err := node.RevokeGrant(cmd.Context(), words[0]); err != nil {
					return err
				}
				_, err = fmt.Fprintf(c.out, "Revoked grant %s.\n", printable(words[0]))
				return err
			}
			if err := node.RevokeGrants(cmd.Context(), user, service); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.out, "Revoked all that was issued to %s.\n", printable(user+service))
			return err
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "all that was issued for this user")
	cmd.Flags().StringVar(&service, "client", "", "all that was issued to this service provider")
	mustRegister(cmd, "user", c.completeDocument("User"))
	mustRegister(cmd, "client", c.completeDocument("ServiceProvider"))
	return cmd
}

func given(text string) int {
	if text == "" {
		return 0
	}
	return 1
}

// consentCommand is trine consent.
func (c *cli) consentCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "consent", Short: "Show and revoke what people let service providers know", Args: cobra.ArbitraryArgs, RunE: parent}
	cmd.AddCommand(c.consentListCommand(), c.consentRevokeCommand())
	return cmd
}

func (c *cli) consentListCommand() *cobra.Command {
	var q client.ConsentQuery
	var limit int
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List consents: what people let service providers know",
		Example: "  trine consent list --user alice",
		Args:    args(cobra.NoArgs),
		RunE: c.onNode(func(cmd *cobra.Command, node *client.Client, _ []string) error {
			return inPages(limit, func(size int, first bool) (int, bool, error) {
				q.Limit = size
				list, err := node.Consents(cmd.Context(), q)
				if err != nil {
					return 0, false, err
				}
				q.After = list.Next
				return len(list.Consents), q.After != "", c.showConsents(list.Consents, first)
			})
		}),
	}
	f := cmd.Flags()
	f.StringVar(&q.User, "user", "", "only consents of this user")
	f.StringVar(&q.Client, "client", "", "only consents to this service provider")
	limitFlag(cmd, &limit, "at most so many consents (default all)")
	mustRegister(cmd, "user", c.completeDocument("User"))
	mustRegister(cmd, "client", c.completeDocument("ServiceProvider"))
	return cmd
}

func (c *cli) showConsents(consents []api.Consent, first bool) error {
	if c.output != "table" {
		return showLines(c, consents)
	}
	return c.show(nil, func(w io.Writer) error {
		if first {
			fmt.Fprintln(w, "USER\tCLIENT\tSCOPES\tCLAIMS\tIDENTITY PROVIDER\tGIVEN")
		}
		for i := range consents {
			x := &consents[i]
			row(w, x.User, x.Client, strings.Join(x.Scopes, " "), strings.Join(x.Claims, " "), x.IdentityProvider, when(x.Given))
		}
		return nil
	})
}

func (c *cli) consentRevokeCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:               "revoke USER [CLIENT]",
		Short:             "Revoke a user's consent to a service provider, or with --all all of it",
		Long:              "Revoke a user's consent to a service provider, or with --all all of it. The grants that rest on it end.",
		Args:              args(cobra.RangeArgs(1, 2)),
		ValidArgsFunction: c.completeUser,
		RunE: func(cmd *cobra.Command, words []string) error {
			if all == (len(words) == 2) {
				return usageError{errors.New("give either a service provider or --all")}
			}
			node, err := c.client(cmd)
			if err != nil {
				return err
			}
			defer node.Close()
			service, what := "", "all consent"
			if !all {
				service, what = words[1], "the consent to "+printable(words[1])
			}
			if err := node.RevokeConsent(cmd.Context(), words[0], service); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.out, "Revoked %s of %s.\n", what, printable(words[0]))
			return err
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "revoke all of it")
	return cmd
}

// keyCommand is trine key.
func (c *cli) keyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "key", Short: "Show and rotate the keys by which identity providers sign", Args: cobra.ArbitraryArgs, RunE: parent}
	cmd.AddCommand(c.keyListCommand(), c.keyRotateCommand())
	return cmd
}

func (c *cli) keyListCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "list [IDENTITY-PROVIDER]",
		Short:             "List the keys by which identity providers sign tokens",
		Args:              args(cobra.MaximumNArgs(1)),
		ValidArgsFunction: c.completeDocument("IdentityProvider"),
		RunE: c.onNode(func(cmd *cobra.Command, node *client.Client, words []string) error {
			list, err := node.SigningKeys(cmd.Context(), strings.Join(words, ""))
			if err != nil {
				return err
			}
			return c.showKeys(list)
		}),
	}
}

func (c *cli) showKeys(list *api.SigningKeyList) error {
	return c.show(list, func(w io.Writer) error {
		fmt.Fprintln(w, "IDENTITY PROVIDER\tID\tALGORITHM\tSTATE\tCREATED\tBY\tSIGNS FROM\tPUBLISHED UNTIL")
		for i := range list.Keys {
			k := &list.Keys[i]
			gone, by := "-", "-"
			if k.Gone != nil {
				gone = when(*k.Gone)
			}
			if k.CreatedBy != "" {
				by = k.CreatedBy
			}
			row(w, k.IdentityProvider, k.ID, k.Algorithm, k.State, when(k.Created), by, when(k.Active), gone)
		}
		return nil
	})
}

func (c *cli) keyRotateCommand() *cobra.Command {
	var how api.KeyRotation
	cmd := &cobra.Command{
		Use:   "rotate IDENTITY-PROVIDER",
		Short: "Give an identity provider new keys to sign tokens with",
		Long: "Give an identity provider new keys to sign tokens with. They are published at once and sign an hour later, so that whoever keeps the published keys knows them by then; " +
			"those before them stay published until what they signed is over.\n\n" +
			"With --at-once the new keys sign at once and the present ones go at once, as where one was stolen: what they signed is good no longer.",
		Example:           "  trine key rotate local\n  trine key rotate local --algorithm ES256",
		Args:              args(cobra.ExactArgs(1)),
		ValidArgsFunction: c.completeDocument("IdentityProvider"),
		RunE: c.onNode(func(cmd *cobra.Command, node *client.Client, words []string) error {
			list, err := node.RotateSigningKeys(cmd.Context(), words[0], how)
			if err != nil {
				return err
			}
			return c.showKeys(list)
		}),
	}
	cmd.Flags().StringSliceVar(&how.Algorithms, "algorithm", nil, "only keys for this `ALGORITHM`: ES256, RS256 or EdDSA (default all that it has keys of)")
	cmd.Flags().BoolVar(&how.AtOnce, "at-once", false, "the present keys go at once, and what they signed with them")
	mustRegister(cmd, "algorithm", fixed("ES256", "RS256", "EdDSA"))
	return cmd
}
