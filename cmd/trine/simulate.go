package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"trine/appliance/admin/api"
)

// simulateCommand is trine simulate.
func (c *cli) simulateCommand() *cobra.Command {
	q := api.SimulationRequest{Assume: &api.Assumptions{}}
	var at string
	var assume, paths []string
	var stdin bool
	cmd := &cobra.Command{
		Use:   "simulate USER",
		Short: "Say what a login would get, and why",
		Long: "Have a login decided by the engine that decides logins, and tell the verdict, the reason, what was looked at and what would be\n" +
			"answered. Nothing is recorded, and nothing counts against anybody. The password is asked for, read with --stdin, or assumed to be\n" +
			"right or wrong. Documents given with -f are laid over those in force; limits, locks and sessions are those that there are.",
		Example: "  trine simulate alice --client wlan --assume password=ok\n" +
			"  trine simulate alice --source 192.0.2.7 --attribute 'NAS-Port-Type=Ethernet' --at '2026-12-24 20:00'\n" +
			"  trine simulate bob --client vpn --assume password=ok -f draft.yaml",
		Args:              args(cobra.ExactArgs(1)),
		ValidArgsFunction: c.completeUser,
		RunE: func(cmd *cobra.Command, words []string) error {
			q.User = words[0]
			if q.Client == "" && q.Source == "" {
				return usagef("say who asks: the service provider with --client, or an address of its with --source")
			}
			if err := readAssumptions(&q, assume); err != nil {
				return err
			}
			if err := readTime(&q, at); err != nil {
				return err
			}
			if len(paths) > 0 {
				files, err := c.readDocuments(paths)
				if err != nil {
					return err
				}
				for _, f := range files {
					q.Documents = append(q.Documents, api.DraftFile{Name: f.Name, Text: string(f.Data)})
				}
			}
			if q.Assume == nil && q.Method != "none" {
				var err error
				if q.Password, err = c.password(stdin, false); err != nil {
					return err
				}
			}
			node, err := c.client(cmd)
			if err != nil {
				return err
			}
			defer node.Close()
			s, err := node.Simulate(cmd.Context(), q)
			if err != nil {
				return err
			}
			return c.show(s, func(w io.Writer) error { return c.showSimulation(w, s) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.Client, "client", "", "service provider that asks")
	f.StringVar(&q.Source, "source", "", "address that the request comes from (default one of the service provider's)")
	f.StringVar(&q.Method, "method", "pap", "how the password is proved: pap, chap, mschapv1, mschapv2 or none")
	f.BoolVar(&stdin, "stdin", false, "read the password from standard input")
	f.StringArrayVar(&assume, "assume", nil, "take for granted instead of looking: password=ok or password=wrong")
	f.StringArrayVar(&q.Attributes, "attribute", nil, "further attribute of the request, such as 'NAS-Port-Type=Ethernet'; can be given more than once")
	f.StringVar(&at, "at", "", "when the login comes: a time (RFC 3339), a date, or a duration from now such as +24h (default now)")
	fileFlag(cmd, &paths)
	mustRegister(cmd, "method", fixed("pap", "chap", "mschapv1", "mschapv2", "none"))
	mustRegister(cmd, "assume", fixed("password=ok", "password=wrong"))
	return cmd
}

// readAssumptions reads --assume.
func readAssumptions(q *api.SimulationRequest, words []string) error {
	for _, word := range words {
		switch name, value, _ := strings.Cut(word, "="); {
		case name == "password" && (value == "ok" || value == "wrong"):
			q.Assume.Password = value
		default:
			return usagef("--assume %q is none of password=ok and password=wrong", word)
		}
	}
	if *q.Assume == (api.Assumptions{}) {
		q.Assume = nil
	}
	return nil
}

// readTime reads --at.
func readTime(q *api.SimulationRequest, text string) error {
	if text == "" {
		return nil
	}
	now := time.Now()
	at := now
	if ahead, ok := strings.CutPrefix(text, "+"); ok {
		d, err := time.ParseDuration(ahead)
		if err != nil {
			return usagef("%q is no duration such as +24h", text)
		}
		at = now.Add(d)
	} else {
		var err error
		if at, err = pointInTime(text, now); err != nil {
			return err
		}
	}
	q.At = &at
	return nil
}

func (c *cli) showSimulation(w io.Writer, s *api.Simulation) error {
	tellReason(w, &s.Decision)
	for _, line := range s.Assumed {
		fmt.Fprintf(w, "Assumed: %s\n", printable(line))
	}
	if len(s.Draft) > 0 {
		fmt.Fprintf(w, "Draft: %s over what is in force.\n", printable(strings.Join(s.Draft, ", ")))
	}
	for i := range s.Warnings {
		fmt.Fprintf(w, "Warning: %s\n", printable(s.Warnings[i].String()))
	}
	fmt.Fprintln(w)
	tellDecision(w, &s.Decision, "")
	tellSteps(w, s.Steps)
	if s.Answer == "" {
		_, err := fmt.Fprintln(w, "\nThe device would get no answer. Nothing was recorded.")
		return err
	}
	end := ":"
	if len(s.Attributes) == 0 {
		end = ", without attributes."
	}
	fmt.Fprintf(w, "\nThe device would get %s%s\n", printable(s.Answer), end)
	for _, a := range s.Attributes {
		fmt.Fprintf(w, "  %s = %s\n", printable(a.Name), printable(a.Value))
	}
	_, err := fmt.Fprintln(w, "Nothing was recorded.")
	return err
}
