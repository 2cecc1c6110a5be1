package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
)

// explainCommand is trine explain.
func (c *cli) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain ID",
		Short: "Say why a login was decided as it was",
		Long: "Say why a login was accepted or rejected, what to do about it, and what was looked at. The id of a decision is what\n" +
			"trine events --class decision shows, and the login of the accounting records of the session that it opened.",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, words []string) error {
			node, err := c.client(cmd)
			if err != nil {
				return err
			}
			defer node.Close()
			e, err := node.Explain(cmd.Context(), words[0])
			if err != nil {
				return err
			}
			return c.show(e, func(w io.Writer) error {
				fmt.Fprintf(w, "%s: %s\n", e.Verdict, e.Reason)
				if e.Meaning != "" {
					fmt.Fprintln(w, e.Meaning)
				}
				if e.Advice != "" {
					fmt.Fprintf(w, "What to do: %s\n", e.Advice)
				}
				fmt.Fprintln(w)
				for _, line := range [...][2]string{
					{"When", e.At.Local().Format("2006-01-02 15:04:05.000")},
					{"Took", (time.Duration(e.Micros) * time.Microsecond).String()},
					{"Login name", e.UserName},
					{"User", e.User},
					{"Service provider", e.Client},
					{"Protocol", e.Protocol},
					{"Method", e.Method},
					{"Source", e.Source},
					{"NAS", e.NAS},
					{"Calling station", e.Calling},
					{"Called station", e.Called},
					{"Policy index", fmt.Sprint(e.Policy)},
				} {
					if line[1] != "" {
						fmt.Fprintf(w, "%s\t%s\n", line[0], printable(line[1]))
					}
				}
				if len(e.Steps) == 0 {
					fmt.Fprintln(w, "\nNo steps were kept: of accepted logins only a sample keeps them.")
					return nil
				}
				fmt.Fprintln(w, "\nSteps:")
				for i, s := range e.Steps {
					fmt.Fprintf(w, "%3d. %s\n", i+1, printable(s.Text))
				}
				return nil
			})
		},
	}
}
