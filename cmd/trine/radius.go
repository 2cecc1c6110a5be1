package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"trine/appliance/probe"
)

// radiusCommand is trine radius.
func (c *cli) radiusCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "radius", Short: "Try RADIUS logins", Args: cobra.ArbitraryArgs, RunE: parent}
	cmd.AddCommand(c.radiusTestCommand())
	return cmd
}

// radiusTestCommand is trine radius test.
func (c *cli) radiusTestCommand() *cobra.Command {
	var l probe.Login
	var address, password string
	var stdin bool
	var dictionaries []string
	cmd := &cobra.Command{
		Use:   "test USER",
		Short: "Try a login as a device does",
		Long: "Send an Access-Request to a RADIUS server and tell what came back. The secret is that of a service provider whose\n" +
			"sourceIPs hold this machine's address; the password is asked for unless it is given.\n" +
			"Exit code 1 says that the login was rejected or that nobody answered.",
		Example:           "  trine radius test alice --secret testing123\n  trine radius test alice --method mschapv2 --radius 192.0.2.1:1812",
		Args:              args(cobra.ExactArgs(1)),
		ValidArgsFunction: c.completeUser,
		RunE: func(cmd *cobra.Command, words []string) error {
			l.User, l.Password, l.Secret = words[0], password, firstOf(l.Secret, os.Getenv("TRINE_RADIUS_SECRET"))
			if l.Secret == "" {
				return usagef("give the shared secret with --secret or in TRINE_RADIUS_SECRET")
			}
			if l.Server = address; address == "" {
				l.Server = c.radiusAddress()
			}
			names, err := probe.Names(dictionaries...)
			if err != nil {
				return usageError{err}
			}
			if password == "" {
				if l.Password, err = c.password(stdin, false); err != nil {
					return err
				}
			}
			answer, err := probe.Try(cmd.Context(), l, names)
			if errors.Is(err, probe.ErrMethod) {
				return usageError{err}
			}
			if answer == nil {
				return err
			}
			if shown := c.showAnswer(answer); shown != nil {
				return shown
			}
			if err == nil && !answer.Accepted {
				err = errors.New("the login was not accepted; trine events --class decision shows the decision's id, and trine explain ID says why")
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&l.Secret, "secret", "", "shared secret (TRINE_RADIUS_SECRET)")
	f.StringVar(&password, "password", "", "password; better asked for or passed with --stdin, where other users cannot see it")
	f.BoolVar(&stdin, "stdin", false, "read the password from standard input")
	f.StringVar(&l.Method, "method", probe.MethodPAP, "pap, chap or mschapv2")
	f.StringVar(&address, "radius", "", "address of the RADIUS server (default the node on --data, else 127.0.0.1:1812)")
	f.StringVar(&l.NAS, "nas", "", "NAS-Identifier to send")
	f.DurationVar(&l.Timeout, "timeout", 3*time.Second, "how long each try waits for an answer")
	f.IntVar(&l.Tries, "tries", 3, "how often to try")
	f.StringArrayVar(&dictionaries, "dictionary", nil, "dictionary file in FreeRADIUS syntax whose names to know; can be given more than once")
	mustRegister(cmd, "method", fixed(probe.Methods()...))
	return cmd
}

// radiusAddress returns where the node on the data directory answers logins, or the address that it uses unless told otherwise.
func (c *cli) radiusAddress() string {
	return firstOf(append(c.addresses().RadiusAuthentication, "127.0.0.1:1812")...)
}

// addresses are where a node listens; see node.Addresses.
type addresses struct {
	RadiusAuthentication []string `json:"radiusAuthentication"`
	Tacacs               []string `json:"tacacs"`
	TacacsTLS            []string `json:"tacacsTLS"`
}

// addresses returns where the node on the data directory listens. Without a node there is no such file, and nothing in what is returned: the usual ports are then
// as good as any.
func (c *cli) addresses() (a addresses) {
	if data, err := os.ReadFile(filepath.Join(c.data, "addresses.json")); err == nil && json.Unmarshal(data, &a) != nil {
		return addresses{}
	}
	return a
}

func (c *cli) showAnswer(a *probe.Answer) error {
	return c.show(a, func(w io.Writer) error {
		code := c.paint(green, a.Code)
		if !a.Accepted {
			code = c.paint(red, a.Code)
		}
		proven := ""
		if a.ServerProven {
			proven = ", and the server proved that it knows the password"
		}
		fmt.Fprintf(w, "%s after %s%s\n", code, a.Took.Round(10*time.Microsecond), proven)
		for _, attribute := range a.Attributes {
			fmt.Fprintf(w, "  %s = %s\n", printable(attribute.Name), printable(attribute.Value))
		}
		return nil
	})
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
