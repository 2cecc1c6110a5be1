package main

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
)

// explainCommand is trine explain.
func (c *cli) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain ID",
		Short: "Say why a login was decided as it was",
		Long: "Say why a login was accepted or rejected, what to do about it, and what was looked at. The id of a decision is what\n" +
			"trine events --class decision shows, and the login of the accounting records of the session that it opened.",
		Args: args(cobra.ExactArgs(1)),
		RunE: c.onNode(func(cmd *cobra.Command, node *client.Client, words []string) error {
			e, err := node.Explain(cmd.Context(), words[0])
			if err != nil {
				return err
			}
			return c.show(e, func(w io.Writer) error {
				tellReason(w, &e.Decision)
				fmt.Fprintln(w)
				tellDecision(w, &e.Decision, (time.Duration(e.Micros) * time.Microsecond).String())
				if len(e.Steps) == 0 {
					fmt.Fprintln(w, "\nNo steps were kept: of accepted logins only a sample keeps them.")
					return nil
				}
				tellSteps(w, e.Steps)
				return nil
			})
		}),
	}
}

// tellReason tells a verdict, why, and what to do about it.
func tellReason(w io.Writer, d *api.Decision) {
	fmt.Fprintf(w, "%s: %s\n", d.Verdict, d.Reason)
	if d.Meaning != "" {
		fmt.Fprintln(w, d.Meaning)
	}
	if d.Advice != "" {
		fmt.Fprintf(w, "What to do: %s\n", d.Advice)
	}
}

// tellDecision tells what was decided about.
func tellDecision(w io.Writer, d *api.Decision, took string) {
	for _, line := range [...][2]string{
		{"When", d.At.Local().Format("2006-01-02 15:04:05.000")},
		{"Took", took},
		{"Login name", d.UserName},
		{"User", d.User},
		{"Service provider", d.Client},
		{"Protocol", d.Protocol},
		{"Method", d.Method},
		{"Source", d.Source},
		{"NAS", d.NAS},
		{"Calling station", d.Calling},
		{"Called station", d.Called},
		{"Port", d.Port},
		{"Kind", d.Kind},
		{"Service", d.Service},
		{"Command", d.Command},
		{"Level asked", level(d.Level)},
		{"Level given", level(d.Privilege)},
		{"Policy index", fmt.Sprint(d.Policy)},
	} {
		if line[1] != "" {
			fmt.Fprintf(w, "%s\t%s\n", line[0], printable(line[1]))
		}
	}
}

// level returns a privilege level as text; nothing for none.
func level(n *uint32) string {
	if n == nil {
		return ""
	}
	return strconv.FormatUint(uint64(*n), 10)
}

func tellSteps(w io.Writer, steps []api.Step) {
	fmt.Fprintln(w, "\nSteps:")
	for i, s := range steps {
		fmt.Fprintf(w, "%3d. %s\n", i+1, printable(s.Text))
	}
}
