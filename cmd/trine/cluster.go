package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
	"trine/appliance/cluster"
	"trine/appliance/node"
)

// startsAgainWithin bounds how long a command waits for a node that starts again as the first of a cluster.
const startsAgainWithin = time.Minute

// clusterCommand is trine cluster.
func (c *cli) clusterCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "cluster", Short: "Found a cluster, let nodes join, and say what they are", Args: cobra.ArbitraryArgs, RunE: parent,
		Long: "Found a cluster, let nodes join, and say what they are. NODE is a node's name or its number, as list shows them.",
	}
	cmd.AddCommand(c.clusterInitCommand(), c.clusterTokenCommand(), c.clusterJoinCommand(), c.clusterListCommand(),
		c.clusterRoleCommand("promote", "voter", "Let a node vote",
			"Let a node vote. It does once it has caught up, and as soon as that leaves an odd number of voters: of two that wait, both\nare promoted together. At most seven vote."),
		c.clusterRoleCommand("demote", "replica", "Let a node follow without a vote",
			"Let a node follow without a vote. It keeps everything and goes on answering; the others no longer wait for its disk."),
		c.clusterRemoveCommand(), c.clusterTransferCommand(), c.clusterRecoverCommand())
	return cmd
}

func (c *cli) clusterInitCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init",
		Short: "Make a lone node the first of a cluster",
		Long: "Make a lone node the first of a cluster. The node must have been started with --cluster-listen. It makes the cluster's authority and\n" +
			"starts again within its process, which the command waits for.",
		Args: args(cobra.NoArgs),
		RunE: c.onNode(func(cmd *cobra.Command, node *client.Client, _ []string) error {
			if err := node.FoundCluster(cmd.Context()); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), startsAgainWithin)
			defer cancel()
			now, err := awaitCluster(ctx, node)
			if err != nil {
				return err
			}
			return c.show(now, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "Founded cluster %s. Let others join with: trine cluster token\n", printable(now.Cluster))
				return err
			})
		}),
	}
}

// awaitCluster waits until the node has started again as one of a cluster.
func awaitCluster(ctx context.Context, node *client.Client) (*api.Cluster, error) {
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for {
		now, err := node.Cluster(ctx)
		if err == nil && now.Cluster != "" {
			return now, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(errors.New("the cluster was founded, and the node has not come back yet; look with: trine status"), err)
		case <-t.C:
		}
	}
}

func (c *cli) clusterTokenCommand() *cobra.Command {
	var t api.TokenRequest
	var revoke string
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make a token by which one node may join",
		Long: "Make a token by which one node may join, once. It is shown this once; the cluster keeps only a hash of it. Whoever joins by it gets\n" +
			"everything that the cluster knows, its secrets included: pass it on as you would a password.",
		Example: "  trine cluster token --role replica --minutes 60\n  TRINE_JOIN=TOKEN trine serve --data /var/lib/trine --cluster-listen 192.0.2.2:1445",
		Args:    args(cobra.NoArgs),
		RunE: c.onNode(func(cmd *cobra.Command, node *client.Client, _ []string) error {
			if revoke != "" {
				if err := node.RevokeJoinToken(cmd.Context(), revoke); err != nil {
					return err
				}
				_, err := fmt.Fprintf(c.out, "Took back token %s.\n", printable(revoke))
				return err
			}
			made, err := node.CreateJoinToken(cmd.Context(), t)
			if err != nil {
				return err
			}
			return c.show(made, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s\n", made.Token)
				fmt.Fprintf(c.err, "Token %s lets one %s join until %s. It cannot be shown again.\n", made.ID, made.Role, when(made.Expires))
				return err
			})
		}),
	}
	f := cmd.Flags()
	f.StringVar(&t.Role, "role", "voter", "what the node becomes: voter or replica")
	f.IntVar(&t.Minutes, "minutes", 15, "how long the token is good")
	f.StringVar(&revoke, "revoke", "", "take back the token with this id instead")
	mustRegister(cmd, "role", fixed("voter", "replica"))
	return cmd
}

func (c *cli) clusterJoinCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "join TOKEN",
		Short: "Prepare an empty data directory for a node that joins",
		Long: "Prepare an empty data directory (--data) for a node that joins a cluster: the node does so when it is started. It is the same as to start\n" +
			"the node with the token, for where that is not convenient. A token that is - is read from standard input.",
		Example: "  trine cluster join TOKEN --data /var/lib/trine\n  trine serve --data /var/lib/trine --cluster-listen 192.0.2.2:1445",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, words []string) error {
			token := words[0]
			if token == "-" {
				text, err := io.ReadAll(io.LimitReader(c.in, cluster.MaxToken+1))
				if err != nil {
					return fmt.Errorf("read the token: %w", err)
				}
				token = string(text)
			}
			if err := cluster.Prepare(c.data, token); err != nil {
				if errors.Is(err, cluster.ErrToken) {
					return usage(err)
				}
				return err
			}
			_, err := fmt.Fprintf(c.out, "Prepared %s. Start the node with --cluster-listen before the token expires.\n", printable(c.data))
			return err
		},
	}
}

