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
	var enable, level int
	cmd := &cobra.Command{
		Use:   "simulate USER",
		Short: "Say what a login or an authorization would get, and why",
		Long: "Have a login decided by the engine that decides logins, and tell the verdict, the reason, what was looked at and what would be\n" +
			"answered. Nothing is recorded, and nothing counts against anybody. The password is asked for, read with --stdin, or assumed to be\n" +
			"right or wrong. Documents given with -f are laid over those in force; limits, locks and sessions are those that there are.\n" +
			"Where the service provider asks over TACACS+, --enable has the privilege level decided, and --service or --command an authorization,\n" +
			"for which nobody logs in.",
		Example: "  trine simulate alice --client wlan --assume password=ok\n" +
			"  trine simulate alice --source 192.0.2.7 --attribute 'NAS-Port-Type=Ethernet' --at '2026-12-24 20:00'\n" +
			"  trine simulate bob --client vpn --assume password=ok -f draft.yaml\n" +
			"  trine simulate bob --client core-routers --command 'show version'\n" +
			"  trine simulate bob --client core-routers --service ppp --argument protocol=ip",
		Args:              args(cobra.ExactArgs(1)),
		ValidArgsFunction: c.completeUser,
		RunE: func(cmd *cobra.Command, words []string) error {
			q.User = words[0]
			if q.Client == "" && q.Source == "" {
				return usagef("say who asks: the service provider with --client, or an address of its with --source")
			}
			if q.Service != "" && q.Command != "" {
				return usagef("give either --service or --command; a shell without a command is --service shell")
			}
			if cmd.Flags().Changed("enable") {
				q.Enable = &enable
			}
			if cmd.Flags().Changed("level") {
				q.Level = &level
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
			if authorizes := q.Service != "" || q.Command != ""; q.Assume == nil && q.Method != "none" && !authorizes {
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
	f.StringVar(&q.Protocol, "protocol", "", "radius or tacacs, where --source alone does not say it (default the service provider's, and else radius)")
	f.StringVar(&q.Method, "method", "", "how the password is proved: pap, chap, mschapv1, mschapv2, over RADIUS none, over TACACS+ ascii (default pap, over TACACS+ ascii)")
	f.BoolVar(&stdin, "stdin", false, "read the password from standard input")
	f.StringArrayVar(&assume, "assume", nil, "take for granted instead of looking: password=ok or password=wrong")
	f.StringArrayVar(&q.Attributes, "attribute", nil, "further attribute of the request, such as 'NAS-Port-Type=Ethernet'; can be given more than once")
	f.IntVar(&enable, "enable", 0, "TACACS+: the privilege `level` that is asked for (enable), 0 to 15")
	f.StringVar(&q.Service, "service", "", "TACACS+: `service` to have authorized, such as shell or junos-exec")
	f.StringVar(&q.Command, "command", "", "TACACS+: `line` to have authorized as a command, such as 'show version'")
	f.StringArrayVar(&q.Arguments, "argument", nil, "TACACS+: further `argument` of the authorization, such as protocol=ip; can be given more than once")
	f.IntVar(&level, "level", 0, "TACACS+: privilege `level` that the device says that the user has, in an authorization (default 1)")
	f.StringVar(&q.Port, "port", "", "TACACS+: `line` on the device")
	f.StringVar(&q.Remote, "remote-address", "", "TACACS+: `address` that the user comes from")
	f.StringVar(&at, "at", "", "when the login comes: a time (RFC 3339), a date, or a duration from now such as +24h (default now)")
	fileFlag(cmd, &paths)
	mustRegister(cmd, "protocol", fixed("radius", "tacacs"))
	mustRegister(cmd, "method", fixed("ascii", "pap", "chap", "mschapv1", "mschapv2", "none"))
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
	switch tacacs := s.Protocol == "tacacs"; {
	case !tacacs && len(s.Attributes) == 0:
		end = ", without attributes."
	case tacacs && len(s.Arguments) == 0 && s.Message == "":
		end = "."
	}
	fmt.Fprintf(w, "\nThe device would get %s%s\n", printable(s.Answer), end)
	for _, a := range s.Attributes {
		fmt.Fprintf(w, "  %s = %s\n", printable(a.Name), printable(a.Value))
	}
	for _, argument := range s.Arguments {
		fmt.Fprintf(w, "  %s\n", printable(argument))
	}
	if s.Message != "" {
		fmt.Fprintf(w, "  message: %s\n", printable(s.Message))
	}
	_, err := fmt.Fprintln(w, "Nothing was recorded.")
	return err
}
