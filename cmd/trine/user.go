package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"trine/appliance/admin/client"
)

// userCommand is trine user.
func (c *cli) userCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "user", Short: "Import users, set their passwords, enrol their factors, lift their locks", Args: cobra.ArbitraryArgs, RunE: parent}
	cmd.AddCommand(c.importCommand(ofUsers()), c.passwdCommand(), c.factorCommand(), c.deviceCommand(), c.failuresCommand(), c.unlockCommand())
	return cmd
}

// passwdCommand is trine user passwd.
func (c *cli) passwdCommand() *cobra.Command {
	var stdin, mustChange bool
	cmd := &cobra.Command{
		Use:   "passwd NAME",
		Short: "Set a user's password",
		Long:  "Set a user's password. It is asked for on the terminal, or read from standard input with --stdin: its first line.",
		Args:  args(cobra.ExactArgs(1)),

		ValidArgsFunction: c.completeUser,
		RunE: c.onNode(func(cmd *cobra.Command, node *client.Client, words []string) error {
			password, err := c.password(stdin, true)
			if err != nil {
				return err
			}
			if err := node.SetPassword(cmd.Context(), words[0], password, mustChange); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.out, "Password of %s set.\n", printable(words[0]))
			return err
		}),
	}
	cmd.Flags().BoolVar(&stdin, "stdin", false, "read the password from standard input")
	cmd.Flags().BoolVar(&mustChange, "must-change", false, "ask for another password at the next login")
	return cmd
}

// password reads a password from standard input, or asks for it on the terminal, twice if it is a new one.
func (c *cli) password(stdin, isNew bool) (string, error) {
	if stdin {
		line, err := bufio.NewReader(io.LimitReader(c.in, 4096)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read password: %w", err)
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return "", errors.New("standard input held no password")
		}
		return line, nil
	}
	f, ok := c.in.(*os.File)
	if !ok || !isTerminal(c.in) {
		return "", usagef("standard input is no terminal; pass the password there with --stdin")
	}
	first, err := c.ask(f, "Password: ")
	if err != nil || !isNew {
		return first, err
	}
	second, err := c.ask(f, "Again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the two passwords differ; nothing was changed")
	}
	return first, nil
}

// ask reads a line without showing it.
func (c *cli) ask(f *os.File, prompt string) (string, error) {
	fmt.Fprint(c.err, prompt)
	line, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(c.err)
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	if len(line) == 0 {
		return "", errors.New("a password cannot be empty")
	}
	return string(line), nil
}
