package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
)

// factorCommand is trine user factor.
func (c *cli) factorCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "factor", Short: "List, enrol and remove what a user proves beside the password", Args: cobra.ArbitraryArgs, RunE: parent}
	cmd.AddCommand(c.factorListCommand(), c.factorAddCommand(), c.factorRemoveCommand(), c.factorResyncCommand())
	return cmd
}

func (c *cli) factorListCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "list NAME",
		Short:             "List a user's factors",
		Args:              args(cobra.ExactArgs(1)),
		ValidArgsFunction: c.completeUser,
		RunE: c.onNode(func(cmd *cobra.Command, node *client.Client, words []string) error {
			list, err := node.Factors(cmd.Context(), words[0])
			if err != nil {
				return err
			}
			return c.show(list, func(w io.Writer) error {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				fmt.Fprintln(t, "ID\tKIND\tLABEL\tENROLLED\tLAST USED")
				for _, f := range list.Factors {
					used := "never"
					if f.Used != nil {
						used = f.Used.Format(time.RFC3339)
					}
					kind := f.Kind
					if f.Left != nil {
						kind += fmt.Sprintf(" (%d left)", *f.Left)
					}
					fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", f.ID, kind, printable(f.Label), f.Created.Format(time.RFC3339), used)
				}
				return t.Flush()
			})
		}),
	}
}

func (c *cli) factorAddCommand() *cobra.Command {
	var r api.FactorRequest
	var image, keyFile string
	var light, secretIn, pinIn bool
	cmd := &cobra.Command{
		Use:   "add NAME otp|pin|recovery|push",
		Short: "Enrol a factor of a user",
		Long: "Enrol a factor of a user. For otp, the key is shown as a QR code, which authenticator apps read, and as text; for recovery, the\n" +
			"one-time codes are. Both are shown once. A device that has a key already is enrolled with --secret-stdin; a PIN is asked for, or\n" +
			"read from standard input with --stdin. For push, --public-key names a PEM file with the device's public key, and --address is how\n" +
			"the push gateway finds it.",
		Example: "  trine user factor add alice otp --label telephone\n  trine user factor add alice recovery\n" +
			"  trine user factor add alice push --label telephone --public-key telephone.pem --address fGx7",
		Args: args(cobra.ExactArgs(2)),
		ValidArgsFunction: func(cmd *cobra.Command, words []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(words) == 0 {
				return c.completeUser(cmd, words, typed)
			}
			return []string{"otp", "pin", "recovery", "push"}, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, words []string) error {
			r.Kind = words[1]
			var err error
			switch {
			case !slices.Contains([]string{"otp", "pin", "recovery", "push"}, r.Kind):
				return usagef("%q is none of otp, pin, recovery, push", r.Kind)
			case r.Kind == "push" && (keyFile == "" || r.Address == ""):
				return usagef("give the device's --public-key and --address")
			case r.Kind == "push":
				r.PublicKey, err = readKey(keyFile)
			case r.Kind == "pin":
				r.PIN, err = c.password(pinIn, true)
			case secretIn:
				r.Secret, err = c.password(true, true)
			}
			if err != nil {
				return err
			}
			node, err := c.client(cmd)
			if err != nil {
				return err
			}
			defer node.Close()
			e, err := node.AddFactor(cmd.Context(), words[0], r)
			if err != nil {
				return err
			}
			if image != "" && e.QR != "" {
				if err := writeImage(image, e.QR); err != nil {
					return err
				}
			}
			return c.show(e, func(w io.Writer) error { return showEnrolment(w, words[0], e, image == "", light) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Label, "label", "", "what the person calls it")
	f.StringVar(&r.Type, "type", "", "of otp: totp (by time, the default) or hotp (by a counter)")
	f.StringVar(&r.Algorithm, "algorithm", "", "of otp: SHA1 (the default), SHA256 or SHA512")
	f.IntVar(&r.Digits, "digits", 0, "of otp: 6 (the default) or 8")
	f.IntVar(&r.Period, "period", 0, "of totp: seconds that a code is shown, 30 by default")
	f.Uint64Var(&r.Counter, "counter", 0, "of hotp: where the device's counter stands")
	f.BoolVar(&secretIn, "secret-stdin", false, "of otp: read the device's key from standard input, in base32, or in hexadecimal digits behind hex:")
	f.BoolVar(&pinIn, "stdin", false, "of pin: read it from standard input")
	f.StringVar(&keyFile, "public-key", "", "of push: the device's public key, a PEM `file`")
	f.StringVar(&r.Address, "address", "", "of push: by which the push gateway finds the device, such as a registration token")
	f.StringVar(&image, "qr", "", "of otp: write the QR code to a PNG `file` instead of the terminal")
	f.BoolVar(&light, "light", false, "draw the QR code for a terminal with a light background")
	mustRegister(cmd, "type", fixed("totp", "hotp"))
	mustRegister(cmd, "algorithm", fixed("SHA1", "SHA256", "SHA512"))
	return cmd
}

// readKey reads a file with a public key, which is small.
func readKey(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("read the public key: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return "", fmt.Errorf("read the public key: %w", err)
	}
	return string(text), nil
}

// writeImage keeps a QR code, which is as secret as the key, in a file that others cannot read.
func writeImage(name, encoded string) error {
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return fmt.Errorf("read the QR code that the node drew: %w", err)
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		return fmt.Errorf("write the QR code: %w", err)
	}
	return nil
}

func showEnrolment(w io.Writer, user string, e *api.Enrolment, draw, light bool) error {
	fmt.Fprintf(w, "Enrolled %s %s for %s.\n", e.Factor.Kind, e.Factor.ID, printable(user))
	if len(e.Codes) > 0 {
		fmt.Fprintf(w, "Each of these codes is good once, in place of a one-time password. They are not shown again:\n\n  %s\n", strings.Join(e.Codes, "\n  "))
	}
	if e.URI == "" {
		return nil
	}
	if draw {
		code := e.Terminal
		if light {
			code = strings.NewReplacer("█", " ", " ", "█", "▀", "▄", "▄", "▀").Replace(code)
		}
		fmt.Fprintf(w, "\n%s", code)
	}
	_, err := fmt.Fprintf(w, "\nThe key is not shown again: %s\n%s\n", e.Secret, e.URI)
	return err
}

func (c *cli) factorRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "remove NAME ID",
		Short:             "Take a factor from a user",
		Args:              args(cobra.ExactArgs(2)),
		ValidArgsFunction: c.completeUser,
		RunE: c.onNode(func(cmd *cobra.Command, node *client.Client, words []string) error {
			if err := node.RemoveFactor(cmd.Context(), words[0], words[1]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.out, "Removed %s from %s.\n", printable(words[1]), printable(words[0]))
			return err
		}),
	}
}

func (c *cli) factorResyncCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "resync NAME ID CODE NEXT-CODE",
		Short:             "Find a one-time password device again whose clock or counter has run away",
		Args:              args(cobra.ExactArgs(4)),
		ValidArgsFunction: c.completeUser,
		RunE: c.onNode(func(cmd *cobra.Command, node *client.Client, words []string) error {
			if err := node.ResyncFactor(cmd.Context(), words[0], words[1], words[2], words[3]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.out, "Device %s of %s is in step again.\n", printable(words[1]), printable(words[0]))
			return err
		}),
	}
}