func (c *cli) clusterListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List nodes and how they stand, and join tokens that were not used",
		Args:  args(cobra.NoArgs),
		RunE: c.onNode(func(cmd *cobra.Command, node *client.Client, _ []string) error {
			now, err := node.Cluster(cmd.Context())
			if err != nil {
				return err
			}
			return c.show(now, func(w io.Writer) error {
				if now.Cluster == "" {
					_, err := fmt.Fprintln(w, "The node is alone. Make it the first of a cluster with: trine cluster init")
					return err
				}
				fmt.Fprintln(w, "NODE\tNAME\tADDRESS\tROLE\tSTANDING\tLAG\tTERM\tVERSION\tCERTIFICATE UNTIL")
				for i := range now.Nodes {
					n := &now.Nodes[i]
					row(w, n.Node, n.Name, n.Address, n.Role, standing(n), lag(n), fmt.Sprint(n.Term), n.Version, when(n.CertificateExpires))
				}
				for _, t := range now.Tokens {
					expires := "until " + when(t.Expires)
					if t.Expired {
						expires = "expired"
					}
					fmt.Fprintf(w, "Token %s for a %s, %s, by %s\n", printable(t.ID), printable(t.Role), expires, printable(t.By))
				}
				return nil
			})
		}),
	}
}

// standing says in a word or two how a node stands.
func standing(n *api.ClusterNode) string {
	switch {
	case !n.Answers:
		return n.Trouble
	case n.Diverged:
		return "differs from the others"
	case n.Leader:
		return "leads"
	case n.Votes:
		return "votes"
	case n.Role == "voter":
		return "follows, to vote"
	}
	return "follows"
}

func lag(n *api.ClusterNode) string {
	if !n.Answers {
		return "-"
	}
	return fmt.Sprint(n.Lag)
}

func (c *cli) clusterRoleCommand(name, role, short, long string) *cobra.Command {
	return &cobra.Command{
		Use: name + " NODE", Short: short, Long: long, Args: args(cobra.ExactArgs(1)), ValidArgsFunction: c.completeNode,
		RunE: c.onNode(func(cmd *cobra.Command, node *client.Client, words []string) error {
			if err := node.SetNodeRole(cmd.Context(), words[0], role); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.out, "%s is a %s now.\n", printable(words[0]), role)
			return err
		}),
	}
}

func (c *cli) clusterRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove NODE",
		Short: "Take a node out of the cluster for ever",
		Long: "Take a node out of the cluster for ever: nobody listens to it from then on, and it stops when it hears of it. To come back it joins with an\n" +
			"empty data directory and a new token, under another number.",
		Args: args(cobra.ExactArgs(1)), ValidArgsFunction: c.completeNode,
		RunE: c.onNode(func(cmd *cobra.Command, node *client.Client, words []string) error {
			if err := node.RemoveNode(cmd.Context(), words[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.out, "Removed %s.\n", printable(words[0]))
			return err
		}),
	}
}

func (c *cli) clusterRecoverCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "recover",
		Short: "Make a node the only one of its cluster, after a quorum was lost for good",
		Long: "Make the node of a data directory (--data), which must not run, the only one of its cluster, after so many of the others were lost for\n" +
			"good that no leader can be elected. It refuses while another node answers. What the node's log holds counts as committed: choose the\n" +
			"node that has the most (`trine status` says up to which index). The others' data directories must not be used any more; such nodes\n" +
			"join again, empty and with new tokens.",
		Example: "  trine cluster recover --data /var/lib/trine",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := node.RecoverCluster(cmd.Context(), c.data, slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: slog.LevelWarn}))); err != nil {
				return err
			}
			_, err := fmt.Fprintln(c.out, "The node is the only one of its cluster now. Start it, and let others join with: trine cluster token")
			return err
		},
	}
}

func (c *cli) clusterTransferCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "transfer [NODE]",
		Short: "Let another node lead",
		Long:  "Let another node lead: the one that is named, or whichever has the most of the log.",
		Args:  args(cobra.MaximumNArgs(1)), ValidArgsFunction: c.completeNode,
		RunE: c.onNode(func(cmd *cobra.Command, node *client.Client, words []string) error {
			to := ""
			if len(words) > 0 {
				to = words[0]
			}
			if err := node.TransferLeadership(cmd.Context(), to); err != nil {
				return err
			}
			_, err := fmt.Fprintln(c.out, "Leadership was handed over.")
			return err
		}),
	}
}

// completeNode completes a first argument to the names of nodes.
func (c *cli) completeNode(cmd *cobra.Command, words []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(words) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.complete(cmd, func(ctx context.Context, look lookup) ([]string, error) { return look.nodes(ctx) })
}
