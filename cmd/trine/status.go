package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"trine/appliance/admin/client"
	"trine/appliance/node"
)

// statusCommand is trine status.
func (c *cli) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say how the node is",
		Long:  "Say how the node is. Exit code 1 says that it is not ready, or that there is none.",
		Args:  args(cobra.NoArgs),
		RunE: c.onNode(func(cmd *cobra.Command, node *client.Client, _ []string) error {
			s, err := node.Status(cmd.Context())
			if err != nil {
				return err
			}
			err = c.show(s, func(w io.Writer) error {
				line := func(name, format string, args ...any) {
					fmt.Fprintf(w, "%s\t%s\n", name, printable(fmt.Sprintf(format, args...)))
				}
				ready := c.paint(green, "ready")
				if !s.Ready {
					ready = c.paint(red, "not ready") + ": " + printable(s.NotReady)
				}
				fmt.Fprintf(w, "Node\t%s, %s\n", printable(s.Node), ready)
				line("Version", "%s", s.Version)
				line("Up since", "%s (%s)", when(s.Started), time.Since(s.Started).Round(time.Second))
				line("Log", "%s in term %d, applied %d of %d, %d waiting", s.Log.Role, s.Log.Term, s.Log.Applied, s.Log.Committed, s.Log.Queue)
				if s.Cluster != "" {
					line("Cluster", "%s", s.Cluster)
				}
				for i := range s.Members {
					m := &s.Members[i]
					line("Member", "%s at %s, %s, %s, %s behind, certificate until %s", m.Name, m.Address, m.Role, standing(m), lag(m), when(m.CertificateExpires))
				}
				if s.Log.SealIndex == 0 {
					line("Seal", "none yet")
				} else {
					line("Seal", "index %d, %s", s.Log.SealIndex, orDash(whenOr(s.Log.SealedAt)))
				}
				line("Disk", "%s free, history %s", size(uint64(max(s.Log.DiskFree, 0))), size(uint64(max(s.Log.HistoryBytes, 0))))
				line("Policy", "index %d, built %s", s.Policy.Index, orDash(when(s.Policy.Built)))
				var counts []string
				for _, kind := range slices.Sorted(maps.Keys(s.Documents)) {
					counts = append(counts, fmt.Sprintf("%s %d", kind, s.Documents[kind]))
				}
				line("Documents", "%s", orDash(strings.Join(counts, ", ")))
				line("Sessions", "%d", s.Sessions)
				for _, l := range s.Listeners {
					line("Listens", "%s on %s", l.Name, l.Address)
				}
				for _, broken := range s.Policy.Broken {
					line("Broken", "%s", broken)
				}
				for _, condition := range s.Conditions {
					line("Note", "%s", condition)
				}
				return nil
			})
			if err == nil && !s.Ready {
				return errors.New("the node is not ready")
			}
			return err
		}),
	}
}

// versionCommand is trine version.
func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say which version this is, and which the node runs",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			versions := struct {
				Client string `json:"client"`
				Node   string `json:"node,omitempty"`
			}{Client: node.Version()}
			remote, err := c.client(cmd)
			if err != nil {
				return err
			}
			defer remote.Close()
			v, err := remote.Version(cmd.Context())
			var none *client.UnreachableError
			switch {
			case err == nil:
				versions.Node = v.Version
			case !errors.As(err, &none):
				return err
			}
			return c.show(versions, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "This command\t%s\nThe node\t%s\n", versions.Client, orDash(versions.Node))
				return err
			})
		},
	}
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
